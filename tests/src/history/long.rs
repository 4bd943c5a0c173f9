//! One datastream with many observations in a short time, that come in any order and are corrected afterwards: series of several
//! hundred points, windows that hold most of them, rules over several features.

use riskflow::runtime::replay::EpochInput;
use riskflow_config::{InputRecord, Rule};
use riskflow_model::base::{Asset, Datastream};
use riskflow_model::observation::{Observation, Quality, Reading};
use riskflow_model::output::Origin;
use riskflow_model::topic::Topic;
use riskflow_model::{Key, Millis, Problems, Row};
use serde_json::{Value, json};

use super::{Draw, START};

/// What the buffer spans: less than the horizon.
const SPAN: i64 = 50_000;

const FEATURES: [&str; 21] = [
    "last",
    "min",
    "max",
    "mean",
    "sum",
    "count",
    "rate",
    "silence",
    "last",
    "min",
    "max",
    "count",
    "range",
    "drop",
    "rise",
    "deviation",
    "quantile",
    "increase",
    "slope",
    "projected",
    "in_a_row",
];

struct Long {
    draw: Draw,
    offset: u64,
    history: Vec<EpochInput>,
    now: i64,
}

/// A history of so many observations.
#[must_use]
pub fn long(seed: u64, observations: u64) -> Vec<EpochInput> {
    let mut long = Long {
        draw: Draw::new(seed),
        offset: 0,
        history: Vec::new(),
        now: START,
    };
    long.base(observations);
    // The buffer is full when the clock has passed it.
    long.now += SPAN;
    let mut times: Vec<i64> = (0..observations)
        .map(|i| START + 1 + (i * SPAN as u64 / observations) as i64)
        .collect();
    let (order, parts) = (long.draw.below(4), *long.draw.pick(&[1, 1, 5, 9]));
    match order {
        0 => {}
        1 | 2 => times.reverse(),
        _ => long.shuffle(&mut times),
    }
    for part in times.chunks(times.len().div_ceil(parts)) {
        let records = part.iter().map(|time| long.observation(*time)).collect();
        long.epoch(100, records);
    }
    for _ in 0..6 {
        let mut records = Vec::new();
        for _ in 0..=long.draw.below(3) {
            let time = match long.draw.below(4) {
                0 => long.now - long.draw.below(60_000) as i64,
                _ => times[long.draw.below(observations) as usize],
            };
            records.push(long.observation(time.max(long.now - 59_000)));
        }
        long.epoch(300, records);
    }
    // What expires is all that happens.
    for _ in 0..2 {
        long.epoch(20_000, Vec::new());
    }
    long.history
}

impl Long {
    fn origin(&mut self, topic: Topic) -> Origin {
        self.offset += 1;
        Origin {
            topic: topic.id(),
            partition: 0,
            offset: self.offset,
        }
    }

    fn shuffle(&mut self, times: &mut [i64]) {
        for position in (1..times.len()).rev() {
            let other = self.draw.below(position as u64 + 1) as usize;
            times.swap(position, other);
        }
    }

    fn epoch(&mut self, after: i64, records: Vec<(Origin, InputRecord)>) {
        self.now += after;
        let epoch = Millis(self.now);
        self.history.push(EpochInput { epoch, records });
    }

    fn base(&mut self, observations: u64) {
        let asset = json!({ "id": "a", "name": "a", "category": "tank", "domain": "work_safety",
            "region": "330902001001", "inherent_level": 2 });
        let asset: Asset = serde_json::from_value(asset).expect("an asset");
        let stream = json!({ "id": "d", "asset": "a", "observed_property": "gas" });
        let stream: Datastream = serde_json::from_value(stream).expect("a datastream");
        let mut rows = vec![
            (Topic::BASE_ASSET, "a".to_owned(), Row::new(asset)),
            (Topic::BASE_DATASTREAM, "d".to_owned(), Row::new(stream)),
        ];
        for number in 0..3 {
            let id = format!("rule-{number}");
            let rule = Row::new(self.rule(&id, observations).record.clone());
            rows.push((Topic::IN_RULE, id, rule));
        }
        let records = rows.into_iter().map(|(topic, id, row)| {
            let origin = self.origin(topic);
            (origin, InputRecord::Base(Key::of(&id), Some(row)))
        });
        let records = records.collect();
        self.epoch(1, records);
    }

