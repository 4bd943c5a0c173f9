//! Events that come in time, late, too late and ahead of the clock, that are momentary, end and go on, that are ended, corrected and taken
//! back; what people and models say of them; and gauges of every measure, which change. Beside them gauges of other sorts, and rules.

use std::collections::BTreeMap;

use riskflow_config::InputRecord;
use riskflow_model::output::Origin;
use riskflow_model::topic::Topic;
use riskflow_model::{Key, LogRow, Row};
use serde_json::{Value, json};

use super::Draw;
use super::gauge_rules::GaugeRules;
use super::sorts::Sorts;

/// Where things happen, and how fast.
pub(super) struct Stage {
    /// The last has no row.
    pub(super) assets: &'static [&'static str],
    pub(super) regions: &'static [&'static str],
    /// So late events may come, and so far ahead of the clock, in milliseconds.
    pub(super) age: i64,
    pub(super) ahead: i64,
    /// Most lie and last a few of these.
    pub(super) step: i64,
    pub(super) lasts: &'static [&'static str],
    pub(super) gaps: &'static [&'static str],
    /// Times of the day during which rules over gauges hold.
    pub(super) times: &'static [&'static str],
}

/// One gauge of each.
const MEASURES: [&str; 8] = [
    "count", "sum", "distinct", "highest", "elapsed", "fused", "covered", "starts",
];
pub(super) const BY: [&str; 12] = [
    "asset", "asset", "asset", "asset", "asset", "asset", "town", "town", "village", "county", "city", "province",
];
const EVENTS: u64 = 16;
const KINDS: [&str; 3] = ["smoke", "crowd", "underground"];
const SOURCES: [&str; 4] = ["", "camera-1", "camera-2", "patrol"];
const MODELS: [&str; 2] = ["smoke-1", "smoke-2"];
const LEVELS: [&str; 5] = ["none", "blue", "yellow", "orange", "red"];
const THINGS: [&[&str]; 7] = [
    &["source"],
    &["source", "line"],
    &["event"],
    &["asset", "kind"],
    &["region"],
    &["model"],
    &["category", "domain", "level", "review"],
];

/// Records of this kind in a history.
pub(super) struct Happenings {
    draw: Draw,
    stage: &'static Stage,
    offset: u64,
    /// Of each event the last record, whether or not it was taken.
    sent: BTreeMap<String, Value>,
    sorts: Sorts,
    rules: GaugeRules,
}

type Record = (Origin, InputRecord);

impl Happenings {
    /// Those of a history, if there are any in it.
    pub(super) fn of(seed: u64, stage: &'static Stage) -> Option<Self> {
        // A draw of its own: what happens changes no other record.
        let mut draw = Draw::of(seed, "gauges", 0);
        let happens = draw.once_in(3);
        happens.then(|| Self {
            draw,
            stage,
            offset: 0,
            sent: BTreeMap::new(),
            sorts: Sorts::of(seed, stage),
            rules: GaugeRules::of(seed, stage),
        })
    }

    /// Adds what comes in an epoch to what comes anyway.
    pub(super) fn add(&mut self, now: i64, is_first: bool, records: &mut Vec<Record>) {
        self.rules.give(records);
        records.extend(self.epoch(now, is_first));
    }

    fn epoch(&mut self, now: i64, is_first: bool) -> Vec<Record> {
        let mut records = Vec::new();
        for number in (0..MEASURES.len()).filter(|_| is_first) {
            if !self.draw.once_in(6) {
                records.push(self.gauge(number));
            }
        }
        for _ in 0..self.draw.below(4) {
            records.push(self.event(now));
        }
        if self.draw.once_in(5) {
            records.push(self.review());
        }
        if self.draw.once_in(8) {
            records.push(self.model());
        }
        if self.draw.once_in(12) {
            let number = self.draw.below(MEASURES.len() as u64) as usize;
            let record = if self.draw.once_in(4) {
                self.row(Topic::IN_GAUGE, &format!("gauge-{number}"), None)
            } else {
                self.gauge(number)
            };
            records.push(record);
        }
        records.extend(self.sorts.epoch(now, is_first));
        records.extend(self.rules.epoch(is_first));
        records
    }

