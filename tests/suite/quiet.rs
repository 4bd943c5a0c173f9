//! Epochs in which nothing happens are passed over, and nobody can tell: a job that closes every one of them publishes the same
//! records, and records the same epochs with the same offsets and digests, also if it is killed on the way.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use riskflow::runtime::job::{self, Handles};
use riskflow_config::WrittenSettings;
use riskflow_connectors::log::LogWriter;
use riskflow_connectors::{Polled, Share, Until, Verdict, open_source};
use riskflow_model::Millis;
use riskflow_model::progress::{ClosedEpoch, Offsets, Progress};
use riskflow_model::topic::Topic;
use riskflow_tests::history::Draw;
use serde_json::{Value, json};

use super::chaos::place::{LogPlace, Place as _};
use super::chaos::{Feed, Running, now};

/// 2025-06-15T16:00:00Z, midnight in Zhoushan.
const START: i64 = 1_750_003_200_000;
const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
pub const PARTITIONS: u16 = 2;

/// An input log whose records arrive in bursts, with minutes to hours of nothing in between: windows end, sensors fall silent,
/// deadlines pass, duties and permits begin and end in those.
struct World {
    writers: BTreeMap<Topic, LogWriter>,
    arrival: i64,
}

impl World {
    fn write(folder: &Path, seed: u64) {
        let open = |topic: Topic| (topic, LogWriter::open(folder, topic.name(), PARTITIONS).unwrap());
        let mut world = Self {
            writers: Topic::inputs().map(open).collect(),
            arrival: START,
        };
        world.base();
        let mut draw = Draw::new(seed);
        for burst in 0..9 {
            for _ in 0..1 + draw.below(6) {
                world.observe(&mut draw);
                world.arrival += draw.below(40_000) as i64;
            }
            if burst % 3 == 1 {
                world.act(&mut draw);
            }
            let gaps = [20 * SECOND, 4 * MINUTE, 33 * MINUTE, 95 * MINUTE];
            world.arrival += *draw.pick(&gaps) + draw.below(10_000) as i64;
        }
        for writer in world.writers.values_mut() {
            writer.sync().unwrap();
        }
    }

    fn put(&mut self, topic: Topic, key: &str, value: &Value) {
        let writer = self.writers.get_mut(&topic).unwrap();
        let partition = writer.partition_of(Some(key.as_bytes()));
        let value = value.to_string();
        let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
        writer.append(partition, Millis(self.arrival), key, value).unwrap();
    }

    fn base(&mut self) {
        for code in ["3309", "330902", "330902001", "330902001001"] {
            self.put(Topic::BASE_REGION, code, &json!({"code": code, "name": code}));
        }
        for n in 0..3 {
            let (asset, stream) = (format!("asset-{n}"), format!("stream-{n}"));
            let row = json!({
                "id": asset, "name": asset, "category": "tank", "domain": "work_safety",
                "region": "330902001001", "inherent_level": 1 + n, "population": 40,
            });
            self.put(Topic::BASE_ASSET, &asset, &row);
            let row = json!({"id": stream, "asset": asset, "observed_property": "gas"});
            self.put(Topic::BASE_DATASTREAM, &stream, &row);
        }
        let rules = [
            json!({"mean": {"feature": "mean", "window": "20m", "op": ">=", "threshold": 50}}),
            json!({"silence": {"feature": "silence", "op": ">=", "threshold": 1800}}),
            json!({"last": {"feature": "last", "window": "3h", "op": ">=", "threshold": 80}}),
        ];
        for rule in rules {
            let (id, when) = rule.as_object().unwrap().iter().next().unwrap();
            let row = json!({
                "id": id, "version": 1, "source": "test", "select": {"observed_property": "gas"}, "pane": "10s",
                "levels": {"yellow": {"when": when, "hold": "45s", "clear": "2m"}},
            });
            self.put(Topic::IN_RULE, id, &row);
        }
        self.put(Topic::BASE_UNIT, "u", &json!({"id": "u", "name": "u", "parent": "top"}));
        self.put(Topic::BASE_UNIT, "top", &json!({"id": "top", "name": "top"}));
        for (user, from, to) in [("day", 0, 120), ("night", 120, 600)] {
            let post = json!({"unit": "u", "role": "officer"});
            let row = json!({"id": user, "name": user, "posts": [post]});
            self.put(Topic::BASE_USER, user, &row);
            let shift = |minutes: i64| Millis(START + minutes * MINUTE).to_string();
            let row = json!({
                "id": user, "region": "3309", "unit": "u", "role": "officer",
                "roster": [{"user": user, "from": shift(from), "to": shift(to)}],
            });
            self.put(Topic::BASE_DUTY, user, &row);
        }
    }

