use std::borrow::Cow;
use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Duration;

/// A point in time: milliseconds since the Unix epoch.
///
/// On input an integer, also in quotes, or RFC 3339 with an offset (`2021-07-25T12:30:00+08:00`; `24:00` is the next day's
/// `00:00`); on output RFC 3339 in UTC with milliseconds. What is finer than a millisecond is cut off. An integer of another unit
/// is refused: see [`Millis::from_number`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub i64);

/// What is wrong with a point in time as written. It does not repeat what was written: whoever shows it does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseMillisError {
    /// Not one of the forms.
    #[error("no time; give RFC 3339 with an offset, such as `2025-06-15T23:07:00+08:00`, or Unix milliseconds")]
    NoTime,
    /// Which time it is depends on where one is.
    #[error("a time without offset; give one with it, such as `2025-06-15T23:07:00+08:00` or `2025-06-15T15:07:00Z`")]
    NoOffset,
    /// From one time to another.
    #[error("an interval; give one point in time")]
    Interval,
    /// A number in another unit.
    #[error("looks like {unit}; give milliseconds, {millis}, or RFC 3339, {}", Millis(*millis))]
    Unit {
        /// The unit.
        unit: &'static str,
        /// The same in milliseconds.
        millis: i64,
    },
    /// A number with a fraction.
    #[error("a fraction of a millisecond; give whole Unix milliseconds")]
    Fraction,
    /// No time that anything here is about.
    #[error("outside the years 1900 to 2200; give RFC 3339 with an offset, or Unix milliseconds, within them")]
    Outside,
}

/// Numbers below it are no milliseconds but seconds: as milliseconds they lie between 1966-10-31 and 1973-03-03, as seconds the
/// year 5138 is its end.
const LEAST_NUMBER: u64 = 100_000_000_000;

impl Millis {
    /// 1900-01-01 and 2200-01-01: what lies outside is no time that anything here is about.
    pub(crate) const SENSIBLE: std::ops::Range<i64> = -2_208_988_800_000..7_258_118_400_000;

    /// Before all times.
    pub const MIN: Self = Self(i64::MIN);

    /// After all times.
    pub const MAX: Self = Self(i64::MAX);

    /// The time of a number as others write it.
    ///
    /// Zero is zero in every unit. Of all others those nearer to it than 10^11 are taken for seconds, those from 10^14 and 10^17
    /// on for microseconds and nanoseconds.
    ///
    /// # Errors
    ///
    /// When the number is in another unit than milliseconds, or no time from 1900 to 2200.
    pub fn from_number(number: i64) -> Result<Self, ParseMillisError> {
        if Self::SENSIBLE.contains(&number) && (number.unsigned_abs() >= LEAST_NUMBER || number == 0) {
            return Ok(Self(number));
        }
        let (unit, millis) = match number.unsigned_abs() {
            0..LEAST_NUMBER => ("seconds", number * 1_000),
            100_000_000_000_000..100_000_000_000_000_000 => ("microseconds", number / 1_000),
            100_000_000_000_000_000.. => ("nanoseconds", number / 1_000_000),
            _ => return Err(ParseMillisError::Outside),
        };
        if Self::SENSIBLE.contains(&millis) {
            Err(ParseMillisError::Unit { unit, millis })
        } else {
            Err(ParseMillisError::Outside)
        }
    }

    fn sensible(millis: i64) -> Result<Self, ParseMillisError> {
        if Self::SENSIBLE.contains(&millis) {
            Ok(Self(millis))
        } else {
            Err(ParseMillisError::Outside)
        }
    }

    /// The same of a number with a point or an exponent.
    pub(crate) fn from_float(number: f64) -> Result<Self, ParseMillisError> {
        let whole = Self::from_number(number.trunc() as i64);
        if number.fract() != 0.0 && whole.is_ok() {
            return Err(ParseMillisError::Fraction);
        }
        whole
    }
}

/// Later by a length of time; what would be after all times is [`Millis::MAX`].
impl Add<Duration> for Millis {
    type Output = Self;

    fn add(self, length: Duration) -> Self {
        Self(self.0.saturating_add(length.0))
    }
}

/// Earlier by a length of time; what would be before all times is [`Millis::MIN`].
impl Sub<Duration> for Millis {
    type Output = Self;

    fn sub(self, length: Duration) -> Self {
        Self(self.0.saturating_sub(length.0))
    }
}

/// How long it is from another time to this one; less than nothing where this one is earlier.
impl Sub for Millis {
    type Output = Duration;

    fn sub(self, from: Self) -> Duration {
        Duration(self.0.saturating_sub(from.0))
    }
}

