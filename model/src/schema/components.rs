//! The schemas of several topics in one document: what they define stands there once, under `#/components/schemas/`.
//!
//! A topic's schema has the topic's name. What an input defines ends in `.in`: there a field that may be absent may be null, too. Where
//! topics mean different things by one name, it is written as `TOPIC.NAME` for each.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::of_topic;
use crate::topic::{Direction, Topic};

/// Where the schemas of such documents are.
pub const PLACE: &str = "#/components/schemas/";

/// Where those of a topic are, in a schema of its own.
const OWN: &str = "#/$defs/";

/// A topic's schema in parts.
struct Parts {
    topic: Topic,
    root: Map<String, Value>,
    definitions: Map<String, Value>,
}

/// What a definition is known by: whether it is of an input, and its name.
type Name<'a> = (bool, &'a str);

impl Parts {
    fn of(topic: Topic) -> Self {
        let mut parts = Self {
            topic,
            root: Map::new(),
            definitions: Map::new(),
        };
        let Value::Object(schema) = of_topic(topic).to_value() else {
            return parts;
        };
        for (name, value) in schema {
            if name == "$defs" {
                if let Value::Object(definitions) = value {
                    parts.definitions = definitions;
                }
            } else if name != "$schema" {
                parts.root.insert(name, value);
            }
        }
        parts
    }

    fn name<'a>(&self, name: &'a str) -> Name<'a> {
        (self.topic.direction() == Direction::In, name)
    }
}

/// The schemas of topics, and of all that they refer to, by their names under [`PLACE`].
#[must_use]
pub fn schemas(topics: impl Iterator<Item = Topic>) -> BTreeMap<String, Value> {
    let parts: Vec<Parts> = topics.map(Parts::of).collect();
    let apart = apart(&parts);
    let mut schemas = BTreeMap::new();
    for part in &parts {
        let called = |name: &str| match part.name(name) {
            known if apart.contains(&known) => format!("{}.{name}", part.topic),
            (true, name) => format!("{name}.in"),
            (false, name) => name.to_owned(),
        };
        let placed = |value: &Value| {
            let mut value = value.clone();
            redirect(&mut value, &|name| format!("{PLACE}{}", called(name)));
            value
        };
        let root = Value::Object(part.root.clone());
        schemas.insert(part.topic.name().to_owned(), placed(&root));
        for (name, definition) in &part.definitions {
            schemas.insert(called(name), placed(definition));
        }
    }
    schemas
}

/// The names by which topics mean different things.
fn apart(parts: &[Parts]) -> BTreeSet<Name<'_>> {
    let mut known: BTreeMap<Name<'_>, &Value> = BTreeMap::new();
    let mut apart = BTreeSet::new();
    for part in parts {
        for (name, definition) in &part.definitions {
            let name = part.name(name);
            if *known.entry(name).or_insert(definition) != definition {
                apart.insert(name);
            }
        }
    }
    // What refers to one of them means different things, too.
    loop {
        let mut more = BTreeSet::new();
        for part in parts {
            for (name, definition) in &part.definitions {
                let mut refers = false;
                references(definition, &mut |other| refers |= apart.contains(&part.name(other)));
                if refers && !apart.contains(&part.name(name)) {
                    more.insert(part.name(name));
                }
            }
        }
        if more.is_empty() {
            return apart;
        }
        apart.extend(more);
    }
}

/// Tells the names of all definitions that a schema refers to.
fn references(schema: &Value, tell: &mut dyn FnMut(&str)) {
    match schema {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str().and_then(|value| value.strip_prefix(OWN)) {
                    Some(name) if key == "$ref" => tell(name),
                    _ => references(value, tell),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, tell)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn redirect(schema: &mut Value, to: &dyn Fn(&str) -> String) {
    match schema {
        Value::Object(fields) => {
            for (key, value) in fields.iter_mut() {
                let name = value.as_str().and_then(|value| value.strip_prefix(OWN));
                match name.filter(|_| key == "$ref").map(to) {
                    Some(place) => *value = Value::String(place),
                    None => redirect(value, to),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| redirect(item, to)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_reference_leads_to_a_schema_that_is_there() {
        let schemas = schemas(Topic::all());
        let mut count = 0;
        let document = json!({ "components": { "schemas": &schemas } });
        for (name, schema) in &schemas {
            assert!(
                schema.get("$defs").is_none() && schema.get("$schema").is_none(),
                "{name}"
            );
            references(schema, &mut |left| panic!("{name} still refers to `{left}`"));
            let text = schema.to_string();
            for reference in text.split("\"$ref\":\"").skip(1) {
                let (reference, _) = reference.split_once('"').unwrap();
                let found = document.pointer(reference.trim_start_matches('#'));
                assert!(found.is_some(), "{name}: {reference} is not there");
                count += 1;
            }
        }
        assert!(count > 100, "only {count} references");
        for topic in Topic::all() {
            assert!(schemas.contains_key(topic.name()), "{topic}");
        }
    }

    #[test]
    fn definitions_that_differ_and_what_refers_to_them_are_kept_apart() {
        let part = |topic, kinds: &[&str]| {
            let definitions = json!({
                "Kind": { "enum": kinds },
                "Holder": { "properties": { "kind": { "$ref": "#/$defs/Kind" } } },
                "Time": { "type": "string" },
            });
            Parts {
                topic,
                root: Map::new(),
                definitions: definitions.as_object().unwrap().clone(),
            }
        };
        let parts = [
            part(Topic::WARNING_STATE, &["a"]),
            part(Topic::CASE_STATE, &["b"]),
            part(Topic::IN_RULE, &["c"]),
        ];
        assert_eq!(apart(&parts), BTreeSet::from([(false, "Kind"), (false, "Holder")]));
        assert_eq!(apart(&parts[1..]), BTreeSet::new());
    }
}
