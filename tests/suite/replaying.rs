//! A replay gives what the job gave, byte by byte: at any speed, on any number of workers, through crashes; and it is an exercise that
//! no live topic ever sees.

mod apart;
mod asked;
mod elsewhere;
mod envelopes;
mod gone;
mod killed;
mod marked;
mod offsets;
mod outage;
mod shown;
mod speed;
mod together;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};

use riskflow_model::progress::{ClosedEpoch, Progress};
use riskflow_model::topic::Topic;
use riskflow_tests::kafka::Kafka;
use serde_json::Value;
use tempfile::TempDir;

use crate::chaos::place::{KafkaPlace, LogPlace, Place};
use crate::chaos::{SETTINGS, free, settle, storm_of_sets};
use crate::restart::{after_a_storm, after_a_storm_of_sets};

/// What stands under each key of each topic, in its order.
type Published = BTreeMap<(Topic, String), Vec<Option<String>>>;

fn command(program: &Path, place: &dyn Place, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(["replay", "--log", "warn"]).args(arguments);
    for set in place.settings().iter().map(String::as_str).chain(SETTINGS) {
        command.args(["--set", set]);
    }
    command
}

/// A replay that must come to its end.
fn replay(place: &dyn Place, arguments: &[&str]) -> Output {
    let output = command(&crate::kafka::riskflow(), place, arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    output
}

/// The same by two processes.
fn replay_by_two(place: &dyn Place, arguments: &[&str]) {
    let hosts = format!("cluster.hosts={:?}", [free().to_string(), free().to_string()]);
    let processes = ["cluster.process=0", "cluster.process=1"].map(|process| {
        let sets = ["--set", &hosts, "--set", process];
        let arguments = [arguments, &sets].concat();
        command(&crate::kafka::riskflow(), place, &arguments).spawn().unwrap()
    });
    for mut process in processes {
        assert!(process.wait().unwrap().success(), "{arguments:?}");
    }
}

/// What a job published that ran.
fn live(place: &dyn Place) -> Published {
    let mut published = Published::new();
    for topic in Topic::outputs().filter(|topic| !topic.is_internal()) {
        for row in place.all(topic) {
            published.entry((topic, row.key)).or_default().push(row.value);
        }
    }
    published
}

/// The files of a replay, by name.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: std::path::PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, std::fs::read(&path).unwrap())
    };
    entries
        .map(read)
        .filter(|(name, _)| name.ends_with(".ndjson"))
        .collect()
}

/// The same as a job publishes it. Every line is marked.
fn published(folder: &Path) -> Published {
    let mut published = Published::new();
    for text in files(folder).into_values() {
        publish(&mut published, &String::from_utf8(text).unwrap());
    }
    published
}

