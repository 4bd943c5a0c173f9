//! Gauges of work under permit, of those who do it, of the certificates that they lack, and of maintenance; and permits, certificates and
//! windows so near to each other that they meet. They come in order and out of it, are changed back to their beginning, cancelled,
//! called off, and go.

use std::collections::BTreeMap;

use riskflow_config::InputRecord;
use riskflow_model::output::Origin;
use riskflow_model::topic::Topic;
use riskflow_model::{Key, Row};
use serde_json::{Value, json};

use super::Draw;
use super::gauge::{BY, Stage};

/// Of each as many gauges; their identifiers begin so.
const SORTS: [&str; 3] = ["permit", "holder", "maintenance"];
const GAUGES: usize = 9;
const MEASURES: [&str; 6] = ["count", "sum", "distinct", "elapsed", "covered", "starts"];
const WORKS: u64 = 5;
const CERTIFICATES: u64 = 4;
const WINDOWS: u64 = 4;
/// As permits have them that are drawn elsewhere.
const WORK_TYPES: [&str; 2] = ["hot_work", "confined_space"];
const HOLDERS: [&str; 4] = ["li", "wang", "zhao", "crane"];
const KINDS: [&str; 3] = ["sensor", "asset", "exercise"];
/// What is counted where different things are, by sort.
const THINGS: [&[&[&str]]; 3] = [
    &[&["permit"], &["work_type"], &["asset", "kind"], &["category", "region"]],
    &[
        &["holder"],
        &["permit", "holder"],
        &["work_type"],
        &["domain", "holder"],
    ],
    &[&["maintenance"], &["kind"], &["asset", "kind"], &["region"]],
];

/// Records of this kind in a history.
pub(super) struct Sorts {
    draw: Draw,
    stage: &'static Stage,
    offset: u64,
    /// Of each permit, certificate and window that was not taken back the highest version.
    sent: BTreeMap<String, Value>,
}

type Record = (Origin, InputRecord);

impl Sorts {
    /// Those of a history.
    pub(super) fn of(seed: u64, stage: &'static Stage) -> Self {
        Self {
            // A draw of its own: what is drawn here changes no other record.
            draw: Draw::of(seed, "sorts", 0),
            stage,
            offset: 0,
            sent: BTreeMap::new(),
        }
    }

    /// What comes in an epoch.
    pub(super) fn epoch(&mut self, now: i64, is_first: bool) -> Vec<Record> {
        let mut records = Vec::new();
        for number in (0..GAUGES).filter(|_| is_first) {
            if !self.draw.once_in(8) {
                records.push(self.gauge(number));
            }
        }
        for _ in 0..self.draw.below(3) {
            records.push(self.paper(now));
        }
        if self.draw.once_in(3) {
            records.push(self.window(now));
        }
        if self.draw.once_in(16) {
            let number = self.draw.below(GAUGES as u64) as usize;
            let record = if self.draw.once_in(4) {
                self.row(Topic::IN_GAUGE, &id_of(number), None)
            } else {
                self.gauge(number)
            };
            records.push(record);
        }
        records
    }

    fn row(&mut self, topic: Topic, id: &str, row: Option<Value>) -> Record {
        let row = row.map(|row| Row::from_json(topic, &row.to_string()).expect("a row"));
        self.offset += 1;
        let origin = Origin {
            topic: topic.id(),
            // One of their own: no other record moves.
            partition: 97,
            offset: self.offset,
        };
        (origin, InputRecord::Base(Key::of(id), row))
    }

    /// Mostly the next version, sometimes the same or the one before.
    fn versioned(&mut self, topic: Topic, id: &str, mut row: Value) -> Record {
        let highest = self.sent.get(id).and_then(|sent| sent["version"].as_u64());
        let version = match (highest, self.draw.below(8)) {
            (None, drawn) => drawn % 3,
            (Some(highest), 0) => highest.saturating_sub(1),
            (Some(highest), 1) => highest,
            (Some(highest), _) => highest + 1,
        };
        row["version"] = json!(version);
        if highest.is_none_or(|highest| version >= highest) {
            self.sent.insert(id.to_owned(), row.clone());
        }
        self.row(topic, id, Some(row))
    }

    fn gone(&mut self, topic: Topic, id: &str) -> Record {
        self.sent.remove(id);
        self.row(topic, id, None)
    }

    fn up_to(&mut self, most: i64) -> i64 {
        self.draw.below(most as u64) as i64
    }

    /// Some time around now.
    fn time(&mut self, now: i64) -> i64 {
        let step = self.stage.step;
        match self.draw.below(10) {
            0 => now,
            1 => now - 20 * step - self.up_to(20 * step),
            2..=4 => now + self.up_to(4 * step),
            _ => now - self.up_to(4 * step),
        }
    }

    /// From some time until some time after it.
    fn times(&mut self, now: i64) -> (i64, i64) {
        let from = self.time(now);
        let most = *self.draw.pick(&[2_i64, 4, 12, 40]) * self.stage.step;
        (from, from + 1 + self.up_to(most))
    }

