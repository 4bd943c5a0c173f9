//! View: the risk of every asset: inherent level times the highest level of its datastreams, cut into levels.
//!
//! # Invariants
//!
//! * Exactly one row for each row of `base.asset`.
//! * A changed asset, or a changed standing of one of its datastreams, touches this asset only.

use std::sync::Arc;

use riskflow_config::ScoreCuts;
use riskflow_model::base::Asset;
use riskflow_model::output::AssetRisk;
use riskflow_model::{Key, Level, Shared};
use serde::{Deserialize, Serialize};

use crate::Rows;

/// What an asset's risk is put together from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Part {
    Asset(Shared<Asset>),
    Standing(Level, bool),
}

/// Returns the risk of every asset, keyed by the asset.
///
/// `standings` holds (asset, (level, stale)) for every entry above none.
pub fn asset_risk<'scope>(
    assets: Rows<'scope, (Key, Shared<Asset>)>,
    standings: Rows<'scope, (Key, (Level, bool))>,
    cuts: ScoreCuts,
) -> Rows<'scope, Arc<AssetRisk>> {
    let assets = assets.map(|(key, asset)| (key, Part::Asset(asset)));
    let standings = standings.map(|(key, (level, stale))| (key, Part::Standing(level, stale)));
    assets
        .concat(standings)
        .reduce_named("AssetRisk: parts by asset", move |_, parts, output| {
            let mut asset = None;
            // In order: the last standings are the highest; among equals those that are not stale come first.
            let mut highest = (Level::None, false);
            for (part, _) in parts {
                match part {
                    Part::Asset(row) => asset = Some(row),
                    Part::Standing(level, stale) if *level > highest.0 => highest = (*level, *stale),
                    Part::Standing(..) => {}
                }
            }
            output.extend(asset.map(|asset| (Arc::new(risk(asset, highest, cuts)), 1)));
        })
        .map(|(_, risk)| risk)
}

fn risk(asset: &Asset, (dynamic_level, stale): (Level, bool), cuts: ScoreCuts) -> AssetRisk {
    let score = asset.inherent_level.get() * dynamic_level as u8;
    AssetRisk {
        asset: asset.id.clone(),
        name: asset.name.clone(),
        category: asset.category.clone(),
        domain: asset.domain,
        region: asset.region,
        inherent_level: asset.inherent_level,
        dynamic_level,
        score,
        level: cuts.level(score),
        stale,
        population: asset.population,
    }
}
