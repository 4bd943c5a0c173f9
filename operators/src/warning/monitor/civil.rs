//! The calendar of the city: its hours and days, and when a condition `during` is true.
//!
//! Everything here is a function of an instant and of the settings: the wall clock plays no part.

use std::sync::Arc;

use jiff::civil::{Date, Time};
use jiff::tz::{AmbiguousTimestamp, TimeZone};
use jiff::{Timestamp, ToSpan as _};
use riskflow_config::{Calendar, CalendarUnit, CityDays, Days, During};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR_2000: i64 = 946_684_800_000;

/// The time zone of the city, and which of its days are special.
#[derive(Clone, Debug)]
pub struct Civil(Arc<Zone>);

#[derive(Debug)]
struct Zone {
    zone: TimeZone,
    /// How far its clocks are ahead of UTC in milliseconds, from an instant from which on that never changes.
    fixed: Option<(i64, i64)>,
    days: CityDays,
}

impl Default for Civil {
    fn default() -> Self {
        Self::new(TimeZone::UTC, CityDays::default())
    }
}

impl Civil {
    /// That of a city.
    #[must_use]
    pub fn new(zone: TimeZone, days: CityDays) -> Self {
        let instants = [Timestamp::MIN, timestamp(YEAR_2000)];
        let fixed = instants.into_iter().find(|from| zone.following(*from).next().is_none());
        let fixed = fixed.map(|from| {
            let offset = i64::from(zone.to_offset(from).seconds()) * 1_000;
            // A day on which clocks are changed is over by then.
            (from.as_millisecond().saturating_add(2 * DAY), offset)
        });
        Self(Arc::new(Zone { zone, fixed, days }))
    }

    /// When the hour or day of the calendar that holds an instant began, and when the next begins.
    pub fn bucket(&self, calendar: Calendar, at: i64) -> (i64, i64) {
        match calendar.unit {
            CalendarUnit::Hour => (self.hour_begin(at), self.hour_end(at)),
            CalendarUnit::Day => match self.fixed_at(at) {
                Some(offset) => {
                    let since = (at + offset - calendar.from).rem_euclid(DAY);
                    (at - since, at - since + DAY)
                }
                None => self.day(calendar.from, at),
            },
        }
    }

    /// The one so many before it.
    pub fn bucket_ago(&self, calendar: Calendar, at: i64) -> (i64, i64) {
        let present = self.bucket(calendar, at);
        (0..calendar.ago).fold(present, |(begin, _), _| self.bucket(calendar, begin - 1))
    }

    /// The one of which the bucket of an instant is the one so many before.
    pub fn bucket_ahead(&self, calendar: Calendar, at: i64) -> (i64, i64) {
        let own = self.bucket(calendar, at);
        (0..calendar.ago).fold(own, |(_, end), _| self.bucket(calendar, end))
    }

    /// Whether an instant is one of those that are meant.
    pub fn is_during(&self, during: &During, at: i64) -> bool {
        let time = during.time.is_none_or(|(from, to)| {
            let minute = self.minute(at);
            match from < to {
                true => (from..to).contains(&minute),
                false => minute >= from || minute < to,
            }
        });
        let any_day = during.days.is_empty() && during.season.is_none() && during.holiday.is_none();
        time && (any_day || self.is_day(during, self.local(at).0))
    }

    fn is_day(&self, during: &During, date: Date) -> bool {
        let season = during.season.is_none_or(|(from, to)| {
            let day = (date.month() as u8, date.day() as u8);
            match from <= to {
                true => (from..=to).contains(&day),
                false => day >= from || day <= to,
            }
        });
        let day = during.days.is_empty() || during.days.iter().any(|days| self.is_on(*days, date));
        let is_holiday = self.0.days.holidays.contains(&date);
        season && day && during.holiday.is_none_or(|wanted| wanted == is_holiday)
    }

    /// The minute of the day.
    fn minute(&self, at: i64) -> u16 {
        match self.fixed_at(at) {
            Some(offset) => ((at + offset).rem_euclid(DAY) / MINUTE) as u16,
            None => self.local(at).1,
        }
    }

    /// The first instant after one at which that may be otherwise: a border of the time of the day, or the next midnight.
    pub fn next_change(&self, during: &During, at: i64) -> i64 {
        let (from, to) = during.time.unwrap_or((0, 0));
        if let Some(offset) = self.fixed_at(at) {
            let since = (at + offset).rem_euclid(DAY);
            let until = |minute: u16| match i64::from(minute) * MINUTE - since {
                passed if passed <= 0 => passed + DAY,
                ahead => ahead,
            };
            return at + until(0).min(until(from)).min(until(to));
        }
        let (date, _) = self.local(at);
        let borders = [0, from, to].map(|minute| [date, tomorrow(date)].map(|date| self.instants(date, minute)));
        let changed = self.0.zone.following(timestamp(at)).next();
        let changed = changed.map(|change| change.timestamp().as_millisecond());
        let borders = borders.into_iter().flatten().flatten().chain(changed);
        let next = borders.filter(|border| *border > at).min();
        // There is none in the last days of time.
        next.unwrap_or(i64::MAX)
    }

