//! What a job writes to Kafka is what the CloudEvents SDK reads: every record of every output topic, read by somebody else's program.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use riskflow_model::schema::asyncapi::{data_schema, event_type, source};
use riskflow_model::topic::Topic;
use riskflow_tests::kafka::{Kafka, Record};
use serde_json::{Value, json};

use crate::kafka::{Job, base, command, create_topics, now, observation};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A Python with the SDK. Where there is none that is said; with `RISKFLOW_REQUIRE_CLOUDEVENTS=1` it fails.
fn python() -> Option<PathBuf> {
    let tools = std::env::var_os("RISKFLOW_TOOLS").map_or_else(|| root().join("target/tools"), PathBuf::from);
    let python = tools.join("cloudevents/bin/python");
    let loads = Command::new(&python).args(["-c", "import cloudevents"]).status();
    if loads.is_ok_and(|status| status.success()) {
        return Some(python);
    }
    let required = std::env::var("RISKFLOW_REQUIRE_CLOUDEVENTS").is_ok_and(|value| value == "1");
    assert!(
        !required,
        "the CloudEvents SDK is not installed: deploy/tools.sh install cloudevents"
    );
    let not_run = "\n*** NOT RUN: records read by the CloudEvents SDK: deploy/tools.sh install cloudevents ***";
    let _ = writeln!(std::io::stderr(), "{not_run}");
    None
}

/// What the SDK makes of records, one after the other.
fn read(python: &Path, records: &[Record]) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("records");
    let line = |record: &Record| {
        format!(
            "{}\n",
            json!({ "key": record.key, "payload": record.value, "headers": record.headers })
        )
    };
    std::fs::write(&file, records.iter().map(line).collect::<String>()).unwrap();
    let output = Command::new(python)
        .arg(root().join("tests/suite/consumers/cloud_events.py"))
        .stdin(std::fs::File::open(&file).unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A job that warns, ends the warning, and warns again.
fn run(kafka: &Kafka) {
    create_topics(kafka);
    base(kafka);
    let sets = ["input.clock=\"live\"", "unknown.hold=\"1s\"", "epoch.tick=\"20ms\""];
    let job = Job(command(kafka, "run", &sets).stdout(Stdio::null()).spawn().unwrap());
    // The rules are in force once the bad one among them was refused.
    kafka
        .consume_until(Topic::DEAD_LETTER, |letters| !letters.is_empty())
        .unwrap();
    let start = now();
    for (index, result) in [60.0, 44.0, 80.0].into_iter().enumerate() {
        let payload = observation(start + index as i64, result);
        kafka
            .produce(Topic::IN_OBSERVATION, [("gas", Some(payload.as_str()))])
            .unwrap();
        kafka
            .consume_until(Topic::WARNING_DELTA, |deltas| deltas.len() > index)
            .unwrap();
    }
    assert_eq!(job.stop(), Some(0));
}

#[test]
fn kafka_every_record_of_every_output_is_a_cloud_event_to_the_sdk() {
    let Some(python) = python() else { return };
    let Some(kafka) = Kafka::for_test("cloud_events") else {
        return;
    };
    run(&kafka);
    let (mut ids, mut seen, mut tombstones) = (BTreeSet::new(), BTreeSet::new(), 0);
    for topic in Topic::outputs() {
        let records = kafka.consume(topic).unwrap();
        let events = read(&python, &records);
        assert_eq!(events.len(), records.len(), "{topic}");
        for (record, event) in records.iter().zip(&events) {
            let attribute = |name: &str| event["attributes"][name].as_str().unwrap_or_default();
            let key = record.key.as_deref().unwrap();
            let value: Value = record
                .value
                .as_deref()
                .map_or(Value::Null, |text| serde_json::from_str(text).unwrap());
            assert_eq!(event["data"], value, "{topic}");
            let schema = record.value.as_ref().map(|_| data_schema(topic)).unwrap_or_default();
            let said = [
                "specversion",
                "type",
                "source",
                "subject",
                "datacontenttype",
                "dataschema",
            ]
            .map(attribute);
            let (kind, of) = (event_type(topic), source(kafka.prefix()));
            assert_eq!(said, ["1.0", &kind, &of, key, "application/json", &schema], "{topic}");
            let time = event["attributes"]["time"].as_i64().unwrap();
            assert_eq!(time.to_string(), attribute("logicaltime"), "{topic}");
            assert!(
                ids.insert(attribute("id").to_owned()),
                "{topic}: {} comes twice",
                attribute("id")
            );
            seen.insert(topic);
            tombstones += u64::from(record.value.is_none());
        }
    }
    for topic in [
        Topic::WARNING_DELTA,
        Topic::WARNING_STATE,
        Topic::DEAD_LETTER,
        Topic::RISK_REGION,
        Topic::CASE_STATE,
    ] {
        assert!(seen.contains(&topic), "nothing came on {topic}");
    }
    assert!(tombstones > 0, "no row ever went");
}

/// The SDK refuses what is none: otherwise the test above would say nothing.
#[test]
fn the_sdk_refuses_a_record_without_type_and_source() {
    let Some(python) = python() else { return };
    let mut script = Command::new(python)
        .arg(root().join("tests/suite/consumers/cloud_events.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let record = json!({ "key": "a", "payload": "{}", "headers": ["ce_specversion", "1.0", "ce_id", "1"] });
    let mut input = script.stdin.take().unwrap();
    writeln!(input, "{record}").unwrap();
    drop(input);
    assert!(!script.wait().unwrap().success());
}