    fn origin(&mut self, topic: Topic) -> Origin {
        self.offset += 1;
        Origin {
            topic: topic.id(),
            // One of their own: no other record moves.
            partition: 98,
            offset: self.offset,
        }
    }

    fn row(&mut self, topic: Topic, id: &str, row: Option<Value>) -> Record {
        let row = row.map(|row| Row::from_json(topic, &row.to_string()).expect("a row"));
        (self.origin(topic), InputRecord::Base(Key::of(id), row))
    }

    fn event(&mut self, now: i64) -> Record {
        let id = format!("event-{}", self.draw.below(EVENTS));
        // What was taken back is there no more.
        let before = self.sent.get(&id).filter(|event| event["op"].is_null()).cloned();
        let event = match before {
            Some(event) if self.is_changed(&event, now) => self.changed(event, now),
            _ => self.new_event(&id, now),
        };
        let row = LogRow::from_json(Topic::IN_EVENT, &event.to_string()).expect("an event");
        self.sent.insert(id, event);
        (self.origin(Topic::IN_EVENT), InputRecord::Log(row))
    }

    /// Whether a record is about what came before: seldom where that is over for long.
    fn is_changed(&mut self, event: &Value, now: i64) -> bool {
        let goes_on = event["open"].as_bool().unwrap_or_default();
        let end = event["to"].as_i64().unwrap_or(time(event));
        if goes_on || end >= now - self.stage.age {
            self.draw.below(8) < 6
        } else {
            self.draw.once_in(6)
        }
    }

    fn new_event(&mut self, id: &str, now: i64) -> Value {
        let time = now - self.age();
        if self.draw.once_in(16) {
            return json!({ "id": id, "time": time, "op": "delete" });
        }
        let mut event = json!({ "id": id, "kind": self.draw.pick(&KINDS), "time": time });
        match self.draw.below(9) {
            0..=2 => {}
            3..=5 => event["to"] = json!(self.end(time, now)),
            _ => event["open"] = json!(true),
        }
        self.put(&mut event);
        self.say(&mut event);
        event
    }

    /// How long ago it begins.
    fn age(&mut self) -> i64 {
        let Stage { age, ahead, step, .. } = *self.stage;
        match self.draw.below(16) {
            0 => age,
            1 => age + 1 + self.up_to(age),
            2 | 3 => -self.up_to(ahead),
            4 => -ahead,
            5 => -ahead - 1,
            6..=8 => self.up_to(2 * age),
            _ => self.up_to(3 * step),
        }
    }

    fn up_to(&mut self, most: i64) -> i64 {
        self.draw.below(most as u64) as i64
    }

    /// When what began at a time is over.
    fn end(&mut self, time: i64, now: i64) -> i64 {
        let step = self.stage.step;
        let end = match self.draw.below(6) {
            0 => now - self.stage.age,
            1 => now,
            2 | 3 => now - self.up_to(4 * step),
            _ => now + self.up_to(8 * step),
        };
        end.max(time + 1)
    }

    /// Puts it at an asset, or into a region.
    fn put(&mut self, event: &mut Value) {
        event["asset"] = json!(null);
        event["region"] = json!(null);
        if self.draw.once_in(3) {
            event["region"] = json!(self.draw.pick(self.stage.regions));
        } else {
            event["asset"] = json!(self.draw.pick(self.stage.assets));
        }
    }

    /// What else is said of it.
    fn say(&mut self, event: &mut Value) {
        let draw = &mut self.draw;
        event["level"] = json!(draw.pick(&LEVELS));
        event["source"] = json!(draw.pick(&SOURCES));
        event["confidence"] = json!(draw.pick(&[None, Some(0.25), Some(0.5), Some(0.8), Some(1.0)]));
        event["model"] = json!(draw.pick(&[None, Some(MODELS[0]), Some(MODELS[1])]));
        event["evidence"] = json!(draw.pick(&["", "", "https://video.example/e.jpg"]));
        // Exact to thousandths; some count nothing, and some less than nothing.
        let weights = [None, None, Some(0), Some(draw.below(5_000) as i64 - 1_000)];
        let weight = draw.pick(&weights).map(|thousandths| thousandths as f64 / 1_000.0);
        event["weight"] = json!(weight);
        event["attributes"] = json!({ "line": draw.pick(&[None, Some("north"), Some("south")]) });
        event["numbers"] = json!({ "speed": draw.pick(&[None, Some(0.5), Some(1.5), Some(-2.0)]) });
    }

