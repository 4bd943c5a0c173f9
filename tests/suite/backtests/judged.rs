//! A back-test beside what happened, from end to end: every number is written down here, worked out by hand; and the history may stand in
//! files, in the embedded log or in Kafka.

use std::process::Output;

use riskflow_tests::kafka::Kafka;
use serde_json::{Value, json};

use super::list;
use crate::first_hour::Desk;
use crate::kafka::{command, create_topics, now};

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// Hours and minutes of the day, in milliseconds.
const fn at(hour: i64, minute: i64) -> i64 {
    (60 * hour + minute) * MINUTE
}

/// Assets with a datastream of the same name each: domain, region, observed property. Two counties, 330902 and 330903.
const ASSETS: [(&str, &str, &str, &str); 3] = [
    ("g1", "natural_hazard", "330902001001", "rainfall"),
    ("g2", "natural_hazard", "330903001001", "rainfall"),
    ("tank", "work_safety", "330902001002", "gas"),
];

/// Datastream, when, result: a value counts until the next one, for an hour at most. `rain` is on from 20, `gas` from 50; nine tenths of
/// that, and no warning, are a near miss.
const OBSERVED: [(&str, i64, u32); 17] = [
    ("g1", at(0, 0), 5),
    ("g2", at(0, 0), 5),
    ("tank", at(0, 0), 10),
    // A warning: event 1 has it.
    ("g1", at(2, 0), 25),
    ("g1", at(3, 0), 5),
    // A warning: too late for event 2, in time for event 4.
    ("g2", at(4, 0), 22),
    ("g2", at(5, 0), 5),
    // A warning: half an hour after event 3 began.
    ("tank", at(5, 30), 60),
    ("g1", at(6, 0), 19),
    ("tank", at(6, 30), 10),
    ("g1", at(7, 0), 5),
    // A warning: a false alarm, for event 5 is of another domain.
    ("g1", at(10, 0), 30),
    ("g1", at(11, 0), 5),
    ("tank", at(12, 0), 46),
    ("tank", at(13, 0), 10),
    ("g1", at(13, 0), 5),
    ("g2", at(13, 0), 5),
];

/// What happened: place, from, to, domain; and how long before it began the first warning came, by a reach of two hours.
const EVENTS: [(&str, i64, i64, &str, Option<i64>); 5] = [
    ("330903", at(1, 0), at(2, 0), "", None),
    ("330902", at(3, 30), at(5, 0), "", Some(at(1, 30))),
    ("tank", at(5, 0), at(6, 0), "work_safety", Some(-at(0, 30))),
    ("330903001001", at(5, 0), at(6, 0), "natural_hazard", Some(at(1, 0))),
    ("330902", at(11, 30), at(12, 0), "work_safety", None),
];

/// The history of a day, the rules and the events, in files.
fn write(desk: &Desk, day: i64) {
    let lines = |rows: Vec<Value>| rows.iter().map(|row| format!("{row}\n")).collect::<String>();
    let regions = ["330902", "330903", "330903001001"].map(|code| json!({ "code": code, "name": code }));
    desk.put("base.region.ndjson", lines(regions.to_vec()));
    let assets = ASSETS.map(
        |(id, domain, region, _)| json!({ "id": id, "category": "plant", "domain": domain, "region": region, "inherent_level": 2 }),
    );
    desk.put("base.asset.ndjson", lines(assets.to_vec()));
    let datastreams =
        ASSETS.map(|(id, _, _, property)| json!({ "id": id, "asset": id, "observed_property": property }));
    desk.put("base.datastream.ndjson", lines(datastreams.to_vec()));
    let observed =
        OBSERVED.map(|(id, time, result)| json!({ "datastream": id, "phenomenon_time": day + time, "result": result }));
    desk.put("in.observation.ndjson", lines(observed.to_vec()));
    let rules = [("rain", "rainfall", 20), ("gas", "gas", 50)].map(|(id, property, threshold)| {
        let when = json!({ "feature": "last", "window": "1h", "op": ">=", "threshold": threshold });
        json!({
            "id": id, "version": 1, "source": "test", "select": { "observed_property": property }, "pane": "1m",
            "levels": { "blue": { "when": when } },
        })
    });
    desk.put("rules.json", json!(rules).to_string());
    let events = EVENTS.map(|(place, from, to, domain, _)| format!("{place},{},{},{domain}\n", day + from, day + to));
    desk.put("truth.csv", format!("place,from,to,domain\n{}", events.concat()));
}

const BACKTEST: [&str; 10] = [
    "--rules",
    "rules.json",
    "--truth",
    "truth.csv",
    "--max-lead",
    "2h",
    "--clock",
    "event-time",
    "--json",
    "-",
];
const TICK: [&str; 2] = ["--set", "epoch.replay_tick=\"1m\""];
const HISTORY: [&str; 4] = [
    "base.region.ndjson",
    "base.asset.ndjson",
    "base.datastream.ndjson",
    "in.observation.ndjson",
];

