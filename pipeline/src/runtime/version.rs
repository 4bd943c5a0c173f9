//! What runs: the version of riskflow, the commit of its sources, and the versions of the dataflow. `riskflow --version`, the log and
//! `riskflow_build_info` tell it.

use std::sync::LazyLock;

/// The version of riskflow.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit of the sources; `unknown` where they were no repository's.
pub const COMMIT: &str = or_unknown(option_env!("RISKFLOW_COMMIT"));

/// The version of timely dataflow.
pub const TIMELY: &str = or_unknown(option_env!("RISKFLOW_TIMELY"));

/// The version of differential dataflow.
pub const DIFFERENTIAL: &str = or_unknown(option_env!("RISKFLOW_DIFFERENTIAL"));

/// All of them, a line each.
pub static LONG: LazyLock<String> =
    LazyLock::new(|| format!("{VERSION}\ncommit {COMMIT}\ntimely {TIMELY}\ndifferential-dataflow {DIFFERENTIAL}"));

/// A build may not know: that of the tests' program has no build script.
const fn or_unknown(told: Option<&'static str>) -> &'static str {
    match told {
        Some(told) => told,
        None => "unknown",
    }
}
