//! What the monitor gives out, epoch by epoch, is the level of a run from the first point on, whatever the order in which the
//! series was learnt: with few points a node, so that trees split and runs leap.

use riskflow_model::{Level, Millis};
use std::collections::BTreeMap;

use proptest::prelude::*;
use riskflow_config::Rule;
use riskflow_model::binary;
use riskflow_model::observation::Quality;
use serde_json::{Value, json};

use super::evaluation::Evaluation;
use super::series::Series;
use super::turns::{Set, Turns, levels};
use super::walk::{Sight, Walk};
use super::*;
use crate::warning::specification::{Entry, Subject};
use crate::warning::valid::{Valid, Validity};

const HORIZON: i64 = 300;
const START: i64 = 10_000;

/// An observation: how far behind the clock, what it says; `None` takes it back.
type Said = (i64, Option<(i64, bool)>);

/// An epoch: how long after the one before, and what came.
type Epoch = (i64, Vec<Said>);

fn comparison() -> impl Strategy<Value = Value> {
    let features = ["last", "min", "max", "mean", "sum", "count", "rate", "silence"];
    let feature = prop::sample::select(features.to_vec());
    let operator = prop::sample::select(vec![">=", ">", "<=", "<"]);
    let window = prop::sample::select(vec![20, 60, 200]);
    (feature, operator, window, 0..20i64, prop::bool::weighted(0.9)).prop_map(
        |(feature, operator, window, x, given)| {
            let threshold = match feature {
                "silence" => x as f64 / 100.0,
                "rate" => (x - 10) as f64 * 300_000.0,
                "sum" => (x - 5) as f64 * 3.0,
                "mean" => x as f64 / 4.0,
                "count" => x as f64,
                _ => x as f64 / 2.0,
            };
            let mut comparison = json!({ "feature": feature, "op": operator });
            if feature != "silence" {
                comparison["window"] = json!(format!("{window}ms"));
            }
            if given {
                comparison["threshold"] = json!(threshold);
            }
            comparison
        },
    )
}

fn condition() -> impl Strategy<Value = Value> {
    comparison().prop_recursive(2, 5, 3, |inner| {
        (prop::collection::vec(inner, 1..4), any::<bool>()).prop_map(|(parts, any)| {
            if any {
                json!({ "any": parts })
            } else {
                json!({ "all": parts })
            }
        })
    })
}

fn rule() -> impl Strategy<Value = Rule> {
    let wait = || prop::sample::select(vec!["0s", "0s", "5ms", "40ms", "150ms"]);
    let level = (condition(), wait(), wait(), 0..3i64);
    let pane = prop::sample::select(vec!["1ms", "5ms", "20ms"]);
    let levels = prop::collection::vec(level, 1..4);
    (pane, levels).prop_filter_map("a rule that could never turn on or off is refused", |(pane, plans)| {
        let names = ["blue", "orange", "red"];
        let levels = plans.into_iter().zip(names).map(|((when, hold, clear, margin), name)| {
            let level = json!({ "when": when, "hold": hold, "clear": clear, "margin": margin as f64 / 2.0 });
            (name.to_owned(), level)
        });
        let levels: serde_json::Map<String, Value> = levels.collect();
        let rule = json!({ "id": "r", "version": 1, "select": {}, "pane": pane, "levels": levels });
        Rule::from_json(rule.to_string().as_bytes()).ok()
    })
}

fn said() -> impl Strategy<Value = Said> {
    let behind = prop_oneof![4 => 0..20i64, 2 => 0..HORIZON, 1 => -30..0i64, 1 => Just(HORIZON)];
    (
        behind,
        prop::option::weighted(0.9, (-2..12i64, prop::bool::weighted(0.9))),
    )
}

fn epochs() -> impl Strategy<Value = Vec<Epoch>> {
    let gap = prop_oneof![4 => 1..30i64, 1 => 30..400i64];
    prop_oneof![
        prop::collection::vec((gap, prop::collection::vec(said(), 0..12)), 1..60),
        buffer(),
    ]
}

/// A buffer of one observation a millisecond that comes newest first, one or some an epoch, and then corrections.
fn buffer() -> impl Strategy<Value = Vec<Epoch>> {
    let result = prop_oneof![3 => 0..4i64, 1 => -2..12i64];
    (
        prop::collection::vec(result, 50..250),
        1..40usize,
        prop::collection::vec(said(), 0..20),
    )
        .prop_map(|(results, size, corrections)| {
            let count = results.len() as i64;
            let newest_first = results.into_iter().enumerate().rev();
            let all: Vec<(i64, i64)> = newest_first.map(|(i, result)| (count - i as i64, result)).collect();
            let mut epochs: Vec<Epoch> = Vec::new();
            for (passed, part) in (0..).zip(all.chunks(size)) {
                // The clock goes on by one an epoch.
                let part = part
                    .iter()
                    .map(|(behind, result)| (behind + passed, Some((*result, true))));
                epochs.push((1, part.filter(|(behind, _)| *behind <= HORIZON).collect()));
            }
            epochs.extend(corrections.into_iter().map(|said| (1, vec![said])));
            epochs
        })
}