    fn is_on(&self, days: Days, date: Date) -> bool {
        let weekday = date.weekday().to_monday_zero_offset() as u8;
        let works = || {
            let special = &self.0.days;
            special.workdays.contains(&date) || weekday < 5 && !special.holidays.contains(&date)
        };
        match days {
            Days::Weekday(wanted) => weekday == wanted,
            Days::Workday => works(),
            Days::DayOff => !works(),
        }
    }

    /// How far clocks are ahead of UTC.
    fn offset(&self, at: i64) -> i64 {
        self.fixed_at(at).unwrap_or_else(|| {
            let offset = self.0.zone.to_offset(timestamp(at));
            i64::from(offset.seconds()) * 1_000
        })
    }

    fn fixed_at(&self, at: i64) -> Option<i64> {
        let (from, offset) = self.0.fixed?;
        (at >= from).then_some(offset)
    }

    fn local(&self, at: i64) -> (Date, u16) {
        let local = self.0.zone.to_datetime(timestamp(at));
        (local.date(), local.hour() as u16 * 60 + local.minute() as u16)
    }

    /// The last instant up to this one at which clocks show a full hour.
    fn hour_begin(&self, at: i64) -> i64 {
        let begin = at - self.past_hour(at);
        if self.offset(begin) == self.offset(at) {
            return begin;
        }
        let changed = self.0.zone.preceding(timestamp(at + 1)).next();
        let changed = changed.map_or(begin, |change| change.timestamp().as_millisecond());
        match self.past_hour(changed) {
            0 => changed,
            // They were put forward or back to within an hour, which is longer by that.
            _ => self.hour_begin(changed - 1),
        }
    }

    /// The first instant after this one at which clocks show a full hour.
    fn hour_end(&self, at: i64) -> i64 {
        let end = at - self.past_hour(at) + HOUR;
        if self.offset(end) == self.offset(at) {
            return end;
        }
        let changed = self.0.zone.following(timestamp(at)).next();
        let changed = changed.map_or(end, |change| change.timestamp().as_millisecond());
        match self.past_hour(changed) {
            0 => changed,
            _ => self.hour_end(changed),
        }
    }

    /// For how long clocks have shown the same hour, if they ran on.
    fn past_hour(&self, at: i64) -> i64 {
        (at + self.offset(at)).rem_euclid(HOUR)
    }

    /// When clocks show a time of a day; where they skip it, as long after midnight as if they did not.
    fn instant(&self, date: Date, minute: u16) -> i64 {
        let zoned = self.shown(date, minute).compatible();
        zoned.map_or(i64::MAX, Timestamp::as_millisecond)
    }

    /// The same each time that they show it: twice where they are put back.
    fn instants(&self, date: Date, minute: u16) -> [i64; 2] {
        let both = [self.shown(date, minute).earlier(), self.shown(date, minute).later()];
        both.map(|zoned| zoned.map_or(i64::MAX, Timestamp::as_millisecond))
    }

    fn shown(&self, date: Date, minute: u16) -> AmbiguousTimestamp {
        let (date, minute) = if minute == 24 * 60 {
            (tomorrow(date), 0)
        } else {
            (date, minute)
        };
        let time = Time::constant((minute / 60) as i8, (minute % 60) as i8, 0, 0);
        self.0.zone.to_ambiguous_timestamp(date.to_datetime(time))
    }

    fn day(&self, from: i64, at: i64) -> (i64, i64) {
        let minute = (from / MINUTE) as u16;
        let (date, _) = self.local(at);
        let begins = self.instant(date, minute);
        if begins <= at {
            (begins, self.instant(tomorrow(date), minute))
        } else {
            let yesterday = date.checked_sub(1.day()).unwrap_or(date);
            (self.instant(yesterday, minute), begins)
        }
    }
}

fn timestamp(at: i64) -> Timestamp {
    let most = Timestamp::MAX.as_millisecond();
    Timestamp::from_millisecond(at.clamp(-most / 2, most)).expect("it is within the years that there are")
}

