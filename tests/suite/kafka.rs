//! The real binary on a real Kafka, fed and read by kcat.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use riskflow_model::Millis;
use riskflow_model::progress::Progress;
use riskflow_model::topic::Topic;
use riskflow_tests::kafka::{Kafka, Record};
use serde_json::Value;

/// The binary that this build made.
pub fn riskflow() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let binary = test.ancestors().nth(2).unwrap().join("riskflow");
    assert!(
        binary.exists(),
        "{} is missing: `cargo build --workspace` first, as `make test` does",
        binary.display()
    );
    binary
}

/// The same with failpoints, for tests that crash it.
pub fn with_failpoints() -> PathBuf {
    env!("CARGO_BIN_EXE_riskflow-failpoints").into()
}

pub fn command(kafka: &Kafka, verb: &str, sets: &[&str]) -> Command {
    let mut command = Command::new(riskflow());
    command.arg(verb).env("RISKFLOW_LOG", "warn");
    let brokers = format!("kafka.brokers={:?}", kafka.brokers());
    let prefix = format!("topics.prefix={:?}", kafka.prefix());
    let checkpoints = std::env::temp_dir().join(format!("riskflow-checkpoints-{}", kafka.prefix()));
    let checkpoints = format!("checkpoint.path={checkpoints:?}");
    let common = [
        "input.kind=kafka",
        "output.kind=kafka",
        "http.enabled=false",
        "topics.partitions=4",
        &brokers,
        &prefix,
        &checkpoints,
    ];
    for set in common.iter().chain(sets) {
        command.args(["--set", set]);
    }
    command
}

pub fn create_topics(kafka: &Kafka) {
    assert!(
        command(kafka, "topics", &[])
            .arg("--create")
            .stdout(Stdio::null())
            .status()
            .unwrap()
            .success()
    );
    assert!(
        command(kafka, "topics", &[])
            .arg("--check")
            .stdout(Stdio::null())
            .status()
            .unwrap()
            .success()
    );
}

/// A running job; killed if the test fails before it ended.
pub struct Job(pub Child);

