//! Every metric of the job, defined once. Dashboards, alerts and the reference in `deploy/` are checked against this list.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use riskflow_model::output::{CaseEventKind, DeadLetter, DeltaKind, NoticeEvent, Reason, WarningDelta};
use riskflow_model::topic::Topic;

use crate::runtime::clock::wall_clock;
use crate::runtime::graph::Meters;
use crate::runtime::ingest::Disordered;
use crate::runtime::outcome::{Ended, Outcome, PassedOn, Reload};
use crate::runtime::spans::Spans;
use crate::runtime::state::State;

mod checkpoints;
mod dataflow;
mod input;
mod process;
mod spans;
mod warnings;

use dataflow::Dataflow;

pub use checkpoints::{Checkpoints, Phase};
pub use input::InputPauses;
pub(crate) use process::register as of_process;
pub use spans::{Became, SpanCounts};
pub use warnings::Warnings;

/// The metrics of one process.
pub struct Metrics {
    registry: Registry,
    records: IntCounterVec,
    bytes: IntCounterVec,
    late: IntCounterVec,
    dead_letters: IntCounterVec,
    published: IntCounterVec,
    oversized: IntCounterVec,
    deltas: IntCounterVec,
    case_events: IntCounterVec,
    notices: IntCounterVec,
    action_requests: IntCounterVec,
    http_answers: IntCounterVec,
    http_ended: IntCounterVec,
    http_open: IntGauge,
    http_encoded: IntCounter,
    http_passed_on: IntCounterVec,
    epochs: IntCounter,
    epoch_seconds: Histogram,
    commit_seconds: Histogram,
    epoch_time: Gauge,
    behind: Gauge,
    live: IntGauge,
    source_lag: IntGaugeVec,
    unreachable: IntGaugeVec,
    fold_keys: IntGaugeVec,
    fold_settled: IntGaugeVec,
    arranged: IntGauge,
    unmatched: IntGaugeVec,
    silent: IntGauge,
    expected: IntGauge,
    evaluations: IntGaugeVec,
    rules: IntGauge,
    limits: IntGauge,
    rule_sets: IntGauge,
    wrong_sets: IntGauge,
    in_vain: IntCounter,
    no_values: IntCounterVec,
    waiting: IntGauge,
    resident: IntGauge,
    commit_retries: IntCounter,
    untold: IntCounter,
    replayed: IntCounter,
    replay_differences: IntCounter,
    /// Only the summary of a replay tells these.
    disordered: Mutex<Disordered>,
    compared: AtomicU64,
    incomparable: AtomicBool,
    stalled: Gauge,
    clock_off: Gauge,
    rewinds: IntCounter,
    /// Since when the oldest epoch has been under way: its age is told when it is asked for, also while nothing moves.
    oldest: Mutex<Option<Instant>>,
    checkpoint_epoch: Gauge,
    checkpoint_bytes: IntGauge,
    checkpoint_seconds: Gauge,
    checkpoint_failures: IntCounter,
    state: IntGaugeVec,
    config_reloads: IntCounterVec,
    config_refused: IntGauge,
    config_restart: IntGauge,
    config_since: Gauge,
    dataflow: Dataflow,
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
}

/// Seconds from 1 ms to 30 s.
const LATENCY_BUCKETS: [f64; 14] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0,
];

/// So many rules are told apart.
const RULES: usize = 10;

/// What a job has done.
#[derive(Debug)]
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

