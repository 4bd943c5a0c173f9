//! Random histories: base rows and rules that come, change and go; observations in time, late, repeated, corrected, taken
//! back, out of order over several partitions; permits and reports in versions; in a third of them events, gauges and rules over
//! gauges; epochs of uneven length. One number makes one history.

use riskflow::runtime::replay::EpochInput;
pub use riskflow::simulator::draw::Draw;
use riskflow_config::{InputRecord, Rule};
use riskflow_model::base::{Asset, Datastream, Region};
use riskflow_model::observation::{Observation, Quality, Reading, Said, State};
use riskflow_model::output::Origin;
use riskflow_model::topic::Topic;
use riskflow_model::{Key, Millis, Problems, RegionCode, Row};
use serde_json::json;

use crate::oracle::{Expected, standalone};
use forecast::Pace;
use gauge::{Happenings, Stage};

mod calendar;
mod condition;
mod forecast;
mod gauge;
mod gauge_rules;
mod long;
mod people;
mod permit;
mod sets;
mod sorts;
mod tally;
mod twins;

pub use calendar::{days, days_to_come, semantics_of_days};
pub use long::long;
pub use people::{for_history, semantics};
pub use sets::with_sets;
pub use tally::Tally;
pub use twins::twins;

/// The clock before the first epoch.
pub const START: i64 = 1_600_000_000_000;

const ASSETS: u64 = 4;
const STREAMS: u64 = 6;
const RULES: u64 = 4;
const PARTITIONS: u64 = 3;
const REGIONS: [&str; 9] = [
    "3309",
    "330902",
    "330902001",
    "330902001001",
    "330902001002",
    "330903001001",
    "33",
    "harbour",
    "berth",
];
/// Where those of other codes may lie, if anywhere: in one another, too, and in what has no row.
const PARENTS: [&str; 6] = ["330902001", "3309", "harbour", "berth", "nowhere", ""];
const PROPERTIES: [&str; 2] = ["level", "rain"];
/// Of results, by property. Rules have the first four; the last is none, or converts to none of these.
const UNITS: [[&str; 7]; 2] = [
    ["", "mm", "cm", "", "[in_i]", "m", "mmm"],
    ["", "Cel", "[degF]", "", "K", "Cel", "kg"],
];
/// An hour and a day begin some minutes after the start.
const TERMS: condition::Terms = condition::Terms {
    windows: &["10s", "30s", "1m", "2m"],
    silence: 100,
    rates: 2_000,
    calendars: &["hour", "day", "day from 21:00", "day from 21:05"],
    calendar_once_in: 6,
    times: &[
        "20:57-20:59",
        "20:58-21:03",
        "21:00-21:01",
        "21:02-21:08",
        "21:05-24:00",
        "21:04-20:58",
        "20:00-22:00",
    ],
    shortest: &["0s", "0s", "5s", "10s"],
};
const FORECASTS: Pace = Pace {
    age: 140_000,
    ahead: 10_000,
    issue: 20_000,
    step: 15_000,
};
const EVENTS: Stage = Stage {
    assets: &["asset-0", "asset-1", "asset-2", "asset-3", "asset-4"],
    regions: &REGIONS,
    age: 90_000,
    ahead: 20_000,
    step: 10_000,
    lasts: &["5s", "20s", "2m"],
    gaps: &["3s", "15s", "1m"],
    times: TERMS.times,
};
const TAGS: [&str; 2] = ["x", "y"];

/// A history in the making.
pub struct Maker {
    draw: Draw,
    offsets: [u64; PARTITIONS as usize],
    rule_versions: u64,
    /// (datastream, time) that were used, so that some are corrected.
    used: Vec<(u64, i64)>,
    /// Permits, certificates and reports as of their highest version.
    papers: permit::Papers,
    people: people::People,
    /// For thresholds of assets and regions, and for states: what is drawn there changes nothing else.
    given: Draw,
}

/// A history of so many epochs.
#[must_use]
pub fn history(seed: u64, epochs: usize) -> Vec<EpochInput> {
    with_answers(seed, epochs).into_iter().map(|(input, _)| input).collect()
}

