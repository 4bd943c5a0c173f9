//! A point in time as people write it.

use anyhow::Result;
use jiff::Timestamp;
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use riskflow_model::{Duration, Millis, duration};

use crate::program::exit::Usage;

/// RFC 3339, a time of the city (of today, where no day is given), or how long ago.
///
/// # Errors
///
/// [`Usage`], which names the option and what may be given.
pub fn moment(option: &str, text: &str, now: Millis, zone: &TimeZone) -> Result<Millis> {
    // `08:30:00` is a length of time to some.
    if !text.contains(':')
        && let Ok(ago) = duration::parse(text)
    {
        return Ok(now - Duration(ago));
    }
    let no_time = match text.parse::<Millis>() {
        Ok(time) => return Ok(time),
        Err(error) => error,
    };
    let of_today = text.parse::<Time>().ok().filter(|_| !text.contains('-'));
    let local = match of_today {
        Some(time) => Timestamp::from_millisecond(now.0)
            .ok()
            .map(|now| zone.to_datetime(now).date().to_datetime(time)),
        None => text.parse::<DateTime>().ok(),
    };
    // Of a time that clocks show twice the first is meant; of one that they skip, as long after it as it says.
    let time = local.and_then(|local| zone.to_ambiguous_timestamp(local).compatible().ok());
    time.map(|time| Millis(time.as_millisecond())).ok_or_else(|| {
        Usage(format!(
            "`{option}` is `{text}`: {no_time}; or a time of the city such as `08:30` or `2026-11-27 08:30`, or how long ago, such as `2h`"
        ))
        .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_city_where_they_do_not_say_more() {
        let zone = TimeZone::fixed(jiff::tz::offset(8));
        let now: Millis = "2026-11-27T01:00:00Z".parse().unwrap();
        let found = |text: &str| moment("--at", text, now, &zone).map(|time| time.to_string());
        for (text, expected) in [
            ("08:30", "2026-11-27T00:30:00.000Z"),
            ("08:30:15", "2026-11-27T00:30:15.000Z"),
            ("2026-11-26 23:30", "2026-11-26T15:30:00.000Z"),
            ("2026-11-26T23:30", "2026-11-26T15:30:00.000Z"),
            ("2026-11-26T23:30:00+01:00", "2026-11-26T22:30:00.000Z"),
            ("1764205200000", "2025-11-27T01:00:00.000Z"),
            ("2h30m", "2026-11-26T22:30:00.000Z"),
        ] {
            assert_eq!(found(text).unwrap(), expected, "{text}");
        }
        for text in ["", "yesterday", "25:00", "2026-13-01 08:00"] {
            let error = found(text).unwrap_err().to_string();
            assert!(error.starts_with("`--at` is `") && error.contains("`08:30`"), "{error}");
        }
    }
}
