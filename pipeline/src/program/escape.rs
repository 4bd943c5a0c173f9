//! What others wrote, made harmless to look at: a terminal obeys escape sequences, and shows text in the order that bidirectional
//! controls ask for. They are shown as `\u001b`, as JSON and TOML write them.

use std::borrow::Cow;
use std::fmt::Write as _;

/// A text as one line.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, is_unseen)
}

/// A text of ours with line breaks and tabs of ours; what others wrote in it should have gone through [`line`] before.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| is_unseen(c) && !matches!(c, '\n' | '\t'))
}

/// A JSON value as one line, the same value as before.
pub fn json(text: &str) -> Cow<'_, str> {
    // In JSON these stand between tokens only.
    if text.contains(['\n', '\r', '\t']) {
        let text = text.replace(['\n', '\r', '\t'], " ");
        return Cow::Owned(line(&text).into_owned());
    }
    line(text)
}

/// An error or a log record as one line: also without user and password of URLs.
pub fn said(text: &str) -> Cow<'_, str> {
    if !text.contains("://") {
        return line(text);
    }
    let mut parts = text.split("://");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part
            .find(['/', '?', '#', '"', '`', '\'', ' ', ',', ')'])
            .unwrap_or(part.len());
        let host = part[..end].rfind('@').map_or(0, |at| at + 1);
        let user = if host > 0 { "***@" } else { "" };
        let _ = write!(shown, "://{user}{}", &part[host..]);
    }
    Cow::Owned(line(&shown).into_owned())
}

fn is_unseen(c: char) -> bool {
    let bidirectional =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || bidirectional || matches!(c, '\u{2028}' | '\u{2029}')
}

fn escaped(text: &str, is_meant: impl Fn(char) -> bool) -> Cow<'_, str> {
    let Some(first) = text.find(&is_meant) else {
        return Cow::Borrowed(text);
    };
    let (before, rest) = text.split_at(first);
    let mut shown = before.to_owned();
    for c in rest.chars() {
        match c {
            c if !is_meant(c) => shown.push(c),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            // All of them have four digits.
            c => drop(write!(shown, "\\u{:04x}", u32::from(c))),
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD: &str = "a\u{1b}]0;OWNED\u{7}\u{1b}[2J\r\nforged\t\u{9b}31m\u{7f}\u{202e}RTL\u{2066}\u{61c}\u{2028}舟山";

    #[test]
    fn nothing_is_left_that_a_terminal_obeys_and_the_rest_stays() {
        let shown = line(BAD);
        assert_eq!(
            shown,
            "a\\u001b]0;OWNED\\u0007\\u001b[2J\\r\\nforged\\t\\u009b31m\\u007f\\u202eRTL\\u2066\\u061c\\u2028舟山"
        );
        assert!(matches!(line("舟山 é 👩‍🚒"), Cow::Borrowed("舟山 é 👩‍🚒")));
        assert_eq!(lines("a\n\tb\r\u{1b}"), "a\n\tb\\r\\u001b");
    }

    #[test]
    fn json_stays_the_same_value_on_one_line() {
        let written = format!(
            "{{\n\t\"a\": {},\r\n \"b\": \"\u{9b}\u{202e}\u{7f}\"}}",
            serde_json::Value::from(BAD)
        );
        let shown = json(&written);
        assert!(!shown.contains(is_unseen), "{shown}");
        let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(parse(&shown), parse(&written));
    }

    #[test]
    fn users_of_urls_are_not_said() {
        for (text, shown) in [
            (
                "could not read s3://key:s3cr3t@bucket/a@b: no",
                "could not read s3://***@bucket/a@b: no",
            ),
            (
                "`http://u:p@h`, https://v:q@i?x=http://w:r@j",
                "`http://***@h`, https://***@i?x=http://***@j",
            ),
            ("http://h/a@b u@v", "http://h/a@b u@v"),
            ("http://u:p@w@h\u{1b}", "http://***@h\\u001b"),
            ("://", "://"),
        ] {
            assert_eq!(said(text), shown);
        }
    }
}
