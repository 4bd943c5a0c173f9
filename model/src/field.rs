//! How fields of records are read, for serde's `deserialize_with`: null in an optional field is as if it were absent, an object is an
//! object (serde would take a list for one, by position), and no key of an object is there twice.
//!
//! All of it holds for JSON only. Binary encodings are our own and read as they were written.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, SeqAccess};
use serde::{Deserialize, Deserializer, de};

use crate::{Level, Text};

/// A value that may be absent, with its default then. Beside it goes `#[serde(default)]`.
///
/// # Errors
///
/// When a value is there that is none of its type.
pub fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    if deserializer.is_human_readable() {
        Option::deserialize(deserializer).map(Option::unwrap_or_default)
    } else {
        T::deserialize(deserializer)
    }
}

/// A struct that may not be written as a list.
///
/// # Errors
///
/// When it is no object, or one of its fields is none of its type.
pub fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Object::deserialize(deserializer).map(|Object(value)| value)
}

/// The same where it may be absent.
///
/// # Errors
///
/// As [`object`].
pub fn object_or_none<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let object: Option<Object<T>> = Option::deserialize(deserializer)?;
    Ok(object.map(|Object(value)| value))
}

/// The same in a box: few rows have it.
///
/// # Errors
///
/// As [`object`].
pub fn boxed_or_none<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Box<T>>, D::Error> {
    object_or_none(deserializer).map(|object| object.map(Box::new))
}

/// A list of such structs.
///
/// # Errors
///
/// As [`object`].
pub fn objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let objects: Vec<Object<T>> = Vec::deserialize(deserializer)?;
    Ok(objects.into_iter().map(|Object(value)| value).collect())
}

/// The same where it may be absent: it is empty then.
///
/// # Errors
///
/// As [`object`].
pub fn objects_or_none<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let objects: Vec<Object<T>> = or_default(deserializer)?;
    Ok(objects.into_iter().map(|Object(value)| value).collect())
}

/// A map of which no key is there twice; a value of null is as if its key were absent, and so is a map of null.
///
/// # Errors
///
/// When it is no object, a key is there twice, or a value is none of its type.
pub fn unique<'de, D: Deserializer<'de>, V: Deserialize<'de>>(deserializer: D) -> Result<BTreeMap<Text, V>, D::Error> {
    if !deserializer.is_human_readable() {
        return BTreeMap::deserialize(deserializer);
    }
    let unique: Option<Unique<Text, V>> = Option::deserialize(deserializer)?;
    Ok(unique.map(|unique| unique.0.into_iter().collect()).unwrap_or_default())
}

/// A map by the levels that warn, each at most once.
///
/// # Errors
///
/// When it is no object, a key is no level or there twice, or a value is none of its type.
pub fn levels<'de, D: Deserializer<'de>, V: Deserialize<'de>>(deserializer: D) -> Result<BTreeMap<Level, V>, D::Error> {
    if !deserializer.is_human_readable() {
        return BTreeMap::deserialize(deserializer);
    }
    let Unique(levels) = Unique::<WarningLevel, V>::deserialize(deserializer)?;
    Ok(levels.into_iter().map(|(level, value)| (level.0, value)).collect())
}

/// The same of structs.
///
/// # Errors
///
/// As [`levels`], and [`object`].
pub fn levels_of_objects<'de, D: Deserializer<'de>, V: Deserialize<'de>>(
    deserializer: D,
) -> Result<BTreeMap<Level, V>, D::Error> {
    if !deserializer.is_human_readable() {
        return BTreeMap::deserialize(deserializer);
    }
    let levels: BTreeMap<Level, Object<V>> = levels(deserializer)?;
    Ok(levels
        .into_iter()
        .map(|(level, Object(value))| (level, value))
        .collect())
}

struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_map(ObjectVisitor(PhantomData))
        } else {
            T::deserialize(deserializer).map(Self)
        }
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> de::Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

/// A key of such a map.
pub(crate) trait UniqueKey: Ord {
    /// Reads it.
    fn read<E: de::Error>(key: String) -> Result<Self, E>
    where
        Self: Sized;
    /// As written.
    fn name(&self) -> &str;
}

impl UniqueKey for Text {
    fn read<E: de::Error>(key: String) -> Result<Self, E> {
        Ok(key.into())
    }

    fn name(&self) -> &str {
        self
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct WarningLevel(Level);

impl UniqueKey for WarningLevel {
    fn read<E: de::Error>(key: String) -> Result<Self, E> {
        let level = Level::WARNING.into_iter().find(|level| level.name() == key);
        level.map(Self).ok_or_else(|| {
            let names = Level::WARNING.map(Level::name);
            E::custom(format!(
                "unknown field `{key}`, expected one of `{}`",
                names.join("`, `")
            ))
        })
    }

    fn name(&self) -> &str {
        self.0.name()
    }
}

/// The entries of an object, none of them twice, none of them null; in the order of their keys.
pub(crate) struct Unique<K, V>(pub(crate) Vec<(K, V)>);

impl<'de, K: UniqueKey, V: Deserialize<'de>> Deserialize<'de> for Unique<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(UniqueVisitor(PhantomData))
    }
}

struct UniqueVisitor<K, V>(PhantomData<(K, V)>);

impl<'de, K: UniqueKey, V: Deserialize<'de>> de::Visitor<'de> for UniqueVisitor<K, V> {
    type Value = Unique<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique<K, V>, A::Error> {
        let mut entries: Vec<(K, Option<V>)> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let key = K::read(key)?;
            entries.push((key, map.next_value()?));
        }
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        if let Some(twice) = entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(de::Error::custom(format!("duplicate field `{}`", twice[0].0.name())));
        }
        let there = entries.into_iter().filter_map(|(key, value)| Some((key, value?)));
        Ok(Unique(there.collect()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Unique<K, V>, A::Error> {
        Err(de::Error::invalid_type(de::Unexpected::Seq, &self))
    }
}
