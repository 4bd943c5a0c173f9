//! Times of tests: how long after the start of the test.

use std::borrow::Cow;
use std::fmt;

use riskflow_model::duration;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const DAY: i64 = 86_400_000;

/// A time: so many milliseconds after the start of the test. Written `40m`, `1h30m`, `2d8h`, or `0`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct After(pub i64);

impl After {
    /// Reads a text.
    ///
    /// # Errors
    ///
    /// What to give.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "no time after the start; give one like `40m`, `1h30m`, `2d8h` or `0`".to_owned();
        let whole = |text: &str| duration::parse(text).map_err(|_| wrong());
        let text = text.trim();
        if text == "0" {
            return Ok(Self(0));
        }
        let Some((days, rest)) = text.split_once('d') else {
            return whole(text).map(Self);
        };
        let days: u32 = days.trim().parse().map_err(|_| wrong())?;
        let rest = if rest.trim().is_empty() { 0 } else { whole(rest)? };
        Ok(Self(i64::from(days) * DAY + rest))
    }
}

impl fmt::Display for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(millis) = *self;
        match millis {
            0 => f.write_str("0"),
            ..0 => write!(f, "-{}", Self(-millis)),
            _ if millis < 2 * DAY => f.write_str(&duration::show(millis)),
            _ if millis % DAY == 0 => write!(f, "{}d", millis / DAY),
            _ => write!(f, "{}d{}", millis / DAY, duration::show(millis % DAY)),
        }
    }
}

impl Serialize for After {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for After {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AfterVisitor)
    }
}

struct AfterVisitor;

impl de::Visitor<'_> for AfterVisitor {
    type Value = After;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time after the start, such as `40m`, `1h30m`, `2d8h` or `0`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<After, E> {
        After::parse(text).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<After, E> {
        match number {
            0 => Ok(After(0)),
            _ => Err(E::custom(format!(
                "a number without unit; give a time after the start, such as `{number}s` or `{number}m`"
            ))),
        }
    }
}

impl JsonSchema for After {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "After".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "description": "A time after the start of the test, such as `40m`, `1h30m` or `2d8h`; `0` is the start.",
            "type": ["string", "integer"],
            "maximum": 0,
            "minimum": 0,
        })
    }
}

/// A length of time, such as `10m`.
pub fn length_schema(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "description": "A length of time, such as `10m`.", "type": "string" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_people_write_them() {
        for text in ["0", "40m", "1h30m", "36h", "2d", "2d8h", "500ms"] {
            assert_eq!(After::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(After::parse("1d12h").unwrap(), After(36 * 3_600_000));
        assert_eq!(After(-300_000).to_string(), "-5m");
        for text in ["", "10", "-5m", "soon", "d", "1.5d", "1d2"] {
            assert!(After::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_without_unit_is_refused_with_the_cure() {
        let read = serde_json::from_str::<After>;
        assert_eq!(read("0").unwrap(), After(0));
        assert_eq!(read("\"1h\"").unwrap(), After(3_600_000));
        let error = read("90").unwrap_err().to_string();
        assert!(error.contains("such as `90s` or `90m`"), "{error}");
        assert!(read("\"1x\"").unwrap_err().to_string().contains("give one like `40m`"));
    }
}
