//! Rows of CSV as JSON objects, one a line.
//!
//! A file that is no CSV as riskflow reads it (other separators, another encoding, a header with a column twice or without a field
//! that every record needs) is refused as a whole and in one word: each of its rows would be wrong for the same reason.

use std::io::{self, Read};
use std::ops::ControlFlow;

use csv::ByteRecord;
use riskflow_model::topic::Topic;
use serde_json::value::RawValue;

use super::columns::{Fields, Kind};
use super::fed::Feed;
use super::names::Columns;
use super::records::Records;
use crate::encoding;

const PIECE_BYTES: usize = 64 << 10;

/// Passes on every row as a line of JSON. A row with another number of cells than the header is passed on as an array of its
/// cells, which no topic takes for a record.
pub(super) fn feed_rows(from: impl Read, topic: Topic, feed: &Feed) {
    if let Err(error) = try_feed_rows(from, topic, feed) {
        drop(feed.send(Err(error)));
    }
}

fn try_feed_rows(mut from: impl Read, topic: Topic, feed: &Feed) -> io::Result<()> {
    let head = begin(&mut from)?;
    is_readable(&head)?;
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .from_reader(Records::new(head.chain(from)));
    let columns = columns(reader.byte_headers()?, topic, &Columns::default())?;
    let mut row = ByteRecord::new();
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    loop {
        match reader.read_byte_record(&mut row) {
            Ok(true) => write_row(&mut piece, &columns, &row),
            Ok(false) => break,
            Err(error) => {
                drop(feed.send(Ok(piece)));
                return Err(error.into());
            }
        }
        // The source is gone: nobody wants the rest.
        if piece.len() >= PIECE_BYTES && feed.send(Ok(std::mem::take(&mut piece))).is_err() {
            return Ok(());
        }
    }
    drop(feed.send(Ok(piece)));
    Ok(())
}

/// The first bytes, with the whole first line: of a pipe no more than is there.
fn begin(from: &mut impl Read) -> io::Result<io::Cursor<Vec<u8>>> {
    let mut head = Vec::new();
    loop {
        let begin = head.len();
        head.resize(begin + PIECE_BYTES, 0);
        let read = match from.read(&mut head[begin..]) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                head.truncate(begin);
                continue;
            }
            Err(error) => return Err(error),
        };
        head.truncate(begin + read);
        if read == 0 || head.contains(&b'\n') {
            return Ok(io::Cursor::new(head));
        }
    }
}

fn unreadable(says: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, says)
}

/// Encoding and separator, as the first bytes tell.
fn is_readable(head: &io::Cursor<Vec<u8>>) -> io::Result<()> {
    let head = head.get_ref();
    let header = head.split(|byte| *byte == b'\n').next().unwrap_or(head);
    if header.trim_ascii_end().contains(&b'\r') {
        let says = "its lines end with carriage returns alone; give lines that end with a line feed, or with both";
        return Err(unreadable(says.to_owned()));
    }
    // One bad byte may be damage of one row; a header, or all of the beginning as GBK, is another encoding.
    let is_damage = |encoding: &&str| *encoding == "another encoding" && str::from_utf8(header).is_ok();
    let other = encoding::guess(head).filter(|encoding| !is_damage(encoding));
    if let Some(encoding) = other {
        return Err(unreadable(format!("it looks like {encoding}; give CSV in UTF-8")));
    }
    let separators = [(b';', "`;`"), (b'\t', "tabs"), (b'|', "`|`")];
    let other = separators.iter().find(|(byte, _)| header.contains(byte));
    match other {
        Some((_, name)) if !header.contains(&b',') => Err(unreadable(format!(
            "its separator is {name}; give CSV with commas between columns, and a point in decimal numbers"
        ))),
        _ => Ok(()),
    }
}

/// A column that is a field: its name as JSON, and what it is. One without a name, as spreadsheets leave them, is none.
type Column = Option<(Vec<u8>, Kind)>;

/// Passes on every row as a line of JSON, with the line at which it begins, until it is told to end.
pub(super) fn each_row(
    mut from: impl Read,
    topic: Topic,
    columns_: &Columns,
    each: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>,
) -> io::Result<()> {
    let head = begin(&mut from)?;
    is_readable(&head)?;
    let mut records = Records::new(head.chain(from));
    let numbers = records.numbers();
    // Rows end where records do: a carriage return alone ends neither.
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .terminator(csv::Terminator::Any(b'\n'))
        .from_reader(records);
    let columns = columns(reader.byte_headers()?, topic, columns_)?;
    numbers.borrow_mut().pop_front();
    let (mut row, mut line) = (ByteRecord::new(), Vec::new());
    while reader.read_byte_record(&mut row)? {
        line.clear();
        write_row(&mut line, &columns, &row);
        let number = numbers
            .borrow_mut()
            .pop_front()
            .expect("every row is a record with a number");
        if each(number, line.trim_ascii_end()).is_break() {
            break;
        }
    }
    Ok(())
}

fn columns(header: &ByteRecord, topic: Topic, given: &Columns) -> io::Result<Vec<Column>> {
    let fields = Fields::of(topic);
    let names = header.iter().map(String::from_utf8_lossy).collect::<Vec<_>>();
    let names: Vec<&str> = names.iter().map(|name| name.trim()).collect();
    if let Some(absent) = given.fields.keys().find(|column| !names.contains(&column.as_str())) {
        return Err(unreadable(format!(
            "its header, `{}`, has no column `{absent}`; give the columns that there are",
            names.join(",")
        )));
    }
    let names: Vec<&str> = names.iter().map(|name| given.field(name)).collect();
    for (position, name) in names.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
        if names[..position].contains(name) {
            return Err(unreadable(format!(
                "its header has `{name}` twice; give each column once"
            )));
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
            "its header, `{}`, has no `{}`; give a first line with the names of the fields of {topic} (`riskflow schema {topic}`)",
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

fn write_row(line: &mut Vec<u8>, columns: &[Column], row: &ByteRecord) {
    if row.len() != columns.len() {
        write_list(line, row.iter());
        line.push(b'\n');
        return;
    }
    line.push(b'{');
    let mut first = true;
    for (column, cell) in columns.iter().zip(row) {
        let cell = cell.trim_ascii();
        let Some((name, kind)) = column.as_ref().filter(|_| !cell.is_empty()) else {
            continue;
        };
        if !std::mem::take(&mut first) {
            line.push(b',');
        }
        line.extend_from_slice(name);
        line.push(b':');
        write_cell(line, *kind, cell);
    }
    line.extend_from_slice(b"}\n");
}

/// A cell that is not what its column asks for is passed on as a string, and decoding tells of it.
fn write_cell(line: &mut Vec<u8>, kind: Kind, cell: &[u8]) {
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
fn write_json(line: &mut Vec<u8>, cell: &[u8]) {
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

fn write_list<'a>(line: &mut Vec<u8>, items: impl Iterator<Item = &'a [u8]>) {
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
fn write_string(line: &mut Vec<u8>, text: &[u8]) {
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
