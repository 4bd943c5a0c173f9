//! No record ends the job, whatever its size: every input topic with the largest records that are taken, in every text of them,
//! until every row that grows has reached its bound.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use riskflow_model::limit::{ID_BYTES, LEAST_RECORD_BYTES, RECORD_BYTES, TEXT_BYTES};
use riskflow_model::output::{CaseState, DeadLetter, Reason, RegionRisk, Stamped, WarningDelta};
use riskflow_model::topic::Topic;
use riskflow_tests::history::Draw;
use serde_json::{Value, json};

use crate::chaos::place::{KafkaPlace, LogPlace, Place, Row};
use crate::chaos::{free, now};

const VILLAGE: &str = "330902001001";
/// So many that not all fit into a row.
const ASSETS: usize = 12;
const DUTIES: usize = 130;
const ACTIONS: usize = 14;
/// kcat sends no more in one record.
const PAYLOAD: usize = 990_000;

/// Texts as long as they may be, of characters that JSON writes as they are, with a backslash, or as six others.
struct Texts {
    draw: Draw,
    count: usize,
}

impl Texts {
    /// One that nobody else has, with a `/` in it.
    fn of(&mut self, bytes: usize, characters: &[&'static str]) -> String {
        self.count += 1;
        let character = *self.draw.pick(characters);
        let mut text = format!("{}/", self.count);
        while text.len() + character.len() <= bytes {
            text.push_str(character);
        }
        text
    }

    fn id(&mut self) -> String {
        self.of(ID_BYTES, &["x", "\"", "汉", "~", "é"])
    }

    fn text(&mut self) -> String {
        // A control character is written in six.
        self.of(TEXT_BYTES, &["x", "\"", "汉", "~", "\u{1}", "é"])
    }

    /// As many entries as a record may have before it is too large.
    fn many(&mut self, most: usize, mut entry: impl FnMut(&mut Self) -> Value) -> Vec<Value> {
        let (mut entries, mut bytes) = (Vec::new(), 20_000);
        while entries.len() < most {
            let next = entry(self);
            bytes += next.to_string().len() + 1;
            if bytes > PAYLOAD {
                break;
            }
            entries.push(next);
        }
        entries
    }
}

struct World<'p> {
    place: &'p dyn Place,
    texts: Texts,
    assets: Vec<String>,
    streams: Vec<String>,
    /// When the first observations were made.
    raised: i64,
    incident: String,
    waiting: BTreeMap<Topic, Vec<(String, Option<String>)>>,
}

