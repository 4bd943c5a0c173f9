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
    // What is wrong with the file is told by its lines, before anything is put over it.
    let written = WrittenSettings::from_toml(&text)?;
    let written = if arguments.overrides.is_empty() {
        written
    } else {
        let table = text.parse::<Table>().context("the configuration is no TOML")?;
        WrittenSettings::from_table(overridden(table, &arguments.overrides)?)?
    };
    let settings = written.check()?;
    Ok((written, settings))
}

/// Messages name the field only: the value may be a password.
fn overridden(mut table: Table, overrides: &[String]) -> Result<Table> {
    for assignment in overrides {
        let name = |c: char| c.is_ascii_alphanumeric() || "._-\"".contains(c);
        let named = assignment.split(|c| !name(c)).next().unwrap_or_default();
        let Some((field, value)) = assignment.split_once('=') else {
            bail!("`--set {named}` has no `=`; give `FIELD=VALUE`");
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
                bail!("`--set {named}`: `{part}` is no section")
            };
            place = next;
        }
        place.insert(last.to_owned(), value);
    }
    Ok(table)
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
        let table = overridden("[epoch]\ntick = \"1s\"\n".parse().unwrap(), &overrides).unwrap();
        let written = WrittenSettings::from_table(table).unwrap();
        assert_eq!((written.epoch.tick.as_str(), written.cluster.workers), ("10ms", 2));
        let properties = &written.kafka.properties;
        assert_eq!(properties["security.protocol"], "ssl".into());
        assert_eq!(properties["ssl.ca.location"], "ca.pem".into());
    }

    #[test]
    fn what_is_wrong_with_an_override_is_told_without_its_value() {
        for assignment in [
            "kafka.properties.sasl.password:s3cr3t",
            "kafka.brokers.sasl.password=s3cr3t",
            "kafka.properties.sasl.password=[\"s3cr3t\"]",
            "http.actions.tokens=s3cr3t",
        ] {
            let table = "[kafka]\nbrokers = \"a:1\"".parse().unwrap();
            let table = overridden(table, &[assignment.to_owned()]);
            let error = match table {
                Ok(table) => WrittenSettings::from_table(table).unwrap_err().to_string(),
                Err(error) => format!("{error:#}"),
            };
            let field = assignment.split(['=', ':', '[']).next().unwrap();
            let field = field.strip_prefix("kafka.properties.").unwrap_or(field);
            assert!(error.contains(field) && !error.contains("s3cr3t"), "{error}");
        }
    }
}