/// The same, and what the oracle says of each epoch: it is asked anyway, since people act on it.
#[must_use]
pub fn with_answers(seed: u64, epochs: usize) -> Vec<(EpochInput, Expected)> {
    let mut maker = Maker {
        draw: Draw::new(seed),
        offsets: [0; PARTITIONS as usize],
        rule_versions: 0,
        used: Vec::new(),
        papers: permit::Papers::default(),
        people: people::People::new(),
        given: Draw::new(seed ^ 0x6117_E57A),
    };
    // A draw of their own: what is added there changes no other record.
    let (standalone, mut apart) = (standalone::all(), Draw::new(seed ^ 0x0057_A7DA));
    let mut foreseen = Draw::new(seed ^ 0x00F0_3E5E);
    let mut happenings = Happenings::of(seed, &EVENTS);
    let mut now = START;
    let mut history = Vec::new();
    for index in 0..epochs {
        now += maker.gap();
        let mut records = Vec::new();
        if index == 0 {
            maker.beginning(&mut records);
            maker.people_begin(now, &mut records);
        }
        for _ in 0..maker.draw.below(6) {
            let record = maker.observation(now);
            records.push(record);
        }
        while maker.draw.once_in(5) {
            let record = maker.base_change();
            records.push(record);
        }
        maker.papers(now, index == 0, &mut records);
        maker.people_epoch(now, &mut records);
        // Workers see records in any order; origins say which one counts.
        for position in (1..records.len()).rev() {
            let other = maker.draw.below(position as u64 + 1) as usize;
            records.swap(position, other);
        }
        for one in &standalone {
            if apart.once_in(3) {
                let (topic, id, row) = one.draw(&mut apart, &REGIONS);
                let row = row.map(|row| Row::from_json(topic, &row.to_string()).expect("a row"));
                records.push(maker.row(topic, &id, row));
            }
        }
        while foreseen.once_in(2) {
            // The last has no row.
            let datastream = format!("stream-{}", foreseen.below(STREAMS + 1));
            let (key, forecast) = forecast::draw(&mut foreseen, &datastream, now, &FORECASTS);
            let origin = maker.origin(Topic::IN_FORECAST, key.route() % PARTITIONS);
            records.push((origin, forecast));
        }
        if let Some(happenings) = &mut happenings {
            happenings.add(now, index == 0, &mut records);
        }
        let input = EpochInput {
            epoch: Millis(now),
            records,
        };
        let expected = maker.people.learn(&input);
        history.push((input, expected));
    }
    history
}

impl Maker {
    fn gap(&mut self) -> i64 {
        let seconds = match self.draw.below(10) {
            0 => 60 + self.draw.below(120),
            1..=3 => 10 + self.draw.below(20),
            _ => 1 + self.draw.below(8),
        };
        let odd = if self.draw.once_in(8) {
            self.draw.below(1_000)
        } else {
            0
        };
        (seconds * 1_000 + odd) as i64
    }

    fn origin(&mut self, topic: Topic, partition: u64) -> Origin {
        let offset = &mut self.offsets[partition as usize];
        *offset += 1;
        Origin {
            topic: topic.id(),
            partition: partition as u16,
            offset: *offset,
        }
    }

    fn row(&mut self, topic: Topic, id: &str, row: Option<Row>) -> (Origin, InputRecord) {
        // All records of a key lie in one partition.
        let origin = self.origin(topic, Key::of(id).route() % PARTITIONS);
        (origin, InputRecord::Base(Key::of(id), row))
    }

    fn beginning(&mut self, records: &mut Vec<(Origin, InputRecord)>) {
        for code in REGIONS {
            if !self.draw.once_in(3) {
                records.push(self.region(code));
            }
        }
        for number in 0..ASSETS {
            if !self.draw.once_in(6) {
                records.push(self.asset(number));
            }
        }
        for number in 0..STREAMS {
            if !self.draw.once_in(6) {
                records.push(self.datastream(number));
            }
        }
        for number in 0..RULES {
            if !self.draw.once_in(4) {
                records.push(self.rule(number));
            }
        }
    }

    fn region(&mut self, code: &str) -> (Origin, InputRecord) {
        let code: RegionCode = code.parse().expect("a region code");
        let parent = self.draw.pick(&PARENTS).parse().ok();
        let region = Region {
            code,
            name: format!("region {code}").into(),
            parent: parent.filter(|parent| !code.is_statistical() && *parent != code),
            thresholds: serde_json::from_value(self.given(3)).expect("thresholds"),
        };
        let row = Row::new(region);
        self.row(Topic::BASE_REGION, &code.to_string(), Some(row))
    }

    fn base_change(&mut self) -> (Origin, InputRecord) {
        match self.draw.below(14) {
            12 => {
                let code = *self.draw.pick(&REGIONS);
                self.region(code)
            }
            13 => {
                let code = *self.draw.pick(&REGIONS[6..]);
                self.row(Topic::BASE_REGION, code, None)
            }
            0..=2 => {
                let number = self.draw.below(ASSETS);
                self.asset(number)
            }
            3..=5 => {
                let number = self.draw.below(STREAMS);
                self.datastream(number)
            }
            6..=8 => {
                let number = self.draw.below(RULES);
                self.rule(number)
            }
            9 => {
                let id = format!("asset-{}", self.draw.below(ASSETS));
                self.row(Topic::BASE_ASSET, &id, None)
            }
            10 => {
                let id = format!("stream-{}", self.draw.below(STREAMS));
                self.row(Topic::BASE_DATASTREAM, &id, None)
            }
            _ => {
                let id = format!("rule-{}", self.draw.below(RULES));
                self.row(Topic::IN_RULE, &id, None)
            }
        }
    }

