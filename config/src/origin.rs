//! Where the value of a field comes from, for people.

use std::collections::BTreeMap;
use std::fmt;

use riskflow_model::{Problem, Problems};
use toml::{Table, Value};

/// Where the value of a field comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The file.
    File,
    /// A variable of the environment, by its name.
    Variable(String),
    /// The command line.
    Option,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("from the file"),
            Self::Variable(name) => write!(f, "from {name}"),
            Self::Option => f.write_str("from --set"),
        }
    }
}

/// Where each field comes from that is no default. A list is one field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// What stands at a path now, and within, comes from there.
    pub(crate) fn set(&mut self, path: &[&str], value: &Value, origin: &Origin) {
        let path = path.join(".");
        let within = |known: &str| {
            let rest = known.strip_prefix(&path);
            rest.is_some_and(|rest| path.is_empty() || rest.is_empty() || rest.starts_with('.'))
        };
        self.0.retain(|known, _| !within(known));
        self.note(path, value, origin);
    }

    fn note(&mut self, path: String, value: &Value, origin: &Origin) {
        match value {
            Value::Table(table) => self.note_all(&path, table, origin),
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_) => drop(self.0.insert(path, origin.clone())),
        }
    }

    fn note_all(&mut self, path: &str, table: &Table, origin: &Origin) {
        for (key, value) in table {
            let path = if path.is_empty() {
                key.clone()
            } else {
                format!("{path}.{key}")
            };
            self.note(path, value, origin);
        }
    }

    /// All of them, by the path of the field.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Origin)> {
        self.0.iter().map(|(field, origin)| (field.as_str(), origin))
    }

    /// That of a field by its path, such as `epoch.tick`, or of the field that it is a part of; `None` for a default.
    #[must_use]
    pub fn of(&self, field: &str) -> Option<&Origin> {
        // Names with dots stand in quotes where people read them.
        let plain = field.replace('"', "");
        let mut path = plain.as_str();
        loop {
            if let Some(origin) = self.0.get(path) {
                return Some(origin);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    /// Adds to problems of what a variable says the name of the variable: whoever mends it has to know where.
    pub(crate) fn name_variables(&self, problems: Problems) -> Problems {
        let mut named = Problems::default();
        for problem in problems.iter() {
            let found = match self.of(&problem.field) {
                Some(Origin::Variable(name)) => format!("{}, from the variable `{name}`", problem.found),
                Some(Origin::File | Origin::Option) | None => problem.found.clone(),
            };
            named.push(Problem {
                found,
                ..problem.clone()
            });
        }
        named
    }

    /// A configuration as TOML, with a remark behind each field that is no default: where it comes from.
    #[must_use]
    pub fn annotate(&self, toml: &str) -> String {
        // A line within a text of several lines looks like a field.
        if toml.contains("\"\"\"") || toml.contains("'''") {
            return toml.to_owned();
        }
        let mut section = String::new();
        let mut lines = Vec::new();
        for line in toml.lines() {
            if line.starts_with('[') {
                section = line.trim_matches(['[', ']']).to_owned();
            }
            let field = line.split_once(" = ").map(|(name, _)| name);
            let field = field.filter(|name| !name.starts_with([' ', '[', ']', '#']));
            let origin = field.and_then(|name| {
                self.of(&if section.is_empty() {
                    name.to_owned()
                } else {
                    format!("{section}.{name}")
                })
            });
            lines.push(match origin {
                Some(origin) => format!("{line}  # {origin}"),
                None => line.to_owned(),
            });
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(toml: &str) -> Origins {
        let mut origins = Origins::default();
        origins.set(&[], &Value::Table(toml.parse().unwrap()), &Origin::File);
        origins
    }

    #[test]
    fn what_is_set_last_counts_with_all_that_is_in_it() {
        let mut origins = origins("version = 1\n[http]\nlisten = \"a\"\nhosts = [\"b\"]\n[http.tls]\nkey = \"k\"\n");
        assert_eq!(origins.of("http.hosts[0]"), Some(&Origin::File));
        assert_eq!(origins.of("http.tls.key"), Some(&Origin::File));
        assert_eq!(origins.of("http.enabled"), None);
        let variable = Origin::Variable("RISKFLOW__HTTP__TLS".to_owned());
        let tls = "certificate = \"c\"".parse().unwrap();
        origins.set(&["http", "tls"], &Value::Table(tls), &variable);
        assert_eq!(origins.of("http.tls.key"), None);
        assert_eq!(origins.of("http.tls.certificate"), Some(&variable));
        origins.set(
            &["kafka", "properties", "sasl.password"],
            &Value::from("x"),
            &Origin::Option,
        );
        assert_eq!(origins.of("kafka.properties.\"sasl.password\""), Some(&Origin::Option));
    }

    #[test]
    fn remarks_say_where_fields_come_from_and_the_text_stays_the_same_configuration() {
        let toml = "version = 1\n\n[http]\nlisten = \"a\"\nhosts = [\n    \"b = c\",\n]\n\n[kafka.properties]\n\"a.b\" = \"x\"\n";
        let annotated = origins("[http]\nhosts = [\"b\"]\n[kafka.properties]\n\"a.b\" = \"x\"").annotate(toml);
        assert!(
            annotated.contains("hosts = [  # from the file\n    \"b = c\",\n]"),
            "{annotated}"
        );
        assert!(annotated.contains("\"a.b\" = \"x\"  # from the file"), "{annotated}");
        assert!(annotated.contains("listen = \"a\"\n"), "{annotated}");
        let parse = |text: &str| text.parse::<Table>().unwrap();
        assert_eq!(parse(&annotated), parse(toml));
    }
}