impl Job {
    /// Asks it to stop, as an operator would, and waits for the end.
    pub fn stop(mut self) -> Option<i32> {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.0.wait().unwrap().code()
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn now() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_millis() as i64
}

fn json(record: &Record) -> Value {
    serde_json::from_str(record.value.as_deref().unwrap_or("null")).unwrap()
}

fn kinds(records: &[Record]) -> Vec<String> {
    records
        .iter()
        .map(|record| json(record)["kind"].as_str().unwrap_or_default().to_owned())
        .collect()
}

pub fn base(kafka: &Kafka) {
    kafka
        .produce(
            Topic::BASE_REGION,
            [("3309", Some(r#"{"code":"3309","name":"Zhoushan"}"#))],
        )
        .unwrap();
    let asset = r#"{"id":"tank","name":"Tank 1","category":"tank","domain":"work_safety","region":"330902001001","inherent_level":4,"population":70}"#;
    kafka
        .produce(
            Topic::BASE_ASSET,
            [
                ("tank", Some(asset)),
                ("gone", Some(&asset.replace("tank", "gone"))),
                ("gone", None),
            ],
        )
        .unwrap();
    kafka
        .produce(
            Topic::BASE_DATASTREAM,
            [("gas", Some(r#"{"id":"gas","asset":"tank","observed_property":"gas"}"#))],
        )
        .unwrap();
    let rule = r#"{"id":"gas","version":3,"source":"test","select":{"observed_property":"gas"},"levels":{"red":{"when":{"feature":"last","window":"10m","op":">=","threshold":50},"margin":5}}}"#;
    kafka
        .produce(
            Topic::IN_RULE,
            [
                ("gas", Some(rule)),
                ("bad", Some(r#"{"id":"bad","version":0,"select":{},"levels":{}}"#)),
            ],
        )
        .unwrap();
}

pub fn observation(time: i64, result: f64) -> String {
    format!(r#"{{"datastream":"gas","phenomenon_time":{time},"result":{result}}}"#)
}

#[test]
fn kafka_live_warnings_rise_clear_and_are_withdrawn_and_bad_records_are_kept() {
    let Some(kafka) = Kafka::for_test("live") else { return };
    create_topics(&kafka);
    base(&kafka);
    let sets = ["input.clock=\"live\"", "unknown.hold=\"1s\"", "epoch.tick=\"20ms\""];
    let job = Job(command(&kafka, "run", &sets).stdout(Stdio::null()).spawn().unwrap());
    let put = |payload: String| {
        kafka
            .produce(Topic::IN_OBSERVATION, [("gas", Some(payload.as_str()))])
            .unwrap()
    };
    let until = |count: usize| {
        kafka
            .consume_until(Topic::WARNING_DELTA, |records| records.len() >= count)
            .unwrap()
    };

    // The rules are in force once the bad one among them was refused: what comes now comes in a later epoch.
    kafka
        .consume_until(Topic::DEAD_LETTER, |letters| !letters.is_empty())
        .unwrap();
    let start = now();
    put(observation(start, 60.0));
    until(1);
    // Below the threshold less its margin: the episode ends.
    put(observation(start + 1, 44.0));
    until(2);
    // A second episode, and the correction that says it never was.
    put(observation(start + 2, 80.0));
    until(3);
    put(observation(start + 2, 8.0));
    let mut deltas = until(4);
    deltas.sort_by_key(|record| json(record)["epoch"].to_string());
    assert_eq!(kinds(&deltas), ["raised", "cleared", "raised", "withdrawn"]);
    let causes: Vec<Value> = deltas.iter().map(|record| json(record)["cause"].clone()).collect();
    assert_eq!(causes, ["data", "data", "data", "correction"]);
    let first = json(&deltas[0]);
    assert_eq!(first["explanation"]["rule_version"], 3);
    assert_eq!(first["explanation"]["condition"], "last 10m >= 50");
    assert_eq!(first["explanation"]["features"][0]["last"]["result"], 60.0);
    assert_eq!(first["since"], Millis(start).to_string());

    bad_records_are_kept(&kafka, start);

    // Good records around the bad ones are unharmed: a third episode, which stays open.
    put(observation(now(), 90.0));
    until(5);
    assert_eq!(job.stop(), Some(0));
    tables_say_red(&kafka);
}

fn bad_records_are_kept(kafka: &Kafka, start: i64) {
    let put = |payload: &str| kafka.produce(Topic::IN_OBSERVATION, [("gas", Some(payload))]).unwrap();
    let bad: [(&str, String); 5] = [
        ("malformed", r#"{"datastream":"gas","phenomenon_time":"#.to_owned()),
        (
            "invalid_field",
            r#"{"datastream":"gas","phenomenon_time":1,"result":"high"}"#.to_owned(),
        ),
        ("too_late", observation(start - 3_600_000, 1.0)),
        ("in_future", observation(start + 86_400_000, 1.0)),
        ("unknown_datastream", observation(start, 1.0).replace("gas", "nobody")),
    ];
    for (_, payload) in &bad {
        put(payload);
    }
    let letters = kafka
        .consume_until(Topic::DEAD_LETTER, |records| records.len() > bad.len())
        .unwrap();
    let reasons: BTreeSet<String> = letters
        .iter()
        .map(|letter| json(letter)["reason"].as_str().unwrap().to_owned())
        .collect();
    let expected = bad
        .iter()
        .map(|(reason, _)| (*reason).to_owned())
        .chain(["invalid_rule".to_owned()])
        .collect();
    assert_eq!(reasons, expected);
    for letter in &letters {
        let letter = json(letter);
        assert!(
            letter["topic"].is_string()
                && letter["partition"].is_u64()
                && letter["offset"].is_u64()
                && letter["payload"].is_string()
        );
    }
}

fn tables_say_red(kafka: &Kafka) {
    let open = kafka.table(Topic::WARNING_STATE).unwrap();
    assert_eq!(open.len(), 1, "{open:?}");
    let assets = kafka.table(Topic::RISK_ASSET).unwrap();
    assert_eq!(assets.keys().collect::<Vec<_>>(), ["tank"]);
    assert!(assets["tank"].contains(r#""score":16"#), "{}", assets["tank"]);
    let regions = kafka.table(Topic::RISK_REGION).unwrap();
    for key in ["3309/all", "330902/work_safety", "330902001/all", "330902001001/all"] {
        let row: Value = serde_json::from_str(&regions[key]).unwrap();
        assert_eq!(
            (row["level"].as_str(), row["exposed_population"].as_i64()),
            (Some("red"), Some(70)),
            "{key}"
        );
    }
}

#[test]
fn kafka_a_second_job_takes_over_and_the_first_is_fenced() {
    let Some(kafka) = Kafka::for_test("zombie") else { return };
    create_topics(&kafka);
    base(&kafka);
    let start = || {
        Job(command(&kafka, "run", &["input.clock=\"live\""])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap())
    };
    let mut first = start();
    kafka.consume_until(Topic::RISK_ASSET, |rows| !rows.is_empty()).unwrap();
    let second = start();
    // Each makes the first commit something, until it finds that it may not any more.
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let mut sent = 0;
    let code = loop {
        if let Some(status) = first.0.try_wait().unwrap() {
            break status.code();
        }
        assert!(
            std::time::Instant::now() < until,
            "the first job goes on beside the second"
        );
        let payload = format!(r#"{{"datastream":"gas","phenomenon_time":{},"result":"bad"}}"#, now());
        kafka
            .produce(Topic::IN_OBSERVATION, [("gas", Some(payload.as_str()))])
            .unwrap();
        sent += 1;
    };
    assert_eq!(code, Some(1));
    let letters = kafka
        .consume_until(Topic::DEAD_LETTER, |letters| letters.len() > sent)
        .unwrap();
    assert_eq!(second.stop(), Some(0));
    // One for the bad rule, and each record once, whichever of the two wrote it.
    assert_eq!(letters.len(), sent + 1);
    let keys: BTreeSet<_> = letters.iter().map(|letter| letter.key.clone()).collect();
    assert_eq!(keys.len(), letters.len());
    // Each read the progress behind records of its own, one in each partition.
    let both = |records: &[Record]| {
        let mut partitions: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
        for record in records {
            let begun = record.key.as_deref().filter(|key| key.starts_with(Progress::BEGUN));
            begun.map(|key| partitions.entry(key).or_default().insert(record.partition));
        }
        partitions.len() == 2 && partitions.values().all(|partitions| partitions.len() == 4)
    };
    kafka.consume_until(Topic::PROGRESS, both).unwrap();
}

#[test]
fn kafka_a_job_names_output_topics_that_are_missing() {
    let Some(kafka) = Kafka::for_test("missing") else {
        return;
    };
    let output = command(&kafka, "run", &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("out.progress") && said.contains("riskflow topics --create"),
        "{said}"
    );
}

/// The hours with 50 mm or more in the twelve hours before, by station: Python, and nothing of ours.
const HOURS_AT_BLUE: &str = r#"
import csv, sys, datetime, collections
rain = collections.defaultdict(dict)
for row in csv.DictReader(open(sys.argv[1])):
    if row["precip_in"] != "NA":
        t = datetime.datetime.strptime(row["time_utc"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc)
        rain[row["station"]][int(t.timestamp()) // 3600] = round(float(row["precip_in"]) * 25.4 * 1000)
for station, hours in rain.items():
    for hour in range(min(hours), max(hours) + 1):
        if sum(hours.get(hour - back, 0) for back in range(12)) >= 50000:
            print(station, hour)
"#;

#[test]
fn kafka_real_weather_gives_exactly_the_hours_at_blue() {
    let Some(kafka) = Kafka::for_test("weather") else {
        return;
    };
    let csv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipeline/data/weather_hourly_2013_ewr_jfk.csv");
    feed_weather(&kafka, &csv);
    let sets = [
        "input.clock=\"event_time\"",
        "epoch.replay_tick=\"10m\"",
        "epoch.in_flight=16",
    ];
    let status = command(&kafka, "run", &sets).status().unwrap();
    assert!(status.success());

    let stream = hours_at_blue(&kafka);
    let python = Command::new("python3")
        .args(["-c", HOURS_AT_BLUE])
        .arg(&csv)
        .output()
        .unwrap();
    assert!(python.status.success(), "{}", String::from_utf8_lossy(&python.stderr));
    let independent: BTreeSet<(String, i64)> = String::from_utf8(python.stdout)
        .unwrap()
        .lines()
        .map(|line| {
            let (station, hour) = line.split_once(' ').unwrap();
            (station.to_owned(), hour.parse().unwrap())
        })
        .collect();
    assert!(independent.len() > 20, "the year had days over 50 mm");
    assert_eq!(stream, independent);
}

fn feed_weather(kafka: &Kafka, csv: &Path) {
    create_topics(kafka);
    let rule = r#"{"id":"rain","version":1,"source":"test","select":{"observed_property":"rainfall"},"pane":"1m","levels":{"blue":{"when":{"feature":"sum","window":"12h","op":">=","threshold":50}},"yellow":{"when":{"feature":"sum","window":"6h","op":">=","threshold":50}},"orange":{"when":{"feature":"sum","window":"3h","op":">=","threshold":50}},"red":{"when":{"feature":"sum","window":"3h","op":">=","threshold":100}}}}"#;
    kafka.produce(Topic::IN_RULE, [("rain", Some(rule))]).unwrap();
    for station in ["EWR", "JFK"] {
        let asset = format!(
            r#"{{"id":"{station}","category":"weather_station","domain":"natural_hazard","region":"990001001001","inherent_level":2}}"#
        );
        let stream = format!(r#"{{"id":"{station}","asset":"{station}","observed_property":"rainfall"}}"#);
        kafka
            .produce(Topic::BASE_ASSET, [(station, Some(asset.as_str()))])
            .unwrap();
        kafka
            .produce(Topic::BASE_DATASTREAM, [(station, Some(stream.as_str()))])
            .unwrap();
    }
    let text = std::fs::read_to_string(csv).unwrap();
    let rows: Vec<(String, String)> = text
        .lines()
        .skip(1)
        .filter_map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let inches: f64 = cells[2].parse().ok()?;
            let payload = format!(
                r#"{{"datastream":"{}","phenomenon_time":"{}","result":{:.3}}}"#,
                cells[0],
                cells[1],
                inches * 25.4
            );
            Some((cells[0].to_owned(), payload))
        })
        .collect();
    kafka
        .produce(
            Topic::IN_OBSERVATION,
            rows.iter().map(|(key, payload)| (key.as_str(), Some(payload.as_str()))),
        )
        .unwrap();
}

/// The whole hours within the episodes that the deltas tell of.
fn hours_at_blue(kafka: &Kafka) -> BTreeSet<(String, i64)> {
    let mut deltas = kafka.consume(Topic::WARNING_DELTA).unwrap();
    deltas.sort_by_key(|record| (json(record)["epoch"].to_string(), record.offset));
    let mut open: BTreeMap<String, i64> = BTreeMap::new();
    let mut stream: BTreeSet<(String, i64)> = BTreeSet::new();
    for delta in deltas.iter().map(json) {
        let asset = delta["asset"].as_str().unwrap().to_owned();
        let at = delta["at"].as_str().unwrap().parse::<Millis>().unwrap().0;
        match delta["kind"].as_str().unwrap() {
            "raised" => drop(open.insert(asset, at)),
            "cleared" => {
                let since = open.remove(&asset).unwrap();
                stream.extend((since / 3_600_000..at / 3_600_000).map(|hour| (asset.clone(), hour)));
            }
            "withdrawn" => panic!("nothing was corrected"),
            _ => {}
        }
    }
    assert!(open.is_empty(), "the year ends dry");
    stream
}
