//! A file read once from its beginning to its end, row by row, as an import does: with the line at which each row stands, and
//! with columns that have other names than fields.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use riskflow_config::FileFormat;
use riskflow_model::Millis;
use riskflow_model::topic::Topic;
use serde_json::value::RawValue;

use super::columns::Fields;
use super::envelope::Envelope;
use super::format::format_of;
use super::lines::LONGEST_LINE;
use super::names::Columns;
use super::stream::{self, Kind};
use super::{parquet, table};

/// A row of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileRow<'a> {
    /// The line at which it begins, from 1; of Parquet the number of the row, from 1.
    pub line: u64,
    /// Its topic, as an envelope says, or as it was asked for.
    pub topic: Option<Topic>,
    /// Its key, where it is an envelope with one.
    pub key: Option<&'a [u8]>,
    /// When it arrived, where it is an envelope that says so.
    pub arrival: Option<Millis>,
    /// Whether it is an envelope that is marked as of an exercise.
    pub exercise: bool,
    /// What it says, as JSON where it is any; `None` deletes.
    pub payload: Option<&'a [u8]>,
}

/// The names of a topic's fields, and whether each is that of a time.
#[must_use]
pub fn fields(topic: Topic) -> BTreeMap<String, bool> {
    let fields = Fields::of(topic);
    fields
        .names()
        .map(|(name, is_time)| (name.to_owned(), is_time))
        .collect()
}