impl World<'_> {
    fn put(&mut self, topic: Topic, id: &str, row: &Value) {
        self.raw(topic, id, Some(row.to_string()));
    }

    fn raw(&mut self, topic: Topic, key: &str, value: Option<String>) {
        self.waiting.entry(topic).or_default().push((key.to_owned(), value));
    }

    /// Rows of tables of which nothing was written yet: as their examples, with the longest texts for their shortest.
    fn others(&mut self) {
        let missing = |topic: &Topic| topic.is_input_table() && !self.waiting.contains_key(topic);
        let missing: Vec<Topic> = Topic::inputs().filter(missing).collect();
        for topic in missing {
            let mut row: Value = serde_json::from_str(topic.example()).unwrap();
            for (name, value) in row.as_object_mut().unwrap() {
                match name.as_str() {
                    name if name == "title" || name == "name" => *value = self.texts.text().into(),
                    _ if value.as_str().is_some_and(|text| text.len() == 1) => *value = self.texts.id().into(),
                    _ => {}
                }
            }
            let id = row[topic.key()].as_str().unwrap().to_owned();
            self.put(topic, &id, &row);
        }
    }

    /// Writes what is waiting: of a topic all at once.
    fn flush(&mut self) {
        for (topic, records) in std::mem::take(&mut self.waiting) {
            self.place.put(topic, &records);
        }
    }

    fn base(&mut self) {
        for code in ["3309", "330902", "330902001", VILLAGE] {
            let name = self.texts.text();
            self.put(Topic::BASE_REGION, code, &json!({ "code": code, "name": name }));
        }
        let (category, property) = (self.texts.id(), self.texts.id());
        for _ in 0..ASSETS {
            let (asset, stream) = (self.texts.id(), self.texts.id());
            let row = json!({ "id": asset, "name": self.texts.text(), "category": category, "domain": "lifeline",
                "region": VILLAGE, "inherent_level": 4, "population": 100_000_000 });
            self.put(Topic::BASE_ASSET, &asset, &row);
            let row = json!({ "id": stream, "asset": asset, "observed_property": property });
            self.put(Topic::BASE_DATASTREAM, &stream, &row);
            self.assets.push(asset);
            self.streams.push(stream);
        }
        // One that meets nothing, whatever comes when.
        let (asset, stream) = (self.texts.id(), self.texts.id());
        let row = json!({ "id": stream, "asset": asset, "observed_property": property });
        self.put(Topic::BASE_DATASTREAM, &stream, &row);
        // As many comparisons as a level may have.
        let comparison = |window: usize| json!({ "feature": "last", "window": format!("{}s", 60 + window), "op": ">=", "threshold": 9 });
        let any: Vec<Value> = (0..32).map(comparison).collect();
        // In a rule's identifier `/` stands behind its set.
        let rule = self.texts.id().replace('/', "-");
        let row = json!({ "id": rule, "version": u32::MAX, "name": self.texts.text(), "source": self.texts.text(),
            "select": { "observed_property": property }, "pane": "1s", "levels": { "red": { "when": { "any": any } } } });
        self.put(Topic::IN_RULE, &rule, &row);
        // A candidate that warns as the live set does, and one that never warns.
        let sets = [self.texts.id(), self.texts.id()].map(|id| id.replace('/', "-"));
        for (set, base) in sets.iter().zip([Some("default"), None]) {
            self.put(Topic::IN_RULESET, set, &json!({ "id": set, "base": base }));
        }
    }

    fn people(&mut self) {
        let parent = self.texts.id();
        let row = json!({ "id": parent, "name": self.texts.text(), "region": "3309" });
        self.put(Topic::BASE_UNIT, &parent, &row);
        for _ in 0..DUTIES {
            let (unit, role, duty) = (self.texts.id(), self.texts.id(), self.texts.id());
            let row = json!({ "id": unit, "name": self.texts.text(), "region": VILLAGE, "parent": parent });
            self.put(Topic::BASE_UNIT, &unit, &row);
            self.put(
                Topic::BASE_DUTY,
                &duty,
                &json!({ "id": duty, "region": VILLAGE, "unit": unit, "role": role }),
            );
            let user = self.texts.id();
            let posts = [json!({ "unit": unit, "role": role })];
            let row = json!({ "id": user, "channel": self.texts.text(), "posts": posts });
            self.put(Topic::BASE_USER, &user, &row);
        }
        for _ in 0..2 {
            let plan = self.texts.id();
            let task = |texts: &mut Texts| json!({ "id": texts.id(), "name": texts.text(), "role": texts.id() });
            let tasks = self.texts.many(100, task);
            let row = json!({ "id": plan, "name": self.texts.text(), "level": "red", "tasks": tasks });
            self.put(Topic::BASE_PLAN, &plan, &row);
        }
    }

    fn intake(&mut self) {
        let now = now();
        let work = self.texts.id();
        let limit = self.texts.id();
        let row = json!({ "id": limit, "version": u32::MAX, "measure": "uncertified_work", "work_type": work,
            "levels": { "red": 1 } });
        self.put(Topic::BASE_LIMIT, &limit, &row);
        let permit = self.texts.id();
        let holders = self.texts.many(100, |texts| json!(texts.id()));
        let row = json!({ "id": permit, "version": u32::MAX, "kind": "work", "work_type": work, "asset": self.assets[0],
            "holders": holders, "valid_from": now - 60_000, "valid_to": now + 86_400_000 });
        self.put(Topic::IN_PERMIT, &permit, &row);
        let report = self.texts.id();
        let quantities: serde_json::Map<String, Value> = (0..50).map(|_| (self.texts.id(), json!(1e9))).collect();
        let row = json!({ "id": report, "version": u32::MAX, "module": self.texts.id(), "region": VILLAGE,
            "kind": self.texts.id(), "quantities": quantities, "time": now });
        self.put(Topic::IN_REPORT, &report, &row);
        let incident = self.texts.id();
        let row = json!({ "id": incident, "version": u32::MAX, "hazard": self.texts.id(), "title": self.texts.text(),
            "level": "red", "domain": "lifeline", "region": VILLAGE, "asset": self.assets[1], "since": now });
        self.put(Topic::IN_INCIDENT, &incident, &row);
        self.incident = incident;
        self.events(now);
    }

    /// More of them than a row of a gauge names.
    fn events(&mut self, now: i64) {
        let (gauge, kind) = (self.texts.id(), self.texts.id());
        let row = json!({ "id": gauge, "title": self.texts.text(), "kind": kind, "by": "asset", "measure": "distinct",
            "attributes": ["source"] });
        self.put(Topic::IN_GAUGE, &gauge, &row);
        for _ in 0..12 {
            let event = self.texts.id();
            let attributes: serde_json::Map<String, Value> =
                (0..50).map(|_| (self.texts.id(), self.texts.id().into())).collect();
            let row = json!({ "id": event, "kind": kind, "time": now - 60_000, "open": true, "asset": self.assets[0],
                "source": self.texts.id(), "model": self.texts.id(), "level": "red", "attributes": attributes,
                "evidence": self.texts.text() });
            self.put(Topic::IN_EVENT, &event, &row);
        }
    }

    /// What was observed at first is taken back.
    fn take_back(&mut self) {
        for stream in self.streams.clone() {
            let row = json!({ "datastream": stream, "phenomenon_time": self.raised, "op": "delete" });
            self.put(Topic::IN_OBSERVATION, &stream, &row);
        }
    }

    fn observe_all(&mut self, time: i64, result: f64) {
        for stream in self.streams.clone() {
            self.put(
                Topic::IN_OBSERVATION,
                &stream,
                &json!({ "datastream": stream, "phenomenon_time": time, "result": result }),
            );
        }
    }

    fn observe(&mut self) {
        self.raised = now();
        self.observe_all(self.raised, 1e9);
        let unknown = self.texts.id();
        let row = json!({ "datastream": unknown, "phenomenon_time": now(), "result": 1 });
        self.put(Topic::IN_OBSERVATION, &unknown, &row);
    }

    /// What is refused: with all that is found in it, twice over.
    fn bad(&mut self) {
        let long = self.texts.of(400_000 / 6, &["\u{1}"]);
        let longer = "k".repeat(400_000);
        for (topic, row) in [
            (
                Topic::IN_OBSERVATION,
                json!({ "datastream": long, "phenomenon_time": 0, "result": 1 }),
            ),
            (
                Topic::IN_OBSERVATION,
                json!({ "datastream": "d", "phenomenon_time": longer, "result": 1 }),
            ),
            (
                Topic::IN_OBSERVATION,
                json!({ "datastream": "d", "phenomenon_time": 0, "result": longer }),
            ),
            (
                Topic::BASE_ASSET,
                json!({ "id": longer, "category": "t", "domain": longer, "region": VILLAGE, "inherent_level": 1 }),
            ),
            (Topic::BASE_USER, json!({ "id": "u", "channel": longer })),
            (
                Topic::BASE_DUTY,
                json!({ "id": "d", "region": VILLAGE, "unit": "u", "role": longer }),
            ),
            (
                Topic::IN_REPORT,
                json!({ "id": "r", "version": 1, "module": "m", "region": VILLAGE, "kind": "k",
                "quantities": { longer.as_str(): 1 }, "time": 0 }),
            ),
            (
                Topic::IN_ACTION,
                json!({ "id": "a", "warning": longer, "action": "comment", "actor": "p", "time": 0, "text": "t" }),
            ),
        ] {
            // Another key than the row says, and as long.
            self.put(topic, &long, &row);
        }
        self.raw(Topic::BASE_ASSET, &"x".repeat(600_000), None);
        self.raw(Topic::IN_RULE, "r", Some(format!("{{\"id\":\"r\",{longer}")));
        let rule = json!({ "id": "r", "version": 1, "select": {}, "pane": longer, "levels": { "red": { "when": { "any": [] } } } });
        self.put(Topic::IN_RULE, "r", &rule);
    }

    fn act(&mut self, case: &str) {
        for _ in 0..ACTIONS {
            for verb in ["comment", "attach", "escalate", "assign"] {
                let id = self.texts.id();
                let row = json!({ "id": id, "warning": case, "action": verb, "actor": self.texts.id(), "role": self.texts.id(),
                    "time": now(), "text": self.texts.text(), "evidence": self.texts.text(), "assignee": self.texts.id() });
                self.put(Topic::IN_ACTION, case, &row);
            }
        }
    }
}

