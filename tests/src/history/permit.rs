//! Permits, certificates, limits and reports that come, change version in order and out of it, are cancelled with
//! retroactive effect, and go.

use std::collections::BTreeMap;

use riskflow_config::InputRecord;
use riskflow_model::Row;
use riskflow_model::intake::{Limit, Permit, Report};
use riskflow_model::output::Origin;
use riskflow_model::topic::Topic;
use serde_json::{Value, json};

use super::{ASSETS, Maker, REGIONS};

const WORKS: u64 = 8;
const CERTIFICATES: u64 = 4;
const LIMITS: u64 = 3;
const REPORTS: u64 = 5;
const WORK_TYPES: [&str; 2] = ["hot_work", "confined_space"];
const HOLDERS: [&str; 4] = ["li", "wang", "zhao", "crane"];
const DAY: i64 = 86_400_000;

/// The highest version of each identifier so far, as it is on the topic.
pub type Papers = BTreeMap<String, Value>;

impl Maker {
    /// What comes of all this in an epoch; most limits at the beginning.
    pub(super) fn papers(&mut self, now: i64, beginning: bool, records: &mut Vec<(Origin, InputRecord)>) {
        for number in (0..LIMITS).filter(|_| beginning) {
            if !self.draw.once_in(4) {
                records.push(self.limit(number));
            }
        }
        while self.draw.once_in(2) {
            let record = match self.draw.below(16) {
                0 if self.draw.once_in(3) => {
                    let id = format!("limit-{}", self.draw.below(LIMITS));
                    self.row(Topic::BASE_LIMIT, &id, None)
                }
                0 => {
                    let number = self.draw.below(LIMITS);
                    self.limit(number)
                }
                1..=8 => self.work(now),
                9..=12 => self.certificate(now),
                _ => self.report(now),
            };
            records.push(record);
        }
    }

    fn limit(&mut self, number: u64) -> (Origin, InputRecord) {
        let id = format!("limit-{number}");
        let mut levels = serde_json::Map::new();
        let mut least = 1;
        for level in ["blue", "yellow", "orange", "red"] {
            if levels.is_empty() || self.draw.once_in(2) {
                least += self.draw.below(2);
                levels.insert(level.into(), json!(least));
            }
        }
        let mut limit = json!({
            "id": id,
            "version": 1 + self.draw.below(3),
            "measure": self.draw.pick(&["concurrent_work", "uncertified_work"]),
            "levels": levels,
        });
        if self.draw.once_in(2) {
            limit["work_type"] = json!(self.draw.pick(&WORK_TYPES));
        }
        match self.draw.below(8) {
            0 => limit["category"] = json!(["tank"]),
            1 => limit["category"] = json!(["tank", "gauge", "tank"]),
            2 => limit["domain"] = json!("work_safety"),
            3 => limit["region"] = json!(self.draw.pick(&["330902", "harbour"])),
            _ => {}
        }
        let limit = serde_json::from_value::<Limit>(limit).expect("a limit");
        self.row(Topic::BASE_LIMIT, &id, Some(Row::new(limit)))
    }

    fn work(&mut self, now: i64) -> (Origin, InputRecord) {
        let id = format!("permit-{}", self.draw.below(WORKS));
        // The last number has no row.
        let unknown = u64::from(self.draw.once_in(6));
        // Few assets, so that permits meet.
        let asset = self.draw.below(ASSETS + unknown) / 2 * 2;
        let paper = json!({ "id": id, "kind": "work", "asset": format!("asset-{asset}") });
        self.paper(now, &id, paper)
    }

    fn certificate(&mut self, now: i64) -> (Origin, InputRecord) {
        let id = format!("certificate-{}", self.draw.below(CERTIFICATES));
        let paper = json!({ "id": id, "kind": "certificate" });
        self.paper(now, &id, paper)
    }

