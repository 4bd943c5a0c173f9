//! The command as a whole, over the real weather of 2013.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use clap::Parser as _;
use riskflow::simulator::weather;
use riskflow_config::WrittenSettings;
use riskflow_model::Millis;
use riskflow_model::topic::Topic;
use serde_json::{Value, json};

use super::report::Warning;
use super::*;
use crate::program::cli::{Arguments, Command};

/// A folder with the weather, that goes with the test.
struct Desk(PathBuf);

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const HOUR: i64 = 3_600_000;

impl Desk {
    /// The rain of these months, in millimetres or in inches.
    fn new((from, until): (&str, &str), in_inches: bool) -> Self {
        let desk = Self(std::env::temp_dir().join(format!("riskflow-backtest-test-{}", uuid::Uuid::new_v4())));
        fs::create_dir_all(desk.0.join("history")).unwrap();
        let (from, until): (Millis, Millis) = (from.parse().unwrap(), until.parse().unwrap());
        let mut lines: BTreeMap<Topic, String> = BTreeMap::new();
        let mut add = |topic: Topic, line: &str| {
            let lines = lines.entry(topic).or_default();
            lines.push_str(line);
            lines.push('\n');
        };
        for (topic, _, payload) in weather::base() {
            let mut row: Value = serde_json::from_slice(&payload).unwrap();
            if in_inches && row["observed_property"] == "rainfall" {
                row["unit"] = "[in_i]".into();
            }
            if topic != Topic::IN_RULE {
                add(topic, &row.to_string());
            }
        }
        for (time, datastream, result) in rain(in_inches) {
            if time >= from && time < until {
                let row = json!({ "datastream": datastream, "phenomenon_time": time.0, "result": result });
                add(Topic::IN_OBSERVATION, &row.to_string());
            }
        }
        for (topic, lines) in lines {
            fs::write(desk.0.join(format!("history/{topic}.ndjson")), lines).unwrap();
        }
        desk
    }

    fn put(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn arguments(&self, arguments: &[&str]) -> BacktestArguments {
        let history = self.0.join("history");
        let words = ["riskflow", "backtest"].into_iter().chain(arguments.iter().copied());
        let words = words.chain([history.to_str().unwrap()]);
        match Arguments::try_parse_from(words).unwrap().command {
            Command::Backtest(arguments) => *arguments,
            other => panic!("{other:?}"),
        }
    }

    fn run(&self, arguments: &[&str]) -> Report {
        let settings = WrittenSettings::default().check().unwrap();
        let report = report(&self.arguments(arguments), settings, &Handles::new().unwrap());
        report.unwrap().unwrap()
    }
}

/// The measured rain by station.
fn rain(in_inches: bool) -> impl Iterator<Item = (Millis, String, f64)> {
    weather::observations().filter_map(move |(time, datastream, payload)| {
        let row: Value = serde_json::from_slice(&payload).unwrap();
        let millimetres = row["result"].as_f64().unwrap();
        let result = if in_inches {
            (millimetres / 0.254).round() / 100.0
        } else {
            millimetres
        };
        datastream.ends_with("-rainfall").then_some((time, datastream, result))
    })
}

/// A rule of one level: so much in twelve hours.
fn rule(id: &str, threshold: f64) -> String {
    rule_over(id, "12h", threshold)
}

/// A rule of one level: so much within a time.
fn rule_over(id: &str, window: &str, threshold: f64) -> String {
    json!({
        "id": id, "version": 1, "name": "<b>雨</b>", "select": { "observed_property": "rainfall" }, "unit": "mm", "pane": "1m",
        "levels": { "blue": { "when": { "feature": "sum", "window": window, "op": ">=", "threshold": threshold }, "clear": "10m" } },
    })
    .to_string()
}

const YEAR: (&str, &str) = ("2013-01-01T00:00:00Z", "2014-01-02T00:00:00Z");
const SPRING: (&str, &str) = ("2013-05-01T00:00:00Z", "2013-07-01T00:00:00Z");

/// The rain of a station as the file of the measurements has it, in thousandths of a millimetre by time. Nothing of the product reads it.
fn measured(station: &str) -> BTreeMap<i64, i64> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/data/weather_hourly_2013_ewr_jfk.csv");
    let text = fs::read_to_string(file).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    assert_eq!(lines.next().unwrap()[..3], ["station", "time_utc", "precip_in"]);
    let of_it = lines.filter(|cells| cells[0] == station && cells[2] != "NA");
    let rows = of_it.map(|cells| {
        let time: jiff::Timestamp = cells[1].parse().unwrap();
        let inches: f64 = cells[2].parse().unwrap();
        (time.as_millisecond(), (inches * 25_400.0).round() as i64)
    });
    rows.collect()
}