/// A running job; killed when it is dropped.
struct Job {
    child: Child,
    listens: std::net::SocketAddr,
}

impl Job {
    fn start(place: &dyn Place, checkpoints: &Path) -> Self {
        let listens = free();
        let mut command = Command::new(crate::kafka::riskflow());
        command
            .args(["run", "--log", "warn"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut sets = place.settings();
        sets.extend([
            format!("http.listen=\"{listens}\""),
            format!("checkpoint.path={checkpoints:?}"),
            "checkpoint.interval=\"1s\"".to_owned(),
            "unknown.hold=\"2s\"".to_owned(),
            "unmatched.after=\"0s\"".to_owned(),
            "epoch.tick=\"50ms\"".to_owned(),
        ]);
        for set in &sets {
            command.args(["--set", set]);
        }
        let mut child = command.spawn().unwrap();
        // A pipe that nobody reads would hold the job up.
        let said = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in said.lines().map_while(Result::ok) {
                let _ = writeln!(std::io::stderr(), "{line:.400}");
            }
        });
        Self { child, listens }
    }

    fn get(&self, path: &str) -> String {
        let mut answer = String::new();
        if let Ok(mut stream) = std::net::TcpStream::connect(self.listens) {
            let asked = write!(stream, "GET {path} HTTP/1.0\r\n\r\n");
            let _ = asked.and_then(|()| stream.read_to_string(&mut answer));
        }
        answer
    }

