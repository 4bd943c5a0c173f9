//! From the text of a configuration to settings as written: every problem is noted, none ends the reading.

use riskflow_model::Problems;
use serde_path_to_error::Segment;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use crate::WrittenSettings;
use crate::origin::{Origin, Origins};

/// The TOML of a text; nothing where it is none.
pub(crate) fn table(text: &str, file: &str) -> (Table, Problems) {
    let mut problems = Problems::default();
    let table = text.parse::<Table>().unwrap_or_else(|error: toml::de::Error| {
        let span = error.span().unwrap_or_default();
        let at = place(text, span.start);
        match (error.message(), text.get(span)) {
            // What stands there is a name, never a value.
            ("duplicate key", Some(key)) if !key.is_empty() => {
                let found = format!("{at}duplicate key `{key}`, which stands above already");
                problems.add(
                    file,
                    found,
                    "each section and each field once: change it where it stands first",
                );
            }
            (message, _) => note(&mut problems, file, &at, message),
        }
        Table::new()
    });
    (table, problems)
}

/// The settings, of as much as can be read, and what is wrong with the rest; by line where there is a text.
pub(crate) fn settings(mut table: Table, text: Option<&str>) -> (WrittenSettings, Problems) {
    settings_of(&mut table, text)
}

/// The same; what cannot be read is taken out of the table.
pub(crate) fn settings_of(table: &mut Table, text: Option<&str>) -> (WrittenSettings, Problems) {
    let mut problems = Problems::default();
    let spans = text.and_then(|text| DeTable::parse(text).ok());
    loop {
        let error = match serde_path_to_error::deserialize::<_, WrittenSettings>(table.clone()) {
            Ok(written) => return (written, problems),
            Err(error) => error,
        };
        let segments: Vec<&Segment> = error.path().iter().collect();
        let message = error.inner().message();
        let of_key = message.starts_with("unknown field");
        let found = spans.as_ref().zip(text);
        let found = found.and_then(|(spans, text)| Some(place(text, position(spans, &segments, of_key)?)));
        note(
            &mut problems,
            &error.path().to_string(),
            found.as_deref().unwrap_or("wrong: "),
            message,
        );
        if !take_out(table, &segments) {
            // What is wrong belongs to no field that could be left out: nothing more can be told.
            return (WrittenSettings::default(), problems);
        }
    }
}

/// Puts fields over those of the file. Messages name the field only: the value may be a password.
pub(crate) fn put_over(table: &mut Table, overrides: &[String], origins: &mut Origins, problems: &mut Problems) {
    for assignment in overrides {
        let name = |c: char| c.is_ascii_alphanumeric() || "._-\"".contains(c);
        let named = format!("--set {}", assignment.split(|c| !name(c)).next().unwrap_or_default());
        let Some((field, value)) = assignment.split_once('=') else {
            problems.add(named, "without `=`", "`FIELD=VALUE`");
            continue;
        };
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
        match section(table, &parts) {
            Err(part) => problems.add(
                named,
                format!("not usable: `{part}` is no section"),
                "a field that there is",
            ),
            Ok(place) => {
                let value = parse(value);
                origins.set(&[&parts[..], &[last]].concat(), &value, &Origin::Option);
                place.insert(last.to_owned(), value);
            }
        }
    }
}

/// The section at a path, made where it is not there; or the part that is something else.
pub(crate) fn section<'a, 'b>(table: &'a mut Table, path: &[&'b str]) -> Result<&'a mut Table, &'b str> {
    let Some((first, rest)) = path.split_first() else {
        return Ok(table);
    };
    let next = table.entry(*first).or_insert_with(|| Value::Table(Table::new()));
    match next {
        Value::Table(next) => section(next, rest),
        _ => Err(first),
    }
}

/// A TOML value where it is one, else a string.
fn parse(value: &str) -> Value {
    let table = format!("value = {value}").parse::<Table>();
    table
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(value.to_owned()))
}

fn place(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or_default();
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
    let line = before.matches('\n').count() + 1;
    format!("wrong at line {line}, column {}: ", column + 1)
}

