//! JSON Schemas (2020-12) of the records on the topics, generated from the types.

use schemars::generate::SchemaSettings;
use schemars::transform::transform_subschemas;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use crate::Level;
use crate::topic::Topic;

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

/// The schema of what riskflow writes.
pub(crate) fn of_output<T: JsonSchema>() -> Schema {
    let mut schema = of::<T>();
    let said = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let said = format!("{said}\n\n{COMMITTED}");
    schema.insert("description".to_owned(), said.trim_start().into());
    schema
}

/// The schema of a topic's payload.
#[must_use]
pub fn of_topic(topic: Topic) -> Schema {
    let mut schema = (topic.entry().schema)();
    if let Ok(example) = serde_json::from_str::<Value>(topic.example()) {
        schema.insert("examples".to_owned(), json!([example]));
    }
    schema
}
