use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A point in time: milliseconds since the Unix epoch.
///
/// On input an integer or RFC 3339 with an offset (`2021-07-25T12:30:00+08:00`); on output RFC 3339 in UTC with
/// milliseconds. What is finer than a millisecond is cut off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub i64);

/// What is wrong with a point in time as written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no time; give Unix milliseconds or RFC 3339 with an offset, from year 1900 to 2200")]
pub struct ParseMillisError(String);

impl Millis {
    /// 1900-01-01 and 2200-01-01: what lies outside is a unit mistaken (seconds, microseconds), not a time.
    const SENSIBLE: std::ops::Range<i64> = -2_208_988_800_000..7_258_118_400_000;

    /// The time `by` milliseconds later.
    #[must_use]
    pub const fn plus(self, by: i64) -> Self {
        Self(self.0.saturating_add(by))
    }

    fn checked(self) -> Option<Self> {
        Self::SENSIBLE.contains(&self.0).then_some(self)
    }
}

impl FromStr for Millis {
    type Err = ParseMillisError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed: Option<Timestamp> = text.parse().ok();
        parsed
            .and_then(|time| Self(time.as_millisecond()).checked())
            .ok_or_else(|| ParseMillisError(text.chars().take(64).collect()))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_i64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(Visitor)
        } else {
            i64::deserialize(deserializer).map(Self)
        }
    }
}

struct Visitor;

impl de::Visitor<'_> for Visitor {
    type Value = Millis;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unix milliseconds or RFC 3339 with an offset")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Millis, E> {
        Millis(value)
            .checked()
            .ok_or_else(|| E::custom(ParseMillisError(value.to_string())))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Millis, E> {
        self.visit_i64(i64::try_from(value).unwrap_or(i64::MAX))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Millis, E> {
        text.parse().map_err(E::custom)
    }
}

impl JsonSchema for Millis {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "RFC 3339 with an offset, or Unix milliseconds (input only).",
            "anyOf": [{ "type": "string", "format": "date-time" }, { "type": "integer" }]
        })
    }
}

/// Durations as people write them (`10s`, `1h30m`), in milliseconds inside.
///
/// Use with `#[serde(with = "riskflow_model::duration")]`.
pub mod duration {
    use jiff::SignedDuration;
    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Parses `10s`, `1h30m`, `500ms`, `0s`; milliseconds. Negative durations and fractions of a millisecond are refused.
    ///
    /// # Errors
    ///
    /// Says what was found and what to give.
    pub fn parse(text: &str) -> Result<i64, String> {
        let wrong = || format!("`{text}` is no duration; give one like `10s`, `5m` or `1h30m`");
        // Days are 24 hours here; the library leaves them to calendars.
        let parsed: SignedDuration = match text.trim().strip_suffix('d').and_then(|days| days.parse::<i64>().ok()) {
            Some(days) => {
                SignedDuration::from_hours(days.checked_mul(24).filter(|h| *h < 1_000_000).ok_or_else(wrong)?)
            }
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

    /// For serde's `with`.
    ///
    /// # Errors
    ///
    /// Only those of the serializer.
    pub fn serialize<S: Serializer>(millis: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&show(*millis))
        } else {
            serializer.serialize_i64(*millis)
        }
    }

    /// For serde's `with`.
    ///
    /// # Errors
    ///
    /// When the text is no duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        if deserializer.is_human_readable() {
            let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
            parse(&text).map_err(de::Error::custom)
        } else {
            i64::deserialize(deserializer)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_integers_and_as_rfc_3339() {
        let noon: Millis = serde_json::from_str("\"2021-07-25T12:30:00+08:00\"").unwrap();
        let same: Millis = serde_json::from_str("1627187400000").unwrap();
        assert_eq!(noon, same);
        assert_eq!(serde_json::to_string(&noon).unwrap(), "\"2021-07-25T04:30:00.000Z\"");
    }

    #[test]
    fn a_time_in_seconds_or_without_offset_is_refused() {
        assert!("2021-07-25T12:30:00".parse::<Millis>().is_err());
        assert!(serde_json::from_str::<Millis>("1627187400000000").is_err());
        assert!(serde_json::from_str::<Millis>("1.5").is_err());
    }

    #[test]
    fn binary_times_are_plain_integers() {
        let bytes = bincode::serialize(&Millis(7)).unwrap();
        assert_eq!(bincode::deserialize::<i64>(&bytes).unwrap(), 7);
    }

    #[test]
    fn durations_round_trip() {
        for text in ["0s", "10s", "1h30m", "12h", "500ms", "1m30s"] {
            assert_eq!(duration::show(duration::parse(text).unwrap()), text);
        }
        assert_eq!(duration::parse("1d").unwrap(), 86_400_000);
        for text in ["", "10", "-5s", "abc", "1.5ms"] {
            assert!(duration::parse(text).is_err(), "{text}");
        }
    }
}
