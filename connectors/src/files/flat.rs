//! Records of an output topic as rows of a table: which columns there are, and what stands in them.
//!
//! Columns come from the JSON Schema of the topic's records, so they do not depend on what is written: first [`EPOCH`], [`KEY`] and
//! [`OP`], of an exercise [`EXERCISE`], then the fields in the order of the type. A field of an object has its path as a name, with points between
//! (`explanation.rule_version`). Lists, and objects whose names are data, stay JSON. The record's own `epoch` is the first column, and
//! not there twice. A tombstone has the first cells alone.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::io;

use riskflow_model::topic::Topic;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::columns::{self, Kind};

pub(super) const EPOCH: &str = "epoch";
pub(super) const KEY: &str = "key";
/// Whether a record is a row or takes one away.
pub(super) const OP: &str = "op";

/// True in every row of an exercise, and no column of anything else.
pub(super) const EXERCISE: &str = "exercise";

/// A record with a payload, and a tombstone.
pub(super) const PUT: &str = "put";
pub(super) const DELETE: &str = "delete";

/// What stands in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Text,
    Flag,
    /// A whole number of at most 64 bits with a sign.
    Whole,
    /// One without a sign.
    Unsigned,
    Real,
    /// RFC 3339, UTC, with milliseconds.
    Time,
    Json,
}

/// A column behind the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub name: String,
    pub sort: Sort,
}

/// The table of a topic.
pub(super) struct Flat {
    topic: Topic,
    pub exercise: bool,
    pub columns: Vec<Column>,
    fields: Fields,
}

type Fields = BTreeMap<String, Node>;

/// What becomes of a field.
enum Node {
    /// It is this column.
    Column(usize),
    /// It is an object, and its fields are columns.
    Object(Fields),
    /// It stands elsewhere.
    Elsewhere,
}

impl Flat {
    pub fn of(topic: Topic, exercise: bool) -> Self {
        let schema = riskflow_model::schema::of_topic(topic);
        let root = schema.as_value();
        let mut columns = Vec::new();
        let mut fields = fields(root, resolved(root, root), "", &mut columns);
        fields.insert(EPOCH.to_owned(), Node::Elsewhere);
        Self {
            topic,
            exercise,
            columns,
            fields,
        }
    }

    /// The JSON of each column of a payload; `None` where it is null or not there.
    ///
    /// # Errors
    ///
    /// When it is not as the schema says: no such record is written.
    pub fn cells<'a>(&self, payload: &'a [u8]) -> io::Result<Vec<Option<&'a RawValue>>> {
        let mut cells = vec![None; self.columns.len()];
        let mut json = serde_json::Deserializer::from_slice(payload);
        let filled = Fill {
            fields: &self.fields,
            cells: &mut cells,
        };
        let filled = json.deserialize_any(filled).and_then(|()| json.end());
        filled.map_err(|error| self.strange(&error))?;
        Ok(cells)
    }

    /// A record is not as its schema says.
    pub fn strange(&self, detail: &dyn fmt::Display) -> io::Error {
        let says = format!("a record of `{}` is not as its schema says: {detail}", self.topic);
        io::Error::new(io::ErrorKind::InvalidData, says)
    }
}

/// The fields of an object, and their columns.
fn fields(root: &Value, schema: &Value, path: &str, columns: &mut Vec<Column>) -> Fields {
    let mut fields = Fields::new();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let full = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        if path.is_empty() && name == EPOCH {
            continue;
        }
        let node = match object(root, property) {
            // No record holds itself; a list may hold its like.
            Some(object) => Node::Object(self::fields(root, object, &full, columns)),
            None => {
                columns.push(Column {
                    name: full,
                    sort: sort(root, property),
                });
                Node::Column(columns.len() - 1)
            }
        };
        fields.insert(name.clone(), node);
    }
    fields
}

/// The schema of what is an object with fields of its own, or null.
fn object<'a>(root: &'a Value, schema: &'a Value) -> Option<&'a Value> {
    let schema = resolved(root, schema);
    if schema["properties"].is_object() && schema["oneOf"].is_null() && schema["anyOf"].is_null() {
        return Some(schema);
    }
    let choices = schema["anyOf"].as_array()?;
    let mut others = choices.iter().filter(|choice| choice["type"] != "null");
    let one = others.next().filter(|_| others.next().is_none())?;
    object(root, one)
}

fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => root.pointer(reference.trim_start_matches('#')).unwrap_or(schema),
        None => schema,
    }
}

