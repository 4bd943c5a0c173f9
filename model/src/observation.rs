//! One measured value of one datastream, as written on `in.observation` and as carried through the dataflow.

use std::borrow::Cow;

use compact_str::CompactString;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// The value, in the datastream's unit; absent only when `op` is `delete`. From -1e9 to 1e9.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<f64>,
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
    pub reading: Option<Reading>,
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
