//! From bytes to records, and what becomes of bytes that are none.

mod action;
mod dead_letter;
mod envelope;
mod log;
mod observation;
mod reject;
mod rows;

#[cfg(test)]
mod tests;

use riskflow_config::InputRecord;
use riskflow_model::limit::RECORD_BYTES;
use riskflow_model::output::Reason;
use riskflow_model::topic::Topic;

pub use action::decode_action;
pub use dead_letter::dead_letter;
pub use envelope::wrong_envelope;
pub use reject::Rejection;
pub(crate) use reject::{THE_LINE, UNCLOSED};
pub use rows::table_key;

use crate::{RawRecord, encoding};

/// A payload may have this many bytes. What is larger is no record of ours, and is not even parsed.
pub const LARGEST_PAYLOAD: usize = RECORD_BYTES;

/// Decodes and checks a record of an input topic.
///
/// Unknown fields are ignored, except in rules, where one may be a mistyped condition. A record of an exercise is refused, for what comes of
/// records is live: an exercise takes the mark away before it asks.
///
/// # Errors
///
/// Everything wrong with it, as far as it can be read.
pub fn decode(record: &RawRecord<'_>) -> Result<InputRecord, Rejection> {
    if record.exercise {
        return Err(reject::of_exercise());
    }
    let Some(payload) = record.payload else {
        return rows::tombstone(record);
    };
    if payload.len() > LARGEST_PAYLOAD {
        let detail = format!(
            "the payload has {} bytes; give at most {LARGEST_PAYLOAD}",
            payload.len()
        );
        return Err(Rejection::new(Reason::TooLarge, detail));
    }
    let text = std::str::from_utf8(payload).map_err(|error| {
        Rejection::new(
            Reason::InvalidUtf8,
            format!(
                "no UTF-8 from byte {} on: it looks like {}; give UTF-8",
                error.valid_up_to(),
                encoding::guess(payload).unwrap_or("another encoding")
            ),
        )
    })?;
    // A struct may also be read from an array, by position; on a topic that is a mistake.
    let text = match text.as_bytes().first() {
        Some(b'{') => text,
        _ => object(text)?,
    };
    let read = match record.topic {
        // The hot path.
        Topic::IN_OBSERVATION => observation::decode(text).map(InputRecord::Observation),
        Topic::IN_ACTION => action::decode(record.key, text).map(|action| InputRecord::Action(Box::new(action))),
        topic if topic.is_input_table() => rows::decode(topic, record.key, text),
        topic => log::decode(topic, record.key, text),
    };
    read.map_err(|rejection| match record.key {
        // A line of a file of envelopes that is none has no key.
        None => reject::or_envelope(text, rejection),
        Some(_) => rejection,
    })
}

/// A text that begins with an object, behind blanks or a byte order mark.
#[cold]
fn object(text: &str) -> Result<&str, Rejection> {
    let object = text.strip_prefix('\u{feff}').unwrap_or(text).trim_ascii_start();
    if object.starts_with('{') {
        Ok(object)
    } else {
        Err(reject::no_object(text))
    }
}