/// When so many thousandths of a millimetre or more fell within so many hours: from, until. What is not known ends nothing.
fn naive(series: &BTreeMap<i64, i64>, hours: i64, threshold: i64) -> Vec<(i64, i64)> {
    let mut times: Vec<i64> = series.keys().flat_map(|time| [*time, *time + hours * HOUR]).collect();
    times.sort_unstable();
    times.dedup();
    let mut spells: Vec<(i64, i64)> = Vec::new();
    let mut since = None;
    for time in times {
        let mut sum = None;
        for (_, value) in series.range(time - hours * HOUR + 1..=time) {
            sum = Some(sum.unwrap_or(0) + value);
        }
        match (since, sum) {
            (None, Some(sum)) if sum >= threshold => since = Some(time),
            (Some(from), Some(sum)) if sum < threshold => {
                spells.push((from, time));
                since = None;
            }
            _ => {}
        }
    }
    assert_eq!(since, None, "it rains no more at the end of the year");
    spells
}

/// The spells of a rule at a station, without the ten minutes for which a level must be off before it ends.
fn spells(warnings: &[Warning], rule: &str, station: &str) -> Vec<(i64, i64)> {
    const CLEAR: i64 = 600_000;
    let of_it = warnings
        .iter()
        .filter(|one| *one.rule == *rule && *one.asset == *station);
    of_it.map(|one| (one.since.0, one.until.unwrap().0 - CLEAR)).collect()
}

