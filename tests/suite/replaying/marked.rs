//! Input that is marked as of an exercise: an exercise takes it, and nothing that is live does.

use std::path::Path;

use riskflow_model::topic::Topic;
use riskflow_tests::kafka::Kafka;
use serde_json::Value;

use crate::first_hour::Desk;
use crate::kafka::{base, command, create_topics, now, observation};

/// A line of a history.
fn envelope(topic: Topic, key: &str, value: &str, mark: &str) -> String {
    format!("{{\"topic\":\"{topic}\",\"key\":\"{key}\",\"value\":{value}{mark}}}\n")
}

const MARK: &str = ",\"exercise\":true";

/// A tank with a reading of no concern; marked are another tank, and a reading that warns.
fn history() -> String {
    let asset = |id: &str| {
        format!(
            r#"{{"id":"{id}","category":"tank","domain":"work_safety","region":"330902001001","inherent_level":4,"population":7}}"#
        )
    };
    let reading = |time: &str, result: u32| {
        format!(r#"{{"datastream":"gas","phenomenon_time":"2021-07-25T00:{time}Z","result":{result}}}"#)
    };
    let datastream = r#"{"id":"gas","asset":"tank","observed_property":"gas"}"#;
    let rule = r#"{"id":"gas","version":1,"source":"test","select":{"observed_property":"gas"},"levels":{
        "red":{"when":{"feature":"last","window":"1h","op":">=","threshold":50}}}}"#;
    [
        envelope(Topic::BASE_REGION, "3309", r#"{"code":"3309","name":"Zhoushan"}"#, ""),
        envelope(Topic::BASE_ASSET, "tank", &asset("tank"), ""),
        envelope(Topic::BASE_ASSET, "drill", &asset("drill"), MARK),
        envelope(Topic::BASE_DATASTREAM, "gas", datastream, ""),
        envelope(Topic::IN_RULE, "gas", &rule.replace('\n', " "), ""),
        envelope(
            Topic::IN_OBSERVATION,
            "gas",
            &reading("00:00", 1),
            ",\"exercise\":false",
        ),
        envelope(Topic::IN_OBSERVATION, "gas", &reading("00:05", 90), MARK),
    ]
    .concat()
}

/// The lines of a file that was written, or none.
fn lines(folder: &Path, topic: Topic) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join(format!("{topic}.ndjson"))).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn is_said_of_it(letter: &Value) {
    let detail = letter["detail"].as_str().unwrap();
    assert_eq!(letter["reason"], "invalid_field", "{detail}");
    for says in ["`exercise` is true; give ", "`ce_exercise`", "`riskflow replay`"] {
        assert!(detail.contains(says), "{says}: {detail}");
    }
}

#[test]
fn a_live_job_and_an_import_refuse_what_is_marked_and_an_exercise_takes_it() {
    let desk = Desk::new();
    desk.put("history.ndjson", history());
    let files = "input={ kind = \"files\", clock = \"event_time\", files = [{ path = \"history.ndjson\", format = \"envelope\" }] }";
    let output = "output={ kind = \"files\", path = \"live\" }";
    let said = desk.run(&["run", "--set", files, "--set", output]);
    said.ends(0, &["2 dead letters: invalid_field 2"]);
    let live = desk.folder().join("live");
    let letters = lines(&live, Topic::DEAD_LETTER);
    letters.iter().for_each(|letter| is_said_of_it(&letter["value"]));
    assert_eq!(letters.len(), 2);
    assert!(lines(&live, Topic::WARNING_DELTA).is_empty());
    let assets: Vec<Value> = lines(&live, Topic::RISK_ASSET);
    assert!(assets.iter().all(|row| row["key"] == "tank") && !assets.is_empty());

    let imported = desk.run(&["import", "history.ndjson"]);
    imported.ends(4, &["2 refused", "exercise"]);
    let refused = desk.read("import-rejects.ndjson");
    let marked = refused
        .lines()
        .filter(|line| line.contains(r#""reason":"invalid_field""#));
    assert_eq!(marked.count(), 2, "{refused}");
    assert_eq!(desk.tail("in.observation").len(), 1);

    let replayed = desk.run(&[
        "replay",
        "history.ndjson",
        "--clock",
        "event-time",
        "--json",
        "--out",
        "exercise",
    ]);
    replayed.ends(0, &[]);
    let exercise = desk.folder().join("exercise");
    assert!(lines(&exercise, Topic::DEAD_LETTER).is_empty());
    let deltas = lines(&exercise, Topic::WARNING_DELTA);
    assert!(
        !deltas.is_empty() && deltas.iter().all(|delta| delta["exercise"] == true),
        "{deltas:?}"
    );
    assert!(
        lines(&exercise, Topic::RISK_ASSET)
            .iter()
            .any(|row| row["key"] == "drill")
    );
}

#[test]
fn kafka_a_live_job_refuses_what_is_marked_and_so_does_whoever_does_it_once_more() {
    let Some(kafka) = Kafka::for_test("marked") else {
        return;
    };
    create_topics(&kafka);
    base(&kafka);
    let (time, readings) = (now() - 60_000, Topic::IN_OBSERVATION);
    kafka
        .produce(readings, [("gas", Some(&*observation(time, 1.0)))])
        .unwrap();
    let warns = observation(time + 1_000, 90.0);
    kafka.produce_exercise(readings, [("gas", Some(&*warns))]).unwrap();
    let ran = command(&kafka, "run", &["input.clock=arrival"]).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let letters = kafka.consume(Topic::DEAD_LETTER).unwrap();
    let letters = letters.iter().map(|record| record.value.as_deref().unwrap());
    let letters: Vec<Value> = letters.map(|value| serde_json::from_str(value).unwrap()).collect();
    let of_readings: Vec<&Value> = letters
        .iter()
        .filter(|letter| letter["topic"] == readings.name())
        .collect();
    of_readings.iter().for_each(|letter| is_said_of_it(letter));
    assert_eq!(of_readings.len(), 1, "{letters:?}");
    assert!(kafka.consume(Topic::WARNING_DELTA).unwrap().is_empty());

    let folder = tempfile::tempdir().unwrap();
    let warnings = |out: &str, arguments: &[&str]| {
        let out = folder.path().join(out);
        let mut replay = command(&kafka, "replay", &[]);
        let ended = replay.arg("--out").arg(&out).args(arguments).output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        lines(&out, Topic::WARNING_DELTA).len()
    };
    assert_eq!(warnings("as-ran", &["--as-ran", "--verify"]), 0);
    assert!(warnings("exercise", &[]) > 0);
}
