//! What is true now, for readers: maps that share structure from epoch to epoch, swapped in whole. Readers never wait
//! for the job, nor the job for readers, and every reader sees one epoch.

use std::sync::Arc;

use arc_swap::ArcSwap;
use riskflow_model::output::{
    AssetRisk, CaseState, DeltaKind, RegionRisk, ReportTotal, Response, Unmatched, WarningDelta, WarningState,
};
use riskflow_model::{DomainScope, Millis, RegionCode, Text};
use rpds::RedBlackTreeMapSync;

use riskflow_operators::Diff;

use crate::output::EpochOutput;

/// The output tables as of one epoch.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// The epoch.
    pub epoch: Millis,
    /// Asset risks by identifier.
    pub assets: RedBlackTreeMapSync<Text, Arc<AssetRisk>>,
    /// Region risks.
    pub regions: RedBlackTreeMapSync<(RegionCode, DomainScope), Arc<RegionRisk>>,
    /// Open warnings by identifier.
    pub warnings: RedBlackTreeMapSync<Text, Arc<WarningState>>,
    /// Cases by identifier.
    pub cases: RedBlackTreeMapSync<Text, Arc<CaseState>>,
    /// The cases of warnings that joined one, by the warning.
    joined: RedBlackTreeMapSync<Text, Text>,
    /// Response times by their key.
    pub responses: RedBlackTreeMapSync<String, Arc<Response>>,
    /// Totals of reports by their key.
    pub totals: RedBlackTreeMapSync<String, Arc<ReportTotal>>,
    /// What meets nothing, by key.
    pub unmatched: RedBlackTreeMapSync<String, Arc<Unmatched>>,
    /// How many deltas there were of each kind ([`DeltaKind::ALL`]), by county and domain.
    pub tallies: RedBlackTreeMapSync<(RegionCode, DomainScope), [u64; DeltaKind::ALL.len()]>,
    /// The last delta of each open warning.
    pub last_deltas: RedBlackTreeMapSync<Text, Arc<WarningDelta>>,
}

impl Tables {
    /// The tables after an epoch.
    pub fn apply(&mut self, output: &EpochOutput) {
        self.epoch = output.epoch;
        update(&mut self.assets, &output.assets, |row| row.asset.clone());
        update(&mut self.regions, &output.regions, |row| (row.region, row.domain));
        update(&mut self.warnings, &output.warnings, |row| row.id.clone());
        update(&mut self.cases, &output.cases, |row| row.id.clone());
        self.join(&output.cases);
        update(&mut self.responses, &output.responses, |row| row.key());
        update(&mut self.totals, &output.totals, |row| row.key());
        update(&mut self.unmatched, &output.unmatched, |row| row.key());
        for delta in &output.deltas {
            self.count(delta);
            if matches!(delta.kind, DeltaKind::Cleared | DeltaKind::Withdrawn) {
                self.last_deltas.remove_mut(&delta.id);
            } else {
                self.last_deltas.insert_mut(delta.id.clone(), Arc::new(delta.clone()));
            }
        }
    }

    fn join(&mut self, cases: &[(Arc<CaseState>, Diff)]) {
        // What went comes first.
        for came in [false, true] {
            let rows = cases.iter().filter(|(_, diff)| (*diff > 0) == came);
            for (row, _) in rows {
                for warning in row.warnings.iter().filter(|warning| **warning != row.id) {
                    if came {
                        self.joined.insert_mut(warning.clone(), row.id.clone());
                    } else {
                        self.joined.remove_mut(warning);
                    }
                }
            }
        }
    }

    /// A case by its identifier, or by that of any of its newest warnings.
    pub fn case(&self, id: &str) -> Option<&Arc<CaseState>> {
        let joined = || self.cases.get(self.joined.get(id)?);
        self.cases.get(id).or_else(joined)
    }