    fn observe(&mut self, draw: &mut Draw) {
        let stream = format!("stream-{}", draw.below(3));
        let late = if draw.once_in(4) { draw.below(400_000) as i64 } else { 0 };
        let time = (self.arrival - late) / 500 * 500;
        let row = json!({"datastream": stream, "phenomenon_time": time, "result": draw.below(110)});
        self.put(Topic::IN_OBSERVATION, &stream, &row);
    }

    /// On a case that is not there, for the most part: refusals stand in the output as well.
    fn act(&mut self, draw: &mut Draw) {
        let row = json!({
            "id": format!("act-{}", self.arrival), "warning": "0".repeat(32), "verb": "call", "actor": "a", "role": "officer",
            "time": self.arrival - draw.below(60_000) as i64,
        });
        self.put(Topic::IN_ACTION, &"0".repeat(32), &row);
    }
}

fn settings(input: &Path, output: &Path, quiet: &str, workers: usize) -> Vec<String> {
    vec![
        format!("cluster.workers={workers}"),
        "input.clock=\"arrival\"".to_owned(),
        format!("input.path={input:?}"),
        format!("input.until=\"{}\"", Millis(START + 17 * 60 * MINUTE)),
        format!("output.path={output:?}"),
        format!("epoch.quiet=\"{quiet}\""),
        "epoch.replay_tick=\"5s\"".to_owned(),
        format!("topics.partitions={PARTITIONS}"),
        format!("checkpoint.path={:?}", output.join("checkpoints")),
        "checkpoint.interval=\"100ms\"".to_owned(),
        "http.enabled=false".to_owned(),
    ]
}

fn run(input: &Path, quiet: &str, workers: usize) -> Published {
    let output = tempfile::tempdir().unwrap();
    let text = settings(input, output.path(), quiet, workers).join("\n");
    let settings = WrittenSettings::from_toml(&text).unwrap().check().unwrap();
    job::run(&settings, &Handles::new().unwrap(), None).unwrap();
    Published::read(output.path())
}

/// Key and payload of the records of each partition.
pub type Records = BTreeMap<(Topic, u16), Vec<(String, Option<String>)>>;

/// All that was ever written.
#[derive(Debug, PartialEq)]
pub struct Published {
    /// By topic and partition, in order.
    pub records: Records,
    /// The records of `out.progress`, whatever a checkpoint made of them later.
    pub progress: BTreeMap<String, String>,
}

impl Published {
    pub fn read(folder: &Path) -> Self {
        let input = riskflow_config::Input::Log(folder.to_owned());
        let text = format!("topics.partitions={PARTITIONS}");
        let topics = WrittenSettings::from_toml(&text).unwrap().check().unwrap().topics;
        let topics_out: Vec<Topic> = Topic::outputs().collect();
        let from = Offsets::default();
        let mut source = open_source(&input, &topics, &topics_out, Share::WHOLE, Until::End, &from).unwrap();
        let mut published = Self {
            records: BTreeMap::new(),
            progress: BTreeMap::new(),
        };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        loop {
            let polled = source.poll(usize::MAX, &mut |record| {
                let (key, value) = (text(record.key.unwrap()), record.payload.map(text));
                if record.topic.is_internal() {
                    // What `out.epoch` says of an epoch is what the progress says of it. Positions come with each start.
                    let is_epoch = key != Progress::BASE && !ClosedEpoch::is_position(&key);
                    if let Some(value) = value.filter(|_| is_epoch) {
                        let before = published.progress.insert(key, value.clone());
                        assert!(
                            before.is_none_or(|before| before == value),
                            "an epoch was recorded twice"
                        );
                    }
                } else {
                    let place = (record.topic, record.partition);
                    published.records.entry(place).or_default().push((key, value));
                }
                Verdict::Taken
            });
            if polled.unwrap() == Polled::Ended {
                return published;
            }
        }
    }

