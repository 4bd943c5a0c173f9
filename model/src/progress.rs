//! What `out.progress` holds: which input belongs to which epoch.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap as _, Serializer};
use serde::{Deserialize, Serialize};

use crate::topic::{Record, Shape, Spec, Topic};
use crate::{Millis, Text};

/// For partitions of input topics the offset of the next record: all before it are taken. A partition may have a *mark*: the
/// checksum of the record before that offset, if its store keeps one (the embedded log does). It shows whether a partition is
/// still the one that was read.
///
/// Written as an object from `topic/partition` to offset, topics without prefix; marks are written apart ([`Marks`]).
/// Equal are those with equal offsets.
#[derive(Clone, Debug, Default)]
pub struct Offsets(BTreeMap<(Topic, u16), Taken>);

#[derive(Clone, Copy, Debug)]
struct Taken {
    next: u64,
    mark: Option<u32>,
}

impl Offsets {
    /// The next offset of a partition; 0 where nothing is known of it.
    #[must_use]
    pub fn next(&self, topic: Topic, partition: u16) -> u64 {
        self.0.get(&(topic, partition)).map_or(0, |taken| taken.next)
    }

    /// The checksum of the record before that offset, if it is known.
    #[must_use]
    pub fn mark(&self, topic: Topic, partition: u16) -> Option<u32> {
        self.0.get(&(topic, partition)).and_then(|taken| taken.mark)
    }

    /// Whether nothing is known of any partition.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notes that everything before `next` is taken. Never goes back.
    pub fn advance(&mut self, topic: Topic, partition: u16, next: u64) {
        self.advance_marked(topic, partition, next, None);
    }

    /// Notes that everything before `next` is taken, and the mark there. Never goes back.
    pub fn advance_marked(&mut self, topic: Topic, partition: u16, next: u64, mark: Option<u32>) {
        let taken = self.0.entry((topic, partition)).or_insert(Taken { next, mark });
        if next > taken.next {
            *taken = Taken { next, mark };
        } else if next == taken.next {
            taken.mark = mark.or(taken.mark);
        }
    }

    /// Notes what another knows.
    pub fn merge(&mut self, other: &Self) {
        for ((topic, partition), taken) in &other.0 {
            self.advance_marked(*topic, *partition, taken.next, taken.mark);
        }
    }

    /// Of how many partitions anything is known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Topic, partition and next offset.
    pub fn iter(&self) -> impl Iterator<Item = (Topic, u16, u64)> {
        self.0
            .iter()
            .map(|((topic, partition), taken)| (*topic, *partition, taken.next))
    }

    /// The marks, to be written.
    #[must_use]
    pub fn marks(&self) -> Marks {
        let marked = self
            .0
            .iter()
            .filter_map(|(partition, taken)| Some((*partition, taken.mark?)));
        Marks(marked.collect())
    }

    /// With the marks that were written.
    #[must_use]
    pub fn with_marks(mut self, marks: &Marks) -> Self {
        for (partition, taken) in &mut self.0 {
            taken.mark = marks.0.get(partition).copied();
        }
        self
    }
}

impl PartialEq for Offsets {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Offsets {}

/// The marks of [`Offsets`]. Written as an object from `topic/partition` to checksum; topics without prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks(BTreeMap<(Topic, u16), u32>);

impl Marks {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Writes numbers by partition.
fn write_numbers<S: Serializer, V: Serialize>(
    numbers: impl ExactSizeIterator<Item = ((Topic, u16), V)>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(numbers.len()))?;
    for ((topic, partition), number) in numbers {
        map.serialize_entry(&format!("{topic}/{partition}"), &number)?;
    }
    map.end()
}

/// Reads numbers by partition.
struct Numbers<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for Numbers<V> {
    type Value = BTreeMap<(Topic, u16), V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object from `topic/partition` to a number")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut numbers = BTreeMap::new();
        while let Some((name, number)) = map.next_entry::<String, V>()? {
            let parsed = name
                .rsplit_once('/')
                .and_then(|(topic, partition)| Some((Topic::from_name(topic)?, partition.parse().ok()?)));
            let Some(partition) = parsed else {
                return Err(de::Error::custom(format!("`{name}` is no `topic/partition`")));
            };
            numbers.insert(partition, number);
        }
        Ok(numbers)
    }
}

impl Serialize for Offsets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let next = self.0.iter().map(|(partition, taken)| (*partition, taken.next));
        write_numbers(next, serializer)
    }
}

