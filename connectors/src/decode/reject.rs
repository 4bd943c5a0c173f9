use std::fmt;

use riskflow_model::limit::TEXT_BYTES;
use riskflow_model::output::Reason;
use riskflow_model::shortened;
use serde_json::error::Category;

use super::locate::field_before;

/// Why a record cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// In one word, for metrics.
    pub reason: Reason,
    /// For people: field, value found, what to give. At most 4 KiB.
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
    pub(super) fn field(name: &str, found: impl fmt::Display, give: &str) -> Self {
        Self::new(Reason::InvalidField, format!("`{name}` is {found}; give {give}"))
    }
}

/// A text that must say something.
pub(super) fn filled(name: &str, value: &str) -> Result<(), Rejection> {
    if value.trim_ascii().is_empty() {
        return Err(Rejection::field(name, "empty", "a text"));
    }
    Ok(())
}

/// What the parser refused.
pub(super) fn of_parser(text: &str, error: &serde_json::Error) -> Rejection {
    let message = error.to_string();
    let reason = match error.classify() {
        Category::Data => Reason::InvalidField,
        // A number beyond the range of f64 is good JSON.
        Category::Syntax if message.starts_with("number out of range") => Reason::InvalidField,
        Category::Syntax | Category::Eof | Category::Io => Reason::Malformed,
    };
    // A message about a field that is missing, twice there or unknown names it already.
    let named = ["missing field", "duplicate field", "unknown field"]
        .iter()
        .any(|start| message.starts_with(start));
    let field = (reason == Reason::InvalidField && !named)
        .then(|| field_before(text, error.line(), error.column()))
        .flatten();
    let detail = match field {
        Some(field) => format!("`{field}`: {message}"),
        None => message,
    };
    Rejection::new(reason, detail)
}

/// A payload that does not begin like an object.
pub(super) fn no_object(text: &str) -> Rejection {
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => Rejection::new(Reason::InvalidField, "the payload is JSON, but no object".to_owned()),
        Err(error) => of_parser(text, &error),
    }
}
