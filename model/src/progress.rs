//! What `out.progress` holds: which input belongs to which epoch.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use schemars::JsonSchema;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap as _, Serializer};
use serde::{Deserialize, Serialize};

use crate::topic::Topic;
use crate::{Millis, Text};

/// For partitions of input topics the offset of the next record: all before it are taken.
///
/// Written as an object from `topic/partition` to offset; topics without prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offsets(BTreeMap<(Topic, u16), u64>);

impl Offsets {
    /// The next offset of a partition; 0 where nothing is known of it.
    #[must_use]
    pub fn next(&self, topic: Topic, partition: u16) -> u64 {
        self.0.get(&(topic, partition)).copied().unwrap_or(0)
    }

    /// Whether nothing is known of any partition.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notes that everything before `next` is taken. Never goes back.
    pub fn advance(&mut self, topic: Topic, partition: u16, next: u64) {
        match self.0.entry((topic, partition)) {
            Entry::Occupied(mut entry) => *entry.get_mut() = next.max(*entry.get()),
            Entry::Vacant(entry) => {
                entry.insert(next);
            }
        }
    }

    /// Notes what another knows.
    pub fn merge(&mut self, other: &Self) {
        for (topic, partition, next) in other.iter() {
            self.advance(topic, partition, next);
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
            .map(|((topic, partition), next)| (*topic, *partition, *next))
    }
}

impl Serialize for Offsets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (topic, partition, next) in self.iter() {
            map.serialize_entry(&format!("{topic}/{partition}"), &next)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Offsets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Partitions;
        impl<'de> Visitor<'de> for Partitions {
            type Value = Offsets;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object from `topic/partition` to offset")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Offsets, A::Error> {
                let mut offsets = Offsets::default();
                while let Some((name, next)) = map.next_entry::<String, u64>()? {
                    let parsed = name
                        .rsplit_once('/')
                        .and_then(|(topic, partition)| Some((Topic::from_name(topic)?, partition.parse().ok()?)));
                    let Some((topic, partition)) = parsed else {
                        return Err(de::Error::custom(format!("`{name}` is no `topic/partition`")));
                    };
                    offsets.advance(topic, partition, next);
                }
                Ok(offsets)
            }
        }
        deserializer.deserialize_map(Partitions)
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
    /// What time it was then; absent where that is the epoch itself. It is another where the clock was ahead before: epochs
    /// never go back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Millis>,
    /// The epoch committed before it; 0 for the first.
    pub previous: Millis,
    /// The partitions of which the epoch took records, and how far. In the base record: all of them.
    pub offsets: Offsets,
    /// XXH3-128 of what the epoch gave: topic, key and payload of every record, in order.
    pub digest: Text,
    /// Over how many records the offsets are spread; absent: one.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub parts: u32,
}

const fn one() -> u32 {
    1
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

    /// What time it was.
    #[must_use]
    pub fn time(&self) -> Millis {
        self.clock.unwrap_or(self.epoch)
    }
    /// A record holds the offsets of so many partitions at most.
    pub const MOST: usize = 1000;

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
            let offsets = spread.next().unwrap_or_default();
            let part = Self {
                offsets: Offsets(offsets.iter().copied().collect()),
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
        offsets.advance(Topic::InObservation, 3, 17);
        offsets.advance(Topic::InObservation, 3, 5);
        offsets.advance(Topic::InRule, 0, 1);
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
            digest: "0".repeat(32).into(),
            parts: 1,
        };
        let one = progress.clone().split("base");
        assert_eq!(one, [("base".to_owned(), progress.clone())]);
        assert!(!serde_json::to_string(&progress).unwrap().contains("parts"));
        for partition in 0..2500 {
            progress
                .offsets
                .advance(Topic::BaseDatastream, u16::MAX - partition, u64::MAX);
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
}
