//! Weeks of a city in which clocks are changed: epochs minutes and hours apart, rules over hours and days, times of the day and of the
//! week, holidays; a counter and a datastream that reports on events; late and corrected observations of a whole day.

use std::collections::BTreeSet;

use jiff::civil::date;
use jiff::tz::TimeZone;
use riskflow::runtime::graph::Semantics;
use riskflow::runtime::replay::EpochInput;
use riskflow_config::{CityDays, InputRecord, Rule};
use riskflow_model::base::{Asset, Datastream};
use riskflow_model::observation::{Observation, Quality, Reading};
use riskflow_model::output::Origin;
use riskflow_model::topic::Topic;
use riskflow_model::{Duration, Key, Millis, Problems, Row};
use serde_json::{Value, json};

use super::condition::{Terms, ahead, comparison, condition, while_it_is_time};
use super::forecast::{self, Pace};
use super::gauge::{Happenings, Stage};
use super::{Draw, REGIONS, people};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

const TERMS: Terms = Terms {
    windows: &["1h", "3h", "6h", "1d"],
    silence: 20_000,
    rates: 4,
    calendars: &["hour", "day", "day from 08:00", "day from 02:30", "day from 20:15"],
    calendar_once_in: 2,
    times: &[
        "08:00-20:00",
        "22:00-06:00",
        "00:00-24:00",
        "02:00-03:00",
        "01:45-02:15",
        "12:00-24:00",
    ],
    shortest: &["0s", "10m", "1h"],
};
const FORECASTS: Pace = Pace {
    age: 2 * DAY,
    ahead: 10 * MINUTE,
    issue: 3 * HOUR,
    step: HOUR,
};
/// A momentary event is forgotten a day after others: these weeks reach that.
const EVENTS: Stage = Stage {
    assets: &["a", "a", "a", "b"],
    regions: &REGIONS,
    age: 6 * HOUR,
    ahead: 30 * MINUTE,
    step: HOUR,
    lasts: &["10m", "1h", "1d"],
    gaps: &["10m", "1h", "6h"],
    times: TERMS.times,
};
const STREAMS: [&str; 3] = ["gauge", "tips", "counter"];

/// Where clocks are changed, and when a history begins there; and where they never are.
const CITIES: [(&str, i64); 4] = [
    // A day before 2020-10-25T01:00Z.
    ("Europe/Berlin", 1_603_587_600_000 - DAY),
    // A day before 2020-10-03T15:30Z, by half an hour.
    ("Australia/Lord_Howe", 1_601_739_000_000 - DAY),
    // A day before 2020-03-08T05:30Z and more.
    ("America/St_Johns", 1_583_645_400_000 - DAY),
    ("Asia/Kathmandu", super::START),
];

/// Days off in the weeks of all histories, and days of work at their weekends.
pub(super) fn days_off() -> CityDays {
    CityDays {
        holidays: BTreeSet::from([
            date(2020, 9, 14),
            date(2020, 10, 5),
            date(2020, 10, 24),
            date(2020, 10, 26),
            date(2020, 3, 9),
        ]),
        workdays: BTreeSet::from([
            date(2020, 9, 19),
            date(2020, 10, 4),
            date(2020, 10, 25),
            date(2020, 10, 26),
        ]),
    }
}

/// Where the history of this seed takes place, and what is accepted there: observations of up to a day ago.
#[must_use]
pub fn semantics_of_days(seed: u64) -> Semantics {
    let (zone, _) = CITIES[(seed % CITIES.len() as u64) as usize];
    let mut semantics = people::semantics();
    semantics.zone = TimeZone::get(zone).expect("the database has it");
    semantics.time.horizon = Duration(DAY);
    semantics.time.late_after = Duration(HOUR);
    semantics.time.max_future = Duration(10 * MINUTE);
    semantics.time.retain = Duration(DAY);
    semantics.time.forecast_age = Duration(2 * DAY);
    semantics.time.event_age = Duration(EVENTS.age);
    semantics.time.event_ahead = Duration(EVENTS.ahead);
    semantics
}

