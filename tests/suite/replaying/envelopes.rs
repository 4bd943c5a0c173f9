//! Lines of a file of envelopes that are none: each is one record, and one dead letter that says what is wrong with it.

use riskflow_model::topic::Topic;
use serde_json::Value;

use crate::first_hour::Desk;

const REGION: &str = r#"{"topic":"base.region","key":"3309","value":{"code":"3309","name":"Zhoushan"}}"#;
const CUT: &str = r#"{"topic":"in.observation","key":"gas","value":{"datastream":"gas","pheno"#;
const OTHER: &str = r#"{"any":"object"}"#;

fn reading(minute: u32) -> String {
    format!(
        r#"{{"topic":"in.observation","key":"gas","value":{{"datastream":"gas","phenomenon_time":"2025-01-01T00:{minute:02}:00Z","result":1}}}}"#
    )
}

/// Six rows that can be used, among them the lines that are given.
fn history(others: &[&str]) -> String {
    let asset = r#"{"topic":"base.asset","key":"tank","value":{"id":"tank","category":"tank","domain":"work_safety","region":"330902001001","inherent_level":4,"population":1}}"#;
    let datastream =
        r#"{"topic":"base.datastream","key":"gas","value":{"id":"gas","asset":"tank","observed_property":"gas"}}"#;
    let mut lines: Vec<String> = [REGION, asset, datastream].map(str::to_owned).into();
    lines.extend([0, 1].map(reading));
    lines.extend(others.iter().map(|line| (*line).to_owned()));
    lines.push(reading(2));
    lines.join("\n") + "\n"
}

/// The dead letters in a folder that was written.
fn letters(desk: &Desk, folder: &str) -> Vec<Value> {
    let text = desk.read(&format!("{folder}/{}.ndjson", Topic::DEAD_LETTER));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_broken_line_is_one_record_and_one_dead_letter_whoever_reads_it() {
    let desk = Desk::new();
    desk.put("history.ndjson", history(&[CUT, OTHER]));
    let replayed = desk.run(&[
        "replay",
        "history.ndjson",
        "--clock",
        "event-time",
        "--json",
        "--out",
        "exercise",
        "--set",
        "cluster.workers=2",
    ]);
    replayed.ends(0, &[]);
    let summary = replayed.json();
    let records: u64 = summary["records"]
        .as_object()
        .unwrap()
        .values()
        .filter_map(Value::as_u64)
        .sum();
    assert_eq!(records, 8, "{summary}");
    assert_eq!(
        summary["dead_letters"],
        serde_json::json!({ "invalid_field": 1, "malformed": 1 })
    );
    let found = letters(&desk, "exercise");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|letter| letter["value"]["topic"] == "in.observation"));

    let files = "input={ kind = \"files\", clock = \"event_time\", files = [{ path = \"history.ndjson\", format = \"envelope\" }] }";
    let output = "output={ kind = \"files\", path = \"live\" }";
    let said = desk.run(&["run", "--set", files, "--set", output]);
    said.ends(0, &["8 records", "2 dead letters"]);
    assert_eq!(letters(&desk, "live").len(), 2);
}

/// Half of the lines and one more: that is most of them. Half is not.
#[test]
fn whether_most_was_refused_goes_by_lines() {
    let desk = Desk::new();
    for (broken, code) in [(6, 0), (7, 1)] {
        desk.put("history.ndjson", history(&vec![CUT; broken]));
        let said = desk.run(&["replay", "history.ndjson", "--clock", "event-time", "--out", "exercise"]);
        said.ends(code, &[&format!("{} records", 6 + broken)]);
    }
}

/// `exercise` is a mark: what cannot be read as one is not passed over.
#[test]
fn a_field_of_an_envelope_that_cannot_be_read_is_named_by_jobs_and_by_imports() {
    let desk = Desk::new();
    let with = |field: &str| reading(5).replacen('{', &format!("{{{field},"), 1);
    let lines = [
        (
            with(r#""exercise":"yes""#),
            r#"`exercise` is "yes"; give `true` or `false`"#,
        ),
        (with(r#""arrival":[]"#), "`arrival` is a list; give "),
        (
            reading(5).replace(r#""key":"gas""#, r#""key":5"#),
            "`key` is 5; give a text in quotes",
        ),
        (
            reading(5).replace("in.observation", "in.nothing"),
            r#"`topic` is "in.nothing"; give a topic that riskflow reads"#,
        ),
        (
            reading(5).replace("\"value\"", "\"valeu\""),
            "`value` is missing; give it",
        ),
    ];
    let broken: Vec<&str> = lines.iter().map(|(line, _)| line.as_str()).collect();
    // Where a file has the name of a topic, too; and where the first of its lines is such a one.
    for name in ["history.ndjson", "in.observation.ndjson"] {
        let text = format!("{}\n{}", broken[0], history(&broken[1..]));
        desk.put(name, text);
        let replayed = desk.run(&["replay", name, "--clock", "event-time", "--json", "--out", "exercise"]);
        replayed.ends(0, &[]);
        assert_eq!(
            replayed.json()["dead_letters"],
            serde_json::json!({ "invalid_field": lines.len() }),
            "{name}"
        );
        let details: Vec<String> = letters(&desk, "exercise")
            .iter()
            .map(|letter| letter["value"]["detail"].as_str().unwrap().to_owned())
            .collect();
        for (line, says) in &lines {
            assert!(
                details.iter().any(|detail| detail.starts_with(*says)),
                "{line}: {says}: {details:?}"
            );
        }
        let imported = desk.run(&["import", "--dry-run", name]);
        imported.ends(4, &["5 refused"]);
        for (_, says) in &lines {
            imported.ends(4, &[*says]);
        }
    }
}
