//! A change touches what it must and nothing else: updates are counted, not timed.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use riskflow::runtime::graph::{Meters, Semantics};
use riskflow::runtime::output::EpochOutput;
use riskflow::runtime::replay::{EpochInput, replay};
use riskflow_config::{InputRecord, Rule, ScoreCuts, TimeSettings, UnknownSettings};
use riskflow_model::base::{Asset, Datastream, Region, Reporting};
use riskflow_model::intake::{Limit, Permit};
use riskflow_model::observation::{Observation, Quality, Reading};
use riskflow_model::output::{AssetRisk, Origin, WarningDelta};
use riskflow_model::topic::Topic;
use riskflow_model::{Duration, InherentLevel, Key, Level, Millis, Row};

const ASSETS: u64 = 100_000;
const START: i64 = 1_600_000_000_000;

fn base(topic: Topic, offset: u64, row: Row) -> (Origin, InputRecord) {
    let origin = Origin {
        topic: topic.id(),
        partition: 0,
        offset,
    };
    (origin, InputRecord::Base(Key::of(&row.id()), Some(row)))
}

fn asset(number: u64, inherent: u8) -> (Origin, InputRecord) {
    let village = format!(
        "3309{:02}{:03}{:03}",
        number % 4 + 1,
        number / 4 % 9 + 1,
        number / 36 % 12 + 1
    );
    let asset = Asset {
        id: format!("asset-{number}").into(),
        name: "".into(),
        category: "tank".into(),
        domain: riskflow_model::Domain::WorkSafety,
        region: village.parse().unwrap(),
        inherent_level: InherentLevel::new(inherent).unwrap(),
        population: 10,
        position: None,
        tags: Box::default(),
        thresholds: riskflow_model::TextMap::default(),
    };
    base(Topic::BASE_ASSET, number, Row::new(asset))
}

fn city(assets: u64) -> EpochInput {
    let mut records = vec![base(
        Topic::BASE_REGION,
        0,
        Row::new(Region {
            code: "3309".parse().unwrap(),
            name: "city".into(),
            parent: None,
            thresholds: riskflow_model::TextMap::default(),
        }),
    )];
    for number in 0..assets {
        records.push(asset(number, 3));
        let datastream = Datastream {
            id: format!("stream-{number}").into(),
            asset: format!("asset-{number}").into(),
            observed_property: "level".into(),
            unit: "".into(),
            tags: Box::default(),
            thresholds: riskflow_model::TextMap::default(),
            valid: None,
            no_value: Box::default(),
            interval: None,
            reporting: Reporting::Interval,
            states: riskflow_model::TextMap::default(),
        };
        records.push(base(Topic::BASE_DATASTREAM, number, Row::new(datastream)));
        // Every hundredth is at orange.
        if number.is_multiple_of(100) {
            let id = format!("stream-{number}");
            let origin = Origin {
                topic: Topic::IN_OBSERVATION.id(),
                partition: 0,
                offset: number,
            };
            let reading = Some(Reading {
                result: 3.0,
                quality: Quality::Good,
            });
            let observation = Observation {
                datastream: Key::of(&id),
                id: id.into(),
                time: Millis(START),
                said: reading.into(),
            };
            records.push((origin, InputRecord::Observation(observation)));
        }
    }
    let rule = br#"{"id":"level","version":1,"select":{"observed_property":"level"},"levels":{
        "orange":{"when":{"feature":"last","window":"1h","op":">=","threshold":3}}}}"#;
    records.push(base(
        Topic::IN_RULE,
        0,
        Row::new(Rule::from_json(rule).unwrap().record.clone()),
    ));
    EpochInput {
        epoch: Millis(START),
        records,
    }
}

