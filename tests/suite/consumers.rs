//! The example consumers, in three languages: each prints live changes, keeps the open set, and goes on after a restart.

mod live;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use riskflow_model::topic::Topic;
use riskflow_tests::kafka::Kafka;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::kafka::{create_topics, riskflow};

/// A consumer, and where it keeps what lasts.
struct Consumer {
    language: &'static str,
    program: Vec<String>,
    folder: TempDir,
}

impl Consumer {
    fn new(language: &'static str, program: &[&str]) -> Self {
        Self {
            language,
            program: program.iter().map(|part| (*part).to_owned()).collect(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state.json")
    }

    /// The command that runs it, from where it was left.
    fn command(&self, kafka: &Kafka) -> Command {
        let mut command = Command::new(&self.program[0]);
        command
            .args(&self.program[1..])
            .args(["--brokers", kafka.brokers(), "--prefix", kafka.prefix()])
            .arg("--state")
            .arg(self.state());
        command
    }

    /// Runs it up to where the topics end: what it printed, and how many warnings it says are open.
    fn run(&self, kafka: &Kafka) -> (BTreeSet<String>, String) {
        let output = self.command(kafka).arg("--once").output().unwrap();
        let (said, complaints) = (
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(output.status.success(), "{}: {complaints}", self.language);
        let mut lines: Vec<String> = said.lines().map(str::to_owned).collect();
        let last = lines.pop().unwrap();
        let count = lines.len();
        let lines: BTreeSet<String> = lines.into_iter().collect();
        assert_eq!(lines.len(), count, "{}: a change came twice: {said}", self.language);
        (lines, last)
    }

    /// The rows of the warnings that it keeps as open; none where it has kept nothing yet.
    fn rows(&self) -> Map<String, Value> {
        let Ok(text) = std::fs::read_to_string(self.state()) else {
            return Map::new();
        };
        let state: Value = serde_json::from_str(&text).unwrap();
        state["open"].as_object().unwrap().clone()
    }

    /// The warnings that it keeps as open.
    fn open(&self) -> BTreeSet<String> {
        self.rows().keys().cloned().collect()
    }
}

fn runs(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// Those whose runtime is there; of the others it is said that they did not run. With `RISKFLOW_REQUIRE_CONSUMERS=1` that fails.
fn consumers() -> Vec<Consumer> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let path = |name: &str| root.join(name).to_str().unwrap().to_owned();
    let rust = riskflow().with_file_name("open-warnings");
    assert!(
        rust.exists(),
        "{} is missing: `cargo build --workspace` first, as `make test` does",
        rust.display()
    );
    let mut found = vec![Consumer::new("Rust", &[rust.to_str().unwrap()])];
    let python = ["python3", "/usr/bin/python3"];
    match python
        .into_iter()
        .find(|python| runs(python, &["-c", "import confluent_kafka"]))
    {
        Some(python) => {
            let script = path("examples/consumers/python/open_warnings.py");
            found.push(Consumer::new("Python", &[python, &script]));
        }
        None => not_run("Python: Debian: apt-get install python3-confluent-kafka"),
    }
    let jars = path("deploy/kafka/jars");
    if runs("javac", &["-version"]) && Path::new(&jars).join(".complete").exists() {
        let source = path("examples/consumers/java/OpenWarnings.java");
        found.push(Consumer::new("Java", &["java", "-cp", &format!("{jars}/*"), &source]));
    } else {
        not_run("Java: a JDK 17 (Debian: apt-get install default-jdk-headless), and deploy/kafka/kafka.sh fetch");
    }
    found
}

fn not_run(what: &str) {
    let required = std::env::var("RISKFLOW_REQUIRE_CONSUMERS").is_ok_and(|value| value == "1");
    assert!(!required, "the example consumer cannot run in {what}");
    // Straight to standard error: what `eprintln!` says in a test that passes is never seen.
    let _ = writeln!(std::io::stderr(), "\n*** NOT RUN: the example consumer in {what} ***");
}

/// A row of the table; `None`: it is gone.
fn row(kafka: &Kafka, id: &str, level: Option<&str>) {
    let row = level
        .map(|level| json!({ "id": id, "rule": "gas", "asset": "tank", "level": level, "unknown": 1 }).to_string());
    kafka.produce(Topic::WARNING_STATE, [(id, row.as_deref())]).unwrap();
}

/// A change, and the line that tells it.
fn change(kafka: &Kafka, id: &str, (kind, from, to): (&str, &str, &str)) -> String {
    let change = json!({
        "id": id, "kind": kind, "rule": "gas", "asset": id, "from": from, "to": to, "epoch": "2026-11-27T00:00:00.000Z", "unknown": 1,
    });
    let change = change.to_string();
    kafka.produce(Topic::WARNING_DELTA, [(id, Some(&*change))]).unwrap();
    format!("2026-11-27T00:00:00.000Z {kind} gas/{id} {from}->{to}")
}

fn names(of: &[&str]) -> BTreeSet<String> {
    of.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn each_prints_changes_keeps_the_open_set_and_goes_on_after_a_restart() {
    let Some(kafka) = Kafka::for_test("example_consumers") else {
        return;
    };
    create_topics(&kafka);
    let consumers = consumers();
    row(&kafka, "a", Some("red"));
    row(&kafka, "b", Some("blue"));
    let first = [("a", ("raised", "none", "red")), ("b", ("raised", "none", "blue"))];
    let first: BTreeSet<String> = first.map(|(id, what)| change(&kafka, id, what)).into();
    for consumer in &consumers {
        let found = consumer.run(&kafka);
        assert_eq!(found, (first.clone(), "2 open".to_owned()), "{}", consumer.language);
        assert_eq!(consumer.open(), names(&["a", "b"]), "{}", consumer.language);
    }
    row(&kafka, "a", None);
    row(&kafka, "b", Some("red"));
    row(&kafka, "c", Some("red"));
    let second = [
        ("a", ("cleared", "red", "none")),
        ("b", ("escalated", "blue", "red")),
        ("c", ("raised", "none", "red")),
    ];
    let second: BTreeSet<String> = second.map(|(id, what)| change(&kafka, id, what)).into();
    for consumer in &consumers {
        let found = consumer.run(&kafka);
        assert_eq!(found, (second.clone(), "2 open".to_owned()), "{}", consumer.language);
        assert_eq!(consumer.open(), names(&["b", "c"]), "{}", consumer.language);
        let nothing = consumer.run(&kafka);
        assert_eq!(nothing, (BTreeSet::new(), "2 open".to_owned()), "{}", consumer.language);
    }
}

/// The client's library would log each attempt.
#[test]
fn whoever_has_no_broker_is_told_in_one_line() {
    let Some(python) = consumers().into_iter().find(|consumer| consumer.language == "Python") else {
        return;
    };
    let output = Command::new(&python.program[0])
        .args(&python.program[1..])
        .args(["--brokers", "127.0.0.1:1", "--once", "--state"])
        .arg(python.state())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("no broker answers") && said.contains("--brokers HOST:PORT"),
        "{said}"
    );
    assert!(said.lines().count() <= 2, "{said}");
}
