//! Events of the chaos run, gauges of them and rules over these: late, corrected, taken back, ahead of the clock, judged false, of a bad
//! model; and rules that are edited.

use riskflow_model::topic::Topic;
use riskflow_tests::history::Draw;
use serde_json::{Value, json};

use super::place::Place;

const EVENTS: u64 = 24;
const ASSETS: u64 = 4;
/// Rules over gauges by asset: the rule, the gauge, and from when on it is blue.
const RULES: [(&str, &str, u64); 3] = [("many", "count", 1), ("long", "elapsed", 3), ("busy", "work", 1)];

/// Whether a rule of the chaos run is over gauges.
pub fn is_over_gauges(rule: &str) -> bool {
    RULES.iter().any(|(id, ..)| *id == rule)
}

/// Deletes the rules over gauges: what they warn of goes where gauges are switched off.
pub fn delete_rules(place: &dyn Place) {
    place.put(Topic::IN_RULE, &RULES.map(|(id, ..)| (id.to_owned(), None)));
}

/// What was told of events.
pub struct Gauges {
    draw: Draw,
    versions: u32,
}

impl Gauges {
    pub fn new(seed: u64) -> Self {
        Self {
            draw: Draw::new(seed),
            versions: 0,
        }
    }

    pub fn begin(&mut self, place: &dyn Place) {
        let gauges = [
            json!({ "id": "count", "by": "asset", "measure": "count", "lasts": "5s" }),
            json!({ "id": "sum", "by": "county", "measure": "sum", "kind": "crowd" }),
            json!({ "id": "distinct", "by": "city", "measure": "distinct", "attributes": ["source"], "lasts": "10s" }),
            json!({ "id": "highest", "by": "county", "measure": "highest", "where": [{ "attribute": "confidence", "at_least": 0.3 }] }),
            json!({ "id": "number", "by": "city", "measure": "highest", "number": "confidence" }),
            json!({ "id": "fused", "by": "town", "measure": "fused", "attributes": ["source"], "at_least": 2, "lasts": "10s" }),
            json!({ "id": "elapsed", "by": "asset", "measure": "elapsed", "gap": "2s" }),
            json!({ "id": "covered", "by": "county", "measure": "covered", "bucket": "hour" }),
            json!({ "id": "starts", "by": "county", "measure": "starts", "bucket": "hour" }),
            json!({ "id": "uncertified", "of": "holder", "by": "county", "measure": "missing", "attributes": ["permit", "holder"],
                "needs": { "of": "certificate", "on": ["holder", "work_type"] } }),
            json!({ "id": "work", "of": "permit", "by": "asset", "measure": "count" }),
        ];
        let rows = gauges.map(|gauge| row(gauge["id"].as_str().unwrap(), &gauge));
        place.put(Topic::IN_GAUGE, &rows);
        for (id, gauge, threshold) in RULES {
            place.put(Topic::IN_RULE, &[self.rule(id, gauge, threshold)]);
        }
    }

    fn rule(&mut self, id: &str, gauge: &str, threshold: u64) -> (String, Option<String>) {
        self.versions += 1;
        let over = |threshold: u64| json!({ "gauge": gauge, "op": ">=", "threshold": threshold });
        let levels = json!({
            "blue": { "when": over(threshold), "clear": "1s" },
            "orange": { "when": over(threshold + 1 + self.draw.below(2)), "hold": "2s" },
        });
        let rule = json!({ "id": id, "version": self.versions, "name": id, "source": "chaos", "select": {}, "levels": levels });
        row(id, &rule)
    }

    /// Some events.
    pub fn step(&mut self, place: &dyn Place) {
        let events: Vec<(String, Option<String>)> = (0..1 + self.draw.below(3)).map(|_| self.event()).collect();
        place.put(Topic::IN_EVENT, &events);
    }

    fn event(&mut self) -> (String, Option<String>) {
        let id = format!("event-{}", self.draw.below(EVENTS));
        let now = super::now();
        let time = match self.draw.below(6) {
            0 => now + self.draw.below(15_000) as i64,
            1 => now - self.draw.below(90_000) as i64,
            _ => now - self.draw.below(5_000) as i64,
        };
        if self.draw.once_in(10) {
            return row(&id, &json!({ "id": id, "time": time, "op": "delete" }));
        }
        let mut event = json!({
            "id": id, "time": time, "kind": self.draw.pick(&["crowd", "smoke"]), "weight": self.draw.below(50) as f64 / 4.0,
            "source": format!("camera-{}", self.draw.below(3)), "confidence": self.draw.below(100) as f64 / 100.0,
            "level": self.draw.pick(&["none", "blue", "yellow", "red"]), "model": self.draw.pick(&["a", "b"]),
        });
        match self.draw.below(4) {
            0 => event["region"] = json!(format!("33090{}001", 2 + self.draw.below(2))),
            _ => event["asset"] = json!(format!("asset-{}", self.draw.below(ASSETS + 1))),
        }
        match self.draw.below(4) {
            0 => {}
            1 => event["open"] = json!(true),
            _ => event["to"] = json!(time + 1 + self.draw.below(20_000) as i64),
        }
        row(&id, &event)
    }

    /// Somebody looks at an event, a model is found to be bad, or somebody is permitted to work.
    pub fn change(&mut self, place: &dyn Place) {
        match self.draw.below(5) {
            4 => {
                let (id, gauge, threshold) = RULES[self.draw.below(RULES.len() as u64) as usize];
                let rule = self.rule(id, gauge, threshold);
                place.put(Topic::IN_RULE, &[rule]);
            }
            0 => {
                let event = format!("event-{}", self.draw.below(EVENTS));
                let verdict = self.draw.pick(&["confirmed", "false"]);
                let review = json!({ "event": event, "verdict": verdict });
                let gone = self.draw.once_in(3);
                place.put(Topic::IN_REVIEW, &[(event, (!gone).then(|| review.to_string()))]);
            }
            1 => {
                let model = json!({ "id": "b", "bad": self.draw.once_in(2) });
                place.put(Topic::BASE_MODEL, &[row("b", &model)]);
            }
            _ => self.permit(place),
        }
    }

    fn permit(&mut self, place: &dyn Place) {
        self.versions += 1;
        let from = super::now() - self.draw.below(10_000) as i64;
        let to = from + 5_000 + self.draw.below(20_000) as i64;
        let holder = format!("holder-{}", self.draw.below(3));
        let mut permit = json!({
            "version": self.versions, "work_type": "hot_work", "holders": [holder], "valid_from": from, "valid_to": to,
        });
        let id = if self.draw.once_in(3) {
            permit["kind"] = json!("certificate");
            format!("certificate-{}", self.draw.below(3))
        } else {
            permit["kind"] = json!("work");
            permit["asset"] = json!(format!("asset-{}", self.draw.below(ASSETS)));
            format!("work-{}", self.draw.below(6))
        };
        permit["id"] = json!(id);
        place.put(Topic::IN_PERMIT, &[row(&id, &permit)]);
    }
}

fn row(id: &str, value: &Value) -> (String, Option<String>) {
    (id.to_owned(), Some(value.to_string()))
}
