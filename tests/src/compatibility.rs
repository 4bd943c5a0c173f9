//! What a consumer or a producer of the release before would notice of a change of the schemas; docs/compatibility.md says what a minor
//! version may change.
//!
//! Of what riskflow reads, all that was taken must be taken still. Of what it writes, nothing may come that the schema before does not
//! allow, but for new fields.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// Who reads what a schema describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// riskflow does.
    Input,
    /// Others do.
    Output,
}

/// Every change between two versions of a schema that breaks somebody, with the path of the field.
#[must_use]
pub fn breaks(side: Side, before: &Value, after: &Value) -> Vec<String> {
    Comparison::new(side, before, after).of((before, after), "")
}

/// The same of all topics (and the configuration) by name: those that are new break nobody.
#[must_use]
pub fn breaks_of_all(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<String> {
    let mut found = Vec::new();
    for (name, before) in before {
        let side = if name.starts_with("out.") {
            Side::Output
        } else {
            Side::Input
        };
        match after.get(name) {
            Some(after) => found.extend(
                breaks(side, before, after)
                    .into_iter()
                    .map(|said| format!("{name}: {said}")),
            ),
            None => found.push(format!("{name} is gone")),
        }
    }
    found
}

/// The same of two OpenAPI documents.
#[must_use]
pub fn breaks_of_http(before: &Value, after: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let paths = before["paths"].as_object().into_iter().flatten();
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().into_iter().flatten() {
            let name = format!("{method} {path}");
            match after["paths"][path].get(method) {
                Some(now) => {
                    let said = of_operation((before, after), operation, now);
                    found.extend(said.into_iter().map(|said| format!("{name}: {said}")));
                }
                None => found.push(format!("{name} is gone")),
            }
        }
    }
    found
}

fn of_operation((before, after): (&Value, &Value), operation: &Value, now: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let named = |operation: &Value| {
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let parameters = parameters.into_iter().map(|parameter| {
            let name = format!(
                "{} of {}",
                parameter["name"].as_str().unwrap_or_default(),
                parameter["in"].as_str().unwrap_or_default()
            );
            (name, parameter)
        });
        parameters.collect::<BTreeMap<_, _>>()
    };
    let is_required = |parameter: &Value| parameter["required"] == true;
    let (were, are) = (named(operation), named(now));
    for (name, parameter) in &were {
        match are.get(name) {
            Some(now) => {
                if is_required(now) && !is_required(parameter) {
                    found.push(format!("the parameter {name} must be given now"));
                }
                let schemas = (&parameter["schema"], &now["schema"]);
                found.extend(Comparison::new(Side::Input, before, after).of(schemas, name));
            }
            None => found.push(format!("the parameter {name} is gone")),
        }
    }
    for (name, _) in are
        .iter()
        .filter(|(name, now)| is_required(now) && !were.contains_key(*name))
    {
        found.push(format!("the parameter {name} must be given now"));
    }
    let json = |part: &Value| part["content"]["application/json"]["schema"].clone();
    for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
        match now["responses"].get(status) {
            Some(now) => {
                let schemas = (json(answer), json(now));
                let said = Comparison::new(Side::Output, before, after).of((&schemas.0, &schemas.1), status);
                found.extend(said);
            }
            None => found.push(format!("the answer {status} is gone")),
        }
    }
    let bodies = (json(&operation["requestBody"]), json(&now["requestBody"]));
    found.extend(Comparison::new(Side::Input, before, after).of((&bodies.0, &bodies.1), "body"));
    found
}

/// A schema without what only people read.
#[must_use]
pub fn bare(schema: &Value) -> Value {
    fn part(value: &Value, are_names: bool) -> Value {
        match value {
            Value::Object(fields) => {
                let kept = fields.iter().filter(|(name, _)| are_names || !is_prose(name));
                let kept = kept.map(|(name, value)| {
                    let holds_names = !are_names && matches!(&**name, "properties" | "$defs" | "schemas" | "paths");
                    (name.clone(), part(value, holds_names))
                });
                Value::Object(kept.collect())
            }
            Value::Array(items) => Value::Array(items.iter().map(|item| part(item, false)).collect()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        }
    }
    part(schema, false)
}

fn is_prose(name: &str) -> bool {
    [
        "$schema",
        "title",
        "description",
        "summary",
        "examples",
        "default",
        "x-aliases",
    ]
    .contains(&name)
}

/// Keywords of which a larger number allows more, and those of which a smaller does.
const AT_MOST: [&str; 5] = ["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"];
const AT_LEAST: [&str; 5] = ["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"];

/// Asks whether all that one schema allows, another allows, too: of an input the one before and the one after, of an output the other way
/// round.
struct Comparison<'a> {
    side: Side,
    /// In which references of the schemas lead somewhere: of the one that must not allow more, and of the other.
    narrow_root: &'a Value,
    wide_root: &'a Value,
    /// What is compared already, or is being compared.
    seen: BTreeSet<(String, String)>,
    found: Vec<String>,
}

