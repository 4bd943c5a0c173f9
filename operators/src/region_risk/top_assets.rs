//! The ten assets of highest score above 0 of every region and domain, tier by tier: a tier looks at the top tens of the
//! tier below only.

use std::cmp::Reverse;
use std::sync::Arc;

use riskflow_model::output::{AssetRisk, TopAsset};
use riskflow_model::{Text, Tier};

use super::scopes;
use crate::Rows;
use crate::score_baseline::RegionScope;

const HOW_MANY: usize = 10;

/// Highest score first, then by identifier.
type Rank = (Reverse<u8>, Text);

/// Returns the top ten of every region and domain that has any, as one row each.
pub fn top_assets<'scope>(risks: Rows<'scope, Arc<AssetRisk>>) -> Rows<'scope, (RegionScope, Vec<TopAsset>)> {
    let scored = risks.filter(|risk| risk.score > 0).flat_map(|risk| {
        let rank: Rank = (Reverse(risk.score), risk.asset.clone());
        scopes(risk.region, risk.domain).map(|scope| (scope, rank.clone()))
    });
    let mut tops = Vec::new();
    let mut below: Option<Rows<'scope, (RegionScope, Rank)>> = None;
    for tier in [Tier::Village, Tier::Town, Tier::County, Tier::City] {
        let here = scored.clone().filter(move |((region, _), _)| region.tier() == tier);
        let here = match below.take() {
            Some(below) => here.concat(below),
            None => here,
        };
        let name = format!("TopAssets: {tier:?}");
        let top = here.reduce_named(&name, |_, ranks, output| {
            output.extend(ranks.iter().take(HOW_MANY).map(|(rank, _)| ((*rank).clone(), 1)));
        });
        below = Some(
            top.clone()
                .map(|((region, domain), rank)| ((region.parent().unwrap_or(region), domain), rank)),
        );
        tops.push(top);
    }
    let mut tops = tops.into_iter();
    let first = tops.next().unwrap_or_else(|| unreachable!("there are four tiers"));
    tops.fold(first, |all, tier| all.concat(tier))
        .reduce_named("TopAssets: rows", |_, ranks, output| {
            let row = ranks.iter().map(|((Reverse(score), asset), _)| TopAsset {
                asset: asset.clone(),
                score: *score,
            });
            output.push((row.collect(), 1));
        })
}
