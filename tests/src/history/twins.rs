//! Two datastreams of one asset under one rule, with many more ticks than records: what the clock does to one of them is
//! often hidden by the other.

use riskflow::runtime::replay::EpochInput;
use riskflow_config::{InputRecord, Rule};
use riskflow_model::base::{Asset, Datastream};
use riskflow_model::observation::{Observation, Quality, Reading};
use riskflow_model::output::Origin;
use riskflow_model::topic::Topic;
use riskflow_model::{Key, Millis, Row, TableRecord};
use serde_json::{Value, json};

use super::{Draw, START};

fn row<T: TableRecord>(value: Value) -> Row {
    Row::new(serde_json::from_value::<T>(value).expect("a row"))
}

/// A history of so many ticks.
#[must_use]
pub fn twins(seed: u64, ticks: usize) -> Vec<EpochInput> {
    let mut draw = Draw::new(seed);
    let asset = json!({ "id": "a", "name": "a", "category": "tank", "domain": "work_safety", "region": "330902001001",
        "inherent_level": 2 });
    let stream = |id: &str| json!({ "id": id, "asset": "a", "observed_property": "gas" });
    let rule = json!({ "id": "gas", "version": 1, "select": { "observed_property": "gas" }, "pane": "1s", "levels": {
        "yellow": { "when": { "feature": "mean", "window": "4s", "op": ">=", "threshold": 50 }, "margin": 2 },
        "red": { "when": { "feature": "last", "window": "4s", "op": ">=", "threshold": 90 }, "hold": "1s", "clear": "2s" } } });
    let rule = Rule::from_json(rule.to_string().as_bytes()).expect("a rule");
    let base = [
        (Topic::BASE_ASSET, "a", row::<Asset>(asset)),
        (Topic::BASE_DATASTREAM, "one", row::<Datastream>(stream("one"))),
        (Topic::BASE_DATASTREAM, "two", row::<Datastream>(stream("two"))),
        (Topic::IN_RULE, "gas", Row::new(rule.record.clone())),
    ];
    let mut offset = 0;
    let mut origin = |topic: Topic| {
        offset += 1;
        let (topic, partition) = (topic.id(), 0);
        Origin {
            topic,
            partition,
            offset,
        }
    };
    let base = base.map(|(topic, id, row)| (origin(topic), InputRecord::Base(Key::of(id), Some(row))));
    let mut records = base.to_vec();
    (0..ticks as i64)
        .map(|tick| {
            let now = START + tick * 150;
            while draw.once_in(4) {
                let id = *draw.pick(&["one", "two"]);
                let reading = (!draw.once_in(12)).then(|| Reading {
                    result: draw.below(100) as f64,
                    quality: Quality::Good,
                });
                let late = if draw.once_in(3) { draw.below(4_000) as i64 } else { 0 };
                let observation = Observation {
                    datastream: Key::of(id),
                    id: id.into(),
                    time: Millis((now - late) / 250 * 250),
                    said: reading.into(),
                };
                records.push((origin(Topic::IN_OBSERVATION), InputRecord::Observation(observation)));
            }
            EpochInput {
                epoch: Millis(now),
                records: std::mem::take(&mut records),
            }
        })
        .collect()
}
