//! A record in one line of JSON: `{"topic", "key", "value", "arrival"}`; of an exercise it says so, with `"exercise": true`.

use std::borrow::Cow;

use riskflow_model::Millis;
use riskflow_model::topic::Topic;
use serde::Deserialize;
use serde_json::value::RawValue;

/// As read. `value` is JSON as it stands; null is a tombstone.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    #[serde(default, borrow)]
    pub key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    value: &'a RawValue,
    #[serde(default)]
    pub arrival: Option<Millis>,
    #[serde(default)]
    pub exercise: bool,
}

impl<'a> Envelope<'a> {
    /// Reads a line; `None` if it is no envelope.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    /// Writes a line, end included. The value must be JSON; it is written as it stands, and not looked into: what goes out is
    /// serialized by ourselves.
    pub fn write(
        line: &mut Vec<u8>,
        (topic, key): (Topic, &str),
        value: Option<&[u8]>,
        (arrival, exercise): (&str, bool),
    ) {
        debug_assert!(
            value.is_none_or(|value| serde_json::from_slice::<&RawValue>(value).is_ok()),
            "a payload is JSON"
        );
        // A key is always JSON, and a topic and a time need no escapes.
        line.extend_from_slice(br#"{"topic":""#);
        line.extend_from_slice(topic.name().as_bytes());
        line.extend_from_slice(br#"","key":"#);
        let _ = serde_json::to_writer(&mut *line, key);
        line.extend_from_slice(br#","value":"#);
        let mut begin = line.len();
        line.extend_from_slice(value.unwrap_or(b"null"));
        // Outside its strings, where it cannot stand, an end of line is a blank.
        while let Some(end) = memchr::memchr2(b'\n', b'\r', &line[begin..]) {
            line[begin + end] = b' ';
            begin += end + 1;
        }
        line.extend_from_slice(br#","arrival":""#);
        line.extend_from_slice(arrival.as_bytes());
        line.extend_from_slice(if exercise { b"\",\"exercise\":true}\n" } else { b"\"}\n" });
    }

    /// The topic, named with or without prefix.
    pub fn topic(&self, prefix: &str) -> Option<Topic> {
        let name = &*self.topic;
        Topic::from_name(name).or_else(|| Topic::from_name(name.strip_prefix(prefix)?))
    }

    pub fn payload(&self) -> Option<&'a [u8]> {
        (self.value.get() != "null").then(|| self.value.get().as_bytes())
    }
}
