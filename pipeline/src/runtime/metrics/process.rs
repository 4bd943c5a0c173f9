//! What runs: the program's version, what it is built of, and what the process takes of its machine, by the names that Prometheus'
//! clients have for it.

use prometheus::core::{Collector, Desc};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntGaugeVec, Opts, Registry};

use super::add;
use crate::runtime::clock::wall_clock;
use crate::runtime::version::{COMMIT, DIFFERENTIAL, TIMELY, VERSION};

/// When the process began; told from the machine's boot.
const START: &str = "process_start_time_seconds";

/// Registers all of it, once in a process, when it starts.
pub(crate) fn register(registry: &Registry) -> Result<(), prometheus::Error> {
    let info = Opts::new(
        "riskflow_build_info",
        "1; the labels say which version runs, of which commit, with which dataflow.",
    );
    let names = ["version", "commit", "timely", "differential"];
    let info = add(registry, IntGaugeVec::new(info, &names)?)?;
    info.with_label_values(&[VERSION, COMMIT, TIMELY, DIFFERENTIAL]).set(1);
    let start = Gauge::new(
        "riskflow_start_timestamp_seconds",
        "When the process started, as Unix time by its own wall clock.",
    )?;
    add(registry, start)?.set(wall_clock() as f64 / 1e3);
    registry.register(Box::new(Process(ProcessCollector::for_self())))
}

/// Resident memory from `/proc`; 0 where there is none.
pub(super) fn resident_bytes() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<i64>().ok())
        .map_or(0, |kib| kib * 1024)
}

/// The process, without what is not known of it.
struct Process(ProcessCollector);

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.0.collect();
        families.retain(is_known);
        families
    }
}

/// Where a unit hides all of `/proc` but processes (`ProcSubset=pid`), nobody knows when the machine was booted: 0 would be wrong.
fn is_known(family: &MetricFamily) -> bool {
    let is_zero = || {
        let metrics = family.get_metric();
        metrics.iter().all(|metric| metric.get_gauge().get_value() == 0.0)
    };
    family.name() != START || !is_zero()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prometheus::proto::{Gauge, Metric};

    use super::*;
    use crate::runtime::version::LONG;

    #[test]
    fn what_the_process_takes_is_told_by_the_usual_names() {
        let registry = Registry::new();
        register(&registry).unwrap();
        let families = registry.gather();
        let of = |name: &str| families.iter().find(|family| family.name() == name);
        for name in [
            "riskflow_build_info",
            "riskflow_start_timestamp_seconds",
            "process_cpu_seconds_total",
            "process_open_fds",
            "process_max_fds",
            "process_resident_memory_bytes",
            "process_virtual_memory_bytes",
            "process_threads",
        ] {
            assert!(of(name).is_some(), "{name}");
        }
        let resident = of("process_resident_memory_bytes").unwrap();
        assert!(resident.get_metric()[0].get_gauge().get_value() > 0.0);
        // Told whatever a unit hides of `/proc`.
        let start = of("riskflow_start_timestamp_seconds").unwrap().get_metric()[0]
            .get_gauge()
            .get_value();
        let now = wall_clock() as f64 / 1e3;
        assert!((now - 600.0..=now).contains(&start), "{start}, and it is {now}");
        let info = of("riskflow_build_info").unwrap().get_metric()[0].get_label();
        let info: BTreeMap<&str, &str> = info.iter().map(|label| (label.name(), label.value())).collect();
        assert_eq!(
            info.keys().copied().collect::<Vec<_>>(),
            ["commit", "differential", "timely", "version"]
        );
        assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
        // The same that `riskflow --version` says, line by line.
        let lines = ["version", "commit", "timely", "differential"].map(|name| info[name]);
        let said = LONG.lines().map(|line| line.rsplit(' ').next().unwrap_or_default());
        assert_eq!(said.collect::<Vec<_>>(), lines);
    }

    #[test]
    fn a_start_that_is_not_known_is_not_told() {
        let family = |name: &str, value| {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            let mut metric = Metric::default();
            metric.set_gauge(gauge);
            let mut family = MetricFamily::default();
            family.set_name(name.to_owned());
            family.set_metric(vec![metric]);
            family
        };
        assert!(!is_known(&family(START, 0.0)));
        assert!(is_known(&family(START, 1.7e9)));
        assert!(is_known(&family("process_threads", 0.0)));
    }
}
