//! Lengths of time, and how people write them: `10s`, `1h30m`.

use std::fmt;

use jiff::SignedDuration;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time in milliseconds. Less than nothing is one back in time.
///
/// For humans a text as [`show`] writes it, in binary forms an integer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(pub i64);

impl Duration {
    /// None at all.
    pub const ZERO: Self = Self(0);
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show(self.0))
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_i64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
            parse(&text).map(Self).map_err(de::Error::custom)
        } else {
            i64::deserialize(deserializer).map(Self)
        }
    }
}

/// Parses `10s`, `1h30m`, `500ms`, `0s`; milliseconds. Negative durations and fractions of a millisecond are refused.
///
/// # Errors
///
/// Says what was found and what to give.
pub fn parse(text: &str) -> Result<i64, String> {
    let wrong = || format!("`{text}` is no duration; give one like `10s`, `5m` or `1h30m`");
    // Days are 24 hours here; the library leaves them to calendars.
    let parsed: SignedDuration = match text.trim().strip_suffix('d').and_then(|days| days.parse::<i64>().ok()) {
        Some(days) => SignedDuration::from_hours(days.checked_mul(24).filter(|h| *h < 1_000_000).ok_or_else(wrong)?),
        None => text.parse().map_err(|_| wrong())?,
    };
    if parsed.is_negative() || parsed.subsec_nanos() % 1_000_000 != 0 {
        return Err(wrong());
    }
    i64::try_from(parsed.as_millis()).map_err(|_| wrong())
}

/// The shortest text that [`parse`] reads back.
#[must_use]
pub fn show(millis: i64) -> String {
    if millis == 0 {
        return "0s".to_owned();
    }
    let units = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    let mut rest = millis;
    let mut text = String::new();
    for (unit, size) in units {
        if rest >= size {
            text.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_round_trip() {
        for text in ["0s", "10s", "1h30m", "12h", "500ms", "1m30s"] {
            assert_eq!(show(parse(text).unwrap()), text);
        }
        assert_eq!(parse("1d").unwrap(), 86_400_000);
        for text in ["", "10", "-5s", "abc", "1.5ms"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_length_is_a_text_for_humans_and_a_number_else() {
        let length = Duration(90_000);
        assert_eq!(serde_json::to_string(&length).unwrap(), "\"1m30s\"");
        assert_eq!(serde_json::from_str::<Duration>("\"1m30s\"").unwrap(), length);
        let bytes = bincode::serialize(&length).unwrap();
        assert_eq!(bytes, bincode::serialize(&90_000i64).unwrap());
        assert_eq!(bincode::deserialize::<Duration>(&bytes).unwrap(), length);
    }
}
