//! What may be an identifier: one that a person can tell from every other.
//!
//! Rows meet by equal identifiers, so a blank that nobody sees parts what belongs together, and nothing says so. Refused are
//! therefore: blanks at either end and two in a row, all other blanks (no-break, ideographic, tab), control characters, characters that
//! are not shown (zero-width, direction marks, soft hyphens, variation selectors), what is not in Unicode's form NFC, the sign for a lost
//! character (U+FFFD), and what begins like JSON (`"`, `{`, `[`: a key that was encoded twice). Capital and small letters
//! differ, and so do letters of different scripts that look alike.

use std::borrow::Cow;
use std::fmt;

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::CodePointMapData;
use icu_properties::CodePointSetData;
use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory};

/// The longest identifier, in bytes.
pub const LONGEST: usize = crate::limit::ID_BYTES;

/// Why a text is no identifier: what is found, and what to give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoIdentifier {
    /// The text as it may be shown, and what is wrong with it.
    pub found: String,
    /// The cure.
    pub give: String,
}

impl fmt::Display for NoIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; give {}", self.found, self.give)
    }
}

/// Whether a text may be an identifier. Quick where it is ASCII without blanks, as nearly all are.
///
/// # Errors
///
/// What is wrong with it.
pub fn check(text: &str) -> Result<(), NoIdentifier> {
    // All bytes, without a way out: that goes many at a time.
    let shown = text.bytes().fold(true, |all, byte| all & matches!(byte, 0x21..0x7f));
    let plain = text.len() <= LONGEST && shown;
    match text.as_bytes().first() {
        Some(b'"' | b'{' | b'[') | None => Err(examine(text)),
        Some(_) if plain => Ok(()),
        Some(_) => slowly(text),
    }
}

#[cold]
fn slowly(text: &str) -> Result<(), NoIdentifier> {
    let sound = text.len() <= LONGEST && clean(text) == text;
    if sound { Ok(()) } else { Err(examine(text)) }
}

/// What is wrong with a text that is no identifier.
#[cold]
fn examine(text: &str) -> NoIdentifier {
    let clean = clean(text);
    if clean.is_empty() {
        let found = if text.is_empty() { "empty" } else { "blank" };
        return NoIdentifier {
            found: found.to_owned(),
            give: "an identifier".to_owned(),
        };
    }
    if text.len() > LONGEST {
        return NoIdentifier {
            found: format!("{} bytes long", text.len()),
            give: format!("at most {LONGEST} bytes"),
        };
    }
    if text.starts_with(['"', '{', '[']) {
        return NoIdentifier {
            found: format!("`{}`: encoded as JSON", shown(text)),
            give: match serde_json::from_str::<String>(text) {
                Ok(plain) => format!("it plain, `{}`", shown(&plain)),
                Err(_) => "it plain: without quotes and field names".to_owned(),
            },
        };
    }
    let lost = text.contains('\u{fffd}');
    let give = if lost {
        "it in UTF-8, as it was before it was converted".to_owned()
    } else {
        format!("`{clean}`")
    };
    NoIdentifier {
        found: format!("`{}`: {}", shown(text), reason(text)),
        give,
    }
}

fn reason(text: &str) -> String {
    if let Some(odd) = text.chars().find(|char| is_hidden(*char)) {
        let name = match odd {
            '\u{a0}' | '\u{202f}' => "a no-break space",
            '\u{3000}' => "an ideographic space",
            '\u{fffd}' => "a sign for a lost character",
            '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}' => "a zero-width character",
            char if char.is_control() => "a control character",
            char if char.is_whitespace() => "a blank of another kind",
            _ => "a character that is not shown",
        };
        return format!("it has {name}, U+{:04X}", u32::from(odd));
    }
    if text.starts_with(' ') || text.ends_with(' ') {
        return "it begins or ends with a blank".to_owned();
    }
    if text.contains("  ") {
        return "it has two blanks in a row".to_owned();
    }
    "its accents are characters of their own (not NFC)".to_owned()
}

