//! The bridge: what receivers get, whatever fails, and what never leaves.

mod alertmanager;
mod on_kafka;
mod receiver;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use riskflow_config::{Guarantee, WrittenSettings};
use riskflow_connectors::{EpochRecords, OutRecord, open_sink};
use riskflow_model::Millis;
use riskflow_model::topic::Topic;
use serde_json::{Value, json};
use tempfile::TempDir;

use self::receiver::{Receiver, Reply, Request};
use crate::actions::curl;
use crate::kafka::{now, riskflow, with_failpoints};

/// 32 bytes.
const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// Asks again and again, until there is an answer.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(120);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what}");
        // Not to wait for it, but to leave the processors to what is waited for.
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A notice with this number.
fn notice(number: usize, case: &str, event: &str, level: &str) -> OutRecord {
    let epoch = Millis(now()).to_string();
    let notice = json!({
        "id": format!("{number:032x}"), "case": case, "event": event, "user": "li", "channel": "sms", "unit": "u", "role": "duty",
        "level": level, "due": null, "rule": "gas", "rule_name": "Gas", "asset": "tank", "asset_name": "Tank 1", "domain": "work_safety",
        "region": "330902001001", "region_name": "Dinghai", "since": epoch, "feature": "last 10m", "value": 60.5, "value_unit": "%",
        "text_zh": "【红色预警】", "text_en": "Red warning: Tank 1", "epoch": epoch,
    });
    OutRecord {
        topic: Topic::NOTICE,
        key: case.to_owned(),
        payload: Some(notice.to_string().into_bytes()),
    }
}

fn issued(number: usize) -> OutRecord {
    notice(number, &format!("case-{}", number % 7), "issued", "red")
}

fn id(number: usize) -> String {
    format!("{number:032x}")
}

/// An embedded log with the outputs of a job, and a folder for bridges.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let log = place.log();
        let mut command = Command::new(riskflow());
        command.args(["topics", "--create"]);
        for set in [format!("input.path={log:?}"), format!("output.path={log:?}")] {
            command.args(["--set", &set]);
        }
        assert!(command.stdout(Stdio::null()).status().unwrap().success());
        place
    }

    fn log(&self) -> PathBuf {
        self.0.path().join("log")
    }

    /// What a job commits.
    fn commit(&self, records: Vec<OutRecord>) {
        let output = riskflow_config::Output::Log(self.log());
        let topics = WrittenSettings::from_toml("").unwrap().check().unwrap().topics;
        let mut sink = open_sink(&output, &topics, Guarantee::ExactlyOnce).unwrap();
        let epoch = Millis(now());
        sink.commit(&[EpochRecords { epoch, records }]).unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join("bridge").join(name)
    }

    /// Writes a configuration with the places of this one.
    fn configure(&self, more: &str) -> PathBuf {
        let (log, bridge) = (self.log(), self.0.path().join("bridge"));
        let text = format!(
            "input.path = {log:?}\noutput.path = {log:?}\n[bridge]\npath = {bridge:?}\nlisten = \"127.0.0.1:0\"\ntimeout = \"1s\"\n\
             retry = {{ first = \"20ms\", longest = \"100ms\" }}\n{more}"
        );
        let file = self.0.path().join("riskflow.toml");
        std::fs::write(&file, text).unwrap();
        file
    }

    /// With a webhook that gets all that is there.
    fn with_webhook(&self, url: &str) -> PathBuf {
        self.configure(&format!(
            "[bridge.webhook]\nurl = {url:?}\nsecrets = [{SECRET:?}]\nbegin = \"beginning\"\n"
        ))
    }
}

/// A bridge that runs; killed when it is dropped.
struct Bridge {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Bridge {
    fn start(configuration: &Path) -> Self {
        Self::of(Command::new(riskflow()), configuration)
    }

    /// With a failpoint: it ends as if by SIGKILL once it has come there so many times.
    fn start_to_die(configuration: &Path, failpoint: &str, after: usize) -> Self {
        let mut command = Command::new(with_failpoints());
        command.env("FAILPOINTS", format!("{failpoint}={after}*off->return"));
        Self::of(command, configuration)
    }

