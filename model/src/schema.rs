//! JSON Schemas (2020-12) of the records on the topics, generated from the types.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use schemars::transform::transform_subschemas;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Level;
use crate::output::Stamped;
use crate::topic::{Direction, Topic};

pub mod asyncapi;
pub mod components;
pub mod draft_07;

/// The schema of a type.
#[must_use]
pub fn of<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<T>()
}

/// The schema of a type of input records: a field that may be absent may be null as well.
#[must_use]
pub fn of_input<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12()
        .with_transform(nullable)
        .into_generator()
        .into_root_schema_for::<T>()
}

/// The schema of a map by the levels that warn, at least one.
pub fn levels<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let of_level = generator.subschema_for::<T>();
    let properties: serde_json::Map<String, Value> = Level::WARNING
        .into_iter()
        .map(|level| (level.name().to_owned(), of_level.clone().into()))
        .collect();
    schemars::json_schema!({
        "type": "object", "properties": properties, "additionalProperties": false, "minProperties": 1
    })
}

fn nullable(schema: &mut Schema) {
    transform_subschemas(&mut nullable, schema);
    let Some(object) = schema.as_object_mut() else { return };
    let required = object
        .get("required")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let Some(Value::Object(properties)) = object.get_mut("properties") else {
        return;
    };
    for (name, property) in properties.iter_mut() {
        if !required.iter().any(|required| required == name) {
            allow_null(property);
        }
    }
}

fn allow_null(property: &mut Value) {
    let Value::Object(schema) = property else { return };
    let null = json!({ "type": "null" });
    if let Some(reference) = schema.remove("$ref") {
        schema.insert("anyOf".to_owned(), json!([{ "$ref": reference }, { "type": "null" }]));
    } else if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        if !choices.contains(&null) {
            choices.push(null);
        }
    } else if let Some(one @ Value::String(_)) = schema.get("type").cloned()
        && one != "null"
    {
        schema.insert("type".to_owned(), json!([one, "null"]));
    }
}

/// What whoever consumes an output topic has to know.
const COMMITTED: &str =
    "On Kafka read committed records only (`isolation.level=read_committed`): others never counted.";

/// The schema of what only riskflow itself reads again.
pub(crate) fn of_internal<T: JsonSchema>() -> Schema {
    committed(of::<T>())
}

/// The schema of a record as it is written, with the record's own name and description.
pub(crate) fn of_output<R: JsonSchema>() -> Schema
where
    Stamped<R>: JsonSchema,
{
    let mut schema = of::<Stamped<R>>();
    let record = of::<R>();
    for part in ["title", "description"] {
        if let Some(said) = record.get(part) {
            schema.insert(part.to_owned(), said.clone());
        }
    }
    committed(schema)
}

fn committed(mut schema: Schema) -> Schema {
    let said = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let said = format!("{said}\n\n{COMMITTED}");
    schema.insert("description".to_owned(), said.trim_start().into());
    schema
}

/// The schema of a topic's payload, with an [`example`].
#[must_use]
pub fn of_topic(topic: Topic) -> Schema {
    let mut schema = (topic.entry().schema)();
    if let Some(Example { value, .. }) = example(topic) {
        schema.insert("examples".to_owned(), json!([value]));
    }
    schema
}

/// A record of a topic.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Example {
    /// Its key.
    pub key: String,
    /// Its payload.
    pub value: Value,
}

/// Records that jobs wrote, by topic.
static WRITTEN: LazyLock<BTreeMap<String, Example>> = LazyLock::new(|| {
    let examples = serde_json::from_str(include_str!("output/examples.json"));
    examples.expect("a test reads the file")
});

/// A record of a topic: of an input its [`Topic::example`], of an output one that a job wrote.
#[must_use]
pub fn example(topic: Topic) -> Option<Example> {
    match topic.direction() {
        Direction::In => {
            let value: Value = serde_json::from_str(topic.example()).ok()?;
            let key = value.get(topic.key())?.as_str()?.to_owned();
            Some(Example { key, value })
        }
        Direction::Out => WRITTEN.get(topic.name()).cloned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_has_an_example_and_every_example_a_topic() {
        for topic in Topic::all() {
            let found = example(topic).unwrap_or_else(|| panic!("{topic} has none"));
            assert!(!found.key.is_empty() && found.value.is_object(), "{topic}: {found:?}");
        }
        for name in WRITTEN.keys() {
            let topic = Topic::from_name(name).unwrap_or_else(|| panic!("there is no topic `{name}`"));
            assert_eq!(topic.direction(), Direction::Out);
        }
    }

    #[test]
    fn the_schema_of_an_output_has_the_name_of_its_record_and_the_epoch() {
        let schema = of_topic(Topic::WARNING_STATE);
        assert_eq!(schema.get("title"), Some(&json!("WarningState")));
        let said = schema.get("description").and_then(Value::as_str).unwrap();
        assert!(
            said.starts_with("A row of `out.warning.state`") && said.ends_with(COMMITTED),
            "{said}"
        );
        let required = schema.get("required").and_then(Value::as_array).unwrap();
        assert!(required.contains(&json!("epoch")));
    }
}
