//! One measured value of one datastream, as written on `in.observation` and as carried through the dataflow.

use std::borrow::Cow;

use compact_str::CompactString;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::topic::{Record, Shape, Spec};
use crate::{Key, Millis};

/// A record of `in.observation`, after OGC SensorThings 1.1 (18-088).
///
/// Identified by (`datastream`, `phenomenon_time`): a second record with both the same replaces the first. Unknown
/// fields are ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ObservationRecord<'a> {
    /// The datastream's identifier, as in `base.datastream`; also the record's key.
    #[serde(borrow)]
    pub datastream: Cow<'a, str>,
    /// When the value held.
    #[serde(alias = "phenomenonTime")]
    #[schemars(extend("x-aliases" = ["phenomenonTime"]))]
    pub phenomenon_time: Millis,
    /// The value, in the datastream's unit, from -1e9 to 1e9; or the name of a state, which `states` in the datastream's row makes a
    /// number of. `true` and `false` are 1 and 0 where that does not say otherwise. Absent only when `op` is `delete`.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub result: Option<WrittenResult<'a>>,
    /// How far the value may be trusted.
    #[serde(
        default,
        alias = "resultQuality",
        deserialize_with = "crate::field::or_default",
        skip_serializing_if = "Quality::is_good"
    )]
    #[schemars(extend("x-aliases" = ["resultQuality"]))]
    pub quality: Quality,
    /// Whether the record puts or takes back an observation.
    #[serde(
        default,
        deserialize_with = "crate::field::or_default",
        skip_serializing_if = "Op::is_upsert"
    )]
    pub op: Op,
}

impl Record for ObservationRecord<'_> {
    const SPEC: Spec = Spec {
        id: 256,
        name: "in.observation",
        shape: Shape::InputLog,
        key: "datastream",
        capability: None,
        example: r#"{"datastream":"s1","phenomenon_time":0,"result":1,"quality":"good","op":"upsert"}"#,
    };
}

/// A result as written.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum WrittenResult<'a> {
    /// A number.
    Number(f64),
    /// The name of a state; `true` and `false` are names, too.
    State(Cow<'a, str>),
}

impl<'de: 'a, 'a> Deserialize<'de> for WrittenResult<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ResultVisitor)
    }
}

struct ResultVisitor;

impl<'de> de::Visitor<'de> for ResultVisitor {
    type Value = WrittenResult<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a number, or the name of a state")
    }

    fn visit_f64<E>(self, number: f64) -> Result<WrittenResult<'de>, E> {
        Ok(WrittenResult::Number(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<WrittenResult<'de>, E> {
        Ok(WrittenResult::Number(number as f64))
    }

    fn visit_i64<E>(self, number: i64) -> Result<WrittenResult<'de>, E> {
        Ok(WrittenResult::Number(number as f64))
    }

    fn visit_bool<E>(self, is_true: bool) -> Result<WrittenResult<'de>, E> {
        let name = if is_true { "true" } else { "false" };
        Ok(WrittenResult::State(Cow::Borrowed(name)))
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<WrittenResult<'de>, E> {
        state_name(text)?;
        Ok(WrittenResult::State(Cow::Borrowed(text)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<WrittenResult<'de>, E> {
        state_name(text)?;
        Ok(WrittenResult::State(Cow::Owned(text.to_owned())))
    }
}

/// A number in quotes is a mistake of whoever wrote it, not the name of a state.
fn state_name<E: de::Error>(text: &str) -> Result<(), E> {
    let point = text.trim().replacen(',', ".", 1);
    if point.is_empty() || point.parse::<f64>().is_ok() {
        return Err(E::invalid_type(de::Unexpected::Str(text), &"f64"));
    }
    Ok(())
}

impl JsonSchema for WrittenResult<'_> {
    fn schema_name() -> Cow<'static, str> {
        "Result".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["number", "string", "boolean"] })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// How far a value may be trusted. A `bad` one is kept, so that a later correction finds it, but no feature counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// Measured and plausible.
    #[default]
    Good,
    /// Measured, doubtful; counted.
    Suspect,
    /// Known to be wrong; not counted.
    Bad,
    /// Filled in by the source; counted.
    Estimated,
}

impl Quality {
    const fn is_good(&self) -> bool {
        matches!(self, Self::Good)
    }

    /// Whether features count a value of this quality.
    #[must_use]
    pub const fn counts(self) -> bool {
        !matches!(self, Self::Bad)
    }
}

/// What a record does to the observation that it names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Inserts it, or replaces the one before.
    #[default]
    Upsert,
    /// Takes it back; without one to take back nothing happens.
    Delete,
}

impl Op {
    const fn is_upsert(&self) -> bool {
        matches!(self, Self::Upsert)
    }
}

/// An observation inside the dataflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Of the datastream's identifier.
    pub datastream: Key,
    /// The datastream's identifier, for the dead letter should nobody know it; inline up to 24 bytes.
    pub id: CompactString,
    /// When the value held.
    pub time: Millis,
    /// What is known of that time from now on.
    pub said: Said,
}

/// What an observation says of its time. As large as a reading: nearly all are that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Said {
    /// Nothing any more: it was taken back.
    Nothing,
    /// A number.
    Number(Reading),
    /// The name of a state, of which the datastream's row makes a number.
    State(Box<State>),
}

const _: () = assert!(size_of::<Said>() == size_of::<Option<Reading>>());

/// The name of a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// As written.
    pub name: CompactString,
    /// How far it may be trusted.
    pub quality: Quality,
}

impl State {
    /// What is a number without a row that says so.
    #[must_use]
    pub fn of_itself(&self) -> Option<f64> {
        match &*self.name {
            "true" => Some(1.0),
            "false" => Some(0.0),
            _ => None,
        }
    }
}

impl From<Option<Reading>> for Said {
    fn from(reading: Option<Reading>) -> Self {
        reading.map_or(Self::Nothing, Self::Number)
    }
}

/// The value of an observation that was not taken back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// In the datastream's unit; finite, within [`Reading::LIMIT`].
    pub result: f64,
    /// How far it may be trusted.
    pub quality: Quality,
}

impl Reading {
    /// The largest magnitude of a result: in billionths it fits into an `i64`.
    pub const LIMIT: f64 = 1e9;
}
