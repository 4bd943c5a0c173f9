//! Rows of CSV as JSON objects, one a line.
//!
//! A file that is no CSV as riskflow reads it (other separators, another encoding, a header with a column twice or without a field
//! that every record needs) is refused as a whole and in one word: each of its rows would be wrong for the same reason.

use std::io::{self, Read};
use std::ops::ControlFlow;

use csv::ByteRecord;
use riskflow_model::topic::Topic;

use super::cells::{Column, columns, unreadable, write_cell, write_list};
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
    let columns = columns_of(reader.byte_headers()?, topic, &Columns::default())?;
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
    let columns = columns_of(reader.byte_headers()?, topic, columns_)?;
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

/// The columns of a header.
fn columns_of(header: &ByteRecord, topic: Topic, given: &Columns) -> io::Result<Vec<Column>> {
    let names: Vec<_> = header.iter().map(String::from_utf8_lossy).collect();
    let names: Vec<&str> = names.iter().map(|name| name.trim()).collect();
    columns(&names, ("its header", "a first line with"), topic, given)
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