    /// Waits for something; the job must not end meanwhile.
    fn until<T>(&mut self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let until = Instant::now() + Duration::from_secs(180);
        loop {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "the job ended before {what}: {ended:?}");
            let looked = Instant::now();
            if let Some(found) = look(self) {
                return found;
            }
            assert!(Instant::now() < until, "no {what}");
            // A look at the largest records costs as much as to write them: half of the time is the job's.
            std::thread::park_timeout(looked.elapsed().max(Duration::from_millis(50)));
        }
    }

    fn await_ready(&mut self) {
        self.until("readiness", |job| job.get("/readyz").contains(" 200 ").then_some(()));
    }

    fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(
            self.child.wait().unwrap().success(),
            "a job that is asked to stop ends well"
        );
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read<T: serde::de::DeserializeOwned>(row: &Row) -> Stamped<T> {
    serde_json::from_str(row.value.as_deref().unwrap()).unwrap()
}

fn rows<T: serde::de::DeserializeOwned>(place: &dyn Place, topic: Topic) -> Vec<Stamped<T>> {
    place
        .all(topic)
        .iter()
        .filter(|row| row.value.is_some())
        .map(read)
        .collect()
}

/// Feeds everything, and looks at everything that comes out. `most`: what a topic takes.
fn the_job_goes_on(place: &dyn Place, seed: u64, most: usize, meanwhile: impl FnOnce()) {
    let checkpoints = tempfile::tempdir().unwrap();
    let mut job = Job::start(place, checkpoints.path());
    let texts = Texts {
        draw: Draw::new(seed),
        count: 0,
    };
    let mut world = World {
        place,
        texts,
        assets: Vec::new(),
        streams: Vec::new(),
        raised: 0,
        incident: String::new(),
        waiting: BTreeMap::new(),
    };
    world.base();
    world.people();
    world.intake();
    world.others();
    world.bad();
    world.flush();
    job.await_ready();
    meanwhile();
    world.bad();
    world.observe();
    world.flush();
    let incident = world.incident.clone();
    // By key: the texts of a stand-in may be cut.
    let cases = || {
        let all = place
            .all(Topic::CASE_STATE)
            .into_iter()
            .filter(|row| row.value.is_some());
        all.map(|row| (row.key.clone(), read::<CaseState>(&row).record))
            .collect::<Vec<_>>()
    };
    let warning = job.until("a case of a warning", |_| {
        cases().into_iter().find(|(_, row)| !row.incident).map(|(key, _)| key)
    });
    job.until("a case of the incident", |_| {
        cases().iter().any(|(key, _)| *key == incident).then_some(())
    });
    world.act(&warning);
    world.act(&incident);
    world.flush();
    for id in [&warning, &incident] {
        let row = job.until("rows of cases at their bounds", |_| {
            let noted = |row: &CaseState| row.counts.evidence as usize == ACTIONS;
            cases()
                .into_iter()
                .rfind(|(key, row)| key == id && noted(row))
                .map(|(_, row)| row)
        });
        rows_are_bounded(&row);
    }
    the_rest_comes(&mut job, &mut world);
    job.until("a checkpoint", |job| {
        (!job.get("/metrics").contains("riskflow_checkpoint_bytes 0")).then_some(())
    });
    everything_fits(place, most);
    job.stop();
    // And it starts again, from what it kept.
    let mut again = Job::start(place, checkpoints.path());
    again.await_ready();
    again.stop();
}