impl FromStr for Millis {
    type Err = ParseMillisError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse::<Timestamp>() {
            Ok(time) => Self::sensible(time.as_millisecond()),
            Err(_) => otherwise(text),
        }
    }
}

/// The time of a text that is not plainly RFC 3339.
#[cold]
fn otherwise(text: &str) -> Result<Millis, ParseMillisError> {
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') && !text.is_empty() {
        // So many digits are a date and a time without separators.
        return match text.parse() {
            Ok(number) if !matches!(text.len(), 8 | 12 | 14) || text.starts_with('-') => Millis::from_number(number),
            _ => Err(ParseMillisError::NoTime),
        };
    }
    let next_day = day_before(text).and_then(|text| text.parse::<Timestamp>().ok());
    match next_day {
        Some(time) => Millis::sensible(time.as_millisecond() + 86_400_000),
        None if text.contains('/') => Err(ParseMillisError::Interval),
        None if text.len() > 10 && text.parse::<DateTime>().is_ok() => Err(ParseMillisError::NoOffset),
        None => Err(ParseMillisError::NoTime),
    }
}

/// The beginning of the day of which a text is the end, as ISO 8601 writes it: `24:00`.
fn day_before(text: &str) -> Option<String> {
    let rest = text.strip_prefix(text.get(..11)?)?.strip_prefix("24:00")?;
    let zeros = rest.bytes().take_while(|byte| b"0:.".contains(byte)).count();
    // Behind it stands the offset; any other digit is a time after the end of the day.
    let is_end = !rest.as_bytes().get(zeros).is_some_and(u8::is_ascii_digit);
    is_end.then(|| format!("{}00:00{rest}", &text[..11]))
}

/// From the year 0 to the last full hours of 9999 that the calendar holds: what RFC 3339 can write.
const WRITTEN: std::ops::Range<i64> = -62_167_219_200_000..253_402_207_200_000;

