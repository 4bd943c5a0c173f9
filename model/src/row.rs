//! Rows of input tables, whichever table it is: what sources hand over, folds keep and views take.

use std::any::Any;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::de::{self, DeserializeOwned, SeqAccess, Visitor};
use serde::ser::SerializeTuple as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::binary::{self, BinaryError};
use crate::check::Check;
use crate::json::{self, Unreadable};
use crate::topic::{Record, Shape, Topic};
use crate::{Key, Problems, Shared, Text};

/// A record of an input table.
pub trait TableRecord: Record + Serialize + DeserializeOwned + fmt::Debug + Send + Sync + 'static {
    /// The identifier that keys it on its topic.
    fn id(&self) -> Text;

    /// Its version, if it has one. In a [`Shape::VersionedTable`] the highest counts.
    fn version(&self) -> Option<u32> {
        None
    }

    /// Notes all that is wrong with it; that it could be read is known.
    fn check(&self, check: &mut Check);

    /// How it stands in checkpoints.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    fn encode(&self) -> Result<Vec<u8>, BinaryError> {
        let mut bytes = Vec::new();
        binary::append(&mut bytes, self)?;
        Ok(bytes)
    }

    /// Reads what [`TableRecord::encode`] wrote.
    ///
    /// # Errors
    ///
    /// When the bytes do not fit.
    fn decode(bytes: &[u8]) -> Result<Self, BinaryError> {
        binary::read(bytes)
    }
}

/// A row of an input table: cheap to clone, compared and ordered by topic and a 128-bit hash of its content, as [`Shared`] is.
#[derive(Clone)]
pub struct Row {
    content: Key,
    record: Arc<dyn Stored>,
}

/// What a row holds, without its type.
trait Stored: fmt::Debug + Send + Sync {
    fn topic(&self) -> Topic;
    fn id(&self) -> Text;
    fn version(&self) -> Option<u32>;
    fn encode(&self) -> Result<Vec<u8>, BinaryError>;
    fn to_json(&self) -> serde_json::Result<Vec<u8>>;
    fn as_any(&self) -> &dyn Any;
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

impl<R: TableRecord> Stored for R {
    fn topic(&self) -> Topic {
        Topic::of::<R>()
    }

    fn id(&self) -> Text {
        R::id(self)
    }

    fn version(&self) -> Option<u32> {
        R::version(self)
    }

    fn encode(&self) -> Result<Vec<u8>, BinaryError> {
        R::encode(self)
    }

    fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl Row {
    /// The row of a record.
    #[must_use]
    pub fn new<R: TableRecord>(record: R) -> Self {
        Shared::new(record).into()
    }

    /// Reads and checks the payload of a record of an input table.
    ///
    /// # Errors
    ///
    /// Everything wrong with it, as far as it can be read; `None` where the topic is no input table.
    pub fn from_json(topic: Topic, text: &str) -> Result<Self, Option<Unreadable>> {
        let reading = topic.entry().table.as_ref().ok_or(None)?;
        (reading.read)(text).map_err(Some)
    }

    pub(crate) fn read<R: TableRecord>(text: &str) -> Result<Self, Unreadable> {
        let record: R = serde_json::from_str(text).map_err(|_| json::why::<R>(text))?;
        let problems = problems(&record);
        if problems.is_empty() {
            Ok(Self::new(record))
        } else {
            Err(Unreadable::Wrong(problems))
        }
    }

    pub(crate) fn restore<R: TableRecord>(bytes: &[u8]) -> Result<Self, BinaryError> {
        R::decode(bytes).map(Self::new)
    }

    /// The table that it is of.
    #[must_use]
    pub fn topic(&self) -> Topic {
        self.record.topic()
    }

    /// The identifier that keys it on its topic.
    #[must_use]
    pub fn id(&self) -> Text {
        self.record.id()
    }

    /// Its version, if it has one.
    #[must_use]
    pub fn version(&self) -> Option<u32> {
        self.record.version()
    }

    /// What is compared where the highest version counts; 0 in all other tables.
    #[must_use]
    pub fn rank(&self) -> u32 {
        match self.topic().shape() {
            Shape::VersionedTable => self.version().unwrap_or(0),
            _ => 0,
        }
    }

    /// The payload of its record.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        self.record.to_json()
    }

    /// The record, if the row is one of this table.
    #[must_use]
    pub fn downcast_ref<R: TableRecord>(&self) -> Option<&R> {
        self.record.as_any().downcast_ref()
    }

