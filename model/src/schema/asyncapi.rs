//! The AsyncAPI 3.0 document: every topic with its key, what it keeps, its records, and the headers on Kafka.
//!
//! `docs/asyncapi.json` is what [`document`] gives; `riskflow schema asyncapi` prints it.

use serde_json::{Map, Value, json};

use super::components::{PLACE, schemas};
use super::{Example, example};
use crate::Millis;
use crate::limit::{ID_BYTES, MESSAGE_BYTES};
use crate::topic::{Cleanup, Direction, Shape, Topic};

/// The version of AsyncAPI's Kafka bindings that the document is written in.
const BINDING: &str = "0.5.0";

/// A header of an output record on Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub about: &'static str,
    /// When it is there.
    pub there: There,
}

/// When a header is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum There {
    /// On every record.
    Always,
    /// On every record with a payload.
    WithPayload,
    /// On every record of an exercise.
    InExercise,
}

/// The headers of output records on Kafka, in their order: CloudEvents 1.0 in binary mode.
pub const HEADERS: [Header; 10] = [
    header("ce_specversion", "`1.0`", There::Always),
    header(
        "ce_id",
        "`EPOCH-TOPIC-KEY`, with the epoch in milliseconds; of the second and later records of one key in an epoch `EPOCH.1-TOPIC-KEY` \
         and so on. With `ce_source` no other record has it; a record that is sent again has the same.",
        There::Always,
    ),
    header(
        "ce_source",
        "`riskflow`, or `riskflow/PREFIX` where topics have a prefix.",
        There::Always,
    ),
    header("ce_type", "`riskflow.TOPIC.v1`, without the prefix.", There::Always),
    header("ce_time", "The epoch, RFC 3339.", There::Always),
    header("ce_logicaltime", "The epoch in milliseconds.", There::Always),
    header("ce_subject", "The key.", There::Always),
    header("content-type", "`application/json`", There::Always),
    header(
        "ce_dataschema",
        "Names the schema that `riskflow schema TOPIC` prints.",
        There::WithPayload,
    ),
    header("ce_exercise", "`true`", There::InExercise),
];

const fn header(name: &'static str, about: &'static str, there: There) -> Header {
    Header { name, about, there }
}

/// What `ce_type` says of the records of a topic.
#[must_use]
pub fn event_type(topic: Topic) -> String {
    format!("riskflow.{topic}.v1")
}

/// What `ce_dataschema` says of them.
#[must_use]
pub fn data_schema(topic: Topic) -> String {
    format!("urn:riskflow:schema:{topic}:v1")
}

/// What `ce_source` says where topics have this prefix.
#[must_use]
pub fn source(prefix: &str) -> String {
    match prefix {
        "" => "riskflow".to_owned(),
        prefix => format!("riskflow/{prefix}"),
    }
}

/// The document. It depends on nothing but this version of riskflow.
#[must_use]
pub fn document() -> Value {
    let (mut channels, mut operations, mut messages) = (Map::new(), Map::new(), Map::new());
    for topic in Topic::all() {
        channels.insert(topic.name().to_owned(), channel(topic));
        operations.insert(topic.name().to_owned(), operation(topic));
        for (name, message) in messages_of(topic) {
            messages.insert(name, message);
        }
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "riskflow",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The topics of riskflow, as riskflow sees them: it receives inputs and sends outputs. All records of one epoch become \
                            visible together. Consumers set `isolation.level=read_committed`, and ignore fields that they do not know.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {
            "schemas": schemas(Topic::all()),
            "messages": messages,
            "parameters": {
                "prefix": {
                    "description": "What stands before the names of all topics (`topics.prefix`); nothing by default.",
                    "default": "",
                    "examples": ["zhoushan."],
                },
            },
        },
    })
}

fn about(topic: Topic) -> &'static str {
    match topic.shape() {
        Shape::InputTable => {
            "A table that riskflow reads: of each key the last record counts, and a null payload deletes it."
        }
        Shape::VersionedTable => {
            "A table that riskflow reads: of each key the record with the highest version counts, and a null payload deletes it."
        }
        Shape::InputLog => "A log that riskflow reads: each record counts.",
        Shape::OutputTable => {
            "A table that riskflow writes: the last record of each key is its row, and a null payload deletes it."
        }
        Shape::OutputLog => "A log that riskflow writes: each record is told once.",
        Shape::Internal => "A table that only riskflow itself reads again.",
        Shape::InternalLog => "A log that only riskflow itself reads again.",
    }
}

fn channel(topic: Topic) -> Value {
    let messages: Map<String, Value> = messages_of(topic)
        .into_iter()
        .map(|(name, _)| {
            let place = json!({ "$ref": format!("#/components/messages/{name}") });
            (name, place)
        })
        .collect();
    let cleanup = match topic.cleanup() {
        Cleanup::Compact => "compact",
        Cleanup::Delete => "delete",
    };
    let mut channel = json!({
        "address": format!("{{prefix}}{topic}"),
        "title": topic.name(),
        "summary": about(topic),
        "messages": messages,
        "parameters": { "prefix": { "$ref": "#/components/parameters/prefix" } },
        "bindings": {
            "kafka": {
                "topicConfiguration": { "cleanup.policy": [cleanup], "max.message.bytes": MESSAGE_BYTES },
                "bindingVersion": BINDING,
            },
        },
    });
    if let Some(capability) = topic.capability() {
        channel["description"] = format!("Only where the capability `{capability}` is on.").into();
    }
    channel
}

fn operation(topic: Topic) -> Value {
    let (action, does) = match topic.direction() {
        Direction::In => ("receive", "riskflow reads"),
        Direction::Out => ("send", "riskflow writes"),
    };
    json!({
        "action": action,
        "summary": format!("{does} `{topic}`."),
        "channel": { "$ref": format!("#/channels/{topic}") },
    })
}

