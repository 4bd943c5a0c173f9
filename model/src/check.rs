//! What is wrong with the fields of a record that could be read: everything, at once.

use std::fmt;
use std::ops::Deref;

use crate::limit::{ID_BYTES, TEXT_BYTES};
use crate::{Level, Problems, identifier};

/// Notes what is wrong with a record.
#[derive(Debug, Default)]
pub struct Check(Problems);

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
    pub fn identifiers(&mut self, field: &str, texts: &[impl Deref<Target = str>]) {
        for (index, text) in texts.iter().enumerate() {
            self.identifier(format_args!("{field}[{index}]"), text);
        }
    }

    /// A text for people: every text of a row goes out, so its length is bounded.
    pub fn text(&mut self, field: impl fmt::Display, text: &str) {
        self.at_most(field, text, TEXT_BYTES);
    }

    /// A short text that is no identifier.
    pub fn word(&mut self, field: impl fmt::Display, text: &str) {
        self.at_most(field, text, ID_BYTES);
    }

    fn at_most(&mut self, field: impl fmt::Display, text: &str, most: usize) {
        if text.len() > most {
            let found = format!("{} bytes long", text.len());
            self.wrong(field, found, &format!("at most {most} bytes"));
        }
    }

    /// A level that warns.
    pub fn warning_level(&mut self, level: Level) {
        if level == Level::None {
            self.wrong("level", "`none`", "`blue`, `yellow`, `orange` or `red`");
        }
    }

    /// What was noted.
    #[must_use]
    pub fn problems(self) -> Problems {
        self.0
    }
}
