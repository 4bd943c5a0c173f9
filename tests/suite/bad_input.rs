//! Bad input is kept, counted and never stops the job; good records around it are unharmed; memory stays bounded.

use std::path::Path;

use riskflow::runtime::graph::{Meters, Semantics};
use riskflow::runtime::job::{self, Handles};
use riskflow::runtime::replay::{EpochInput, replay};
use riskflow_config::{Clock, Input, InputRecord, TimeSettings, UnknownSettings, WrittenSettings};
use riskflow_connectors::log::LogWriter;
use riskflow_connectors::{Share, Until, Verdict, open_source};
use riskflow_model::observation::{Observation, Quality, Reading};
use riskflow_model::output::{DeadLetter, Origin};
use riskflow_model::progress::Offsets;
use riskflow_model::topic::Topic;
use riskflow_model::{Duration, Key, Millis};
use riskflow_tests::history::semantics;
use serde_json::Value;

const START: i64 = 1_627_171_200_000;

fn put(folder: &Path, topic: Topic, records: &[(&str, &[u8])]) {
    let mut writer = LogWriter::open(folder, topic.name(), 2).unwrap();
    for (key, payload) in records {
        let partition = writer.partition_of(Some(key.as_bytes()));
        writer
            .append(partition, Millis(START), Some(key.as_bytes()), Some(payload))
            .unwrap();
    }
    writer.sync().unwrap();
}

fn read(folder: &Path, topic: Topic) -> Vec<Value> {
    let settings = WrittenSettings::default().check().unwrap().topics;
    let mut source = open_source(
        &Input::Log(folder.to_owned()),
        &settings,
        &[topic],
        Share::WHOLE,
        Until::End,
        &Offsets::default(),
    )
    .unwrap();
    let mut records = Vec::new();
    let mut take = |record: riskflow_connectors::RawRecord<'_>| {
        records.push(serde_json::from_slice(record.payload.unwrap_or(b"null")).unwrap());
        Verdict::Taken
    };
    while source.poll(1_000, &mut take).unwrap() != riskflow_connectors::Polled::Ended {}
    records
}