/// The messages of a topic by name: its records, and of a table what deletes a row.
fn messages_of(topic: Topic) -> Vec<(String, Value)> {
    let mut messages = vec![(topic.name().to_owned(), record(topic))];
    if topic.cleanup() == Cleanup::Compact {
        messages.push((format!("{topic}.deleted"), deleted(topic)));
    }
    messages
}

fn record(topic: Topic) -> Value {
    let mut message = json!({
        "name": event_type(topic),
        "title": topic.name(),
        "contentType": "application/json",
        "payload": { "$ref": format!("{PLACE}{topic}") },
        "bindings": { "kafka": key(topic) },
    });
    let headers = (topic.direction() == Direction::Out).then(|| headers(topic, true));
    if let Some(headers) = headers {
        message["headers"] = headers;
    }
    if let Some(example) = example(topic) {
        message["examples"] = json!([shown(topic, &example)]);
    }
    message
}

fn deleted(topic: Topic) -> Value {
    let mut message = json!({
        "name": format!("{}.deleted", event_type(topic)),
        "title": format!("{topic}, deleted"),
        "summary": "A null payload: there is no row of this key any more.",
        "payload": { "type": "null" },
        "bindings": { "kafka": key(topic) },
    });
    if topic.direction() == Direction::Out {
        message["headers"] = headers(topic, false);
    }
    message
}

fn key(topic: Topic) -> Value {
    let key = topic.key();
    let joined = if key.contains('/') {
        ", joined with `/`; in a part `/` is `~1` and `~` is `~0`"
    } else {
        ""
    };
    let mut schema = json!({ "type": "string", "description": format!("`{key}`{joined}") });
    if topic.direction() == Direction::In {
        schema["description"] = format!("`{key}`, at most {ID_BYTES} bytes").into();
    }
    json!({ "key": schema, "bindingVersion": BINDING })
}

fn headers(topic: Topic, with_payload: bool) -> Value {
    let on = |header: &&Header| match header.there {
        There::Always | There::InExercise => true,
        There::WithPayload => with_payload,
    };
    let properties: Map<String, Value> = (HEADERS.iter().filter(on))
        .map(|header| {
            let mut schema = json!({ "type": "string", "description": header.about });
            match header.name {
                "ce_type" => schema["const"] = event_type(topic).into(),
                "ce_dataschema" => schema["const"] = data_schema(topic).into(),
                _ => {}
            }
            (header.name.to_owned(), schema)
        })
        .collect();
    let required: Vec<&str> = (HEADERS.iter().filter(on))
        .filter(|header| header.there != There::InExercise)
        .map(|header| header.name)
        .collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

/// An example as AsyncAPI writes it.
fn shown(topic: Topic, example: &Example) -> Value {
    let mut shown = json!({ "name": "example", "summary": format!("key: {}", example.key), "payload": example.value });
    let epoch = example.value.get("epoch").and_then(Value::as_str);
    if let Some(epoch) = epoch.and_then(|epoch| epoch.parse::<Millis>().ok())
        && topic.direction() == Direction::Out
    {
        shown["headers"] = json!({
            "ce_specversion": "1.0",
            "ce_id": format!("{}-{topic}-{}", epoch.0, example.key),
            "ce_source": source(""),
            "ce_type": event_type(topic),
            "ce_time": epoch.to_string(),
            "ce_logicaltime": epoch.0.to_string(),
            "ce_subject": example.key,
            "content-type": "application/json",
            "ce_dataschema": data_schema(topic),
        });
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_is_a_channel_with_its_operation_and_all_references_lead_somewhere() {
        let document = document();
        for topic in Topic::all() {
            let channel = &document["channels"][topic.name()];
            assert_eq!(channel["address"], format!("{{prefix}}{topic}"));
            let policy = &channel["bindings"]["kafka"]["topicConfiguration"]["cleanup.policy"];
            let is_table = topic.cleanup() == Cleanup::Compact;
            assert_eq!(*policy, json!([if is_table { "compact" } else { "delete" }]));
            assert_eq!(
                channel["messages"].as_object().unwrap().len(),
                1 + usize::from(is_table)
            );
            let action = if topic.direction() == Direction::In {
                "receive"
            } else {
                "send"
            };
            assert_eq!(document["operations"][topic.name()]["action"], action);
        }
        let text = document.to_string();
        let mut count = 0;
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let (reference, _) = reference.split_once('"').unwrap();
            assert!(document.pointer(reference).is_some(), "#{reference} is not there");
            count += 1;
        }
        assert!(count > 200, "only {count} references");
    }

    #[test]
    fn records_that_riskflow_writes_have_headers_and_those_of_others_have_not() {
        let document = document();
        let messages = document["components"]["messages"].as_object().unwrap();
        for (name, message) in messages {
            let is_output = name.starts_with("out.");
            assert_eq!(message.get("headers").is_some(), is_output, "{name}");
            let examples = message.get("examples").and_then(|examples| examples.get(0));
            let headers = examples.and_then(|example| example.get("headers"));
            let Some(headers) = headers.and_then(Value::as_object) else {
                assert!(!is_output || name.ends_with(".deleted"), "{name} has no example");
                continue;
            };
            for required in message["headers"]["required"].as_array().unwrap() {
                assert!(
                    headers.contains_key(required.as_str().unwrap()),
                    "{name} lacks {required}"
                );
            }
        }
    }

    #[test]
    fn sources_tell_jobs_apart_by_their_prefixes() {
        let sources = ["", "a", "a.", "b"].map(source);
        assert_eq!(sources, ["riskflow", "riskflow/a", "riskflow/a.", "riskflow/b"]);
    }
}