fn tomorrow(date: Date) -> Date {
    date.checked_add(1.day()).unwrap_or(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn civil(zone: &str) -> Civil {
        Civil::new(TimeZone::get(zone).unwrap(), CityDays::default())
    }

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn day(from: i64, ago: u16) -> Calendar {
        Calendar {
            unit: CalendarUnit::Day,
            from: from * HOUR,
            ago,
        }
    }

    #[test]
    fn days_begin_when_clocks_say_so() {
        let island = civil("Asia/Shanghai");
        let noon = at("2021-07-25T12:00:00+08:00");
        let bucket = island.bucket(day(8, 0), noon);
        assert_eq!(
            bucket,
            (at("2021-07-25T08:00:00+08:00"), at("2021-07-26T08:00:00+08:00"))
        );
        assert_eq!(island.bucket(day(8, 0), bucket.0).0, bucket.0);
        assert_eq!(island.bucket(day(8, 0), bucket.0 - 1).1, bucket.0);
        assert_eq!(island.bucket_ago(day(8, 2), noon).0, at("2021-07-23T08:00:00+08:00"));
        assert_eq!(island.bucket_ahead(day(8, 2), at("2021-07-23T09:00:00+08:00")), bucket);
    }

    #[test]
    fn a_day_is_as_long_as_clocks_make_it() {
        let city = civil("Europe/Berlin");
        for (noon, hours) in [
            ("2026-03-29T12:00:00+02:00", 23),
            ("2026-10-25T12:00:00+01:00", 25),
            ("2026-06-01T12:00:00+02:00", 24),
        ] {
            let (begin, end) = city.bucket(day(0, 0), at(noon));
            assert_eq!(end - begin, hours * HOUR, "{noon}");
        }
        // In India hours are full at half past those of UTC.
        let hour = Calendar {
            unit: CalendarUnit::Hour,
            from: 0,
            ago: 0,
        };
        let bucket = civil("Asia/Kolkata").bucket(hour, at("2026-06-01T12:10:00Z"));
        assert_eq!(bucket.0, at("2026-06-01T11:30:00Z"));
    }

    #[test]
    fn an_hour_is_longer_where_clocks_are_changed_within_it() {
        let island = civil("Australia/Lord_Howe");
        let hour = |ago| Calendar {
            unit: CalendarUnit::Hour,
            from: 0,
            ago,
        };
        // From 02:00 forward to 02:30, and from 02:00 back to 01:30.
        for (begin, end) in [
            ("2020-10-04T01:00:00+10:30", "2020-10-04T03:00:00+11:00"),
            ("2020-04-05T01:00:00+11:00", "2020-04-05T02:00:00+10:30"),
        ] {
            let (begin, end) = (at(begin), at(end));
            assert_eq!(end - begin, HOUR + HOUR / 2);
            for inside in [begin, begin + HOUR - 1, begin + HOUR, end - 1] {
                assert_eq!(island.bucket(hour(0), inside), (begin, end));
            }
            assert_eq!(island.bucket_ago(hour(1), end), (begin, end));
            assert_eq!(island.bucket_ahead(hour(1), begin - 1), (begin, end));
        }
    }

    #[test]
    fn a_time_comes_twice_where_clocks_are_put_back() {
        let city = civil("Europe/Berlin");
        let night = during(r#"{"time":"01:45-02:15"}"#);
        let mut borders = vec![at("2026-10-25T01:45:00+02:00")];
        for _ in 0..3 {
            borders.push(city.next_change(&night, borders[borders.len() - 1]));
        }
        let expected = [
            "2026-10-25T01:45:00+02:00",
            "2026-10-25T02:15:00+02:00",
            "2026-10-25T02:00:00+01:00",
            "2026-10-25T02:15:00+01:00",
        ];
        assert_eq!(borders, expected.map(at));
        // Where they are put forward the time ends with the hour that is left out.
        let spring = at("2026-03-29T01:45:00+01:00");
        assert_eq!(city.next_change(&night, spring), at("2026-03-29T03:00:00+02:00"));
    }

    fn during(json: &str) -> During {
        let rule = format!(
            r#"{{"id":"r","version":1,"select":{{}},"levels":{{"red":{{"when":{{"all":[{{"during":{json}}},
                {{"feature":"last","window":"1h","op":">=","threshold":1}}]}}}}}}}}"#
        );
        let rule = riskflow_config::Rule::from_json(rule.as_bytes()).unwrap();
        rule.during[0].clone()
    }

    #[test]
    fn times_are_those_of_the_city() {
        let date = |text: &str| text.parse().unwrap();
        let days = CityDays {
            holidays: [date("2026-10-01")].into(),
            workdays: [date("2026-10-10")].into(),
        };
        let city = Civil::new(TimeZone::get("Asia/Shanghai").unwrap(), days);
        for (json, inside, outside) in [
            (r#"{"time":"22:00-06:00"}"#, "01T23:00", "01T06:00"),
            (r#"{"time":"08:00-20:00"}"#, "01T08:00", "01T20:00"),
            (r#"{"days":["thu"]}"#, "01T00:00", "02T00:00"),
            (r#"{"days":["workday"]}"#, "10T12:00", "01T12:00"),
            (r#"{"days":["day_off"]}"#, "11T12:00", "10T12:00"),
            (r#"{"season":"06-01..10-01"}"#, "01T23:59", "02T00:00"),
            (r#"{"season":"10-02..03-15"}"#, "02T00:00", "01T23:59"),
            (r#"{"holiday":true}"#, "01T12:00", "02T12:00"),
            (r#"{"holiday":false}"#, "02T12:00", "01T12:00"),
        ] {
            let during = during(json);
            let at = |text: &str| at(&format!("2026-10-{text}:00+08:00"));
            assert!(city.is_during(&during, at(inside)), "{json} at {inside}");
            assert!(!city.is_during(&during, at(outside)), "{json} at {outside}");
            // It is constant from one change to the next.
            let mut from = at("01T03:00");
            while from < at("13T00:00") {
                let next = city.next_change(&during, from);
                assert!(next > from && next <= from + DAY);
                let same = city.is_during(&during, from) == city.is_during(&during, next - 1);
                assert!(same, "{json} between {from} and {next}");
                from = next;
            }
        }
    }
}
