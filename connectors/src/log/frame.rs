//! One record in bytes; see [`super`] for the layout.

use riskflow_model::Millis;
use riskflow_model::limit::RECORD_BYTES;

use super::error::LogError;

/// Length and checksum.
pub(super) const HEAD: usize = 8;

/// A body with neither key nor payload.
const LEAST_BODY: usize = 16;

/// A body may be this long: riskflow writes no record of more than [`RECORD_BYTES`], others may. A length beyond it is no
/// length, so that garbage makes no reader wait for gigabytes.
pub(super) const MOST_BODY: usize = 64 * RECORD_BYTES;

const NONE: u32 = u32::MAX;

/// In the place of a key's length: no record, but a gap.
const GAP: u32 = u32::MAX - 1;

/// The body of a gap: arrival, `GAP`, how many records are gone.
const GAP_BODY: usize = 20;

/// What stands in one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body<'a> {
    Record {
        key: Option<&'a [u8]>,
        payload: Option<&'a [u8]>,
    },
    /// So many records were compacted away. They keep their offsets.
    Gap(u64),
}

/// A whole frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub arrival: Millis,
    pub body: Body<'a>,
    /// All of it, head included.
    pub bytes: &'a [u8],
    /// The checksum that stands in its head.
    pub sum: u32,
}

impl Frame<'_> {
    /// How it begins: its length and checksum.
    pub fn head(&self) -> [u8; HEAD] {
        std::array::from_fn(|byte| self.bytes[byte])
    }

    pub const fn length(&self) -> usize {
        self.bytes.len()
    }

    /// How many offsets it stands for.
    pub const fn records(&self) -> u64 {
        match self.body {
            Body::Record { .. } => 1,
            Body::Gap(records) => records,
        }
    }
}

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed<'a> {
    /// A frame.
    Whole(Frame<'a>),
    /// The beginning of a frame, as far as one can see.
    Torn,
    /// No frame; the next cannot begin before this many bytes on.
    Bad { skip: usize },
}

/// Whether the checksum has to be looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    Full,
    /// Already done for these bytes.
    Done,
}

/// The checksum of frames that follow each other, from the one before them on. Each step is one-to-one in both of its
/// arguments, so that another checksum or length of any single frame always gives another result.
pub(super) const fn chain(before: u64, frame: &Frame<'_>) -> u64 {
    link(before, frame.bytes.len(), frame.sum)
}