/// What a schema allows: for each kind of value the schemas of it.
type Kinds<'s> = BTreeMap<&'s str, Vec<&'s Value>>;

impl<'a> Comparison<'a> {
    fn new(side: Side, before: &'a Value, after: &'a Value) -> Self {
        let (narrow_root, wide_root) = match side {
            Side::Input => (before, after),
            Side::Output => (after, before),
        };
        Self {
            side,
            narrow_root,
            wide_root,
            seen: BTreeSet::new(),
            found: Vec::new(),
        }
    }

    /// What breaks between two schemas, before and after.
    fn of(mut self, (before, after): (&Value, &Value), path: &str) -> Vec<String> {
        let (narrow, wide) = match self.side {
            Side::Input => (before, after),
            Side::Output => (after, before),
        };
        self.compare(path, narrow, wide);
        self.found
    }

    fn say(&mut self, path: &str, input: &str, output: &str) {
        let said = match self.side {
            Side::Input => input,
            Side::Output => output,
        };
        let path = if path.is_empty() { "the record" } else { path };
        self.found.push(format!("`{path}` {said}"));
    }

    fn compare(&mut self, path: &str, narrow: &Value, wide: &Value) {
        // References are what leads in circles.
        if let (Some(one), Some(other)) = (narrow["$ref"].as_str(), wide["$ref"].as_str())
            && !self.seen.insert((one.to_owned(), other.to_owned()))
        {
            return;
        }
        self.limits(path, narrow, wide);
        let (narrow_root, wide_root) = (self.narrow_root, self.wide_root);
        let (narrow, wide) = (kinds(narrow_root, narrow), kinds(wide_root, wide));
        if wide.contains_key("any") {
            return;
        }
        for (kind, schemas) in narrow {
            let others = match wide.get(kind) {
                None if kind == "integer" => wide.get("number"),
                others => others,
            };
            match others {
                None => self.say(
                    path,
                    &format!("must not be of type {kind} any more"),
                    &format!("may be of type {kind} now"),
                ),
                Some(others) if kind == "string" => self.values(path, &schemas, others),
                Some(others) => self.alternatives(path, &schemas, others),
            }
        }
    }

    /// Texts, of which there may be certain ones only.
    fn values(&mut self, path: &str, narrow: &[&Value], wide: &[&Value]) {
        let Some(wide) = values(wide) else { return };
        let Some(narrow) = values(narrow) else {
            return self.say(path, "must be one of certain texts now", "may be any text now");
        };
        for value in narrow.difference(&wide) {
            self.say(
                path,
                &format!("must not be `{value}` any more"),
                &format!("may be `{value}` now"),
            );
        }
    }

    /// Each of the one side must fit one of the other.
    fn alternatives(&mut self, path: &str, narrow: &[&Value], wide: &[&Value]) {
        if let ([one], [other]) = (narrow, wide) {
            return self.parts(path, one, other);
        }
        for one in narrow {
            let fits = wide.iter().any(|other| {
                let mut trial = Comparison {
                    seen: self.seen.clone(),
                    found: Vec::new(),
                    ..*self
                };
                trial.parts(path, one, other);
                trial.found.is_empty()
            });
            if !fits {
                let one = bare(one).to_string();
                let one = &one[..one.floor_char_boundary(120)];
                self.say(
                    path,
                    &format!("has an alternative that is not taken any more: {one}"),
                    &format!("has an alternative that is new: {one}"),
                );
            }
        }
    }

