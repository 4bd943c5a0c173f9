//! What happens to warnings, how many are open, and how long one takes from its reading to its commit.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};
use riskflow_model::output::{Cause, DeltaKind, WarningDelta, WarningState};
use riskflow_model::{Domain, Level};

use super::register::{add, counters, counts};

/// Seconds from 100 ms to a day: what comes late was on its way for most of that.
const BUCKETS: [f64; 14] = [
    0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0,
];

/// The causes that a reading has.
const CAUSES: [Cause; 3] = [Cause::Data, Cause::LateData, Cause::Correction];

/// What the label says of a cause; `None` where no reading made the warning.
const fn cause_name(cause: Cause) -> Option<&'static str> {
    match cause {
        Cause::Data => Some("data"),
        Cause::LateData => Some("late_data"),
        Cause::Correction => Some("correction"),
        Cause::Clock | Cause::BaseChange | Cause::RuleChange | Cause::Manual => None,
    }
}

/// Whether somebody is warned by it.
const fn warns(kind: DeltaKind) -> bool {
    match kind {
        DeltaKind::Raised | DeltaKind::Escalated => true,
        DeltaKind::Eased
        | DeltaKind::Cleared
        | DeltaKind::Withdrawn
        | DeltaKind::Revised
        | DeltaKind::Recorded
        | DeltaKind::Amended => false,
    }
}

/// What is counted of warnings that were over when they were found never to have been: those that were raised less those that ended
/// are open.
const WITHDRAWN_PAST: &str = "withdrawn_past";

const fn delta_name(kind: DeltaKind, ends: bool) -> &'static str {
    match kind {
        DeltaKind::Withdrawn if !ends => WITHDRAWN_PAST,
        DeltaKind::Raised
        | DeltaKind::Escalated
        | DeltaKind::Eased
        | DeltaKind::Cleared
        | DeltaKind::Withdrawn
        | DeltaKind::Revised
        | DeltaKind::Recorded
        | DeltaKind::Amended => kind.name(),
    }
}

/// Metrics of warnings.
pub struct Warnings {
    deltas: IntCounterVec,
    open: IntGaugeVec,
    latency: HistogramVec,
}