const fn link(before: u64, length: usize, sum: u32) -> u64 {
    let head = (length as u64) << 32 | sum as u64;
    (before.rotate_left(23) ^ head).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Appends a record, and goes on with a chain.
pub(super) fn append(
    buffer: &mut Vec<u8>,
    arrival: Millis,
    key: Option<&[u8]>,
    payload: Option<&[u8]>,
    before: u64,
) -> Result<u64, LogError> {
    let body = LEAST_BODY + key.map_or(0, <[u8]>::len) + payload.map_or(0, <[u8]>::len);
    if body > MOST_BODY {
        return Err(LogError::TooLarge {
            found: body,
            most: MOST_BODY,
        });
    }
    begin(buffer, body, arrival);
    for part in [key, payload] {
        buffer.extend_from_slice(&part.map_or(NONE, |part| part.len() as u32).to_le_bytes());
        buffer.extend_from_slice(part.unwrap_or_default());
    }
    Ok(link(before, HEAD + body, seal(buffer, body)))
}

/// Appends a gap of so many records, at least one, and goes on with a chain.
pub(super) fn append_gap(buffer: &mut Vec<u8>, arrival: Millis, records: u64, before: u64) -> u64 {
    begin(buffer, GAP_BODY, arrival);
    buffer.extend_from_slice(&GAP.to_le_bytes());
    buffer.extend_from_slice(&records.to_le_bytes());
    link(before, HEAD + GAP_BODY, seal(buffer, GAP_BODY))
}

fn begin(buffer: &mut Vec<u8>, body: usize, arrival: Millis) {
    buffer.reserve(HEAD + body);
    buffer.extend_from_slice(&(body as u32).to_le_bytes());
    buffer.extend_from_slice(&[0; 4]);
    buffer.extend_from_slice(&arrival.0.to_le_bytes());
}

/// Writes the checksum of the body that ends the buffer, and returns it.
fn seal(buffer: &mut [u8], body: usize) -> u32 {
    let begin = buffer.len() - body;
    let sum = crc32fast::hash(&buffer[begin..]);
    buffer[begin - 4..begin].copy_from_slice(&sum.to_le_bytes());
    sum
}

/// Looks at the beginning of `bytes`. The lengths must agree with each other even where the end is not there yet:
/// a torn frame is told from a bad length.
pub(super) fn parse(bytes: &[u8], check: Check) -> Parsed<'_> {
    let Some(length) = number(bytes, 0) else {
        return Parsed::Torn;
    };
    let length = length as usize;
    if !(LEAST_BODY..=MOST_BODY).contains(&length) {
        return Parsed::Bad { skip: 1 };
    }
    let Some(key_length) = number(bytes, HEAD + 8) else {
        return Parsed::Torn;
    };
    let parts = if key_length == GAP {
        gap(length)
    } else {
        record(bytes, length, key_length)
    };
    let parts = match parts {
        Ok(parts) => parts,
        Err(parsed) => return parsed,
    };
    let length = HEAD + length;
    let Some(frame) = bytes.get(..length) else {
        return Parsed::Torn;
    };
    let Some(sum) = number(frame, 4) else {
        return Parsed::Torn;
    };
    if check == Check::Full && crc32fast::hash(&frame[HEAD..]) != sum {
        return Parsed::Bad { skip: length };
    }
    let body = match parts {
        Parts::Gap => match long(frame, HEAD + 12) {
            Some(records) if records > 0 => Body::Gap(records),
            _ => return Parsed::Bad { skip: length },
        },
        Parts::Record { key_end } => Body::Record {
            key: (key_length != NONE).then(|| &frame[HEAD + 12..key_end]),
            payload: (number(frame, key_end) != Some(NONE)).then(|| &frame[key_end + 4..]),
        },
    };
    let arrival = long(frame, HEAD).map_or(0, u64::cast_signed);
    Parsed::Whole(Frame {
        arrival: Millis(arrival),
        body,
        bytes: frame,
        sum,
    })
}

enum Parts {
    Gap,
    Record { key_end: usize },
}

const fn gap(length: usize) -> Result<Parts, Parsed<'static>> {
    if length == GAP_BODY {
        Ok(Parts::Gap)
    } else {
        Err(Parsed::Bad { skip: 1 })
    }
}

fn record(bytes: &[u8], length: usize, key_length: u32) -> Result<Parts, Parsed<'static>> {
    let end = HEAD + length;
    let key_end = HEAD + 12 + if key_length == NONE { 0 } else { key_length as usize };
    if key_end + 4 > end {
        return Err(Parsed::Bad { skip: 1 });
    }
    let Some(payload_length) = number(bytes, key_end) else {
        return Err(Parsed::Torn);
    };
    let payload = if payload_length == NONE {
        0
    } else {
        payload_length as usize
    };
    if key_end + 4 + payload == end {
        Ok(Parts::Record { key_end })
    } else {
        Err(Parsed::Bad { skip: 1 })
    }
}

/// Whether a whole frame begins anywhere in `bytes`.
pub(super) fn any_whole(bytes: &[u8]) -> bool {
    (0..bytes.len()).any(|begin| matches!(parse(&bytes[begin..], Check::Full), Parsed::Whole(_)))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    bytes.try_into().ok().map(u32::from_le_bytes)
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + 8)?;
    bytes.try_into().ok().map(u64::from_le_bytes)
}