    /// The record, shared, if the row is one of this table.
    #[must_use]
    pub fn downcast<R: TableRecord>(self) -> Option<Shared<R>> {
        let record = self.record.into_any().downcast().ok()?;
        Some(Shared::known(self.content, record))
    }
}

/// Everything wrong with a record that could be read.
pub fn problems<R: TableRecord>(record: &R) -> Problems {
    let mut check = Check::default();
    record.check(&mut check);
    check.problems()
}

impl<R: TableRecord> From<Shared<R>> for Row {
    fn from(shared: Shared<R>) -> Self {
        let (content, record) = shared.into_parts();
        Self { content, record }
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.record.fmt(f)
    }
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.content == other.content && self.topic() == other.topic()
    }
}

impl Eq for Row {}

impl PartialOrd for Row {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Row {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.topic(), self.content).cmp(&(other.topic(), other.content))
    }
}

impl Hash for Row {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.content.hash(state);
    }
}

/// The number of the topic, and the record's encoding.
impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = self.record.encode().map_err(serde::ser::Error::custom)?;
        let mut tuple = serializer.serialize_tuple(2)?;
        tuple.serialize_element(&self.topic().id())?;
        tuple.serialize_element(&Bytes(bytes))?;
        tuple.end()
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_tuple(2, RowVisitor)
    }
}

struct RowVisitor;

impl<'de> Visitor<'de> for RowVisitor {
    type Value = Row;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the number of a topic, and a row of it")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Row, A::Error> {
        let absent = || de::Error::custom("a row has two parts");
        let id: u16 = seq.next_element()?.ok_or_else(absent)?;
        let Bytes(bytes) = seq.next_element()?.ok_or_else(absent)?;
        let table = Topic::from_id(id).and_then(|topic| topic.entry().table.as_ref());
        let table = table.ok_or_else(|| de::Error::custom(format!("no input table has the number {id}")))?;
        (table.restore)(&bytes).map_err(de::Error::custom)
    }
}

/// Bytes that cross between workers and processes as such: a list of numbers would go one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BytesVisitor;

        impl Visitor<'_> for BytesVisitor {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(bytes)
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
        }

        deserializer.deserialize_byte_buf(BytesVisitor).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Asset, Region};

    fn region() -> Row {
        let text = r#"{"code":"330902","name":"定海区"}"#;
        Row::from_json(Topic::BASE_REGION, text).unwrap()
    }

    #[test]
    fn a_row_is_known_by_its_table() {
        let row = region();
        assert_eq!(
            (row.topic(), &*row.id(), row.version()),
            (Topic::BASE_REGION, "330902", None)
        );
        assert!(row.downcast_ref::<Asset>().is_none());
        let shared = row.clone().downcast::<Region>().unwrap();
        assert_eq!(&*shared.name, "定海区");
        assert_eq!(Row::from(shared), row);
        assert!(row.clone().downcast::<Asset>().is_none());
        assert!(matches!(Row::from_json(Topic::RISK_ASSET, "{}"), Err(None)));
        let wrong = Row::from_json(Topic::BASE_REGION, r#"{"code":"330902","name":"n","parent":"33"}"#);
        assert!(matches!(wrong, Err(Some(Unreadable::Wrong(_)))));
    }

    #[test]
    fn every_row_comes_back_from_its_bytes() {
        for topic in Topic::inputs().filter(|topic| topic.is_input_table()) {
            let row = Row::from_json(topic, topic.example()).unwrap();
            let mut bytes = Vec::new();
            binary::append(&mut bytes, &row).unwrap();
            let read: Row = binary::read(&bytes).unwrap();
            assert_eq!(read, row);
            assert_eq!(read.to_json().unwrap(), row.to_json().unwrap(), "{topic}");
        }
    }

    /// What stands in a checkpoint: it must be readable for as long as checkpoints are.
    #[test]
    fn the_bytes_of_a_row_are_those_that_they_always_were() {
        let row = region();
        let mut bytes = Vec::new();
        binary::append(&mut bytes, &row).unwrap();
        let golden = "0100\
            2b00000000000000\
            80d14b0b4d000000060000000000000000\
            0900000000000000e5ae9ae6b5b7e58cba\
            00\
            0000000000000000";
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, golden);
        assert_eq!(binary::read::<Row>(&bytes).unwrap(), row);
        // Of a table that there is not.
        bytes[0] = 255;
        let error = binary::read::<Row>(&bytes).unwrap_err();
        assert!(
            format!("{error:?}").contains("no input table has the number 255"),
            "{error:?}"
        );
    }
}