/// What went through the operators: fold by fold, and into the arrangements of the views.
fn counted(history: Vec<EpochInput>) -> (Vec<EpochOutput>, [u64; 6]) {
    let semantics = Semantics {
        time: TimeSettings {
            horizon: Duration(600_000),
            max_future: Duration(60_000),
            late_after: Duration(60_000),
            retain: Duration(600_000),
            forecast_age: Duration::ZERO,
        },
        unknown: UnknownSettings {
            hold: Duration(0),
            max_observations: 0,
            max_bytes: 0,
        },
        unmatched: riskflow_config::UnmatchedSettings::default(),
        cuts: ScoreCuts::default(),
        case: riskflow_config::CaseSettings::default(),
        zone: jiff::tz::TimeZone::UTC,
        days: riskflow_config::CityDays::default(),
        capabilities: riskflow_config::Capabilities::default(),
    };
    let meters = Meters::default();
    let outputs = replay(history, 2, semantics, &meters).unwrap();
    let settled = ["latest", "monitor", "permit", "lifecycle", "score_baseline"];
    let [a, b, c, d, e] = settled.map(|name| meters.fold(name).settled.load(Ordering::Relaxed));
    (outputs, [a, b, c, d, e, meters.arranged.load(Ordering::Relaxed)])
}

/// R17, R37 at size: one census row among 100,000 assets.
#[test]
fn one_census_row_among_100_000_assets_touches_that_asset_and_its_regions_only() {
    let quiet = EpochInput {
        epoch: Millis(START + 1_000),
        records: Vec::new(),
    };
    let census = EpochInput {
        epoch: Millis(START + 1_000),
        records: vec![asset(500, 4)],
    };
    let (without, before) = counted(vec![city(ASSETS), quiet]);
    let (with, after) = counted(vec![city(ASSETS), census]);
    assert!(without[1].is_empty());

    let assets: Vec<_> = with[1]
        .table::<AssetRisk>()
        .map(|(row, diff)| (&*row.asset, row.score, row.level, diff))
        .collect();
    let mut expected = [("asset-500", 9, Level::Orange, -1), ("asset-500", 12, Level::Red, 1)];
    expected.sort();
    let mut assets = assets;
    assets.sort();
    assert_eq!(assets, expected);
    // Village, town, county, city, province; for all and for its domain; one row out and one in.
    assert_eq!(with[1].on(Topic::RISK_REGION).len(), 5 * 2 * 2);
    assert!(with[1].on(Topic::WARNING_STATE).is_empty() && with[1].on(Topic::WARNING_DELTA).is_empty());

    let [latest, monitor, permit, lifecycle, baseline, arranged] = std::array::from_fn(|i| after[i] - before[i]);
    assert_eq!((latest, permit), (1, 0));
    assert!(
        monitor <= 1 && lifecycle <= 1 && baseline <= 10,
        "{monitor} {lifecycle} {baseline}"
    );
    assert!(
        arranged <= 150,
        "{arranged} updates went through the views for one changed row"
    );
}

/// R37: a second snapshot of the census of 10,000 assets, in which 37 have another level and 9,963 stand as they were.
#[test]
fn a_census_of_10_000_rows_touches_the_37_that_changed() {
    const COUNT: u64 = 10_000;
    let has_changed = |number: u64| number % 271 == 5;
    let changed: BTreeSet<String> = (0..COUNT)
        .filter(|number| has_changed(*number))
        .map(|number| format!("asset-{number}"))
        .collect();
    assert_eq!(changed.len(), 37);
    let epoch = |records| EpochInput {
        epoch: Millis(START + 1_000),
        records,
    };
    let snapshot = (0..COUNT).map(|number| asset(number, if has_changed(number) { 4 } else { 3 }));
    let (without, before) = counted(vec![city(COUNT), epoch(Vec::new())]);
    let (with, after) = counted(vec![city(COUNT), epoch(snapshot.collect())]);
    assert!(without[1].is_empty());

    for diff in [-1, 1] {
        let rows = with[1].table::<AssetRisk>().filter(|(_, other)| *other == diff);
        let rows: Vec<&AssetRisk> = rows.map(|(row, _)| row).collect();
        let level = InherentLevel::new(if diff < 0 { 3 } else { 4 }).unwrap();
        assert!(rows.iter().all(|row| row.inherent_level == level));
        let ids: BTreeSet<String> = rows.iter().map(|row| row.asset.to_string()).collect();
        assert_eq!((rows.len(), ids), (37, changed.clone()));
    }
    // No warning changes by that.
    assert!(with[1].on(Topic::WARNING_STATE).is_empty() && with[1].on(Topic::WARNING_DELTA).is_empty());

    let [latest, monitor, permit, lifecycle, baseline, arranged] = std::array::from_fn(|i| after[i] - before[i]);
    // Each row is compared with the one that stands; only what differs goes on.
    assert_eq!((latest, permit), (COUNT, 0));
    assert!(
        monitor <= 37 && lifecycle <= 37 && baseline <= 10 * 37,
        "{monitor} {lifecycle} {baseline}"
    );
    assert!(
        arranged <= 150 * 37,
        "{arranged} updates went through the views for 37 changed rows"
    );
}

