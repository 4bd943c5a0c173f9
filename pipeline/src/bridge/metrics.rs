//! Every metric of the bridge. The reference in `docs/` and alerts in `deploy/` are checked against this list, as against that of the job.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use prometheus::{Encoder as _, GaugeVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

use super::Receiver;
use crate::runtime::clock::wall_clock;
use crate::runtime::metrics::{add, of_process};
use crate::runtime::outcome::Reload;

/// What became of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The receiver has it.
    Delivered,
    /// The receiver refused it for good.
    Refused,
    /// It was delivered before, and stands on the topic twice.
    Repeated,
    /// It is of an exercise.
    Exercise,
    /// It is no notice.
    Unreadable,
    /// Retention took it away unread.
    Lost,
}

impl Fate {
    const ALL: [Self; 6] = [
        Self::Delivered,
        Self::Refused,
        Self::Repeated,
        Self::Exercise,
        Self::Unreadable,
        Self::Lost,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Refused => "refused",
            Self::Repeated => "repeated",
            Self::Exercise => "exercise",
            Self::Unreadable => "unreadable",
            Self::Lost => "lost",
        }
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It was taken.
    Accepted,
    /// It is tried again.
    Retried,
    /// It was refused for good.
    Refused,
}

impl Sent {
    const ALL: [Self; 3] = [Self::Accepted, Self::Retried, Self::Refused];

    const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Retried => "retried",
            Self::Refused => "refused",
        }
    }
}

/// How a lane stands.
#[derive(Debug, Default)]
struct Standing {
    /// Whether there is one.
    on: AtomicBool,
    /// Whether it reads.
    reads: AtomicBool,
    /// Since when it does not get on, and why.
    trouble: Mutex<Option<(Instant, String)>>,
}

/// The metrics of a bridge.
pub struct Metrics {
    registry: Registry,
    notices: IntCounterVec,
    requests: IntCounterVec,
    lag: IntGaugeVec,
    delivered: GaugeVec,
    stuck: GaugeVec,
    alerts: IntGauge,
    reloads: IntCounterVec,
    refused: IntGauge,
    lanes: [Standing; Receiver::ALL.len()],
}

