use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An immutable string that is cheap to clone: rows of the dataflow are cloned where strings are shared. Those that are shared are
/// compared without a look at them: of a row that changed most texts are those of the row before.
#[derive(Clone, Eq)]
pub struct Text(Arc<str>);

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.0, &other.0) {
            return Ordering::Equal;
        }
        self.0.cmp(&other.0)
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<Cow<'_, str>> for Text {
    fn from(text: Cow<'_, str>) -> Self {
        Self(text.into())
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::from("")
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Visitor)
    }
}

/// Takes the text from where it stands: no string in between.
struct Visitor;

impl de::Visitor<'_> for Visitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
        Ok(text.into())
    }
}

impl JsonSchema for Text {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        String::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        String::json_schema(generator)
    }

    fn inline_schema() -> bool {
        true
    }
}

/// A text of at most `most` bytes. Of a longer one beginning and end are kept; between them stands how long it was.
#[must_use]
pub fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    let mark = format!("…({} bytes, cut)…", text.len());
    let room = most.saturating_sub(mark.len());
    let head = &text[..text.floor_char_boundary(room - room / 4)];
    let tail = &text[text.ceil_char_boundary(text.len() - room / 4)..];
    Cow::Owned(format!("{head}{mark}{tail}"))
}

/// A finite `f64` with a total order, for values that are shown and compared but never summed.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Number(pub f64);

impl Number {
    /// In thousandths; `None` where it is not exact to thousandths, or beyond 10^12 either way.
    ///
    /// Exact is a number that is the nearest `f64` to one with at most three decimals: of two such numbers no more than one is.
    #[must_use]
    pub fn thousandths(self) -> Option<i64> {
        let rounded = (self.0 * 1000.0).round();
        (rounded.abs() <= 1e15 && rounded / 1000.0 == self.0).then_some(rounded as i64)
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Hash for Number {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters_and_says_how_long_it_was() {
        assert_eq!(shortened("water", 5), "water");
        let long = "汉".repeat(1000);
        for most in [0, 40, 41, 42, 100, 2_999] {
            let short = shortened(&long, most);
            assert!(short.contains("…(3000 bytes, cut)…"), "{short}");
            assert!(short.len() <= most.max(23), "{} of {most}", short.len());
        }
        assert_eq!(
            shortened(&format!("{}; give less", "x".repeat(500)), 60),
            "x".repeat(29) + "…(511 bytes, cut)…" + "give less"
        );
    }

    #[test]
    fn thousandths_are_exact_or_none() {
        for (text, thousandths) in [
            ("0.3", Some(300)),
            ("0.299", Some(299)),
            ("-1013.25", Some(-1_013_250)),
            ("999999999.999", Some(999_999_999_999)),
            ("1e12", Some(1_000_000_000_000_000)),
            ("4.7244", None),
            ("1013.2504", None),
            ("999999999.9991", None),
            ("0.30000000000000004", None),
            ("0.0001", None),
            ("1.1e12", None),
        ] {
            assert_eq!(Number(text.parse().unwrap()).thousandths(), thousandths, "{text}");
        }
    }
}
