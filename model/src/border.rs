//! Borders of validity, for serde's `deserialize_with`: a missing border, null, and a day before or after all times are no border.
//!
//! Registers write "since ever" and "without end" as `0001-01-01`, `9999-12-31` and the like. What lies beyond the years 1900 to
//! 2200 on the side where the border stands is none; on the other side it is a mistake.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

use crate::Millis;

/// The last day of the year 9999 in Unix seconds, in any time zone.
const LAST_DAY: std::ops::Range<i64> = 253_402_164_000..253_402_351_200;
/// The first day of the year 1 in Unix seconds, in any time zone.
const FIRST_DAY: std::ops::Range<i64> = -62_135_647_200..-62_135_460_000;

/// For `valid_from`.
///
/// # Errors
///
/// When it is no time.
pub fn from<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Millis>, D::Error> {
    border(deserializer, Side::From)
}

/// For `valid_to`, and whatever else may never come.
///
/// # Errors
///
/// When it is no time.
pub fn to<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Millis>, D::Error> {
    border(deserializer, Side::To)
}

fn border<'de, D: Deserializer<'de>>(deserializer: D, side: Side) -> Result<Option<Millis>, D::Error> {
    if deserializer.is_human_readable() {
        deserializer.deserialize_any(side)
    } else {
        Option::deserialize(deserializer)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    From,
    To,
}

impl Side {
    /// The border that a number stands for. A day beyond the years that a time may have, on this side, is none.
    fn of_number(self, number: i64) -> Result<Option<Millis>, crate::ParseMillisError> {
        let day = match self {
            Self::From => FIRST_DAY,
            Self::To => LAST_DAY,
        };
        if day.contains(&(number / 1_000)) {
            return Ok(None);
        }
        if day.contains(&number) {
            let millis = number * 1_000;
            return Err(crate::ParseMillisError::Unit {
                unit: "seconds",
                millis,
            });
        }
        Millis::from_number(number).map(Some)
    }

    fn of_text(self, text: &str) -> Result<Option<Millis>, crate::ParseMillisError> {
        if let Ok(number) = text.parse() {
            return self.of_number(number);
        }
        let parsed = text.parse::<Millis>();
        let beyond = |year: i32| match self {
            Self::From => year <= 1900,
            Self::To => year >= 2199,
        };
        match parsed {
            Err(_) if year(text).is_some_and(beyond) => Ok(None),
            parsed => parsed.map(Some),
        }
    }
}

/// The year of a date, with or without a time behind it.
fn year(text: &str) -> Option<i32> {
    let (date, time) = text.split_at_checked(10)?;
    let date: jiff::civil::Date = date.parse().ok()?;
    (time.is_empty() || time.starts_with(['T', 't', ' '])).then(|| i32::from(date.year()))
}

impl<'de> de::Visitor<'de> for Side {
    type Value = Option<Millis>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RFC 3339 with an offset, Unix milliseconds, or null for no border")
    }

    fn visit_none<E: de::Error>(self) -> Result<Option<Millis>, E> {
        Ok(None)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Option<Millis>, E> {
        Ok(None)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Option<Millis>, E> {
        self.of_number(value).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Option<Millis>, E> {
        self.visit_i64(i64::try_from(value).unwrap_or(i64::MAX))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Option<Millis>, E> {
        if value.fract() == 0.0 {
            return self.visit_i64(value as i64);
        }
        Millis::from_float(value).map(Some).map_err(E::custom)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Option<Millis>, E> {
        self.of_text(text).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Validity {
        #[serde(default, deserialize_with = "from")]
        valid_from: Option<Millis>,
        #[serde(default, deserialize_with = "to")]
        valid_to: Option<Millis>,
    }

    fn read(from: &str, to: &str) -> Result<Validity, serde_json::Error> {
        serde_json::from_str(&format!(r#"{{"valid_from":{from},"valid_to":{to}}}"#))
    }

    #[test]
    fn days_before_and_after_all_times_are_no_border() {
        let unbounded = Validity {
            valid_from: None,
            valid_to: None,
        };
        for from in [
            "null",
            "\"0001-01-01T00:00:00Z\"",
            "\"0001-01-01\"",
            "\"0001-01-01T00:00:00+08:00\"",
            "\"1753-01-01T00:00:00Z\"",
            "\"1900-01-01T00:00:00+08:00\"",
            "-62135596800000",
        ] {
            assert_eq!(read(from, "null").unwrap(), unbounded, "{from}");
        }
        for to in [
            "null",
            "\"9999-12-31T23:59:59+08:00\"",
            "\"9999-12-31T00:00:00Z\"",
            "\"9999-12-31 23:59:59.9999999-11:00\"",
            "\"9999-12-31\"",
            "\"9999-12-31T24:00:00Z\"",
            "\"3000-01-01T00:00:00Z\"",
            "253402300799000",
            "253402214400000",
            "\"253402300799999\"",
        ] {
            assert_eq!(read("null", to).unwrap(), unbounded, "{to}");
        }
        assert_eq!(serde_json::from_str::<Validity>("{}").unwrap(), unbounded);
    }

    #[test]
    fn times_are_times_and_what_is_on_the_wrong_side_is_refused() {
        let both = read("\"2020-01-01T00:00:00+08:00\"", "1750000020000").unwrap();
        assert_eq!(both.valid_to, Some(Millis(1_750_000_020_000)));
        assert_eq!(both.valid_from, Some(Millis(1_577_808_000_000)));
        for (from, to) in [
            ("\"9999-12-31T00:00:00Z\"", "null"),
            ("null", "\"0001-01-01T00:00:00Z\""),
            ("1577808000", "null"),
            ("null", "253402300799"),
            ("null", "9223372036854775807"),
            ("null", "\"2025-06-15\""),
            ("null", "\"9999-12-31x\""),
            ("null", "\"9999-99-99\""),
            ("null", "true"),
        ] {
            assert!(read(from, to).is_err(), "{from} {to}");
        }
    }
}