    /// Mostly one of few, so that work meets; the last has no row.
    fn asset(&mut self) -> &'static str {
        let assets = self.stage.assets;
        let few = if self.draw.once_in(8) { assets.len() } else { 2 };
        assets[self.draw.below(few as u64) as usize]
    }

    fn holders(&mut self) -> Vec<&'static str> {
        let count = self.draw.below(4);
        (0..count).map(|_| *self.draw.pick(&HOLDERS)).collect()
    }

    /// A permit or certificate that is new, changed, or gone.
    fn paper(&mut self, now: i64) -> Record {
        let is_work = self.draw.below(5) < 3;
        let id = if is_work {
            format!("pass-{}", self.draw.below(WORKS))
        } else {
            format!("licence-{}", self.draw.below(CERTIFICATES))
        };
        if self.draw.once_in(10) {
            return self.gone(Topic::IN_PERMIT, &id);
        }
        let before = self.sent.get(&id).cloned();
        let paper = match before {
            Some(before) if !self.draw.once_in(3) => self.changed(before, now),
            _ => self.new_paper(&id, is_work, now),
        };
        self.versioned(Topic::IN_PERMIT, &id, paper)
    }

    fn new_paper(&mut self, id: &str, is_work: bool, now: i64) -> Value {
        let (from, to) = self.times(now);
        let mut paper = json!({
            "id": id, "work_type": self.draw.pick(&WORK_TYPES), "holders": self.holders(), "valid_from": from, "valid_to": to,
        });
        if is_work {
            paper["kind"] = json!("work");
            paper["asset"] = json!(self.asset());
        } else {
            paper["kind"] = json!("certificate");
            match self.draw.below(6) {
                0 => paper["valid_from"] = json!(null),
                1 => paper["valid_to"] = json!(null),
                _ => {}
            }
        }
        paper
    }

    /// The same, said otherwise.
    fn changed(&mut self, mut paper: Value, now: i64) -> Value {
        let from = paper["valid_from"].as_i64();
        match self.draw.below(7) {
            0 | 1 => {
                let to = self.time(now);
                paper["valid_to"] = json!(from.map_or(to, |from| to.max(from + 1)));
            }
            // It never was.
            2 => paper["cancelled_from"] = json!(from),
            3 => paper["cancelled_from"] = json!(null),
            4 => paper["cancelled_from"] = json!(self.time(now)),
            5 => paper["holders"] = json!(self.holders()),
            // It began before.
            _ => paper["valid_from"] = json!(from.map(|from| from - self.up_to(4 * self.stage.step))),
        }
        paper
    }

    fn window(&mut self, now: i64) -> Record {
        let id = format!("repair-{}", self.draw.below(WINDOWS));
        if self.draw.once_in(10) {
            return self.gone(Topic::IN_MAINTENANCE, &id);
        }
        let (from, to) = self.times(now);
        let mut window = json!({
            "id": id, "kind": self.draw.pick(&KINDS), "region": self.draw.pick(self.stage.regions), "valid_from": from,
            "valid_to": to, "cancelled": self.draw.once_in(5),
        });
        if !self.draw.once_in(3) {
            window["asset"] = json!(self.asset());
        }
        self.versioned(Topic::IN_MAINTENANCE, &id, window)
    }

    fn gauge(&mut self, number: usize) -> Record {
        let sort = number % SORTS.len();
        let (id, of) = (id_of(number), SORTS[sort]);
        let draw = &mut self.draw;
        let measure = if of == "holder" && draw.once_in(2) {
            "missing"
        } else {
            *draw.pick(&MEASURES)
        };
        let mut gauge = json!({ "id": id, "of": of, "measure": measure, "by": draw.pick(&BY) });
        if draw.once_in(4) {
            let kinds = if of == "maintenance" { &KINDS[..] } else { &WORK_TYPES };
            gauge["kind"] = json!(draw.pick(kinds));
        }
        if draw.once_in(4) {
            gauge["title"] = json!(format!("title {}", draw.below(3)));
        }
        let mut conditions = Vec::new();
        while draw.once_in(5) {
            conditions.push(condition(draw, of));
        }
        gauge["where"] = json!(conditions);
        match measure {
            "distinct" => gauge["attributes"] = json!(draw.pick(THINGS[sort])),
            "missing" => {
                gauge["attributes"] = json!(draw.pick(&[&["permit", "holder"][..], &["holder"]]));
                gauge["needs"] = json!({ "of": "certificate", "on": ["holder", "work_type"] });
                if draw.once_in(5) {
                    gauge["needs"]["on"] = json!(["holder"]);
                }
            }
            "elapsed" if !draw.once_in(3) => gauge["gap"] = json!(draw.pick(self.stage.gaps)),
            "covered" | "starts" => gauge["bucket"] = json!(draw.pick(&["hour", "day"])),
            _ => {}
        }
        self.row(Topic::IN_GAUGE, &id, Some(gauge))
    }
}

fn id_of(number: usize) -> String {
    format!("{}-{number}", SORTS[number % SORTS.len()])
}

/// What a gauge of a sort may ask of a span.
fn condition(draw: &mut Draw, of: &str) -> Value {
    match (draw.below(6), of) {
        (0, _) => json!({ "attribute": "category", "equals": "tank" }),
        (1, _) => json!({ "attribute": "region", "equals": "330902001001" }),
        (2, _) => json!({ "attribute": "weight", "at_least": 1 }),
        (_, "permit") => json!({ "attribute": "work_type", "equals": draw.pick(&WORK_TYPES) }),
        (_, "holder") => json!({ "attribute": "holder", "equals": draw.pick(&HOLDERS) }),
        _ => json!({ "attribute": "maintenance", "equals": format!("repair-{}", draw.below(WINDOWS)) }),
    }
}