    /// A permit or certificate that is new, changed, cancelled, or gone.
    fn paper(&mut self, now: i64, id: &str, mut paper: Value) -> (Origin, InputRecord) {
        if self.draw.once_in(10) {
            self.papers.remove(id);
            return self.row(Topic::IN_PERMIT, id, None);
        }
        let from = now + self.some_time();
        let to = from
            + if self.draw.once_in(3) {
                3 * DAY
            } else {
                5_000 * (1 + self.draw.below(40) as i64)
            };
        let holders: Vec<&str> = (0..self.draw.below(4)).map(|_| *self.draw.pick(&HOLDERS)).collect();
        paper["work_type"] = json!(self.draw.pick(&WORK_TYPES));
        paper["holders"] = json!(holders);
        paper["valid_from"] = json!(from);
        paper["valid_to"] = json!(to);
        if paper["kind"] == "certificate" && self.draw.once_in(4) {
            let border = *self.draw.pick(&["valid_from", "valid_to"]);
            paper[border] = json!(null);
        }
        match self.papers.get(id) {
            // Often the same but for one thing: so are most changes.
            Some(before) if !self.draw.once_in(3) => {
                paper = before.clone();
                let from = paper["valid_from"].as_i64().unwrap_or(from);
                match self.draw.below(6) {
                    0 => paper["valid_to"] = json!((now + self.some_time()).max(from + 1)),
                    1 => paper["cancelled_from"] = json!(from),
                    2 => paper["cancelled_from"] = json!(from + 1_000 * self.draw.below(30) as i64),
                    3 => paper["cancelled_from"] = json!(null),
                    _ => paper["cancelled_from"] = json!(now + self.some_time()),
                }
            }
            _ => {}
        }
        self.version(id, &mut paper);
        let permit = serde_json::from_value::<Permit>(paper).expect("a permit");
        self.row(Topic::IN_PERMIT, id, Some(Row::new(permit)))
    }

    /// From days ago to minutes ahead; now exactly, too.
    fn some_time(&mut self) -> i64 {
        match self.draw.below(10) {
            0 => -DAY - self.draw.below(3) as i64 * DAY,
            1 => 0,
            2..=5 => 1_000 * self.draw.below(120) as i64,
            _ => -1_000 * self.draw.below(120) as i64,
        }
    }

    /// Mostly the next version, sometimes the same or one before.
    fn version(&mut self, id: &str, paper: &mut Value) {
        let highest = self
            .papers
            .get(id)
            .and_then(|paper| paper["version"].as_u64())
            .unwrap_or(1);
        let version = match self.draw.below(8) {
            0 => highest.saturating_sub(1 + self.draw.below(2)),
            1 => highest,
            _ => highest + 1 + self.draw.below(2),
        };
        paper["version"] = json!(version);
        if version >= highest {
            self.papers.insert(id.to_owned(), paper.clone());
        }
    }

    fn report(&mut self, now: i64) -> (Origin, InputRecord) {
        let id = format!("report-{}", self.draw.below(REPORTS));
        if self.draw.once_in(8) {
            self.papers.remove(&id);
            return self.row(Topic::IN_REPORT, &id, None);
        }
        let mut quantities = serde_json::Map::new();
        for name in ["houses", "people"] {
            if !self.draw.once_in(3) {
                quantities.insert(name.into(), json!(self.draw.below(4_000) as f64 / 16.0 - 50.0));
            }
        }
        let region = if self.draw.once_in(8) {
            "33"
        } else {
            *self.draw.pick(&REGIONS)
        };
        let mut report = json!({
            "id": id,
            "module": self.draw.pick(&["town", "street"]),
            "region": region,
            "kind": self.draw.pick(&["damage", "evacuation"]),
            "quantities": quantities,
            "time": now,
            "deleted": self.draw.once_in(6),
        });
        self.version(&id, &mut report);
        let report = serde_json::from_value::<Report>(report).expect("a report");
        self.row(Topic::IN_REPORT, &id, Some(Row::new(report)))
    }
}
