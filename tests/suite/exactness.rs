//! A change touches what it must and nothing else: updates are counted, not timed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use riskflow::runtime::graph::{Meters, Semantics};
use riskflow::runtime::output::EpochOutput;
use riskflow::runtime::replay::{EpochInput, Session, replay, replay_on};
use riskflow_config::{Capabilities, InputRecord, Rule, ScoreCuts, TimeSettings, UnknownSettings};
use riskflow_model::base::{Asset, Datastream, Region, Reporting};
use riskflow_model::capability::{CASES, GAUGES, PERMITS, REPORTS};
use riskflow_model::intake::{Limit, Permit};
use riskflow_model::observation::{Observation, Quality, Reading};
use riskflow_model::output::{AssetRisk, Origin, WarningDelta, WarningState};
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

fn observed(number: u64, time: i64, result: f64, offset: u64) -> (Origin, InputRecord) {
    let id = format!("stream-{number}");
    let origin = Origin {
        topic: Topic::IN_OBSERVATION.id(),
        partition: 0,
        offset,
    };
    let reading = Some(Reading {
        result,
        quality: Quality::Good,
    });
    let observation = Observation {
        datastream: Key::of(&id),
        id: id.into(),
        time: Millis(time),
        said: reading.into(),
    };
    (origin, InputRecord::Observation(observation))
}

fn rule(offset: u64, json: &str) -> (Origin, InputRecord) {
    let rule = Rule::from_json(json.as_bytes()).unwrap();
    base(Topic::IN_RULE, offset, Row::new(rule.record.clone()))
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
            records.push(observed(number, START, 3.0, number));
        }
    }
    records.push(rule(
        0,
        r#"{"id":"level","version":1,"select":{"observed_property":"level"},"levels":{
        "orange":{"when":{"feature":"last","window":"1h","op":">=","threshold":3}}}}"#,
    ));
    EpochInput {
        epoch: Millis(START),
        records,
    }
}

fn semantics() -> Semantics {
    Semantics {
        time: TimeSettings {
            horizon: Duration(600_000),
            max_future: Duration(60_000),
            late_after: Duration(60_000),
            retain: Duration(600_000),
            forecast_age: Duration::ZERO,
            event_age: Duration::ZERO,
            event_ahead: Duration::ZERO,
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
        capabilities: Capabilities::default(),
    }
}

/// What went through the operators: fold by fold, and into the arrangements of the views.
fn counted(history: Vec<EpochInput>) -> (Vec<EpochOutput>, [u64; 6]) {
    let meters = Meters::default();
    let outputs = replay(history, 2, semantics(), &meters).unwrap();
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

const MINUTE: i64 = 60_000;
const MINUTES: i64 = 20;
const STREAMS: u64 = 200;
/// The epoch of the second rule where it comes late: no observation comes any more.
const LATE: usize = MINUTES as usize + 1;

/// Datastreams with so many observations each, of which every fourth rises half-way. A second rule, with a lower level, comes at one of
/// the epochs or never.
fn rising(each: i64, second: Option<usize>) -> Vec<EpochInput> {
    let mut city = city(STREAMS);
    city.records
        .retain(|(_, record)| !matches!(record, InputRecord::Observation(_)));
    let mut history = vec![city];
    let step = MINUTES * MINUTE / each;
    for minute in 1..=MINUTES {
        let due = (1..=each).filter(|position| (position * step + MINUTE - 1) / MINUTE == minute);
        let records = due.flat_map(|position| {
            let is_high = move |number: u64| number.is_multiple_of(4) && position > each / 2;
            (0..STREAMS).map(move |number| {
                let result = if is_high(number) { 4.0 } else { 1.0 };
                observed(
                    number,
                    START + position * step,
                    result,
                    position as u64 * STREAMS + number,
                )
            })
        });
        history.push(EpochInput {
            epoch: Millis(START + minute * MINUTE),
            records: records.collect(),
        });
    }
    // A checkpoint goes on little by little, while more epochs come.
    history.extend((0..60).map(|second| EpochInput {
        epoch: Millis(START + (MINUTES + 1) * MINUTE + second * 1_000),
        records: Vec::new(),
    }));
    if let Some(epoch) = second {
        let json = r#"{"id":"rise","version":1,"select":{"observed_property":"level"},"levels":{
            "yellow":{"when":{"feature":"mean","window":"5m","op":">=","threshold":2}}}}"#;
        history[epoch].records.push(rule(1, json));
    }
    history
}