    fn asset(&mut self, number: u64) -> (Origin, InputRecord) {
        let id = format!("asset-{number}");
        let tags: Vec<&str> = TAGS.into_iter().filter(|_| self.draw.once_in(2)).collect();
        let asset: Asset = serde_json::from_value(json!({
            "id": id,
            "name": format!("asset {number}"),
            "category": self.draw.pick(&["tank", "gauge"]),
            "domain": self.draw.pick(&["work_safety", "natural_hazard"]),
            "region": self.draw.pick(&REGIONS[2..]),
            "inherent_level": 1 + self.draw.below(4),
            "population": self.draw.below(100),
            "tags": tags,
            "thresholds": self.given(2),
        }))
        .expect("an asset");
        self.row(Topic::BASE_ASSET, &id, Some(Row::new(asset)))
    }

    /// Thresholds of one asset or region in so many, and now and then for what there is not.
    fn given(&mut self, one_in: u64) -> serde_json::Value {
        let draw = &mut self.given;
        let mut thresholds = serde_json::Map::new();
        if !draw.once_in(one_in) {
            return thresholds.into();
        }
        for rule in 0..=RULES {
            if draw.once_in(2) {
                let mut own = serde_json::Map::new();
                for key in ["blue", "yellow", "orange", "orange.a", "red.a", "red.zz"] {
                    if draw.once_in(if key == "red.zz" { 9 } else { 3 }) {
                        own.insert(key.into(), json!(draw.below(24) as f64 / 2.0 - 1.0));
                    }
                }
                thresholds.insert(format!("rule-{rule}"), own.into());
            }
        }
        thresholds.into()
    }

    fn datastream(&mut self, number: u64) -> (Origin, InputRecord) {
        let id = format!("stream-{number}");
        let mut thresholds = serde_json::Map::new();
        for rule in 0..RULES {
            if self.draw.once_in(4) {
                let mut own =
                    json!({ "blue": self.draw.below(8), "red.a": self.draw.below(12), "yellow": self.draw.below(10) });
                // It picks results, where there is such a comparison.
                if self.draw.once_in(3) {
                    own["blue.of"] = json!(self.draw.below(10));
                }
                thresholds.insert(format!("rule-{rule}"), own);
            }
        }
        let tags: Vec<&str> = TAGS.into_iter().filter(|_| self.draw.once_in(3)).collect();
        let sense = match self.draw.below(8) {
            0 => json!({ "valid": { "min": 0 } }),
            1 => json!({ "valid": { "min": -0.5, "max": 7 }, "interval": "30s" }),
            2 => json!({ "no_value": [3.5, 2, -1] }),
            3 => json!({ "valid": { "max": 8 }, "no_value": [0] }),
            _ => json!({}),
        };
        let property = self.draw.below(2) as usize;
        let unit = *self.draw.pick(&UNITS[property]);
        let mut datastream = json!({
            "id": id,
            // Several datastreams share an asset.
            "asset": format!("asset-{}", (number + self.draw.below(2)) % ASSETS),
            "observed_property": PROPERTIES[property],
            "tags": tags,
            "unit": unit,
            "thresholds": thresholds,
            "states": self.states(),
            "reporting": self.draw.pick(&["interval", "interval", "on_event"]),
        });
        for (field, value) in sense.as_object().into_iter().flatten() {
            datastream[field] = value.clone();
        }
        let datastream: Datastream = serde_json::from_value(datastream).expect("a datastream");
        self.row(Topic::BASE_DATASTREAM, &id, Some(Row::new(datastream)))
    }

    fn rule(&mut self, number: u64) -> (Origin, InputRecord) {
        let id = format!("rule-{number}");
        self.rule_versions += u64::from(self.draw.once_in(2));
        let mut select = serde_json::Map::new();
        let property = self.draw.below(2) as usize;
        if !self.draw.once_in(3) {
            select.insert("observed_property".into(), json!(PROPERTIES[property]));
        }
        let unit = *self.draw.pick(&UNITS[property][..4]);
        match self.draw.below(6) {
            0 => drop(select.insert("category".into(), json!(["tank"]))),
            1 => drop(select.insert("domain".into(), json!("work_safety"))),
            2 => drop(select.insert("region".into(), json!(self.draw.pick(&["330902", "harbour", "3309"])))),
            3 => drop(select.insert("tags".into(), json!(["x"]))),
            _ => {}
        }
        // Most of what is drawn by lot is refused: levels out of order, or beyond reach.
        let rule = loop {
            if let Ok(rule) = self.drawn_rule(&id, &select, unit) {
                break rule;
            }
        };
        self.row(Topic::IN_RULE, &id, Some(Row::new(rule.record.clone())))
    }