    /// Fields and items.
    fn parts(&mut self, path: &str, narrow: &Value, wide: &Value) {
        let below = |name: &str| {
            if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}.{name}")
            }
        };
        for name in required(wide).difference(&required(narrow)) {
            self.say(&below(name), "must be there now", "may be absent now");
        }
        let nothing = Map::new();
        let ours = narrow["properties"].as_object().unwrap_or(&nothing);
        let theirs = wide["properties"].as_object().unwrap_or(&nothing);
        let (before, after) = match self.side {
            Side::Input => (ours, theirs),
            Side::Output => (theirs, ours),
        };
        for name in before.keys().filter(|name| !after.contains_key(*name)) {
            self.say(&below(name), "is not read any more", "is not written any more");
        }
        for (name, one) in ours {
            if let Some(other) = theirs.get(name) {
                self.compare(&below(name), one, other);
            }
        }
        if wide["additionalProperties"] == false && narrow["additionalProperties"] != false && self.side == Side::Input
        {
            self.say(path, "must have no other fields now", "");
        }
        for part in ["items", "additionalProperties"] {
            if narrow[part].is_object() && wide[part].is_object() {
                self.compare(&below("*"), &narrow[part], &wide[part]);
            }
        }
        let ours = narrow["prefixItems"].as_array().into_iter().flatten();
        let theirs = wide["prefixItems"].as_array().into_iter().flatten();
        for (place, (one, other)) in ours.zip(theirs).enumerate() {
            self.compare(&below(&place.to_string()), one, other);
        }
    }

    fn limits(&mut self, path: &str, narrow: &Value, wide: &Value) {
        for (keywords, sign) in [(AT_MOST, 1.0), (AT_LEAST, -1.0)] {
            for keyword in keywords {
                let ours = limit((self.narrow_root, narrow), keyword, sign);
                let theirs = limit((self.wide_root, wide), keyword, sign);
                if ours > theirs {
                    self.say(
                        path,
                        &format!("is held to a narrower `{keyword}`"),
                        &format!("may go beyond `{keyword}` as it was"),
                    );
                }
            }
        }
    }
}

/// How much a limit allows, the more the larger; infinite where there is none.
fn limit((root, schema): (&Value, &Value), keyword: &str, sign: f64) -> f64 {
    let own = schema[keyword].as_f64().map_or(f64::INFINITY, |limit| sign * limit);
    if let Some(reference) = schema["$ref"].as_str() {
        return own.min(limit((root, resolved(root, reference)), keyword, sign));
    }
    let choices = choices(schema).iter().filter(|choice| choice["type"] != "null");
    let most = choices.map(|choice| limit((root, choice), keyword, sign));
    own.min(most.reduce(f64::max).unwrap_or(f64::INFINITY))
}

fn choices(schema: &Value) -> &[Value] {
    let choices = ["anyOf", "oneOf"].iter().find_map(|name| schema[*name].as_array());
    choices.map(Vec::as_slice).unwrap_or_default()
}

fn resolved<'s>(root: &'s Value, reference: &str) -> &'s Value {
    let found = root.pointer(reference.trim_start_matches('#'));
    found.unwrap_or_else(|| panic!("{reference} is not there"))
}

/// The schemas of each kind of value; `any` where all are allowed.
fn kinds<'s>(root: &'s Value, schema: &'s Value) -> Kinds<'s> {
    let mut kinds = Kinds::new();
    if let Some(reference) = schema["$ref"].as_str() {
        return self::kinds(root, resolved(root, reference));
    }
    for choice in choices(schema) {
        for (kind, schemas) in self::kinds(root, choice) {
            kinds.entry(kind).or_default().extend(schemas);
        }
    }
    if !kinds.is_empty() {
        return kinds;
    }
    let named: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind.as_str()],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ if schema["const"].is_string() || schema["enum"].is_array() => vec!["string"],
        _ if schema["properties"].is_object() => vec!["object"],
        _ => vec!["any"],
    };
    for kind in named {
        kinds.entry(kind).or_default().push(schema);
    }
    kinds
}

/// The texts that there may be; `None`: any.
fn values(schemas: &[&Value]) -> Option<BTreeSet<String>> {
    let mut values = BTreeSet::new();
    for schema in schemas {
        match (&schema["const"], &schema["enum"]) {
            (Value::String(value), _) => {
                values.insert(value.clone());
            }
            (_, Value::Array(all)) => values.extend(all.iter().filter_map(Value::as_str).map(str::to_owned)),
            _ => return None,
        }
    }
    Some(values)
}

fn required(schema: &Value) -> BTreeSet<&str> {
    let names = schema["required"].as_array().into_iter().flatten();
    names.filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests;
