//! Times of the day, of the week and of the year: as checked. Which instants they hold depends on the city's time zone and holidays.

use std::fmt;

use riskflow_model::rule::DuringRecord;
use riskflow_model::{Problems, Text};

/// When a condition `during` is true: where all that is given holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct During {
    /// From one minute of the day until another; over midnight where the first is not the lesser one.
    pub time: Option<(u16, u16)>,
    /// Any of these; empty for every day.
    pub days: Vec<Days>,
    /// From one day of the year (month, day) to another, both included; over the turn of the year where the first is the later one.
    pub season: Option<((u8, u8), (u8, u8))>,
    /// Whether it is a holiday.
    pub holiday: Option<bool>,
    /// As people read it.
    pub shown: Text,
}

/// Some days of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Days {
    /// One of them, from Monday as 0.
    Weekday(u8),
    /// Days on which people work.
    Workday,
    /// All others.
    DayOff,
}

const DAYS: [(&str, Days); 9] = [
    ("mon", Days::Weekday(0)),
    ("tue", Days::Weekday(1)),
    ("wed", Days::Weekday(2)),
    ("thu", Days::Weekday(3)),
    ("fri", Days::Weekday(4)),
    ("sat", Days::Weekday(5)),
    ("sun", Days::Weekday(6)),
    ("workday", Days::Workday),
    ("day_off", Days::DayOff),
];

impl During {
    /// Checks what was written; what is wrong goes to `problems`, under `path`.
    pub(super) fn check(path: &str, written: &DuringRecord, problems: &mut Problems) -> Self {
        let mut wrong = |field: &str, found: String, give: &str| problems.add(format!("{path}.{field}"), found, give);
        let time = written.time.as_deref().and_then(|text| {
            let time = text
                .split_once('-')
                .and_then(|(from, to)| Some((minutes(from)?, minutes(to)?)));
            let time = time.filter(|(from, to)| from != to && *from < 24 * 60);
            if time.is_none() {
                wrong(
                    "time",
                    format!("`{text}`"),
                    "two times of the day, such as `08:00-20:00` or `22:00-06:00`",
                );
            }
            time
        });
        let mut days = Vec::new();
        for (index, text) in written.days.iter().enumerate() {
            match DAYS.iter().find(|(name, _)| **name == **text) {
                Some((_, day)) => days.push(*day),
                None => {
                    let names = DAYS.map(|(name, _)| name).join("`, `");
                    wrong(
                        &format!("days[{index}]"),
                        format!("`{text}`"),
                        &format!("any of `{names}`"),
                    );
                }
            }
        }
        let season = written.season.as_deref().and_then(|text| {
            let season = text
                .split_once("..")
                .and_then(|(from, to)| Some((day(from)?, day(to)?)));
            if season.is_none() {
                wrong(
                    "season",
                    format!("`{text}`"),
                    "two days of the year, such as `06-01..09-30`",
                );
            }
            season
        });
        if *written == DuringRecord::default() {
            problems.add(path, "empty", "`time`, `days`, `season` or `holiday`");
        }
        let mut shown: Vec<String> = written.time.iter().map(ToString::to_string).collect();
        shown.extend((!written.days.is_empty()).then(|| written.days.join(" ")));
        shown.extend(written.season.iter().map(ToString::to_string));
        shown.extend(
            written
                .holiday
                .map(|holiday| if holiday { "holidays" } else { "no holidays" }.to_owned()),
        );
        Self {
            time,
            days,
            season,
            holiday: written.holiday,
            shown: shown.join(", ").into(),
        }
    }
}

impl fmt::Display for During {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "during {}", self.shown)
    }
}

/// Minutes after midnight, of `08:00`; `24:00` is the end of the day.
pub(super) fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| -> Option<u16> { (text.len() == 2).then(|| text.parse().ok()).flatten() };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (minutes < 60 && hours * 60 + minutes <= 24 * 60).then_some(hours * 60 + minutes)
}

/// A day of the year, of `06-01`; of any year, so `02-29` is one.
fn day(text: &str) -> Option<(u8, u8)> {
    const LONGEST: [u8; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let (month, day) = text.split_once('-')?;
    let number = |text: &str| -> Option<u8> { (text.len() == 2).then(|| text.parse().ok()).flatten() };
    let (month, day) = (number(month)?, number(day)?);
    let longest = LONGEST.get(usize::from(month).checked_sub(1)?)?;
    (1..=*longest).contains(&day).then_some((month, day))
}