    /// A region and all above it, as the rows of regions say.
    pub fn chain(&self, region: RegionCode) -> impl Iterator<Item = RegionCode> + '_ {
        // No way is longer than there are regions.
        let up = |region: &RegionCode| match region.is_statistical() {
            true => region.parent(),
            false => self.regions.get(&(*region, DomainScope::All))?.parent,
        };
        std::iter::successors(Some(region), up).take(self.regions.size() + 8)
    }

    /// Whether a region is another or lies within it.
    #[must_use]
    pub fn within(&self, region: RegionCode, other: RegionCode) -> bool {
        match region.is_statistical() {
            true => region.within_by_code(other),
            false => self.chain(region).any(|above| above == other),
        }
    }

    fn count(&mut self, delta: &WarningDelta) {
        let Some(asset) = self.assets.get(&delta.asset).cloned() else {
            return;
        };
        let county = self
            .chain(asset.region)
            .find(|region| region.tier() == Some(riskflow_model::Tier::County));
        let kind = DeltaKind::ALL.iter().position(|kind| *kind == delta.kind).unwrap_or(0);
        if let Some(region) = county {
            for scope in [DomainScope::All, DomainScope::One(asset.domain)] {
                let mut counts = self.tallies.get(&(region, scope)).copied().unwrap_or_default();
                counts[kind] += 1;
                self.tallies.insert_mut((region, scope), counts);
            }
        }
    }
}

/// Applies differences; retractions first: a replaced row has the same key.
fn update<K: Ord, T>(table: &mut RedBlackTreeMapSync<K, Arc<T>>, rows: &[(Arc<T>, Diff)], key: impl Fn(&T) -> K) {
    for (row, _) in rows.iter().filter(|(_, diff)| *diff < 0) {
        table.remove_mut(&key(row));
    }
    for (row, _) in rows.iter().filter(|(_, diff)| *diff > 0) {
        table.insert_mut(key(row), Arc::clone(row));
    }
}

/// The tables of the last committed epoch.
#[derive(Debug, Default)]
pub struct Views(ArcSwap<Tables>);

impl Views {
    /// The tables as they are now; they stay as they are for as long as they are held.
    #[must_use]
    pub fn load(&self) -> Arc<Tables> {
        self.0.load_full()
    }

    /// Puts another epoch in their place.
    pub fn store(&self, tables: &Tables) {
        self.0.store(Arc::new(tables.clone()));
    }
}

#[cfg(test)]
mod tests {
    use riskflow_model::output::LevelCounts;

    use super::*;

    #[test]
    fn regions_lie_where_their_rows_say() {
        let code = |text: &str| -> RegionCode { text.parse().unwrap() };
        let none = LevelCounts::default();
        let rows = [("berth", "harbour"), ("harbour", "330902"), ("a", "b"), ("b", "a")];
        let rows = rows.map(|(region, parent)| RegionRisk {
            region: code(region),
            name: "".into(),
            parent: Some(code(parent)),
            domain: DomainScope::All,
            level: riskflow_model::Level::None,
            assets_by_level: none,
            assets_by_dynamic_level: none,
            villages_by_level: none,
            warnings_by_level: none,
            score: 0,
            trend: 0,
            exposed_population: 0,
            top_assets: Vec::new(),
        });
        let mut tables = Tables::default();
        tables.apply(&EpochOutput {
            regions: rows.map(|row| (Arc::new(row), 1)).to_vec(),
            ..EpochOutput::default()
        });
        let chain: Vec<String> = tables.chain(code("berth")).map(|region| region.to_string()).collect();
        assert_eq!(chain, ["berth", "harbour", "330902", "3309", "33"]);
        assert!(tables.within(code("berth"), code("33")) && !tables.within(code("berth"), code("330903")));
        assert!(tables.within(code("330902001"), code("3309")) && !tables.within(code("3309"), code("berth")));
        // Such rows are never given; it ends all the same.
        assert!(!tables.within(code("a"), code("330902")));
    }
}
