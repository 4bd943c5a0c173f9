//! Epochs: how many, how fast, how far, and by which clock.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, IntGauge, Registry};

use super::register::{add, counter, gauge, whole};

/// Seconds from 1 ms to 30 s.
const LATENCY_BUCKETS: [f64; 14] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0,
];

/// Metrics of epochs.
pub struct Epochs {
    committed: IntCounter,
    seconds: Histogram,
    commit_seconds: Histogram,
    time: Gauge,
    under_way: Gauge,
    live: IntGauge,
    retries: IntCounter,
    untold: IntCounter,
    replayed: IntCounter,
    clock_off: Gauge,
    rewinds: IntCounter,
    stalled: Gauge,
    /// Since when the oldest epoch has been under way: its age is told when it is asked for, also while nothing moves.
    oldest: Mutex<Option<Instant>>,
}

fn seconds(registry: &Registry, name: &str, help: &str) -> Result<Histogram, prometheus::Error> {
    let opts = HistogramOpts::new(name, help).buckets(LATENCY_BUCKETS.to_vec());
    add(registry, Histogram::with_opts(opts)?)
}

impl Epochs {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            committed: counter(registry, "riskflow_epochs_total", "Epochs committed.")?,
            seconds: seconds(
                registry,
                "riskflow_epoch_seconds",
                "Time from closing an epoch to its commit.",
            )?,
            commit_seconds: seconds(
                registry,
                "riskflow_commit_seconds",
                "Time that the publisher took for an epoch and those committed with it, retries included.",
            )?,
            time: gauge(
                registry,
                "riskflow_epoch_timestamp_seconds",
                "The epoch committed last, as Unix time.",
            )?,
            under_way: gauge(
                registry,
                "riskflow_epochs_under_way",
                "Epochs closed and not yet through the dataflow.",
            )?,
            live: whole(
                registry,
                "riskflow_live",
                "1 once the wall clock rules, 0 while history is replayed.",
            )?,
            retries: counter(
                registry,
                "riskflow_commit_retries_total",
                "Commits that failed and were tried again.",
            )?,
            untold: counter(
                registry,
                "riskflow_untold_epochs_total",
                "Epochs whose own record could not be read, so that Kafka's own tools were not told their offsets.",
            )?,
            replayed: counter(
                registry,
                "riskflow_replayed_epochs_total",
                "Epochs of an earlier run that were recomputed after a start.",
            )?,
            clock_off: gauge(
                registry,
                "riskflow_clock_off_seconds",
                "How far the wall clock stands ahead of the job's clock (below 0: behind) where it is not followed; else 0.",
            )?,
            rewinds: counter(
                registry,
                "riskflow_clock_rewinds_total",
                "How often the state was made anew because the clock had been ahead.",
            )?,
            stalled: gauge(
                registry,
                "riskflow_oldest_epoch_seconds",
                "How long the oldest epoch under way has been so; large: it is stalled.",
            )?,
            oldest: Mutex::default(),
        })
    }

    /// An epoch was committed.
    pub fn committed(&self, epoch: i64, since_close: Duration, commit: Duration) {
        self.committed.inc();
        self.time.set(epoch as f64 / 1000.0);
        self.seconds.observe(since_close.as_secs_f64());
        self.commit_seconds.observe(commit.as_secs_f64());
    }

    /// A commit failed and is tried again.
    pub fn retried(&self) {
        self.retries.inc();
    }

    /// Kafka's own tools are not told of an epoch, for its record cannot be read.
    pub fn untold(&self) {
        self.untold.inc();
    }

    /// An epoch of an earlier run was recomputed.
    pub fn replayed(&self, epoch: i64) {
        self.replayed.inc();
        self.restored(epoch);
    }

    /// The state as of an epoch was loaded.
    pub fn restored(&self, epoch: i64) {
        self.time.set(epoch as f64 / 1000.0);
    }

    /// How many are under way, and whether the wall clock rules.
    pub fn pace(&self, under_way: usize, live: bool) {
        self.under_way.set(under_way as f64);
        self.live.set(i64::from(live));
    }

    /// Whether the wall clock rules.
    pub(super) fn are_live(&self) -> bool {
        self.live.get() == 1
    }

    /// Since when the oldest epoch has been under way, if any is.
    pub fn oldest(&self, since: Option<Instant>) {
        *self.oldest.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// How far ahead the wall clock stands where it is not followed, in milliseconds.
    pub fn clock_off(&self, millis: i64) {
        self.clock_off.set(millis as f64 / 1e3);
    }

    /// The state is made anew because the clock was ahead.
    pub fn rewound(&self) {
        self.rewinds.inc();
    }

    /// Shows how long the oldest has been under way.
    pub(super) fn show(&self) {
        let oldest = *self.oldest.lock().unwrap_or_else(PoisonError::into_inner);
        self.stalled
            .set(oldest.map_or(0.0, |since| since.elapsed().as_secs_f64()));
    }
}
