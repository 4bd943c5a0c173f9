//! What the meters of the dataflow count, shown when it is asked for.

use std::sync::atomic::Ordering;

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::register::{counter, counters, whole, wholes};
use crate::runtime::graph::Meters;

/// Metrics of folds, views, and what they hold.
pub(super) struct Metered {
    fold_keys: IntGaugeVec,
    fold_settled: IntGaugeVec,
    arranged: IntGauge,
    unmatched: IntGaugeVec,
    silent: IntGauge,
    expected: IntGauge,
    in_vain: IntCounter,
    no_values: IntCounterVec,
    waiting: IntGauge,
    placeless: IntGauge,
}

impl Metered {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            fold_keys: wholes(registry, "riskflow_fold_keys", "Keys with state, by fold.", &["fold"])?,
            fold_settled: wholes(
                registry,
                "riskflow_fold_settled",
                "Times that a key was evaluated since the start, by fold.",
                &["fold"],
            )?,
            arranged: whole(
                registry,
                "riskflow_arranged_updates",
                "Updates that went into arrangements of the views since the start.",
            )?,
            unmatched: wholes(
                registry,
                "riskflow_unmatched",
                "What has met nothing for as long as unmatched.after, by kind; /api/v1/unmatched lists it, `riskflow check --live` all of it.",
                &["kind"],
            )?,
            silent: whole(
                registry,
                "riskflow_datastreams_silent",
                "Datastreams whose newest reading is older than three of the intervals that their rows say, at the newest checkpoint.",
            )?,
            expected: whole(
                registry,
                "riskflow_datastreams_expected",
                "Datastreams whose rows say at which interval they report, at the newest checkpoint.",
            )?,
            in_vain: counter(
                registry,
                "riskflow_deletions_in_vain_total",
                "Tombstones of input tables for keys that no row had.",
            )?,
            no_values: counters(
                registry,
                "riskflow_observations_out_of_range_total",
                "Observations that do not count because the datastream's row says that they are no values: `below` or `above` its \
                 valid range, or a number for `no_value`.",
                &["why"],
            )?,
            waiting: whole(
                registry,
                "riskflow_observations_waiting",
                "Observations that wait for the row of their datastream, at most for `unknown.hold`.",
            )?,
            placeless: whole(
                registry,
                "riskflow_spans_without_asset",
                "Events, permits and windows at an asset that has no row: no gauge measures them until it has one.",
            )?,
        })
    }

    /// Shows how they stand.
    pub(super) fn show(&self, meters: &Meters) {
        for (name, meter) in meters.folds() {
            self.fold_keys
                .with_label_values(&[name])
                .set(meter.keys.load(Ordering::Relaxed) as i64);
            self.fold_settled
                .with_label_values(&[name])
                .set(meter.settled.load(Ordering::Relaxed) as i64);
        }
        let reporting = meters.reporting();
        self.silent.set(reporting.silent);
        self.expected.set(reporting.expected);
        self.arranged.set(meters.arranged.load(Ordering::Relaxed) as i64);
        for (kind, number) in meters.unmatched.each() {
            self.unmatched.with_label_values(&[kind]).set(number);
        }
        for (why, number) in meters.no_values.each() {
            let counter = self.no_values.with_label_values(&[why]);
            counter.inc_by(number.saturating_sub(counter.get()));
        }
        self.waiting.set(meters.waiting.load(Ordering::Relaxed) as i64);
        self.placeless.set(meters.placeless.load(Ordering::Relaxed));
        let in_vain = meters.in_vain.load(Ordering::Relaxed);
        self.in_vain.inc_by(in_vain.saturating_sub(self.in_vain.get()));
    }
}