impl<'de> Deserialize<'de> for Offsets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let numbers = deserializer.deserialize_map(Numbers::<u64>(PhantomData))?;
        let taken = numbers
            .into_iter()
            .map(|(partition, next)| (partition, Taken { next, mark: None }));
        Ok(Self(taken.collect()))
    }
}

impl JsonSchema for Offsets {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Offsets".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        BTreeMap::<String, u64>::json_schema(generator)
    }
}

impl Serialize for Marks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let marks = self.0.iter().map(|(partition, mark)| (*partition, *mark));
        write_numbers(marks, serializer)
    }
}

impl<'de> Deserialize<'de> for Marks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Numbers(PhantomData)).map(Self)
    }
}

impl JsonSchema for Marks {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Marks".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        BTreeMap::<String, u32>::json_schema(generator)
    }
}

/// A record of `out.progress`: an epoch that was committed, keyed by its milliseconds in 20 digits.
///
/// Every epoch that took records or published any, or at which the clock woke a key of a fold, has one, until a checkpoint
/// covers it; then a tombstone takes its place, and the record with the key [`Progress::BASE`] says what stood before the
/// first that is left. On Kafka each start of a job leaves tombstones of its own ([`Progress::BEGUN`]).
///
/// A record holds at most [`Progress::MOST`] partitions. The others stand in further records of the same epoch, whose keys end
/// in `+1`, `+2` and so on; all of them are committed together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// The epoch.
    pub epoch: Millis,
    /// The time of the job's clock; absent if it equals the epoch. The two differ after a clock that was ahead, since epochs
    /// never go back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Millis>,
    /// The epoch committed before it; 0 for the first.
    pub previous: Millis,
    /// The partitions of which the epoch took records, and how far. In the base record: all of them.
    pub offsets: Offsets,
    /// Of these partitions the checksum of the last record before the offset, where there is one.
    #[serde(default, skip_serializing_if = "Marks::is_empty")]
    pub marks: Marks,
    /// XXH3-128 of what the epoch gave: topic, key and payload of every record, in order.
    pub digest: Text,
    /// Whether the state was made anew before this epoch, from what input was there: the epochs recorded before do not lead to it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub anew: bool,
    /// Over how many records the offsets are spread; absent: one.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub parts: u32,
}

impl Record for Progress {
    const SPEC: Spec = Spec {
        id: 1023,
        name: "out.progress",
        shape: Shape::Internal,
        key: "epoch",
        capability: None,
        example: "",
    };
}

const fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// A record of `out.epoch`: an epoch that was committed, as `out.progress` records it, and kept as long as other output logs. With it
/// a replay closes the very epochs that ran.
///
/// Beside the epochs stand positions ([`ClosedEpoch::position`]): with the first epoch of each run, and after checkpoints. Behind one
/// of them a replay can begin though the epochs before are gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ClosedEpoch(pub Progress);

impl Record for ClosedEpoch {
    const SPEC: Spec = Spec {
        id: 1022,
        name: "out.epoch",
        shape: Shape::InternalLog,
        key: "epoch",
        capability: None,
        example: "",
    };
}

impl ClosedEpoch {
    const POSITION: &str = "position-";

    /// The key of the position after an epoch: how far all partitions were taken by then.
    #[must_use]
    pub fn position(epoch: Millis) -> String {
        format!("{}{}", Self::POSITION, Progress::key(epoch))
    }

