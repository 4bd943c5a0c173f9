//! What is true now, for readers: maps that share structure from epoch to epoch, swapped in whole. Readers never wait
//! for the job, nor the job for readers, and every reader sees one epoch.

use std::sync::Arc;

use arc_swap::ArcSwap;
use riskflow_model::output::{AssetRisk, DeltaKind, RegionRisk, WarningDelta, WarningState};
use riskflow_model::{DomainScope, Millis, RegionCode, Text};
use rpds::RedBlackTreeMapSync;

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
    /// How many deltas there were of each kind ([`DeltaKind::ALL`]), by county and domain.
    pub tallies: RedBlackTreeMapSync<(RegionCode, DomainScope), [u64; 5]>,
    /// The last delta of each open warning.
    pub last_deltas: RedBlackTreeMapSync<Text, Arc<WarningDelta>>,
}

impl Tables {
    /// The tables after an epoch.
    pub fn apply(&mut self, output: &EpochOutput) {
        self.epoch = output.epoch;
        // Retractions first: a replaced row has the same key.
        for (row, _) in output.assets.iter().filter(|(_, diff)| *diff < 0) {
            self.assets.remove_mut(&row.asset);
        }
        for (row, _) in output.assets.iter().filter(|(_, diff)| *diff > 0) {
            self.assets.insert_mut(row.asset.clone(), Arc::clone(row));
        }
        for (row, _) in output.regions.iter().filter(|(_, diff)| *diff < 0) {
            self.regions.remove_mut(&(row.region, row.domain));
        }
        for (row, _) in output.regions.iter().filter(|(_, diff)| *diff > 0) {
            self.regions.insert_mut((row.region, row.domain), Arc::clone(row));
        }
        for (row, _) in output.warnings.iter().filter(|(_, diff)| *diff < 0) {
            self.warnings.remove_mut(&row.id);
        }
        for (row, _) in output.warnings.iter().filter(|(_, diff)| *diff > 0) {
            self.warnings.insert_mut(row.id.clone(), Arc::clone(row));
        }
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
