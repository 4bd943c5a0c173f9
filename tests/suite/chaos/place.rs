//! Where the job reads and writes: an embedded log, or a broker that the test may kill.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use riskflow_config::{Input, TopicSettings};
use riskflow_connectors::log::LogWriter;
use riskflow_connectors::{Polled, Share, Until, Verdict, open_source};
use riskflow_model::Millis;
use riskflow_model::progress::Offsets;
use riskflow_model::topic::Topic;
use riskflow_tests::kafka::Kafka;
use tempfile::TempDir;

/// A record as it was read back.
#[derive(Clone, Debug)]
pub struct Row {
    pub topic: Topic,
    pub partition: u16,
    pub offset: u64,
    pub key: String,
    pub value: Option<String>,
}

/// Where the job reads and writes.
pub trait Place {
    /// Writes input records; a value of `None` is a tombstone.
    fn put(&self, topic: Topic, records: &[(String, Option<String>)]);
    /// Reads what is committed of a topic, in the order of partition and offset.
    fn all(&self, topic: Topic) -> Vec<Row>;
    /// What tells the job where this is.
    fn settings(&self) -> Vec<String>;
    /// Whether a job here ever comes by this failpoint.
    fn reaches(&self, failpoint: &str) -> bool;
    /// Kills what can be killed beside the job.
    fn kill_broker(&mut self) {}
    /// Starts it again.
    fn start_broker(&mut self) {}

    /// Where the input ends.
    fn ends(&self) -> Offsets {
        let mut ends = Offsets::default();
        for topic in Topic::inputs() {
            for row in self.all(topic) {
                ends.advance(topic, row.partition, row.offset + 1);
            }
        }
        ends
    }
}

pub struct LogPlace {
    folder: TempDir,
    /// Where in it the log lies.
    within: &'static str,
    writers: RefCell<BTreeMap<Topic, LogWriter>>,
}

fn topics() -> TopicSettings {
    TopicSettings {
        prefix: String::new(),
        partitions: 3,
        replication: 1,
        retention: 86_400_000,
        exercise: false,
        forced: false,
        tidy: riskflow_config::Tidy::default(),
    }
}

impl LogPlace {
    pub fn new() -> Self {
        Self::at(tempfile::tempdir().unwrap())
    }

    /// A log that may be there.
    pub fn at(folder: TempDir) -> Self {
        let open = |topic: Topic| (topic, LogWriter::open(folder.path(), topic.name(), 3).unwrap());
        let writers = Topic::inputs().map(open).collect();
        Self {
            writers: RefCell::new(writers),
            within: "",
            folder,
        }
    }

    /// An output that a job wrote, without inputs.
    pub fn at_output(folder: TempDir, within: &'static str) -> Self {
        Self {
            writers: RefCell::default(),
            within,
            folder,
        }
    }
}

impl Drop for LogPlace {
    /// What a test failed on does not come again: its times are those of the run.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
            let _ = writeln!(std::io::stderr(), "the log is kept in {}", self.folder.path().display());
        }
    }
}

impl LogPlace {
    /// Where it lies.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Makes a topic anew, without records.
    pub fn empty(&self, topic: Topic) {
        self.writers.borrow_mut().remove(&topic);
        std::fs::remove_dir_all(self.folder.path().join(topic.name())).unwrap();
        let writer = LogWriter::open(self.folder.path(), topic.name(), 3).unwrap();
        self.writers.borrow_mut().insert(topic, writer);
    }
}

impl Place for LogPlace {
    fn put(&self, topic: Topic, records: &[(String, Option<String>)]) {
        let mut writers = self.writers.borrow_mut();
        let writer = writers.get_mut(&topic).unwrap();
        for (key, value) in records {
            let partition = writer.partition_of(Some(key.as_bytes()));
            let value = value.as_ref().map(String::as_bytes);
            let now = Millis(super::now());
            writer.append(partition, now, Some(key.as_bytes()), value).unwrap();
        }
        writer.sync().unwrap();
        drop(writers);
        // A steady load, not as much as the disk takes.
        std::thread::park_timeout(Duration::from_millis(40));
    }

    fn all(&self, topic: Topic) -> Vec<Row> {
        let input = Input::Log(self.folder.path().join(self.within));
        let opened = open_source(
            &input,
            &topics(),
            &[topic],
            Share::WHOLE,
            Until::End,
            &Offsets::default(),
        );
        // The job has not made it yet.
        let Ok(mut source) = opened else { return Vec::new() };
        let mut rows = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        loop {
            let polled = source.poll(usize::MAX, &mut |record| {
                rows.push(Row {
                    topic,
                    partition: record.partition,
                    offset: record.offset,
                    key: text(record.key.unwrap_or_default()),
                    value: record.payload.map(text),
                });
                Verdict::Taken
            });
            if polled.unwrap() == Polled::Ended {
                return rows;
            }
        }
    }