/// Rule, hours, millimetres; and by station, EWR and JFK, how many spells there were in 2013, and for how many hours together. Counted from
/// the file by a script of its own, apart from this test and from riskflow.
type Year = (&'static str, i64, i64, [(usize, i64); 2]);
const RAIN_OF_2013: [Year; 4] = [
    ("rain", 12, 50, [(2, 13), (1, 12)]),
    ("wet", 12, 10, [(41, 485), (28, 335)]),
    ("drizzle", 12, 3, [(60, 940), (55, 836)]),
    ("shower", 3, 4, [(56, 259), (46, 202)]),
];

/// A debug build, and a machine with other work: `make bench` has the bound, 5 s.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(60);

#[test]
fn a_year_of_real_rain_is_as_a_plain_loop_has_it() {
    let desk = Desk::new(YEAR, false);
    let rules = [("wet", "12h", 10.0), ("drizzle", "12h", 3.0), ("shower", "3h", 4.0)];
    let files = rules.map(|(id, window, threshold)| {
        let text = rule_over(id, window, threshold);
        desk.put(&format!("{id}.json"), &text)
    });
    let mut arguments = vec!["--rules", "rain", "--until", YEAR.1];
    arguments.extend(files.iter().flat_map(|file| ["--rules", file.as_str()]));
    let began = std::time::Instant::now();
    let report = desk.run(&arguments);
    let took = began.elapsed();
    assert!(took < LONGEST, "the year took {took:?}");
    for (at, station) in ["EWR", "JFK"].into_iter().enumerate() {
        let series = measured(station);
        assert!(series.len() > 8_700, "{station}: {} hours", series.len());
        for (rule, hours, millimetres, expected) in RAIN_OF_2013 {
            let naive = naive(&series, hours, 1_000 * millimetres);
            let lasted = naive.iter().map(|(from, until)| until - from).sum::<i64>();
            assert_eq!((naive.len(), lasted), (expected[at].0, expected[at].1 * HOUR), "{rule}");
            assert_eq!(
                spells(&report.new_warnings, rule, station),
                naive,
                "{rule} at {station}"
            );
        }
    }
    for (rule, _, _, expected) in RAIN_OF_2013 {
        let of_rule = report.by_rule.iter().find(|group| group.id == rule).unwrap();
        let (count, hours) = expected.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        // Each lasts until it has been off for ten minutes.
        let lasted = hours * HOUR + count as i64 * 600_000;
        assert_eq!((of_rule.new_warnings, of_rule.new_lasted.0), (count, lasted), "{rule}");
    }

    let inches = Desk::new(YEAR, true);
    let same = inches.run(&arguments);
    assert_eq!(same.new_warnings, report.new_warnings);
}

#[test]
fn two_sets_in_one_run_differ_as_two_runs_do() {
    let desk = Desk::new(SPRING, false);
    let (new, old) = (
        desk.put("new.json", &rule("rain", 20.0)),
        desk.put("old.json", &rule("rain", 25.0)),
    );
    let both = desk.run(&["--rules", &new, "--against", &old]);
    let (new, old) = (desk.run(&["--rules", &new]), desk.run(&["--rules", &old]));
    assert_eq!(
        (&both.new_warnings, &both.old_warnings),
        (&new.new_warnings, &old.new_warnings)
    );
    assert!(new.old.is_none() && new.relations.is_none());
    // A plain difference of the two: equal rows are the same warning.
    let only = |a: &[Warning], b: &[Warning]| a.iter().filter(|one| !b.contains(one)).count();
    let relations = both.relations.unwrap();
    let paired = relations.level + relations.time + relations.level_and_time;
    assert_eq!(relations.only_new + paired, only(&new.new_warnings, &old.new_warnings));
    assert_eq!(relations.only_old + paired, only(&old.new_warnings, &new.new_warnings));
    assert_eq!(
        relations.same + relations.different(),
        both.new.warnings + relations.only_old
    );
    assert!(relations.different() > 0 && both.differences.len() == relations.different());
}

#[test]
fn a_sweep_in_one_run_is_as_a_run_for_each_value() {
    let desk = Desk::new(SPRING, false);
    let rules = desk.put("rules.json", &rule("rain", 20.0));
    let truth = desk.put(
        "truth.csv",
        "place,from,to\n9900,2013-06-07T18:00:00Z,2013-06-08T06:00:00Z\nEWR,2013-05-20T00:00:00Z,2013-05-20T01:00:00Z\n",
    );
    let swept = desk.run(&["--rules", &rules, "--sweep", "rain.blue=10..50/10", "--truth", &truth]);
    assert_eq!(swept.sweep.len(), 5);
    for (point, threshold) in swept.sweep.iter().zip([10.0, 20.0, 30.0, 40.0, 50.0]) {
        assert_eq!(point.name, format!("rain.blue={threshold}"));
        let rules = desk.put("one.json", &rule("rain", threshold));
        let one = desk.run(&["--rules", &rules, "--truth", &truth]);
        let as_json = |set: &report::Set| serde_json::to_value(set).unwrap();
        assert_eq!(as_json(&point.set), as_json(&one.new), "{threshold}");
    }
    let hits: Vec<usize> = swept
        .sweep
        .iter()
        .map(|point| point.set.scores.as_ref().unwrap().hits)
        .collect();
    assert!(hits.is_sorted_by(|a, b| a >= b) && hits[0] > 0, "{hits:?}");
}

#[test]
fn thresholds_of_a_station_are_those_of_every_set_and_the_page_is_only_text() {
    let desk = Desk::new(("2013-06-01T00:00:00Z", "2013-06-15T00:00:00Z"), false);
    let asset = r#"{"id":"EWR","name":"<script>alert(1)</script>","category":"weather_station","domain":"natural_hazard",
        "region":"990001001001","inherent_level":2,"thresholds":{"rain":{"blue":500}}}"#;
    let assets = desk.0.join("history/base.asset.ndjson");
    let mut rows = fs::read_to_string(&assets).unwrap();
    rows = rows
        .lines()
        .filter(|line| !line.contains("\"EWR\""))
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(&assets, rows + &asset.replace('\n', "") + "\n").unwrap();
    let (new, old) = (
        desk.put("new.json", &rule("rain", 20.0)),
        desk.put("old.json", &rule("rain", 30.0)),
    );
    let truth = desk.put(
        "truth.csv",
        "place,from,to\nJFK,2013-06-08T00:00:00Z,2013-06-08T06:00:00Z\n",
    );
    let arguments: [&str; 10] = [
        "--rules",
        &new,
        "--against",
        &old,
        "--truth",
        &truth,
        "--html",
        "x.html",
        "--sweep",
        "rain.blue=20..40/5",
    ];
    let report = desk.run(&arguments);
    let at = |warnings: &[Warning], asset: &str| warnings.iter().filter(|one| *one.asset == *asset).count();
    assert_eq!(
        (at(&report.new_warnings, "EWR"), at(&report.old_warnings, "EWR")),
        (0, 0)
    );
    assert!(at(&report.new_warnings, "JFK") > 0);
    assert!(report.notes[0].en.contains("base.asset"), "{:?}", report.notes);
    let zone = jiff::tz::TimeZone::get("Asia/Shanghai").unwrap();
    let page = html::page(&report, &zone);
    assert!(!page.contains("<script") && !page.contains("<b>雨") && !page.contains("http://"));
    assert_eq!(page, html::page(&desk.run(&arguments), &zone));
    let of_ewr = desk.run(&["--rules", &new, "--html", "x.html", "--station", "EWR"]);
    assert!(html::page(&of_ewr, &zone).contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    let station = report.station.unwrap();
    assert_eq!((&*station.asset, station.curves.len()), ("JFK", 1));
    let (curve, blue) = (&station.curves[0], riskflow_model::Level::Blue);
    assert_eq!(
        (&*curve.thresholds, &*curve.old_thresholds),
        (&[(blue, 20.0)][..], &[(blue, 30.0)][..])
    );
}

#[test]
fn what_cannot_be_is_refused_before_the_run() {
    let desk = Desk::new(("2013-06-01T00:00:00Z", "2013-06-02T00:00:00Z"), false);
    let bad = desk.put("bad.csv", "place,from,to\nnowhere-9,2013-06-08,2013-06-09\n");
    for (arguments, says) in [
        (vec!["--rules", "rein"], "neither a pack nor a file"),
        (vec!["--rules", "rain", "--truth", bad.as_str()], "bad.csv:2, place"),
        (vec!["--rules", "rain", "--station", "XXX"], "a datastream or an asset"),
        (vec!["--rules", "rain", "--sweep", "rain.blue=1..9"], "no step"),
        (vec!["--rules", "rain", "--max-lead", "soon"], "`--max-lead`"),
        (
            vec!["--rules", "rain", "--html", "/nowhere/at/all.html"],
            "cannot be written",
        ),
        (vec!["--rules", "permit"], "limits of work under permit"),
    ] {
        let settings = WrittenSettings::default().check().unwrap();
        let error = report(&desk.arguments(&arguments), settings, &Handles::new().unwrap());
        let error = error.err().unwrap();
        assert!(format!("{error:#}").contains(says), "{arguments:?}: {error:#}");
        assert_eq!(
            format!("{:?}", crate::program::exit::code(&error)),
            format!("{:?}", ExitCode::from(2)),
            "{error:#}"
        );
    }
}

#[test]
fn a_rule_that_watches_nothing_is_named_and_rules_are_no_records_of_the_history() {
    let desk = Desk::new(SPRING, false);
    let wet = desk.put("wet.json", &rule("wet", 10.0));
    let dry = desk.put("dry.json", &rule("dry", 10.0).replace("\"rainfall\"", "\"drought\""));
    let report = desk.run(&["--rules", &wet]);
    let says = "these rules watch no datastream of the history, so they cannot warn: ";
    assert!(
        !report.notes.iter().any(|note| note.en.starts_with(says)),
        "{:?}",
        report.notes
    );
    let with_more = desk.run(&["--rules", &wet, "--rules", &dry, "--sweep", "wet.blue=5..50/5"]);
    let named = with_more
        .notes
        .iter()
        .any(|note| note.en.starts_with(&format!("{says}dry; ")));
    assert!(named, "{:?}", with_more.notes);
    assert_eq!(with_more.read.records, report.read.records);
}

#[test]
fn times_that_the_history_does_not_have_are_refused() {
    let desk = Desk::new(SPRING, false);
    let wet = desk.put("wet.json", &rule("wet", 10.0));
    for (option, time, says) in [
        ("--from", "2100-01-01T00:00:00Z", "and the history ends with 2013-"),
        (
            "--until",
            "2001-01-01T00:00:00Z",
            "and the history has no records by then",
        ),
    ] {
        let settings = WrittenSettings::default().check().unwrap();
        let arguments = desk.arguments(&["--rules", &wet, option, time]);
        let error = report(&arguments, settings, &Handles::new().unwrap()).err().unwrap();
        let usage = error.downcast_ref::<Usage>().unwrap();
        assert!(
            usage.0.starts_with(&format!("`{option}` is ")) && usage.0.contains(says),
            "{usage}"
        );
    }
}
