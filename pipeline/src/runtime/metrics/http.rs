//! What is asked over HTTP, how it is answered, and what becomes of connections.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Registry};

use super::register::{counter, counters, whole};
use crate::runtime::outcome::{Ended, Outcome, PassedOn};

/// Metrics of HTTP.
pub struct Http {
    actions: IntCounterVec,
    answers: IntCounterVec,
    ended: IntCounterVec,
    open: IntGauge,
    encoded: IntCounter,
    passed_on: IntCounterVec,
}

impl Http {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let http = Self {
            actions: counters(
                registry,
                "riskflow_action_requests_total",
                "Requests to write an action over HTTP, by outcome; all but `accepted` changed nothing.",
                &["outcome"],
            )?,
            answers: counters(
                registry,
                "riskflow_http_answers_total",
                "Answers over HTTP, by status.",
                &["status"],
            )?,
            ended: counters(
                registry,
                "riskflow_http_connections_ended_total",
                "Connections that the server ended, by reason: `handshake`, `idle`, `stalled` and `slow` took too long, `shed` made room.",
                &["reason"],
            )?,
            open: whole(registry, "riskflow_http_connections", "Connections open now.")?,
            encoded: counter(
                registry,
                "riskflow_http_pages_encoded_total",
                "Pages of lists that were encoded; all who ask for the same at a time get one.",
            )?,
            passed_on: counters(
                registry,
                "riskflow_http_passed_on_total",
                "Requests that a process of a cluster passed on to process 0, by outcome: `failed` were answered with 503.",
                &["outcome"],
            )?,
        };
        for outcome in Outcome::ALL {
            http.actions.with_label_values(&[outcome.name()]);
        }
        for ended in Ended::ALL {
            http.ended.with_label_values(&[ended.name()]);
        }
        for passed in PassedOn::ALL {
            http.passed_on.with_label_values(&[passed.name()]);
        }
        Ok(http)
    }

    /// Someone asked to write an action.
    pub fn action(&self, outcome: Outcome) {
        self.actions.with_label_values(&[outcome.name()]).inc();
    }

    /// A request was answered with this status.
    pub fn answered(&self, status: u16) {
        self.answers.with_label_values(&[&status.to_string()]).inc();
    }

    /// The server ended a connection.
    pub fn ended(&self, why: Ended) {
        self.ended.with_label_values(&[why.name()]).inc();
    }

    /// So many connections are open.
    pub fn connections(&self, open: usize) {
        self.open.set(open as i64);
    }

    /// A page of a list was encoded.
    pub fn encoded(&self) {
        self.encoded.inc();
    }

    /// A request was passed on to the process with the tables.
    pub fn passed_on(&self, outcome: PassedOn) {
        self.passed_on.with_label_values(&[outcome.name()]).inc();
    }
}