    fn count(&self, topic: Topic) -> usize {
        let of_topic = self.records.iter().filter(|((other, _), _)| *other == topic);
        of_topic.map(|(_, records)| records.len()).sum()
    }
}

#[test]
fn skipped_and_closed_epochs_give_the_same_outputs_digests_and_progress() {
    let (mut warnings, mut events, mut notices) = (0, 0, 0);
    for seed in 1..=4 {
        let input = tempfile::tempdir().unwrap();
        World::write(input.path(), seed);
        let skipped = run(input.path(), "skip", 1);
        let closed = run(input.path(), "close", 2);
        assert_eq!(skipped, closed, "seed {seed}");
        warnings += skipped.count(Topic::WARNING_DELTA);
        events += skipped.count(Topic::CASE_DELTA);
        notices += skipped.count(Topic::NOTICE);
    }
    assert!(
        warnings > 20 && events > 60 && notices > 20,
        "a history in which nothing happens proves nothing: {warnings} {events} {notices}"
    );
}

#[test]
fn a_replay_that_is_killed_again_and_again_gives_the_same_as_one_that_is_not() {
    let input = tempfile::tempdir().unwrap();
    World::write(input.path(), 5);
    let whole = run(input.path(), "close", 1);
    let output = tempfile::tempdir().unwrap();
    let mut crashes = 0;
    for attempt in 0.. {
        // Each gets some commits further; the last ones may get through.
        let armed = match attempt {
            0..3 => "log::commit::before_commit=2*off->return",
            3..6 => "log::commit::before_sync=3*off->return",
            6..9 => "checkpoint::before_manifest=return",
            _ => "",
        };
        let mut command = Command::new(crate::kafka::with_failpoints());
        command.args(["run", "--log", "warn"]).env("FAILPOINTS", armed);
        for set in settings(input.path(), output.path(), "skip", 1 + attempt % 2) {
            command.args(["--set", &set]);
        }
        let ended = command.output().unwrap();
        if ended.status.success() {
            break;
        }
        assert!(
            ended.status.code().is_none(),
            "{}",
            String::from_utf8_lossy(&ended.stderr)
        );
        crashes += 1;
    }
    assert!(crashes > 2, "it was hardly ever killed");
    assert_eq!(Published::read(output.path()), whole);
}

/// Whichever worker has it in one of its partitions: it tells worker 0, which closes an epoch at once.
#[test]
fn what_comes_after_quiet_does_not_wait_for_the_heartbeat() {
    let place = LogPlace::new();
    let checkpoints = tempfile::tempdir().unwrap();
    let mut feed = Feed::new(31);
    feed.begin(&place);
    let mut job = Running::start_with(&place, checkpoints.path(), 3, &["epoch.heartbeat=\"1m\""]);
    job.await_ready(&place, &mut feed);
    job.await_taken(&place);
    // Their keys lie in all partitions.
    for stream in 0..6 {
        let id = format!("stream-{stream}");
        let row = json!({"datastream": id, "phenomenon_time": now(), "result": 1});
        place.put(Topic::IN_OBSERVATION, &[(id, Some(row.to_string()))]);
        let put = Instant::now();
        job.await_taken(&place);
        assert!(put.elapsed() < Duration::from_secs(20), "it waits for the heartbeat");
    }
    job.stop();
}
