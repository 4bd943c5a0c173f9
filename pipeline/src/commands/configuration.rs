//! Reads the configuration: file, then overrides, then checks.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use riskflow_config::{Settings, WrittenSettings};
use toml::{Table, Value};

use crate::cli::ConfigArguments;

/// The settings as written, with overrides, and as checked.
///
/// # Errors
///
/// When the file cannot be read; with `Problems` when what it says cannot be used.
pub fn load(arguments: &ConfigArguments) -> Result<(WrittenSettings, Settings)> {
    let default = Path::new("riskflow.toml");
    let path = arguments
        .config
        .as_deref()
        .or_else(|| default.exists().then_some(default));
    let text = match path {
        Some(path) => std::fs::read_to_string(path).with_context(|| format!("could not read `{}`", path.display()))?,
        None => String::new(),
    };
    let text = overridden(&text, &arguments.overrides)?;
    let written = WrittenSettings::from_toml(&text)?;
    let settings = written.check()?;
    Ok((written, settings))
}

fn overridden(text: &str, overrides: &[String]) -> Result<String> {
    if overrides.is_empty() {
        return Ok(text.to_owned());
    }
    // What is no TOML is complained about where line and column are still those of the file.
    let Ok(mut table) = text.parse::<Table>() else {
        return Ok(text.to_owned());
    };
    for assignment in overrides {
        let Some((field, value)) = assignment.split_once('=') else {
            bail!("`--set {assignment}` has no `=`; give `FIELD=VALUE`");
        };
        let value = parse(value);
        let mut parts: Vec<&str> = field.split('.').collect();
        let last = parts.pop().unwrap_or_default();
        // `kafka.properties` has fields with dots in them, with or without the quotes that TOML wants.
        let (parts, last) = match parts.as_slice() {
            ["kafka", "properties", ..] => (
                vec!["kafka", "properties"],
                field.trim_start_matches("kafka.properties.").trim_matches('"'),
            ),
            _ => (parts, last),
        };
        let mut place = &mut table;
        for part in parts {
            let next = place.entry(part).or_insert_with(|| Value::Table(Table::new()));
            let Value::Table(next) = next else {
                bail!("`--set {assignment}`: `{part}` is no section")
            };
            place = next;
        }
        place.insert(last.to_owned(), value);
    }
    Ok(table.to_string())
}

/// A TOML value where it is one, else a string.
fn parse(value: &str) -> Value {
    let table = format!("value = {value}").parse::<Table>();
    table
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_stand_over_the_file() {
        let overrides = [
            "epoch.tick=10ms",
            "cluster.workers=2",
            "kafka.properties.security.protocol=ssl",
            "kafka.properties.\"ssl.ca.location\"=ca.pem",
        ]
        .map(String::from);
        let text = overridden("[epoch]\ntick = \"1s\"\n", &overrides).unwrap();
        let written = WrittenSettings::from_toml(&text).unwrap();
        assert_eq!((written.epoch.tick.as_str(), written.cluster.workers), ("10ms", 2));
        let properties = &written.kafka.properties;
        assert_eq!(properties["security.protocol"], "ssl");
        assert_eq!(properties["ssl.ca.location"], "ca.pem");
    }
}
