//! What the monitor gives out, epoch by epoch, is the level of a run from the first point on, whatever the order in which the
//! series was learnt: with few points a node, so that trees split and runs leap.

use riskflow_model::{Level, Millis};
use std::collections::BTreeMap;

use proptest::prelude::*;
use riskflow_config::Rule;
use riskflow_model::binary;
use riskflow_model::observation::{self, Op, Quality};
use serde_json::{Value, json};

use super::evaluation::{Evaluation, Phase};
use super::series::Series;
use super::turns::{Set, Turns, levels};
use super::walk::{Ground, Sight, Walk};
use super::*;
use crate::warning::specification::{Entry, Subject};
use crate::warning::valid::{Valid, Validity};

const HORIZON: i64 = 300;
/// Shortly before an hour of the calendar ends.
pub(super) const START: i64 = 3_600_000 - 400;

/// An observation: how far behind the clock, what it says; `None` takes it back.
pub(super) type Said = (i64, Option<(i64, bool)>);

/// An epoch: how long after the one before, and what came.
pub(super) type Epoch = (i64, Vec<Said>);

const FEATURES: [&str; 21] = [
    "last",
    "min",
    "max",
    "mean",
    "sum",
    "count",
    "rate",
    "silence",
    "range",
    "drop",
    "rise",
    "deviation",
    "quantile",
    "increase",
    "slope",
    "projected",
    "in_a_row",
    "forecast_min",
    "forecast_max",
    "forecast_mean",
    "forecast_sum",
];

fn comparison() -> impl Strategy<Value = Value> {
    let feature = prop::sample::select(FEATURES.to_vec());
    let operator = prop::sample::select(vec![">=", ">", "<=", "<"]);
    let window = prop_oneof![
        6 => prop::sample::select(vec!["20ms", "60ms", "200ms"]),
        1 => prop::sample::select(vec!["hour", "day", "day from 01:00"]),
    ];
    let more = (0..4i64, prop::bool::weighted(0.3), any::<bool>());
    (feature, operator, window, 0..20i64, prop::bool::weighted(0.9), more).prop_map(
        |(feature, operator, window, x, given, (y, ago, of))| {
            let threshold = match feature {
                "silence" => x as f64 / 100.0,
                "rate" | "slope" => (x - 10) as f64 * 300_000.0,
                "sum" => (x - 5) as f64 * 3.0,
                "mean" => x as f64 / 4.0,
                "count" | "in_a_row" | "increase" => x as f64,
                "deviation" => x as f64 / 8.0,
                _ => x as f64 / 2.0,
            };
            let mut comparison = json!({ "feature": feature, "op": operator });
            if feature != "silence" {
                comparison["window"] = json!(window);
            }
            let ahead = feature.starts_with("forecast");
            if ahead {
                comparison["window"] = json!(format!("{}ms", 20 + 40 * y));
            } else if !window.ends_with("ms") && feature != "silence" && ago {
                comparison["ago"] = json!(1);
            }
            if feature == "in_a_row" || feature == "count" && of {
                comparison["of"] = json!({ "op": operator, "threshold": y });
            }
            if feature == "quantile" {
                comparison["q"] = json!([0.001, 0.25, 0.5, 0.999][y as usize]);
            }
            if feature == "projected" {
                comparison["ahead"] = json!(format!("{}ms", 1 + 30 * y));
            }
            if matches!(feature, "rate" | "slope" | "projected") {
                comparison["shortest"] = json!(format!("{}ms", 5 * y));
            }
            if given {
                comparison["threshold"] = json!(threshold);
            }
            comparison
        },
    )
}

fn condition() -> impl Strategy<Value = Value> {
    let during = prop::sample::select(vec!["00:30-01:00", "01:00-02:00", "00:00-23:00"]);
    let during = during.prop_map(|time| json!({ "during": { "time": time } }));
    prop_oneof![8 => comparison(), 1 => during].prop_recursive(2, 5, 3, |inner| {
        (prop::collection::vec(inner, 1..4), any::<bool>()).prop_map(|(parts, any)| {
            if any {
                json!({ "any": parts })
            } else {
                json!({ "all": parts })
            }
        })
    })
}