/// Where in the text something stands: the key itself, or its value.
fn position(root: &Spanned<DeTable<'_>>, segments: &[&Segment], of_key: bool) -> Option<usize> {
    let mut table = Some(root.get_ref());
    let mut value: Option<&Spanned<DeValue<'_>>> = None;
    for (index, segment) in segments.iter().enumerate() {
        let next = match segment {
            Segment::Map { key } => {
                let (name, next) = table?
                    .iter()
                    .find(|(name, _)| name.get_ref().as_ref() == key.as_str())?;
                if of_key && index + 1 == segments.len() {
                    return Some(name.span().start);
                }
                next
            }
            Segment::Seq { index } => value?.get_ref().as_array()?.get(*index)?,
            Segment::Enum { .. } | Segment::Unknown => break,
        };
        table = next.get_ref().as_table();
        value = Some(next);
    }
    value.map(|value| value.span().start)
}

/// Takes what stands at a path out of the table; of a list all of it, so that no position moves.
fn take_out(table: &mut Table, segments: &[&Segment]) -> bool {
    let known = |segment: &&&Segment| matches!(segment, Segment::Map { .. } | Segment::Seq { .. });
    let mut path: Vec<&Segment> = segments.iter().take_while(known).copied().collect();
    while matches!(path.last(), Some(Segment::Seq { .. })) {
        path.pop();
    }
    let Some(Segment::Map { key: last }) = path.pop() else {
        return false;
    };
    let mut place = Some(table);
    let mut list: Option<&mut Vec<Value>> = None;
    for segment in path {
        let next = match segment {
            Segment::Map { key } => place.take().and_then(|table| table.get_mut(key)),
            Segment::Seq { index } => list.take().and_then(|list| list.get_mut(*index)),
            Segment::Enum { .. } | Segment::Unknown => None,
        };
        match next {
            Some(Value::Table(table)) => place = Some(table),
            Some(Value::Array(values)) => list = Some(values),
            _ => return false,
        }
    }
    place.is_some_and(|table| table.remove(last).is_some())
}

/// Notes a problem of what cannot be read.
fn note(problems: &mut Problems, path: &str, place: &str, message: &str) {
    // The path of what belongs to no field.
    let field = if path == "." { "the configuration" } else { path };
    let found = format!("{place}{}", without_secret(path, message).replace('\n', "; "));
    problems.add(field, found, "what `riskflow schema config` describes");
}

/// Whether what stands at a path, or within, may be secret.
pub(crate) fn may_be_secret(path: &str) -> bool {
    [
        "bridge",
        "kafka",
        "http.actions",
        "checkpoint.path",
        "cluster.secret",
        "tracing.otlp",
    ]
    .iter()
    .any(|secret| path.starts_with(secret))
}