/// Adds what stands in some lines, each of which is marked once.
fn publish(published: &mut Published, lines: &str) {
    for line in lines.lines() {
        assert!(line.ends_with(r#","exercise":true}"#), "{line}");
        // The value as it stands: its bytes count.
        let value = line
            .split_once(r#","value":"#)
            .unwrap()
            .1
            .rsplit_once(r#","arrival":"#)
            .unwrap()
            .0;
        assert!(!value.contains("exercise"), "{line}");
        let envelope: Value = serde_json::from_str(line).unwrap();
        let topic = Topic::from_name(envelope["topic"].as_str().unwrap()).unwrap();
        let key = envelope["key"].as_str().unwrap().to_owned();
        let value = (value != "null").then(|| value.to_owned());
        published.entry((topic, key)).or_default().push(value);
    }
}

/// How many epochs a job closed that ran.
fn epochs(place: &dyn Place) -> usize {
    let keys = place.all(Topic::EPOCH).into_iter().map(|row| row.key);
    let keys = keys.filter(|key| !ClosedEpoch::is_position(key));
    let epochs: BTreeSet<String> = keys.map(|key| Progress::first_key(&key).to_owned()).collect();
    epochs.len()
}

fn text(folder: &TempDir) -> &str {
    folder.path().to_str().unwrap()
}

fn assert_same(found: &Published, wanted: &Published) {
    for (place, rows) in wanted {
        assert_eq!(found.get(place), Some(rows), "{place:?}");
    }
    assert_eq!(found.len(), wanted.len());
}

#[test]
fn the_epochs_that_ran_give_the_same_bytes_at_any_speed_and_number_of_workers() {
    let (place, _checkpoints, _) = after_a_storm_of_sets(61);
    let live = live(&place);
    for topic in [Topic::WARNING_DELTA, Topic::CANDIDATE_DELTA] {
        let deltas = live.keys().filter(|(told, _)| *told == topic).count();
        assert!(
            deltas > 2,
            "a run in which nothing happens proves nothing: {deltas} in {topic}"
        );
    }
    let ways: [&[&str]; 4] = [
        &["--set", "cluster.workers=1"],
        &["--set", "cluster.workers=2"],
        &["--set", "cluster.workers=4"],
        &["--speed", "100"],
    ];
    let mut first: Option<BTreeMap<String, Vec<u8>>> = None;
    for way in ways {
        let folder = tempfile::tempdir().unwrap();
        let output = replay(
            &place,
            &[&["--as-ran", "--verify", "--json", "--out", text(&folder)], way].concat(),
        );
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(summary["epochs_compared"], epochs(&place), "{way:?}: {summary}");
        assert_same(&published(folder.path()), &live);
        let files = files(folder.path());
        assert!(
            first.get_or_insert_with(|| files.clone()) == &files,
            "{way:?} gives other bytes"
        );
    }
    // What ran is as it was, and no exercise.
    assert_eq!(self::live(&place), live);
    assert!(
        live.values()
            .flatten()
            .flatten()
            .all(|value| !value.contains("exercise"))
    );
}

#[test]
fn two_processes_replay_what_one_does() {
    let (place, _checkpoints, _) = after_a_storm(67);
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for epochs in [&["--as-ran", "--verify"][..], &[]] {
        replay(&place, &[epochs, &["--out", text(&one)]].concat());
        replay_by_two(&place, &[epochs, &["--out", text(&two)]].concat());
        assert!(
            files(two.path()) == files(one.path()),
            "{epochs:?}: two processes give other bytes"
        );
    }
}

#[test]
fn from_a_time_on_the_tables_come_first_and_then_what_the_whole_gives() {
    let (place, _checkpoints, _) = after_a_storm(63);
    from_half_way_on(&place);
}

/// From the middle of its warnings on.
fn from_half_way_on(place: &dyn Place) {
    let (whole, part) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    replay(place, &["--as-ran", "--out", text(&whole)]);
    let arrival = |line: &str| -> String {
        let envelope: Value = serde_json::from_str(line).unwrap();
        envelope["arrival"].as_str().unwrap().to_owned()
    };
    let lines = |folder: &TempDir, topic: Topic| -> Vec<String> {
        let text = std::fs::read_to_string(folder.path().join(format!("{topic}.ndjson"))).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    };
    let deltas = lines(&whole, Topic::WARNING_DELTA);
    let from = arrival(&deltas[deltas.len() / 2]);
    replay(place, &["--as-ran", "--from", &from, "--out", text(&part)]);
    for topic in Topic::outputs().filter(|topic| !topic.is_internal()) {
        let of_whole = lines(&whole, topic);
        let behind: Vec<&String> = of_whole.iter().filter(|line| arrival(line) >= from).collect();
        let of_part = lines(&part, topic);
        if topic.cleanup() == riskflow_model::topic::Cleanup::Delete {
            assert_eq!(of_part.iter().collect::<Vec<_>>(), behind, "{topic}");
        } else {
            // The first epoch holds all rows as they stand then; behind it the same changes.
            let changes = |lines: &[&String]| -> Vec<String> {
                let behind = lines.iter().filter(|line| arrival(line) > from);
                behind.map(|line| (*line).clone()).collect()
            };
            assert_eq!(
                changes(&of_part.iter().collect::<Vec<_>>()),
                changes(&behind),
                "{topic}"
            );
            let keys = |lines: &mut dyn Iterator<Item = &String>| -> BTreeMap<String, bool> {
                let rows = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
                rows.map(|row| (row["key"].as_str().unwrap().to_owned(), !row["value"].is_null()))
                    .collect()
            };
            let mut standing = keys(&mut of_whole.iter().filter(|line| arrival(line) <= from));
            standing.retain(|_, stands| *stands);
            let mut found = keys(&mut of_part.iter().filter(|line| arrival(line) == from));
            found.retain(|_, stands| *stands);
            assert_eq!(found, standing, "{topic}");
        }
    }
}

#[test]
fn an_exercise_and_a_live_job_keep_out_of_each_others_places() {
    let (place, checkpoints, _) = after_a_storm(64);
    let refused = |arguments: &[&str], why: &str, code: i32| {
        let output = command(&crate::kafka::riskflow(), &place, arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            (output.status.code(), said.contains(why)),
            (Some(code), true),
            "{arguments:?}: {said}"
        );
    };
    let live = place.folder().to_str().unwrap().to_owned();
    refused(&["--to-log", &live], "is a log that no exercise made", 2);
    refused(&["--out", &live], "is a log, and no replay wrote it", 2);
    refused(
        &["--prefix", "x."],
        "neither input nor output is configured to be there",
        2,
    );
    refused(&[], "--out", 2);
    refused(&["--as-ran", "--rules", "rain", "--out", "x"], "cannot be used with", 2);
    refused(&["--speed", "0", "--out", "x"], "0.001 to 1000000", 2);
    // What is for one place alone is not passed over at another.
    for place in ["--out", "--to-log"] {
        refused(&[place, "x", "--force"], "cannot be used with", 2);
        refused(&[place, "x", "--checkpoints", "y"], "cannot be used with", 2);
    }
    refused(&["--out", "x", "--verify", "--rules", "rain"], "cannot be used with", 2);
    refused(&["--out", "x", "--verify"], "--as-ran", 2);
    refused(&["--to-log", "x", "--format", "csv"], "cannot be used with", 2);
    let exercise = tempfile::tempdir().unwrap();
    let log = exercise.path().join("log");
    replay(&place, &["--to-log", log.to_str().unwrap()]);
    // A live job that were to write there.
    let mut run = Command::new(crate::kafka::riskflow());
    run.args(["run", "--log", "warn", "--set", "http.enabled=false"]);
    let own = tempfile::tempdir().unwrap();
    let sets = [
        format!("input.path={live:?}"),
        format!("output.path={log:?}"),
        "topics.partitions=3".to_owned(),
        format!("checkpoint.path={:?}", own.path()),
    ];
    for set in sets {
        run.args(["--set", &set]);
    }
    let output = run.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(1) && said.contains("is the log of an exercise"),
        "{said}"
    );
    drop(checkpoints);
}

/// Files have no offsets to go on from.
#[test]
fn files_are_replayed_into_a_log_once_and_into_a_folder_anew() {
    let (place, folder) = (LogPlace::new(), tempfile::tempdir().unwrap());
    let file = folder.path().join("base.region.ndjson");
    std::fs::write(&file, "{\"code\":\"3309\",\"name\":\"Zhoushan\"}\n").unwrap();
    let file = file.to_str().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (log, out) = (at("log"), at("out"));
    replay(&place, &[file, "--to-log", &log]);
    let again = command(&crate::kafka::riskflow(), &place, &[file, "--to-log", &log])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(
        again.status.code() == Some(2) && said.contains("does not go on where it stood"),
        "{said}"
    );
    replay(&place, &[file, "--out", &out]);
    let first = files(Path::new(&out));
    replay(&place, &[file, "--out", &out]);
    assert!(files(Path::new(&out)) == first);
    // As long as another writes there, it is not touched.
    let mark = std::fs::File::open(Path::new(&out).join("exercise")).unwrap();
    mark.lock().unwrap();
    let beside = command(&crate::kafka::riskflow(), &place, &[file, "--out", &out])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&beside.stderr);
    assert!(
        beside.status.code() == Some(2) && said.contains("another replay writes to"),
        "{said}"
    );
    assert!(files(Path::new(&out)) == first);
}

/// A rule that warns of any gas at all, in a file.
fn new_rule(folder: &Path) -> String {
    let rule = folder.join("new.json");
    let new = r#"[{"id":"gas-new","version":1,"source":"test","select":{"observed_property":"gas"},"pane":"1s",
        "levels":{"blue":{"when":{"feature":"last","window":"4s","op":">=","threshold":1}}}}]"#;
    std::fs::write(&rule, new).unwrap();
    rule.to_str().unwrap().to_owned()
}