impl Metrics {
    /// Registers all of them.
    ///
    /// # Errors
    ///
    /// Never with the names that stand here; a test sees to it.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let r = &registry;
        let counters =
            |name: &str, help: &str, labels: &[&str]| add(r, IntCounterVec::new(Opts::new(name, help), labels)?);
        let metrics = Self {
            notices: counters(
                "riskflow_bridge_notices_total",
                "Records of out.notice that the bridge is done with, by receiver and what became of them.",
                &["receiver", "outcome"],
            )?,
            requests: counters(
                "riskflow_bridge_requests_total",
                "Requests of the bridge, by receiver and outcome; those that are tried again count each time.",
                &["receiver", "outcome"],
            )?,
            lag: add(
                r,
                IntGaugeVec::new(
                    Opts::new(
                        "riskflow_bridge_lag_records",
                        "Records there and not taken by the bridge, by receiver; the batch under way is not among them.",
                    ),
                    &["receiver"],
                )?,
            )?,
            delivered: add(
                r,
                GaugeVec::new(
                    Opts::new(
                        "riskflow_bridge_delivered_timestamp_seconds",
                        "When a receiver last took a request, as Unix time; 0: not since the start.",
                    ),
                    &["receiver"],
                )?,
            )?,
            stuck: add(
                r,
                GaugeVec::new(
                    Opts::new(
                        "riskflow_bridge_stuck_seconds",
                        "For how long the bridge has not got on with a receiver; 0 while all is well.",
                    ),
                    &["receiver"],
                )?,
            )?,
            alerts: add(
                r,
                IntGauge::new("riskflow_bridge_alerts", "Alerts that stand in Alertmanager.")?,
            )?,
            reloads: counters(
                "riskflow_config_reloads_total",
                "Times that the configuration was read again (SIGHUP; of a job `reload.watch`, too), by result; `refused` changed nothing.",
                &["result"],
            )?,
            refused: add(
                r,
                IntGauge::new(
                    "riskflow_config_refused",
                    "1 while the configuration that was read last cannot be used, and one from before is in force.",
                )?,
            )?,
            lanes: Default::default(),
            registry,
        };
        of_process(&metrics.registry)?;
        for reload in Reload::ALL {
            metrics.reloads.with_label_values(&[reload.name()]);
        }
        Ok(metrics)
    }

    fn lane(&self, receiver: Receiver) -> &Standing {
        &self.lanes[receiver as usize]
    }

    /// There is such a receiver. All of its label values are visible from now on: a rate over a counter that appears late misses its
    /// first step.
    pub fn begin(&self, receiver: Receiver) {
        self.lane(receiver).on.store(true, Ordering::Release);
        for fate in Fate::ALL {
            self.notices.with_label_values(&[receiver.name(), fate.name()]);
        }
        for sent in Sent::ALL {
            self.requests.with_label_values(&[receiver.name(), sent.name()]);
        }
        self.lag.with_label_values(&[receiver.name()]);
        self.delivered.with_label_values(&[receiver.name()]);
        self.stuck.with_label_values(&[receiver.name()]);
    }

    /// Notices are done with.
    pub(super) fn notices(&self, receiver: Receiver, fate: Fate, count: u64) {
        let counter = self.notices.with_label_values(&[receiver.name(), fate.name()]);
        counter.inc_by(count);
    }

    /// A request was answered, or was not.
    pub(super) fn request(&self, receiver: Receiver, sent: Sent) {
        self.requests.with_label_values(&[receiver.name(), sent.name()]).inc();
        if sent == Sent::Accepted {
            let delivered = self.delivered.with_label_values(&[receiver.name()]);
            delivered.set(wall_clock() as f64 / 1e3);
        }
    }

    /// So many records wait.
    pub(super) fn lag(&self, receiver: Receiver, records: u64) {
        let lag = self.lag.with_label_values(&[receiver.name()]);
        lag.set(i64::try_from(records).unwrap_or(i64::MAX));
    }

    /// So many alerts stand.
    pub(super) fn alerts(&self, standing: usize) {
        self.alerts.set(standing as i64);
    }

    /// A lane reads.
    pub(super) fn reads(&self, receiver: Receiver) {
        self.lane(receiver).reads.store(true, Ordering::Release);
    }

    /// A lane gets on.
    pub(super) fn well(&self, receiver: Receiver) {
        *self.trouble(receiver) = None;
    }

    /// A lane does not get on. Whether it did until now.
    pub(super) fn troubled(&self, receiver: Receiver, why: &str) -> bool {
        let mut trouble = self.trouble(receiver);
        let since = trouble.as_ref().map(|(since, _)| *since);
        *trouble = Some((since.unwrap_or_else(Instant::now), why.to_owned()));
        since.is_none()
    }

    fn trouble(&self, receiver: Receiver) -> std::sync::MutexGuard<'_, Option<(Instant, String)>> {
        let trouble = &self.lane(receiver).trouble;
        trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The configuration was read again, and can be used.
    pub fn config_applied(&self) {
        self.reloads.with_label_values(&[Reload::Applied.name()]).inc();
        self.refused.set(0);
    }

    /// The configuration was read again, and cannot be used.
    pub fn config_refused(&self) {
        self.reloads.with_label_values(&[Reload::Refused.name()]).inc();
        self.refused.set(1);
    }

    /// Those that there are, of whom a lane reads.
    fn on(&self) -> impl Iterator<Item = Receiver> {
        let is_on = move |receiver: &Receiver| self.lane(*receiver).on.load(Ordering::Acquire);
        Receiver::ALL.into_iter().filter(is_on)
    }

    /// Whether all lanes read.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.on()
            .all(|receiver| self.lane(receiver).reads.load(Ordering::Acquire))
    }

    /// What does not get on, in words.
    #[must_use]
    pub fn troubles(&self) -> Option<String> {
        let say = |receiver: Receiver| {
            let trouble = self.trouble(receiver);
            let (since, why) = trouble.as_ref()?;
            Some(format!("{receiver}, for {} s: {why}", since.elapsed().as_secs()))
        };
        let troubles: Vec<String> = self.on().filter_map(say).collect();
        (!troubles.is_empty()).then(|| troubles.join("; "))
    }

    /// Everything in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        for receiver in self.on() {
            let stuck = self.trouble(receiver).as_ref().map(|(since, _)| since.elapsed());
            let gauge = self.stuck.with_label_values(&[receiver.name()]);
            gauge.set(stuck.unwrap_or_default().as_secs_f64());
        }
        let mut text = Vec::new();
        // Writing into memory does not fail.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8_lossy(&text).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_is_told_from_the_start_and_trouble_by_its_age() {
        let metrics = Metrics::new().unwrap();
        metrics.begin(Receiver::Webhook);
        let text = metrics.render();
        assert!(
            text.contains("riskflow_bridge_stuck_seconds{receiver=\"webhook\"} 0\n"),
            "{text}"
        );
        assert!(
            text.contains("riskflow_bridge_notices_total{outcome=\"refused\",receiver=\"webhook\"} 0\n"),
            "{text}"
        );
        assert!(!text.contains("alertmanager"), "{text}");
        assert!(!metrics.is_live() && metrics.troubles().is_none());
        metrics.reads(Receiver::Webhook);
        assert!(metrics.troubled(Receiver::Webhook, "500") && !metrics.troubled(Receiver::Webhook, "503"));
        assert!(metrics.is_live());
        assert_eq!(metrics.troubles().as_deref(), Some("webhook, for 0 s: 503"));
        assert!(
            !metrics
                .render()
                .contains("riskflow_bridge_stuck_seconds{receiver=\"webhook\"} 0\n")
        );
        metrics.well(Receiver::Webhook);
        assert!(metrics.troubles().is_none());
    }
}