/// The history in files, and its report.
fn over_files(day: i64) -> (Desk, Value) {
    let desk = Desk::new();
    write(&desk, day);
    let said = desk.run(&[&["backtest"][..], &BACKTEST, &TICK, &HISTORY].concat());
    said.ends(0, &[]);
    let report = said.json();
    (desk, report)
}

/// A day within what topics keep.
fn recent() -> i64 {
    (now() / DAY - 2) * DAY
}

/// Hits, misses, judged warnings, false alarms.
fn counts(scores: &Value) -> [u64; 4] {
    ["hits", "misses", "warnings", "false_alarms"].map(|name| scores[name].as_u64().unwrap())
}

#[test]
fn a_day_is_judged_as_it_was_worked_out_by_hand() {
    // 2021-07-25T00:00:00Z.
    let day = 1_627_171_200_000;
    let (_desk, report) = over_files(day);
    let scores = &report["new"]["scores"];
    assert_eq!(scores["events"], 5);
    assert_eq!(counts(scores), [3, 2, 4, 1]);
    assert_eq!(
        (&scores["pod"], &scores["far"], &scores["csi"]),
        (&json!(0.6), &json!(0.25), &json!(0.5))
    );
    let lead = json!({ "lower_quartile_ms": -at(0, 30), "median_ms": at(1, 0), "upper_quartile_ms": at(1, 30) });
    assert_eq!(scores["lead"], lead);
    let leads: Vec<Option<i64>> = list(&report, "events")
        .iter()
        .map(|event| event["new_lead_ms"].as_i64())
        .collect();
    assert_eq!(leads, EVENTS.map(|(.., lead)| lead));

    let told = |name: &str| -> Vec<(String, String, String)> {
        let text = |warning: &Value, field: &str| warning[field].as_str().unwrap().to_owned();
        let warnings = list(&report, name).iter();
        let mut told: Vec<_> = warnings
            .map(|warning| (text(warning, "rule"), text(warning, "asset"), text(warning, "since")))
            .collect();
        told.sort();
        told
    };
    let expected = |warnings: &[(&str, &str, i64)]| -> Vec<(String, String, String)> {
        let warnings = warnings.iter().map(|(rule, asset, time)| {
            let since = riskflow_model::Millis(day + time).to_string();
            ((*rule).to_owned(), (*asset).to_owned(), since)
        });
        warnings.collect()
    };
    let warnings = [
        ("gas", "tank", at(5, 30)),
        ("rain", "g1", at(2, 0)),
        ("rain", "g1", at(10, 0)),
        ("rain", "g2", at(4, 0)),
    ];
    assert_eq!(told("new_warnings"), expected(&warnings));
    let near = [("gas", "tank", at(12, 0)), ("rain", "g1", at(6, 0))];
    assert_eq!(told("near_misses"), expected(&near));

    // Of rules all events count; of a county those in it; of a domain those of it or of none.
    let by: [(&str, [Group; 2]); 3] = [
        ("by_rule", [("gas", [1, 4, 1, 0]), ("rain", [2, 3, 3, 1])]),
        ("by_region", [("330902", [2, 1, 3, 1]), ("330903", [1, 1, 1, 0])]),
        (
            "by_domain",
            [("natural_hazard", [2, 1, 3, 1]), ("work_safety", [1, 3, 1, 0])],
        ),
    ];
    for (groups, expected) in by {
        let found = list(&report, groups).iter();
        let found = found.map(|group| (group["id"].as_str().unwrap(), counts(&group["new_scores"])));
        assert_eq!(found.collect::<Vec<_>>(), expected, "{groups}");
    }
}

/// What a rule, county or domain is called, and its scores.
type Group = (&'static str, [u64; 4]);

/// What must be the same wherever a history stands.
const SAME: [&str; 10] = [
    "from",
    "until",
    "read",
    "new",
    "by_rule",
    "by_region",
    "by_domain",
    "events",
    "near_misses",
    "new_warnings",
];

fn assert_same(found: &Value, over_files: &Value) {
    assert_eq!(over_files["new"]["warnings"], 4);
    for field in SAME {
        assert_eq!(found[field], over_files[field], "{field}");
    }
}

#[test]
fn a_history_in_the_embedded_log_is_judged_as_in_files() {
    let (desk, over_files) = over_files(recent());
    desk.run(&[&["import"][..], &HISTORY].concat()).ends(0, &[]);
    let said = desk.run(&[&["backtest"][..], &BACKTEST, &TICK].concat());
    said.ends(0, &[]);
    assert_same(&said.json(), &over_files);
}

#[test]
fn kafka_a_history_is_judged_as_in_files() {
    let Some(kafka) = Kafka::for_test("backtest") else {
        return;
    };
    create_topics(&kafka);
    let (desk, over_files) = over_files(recent());
    let run = |verb: &str, arguments: &[&str]| -> Output {
        let mut command = command(&kafka, verb, &[]);
        let output = command.args(arguments).current_dir(desk.folder()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
    };
    run("import", &HISTORY);
    let said = run("backtest", &[&BACKTEST[..], &TICK].concat());
    assert_same(&serde_json::from_slice(&said.stdout).unwrap(), &over_files);
}
