//! `[log]` of `riskflow.toml`: what is logged.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::problems::Check;
use crate::settings::LogSettings;

/// What is logged. Logs go to standard error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenLog {
    /// What a running job logs, as a `tracing` filter such as `info` or `riskflow=debug,warn`. `--log` and `RISKFLOW_LOG` stand over
    /// it.
    pub filter: String,
}

impl Default for WrittenLog {
    fn default() -> Self {
        Self { filter: "info".into() }
    }
}

impl Check {
    /// Whether it is a filter is known to whoever logs.
    pub(crate) fn log(&mut self, written: &WrittenLog) -> LogSettings {
        if written.filter.trim().is_empty() {
            let give = "a filter such as `info`; `off` logs nothing";
            self.problems.add("log.filter", "empty", give);
        }
        LogSettings {
            filter: written.filter.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::WrittenSettings;

    #[test]
    fn a_filter_is_not_empty() {
        let filter = |text: &str| {
            let settings = WrittenSettings::from_toml(text).unwrap().check();
            settings.map(|settings| settings.log.filter)
        };
        assert_eq!(filter("").unwrap(), "info");
        assert_eq!(filter("log.filter = \"riskflow=debug\"").unwrap(), "riskflow=debug");
        let said = filter("log.filter = \" \"").unwrap_err().to_string();
        assert!(said.contains("`log.filter` is empty; give a filter"), "{said}");
    }
}
