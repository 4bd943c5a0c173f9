//! A file of tests while it is read: everything wrong with it is noted, each with its line, and nothing ends the reading.

use std::collections::BTreeSet;
use std::path::Path;

use riskflow_connectors::Rejection;
use riskflow_model::json;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::document::{Document, Wrong};

/// So many records and epochs may the tests of a file have together: all of them are in memory at once.
pub const MOST_TAKEN: usize = 1_000_000;
/// So many problems of a file are told.
const MOST_TOLD: usize = 1_000;

/// A file, and what was found wrong with it so far.
pub struct Reading<'a> {
    /// Where it is: paths in it go from there.
    pub file: &'a Path,
    document: &'a Document,
    /// In the order of lines; what holds for several tests is told once.
    wrong: BTreeSet<Wrong>,
    /// Whether more is wrong than is told.
    more: bool,
    /// Records and epochs so far.
    taken: usize,
}

impl<'a> Reading<'a> {
    pub const fn new(file: &'a Path, document: &'a Document) -> Self {
        Self {
            file,
            document,
            wrong: BTreeSet::new(),
            more: false,
            taken: 0,
        }
    }

    /// Whether the tests have more than may be: nothing more is taken.
    pub const fn is_full(&self) -> bool {
        self.taken > MOST_TAKEN
    }

    /// Whether so many more records or epochs may be taken; where it is noted that they are too many.
    pub fn take(&mut self, count: usize, path: &str) -> bool {
        if self.is_full() {
            return false;
        }
        self.taken = self.taken.saturating_add(count);
        if self.is_full() {
            let says = format!(
                "the tests of this file have more than {MOST_TAKEN} records and epochs up to `{path}`; give shorter series, a longer \
                 `step`, fewer rows for all tests, or divide the file"
            );
            // It is the one that counts.
            self.wrong.insert(Wrong::new(self.line(path), says));
        }
        !self.is_full()
    }

    /// The line on which something stands.
    pub fn line(&self, path: &str) -> usize {
        self.document.line(path)
    }

    /// Everything wrong.
    pub fn wrong(self) -> Vec<Wrong> {
        let mut wrong: Vec<Wrong> = self.wrong.into_iter().collect();
        if self.more {
            let line = wrong.last().map_or(1, |last| last.line);
            wrong.push(Wrong::new(
                line,
                format!("more is wrong: {MOST_TOLD} problems of a file are told"),
            ));
        }
        wrong
    }

    /// Notes a problem in words of its own.
    pub fn say(&mut self, path: &str, says: String) {
        if self.wrong.len() >= MOST_TOLD {
            self.more = true;
            return;
        }
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
