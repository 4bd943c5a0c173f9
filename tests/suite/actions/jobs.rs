//! The real program, on the embedded log and on Kafka: from an open warning to an action that the job reads.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use riskflow_connectors::log::LogWriter;
use riskflow_model::Millis;
use riskflow_model::topic::Topic;
use riskflow_tests::kafka::Kafka;
use serde_json::{Value, json};

use super::{CITY, TOWN, curl, riskflow, written};
use crate::chaos::pause;
use crate::kafka::{base, command, create_topics, now, observation};

/// The tokens, by their SHA-256 as `sha256sum` prints it: that of the town, and that of the city, which may promote.
fn settings() -> [String; 4] {
    use sha2::{Digest as _, Sha256};
    let hash = |token: &str| -> String { Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect() };
    let (town, city) = (hash(TOWN), hash(CITY));
    let tokens = format!(
        "http.actions.tokens=[{{ name = \"town\", sha256 = \"{town}\", role = \"duty\", region = \"330902001\" }}, \
         {{ name = \"city\", sha256 = \"{city}\", role = \"analyst\", region = \"3309\", promote = true }}]"
    );
    [
        "http.enabled=true".to_owned(),
        "http.listen=127.0.0.1:0".to_owned(),
        "http.actions.enabled=true".to_owned(),
        tokens,
    ]
}

/// A job that serves HTTP; killed when dropped.
pub(super) struct Serving {
    child: Child,
    address: String,
}

