//! Rows of the input tables.

use riskflow_config::{InputRecord, Rule};
use riskflow_model::output::Reason;
use riskflow_model::topic::Topic;
use riskflow_model::{Key, Row, identifier, json};
use serde::de::IgnoredAny;

use super::Rejection;
use super::reject::unreadable;
use crate::RawRecord;

pub(super) fn tombstone(record: &RawRecord<'_>) -> Result<InputRecord, Rejection> {
    let topic = record.topic;
    if !topic.is_input_table() {
        return Err(Rejection::field(
            "payload",
            "null",
            "a record: this topic has no tombstones; where its records have an `op`, `delete` takes back",
        ));
    }
    let name = topic.key();
    let Some(key) = record.key.filter(|key| !key.is_empty()) else {
        let detail = format!("a null payload deletes, but the record has no key; give the `{name}`");
        return Err(Rejection::new(Reason::KeyMismatch, detail));
    };
    let wrong = match str::from_utf8(key) {
        Ok(text) => match identifier::check(text) {
            Ok(()) => return Ok(InputRecord::Base(Key::of(text), None)),
            Err(wrong) => wrong.to_string(),
        },
        Err(error) => format!("no UTF-8 from byte {} on; give UTF-8", error.valid_up_to()),
    };
    let detail = format!("a null payload deletes the row with its key as `{name}`, but the key is {wrong}");
    Err(Rejection::new(Reason::KeyMismatch, detail))
}

pub(super) fn decode(topic: Topic, key: Option<&[u8]>, text: &str) -> Result<InputRecord, Rejection> {
    let row = match topic {
        // A language of its own.
        Topic::IN_RULE => rule(text)?,
        _ => Row::from_json(topic, text).map_err(|wrong| match wrong {
            Some(wrong) => unreadable(text, wrong),
            None => Rejection::field("topic", topic, "a topic that riskflow reads"),
        })?,
    };
    let id = row.id();
    same_key(key, topic.key(), &id)?;
    Ok(InputRecord::Base(Key::of(&id), Some(row)))
}

/// The key of a record, if it has one, must be what its field says.
pub(super) fn same_key(key: Option<&[u8]>, field: &str, id: &str) -> Result<(), Rejection> {
    let Some(key) = key.filter(|key| *key != id.as_bytes()) else {
        return Ok(());
    };
    let key = String::from_utf8_lossy(key);
    let detail = match identifier::check(&key) {
        Err(wrong) if !key.is_empty() => format!("the record's key is {}; give its `{field}`, `{id}`", wrong.found),
        _ => format!("the record's key is `{key}`, but its `{field}` is `{id}`; give the same"),
    };
    Err(Rejection::new(Reason::KeyMismatch, detail))
}

/// The key of the row that a record is about which was refused; `None` where it does not say.
#[must_use]
pub fn table_key(record: &RawRecord<'_>) -> Option<Key> {
    if !record.topic.is_input_table() {
        return None;
    }
    let id = match record.key {
        Some(key) => String::from_utf8(key.to_vec()).ok()?,
        None => {
            let text = str::from_utf8(record.payload?).ok()?;
            serde_json::from_str(json::field(text, record.topic.key())?).ok()?
        }
    };
    identifier::check(&id).is_ok().then(|| Key::of(&id))
}

fn rule(text: &str) -> Result<Row, Rejection> {
    let rule = Rule::from_json(text.as_bytes()).map_err(|problems| {
        // What is no JSON at all is not a rule with a mistake.
        match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => Rejection::new(Reason::InvalidRule, problems.to_string()),
            Err(error) => unreadable(text, json::Unreadable::Malformed(format!("no JSON: {error}"))),
        }
    })?;
    let problems = riskflow_model::problems(&rule.record);
    if problems.is_empty() {
        Ok(Row::new(rule.record.clone()))
    } else {
        Err(Rejection::new(Reason::InvalidField, problems.to_string()))
    }
}
