//! What came in, what of it could not be used, and what went out.

use prometheus::{IntCounterVec, IntGaugeVec, Registry};
use riskflow_model::output::{DeadLetter, Reason};
use riskflow_model::topic::Topic;

use super::register::{counters, counts, wholes};

/// Metrics of records by their topics, and of the sources that they come from.
pub struct Records {
    taken: IntCounterVec,
    bytes: IntCounterVec,
    late: IntCounterVec,
    dead_letters: IntCounterVec,
    published: IntCounterVec,
    oversized: IntCounterVec,
    lag: IntGaugeVec,
    unreachable: IntGaugeVec,
}

impl Records {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let records = Self {
            taken: counters(
                registry,
                "riskflow_records_total",
                "Input records taken, good or bad, by topic.",
                &["topic"],
            )?,
            bytes: counters(
                registry,
                "riskflow_bytes_total",
                "Payload bytes taken, by topic.",
                &["topic"],
            )?,
            late: counters(
                registry,
                "riskflow_late_records_total",
                "Observations applied later than `time.late_after`, and events over for longer, by topic.",
                &["topic"],
            )?,
            dead_letters: counters(
                registry,
                "riskflow_dead_letters_total",
                "Records that could not be used, by topic and reason.",
                &["topic", "reason"],
            )?,
            published: counters(
                registry,
                "riskflow_published_records_total",
                "Output records committed, by topic.",
                &["topic"],
            )?,
            oversized: counters(
                registry,
                "riskflow_oversized_records_total",
                "Output records that were larger than their topic takes, by topic: a stand-in was written.",
                &["topic"],
            )?,
            lag: wholes(
                registry,
                "riskflow_source_lag_records",
                "Records there and not taken, by topic and partition.",
                &["topic", "partition"],
            )?,
            unreachable: wholes(
                registry,
                "riskflow_source_unreachable",
                "1 where no broker of the input answers, 0 otherwise, by worker.",
                &["worker"],
            )?,
        };
        records.touch();
        Ok(records)
    }

    fn touch(&self) {
        for topic in Topic::inputs() {
            self.taken.with_label_values(&[topic.name()]);
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
        self.taken.with_label_values(&[topic.name()]).inc_by(records);
        self.bytes.with_label_values(&[topic.name()]).inc_by(bytes);
        self.late.with_label_values(&[topic.name()]).inc_by(late);
    }

    /// How many input records were taken so far.
    #[must_use]
    pub fn total(&self) -> u64 {
        let topics = Topic::inputs().map(|topic| self.taken.with_label_values(&[topic.name()]).get());
        topics.sum()
    }

    /// How many were taken of each topic that had any.
    pub(super) fn by_topic(&self) -> Vec<(&'static str, u64)> {
        counts(&self.taken, Topic::inputs().map(Topic::name))
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

    /// How many dead letters there were of each reason that any has, over all topics.
    pub(super) fn dead_by_reason(&self) -> Vec<(&'static str, u64)> {
        let of = |topic: Topic, reason: Reason| {
            self.dead_letters
                .with_label_values(&[topic.name(), reason.name()])
                .get()
        };
        let all = |reason: Reason| Topic::inputs().map(|topic| of(topic, reason)).sum::<u64>();
        let counts = Reason::ALL.into_iter().map(|reason| (reason.name(), all(reason)));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// Output records were committed.
    pub fn published(&self, topic: Topic, records: u64) {
        self.published.with_label_values(&[topic.name()]).inc_by(records);
    }

    /// An output record was too large for its topic.
    pub fn oversized(&self, topic: Topic) {
        self.oversized.with_label_values(&[topic.name()]).inc();
    }

    /// How far behind a partition is.
    pub fn lag(&self, topic: Topic, partition: u16, records: u64) {
        let lag = self.lag.with_label_values(&[topic.name(), &partition.to_string()]);
        lag.set(i64::try_from(records).unwrap_or(i64::MAX));
    }

    /// Whether all that a worker reads from can be reached.
    pub fn reached(&self, worker: usize, reached: bool) {
        let unreachable = self.unreachable.with_label_values(&[worker.to_string()]);
        unreachable.set(i64::from(!reached));
    }
}
