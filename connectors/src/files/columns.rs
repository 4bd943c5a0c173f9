//! What the columns of a table are: told by the JSON Schema of the topic's records, which comes from their types.

use std::collections::BTreeMap;

use riskflow_model::topic::Topic;
use serde_json::{Map, Value};

/// How the cells of a column become JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A string, also where it looks like a number.
    Text,
    /// A number.
    Number,
    /// A whole number; spreadsheets write 3 as `3.0`.
    Whole,
    /// `true` or `false`, in any case.
    Flag,
    /// Digits alone are milliseconds, and a number.
    Time,
    /// Texts with `;` between, or a list as JSON.
    List,
    /// JSON.
    Nested,
}

/// The fields of a topic's records.
pub(super) struct Fields {
    kinds: BTreeMap<String, Kind>,
    /// Names of each field that must be there.
    required: Vec<Vec<String>>,
}

impl Fields {
    pub fn of(topic: Topic) -> Self {
        let schema = riskflow_model::schema::of_topic(topic);
        let root = schema.as_value();
        let mut fields = Self {
            kinds: BTreeMap::new(),
            required: Vec::new(),
        };
        let properties = root["properties"].as_object().cloned().unwrap_or_else(Map::new);
        for (name, property) in properties {
            let kind = kind(root, &property);
            let aliases = property["x-aliases"].as_array().into_iter().flatten();
            let names: Vec<String> = aliases
                .filter_map(|alias| alias.as_str().map(str::to_owned))
                .chain([name.clone()])
                .collect();
            fields.kinds.extend(names.iter().map(|name| (name.clone(), kind)));
            let required = root["required"].as_array().into_iter().flatten();
            if required.into_iter().any(|required| *required == name) {
                fields.required.push(names);
            }
        }
        fields
    }

    /// What a column is; one that is no field is text.
    pub fn kind(&self, name: &str) -> Kind {
        self.kinds.get(name).copied().unwrap_or(Kind::Text)
    }

    /// All names, and whether each is that of a time.
    pub fn names(&self) -> impl Iterator<Item = (&str, bool)> {
        self.kinds
            .iter()
            .map(|(name, kind)| (name.as_str(), *kind == Kind::Time))
    }

    /// Whether there is one of that name.
    pub fn has(&self, name: &str) -> bool {
        self.kinds.contains_key(name)
    }

    /// The fields that must be there and are not among these columns.
    pub fn missing(&self, columns: &[&str]) -> Vec<&str> {
        let there = |names: &[String]| names.iter().any(|name| columns.contains(&name.as_str()));
        let missing = self.required.iter().filter(|names| !there(names));
        missing.filter_map(|names| names.last().map(String::as_str)).collect()
    }
}

/// What a property of a schema is.
pub(super) fn kind(root: &Value, property: &Value) -> Kind {
    let mut types = Vec::new();
    let mut of_text = false;
    collect(root, property, &mut types, &mut of_text);
    let is = |name: &str| types.iter().any(|known| known == name);
    match () {
        () if is("array") && of_text => Kind::List,
        () if is("array") || is("object") => Kind::Nested,
        // What is no number there is a name.
        () if is("number") => Kind::Number,
        () if is("boolean") => Kind::Flag,
        () if is("string") && is("integer") => Kind::Time,
        () if is("string") => Kind::Text,
        () if is("integer") => Kind::Whole,
        () => Kind::Number,
    }
}

