use std::fmt;

use riskflow_model::json::{self, Unreadable};
use riskflow_model::limit::TEXT_BYTES;
use riskflow_model::output::Reason;
use riskflow_model::{Check, Problem, shortened};
use serde::de::DeserializeOwned;

use super::envelope::wrong_envelope;
use crate::encoding;

/// Why a record cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// In one word, for metrics.
    pub reason: Reason,
    /// For people: field, value found, what to give; one problem a line. At most 4 KiB.
    pub detail: String,
}

impl Rejection {
    /// A rejection. Of a long detail the middle is cut: its end says what to give.
    #[must_use]
    pub fn new(reason: Reason, detail: String) -> Self {
        let detail = shortened(&detail, TEXT_BYTES).into_owned();
        Self { reason, detail }
    }

    /// A field has a value that it cannot have.
    #[cold]
    pub(super) fn field(name: &str, found: impl fmt::Display, give: &str) -> Self {
        let problem = Problem {
            field: name.to_owned(),
            found: found.to_string(),
            give: give.to_owned(),
        };
        Self::new(Reason::InvalidField, problem.to_string())
    }
}

/// Nothing is wrong with it, but that it is of an exercise.
#[cold]
pub(super) fn of_exercise() -> Rejection {
    let give = "a record without the mark (the header `ce_exercise` on Kafka, the field `exercise` of an envelope) if it is meant; an exercise \
                is taken by `riskflow replay` alone";
    Rejection::field("exercise", true, give)
}

/// What is wrong with a record that cannot be read, and has no key: where it is meant as an envelope, that.
#[cold]
pub(super) fn or_envelope(text: &str, rejection: Rejection) -> Rejection {
    match wrong_envelope(text) {
        Some(problems) => Rejection::new(Reason::InvalidField, problems.to_string()),
        None => rejection,
    }
}

/// The record, if nothing is wrong with it.
pub(super) fn done<T>(check: Check, record: T) -> Result<T, Rejection> {
    check
        .problems()
        .none_or(Some(record))
        .map_err(|problems| Rejection::new(Reason::InvalidField, problems.to_string()))
}

/// Reads a record.
pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Rejection> {
    serde_json::from_str(text).map_err(|_| unreadable(text, json::why::<T>(text)))
}

/// What could not be read.
#[cold]
pub(super) fn unreadable(text: &str, why: Unreadable) -> Rejection {
    match why {
        Unreadable::Wrong(problems) => Rejection::new(Reason::InvalidField, problems.to_string()),
        Unreadable::Malformed(says) => {
            let detail = match encoding::guess(text.as_bytes()) {
                Some(encoding) => format!("{says}: it looks like {encoding}; give one JSON object in UTF-8"),
                None => format!("{says}; give one JSON object"),
            };
            Rejection::new(Reason::Malformed, detail)
        }
    }
}

/// How the reader of CSV says, in a row of one cell, that a quote is not closed; behind [`THE_LINE`] follows what it was in.
pub(crate) const UNCLOSED: &str = "the quote that begins cell";
pub(crate) const THE_LINE: &str = ". The line: ";

/// What the reader of CSV says of a row, if it says anything.
fn unclosed_quote(text: &str) -> Option<String> {
    let [says] = serde_json::from_str::<[String; 1]>(text).ok()?;
    let (says, _line) = says.split_once(THE_LINE)?;
    (says.starts_with("line ") && says.contains(UNCLOSED)).then(|| says.to_owned())
}

/// A payload that does not begin like an object.
#[cold]
pub(super) fn no_object(text: &str) -> Rejection {
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) if let Some(says) = unclosed_quote(text) => Rejection::new(Reason::Malformed, says),
        Ok(_) if text.trim_ascii_start().starts_with('[') => Rejection::field(
            "record",
            "a list",
            "one JSON object; a row of CSV, as many cells as its header has",
        ),
        Ok(_) => Rejection::field("record", "JSON, but no object", "one JSON object"),
        Err(error) => unreadable(text, Unreadable::Malformed(format!("no JSON: {error}"))),
    }
}
