//! The risk of an asset: inherent level times the highest level of its datastreams, cut into levels.
//!
//! The fold `lifecycle` holds the asset and the levels of all its datastreams, so the row is given there. There is exactly one
//! for each row of `base.asset`.

use riskflow_config::ScoreCuts;
use riskflow_model::Level;
use riskflow_model::base::Asset;
use riskflow_model::output::AssetRisk;

/// The row of an asset, from the highest level of its datastreams and whether that is stale.
#[must_use]
pub fn asset_risk(asset: &Asset, (dynamic_level, stale): (Level, bool), cuts: ScoreCuts) -> AssetRisk {
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
