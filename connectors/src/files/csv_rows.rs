//! Records as rows of CSV (RFC 4180, lines end with a line feed).
//!
//! Texts stay as they are, also those that begin with `=`, `+`, `-` or `@`: a table for machines that changed them would say something
//! else than the topic. Whoever opens one in a spreadsheet must have columns imported as text.

use std::borrow::Cow;
use std::io;

use riskflow_model::topic::Topic;

use super::flat::{DELETE, EPOCH, EXERCISE, Flat, KEY, OP, PUT, Sort};
use crate::OutRecord;

/// The table of a topic.
pub(super) struct CsvRows(Flat);

impl CsvRows {
    pub fn of(topic: Topic, exercise: bool) -> Self {
        Self(Flat::of(topic, exercise))
    }

    /// The first row, which names the columns.
    pub fn header(&self) -> Vec<u8> {
        let mut line = Vec::new();
        let names = self.0.columns.iter().map(|column| &*column.name);
        let mark = self.0.exercise.then_some(EXERCISE);
        for name in [EPOCH, KEY, OP].into_iter().chain(mark).chain(names) {
            cell(&mut line, name.as_bytes());
        }
        end(&mut line);
        line
    }

    /// Writes a record as a row.
    ///
    /// # Errors
    ///
    /// When it is not as its schema says.
    pub fn write(&self, lines: &mut Vec<u8>, epoch: &str, record: &OutRecord) -> io::Result<()> {
        let payload = record.payload.as_deref();
        let cells = payload.map(|payload| self.0.cells(payload)).transpose()?;
        cell(lines, epoch.as_bytes());
        cell(lines, record.key.as_bytes());
        cell(lines, if payload.is_some() { PUT } else { DELETE }.as_bytes());
        if self.0.exercise {
            cell(lines, b"true");
        }
        for (index, column) in self.0.columns.iter().enumerate() {
            let json = cells
                .as_ref()
                .and_then(|cells| cells[index])
                .map_or("", |json| json.get());
            let text = match column.sort {
                Sort::Text | Sort::Time if !json.is_empty() => {
                    let text = serde_json::from_str::<String>(json).map(Cow::Owned);
                    text.map_err(|_| self.0.strange(&format_args!("`{}` is {json}", column.name)))?
                }
                Sort::Text | Sort::Time | Sort::Flag | Sort::Whole | Sort::Unsigned | Sort::Real | Sort::Json => {
                    Cow::Borrowed(json)
                }
            };
            cell(lines, text.as_bytes());
        }
        end(lines);
        Ok(())
    }
}

/// Writes a cell and the comma behind it.
fn cell(line: &mut Vec<u8>, text: &[u8]) {
    let quoted = text.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'));
    if quoted {
        line.push(b'"');
        for byte in text {
            line.push(*byte);
            if *byte == b'"' {
                line.push(b'"');
            }
        }
        line.push(b'"');
    } else {
        line.extend_from_slice(text);
    }
    line.push(b',');
}

/// Ends a row: the last comma has nothing behind it.
fn end(line: &mut Vec<u8>) {
    line.pop();
    line.push(b'\n');
}
