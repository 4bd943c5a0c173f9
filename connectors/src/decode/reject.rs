use std::fmt;

use riskflow_config::json::{self, Unreadable};
use riskflow_config::{Problem, Problems};
use riskflow_model::limit::TEXT_BYTES;
use riskflow_model::output::Reason;
use riskflow_model::{Text, identifier, shortened};
use serde::de::DeserializeOwned;

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

/// What is wrong with the fields of a record that could be read: everything, at once.
#[derive(Default)]
pub(super) struct Check(Problems);

impl Check {
    /// Notes a field that has a value which it cannot have.
    pub fn wrong(&mut self, field: impl fmt::Display, found: impl fmt::Display, give: &str) {
        self.0.add(field.to_string(), found, give);
    }

    /// A text by which rows meet; it must be there.
    pub fn identifier(&mut self, field: impl fmt::Display, text: &str) {
        if let Err(wrong) = identifier::check(text) {
            self.0.add(field.to_string(), wrong.found, wrong.give);
        }
    }

    /// The same where it may be missing.
    pub fn identifier_if_any(&mut self, field: impl fmt::Display, text: Option<&str>) {
        if let Some(text) = text {
            self.identifier(field, text);
        }
    }

    /// A list of such texts.
    pub fn identifiers(&mut self, field: &str, texts: &[Text]) {
        for (index, text) in texts.iter().enumerate() {
            if let Err(wrong) = identifier::check(text) {
                self.0.add(format!("{field}[{index}]"), wrong.found, wrong.give);
            }
        }
    }

    /// The record, if nothing is wrong with it.
    pub fn done<T>(self, record: T) -> Result<T, Rejection> {
        self.0
            .none_or(Some(record))
            .map_err(|problems| Rejection::new(Reason::InvalidField, problems.to_string()))
    }
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

/// A payload that does not begin like an object.
#[cold]
pub(super) fn no_object(text: &str) -> Rejection {
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) if text.trim_ascii_start().starts_with('[') => Rejection::field(
            "record",
            "a list",
            "one JSON object; a row of CSV, as many cells as its header has",
        ),
        Ok(_) => Rejection::field("record", "JSON, but no object", "one JSON object"),
        Err(error) => unreadable(text, Unreadable::Malformed(format!("no JSON: {error}"))),
    }
}
