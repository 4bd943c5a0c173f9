//! How long folds run, and what arrangements hold, where the dataflow is watched.

use prometheus::{GaugeVec, IntGaugeVec, Opts, Registry};

use super::add;
use crate::runtime::dataflow::{DataflowMeter, arranged, by_fold};

/// Metrics of a dataflow that is watched.
pub(super) struct Dataflow {
    folds: GaugeVec,
    arrangements: IntGaugeVec,
}

impl Dataflow {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let folds = Opts::new(
            "riskflow_fold_run_seconds",
            "How long each fold ran since the start, over all workers of the process; only with `http.dataflow`.",
        );
        let arrangements = Opts::new(
            "riskflow_arrangement_updates",
            "Updates that arrangements hold, by the name of their operator; only with `http.dataflow`.",
        );
        Ok(Self {
            folds: add(registry, GaugeVec::new(folds, &["fold"])?)?,
            arrangements: add(registry, IntGaugeVec::new(arrangements, &["arrangement"])?)?,
        })
    }

    /// Shows how it stands.
    pub(super) fn show(&self, meter: &DataflowMeter) {
        let operators = meter.operators();
        for (fold, seconds) in by_fold(&operators) {
            self.folds.with_label_values(&[fold]).set(seconds);
        }
        for (name, updates) in arranged(&operators) {
            self.arrangements.with_label_values(&[name]).set(updates);
        }
    }
}
