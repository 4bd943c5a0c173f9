//! The base data that the history has at its end: names, and what lies in what.

use std::collections::{BTreeMap, BTreeSet};

use riskflow_config::{Located, Regional, Rule, resolve};
use riskflow_model::base::{Asset, Datastream, Region};
use riskflow_model::rule::RuleRecord;
use riskflow_model::ruleset::RuleSet;
use riskflow_model::topic::Topic;
use riskflow_model::{Duration, Lineage, RegionCode, Row, Shared, Text, Tier};
use riskflow_operators::warning;

use super::super::check::stock::Stock;

/// Regions, assets, datastreams and rules of the history, as they are at its end.
#[derive(Default)]
pub struct World {
    /// By identifier.
    pub assets: BTreeMap<Text, Asset>,
    /// By identifier.
    pub datastreams: BTreeMap<Text, Datastream>,
    /// Regions with thresholds of their own.
    pub regional: Regional,
    /// Those of the live set, in the order of their identifiers.
    pub rules: Vec<RuleRecord>,
    /// The rows of the tables that may have thresholds for rules.
    pub rows: Vec<(Topic, Row)>,
    lineage: Lineage,
    names: BTreeMap<RegionCode, Text>,
}

impl World {
    /// Of the rows of all input tables.
    pub fn of(stock: &Stock) -> Self {
        let mut world = Self::default();
        let mut rules: BTreeMap<Text, Rule> = BTreeMap::new();
        let mut sets: BTreeMap<Text, Shared<RuleSet>> = BTreeMap::new();
        for ((topic, _), (row, _)) in &stock.rows {
            if let Some(region) = row.clone().downcast::<Region>() {
                world.lineage.put(region.code, region.parent);
                world.names.insert(region.code, region.name.clone());
                if !region.thresholds.is_empty() {
                    world.regional.insert(region.code, region);
                }
            } else if let Some(asset) = row.downcast_ref::<Asset>() {
                world.assets.insert(asset.id.text().clone(), asset.clone());
            } else if let Some(datastream) = row.downcast_ref::<Datastream>() {
                world
                    .datastreams
                    .insert(datastream.id.text().clone(), datastream.clone());
            } else {
                if let Some(record) = row.downcast_ref::<RuleRecord>() {
                    rules.insert(record.id.clone(), warning::rule(record));
                } else if let Some(set) = row.clone().downcast::<RuleSet>() {
                    sets.insert(set.id.text().clone(), set);
                }
                continue;
            }
            world.rows.push((*topic, row.clone()));
        }
        let resolved = resolve(&rules, &sets, Duration::ZERO);
        world.rules = resolved.live().map(|rule| rule.record.clone()).collect();
        world.rules.sort_by(|a, b| a.id.cmp(&b.id));
        world
    }

    /// Where a region lies.
    pub fn located(&self, region: RegionCode) -> Located {
        Located::of(&self.lineage, region)
    }

    /// Whether a region is equal to the other or lies within it.
    pub fn within(&self, region: RegionCode, other: RegionCode) -> bool {
        self.located(region).within(region, other)
    }

    /// The county of a region; the region itself where it lies in none.
    pub fn county(&self, region: RegionCode) -> RegionCode {
        let chain = self.located(region).chain(region).into_iter();
        let mut counties = chain.filter(|above| above.tier() == Some(Tier::County));
        counties.next().unwrap_or(region)
    }

    /// The regions in which assets are, as their rows name them.
    pub fn asset_regions(&self) -> BTreeSet<RegionCode> {
        self.assets.values().map(|asset| asset.region).collect()
    }

    /// What people call a region; empty where no row says so.
    pub fn name(&self, region: RegionCode) -> &str {
        self.names.get(&region).map_or("", |name| name)
    }

    /// Whether there is a row of this region.
    pub fn has_region(&self, region: RegionCode) -> bool {
        self.names.contains_key(&region)
    }
}