    /// Whether a key is that of a position.
    #[must_use]
    pub fn is_position(key: &str) -> bool {
        key.starts_with(Self::POSITION)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_one(parts: &u32) -> bool {
    *parts == 1
}

impl Progress {
    /// The key of the record that stands for all epochs whose own are gone.
    pub const BASE: &'static str = "base";

    /// How the keys begin of the tombstones that starting jobs write, one in each partition: once a job reads its own, it has read
    /// all that stands before them. There is never a row for them.
    pub const BEGUN: &'static str = "begun-";

    /// The key of the record that says what an exercise on Kafka is made of: its payload is that of `riskflow replay`, and no `Progress`.
    pub const EXERCISE: &'static str = "exercise";

    /// What time it was.
    #[must_use]
    pub fn time(&self) -> Millis {
        self.clock.unwrap_or(self.epoch)
    }

    /// A record holds the offsets of so many partitions at most.
    pub const MOST: usize = 500;

    /// The key of an epoch's record.
    #[must_use]
    pub fn key(epoch: Millis) -> String {
        format!("{:020}", epoch.0)
    }

    /// The keys of the records that offsets are spread over; `key` is the first.
    pub fn keys(key: &str, offsets: &Offsets) -> impl Iterator<Item = String> {
        let parts = offsets.len().div_ceil(Self::MOST).max(1);
        (0..parts).map(move |part| match part {
            0 => key.to_owned(),
            _ => format!("{key}+{part}"),
        })
    }

    /// The first of the keys that a record belongs to.
    #[must_use]
    pub fn first_key(key: &str) -> &str {
        key.split_once('+').map_or(key, |(first, _)| first)
    }

    /// The records with their keys; `key` is the first.
    #[must_use]
    pub fn split(self, key: &str) -> Vec<(String, Self)> {
        let keys: Vec<String> = Self::keys(key, &self.offsets).collect();
        let parts = keys.len() as u32;
        let offsets: Vec<_> = self
            .offsets
            .0
            .iter()
            .map(|(partition, next)| (*partition, *next))
            .collect();
        let mut spread = offsets.chunks(Self::MOST);
        let split = keys.into_iter().map(|key| {
            let offsets = Offsets(spread.next().unwrap_or_default().iter().copied().collect());
            let part = Self {
                marks: offsets.marks(),
                offsets,
                digest: self.digest.clone(),
                parts,
                ..self
            };
            (key, part)
        });
        split.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_round_trip_in_both_encodings_and_never_go_back() {
        let mut offsets = Offsets::default();
        offsets.advance(Topic::IN_OBSERVATION, 3, 17);
        offsets.advance(Topic::IN_OBSERVATION, 3, 5);
        offsets.advance(Topic::IN_RULE, 0, 1);
        let json = serde_json::to_string(&offsets).unwrap();
        assert_eq!(json, r#"{"in.rule/0":1,"in.observation/3":17}"#);
        assert_eq!(serde_json::from_str::<Offsets>(&json).unwrap(), offsets);
        let bytes = crate::binary::encode(&offsets).unwrap();
        assert_eq!(crate::binary::decode::<Offsets>(&bytes).unwrap(), offsets);
        assert!(serde_json::from_str::<Offsets>(r#"{"in.nothing/0":1}"#).is_err());
    }

    #[test]
    fn many_partitions_are_spread_over_records_that_fit_everywhere() {
        let mut progress = Progress {
            epoch: Millis(i64::MAX),
            clock: None,
            previous: Millis(0),
            offsets: Offsets::default(),
            marks: Marks::default(),
            digest: "0".repeat(32).into(),
            anew: false,
            parts: 1,
        };
        let one = progress.clone().split("base");
        assert_eq!(one, [("base".to_owned(), progress.clone())]);
        assert!(!serde_json::to_string(&progress).unwrap().contains("parts"));
        for partition in 0..1250 {
            progress
                .offsets
                .advance_marked(Topic::BASE_DATASTREAM, u16::MAX - partition, u64::MAX, Some(u32::MAX));
        }
        let split = progress.clone().split("base");
        let keys: Vec<&str> = split.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["base", "base+1", "base+2"]);
        let mut offsets = Offsets::default();
        for (key, part) in &split {
            assert_eq!((Progress::first_key(key), part.parts), ("base", 3));
            let bytes = serde_json::to_vec(part).unwrap().len();
            assert!(bytes < 60_000, "{bytes}");
            offsets.merge(&part.offsets);
        }
        assert_eq!(offsets, progress.offsets);
    }

    #[test]
    fn a_mark_belongs_to_its_offset() {
        let mut offsets = Offsets::default();
        offsets.advance_marked(Topic::IN_RULE, 0, 5, Some(7));
        offsets.advance(Topic::IN_RULE, 0, 5);
        assert_eq!(offsets.mark(Topic::IN_RULE, 0), Some(7));
        let json = serde_json::to_string(&offsets.marks()).unwrap();
        assert_eq!(json, r#"{"in.rule/0":7}"#);
        let read: Offsets = serde_json::from_str(r#"{"in.rule/0":5}"#).unwrap();
        assert_eq!(read, offsets, "marks do not count");
        let read = read.with_marks(&serde_json::from_str(&json).unwrap());
        assert_eq!(read.mark(Topic::IN_RULE, 0), Some(7));
        offsets.advance(Topic::IN_RULE, 0, 6);
        assert_eq!(offsets.mark(Topic::IN_RULE, 0), None);
        offsets.merge(&read);
        assert_eq!(offsets.mark(Topic::IN_RULE, 0), None);
    }
}
