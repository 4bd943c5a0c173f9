//! How old and how large the newest checkpoint is, and where its time and its bytes go.

use std::time::Duration;

use prometheus::{Gauge, GaugeVec, IntCounter, IntGauge, IntGaugeVec, Opts, Registry};

use super::register::{add, counter, gauge, whole};

/// What is done for a checkpoint, one after the other but for the first three, which take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for chunks of the folds.
    Gather,
    /// Writing parts.
    Write,
    /// Pausing between parts, so that commits get their share of the disk.
    Pause,
    /// Waiting for the commit of its epoch, and for the other processes.
    Wait,
    /// Writing the manifest.
    Manifest,
    /// Deleting older checkpoints.
    Tidy,
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Self; 6] = [
        Self::Gather,
        Self::Write,
        Self::Pause,
        Self::Wait,
        Self::Manifest,
        Self::Tidy,
    ];

    /// The name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gather => "gather",
            Self::Write => "write",
            Self::Pause => "pause",
            Self::Wait => "wait",
            Self::Manifest => "manifest",
            Self::Tidy => "tidy",
        }
    }
}

/// Metrics of checkpoints.
pub struct Checkpoints {
    epoch: Gauge,
    bytes: IntGauge,
    seconds: Gauge,
    failures: IntCounter,
    phases: GaugeVec,
    folds: IntGaugeVec,
}

impl Checkpoints {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let phases = Opts::new(
            "riskflow_checkpoint_phase_seconds",
            "Time that each phase of the newest checkpoint took on process 0: `gather`, `write` and `pause` take turns, then `wait`, `manifest`, \
             `tidy`.",
        );
        let folds = Opts::new(
            "riskflow_checkpoint_fold_bytes",
            "Size of the state of each fold in the newest checkpoint, over all processes: as written, not as it lies in memory.",
        );
        let checkpoints = Self {
            epoch: gauge(
                registry,
                "riskflow_checkpoint_timestamp_seconds",
                "When the newest checkpoint was whole, or else this run began, as Unix time; 0: none are taken.",
            )?,
            bytes: whole(registry, "riskflow_checkpoint_bytes", "Size of the newest checkpoint.")?,
            seconds: gauge(
                registry,
                "riskflow_checkpoint_seconds",
                "Time from its epoch to its being whole.",
            )?,
            failures: counter(
                registry,
                "riskflow_checkpoint_failures_total",
                "Checkpoints that could not be written.",
            )?,
            phases: add(registry, GaugeVec::new(phases, &["phase"])?)?,
            folds: add(registry, IntGaugeVec::new(folds, &["fold"])?)?,
        };
        for phase in Phase::ALL {
            checkpoints.phase(phase, Duration::ZERO);
        }
        Ok(checkpoints)
    }

    /// From now on checkpoints are taken.
    pub fn begin(&self, now: i64) {
        self.epoch.set(now as f64 / 1000.0);
    }

    /// A checkpoint is whole.
    pub fn whole(&self, now: i64, bytes: u64, took: Duration) {
        self.epoch.set(now as f64 / 1000.0);
        self.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.seconds.set(took.as_secs_f64());
    }

    /// A checkpoint could not be written.
    pub fn failed(&self) {
        self.failures.inc();
    }

    /// A phase of the newest checkpoint took so long.
    pub fn phase(&self, phase: Phase, took: Duration) {
        self.phases.with_label_values(&[phase.name()]).set(took.as_secs_f64());
    }

    /// The state of a fold takes so many bytes in the newest checkpoint.
    pub fn fold(&self, name: &str, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.folds.with_label_values(&[name]).set(bytes);
    }
}
