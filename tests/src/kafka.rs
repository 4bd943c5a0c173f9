//! A real Kafka for tests: which broker, and kcat to feed topics and to read them back.
//!
//! `make test` starts a broker (`deploy/kafka`) and names it in `RISKFLOW_TEST_KAFKA`. A test begins with
//! [`Kafka::for_test`]; without a broker it says loudly that it did not run, and with `RISKFLOW_REQUIRE_KAFKA=1`, as in
//! CI, it fails. Each test has topics of its own behind a unique prefix, so tests run side by side on one broker.
//!
//! kcat, not our own client: what riskflow wrote is read back by another program. Nothing here sleeps: reading waits
//! for records or for the end of a topic, under a time limit.

use std::collections::BTreeMap;
use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use riskflow_model::topic::Topic;
use serde::Deserialize;

/// Names the broker: `HOST:PORT`, several with commas.
pub const BROKERS_VARIABLE: &str = "RISKFLOW_TEST_KAFKA";
/// Set to 1, a test that needs Kafka and has none fails.
pub const REQUIRE_VARIABLE: &str = "RISKFLOW_REQUIRE_KAFKA";

/// How long one run of kcat may take. Generous: the machine may be building at the same time.
const PATIENCE: Duration = Duration::from_secs(60);

/// The broker that tests may use, or `None`.
#[must_use]
pub fn brokers() -> Option<String> {
    env::var(BROKERS_VARIABLE).ok().filter(|brokers| !brokers.is_empty())
}

/// Whether a test that needs Kafka has to fail without one.
#[must_use]
pub fn is_required() -> bool {
    env::var(REQUIRE_VARIABLE).is_ok_and(|value| value == "1")
}

/// A prefix for topic names (and transactional ids) that no other test has, ending in a dot.
#[must_use]
pub fn unique_prefix(test: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos());
    format!("{test}-{nanos:x}-{}-{next}.", std::process::id())
}

/// A record to write: key, and value or, for a tombstone, `None`.
pub type Entry<'a> = (&'a str, Option<&'a str>);

/// A record as read back.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Record {
    /// Full name of its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its timestamp, in milliseconds since the Unix epoch.
    #[serde(rename = "ts")]
    pub timestamp: i64,
    /// Its key; absent and empty are not told apart for records that [`Kafka::produce`] wrote.
    pub key: Option<String>,
    /// Its value; `None` in a tombstone.
    #[serde(rename = "payload")]
    pub value: Option<String>,
    /// Names and values of its headers, in turn.
    #[serde(default)]
    pub headers: Vec<String>,
}

/// One test's corner of a broker.
#[derive(Clone, Debug)]
pub struct Kafka {
    brokers: String,
    prefix: String,
    patience: Duration,
}

impl Kafka {
    /// A corner for the test of that name, or `None`, said loudly, without a broker.
    ///
    /// # Panics
    ///
    /// Without a broker where one is required.
    #[must_use]
    pub fn for_test(test: &str) -> Option<Self> {
        if let Some(brokers) = brokers() {
            return Some(Self {
                brokers,
                prefix: unique_prefix(test),
                patience: PATIENCE,
            });
        }
        assert!(
            !is_required(),
            "{REQUIRE_VARIABLE} is 1 but {BROKERS_VARIABLE} names no broker: run `make test`, or start one with deploy/kafka/kafka.sh"
        );
        // Straight to standard error: what `eprintln!` says in a test that passes is never seen.
        let _ = writeln!(
            io::stderr(),
            "\n*** NOT RUN: {test}: {BROKERS_VARIABLE} names no broker (`make test` starts one) ***"
        );
        None
    }

    /// A corner of a certain broker.
    #[must_use]
    pub fn at(brokers: &str, test: &str) -> Self {
        Self {
            brokers: brokers.to_owned(),
            prefix: unique_prefix(test),
            patience: PATIENCE,
        }
    }

