//! Which fields differ between two configurations.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use crate::Secret;
use crate::settings::{Input, Output, Settings};
use crate::written::WrittenSettings;

/// The fields that differ, by name, as written and in what is read for them: a secret in a file counts by its text, whatever the name of
/// the file.
#[must_use]
pub fn changed(
    (before, was): (&WrittenSettings, &Settings),
    (after, is): (&WrittenSettings, &Settings),
) -> BTreeSet<String> {
    let mut fields = differing(&leaves(before), &leaves(after));
    // Secrets do not show above.
    let property = |name: &String| below("kafka.properties", name);
    if let (Some(was), Some(is)) = (properties(was), properties(is)) {
        fields.extend(differing(was, is).iter().map(property));
    }
    if was.cluster.secret != is.cluster.secret {
        fields.insert("cluster.secret".to_owned());
    }
    let headers = |settings: &Settings| settings.tracing.as_ref().map(|tracing| tracing.headers.clone());
    if let (Some(was), Some(is)) = (headers(was), headers(is)) {
        let header = |name: &String| below("tracing.otlp.headers", name);
        fields.extend(differing(&was, &is).iter().map(header));
    }
    let tokens = |settings: &Settings| {
        let actions = settings.http.as_ref()?.actions.as_ref()?;
        Some(actions.tokens.clone())
    };
    if let (Some(was), Some(is)) = (tokens(was), tokens(is))
        && was != is
    {
        fields.insert("http.actions.tokens".to_owned());
    }
    let readers = |settings: &Settings| {
        let reading = settings.http.as_ref()?.reading.as_ref()?;
        Some(reading.tokens.clone())
    };
    if let (Some(was), Some(is)) = (readers(was), readers(is))
        && was != is
    {
        fields.insert("http.reading.tokens".to_owned());
    }
    fields.extend(secrets_of_the_bridge(was, is));
    fields
}

/// The names whose values are not the same, or which only one of them has.
fn differing<V: PartialEq>(before: &BTreeMap<String, V>, after: &BTreeMap<String, V>) -> BTreeSet<String> {
    let names = before.keys().chain(after.keys());
    let names = names.filter(|name| before.get(*name) != after.get(*name));
    names.cloned().collect()
}

/// The fields of the bridge whose values are hidden, and differ.
fn secrets_of_the_bridge(was: &Settings, is: &Settings) -> impl Iterator<Item = String> {
    let (was, is) = (&was.bridge, &is.bridge);
    let (mut url, mut keys, mut webhook) = (false, false, false);
    if let (Some(was), Some(is)) = (&was.webhook, &is.webhook) {
        url = was.url != is.url;
        keys = was.keys != is.keys;
        webhook = was.authorization != is.authorization;
    }
    let alertmanagers = (was.alertmanager.as_ref()).zip(is.alertmanager.as_ref());
    let alertmanager = alertmanagers.is_some_and(|(was, is)| was.authorization != is.authorization);
    let fields = [
        ("bridge.webhook.url", url),
        ("bridge.webhook.secrets", keys),
        ("bridge.webhook.authorization", webhook),
        ("bridge.alertmanager.authorization", alertmanager),
    ];
    let differ = fields.into_iter().filter(|(_, differs)| *differs);
    differ.map(|(field, _)| field.to_owned())
}

/// What librdkafka is given, if there is Kafka.
fn properties(settings: &Settings) -> Option<&BTreeMap<String, Secret>> {
    match (&settings.input, &settings.output) {
        (Input::Kafka(kafka), _) | (_, Output::Kafka(kafka)) => Some(&kafka.properties),
        (Input::Log(_) | Input::Files(_), Output::Log(_) | Output::Files(_)) => None,
    }
}

/// The whole name of a field in a table; a name with dots is in quotes, as in TOML.
fn below(table: &str, name: &str) -> String {
    match (table, name.contains('.')) {
        ("", _) => name.to_owned(),
        (_, true) => format!("{table}.\"{name}\""),
        (_, false) => format!("{table}.{name}"),
    }
}

/// Every field that has a value, by its whole name. A list is one.
fn leaves(written: &WrittenSettings) -> BTreeMap<String, Value> {
    fn walk(path: &str, table: Table, found: &mut BTreeMap<String, Value>) {
        for (name, value) in table {
            let path = below(path, &name);
            match value {
                Value::Table(table) => walk(&path, table, found),
                value => drop(found.insert(path, value)),
            }
        }
    }
    let mut found = BTreeMap::new();
    let table = Table::try_from(written).expect("what was read as TOML can be written as TOML");
    walk("", table, &mut found);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(before: &str, after: &str) -> Vec<String> {
        let load = |text: &str| WrittenSettings::load(text, "riskflow.toml", &[]).unwrap();
        let (before, after) = (load(before), load(after));
        changed((&before.0, &before.1), (&after.0, &after.1))
            .into_iter()
            .collect()
    }

    #[test]
    fn fields_are_named_whole_and_what_is_written_otherwise_is_no_change() {
        let before = "epoch.tick = \"20ms\"\n[http]\nhosts = [\"a\"]";
        assert!(between("", "").is_empty());
        assert!(between("", "version = 1\n[epoch]\ntick = \"20ms\"").is_empty());
        let after = "epoch.tick = \"10ms\"\n[http]\nhosts = [\"a\", \"b\"]\n[log]\nfilter = \"debug\"";
        assert_eq!(between(before, after), ["epoch.tick", "http.hosts", "log.filter"]);
    }

    #[test]
    fn a_secret_that_changed_is_named_without_it() {
        let kafka = |properties: &str| {
            format!(
                "input.kind = \"kafka\"\noutput.kind = \"kafka\"\nkafka.brokers = \"a:1\"\n[kafka.properties]\n{properties}"
            )
        };
        let (one, other) = (
            kafka("\"sasl.password\" = \"one\""),
            kafka("\"sasl.password\" = \"other\""),
        );
        let field = "kafka.properties.\"sasl.password\"";
        assert_eq!(between(&one, &other), [field]);
        assert_eq!(between(&one, &kafka("")), [field]);

        let secret = |text: &str| format!("cluster.secret = \"{}\"", text.repeat(32));
        assert_eq!(between(&secret("a"), &secret("b")), ["cluster.secret"]);
        assert_eq!(between("", &secret("b")), ["cluster.secret"]);

        let file = std::env::temp_dir().join(format!("riskflow-token-{}", std::process::id()));
        let text = format!(
            "[http.actions]\nenabled = true\n[[http.actions.tokens]]\nname = \"a\"\nsha256 = {{ file = {file:?} }}\nrole = \"duty\"\nregion = \"33\""
        );
        let load = |hash: &str| {
            std::fs::write(&file, hash.repeat(64)).unwrap();
            WrittenSettings::load(&text, "riskflow.toml", &[]).unwrap()
        };
        let (before, after) = (load("a"), load("b"));
        std::fs::remove_file(&file).unwrap();
        let fields = changed((&before.0, &before.1), (&after.0, &after.1));
        assert_eq!(Vec::from_iter(fields), ["http.actions.tokens"]);
        assert!(changed((&after.0, &after.1), (&after.0, &after.1)).is_empty());
    }
}
