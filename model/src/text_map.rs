//! A map by text as rows hold it.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::de::MapAccess;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thin_vec::ThinVec;

use crate::Text;
use crate::field::Unique;

/// A small map that does not change: its entries in the order of their keys, in one piece of memory. A row holds none, one or two
/// entries and there are hundreds of thousands of rows; a node of a `BTreeMap` has room for eleven. Eight bytes where it is empty. In JSON
/// an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TextMap<V>(ThinVec<(Text, V)>);

impl<V> TextMap<V> {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&V> {
        let position = self.0.binary_search_by(|(other, _)| (**other).cmp(key)).ok()?;
        self.0.get(position).map(|(_, value)| value)
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Of entries in the order of their keys, in as much memory as they need.
    fn of(entries: Vec<(Text, V)>) -> Self {
        let mut held = ThinVec::with_capacity(entries.len());
        held.extend(entries);
        Self(held)
    }

    /// All entries in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&Text, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }
}

impl<V> Default for TextMap<V> {
    fn default() -> Self {
        Self(ThinVec::new())
    }
}

/// Of entries with the same key the last counts.
impl<V> FromIterator<(Text, V)> for TextMap<V> {
    fn from_iter<I: IntoIterator<Item = (Text, V)>>(entries: I) -> Self {
        let mut entries: Vec<(Text, V)> = entries.into_iter().collect();
        if !entries.is_sorted_by(|(a, _), (b, _)| a < b) {
            entries.reverse();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            entries.dedup_by(|(a, _), (b, _)| a == b);
        }
        Self::of(entries)
    }
}

impl<V: Serialize> Serialize for TextMap<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// In JSON a key that is there twice is refused, and one whose value is null is as if it were absent.
impl<'de, V: Deserialize<'de>> Deserialize<'de> for TextMap<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            Unique::deserialize(deserializer).map(|Unique(entries)| Self::of(entries))
        } else {
            deserializer.deserialize_map(Visitor(PhantomData))
        }
    }
}

/// Reads what was written before: keys in order.
struct Visitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> de::Visitor<'de> for Visitor<V> {
    type Value = TextMap<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TextMap<V>, A::Error> {
        std::iter::from_fn(|| map.next_entry().transpose()).collect()
    }
}

impl<V: JsonSchema> JsonSchema for TextMap<V> {
    fn schema_name() -> Cow<'static, str> {
        std::collections::BTreeMap::<String, V>::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        std::collections::BTreeMap::<String, V>::json_schema(generator)
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_and_writes_as_an_object() {
        let map: TextMap<TextMap<i32>> = serde_json::from_str(r#"{"b":{"z":null,"y":3,"x":2},"a":{}}"#).unwrap();
        assert_eq!(serde_json::to_string(&map).unwrap(), r#"{"a":{},"b":{"x":2,"y":3}}"#);
        assert_eq!(map.get("b").and_then(|inner| inner.get("y")), Some(&3));
        assert_eq!(map.get("c"), None);
        let again: TextMap<TextMap<i32>> = bincode::deserialize(&bincode::serialize(&map).unwrap()).unwrap();
        assert_eq!(again, map);
        assert!(serde_json::from_str::<TextMap<i32>>("[]").is_err());
        let twice = serde_json::from_str::<TextMap<i32>>(r#"{"y":1,"x":2,"y":3}"#).unwrap_err();
        assert!(twice.to_string().contains("duplicate field `y`"), "{twice}");
    }
}