/// Half of all histories know what is no value: 4 stands for none, and beyond 5 there is none.
fn valid(rule: &Rule) -> Validity {
    let row = r#"{"id":"d","asset":"a","observed_property":"p","valid":{"max":5},"no_value":[4]}"#;
    let row = serde_json::from_str(row).unwrap();
    Valid::of(&row).filter(|_| rule.pane > 1)
}

fn specification(rule: &Rule) -> Box<Specification> {
    Box::new(Specification {
        subject: Subject {
            datastream: "d".into(),
            asset: Some("a".into()),
            interval: None,
            unit: "".into(),
            base: 1,
        },
        entries: vec![Entry {
            rule: rule.clone(),
            thresholds: rule.thresholds(None),
            scaled: None,
            valid: valid(rule),
        }],
        valid: valid(rule),
    })
}

/// The level up to a time, by a run that stops at every millisecond and so never leaps; and whether it is stale.
fn naive(entry: &Entry, held: &BTreeMap<i64, Reading>, now: i64) -> (Track, (Level, bool)) {
    let mut series = Series::default();
    for (time, reading) in held {
        let value = entry
            .valid
            .as_ref()
            .is_none_or(|valid| valid.judge(reading.result).is_none());
        series.apply(*time, Some(*reading), value);
    }
    let sight = Sight {
        floor: i64::MIN,
        heard: START,
    };
    let mut walk = Walk::new(entry, &series, sight);
    let mut run = Evaluation::new(&walk);
    let mut turns = Turns::default();
    let first = held.keys().next().map_or(START, |first| START.min(*first));
    for time in first..=now {
        run.advance(&mut walk, time, &mut turns);
    }
    let track = levels(Set::NONE, turns.from(0, &Turns::default()), &entry.rule);
    (track, run.standing(&mut walk, now))
}

#[expect(clippy::too_many_lines, reason = "one history, compared after each of its epochs")]
fn check(rule: &Rule, epochs: Vec<Epoch>) {
    let time = TimeSettings {
        horizon: Duration(HORIZON),
        max_future: Duration(50),
        late_after: Duration(50),
        retain: Duration::ZERO,
        forecast_age: Duration::ZERO,
    };
    let unknown = UnknownSettings {
        hold: Duration::ZERO,
        max_observations: 0,
        max_bytes: 0,
    };
    let mut monitor = Monitor::new(time, unknown);
    let key = Key::of("d");
    let mut state = MonitorState::default();
    let entry = specification(rule).entries.remove(0);
    monitor.rows(
        Millis(START),
        key,
        &mut state,
        &mut std::iter::once((specification(rule), 1)),
    );
    let mut held = BTreeMap::new();
    let (mut given, mut standing) = (Track::new(), (Level::None, false));
    let mut now = START;
    for (gap, said) in epochs {
        now += gap;
        if now % 5 == 0 {
            // What was saved and loaded goes on like what was not.
            let mut bytes = Vec::new();
            binary::append(&mut bytes, &state).unwrap();
            state = binary::read(&bytes).unwrap();
            monitor.rows(
                Millis(now),
                key,
                &mut state,
                &mut std::iter::once((specification(rule), 1)),
            );
        }
        for (behind, reading) in said {
            let reading = reading.map(|(result, good)| Reading {
                result: result as f64 / 2.0,
                quality: if good { Quality::Good } else { Quality::Bad },
            });
            let time = now - behind;
            match reading {
                Some(reading) => drop(held.insert(time, reading)),
                None => drop(held.remove(&time)),
            }
            let observation = Observation {
                datastream: key,
                id: "d".into(),
                time: Millis(time),
                reading,
            };
            let origin = Origin::default();
            let mut record = Incoming::Observed(Observed { origin, observation });
            monitor.record(Millis(now), key, &mut state, &mut record);
        }
        let mut out = Vec::new();
        monitor.settle(Millis(now), key, &mut state, &mut out);
        let before = given.clone();
        for (finding, _) in out {
            let revision = finding.revision().unwrap();
            let stretch = |track: &Track, time| track.partition_point(|(at, _)| *at < time);
            let (from, until) = (stretch(&given, revision.from), stretch(&given, revision.until));
            let replaced: Track = given.splice(from..until.max(from), revision.tail.clone()).collect();
            assert!(
                revision.cause.is_none() || before.is_empty() || replaced != revision.tail,
                "what does not change is not told: {revision:?}"
            );
            let level = given.last().map_or(Level::None, |(_, level)| *level);
            standing = (level, revision.stale);
        }
        let (expected, stands) = naive(&entry, &held, now);
        assert_eq!(
            given,
            expected,
            "at {now}, rule {}",
            serde_json::to_string(&rule.record).unwrap()
        );
        assert_eq!(
            standing,
            stands,
            "at {now}, rule {}",
            serde_json::to_string(&rule.record).unwrap()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn the_level_is_that_of_a_run_from_the_beginning(rule in rule(), epochs in epochs()) {
        check(&rule, epochs);
    }
}