fn sort(root: &Value, property: &Value) -> Sort {
    match columns::kind(root, property) {
        Kind::Text => Sort::Text,
        Kind::Number => Sort::Real,
        Kind::Whole if resolved(root, property)["format"] == "uint64" => Sort::Unsigned,
        Kind::Whole => Sort::Whole,
        Kind::Flag => Sort::Flag,
        Kind::Time => Sort::Time,
        Kind::List | Kind::Nested => Sort::Json,
    }
}

/// Fills the cells of an object's fields.
struct Fill<'f, 'a> {
    fields: &'f Fields,
    cells: &'f mut Vec<Option<&'a RawValue>>,
}

impl<'a> DeserializeSeed<'a> for Fill<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Fill<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(name) = map.next_key::<Name<'a>>()? {
            match self.fields.get(&*name.0) {
                Some(Node::Column(index)) => {
                    let value = map.next_value::<&RawValue>()?;
                    self.cells[*index] = Some(value).filter(|value| value.get() != "null");
                }
                Some(Node::Object(fields)) => map.next_value_seed(Fill {
                    fields,
                    cells: &mut *self.cells,
                })?,
                Some(Node::Elsewhere) => drop(map.next_value::<&RawValue>()?),
                None => return Err(de::Error::custom(format_args!("it has a field `{}`", name.0))),
            }
        }
        Ok(())
    }
}

/// A name, which hardly ever has to be unescaped.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(topic: &str) -> String {
        let flat = Flat::of(Topic::from_name(topic).unwrap(), false);
        let columns = flat
            .columns
            .iter()
            .map(|column| format!("{}:{:?}", column.name, column.sort));
        columns.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn columns_are_those_of_the_schema() {
        for (topic, columns) in [
            (
                "out.warning.delta",
                "id:Text kind:Text cause:Text rule:Text asset:Text since:Time at:Time from:Text to:Text explanation.rule_name:Text \
                 explanation.rule_version:Whole explanation.condition:Text explanation.source:Text explanation.datastream:Text \
                 explanation.held:Json explanation.features:Json explanation.interval:Text explanation.unit:Text \
                 explanation.asset_name:Text explanation.category:Text explanation.inherent_level:Whole explanation.region:Text \
                 explanation.region_name:Text explanation.limits:Json explanation.forecast:Flag stand_in.bytes:Unsigned \
                 stand_in.most:Unsigned",
            ),
            (
                "out.report.total",
                "region:Text module:Text kind:Text quantity:Text total:Real reports:Whole stand_in.bytes:Unsigned \
                 stand_in.most:Unsigned",
            ),
            (
                "out.progress",
                "clock:Time previous:Time offsets:Json marks:Json digest:Text anew:Flag parts:Whole",
            ),
            (
                "out.epoch",
                "clock:Time previous:Time offsets:Json marks:Json digest:Text anew:Flag parts:Whole",
            ),
        ] {
            assert_eq!(listed(topic), columns, "{topic}");
        }
    }

    #[test]
    fn no_topic_has_a_column_twice() {
        for topic in Topic::outputs() {
            let flat = Flat::of(topic, true);
            let mut names: Vec<&str> = flat.columns.iter().map(|column| &*column.name).collect();
            names.extend([EPOCH, KEY, OP, EXERCISE]);
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{topic}");
            assert!(count > 4, "{topic}");
        }
    }

    #[test]
    fn cells_are_the_fields_as_they_are_written() {
        let flat = Flat::of(Topic::REPORT_TOTAL, false);
        let payload = br#"{"region":"33","module":"m","kind":"k","quantity":"q","total":0.10,"reports":3,"stand_in":null,"epoch":"x"}"#;
        let cells = flat.cells(payload).unwrap();
        let texts: Vec<&str> = cells.iter().map(|cell| cell.map_or("-", RawValue::get)).collect();
        assert_eq!(texts, ["\"33\"", "\"m\"", "\"k\"", "\"q\"", "0.10", "3", "-", "-"]);
        let cut = flat
            .cells(br#"{"stand_in":{"bytes":7,"most":5},"region":null}"#)
            .unwrap();
        assert_eq!(cut[6].unwrap().get(), "7");
        assert!(cut[0].is_none());
        for wrong in [&br#"{"regoin":"33"}"#[..], br#"{"stand_in":5}"#, b"[]", b"{} {}"] {
            assert!(flat.cells(wrong).unwrap_err().to_string().contains("out.report.total"));
        }
    }
}
