//! Rows of CSV as JSON objects, one a line.

use std::io::Read;

use csv::ByteRecord;
use riskflow_model::topic::Topic;
use serde_json::value::RawValue;

use super::fed::Feed;

const PIECE_BYTES: usize = 64 << 10;

/// Fields whose values are strings even where they look like numbers.
const fn strings(topic: Topic) -> &'static [&'static [u8]] {
    match topic {
        Topic::BaseRegion => &[b"code", b"name"],
        Topic::BaseAsset => &[b"id", b"name", b"category", b"domain", b"region"],
        Topic::BaseDatastream => &[b"id", b"asset", b"observed_property", b"unit"],
        Topic::BaseUnit => &[b"id", b"name", b"region", b"parent"],
        Topic::BaseUser => &[b"id", b"channel"],
        Topic::BaseDuty => &[b"id", b"region", b"domain", b"asset", b"level", b"unit", b"role"],
        Topic::BasePlan => &[b"id", b"name", b"region", b"domain", b"level"],
        Topic::BaseLimit => &[b"id", b"measure", b"work_type", b"domain", b"region"],
        Topic::InRule => &[b"id", b"name", b"source", b"pane"],
        Topic::InPermit => &[b"id", b"kind", b"work_type", b"asset"],
        Topic::InReport => &[b"id", b"module", b"region", b"kind"],
        Topic::InIncident => &[
            b"id", b"hazard", b"title", b"level", b"domain", b"region", b"asset", b"state",
        ],
        Topic::InAction => &[
            b"id",
            b"warning",
            b"action",
            b"actor",
            b"role",
            b"unit",
            b"text",
            b"task",
            b"assignee",
            b"evidence",
        ],
        // A time of digits alone is milliseconds, and a number.
        _ => &[b"datastream", b"quality", b"resultQuality", b"op"],
    }
}

/// Lists, written with `;` between.
const LISTS: &[&[u8]] = &[b"tags", b"rules", b"holders"];

/// Fields whose values are written as JSON.
const NESTED: &[&[u8]] = &[
    b"position",
    b"thresholds",
    b"select",
    b"levels",
    b"posts",
    b"roster",
    b"tasks",
    b"quantities",
    b"deleted",
    b"override",
];

/// Passes on every row as a line of JSON. A row with another number of cells than the header is passed on as an array of its
/// cells, which no topic takes for a record.
pub(super) fn feed_rows(from: impl Read, topic: Topic, feed: &Feed) {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(from);
    let header = match reader.byte_headers() {
        Ok(header) => header.clone(),
        Err(error) => {
            drop(feed.send(Err(error.into())));
            return;
        }
    };
    let mut row = ByteRecord::new();
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    loop {
        match reader.read_byte_record(&mut row) {
            Ok(true) => write_row(&mut piece, topic, &header, &row),
            Ok(false) => break,
            Err(error) => {
                drop(feed.send(Ok(piece)));
                drop(feed.send(Err(error.into())));
                return;
            }
        }
        // The source is gone: nobody wants the rest.
        if piece.len() >= PIECE_BYTES && feed.send(Ok(std::mem::take(&mut piece))).is_err() {
            return;
        }
    }
    drop(feed.send(Ok(piece)));
}

fn write_row(line: &mut Vec<u8>, topic: Topic, header: &ByteRecord, row: &ByteRecord) {
    if row.len() != header.len() {
        write_list(line, row.iter());
        line.push(b'\n');
        return;
    }
    line.push(b'{');
    let mut first = true;
    for (name, cell) in header.iter().zip(row) {
        let cell = cell.trim_ascii();
        if cell.is_empty() {
            continue;
        }
        if !std::mem::take(&mut first) {
            line.push(b',');
        }
        let name = name.trim_ascii();
        write_string(line, name);
        line.push(b':');
        write_cell(line, topic, name, cell);
    }
    line.extend_from_slice(b"}\n");
}

fn write_cell(line: &mut Vec<u8>, topic: Topic, name: &[u8], cell: &[u8]) {
    if LISTS.contains(&name) {
        write_list(
            line,
            cell.split(|byte| *byte == b';')
                .map(<[u8]>::trim_ascii)
                .filter(|item| !item.is_empty()),
        );
    } else if NESTED.contains(&name) && is_json(cell) || !strings(topic).contains(&name) && is_number(cell) {
        // A nested value may be written over several lines; outside its strings an end of line is a blank.
        line.extend(
            cell.iter()
                .map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }),
        );
    } else {
        write_string(line, cell);
    }
}

fn is_json(cell: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(cell).is_ok()
}

fn is_number(cell: &[u8]) -> bool {
    cell.first().is_some_and(|byte| matches!(byte, b'-' | b'0'..=b'9')) && is_json(cell)
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
