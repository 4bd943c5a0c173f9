//! What bytes are that are no UTF-8: told by their look, to say it in one word.

/// Quarters of the bytes of a text in UTF-16 that are mostly Latin are zero: so many of the first are looked at.
const LOOKED_AT: usize = 64;

/// The encoding that bytes are probably in, if it is none that UTF-8 covers.
#[must_use]
pub(crate) fn guess(bytes: &[u8]) -> Option<&'static str> {
    let head = &bytes[..bytes.len().min(LOOKED_AT)];
    let zeros = head.iter().filter(|byte| **byte == 0).count();
    if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) || zeros > head.len() / 4 {
        return Some("UTF-16");
    }
    match str::from_utf8(bytes) {
        // The last character may be cut.
        Err(error) if error.error_len().is_some() => Some(if is_gbk(bytes) { "GBK" } else { "another encoding" }),
        _ => None,
    }
}

/// Whether bytes are GBK: single bytes below 0x80, and pairs. The last may be cut.
#[must_use]
pub(crate) fn is_gbk(mut bytes: &[u8]) -> bool {
    let mut pairs = 0;
    loop {
        bytes = match bytes {
            [] | [0x81..=0xfe] => return pairs > 0,
            [0..=0x7f, rest @ ..] => rest,
            [0x81..=0xfe, 0x40..=0x7e | 0x80..=0xfe, rest @ ..] => {
                pairs += 1;
                rest
            }
            _ => return false,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_told_by_their_look() {
        assert_eq!(guess("备注,a".as_bytes()), None);
        assert_eq!(guess(b"plain"), None);
        assert_eq!(guess(&"a注".as_bytes()[..2]), None, "cut");
        assert_eq!(guess(b"a,\xb1\xb8\xd7\xa2\n"), Some("GBK"));
        assert_eq!(guess(b"caf\xe9,1"), Some("another encoding"));
        assert_eq!(guess(b"\xff\xfea\0,\0"), Some("UTF-16"));
        assert_eq!(guess(b"a\0,\0b\0"), Some("UTF-16"));
        assert_eq!(guess(b"\0a\0,\0b"), Some("UTF-16"));
    }
}
