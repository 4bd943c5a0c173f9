//! Region rows, by summing over the assets of each region.

use std::collections::{BTreeMap, BTreeSet};

use riskflow_model::base::{Asset, Region};
use riskflow_model::output::{AssetRisk, LevelCounts, RegionRisk, TopAsset, WarningState};
use riskflow_model::{DomainScope, Id, Level, RegionCode, Shared, Text, Tier};

use super::place::Places;

/// The rows of all regions, keyed as on the topic.
pub fn rows(
    names: &[Shared<Region>],
    places: &Places,
    assets: &BTreeMap<Id<Asset>, AssetRisk>,
    warnings: &BTreeMap<Id<WarningState>, WarningState>,
    past: &BTreeMap<String, i64>,
) -> BTreeMap<String, RegionRisk> {
    let named = names.iter().map(|region| region.code.to_string());
    let populated = assets
        .values()
        .flat_map(|asset| places.chain(&asset.region.to_string()));
    let codes: BTreeSet<String> = named.chain(populated).collect();
    let mut rows = BTreeMap::new();
    for code in codes {
        for domain in DomainScope::EACH {
            let key = format!("{code}/{domain}");
            let Ok(region) = code.parse::<RegionCode>() else {
                continue;
            };
            let name = names
                .iter()
                .find(|named| named.code == region)
                .map(|named| named.name.clone());
            let before = past.get(&key).copied().unwrap_or(0);
            let row = row(region, places, domain, assets, warnings, before);
            let name = name.unwrap_or_default();
            rows.insert(key, RegionRisk { name, ..row });
        }
    }
    rows
}

fn row(
    region: RegionCode,
    places: &Places,
    domain: DomainScope,
    assets: &BTreeMap<Id<Asset>, AssetRisk>,
    warnings: &BTreeMap<Id<WarningState>, WarningState>,
    before: i64,
) -> RegionRisk {
    let code = region.to_string();
    let within = |other: RegionCode| places.within(other, region);
    let parent = places
        .chain(&code)
        .get(1)
        .map(|parent| parent.parse().expect("a region code"));
    let counts = |other| domain == DomainScope::All || domain == DomainScope::One(other);
    let assets: Vec<&AssetRisk> = assets
        .values()
        .filter(|asset| counts(asset.domain) && within(asset.region))
        .collect();
    let warnings = warnings
        .values()
        .filter(|warning| counts(warning.domain) && within(warning.region));
    let mut villages: BTreeMap<String, Level> = BTreeMap::new();
    for asset in assets.iter().filter(|asset| asset.region.tier() == Some(Tier::Village)) {
        let level = villages.entry(asset.region.to_string()).or_default();
        *level = (*level).max(asset.level);
    }
    let mut ranked: Vec<&&AssetRisk> = assets.iter().filter(|asset| asset.score > 0).collect();
    ranked.sort_by_key(|asset| (std::cmp::Reverse(asset.score), asset.asset.clone()));
    let top = ranked.into_iter().take(10).map(|asset| TopAsset {
        asset: asset.asset.clone(),
        score: asset.score,
    });
    let score: i64 = assets.iter().map(|asset| i64::from(asset.score)).sum();
    let exposed = assets.iter().filter(|asset| asset.level >= Level::Orange);
    RegionRisk {
        region,
        name: Text::default(),
        parent,
        domain,
        level: assets.iter().map(|asset| asset.level).max().unwrap_or_default(),
        assets_by_level: count(assets.iter().map(|asset| asset.level)),
        assets_by_dynamic_level: count(assets.iter().map(|asset| asset.dynamic_level)),
        villages_by_level: count(villages.into_values()),
        warnings_by_level: count(warnings.map(|warning| warning.level)),
        score,
        trend: score - before,
        exposed_population: exposed.map(|asset| i64::from(asset.population)).sum(),
        top_assets: top.collect(),
    }
}

fn count(levels: impl Iterator<Item = Level>) -> LevelCounts {
    let mut counts = [0; 5];
    for level in levels {
        counts[level as usize] += 1;
    }
    LevelCounts::from_array(counts)
}
