//! The field that a parser's error is about: the parser tells only line and column.

/// The name of the outermost field whose value holds, or ends just before, this place; of JSON that is sound up to there.
pub(super) fn field_before(text: &str, line: usize, column: usize) -> Option<&str> {
    let line_begin: usize = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum();
    let place = line_begin + column;
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0usize, 0);
    let mut field = None;
    while at < place.min(bytes.len()) {
        match bytes[at] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let end = string_end(bytes, at + 1);
                let after = bytes.get(end + 1..).unwrap_or_default().trim_ascii_start();
                if depth == 1 && after.first() == Some(&b':') && end < place {
                    field = text.get(at + 1..end);
                }
                at = end;
            }
            _ => {}
        }
        at += 1;
    }
    field
}

/// The place of the quotation mark that ends the string that begins at `at`.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outermost_field_is_named() {
        let text = "{\"a\": 1, \"b\\\"\":\n [{\"c\": \"x:\"}], \"d\" : tru}";
        for (place, field) in [
            ("1,", Some("a")),
            ("x:", Some("b\\\"")),
            ("tru", Some("d")),
            ("{\"a", None),
        ] {
            let at = text.find(place).unwrap();
            let line = 1 + text[..at].matches('\n').count();
            let column = at + 1 - text[..at].rfind('\n').map_or(0, |newline| newline + 1);
            assert_eq!(field_before(text, line, column), field, "{place}");
        }
        assert_eq!(field_before("{\"", 1, 2), None);
        assert_eq!(field_before("{\"\\", 7, 9), None);
    }
}