impl Metrics {
    /// Registers all of them.
    ///
    /// # Errors
    ///
    /// Never with the names that stand here; a test sees to it.
    #[expect(clippy::too_many_lines, reason = "one entry a metric, and nothing else")]
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let r = &registry;
        let counters =
            |name: &str, help: &str, label: &str| add(r, IntCounterVec::new(Opts::new(name, help), &[label])?);
        let gauges = |name: &str, help: &str, labels: &[&str]| add(r, IntGaugeVec::new(Opts::new(name, help), labels)?);
        let seconds = |name: &str, help: &str| {
            add(
                r,
                Histogram::with_opts(HistogramOpts::new(name, help).buckets(LATENCY_BUCKETS.to_vec()))?,
            )
        };
        let metrics = Self {
            records: counters(
                "riskflow_records_total",
                "Input records taken, good or bad, by topic.",
                "topic",
            )?,
            bytes: counters("riskflow_bytes_total", "Payload bytes taken, by topic.", "topic")?,
            late: counters(
                "riskflow_late_records_total",
                "Observations applied later than `time.late_after`, by topic.",
                "topic",
            )?,
            dead_letters: add(
                r,
                IntCounterVec::new(
                    Opts::new(
                        "riskflow_dead_letters_total",
                        "Records that could not be used, by topic and reason.",
                    ),
                    &["topic", "reason"],
                )?,
            )?,
            published: counters(
                "riskflow_published_records_total",
                "Output records committed, by topic.",
                "topic",
            )?,
            oversized: counters(
                "riskflow_oversized_records_total",
                "Output records that were larger than their topic takes, by topic: a stand-in was written.",
                "topic",
            )?,
            deltas: counters(
                "riskflow_warning_deltas_total",
                "Steps in the life of warnings, by kind; `withdrawn_past` of those that were over.",
                "kind",
            )?,
            case_events: counters(
                "riskflow_case_events_total",
                "What happened to cases, by kind; retractions are not counted.",
                "kind",
            )?,
            notices: counters("riskflow_notices_total", "Notices to recipients, by event.", "event")?,
            action_requests: counters(
                "riskflow_action_requests_total",
                "Requests to write an action over HTTP, by outcome; all but `accepted` changed nothing.",
                "outcome",
            )?,
            http_answers: counters("riskflow_http_answers_total", "Answers over HTTP, by status.", "status")?,
            http_ended: counters(
                "riskflow_http_connections_ended_total",
                "Connections that the server ended, by reason: `handshake`, `idle`, `stalled` and `slow` took too long, `shed` made room.",
                "reason",
            )?,
            http_open: add(r, IntGauge::new("riskflow_http_connections", "Connections open now.")?)?,
            http_encoded: add(
                r,
                IntCounter::new(
                    "riskflow_http_pages_encoded_total",
                    "Pages of lists that were encoded; all who ask for the same at a time get one.",
                )?,
            )?,
            http_passed_on: counters(
                "riskflow_http_passed_on_total",
                "Requests that a process of a cluster passed on to process 0, by outcome: `failed` were answered with 503.",
                "outcome",
            )?,
            epochs: add(r, IntCounter::new("riskflow_epochs_total", "Epochs committed.")?)?,
            epoch_seconds: seconds("riskflow_epoch_seconds", "Time from closing an epoch to its commit.")?,
            commit_seconds: seconds(
                "riskflow_commit_seconds",
                "Time that the publisher took for an epoch and those committed with it, retries included.",
            )?,
            epoch_time: add(
                r,
                Gauge::new(
                    "riskflow_epoch_timestamp_seconds",
                    "The epoch committed last, as Unix time.",
                )?,
            )?,
            behind: add(
                r,
                Gauge::new(
                    "riskflow_epochs_under_way",
                    "Epochs closed and not yet through the dataflow.",
                )?,
            )?,
            live: add(
                r,
                IntGauge::new(
                    "riskflow_live",
                    "1 once the wall clock rules, 0 while history is replayed.",
                )?,
            )?,
            source_lag: gauges(
                "riskflow_source_lag_records",
                "Records there and not taken, by topic and partition.",
                &["topic", "partition"],
            )?,
            unreachable: gauges(
                "riskflow_source_unreachable",
                "1 where no broker of the input answers, 0 otherwise, by worker.",
                &["worker"],
            )?,
            fold_keys: gauges("riskflow_fold_keys", "Keys with state, by fold.", &["fold"])?,
            fold_settled: gauges(
                "riskflow_fold_settled",
                "Times that a key was evaluated since the start, by fold.",
                &["fold"],
            )?,
            arranged: add(
                r,
                IntGauge::new(
                    "riskflow_arranged_updates",
                    "Updates that went into arrangements of the views since the start.",
                )?,
            )?,
            unmatched: gauges(
                "riskflow_unmatched",
                "What has met nothing for as long as unmatched.after, by kind; /api/v1/unmatched lists it, `riskflow check --live` all of it.",
                &["kind"],
            )?,
            rules: add(
                r,
                IntGauge::new(
                    "riskflow_rules_in_force",
                    "Rules of the live set, as process 0 tells; with neither rules nor limits nothing warns.",
                )?,
            )?,
            limits: add(
                r,
                IntGauge::new(
                    "riskflow_limits_in_force",
                    "Limits of work under permit in force in the whole job, as process 0 tells.",
                )?,
            )?,
            rule_sets: add(
                r,
                IntGauge::new(
                    "riskflow_rule_sets",
                    "Rule sets that are evaluated, the live one included, as process 0 tells.",
                )?,
            )?,
            wrong_sets: add(
                r,
                IntGauge::new(
                    "riskflow_rule_sets_wrong",
                    "Rule sets with a mistake in them, as process 0 tells; /api/v1/rulesets says what. A candidate whose rules look back too far is none.",
                )?,
            )?,
            no_values: counters(
                "riskflow_observations_out_of_range_total",
                "Observations that do not count because the datastream's row says that they are no values: `below` or `above` its \
                 valid range, or a number for `no_value`.",
                "why",
            )?,
            waiting: add(
                r,
                IntGauge::new(
                    "riskflow_observations_waiting",
                    "Observations that wait for the row of their datastream, at most for `unknown.hold`.",
                )?,
            )?,
            in_vain: add(
                r,
                IntCounter::new(
                    "riskflow_deletions_in_vain_total",
                    "Tombstones of input tables for keys that no row had.",
                )?,
            )?,
            resident: add(
                r,
                IntGauge::new("riskflow_resident_memory_bytes", "Resident memory of the process.")?,
            )?,
            commit_retries: add(
                r,
                IntCounter::new(
                    "riskflow_commit_retries_total",
                    "Commits that failed and were tried again.",
                )?,
            )?,
            untold: add(
                r,
                IntCounter::new(
                    "riskflow_untold_epochs_total",
                    "Epochs whose own record could not be read, so that Kafka's own tools were not told their offsets.",
                )?,
            )?,
            replayed: add(
                r,
                IntCounter::new(
                    "riskflow_replayed_epochs_total",
                    "Epochs of an earlier run that were recomputed after a start.",
                )?,
            )?,
            replay_differences: add(
                r,
                IntCounter::new(
                    "riskflow_replay_differences_total",
                    "Replayed epochs that gave another result than before.",
                )?,
            )?,
            disordered: Mutex::default(),
            compared: AtomicU64::new(0),
            incomparable: AtomicBool::new(false),
            clock_off: add(
                r,
                Gauge::new(
                    "riskflow_clock_off_seconds",
                    "How far the wall clock stands ahead of the job's clock (below 0: behind) where it is not followed; else 0.",
                )?,
            )?,
            rewinds: add(
                r,
                IntCounter::new(
                    "riskflow_clock_rewinds_total",
                    "How often the state was made anew because the clock had been ahead.",
                )?,
            )?,
            stalled: add(
                r,
                Gauge::new(
                    "riskflow_oldest_epoch_seconds",
                    "How long the oldest epoch under way has been so; large: it is stalled.",
                )?,
            )?,
            oldest: Mutex::default(),
            checkpoint_epoch: add(
                r,
                Gauge::new(
                    "riskflow_checkpoint_timestamp_seconds",
                    "When the newest checkpoint was whole, or else this run began, as Unix time; 0: none are taken.",
                )?,
            )?,
            checkpoint_bytes: add(
                r,
                IntGauge::new("riskflow_checkpoint_bytes", "Size of the newest checkpoint.")?,
            )?,
            checkpoint_seconds: add(
                r,
                Gauge::new("riskflow_checkpoint_seconds", "Time from its epoch to its being whole.")?,
            )?,
            checkpoint_failures: add(
                r,
                IntCounter::new(
                    "riskflow_checkpoint_failures_total",
                    "Checkpoints that could not be written.",
                )?,
            )?,
            state: gauges(
                "riskflow_state",
                "1 for the state that the process is in, as /readyz says it, and 0 for the others.",
                &["state"],
            )?,
            config_reloads: counters(
                "riskflow_config_reloads_total",
                "Times that the configuration was read again (SIGHUP; of a job `reload.watch`, too), by result; `refused` changed nothing.",
                "result",
            )?,
            config_refused: add(
                r,
                IntGauge::new(
                    "riskflow_config_refused",
                    "1 while the configuration that was read last cannot be used, and one from before is in force.",
                )?,
            )?,
            config_restart: add(
                r,
                IntGauge::new(
                    "riskflow_config_restart_required",
                    "1 while something in the configuration is in force after a restart only; the log names it.",
                )?,
            )?,
            config_since: add(
                r,
                Gauge::new(
                    "riskflow_config_applied_timestamp_seconds",
                    "When a configuration was last read that could be used, as Unix time.",
                )?,
            )?,
            silent: add(
                r,
                IntGauge::new(
                    "riskflow_datastreams_silent",
                    "Datastreams whose newest reading is older than three of the intervals that their rows say, at the newest checkpoint.",
                )?,
            )?,
            expected: add(
                r,
                IntGauge::new(
                    "riskflow_datastreams_expected",
                    "Datastreams whose rows say at which interval they report, at the newest checkpoint.",
                )?,
            )?,
            evaluations: gauges(
                "riskflow_rule_evaluations",
                "How often the ten rules that are evaluated most often were evaluated since the start, by rule, judged by one evaluation in 61.",
                &["rule"],
            )?,
            dataflow: Dataflow::new(r)?,
            checkpoints: Checkpoints::new(r)?,
            spans: Spans::default(),
            span_counts: SpanCounts::new(r)?,
            input: InputPauses::new(r)?,
            warnings: Warnings::new(r)?,
            registry,
        };
        process::register(&metrics.registry)?;
        metrics.touch();
        Ok(metrics)
    }

    /// Makes every label value visible from the start: a rate over a counter that appears late misses its first step.
    fn touch(&self) {
        for kind in DeltaKind::ALL {
            self.deltas.with_label_values(&[delta_name(kind, true)]);
            self.deltas.with_label_values(&[delta_name(kind, false)]);
        }
        for kind in CaseEventKind::ALL {
            self.case_events.with_label_values(&[kind.name()]);
        }
        for event in NoticeEvent::ALL {
            self.notices.with_label_values(&[event.name()]);
        }
        for outcome in Outcome::ALL {
            self.action_requests.with_label_values(&[outcome.name()]);
        }
        for ended in Ended::ALL {
            self.http_ended.with_label_values(&[ended.name()]);
        }
        for passed in PassedOn::ALL {
            self.http_passed_on.with_label_values(&[passed.name()]);
        }
        self.state(State::Starting);
        for reload in Reload::ALL {
            self.config_reloads.with_label_values(&[reload.name()]);
        }
        for topic in Topic::inputs() {
            self.records.with_label_values(&[topic.name()]);
            self.bytes.with_label_values(&[topic.name()]);
            self.late.with_label_values(&[topic.name()]);
            for reason in Reason::ALL {
                self.dead_letters.with_label_values(&[topic.name(), reason.name()]);
            }
        }
        for topic in Topic::outputs() {
            self.published.with_label_values(&[topic.name()]);
            self.oversized.with_label_values(&[topic.name()]);
        }
    }

    /// Input records of a topic were taken; so many of them were observations applied late.
    pub fn taken(&self, topic: Topic, records: u64, bytes: u64, late: u64) {
        self.records.with_label_values(&[topic.name()]).inc_by(records);
        self.bytes.with_label_values(&[topic.name()]).inc_by(bytes);
        self.late.with_label_values(&[topic.name()]).inc_by(late);
    }

    /// What was done since the start, by name, without what is 0.
    #[must_use]
    pub fn done(&self) -> Done {
        fn counts(counters: &IntCounterVec, names: impl Iterator<Item = &'static str>) -> Vec<(&'static str, u64)> {
            let counts = names.map(|name| (name, counters.with_label_values(&[name]).get()));
            counts.filter(|(_, count)| *count > 0).collect()
        }
        Done {
            records: counts(&self.records, Topic::inputs().map(Topic::name)),
            dead_letters: self.dead_by_reason(),
            deltas: counts(
                &self.deltas,
                DeltaKind::ALL.into_iter().map(DeltaKind::name).chain([WITHDRAWN_PAST]),
            ),
            differed: self.replay_differences.get(),
            compared: self.compared.load(Ordering::Relaxed),
            incomparable: self.incomparable.load(Ordering::Relaxed),
            disordered: *self.disordered.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// How many dead letters there were of each reason that any has, over all topics.
    fn dead_by_reason(&self) -> Vec<(&'static str, u64)> {
        let of = |topic: Topic, reason: Reason| {
            self.dead_letters
                .with_label_values(&[topic.name(), reason.name()])
                .get()
        };
        let all = |reason: Reason| Topic::inputs().map(|topic| of(topic, reason)).sum::<u64>();
        let counts = Reason::ALL.into_iter().map(|reason| (reason.name(), all(reason)));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// A record became a dead letter.
    ///
    /// # Panics
    ///
    /// When it came from a topic that is none: dead letters are made of records of the catalogue's.
    pub fn dead_letter(&self, letter: &DeadLetter) {
        let topic = Topic::from_name(&letter.topic).expect("a dead letter is of a record of a topic");
        let counter = self
            .dead_letters
            .with_label_values(&[topic.name(), letter.reason.name()]);
        counter.inc();
    }

    /// Something happened to a warning, `ends` if it was open until then and is not any more.
    pub fn delta(&self, kind: DeltaKind, ends: bool) {
        self.deltas.with_label_values(&[delta_name(kind, ends)]).inc();
    }

    /// A delta was committed so long after its epoch was closed, at this time in milliseconds. Of a history it says nothing of how
    /// fast warnings are.
    pub fn warned(&self, delta: &WarningDelta, clock: i64, since_close: Duration) {
        if self.live.get() == 1 {
            self.warnings.told(delta, clock, since_close);
        }
    }

    /// Something happened to a case.
    pub fn case_event(&self, kind: CaseEventKind) {
        self.case_events.with_label_values(&[kind.name()]).inc();
    }

    /// Someone was told.
    pub fn notice(&self, event: NoticeEvent) {
        self.notices.with_label_values(&[event.name()]).inc();
    }

    /// Someone asked to write an action.
    pub fn action_request(&self, outcome: Outcome) {
        self.action_requests.with_label_values(&[outcome.name()]).inc();
    }

    /// A request was answered with this status.
    pub fn http_answered(&self, status: u16) {
        self.http_answers.with_label_values(&[&status.to_string()]).inc();
    }

    /// The server ended a connection.
    pub fn http_ended(&self, why: Ended) {
        self.http_ended.with_label_values(&[why.name()]).inc();
    }

    /// So many connections are open.
    pub fn http_connections(&self, open: usize) {
        self.http_open.set(open as i64);
    }

    /// A page of a list was encoded.
    pub fn http_encoded(&self) {
        self.http_encoded.inc();
    }

    /// A request was passed on to the process with the tables.
    pub fn http_passed_on(&self, outcome: PassedOn) {
        self.http_passed_on.with_label_values(&[outcome.name()]).inc();
    }

    /// Output records were committed.
    pub fn published(&self, topic: Topic, records: u64) {
        self.published.with_label_values(&[topic.name()]).inc_by(records);
    }

    /// An output record was too large for its topic.
    pub fn oversized(&self, topic: Topic) {
        self.oversized.with_label_values(&[topic.name()]).inc();
    }

    /// An epoch was committed.
    pub fn epoch(&self, epoch: i64, since_close: Duration, commit: Duration) {
        self.epochs.inc();
        self.epoch_time.set(epoch as f64 / 1000.0);
        self.epoch_seconds.observe(since_close.as_secs_f64());
        self.commit_seconds.observe(commit.as_secs_f64());
    }

    /// A commit failed and is tried again.
    pub fn commit_retried(&self) {
        self.commit_retries.inc();
    }

    /// Kafka's own tools are not told of an epoch, for its record cannot be read.
    pub fn epoch_untold(&self) {
        self.untold.inc();
    }

    /// An epoch of an earlier run was recomputed.
    pub fn replayed(&self, epoch: i64) {
        self.replayed.inc();
        self.epoch_time.set(epoch as f64 / 1000.0);
    }

    /// A replayed epoch gave another result than before.
    pub fn replay_differed(&self) {
        self.replay_differences.inc();
    }

    /// Records of files were read when their epoch was over.
    pub fn disordered(&self, found: Disordered) {
        if found == Disordered::default() {
            return;
        }
        let mut all = self.disordered.lock().unwrap_or_else(PoisonError::into_inner);
        all.records += found.records;
        all.crowded += found.crowded;
        all.furthest = all.furthest.max(found.furthest);
    }

    /// An epoch of a replay was compared with what it gave when it ran.
    pub fn replay_compared(&self) {
        self.compared.fetch_add(1, Ordering::Relaxed);
    }

    /// The epochs of a replay cannot be compared: the state before them is not as it was.
    pub fn replay_incomparable(&self) {
        self.incomparable.store(true, Ordering::Relaxed);
    }

    /// Since when the oldest epoch has been under way, if any is.
    pub fn oldest_epoch(&self, since: Option<Instant>) {
        *self.oldest.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// From now on checkpoints are taken.
    pub fn checkpoints_begin(&self, now: i64) {
        self.checkpoint_epoch.set(now as f64 / 1000.0);
    }

    /// A checkpoint is whole.
    pub fn checkpoint(&self, now: i64, bytes: u64, took: Duration) {
        self.checkpoint_epoch.set(now as f64 / 1000.0);
        self.checkpoint_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.checkpoint_seconds.set(took.as_secs_f64());
    }

    /// A checkpoint could not be written.
    pub fn checkpoint_failed(&self) {
        self.checkpoint_failures.inc();
    }

    /// How the job stands.
    pub fn pace(&self, under_way: usize, live: bool) {
        self.behind.set(under_way as f64);
        self.live.set(i64::from(live));
    }

    /// How many input records were taken so far.
    #[must_use]
    pub fn records_taken(&self) -> u64 {
        let topics = Topic::inputs().map(|topic| self.records.with_label_values(&[topic.name()]).get());
        topics.sum()
    }

    /// How far ahead the wall clock stands where it is not followed, in milliseconds.
    pub fn clock_off(&self, millis: i64) {
        self.clock_off.set(millis as f64 / 1e3);
    }

    /// The state is made anew because the clock was ahead.
    pub fn rewound(&self) {
        self.rewinds.inc();
    }

    /// How far behind a partition is.
    pub fn source_lag(&self, topic: Topic, partition: u16, records: u64) {
        let lag = self
            .source_lag
            .with_label_values(&[topic.name(), &partition.to_string()]);
        lag.set(i64::try_from(records).unwrap_or(i64::MAX));
    }

    /// The process is in this state.
    pub fn state(&self, now: State) {
        for state in State::ALL {
            self.state
                .with_label_values(&[state.name()])
                .set(i64::from(state == now));
        }
    }

    /// The configuration that the process starts with was read.
    pub fn configured(&self, now: i64) {
        self.config_since.set(now as f64 / 1e3);
    }

    /// The configuration was read again and could be used; `restart`: something of it waits for a restart.
    pub fn config_applied(&self, now: i64, restart: bool) {
        self.config_reloads.with_label_values(&[Reload::Applied.name()]).inc();
        self.config_refused.set(0);
        self.config_restart.set(i64::from(restart));
        self.config_since.set(now as f64 / 1e3);
    }

    /// The configuration was read again and cannot be used.
    pub fn config_refused(&self) {
        self.config_reloads.with_label_values(&[Reload::Refused.name()]).inc();
        self.config_refused.set(1);
    }

    /// Whether all that a worker reads from can be reached.
    pub fn sources_reached(&self, worker: usize, reached: bool) {
        let unreachable = self.unreachable.with_label_values(&[worker.to_string()]);
        unreachable.set(i64::from(!reached));
    }

    /// Everything in Prometheus' text format.
    #[must_use]
    pub fn render(&self, meters: &Meters) -> String {
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
        // Another rule may take the place of one.
        self.evaluations.reset();
        for (rule, times) in meters.evaluations.most(RULES) {
            let times = i64::try_from(times).unwrap_or(i64::MAX);
            self.evaluations.with_label_values(&[&*rule]).set(times);
        }
        self.input.show(wall_clock());
        self.dataflow.show(&meters.dataflow);
        self.arranged.set(meters.arranged.load(Ordering::Relaxed) as i64);
        for (kind, number) in meters.unmatched.each() {
            self.unmatched.with_label_values(&[kind]).set(number);
        }
        self.rules.set(meters.sets.rules() as i64);
        self.limits.set(meters.in_force.limits());
        self.rule_sets.set(meters.sets.in_force() as i64);
        self.wrong_sets.set(meters.sets.wrong() as i64);
        for (why, number) in meters.no_values.each() {
            let counter = self.no_values.with_label_values(&[why]);
            counter.inc_by(number.saturating_sub(counter.get()));
        }
        self.waiting.set(meters.waiting.load(Ordering::Relaxed) as i64);
        let in_vain = meters.in_vain.load(Ordering::Relaxed);
        self.in_vain.inc_by(in_vain.saturating_sub(self.in_vain.get()));
        self.resident.set(resident_bytes());
        let oldest = *self.oldest.lock().unwrap_or_else(PoisonError::into_inner);
        self.stalled
            .set(oldest.map_or(0.0, |since| since.elapsed().as_secs_f64()));
        let mut text = Vec::new();
        let encoded = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        encoded
            .ok()
            .and_then(|()| String::from_utf8(text).ok())
            .unwrap_or_default()
    }
}

/// Registers one.
pub(crate) fn add<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

/// Resident memory from `/proc`; 0 where there is none.
#[must_use]
pub fn resident_bytes() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<i64>().ok())
        .map_or(0, |kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use riskflow_model::output::PayloadEncoding;

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
            metrics.dead_letter(&DeadLetter::new(reason, (topic, 0, 0), "", PayloadEncoding::Utf8));
        }
        let text = metrics.render(&Meters::default());
        assert!(text.contains("riskflow_dead_letters_total{reason=\"malformed\",topic=\"in.observation\"} 1\n"));
        assert!(text.contains("riskflow_dead_letters_total{reason=\"malformed\",topic=\"in.rule\"} 2\n"));
        assert_eq!(metrics.done().dead_letters, [("malformed", 3)]);
    }

    #[test]
    fn sources_that_cannot_be_reached_are_told_by_worker() {
        let metrics = Metrics::new().unwrap();
        metrics.sources_reached(0, true);
        metrics.sources_reached(1, false);
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
            metrics.pace(0, live);
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