/// RFC 3339 in UTC, of a time within [`WRITTEN`]. Every record has some: without a calendar this takes a few nanoseconds.
fn rfc_3339(millis: i64) -> [u8; 24] {
    const DAY: i64 = 86_400_000;
    let (days, mut rest) = (millis.div_euclid(DAY), millis.rem_euclid(DAY) as u32);
    // Days in eras of 400 years, and years from March on: the leap day is the last (Hinnant: chrono-compatible low-level date
    // algorithms).
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097) as u32);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = i64::from(year) + era * 400 + i64::from(month <= 2);
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let mut write = |end: usize, digits: usize, mut number: u32| {
        for place in text[end - digits..end].iter_mut().rev() {
            *place = b'0' + (number % 10) as u8;
            number /= 10;
        }
    };
    write(4, 4, year as u32);
    write(7, 2, month);
    write(10, 2, day_of_month);
    write(23, 3, rest % 1_000);
    rest /= 1_000;
    write(19, 2, rest % 60);
    write(16, 2, rest / 60 % 60);
    write(13, 2, rest / 3_600);
    text
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if WRITTEN.contains(&self.0) {
            return f.write_str(str::from_utf8(&rfc_3339(self.0)).map_err(|_| fmt::Error)?);
        }
        match Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            serializer.serialize_i64(self.0)
        } else if WRITTEN.contains(&self.0) {
            serializer.serialize_str(str::from_utf8(&rfc_3339(self.0)).map_err(serde::ser::Error::custom)?)
        } else {
            serializer.collect_str(self)
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
        f.write_str("RFC 3339 with an offset, or Unix milliseconds")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Millis, E> {
        Millis::from_number(value).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Millis, E> {
        self.visit_i64(i64::try_from(value).unwrap_or(i64::MAX))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Millis, E> {
        Millis::from_float(value).map_err(E::custom)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Millis, E> {
        text.parse().map_err(E::custom)
    }
}

impl JsonSchema for Millis {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let (first, end) = (Self::SENSIBLE.start, Self::SENSIBLE.end);
        let least = LEAST_NUMBER as i64;
        schemars::json_schema!({
            "description": "RFC 3339 with an offset, or Unix milliseconds (input only; numbers nearer to 0 than 10^11 are seconds, and refused).",
            "anyOf": [
                { "type": "string", "format": "date-time" },
                { "type": "integer", "minimum": least, "exclusiveMaximum": end },
                { "type": "integer", "minimum": first, "maximum": -least },
                { "const": 0 }
            ]
        })
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
    fn times_are_written_as_the_calendar_has_them() {
        let written = |millis: i64| {
            let time = Timestamp::from_millisecond(millis).map(|time| format!("{time:.3}"));
            let time = time.unwrap_or_else(|_| millis.to_string());
            assert_eq!(Millis(millis).to_string(), time);
            let json = serde_json::to_string(&Millis(millis)).unwrap();
            assert_eq!(json, format!("\"{time}\""));
        };
        // Every day of four centuries on both sides of the epoch, at another time each; and the borders.
        for day in -219_146i64..219_146 {
            written(day * 86_400_000 + day.rem_euclid(997) * 86_637);
        }
        for border in [WRITTEN.start, 0, WRITTEN.end, WRITTEN.end + 1_000] {
            (border - 2..border + 2).for_each(written);
        }
        [i64::MIN, i64::MAX].into_iter().for_each(written);
    }

    #[test]
    fn a_number_in_another_unit_is_refused_and_the_unit_is_named() {
        let noon = "2025-06-15T15:07:00.000Z";
        for (number, unit) in [
            ("1750000020", "seconds"),
            ("1750000020.5", "seconds"),
            ("1750000020000000", "microseconds"),
            ("1750000020000000000", "nanoseconds"),
        ] {
            for written in [number.to_owned(), format!("\"{number}\"")] {
                let error = serde_json::from_str::<Millis>(&written).unwrap_err().to_string();
                let quoted_fraction = written.contains(".5\"");
                assert!(
                    quoted_fraction || error.contains(unit) && error.contains("1750000020000") && error.contains(noon),
                    "{written}: {error}"
                );
            }
        }
        for number in ["-1750000020", "3600", "99999999999", "-99999999999"] {
            let error = serde_json::from_str::<Millis>(number).unwrap_err().to_string();
            assert!(error.contains("seconds"), "{number}: {error}");
        }
        for number in ["8000000000000", "18446744073709551615", "-9223372036854775808", "1e300"] {
            let error = serde_json::from_str::<Millis>(number).unwrap_err().to_string();
            assert!(error.contains("1900 to 2200"), "{number}: {error}");
        }
        assert!(
            serde_json::from_str::<Millis>("1750000020000.5")
                .unwrap_err()
                .to_string()
                .contains("fraction")
        );
        for (text, number) in [
            ("0", 0),
            ("100000000000", 100_000_000_000),
            ("1750000020000.0", 1_750_000_020_000),
        ] {
            assert_eq!(serde_json::from_str::<Millis>(text).unwrap(), Millis(number));
        }
        let quoted: Millis = serde_json::from_str("\"1750000020000\"").unwrap();
        assert_eq!(quoted.to_string(), noon);
    }

    #[test]
    fn a_text_that_is_no_point_in_time_is_refused_with_its_reason() {
        for (text, reason) in [
            ("2021-07-25T12:30:00", "without offset"),
            ("2021-07-25 12:30", "without offset"),
            ("2021-07-25", "no time"),
            ("20250615", "no time"),
            ("202506151507", "no time"),
            ("20250615150700", "no time"),
            ("soon", "no time"),
            ("", "no time"),
            ("--", "no time"),
            ("2025-06-15T15:08:00Z/2025-06-15T15:09:00Z", "interval"),
            ("9999-12-31T00:00:00Z", "no time"),
            ("1899-06-15T15:07:00Z", "1900 to 2200"),
            ("2025-06-15T24:01:00Z", "no time"),
            ("2025-06-15T24:00:00.5Z", "no time"),
        ] {
            let error = text.parse::<Millis>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn the_end_of_a_day_is_the_beginning_of_the_next() {
        for text in [
            "2025-06-15T24:00:00+08:00",
            "2025-06-15T24:00+08:00",
            "2025-06-15 24:00:00.000+08:00",
            "2025-06-15T16:00:00Z",
        ] {
            assert_eq!(
                text.parse::<Millis>().unwrap(),
                "2025-06-16T00:00:00+08:00".parse().unwrap(),
                "{text}"
            );
        }
    }

    #[test]
    fn binary_times_are_plain_integers() {
        let bytes = bincode::serialize(&Millis(7)).unwrap();
        assert_eq!(bincode::deserialize::<i64>(&bytes).unwrap(), 7);
    }

    #[test]
    fn times_and_lengths_meet_without_end() {
        let (early, late) = (Millis(1_000), Millis(61_000));
        assert_eq!(late - early, Duration(60_000));
        assert_eq!(early - late, Duration(-60_000));
        assert_eq!((early + Duration(60_000), late - Duration(60_000)), (late, early));
        assert_eq!(Millis::MAX + Duration(1), Millis::MAX);
        assert_eq!(Millis::MIN - Duration(1), Millis::MIN);
        assert_eq!(late - Millis::MIN, Duration(i64::MAX));
    }
}
