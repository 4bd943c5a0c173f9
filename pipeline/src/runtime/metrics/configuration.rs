//! When the configuration was read, and whether all of it is in force.

use prometheus::{Gauge, IntCounterVec, IntGauge, Registry};

use super::register::{counters, gauge, whole};
use crate::runtime::outcome::Reload;

/// Metrics of the configuration.
pub struct Configuration {
    reloads: IntCounterVec,
    refused: IntGauge,
    restart: IntGauge,
    since: Gauge,
}

impl Configuration {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let configuration = Self {
            reloads: counters(
                registry,
                "riskflow_config_reloads_total",
                "Times that the configuration was read again (SIGHUP; of a job `reload.watch`, too), by result; `refused` changed nothing.",
                &["result"],
            )?,
            refused: whole(
                registry,
                "riskflow_config_refused",
                "1 while the configuration that was read last cannot be used, and one from before is in force.",
            )?,
            restart: whole(
                registry,
                "riskflow_config_restart_required",
                "1 while something in the configuration is in force after a restart only; the log names it.",
            )?,
            since: gauge(
                registry,
                "riskflow_config_applied_timestamp_seconds",
                "When a configuration was last read that could be used, as Unix time.",
            )?,
        };
        for reload in Reload::ALL {
            configuration.reloads.with_label_values(&[reload.name()]);
        }
        Ok(configuration)
    }

    /// That with which the process starts was read.
    pub fn read(&self, now: i64) {
        self.since.set(now as f64 / 1e3);
    }

    /// It was read again and could be used; `restart`: something of it waits for a restart.
    pub fn applied(&self, now: i64, restart: bool) {
        self.reloads.with_label_values(&[Reload::Applied.name()]).inc();
        self.refused.set(0);
        self.restart.set(i64::from(restart));
        self.since.set(now as f64 / 1e3);
    }

    /// It was read again and cannot be used.
    pub fn refused(&self) {
        self.reloads.with_label_values(&[Reload::Refused.name()]).inc();
        self.refused.set(1);
    }
}
