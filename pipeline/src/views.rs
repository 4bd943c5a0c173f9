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
    /// Response times by their key.
    pub responses: RedBlackTreeMapSync<String, Arc<Response>>,
    /// Totals of reports by their key.
    pub totals: RedBlackTreeMapSync<String, Arc<ReportTotal>>,
    /// What meets nothing, by key.
    pub unmatched: RedBlackTreeMapSync<String, Arc<Unmatched>>,
    /// How many deltas there were of each kind ([`DeltaKind::ALL`]), by county and domain.
    pub tallies: RedBlackTreeMapSync<(RegionCode, DomainScope), [u64; 5]>,
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

    fn count(&mut self, delta: &WarningDelta) {
        let Some(asset) = self.assets.get(&delta.asset).cloned() else {
            return;
        };
        let county = asset
            .region
            .up_to_city()
            .find(|region| region.tier() == riskflow_model::Tier::County);
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