/// A message without the value that it quotes, where that may be secret.
pub(crate) fn without_secret(path: &str, message: &str) -> String {
    let kind = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "));
    match (kind, message.rsplit_once(", expected ")) {
        (Some(kind), Some((_, expected))) if may_be_secret(path) => {
            let kind = kind.split([' ', '`', '"', ',']).next().unwrap_or_default();
            format!("{kind}, expected {expected}")
        }
        _ => message.to_owned(),
    }
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
        let (written, _) = WrittenSettings::load("[epoch]\ntick = \"1s\"\n", "a", &overrides).unwrap();
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
            let overrides = [assignment.to_owned()];
            let problems = WrittenSettings::load("[kafka]\nbrokers = \"a:1\"", "a", &overrides).unwrap_err();
            let error = problems.to_string();
            let field = assignment.split(['=', ':', '[']).next().unwrap();
            let field = field.strip_prefix("kafka.properties.").unwrap_or(field);
            assert!(error.contains(field) && !error.contains("s3cr3t"), "{error}");
        }
    }

    #[test]
    fn what_stands_twice_is_named() {
        for (text, found) in [
            (
                "[cluster]\nworkers = 2\n[cluster]\nprocess = 0\n",
                "wrong at line 3, column 2: duplicate key `cluster`",
            ),
            (
                "[http]\nlisten = \"a\"\nlisten = \"s3cr3t\"\n",
                "wrong at line 3, column 1: duplicate key `listen`",
            ),
        ] {
            let problems = WrittenSettings::load(text, "my.toml", &[]).unwrap_err();
            let error = problems.to_string();
            assert!(error.contains("my.toml") && error.contains(found), "{error}");
            assert!(
                error.contains("change it where it stands first") && !error.contains("s3cr3t"),
                "{error}"
            );
        }
    }

    fn told(problems: &Problems) -> Vec<(&str, &str)> {
        let told = problems.iter();
        told.map(|problem| (problem.field.as_str(), problem.found.as_str()))
            .collect()
    }

    /// Unknown fields, other types, values that cannot be, and what stands over the file.
    #[test]
    fn every_problem_of_a_file_is_told_with_its_line() {
        let text = "[epoch]\ntik = \"1s\"\ntick = 5\n\n[tme]\nhorizon = \"1m\"\n\n[time]\nhorizon = \"soon\"\n\n\
            [input]\nkind = \"files\"\nclock = \"arrival\"\nfiles = [\n  { pth = \"a\", topic = \"in.rule\" },\n]\n";
        let overrides = ["cluster.wrkers=2", "nothing", "version.x=1", "topics.partitions=0"].map(str::to_owned);
        let problems = WrittenSettings::load(text, "my.toml", &overrides).unwrap_err();
        let told = told(&problems);
        let has = |field: &str, found: &str| told.iter().any(|(name, what)| *name == field && what.contains(found));
        for (field, found) in [
            ("epoch.tik", "line 2, column 1: unknown field `tik`"),
            ("epoch.tick", "line 3, column 8: invalid type"),
            ("tme", "line 5, column 2: unknown field `tme`"),
            ("time.horizon", "`soon`"),
            ("input.files[0].pth", "line 15, column 5: unknown field `pth`"),
            ("cluster.wrkers", "unknown field `wrkers`"),
            ("--set nothing", "without `=`"),
            ("version", "invalid type: map"),
            ("topics.partitions", "0"),
        ] {
            assert!(has(field, found), "{field} ({found}) is not in {told:#?}");
        }
        // And nothing that follows from these alone.
        assert_eq!(told.len(), 9, "{told:#?}");
    }

    #[test]
    fn a_file_that_is_no_toml_is_told_by_its_name() {
        let problems = WrittenSettings::load("[epoch\n", "conf/my.toml", &[]).unwrap_err();
        let told = told(&problems);
        assert!(
            told.len() == 1 && told[0].0 == "conf/my.toml" && told[0].1.contains("line 1"),
            "{told:?}"
        );
    }

    #[test]
    fn brokers_are_hosts_with_ports() {
        let check = |brokers: &str| {
            let text = format!("input.kind = \"kafka\"\noutput.kind = \"kafka\"\nkafka.brokers = {brokers:?}");
            WrittenSettings::load(&text, "a", &[]).map(drop)
        };
        for good in ["a:9092", "a.b-c_d:1, 10.0.0.1:65535", "[::1]:9092"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            " ",
            "foo",
            "kafka://foo",
            "a:0",
            "a:65536",
            "a:1,,b:2",
            "a:1,",
            ":9092",
            "a b:1",
            "http://a:1",
            "::1",
            "a:1;b:2",
        ] {
            let problems = check(bad).unwrap_err();
            assert!(
                problems.iter().count() == 1 && problems.iter().all(|it| it.field == "kafka.brokers"),
                "{bad}: {problems}"
            );
        }
        // What is not used now may be used with another `--set`.
        assert!(WrittenSettings::load("kafka.brokers = \"foo\"", "a", &[]).is_err());
    }

    #[test]
    fn a_value_that_cannot_be_makes_no_other_wrong() {
        for (text, field) in [
            ("time.horizon = \"soon\"", "time.horizon"),
            ("time.horizon = \"1h1\"\nepoch.replay_tick = \"30m\"", "time.horizon"),
            ("epoch.tick = \"1h\"", "epoch.tick"),
            ("cluster.workers = 0", "cluster.workers"),
        ] {
            let problems = WrittenSettings::load(text, "a", &[]).unwrap_err();
            let fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
            assert_eq!(fields, [field], "{text}");
        }
    }
}
