//! The one binary encoding: bincode 1.3 behind a format header.
//!
//! bincode is no longer developed (RUSTSEC-2025-0141, an advisory about maintenance, not safety); version 1.3 is the
//! one that timely itself puts on the wire between processes. What we *store* goes through this module only, and
//! begins with a header that names encoding and version, so that another encoding can take its place without a guess
//! about what the bytes are.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Key;

/// `rf`, the encoding (1: bincode 1.3, little endian, fixed-size integers), the version of our types.
const HEADER: [u8; 4] = [b'r', b'f', 1, 2];

/// What encoded bytes begin with.
#[must_use]
pub const fn header() -> &'static [u8; 4] {
    &HEADER
}

/// Why bytes could not be read back.
#[derive(Debug, thiserror::Error)]
pub enum BinaryError {
    /// The header is not ours.
    #[error("the header is {found:02x?}; this build reads {HEADER:02x?}")]
    Header {
        /// The first bytes found.
        found: Vec<u8>,
    },
    /// The bytes after the header do not fit the type.
    #[error("the bytes do not fit the type")]
    Content(#[source] bincode::Error),
    /// The bytes of a record that is kept as JSON do not fit its type.
    #[error("the JSON does not fit the type")]
    Json(#[source] serde_json::Error),
}

/// Encodes a value, header first.
///
/// # Errors
///
/// When the value's `Serialize` fails or a length is not known beforehand.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, BinaryError> {
    let mut bytes = HEADER.to_vec();
    bincode::serialize_into(&mut bytes, value).map_err(BinaryError::Content)?;
    Ok(bytes)
}

/// The hash of a value's encoding.
///
/// # Panics
///
/// When the value cannot be encoded: all that did not would be one.
pub fn fingerprint<T: Serialize>(value: &T) -> Key {
    let bytes = bincode::serialize(value).expect("rows are plain data of known length");
    Key::of_bytes(&bytes)
}

/// Appends a value's encoding without header; for parts of something that has one.
///
/// # Errors
///
/// As [`encode`].
pub fn append<T: Serialize>(bytes: &mut Vec<u8>, value: &T) -> Result<(), BinaryError> {
    bincode::serialize_into(bytes, value).map_err(BinaryError::Content)
}

/// Decodes what [`append`] wrote.
///
/// # Errors
///
/// When the bytes do not fit.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BinaryError> {
    bincode::deserialize(bytes).map_err(BinaryError::Content)
}

/// Decodes what [`encode`] wrote.
///
/// # Errors
///
/// When the header differs from ours, or the bytes do not fit.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BinaryError> {
    let content = bytes.strip_prefix(&HEADER).ok_or_else(|| BinaryError::Header {
        found: bytes.iter().take(HEADER.len()).copied().collect(),
    })?;
    read(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Asset;

    #[test]
    fn records_round_trip_and_foreign_bytes_are_refused() {
        let asset: Asset = serde_json::from_str(
            r#"{"id":"a1","category":"reservoir","domain":"natural_hazard","region":"330902001001","inherent_level":3,
                "position":{"longitude":122.1,"latitude":30.0}, "tags":["x"], "owner":"ignored"}"#,
        )
        .unwrap();
        let bytes = encode(&asset).unwrap();
        assert_eq!(decode::<Asset>(&bytes).unwrap(), asset);
        assert!(matches!(decode::<Asset>(&bytes[1..]), Err(BinaryError::Header { .. })));
        assert!(matches!(
            decode::<Asset>(&bytes[..bytes.len() - 1]),
            Err(BinaryError::Content(_))
        ));
    }
}
