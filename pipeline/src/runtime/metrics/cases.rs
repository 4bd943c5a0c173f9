//! What happens to cases, and who is told.

use prometheus::{IntCounterVec, Registry};
use riskflow_model::output::{CaseEventKind, NoticeEvent};

use super::register::counters;

/// Metrics of the closed loop.
pub struct Cases {
    events: IntCounterVec,
    notices: IntCounterVec,
}

impl Cases {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let cases = Self {
            events: counters(
                registry,
                "riskflow_case_events_total",
                "What happened to cases, by kind; retractions are not counted.",
                &["kind"],
            )?,
            notices: counters(
                registry,
                "riskflow_notices_total",
                "Notices to recipients, by event.",
                &["event"],
            )?,
        };
        for kind in CaseEventKind::ALL {
            cases.events.with_label_values(&[kind.name()]);
        }
        for event in NoticeEvent::ALL {
            cases.notices.with_label_values(&[event.name()]);
        }
        Ok(cases)
    }

    /// Something happened to a case.
    pub fn event(&self, kind: CaseEventKind) {
        self.events.with_label_values(&[kind.name()]).inc();
    }

    /// Someone was told.
    pub fn notice(&self, event: NoticeEvent) {
        self.notices.with_label_values(&[event.name()]).inc();
    }
}
