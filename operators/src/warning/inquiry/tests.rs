use riskflow_config::{Located, Regional, Rule, TimeSettings, UnknownSettings};
use riskflow_model::base::{Region, Reporting};
use riskflow_model::observation::{Observation, Quality, Reading, Said};
use riskflow_model::output::{LimitSource, Origin};
use riskflow_model::topic::Topic;
use riskflow_model::{Duration, Shared};
use serde_json::{Value, json};

use super::*;
use crate::warning::monitor::{LookedLevel, Observed, Truth};
use crate::warning::specification::specification_of;

const MINUTE: i64 = 60_000;
/// A time at which a pane begins.
const START: i64 = 1_700_000_040_000;

fn monitor() -> Monitor {
    let time = TimeSettings {
        horizon: Duration(60 * MINUTE),
        max_future: Duration(MINUTE),
        late_after: Duration(MINUTE),
        retain: Duration(60 * MINUTE),
        forecast_age: Duration(60 * MINUTE),
        event_age: Duration(86_400_000),
        event_ahead: Duration::ZERO,
    };
    let unknown = UnknownSettings {
        hold: Duration(MINUTE),
        max_observations: 1 << 20,
        max_bytes: 1 << 30,
    };
    Monitor::new(time, unknown)
}

/// Blue from 50 on, once that has held for a minute; off below 45, once that has lasted for two. Red from 80 on.
fn gas(blue: f64) -> Value {
    let last = |threshold: f64| json!({"feature": "last", "window": "10m", "op": ">=", "threshold": threshold});
    json!({
        "id": "gas", "version": 3, "name": "Gas", "unit": "%", "select": {"observed_property": "gas"}, "pane": "1m",
        "levels": {
            "blue": {"when": last(blue), "hold": "1m", "margin": 5, "clear": "2m"},
            "red": {"when": last(80.0), "until": {"feature": "last", "window": "10m", "op": "<", "threshold": 60}},
        },
    })
}

fn specified(rule: &Value, datastream: &Value, asset: &Value, region: &Value) -> Vec<Specified> {
    let mut row = json!({"id": "d", "asset": "a", "observed_property": "gas"});
    row.as_object_mut()
        .unwrap()
        .extend(datastream.as_object().unwrap().clone());
    let mut asset_row =
        json!({"id": "a", "category": "tank", "domain": "work_safety", "region": "330902001001", "inherent_level": 3});
    asset_row
        .as_object_mut()
        .unwrap()
        .extend(asset.as_object().unwrap().clone());
    let datastream: Shared<Datastream> = Shared::new(serde_json::from_value(row).unwrap());
    assert_eq!(datastream.reporting, Reporting::Interval);
    let asset: Shared<Asset> = Shared::new(serde_json::from_value(asset_row).unwrap());
    let rules = [Rule::from_json(rule.to_string().as_bytes()).unwrap()];
    let mut regional = Regional::new();
    if !region.is_null() {
        let region: Region = serde_json::from_value(region.clone()).unwrap();
        regional.insert(region.code, Shared::new(region));
    }
    let on = (asset, Located::default());
    let specification = specification_of(&datastream, Some(&on), &rules, &regional);
    vec![(datastream.id.clone(), Some(specification))]
}

fn plain(rule: &Value) -> Vec<Specified> {
    specified(rule, &json!({}), &json!({}), &Value::Null)
}

/// Readings at minutes and seconds after the start; `None` takes one back.
fn said(readings: &[(f64, Option<f64>)]) -> Vec<Incoming> {
    let readings = readings.iter().map(|(minutes, result)| {
        let reading = |result| Reading {
            result,
            quality: Quality::Good,
        };
        Incoming::Observed(Observed {
            origin: Origin {
                topic: Topic::IN_OBSERVATION.id(),
                ..Origin::default()
            },
            observation: Observation {
                datastream: Key::of("d"),
                id: "d".into(),
                time: at(*minutes),
                said: result.map_or(Said::Nothing, |result| Said::Number(reading(result))),
            },
        })
    });
    readings.collect()
}

fn at(minutes: f64) -> Millis {
    Millis(START + (minutes * MINUTE as f64) as i64)
}

