use std::borrow::{Borrow, Cow};
use std::cell::RefCell;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use arcstr::ArcStr;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use xxhash_rust::xxh3::xxh3_64;

/// An immutable string that is cheap to clone: rows of the dataflow are cloned where strings are shared. Those that are shared are
/// compared without a look at them: of a row that changed most texts are those of the row before.
///
/// It takes eight bytes, and rows that are read one after the other share the short texts that they have in common: a city is mostly
/// texts.
#[derive(Clone, Default, Eq)]
pub struct Text(ArcStr);

const _: () = assert!(size_of::<Option<Text>>() == 8);

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        ArcStr::ptr_eq(&self.0, &other.0) || **self == **other
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        if ArcStr::ptr_eq(&self.0, &other.0) {
            return Ordering::Equal;
        }
        (**self).cmp(&**other)
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.0.as_str()
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self
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

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
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
        Ok(read(text))
    }
}

/// The longest text that is looked for among those read before, in bytes: names of units, properties, categories, tags, levels and rules
/// are shorter, most identifiers of datastreams longer.
const SHORT: usize = 24;
/// So many short texts are kept at hand by each thread that reads: 200 KB at most.
const AT_HAND: usize = 4096;

thread_local! {
    static READ: RefCell<Vec<Text>> = RefCell::new(vec![Text::default(); AT_HAND]);
}

/// A text as it was read: a short one that this thread read just before is that one. Each has one place, by its hash, and the last one
/// read stands there: what comes once, as identifiers do, only seldom drives out what comes in every row.
fn read(text: &str) -> Text {
    if text.len() > SHORT {
        return text.into();
    }
    READ.with_borrow_mut(|at_hand| {
        let known = &mut at_hand[xxh3_64(text.as_bytes()) as usize % AT_HAND];
        if **known != *text {
            *known = text.into();
        }
        known.clone()
    })
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
    fn short_texts_that_rows_have_in_common_are_one() {
        let long = "small_basin-000123/rainfall";
        let read = |text: &str| serde_json::from_str::<Text>(&format!("{text:?}")).unwrap();
        let is_one = |a: &Text, b: &Text| std::ptr::eq(&**a, &**b);
        let (unit, again) = (read("mm"), read("mm"));
        assert!(is_one(&unit, &again) && *unit == *"mm");
        let bytes = bincode::serialize(&unit).unwrap();
        assert!(is_one(&unit, &bincode::deserialize(&bytes).unwrap()));
        assert!(!is_one(&read(long), &read(long)) && read(long) == read(long));
        // Whatever comes between, it is the text that was written.
        for number in 0..3 * AT_HAND {
            assert_eq!(*read(&number.to_string()), *number.to_string());
        }
        assert_eq!(*read("mm"), *"mm");
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
