//! Rows of output tables and records of output logs, whichever topic it is: what views give and the sink takes.

use std::any::Any;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::de::{self, DeserializeOwned, SeqAccess, Visitor};
use serde::ser::SerializeTuple as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::binary::{self, BinaryError};
use crate::row::Bytes;
use crate::topic::{Record, Topic};
use crate::{Facets, Listed, Text};

/// A record that riskflow writes: a row of a table, or a record of a log.
pub trait OutputRecord: Record + Serialize + DeserializeOwned + Ord + fmt::Debug + Send + Sync + 'static {
    /// How the table is listed over HTTP, if it is.
    const LIST: Option<Listed> = None;

    /// What it is keyed by on its topic.
    fn key(&self) -> Text;

    /// What lists are narrowed by.
    fn facets(&self) -> Facets<'_> {
        Facets::default()
    }

    /// In which order the records of a log leave that are of one epoch; rows of tables leave by their keys.
    fn order(&self, other: &Self) -> Ordering {
        self.cmp(other)
    }
}

/// A record that riskflow writes, with its key. Cheap to clone.
#[derive(Clone)]
pub struct OutputRow {
    topic: Topic,
    key: Text,
    record: Arc<dyn Stored>,
}

/// What it holds, without its type.
trait Stored: fmt::Debug + Send + Sync {
    fn facets(&self) -> Facets<'_>;
    fn encode(&self) -> Result<Vec<u8>, BinaryError>;
    fn write_json(&self, into: &mut Vec<u8>) -> serde_json::Result<()>;
    /// `None` where the other is of another topic.
    fn compare(&self, other: &dyn Any, by: By) -> Option<Ordering>;
    fn as_any(&self) -> &dyn Any;
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

/// How two records of a topic are compared.
#[derive(Clone, Copy)]
enum By {
    Content,
    Order,
}

impl<R: OutputRecord> Stored for R {
    fn facets(&self) -> Facets<'_> {
        R::facets(self)
    }

    fn encode(&self) -> Result<Vec<u8>, BinaryError> {
        let mut bytes = Vec::new();
        binary::append(&mut bytes, self)?;
        Ok(bytes)
    }

    fn write_json(&self, into: &mut Vec<u8>) -> serde_json::Result<()> {
        serde_json::to_writer(into, self)
    }

    fn compare(&self, other: &dyn Any, by: By) -> Option<Ordering> {
        let other: &R = other.downcast_ref()?;
        Some(match by {
            By::Content => self.cmp(other),
            By::Order => self.order(other),
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl OutputRow {
    /// Of a record.
    #[must_use]
    pub fn new<R: OutputRecord>(record: R) -> Self {
        Arc::new(record).into()
    }

    /// The topic that it goes to.
    #[must_use]
    pub const fn topic(&self) -> Topic {
        self.topic
    }

    /// What it is keyed by there.
    #[must_use]
    pub const fn key(&self) -> &Text {
        &self.key
    }

    /// What lists are narrowed by.
    #[must_use]
    pub fn facets(&self) -> Facets<'_> {
        self.record.facets()
    }

    /// Appends its payload, without the epoch.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write_json(&self, into: &mut Vec<u8>) -> serde_json::Result<()> {
        self.record.write_json(into)
    }

    /// In which order it leaves, among the records of an epoch and a log.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        self.compare(other, By::Order)
    }

    fn compare(&self, other: &Self, by: By) -> Ordering {
        let apart = self.topic.cmp(&other.topic);
        apart.then_with(|| {
            let compared = self.record.compare(other.record.as_any(), by);
            compared.expect("records of one topic are of one type")
        })
    }

    /// The record, if it is of that topic.
    #[must_use]
    pub fn downcast_ref<R: OutputRecord>(&self) -> Option<&R> {
        self.record.as_any().downcast_ref()
    }

    /// The record, shared, if it is of that topic.
    #[must_use]
    pub fn downcast<R: OutputRecord>(self) -> Option<Arc<R>> {
        self.record.into_any().downcast().ok()
    }

    pub(crate) fn restore<R: OutputRecord>(bytes: &[u8]) -> Result<Self, BinaryError> {
        binary::read::<R>(bytes).map(Self::new)
    }
}

impl<R: OutputRecord> From<Arc<R>> for OutputRow {
    fn from(record: Arc<R>) -> Self {
        Self {
            topic: Topic::of::<R>(),
            key: record.key(),
            record,
        }
    }
}

impl<R: OutputRecord> From<Box<R>> for OutputRow {
    fn from(record: Box<R>) -> Self {
        Arc::<R>::from(record).into()
    }
}

impl fmt::Debug for OutputRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.record.fmt(f)
    }
}

impl PartialEq for OutputRow {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for OutputRow {}

impl PartialOrd for OutputRow {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// By topic, then by content.
impl Ord for OutputRow {
    fn cmp(&self, other: &Self) -> Ordering {
        self.compare(other, By::Content)
    }
}

/// The number of the topic, and the record's encoding: between the processes of a cluster, never kept.
impl Serialize for OutputRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = self.record.encode().map_err(serde::ser::Error::custom)?;
        let mut tuple = serializer.serialize_tuple(2)?;
        tuple.serialize_element(&self.topic.id())?;
        tuple.serialize_element(&Bytes(bytes))?;
        tuple.end()
    }
}

impl<'de> Deserialize<'de> for OutputRow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_tuple(2, OutputVisitor)
    }
}

struct OutputVisitor;

impl<'de> Visitor<'de> for OutputVisitor {
    type Value = OutputRow;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the number of a topic, and a record of it")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<OutputRow, A::Error> {
        let absent = || de::Error::custom("an output record has two parts");
        let id: u16 = seq.next_element()?.ok_or_else(absent)?;
        let Bytes(bytes) = seq.next_element()?.ok_or_else(absent)?;
        let restore = Topic::from_id(id).and_then(|topic| topic.entry().output);
        let restore = restore.ok_or_else(|| de::Error::custom(format!("no output has the number {id}")))?;
        restore(&bytes).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{DeadLetter, PayloadEncoding, Reason, ReportTotal};

    #[test]
    fn a_row_is_known_by_its_topic_and_crosses_between_processes() {
        let letter = |offset| {
            let origin = (Topic::IN_RULE, 1, offset);
            DeadLetter::new((Reason::Malformed, "x"), origin, "y", PayloadEncoding::Utf8)
        };
        let row = OutputRow::new(letter(7));
        assert_eq!((row.topic(), &**row.key()), (Topic::DEAD_LETTER, "in.rule/1/7"));
        assert_eq!(row.downcast_ref::<DeadLetter>(), Some(&letter(7)));
        assert!(row.downcast_ref::<ReportTotal>().is_none());
        let mut bytes = Vec::new();
        binary::append(&mut bytes, &row).unwrap();
        assert_eq!(binary::read::<OutputRow>(&bytes).unwrap(), row);
        assert_eq!(row.order(&OutputRow::new(letter(10))), Ordering::Less, "by number");
        let mut json = Vec::new();
        row.write_json(&mut json).unwrap();
        assert_eq!(json, serde_json::to_vec(&letter(7)).unwrap());
        bytes[..2].copy_from_slice(&Topic::IN_RULE.id().to_le_bytes());
        assert!(binary::read::<OutputRow>(&bytes).is_err());
    }
}
