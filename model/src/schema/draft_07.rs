//! The same schemas in Draft 7 of JSON Schema, for tools that know no later one.
//!
//! Registries of schemas are such tools: Apicurio 3.0 stores a schema of 2020-12, and fails whenever it is to compare it with another.

use schemars::Schema;
use schemars::transform::{
    RemoveRefSiblings, ReplacePrefixItems, ReplaceUnevaluatedProperties, Transform as _, transform_subschemas,
};
use serde_json::Value;

/// What says that a schema is of Draft 7.
pub const DRAFT_07: &str = "http://json-schema.org/draft-07/schema#";

/// A schema of 2020-12 in Draft 7: it takes the same values. Keywords that only the later one has are written otherwise; what neither
/// schemars nor riskflow writes (`$dynamicRef`, `dependentSchemas`, …) is left as it is.
#[must_use]
pub fn draft_07(mut schema: Schema) -> Schema {
    ReplaceUnevaluatedProperties::default().transform(&mut schema);
    RemoveRefSiblings::default().transform(&mut schema);
    ReplacePrefixItems::default().transform(&mut schema);
    redirect(&mut schema);
    if let Some(definitions) = schema.remove("$defs") {
        schema.insert("definitions".to_owned(), definitions);
    }
    schema.insert("$schema".to_owned(), DRAFT_07.into());
    schema
}

/// References to where definitions are in Draft 7.
fn redirect(schema: &mut Schema) {
    transform_subschemas(&mut redirect, schema);
    let place = schema.get("$ref").and_then(Value::as_str);
    let place = place.and_then(|place| place.strip_prefix("#/$defs/"));
    if let Some(place) = place.map(|name| format!("#/definitions/{name}")) {
        schema.insert("$ref".to_owned(), place.into());
    }
}

#[cfg(test)]
mod tests {
    use schemars::json_schema;
    use serde_json::json;

    use super::*;
    use crate::schema::of_topic;
    use crate::topic::Topic;

    #[test]
    fn what_draft_7_does_not_know_is_written_otherwise() {
        let schema = draft_07(json_schema!({
            "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
            "properties": {
                "time": { "$ref": "#/$defs/Time", "description": "when" },
                "pair": { "type": "array", "prefixItems": [{ "type": "number" }, { "$ref": "#/$defs/Time" }], "items": false },
            },
            "$defs": { "Time": { "type": "integer" } },
        }));
        let expected = json!({
            "$schema": DRAFT_07, "type": "object",
            "properties": {
                "time": { "description": "when", "allOf": [{ "$ref": "#/definitions/Time" }] },
                "pair": { "type": "array", "items": [{ "type": "number" }, { "$ref": "#/definitions/Time" }], "additionalItems": false },
            },
            "definitions": { "Time": { "type": "integer" } },
        });
        assert_eq!(schema.to_value(), expected);
    }

    #[test]
    fn no_topic_has_a_keyword_of_later_drafts() {
        for topic in Topic::all() {
            let text = draft_07(of_topic(topic)).to_value().to_string();
            for keyword in [
                "$defs",
                "2020-12",
                "prefixItems",
                "unevaluated",
                "dependentSchemas",
                "dependentRequired",
                "$dynamicRef",
                "minContains",
            ] {
                assert!(!text.contains(keyword), "{topic} has `{keyword}`");
            }
        }
    }
}
