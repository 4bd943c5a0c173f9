//! From bytes to records, and what becomes of bytes that are none.

mod action;
mod bounds;
mod dead_letter;
mod intake;
mod locate;
mod observation;
mod reject;
mod responsibility;
mod rows;

#[cfg(test)]
mod tests;

use riskflow_config::InputRecord;
use riskflow_model::limit::RECORD_BYTES;
use riskflow_model::output::Reason;
use riskflow_model::topic::Topic;

pub use action::decode_action;
pub use dead_letter::dead_letter;
pub use reject::Rejection;

use crate::RawRecord;

/// A payload may have this many bytes. What is larger is no record of ours, and is not even parsed.
pub const LARGEST_PAYLOAD: usize = RECORD_BYTES;

/// Decodes and checks a record of an input topic.
///
/// Unknown fields are ignored, except in rules, where one may be a mistyped condition.
///
/// # Errors
///
/// The first thing that is wrong with it; of a rule, everything.
pub fn decode(record: &RawRecord<'_>) -> Result<InputRecord, Rejection> {
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
            format!("no UTF-8 from byte {} on", error.valid_up_to()),
        )
    })?;
    // A struct may also be read from an array, by position; on a topic that is a mistake.
    if !text.trim_ascii_start().starts_with('{') {
        return Err(reject::no_object(text));
    }
    match record.topic {
        Topic::InObservation => observation::decode(text).map(InputRecord::Observation),
        Topic::InAction => action::decode(record.key, text).map(|action| InputRecord::Action(Box::new(action))),
        topic => rows::decode(topic, record.key, text),
    }
}
