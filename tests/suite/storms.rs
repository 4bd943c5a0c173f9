//! A storm is one alarm, however its readings arrive.
//!
//! Gauges report once a minute, and each report comes late by chance: a radio network in a storm. What is told while it lasts must not
//! depend on that: one warning, one notice for everyone who is to know, and nothing is called over that is not.

use std::collections::{BTreeMap, BTreeSet};

use riskflow::runtime::graph::{Meters, Semantics};
use riskflow::runtime::output::EpochOutput;
use riskflow::runtime::replay::{EpochInput, replay};
use riskflow_config::InputRecord;
use riskflow_connectors::{RawRecord, decode};
use riskflow_model::output::{DeltaKind, Notice, NoticeEvent, Origin, WarningDelta, WarningState};
use riskflow_model::topic::Topic;
use riskflow_model::{Duration, Level, Millis, Text};
use riskflow_tests::history::{Draw, START, semantics};
use serde_json::{Value, json};

const STORMS: u64 = 60;
const MINUTE: i64 = 60_000;
/// From the first reading to the last.
const LASTS: i64 = 150;
/// Behind the last reading all have arrived that are not too late.
const REST: i64 = 20;
const LIMIT: f64 = 5.0;

/// The bounds of time that a job has where none are given.
fn settings() -> Semantics {
    let mut settings = semantics();
    settings.time.horizon = Duration(10 * MINUTE);
    settings.time.max_future = Duration(MINUTE);
    settings.time.late_after = Duration(MINUTE);
    settings.time.retain = Duration(60 * MINUTE);
    settings
}

#[derive(Default)]
struct Offsets(u64);

impl Offsets {
    fn record(&mut self, topic: Topic, value: &Value) -> (Origin, InputRecord) {
        self.0 += 1;
        let payload = value.to_string();
        let raw = RawRecord {
            topic,
            partition: 0,
            offset: self.0,
            arrival: None,
            exercise: false,
            key: None,
            payload: Some(payload.as_bytes()),
        };
        let origin = Origin {
            topic: topic.id(),
            partition: 0,
            offset: self.0,
        };
        (origin, decode(&raw).unwrap_or_else(|_| panic!("{payload}")))
    }
}

fn rows() -> Vec<(Topic, Value)> {
    let mut rows = vec![
        (Topic::BASE_UNIT, json!({ "id": "town", "region": "330902" })),
        (
            Topic::BASE_USER,
            json!({ "id": "anna", "posts": [{ "unit": "town", "role": "duty" }] }),
        ),
        (
            Topic::BASE_USER,
            json!({ "id": "bo", "posts": [{ "unit": "town", "role": "chief" }] }),
        ),
        (
            Topic::BASE_DUTY,
            json!({ "id": "one", "region": "3309", "unit": "town", "role": "duty" }),
        ),
        (
            Topic::BASE_DUTY,
            json!({ "id": "two", "region": "3309", "unit": "town", "role": "chief" }),
        ),
        (
            Topic::IN_RULE,
            json!({ "id": "stage", "version": 1, "select": { "observed_property": "stage" }, "levels": {
                "red": { "when": { "feature": "last", "window": "30m", "op": ">=", "threshold": LIMIT } } } }),
        ),
    ];
    for storm in 0..STORMS {
        let id = format!("storm-{storm}");
        rows.push((
            Topic::BASE_ASSET,
            json!({ "id": id, "category": "gauge", "domain": "natural_hazard", "region": "330902001001", "inherent_level": 3 }),
        ));
        rows.push((
            Topic::BASE_DATASTREAM,
            json!({ "id": id, "asset": id, "observed_property": "stage" }),
        ));
    }
    rows
}

/// The readings of a storm: the water rises, stands above the limit, and falls. With each the time when it arrives.
fn readings(storm: u64, mean: f64) -> Vec<(i64, i64, f64)> {
    let mut draw = Draw::new(storm * 7_919 + 1);
    let (rise, fall) = (15 + draw.below(30) as i64, 90 + draw.below(30) as i64);
    let second = draw.below(60) as i64 * 1_000;
    let mut late = Draw::new(storm * 104_729 + (mean * 1_000.0) as u64);
    let reading = |minute: i64| {
        let above = (minute - rise).min(fall - minute) as f64;
        let time = START + minute * MINUTE + second;
        let chance = (1 + late.below(1_000_000)) as f64 / 1_000_000.0;
        let delay = (-chance.ln() * mean * MINUTE as f64) as i64;
        (time, time + delay, LIMIT + above * 0.125 + 0.0625)
    };
    (0..LASTS).map(reading).collect()
}

