//! Registers metrics, and reads counters again.

use prometheus::core::Collector;
use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// Registers one.
pub(crate) fn add<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

pub(super) fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    add(registry, IntCounter::new(name, help)?)
}

pub(super) fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    add(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

/// A number that goes up and down, with a fraction.
pub(super) fn gauge(registry: &Registry, name: &str, help: &str) -> Result<Gauge, prometheus::Error> {
    add(registry, Gauge::new(name, help)?)
}

/// A whole number that goes up and down.
pub(super) fn whole(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    add(registry, IntGauge::new(name, help)?)
}

pub(super) fn wholes(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntGaugeVec, prometheus::Error> {
    add(registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
}

/// How often each of these was counted, by the one label that there is, without what is 0.
pub(super) fn counts(counters: &IntCounterVec, names: impl Iterator<Item = &'static str>) -> Vec<(&'static str, u64)> {
    let counts = names.map(|name| (name, counters.with_label_values(&[name]).get()));
    counts.filter(|(_, count)| *count > 0).collect()
}
