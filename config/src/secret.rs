//! Settings that may be secret: where they may stand, and that they show nowhere.

use std::fmt;
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use crate::problems::Check;

/// What stands where a secret would.
const HIDDEN: &str = "(hidden)";

/// The largest file that is taken for a secret, in bytes: a chain of certificates fits.
const LARGEST: u64 = 256 << 10;

/// A text that may be secret. It has no `Display`, and its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text, for whoever needs it. It must not go into messages.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// A secret as written: the text itself (a number and a truth value are texts, too), or where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WrittenSecret {
    /// The text.
    Text(Secret),
    /// `{ file = "/run/secrets/kafka" }`: the content of a file, without the line break at its end.
    File(PathBuf),
    /// `{ env = "KAFKA_PASSWORD" }`: the value of a variable of the environment.
    Env(String),
}

impl From<&str> for WrittenSecret {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl WrittenSecret {
    /// What is written, where that may be shown.
    pub(crate) fn shown<S: Serializer>(&self, serializer: S, may_be: bool) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) if may_be => serializer.serialize_str(text.reveal()),
            Self::Text(_) => serializer.serialize_str(HIDDEN),
            Self::File(path) => pair(serializer, "file", path),
            Self::Env(name) => pair(serializer, "env", name),
        }
    }
}

fn pair<S: Serializer>(serializer: S, name: &str, value: &impl Serialize) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(name, value)?;
    map.end()
}

impl Serialize for WrittenSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.shown(serializer, false)
    }
}

impl<'de> Deserialize<'de> for WrittenSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AsWritten)
    }
}

/// Its errors quote no value.
struct AsWritten;

impl<'de> Visitor<'de> for AsWritten {
    type Value = WrittenSecret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, `{ file = \"…\" }` or `{ env = \"…\" }`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<WrittenSecret, E> {
        Ok(text.into())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<WrittenSecret, E> {
        self.visit_str(if value { "true" } else { "false" })
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<WrittenSecret, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<WrittenSecret, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<WrittenSecret, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WrittenSecret, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            let place = match key.as_str() {
                "file" => WrittenSecret::File(map.next_value()?),
                "env" => WrittenSecret::Env(map.next_value()?),
                _ => {
                    let dots = "`file` or `env`; a name with dots needs quotes, such as \"sasl.password\" = …";
                    return Err(de::Error::custom(format!("unknown field `{key}`, expected {dots}")));
                }
            };
            if found.replace(place).is_some() {
                return Err(de::Error::custom("two places, expected `file` or `env`"));
            }
        }
        found.ok_or_else(|| de::Error::custom("no place, expected `file` or `env`"))
    }
}

impl JsonSchema for WrittenSecret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let place = |name: &str, about: &str| {
            json_schema!({
                "type": "object", "properties": { name: { "type": "string", "description": about } }, "required": [name],
                "additionalProperties": false,
            })
        };
        json_schema!({
            "description": "A setting that may be secret: itself, or where it stands. No output shows it.",
            "anyOf": [
                { "type": ["string", "number", "boolean"] },
                place("file", "A file whose content it is, without the line break at its end."),
                place("env", "A variable of the environment whose value it is."),
            ],
        })
    }
}

impl Check {
    /// The secret itself; what is wrong with it is told without it.
    pub(crate) fn secret(&mut self, field: &str, written: &WrittenSecret) -> Option<Secret> {
        let (found, give) = match written {
            WrittenSecret::Text(text) if begins_as_place(text.reveal()) => (
                "a text that begins as the place of a secret, and is none".to_owned(),
                "`{ file = \"PATH\" }` or `{ env = \"NAME\" }`, each whole and alone; a secret that does begin so, in a file",
            ),
            WrittenSecret::Text(text) => return self.whole(field, text.reveal(), "the text"),
            WrittenSecret::File(path) => match read(path) {
                Ok(text) => return self.whole(field, &text, &format!("the content of `{}`", path.display())),
                Err(why) => (
                    format!("in the file `{}`, which {why}", path.display()),
                    "a file that holds it",
                ),
            },
            WrittenSecret::Env(name) => match std::env::var(name) {
                Ok(text) => return self.whole(field, &text, &format!("the value of `{name}`")),
                Err(std::env::VarError::NotPresent) => (
                    format!("in the variable `{name}`, which is not set"),
                    "a variable of the environment that holds it",
                ),
                Err(std::env::VarError::NotUnicode(_)) => {
                    (format!("in the variable `{name}`, which is no UTF-8"), "UTF-8")
                }
            },
        };
        self.problems.add(field, found, give);
        None
    }

    /// No C library takes a text with a zero byte in it.
    fn whole(&mut self, field: &str, text: &str, what: &str) -> Option<Secret> {
        if text.contains('\0') {
            let found = format!("not usable: {what} has a zero byte in it");
            self.problems.add(field, found, "a text without");
            return None;
        }
        Some(text.into())
    }
}

/// Whether a text begins as what says where a secret stands, `{ file =`: a bracket or quote was forgotten.
fn begins_as_place(text: &str) -> bool {
    let Some(within) = text.trim_start().strip_prefix('{') else {
        return false;
    };
    let within = within.trim_start().trim_start_matches(['"', '\'']);
    ["file", "env"].iter().any(|name| {
        let rest = within.strip_prefix(name);
        rest.is_some_and(|rest| {
            rest.trim_start_matches(['"', '\''])
                .trim_start()
                .starts_with(['=', ':'])
        })
    })
}