/// The types that a value may have, and whether the items of a list are texts.
fn collect(root: &Value, schema: &Value, types: &mut Vec<String>, of_text: &mut bool) {
    if let Some(reference) = schema["$ref"].as_str() {
        let place = root.pointer(reference.trim_start_matches('#'));
        collect(root, place.unwrap_or(&Value::Null), types, of_text);
    }
    for choices in ["anyOf", "oneOf"] {
        for choice in schema[choices].as_array().into_iter().flatten() {
            collect(root, choice, types, of_text);
        }
    }
    match &schema["type"] {
        Value::String(name) => types.push(name.clone()),
        Value::Array(names) => types.extend(names.iter().filter_map(|name| name.as_str().map(str::to_owned))),
        _ => {}
    }
    *of_text |= schema["items"]["type"] == "string";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_every_table_has_the_kind_of_its_type() {
        let expected = [
            (Topic::BASE_REGION, "code:Text name:Text parent:Text thresholds:Nested"),
            (
                Topic::BASE_ASSET,
                "category:Text domain:Text id:Text inherent_level:Whole name:Text population:Whole position:Nested region:Text tags:List thresholds:Nested",
            ),
            (
                Topic::BASE_DATASTREAM,
                "asset:Text id:Text interval:Text no_value:Nested observed_property:Text reporting:Text states:Nested tags:List thresholds:Nested unit:Text valid:Nested",
            ),
            (Topic::BASE_UNIT, "id:Text name:Text parent:Text region:Text"),
            (Topic::BASE_USER, "channel:Text id:Text posts:Nested"),
            (
                Topic::BASE_DUTY,
                "asset:Text domain:Text id:Text level:Text region:Text role:Text roster:Nested rules:List unit:Text valid_from:Time valid_to:Time",
            ),
            (
                Topic::BASE_PLAN,
                "domain:Text id:Text level:Text name:Text region:Text rules:List tasks:Nested",
            ),
            (
                Topic::BASE_LIMIT,
                "category:List domain:Text id:Text levels:Nested measure:Text region:Text version:Whole work_type:Text",
            ),
            (
                Topic::IN_RULE,
                "id:Text levels:Nested name:Text pane:Text select:Nested source:Text unit:Text version:Whole",
            ),
            (
                Topic::IN_PERMIT,
                "asset:Text cancelled_from:Time holders:List id:Text kind:Text valid_from:Time valid_to:Time version:Whole work_type:Text",
            ),
            (
                Topic::IN_REPORT,
                "deleted:Flag id:Text kind:Text module:Text quantities:Nested region:Text time:Time version:Whole",
            ),
            (
                Topic::IN_INCIDENT,
                "asset:Text domain:Text hazard:Text id:Text level:Text region:Text since:Time state:Text title:Text version:Whole",
            ),
            (
                Topic::IN_OBSERVATION,
                "datastream:Text op:Text phenomenonTime:Time phenomenon_time:Time quality:Text result:Number resultQuality:Text",
            ),
            (
                Topic::IN_ACTION,
                "action:Text actor:Text assignee:Text case:Text evidence:Text id:Text override:Flag role:Text task:Text text:Text time:Time unit:Text until:Time warning:Text",
            ),
        ];
        for (topic, fields) in expected {
            let of = Fields::of(topic);
            let found: Vec<String> = of.kinds.iter().map(|(name, kind)| format!("{name}:{kind:?}")).collect();
            assert_eq!(found.join(" "), fields, "{topic}");
        }
    }

    #[test]
    fn the_cells_of_a_column_become_what_its_field_is() {
        for topic in Topic::inputs() {
            let fields = Fields::of(topic);
            let example: Map<String, Value> = serde_json::from_str(topic.example()).unwrap();
            for (name, value) in example {
                let kind = fields.kind(&name);
                let fits = match &value {
                    Value::String(_) => matches!(kind, Kind::Text | Kind::Time),
                    Value::Number(_) => matches!(kind, Kind::Number | Kind::Whole | Kind::Time),
                    Value::Bool(_) => kind == Kind::Flag,
                    Value::Array(items) if items.iter().all(Value::is_string) => kind == Kind::List,
                    Value::Array(_) | Value::Object(_) => kind == Kind::Nested,
                    Value::Null => false,
                };
                assert!(fits, "{topic}: {name} is {kind:?}, its example {value}");
            }
        }
    }
}