    /// A rule that is taken: what could never turn on or off is refused.
    fn rule(&mut self, id: &str, observations: u64) -> Rule {
        loop {
            if let Ok(rule) = self.any_rule(id, observations) {
                return rule;
            }
        }
    }

    fn any_rule(&mut self, id: &str, observations: u64) -> Result<Rule, Problems> {
        let mut levels = serde_json::Map::new();
        for level in ["yellow", "red"] {
            let parts: Vec<Value> = (0..=self.draw.below(2))
                .map(|_| self.comparison(observations))
                .collect();
            let when = match (parts.as_slice(), self.draw.once_in(2)) {
                ([one], _) => one.clone(),
                (_, true) => json!({ "any": parts }),
                (_, false) => json!({ "all": parts }),
            };
            let level_record = json!({
                "when": when,
                "hold": self.draw.pick(&["0s", "500ms", "5s"]),
                "clear": self.draw.pick(&["0s", "700ms", "8s"]),
                "margin": self.draw.pick(&[0.0, 0.5]),
            });
            levels.insert(level.into(), level_record);
        }
        let pane = *self.draw.pick(&["100ms", "1s", "5s"]);
        let rule = json!({ "id": id, "version": 1, "select": {}, "pane": pane, "levels": levels });
        Rule::from_json(rule.to_string().as_bytes())
    }

    /// A comparison whose threshold lies near to what the buffer holds.
    fn comparison(&mut self, observations: u64) -> Value {
        let feature = *self.draw.pick(&FEATURES);
        let (window, seconds) = *self.draw.pick(&[("5s", 5), ("20s", 20), ("50s", 50), ("100s", 100)]);
        let inside = (observations as i64 * seconds.min(SPAN / 1_000)) / (SPAN / 1_000);
        let near = self.draw.below(9) as i64 - 4;
        let threshold = match feature {
            "last" | "projected" => 2.5 + near as f64 / 2.0,
            "min" => -0.5 + near as f64 / 4.0,
            "max" => 8.0 + near as f64 / 4.0,
            "mean" => 2.5 + near as f64 / 8.0,
            "sum" => (inside * (20 + near)) as f64 / 8.0,
            "count" => (inside + near) as f64,
            "rate" | "slope" => (near * 60) as f64,
            "range" => 8.5 + near as f64 / 4.0,
            "drop" => 6.0 + near as f64 / 2.0,
            "rise" => 3.0 + near as f64 / 2.0,
            "deviation" => 1.5 + near as f64 / 16.0,
            "quantile" => 2.5 + near as f64 / 8.0,
            "increase" => (inside * (9 + near)) as f64 / 8.0,
            "in_a_row" => (5 + near) as f64,
            _ => (50 * near.abs()) as f64 / 1_000.0,
        };
        let mut comparison = json!({ "feature": feature, "op": self.draw.pick(&[">=", ">", "<=", "<"]),
            "threshold": threshold });
        if feature != "silence" {
            comparison["window"] = json!(window);
        }
        match feature {
            "in_a_row" => comparison["of"] = json!({ "op": "<", "threshold": 4 }),
            "quantile" => comparison["q"] = json!(self.draw.pick(&[0.5, 0.45, 0.55])),
            "projected" => comparison["ahead"] = json!(self.draw.pick(&["1s", "20s"])),
            "rate" | "slope" => comparison["shortest"] = json!(self.draw.pick(&["0s", "1s"])),
            "count" if self.draw.once_in(2) => {
                comparison["of"] = json!({ "op": ">", "threshold": 2.5 });
                comparison["threshold"] = json!((inside / 2 + near).max(0));
            }
            _ => {}
        }
        comparison
    }

    fn observation(&mut self, time: i64) -> (Origin, InputRecord) {
        let reading = (!self.draw.once_in(20)).then(|| Reading {
            // Mostly low, seldom high, with finer steps than are added up.
            result: match self.draw.below(20) {
                0 => 8.0 + self.draw.below(8) as f64 / 4.0,
                1 => -0.5 - self.draw.below(8) as f64 / 4.0,
                _ => self.draw.below(500_000) as f64 / 100_000.0,
            },
            quality: *self
                .draw
                .pick(&[Quality::Good, Quality::Good, Quality::Good, Quality::Bad]),
        });
        let origin = self.origin(Topic::IN_OBSERVATION);
        let observation = Observation {
            datastream: Key::of("d"),
            id: "d".into(),
            time: Millis(time),
            said: reading.into(),
        };
        (origin, InputRecord::Observation(observation))
    }
}
