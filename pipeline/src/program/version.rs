//! What `riskflow --version` says.

use std::sync::LazyLock;

/// The commit of the sources; `unknown` where they were no repository's.
pub const COMMIT: &str = or_unknown(option_env!("RISKFLOW_COMMIT"));

/// The version, the commit, and the versions of the dataflow, a line each.
pub static LONG: LazyLock<String> = LazyLock::new(|| {
    let timely = or_unknown(option_env!("RISKFLOW_TIMELY"));
    let differential = or_unknown(option_env!("RISKFLOW_DIFFERENTIAL"));
    format!(
        "{}\ncommit {COMMIT}\ntimely {timely}\ndifferential-dataflow {differential}",
        env!("CARGO_PKG_VERSION")
    )
});

/// A build may not know: that of the tests' program has no build script.
const fn or_unknown(told: Option<&'static str>) -> &'static str {
    match told {
        Some(told) => told,
        None => "unknown",
    }
}
