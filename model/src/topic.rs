//! What a topic is: name, shape, key, retention. All of it is said beside the record that it holds ([`Record::SPEC`]); the list of
//! all topics is the [catalogue](crate::catalogue).

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Listed;
use crate::catalogue::{self, Entry};

/// What riskflow's topics have in common: said once, beside the struct that a topic's records are read into or written from.
pub trait Record: JsonSchema {
    /// What the topic of these records is.
    const SPEC: Spec;
}

/// What a topic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// What stands for the topic in whatever outlives a process: checkpoints, digests, the order of input. Never another, and never
    /// that of a topic that is gone. Input tables are below 256, input logs below 512, outputs above: the records of one epoch are
    /// applied in this order.
    pub id: u16,
    /// The name on a broker, without the configured prefix.
    pub name: &'static str,
    /// Who writes it, and what it keeps.
    pub shape: Shape,
    /// What its records are keyed by. Several parts are joined with `/`; in a part `/` is `~1` and `~` is `~0`
    /// ([`crate::joined`]), so that no two keys are the same by chance.
    pub key: &'static str,
    /// The [capability](crate::capability) that it belongs to; `None`: riskflow always needs it.
    pub capability: Option<&'static str>,
    /// A record with all of its fields, as JSON; empty of what riskflow writes.
    pub example: &'static str,
}

/// Who writes a topic, and what it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Keyed rows that riskflow reads: of each key the last counts, and a null payload deletes it. In an epoch all of them come
    /// before input logs.
    InputTable,
    /// The same, but of each key the highest version counts; of the same version the later one.
    VersionedTable,
    /// Records that riskflow reads, each of which counts.
    InputLog,
    /// Keyed rows that riskflow writes; it compares them after a restart.
    OutputTable,
    /// Records that riskflow writes, each told once.
    OutputLog,
    /// Keyed rows that only riskflow itself reads again.
    Internal,
    /// Records that only riskflow itself reads again.
    InternalLog,
}

/// Whether riskflow reads or writes a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// riskflow reads it.
    In,
    /// riskflow writes it.
    Out,
}

/// What a topic keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// The last record of each key (a table).
    Compact,
    /// Every record, for a time (a log).
    Delete,
}

/// A topic that riskflow reads or writes. Ordered as the records of one epoch are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(u16);

impl Topic {
    /// The topic of such records.
    #[must_use]
    pub const fn of<R: Record>() -> Self {
        Self(R::SPEC.id)
    }

    /// All of them, inputs first.
    pub fn all() -> impl Iterator<Item = Self> + Clone {
        catalogue::ENTRIES.iter().map(|entry| Self(entry.spec.id))
    }

    /// Those that riskflow reads, in the order in which they are applied.
    pub fn inputs() -> impl Iterator<Item = Self> + Clone {
        Self::all().filter(|topic| topic.direction() == Direction::In)
    }

    /// Those that riskflow writes.
    pub fn outputs() -> impl Iterator<Item = Self> + Clone {
        Self::all().filter(|topic| topic.direction() == Direction::Out)
    }

    /// The tables that riskflow writes.
    pub fn output_tables() -> impl Iterator<Item = Self> + Clone {
        Self::all().filter(|topic| topic.shape() == Shape::OutputTable)
    }

    /// The topic of that name, or `None`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|topic| topic.name() == name)
    }

    /// The topic with that [`Spec::id`], or `None`.
    #[must_use]
    pub fn from_id(id: u16) -> Option<Self> {
        catalogue::entry(id).map(|entry| Self(entry.spec.id))
    }

    /// The entry of the catalogue.
    ///
    /// # Panics
    ///
    /// When a record has a topic that is not in the catalogue.
    pub(crate) fn entry(self) -> &'static Entry {
        catalogue::entry(self.0).expect("every record of a topic is in the catalogue")
    }

    /// What stands for it in whatever outlives a process.
    #[must_use]
    pub const fn id(self) -> u16 {
        self.0
    }

    /// The name without prefix.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.entry().spec.name
    }

    /// Who writes it, and what it keeps.
    #[must_use]
    pub fn shape(self) -> Shape {
        self.entry().spec.shape
    }

    /// Whether riskflow reads or writes it.
    #[must_use]
    pub fn direction(self) -> Direction {
        match self.shape() {
            Shape::InputTable | Shape::VersionedTable | Shape::InputLog => Direction::In,
            Shape::OutputTable | Shape::OutputLog | Shape::Internal | Shape::InternalLog => Direction::Out,
        }
    }

    /// Whether it is an input table: keyed rows, which a null payload deletes.
    #[must_use]
    pub fn is_input_table(self) -> bool {
        matches!(self.shape(), Shape::InputTable | Shape::VersionedTable)
    }

    /// What it keeps.
    #[must_use]
    pub fn cleanup(self) -> Cleanup {
        match self.shape() {
            Shape::InputLog | Shape::OutputLog | Shape::InternalLog => Cleanup::Delete,
            Shape::InputTable | Shape::VersionedTable | Shape::OutputTable | Shape::Internal => Cleanup::Compact,
        }
    }

    /// The [capability](crate::capability) that it belongs to; `None`: riskflow always needs it.
    #[must_use]
    pub fn capability(self) -> Option<&'static str> {
        self.entry().spec.capability
    }

    /// Whether it says how epochs were closed, and nothing of what they gave.
    #[must_use]
    pub fn is_internal(self) -> bool {
        matches!(self.shape(), Shape::Internal | Shape::InternalLog)
    }

    /// How it is listed over HTTP, if it is.
    #[must_use]
    pub fn list(self) -> Option<&'static Listed> {
        self.entry().list.as_ref()
    }

    /// A record with all of its fields, as JSON; empty of what riskflow writes.
    #[must_use]
    pub fn example(self) -> &'static str {
        self.entry().spec.example
    }

    /// What its records are keyed by ([`Spec::key`]).
    #[must_use]
    pub fn key(self) -> &'static str {
        self.entry().spec.key
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// For people its name, for machines its number.
impl Serialize for Topic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(self.name())
        } else {
            serializer.serialize_u16(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Topic {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let name = String::deserialize(deserializer)?;
            Self::from_name(&name).ok_or_else(|| de::Error::custom(format!("there is no topic `{name}`")))
        } else {
            let id = u16::deserialize(deserializer)?;
            Self::from_id(id).ok_or_else(|| de::Error::custom(format!("there is no topic with the number {id}")))
        }
    }
}
