//! What becomes of spans.

use prometheus::{IntCounterVec, Opts, Registry};

use super::add;

/// What becomes of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// The collector took it.
    Sent,
    /// Too many were waiting: it was not sent.
    Dropped,
    /// The collector did not take it.
    Failed,
}

impl Became {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sent, Self::Dropped, Self::Failed];

    /// The name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Dropped => "dropped",
            Self::Failed => "failed",
        }
    }
}

/// Counts of spans.
#[derive(Clone)]
pub struct SpanCounts(IntCounterVec);

impl SpanCounts {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let spans = Opts::new(
            "riskflow_spans_total",
            "Spans of slow epochs and checkpoints (`tracing.otlp`), by what became of them: `sent` to the collector; `dropped`, for too many were \
             waiting; `failed`, for the collector did not take them.",
        );
        let counts = Self(add(registry, IntCounterVec::new(spans, &["outcome"])?)?);
        for became in Became::ALL {
            counts.add(became, 0);
        }
        Ok(counts)
    }

    /// That became of so many more.
    pub fn add(&self, became: Became, spans: usize) {
        self.0.with_label_values(&[became.name()]).inc_by(spans as u64);
    }

    /// Of how many that became.
    #[must_use]
    pub fn of(&self, became: Became) -> u64 {
        self.0.with_label_values(&[became.name()]).get()
    }
}