struct Maker {
    draw: Draw,
    foreseen: Draw,
    happenings: Option<Happenings>,
    to_come: bool,
    offset: u64,
    now: i64,
    versions: u64,
    used: Vec<(usize, i64)>,
    counter: f64,
}

/// A history of so many epochs.
#[must_use]
pub fn days(seed: u64, epochs: usize) -> Vec<EpochInput> {
    made(seed, epochs, false)
}

/// The same, with rules that ask for what is forecast, and many forecasts.
#[must_use]
pub fn days_to_come(seed: u64, epochs: usize) -> Vec<EpochInput> {
    made(seed, epochs, true)
}

fn made(seed: u64, epochs: usize, to_come: bool) -> Vec<EpochInput> {
    let (_, start) = CITIES[(seed % CITIES.len() as u64) as usize];
    let mut maker = Maker {
        draw: Draw::of(seed, "days", u64::from(to_come)),
        foreseen: Draw::of(seed, "days: forecasts", u64::from(to_come)),
        // Of both kinds the same would come.
        happenings: Happenings::of(seed, &EVENTS).filter(|_| !to_come),
        to_come,
        offset: 0,
        now: start,
        versions: 0,
        used: Vec::new(),
        counter: 0.0,
    };
    (0..epochs).map(|index| maker.epoch(index)).collect()
}

impl Maker {
    fn epoch(&mut self, index: usize) -> EpochInput {
        self.now += match self.draw.below(10) {
            0 => 6 * HOUR + self.draw.below(600) as i64 * MINUTE,
            1..=5 => 1 + self.draw.below(180) as i64 * MINUTE,
            _ => MINUTE + self.draw.below(20) as i64 * MINUTE,
        };
        let mut records = Vec::new();
        if index == 0 {
            records.push(self.asset());
            (0..STREAMS.len()).for_each(|stream| records.push(self.datastream(stream)));
            (0..3).for_each(|rule| records.push(self.rule(rule)));
        }
        for _ in 0..self.draw.below(5) {
            records.push(self.observation());
        }
        let seldom = if self.to_come { 1 } else { 3 };
        for _ in 0..self.foreseen.below(4) / seldom {
            let datastream = *self.foreseen.pick(&STREAMS);
            let (_, forecast) = forecast::draw(&mut self.foreseen, datastream, self.now, &FORECASTS);
            records.push((self.origin(Topic::IN_FORECAST), forecast));
        }
        if self.draw.once_in(25) {
            let rule = self.draw.below(3);
            records.push(self.rule(rule));
        }
        if self.draw.once_in(30) {
            let stream = self.draw.below(3) as usize;
            records.push(self.datastream(stream));
        }
        if let Some(happenings) = &mut self.happenings {
            happenings.add(self.now, index == 0, &mut records);
        }
        EpochInput {
            epoch: Millis(self.now),
            records,
        }
    }

    fn origin(&mut self, topic: Topic) -> Origin {
        self.offset += 1;
        Origin {
            topic: topic.id(),
            partition: 0,
            offset: self.offset,
        }
    }

    fn row(&mut self, topic: Topic, id: &str, row: Row) -> (Origin, InputRecord) {
        (self.origin(topic), InputRecord::Base(Key::of(id), Some(row)))
    }

    fn asset(&mut self) -> (Origin, InputRecord) {
        let asset = json!({ "id": "a", "name": "a", "category": "tank", "domain": "work_safety",
            "region": "330902001001", "inherent_level": 2 });
        let asset: Asset = serde_json::from_value(asset).expect("an asset");
        self.row(Topic::BASE_ASSET, "a", Row::new(asset))
    }