/// What is published, and how many bytes of each fold a checkpoint has that is made when the second rule may have come.
fn saved(history: Vec<EpochInput>) -> (Vec<EpochOutput>, BTreeMap<&'static str, i64>) {
    let semantics = Semantics {
        // All that is observed can still change.
        time: TimeSettings {
            horizon: Duration(30 * MINUTE),
            retain: Duration(30 * MINUTE),
            ..semantics().time
        },
        // Cases of its warnings would be a theme's own state, too.
        capabilities: Capabilities::without([CASES, PERMITS, REPORTS, GAUGES]),
        ..semantics()
    };
    let session = Session {
        checkpoint: Some(history[LATE].epoch),
        ..Session::default()
    };
    // With one worker the chunk of a fold is there as a whole, or not at all.
    let (outputs, saved) = replay_on(history, 1, semantics, &Meters::default(), session).unwrap();
    let bytes = saved
        .into_iter()
        .map(|(fold, chunks)| (fold, chunks.concat().len() as i64));
    (outputs, bytes.collect())
}

/// The warnings that are open in the end: rule, asset, level, since when.
fn open(outputs: &[EpochOutput]) -> BTreeSet<(&str, &str, Level, Millis)> {
    let mut rows = BTreeMap::new();
    for (row, diff) in outputs.iter().flat_map(EpochOutput::table::<WarningState>) {
        *rows.entry((&*row.rule, &*row.asset, row.level, row.since)).or_insert(0) += diff;
    }
    rows.retain(|_, count| *count != 0);
    rows.into_keys().collect()
}

/// R16: what a theme adds that comes while the job runs, fold by fold; and what the monitor holds without it.
fn added(each: i64) -> (BTreeMap<&'static str, i64>, i64) {
    let [(without, before), (late, after), (early, _)] =
        [None, Some(LATE), Some(0)].map(|second| saved(rising(each, second)));
    let high = (STREAMS / 4) as usize;
    assert!(without[LATE].on(Topic::WARNING_DELTA).is_empty());
    let told = late[LATE].log::<WarningDelta>();
    assert!(told.clone().all(|delta| *delta.rule == *"rise"));
    let assets: BTreeSet<&str> = told.clone().map(|delta| &*delta.asset).collect();
    assert_eq!((told.count(), assets.len()), (high, high));
    assert!(
        late[LATE]
            .table::<WarningState>()
            .all(|(row, diff)| diff > 0 && *row.rule == *"rise")
    );
    assert_eq!(open(&late), open(&early), "{each} observations");
    assert_eq!((open(&without).len(), open(&late).len()), (high, 2 * high));

    assert!(before.keys().eq(after.keys()), "{before:?} {after:?}");
    let mut more: BTreeMap<&str, i64> = after
        .iter()
        .map(|(fold, bytes)| (*fold, bytes - before[fold]))
        .collect();
    more.retain(|_, bytes| *bytes != 0);
    (more, before["monitor"])
}

/// R16: a theme that comes at run time adds its own state, and no series.
#[test]
fn a_theme_that_comes_late_adds_what_is_its_own_whatever_was_observed() {
    let [(few, short), (many, long)] = [10, 100].map(added);
    // The series are in there, or it shows nothing.
    assert!(long - short > 90 * STREAMS as i64 * 8, "{short} {long}");
    for (what, more) in [("few", &few), ("many", &many)] {
        // The rule itself is in `latest`, and what it selects is looked at by `unmatched`: a few bytes for each datastream would be more.
        let own = ["latest", "lifecycle", "monitor", "unmatched"];
        assert!(more.keys().all(|fold| own.contains(fold)), "{what}: {more:?}");
        let of = |fold: &str| more.get(fold).copied().unwrap_or(0);
        assert!(
            of("latest") > 0 && of("latest") + of("unmatched") < 8 * STREAMS as i64,
            "{what}: {more:?}"
        );
        assert!(of("monitor") > 0 && of("lifecycle") > 0, "{what}: {more:?}");
    }
    assert_eq!(few["monitor"], many["monitor"], "{few:?} {many:?}");
}
