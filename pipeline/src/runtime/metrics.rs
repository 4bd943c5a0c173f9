//! Every metric of the job, defined once. Dashboards, alerts and the reference in `deploy/` are checked against this list.

use std::time::Duration;

use prometheus::{Encoder, IntGauge, IntGaugeVec, Registry, TextEncoder};
use riskflow_model::output::WarningDelta;

use crate::runtime::clock::wall_clock;
use crate::runtime::graph::Meters;
use crate::runtime::ingest::Disordered;
use crate::runtime::spans::Spans;
use crate::runtime::state::State;

mod register;
mod cases;
mod checkpoints;
mod configuration;
mod dataflow;
mod epochs;
mod http;
mod input;
mod metered;
mod process;
mod records;
mod replays;
mod rules;
mod spans;
mod warnings;

use dataflow::Dataflow;
use metered::Metered;
use register::{whole, wholes};
use rules::Rules;

pub use cases::Cases;
pub use checkpoints::{Checkpoints, Phase};
pub use configuration::Configuration;
pub use epochs::Epochs;
pub use http::Http;
pub use input::InputPauses;
pub(crate) use process::register as of_process;
pub use records::Records;
pub(crate) use register::add;
pub use replays::Replays;
pub use spans::{Became, SpanCounts};
pub use warnings::Warnings;

/// The metrics of one process.
pub struct Metrics {
    registry: Registry,
    resident: IntGauge,
    state: IntGaugeVec,
    metered: Metered,
    rules: Rules,
    dataflow: Dataflow,
    /// What came in, and what went out.
    pub records: Records,
    /// Epochs, and the clock that they go by.
    pub epochs: Epochs,
    /// Whether a replay gives what epochs gave when they ran.
    pub replays: Replays,
    /// Where checkpoints take their time.
    pub checkpoints: Checkpoints,
    /// Where slow epochs and checkpoints are offered, for OpenTelemetry.
    pub spans: Spans,
    /// What became of their spans.
    pub span_counts: SpanCounts,
    /// Whether input still comes.
    pub input: InputPauses,
    /// Warnings, as process 0 knows them.
    pub warnings: Warnings,
    /// What happens to cases.
    pub cases: Cases,
    /// Requests, answers and connections.
    pub http: Http,
    /// When the configuration was read.
    pub configuration: Configuration,
}

