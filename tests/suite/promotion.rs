//! Promotion under load on a real Kafka: whoever reads committed records, epoch by epoch, sees the rules of one set or those of the other,
//! never of both; and a warning that both have is the same, with its case as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use riskflow_model::topic::Topic;
use riskflow_tests::kafka::{Kafka, Record};
use serde_json::{Value, json};

use crate::kafka::{Job, command, create_topics, now};

const ASSETS: usize = 12;

/// So often the other set becomes live, and the first one again.
const ROUNDS: usize = 3;

/// What shows which set is live: the level of `gas`, and a rule that the other one has not.
const SETS: [(&str, &str, &str); 2] = [("default", "blue", "calm"), ("strict", "red", "storm")];

/// The level of the rule that both sets have.
const KEPT: &str = "yellow";

fn put(kafka: &Kafka, topic: Topic, rows: &[(String, Value)]) {
    let rows: Vec<(&str, String)> = rows.iter().map(|(key, row)| (key.as_str(), row.to_string())).collect();
    let rows = rows.iter().map(|(key, row)| (*key, Some(row.as_str())));
    kafka.produce(topic, rows).unwrap();
}

fn rule(id: &str, property: &str, level: &str, threshold: u32) -> (String, Value) {
    let when = json!({"feature": "last", "window": "10m", "op": ">=", "threshold": threshold});
    let mut rule =
        json!({"id": id, "version": 1, "source": "test", "select": {"observed_property": property}, "levels": {}});
    rule["levels"][level] = json!({ "when": when });
    (id.to_owned(), rule)
}

/// Assets with a datastream each, both sets, and one asset that stays above the thresholds of both.
fn prepare(kafka: &Kafka) {
    create_topics(kafka);
    let ids = || {
        (0..ASSETS)
            .map(|number| format!("asset-{number}"))
            .chain(["kept".to_owned()])
    };
    let assets: Vec<_> = ids()
        .map(|id| {
            let row = json!({
                "id": id, "category": "tank", "domain": "work_safety", "region": "330902001001", "inherent_level": 2,
            });
            (id, row)
        })
        .collect();
    put(kafka, Topic::BASE_ASSET, &assets);
    let datastreams: Vec<_> = ids()
        .map(|id| {
            let property = if id == "kept" { "level" } else { "gas" };
            let row = json!({"id": id, "asset": id, "observed_property": property});
            (id, row)
        })
        .collect();
    put(kafka, Topic::BASE_DATASTREAM, &datastreams);
    let rules = [
        rule("gas", "gas", "blue", 50),
        rule("calm", "gas", "blue", 50),
        rule("kept", "level", KEPT, 40),
        rule("strict/gas", "gas", "red", 50),
        rule("strict/storm", "gas", "blue", 50),
        rule("strict/kept", "level", KEPT, 45),
    ];
    put(kafka, Topic::IN_RULE, &rules);
    put(kafka, Topic::IN_RULESET, &[live("default")]);
}

fn live(set: &str) -> (String, Value) {
    ("live".to_owned(), json!({"id": "live", "set": set}))
}

