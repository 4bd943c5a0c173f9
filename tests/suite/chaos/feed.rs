//! What comes in while a job is killed: observations, late ones and corrections, bad records, rows, rules, events, what people do.

use std::time::{Duration, Instant};

use riskflow_model::topic::Topic;
use riskflow_tests::history::Draw;
use serde_json::json;

use super::gauges::Gauges;
use super::now;
use super::people::People;
use super::place::Place;
use super::sets::{self, Sets};

const STREAMS: u64 = 8;
const ASSETS: u64 = 4;

/// What comes in: made from a seed, but for its times.
pub struct Feed {
    draw: Draw,
    versions: u64,
    pub(super) sent: u64,
    pub(super) bad: u64,
    pub(super) people: People,
    gauges: Gauges,
    /// Rule sets, where there are to be any.
    pub(super) sets: Option<Sets>,
    /// Crashes at a failpoint.
    pub(super) at_a_border: u64,
    /// Crashes together with the broker.
    pub(super) brokers: u64,
    base_at: Instant,
}

impl Feed {
    pub fn new(seed: u64) -> Self {
        Self {
            draw: Draw::new(seed),
            versions: 0,
            sent: 0,
            bad: 0,
            people: People::new(seed ^ 0xBEEF),
            gauges: Gauges::new(seed ^ 0x6A06E),
            sets: None,
            at_a_border: 0,
            brokers: 0,
            base_at: Instant::now(),
        }
    }

    /// The same, and now and then something of rule sets; all else stays as it is.
    pub fn with_sets(mut self) -> Self {
        self.sets = Some(Sets::default());
        self
    }

    pub fn begin(&mut self, place: &dyn Place) {
        let region = (
            "3309".to_owned(),
            Some(r#"{"code":"3309","name":"Zhoushan"}"#.to_owned()),
        );
        place.put(Topic::BASE_REGION, &[region]);
        for asset in 0..ASSETS {
            self.asset(place, asset);
        }
        let streams = (0..STREAMS).map(|stream| {
            let id = format!("stream-{stream}");
            let row = json!({"id": id, "asset": format!("asset-{}", stream % ASSETS), "observed_property": "gas"});
            (id, Some(row.to_string()))
        });
        place.put(Topic::BASE_DATASTREAM, &streams.collect::<Vec<_>>());
        self.rule(place);
        self.people.begin(place);
        self.gauges.begin(place);
        if self.sets.is_some() {
            sets::begin(place);
        }
    }

    fn asset(&mut self, place: &dyn Place, asset: u64) {
        let id = format!("asset-{asset}");
        let row = json!({
            "id": id, "name": id, "category": "tank", "domain": "work_safety",
            "region": format!("33090{}001001", 2 + asset % 2),
            "inherent_level": 1 + self.draw.below(4), "population": self.draw.below(100),
        });
        place.put(Topic::BASE_ASSET, &[(id, Some(row.to_string()))]);
    }

    fn rule(&mut self, place: &dyn Place) {
        self.versions += 1;
        let threshold = 45 + self.draw.below(10);
        let rule = json!({
            "id": "gas", "version": self.versions, "source": "test", "select": {"observed_property": "gas"}, "pane": "1s",
            "levels": {
                "yellow": {"when": {"feature": "mean", "window": "4s", "op": ">=", "threshold": threshold}, "margin": 2},
                "red": {"when": {"feature": "last", "window": "4s", "op": ">=", "threshold": 90}, "hold": "1s", "clear": "2s"},
            },
        });
        place.put(Topic::IN_RULE, &[("gas".to_owned(), Some(rule.to_string()))]);
    }

    /// Some observations, late ones, corrections and bad ones among them; now and then another row or rule.
    pub fn step(&mut self, place: &dyn Place) {
        let now = now();
        let mut records = Vec::new();
        for _ in 0..6 {
            let id = format!("stream-{}", self.draw.below(STREAMS));
            // On a grid: so that some fall on others, and correct them.
            let late = if self.draw.once_in(6) {
                self.draw.below(15_000)
            } else {
                0
            };
            let time = (now - late as i64) / 250 * 250;
            let payload = match self.draw.below(20) {
                0 => json!({"datastream": id, "phenomenon_time": time, "op": "delete"}),
                1 => json!({"datastream": id, "phenomenon_time": now - 3_600_000, "result": 1}),
                2 => {
                    self.bad += 1;
                    json!({"datastream": id, "phenomenon_time": time, "result": "high"})
                }
                _ => json!({"datastream": id, "phenomenon_time": time, "result": self.draw.below(100)}),
            };
            records.push((id, Some(payload.to_string())));
        }
        self.sent += records.len() as u64;
        place.put(Topic::IN_OBSERVATION, &records);
        if self.draw.once_in(2) {
            self.people.act(place);
        }
        self.gauges.step(place);
        if self.base_at.elapsed() > Duration::from_secs(2) {
            self.base_at = Instant::now();
            if self.draw.once_in(3) {
                self.rule(place);
            } else {
                let asset = self.draw.below(ASSETS);
                self.asset(place, asset);
            }
            self.people.change(place);
            self.gauges.change(place);
            self.sets.iter_mut().for_each(|sets| sets.change(place));
        }
    }
}