/// All storms, each reading so many minutes late in the mean.
fn history(mean: f64) -> Vec<EpochInput> {
    const TICK: i64 = 15_000;
    let mut offsets = Offsets::default();
    let mut epochs: BTreeMap<i64, Vec<(Origin, InputRecord)>> = BTreeMap::new();
    let beginning = rows().iter().map(|(topic, row)| offsets.record(*topic, row)).collect();
    epochs.insert(START, beginning);
    for epoch in 1..(LASTS + REST) * MINUTE / TICK {
        epochs.insert(START + epoch * TICK, Vec::new());
    }
    let mut arriving: Vec<(i64, Value)> = Vec::new();
    for storm in 0..STORMS {
        for (time, arrival, result) in readings(storm, mean) {
            let value = json!({ "datastream": format!("storm-{storm}"), "phenomenon_time": time, "result": result });
            arriving.push((arrival, value));
        }
    }
    arriving.sort_by_key(|(arrival, _)| *arrival);
    for (arrival, value) in arriving {
        let epoch = START + (arrival - START + TICK - 1) / TICK * TICK;
        if let Some(records) = epochs.get_mut(&epoch) {
            records.push(offsets.record(Topic::IN_OBSERVATION, &value));
        }
    }
    let epochs = epochs.into_iter();
    epochs
        .map(|(epoch, records)| EpochInput {
            epoch: Millis(epoch),
            records,
        })
        .collect()
}

/// When the water was above the limit, by all readings that were taken.
fn truth(storm: u64, mean: f64) -> Vec<(i64, bool)> {
    let taken = readings(storm, mean).into_iter();
    let taken = taken.filter(|(time, arrival, _)| arrival - time <= 9 * MINUTE);
    taken.map(|(time, _, result)| (time, result >= LIMIT)).collect()
}

/// What of each storm was told.
#[derive(Default)]
struct Storm {
    kinds: Vec<DeltaKind>,
    ids: BTreeSet<Text>,
    /// When it was told that it is over, and when it is said to have been.
    cleared: Vec<(i64, i64)>,
    issued: BTreeMap<Text, usize>,
}

fn told(outputs: &[EpochOutput]) -> BTreeMap<Text, Storm> {
    let mut storms: BTreeMap<Text, Storm> = BTreeMap::new();
    let mut of_case: BTreeMap<Text, Text> = BTreeMap::new();
    for output in outputs {
        for delta in output.log::<WarningDelta>() {
            of_case.insert(delta.id.text().clone(), delta.asset.text().clone());
            let storm = storms.entry(delta.asset.text().clone()).or_default();
            storm.kinds.push(delta.kind);
            storm.ids.insert(delta.id.text().clone());
            if delta.kind == DeltaKind::Cleared {
                storm.cleared.push((output.epoch.0, delta.at.0));
            }
        }
        for notice in output
            .log::<Notice>()
            .filter(|notice| notice.event == NoticeEvent::Issued)
        {
            let storm = storms.get_mut(&of_case[notice.case.text()]).unwrap();
            *storm.issued.entry(notice.user.text().clone()).or_default() += 1;
        }
    }
    storms
}

#[test]
fn a_storm_is_one_alarm_at_every_delay_and_nothing_is_called_over_that_is_not() {
    let mut revised = Vec::new();
    for mean in [0.0, 1.0, 2.0, 3.0] {
        let outputs = replay(history(mean), 2, settings(), &Meters::default()).unwrap();
        let storms = told(&outputs);
        assert_eq!(storms.len() as u64, STORMS, "{mean} minutes");
        for (name, storm) in &storms {
            let number = name.trim_start_matches("storm-").parse().unwrap();
            let count = |kind| storm.kinds.iter().filter(|other| **other == kind).count();
            let told = format!("{name}, {mean} minutes late: {:?}", storm.kinds);
            assert_eq!(
                (count(DeltaKind::Raised), count(DeltaKind::Withdrawn)),
                (1, 0),
                "{told}"
            );
            assert_eq!(storm.ids.len(), 1, "{told}");
            let users: Vec<(&str, usize)> = storm.issued.iter().map(|(user, count)| (&**user, *count)).collect();
            assert_eq!(users, [("anna", 1), ("bo", 1)], "{told}");
            assert_eq!(storm.cleared.len(), 1, "{told}");
            let truth = truth(number, mean);
            for (epoch, at) in &storm.cleared {
                let later = truth.iter().filter(|(time, _)| at <= time && time <= epoch);
                assert!(
                    later.clone().all(|(_, above)| !above),
                    "{told}: over at {at}, it is said, and is not"
                );
            }
            // In the end it is over.
            assert!(!truth.last().unwrap().1, "{told}");
        }
        revised.push(
            storms
                .values()
                .flat_map(|storm| &storm.kinds)
                .filter(|kind| **kind == DeltaKind::Revised)
                .count(),
        );
        let open = outputs.iter().flat_map(EpochOutput::table::<WarningState>);
        let level = open.filter(|(row, _)| row.level > Level::None).map(|(_, diff)| diff);
        assert_eq!(level.sum::<i64>(), 0, "all storms are over");
    }
    assert_eq!(revised[0], 0, "nothing is late");
    assert!(revised[1..].iter().sum::<usize>() >= 40, "revised: {revised:?}");
}