/// The only look, which is of the only rule.
#[track_caller]
fn look(inquiry: &Inquiry, minutes: f64) -> Look {
    let mut looks = inquiry.look(at(minutes));
    assert_eq!(looks.len(), 1, "{looks:?}");
    looks.remove(0)
}

fn blue(look: &Look) -> &LookedLevel {
    &look.levels[0]
}

fn stood(inquiry: &Inquiry, minutes: f64) -> Option<Stood> {
    inquiry.stood(&"gas".into(), &"a".into(), at(minutes))
}

#[test]
fn a_level_is_off_waits_is_on_and_waits_to_turn_off() {
    let mut inquiry = Inquiry::new(monitor());
    inquiry.epoch(at(0.0), plain(&gas(50.0)), said(&[(0.0, Some(40.0))]));
    let below = look(&inquiry, 0.0);
    assert_eq!((below.level, below.since, below.stale), (Level::None, None, false));
    assert_eq!(blue(&below).when.truth, Truth::No);
    let compared = &blue(&below).when.comparisons[0];
    assert_eq!(&*compared.comparison, "last 10m >= 50 %");
    assert_eq!(compared.feature.value.map(|value| value.0), Some(40.0));
    assert_eq!((&*compared.feature.unit, &compared.whose), ("%", &None));
    assert_eq!(compared.feature.last.map(|last| last.time), Some(at(0.0)));

    inquiry.epoch(at(1.0), Vec::new(), said(&[(1.0, Some(55.0))]));
    let waits = look(&inquiry, 1.5);
    assert_eq!((waits.level, blue(&waits).on), (Level::None, false));
    assert_eq!(blue(&waits).when.truth, Truth::Yes);
    assert_eq!(
        (blue(&waits).held_since, blue(&waits).turns),
        (Some(at(1.0)), Some(at(2.0)))
    );
    assert_eq!(blue(&waits).hold, Duration(MINUTE));

    inquiry.epoch(at(3.0), Vec::new(), said(&[(3.0, Some(47.0))]));
    let on = look(&inquiry, 3.0);
    assert_eq!((on.level, on.since), (Level::Blue, Some(at(2.0))));
    assert_eq!((blue(&on).on_since, blue(&on).turns), (Some(at(2.0)), None));
    // It does not hold any more, but it is not below what turns it off.
    assert_eq!(blue(&on).when.truth, Truth::No);
    let moved = blue(&on).moved.as_ref().unwrap();
    assert_eq!((&*moved.condition, moved.truth), ("last 10m >= 45 %", Truth::Yes));

    inquiry.epoch(at(4.0), Vec::new(), said(&[(4.0, Some(30.0))]));
    let clears = look(&inquiry, 5.0);
    assert_eq!((clears.level, blue(&clears).on), (Level::Blue, true));
    assert_eq!(
        (blue(&clears).clear_since, blue(&clears).turns),
        (Some(at(4.0)), Some(at(6.0)))
    );
    let stands = Stood {
        level: Level::Blue,
        at: at(2.0),
        since: at(2.0),
    };
    assert_eq!(stood(&inquiry, 4.0), Some(stands));
    inquiry.pass(at(7.0));
    assert_eq!(look(&inquiry, 7.0).level, Level::None);
    assert_eq!((stood(&inquiry, 5.0), stood(&inquiry, 6.0)), (Some(stands), None));
    // What was said of a time does not change because time passes.
    assert_eq!(look(&inquiry, 1.5), waits);
    assert_eq!(look(&inquiry, 5.0), clears);
}

#[test]
fn where_nothing_counts_in_the_window_it_is_unknown_and_what_is_on_is_stale() {
    let mut inquiry = Inquiry::new(monitor());
    inquiry.epoch(at(0.0), plain(&gas(50.0)), Vec::new());
    let unknown = look(&inquiry, 0.0);
    assert_eq!(
        (blue(&unknown).when.truth, unknown.level),
        (Truth::Unknown, Level::None)
    );
    assert_eq!(blue(&unknown).when.comparisons[0].feature.value, None);
    inquiry.epoch(at(1.0), Vec::new(), said(&[(1.0, Some(90.0))]));
    inquiry.pass(at(30.0));
    let stale = look(&inquiry, 20.0);
    assert_eq!(
        (stale.level, stale.since, stale.stale),
        (Level::Red, Some(at(1.0)), true)
    );
    assert_eq!(stale.levels[1].when.truth, Truth::Unknown);
    let until = stale.levels[1].until.as_ref().unwrap();
    assert_eq!((&*until.condition, until.truth), ("last 10m < 60 %", Truth::Unknown));
}