    fn datastream(&mut self, stream: usize) -> (Origin, InputRecord) {
        let id = STREAMS[stream];
        let reporting = match id {
            "tips" if !self.draw.once_in(4) => "on_event",
            _ => "interval",
        };
        let unit = *self.draw.pick(&["", "mm", "cm"]);
        let row = json!({ "id": id, "asset": "a", "observed_property": id, "reporting": reporting, "unit": unit });
        let row: Datastream = serde_json::from_value(row).expect("a datastream");
        self.row(Topic::BASE_DATASTREAM, id, Row::new(row))
    }

    /// A rule that is taken: what could never turn on or off is refused.
    fn rule(&mut self, number: u64) -> (Origin, InputRecord) {
        self.versions += 1;
        let id = format!("rule-{number}");
        let rule = loop {
            if let Ok(rule) = self.any_rule(&id, number) {
                break rule;
            }
        };
        self.row(Topic::IN_RULE, &id, Row::new(rule.record.clone()))
    }

    fn any_rule(&mut self, id: &str, number: u64) -> Result<Rule, Problems> {
        let mut levels = serde_json::Map::new();
        for level in ["yellow", "red"] {
            if levels.is_empty() || self.draw.once_in(3) {
                levels.insert(level.into(), self.level());
            }
        }
        let pane = *self.draw.pick(&["10m", "1h", "1m"]);
        let property = STREAMS[number as usize];
        let rule = json!({ "id": id, "version": self.versions, "select": { "observed_property": property }, "unit": "mm",
            "pane": pane, "levels": levels });
        Rule::from_json(rule.to_string().as_bytes())
    }

    fn level(&mut self) -> Value {
        let draw = &mut self.draw;
        let until = draw.once_in(3);
        let when = match draw.below(6) {
            0..=3 if self.to_come => ahead(draw, &TERMS, !until),
            0 if !until => while_it_is_time(draw, &TERMS),
            1 | 2 => condition(draw, &TERMS, 0, !until),
            _ => comparison(draw, &TERMS, !until),
        };
        let mut level = json!({
            "when": when,
            "hold": draw.pick(&["0s", "0s", "1h", "1d"]),
            "clear": draw.pick(&["0s", "0s", "2h"]),
        });
        if until {
            level["until"] = condition(draw, &TERMS, 1, false);
        }
        level
    }

    fn observation(&mut self) -> (Origin, InputRecord) {
        let reused = !self.used.is_empty() && self.draw.once_in(6);
        let (stream, time) = if reused {
            let recent = self.used.len().saturating_sub(8);
            self.used[recent + self.draw.below((self.used.len() - recent) as u64) as usize]
        } else {
            let age = match self.draw.below(10) {
                0 => self.draw.below(24 * 60) as i64 * MINUTE,
                1 => -(self.draw.below(10) as i64 * MINUTE),
                2..=4 => self.draw.below(180) as i64 * MINUTE,
                _ => self.draw.below(10) as i64 * MINUTE,
            };
            let time = self.now - age;
            // Often at the very border of an hour.
            let time = if self.draw.once_in(4) {
                time.div_euclid(HOUR) * HOUR
            } else {
                time
            };
            (self.draw.below(3) as usize, time)
        };
        self.used.push((stream, time));
        let id = STREAMS[stream];
        // A counter grows, and begins anew.
        self.counter += self.draw.below(4) as f64;
        if self.draw.once_in(12) {
            self.counter = 0.0;
        }
        let result = match id {
            "counter" => self.counter,
            _ => self.draw.below(20) as f64 / 2.0 - 1.0,
        };
        let reading = (!self.draw.once_in(15)).then(|| Reading {
            result,
            quality: *self
                .draw
                .pick(&[Quality::Good, Quality::Good, Quality::Good, Quality::Bad]),
        });
        let origin = self.origin(Topic::IN_OBSERVATION);
        let observation = Observation {
            datastream: Key::of(id),
            id: id.into(),
            time: Millis(time),
            said: reading.into(),
        };
        (origin, InputRecord::Observation(observation))
    }
}