/// The content of a file, without the line break at its end; or what is wrong with the file.
fn read(path: &Path) -> Result<String, String> {
    let about = std::fs::metadata(path).map_err(|error| format!("cannot be read ({error})"))?;
    if about.is_dir() {
        return Err("is a folder".to_owned());
    }
    if !about.is_file() {
        // Whoever reads it may wait for ever: it is read again while a job runs.
        return Err("is no file but a pipe or a device".to_owned());
    }
    if about.len() > LARGEST {
        return Err(format!("has {} bytes, more than {LARGEST}", about.len()));
    }
    let bytes = std::fs::read(path).map_err(|error| format!("cannot be read ({error})"))?;
    let text = String::from_utf8(bytes).map_err(|_| "is no UTF-8".to_owned())?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err("is empty".to_owned());
    }
    Ok(line.to_owned())
}

#[cfg(test)]
mod tests {
    use crate::WrittenSettings;

    const KAFKA: &str =
        "input.kind = \"kafka\"\noutput.kind = \"kafka\"\nkafka.brokers = \"a:1\"\n[kafka.properties]\n";

    fn properties(text: &str) -> Result<Vec<(String, String)>, String> {
        let written = WrittenSettings::from_toml(&format!("{KAFKA}{text}")).map_err(|error| error.to_string())?;
        let settings = written.check().map_err(|error| error.to_string())?;
        let crate::Input::Kafka(kafka) = settings.input else {
            panic!("it is Kafka")
        };
        assert!(!format!("{kafka:?} {written:?}").contains("s3cr3t"));
        let shown = serde_json::to_string(&written).map_err(|error| error.to_string())?;
        assert!(!shown.contains("s3cr3t"), "{shown}");
        let pairs = kafka.properties.into_iter();
        Ok(pairs.map(|(name, value)| (name, value.reveal().to_owned())).collect())
    }

    #[test]
    fn a_secret_stands_in_the_text_in_a_file_or_in_the_environment_and_shows_nowhere() {
        let file = std::env::temp_dir().join(format!("riskflow-secret-{}", std::process::id()));
        std::fs::write(&file, "s3cr3t in a file\r\n").unwrap();
        let text = format!(
            "\"sasl.password\" = \"s3cr3t\"\n\"ssl.key.password\" = {{ file = {file:?} }}\n\"a.b\" = {{ env = \"PATH\" }}\n\"linger.ms\" = 5\n\"c\" = true"
        );
        let found = properties(&text).unwrap();
        let path = std::env::var("PATH").unwrap();
        let expected = [
            ("a.b", path.as_str()),
            ("c", "true"),
            ("linger.ms", "5"),
            ("sasl.password", "s3cr3t"),
            ("ssl.key.password", "s3cr3t in a file"),
        ];
        std::fs::remove_file(&file).unwrap();
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_is_wrong_with_a_secret_is_told_without_it() {
        let file = std::env::temp_dir().join(format!("riskflow-no-secret-{}", std::process::id()));
        std::fs::write(&file, "\n").unwrap();
        let empty = format!("\"sasl.password\" = {{ file = {file:?} }}");
        for (text, expected) in [
            (empty.as_str(), "which is empty"),
            (
                "\"sasl.password\" = { file = \"/nowhere/s\" }",
                "`/nowhere/s`, which cannot be read",
            ),
            (
                "\"sasl.password\" = { env = \"RISKFLOW_NO_SUCH\" }",
                "`RISKFLOW_NO_SUCH`, which is not set",
            ),
            ("\"sasl.password\" = \"s3cr3t\\u0000\"", "zero byte"),
            ("sasl.password = \"s3cr3t\"", "needs quotes"),
            ("\"sasl.password\" = [\"s3cr3t\"]", "expected a text"),
            ("\"sasl.password\" = { file = \"a\", env = \"b\" }", "two places"),
            ("\"sasl.password\" = {}", "no place"),
            ("\"sasl.password\" = \"s3cr3t", "line 5, column"),
            ("\"sasl.password\" = s3cr3t", "line 5, column"),
        ] {
            let said = properties(text).unwrap_err();
            assert!(said.contains(expected) && !said.contains("s3cr3t"), "{text}: {said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn a_value_in_the_wrong_place_is_not_quoted_either() {
        for text in [
            "kafka.properties = \"sasl.password=s3cr3t\"",
            "kafka = \"s3cr3t\"",
            "kafka.brokers = [\"u:s3cr3t@a:1\"]",
            "http.actions.tokens = [\"s3cr3t\"]",
            "http.actions.tokens = [{ name = \"a\", sha256 = [\"s3cr3t\"], role = \"r\", region = \"33\" }]",
            "checkpoint.path = [\"s3://a:s3cr3t@b/c\"]",
        ] {
            let said = WrittenSettings::from_toml(text).unwrap_err().to_string();
            assert!(!said.contains("s3cr3t") && said.contains("expected"), "{text}: {said}");
        }
        let said = WrittenSettings::from_toml("epoch.tick = 5").unwrap_err().to_string();
        assert!(said.contains("`epoch.tick`") && said.contains("integer `5`"), "{said}");
    }
}