/// A work permit at an asset, or a certificate, version by version.
fn permit(id: &str, version: u32, asset: Option<u64>, holder: &str, to: i64) -> (Origin, InputRecord) {
    let permit: Permit = serde_json::from_value(serde_json::json!({
        "id": id, "version": version, "kind": if asset.is_some() { "work" } else { "certificate" },
        "work_type": "hot_work", "asset": asset.map(|number| format!("asset-{number}")), "holders": [holder],
        "valid_from": START - 1_000, "valid_to": to,
    }))
    .unwrap();
    base(Topic::IN_PERMIT, version.into(), Row::new(permit))
}

/// So many yards, each with three permits in force, and a certificate for whom they are for.
fn yards(count: u64) -> EpochInput {
    let limit = |id: &str, measure: &str, least: u32| {
        let limit: Limit = serde_json::from_value(serde_json::json!({
            "id": id, "version": 1, "measure": measure, "category": ["tank"], "levels": { "red": least },
        }))
        .unwrap();
        base(Topic::BASE_LIMIT, 0, Row::new(limit))
    };
    let mut records = vec![
        limit("work", "concurrent_work", 4),
        limit("skill", "uncertified_work", 3),
    ];
    let day = START + 86_400_000;
    for number in 0..count {
        let welder = format!("welder-{number}");
        records.push(asset(number, 3));
        records.push(permit(&format!("certificate-{number}"), 1, None, &welder, day));
        for part in ["a", "b", "c"] {
            records.push(permit(&format!("{part}-{number}"), 1, Some(number), &welder, day));
        }
    }
    EpochInput {
        epoch: Millis(START),
        records,
    }
}

/// R24 at size: one permit, and one certificate, among those of 10,000 assets.
#[test]
fn one_permit_among_10_000_assets_touches_that_asset_only() {
    let day = START + 86_400_000;
    let epoch = |records| EpochInput {
        epoch: Millis(START + 1_000),
        records,
    };
    let (without, before) = counted(vec![yards(10_000), epoch(Vec::new())]);
    assert!(without[1].is_empty() && without[0].on(Topic::WARNING_DELTA).is_empty());
    let changes = [
        (
            "one more permit",
            permit("d-500", 1, Some(500), "welder-500", day),
            "work",
        ),
        (
            "a certificate that ended",
            permit("certificate-500", 2, None, "welder-500", START),
            "skill",
        ),
    ];
    for (what, change, rule) in changes {
        let (with, after) = counted(vec![yards(10_000), epoch(vec![change])]);
        let told: Vec<_> = with[1]
            .log::<WarningDelta>()
            .map(|delta| (&*delta.rule, &*delta.asset))
            .collect();
        assert_eq!(told, [(rule, "asset-500")], "{what}");
        assert_eq!(with[1].on(Topic::RISK_ASSET).len(), 2, "{what}: one row out and one in");
        let [latest, monitor, permit, lifecycle, baseline, arranged] = std::array::from_fn(|i| after[i] - before[i]);
        assert_eq!((latest, monitor, permit, lifecycle), (1, 0, 1, 1), "{what}");
        assert!(baseline <= 10, "{what}: {baseline}");
        assert!(arranged <= 200, "{what}: {arranged} updates went through the views");
    }
}