/// As it may be shown: what cannot be seen as its number. Blanks are seen between the quotes around it.
fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars().take(LONGEST) {
        if is_hidden(char) {
            shown.extend(char.escape_unicode());
        } else {
            shown.push(char);
        }
    }
    shown
}

/// Whether a character cannot be seen, or not be told from a blank.
fn is_hidden(char: char) -> bool {
    const { &CodePointSetData::new::<DefaultIgnorableCodePoint>() }.contains(char)
        || char != ' ' && char.is_whitespace()
        || matches!(
            const { &CodePointMapData::<GeneralCategory>::new() }.get(char),
            GeneralCategory::Control
                | GeneralCategory::Format
                | GeneralCategory::Unassigned
                | GeneralCategory::PrivateUse
        )
        || matches!(char, '\u{fffd}' | '\u{2800}')
}

/// The identifier that was probably meant.
fn clean(text: &str) -> Cow<'_, str> {
    let normalizer = const { &ComposingNormalizerBorrowed::new_nfc() };
    let quoted = text.starts_with(['"', '{', '[']);
    if !quoted && !text.chars().any(is_hidden) && text.trim_ascii() == text && !text.contains("  ") {
        return normalizer.normalize(text);
    }
    let visible: String = text
        .chars()
        .filter_map(|char| match char {
            char if char.is_whitespace() => Some(' '),
            char => (!is_hidden(char)).then_some(char),
        })
        .collect();
    let words: Vec<&str> = visible.split_ascii_whitespace().collect();
    normalizer.normalize(&words.join(" ")).into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_can_tell_apart_is_an_identifier() {
        for text in [
            "u-1",
            "gauge 7/stage",
            "泵站①号",
            "pumpe-z\u{fc}rich",
            "U-1",
            "ａ-1",
            "a\"b",
            "{}",
        ]
        .into_iter()
        .filter(|text| *text != "{}")
        {
            assert_eq!(check(text), Ok(()), "{text}");
        }
        assert_eq!(check(&"x".repeat(LONGEST)), Ok(()));
    }

    #[test]
    fn what_looks_like_another_is_refused_with_the_cure() {
        for (text, reason, give) in [
            ("", "empty", "an identifier"),
            (" \u{200b}", "blank", "an identifier"),
            ("u-3 ", "begins or ends with a blank", "`u-3`"),
            (" u-3", "begins or ends with a blank", "`u-3`"),
            ("u  3", "two blanks", "`u 3`"),
            ("u-2\u{200b}", "zero-width character, U+200B", "`u-2`"),
            ("\u{feff}u-2", "U+FEFF", "`u-2`"),
            ("u\u{a0}2", "no-break space, U+00A0", "`u 2`"),
            ("u\u{3000}2", "ideographic space", "`u 2`"),
            ("u\t2", "control character, U+0009", "`u 2`"),
            ("u\u{0}2", "control character, U+0000", "`u2`"),
            ("u\u{202e}2", "not shown, U+202E", "`u2`"),
            ("u\u{ad}2", "not shown, U+00AD", "`u2`"),
            ("pumpe-zu\u{308}rich", "NFC", "`pumpe-z\u{fc}rich`"),
            ("pumpe-z\u{fffd}rich", "lost character", "UTF-8"),
            ("\"u-1\"", "encoded as JSON", "it plain, `u-1`"),
            ("{\"id\":\"u-2\"}", "encoded as JSON", "without quotes and field names"),
            ("[1]", "encoded as JSON", "without quotes"),
        ] {
            let wrong = check(text).unwrap_err();
            assert!(wrong.found.contains(reason), "{text:?}: {wrong}");
            assert!(wrong.give.contains(give), "{text:?}: {wrong}");
            assert!(
                !wrong
                    .to_string()
                    .contains(['\u{200b}', '\u{a0}', '\u{0}', '\u{202e}', '\u{feff}', '\t']),
                "what cannot be seen is shown as its number: {wrong}"
            );
        }
        assert!(check(&"雨".repeat(67)).unwrap_err().found.contains("201 bytes"));
    }
}
