//! A record in one line of JSON: `{"topic", "key", "value", "arrival"}`.

use std::borrow::Cow;

use riskflow_model::Millis;
use riskflow_model::topic::Topic;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// As written and read. `value` is JSON as it stands; null is a tombstone.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    #[serde(default, borrow)]
    pub key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    value: &'a RawValue,
    #[serde(default)]
    pub arrival: Option<Millis>,
}

impl<'a> Envelope<'a> {
    /// Reads a line; `None` if it is no envelope.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    /// Writes a line, end included.
    pub fn write(
        line: &mut Vec<u8>,
        topic: Topic,
        key: &str,
        value: Option<&[u8]>,
        arrival: Millis,
    ) -> Result<(), serde_json::Error> {
        let value: &RawValue = match value {
            Some(value) => serde_json::from_slice(value)?,
            None => RawValue::NULL,
        };
        // Outside its strings, where it cannot stand, an end of line is a blank.
        let one_line;
        let value = if value.get().contains(['\n', '\r']) {
            one_line = RawValue::from_string(value.get().replace(['\n', '\r'], " "))?;
            &one_line
        } else {
            value
        };
        let envelope = Envelope {
            topic: topic.name().into(),
            key: Some(key.into()),
            value,
            arrival: Some(arrival),
        };
        serde_json::to_writer(&mut *line, &envelope)?;
        line.push(b'\n');
        Ok(())
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
