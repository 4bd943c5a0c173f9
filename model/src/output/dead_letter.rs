//! Records that could not be used.

use std::cmp::Ordering;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limit::TEXT_BYTES;
use crate::topic::{Record, Shape, Spec, Topic};
use crate::{OutputRecord, Text, joined, shortened};

/// A record of `out.deadletter`: an input record that could not be used, with its origin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetter {
    /// What is wrong with it.
    pub reason: Reason,
    /// The same for people: field, value found, what to give. At most 4 KiB: of a longer one the middle is cut, with a mark that
    /// says how long it was.
    pub detail: Text,
    /// The topic it came from.
    pub topic: Text,
    /// The partition it came from.
    pub partition: u32,
    /// Its offset there.
    pub offset: u64,
    /// Its payload: as it was if that is UTF-8, else in base 64; the first 64 KiB of it.
    pub payload: Text,
    /// How `payload` is written.
    pub encoding: PayloadEncoding,
    /// The length of the payload, before it was cut.
    pub payload_bytes: u64,
    /// Whether `payload` is only the beginning of it.
    #[serde(default)]
    pub payload_cut: bool,
}

impl Record for DeadLetter {
    const SPEC: Spec = Spec {
        id: 522,
        name: "out.deadletter",
        shape: Shape::OutputLog,
        key: "topic/partition/offset",
        capability: None,
        example: "",
    };
}

impl OutputRecord for DeadLetter {
    fn key(&self) -> Text {
        joined(&[&self.topic, &self.partition.to_string(), &self.offset.to_string()]).into()
    }

    fn order(&self, other: &Self) -> Ordering {
        (&self.topic, self.partition, self.offset).cmp(&(&other.topic, other.partition, other.offset))
    }
}

impl DeadLetter {
    /// So many bytes of a payload are kept.
    pub const PAYLOAD_BYTES: usize = 64 << 10;

    /// The dead letter of a record, identified by topic, partition and offset, with a payload in text. What is too long is cut.
    #[must_use]
    pub fn new(
        (reason, detail): (Reason, &str),
        (topic, partition, offset): (Topic, u16, u64),
        payload: &str,
        encoding: PayloadEncoding,
    ) -> Self {
        let kept = &payload[..payload.floor_char_boundary(Self::PAYLOAD_BYTES)];
        Self {
            reason,
            detail: shortened(detail, TEXT_BYTES).into(),
            topic: topic.name().into(),
            partition: partition.into(),
            offset,
            payload: kept.into(),
            encoding,
            payload_bytes: payload.len() as u64,
            payload_cut: kept.len() < payload.len(),
        }
    }
}

/// How a dead letter's payload is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PayloadEncoding {
    /// As it was.
    Utf8,
    /// RFC 4648, with padding.
    Base64,
    /// Not the record's bytes but the observation that they held, as JSON: it was accepted first, and given up later.
    Decoded,
}

/// Why a record could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Not JSON, or cut short.
    Malformed,
    /// Not UTF-8.
    InvalidUtf8,
    /// A field is missing, or has a value that it cannot have; or the record is marked as of an exercise, and the job is none.
    InvalidField,
    /// Larger than a record may be.
    TooLarge,
    /// The record's key is missing, or is not the identifier in the payload.
    KeyMismatch,
    /// Older than the correction horizon.
    TooLate,
    /// Further ahead of the clock than `max_future`.
    InFuture,
    /// No `base.datastream` record came for it within the time, or there were too many such.
    UnknownDatastream,
    /// A rule that cannot be used.
    InvalidRule,
    /// The name of a state that the datastream's row does not know.
    UnknownState,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Malformed,
        Self::InvalidUtf8,
        Self::InvalidField,
        Self::TooLarge,
        Self::KeyMismatch,
        Self::TooLate,
        Self::InFuture,
        Self::UnknownDatastream,
        Self::InvalidRule,
        Self::UnknownState,
    ];

    /// The name on the topics and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::InvalidField => "invalid_field",
            Self::TooLarge => "too_large",
            Self::KeyMismatch => "key_mismatch",
            Self::TooLate => "too_late",
            Self::InFuture => "in_future",
            Self::UnknownDatastream => "unknown_datastream",
            Self::InvalidRule => "invalid_rule",
            Self::UnknownState => "unknown_state",
        }
    }
}

/// The origin of a record: where it stands in the total order of the input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The position of the topic in the catalogue ([`crate::topic::Topic`]).
    pub topic: u16,
    /// The partition.
    pub partition: u16,
    /// The offset.
    pub offset: u64,
}