    /// The same broker, and topics with another prefix.
    #[must_use]
    pub fn with_prefix(&self, prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            ..self.clone()
        }
    }

    /// The same with another limit on how long to wait.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The broker, for a client's `bootstrap.servers`.
    #[must_use]
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// The prefix of this test's topics.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The full name of a topic.
    #[must_use]
    pub fn topic(&self, topic: Topic) -> String {
        format!("{}{topic}", self.prefix)
    }

    /// Writes records in this order and waits until the broker has them. The key decides the partition.
    ///
    /// Lines cannot hold everything: keys and values are without tab and line break (JSON escapes both); an empty key
    /// or value is written as null, so give a tombstone as `None`.
    ///
    /// # Errors
    ///
    /// When a record cannot be written as a line, kcat is missing or fails, or patience runs out.
    pub fn produce<'a>(&self, topic: Topic, records: impl IntoIterator<Item = Entry<'a>>) -> Result<()> {
        self.produce_with(topic, &[], records)
    }

    /// The same to one partition.
    ///
    /// # Errors
    ///
    /// As of [`Kafka::produce`].
    pub fn produce_to<'a>(
        &self,
        topic: Topic,
        partition: i32,
        records: impl IntoIterator<Item = Entry<'a>>,
    ) -> Result<()> {
        self.produce_with(topic, &["-p", &partition.to_string()], records)
    }

    /// The same, marked as of an exercise.
    ///
    /// # Errors
    ///
    /// As of [`Kafka::produce`].
    pub fn produce_exercise<'a>(&self, topic: Topic, records: impl IntoIterator<Item = Entry<'a>>) -> Result<()> {
        self.produce_with(topic, &["-H", "ce_exercise=true"], records)
    }

    fn produce_with<'a>(
        &self,
        topic: Topic,
        options: &[&str],
        records: impl IntoIterator<Item = Entry<'a>>,
    ) -> Result<()> {
        let input = lines_of(records)?;
        let topic = self.topic(topic);
        let mut arguments = vec!["-P", "-t", &topic, "-K", "\t", "-Z", "-X", "enable.idempotence=true"];
        arguments.extend(options);
        let mut kcat = self.kcat(&arguments, input)?;
        let until = Instant::now() + self.patience;
        while kcat.line(until)?.is_some() {}
        kcat.succeed().with_context(|| format!("could not produce to {topic}"))
    }

    /// Reads a topic from its beginning to its present end, in order of partition and offset; aborted and open
    /// transactions are not seen. A topic that does not exist is an error.
    ///
    /// # Errors
    ///
    /// When kcat is missing or fails, or patience runs out.
    pub fn consume(&self, topic: Topic) -> Result<Vec<Record>> {
        let topic = self.topic(topic);
        let mut kcat = self.kcat(&[&READ[..], &TO_THE_END, &["-t", &topic]].concat(), Vec::new())?;
        let until = Instant::now() + self.patience;
        let mut records = Vec::new();
        while let Some(line) = kcat.line(until)? {
            records.push(parse(&line)?);
        }
        kcat.succeed().with_context(|| format!("could not consume {topic}"))?;
        records.sort_by_key(|record: &Record| (record.partition, record.offset));
        Ok(records)
    }

    /// Reads a topic to its present end, as a table: the last value of each key, without deleted keys.
    ///
    /// # Errors
    ///
    /// As of [`Kafka::consume`].
    pub fn table(&self, topic: Topic) -> Result<BTreeMap<String, String>> {
        let mut table = BTreeMap::new();
        for record in self.consume(topic)? {
            let key = record.key.unwrap_or_default();
            match record.value {
                Some(value) => table.insert(key, value),
                None => table.remove(&key),
            };
        }
        Ok(table)
    }

    /// Reads a topic from its beginning, and on, until all that was read satisfies `enough`. The topic must exist.
    ///
    /// # Errors
    ///
    /// When kcat is missing or fails, or patience runs out first; the error tells how many records there were.
    pub fn consume_until(&self, topic: Topic, mut enough: impl FnMut(&[Record]) -> bool) -> Result<Vec<Record>> {
        let topic = self.topic(topic);
        let mut kcat = self.kcat(&[&READ, &["-u", "-t", &topic][..]].concat(), Vec::new())?;
        let until = Instant::now() + self.patience;
        let mut records = Vec::new();
        while !enough(&records) {
            let line = kcat
                .line(until)
                .with_context(|| format!("{topic} gave {} records, and they are not enough", records.len()))?;
            let Some(line) = line else {
                kcat.succeed()?;
                bail!("kcat ended on {topic} after {} records", records.len());
            };
            records.push(parse(&line)?);
        }
        Ok(records)
    }

    /// The names of this test's topics that exist on the broker, without prefix.
    ///
    /// # Errors
    ///
    /// When kcat is missing or fails, or patience runs out.
    pub fn topics(&self) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Metadata {
            topics: Vec<Named>,
        }
        #[derive(Deserialize)]
        struct Named {
            topic: String,
        }
        let mut kcat = self.kcat(&["-L", "-J"], Vec::new())?;
        let until = Instant::now() + self.patience;
        let mut answer = String::new();
        while let Some(line) = kcat.line(until)? {
            answer.push_str(&line);
        }
        kcat.succeed().context("could not list topics")?;
        let metadata: Metadata = serde_json::from_str(&answer).context("kcat -L -J gave something else")?;
        let mut names: Vec<String> = metadata
            .topics
            .iter()
            .filter_map(|named| named.topic.strip_prefix(&self.prefix))
            .map(str::to_owned)
            .collect();
        names.sort();
        Ok(names)
    }

    fn kcat(&self, arguments: &[&str], input: Vec<u8>) -> Result<Kcat> {
        Kcat::spawn(&[&["-b", &self.brokers][..], arguments].concat(), input)
    }
}