    fn drawn_rule(
        &mut self,
        id: &str,
        select: &serde_json::Map<String, serde_json::Value>,
        unit: &str,
    ) -> Result<Rule, Problems> {
        let mut levels = serde_json::Map::new();
        for level in ["blue", "yellow", "orange", "red"] {
            if levels.is_empty() || self.draw.once_in(2) {
                let until = self.draw.once_in(5);
                let when = match self.draw.below(12) {
                    0 if !until => condition::while_it_is_time(&mut self.draw, &TERMS),
                    _ => condition::condition(&mut self.draw, &TERMS, 0, !until),
                };
                let mut level_record = json!({
                    "when": when,
                    "hold": self.draw.pick(&["0s", "0s", "5s", "20s"]),
                    "clear": self.draw.pick(&["0s", "0s", "10s", "30s"]),
                });
                if until {
                    level_record["until"] = condition::condition(&mut self.draw, &TERMS, 1, false);
                } else {
                    level_record["margin"] = json!(self.draw.pick(&[0.0, 0.0, 1.0, 0.5]));
                }
                levels.insert(level.into(), level_record);
            }
        }
        let record = json!({
            "id": id, "version": 1 + self.rule_versions, "select": select, "unit": unit,
            "pane": self.draw.pick(&["5s", "10s", "1s"]), "levels": levels,
        });
        Rule::from_json(record.to_string().as_bytes())
    }

    fn observation(&mut self, now: i64) -> (Origin, InputRecord) {
        let repeated = self.draw.once_in(5);
        let reused = if repeated && !self.used.is_empty() {
            let recent = self.used.len().saturating_sub(12);
            let position = recent as u64 + self.draw.below((self.used.len() - recent) as u64);
            Some(self.used[position as usize])
        } else {
            None
        };
        let (stream, time) = reused.unwrap_or_else(|| {
            // The last number has no row.
            let unknown = u64::from(self.draw.once_in(6));
            let stream = self.draw.below(STREAMS + unknown);
            let age = match self.draw.below(12) {
                0 => 60_000,
                1 => 60_001 + self.draw.below(60_000) as i64,
                2 => -(self.draw.below(12_000) as i64),
                3..=5 => self.draw.below(60) as i64 * 1_000,
                _ => self.draw.below(5) as i64 * 1_000,
            };
            (stream, now - age)
        });
        self.used.push((stream, time));
        let id = format!("stream-{stream}");
        let reading = (!self.draw.once_in(12)).then(|| Reading {
            // Now and then on a border between thousandths, or finer.
            result: match self.draw.below(20 * 64) {
                drawn if drawn / 20 < 16 => (drawn as f64 * 5.0 - 95.0) / 10_000.0,
                drawn if drawn / 20 < 24 => (drawn % 20) as f64 * 0.500_01,
                drawn => (drawn % 20) as f64 / 2.0 - 1.0,
            },
            quality: *self.draw.pick(&[
                Quality::Good,
                Quality::Good,
                Quality::Suspect,
                Quality::Estimated,
                Quality::Bad,
            ]),
        });
        let partition = self.draw.below(PARTITIONS);
        let origin = self.origin(Topic::IN_OBSERVATION, partition);
        let observation = Observation {
            datastream: Key::of(&id),
            id: id.into(),
            time: Millis(time),
            said: self.said(reading),
        };
        (origin, InputRecord::Observation(observation))
    }

    /// A number, or now and then the name of a state in its place.
    fn said(&mut self, reading: Option<Reading>) -> Said {
        match reading {
            Some(Reading { quality, .. }) if self.given.once_in(5) => {
                let names = ["open", "open", "closed", "true", "false", "fault", "jammed"];
                let name = (*self.given.pick(&names)).into();
                Said::State(Box::new(State { name, quality }))
            }
            reading => reading.into(),
        }
    }

    /// The numbers of states, of most datastreams.
    fn states(&mut self) -> serde_json::Value {
        let mut states = serde_json::Map::new();
        for name in ["open", "closed", "fault", "true"] {
            let known = self.given.once_in(if name == "true" { 6 } else { 2 });
            if known {
                states.insert(name.into(), json!(self.given.below(24) as f64 / 2.0 - 1.0));
            }
        }
        states.into()
    }
}
