//! A file of tests while it is read: everything wrong with it is noted, each with its line, and nothing ends the reading.

use std::collections::BTreeSet;
use std::path::Path;

use riskflow_connectors::Rejection;
use riskflow_model::json;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::document::{Document, Wrong};

/// A file, and what was found wrong with it so far.
pub struct Reading<'a> {
    /// Where it is: paths in it go from there.
    pub file: &'a Path,
    document: &'a Document,
    /// In the order of lines; what holds for several tests is told once.
    wrong: BTreeSet<Wrong>,
}

impl<'a> Reading<'a> {
    pub const fn new(file: &'a Path, document: &'a Document) -> Self {
        Self {
            file,
            document,
            wrong: BTreeSet::new(),
        }
    }

    /// The line on which something stands.
    pub fn line(&self, path: &str) -> usize {
        self.document.line(path)
    }

    /// Everything wrong.
    pub fn wrong(self) -> Vec<Wrong> {
        self.wrong.into_iter().collect()
    }

    /// Notes a problem in words of its own.
    pub fn say(&mut self, path: &str, says: String) {
        self.wrong.insert(Wrong::new(self.line(path), says));
    }

    /// Notes a field, what was found there, and what to give.
    pub fn note(&mut self, path: &str, found: &str, give: &str) {
        let shown = if path.is_empty() { "the file" } else { path };
        self.say(path, format!("`{shown}` is {found}; give {give}"));
    }

    /// Reads a value as what it should be; what is wrong with it is noted, field by field.
    pub fn read<T: DeserializeOwned>(&mut self, value: &Value, path: &str) -> Option<T> {
        let text = value.to_string();
        let (problems, rest) = match json::examine(&text, |text| json::attempt::<T>(text)) {
            Ok(examined) => examined,
            Err(malformed) => {
                self.note(path, &malformed, "less");
                return None;
            }
        };
        for problem in problems.iter() {
            let field = match problem.field.as_str() {
                "record" => path.to_owned(),
                field => joined(path, field),
            };
            self.note(&field, &problem.found, &problem.give);
        }
        rest.and_then(|rest| serde_json::from_str(&rest).ok())
    }

    /// The same of each entry of a list, with its path.
    pub fn entries<T: DeserializeOwned>(&mut self, values: &[Value], path: &str) -> Vec<(String, T)> {
        let mut entries = Vec::with_capacity(values.len());
        for (index, value) in values.iter().enumerate() {
            let path = format!("{path}[{index}]");
            if let Some(entry) = self.read(value, &path) {
                entries.push((path, entry));
            }
        }
        entries
    }

    /// Notes why the job would refuse a record, problem by problem. `made`: the record stands in the file in another form, so that its
    /// fields are none of the file's.
    pub fn refused(&mut self, path: &str, made: bool, rejection: &Rejection) {
        let reason = rejection.reason.name();
        for problem in rejection.detail.lines() {
            let field = problem.strip_prefix('`').and_then(|rest| rest.split_once('`'));
            match field.filter(|_| !made) {
                Some(("record", rest)) => self.say(path, format!("`{path}`{rest} ({reason})")),
                Some((field, rest)) => {
                    let field = joined(path, field);
                    self.say(&field, format!("`{field}`{rest} ({reason})"));
                }
                None => self.say(path, format!("`{path}`: {problem} ({reason})")),
            }
        }
    }
}

/// A path, and a field behind it.
pub fn joined(path: &str, field: &str) -> String {
    match (path, field.starts_with('[')) {
        ("", _) => field.to_owned(),
        (_, true) => format!("{path}{field}"),
        (_, false) => format!("{path}.{field}"),
    }
}