/// Rules in the place of those of the history: an exercise of what they would have done.
#[test]
fn other_rules_are_tried_on_the_same_history() {
    let (place, _checkpoints, _) = after_a_storm(65);
    let folder = tempfile::tempdir().unwrap();
    let rule = new_rule(folder.path());
    let out = folder.path().join("out");
    let output = replay(&place, &["--rules", &rule, "--json", "--out", out.to_str().unwrap()]);
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        summary["events_of_warnings"]["raised"].as_u64().unwrap() > 3,
        "{summary}"
    );
    let text = std::fs::read_to_string(out.join("out.warning.delta.ndjson")).unwrap();
    assert!(text.lines().all(|line| line.contains(r#""rule":"gas-new""#)));
    assert_eq!(summary["records"]["in.rule"], 1);
}

/// What a replay published on Kafka. Every record is marked, once.
fn of_exercise(exercise: &Kafka) -> Published {
    let mut replayed = Published::new();
    for topic in Topic::outputs().filter(|topic| !topic.is_internal()) {
        for record in exercise.consume(topic).unwrap() {
            let marks = record
                .headers
                .windows(2)
                .filter(|pair| pair[0] == "ce_exercise")
                .count();
            assert_eq!(marks, 1, "{record:?}");
            let key = record.key.unwrap_or_default();
            replayed.entry((topic, key)).or_default().push(record.value);
        }
    }
    replayed
}

/// The very epochs into files, each time the same bytes: those that ran.
fn at_any_speed_on_any_number_of_workers(place: &dyn Place, live: &Published) {
    let folder = tempfile::tempdir().unwrap();
    let mut first: Option<BTreeMap<String, Vec<u8>>> = None;
    let ways: [(&[&str], &str); 3] = [(&[], "1"), (&["--speed", "100"], "2"), (&["--speed", "1"], "4")];
    for (way, workers) in ways {
        let out = folder.path().join(workers);
        let workers = format!("cluster.workers={workers}");
        let arguments = [
            "--as-ran",
            "--verify",
            "--json",
            "--set",
            &workers,
            "--out",
            out.to_str().unwrap(),
        ];
        let output = replay(place, &[&arguments[..], way].concat());
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(summary["epochs_compared"], epochs(place), "{way:?}: {summary}");
        assert_same(&published(&out), live);
        let files = files(&out);
        assert!(
            first.get_or_insert_with(|| files.clone()) == &files,
            "{way:?} gives other bytes"
        );
    }
    let pair = folder.path().join("pair");
    replay_by_two(place, &["--as-ran", "--verify", "--out", pair.to_str().unwrap()]);
    assert!(first == Some(files(&pair)), "two processes give other bytes");
}

#[test]
fn a_run_on_kafka_with_crashes_replays_to_the_same_bytes_under_another_prefix() {
    let Some(mut place) = KafkaPlace::start("replay", &[]) else {
        return;
    };
    let checkpoints = tempfile::tempdir().unwrap();
    let mut feed = storm_of_sets(&mut place, checkpoints.path(), 3, 66);
    settle(&place, checkpoints.path());
    let pinned = gone::go_on_behind_a_checkpoint(&place, checkpoints.path(), &mut feed);
    let live = live(&place);
    let of = |topic: Topic| live.keys().filter(|(found, _)| *found == topic).count();
    let (deltas, cases) = (of(Topic::WARNING_DELTA), of(Topic::CASE_STATE));
    assert!(deltas > 2 && cases > 0, "too few: {deltas} deltas, {cases} cases");
    offsets::between(&place);
    at_any_speed_on_any_number_of_workers(&place, &live);
    from_half_way_on(&place);
    gone::from_the_checkpoint(&place, checkpoints.path(), pinned, &live);
    let folder = tempfile::tempdir().unwrap();
    let aside = folder.path().join("checkpoints");
    let prefix = format!("{}exercise.", place.prefix());
    let arguments = [
        "--as-ran",
        "--verify",
        "--prefix",
        &prefix,
        "--checkpoints",
        aside.to_str().unwrap(),
    ];
    let killed = command(&crate::kafka::with_failpoints(), &place, &arguments)
        .env("FAILPOINTS", "kafka::commit::before_commit=3*off->return")
        .output()
        .unwrap();
    assert!(killed.status.code().is_none(), "it was not killed");
    let exercise = place.corner(&prefix);
    speed::killed_on_its_way(&place, &arguments, &|| {
        let closed = exercise.consume(Topic::EPOCH).unwrap_or_default().into_iter();
        closed
            .filter(|record| !ClosedEpoch::is_position(record.key.as_deref().unwrap()))
            .count()
    });
    replay(&place, &[&arguments[..], &["--set", "cluster.workers=4"]].concat());
    assert_same(&of_exercise(&exercise), &live);
    for topic in Topic::outputs() {
        let records = place.corner(place.prefix()).consume(topic).unwrap();
        let mut names = records.iter().flat_map(|record| &record.headers);
        assert!(names.all(|name| name != "ce_exercise"), "{topic}");
    }
}