pub(super) fn rule() -> impl Strategy<Value = Rule> {
    let wait = || prop::sample::select(vec!["0s", "0s", "5ms", "40ms", "150ms"]);
    let level = (
        condition(),
        wait(),
        wait(),
        0..3i64,
        prop::option::weighted(0.2, condition()),
    );
    let pane = prop::sample::select(vec!["1ms", "5ms", "20ms"]);
    let levels = prop::collection::vec(level, 1..4);
    (pane, levels).prop_filter_map("a rule that could never turn on or off is refused", |(pane, plans)| {
        let names = ["blue", "orange", "red"];
        let levels = plans
            .into_iter()
            .zip(names)
            .map(|((when, hold, clear, margin, until), name)| {
                let mut level = json!({ "when": when, "hold": hold, "clear": clear });
                match until {
                    Some(until) => level["until"] = until,
                    None => level["margin"] = json!(margin as f64 / 2.0),
                }
                (name.to_owned(), level)
            });
        let levels: serde_json::Map<String, Value> = levels.collect();
        let rule = json!({ "id": "r", "version": 1, "select": {}, "pane": pane, "levels": levels });
        let rule = Rule::from_json(rule.to_string().as_bytes()).ok()?;
        // By whatever is drawn.
        Some(if pane == "5ms" { rule.on_events() } else { rule })
    })
}

fn said() -> impl Strategy<Value = Said> {
    let behind = prop_oneof![4 => 0..20i64, 2 => 0..HORIZON, 1 => -30..0i64, 1 => Just(HORIZON)];
    (
        behind,
        prop::option::weighted(0.9, (-2..12i64, prop::bool::weighted(0.9))),
    )
}

pub(super) fn epochs() -> impl Strategy<Value = Vec<Epoch>> {
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

pub(super) fn specification(rule: &Rule) -> Box<Specification> {
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
            givers: None,
        }],
        valid: valid(rule),
        states: None,
    })
}

/// What a run comes to: the level up to a time, whether it is stale, and of each level of the rule whether it is on, and its condition
/// holds.
type Naive = (Track, (Level, bool), Vec<(bool, bool)>);

/// The same by a run that stops at every millisecond and so never leaps.
fn naive(entry: &Entry, held: &BTreeMap<i64, Reading>, forecasts: &Forecasts, now: i64) -> Naive {
    let mut series = Series::default();
    for (time, reading) in held {
        let value = valid(&entry.rule)
            .as_ref()
            .is_none_or(|valid| valid.judge(reading.result).is_none());
        series.apply(*time, Some(*reading), value);
    }
    let sight = Sight {
        floor: i64::MIN,
        heard: START,
    };
    let civil = Civil::default();
    let ground = Ground {
        series: &series,
        civil: &civil,
        forecasts: Some(forecasts),
    };
    let mut walk = Walk::new(entry, ground, sight);
    let mut run = Evaluation::new(&walk);
    let mut turns = Turns::default();
    let first = held.keys().next().map_or(START, |first| START.min(*first));
    for time in first..=now {
        run.advance(&mut walk, time, &mut turns);
    }
    let track = levels(Set::NONE, turns.from(0, &Turns::default()), &entry.rule);
    let judged = run.levels[..entry.rule.levels.len()].iter();
    let judged = judged.map(|standing| (standing.on(), standing.phase() == Phase::Held));
    (track, run.standing(&mut walk, now), judged.collect())
}

/// What is said to whoever asks is what was given out, now and of a time to which a correction reaches.
fn looks_back(
    monitor: &Monitor,
    state: &MonitorState,
    now: i64,
    track: &Track,
    (stale, judged): (bool, &[(bool, bool)]),
) {
    for at in [now, now - HORIZON / 3] {
        let looks = state.look(monitor, Millis(at));
        let [look] = looks.as_slice() else {
            panic!("one rule watches it: {looks:?}")
        };
        let last = track.iter().rev().find(|(time, _)| *time <= at);
        let expected = last.filter(|(_, level)| *level > Level::None);
        assert_eq!(
            look.level,
            expected.map_or(Level::None, |(_, level)| *level),
            "at {at}: {look:?}"
        );
        if at == now {
            let found = look
                .levels
                .iter()
                .map(|level| (level.on, level.when.truth == Truth::Yes));
            assert_eq!(found.collect::<Vec<_>>(), judged, "at {at}: {look:?}");
            assert_eq!(look.stale, stale, "at {at}: {look:?}");
        }
    }
}

pub(super) fn monitor() -> Monitor {
    let time = TimeSettings {
        horizon: Duration(HORIZON),
        max_future: Duration(50),
        late_after: Duration(50),
        retain: Duration::ZERO,
        forecast_age: Duration::ZERO,
        event_age: Duration(86_400_000),
        event_ahead: Duration::ZERO,
    };
    let unknown = UnknownSettings {
        hold: Duration::ZERO,
        max_observations: 0,
        max_bytes: 0,
    };
    Monitor::new(time, unknown)
}

