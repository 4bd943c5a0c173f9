//! What someone meets in the first hour with the program: checks, rules, files of their own, what a job says, and how commands end.

mod check;
mod input;
mod sets;
mod what_if;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use riskflow_model::topic::Topic;
use riskflow_tests::kafka::Kafka;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::chaos::pause;
use crate::kafka::{command, create_topics, now, observation, riskflow};

const PATIENCE: Duration = Duration::from_secs(120);

/// What a command said, and how it ended.
pub struct Said {
    code: Option<i32>,
    pub out: String,
    err: String,
}

impl Said {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }

    #[track_caller]
    pub fn ends(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        for part in parts {
            let there = self.out.contains(part) || self.err.contains(part);
            assert!(there, "{part} is not in:\n{}{}", self.out, self.err);
        }
    }
}

/// A folder to work in, with an embedded log in it.
pub struct Desk(TempDir);

impl Desk {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn put(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).unwrap()
    }

    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(riskflow());
        command
            .args(arguments)
            .current_dir(self.0.path())
            .env("RISKFLOW_LOG", "info");
        // What makes input has no settings.
        if arguments.first() != Some(&"generate") {
            command.args(["--set", "http.enabled=false"]);
        }
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Said {
        Said::of(self.command(arguments).output().unwrap())
    }

    fn run_with(&self, arguments: &[&str], input: &[u8]) -> Said {
        let mut command = self.command(arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        Said::of(child.wait_with_output().unwrap())
    }

    pub fn tail(&self, topic: &str) -> Vec<Value> {
        let said = self.run(&["tail", topic, "--json"]);
        said.ends(0, &[]);
        said.out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// A job that runs; its log is read. Killed when dropped.
struct Job {
    child: Child,
    log: Receiver<String>,
    seen: Vec<String>,
}

impl Job {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        let (sender, log) = channel();
        std::thread::spawn(move || {
            for line in said.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self {
            child,
            log,
            seen: Vec::new(),
        }
    }

    /// Waits for a line of the log with all of these in it.
    #[track_caller]
    fn says(&mut self, parts: &[&str]) -> String {
        let until = Instant::now() + PATIENCE;
        let fits = |line: &String| parts.iter().all(|part| line.contains(part));
        if let Some(line) = self.seen.iter().find(|line| fits(line)) {
            return line.clone();
        }
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let line = self.log.recv_timeout(left);
            let line = line.unwrap_or_else(|_| panic!("{parts:?} is not in:\n{}", self.seen.join("\n")));
            self.seen.push(line.clone());
            if fits(&line) {
                return line;
            }
        }
    }

    fn stop(mut self) -> (Option<i32>, Vec<String>) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let code = self.child.wait().unwrap().code();
        self.seen.extend(self.log.iter());
        (code, std::mem::take(&mut self.seen))
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const ASSETS: &str = "id,name,category,domain,region,inherent_level\ntank,Tank 1,tank,work_safety,330902001001,4\n";
const DATASTREAMS: &str = "id,asset,observed_property\ngas,tank,gas\n";
const RULE: &str = r#"{"id":"ours","version":1,"source":"test","select":{"observed_property":"gas"},"levels":{"red":{"when":{"feature":"last","window":"10m","op":">=","threshold":50}}}}"#;

#[test]
fn a_job_without_rules_says_so_until_there_are_some() {
    let desk = Desk::new();
    desk.put("riskflow.toml", "[epoch]\ntick = \"20ms\"\n");
    desk.run(&["topics", "--create"]).ends(0, &[]);
    let mut job = Job::start(desk.command(&["run", "--set", "cluster.workers=2"]));
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    job.says(&[
        "riskflow starts",
        &version,
        "riskflow.toml, --set cluster.workers, --set http.enabled",
    ]);
    job.says(&["input=\"the embedded log in data/log\"", "read_committed"]);
    job.says(&["job starts", "clock=\"live\""]);
    job.says(&["WARN", "NO RULE IS IN FORCE", "riskflow rules load"]);
    job.says(&[
        "nothing was read yet",
        "riskflow import",
        "riskflow generate --to-log data/log",
    ]);
    desk.run(&["rules", "load", "gas"]).ends(0, &["loaded: ", "new"]);
    job.says(&["rules are in force", "rules="]);
    let (code, log) = job.stop();
    assert_eq!(code, Some(0));
    assert!(
        !log.iter().any(|line| line.contains("Some(") || line.contains("Live")),
        "{log:?}"
    );
}

#[test]
fn a_replay_without_rules_says_so_at_its_end() {
    let desk = Desk::new();
    let regions = desk.put("regions.csv", "code,name\n3309,Zhoushan\n");
    let input = format!(
        "input={{ kind = \"files\", clock = \"arrival\", files = [{{ path = {regions:?}, topic = \"base.region\" }}] }}"
    );
    let output = "output={ kind = \"files\", path = \"out\" }";
    let said = desk.run(&["run", "--set", &input, "--set", output]);
    said.ends(
        0,
        &[
            "NO RULE IS IN FORCE",
            "0 rules and 0 limits were in force",
            "1 records: base.region 1",
        ],
    );
}

fn imports(desk: &Desk) {
    desk.put("assets.csv", ASSETS);
    desk.put("datastreams.csv", DATASTREAMS);
    desk.put("rules.ndjson", format!("{RULE}\n"));
}

#[test]
fn kafka_takes_rules_and_imports_and_an_action_says_what_became_of_it() {
    let Some(kafka) = Kafka::for_test("first_hour") else {
        return;
    };
    let desk = Desk::new();
    imports(&desk);
    let run = |verb: &str, arguments: &[&str]| {
        let mut command = command(&kafka, verb, &[]);
        Said::of(command.args(arguments).current_dir(desk.0.path()).output().unwrap())
    };
    run("rules", &["load"]).ends(3, &["is not there"]);
    run("import", &["assets.csv"]).ends(3, &["is not there"]);
    run("run", &[]).ends(3, &["riskflow topics --create"]);
    run("act", &["w", "acknowledge", "--actor", "li"]).ends(3, &["is not there"]);
    create_topics(&kafka);
    run("rules", &["load", "rules.ndjson", "gas"]).ends(0, &["ours", "new"]);
    run("rules", &["load", "rules.ndjson", "gas"]).ends(0, &["0 new, 0 replaced"]);
    run("import", &["assets.csv", "datastreams.csv"]).ends(0, &["2 rows: 2 imported"]);
    let mut job = command(&kafka, "run", &["epoch.tick=\"20ms\""]);
    job.env("RISKFLOW_LOG", "info");
    let mut job = Job::start(job);
    job.says(&["input=\"Kafka at ", kafka.brokers()]);
    job.says(&["rules are in force"]);
    let payload = observation(now(), 60.0);
    kafka
        .produce(Topic::IN_OBSERVATION, [("gas", Some(payload.as_str()))])
        .unwrap();
    let state = kafka.consume_until(Topic::CASE_STATE, |rows| !rows.is_empty()).unwrap();
    let case = state[0].key.clone().unwrap();
    acts(&case, |arguments| run("act", arguments));
    assert_eq!(job.stop().0, Some(0));
    run(
        "act",
        &[&case, "comment", "--actor", "li", "--text", "x", "--wait=200ms"],
    )
    .ends(5, &["no outcome within 0.2 s"]);

    for _ in 0..3 {
        run("import", &["assets.csv"]).ends(0, &[]);
    }
    let newest = run("tail", &["base.asset", "-n", "2", "--json"]);
    assert_eq!(newest.out.lines().count(), 2, "{}", newest.out);
    let all = run("tail", &["base.asset", "--json"]);
    assert!(all.out.ends_with(&newest.out), "{}{}", all.out, newest.out);
}

/// Actions that count, that are refused, that came before, and that cannot be used.
fn acts(case: &str, act: impl Fn(&[&str]) -> Said) {
    let by = ["--actor", "li", "--role", "duty", "--wait"];
    let act = |arguments: &[&str]| act(&[arguments, &by].concat());
    act(&[case, "acknowledge", "--id", "a"]).ends(0, &["done: acknowledge at ", "the case is acknowledged"]);
    let said = act(&[case, "verify", "--json"]);
    said.ends(4, &[]);
    assert_eq!(
        (&said.json()["outcome"], &said.json()["event"]["refusal"]),
        (&json!("refused"), &json!("out_of_order"))
    );
    act(&["nobody", "dispatch"]).ends(2, &["there is no warning or incident `nobody`", "Nothing was appended"]);
    act(&["nobody", "dispatch", "--unchecked"]).ends(4, &["refused: unknown_case"]);
    act(&[&case[..8], "acknowledge", "--id", "a"]).ends(0, &["came before"]);
    act(&[case, "acknowledge", "--id", "a"]).ends(0, &["came before"]);
    act(&[case, "dispatch", "--time", "2021-01-01T00:00:00Z"]).ends(4, &["refused: too_late"]);
}

#[test]
fn on_the_log_an_action_says_what_became_of_it_and_settings_that_change_are_told() {
    let desk = Desk::new();
    imports(&desk);
    desk.run(&["import", "assets.csv", "datastreams.csv", "in.rule=rules.ndjson"])
        .ends(0, &[]);
    desk.put("now.ndjson", observation(now(), 60.0));
    desk.run(&["import", "in.observation=now.ndjson"]).ends(0, &[]);
    let mut job = Job::start(desk.command(&["run"]));
    job.says(&["rules are in force", "rules=1"]);
    let until = Instant::now() + PATIENCE;
    let case = loop {
        let rows = desk.tail("out.case.state");
        if let Some(row) = rows.first() {
            break row["key"].as_str().unwrap().to_owned();
        }
        assert!(Instant::now() < until);
        pause();
    };
    acts(&case, |arguments| desk.run(&[&["act"], arguments].concat()));
    // It was killed before it took a checkpoint: what it gave is known by its digests alone.
    drop(job);
    let changed = [
        "run",
        "--set",
        "time.retain=2h",
        "--set",
        "case.deadlines.red.called=7m",
    ];
    let mut job = Job::start(desk.command(&changed));
    job.says(&[
        "a setting changed since the last start",
        "setting=time.retain",
        "was=\"1h\"",
        "is=2h",
    ]);
    job.says(&["setting=case.domains.work_safety.red.called", "is=7m"]);
    job.says(&["rules are in force"]);
    drop(job);
    // Once told, it is how things are.
    let mut job = Job::start(desk.command(&changed));
    job.says(&["rules are in force"]);
    let (code, log) = job.stop();
    assert_eq!(code, Some(0), "{log:?}");
    assert!(
        !log.iter()
            .any(|line| line.contains("changed since") || line.contains("another result")),
        "{log:?}"
    );
    desk.run(&["act", &case, "comment", "--actor", "li", "--text", "x", "--wait=100ms"])
        .ends(5, &["no job runs here"]);
}

#[test]
fn dead_letters_are_told_in_the_log() {
    let desk = Desk::new();
    desk.run(&["rules", "load", "gas"]).ends(0, &[]);
    desk.put("bad.ndjson", "{\"topic\":\"in.observation\",\"key\":\"a\",\"value\":{\"datastream\":\"a\",\"phenomenon_time\":1627171200000,\"result\":1},\"arrival\":1627171200000}\n");
    desk.run(&[
        "import",
        "in.observation=bad.ndjson",
        "--arrival",
        "2021-07-26T00:00:00Z",
    ])
    .ends(0, &[]);
    let said = desk.run(&["run", "--set", "input.clock=arrival"]);
    said.ends(
        0,
        &["records could not be used: too_late 1", "riskflow tail out.deadletter"],
    );
}

#[test]
fn commands_end_with_the_codes_that_they_say() {
    let desk = Desk::new();
    for (arguments, code) in [
        (&["--version"][..], 0),
        (&["nonsense"], 2),
        (&["check", "-c", "nowhere.toml"], 2),
        (&["run", "-c", "nowhere.toml"], 2),
        (&["run", "--set", "epoch.tick"], 2),
        (&["run", "--set", "version.x=1"], 2),
        (&["schema", "nonsense"], 2),
        (&["tail", "nonsense"], 2),
        (&["tail", "out.notice"], 3),
        (&["tail", "out.notice", "--set", "output.kind=files"], 2),
        (&["run"], 3),
        (&["act", "w", "acknowledge", "--actor", "li"], 3),
        (&["act", "w", "acknowledge", "--actor", "li", "--wait=soon"], 2),
        (&["act", "w", "nonsense"], 2),
        (&["topics", "--check"], 3),
        (&["doctor"], 3),
        (&["topics", "--accept-loss", "--set", "output.kind=files"], 2),
        (&["topics", "--create"], 0),
        (&["topics", "--check"], 0),
        (&["doctor"], 0),
        (&["tail", "out.notice"], 0),
        (&["checkpoint", "verify"], 0),
    ] {
        let said = match arguments {
            ["nonsense" | "--version" | "schema", ..] => {
                Said::of(Command::new(riskflow()).args(arguments).output().unwrap())
            }
            _ => desk.run(arguments),
        };
        assert_eq!(said.code, Some(code), "{arguments:?}: {}{}", said.out, said.err);
    }
    for command in [
        "run",
        "act",
        "import",
        "rules",
        "tail",
        "explain",
        "check",
        "health",
        "bridge",
        "topics",
        "doctor",
        "checkpoint",
    ] {
        let help = desk.run(&[command, "--help"]);
        help.ends(0, &["Exit codes: 0 done", "130"]);
    }
    desk.run(&["tail", "--help"])
        .ends(0, &["isolation.level=read_committed"]);
}

#[test]
fn another_jobs_checkpoints_end_a_start_with_their_code() {
    let desk = Desk::new();
    let run = |log: &str| {
        let sets = ["input.path", "output.path"].map(|field| format!("{field}={log:?}"));
        let sets = ["--set", &sets[0], "--set", &sets[1], "--set", "input.clock=arrival"];
        desk.run(&[&["topics", "--create"], &sets[..]].concat()).ends(0, &[]);
        desk.run(&[&["run"], &sets[..]].concat())
    };
    run("one").ends(0, &[]);
    run("two").ends(3, &["another job"]);
}

#[test]
fn the_demo_looks_at_its_port_first_and_says_what_it_does() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let demo = |arguments: &[&str]| Command::new(riskflow()).arg("demo").args(arguments).output().unwrap();
    let said = Said::of(demo(&["--once", "--http", &address]));
    said.ends(2, &[&address, "--http 127.0.0.1:0"]);
    assert!(!said.err.contains("1/3"), "{}", said.err);
    let said = Said::of(demo(&[
        "--once",
        "--http",
        "127.0.0.1:0",
        "--datastreams",
        "1000",
        "--hours",
        "1",
    ]));
    said.ends(0, &["1/3 generating", "2/3 ", "3/3 ", "records a second", "s in all"]);
    // Stopped before there is anything to show.
    let mut command = Command::new(riskflow());
    command.args(["demo", "--http", "127.0.0.1:0", "--datastreams", "100000"]);
    let mut job = Job::start(command);
    job.says(&["1/3 generating"]);
    let (code, log) = job.stop();
    assert_eq!(code, Some(130), "{log:?}");
    assert!(
        log.iter().any(|line| line.contains("there is nothing to show")),
        "{log:?}"
    );
}

/// Installs by a script that only notes what it is asked for.
#[test]
fn setup_installs_what_is_missing_and_without_root_says_the_line() {
    let desk = Desk::new();
    let stub = |name: &str, text: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        let path = desk.put(name, format!("#!/bin/sh\n{text}\n"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    let asked = desk.path("asked");
    stub(
        "dpkg-query",
        "case \"$*\" in *libssl-dev*) exit 1;; *) echo 'install ok installed';; esac",
    );
    stub("apt-get", &format!("echo \"$*\" >>{asked}"));
    stub("cargo", "exit 0");
    stub("sudo", "exit 1");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let path = format!("{}:{}", desk.0.path().display(), std::env::var("PATH").unwrap());
    let setup = |program: &[&str], what: &[&str]| {
        let mut command = Command::new(program[0]);
        command
            .args(&program[1..])
            .arg(root.join("deploy/setup.sh"))
            .args(what)
            .env("PATH", &path);
        Said::of(command.output().unwrap())
    };
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    setup(&["bash"], &["--check", "demo"]).ends(1, &["setup: missing: libssl-dev"]);
    setup(&["bash"], &["nonsense"]).ends(2, &["setup.sh demo"]);
    if !is_root {
        setup(&["bash"], &["demo"]).ends(1, &["sudo sh -c 'apt-get update && apt-get install -y", "libssl-dev"]);
        return;
    }
    setup(&["bash"], &["demo"]).ends(0, &["setup: installing libssl-dev", "setup: done"]);
    let asked = fs::read_to_string(asked).unwrap();
    assert!(
        asked.contains("update")
            && asked
                .lines()
                .last()
                .unwrap()
                .ends_with("--no-install-recommends libssl-dev"),
        "{asked}"
    );
    stub("dpkg-query", "echo 'install ok installed'");
    setup(&["bash"], &["demo"]).ends(0, &["setup: nothing is missing"]);
}