/// One good observation among bad records of every kind.
fn feed(log: &Path) {
    for topic in Topic::inputs() {
        put(log, topic, &[]);
    }
    let asset = br#"{"id":"a","category":"tank","domain":"work_safety","region":"330902001001","inherent_level":4,"unknown":1}"#;
    put(
        log,
        Topic::BASE_REGION,
        &[("3309", br#"{"code":"3309","name":"x","parent":"34"}"#)],
    );
    put(
        log,
        Topic::BASE_ASSET,
        &[
            ("a", asset),
            (
                "b",
                br#"{"id":"c","category":"t","domain":"lifeline","region":"33","inherent_level":1}"#,
            ),
        ],
    );
    put(
        log,
        Topic::BASE_DATASTREAM,
        &[("d", br#"{"id":"d","asset":"a","observed_property":"level"}"#)],
    );
    put(log, Topic::IN_RULE, &[("l", br#"{"id":"l","version":1,"select":{},"levels":{"red":{"when":{"feature":"max","window":"1h","op":">=","threshold":9}}}}"#), ("m", br#"{"id":"m"}"#)]);
    let good = format!(r#"{{"datastream":"d","phenomenon_time":{START},"result":9.5}}"#);
    let too_large = format!(r#"{{"datastream":"d","x":"{}"}}"#, "x".repeat(1 << 20));
    let observations: Vec<&[u8]> = vec![
        br#"{"datastream":"d","phenomenon_time":1627"#,
        br#"{"datastream":"d","phenomenon_time":1627171200000,"result":NaN}"#,
        br#"{"datastream":"d","phenomenon_time":1627171200000,"result":"1"}"#,
        br#"{"datastream":"d","phenomenon_time":1627171200000,"result":1e999}"#,
        b"{\"datastream\":\"\xff\xfe\",\"phenomenon_time\":1627171200000,\"result\":1}",
        too_large.as_bytes(),
        good.as_bytes(),
        br#"{"datastream":"d","phenomenon_time":"1999-01-01T00:00:00Z","result":1}"#,
        br#"{"datastream":"d","phenomenon_time":"2099-01-01T00:00:00Z","result":1}"#,
        b"",
    ];
    let records: Vec<(&str, &[u8])> = observations.iter().map(|payload| ("d", *payload)).collect();
    put(log, Topic::IN_OBSERVATION, &records);
}

#[test]
fn bad_records_are_dead_letters_and_good_ones_beside_them_count() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path();
    feed(log);
    let mut written = WrittenSettings::default();
    written.cluster.workers = 2;
    written.input.path = log.to_owned();
    written.output.path = log.to_owned();
    written.checkpoint.path = log.join("checkpoints").to_string_lossy().into_owned();
    written.input.clock = Clock::Arrival;
    written.http.dataflow = true;
    let handles = Handles::new().unwrap();
    job::run(&written.check().unwrap(), &handles, None).unwrap();

    let mut reasons: Vec<String> = read(log, Topic::DEAD_LETTER)
        .iter()
        .map(|letter| letter["reason"].as_str().unwrap().to_owned())
        .collect();
    reasons.sort();
    let expected = [
        "in_future",
        "invalid_field",
        "invalid_field",
        "invalid_field",
        "invalid_rule",
        "invalid_utf8",
        "key_mismatch",
        "malformed",
        "malformed",
        "malformed",
        "too_large",
        "too_late",
    ];
    assert_eq!(reasons, expected);
    let deltas = read(log, Topic::WARNING_DELTA);
    assert_eq!(deltas.len(), 1);
    assert_eq!(
        (deltas[0]["kind"].as_str(), deltas[0]["to"].as_str()),
        (Some("raised"), Some("red"))
    );
    every_record_is_as_its_schema_says(log);
    let metrics = handles.metrics.render(&handles.meters);
    assert!(
        metrics.contains("riskflow_dead_letters_total{reason=\"malformed\",topic=\"in.observation\"} 3"),
        "{metrics}"
    );
    for told in [
        "riskflow_open_warnings{domain=\"work_safety\",level=\"red\"} 1\n",
        "riskflow_open_warnings{domain=\"work_safety\",level=\"blue\"} 0\n",
        // A history says nothing of how fast warnings are.
        "riskflow_warning_latency_seconds_count{cause=\"data\"} 0\n",
        "riskflow_fold_run_seconds{fold=\"monitor\"}",
        "riskflow_arrangement_updates{arrangement=\"",
    ] {
        assert!(metrics.contains(told), "{told} is not in {metrics}");
    }
    let operators = handles.meters.dataflow.operators();
    let ingests = operators.iter().filter(|done| done.name == "Ingest");
    assert_eq!(ingests.count(), 1, "one row for both workers: {operators:?}");
}

fn every_record_is_as_its_schema_says(log: &Path) {
    let mut count = 0;
    for topic in Topic::outputs() {
        let schema = riskflow_model::schema::of_topic(topic);
        let validator = jsonschema::validator_for(&serde_json::to_value(schema).unwrap()).unwrap();
        for record in read(log, topic) {
            assert!(validator.is_valid(&record), "{topic}: {record}");
            count += 1;
        }
    }
    assert!(count > 10, "{count} records");
}

#[test]
fn a_million_unknown_keys_are_held_within_the_bound_and_then_given_up() {
    let held = held_of_a_million(40_960, 1 << 30);
    // Shards fill at their own pace, so a little less than the bound may wait.
    assert!(held <= 40_960 && held > 40_960 * 9 / 10, "{held} wait");
    // Each takes about a hundred bytes.
    let held = held_of_a_million(1_000_000, 8 << 20);
    assert!((8 << 20) / 120 < held && held < (8 << 20) / 80, "{held} wait");
}

/// Of a million observations of unknown datastreams so many wait; in the end all are given up.
fn held_of_a_million(max_observations: usize, max_bytes: usize) -> usize {
    const KEYS: u64 = 1_000_000;
    let records = |epoch: i64, from: u64, to: u64| {
        let record = move |number: u64| {
            let id = format!("nobody-{number}");
            let origin = Origin {
                topic: Topic::IN_OBSERVATION.id(),
                partition: (number % 2) as u16,
                offset: number,
            };
            let reading = Some(Reading {
                result: 1.0,
                quality: Quality::Good,
            });
            let observation = Observation {
                datastream: Key::of(&id),
                id: id.into(),
                time: Millis(epoch),
                said: reading.into(),
            };
            (origin, InputRecord::Observation(observation))
        };
        EpochInput {
            epoch: Millis(epoch),
            records: (from..to).map(record).collect(),
        }
    };
    let mut history: Vec<EpochInput> = (0..10)
        .map(|part| records(START + part as i64, KEYS / 10 * part, KEYS / 10 * (part + 1)))
        .collect();
    history.extend([60_009, 60_010].map(|after| EpochInput {
        epoch: Millis(START + after),
        records: Vec::new(),
    }));
    let semantics = Semantics {
        time: TimeSettings {
            horizon: Duration(600_000),
            max_future: Duration(60_000),
            late_after: Duration(60_000),
            retain: Duration(0),
            forecast_age: Duration::ZERO,
            event_age: Duration::ZERO,
            event_ahead: Duration::ZERO,
        },
        unknown: UnknownSettings {
            hold: Duration(60_000),
            max_observations,
            max_bytes,
        },
        zone: jiff::tz::TimeZone::UTC,
        days: riskflow_config::CityDays::default(),
        ..semantics()
    };
    let meters = Meters::default();
    let outputs = replay(history, 2, semantics, &meters).unwrap();
    let given_up: Vec<usize> = outputs
        .iter()
        .map(|output| output.log::<DeadLetter>().count())
        .collect();
    let early: usize = given_up[..10].iter().sum();
    assert_eq!(
        given_up.iter().sum::<usize>(),
        KEYS as usize,
        "every one is told of in the end"
    );
    assert_eq!(
        meters.fold("monitor").keys.load(std::sync::atomic::Ordering::Relaxed),
        0,
        "nothing is kept"
    );
    KEYS as usize - early
}

const RULE: &str = r#"{"id":"l","version":1,"select":{"observed_property":"level"},"levels":{
    "blue":{"when":{"feature":"max","window":"1h","op":">=","threshold":5}},
    "red":{"when":{"feature":"max","window":"1h","op":">=","threshold":9}}}}"#;

/// Runs over what lies in the log; gives the details of the dead letters, and the metrics.
fn run(log: &Path) -> (Vec<String>, String) {
    let mut written = WrittenSettings::default();
    written.cluster.workers = 2;
    written.input.path = log.to_owned();
    written.output.path = log.to_owned();
    written.checkpoint.path = log.join("checkpoints").to_string_lossy().into_owned();
    written.input.clock = Clock::Arrival;
    written.unmatched.after = "0s".to_owned();
    let handles = Handles::new().unwrap();
    job::run(&written.check().unwrap(), &handles, None).unwrap();
    let letters = read(log, Topic::DEAD_LETTER);
    let details = letters
        .iter()
        .map(|letter| letter["detail"].as_str().unwrap().to_owned());
    (details.collect(), handles.metrics.render(&handles.meters))
}

fn base(log: &Path, thresholds: &str) {
    for topic in Topic::inputs() {
        put(log, topic, &[]);
    }
    let asset = br#"{"id":"a","category":"tank","domain":"work_safety","region":"330902001001","inherent_level":4}"#;
    put(log, Topic::BASE_ASSET, &[("a", asset)]);
    let datastream = format!(r#"{{"id":"d","asset":"a","observed_property":"level","thresholds":{thresholds}}}"#);
    put(log, Topic::BASE_DATASTREAM, &[("d", datastream.as_bytes())]);
    let observation = format!(r#"{{"datastream":"d","phenomenon_time":{START},"result":9.5}}"#);
    put(log, Topic::IN_OBSERVATION, &[("d", observation.as_bytes())]);
}

#[test]
fn a_refused_record_leaves_the_row_before_in_force_and_says_which() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path();
    base(log, "{}");
    let dropped = RULE
        .replace(r#""version":1"#, r#""version":2"#)
        .replace("\"red\"", "\"rot\"");
    let new = RULE.replace(r#""id":"l""#, r#""id":"m""#).replace(":9", ":4.0001");
    let datastream = br#"{"id":"d","asset":"b ","observed_property":"level"}"#;
    put(
        log,
        Topic::IN_RULE,
        &[("l", RULE.as_bytes()), ("l", dropped.as_bytes()), ("m", new.as_bytes())],
    );
    put(log, Topic::BASE_DATASTREAM, &[("d", datastream)]);
    let (mut details, _) = run(log);
    details.sort();
    let ends = [
        (
            "`asset` is `b `: it begins or ends with a blank",
            "\nthe row that `d` had before stays in force",
        ),
        (
            "`levels.red.when.threshold` is 4.0001",
            "\nthere is no row of this key, so nothing is in force",
        ),
        ("`levels.rot` is not known here", "\nversion 1 of `l` stays in force"),
    ];
    assert_eq!(details.len(), ends.len(), "{details:?}");
    for (detail, (begins, ends)) in details.iter().zip(ends) {
        assert!(detail.starts_with(begins) && detail.ends_with(ends), "{detail}");
    }
    let deltas = read(log, Topic::WARNING_DELTA);
    assert_eq!(deltas.len(), 1);
    assert_eq!(
        (&deltas[0]["to"], &deltas[0]["explanation"]["rule_version"]),
        (&"red".into(), &1.into())
    );
}

#[test]
fn what_is_wrong_in_two_rows_together_is_counted_and_the_rules_own_thresholds_hold() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path();
    base(log, r#"{"l":{"blue":10.5},"n":{"blue":1}}"#);
    put(log, Topic::IN_RULE, &[("l", RULE.as_bytes())]);
    let lone = br#"{"id":"e","asset":"A","observed_property":"level"}"#;
    put(log, Topic::BASE_DATASTREAM, &[("e", lone)]);
    let mut writer = LogWriter::open(log, Topic::BASE_ASSET.name(), 2).unwrap();
    for key in ["nobody", "nothing"] {
        writer.append(0, Millis(START), Some(key.as_bytes()), None).unwrap();
    }
    writer.sync().unwrap();
    drop(writer);
    let (details, metrics) = run(log);
    assert_eq!(details, [""; 0]);
    let deltas = read(log, Topic::WARNING_DELTA);
    assert_eq!(deltas[0]["explanation"]["condition"], "max 1h >= 9");
    let rows = read(log, Topic::UNMATCHED);
    let told: Vec<&str> = rows.iter().filter_map(|row| row["problem"].as_str()).collect();
    for problem in [
        "rule `l`: `red` at 9 is on more easily than `blue` at 10.5; the rule's own thresholds hold instead",
        "its asset `A` has no row in base.asset, so no rule watches it",
        "`thresholds.n` is for a rule that does not exist",
    ] {
        assert!(told.contains(&problem), "{problem}: {rows:?}\n{metrics}");
    }
    for line in [
        "riskflow_unmatched{kind=\"out_of_order\"} 1",
        "riskflow_unmatched{kind=\"rule_missing\"} 1",
        "riskflow_unmatched{kind=\"no_asset\"} 1",
        "riskflow_unmatched{kind=\"names_nothing\"} 0",
        "riskflow_unmatched{kind=\"unit\"} 0",
        "riskflow_deletions_in_vain_total 2",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}
