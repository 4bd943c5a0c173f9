use riskflow_model::output::{DeadLetter, PayloadEncoding};

use super::Rejection;
use crate::RawRecord;

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The dead letter of a record that was rejected.
///
/// Of its payload the first 64 KiB are kept: as text, cut between characters, if all of it is UTF-8, else in base 64
/// (which makes them a third longer). The payload of a tombstone is empty.
#[must_use]
pub fn dead_letter(record: &RawRecord<'_>, rejection: &Rejection) -> DeadLetter {
    let reason = (rejection.reason, rejection.detail.as_str());
    let origin = (record.topic, record.partition, record.offset);
    let bytes = record.payload.unwrap_or_default();
    if let Ok(text) = std::str::from_utf8(bytes) {
        return DeadLetter::new(reason, origin, text, PayloadEncoding::Utf8);
    }
    let kept = &bytes[..bytes.len().min(DeadLetter::PAYLOAD_BYTES)];
    DeadLetter {
        payload: base64(kept).into(),
        payload_bytes: bytes.len() as u64,
        payload_cut: kept.len() < bytes.len(),
        ..DeadLetter::new(reason, origin, "", PayloadEncoding::Base64)
    }
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let sextet = bits >> (18 - 6 * digit) & 63;
            text.push(if digit <= group.len() {
                char::from(DIGITS[sextet as usize])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        let pairs = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
        ];
        for (plain, encoded) in pairs {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfd]), "//79");
    }
}
