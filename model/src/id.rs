//! Identifiers that say of what they are one.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::intake::{Incident, Limit};
use crate::output::{CaseState, WarningState};
use crate::rule::RuleRecord;
use crate::{Key, Text};

/// The identifier of a `T`: the record that has it, or one of the kinds below where there are several.
///
/// An asset, its datastream and a rule are all called by texts; only the type tells them apart, so that one is not taken for the
/// other. It is in the type alone: encodings, order, hash and schema are those of the [`Text`]. Of an identifier of one kind none
/// of another is made, but where each of the first is one of the second ([`OneOf`]).
pub struct Id<T: ?Sized> {
    text: Text,
    of: PhantomData<fn() -> T>,
}

/// What a warning comes from: a rule or a limit. These may have one name; [`SourceKind`](crate::output::SourceKind) tells which.
#[derive(Debug)]
pub enum RuleOrLimit {}

/// What kind of incident it is: people give the names.
#[derive(Debug)]
pub enum Hazard {}

/// What duties and plans select cases by: the rule or limit of a warning, the hazard of an incident.
#[derive(Debug)]
pub enum RuleOrHazard {}

/// What a case rests on. Of a warning 32 hexadecimal digits, of an incident anything else.
#[derive(Debug)]
pub enum WarningOrIncident {}

/// Warnings that share a case, by the name of the first of them. An incident is alone in the run of its name.
#[derive(Debug)]
pub enum Run {}

/// What an action names: a case, or a warning or incident on which one rests.
#[derive(Debug)]
pub enum CaseReference {}

/// Each identifier of this kind is also one of the other.
pub trait OneOf<Whole: ?Sized> {}

impl OneOf<RuleOrLimit> for RuleRecord {}
impl OneOf<RuleOrLimit> for Limit {}
impl OneOf<RuleOrHazard> for RuleOrLimit {}
impl OneOf<RuleOrHazard> for Hazard {}
impl OneOf<WarningOrIncident> for WarningState {}
impl OneOf<WarningOrIncident> for Incident {}
impl OneOf<Run> for WarningState {}
impl OneOf<Run> for Incident {}
impl OneOf<Run> for WarningOrIncident {}
impl OneOf<CaseReference> for CaseState {}
impl OneOf<CaseReference> for WarningOrIncident {}

impl<T: ?Sized> Id<T> {
    /// The identifier that is written so.
    #[must_use]
    pub fn new(text: impl Into<Text>) -> Self {
        Self {
            text: text.into(),
            of: PhantomData,
        }
    }

    /// As written.
    #[must_use]
    pub const fn text(&self) -> &Text {
        &self.text
    }

    /// As written, for where any identifier may stand.
    #[must_use]
    pub fn into_text(self) -> Text {
        self.text
    }

    /// What stands for it inside the dataflow.
    #[must_use]
    pub fn key(&self) -> Key {
        Key::of(&self.text)
    }

    /// The same as one of a wider kind.
    #[must_use]
    pub fn widen<Whole: ?Sized>(&self) -> Id<Whole>
    where
        T: OneOf<Whole>,
    {
        Id::new(self.text.clone())
    }

    /// The same as one of a narrower kind: for whoever knows that it is one.
    #[must_use]
    pub fn narrow<Part: OneOf<T> + ?Sized>(&self) -> Id<Part> {
        Id::new(self.text.clone())
    }
}

impl<T: ?Sized> Clone for Id<T> {
    fn clone(&self) -> Self {
        Self::new(self.text.clone())
    }
}

impl<T: ?Sized> Default for Id<T> {
    fn default() -> Self {
        Self::new(Text::default())
    }
}

impl<T: ?Sized> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<T: ?Sized> Eq for Id<T> {}

impl<T: ?Sized> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: ?Sized> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl<T: ?Sized> Hash for Id<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl<T: ?Sized> Deref for Id<T> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl<T: ?Sized> Borrow<str> for Id<T> {
    fn borrow(&self) -> &str {
        &self.text
    }
}

impl<T: ?Sized> From<&str> for Id<T> {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl<T: ?Sized> From<String> for Id<T> {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl<T: ?Sized> fmt::Display for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl<T: ?Sized> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl<T: ?Sized> Serialize for Id<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.text.serialize(serializer)
    }
}

impl<'de, T: ?Sized> Deserialize<'de> for Id<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Text::deserialize(deserializer).map(Self::new)
    }
}

impl<T: ?Sized> JsonSchema for Id<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        Text::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        Text::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Text::json_schema(generator)
    }

    fn inline_schema() -> bool {
        Text::inline_schema()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

    use super::*;
    use crate::base::Asset;

    #[test]
    fn an_identifier_is_encoded_as_its_text() {
        let (text, id) = (Text::from("a/1"), Id::<Asset>::from("a/1"));
        assert_eq!(
            serde_json::to_string(&id).unwrap(),
            serde_json::to_string(&text).unwrap()
        );
        let bytes = bincode::serialize(&text).unwrap();
        assert_eq!(bincode::serialize(&id).unwrap(), bytes);
        assert_eq!(bincode::deserialize::<Id<Asset>>(&bytes).unwrap(), id);
        let schema = |schema: Schema| serde_json::to_string(&schema).unwrap();
        assert_eq!(
            schema(schemars::schema_for!(Id<Asset>)),
            schema(schemars::schema_for!(Text))
        );
        assert_eq!(format!("{id} {id:?}"), format!("{text} {text:?}"));
        assert_eq!((id.key(), id.text()), (Key::of("a/1"), &text));
    }

    #[test]
    fn maps_by_identifier_are_asked_by_text() {
        let ids = ["b", "a", "c"].map(Id::<Asset>::from);
        let hashes = BuildHasherDefault::<DefaultHasher>::default();
        assert_eq!(hashes.hash_one(&ids[0]), hashes.hash_one("b"));
        let sorted: BTreeSet<_> = ids.into_iter().collect();
        assert!(sorted.contains("c") && !sorted.contains("d"));
        assert_eq!(sorted.iter().map(|id| &**id).collect::<Vec<_>>(), ["a", "b", "c"]);
    }
}