#[test]
fn what_is_known_of_a_time_follows_corrections_and_levels_of_the_asset_do_too() {
    let mut inquiry = Inquiry::new(monitor());
    let rows = plain(&gas(50.0));
    inquiry.epoch(
        at(0.0),
        rows,
        said(&[(0.0, Some(55.0)), (1.5, Some(55.0)), (3.0, Some(55.0))]),
    );
    inquiry.pass(at(4.0));
    assert_eq!(look(&inquiry, 2.0).level, Level::Blue);
    inquiry.epoch(at(5.0), Vec::new(), said(&[(0.0, Some(5.0))]));
    let corrected = look(&inquiry, 2.0);
    assert_eq!(
        (corrected.level, blue(&corrected).held_since),
        (Level::None, Some(at(1.5)))
    );
    assert_eq!(stood(&inquiry, 4.0).map(|stood| stood.since), Some(at(2.5)));
    inquiry.epoch(at(6.0), Vec::new(), said(&[(1.5, None), (3.0, Some(7.0))]));
    assert_eq!((look(&inquiry, 4.0).level, stood(&inquiry, 4.0)), (Level::None, None));
}

#[test]
fn it_says_whose_a_threshold_is() {
    let own = |blue: f64| json!({"thresholds": {"gas": {"blue": blue}}});
    let region = json!({"code": "330902", "name": "Dinghai", "thresholds": {"gas": {"blue": 20}}});
    let given = |datastream: &Value, asset: &Value| {
        let mut inquiry = Inquiry::new(monitor());
        let rows = specified(&gas(50.0), datastream, asset, &region);
        inquiry.epoch(at(0.0), rows, said(&[(0.0, Some(25.0))]));
        let look = look(&inquiry, 0.5);
        let compared = blue(&look).when.comparisons[0].clone();
        (
            compared.comparison.to_string(),
            compared.whose.unwrap().of,
            compared.truth,
        )
    };
    let nothing = json!({});
    let of_datastream = given(&own(40.0), &own(30.0));
    assert_eq!(
        of_datastream,
        ("last 10m >= 40 %".to_owned(), LimitSource::Datastream, Truth::No)
    );
    let of_asset = given(&nothing, &own(30.0));
    assert_eq!(of_asset, ("last 10m >= 30 %".to_owned(), LimitSource::Asset, Truth::No));
    let of_region = given(&nothing, &nothing);
    assert_eq!(
        of_region,
        ("last 10m >= 20 %".to_owned(), LimitSource::Region, Truth::Yes)
    );
}

#[test]
fn what_an_edit_left_behind_is_not_judged_by_the_new_condition() {
    let mut inquiry = Inquiry::new(monitor());
    inquiry.epoch(at(0.0), plain(&gas(50.0)), said(&[(0.0, Some(55.0))]));
    inquiry.epoch(at(5.0), Vec::new(), said(&[(5.0, Some(55.0))]));
    // Two hours on nothing before the floor, at 200 minutes less two hours and more, is judged again.
    inquiry.epoch(at(200.0), plain(&gas(10.0)), said(&[(199.0, Some(12.0))]));
    let before = look(&inquiry, 4.0);
    assert!(
        before.levels.is_empty() && before.begins.is_some_and(|begins| begins > at(4.0)),
        "{before:?}"
    );
    assert_eq!(stood(&inquiry, 4.0).map(|stood| stood.level), Some(Level::Blue));
    let now = look(&inquiry, 200.0);
    assert_eq!(&*blue(&now).when.condition, "last 10m >= 10 %");
    assert_eq!(blue(&now).when.truth, Truth::Yes);
}

#[test]
fn an_unknown_datastream_is_told_and_says_nothing() {
    let mut inquiry = Inquiry::new(monitor());
    assert!(
        inquiry
            .epoch(at(0.0), Vec::new(), said(&[(0.0, Some(55.0))]))
            .is_empty()
    );
    let letters = inquiry.pass(at(3.0));
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert!(inquiry.look(at(0.0)).is_empty());
}
