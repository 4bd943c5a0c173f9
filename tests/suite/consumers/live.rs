//! The example consumers beside a real job: lines come while they run, and what happened while they were away after a restart.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use riskflow_model::topic::Topic;
use riskflow_tests::kafka::Kafka;
use serde_json::{Map, Value, json};

use super::{Consumer, consumers};
use crate::kafka::{Job, base, command, create_topics, now, observation};

/// Generous: a Java program is compiled first, beside a build.
const PATIENCE: Duration = Duration::from_secs(120);

/// How many tanks there are beside that of [`base`], each with a sensor.
const TANKS: usize = 3;

/// A consumer that runs; killed when it is dropped.
struct Live {
    language: &'static str,
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Live {
    fn start(consumer: &Consumer, kafka: &Kafka) -> Self {
        let mut child = consumer.command(kafka).stdout(Stdio::piped()).spawn().unwrap();
        let (send, lines) = channel();
        let said = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in said.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            language: consumer.language,
            child,
            lines,
            seen: Vec::new(),
        }
    }

    /// Waits until it has printed this change, of whatever epoch.
    fn prints(&mut self, change: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.seen.iter().any(|line| line.ends_with(change)) {
            let line = self.lines.recv_timeout(until.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|error| {
                panic!("{}: {error} before `{change}`, after {:?}", self.language, self.seen);
            });
            self.seen.push(line);
        }
    }

    /// Ends it as `kill -9` does; what it printed in its life.
    fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.seen.extend(self.lines.iter());
        std::mem::take(&mut self.seen)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(consumers: &[Consumer], kafka: &Kafka) -> Vec<Live> {
    let live = consumers.iter().map(|consumer| Live::start(consumer, kafka));
    live.collect()
}

/// Tanks `tank-1` and so on, each with the sensor `gas-1` and so on.
fn tanks(kafka: &Kafka) {
    for number in 1..=TANKS {
        let (tank, gas) = (format!("tank-{number}"), format!("gas-{number}"));
        let asset = json!({
            "id": tank, "name": tank, "category": "tank", "domain": "work_safety", "region": "330902001001", "inherent_level": 2,
        });
        let datastream = json!({ "id": gas, "asset": tank, "observed_property": "gas" });
        for (topic, key, row) in [
            (Topic::BASE_ASSET, &tank, asset),
            (Topic::BASE_DATASTREAM, &gas, datastream),
        ] {
            kafka
                .produce(topic, [(key.as_str(), Some(row.to_string().as_str()))])
                .unwrap();
        }
    }
}

/// A reading of one of their sensors.
fn reads(kafka: &Kafka, number: usize, time: i64, result: f64) {
    let gas = format!("gas-{number}");
    let payload = observation(time, result).replace("gas", &gas);
    kafka
        .produce(Topic::IN_OBSERVATION, [(gas.as_str(), Some(payload.as_str()))])
        .unwrap();
}

/// The line of each change that the job told.
fn told(kafka: &Kafka) -> BTreeSet<String> {
    let records = kafka.consume(Topic::WARNING_DELTA).unwrap();
    let lines = records.iter().map(|record| {
        let change: Value = serde_json::from_str(record.value.as_deref().unwrap()).unwrap();
        let part = |name: &str| change[name].as_str().unwrap().to_owned();
        let (epoch, kind, rule, asset) = (part("epoch"), part("kind"), part("rule"), part("asset"));
        format!("{epoch} {kind} {rule}/{asset} {}->{}", part("from"), part("to"))
    });
    lines.collect()
}

/// The compacted topic: the rows of open warnings.
fn table(kafka: &Kafka) -> Map<String, Value> {
    let rows = kafka.table(Topic::WARNING_STATE).unwrap();
    rows.into_iter()
        .map(|(key, row)| (key, serde_json::from_str(&row).unwrap()))
        .collect()
}

/// Waits until a consumer keeps these rows. Nothing tells that it wrote its file: it is looked at again, and the sleep is only between
/// two looks.
fn keeps(consumer: &Consumer, rows: &Map<String, Value>) {
    let until = Instant::now() + PATIENCE;
    while consumer.rows() != *rows {
        let (language, kept) = (consumer.language, consumer.rows());
        assert!(
            Instant::now() < until,
            "{language} keeps {kept:?}, and open are {rows:?}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn each_beside_a_job_survives_a_kill_and_leaves_nothing_out() {
    let Some(kafka) = Kafka::for_test("live_consumers") else {
        return;
    };
    create_topics(&kafka);
    tanks(&kafka);
    base(&kafka);
    let sets = ["input.clock=\"live\"", "epoch.tick=\"20ms\""];
    let job = Job(command(&kafka, "run", &sets).stdout(Stdio::null()).spawn().unwrap());
    // The rules are in force once the bad one among them was refused.
    kafka
        .consume_until(Topic::DEAD_LETTER, |letters| !letters.is_empty())
        .unwrap();
    let consumers = consumers();
    let mut live = start(&consumers, &kafka);
    let time = now();
    for number in 1..=2 {
        reads(&kafka, number, time, 60.0);
        for one in &mut live {
            one.prints(&format!(" raised gas/tank-{number} none->red"));
        }
    }
    let before: Vec<Vec<String>> = live.into_iter().map(Live::kill).collect();

    // While they are away one ends, and another one begins.
    reads(&kafka, 1, time + 1, 44.0);
    reads(&kafka, 3, time + 1, 60.0);
    kafka
        .consume_until(Topic::WARNING_DELTA, |deltas| deltas.len() >= 4)
        .unwrap();

    let mut live = start(&consumers, &kafka);
    for one in &mut live {
        one.prints(" cleared gas/tank-1 red->none");
        one.prints(" raised gas/tank-3 none->red");
    }
    // And they hear of what comes now.
    reads(&kafka, 2, time + 2, 44.0);
    for one in &mut live {
        one.prints(" cleared gas/tank-2 red->none");
    }
    assert_eq!(job.stop(), Some(0));
    let (rows, told) = (table(&kafka), told(&kafka));
    assert_eq!((rows.len(), told.len()), (1, 5), "{rows:?} {told:?}");
    for ((consumer, one), before) in consumers.iter().zip(live).zip(before) {
        keeps(consumer, &rows);
        let printed: BTreeSet<String> = before.into_iter().chain(one.kill()).collect();
        assert_eq!(printed, told, "{}", consumer.language);
    }
}