impl Serving {
    fn start(mut command: Command) -> Self {
        for set in settings() {
            command.args(["--set", &set]);
        }
        command
            .env("RISKFLOW_LOG", "info")
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        let (sender, addresses) = channel();
        std::thread::spawn(move || {
            // Read to the end: a job whose errors nobody reads would wait for a reader.
            for line in said.lines().map_while(Result::ok) {
                if let Some((_, rest)) = line.split_once("address=") {
                    let _ = sender.send(rest.split(' ').next().unwrap_or_default().to_owned());
                }
            }
        });
        let address = addresses.recv_timeout(Duration::from_secs(60));
        let address = address.unwrap_or_else(|error| {
            let _ = child.kill();
            panic!("it does not serve HTTP: {error}")
        });
        Self { child, address }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Asks again and again, until the answer is what is waited for.
    pub(super) fn until<T>(&self, path: &str, mut enough: impl FnMut(&str) -> Option<T>) -> T {
        let until = Instant::now() + Duration::from_secs(120);
        loop {
            let body = curl(&self.url(path), &[]).map(|got| got.body).unwrap_or_default();
            if let Some(found) = enough(&body) {
                return found;
            }
            assert!(Instant::now() < until, "{path} gives only {body}");
            pause();
        }
    }

    /// The identifier of the one open warning, once the job serves it and takes actions.
    pub(super) fn warning(&self) -> String {
        self.until("/readyz", |body| (body == "live\n").then_some(()));
        self.until("/api/v1/warnings", |body| {
            let list: Value = serde_json::from_str(body).ok()?;
            Some(list["items"][0]["id"].as_str()?.to_owned())
        })
    }

    fn act(&self, warning: &str, id: &str) -> (u16, Value) {
        let bearer = format!("Authorization: Bearer {TOWN}");
        let body = json!({"id": id, "action": "acknowledge"}).to_string();
        let json = "Content-Type: application/json";
        let path = self.url(&format!("/api/v1/warnings/{warning}/actions"));
        let got = curl(&path, &["-H", &bearer, "-H", json, "-d", &body]).unwrap();
        (got.status, got.json())
    }

    /// Waits until the job took so many actions in.
    fn takes(&self, actions: u64) {
        self.until("/metrics", |body| {
            let name = "riskflow_records_total{topic=\"in.action\"} ";
            let taken = body.lines().find_map(|line| line.strip_prefix(name))?;
            (taken.parse() == Ok(actions)).then_some(())
        });
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Appends a record to a topic of a log, as of now.
pub(super) fn append(folder: &Path, topic: Topic, key: &str, payload: &str) {
    let mut writer = LogWriter::open(folder, topic.name(), 2).unwrap();
    let partition = writer.partition_of(Some(key.as_bytes()));
    let payload = Some(payload.as_bytes());
    writer
        .append(partition, Millis(now()), Some(key.as_bytes()), payload)
        .unwrap();
    writer.sync().unwrap();
}

/// Makes an embedded log with nothing in it; gives the settings that name it.
pub(super) fn empty_log(folder: &Path) -> [String; 3] {
    let sets = [
        format!("input.path={folder:?}"),
        format!("output.path={folder:?}"),
        format!("checkpoint.path={:?}", folder.join("checkpoints")),
    ];
    assert!(riskflow(&["topics", "--create"], &texts(&sets)).status.success());
    sets
}

/// Makes an embedded log with a tank that is over its threshold now; gives the settings that name it.
pub(super) fn log(folder: &Path) -> [String; 3] {
    let sets = empty_log(folder);
    let put = |topic: Topic, key: &str, payload: &str| append(folder, topic, key, payload);
    put(Topic::BASE_REGION, "330902", r#"{"code":"330902","name":"定海区"}"#);
    let asset = r#"{"id":"tank","name":"Tank 1","category":"tank","domain":"work_safety","region":"330902001001","inherent_level":4}"#;
    put(Topic::BASE_ASSET, "tank", asset);
    put(
        Topic::BASE_DATASTREAM,
        "gas",
        r#"{"id":"gas","asset":"tank","observed_property":"gas"}"#,
    );
    let rule = r#"{"id":"gas","version":3,"source":"test","select":{"observed_property":"gas"},"levels":{"red":{"when":{"feature":"last","window":"10m","op":">=","threshold":50}}}}"#;
    put(Topic::IN_RULE, "gas", rule);
    put(Topic::IN_OBSERVATION, "gas", &observation(now(), 60.0));
    sets
}

pub(super) fn texts(sets: &[String; 3]) -> [&str; 3] {
    sets.each_ref().map(String::as_str)
}

pub(super) fn on_log(sets: &[String; 3]) -> Serving {
    let mut command = Command::new(crate::kafka::riskflow());
    command.arg("run");
    for set in sets {
        command.args(["--set", set]);
    }
    Serving::start(command)
}

/// What the command says to machines.
fn explained(sets: &[String; 3], arguments: &[&str]) -> Value {
    let said = riskflow(&[&["explain"][..], arguments, &["--json"][..]].concat(), &texts(sets));
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    serde_json::from_slice(&said.stdout).unwrap()
}

#[test]
fn an_explanation_over_http_is_that_of_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let sets = log(folder.path());
    let job = on_log(&sets);
    let warning = job.warning();
    let get = |path: &str| curl(&job.url(path), &[]).unwrap();
    let command = |arguments: &[&str]| explained(&sets, arguments);

    let got = get(&format!("/api/v1/warnings/{warning}/explanation"));
    assert_eq!((got.status, got.json()), (200, command(&[&warning])));
    assert_eq!(got.json()["deltas"][0]["kind"], "raised");
    // By how it begins, and by what was told at a time.
    let (begins, at) = (&warning[..8], Millis(now()).to_string());
    let got = get(&format!("/api/v1/warnings/{begins}/explanation?as_of={at}"));
    assert_eq!((got.status, got.json()), (200, command(&[begins, "--as-of", &at])));
    assert_eq!(
        (&got.json()["id"], &got.json()["now"]["state"]),
        (&json!(warning), &json!("open"))
    );

    let got = get(&format!("/api/v1/assets/tank/explanation?at={at}&as_of={at}"));
    assert_eq!(
        (got.status, got.json()),
        (200, command(&["tank", "--at", &at, "--as-of", &at]))
    );
    assert_eq!(got.json()["warnings"][0]["level"], "red");
    let got = get(&format!(
        "/api/v1/assets/tank/explanation?at={at}&as_of={at}&rule=gas&all_rules=true"
    ));
    let more = ["tank", "--at", &at, "--as-of", &at, "--rule", "gas", "--all-rules"];
    assert_eq!((got.status, got.json()), (200, command(&more)));

    for (path, status, says) in [
        ("warnings/known", 400, "there is no `at`"),
        ("warnings/known?at=soon", 400, "`at` is `soon`"),
        ("warnings/known?at=2h&within=a%0Ab", 400, "`within`"),
        ("warnings/known?at=2h&least=red", 400, "`least` is given"),
        ("assets/tank/explanation", 400, "there is no `at`"),
        ("assets/tank/explanation?at=soon", 400, "`at` is `soon`"),
        ("assets/tank/explanation?at=2h&as_of=3h", 400, "`as_of` is"),
        ("assets/tank/explanation?at=2h&when=3h", 400, "`when` is given"),
        ("assets/tnak/explanation?at=1s", 404, "there is `tank`"),
        ("assets/tank/explanation?at=1s&rule=gaz", 404, "there is no rule `gaz`"),
        ("warnings/0123456789/explanation", 404, "nothing was told of a warning"),
        ("warnings/a/explanation", 400, "too short"),
        (
            "warnings/a/explanation?at=2h",
            400,
            "`at` is given, which an explanation does not take",
        ),
    ] {
        let got = get(&format!("/api/v1/{path}"));
        assert_eq!(got.status, status, "{path}: {}", got.body);
        let said = got.json()["error"].as_str().unwrap().to_owned();
        assert!(said.contains(says), "{path}: {said}");
        // A command line is of no use here.
        assert!(!said.contains("`--") && !said.contains("`riskflow"), "{path}: {said}");
    }
}

#[test]
fn what_was_known_of_a_time_is_over_http_what_the_command_says() {
    let folder = tempfile::tempdir().unwrap();
    let sets = log(folder.path());
    let other = r#"{"code":"330903","name":"普陀区"}"#;
    append(folder.path(), Topic::BASE_REGION, "330903", other);
    let job = on_log(&sets);
    let warning = job.warning();
    let get = |path: &str| curl(&job.url(path), &[]).unwrap();
    let command = |arguments: &[&str]| explained(&sets, arguments);
    let at = Millis(now()).to_string();
    for (more, arguments, count) in [
        ("&within=330902&rule=gas", &["--within", "330902", "--rule", "gas"], 1),
        ("&within=330903&rule=gas", &["--within", "330903", "--rule", "gas"], 0),
        (
            "&within=%E5%AE%9A%E6%B5%B7%E5%8C%BA&rule=gas",
            &["--within", "定海区", "--rule", "gas"],
            1,
        ),
    ] {
        let got = get(&format!("/api/v1/warnings/known?at={at}&as_of={at}{more}"));
        let asked = [&["--at", &at, "--as-of", &at][..], &arguments[..]].concat();
        assert_eq!((got.status, got.json()), (200, command(&asked)));
        assert_eq!(got.json()["warnings"].as_array().unwrap().len(), count, "{}", got.body);
    }
    let got = get(&format!("/api/v1/warnings/known?at={at}"));
    assert_eq!((got.status, got.json()), (200, command(&["--at", &at])));
    assert_eq!(got.json()["warnings"][0]["id"], warning, "{}", got.body);
    for region in ["zzz", "330999"] {
        let got = get(&format!("/api/v1/warnings/known?at={at}&within={region}"));
        let said = got.json()["error"].as_str().unwrap().to_owned();
        assert_eq!(got.status, 400, "{said}");
        let begins = format!("`within` is `{region}`, which no region has");
        assert!(
            said.starts_with(&begins) && said.ends_with("`/api/v1/regions` shows all"),
            "{said}"
        );
    }
    // A list says so in a note, and of a name which code it has.
    let notes = get("/api/v1/warnings?within=%E5%AE%9A%E6%B5%B7%E5%8C%BA").json()["notes"].clone();
    assert_eq!(
        notes,
        json!(["none of the warnings has `within` = `定海区`; give the code: `330902`"])
    );
}

#[test]
fn the_ledger_of_lateness_over_http_is_that_of_the_topic() {
    let folder = tempfile::tempdir().unwrap();
    let sets = log(folder.path());
    let job = on_log(&sets);
    job.warning();
    let items = |query: &str| curl(&job.url(&format!("/api/v1/lateness{query}")), &[]).unwrap().json()["items"].clone();
    assert_eq!(items(""), json!([]));
    let values = |topic: &str| -> Vec<Value> {
        let said = riskflow(&["tail", topic, "--json"], &texts(&sets));
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        let lines = String::from_utf8(said.stdout).unwrap();
        let records = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        records.map(|mut record| record["value"].take()).collect()
    };

    // The reading that raised the warning was wrong.
    let mut corrected = values("in.observation").remove(0);
    corrected["result"] = json!(1.0);
    append(folder.path(), Topic::IN_OBSERVATION, "gas", &corrected.to_string());
    job.until("/api/v1/lateness", |body| {
        let list: Value = serde_json::from_str(body).ok()?;
        (!list["items"].as_array()?.is_empty()).then_some(())
    });

    let mut rows = values("out.lateness");
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(
        (
            &rows[0]["region"],
            &rows[0]["category"],
            &rows[0]["correction"]["withdrawn"]
        ),
        (&json!("330902"), &json!("tank"), &json!(1)),
        "{rows:?}"
    );
    // A row over HTTP has no epoch of its own.
    assert!(rows[0].as_object_mut().unwrap().remove("epoch").is_some());
    assert_eq!(items(""), json!(rows));
    assert_eq!(items("?within=3309&category=tank"), json!(rows));
    assert_eq!(
        (items("?within=330903"), items("?category=dam")),
        (json!([]), json!([]))
    );
}

#[test]
fn an_action_by_http_and_one_from_a_shell_reach_a_job_on_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let sets = log(folder.path());
    let job = on_log(&sets);
    let sets = texts(&sets);
    let warning = job.warning();
    let (status, answer) = job.act(&warning, "a");
    assert_eq!(status, 202, "{answer}");
    let read = written(folder.path());
    assert_eq!((read.len(), &read[0]["value"]["id"]), (1, &json!("a")));
    let shell = riskflow(
        &[
            "act", &warning, "dispatch", "--actor", "li", "--role", "duty", "--id", "b",
        ],
        &sets,
    );
    assert!(shell.status.success(), "{}", String::from_utf8_lossy(&shell.stderr));
    let (status, again) = job.act(&warning, "a");
    assert_eq!((status, again), (200, answer));
    job.takes(2);

    let people = riskflow(&["tail", "warnings"], &sets);
    let lines = String::from_utf8(people.stdout).unwrap();
    let expected = "red     raised  gas  Tank 1 (tank)  定海区 330902001001  last 10m >= 50 (last 10m = 60)  ";
    assert!(lines.contains(expected) && !lines.contains('\u{1b}'), "{lines}");
    assert_eq!(lines.lines().count(), 1);
}

#[test]
fn kafka_takes_actions_by_http_and_from_a_shell_beside_a_job_that_writes_in_transactions() {
    let Some(kafka) = Kafka::for_test("actions") else {
        return;
    };
    create_topics(&kafka);
    base(&kafka);
    let sets = ["input.clock=\"live\"", "epoch.tick=\"20ms\""];
    let job = Serving::start(command(&kafka, "run", &sets));
    // The rules are in force once the bad one among them was refused.
    kafka
        .consume_until(Topic::DEAD_LETTER, |letters| !letters.is_empty())
        .unwrap();
    let payload = observation(now(), 60.0);
    kafka
        .produce(Topic::IN_OBSERVATION, [("gas", Some(payload.as_str()))])
        .unwrap();
    let warning = job.warning();
    // Partitions show a transaction one after the other.
    kafka
        .consume_until(Topic::CASE_DELTA, |events| !events.is_empty())
        .unwrap();
    let mut shell = command(&kafka, "explain", &[]);
    let said = shell.args([warning.as_str(), "--json"]).output().unwrap();
    let said: Value = serde_json::from_slice(&said.stdout).unwrap();
    job.until(&format!("/api/v1/warnings/{warning}/explanation"), |body| {
        (serde_json::from_str::<Value>(body).ok()? == said).then_some(())
    });
    let (status, answer) = job.act(&warning, "a");
    assert_eq!(status, 202, "{answer}");
    let read = kafka.consume(Topic::IN_ACTION).unwrap();
    assert_eq!(read.len(), 1);
    let value: Value = serde_json::from_str(read[0].value.as_deref().unwrap()).unwrap();
    assert_eq!(
        (read[0].key.as_deref(), &value["id"]),
        (Some(warning.as_str()), &json!("a"))
    );
    let at = (i64::from(read[0].partition), read[0].offset);
    assert_eq!(
        (answer["partition"].as_i64(), answer["offset"].as_i64()),
        (Some(at.0), Some(at.1))
    );
    assert_eq!(job.act(&warning, "a"), (200, answer));

    let mut shell = command(&kafka, "act", &[]);
    shell.args([&warning, "dispatch", "--actor", "li", "--role", "duty", "--json"]);
    let shell = shell.output().unwrap();
    assert!(shell.status.success(), "{}", String::from_utf8_lossy(&shell.stderr));
    let answer: Value = serde_json::from_slice(&shell.stdout).unwrap();
    // One case, one partition.
    assert_eq!(
        (answer["partition"].as_i64(), answer["offset"].as_i64()),
        (Some(at.0), Some(at.1 + 1))
    );
    job.takes(2);

    let mut people = command(&kafka, "tail", &[]);
    let lines = String::from_utf8(people.arg("warnings").output().unwrap().stdout).unwrap();
    assert!(
        lines.contains("raised  gas  Tank 1 (tank)") && lines.contains(&warning),
        "{lines}"
    );
}