/// What takes time to come, and what ends.
fn the_rest_comes(job: &mut Job, world: &mut World<'_>) {
    let place = world.place;
    let dead = |place: &dyn Place| rows::<DeadLetter>(place, Topic::DEAD_LETTER);
    let unknown = |letter: &Stamped<DeadLetter>| letter.record.reason == Reason::UnknownDatastream;
    job.until("the unknown datastream's end", |_| {
        dead(place).iter().any(unknown).then_some(())
    });
    job.until("what meets nothing", |_| {
        (!place.all(Topic::UNMATCHED).is_empty()).then_some(())
    });
    world.observe_all(now(), 0.0);
    world.flush();
    job.until("what is over", |_| {
        (!place.all(Topic::WARNING_HISTORY).is_empty()).then_some(())
    });
    world.take_back();
    world.flush();
    job.until("what a correction did", |_| {
        (!place.all(Topic::LATENESS).is_empty()).then_some(())
    });
}

fn rows_are_bounded(row: &CaseState) {
    assert!(row.people.notes.len() <= 10 && row.people.evidence.len() <= 10 && row.escalations.len() <= 10);
    assert!(row.obligations.len() <= 100 && row.tasks.len() <= 100);
    let counts = row.counts;
    let all = [counts.notes, counts.evidence, counts.escalations];
    assert!(all.iter().all(|count| *count as usize >= ACTIONS), "{counts:?}");
    assert_eq!(counts.obligations as usize, DUTIES);
    assert!(counts.tasks > 20, "{counts:?}");
}