/// Observations that come without an end, until it is dropped.
struct Load {
    stop: Arc<AtomicBool>,
    /// One for each batch.
    batches: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    /// Of each asset now and then a reading is below the thresholds; those of `kept` never are.
    fn start(kafka: &Kafka) -> Self {
        let (kafka, stop) = (kafka.clone(), Arc::new(AtomicBool::new(false)));
        let (sender, batches) = channel();
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            for batch in 0.. {
                let time = now();
                let reading = |id: String, result: usize| {
                    let row = json!({"datastream": id, "phenomenon_time": time, "result": result});
                    (id, row)
                };
                let mut readings: Vec<_> = (0..ASSETS)
                    .map(|number| {
                        let low = (batch + number) % 5 == 0;
                        let result = if low { 20 } else { 60 + (7 * batch + number) % 30 };
                        reading(format!("asset-{number}"), result)
                    })
                    .collect();
                readings.push(reading("kept".to_owned(), 60 + batch % 30));
                put(&kafka, Topic::IN_OBSERVATION, &readings);
                if stopped.load(Ordering::Acquire) || sender.send(()).is_err() {
                    return;
                }
            }
        });
        Self {
            stop,
            batches,
            thread: Some(thread),
        }
    }

    /// Waits until some more of it has come.
    fn goes_on(&self) {
        while self.batches.try_recv().is_ok() {}
        for _ in 0..3 {
            self.batches.recv().unwrap();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn row(record: &Record) -> Value {
    serde_json::from_str(record.value.as_deref().unwrap_or("null")).unwrap()
}

/// How often a set became live that was not, by its rows in their order.
fn promotions(records: &[Record], set: &str) -> usize {
    let rows = records.iter().filter(|record| record.key.as_deref() == Some(set));
    let live: Vec<bool> = rows.map(|record| row(record)["live"] == true).collect();
    live.windows(2).filter(|pair| **pair == [false, true]).count()
}

/// Makes a set live, and waits until the job says that it is, the so many-th time.
fn promote(kafka: &Kafka, set: &str, times: usize) {
    put(kafka, Topic::IN_RULESET, &[live(set)]);
    kafka
        .consume_until(Topic::RULESET, |records| promotions(records, set) >= times)
        .unwrap();
}

/// Waits for the case of `kept`, and acknowledges it; its identifier.
fn acknowledge(kafka: &Kafka) -> String {
    let is_its = |record: &Record| row(record)["asset"] == "kept";
    let cases = kafka
        .consume_until(Topic::CASE_STATE, |cases| cases.last().is_some_and(is_its))
        .unwrap();
    let case = cases.last().unwrap().key.clone().unwrap();
    let action = json!({
        "id": "a", "warning": case, "action": "acknowledge", "actor": "li", "role": "duty", "time": now(),
    });
    put(kafka, Topic::IN_ACTION, &[(case.clone(), action)]);
    let is_acknowledged = |record: &Record| is_its(record) && row(record)["step"] == "acknowledged";
    kafka
        .consume_until(Topic::CASE_STATE, |cases| cases.last().is_some_and(is_acknowledged))
        .unwrap();
    case
}

/// Reads a topic while it is written, until `done`.
fn follow(kafka: &Kafka, topic: Topic, done: &Arc<AtomicBool>) -> JoinHandle<Vec<Record>> {
    let (kafka, done) = (kafka.clone(), Arc::clone(done));
    std::thread::spawn(move || kafka.consume_until(topic, |_| done.load(Ordering::Acquire)).unwrap())
}

#[test]
fn kafka_a_promotion_under_load_is_never_seen_in_part() {
    let Some(kafka) = Kafka::for_test("promotion") else {
        return;
    };
    let kafka = kafka.with_patience(Duration::from_secs(300));
    prepare(&kafka);
    let sets = ["input.clock=\"live\"", "epoch.tick=\"20ms\""];
    let job = Job(command(&kafka, "run", &sets).stdout(Stdio::null()).spawn().unwrap());
    let is_candidate = |record: &Record| record.key.as_deref() == Some("strict") && row(record)["rules"] == 3;
    kafka
        .consume_until(Topic::RULESET, |records| records.iter().any(is_candidate))
        .unwrap();
    let load = Load::start(&kafka);
    let case = acknowledge(&kafka);
    let done = Arc::new(AtomicBool::new(false));
    let followed = [Topic::WARNING_DELTA, Topic::WARNING_STATE];
    let followers = followed.map(|topic| follow(&kafka, topic, &done));
    for round in 1..=ROUNDS {
        load.goes_on();
        promote(&kafka, "strict", round);
        load.goes_on();
        promote(&kafka, "default", round);
    }
    // The load goes on: a next record comes.
    done.store(true, Ordering::Release);
    let seen = followers.map(|follower| follower.join().unwrap());
    drop(load);
    // A transaction is begun when the one before is seen in all partitions: before the last one nothing is missing.
    promote(&kafka, "strict", ROUNDS + 1);
    promote(&kafka, "default", ROUNDS + 1);
    assert_eq!(job.stop(), Some(0));

    for (topic, seen) in followed.into_iter().zip(seen) {
        let committed = kafka.consume(topic).unwrap();
        let place = |record: &Record| (record.partition, record.offset, record.value.clone());
        let committed: BTreeSet<_> = committed.iter().map(place).collect();
        assert!(seen.len() > ASSETS && seen.iter().all(|record| committed.contains(&place(record))));
    }
    one_set_at_a_time(&kafka);
    the_case_is_as_it_was(&kafka, &case);
}

/// The epoch that a record is of: tombstones tell theirs in their headers only.
fn epoch(record: &Record) -> i64 {
    let mut headers = record.headers.chunks_exact(2);
    let time = headers.find(|pair| pair[0] == "ce_logicaltime");
    time.expect("each record tells its epoch")[1].parse().unwrap()
}

/// The tables as of an epoch, and what was told in it.
#[derive(Default)]
struct Seen {
    sets: BTreeMap<String, bool>,
    open: BTreeMap<String, Value>,
    deltas: Vec<Value>,
}

impl Seen {
    fn take(&mut self, topic: Topic, record: &Record) {
        let (key, row) = (record.key.clone().unwrap(), row(record));
        if topic == Topic::RULESET {
            self.sets.insert(key, row["live"] == true);
        } else if topic == Topic::WARNING_DELTA {
            self.deltas.push(row);
        } else if row.is_null() {
            self.open.remove(&key);
        } else {
            self.open.insert(key, row);
        }
    }

    /// The live set, by its own row.
    fn live(&self) -> &str {
        let live: Vec<&str> = self
            .sets
            .iter()
            .filter(|(_, live)| **live)
            .map(|(set, _)| set.as_str())
            .collect();
        assert!(live.len() < 2, "{live:?} are live at once");
        live.first().copied().unwrap_or("default")
    }

    /// The assets at which a rule has an open warning; each has this level.
    fn assets(&self, rule: &str, level: &str) -> BTreeSet<&str> {
        let rows = self.open.values().filter(|row| row["rule"] == rule);
        let assets = rows.map(|row| {
            assert_eq!(row["level"], level, "{row}");
            row["asset"].as_str().unwrap()
        });
        assets.collect()
    }

    /// Whether all of it is of the live set.
    fn is_whole(&self) {
        let live = self.live();
        let (_, level, own) = SETS.into_iter().find(|(set, ..)| *set == live).unwrap();
        assert_eq!(self.assets("gas", level), self.assets(own, "blue"), "{live}");
        assert!(self.assets("kept", KEPT).iter().all(|asset| *asset == "kept"));
        for row in self.open.values() {
            let rule = row["rule"].as_str().unwrap();
            assert!(
                ["gas", "kept", own].contains(&rule),
                "{live} is live, and there is {row}"
            );
        }
        for delta in self.deltas.iter().filter(|delta| delta["rule"] == "gas") {
            assert!(delta["to"] == "none" || delta["to"] == level, "{live}: {delta}");
        }
        let raised = self.deltas.iter().filter(|delta| delta["to"] != "none");
        for delta in raised {
            let rule = delta["rule"].as_str().unwrap();
            assert!(
                ["gas", "kept", own].contains(&rule),
                "{live} is live, and there is {delta}"
            );
        }
    }

    /// Whether a warning of `gas` changed its level by a rule in this epoch: in this way, or, where the new set has none just then by the
    /// readings that came, by its end or beginning.
    fn changed(&self, kind: &str) -> bool {
        let mut deltas = self.deltas.iter().filter(|delta| delta["rule"] == "gas");
        let kinds = [kind, "cleared", "raised"];
        deltas.any(|delta| kinds.iter().any(|kind| delta["kind"] == *kind) && delta["cause"] == "rule_change")
    }
}

/// Goes through what was committed before the last promotion, epoch by epoch.
fn one_set_at_a_time(kafka: &Kafka) {
    let mut epochs: BTreeMap<i64, Vec<(Topic, Record)>> = BTreeMap::new();
    let sets = kafka.consume(Topic::RULESET).unwrap();
    let last = sets.iter().map(epoch).max().unwrap();
    for topic in [Topic::RULESET, Topic::WARNING_STATE, Topic::WARNING_DELTA] {
        for record in kafka.consume(topic).unwrap() {
            epochs.entry(epoch(&record)).or_default().push((topic, record));
        }
    }
    let mut seen = Seen::default();
    let (mut before, mut promoted, mut by_data) = ("default".to_owned(), Vec::new(), 0);
    for (_, records) in epochs.range(..last) {
        seen.deltas.clear();
        for (topic, record) in records {
            seen.take(*topic, record);
        }
        seen.is_whole();
        by_data += seen.deltas.iter().filter(|delta| delta["cause"] == "data").count();
        if seen.live() != before {
            let kind = if before == "default" { "escalated" } else { "eased" };
            assert!(
                seen.changed(kind),
                "nothing is {kind} after {before}: {:?}",
                seen.deltas
            );
            seen.live().clone_into(&mut before);
            promoted.push(before.clone());
        }
    }
    let expected = [["strict", "default"].repeat(ROUNDS), vec!["strict"]].concat();
    assert_eq!(promoted, expected);
    assert!(by_data > 2 * ASSETS, "there was no load: {by_data}");
}

/// One warning of `kept` and one case, acknowledged from then on.
fn the_case_is_as_it_was(kafka: &Kafka, case: &str) {
    let warnings = kafka.consume(Topic::WARNING_DELTA).unwrap();
    let warnings = warnings.iter().filter(|record| row(record)["asset"] == "kept");
    let ids: BTreeSet<_> = warnings.map(|record| record.key.clone()).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    let mut cases = kafka.consume(Topic::CASE_STATE).unwrap();
    cases.retain(|record| row(record)["asset"] == "kept");
    assert!(cases.iter().all(|record| record.key.as_deref() == Some(case)));
    let steps: Vec<Value> = cases.iter().map(|record| row(record)["step"].clone()).collect();
    let after = steps.iter().skip_while(|step| **step != "acknowledged");
    assert!(
        after.clone().count() > 0 && after.clone().all(|step| *step == "acknowledged"),
        "{steps:?}"
    );
    let open = kafka.table(Topic::WARNING_STATE).unwrap();
    let kept = open.iter().filter(|(_, row)| row.contains("\"asset\":\"kept\""));
    let kept: BTreeSet<_> = kept.map(|(id, _)| Some(id.clone())).collect();
    assert_eq!(kept, ids);
}