    fn of(mut command: Command, configuration: &Path) -> Self {
        command.arg("bridge").arg("--config").arg(configuration);
        command.env("RISKFLOW_LOG", "info").env_remove("NOTIFY_SOCKET");
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log: Arc<Mutex<String>> = Arc::default();
        let written = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                *written.lock().unwrap() += &format!("{line}\n");
            }
        });
        Self { child, log }
    }

    fn says(&self, text: &str) -> Option<()> {
        self.log.lock().unwrap().contains(text).then_some(())
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Tells it to end, and waits until it has.
    fn stop(&mut self) {
        self.signal("-TERM");
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.log.lock().unwrap());
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn url(&self, path: &str) -> String {
        let address = until("it does not serve", || {
            let log = self.log.lock().unwrap();
            let (_, rest) = log.split_once("serving HTTP address=")?;
            Some(rest.lines().next()?.trim().to_owned())
        });
        format!("http://{address}{path}")
    }

    fn metric(&self, name: &str) -> Option<f64> {
        let metrics = curl(&self.url("/metrics"), &[])?.body;
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line?.parse().ok()
    }

    fn until_metric(&self, name: &str, value: f64) {
        until(name, || (self.metric(name)? == value).then_some(()));
    }

    fn notices(&self, outcome: &str) -> String {
        format!("riskflow_bridge_notices_total{{outcome=\"{outcome}\",receiver=\"webhook\"}}")
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ids(requests: &[Request]) -> Vec<String> {
    requests.iter().map(Request::id).collect()
}

/// What another implementation makes of a signature: Python's own `hmac`, as the documentation shows it.
fn verify(request: &Request) -> Output {
    const VERIFY: &str = r#"
import base64, hashlib, hmac, sys, time
id, timestamp, signatures, secret = sys.argv[1:]
assert abs(time.time() - int(timestamp)) < 300, "too old"
key = base64.b64decode(secret.removeprefix("whsec_"))
signed = f"{id}.{timestamp}.".encode() + sys.stdin.buffer.read()
expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
assert any(hmac.compare_digest(expected, given) for given in signatures.split(" ")), expected
"#;
    use std::io::Write as _;
    let header = |name| request.header(name).unwrap();
    let mut child = Command::new("python3")
        .args([
            "-c",
            VERIFY,
            header("webhook-id"),
            header("webhook-timestamp"),
            header("webhook-signature"),
            SECRET,
        ])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(request.body.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

#[test]
fn whatever_fails_is_tried_again_in_order_and_what_is_refused_is_written_down() {
    let place = Place::new();
    place.commit((0..3).map(|number| notice(number, "c", "issued", "red")).collect());
    let receiver = Receiver::in_turn(vec![
        Reply::Status(500, ""),
        Reply::Status(429, "Retry-After: 2"),
        Reply::Silence,
        Reply::Reset,
        Reply::Status(408, ""),
        Reply::OK,
        Reply::Status(400, ""),
    ]);
    let configuration = place.with_webhook(&receiver.url());
    let bridge = Bridge::start(&configuration);
    let requests = receiver.until("three notices", |requests| requests.len() == 8);
    let expected: Vec<String> = [0, 0, 0, 0, 0, 0, 1, 2].map(id).to_vec();
    assert_eq!(ids(&requests), expected);
    let pause = requests[2].at - requests[1].at;
    assert!(pause >= Duration::from_secs(2), "it was asked for peace: {pause:?}");
    assert!(
        requests[3].at - requests[2].at >= Duration::from_secs(1),
        "it waits for an answer"
    );
    // The same bytes, and signed whenever they are sent.
    for request in &requests {
        let verified = verify(request);
        assert!(verified.status.success(), "{verified:?}");
        assert_eq!(request.header("content-type"), Some("application/cloudevents+json"));
        let body = request.json();
        assert_eq!(
            (&body["id"], &body["data"]["id"]),
            (&json!(request.id()), &json!(request.id()))
        );
    }
    assert!(requests[..6].iter().all(|request| request.body == requests[0].body));
    let mut forged = requests[0].clone();
    forged.body = forged.body.replace("Tank 1", "Tank 2");
    assert!(!verify(&forged).status.success());

    bridge.until_metric(&bridge.notices("delivered"), 2.0);
    assert_eq!(bridge.metric(&bridge.notices("refused")), Some(1.0));
    let of_requests = |outcome: &str| {
        bridge.metric(&format!(
            "riskflow_bridge_requests_total{{outcome=\"{outcome}\",receiver=\"webhook\"}}"
        ))
    };
    assert_eq!(
        ["accepted", "retried", "refused"].map(of_requests),
        [Some(2.0), Some(5.0), Some(1.0)]
    );
    assert_eq!(
        bridge.metric("riskflow_bridge_stuck_seconds{receiver=\"webhook\"}"),
        Some(0.0)
    );
    let refused = std::fs::read_to_string(place.file("webhook-refused.ndjson")).unwrap();
    let refused: Vec<Value> = refused
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!((refused.len(), &refused[0]["record"]["id"]), (1, &json!(id(1))));
    assert!(refused[0]["why"].as_str().unwrap().contains("400"));
    let log = bridge.log.lock().unwrap().clone();
    assert!(!log.contains("zhoushan") && !log.contains(SECRET), "{log}");
}

#[test]
fn what_stands_on_the_topic_twice_or_is_no_notice_is_told_once_or_not() {
    let place = Place::new();
    let torn = OutRecord {
        payload: Some(b"{\"id\":\"half".to_vec()),
        ..issued(2)
    };
    let same = |number| notice(number, "c", "issued", "red");
    place.commit(vec![same(0), same(1), torn, same(0), same(3)]);
    let receiver = Receiver::in_turn(Vec::new());
    let bridge = Bridge::start(&place.with_webhook(&receiver.url()));
    bridge.until_metric(&bridge.notices("delivered"), 3.0);
    bridge.until_metric(&bridge.notices("repeated"), 1.0);
    bridge.until_metric(&bridge.notices("unreadable"), 1.0);
    let seen: BTreeSet<String> = ids(&receiver.requests()).into_iter().collect();
    assert_eq!(seen, [0, 1, 3].map(id).into());
    let refused = std::fs::read_to_string(place.file("webhook-refused.ndjson")).unwrap();
    assert!(refused.contains("half"), "{refused}");
}

/// Each of a few kills lies elsewhere; what the receiver makes of it goes by identifiers alone.
#[test]
fn a_bridge_that_is_killed_again_and_again_leaves_nothing_out() {
    const NOTICES: usize = 120;
    let place = Place::new();
    place.commit((0..NOTICES).map(issued).collect());
    let (word, held) = Reply::held();
    // The thirtieth request is under way when the bridge is killed.
    let receiver = Receiver::start(move |number, _| if number == 30 { held.clone() } else { Reply::OK });
    let configuration = place.with_webhook(&receiver.url());
    let mut bridge = Bridge::start(&configuration);
    receiver.until("the request that is held", |requests| requests.len() == 31);
    bridge.kill();
    word.send(()).unwrap();
    for (failpoint, after) in [
        ("bridge::delivered", 0),
        ("bridge::delivered", 1),
        ("bridge::delivered", 13),
        ("bridge::save", 0),
        ("bridge::save", 1),
    ] {
        let mut bridge = Bridge::start_to_die(&configuration, failpoint, after);
        let status = bridge.child.wait().unwrap();
        assert!(
            !status.success() && status.code().is_none(),
            "{failpoint} {after}: {status}"
        );
    }
    let before = receiver.requests().len();
    let mut bridge = Bridge::start(&configuration);
    let all: BTreeSet<String> = (0..NOTICES).map(id).collect();
    // None of those that died wrote down that it was done, so the last ones of all partitions come once more.
    let requests = receiver.until("all notices", |requests| {
        let (earlier, later) = requests.split_at(before);
        let again: BTreeSet<String> = later.iter().map(Request::id).collect();
        (NOTICES - 20..NOTICES).all(|number| again.contains(&id(number)))
            && earlier.iter().chain(later).map(Request::id).collect::<BTreeSet<_>>() == all
    });
    assert!(
        requests.len() > NOTICES,
        "nothing was sent twice: it was not killed in the middle"
    );
    let mut bodies: BTreeMap<String, String> = BTreeMap::new();
    let mut newest: BTreeMap<String, String> = BTreeMap::new();
    for request in &requests {
        let body = bodies.entry(request.id()).or_insert_with(|| {
            // What is new comes in the order of its case.
            let case = request.json()["subject"].as_str().unwrap().to_owned();
            let before = newest.insert(case, request.id());
            assert!(before.is_none_or(|before| before < request.id()));
            request.body.clone()
        });
        assert_eq!(*body, request.body);
    }
    bridge.stop();
    // It knows how far it is: what comes is all that is sent.
    place.commit(vec![issued(NOTICES)]);
    let before = receiver.requests().len();
    let _bridge = Bridge::start(&configuration);
    let requests = receiver.until("the next notice", |requests| requests.len() > before);
    assert_eq!(ids(&requests[before..]), [id(NOTICES)]);
}

#[test]
fn a_new_bridge_tells_nobody_of_what_is_old_and_one_that_stops_waits_for_an_answer() {
    let place = Place::new();
    place.commit((0..5).map(issued).collect());
    let (word, held) = Reply::held();
    let receiver = Receiver::in_turn(vec![held]);
    let url = receiver.url();
    let webhook = |secrets: &str| format!("[bridge.webhook]\nurl = {url:?}\nsecrets = [{secrets}]\n");
    let configuration = place.configure(&webhook(&format!("{SECRET:?}")));
    let mut bridge = Bridge::start(&configuration);
    until("it does not begin", || bridge.says("the bridge sends notices"));
    // Killed before its first notice, it begins where it would have.
    bridge.kill();
    place.commit(vec![issued(5)]);
    // While one secret takes the place of another both sign.
    let other = SECRET.replace("MDEy", "NDEy");
    let configuration = place.configure(&webhook(&format!("{other:?}, {SECRET:?}")));
    let mut bridge = Bridge::start(&configuration);
    let requests = receiver.until("the first notice", |requests| !requests.is_empty());
    assert!(verify(&requests[0]).status.success());
    assert_eq!(requests[0].header("webhook-signature").unwrap().split(' ').count(), 2);
    bridge.signal("-TERM");
    until("it does not stop", || bridge.says("stopping"));
    word.send(()).unwrap();
    assert!(bridge.child.wait().unwrap().success());
    place.commit(vec![issued(6)]);
    let _bridge = Bridge::start(&configuration);
    let requests = receiver.until("the second notice", |requests| requests.len() > 1);
    assert_eq!(ids(&requests), [id(5), id(6)]);
}

#[test]
fn a_place_is_corrected_while_it_runs_and_a_configuration_that_cannot_be_changes_nothing() {
    let place = Place::new();
    place.commit(vec![issued(0)]);
    let wrong = Receiver::start(|_, _| Reply::Status(503, ""));
    let configuration = place.with_webhook(&wrong.url());
    let bridge = Bridge::start(&configuration);
    let ready = || {
        curl(&bridge.url("/readyz"), &[])
            .filter(|got| got.status == 200)
            .map(|got| got.json())
    };
    let stuck = until("it does not say that it is stuck", || {
        ready().filter(|said| said["reason"].is_string())
    });
    assert_eq!(stuck["state"], "live");
    assert!(stuck["reason"].as_str().unwrap().contains("503"), "{stuck}");
    let stuck_seconds = "riskflow_bridge_stuck_seconds{receiver=\"webhook\"}";
    assert!(bridge.metric(stuck_seconds).unwrap() > 0.0);

    place.configure("[bridge.webhook]\nurl = \"nowhere\"\n");
    bridge.signal("-HUP");
    bridge.until_metric("riskflow_config_refused", 1.0);
    assert!(bridge.says("`bridge.webhook.secrets` is empty").is_some());
    let tried = wrong.requests().len();
    wrong.until("it goes on", |requests| requests.len() > tried);

    let right = Receiver::in_turn(Vec::new());
    place.with_webhook(&right.url());
    bridge.signal("-HUP");
    let requests = right.until("the notice", |requests| !requests.is_empty());
    assert_eq!(ids(&requests), [id(0)]);
    bridge.until_metric("riskflow_config_refused", 0.0);
    bridge.until_metric(&bridge.notices("delivered"), 1.0);
    bridge.until_metric(stuck_seconds, 0.0);
    assert!(
        bridge.says("changed=\"bridge.webhook.url\"").is_some(),
        "{}",
        bridge.log.lock().unwrap()
    );
    let health = Command::new(riskflow())
        .args(["health", "--url", &bridge.url("")])
        .output()
        .unwrap();
    assert_eq!((health.status.code(), &*health.stdout), (Some(0), &b"live\n"[..]));
}

#[test]
fn what_cannot_be_is_said_and_no_exercise_leaves() {
    let place = Place::new();
    let run = |configuration: &Path| {
        let mut command = Command::new(riskflow());
        command.arg("bridge").arg("--config").arg(configuration);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = run(&place.configure(""));
    assert!(code == Some(2) && said.contains("nobody to send to"), "{said}");
    let off = place.configure("[bridge.webhook]\nurl = \"http://127.0.0.1:1/\"\nsecrets = []\n");
    let (code, said) = run(&off);
    assert!(
        code == Some(2) && said.contains("`bridge.webhook.secrets` is empty"),
        "{said}"
    );

    let receiver = Receiver::in_turn(Vec::new());
    let configuration = place.with_webhook(&receiver.url());
    let mut bridge = Bridge::start(&configuration);
    until("it does not begin", || bridge.says("the bridge sends notices"));
    let (code, said) = run(&configuration);
    assert!(code == Some(1) && said.contains("another bridge has"), "{said}");
    bridge.stop();

    std::fs::write(place.file("webhook.json"), "{\"version\":1").unwrap();
    let (code, said) = run(&configuration);
    assert!(code == Some(1) && said.contains("does not say how far"), "{said}");
    std::fs::remove_file(place.file("webhook.json")).unwrap();

    place.commit(vec![issued(0)]);
    std::fs::write(place.log().join("exercise"), "").unwrap();
    let (code, said) = run(&configuration);
    assert!(code == Some(1) && said.contains("is the log of an exercise"), "{said}");
    assert!(receiver.requests().is_empty());
}
