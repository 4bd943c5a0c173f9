//! Rules over the gauges of a history, by what they measure: they come, change, get another name, and go; and thresholds that assets and
//! regions have for them.

use std::collections::BTreeMap;

use riskflow_config::{InputRecord, Rule};
use riskflow_model::base::{Asset, Region, ThresholdsByRule};
use riskflow_model::output::Origin;
use riskflow_model::topic::Topic;
use riskflow_model::{Key, Problems, Row};
use serde_json::{Value, json};

use super::Draw;
use super::gauge::Stage;

/// One of each kind of values.
const RULES: usize = 6;
const LEVELS: [&str; 4] = ["blue", "yellow", "orange", "red"];
/// Gauges by how their values are compared. Those of permits, holders and windows measure anything.
const NUMBERS: [&str; 3] = ["gauge-0", "gauge-2", "gauge-7"];
const WEIGHTS: [&str; 2] = ["gauge-1", "gauge-3"];
const TIMES: [&str; 2] = ["gauge-4", "gauge-6"];
const GRAVE: [&str; 2] = ["gauge-3", "gauge-5"];
const HOLDERS: [&str; 3] = ["holder-1", "holder-4", "holder-7"];
const OTHERS: [&str; 6] = [
    "permit-0",
    "permit-3",
    "permit-6",
    "maintenance-2",
    "maintenance-5",
    "maintenance-8",
];

/// Records of this kind in a history.
pub(super) struct GaugeRules {
    draw: Draw,
    stage: &'static Stage,
    offset: u64,
    version: u64,
    /// Of each rule that is there what it is.
    sent: BTreeMap<usize, Value>,
}

type Record = (Origin, InputRecord);

/// What a rule compares.
#[derive(Clone, Copy)]
struct Compared {
    gauge: &'static str,
    /// Whether it measures seconds.
    is_time: bool,
}

impl GaugeRules {
    /// Those of a history.
    pub(super) fn of(seed: u64, stage: &'static Stage) -> Self {
        Self {
            // A draw of its own: what is drawn here changes no other record.
            draw: Draw::of(seed, "rules over gauges", 0),
            stage,
            offset: 0,
            version: 0,
            sent: BTreeMap::new(),
        }
    }

    /// What comes in an epoch.
    pub(super) fn epoch(&mut self, is_first: bool) -> Vec<Record> {
        let mut records = Vec::new();
        for number in (0..RULES).filter(|_| is_first) {
            if !self.draw.once_in(6) {
                records.push(self.rule(number));
            }
        }
        if self.draw.once_in(8) {
            let number = self.draw.below(RULES as u64) as usize;
            let record = match self.draw.below(8) {
                0 => self.row(number, None),
                1 | 2 => self.renamed(number),
                _ => self.rule(number),
            };
            records.push(record);
        }
        records
    }

    /// Gives thresholds for these rules to assets and regions that come anyway.
    pub(super) fn give(&mut self, records: &mut [Record]) {
        for (_, record) in records {
            let InputRecord::Base(_, Some(row)) = record else {
                continue;
            };
            if let Some(asset) = row.downcast_ref::<Asset>() {
                if self.draw.once_in(3) {
                    let mut asset = asset.clone();
                    asset.thresholds = self.given(&asset.thresholds);
                    *row = Row::new(asset);
                }
            } else if let Some(region) = row.downcast_ref::<Region>()
                && self.draw.once_in(4)
            {
                let mut region = region.clone();
                region.thresholds = self.given(&region.thresholds);
                *row = Row::new(region);
            }
        }
    }

    /// The same thresholds, and some for these rules.
    fn given(&mut self, others: &ThresholdsByRule) -> ThresholdsByRule {
        let mut thresholds = serde_json::to_value(others).expect("thresholds can be written");
        for number in 0..RULES {
            if !self.draw.once_in(2) {
                continue;
            }
            let mut own = serde_json::Map::new();
            for key in ["blue", "yellow", "red.a", "orange.zz"] {
                if self.draw.once_in(if key == "orange.zz" { 12 } else { 3 }) {
                    own.insert(key.into(), json!(self.threshold(number == 2)));
                }
            }
            thresholds[id_of(number)] = own.into();
        }
        serde_json::from_value(thresholds).expect("thresholds")
    }

    fn row(&mut self, number: usize, rule: Option<Value>) -> Record {
        let id = id_of(number);
        self.offset += 1;
        let origin = Origin {
            topic: Topic::IN_RULE.id(),
            // One of their own: no other record moves.
            partition: 96,
            offset: self.offset,
        };
        let row = rule
            .as_ref()
            .map(|rule| Row::from_json(Topic::IN_RULE, &rule.to_string()).expect("a rule"));
        self.sent.remove(&number);
        self.sent.extend(rule.map(|rule| (number, rule)));
        (origin, InputRecord::Base(Key::of(&id), row))
    }

    /// The same rule under another name; a new one where there is none.
    fn renamed(&mut self, number: usize) -> Record {
        let Some(mut rule) = self.sent.get(&number).cloned() else {
            return self.rule(number);
        };
        self.version += 1;
        rule["version"] = json!(self.version);
        rule["name"] = json!(format!("name {}", self.version));
        self.row(number, Some(rule))
    }

    /// A rule that is taken: what could never turn on or off is refused.
    fn rule(&mut self, number: usize) -> Record {
        self.version += 1;
        let rule = loop {
            let rule = self.any_rule(number);
            let checked: Result<Rule, Problems> = Rule::from_json(rule.to_string().as_bytes());
            if checked.is_ok() {
                break rule;
            }
        };
        self.row(number, Some(rule))
    }