    fn reaches(&self, failpoint: &str) -> bool {
        !failpoint.starts_with("kafka")
    }

    fn settings(&self) -> Vec<String> {
        let path = self.folder.path();
        vec![
            format!("input.path={path:?}"),
            format!("output.path={path:?}"),
            "topics.partitions=3".to_owned(),
        ]
    }
}

/// A broker of its own, fed and read by kcat.
pub struct KafkaPlace {
    kafka: Kafka,
    folder: TempDir,
    /// Settings for the job, over the others.
    pub more: Vec<String>,
}

/// The script for a broker that lives as long as one test.
fn script() -> Command {
    let mut command = Command::new(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy/kafka/kafka.sh"));
    command.env("KAFKA_BRIEF", "1");
    command
}

impl KafkaPlace {
    /// `None`, said loudly, where there is no Kafka to be had. With these settings of the broker.
    pub fn start(test: &str, broker: &[&str]) -> Option<Self> {
        Self::start_at(test, None, broker)
    }

    pub fn start_at(test: &str, port: Option<u16>, broker: &[&str]) -> Option<Self> {
        // What decides is the same as for all tests with Kafka.
        Kafka::for_test(test)?;
        let folder = tempfile::tempdir().unwrap();
        let output = script()
            .args(["start", "--data"])
            .arg(folder.path())
            .args(port.iter().flat_map(|port| ["--port".to_owned(), port.to_string()]))
            .args(broker.iter().flat_map(|set| ["--set", set]))
            .stderr(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "the broker does not start");
        let answer = String::from_utf8(output.stdout).unwrap();
        let brokers = answer.lines().find_map(|line| line.strip_prefix("brokers=")).unwrap();
        let place = Self {
            // A broker that was killed takes its time to load the state of transactions.
            kafka: Kafka::at(brokers, test).with_patience(Duration::from_secs(180)),
            folder,
            more: Vec::new(),
        };
        place.create_topics();
        Some(place)
    }

    /// Makes the topics that are missing.
    pub fn create_topics(&self) {
        let status = self.command("topics").arg("--create").stdout(Stdio::null()).status();
        assert!(status.unwrap().success());
    }

    /// The prefix of its topics.
    pub fn prefix(&self) -> &str {
        self.kafka.prefix()
    }

    /// Topics of its broker with another prefix.
    pub fn corner(&self, prefix: &str) -> Kafka {
        self.kafka.with_prefix(prefix)
    }

    /// The name of a topic on the broker.
    pub fn name(&self, topic: Topic) -> String {
        self.kafka.topic(topic)
    }

    /// Runs one of Kafka's own tools; what it says.
    pub fn tool(&self, arguments: &[&str]) -> String {
        let mut command = script();
        command.args(["tool", "--data"]).arg(self.folder.path()).arg("--");
        let output = command.args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts a second broker for the cluster of this one.
    pub fn join(&self) -> SecondBroker {
        let second = SecondBroker(tempfile::tempdir().unwrap());
        let mut command = script();
        command.args(["start", "--data"]).arg(second.0.path());
        let status = command
            .arg("--join")
            .arg(self.folder.path())
            .stdout(Stdio::null())
            .status();
        assert!(status.unwrap().success(), "the second broker does not start");
        second
    }

    /// Moves all of riskflow's partitions to a broker, leaders included, and waits until they are there.
    pub fn move_to(&self, broker: u32) {
        let topics = Topic::inputs().chain(Topic::outputs()).chain([Topic::PROGRESS]);
        let topics: BTreeSet<String> = topics.map(|topic| self.name(topic)).collect();
        let topics: Vec<_> = topics.iter().map(|name| serde_json::json!({ "topic": name })).collect();
        let file = self.folder.path().join("move.json");
        let named = file.to_str().unwrap();
        let list = serde_json::json!({ "topics": topics, "version": 1 });
        std::fs::write(&file, list.to_string()).unwrap();
        const TOOL: &str = "reassign.ReassignPartitionsCommand";
        let broker = broker.to_string();
        let said = self.tool(&[
            TOOL,
            "--generate",
            "--topics-to-move-json-file",
            named,
            "--broker-list",
            &broker,
        ]);
        let plan = said.lines().rfind(|line| line.starts_with('{')).unwrap();
        std::fs::write(&file, plan).unwrap();
        self.tool(&[TOOL, "--execute", "--reassignment-json-file", named]);
        let until = Instant::now() + Duration::from_secs(60);
        while self
            .tool(&[TOOL, "--verify", "--reassignment-json-file", named])
            .contains("still in progress")
        {
            assert!(Instant::now() < until, "partitions do not get to their broker");
        }
    }

    /// Stops the broker's clock, or lets it go on.
    pub fn freeze(&self, frozen: bool) {
        let pid = std::fs::read_to_string(self.folder.path().join("pid")).unwrap();
        let signal = if frozen { "-STOP" } else { "-CONT" };
        let status = Command::new("kill").args([signal, pid.trim()]).status();
        assert!(status.unwrap().success());
    }

    /// Waits until the broker answers again: a controller takes one that stood still for dead, and a job that is started then ends.
    pub fn await_answer(&self) {
        let until = Instant::now() + Duration::from_secs(60);
        let asked = || {
            self.command("topics")
                .arg("--check")
                .stderr(Stdio::null())
                .output()
                .unwrap()
        };
        while !asked().status.success() {
            assert!(Instant::now() < until, "the broker does not come back");
        }
    }

    pub fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(super::super::kafka::with_failpoints());
        command.args([verb, "--log", "warn"]);
        for set in self.settings() {
            command.args(["--set", &set]);
        }
        command
    }

    fn broker(&self, arguments: &[&str]) {
        let mut command = script();
        command
            .args(&arguments[..1])
            .arg("--data")
            .arg(self.folder.path())
            .args(&arguments[1..]);
        // Not its pipes: the node that it starts would keep them open.
        let complaints = self.folder.path().join("kafka.sh.log");
        let file = std::fs::File::create(&complaints).unwrap();
        let status = command.stdout(Stdio::null()).stderr(file).status().unwrap();
        let complaints = std::fs::read_to_string(complaints).unwrap();
        assert!(status.success(), "kafka.sh {arguments:?}: {complaints}");
    }
}

impl Place for KafkaPlace {
    fn put(&self, topic: Topic, records: &[(String, Option<String>)]) {
        let records = records.iter().map(|(key, value)| (key.as_str(), value.as_deref()));
        // While the broker is down nothing comes in: a load that waits would outlive the outage.
        let _ = self.kafka.produce(topic, records);
    }

    fn all(&self, topic: Topic) -> Vec<Row> {
        let consumed = self.kafka.consume(topic);
        let records = consumed.unwrap_or_else(|error| panic!("{topic} cannot be read: {error:#}"));
        records.into_iter().map(|record| row(topic, record)).collect()
    }

    fn reaches(&self, failpoint: &str) -> bool {
        !failpoint.starts_with("log")
    }

    fn settings(&self) -> Vec<String> {
        vec![
            "input.kind=kafka".to_owned(),
            "output.kind=kafka".to_owned(),
            "topics.partitions=3".to_owned(),
            format!("kafka.brokers={:?}", self.kafka.brokers()),
            format!("topics.prefix={:?}", self.kafka.prefix()),
        ]
        .into_iter()
        .chain(self.more.iter().cloned())
        .collect()
    }

    fn kill_broker(&mut self) {
        self.broker(&["stop", "--kill"]);
    }

    fn start_broker(&mut self) {
        self.broker(&["start"]);
    }
}

/// Topics with another prefix on the broker of a place.
pub struct Corner<'a> {
    place: &'a KafkaPlace,
    kafka: Kafka,
}