    /// The same event, said otherwise.
    fn changed(&mut self, mut event: Value, now: i64) -> Value {
        let began = time(&event);
        match self.draw.below(9) {
            0 => return json!({ "id": event["id"], "time": began, "op": "delete" }),
            1..=3 => {
                event["open"] = json!(false);
                event["to"] = json!(self.end(began, now));
            }
            4 | 5 => self.say(&mut event),
            6 => {
                let moved = began - self.stage.step + self.up_to(2 * self.stage.step);
                event["time"] = json!(moved);
                if event["to"].as_i64().is_some_and(|to| to <= moved) {
                    event["to"] = json!(moved + 1);
                }
            }
            7 => self.put(&mut event),
            // The same once more.
            _ => {}
        }
        event
    }

    fn review(&mut self) -> Record {
        let event = format!("event-{}", self.draw.below(EVENTS));
        let verdict = *self.draw.pick(&["confirmed", "false"]);
        let row = (!self.draw.once_in(3)).then(|| json!({ "event": event, "verdict": verdict, "by": "officer" }));
        self.row(Topic::IN_REVIEW, &event, row)
    }

    fn model(&mut self) -> Record {
        let id = *self.draw.pick(&MODELS);
        let bad = self.draw.once_in(2);
        let row = (!self.draw.once_in(3)).then(|| json!({ "id": id, "bad": bad }));
        self.row(Topic::BASE_MODEL, id, row)
    }

    fn gauge(&mut self, number: usize) -> Record {
        let id = format!("gauge-{number}");
        let measure = MEASURES[number];
        let draw = &mut self.draw;
        let mut gauge = json!({ "id": id, "measure": measure, "by": draw.pick(&BY) });
        if !draw.once_in(4) {
            gauge["lasts"] = json!(draw.pick(self.stage.lasts));
        }
        if draw.once_in(3) {
            gauge["kind"] = json!(draw.pick(&KINDS));
        }
        if draw.once_in(3) {
            gauge["title"] = json!(format!("title {}", draw.below(3)));
        }
        let mut conditions = Vec::new();
        while draw.once_in(4) {
            conditions.push(condition(draw));
        }
        gauge["where"] = json!(conditions);
        match measure {
            "distinct" => gauge["attributes"] = json!(draw.pick(&THINGS)),
            "fused" => {
                gauge["attributes"] = json!(draw.pick(&THINGS));
                gauge["at_least"] = json!(1 + draw.below(3));
            }
            "highest" if draw.once_in(2) => gauge["number"] = json!(draw.pick(&["confidence", "weight", "speed"])),
            "elapsed" if !draw.once_in(3) => gauge["gap"] = json!(draw.pick(self.stage.gaps)),
            "covered" | "starts" => gauge["bucket"] = json!(draw.pick(&["hour", "day"])),
            _ => {}
        }
        self.row(Topic::IN_GAUGE, &id, Some(gauge))
    }
}

/// When an event begins, as it was sent.
fn time(event: &Value) -> i64 {
    event["time"].as_i64().expect("every event has a time")
}

/// What a gauge may ask of a span.
fn condition(draw: &mut Draw) -> Value {
    match draw.below(12) {
        0 => json!({ "attribute": "confidence", "at_least": 0.8 }),
        1 => json!({ "attribute": "confidence", "at_most": 0.5 }),
        2 => json!({ "attribute": "weight", "at_least": 0.5 }),
        3 => json!({ "attribute": "weight", "at_most": 1 }),
        4 => json!({ "attribute": "speed", "at_most": 0.5 }),
        5 => json!({ "attribute": "source", "equals": draw.pick(&SOURCES[1..]) }),
        6 => json!({ "attribute": "line", "equals": "north" }),
        7 => json!({ "attribute": "category", "equals": "tank" }),
        8 => json!({ "attribute": "level", "equals": draw.pick(&LEVELS) }),
        9 => json!({ "attribute": "model", "equals": draw.pick(&MODELS) }),
        10 => json!({ "attribute": "review", "equals": "confirmed" }),
        _ => json!({ "attribute": "region", "equals": "330902001001" }),
    }
}
