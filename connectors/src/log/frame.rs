//! One record in bytes; see [`super`] for the layout.

use riskflow_model::Millis;
use riskflow_model::limit::RECORD_BYTES;

use super::LogError;

/// Length and checksum.
const HEAD: usize = 8;

/// A body with neither key nor payload.
const LEAST_BODY: usize = 16;

/// A body may be this long: riskflow writes no record of more than [`RECORD_BYTES`], others may. A length beyond it is no
/// length, so that garbage makes no reader wait for gigabytes.
pub(super) const MOST_BODY: usize = 64 * RECORD_BYTES;

const NONE: u32 = u32::MAX;

/// A whole record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub arrival: Millis,
    pub key: Option<&'a [u8]>,
    pub payload: Option<&'a [u8]>,
    /// Of the frame, head included.
    pub length: usize,
}

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed<'a> {
    /// A record.
    Whole(Frame<'a>),
    /// The beginning of a record, as far as one can see.
    Torn,
    /// No record; the next cannot begin before this many bytes on.
    Bad { skip: usize },
}

/// Whether the checksum has to be looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    Full,
    /// Already done for these bytes.
    Done,
}

pub(super) fn append(
    buffer: &mut Vec<u8>,
    arrival: Millis,
    key: Option<&[u8]>,
    payload: Option<&[u8]>,
) -> Result<(), LogError> {
    let body = LEAST_BODY + key.map_or(0, <[u8]>::len) + payload.map_or(0, <[u8]>::len);
    if body > MOST_BODY {
        return Err(LogError::TooLarge {
            found: body,
            most: MOST_BODY,
        });
    }
    let begin = buffer.len();
    buffer.reserve(HEAD + body);
    buffer.extend_from_slice(&(body as u32).to_le_bytes());
    buffer.extend_from_slice(&[0; 4]);
    buffer.extend_from_slice(&arrival.0.to_le_bytes());
    for part in [key, payload] {
        buffer.extend_from_slice(&part.map_or(NONE, |part| part.len() as u32).to_le_bytes());
        buffer.extend_from_slice(part.unwrap_or_default());
    }
    let sum = crc32fast::hash(&buffer[begin + HEAD..]);
    buffer[begin + 4..begin + HEAD].copy_from_slice(&sum.to_le_bytes());
    Ok(())
}

/// Looks at the beginning of `bytes`. The lengths must agree with each other even where the end is not there yet:
/// a torn record is told from a bad length.
pub(super) fn parse(bytes: &[u8], check: Check) -> Parsed<'_> {
    let Some(body) = number(bytes, 0) else {
        return Parsed::Torn;
    };
    let body = body as usize;
    if !(LEAST_BODY..=MOST_BODY).contains(&body) {
        return Parsed::Bad { skip: 1 };
    }
    let length = HEAD + body;
    let Some(key_length) = number(bytes, HEAD + 8) else {
        return Parsed::Torn;
    };
    let key_begin = HEAD + 12;
    let key_end = key_begin + if key_length == NONE { 0 } else { key_length as usize };
    if key_end + 4 > length {
        return Parsed::Bad { skip: 1 };
    }
    let Some(payload_length) = number(bytes, key_end) else {
        return Parsed::Torn;
    };
    let payload_begin = key_end + 4;
    let payload_end = payload_begin
        + if payload_length == NONE {
            0
        } else {
            payload_length as usize
        };
    if payload_end != length {
        return Parsed::Bad { skip: 1 };
    }
    let Some(frame) = bytes.get(..length) else {
        return Parsed::Torn;
    };
    if check == Check::Full && Some(crc32fast::hash(&frame[HEAD..])) != number(frame, 4) {
        return Parsed::Bad { skip: length };
    }
    let arrival = frame[HEAD..HEAD + 8]
        .try_into()
        .map(i64::from_le_bytes)
        .unwrap_or_default();
    Parsed::Whole(Frame {
        arrival: Millis(arrival),
        key: (key_length != NONE).then(|| &frame[key_begin..key_end]),
        payload: (payload_length != NONE).then(|| &frame[payload_begin..payload_end]),
        length,
    })
}

/// Whether a whole record begins anywhere in `bytes`.
pub(super) fn any_whole(bytes: &[u8]) -> bool {
    (0..bytes.len()).any(|begin| matches!(parse(&bytes[begin..], Check::Full), Parsed::Whole(_)))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    bytes.try_into().ok().map(u32::from_le_bytes)
}
