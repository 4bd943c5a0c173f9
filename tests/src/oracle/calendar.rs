//! Hours and days of the city, and times `during` which a condition holds: by asking what the clocks on its walls show.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use riskflow_config::{Calendar, CalendarUnit, CityDays, Days, During};

const MINUTE: i64 = 60_000;

/// The city's clocks and its days off.
pub struct City {
    zone: TimeZone,
    days: CityDays,
    /// The ends of hours and days that were looked up before, by their beginnings.
    known: RefCell<BTreeMap<(CalendarUnit, i64, i64), i64>>,
}

impl City {
    /// In this time zone, with these days.
    pub fn new(zone: TimeZone, days: CityDays) -> Self {
        Self {
            zone,
            days,
            known: RefCell::default(),
        }
    }

    /// What its clocks show.
    fn shows(&self, at: i64) -> DateTime {
        let at = Timestamp::from_millisecond(at).expect("an instant of these centuries");
        self.zone.to_datetime(at)
    }

    /// When its clocks show this: once as a rule, at no time or twice where they are changed. Where they skip it: when they would have
    /// shown it by either of the two ways to count.
    fn instants_of(&self, shown: DateTime) -> BTreeSet<i64> {
        let when = self.zone.to_ambiguous_timestamp(shown);
        let both = [when.earlier(), when.later()];
        both.map(|at| at.expect("a time of these centuries").as_millisecond())
            .into()
    }

    /// The instants at which hours or days begin, as far as they may be of this date.
    fn beginnings(&self, unit: CalendarUnit, from: i64, date: Date) -> Vec<i64> {
        match unit {
            CalendarUnit::Hour => {
                let hours = (0..24).map(|hour| date.at(hour, 0, 0, 0));
                let shown = hours.flat_map(|hour| self.instants_of(hour).into_iter().map(move |at| (at, hour)));
                shown
                    .filter(|(at, hour)| self.shows(*at) == *hour)
                    .map(|(at, _)| at)
                    .collect()
            }
            CalendarUnit::Day => {
                let minutes = from / MINUTE;
                let begin = date.at((minutes / 60) as i8, (minutes % 60) as i8, 0, 0);
                let at = self.zone.to_ambiguous_timestamp(begin).compatible();
                vec![at.expect("a time of these centuries").as_millisecond()]
            }
        }
    }

    /// The hour or day that holds an instant: from when until when.
    fn bucket(&self, unit: CalendarUnit, from: i64, at: i64) -> (i64, i64) {
        let mut known = self.known.borrow_mut();
        let before = known.range(..=(unit, from, at)).next_back();
        let same = before.filter(|((other, start, _), end)| (*other, *start) == (unit, from) && at < **end);
        if let Some(((.., begin), end)) = same {
            return (*begin, *end);
        }
        let today = self.shows(at).date();
        let dates = [today.yesterday(), Ok(today), today.tomorrow()];
        let dates = dates.map(|date| date.expect("a day of these centuries"));
        let begins: BTreeSet<i64> = (dates.into_iter())
            .flat_map(|date| self.beginnings(unit, from, date))
            .collect();
        let begin = *begins.range(..=at).next_back().expect("one begins the day before");
        let end = *begins.range(at + 1..).next().expect("one begins the day after");
        known.insert((unit, from, begin), end);
        (begin, end)
    }

    /// The hour or day at which a feature looks at an instant: from when until when.
    pub fn window(&self, calendar: Calendar, at: i64) -> (i64, i64) {
        let Calendar { unit, from, ago } = calendar;
        (0..ago).fold(self.bucket(unit, from, at), |(begin, _), _| {
            self.bucket(unit, from, begin - 1)
        })
    }

    /// When hours or days begin, after one time and until another.
    pub fn borders(&self, calendar: Calendar, after: i64, until: i64) -> Vec<i64> {
        let mut borders = Vec::new();
        let mut at = after;
        while at <= until {
            (_, at) = self.bucket(calendar.unit, calendar.from, at);
            borders.push(at);
        }
        borders
    }