    fn any_rule(&mut self, number: usize) -> Value {
        let compared = self.compared(number);
        let upward = !self.draw.once_in(4);
        let until = self.draw.once_in(5);
        let mut levels = serde_json::Map::new();
        let mut thresholds: Vec<f64> = (0..LEVELS.len()).map(|_| self.threshold(compared.is_time)).collect();
        thresholds.sort_by(f64::total_cmp);
        if !upward {
            thresholds.reverse();
        }
        for (level, threshold) in LEVELS.into_iter().zip(thresholds) {
            let one_in = if levels.is_empty() { 2 } else { 3 };
            if self.draw.once_in(one_in) {
                levels.insert(level.into(), self.level(compared, (upward, threshold), until));
            }
        }
        if levels.is_empty() {
            let threshold = self.threshold(compared.is_time);
            levels.insert("orange".into(), self.level(compared, (upward, threshold), until));
        }
        json!({
            "id": id_of(number), "version": self.version, "select": self.select(), "levels": levels,
        })
    }

    fn level(&mut self, compared: Compared, (upward, threshold): (bool, f64), until: bool) -> Value {
        let mut when = self.comparison(compared, upward, threshold);
        let below = if upward { threshold } else { f64::MAX };
        if !until && self.draw.once_in(4) {
            when["margin"] = json!(self.margin(compared.is_time, below));
        }
        let when = self.combined(when, until);
        let mut level = json!({ "when": when, "hold": self.wait(), "clear": self.wait() });
        if until {
            let least = if compared.is_time { self.seconds(1) } else { 1.0 };
            let border = if upward { least } else { threshold + least };
            let mut until = self.comparison(compared, !upward, border);
            if self.draw.once_in(4) {
                let other = self.other();
                let threshold = self.threshold(other.is_time);
                until = json!({ "any": [until, self.comparison(other, !upward, threshold)] });
            }
            level["until"] = until;
        } else {
            level["margin"] = json!(self.margin(compared.is_time, below));
        }
        level
    }

    /// A comparison alone, or with others, or while it is a time.
    fn combined(&mut self, when: Value, until: bool) -> Value {
        match self.draw.below(9) {
            0 | 1 => {
                let other = self.another(until);
                let how = *self.draw.pick(&["any", "all"]);
                json!({ how: [when, other] })
            }
            2 => json!({ "all": [{ "during": { "time": self.draw.pick(self.stage.times) } }, when] }),
            3 => {
                let other = self.another(until);
                let during = json!({ "during": { "time": self.draw.pick(self.stage.times) } });
                json!({ "any": [when, { "all": [other, during] }] })
            }
            _ => when,
        }
    }

    /// A comparison of anything, whose threshold does not move.
    fn another(&mut self, until: bool) -> Value {
        let other = self.other();
        let threshold = self.threshold(other.is_time);
        let mut other = self.comparison(other, true, threshold);
        if !until {
            other["margin"] = json!(0);
        }
        other
    }

    fn comparison(&mut self, Compared { gauge, .. }: Compared, upward: bool, threshold: f64) -> Value {
        let operators = if upward { [">=", ">=", ">"] } else { ["<", "<=", "<"] };
        let mut comparison = json!({ "gauge": gauge, "op": self.draw.pick(&operators), "threshold": threshold });
        if self.draw.once_in(4) {
            comparison["name"] = json!("a");
        }
        // Where nobody gives one, it takes no part.
        if self.draw.once_in(16) {
            comparison["threshold"] = json!(null);
        }
        comparison
    }

    fn compared(&mut self, number: usize) -> Compared {
        let (gauges, is_time) = match number {
            0 => (&NUMBERS[..], false),
            1 => (&WEIGHTS[..], false),
            2 => (&TIMES[..], true),
            3 => (&GRAVE[..], false),
            4 => (&HOLDERS[..], false),
            _ => (&OTHERS[..], self.draw.once_in(3)),
        };
        // There never is such a gauge.
        let gauge = if self.draw.once_in(24) {
            "gauge-9"
        } else {
            *self.draw.pick(gauges)
        };
        Compared { gauge, is_time }
    }

    /// What else a rule may compare.
    fn other(&mut self) -> Compared {
        let number = self.draw.below(RULES as u64) as usize;
        self.compared(number)
    }

    fn threshold(&mut self, is_time: bool) -> f64 {
        if is_time {
            let steps = 1 + self.draw.below(8) as i64;
            self.seconds(steps)
        } else {
            *self.draw.pick(&[0.5, 1.0, 1.0, 2.0, 2.0, 3.0])
        }
    }

    /// Of so many steps by halves.
    fn seconds(&self, halves: i64) -> f64 {
        (self.stage.step * halves / 2) as f64 / 1_000.0
    }

    /// Less than so much: nothing is fewer than none.
    fn margin(&mut self, is_time: bool, below: f64) -> f64 {
        let margin = match (self.draw.below(4), is_time) {
            (0, false) => 0.5,
            (1, false) => 1.0,
            (0, true) => self.seconds(1) / 2.0,
            _ => 0.0,
        };
        if margin < below { margin } else { 0.0 }
    }

    fn wait(&mut self) -> String {
        let quarters = *self.draw.pick(&[0, 0, 0, 1, 2, 6]);
        format!("{}ms", self.stage.step * quarters / 4)
    }

    fn select(&mut self) -> Value {
        match self.draw.below(12) {
            0 => json!({ "category": ["tank"] }),
            1 => json!({ "category": ["gauge", "tank"], "domain": "work_safety" }),
            2 => json!({ "domain": "natural_hazard" }),
            3 => json!({ "region": self.draw.pick(&["330902", "harbour", "3309"]) }),
            4 => json!({ "tags": ["x"] }),
            _ => json!({}),
        }
    }
}

fn id_of(number: usize) -> String {
    format!("over-{number}")
}