/// Reads a file (`-`: standard input) row by row. Without `format` its name tells it, and a line of JSON that looks like an envelope
/// is one. `read` counts the bytes that were read of it.
///
/// # Errors
///
/// When it cannot be read, or is no CSV or Parquet as riskflow reads it: the message says why.
pub fn read_rows(
    path: &Path,
    (format, topic): (Option<FileFormat>, Option<Topic>),
    columns: &Columns,
    read: &Arc<AtomicU64>,
    each: &mut dyn FnMut(FileRow<'_>) -> ControlFlow<()>,
) -> io::Result<()> {
    let (table, topic) = match (format_of(path, format), topic) {
        (FileFormat::Ndjson | FileFormat::Envelope, topic) => {
            let from = stream::open_counted(path, read)?;
            return each_line(from, (format, topic), columns, each);
        }
        (table, Some(topic)) => (table, topic),
        (FileFormat::Csv | FileFormat::Parquet, None) => {
            let says = "a table, and nothing says of what; give its topic";
            return Err(io::Error::new(io::ErrorKind::InvalidData, says));
        }
    };
    let mut row = |line, payload: &[u8]| {
        each(FileRow {
            line,
            topic: Some(topic),
            key: None,
            arrival: None,
            exercise: false,
            payload: Some(payload),
        })
    };
    if table == FileFormat::Csv {
        let from = stream::open_counted(path, read)?;
        return table::each_row(from, topic, columns, &mut row);
    }
    let Kind::Plain(file) = Kind::of(path)? else {
        return Err(parquet::once());
    };
    // What the pages of the rows do not hold is read at the beginning, and counts at the end.
    let mut left = file.metadata()?.len();
    let mut count = |bytes: u64| {
        let bytes = bytes.min(left);
        left -= bytes;
        read.fetch_add(bytes, Ordering::Relaxed);
    };
    parquet::each_row(file, topic, columns, &mut count, &mut |number, line| {
        row(number + 1, line)
    })?;
    count(u64::MAX);
    Ok(())
}

fn each_line(
    from: impl Read,
    (format, topic): (Option<FileFormat>, Option<Topic>),
    columns: &Columns,
    each: &mut dyn FnMut(FileRow<'_>) -> ControlFlow<()>,
) -> io::Result<()> {
    let mut from = BufReader::with_capacity(256 << 10, from);
    let (mut bytes, mut number) = (Vec::new(), 0);
    loop {
        bytes.clear();
        number += 1;
        if from.by_ref().take(LONGEST_LINE as u64).read_until(b'\n', &mut bytes)? == 0 {
            return Ok(());
        }
        // What is longer is no record, whatever the rest of it is.
        if bytes.last() != Some(&b'\n') {
            from.skip_until(b'\n')?;
        }
        let mut text = bytes.trim_ascii();
        if number == 1 {
            text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        }
        if text.is_empty() {
            continue;
        }
        let envelope = may_be_envelope(text, format).then(|| Envelope::parse(text)).flatten();
        let envelope = envelope.as_ref().and_then(|it| Some((it, it.topic("")?)));
        let plain = FileRow {
            line: number,
            topic: topic.filter(|_| format != Some(FileFormat::Envelope)),
            key: None,
            arrival: None,
            exercise: false,
            payload: Some(text),
        };
        let told = match envelope {
            Some((envelope, topic)) => each(FileRow {
                topic: Some(topic),
                key: envelope.key.as_ref().map(|key| key.as_bytes()),
                arrival: envelope.arrival,
                exercise: envelope.exercise,
                payload: envelope.payload(),
                ..plain
            }),
            None => {
                let renamed = renamed(text, columns);
                each(FileRow {
                    payload: Some(&renamed),
                    ..plain
                })
            }
        };
        if told.is_break() {
            return Ok(());
        }
    }
}

fn may_be_envelope(text: &[u8], format: Option<FileFormat>) -> bool {
    match format {
        Some(format) => format == FileFormat::Envelope,
        None => text.windows(8).any(|part| part == b"\"topic\":") && text.windows(7).any(|part| part == b"\"value\""),
    }
}

/// The same object with fields for columns; numbers stay as they are written.
fn renamed<'a>(text: &'a [u8], columns: &Columns) -> Cow<'a, [u8]> {
    if *columns == Columns::default() {
        return Cow::Borrowed(text);
    }
    let Ok(object) = serde_json::from_slice::<BTreeMap<String, &RawValue>>(text) else {
        return Cow::Borrowed(text);
    };
    let fields: BTreeMap<&str, &RawValue> = object
        .iter()
        .map(|(column, value)| (columns.field(column), *value))
        .filter(|(field, _)| !field.is_empty())
        .collect();
    serde_json::to_vec(&fields).map_or(Cow::Borrowed(text), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(name: &str, text: &str, topic: Option<Topic>, columns: &Columns) -> io::Result<Vec<(u64, String)>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let (count, mut rows) = (Arc::default(), Vec::new());
        read_rows(&path, (None, topic), columns, &count, &mut |row| {
            rows.push((
                row.line,
                String::from_utf8(row.payload.unwrap_or(b"-").to_vec()).unwrap(),
            ));
            ControlFlow::Continue(())
        })?;
        assert_eq!(count.load(std::sync::atomic::Ordering::Relaxed), text.len() as u64);
        Ok(rows)
    }

    fn columns(fields: &[(&str, &str)], constants: &[&str]) -> Columns {
        Columns {
            fields: fields.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
            constants: constants.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn columns_become_fields_and_rows_know_their_lines() {
        let text = "Sensor,id,When,mm\n\na,1,2021-07-25T00:00:00Z,0.10\n\"b\nc\",2,x,2\nd,\"open\ne,4,y,5\n";
        let given = columns(
            &[
                ("Sensor", "datastream"),
                ("When", "phenomenon_time"),
                ("mm", "result"),
                ("id", ""),
            ],
            &[],
        );
        let found = rows("a.csv", text, Some(Topic::IN_OBSERVATION), &given).unwrap();
        assert_eq!(
            found[..2],
            [
                (
                    3,
                    r#"{"datastream":"a","phenomenon_time":"2021-07-25T00:00:00Z","result":0.10}"#.to_owned()
                ),
                (
                    4,
                    r#"{"datastream":"b\u000ac","phenomenon_time":"x","result":2}"#.to_owned()
                ),
            ]
        );
        assert!(
            found[2].0 == 6 && found[2].1.contains("line 6: the quote that begins cell 2"),
            "{found:?}"
        );
        assert_eq!(found[3].0, 7);
    }

    #[test]
    fn a_column_that_is_not_there_is_told() {
        let given = columns(&[("Sensr", "datastream")], &["result", "phenomenon_time"]);
        let said = rows("a.csv", "Sensor\na\n", Some(Topic::IN_OBSERVATION), &given).unwrap_err();
        assert!(said.to_string().contains("`Sensor`, has no column `Sensr`"), "{said}");
        let given = columns(&[("Sensor", "datastream")], &["phenomenon_time", "op"]);
        let found = rows("a.csv", "Sensor,op\na,x\n", Some(Topic::IN_OBSERVATION), &given).unwrap();
        assert_eq!(found, [(2, r#"{"datastream":"a"}"#.to_owned())]);
    }

    #[test]
    fn lines_of_json_are_renamed_and_envelopes_are_known() {
        let text = "\u{feff}{\"s\":\"a\",\"v\":0.10,\"datastream\":\"z\"}\n\n{\"topic\":\"base.region\",\"key\":\"33\",\"value\":null}\nno json\n";
        let given = columns(&[("s", "datastream"), ("v", "result")], &[]);
        let found = rows("a.ndjson", text, None, &given).unwrap();
        let expected = [(1, r#"{"datastream":"a","result":0.10}"#), (3, "-"), (4, "no json")];
        assert_eq!(found, expected.map(|(line, text)| (line, text.to_owned())));
    }
}
