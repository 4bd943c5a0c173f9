//! Which process of a cluster this is, as written: a number, or where it stands.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Unexpected, Visitor};
use serde::ser::{Serialize, Serializer};

/// What is written for "the name of the host says it".
const HOSTNAME: &str = "hostname";

/// Which process of a cluster this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrittenProcess {
    /// Its position in `hosts`.
    Number(usize),
    /// The number behind the last `-` of the host's name.
    Hostname,
}

impl Serialize for WrittenProcess {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => number.serialize(serializer),
            Self::Hostname => serializer.serialize_str(HOSTNAME),
        }
    }
}

impl<'de> Deserialize<'de> for WrittenProcess {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AsWritten)
    }
}

struct AsWritten;

impl Visitor<'_> for AsWritten {
    type Value = WrittenProcess;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number from 0 up, or `hostname`")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<WrittenProcess, E> {
        usize::try_from(number)
            .map(WrittenProcess::Number)
            .map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<WrittenProcess, E> {
        usize::try_from(number)
            .map(WrittenProcess::Number)
            .map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<WrittenProcess, E> {
        if text == HOSTNAME {
            Ok(WrittenProcess::Hostname)
        } else {
            Err(E::invalid_value(Unexpected::Str(text), &self))
        }
    }
}

impl JsonSchema for WrittenProcess {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Process".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Which process of a cluster this is: its position in `hosts`, or `hostname`: the number behind the last `-` of \
                            the name of its host.",
            "anyOf": [{ "type": "integer", "minimum": 0 }, { "const": HOSTNAME }],
        })
    }
}
