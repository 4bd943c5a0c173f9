//! What the columns of a table are, and how what stands in their cells becomes JSON: CSV and Parquet alike.

use std::io;

use riskflow_model::topic::Topic;
use serde_json::value::RawValue;

use super::columns::{Fields, Kind};
use super::names::Columns;

/// A column that is a field: its name as JSON, and what it is. One without a name, as spreadsheets leave them, is none.
pub(super) type Column = Option<(Vec<u8>, Kind)>;

pub(super) fn unreadable(says: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, says)
}

/// The columns by these names, which stand in `place`; a file with others needs `give`.
///
/// # Errors
///
/// When one is there twice or not there, or one that every record needs is missing.
pub(super) fn columns(
    names: &[&str],
    (place, give): (&str, &str),
    topic: Topic,
    given: &Columns,
) -> io::Result<Vec<Column>> {
    let fields = Fields::of(topic);
    if let Some(absent) = given.fields.keys().find(|column| !names.contains(&column.as_str())) {
        return Err(unreadable(format!(
            "{place}, `{}`, has no column `{absent}`; give the columns that there are",
            names.join(",")
        )));
    }
    let names: Vec<&str> = names.iter().map(|name| given.field(name)).collect();
    for (position, name) in names.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
        if names[..position].contains(name) {
            return Err(unreadable(format!("{place} has `{name}` twice; give each column once")));
        }
    }
    let there: Vec<&str> = names
        .iter()
        .copied()
        .chain(given.constants.iter().map(String::as_str))
        .collect();
    let missing = fields.missing(&there);
    if !missing.is_empty() {
        return Err(unreadable(format!(
            "{place}, `{}`, has no `{}`; give {give} the names of the fields of {topic} (`riskflow schema {topic}`)",
            names.join(","),
            missing.join("`, no `")
        )));
    }
    let unknown: Vec<&str> = names
        .iter()
        .copied()
        .filter(|name| !name.is_empty() && !fields.has(name))
        .collect();
    if !unknown.is_empty() {
        tracing::warn!(%topic, columns = unknown.join(","), "columns are no fields of this topic: they are passed on, and nothing heeds them");
    }
    let column = |name: &str| {
        let mut written = Vec::new();
        write_string(&mut written, name.as_bytes());
        (written, fields.kind(name))
    };
    Ok(names
        .iter()
        .map(|name| (!name.is_empty()).then(|| column(name)))
        .collect())
}

/// A cell that is not what its column asks for is passed on as a string, and decoding tells of it.
pub(super) fn write_cell(line: &mut Vec<u8>, kind: Kind, cell: &[u8]) {
    match kind {
        Kind::Number if is_number(cell) => line.extend_from_slice(cell),
        Kind::Whole | Kind::Time if whole(cell).is_some_and(is_number) => {
            line.extend_from_slice(whole(cell).unwrap_or(cell));
        }
        Kind::Whole if is_number(cell) => line.extend_from_slice(cell),
        Kind::Flag if cell.eq_ignore_ascii_case(b"true") || cell.eq_ignore_ascii_case(b"false") => {
            line.extend(cell.iter().map(u8::to_ascii_lowercase));
        }
        Kind::Nested if is_json(cell) => write_json(line, cell),
        Kind::List if cell.starts_with(b"[") && is_json(cell) => write_json(line, cell),
        Kind::List => write_list(
            line,
            cell.split(|byte| *byte == b';')
                .map(<[u8]>::trim_ascii)
                .filter(|item| !item.is_empty()),
        ),
        _ => write_string(line, cell),
    }
}

/// JSON may be written over several lines; outside its strings an end of line is a blank.
pub(super) fn write_json(line: &mut Vec<u8>, cell: &[u8]) {
    line.extend(
        cell.iter()
            .map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }),
    );
}

fn is_json(cell: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(cell).is_ok()
}

fn is_number(cell: &[u8]) -> bool {
    cell.first().is_some_and(|byte| matches!(byte, b'-' | b'0'..=b'9')) && is_json(cell)
}

/// The digits of a whole number, without a fraction of nothing; `None` for any other.
fn whole(cell: &[u8]) -> Option<&[u8]> {
    let point = cell.iter().position(|byte| *byte == b'.').unwrap_or(cell.len());
    let (digits, fraction) = cell.split_at(point);
    let unsigned = digits.strip_prefix(b"-").unwrap_or(digits);
    let is_whole = unsigned.iter().all(u8::is_ascii_digit) && fraction.iter().skip(1).all(|byte| *byte == b'0');
    (is_whole && !unsigned.is_empty()).then_some(digits)
}

pub(super) fn write_list<'a>(line: &mut Vec<u8>, items: impl Iterator<Item = &'a [u8]>) {
    line.push(b'[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            line.push(b',');
        }
        write_string(line, item);
    }
    line.push(b']');
}

/// As a JSON string; bytes that are no UTF-8 stay, so that decoding tells of them.
pub(super) fn write_string(line: &mut Vec<u8>, text: &[u8]) {
    line.push(b'"');
    for byte in text {
        match byte {
            b'"' | b'\\' => line.extend_from_slice(&[b'\\', *byte]),
            0..0x20 => line.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => line.push(*byte),
        }
    }
    line.push(b'"');
}
