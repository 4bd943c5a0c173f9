//! What is logged: a filter of `tracing`, each part of which must fit something.
//!
//! For `tracing` every word is the name of a place that logs, so a misspelt level is one, too: the log would be silent without a word.
//! Everything that logs is linked into this program, so the names are known.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// What logs: the crates that depend on `log` or `tracing`, riskflow's own, and what librdkafka says. A test keeps it so.
const NAMES: [&str; 24] = [
    "fail",
    "h2",
    "hyper_util",
    "iana_time_zone",
    "jiff",
    "jiff_core",
    "jni",
    "librdkafka",
    "object_store",
    "quinn",
    "quinn_proto",
    "quinn_udp",
    "rdkafka",
    "reqwest",
    "riskflow",
    "riskflow_config",
    "riskflow_connectors",
    "riskflow_model",
    "riskflow_operators",
    "rustls_platform_verifier",
    "tracing",
    "tracing_log",
    "tracing_serde",
    "tracing_subscriber",
];

/// The filter that a text is.
///
/// # Errors
///
/// Why it is none, or which part of it fits nothing.
pub fn read(text: &str) -> Result<EnvFilter, String> {
    // Blanks between parts would be part of their names.
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let parts: Vec<&str> = parts.collect();
    let filter = EnvFilter::try_new(parts.join(",")).map_err(|error| error.to_string())?;
    let strange: Vec<String> = parts.into_iter().filter_map(fits_nothing).collect();
    if strange.is_empty() {
        Ok(filter)
    } else {
        Err(strange.join("; "))
    }
}

/// What is wrong with a part of a filter, such as `info` or `riskflow=debug`, that fits nothing.
fn fits_nothing(part: &str) -> Option<String> {
    let name = part.split(['=', '[']).next().unwrap_or_default().trim();
    let is_level = name == part && name.parse::<LevelFilter>().is_ok();
    if name.is_empty() || is_level || is_name(name) {
        return None;
    }
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let known = NAMES.iter().copied().chain(levels.into_iter().filter(|_| name == part));
    let near = known
        .map(|known| (strsim::damerau_levenshtein(known, name), known))
        .min();
    let near = near.filter(|(distance, _)| *distance <= 2);
    let meant = near.map_or_else(String::new, |(_, near)| format!(" (did you mean `{near}`?)"));
    Some(format!(
        "`{name}` is no level (`off` to `trace`), and nothing that logs has this name{meant}"
    ))
}

/// Whether something that logs has this name, or one that begins so, or lies within.
fn is_name(name: &str) -> bool {
    let within = |known: &str| name.strip_prefix(known).is_some_and(|rest| rest.starts_with("::"));
    NAMES.iter().any(|known| known.starts_with(name) || within(known))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_part_of_a_filter_fits_something() {
        for good in [
            "info",
            "INFO",
            "riskflow=debug,warn",
            "off,riskflow::runtime::job=trace",
            "riskflow_connectors=3",
            "librdkafka=debug, info",
            "[epoch]=debug",
            "warn,riskflow[epoch]=debug",
        ] {
            assert_eq!(read(good).err(), None, "{good}");
        }
        for (bad, says) in [
            (
                "inof",
                "`inof` is no level (`off` to `trace`), and nothing that logs has this name (did you mean `info`?)",
            ),
            ("riskflw=debug", "did you mean `riskflow`?"),
            (
                "info,riskflow_connector::kafka=debug",
                "`riskflow_connector::kafka` is no level",
            ),
            ("riskflow=debgu", ""),
        ] {
            let said = read(bad).err();
            assert!(said.as_ref().is_some_and(|said| said.contains(says)), "{bad}: {said:?}");
        }
    }

    #[test]
    fn all_that_logs_is_known() {
        let lock = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .map(|folder| folder.join("Cargo.lock"))
            .find(|lock| lock.is_file());
        let lock = std::fs::read_to_string(lock.unwrap()).unwrap();
        let mut found = BTreeSet::from(
            ["librdkafka", "riskflow_config", "riskflow_model", "riskflow_operators"].map(str::to_owned),
        );
        for package in lock.split("[[package]]").skip(1) {
            let logs = ["\"log\",", "\"tracing\",", "\"tracing-core\","]
                .iter()
                .any(|name| package.contains(name));
            let name = package.split('"').nth(1).unwrap().replace('-', "_");
            // Those of tests go by the names of the crates that they are of.
            if logs && !name.ends_with("_failpoints") {
                found.insert(name);
            }
        }
        assert_eq!(found.into_iter().collect::<Vec<_>>(), NAMES);
    }
}