impl<'a> Corner<'a> {
    pub fn of(place: &'a KafkaPlace, prefix: &str) -> Self {
        let kafka = place.corner(prefix);
        Self { place, kafka }
    }

    /// Reads what is committed of a topic, with headers.
    pub fn records(&self, topic: Topic) -> Vec<riskflow_tests::kafka::Record> {
        let consumed = self.kafka.consume(topic);
        consumed.unwrap_or_else(|error| panic!("{topic} cannot be read: {error:#}"))
    }
}

impl Place for Corner<'_> {
    fn put(&self, topic: Topic, records: &[(String, Option<String>)]) {
        let records = records.iter().map(|(key, value)| (key.as_str(), value.as_deref()));
        self.kafka.produce(topic, records).unwrap();
    }

    fn all(&self, topic: Topic) -> Vec<Row> {
        self.records(topic)
            .into_iter()
            .map(|record| row(topic, record))
            .collect()
    }

    fn settings(&self) -> Vec<String> {
        let mut settings = self.place.settings();
        settings.retain(|set| !set.starts_with("topics.prefix="));
        settings.push(format!("topics.prefix={:?}", self.kafka.prefix()));
        settings
    }

    fn reaches(&self, failpoint: &str) -> bool {
        self.place.reaches(failpoint)
    }
}

fn row(topic: Topic, record: riskflow_tests::kafka::Record) -> Row {
    Row {
        topic,
        partition: record.partition as u16,
        offset: record.offset as u64,
        key: record.key.unwrap_or_default(),
        value: record.value,
    }
}

impl Drop for KafkaPlace {
    fn drop(&mut self) {
        stop_broker(self.folder.path());
    }
}

/// Another broker of a cluster; stopped when it is dropped.
pub struct SecondBroker(TempDir);

impl Drop for SecondBroker {
    fn drop(&mut self) {
        stop_broker(self.0.path());
    }
}

fn stop_broker(folder: &Path) {
    let mut command = script();
    command.args(["stop", "--data"]).arg(folder);
    let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
}
