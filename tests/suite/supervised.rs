//! What a process says of itself to whoever watches over it, and what it changes when it is told to read its configuration again.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use riskflow_model::topic::Topic;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::actions::curl;
use crate::chaos::place::{LogPlace, Place as _};
use crate::chaos::{Feed, SETTINGS, free, pause, verdict};
use crate::kafka::riskflow;

/// Asks again and again, until there is an answer.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(120);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what}");
        pause();
    }
}

pub fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
}

/// What `riskflow health` says.
fn health(arguments: &[&str]) -> Output {
    let mut command = Command::new(riskflow());
    command.arg("health").args(arguments).env_remove("RISKFLOW_LOG");
    command.output().unwrap()
}

/// The same as JSON, with the exit code.
fn condition(listens: SocketAddr) -> (Value, Option<i32>) {
    let output = health(&["--json", "--url", &format!("http://{listens}")]);
    let said = serde_json::from_slice(&output.stdout);
    (
        said.unwrap_or_else(|error| panic!("{error}: {output:?}")),
        output.status.code(),
    )
}

/// A job, killed when it is dropped, and all that it wrote to standard error.
pub struct Job {
    pub child: Child,
    log: Arc<Mutex<String>>,
}

impl Job {
    pub fn start(configuration: &Path, notify: Option<&Path>) -> Self {
        let mut command = Command::new(riskflow());
        command.arg("run").arg("--config").arg(configuration);
        command.env_remove("RISKFLOW_LOG").env_remove("NOTIFY_SOCKET");
        if let Some(notify) = notify {
            command.env("NOTIFY_SOCKET", notify);
        }
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

    pub fn says(&self, text: &str) -> Option<()> {
        self.log.lock().unwrap().contains(text).then_some(())
    }

    /// Tells it to end, and waits until it has.
    pub fn stop(mut self) {
        signal(&self.child, "-TERM");
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{}", self.log.lock().unwrap());
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A configuration on this log, with more fields.
pub fn configuration(place: &LogPlace, folder: &Path, more: &[String]) -> String {
    let checkpoints = format!("checkpoint.path={:?}", folder.join("checkpoints"));
    let settings = place.settings().into_iter().chain(SETTINGS.map(str::to_owned));
    let settings: Vec<String> = settings.chain([checkpoints]).chain(more.iter().cloned()).collect();
    settings.join("\n")
}

pub fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    file
}

pub fn metric(listens: SocketAddr, name: &str) -> Option<f64> {
    let metrics = curl(&format!("http://{listens}/metrics"), &[])?.body;
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line?.parse().ok()
}

#[test]
fn each_process_of_a_cluster_says_how_it_is_and_health_repeats_it() {
    let (place, folder) = (LogPlace::new(), tempfile::tempdir().unwrap());
    Feed::new(31).begin(&place);
    let hosts = [free().to_string(), free().to_string()];
    let listens = [free(), free()];
    let start = |process: usize| {
        let more = [
            format!("cluster.hosts={hosts:?}"),
            format!("cluster.process={process}"),
            format!("http.listen=\"{}\"", listens[process]),
        ];
        let text = configuration(&place, folder.path(), &more);
        let file = write(folder.path(), &format!("{process}.toml"), &text);
        (Job::start(&file, None), file)
    };
    let (first, its_file) = start(0);
    // It serves before it has found the other one.
    let (said, code) = until("the first process does not answer", || {
        let (said, code) = condition(listens[0]);
        said["state"].is_string().then_some((said, code))
    });
    assert_eq!(
        (said["state"].as_str(), said["live"].as_bool(), code),
        (Some("starting"), Some(false), Some(1))
    );
    let (mut second, _) = start(1);
    for listens in listens {
        until("a process does not get to the present", || {
            let (said, code) = condition(listens);
            assert_eq!(said["live"] == json!(true), code == Some(0), "{said}");
            (code == Some(0)).then_some(())
        });
        assert_eq!(metric(listens, "riskflow_state{state=\"live\"}"), Some(1.0));
        assert_eq!(metric(listens, "riskflow_state{state=\"starting\"}"), Some(0.0));
    }
    let (said, _) = condition(listens[1]);
    let reason = said["reason"].as_str().unwrap();
    let home = format!(
        "requests are passed on to process 0 of the cluster, http://{}",
        listens[0]
    );
    assert_eq!(reason, home, "{said}");
    // What it passes on is answered there.
    let lists = listens.map(|listens| {
        let got = curl(&format!("http://{listens}/api/v1/assets"), &[]).unwrap();
        (got.status, got.json()["items"].clone())
    });
    assert_eq!((lists[0].0, &lists[0]), (200, &lists[1]));
    let output = health(&["--config", its_file.to_str().unwrap()]);
    assert_eq!(
        (output.status.code(), output.stdout.as_slice()),
        (Some(0), &b"live\n"[..]),
        "{output:?}"
    );
    first.stop();
    assert!(second.child.wait().unwrap().success());
    let (said, code) = condition(listens[0]);
    assert_eq!(
        (&said["state"], &said["live"], code),
        (&Value::Null, &json!(false), Some(1))
    );
    let output = health(&["--config", its_file.to_str().unwrap()]);
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(1) && complaint.contains("nobody answers"),
        "{complaint}"
    );
    assert_eq!(health(&["--url", "nonsense"]).status.code(), Some(2));
}

/// A token, the part of a configuration that knows it, and what an action with it is answered where there is no such warning.
pub struct Token(pub &'static str);

impl Token {
    pub fn configured(&self) -> String {
        let hash: String = Sha256::digest(self.0)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("http.actions.tokens=[{{ name = \"a\", sha256 = \"{hash}\", role = \"duty\", region = \"33\" }}]")
    }

    /// 404: it is known; 401: it is not.
    pub fn asks(&self, listens: SocketAddr) -> u16 {
        let bearer = format!("Authorization: Bearer {}", self.0);
        let url = format!("http://{listens}/api/v1/warnings/nobody/actions");
        let json = "Content-Type: application/json";
        curl(&url, &["-H", &bearer, "-H", json, "-d", "{}"]).unwrap().status
    }
}

/// A job with a configuration that changes, under something that hears what systemd would.
pub struct Reloading {
    pub place: LogPlace,
    pub folder: tempfile::TempDir,
    pub listens: SocketAddr,
    socket: UnixDatagram,
}

impl Reloading {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        Self {
            place: LogPlace::new(),
            folder,
            listens: free(),
            socket,
        }
    }

    /// Writes the configuration: this token, and more fields.
    pub fn put(&self, token: &Token, more: &[&str]) -> PathBuf {
        let common = [
            format!("http.listen=\"{}\"", self.listens),
            "http.actions.enabled=true".to_owned(),
            token.configured(),
        ];
        let more = common.into_iter().chain(more.iter().map(|line| (*line).to_owned()));
        let text = configuration(&self.place, self.folder.path(), &more.collect::<Vec<_>>());
        write(self.folder.path(), "riskflow.toml", &text)
    }

    pub fn start(&self, file: &Path) -> Job {
        let job = Job::start(file, Some(&self.folder.path().join("notify")));
        self.told("READY=1");
        job
    }

    /// The next thing that was told and that has this in it.
    pub fn told(&self, text: &str) -> String {
        let mut message = [0; 4_096];
        loop {
            let length = self.socket.recv(&mut message);
            let length = length.unwrap_or_else(|error| panic!("no {text}: {error}"));
            let message = String::from_utf8_lossy(&message[..length]).into_owned();
            if message.contains(text) {
                return message;
            }
        }
    }

    /// Has it read its configuration again, and waits until it has.
    pub fn reload(&self, job: &Job) {
        signal(&job.child, "-HUP");
        let began = self.told("RELOADING=1");
        assert!(began.contains("MONOTONIC_USEC="), "{began}");
        self.told("READY=1");
    }

    /// How often a configuration was applied, how often refused; whether one is refused now, and whether something waits for a restart.
    pub fn counts(&self) -> [f64; 4] {
        [
            "reloads_total{result=\"applied\"}",
            "reloads_total{result=\"refused\"}",
            "refused",
            "restart_required",
        ]
        .map(|name| metric(self.listens, &format!("riskflow_config_{name}")).unwrap())
    }

    /// The status of an answer to a request by this name.
    fn named(&self, host: &str) -> u16 {
        let host = format!("Host: {host}");
        let url = format!("http://{}/healthz", self.listens);
        curl(&url, &["-H", &host]).unwrap().status
    }

    fn asked_by(&self, tokens: [&Token; 2]) -> [u16; 2] {
        tokens.map(|token| token.asks(self.listens))
    }
}

#[test]
fn what_may_change_does_so_at_sighup_and_what_cannot_be_used_changes_nothing() {
    let world = Reloading::new();
    let mut feed = Feed::new(32);
    feed.begin(&world.place);
    let (old, new) = (Token("old secret"), Token("new secret"));
    let both = [&old, &new];
    let job = world.start(&world.put(&old, &[]));
    assert_eq!(condition(world.listens).1, Some(0), "ready is live");
    assert_eq!((world.asked_by(both), world.named("risk.example")), ([404, 401], 421));
    assert_eq!(world.counts(), [0.0, 0.0, 0.0, 0.0]);
    assert!(job.says("refused by host").is_none());

    let changed = [
        "http.hosts=[\"risk.example\"]",
        "log.filter=\"riskflow=debug\"",
        "epoch.heartbeat=\"2s\"",
    ];
    world.put(&new, &changed);
    world.reload(&job);
    assert_eq!((world.asked_by(both), world.named("risk.example")), ([401, 404], 200));
    assert_eq!(
        (world.named("evil.example"), world.counts()),
        (421, [1.0, 0.0, 0.0, 1.0])
    );
    until("what needs a restart is not named", || job.says("epoch.heartbeat"));
    until("the filter is not the new one", || job.says("refused by host"));

    world.put(&old, &["epoch.in_flight=0", "http.max_connections=1"]);
    world.reload(&job);
    assert_eq!((world.asked_by(both), world.named("risk.example")), ([401, 404], 200));
    assert_eq!(world.counts(), [1.0, 1.0, 1.0, 1.0]);
    for problem in ["`epoch.in_flight`", "`http.max_connections`", "stays in force"] {
        until(problem, || job.says(problem));
    }

    world.put(&new, &[]);
    world.reload(&job);
    assert_eq!((world.asked_by(both), world.named("risk.example")), ([401, 404], 421));
    assert_eq!(world.counts(), [2.0, 1.0, 0.0, 0.0]);

    // All the while it is one job, which takes its input to the end.
    feed.step(&world.place);
    let end = world.place.ends();
    until("the job does not go on", || {
        verdict::taken(&world.place).covers(&end).then_some(())
    });
    job.stop();
    world.told("STOPPING=1");
}

/// From the time in the reading to the commit of its warning: what an operator is promised.
#[test]
fn the_way_from_a_reading_to_its_warning_is_measured_once() {
    /// So old is the reading when it comes, in seconds.
    const OLD: i64 = 3;
    let (place, folder) = (LogPlace::new(), tempfile::tempdir().unwrap());
    let put = |topic: Topic, id: &str, row: Value| place.put(topic, &[(id.to_owned(), Some(row.to_string()))]);
    let asset = json!({
        "id": "tank", "category": "tank", "domain": "work_safety", "region": "330902001001", "inherent_level": 2,
    });
    put(Topic::BASE_ASSET, "tank", asset);
    let datastream = json!({ "id": "gas", "asset": "tank", "observed_property": "gas" });
    put(Topic::BASE_DATASTREAM, "gas", datastream);
    let when = json!({ "feature": "last", "window": "10m", "op": ">=", "threshold": 50 });
    let rule = json!({
        "id": "gas", "version": 1, "source": "test", "select": { "observed_property": "gas" },
        "levels": { "red": { "when": when } },
    });
    put(Topic::IN_RULE, "gas", rule);
    let listens = free();
    let mut settings = place.settings();
    settings.push(format!("http.listen=\"{listens}\""));
    settings.push(format!("checkpoint.path={:?}", folder.path().join("checkpoints")));
    let job = Job::start(&write(folder.path(), "riskflow.toml", &settings.join("\n")), None);
    until("it does not get live", || {
        (condition(listens).0["state"] == "live").then_some(())
    });
    let told = |part: &str| metric(listens, &format!("riskflow_warning_latency_seconds_{part}"));
    assert_eq!(told("count{cause=\"data\"}"), Some(0.0));

    let read = crate::kafka::now() - OLD * 1_000;
    let observation = json!({ "datastream": "gas", "phenomenon_time": read, "result": 60 });
    put(Topic::IN_OBSERVATION, "gas", observation);
    let asked = "count{cause=\"data\"}";
    until("no warning is measured", || told(asked).filter(|count| *count > 0.0));
    let sum = told("sum{cause=\"data\"}").unwrap();
    let most = (crate::kafka::now() - read) as f64 / 1e3;
    // The job's clock is not that of this test, to the millisecond.
    assert!(
        OLD as f64 - 0.1 <= sum && sum <= most + 0.1,
        "{sum} s, of {most} s at most"
    );
    // Buckets count what lies below them.
    assert_eq!(told("bucket{cause=\"data\",le=\"2\"}"), Some(0.0));
    assert_eq!(told("bucket{cause=\"data\",le=\"300\"}"), Some(1.0));
    assert_eq!(told(asked), Some(1.0));
    for cause in ["late_data", "correction"] {
        assert_eq!(told(&format!("count{{cause=\"{cause}\"}}")), Some(0.0), "{cause}");
    }
    job.stop();
}