impl Warnings {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let open = Opts::new(
            "riskflow_open_warnings",
            "Open warnings of the whole job, by level and domain, as process 0 tells.",
        );
        let latency = HistogramOpts::new(
            "riskflow_warning_latency_seconds",
            "From when the level began, by the readings' own times (phenomenon_time), to the commit of the warning that was raised or \
             escalated, by cause; only while live.",
        );
        let warnings = Self {
            deltas: counters(
                registry,
                "riskflow_warning_deltas_total",
                "Steps in the life of warnings, by kind; `withdrawn_past` of those that were over.",
                &["kind"],
            )?,
            open: add(registry, IntGaugeVec::new(open, &["domain", "level"])?)?,
            latency: add(
                registry,
                HistogramVec::new(latency.buckets(BUCKETS.to_vec()), &["cause"])?,
            )?,
        };
        for kind in DeltaKind::ALL {
            warnings.deltas.with_label_values(&[delta_name(kind, true)]);
            warnings.deltas.with_label_values(&[delta_name(kind, false)]);
        }
        warnings.none_open();
        for cause in CAUSES.into_iter().filter_map(cause_name) {
            warnings.latency.with_label_values(&[cause]);
        }
        Ok(warnings)
    }

    /// Something happened to a warning, `ends` if it was open until then and is not any more.
    pub fn delta(&self, kind: DeltaKind, ends: bool) {
        self.deltas.with_label_values(&[delta_name(kind, ends)]).inc();
    }

    /// How many deltas there were of each kind that any was of.
    pub(super) fn deltas(&self) -> Vec<(&'static str, u64)> {
        counts(&self.deltas, Self::kinds())
    }

    /// The kinds by which they are counted.
    pub(crate) fn kinds() -> impl Iterator<Item = &'static str> {
        DeltaKind::ALL.into_iter().map(DeltaKind::name).chain([WITHDRAWN_PAST])
    }

    /// Before the first epoch: all that is open comes again.
    pub fn none_open(&self) {
        for domain in Domain::ALL {
            for level in Level::WARNING {
                self.open.with_label_values(&[domain.name(), level.name()]).set(0);
            }
        }
    }

    /// A row of open warnings came (1) or went (-1).
    pub fn open(&self, warning: &WarningState, diff: i64) {
        let (domain, level) = (warning.domain.name(), warning.level.name());
        self.open.with_label_values(&[domain, level]).add(diff);
    }

    /// A delta was committed so long after its epoch was closed, at this time in milliseconds.
    pub(super) fn told(&self, delta: &WarningDelta, clock: i64, since_close: Duration) {
        let Some(cause) = cause_name(delta.cause).filter(|_| warns(delta.kind)) else {
            return;
        };
        let on_the_way = (clock - delta.at.0).max(0) as f64 / 1e3;
        let latency = self.latency.with_label_values(&[cause]);
        latency.observe(on_the_way + since_close.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{Encoder as _, TextEncoder};
    use serde_json::json;

    use super::*;

    fn text(registry: &Registry) -> String {
        let mut text = Vec::new();
        TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    fn row(domain: &str, level: &str) -> WarningState {
        let row = json!({
            "id": "w", "rule": "r", "asset": "a", "domain": domain, "region": "330902001001", "level": level,
            "since": "2025-01-01T00:00:00.000Z", "stale": false,
        });
        serde_json::from_value(row).unwrap()
    }

    #[test]
    fn open_warnings_are_counted_by_domain_and_level_and_begin_anew() {
        let registry = Registry::new();
        let warnings = Warnings::new(&registry).unwrap();
        warnings.open(&row("lifeline", "blue"), 1);
        warnings.open(&row("lifeline", "blue"), 1);
        // One of them rises.
        warnings.open(&row("lifeline", "blue"), -1);
        warnings.open(&row("lifeline", "red"), 1);
        let shown = text(&registry);
        for line in [
            "riskflow_open_warnings{domain=\"lifeline\",level=\"blue\"} 1\n",
            "riskflow_open_warnings{domain=\"lifeline\",level=\"red\"} 1\n",
            "riskflow_open_warnings{domain=\"natural_hazard\",level=\"red\"} 0\n",
        ] {
            assert!(shown.contains(line), "{line} is not in {shown}");
        }
        assert_eq!(shown.matches("riskflow_open_warnings{").count(), 16);
        warnings.none_open();
        assert!(text(&registry).contains("riskflow_open_warnings{domain=\"lifeline\",level=\"red\"} 0\n"));
    }

    #[test]
    fn latency_is_from_the_readings_own_time_and_only_of_what_a_reading_made() {
        let registry = Registry::new();
        let warnings = Warnings::new(&registry).unwrap();
        let at = 1_735_689_600_000;
        let delta = |kind: &str, cause: &str| -> WarningDelta {
            let delta = json!({
                "id": "w", "kind": kind, "cause": cause, "rule": "r", "asset": "a", "since": at, "at": at, "from": "none", "to": "red",
                "explanation": {
                    "rule_version": 1, "condition": "", "datastream": "d", "features": [], "asset_name": "", "category": "",
                    "inherent_level": null, "region": null,
                },
            });
            serde_json::from_value(delta).unwrap()
        };
        for (kind, cause) in [
            ("raised", "data"),
            ("escalated", "late_data"),
            ("cleared", "data"),
            ("raised", "clock"),
            ("raised", "rule_change"),
        ] {
            warnings.told(&delta(kind, cause), at + 1_500, Duration::from_millis(250));
        }
        let shown = text(&registry);
        for line in [
            "riskflow_warning_latency_seconds_sum{cause=\"data\"} 1.75\n",
            "riskflow_warning_latency_seconds_count{cause=\"data\"} 1\n",
            "riskflow_warning_latency_seconds_count{cause=\"late_data\"} 1\n",
            "riskflow_warning_latency_seconds_count{cause=\"correction\"} 0\n",
        ] {
            assert!(shown.contains(line), "{line} is not in {shown}");
        }
    }
}