/// Options of every reader: quiet, JSON lines, from the beginning, committed records only.
const READ: [&str; 7] = [
    "-C",
    "-q",
    "-J",
    "-o",
    "beginning",
    "-X",
    "isolation.level=read_committed",
];

/// The end is where the broker has nothing for so long. At the usual 500 ms a reader of a partition that is written to
/// more often never comes to its end.
const TO_THE_END: [&str; 3] = ["-e", "-X", "fetch.wait.max.ms=10"];

fn lines_of<'a>(records: impl IntoIterator<Item = Entry<'a>>) -> Result<Vec<u8>> {
    let mut lines = Vec::new();
    for (key, value) in records {
        for text in [key, value.unwrap_or_default()] {
            ensure!(
                !text.contains(['\t', '\n']),
                "a record with a tab or a line break cannot be a line for kcat: {text:?}"
            );
        }
        writeln!(lines, "{key}\t{}", value.unwrap_or_default())?;
    }
    Ok(lines)
}

fn parse(line: &str) -> Result<Record> {
    serde_json::from_str(line).with_context(|| format!("kcat -J gave something else: {line}"))
}

/// A running kcat; dropped, it is killed.
struct Kcat {
    child: Child,
    lines: Receiver<io::Result<String>>,
    complaints: Option<JoinHandle<String>>,
}

impl Kcat {
    fn spawn(arguments: &[&str], input: Vec<u8>) -> Result<Self> {
        let mut child = Command::new("kcat")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("could not run kcat (Debian: apt-get install kcat)")?;
        let (mut stdin, stdout, mut stderr) = match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
            (Some(stdin), Some(stdout), Some(stderr)) => (stdin, stdout, stderr),
            _ => bail!("kcat was started without pipes"),
        };
        // A kcat that ends early closes the pipe; its exit status tells more than the error here would.
        thread::spawn(move || {
            let _ = stdin.write_all(&input);
        });
        let complaints = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let (send, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            child,
            lines,
            complaints: Some(complaints),
        })
    }

    /// The next line of output; `None` at its end.
    fn line(&mut self, until: Instant) -> Result<Option<String>> {
        match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(line) => Ok(Some(line.context("could not read what kcat says")?)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => bail!("patience ran out: {}", self.end().trim_end()),
        }
    }

    /// Waits for the exit, once the output is at its end.
    fn succeed(&mut self) -> Result<()> {
        let status = self.child.wait()?;
        ensure!(status.success(), "kcat: {status}: {}", self.end().trim_end());
        Ok(())
    }

    /// Kills it if it still runs; what it said on standard error.
    fn end(&mut self) -> String {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.complaints
            .take()
            .and_then(|complaints| complaints.join().ok())
            .unwrap_or_default()
    }
}