/// What a job has done.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// Records taken, by topic.
    pub records: Vec<(&'static str, u64)>,
    /// Dead letters, by reason.
    pub dead_letters: Vec<(&'static str, u64)>,
    /// What happened to warnings, by kind.
    pub deltas: Vec<(&'static str, u64)>,
    /// Replayed epochs that gave another result than before.
    pub differed: u64,
    /// Epochs of a replay that were compared with what they gave when they ran.
    pub compared: u64,
    /// Whether epochs of a replay could not be compared, for the state before them is not as it was when they ran.
    pub incomparable: bool,
    /// Records of files that were read when their epoch was over.
    pub disordered: Disordered,
}

impl Metrics {
    /// Registers all of them. Every label value that is known shows from the start: a rate over a counter that appears late misses its
    /// first step.
    ///
    /// # Errors
    ///
    /// Never with the names that stand here; a test sees to it.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let r = &registry;
        let metrics = Self {
            resident: whole(r, "riskflow_resident_memory_bytes", "Resident memory of the process.")?,
            state: wholes(
                r,
                "riskflow_state",
                "1 for the state that the process is in, as /readyz says it, and 0 for the others.",
                &["state"],
            )?,
            metered: Metered::new(r)?,
            rules: Rules::new(r)?,
            dataflow: Dataflow::new(r)?,
            records: Records::new(r)?,
            epochs: Epochs::new(r)?,
            replays: Replays::new(r)?,
            checkpoints: Checkpoints::new(r)?,
            spans: Spans::default(),
            span_counts: SpanCounts::new(r)?,
            input: InputPauses::new(r)?,
            warnings: Warnings::new(r)?,
            cases: Cases::new(r)?,
            http: Http::new(r)?,
            configuration: Configuration::new(r)?,
            registry,
        };
        process::register(&metrics.registry)?;
        metrics.state(State::Starting);
        Ok(metrics)
    }

    /// What was done since the start, by name, without what is 0.
    #[must_use]
    pub fn done(&self) -> Done {
        Done {
            records: self.records.by_topic(),
            dead_letters: self.records.dead_by_reason(),
            deltas: self.warnings.deltas(),
            differed: self.replays.differences(),
            compared: self.replays.comparisons(),
            incomparable: self.replays.are_incomparable(),
            disordered: self.replays.all_disordered(),
        }
    }

    /// A delta was committed so long after its epoch was closed, at this time in milliseconds. Of a history it says nothing of how
    /// fast warnings are.
    pub fn warned(&self, delta: &WarningDelta, clock: i64, since_close: Duration) {
        if self.epochs.are_live() {
            self.warnings.told(delta, clock, since_close);
        }
    }

    /// The process is in this state.
    pub fn state(&self, now: State) {
        for state in State::ALL {
            self.state
                .with_label_values(&[state.name()])
                .set(i64::from(state == now));
        }
    }

    /// Everything in Prometheus' text format.
    #[must_use]
    pub fn render(&self, meters: &Meters) -> String {
        self.metered.show(meters);
        self.rules.show(meters);
        self.input.show(wall_clock());
        self.dataflow.show(&meters.dataflow);
        self.resident.set(process::resident_bytes());
        self.epochs.show();
        let mut text = Vec::new();
        let encoded = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        encoded
            .ok()
            .and_then(|()| String::from_utf8(text).ok())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use riskflow_model::output::{DeadLetter, PayloadEncoding, Reason};
    use riskflow_model::topic::Topic;

    use super::*;

    #[test]
    fn every_metric_registers_and_shows_from_the_start() {
        let meters = Meters::default();
        drop(meters.fold("latest"));
        let text = Metrics::new().unwrap().render(&meters);
        for name in [
            "riskflow_records_total",
            "riskflow_dead_letters_total",
            "riskflow_epoch_seconds_bucket",
            "riskflow_fold_keys",
        ] {
            assert!(text.contains(name), "{name}");
        }
        assert!(text.contains("riskflow_dead_letters_total{reason=\"too_late\",topic=\"in.observation\"} 0"));
        assert!(text.contains("riskflow_action_requests_total{outcome=\"unauthorized\"} 0"));
    }

    #[test]
    fn dead_letters_are_told_apart_by_topic_and_summed_by_reason() {
        let metrics = Metrics::new().unwrap();
        for topic in [Topic::IN_OBSERVATION, Topic::IN_RULE, Topic::IN_RULE] {
            let reason = (Reason::Malformed, "no JSON");
            metrics
                .records
                .dead_letter(&DeadLetter::new(reason, (topic, 0, 0), "", PayloadEncoding::Utf8));
        }
        let text = metrics.render(&Meters::default());
        assert!(text.contains("riskflow_dead_letters_total{reason=\"malformed\",topic=\"in.observation\"} 1\n"));
        assert!(text.contains("riskflow_dead_letters_total{reason=\"malformed\",topic=\"in.rule\"} 2\n"));
        assert_eq!(metrics.done().dead_letters, [("malformed", 3)]);
    }

    #[test]
    fn sources_that_cannot_be_reached_are_told_by_worker() {
        let metrics = Metrics::new().unwrap();
        metrics.records.reached(0, true);
        metrics.records.reached(1, false);
        let text = metrics.render(&Meters::default());
        assert!(text.contains("riskflow_source_unreachable{worker=\"0\"} 0\n"));
        assert!(text.contains("riskflow_source_unreachable{worker=\"1\"} 1\n"));
    }

    #[test]
    fn of_rules_those_are_told_that_are_evaluated_most_often() {
        let (metrics, meters) = (Metrics::new().unwrap(), Meters::default());
        for rule in 0..100 {
            meters.evaluations.count(&format!("rule-{rule:02}").into(), rule);
        }
        let told = |rule: &str| {
            metrics
                .render(&meters)
                .contains(&format!("riskflow_rule_evaluations{{rule=\"{rule}\"}}"))
        };
        assert!(told("rule-99") && told("rule-90") && !told("rule-89"));
        meters.evaluations.count(&"rule-00".into(), 1_000);
        assert!(told("rule-00") && !told("rule-90"), "one more, one less");
    }

    /// A warning of a history is as old as the history.
    #[test]
    fn latency_is_told_only_while_live() {
        let delta = serde_json::json!({
            "id": "w", "kind": "raised", "cause": "data", "rule": "r", "asset": "a", "since": 1_735_689_600_000_i64,
            "at": 1_735_689_600_000_i64, "from": "none", "to": "red",
            "explanation": {
                "rule_version": 1, "condition": "", "datastream": "d", "features": [], "asset_name": "", "category": "",
                "inherent_level": null, "region": null,
            },
        });
        let delta: WarningDelta = serde_json::from_value(delta).unwrap();
        let metrics = Metrics::new().unwrap();
        let counted = |live: bool| {
            metrics.epochs.pace(0, live);
            metrics.warned(&delta, delta.at.0 + 1_000, Duration::ZERO);
            let text = metrics.render(&Meters::default());
            let count = "riskflow_warning_latency_seconds_count{cause=\"data\"} ";
            text.lines()
                .find_map(|line| line.strip_prefix(count))
                .unwrap()
                .to_owned()
        };
        assert_eq!((counted(false).as_str(), counted(true).as_str()), ("0", "1"));
    }
}