#[test]
fn one_evaluation_in_some_counts_for_all_of_them() {
    let rule = br#"{"id":"r","version":1,"select":{},"levels":{"red":{"when":{"feature":"last","window":"10m","op":">=","threshold":9}}}}"#;
    let rule = Rule::from_json(rule).unwrap();
    let meter = Arc::new(EvaluationMeter::default());
    let mut monitor = monitor().counting_evaluations(Arc::clone(&meter));
    let (key, mut state, mut out) = (Key::of("d"), MonitorState::default(), Vec::new());
    monitor.rows(
        Millis(START),
        key,
        &mut state,
        &mut std::iter::once((specification(&rule), 1)),
    );
    for settled in 1..=3 * EVERY as i64 {
        monitor.settle(Millis(START + settled), key, &mut state, &mut out);
    }
    assert_eq!(meter.most(10), [(riskflow_model::Text::from("r"), 3 * EVERY)]);
}

#[expect(clippy::too_many_lines, reason = "one history, compared after each of its epochs")]
fn check(rule: &Rule, epochs: Vec<Epoch>) {
    let mut monitor = monitor();
    let key = Key::of("d");
    let mut state = MonitorState::default();
    let entry = specification(rule).entries.remove(0);
    let mut forecasts = Forecasts::default();
    monitor.rows(
        Millis(START),
        key,
        &mut state,
        &mut std::iter::once((specification(rule), 1)),
    );
    let mut held = BTreeMap::new();
    let (mut given, mut standing) = (Track::new(), (Level::None, false));
    let mut now = START;
    let last = epochs.len() - 1;
    for (index, (gap, said)) in epochs.into_iter().enumerate() {
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
            if let Some((value, _)) = reading.filter(|_| behind % 5 == 3) {
                // It may come long after it was issued.
                let (issued, value) = (now - behind, value as f64 / 2.0);
                let valid = issued + 40 + 37 * (behind % 4);
                let value = Some(value).filter(|value| *value < 5.0);
                let forecast = Forecast {
                    datastream: "d".into(),
                    issued: Millis(issued),
                    valid_time: Some(Millis(valid)),
                    value,
                    values: Vec::new(),
                    op: if value.is_some() { Op::Upsert } else { Op::Delete },
                };
                let forecasted = Forecasted {
                    datastream: key,
                    origin: Origin::default(),
                    forecast: Arc::new(forecast),
                };
                let mut record = Incoming::Forecast(Box::new(forecasted));
                monitor.record(Millis(now), key, &mut state, &mut record);
                forecasts.apply(issued, issued.max(now - HORIZON), valid, value);
            }
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
                said: reading.map_or(observation::Said::Nothing, observation::Said::Number),
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
        // To go through all of it is dear: what is wrong now and then right again is found in some of the many histories.
        if index % 3 > 0 && index < last {
            continue;
        }
        let (expected, stands, judged) = naive(&entry, &held, &forecasts, now);
        looks_back(&monitor, &state, now, &expected, (stands.1, &judged));
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
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_level_is_that_of_a_run_from_the_beginning(rule in rule(), epochs in epochs()) {
        check(&rule, epochs);
    }
}

#[test]
fn before_anything_is_seen_no_time_of_day_turns_a_level_on() {
    let last = |threshold: Value| json!({ "feature": "last", "window": "20ms", "op": ">=", "threshold": threshold });
    let night = json!({ "any": [last(json!(0)), { "during": { "time": "00:30-01:00" } }] });
    // The second one has no threshold, so without it the night alone would do.
    let rule = json!({
        "id": "r", "version": 1, "select": {}, "pane": "1ms",
        "levels": { "blue": { "when": { "all": [night, last(Value::Null)] } } },
    });
    let rule = Rule::from_json(rule.to_string().as_bytes()).unwrap();
    let newest_first = (0..9).map(|k| (1, vec![(1 + 2 * k, Some((0, true)))]));
    check(&rule, newest_first.collect());
}

#[test]
fn a_level_turns_off_without_an_until_that_has_no_threshold_in_leaps_too() {
    let last = |threshold: Value| json!({ "feature": "last", "window": "20ms", "op": ">=", "threshold": threshold });
    let rule = json!({
        "id": "r", "version": 1, "select": {}, "pane": "5ms",
        "levels": { "blue": { "when": last(json!(2.5)), "until": last(Value::Null) } },
    });
    let rule = Rule::from_json(rule.to_string().as_bytes()).unwrap();
    // High, then nothing that counts for so long that it is not known, then low: from there on all is leapt over.
    let high = (0..10).map(|i| (290 - i, Some((9, true))));
    let bad = (0..60).map(|i| (270 - i, Some((9, false))));
    let low = (0..100).map(|i| (200 - i, Some((0, true))));
    check(&rule, vec![(1, high.chain(bad).chain(low).collect())]);
}