fn everything_fits(place: &dyn Place, most: usize) {
    for topic in Topic::outputs() {
        let all = place.all(topic);
        assert!(!all.is_empty(), "{topic} is empty");
        let schema = riskflow_model::schema::of_topic(topic);
        let validator = jsonschema::validator_for(&serde_json::to_value(schema).unwrap()).unwrap();
        for row in all {
            let bytes = row.key.len() + row.value.as_deref().map_or(0, str::len);
            assert!(bytes <= most && row.key.len() <= 8 * ID_BYTES, "{topic}: {bytes} bytes");
            if let Some(value) = &row.value {
                let value: Value = serde_json::from_str(value).unwrap();
                assert!(validator.is_valid(&value), "{topic}: {}", &value.to_string()[..300]);
            }
        }
    }
    let dead = rows::<DeadLetter>(place, Topic::DEAD_LETTER);
    let cut = |letter: &&Stamped<DeadLetter>| letter.record.payload_cut;
    assert!(dead.iter().filter(cut).count() >= 8, "{} dead letters", dead.len());
    for letter in dead.iter().filter(cut) {
        assert!(letter.record.payload_bytes > 60_000 && letter.record.detail.len() <= TEXT_BYTES);
    }
    assert!(dead.iter().any(|letter| letter.record.detail.contains("bytes, cut)…")));
    // What was to be taken was taken; the tombstone with a key of 600,000 bytes was not.
    let refused = |letter: &Stamped<DeadLetter>| {
        let DeadLetter { reason, detail, .. } = &letter.record;
        let is_meant = letter.record.payload_cut || detail.contains("the key is 600000 bytes long");
        (!is_meant && *reason != Reason::UnknownDatastream).then(|| detail.to_string())
    };
    let refused: Vec<String> = dead.iter().filter_map(refused).collect();
    assert_eq!(refused, Vec::<String>::new());
    let deltas = rows::<WarningDelta>(place, Topic::WARNING_DELTA);
    let features = deltas.iter().map(|delta| delta.record.explanation.features.len()).max();
    assert!(
        features == Some(32) || deltas.iter().any(|delta| delta.stand_in.is_some()),
        "{features:?}"
    );
    let regions = rows::<RegionRisk>(place, Topic::RISK_REGION);
    assert!(regions.iter().any(|row| row.record.top_assets.len() == 10));
}

#[test]
fn the_largest_records_do_not_end_a_job_on_the_embedded_log() {
    for seed in 1..=2 {
        the_job_goes_on(&LogPlace::new(), seed, RECORD_BYTES, || ());
    }
}

#[test]
fn kafka_the_largest_records_do_not_end_a_job_on_a_broker_as_it_comes() {
    let Some(place) = KafkaPlace::start("largest", &[]) else {
        return;
    };
    the_job_goes_on(&place, 3, RECORD_BYTES, || ());
}

/// One topic takes less from the beginning, others do while the job runs.
#[test]
fn kafka_topics_that_take_less_get_smaller_records() {
    let small = LEAST_RECORD_BYTES + 1_000;
    let Some(mut place) = KafkaPlace::start("smaller", &[]) else {
        return;
    };
    // A batch is as large as its records.
    place
        .more
        .push("kafka.properties.\"compression.type\"=\"none\"".to_owned());
    let place = place;
    let limit = |topic: Topic, most: usize| {
        let (name, config) = (place.name(topic), format!("max.message.bytes={most}"));
        let topic = ["--entity-type", "topics", "--entity-name", &name];
        place.tool(&[&["ConfigCommand", "--alter"][..], &topic, &["--add-config", &config]].concat());
    };
    limit(Topic::CASE_STATE, small);
    let check = || {
        let told = place.command("topics").arg("--check").output().unwrap();
        (told.status.code(), String::from_utf8(told.stdout).unwrap())
    };
    let (status, said) = check();
    let remark = format!("max.message.bytes {small}, larger records are cut to that");
    assert!(status == Some(0) && said.contains(&remark), "{said}");
    the_job_goes_on(&place, 4, RECORD_BYTES, || {
        limit(Topic::CASE_DELTA, small);
        limit(Topic::DEAD_LETTER, small);
    });
    let stand_ins = |topic| {
        let rows = rows::<Value>(&place, topic);
        rows.iter()
            .filter_map(|row| row.stand_in)
            .map(|stand_in| stand_in.most as usize)
            .max()
    };
    assert_eq!(stand_ins(Topic::CASE_STATE), Some(small));
    assert_eq!(stand_ins(Topic::DEAD_LETTER), Some(small));
    limit(Topic::CASE_DELTA, 1_000);
    let (status, said) = check();
    assert!(
        status == Some(3) && said.contains("max.message.bytes 1000, should be 1048588"),
        "{said}"
    );
}