impl Drop for Kcat {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Key and value of each record; of one key they stand in the order written.
    fn pairs(records: &[Record]) -> Vec<(String, Option<String>)> {
        let mut pairs: Vec<_> = records
            .iter()
            .map(|record| (record.key.clone().unwrap_or_default(), record.value.clone()))
            .collect();
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        pairs
    }

    #[test]
    fn prefixes_differ() {
        assert_ne!(unique_prefix("same"), unique_prefix("same"));
        assert!(unique_prefix("same").ends_with('.'));
    }

    #[test]
    fn what_is_no_line_is_refused() {
        assert!(lines_of([("a", Some("{\"b\":\"\n\"}"))]).is_err());
        assert!(lines_of([("a\tb", None)]).is_err());
        assert_eq!(lines_of([("a", Some("1")), ("b", None)]).unwrap(), b"a\t1\nb\t\n");
    }

    #[test]
    fn what_is_produced_is_consumed() {
        let Some(kafka) = Kafka::for_test("what_is_produced_is_consumed") else {
            return;
        };
        let topic = Topic::BASE_REGION;
        let records = [
            ("33/α", Some(r#"{"name":"a b"}"#)),
            ("3301", Some("1")),
            ("33/α", Some("2")),
            ("3301", None),
        ];
        kafka.produce(topic, records).unwrap();

        let read = kafka.consume(topic).unwrap();
        let expected: Vec<_> = [records[0], records[2], records[1], records[3]]
            .map(|(key, value)| (key.to_owned(), value.map(str::to_owned)))
            .into();
        assert_eq!(pairs(&read), expected);
        assert!(read.iter().all(|record| record.topic == kafka.topic(topic)));
        assert_eq!(
            kafka.table(topic).unwrap(),
            BTreeMap::from([("33/α".to_owned(), "2".to_owned())])
        );
        assert_eq!(kafka.topics().unwrap(), ["base.region"]);
    }

    #[test]
    fn reading_on_waits_for_what_comes_later() {
        let Some(kafka) = Kafka::for_test("reading_on_waits_for_what_comes_later") else {
            return;
        };
        let topic = Topic::IN_OBSERVATION;
        kafka.produce_to(topic, 1, [("a", Some("first"))]).unwrap();
        let reader = {
            let kafka = kafka.clone();
            thread::spawn(move || kafka.consume_until(topic, |records| records.len() == 2))
        };
        kafka.produce_to(topic, 1, [("a", Some("second"))]).unwrap();
        let read = reader.join().unwrap().unwrap();
        assert_eq!(
            read.iter()
                .map(|record| (record.partition, record.offset))
                .collect::<Vec<_>>(),
            [(1, 0), (1, 1)]
        );
    }

    #[test]
    fn a_topic_that_is_not_there_is_an_error() {
        let Some(kafka) = Kafka::for_test("a_topic_that_is_not_there_is_an_error") else {
            return;
        };
        let error = format!("{:#}", kafka.consume(Topic::PROGRESS).unwrap_err());
        assert!(error.contains("Unknown topic"), "{error}");
    }

    #[test]
    fn patience_ends() {
        let Some(kafka) = Kafka::for_test("patience_ends") else {
            return;
        };
        let kafka = kafka.with_patience(Duration::from_millis(200));
        kafka
            .clone()
            .with_patience(PATIENCE)
            .produce(Topic::IN_RULE, [("a", Some("1"))])
            .unwrap();
        let error = format!("{:#}", kafka.consume_until(Topic::IN_RULE, |_| false).unwrap_err());
        assert!(error.contains("not enough"), "{error}");
    }
}