    /// Whether all that is given of it holds.
    pub fn is_during(&self, during: &During, at: i64) -> bool {
        let shown = self.shows(at);
        let (date, time) = (shown.date(), shown.time());
        let minute = time.hour() as u16 * 60 + time.minute() as u16;
        let weekday = date.weekday().to_monday_zero_offset();
        let holiday = self.days.holidays.contains(&date);
        let works = self.days.workdays.contains(&date) || (weekday < 5 && !holiday);
        let is = |day: &Days| match day {
            Days::Weekday(number) => i8::try_from(*number) == Ok(weekday),
            Days::Workday => works,
            Days::DayOff => !works,
        };
        let of_year = (date.month() as u8, date.day() as u8);
        let within = |from, to, one| {
            if from <= to {
                from <= one && one <= to
            } else {
                one >= from || one <= to
            }
        };
        during.time.is_none_or(|(from, to)| {
            // The last minute of it is the one before its end.
            if from < to {
                (from..to).contains(&minute)
            } else {
                minute >= from || minute < to
            }
        }) && (during.days.is_empty() || during.days.iter().any(is))
            && during.season.is_none_or(|(from, to)| within(from, to, of_year))
            && during.holiday.is_none_or(|wanted| wanted == holiday)
    }

    /// Every instant after one time and until another at which it may begin or end.
    pub fn changes(&self, during: &During, after: i64, until: i64) -> BTreeSet<i64> {
        let mut changes = BTreeSet::new();
        let mut minutes = vec![0];
        minutes.extend(during.time.into_iter().flat_map(<[u16; 2]>::from));
        let last = self.shows(until.max(after)).date();
        let mut date = self.shows(after).date();
        while date <= last {
            for minute in &minutes {
                // The end of a day is the beginning of the next one.
                let time = Time::new((minute / 60 % 24) as i8, (minute % 60) as i8, 0, 0);
                changes.extend(self.instants_of(date.to_datetime(time.expect("a time of the day"))));
            }
            date = date.tomorrow().expect("a day of these centuries");
        }
        let from = Timestamp::from_millisecond(after).expect("an instant of these centuries");
        let changed = self
            .zone
            .following(from)
            .map(|change| change.timestamp().as_millisecond());
        changes.extend(changed.take_while(|at| *at <= until));
        changes.retain(|at| *at > after && *at <= until);
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 60 * MINUTE;

    fn at(zone: &str, shown: &str) -> i64 {
        let zone = TimeZone::get(zone).unwrap();
        zone.to_timestamp(shown.parse().unwrap()).unwrap().as_millisecond()
    }

    fn lengths(zone: &str, unit: CalendarUnit, from: i64, day: &str) -> Vec<i64> {
        let city = City::new(TimeZone::get(zone).unwrap(), CityDays::default());
        let mut begin = at(zone, day);
        let mut lengths = Vec::new();
        for _ in 0..4 {
            let (first, end) = city.window(Calendar { unit, from, ago: 0 }, begin);
            lengths.push((end - first) / MINUTE);
            begin = end;
        }
        lengths
    }

    #[test]
    fn days_on_which_clocks_are_changed_are_longer_or_shorter() {
        let day = CalendarUnit::Day;
        let berlin = "Europe/Berlin";
        assert_eq!(lengths(berlin, day, 0, "2020-10-24 12:00"), [1440, 1500, 1440, 1440]);
        assert_eq!(
            lengths(berlin, day, 8 * HOUR, "2020-10-24 12:00"),
            [1500, 1440, 1440, 1440]
        );
        assert_eq!(lengths(berlin, day, 0, "2020-03-28 12:00"), [1440, 1380, 1440, 1440]);
        let hour = CalendarUnit::Hour;
        assert_eq!(lengths(berlin, hour, 0, "2020-03-29 01:30"), [60, 60, 60, 60]);
        // There by half an hour only: to no full hour, and from one to a half.
        let island = "Australia/Lord_Howe";
        assert_eq!(lengths(island, hour, 0, "2020-04-05 00:30"), [60, 90, 60, 60]);
        assert_eq!(lengths(island, hour, 0, "2020-10-04 00:30"), [60, 90, 60, 60]);
    }
}
