//! A wall clock that is wrong for a while, on a real machine: libfaketime stands between the job and the system.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use riskflow_model::topic::Topic;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::chaos::place::{LogPlace, Place};

const HOUR: i64 = 3_600_000;

/// The library that fakes the time, where Debian's package puts it.
fn faketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?;
    let library = folders
        .filter_map(Result::ok)
        .map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.exists());
    if library.is_none() {
        let required = std::env::var("RISKFLOW_REQUIRE_KAFKA").is_ok_and(|value| value == "1");
        assert!(
            !required,
            "libfaketime is not installed (Debian: apt-get install faketime)"
        );
        let not_run = "\n*** NOT RUN: a wall clock that is wrong: Debian: apt-get install faketime ***";
        let _ = writeln!(std::io::stderr(), "{not_run}");
    }
    library
}

/// A log, and a machine whose wall clock can be set.
struct Machine {
    place: LogPlace,
    folder: TempDir,
    library: PathBuf,
}

impl Machine {
    /// `None` where the time cannot be faked.
    fn new() -> Option<Self> {
        let library = faketime()?;
        let machine = Self {
            place: LogPlace::new(),
            folder: tempfile::tempdir().unwrap(),
            library,
        };
        machine.set(0);
        let rows = |rows: &[Value]| -> Vec<(String, Option<String>)> {
            let key = |row: &Value| row["id"].as_str().unwrap_or("3309").to_owned();
            rows.iter().map(|row| (key(row), Some(row.to_string()))).collect()
        };
        let assets = ["a", "b", "c"].map(|id| {
            json!({"id": id, "name": id, "category": "tank", "domain": "work_safety", "region": "330902001001", "inherent_level": 4})
        });
        let streams = ["a", "b", "c"].map(|id| json!({"id": id, "asset": id, "observed_property": "level"}));
        let rule = |id: &str, when: Value| json!({"id": id, "version": 1, "source": "test", "select": {}, "pane": "1s", "levels": {"red": {"when": when}}});
        let rules = [
            rule(
                "high",
                json!({"feature": "last", "window": "1h", "op": ">=", "threshold": 9}),
            ),
            rule("silent", json!({"feature": "silence", "op": ">=", "threshold": 7200})),
        ];
        machine.place.put(
            Topic::BASE_REGION,
            &rows(&[json!({"code": "3309", "name": "Zhoushan"})]),
        );
        machine.place.put(Topic::BASE_ASSET, &rows(&assets));
        machine.place.put(Topic::BASE_DATASTREAM, &rows(&streams));
        machine.place.put(Topic::IN_RULE, &rows(&rules));
        Some(machine)
    }

    fn time_file(&self) -> PathBuf {
        self.folder.path().join("time")
    }

    /// Sets the wall clock so far ahead.
    fn set(&self, ahead: i64) {
        let new = self.folder.path().join("time.new");
        std::fs::write(&new, format!("{:+}\n", ahead / 1_000)).unwrap();
        std::fs::rename(new, self.time_file()).unwrap();
    }

    fn observe(&self, id: &str, result: i64) {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let row = json!({"datastream": id, "phenomenon_time": now.as_millis() as i64, "result": result});
        self.place
            .put(Topic::IN_OBSERVATION, &[(id.to_owned(), Some(row.to_string()))]);
    }

    fn start(&self, confirm: &str) -> Job {
        self.start_with(confirm, &["http.enabled=false"])
    }

    fn start_with(&self, confirm: &str, sets: &[&str]) -> Job {
        self.spawn(Command::new(crate::kafka::riskflow()), confirm, sets)
    }

    fn spawn(&self, mut command: Command, confirm: &str, sets: &[&str]) -> Job {
        command.args(["run", "--log", "info"]);
        for set in sets {
            command.args(["--set", set]);
        }
        for set in self.place.settings() {
            command.args(["--set", &set]);
        }
        command.args(["--set", &format!("clock.confirm={confirm:?}")]);
        command.args(["--set", "checkpoint.interval=\"300ms\""]);
        command.args([
            "--set",
            &format!("checkpoint.path={:?}", self.folder.path().join("checkpoints")),
        ]);
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", self.time_file())
            .envs([
                ("FAKETIME_NO_CACHE", "1"),
                ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
                ("FAKETIME_DISABLE_SHM", "1"),
            ]);
        let said = self.folder.path().join("said");
        let log = std::fs::File::options().create(true).append(true).open(&said).unwrap();
        command.stdout(Stdio::null()).stderr(log);
        Job(command.spawn().unwrap())
    }

    /// Starts a job, and waits until it is live: what came before is history, and is taken by its time of arrival.
    fn start_live(&self, confirm: &str) -> Job {
        let kept = self.said().matches("INFO checkpoint").count();
        let job = self.start(confirm);
        self.until("the first checkpoint", |machine| {
            machine.said().matches("INFO checkpoint").count() > kept
        });
        job
    }

    /// What it logged; nothing before it began.
    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("said")).unwrap_or_default()
    }

    /// Waits for what must come.
    fn until(&self, what: &str, so: impl Fn(&Self) -> bool) {
        let until = Instant::now() + Duration::from_secs(60);
        while !so(self) {
            assert!(Instant::now() < until, "{what}: never; the job said:\n{}", self.said());
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Rule and asset of the warnings that stand open in the output.
    fn open(&self) -> BTreeSet<String> {
        let mut rows = BTreeMap::new();
        for row in self.place.all(Topic::WARNING_STATE) {
            match row.value {
                Some(value) => rows.insert(row.key, value),
                None => rows.remove(&row.key),
            };
        }
        let names = rows.values().map(|value| {
            let row: Value = serde_json::from_str(value).unwrap();
            format!("{} {}", row["rule"].as_str().unwrap(), row["asset"].as_str().unwrap())
        });
        names.collect()
    }

    /// What was told of warnings: how often of each.
    fn told(&self) -> BTreeMap<(String, String), usize> {
        let mut told = BTreeMap::new();
        for row in self.place.all(Topic::WARNING_DELTA) {
            let delta: Value = serde_json::from_str(&row.value.unwrap()).unwrap();
            let text = |field: &str| delta[field].as_str().unwrap().to_owned();
            let what = format!("{} {} {}", text("kind"), text("rule"), text("asset"));
            *told.entry((what, text("id"))).or_default() += 1;
        }
        told
    }

    fn kinds(&self) -> Vec<String> {
        self.told().into_keys().map(|(what, _)| what).collect()
    }

    fn refused(&self) -> usize {
        self.place.all(Topic::DEAD_LETTER).len()
    }
}

/// A job that may be killed.
struct Job(Child);

impl Job {
    fn stop(mut self) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(
            self.0.wait().unwrap().success(),
            "a job that is asked to stop ends well"
        );
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_step_of_the_wall_clock_that_is_taken_back_refuses_nothing() {
    let Some(machine) = Machine::new() else { return };
    let job = machine.start("5m");
    machine.observe("a", 10);
    machine.until("the first warning", |machine| machine.open() == set(&["high a"]));
    for ahead in [2 * HOUR, -2 * HOUR] {
        let steps = machine.said().matches("made a step").count();
        machine.set(ahead);
        machine.until("the step is told", |machine| {
            machine.said().matches("made a step").count() > steps
        });
        machine.observe("b", if ahead > 0 { 10 } else { 1 });
        let open = if ahead > 0 {
            set(&["high a", "high b"])
        } else {
            set(&["high a"])
        };
        machine.until("the observation counts", |machine| machine.open() == open);
        let agreed = machine.said().matches("agrees with").count();
        machine.set(0);
        machine.until("it agrees again", |machine| {
            machine.said().matches("agrees with").count() > agreed
        });
    }
    assert_eq!(machine.refused(), 0);
    job.stop();
}

/// A history that takes longer than `time.max_future`: here the commit of its first epoch does.
#[test]
fn what_arrives_while_a_history_is_worked_off_is_not_of_the_future() {
    let Some(machine) = Machine::new() else { return };
    let wait = |time: Duration| {
        let until = Instant::now() + time;
        while Instant::now() < until {
            std::thread::park_timeout(Duration::from_millis(20));
        }
    };
    // More epochs than may wait for a commit.
    wait(Duration::from_millis(500));
    machine.observe("a", 10);
    let mut command = Command::new(crate::kafka::with_failpoints());
    command.env("FAILPOINTS", "log::commit::before_sync=1*sleep(5000)");
    let sets = [
        "http.enabled=false",
        "time.max_future=\"1s\"",
        "epoch.replay_tick=\"1ms\"",
        "epoch.quiet=\"close\"",
    ];
    let job = machine.spawn(command, "5m", &sets);
    machine.until("the start", |machine| machine.said().contains("input and output"));
    wait(Duration::from_secs(3));
    assert!(machine.open().is_empty(), "it is still at the first epoch");
    machine.observe("b", 10);
    machine.until("the first is high", |machine| machine.open().contains("high a"));
    machine.until("both count", |machine| {
        machine.open().contains("high b") || machine.refused() > 0
    });
    assert_eq!(machine.refused(), 0, "{:?}", machine.place.all(Topic::DEAD_LETTER));
    job.stop();
}

/// A start with a clock that is a day ahead, then with the right one.
#[test]
fn after_a_start_a_day_ahead_the_right_clock_warns_at_once_and_tells_nothing_twice() {
    let Some(machine) = Machine::new() else { return };
    let job = machine.start("5m");
    machine.observe("a", 10);
    machine.until("the first warning", |machine| machine.open() == set(&["high a"]));
    job.stop();

    machine.set(24 * HOUR);
    let job = machine.start("5m");
    // Nobody reports any more, by this clock, and two never did: what was high an hour ago is stale and stays.
    machine.until("the silence", |machine| {
        machine.open() == set(&["high a", "silent a", "silent b", "silent c"])
    });
    machine.observe("b", 10);
    machine.until("the observation is refused", |machine| machine.refused() == 1);
    drop(job);

    machine.set(0);
    for crash in [false, true, false] {
        let job = machine.start("5m");
        machine.until("the warnings of the right clock", |machine| {
            machine.open() == set(&["high a", "high b"])
        });
        machine.observe("c", if crash { 10 } else { 1 });
        if crash {
            machine.until("it goes on", |machine| machine.open().contains("high c"));
            machine.observe("c", 1);
            machine.until("and on", |machine| !machine.open().contains("high c"));
        } else {
            job.stop();
        }
    }
    let expected = [
        "cleared high c",
        "raised high a",
        "raised high b",
        "raised high c",
        "raised silent a",
        "raised silent b",
        "raised silent c",
        "withdrawn silent a",
        "withdrawn silent b",
        "withdrawn silent c",
    ];
    assert_eq!(machine.kinds(), expected);
    assert!(machine.told().values().all(|times| *times == 1), "{:?}", machine.told());
    assert_eq!(
        machine.said().matches("making the state anew").count(),
        1,
        "once, and not at every start"
    );
}

/// The clock comes right under a running job.
#[test]
fn a_running_job_whose_clock_was_ahead_begins_again_when_that_is_confirmed() {
    let Some(machine) = Machine::new() else { return };
    machine.set(24 * HOUR);
    let job = machine.start_live("1s");
    machine.observe("a", 10);
    machine.until("the observation is refused", |machine| machine.refused() == 1);
    machine.set(0);
    machine.until("it is taken after all", |machine| machine.open() == set(&["high a"]));
    machine.observe("b", 10);
    machine.until("and the next", |machine| machine.open() == set(&["high a", "high b"]));
    drop(job);
    let job = machine.start("1s");
    machine.observe("a", 1);
    machine.until("it goes on after a crash", |machine| machine.open() == set(&["high b"]));
    job.stop();
    // By the clock that was ahead nobody had reported for a day.
    let expected = [
        "cleared high a",
        "raised high a",
        "raised high b",
        "raised silent a",
        "raised silent b",
        "raised silent c",
        "withdrawn silent a",
        "withdrawn silent b",
        "withdrawn silent c",
    ];
    assert_eq!(machine.kinds(), expected);
    assert!(machine.told().values().all(|times| *times == 1), "{:?}", machine.told());
}

/// A deadline that passed by the wrong clock only: that is taken back, and when it passes by the right one the event is told, and
/// nobody is notified again, crashes between or not.
#[test]
fn a_deadline_that_passed_by_a_clock_that_was_ahead_notifies_nobody_again() {
    let Some(machine) = Machine::new() else { return };
    let unit = |id: &str, parent: Option<&str>| json!({"id": id, "region": "3309", "parent": parent});
    let user =
        |id: &str, unit: &str, role: &str| json!({"id": id, "channel": "c", "posts": [{"unit": unit, "role": role}]});
    let rows = |rows: &[Value]| -> Vec<(String, Option<String>)> {
        let row = |row: &Value| (row["id"].as_str().unwrap().to_owned(), Some(row.to_string()));
        rows.iter().map(row).collect()
    };
    let put = |topic, all: &[Value]| machine.place.put(topic, &rows(all));
    put(Topic::BASE_UNIT, &[unit("grid", Some("town")), unit("town", None)]);
    put(
        Topic::BASE_USER,
        &[user("guard", "grid", "duty"), user("chief", "town", "chief")],
    );
    put(
        Topic::BASE_DUTY,
        &[json!({"id": "d", "region": "3309", "unit": "grid", "role": "duty"})],
    );
    let deadlines = [
        "http.enabled=false",
        "case.deadlines.red.called=\"0s\"",
        "case.deadlines.red.acknowledged=\"40s\"",
    ];
    let start = || machine.start_with("5m", &deadlines);
    let events = || {
        let all = machine.place.all(Topic::CASE_DELTA).into_iter();
        let name = |row: &Value| {
            let taken_back = row["retracted"].as_bool().unwrap();
            let kind = row["event"]["kind"].as_str().unwrap().to_owned();
            if taken_back { format!("not {kind}") } else { kind }
        };
        let all = all.map(|row| name(&serde_json::from_str(&row.value.unwrap()).unwrap()));
        all.collect::<Vec<String>>()
    };
    let job = start();
    machine.observe("a", 10);
    machine.until("the case", |_| events() == ["issued"]);
    job.stop();
    machine.set(HOUR);
    let job = start();
    machine.until("the deadline by the wrong clock", |_| {
        events() == ["issued", "escalated"]
    });
    drop(job);
    machine.set(0);
    let mut expected = vec!["issued", "escalated", "not escalated"];
    let kept = machine.said().matches("INFO checkpoint").count();
    let job = start();
    machine.until("it is taken back", |_| events() == expected);
    machine.until("a checkpoint of it", |machine| {
        machine.said().matches("INFO checkpoint").count() > kept
    });
    drop(job);
    expected.push("escalated");
    let job = start();
    machine.until("the deadline by the right clock", |_| events() == expected);
    machine.observe("a", 1);
    expected.push("cleared");
    machine.until("the end", |_| events() == expected);
    job.stop();
    let notices = machine.place.all(Topic::NOTICE).into_iter().map(|row| {
        let notice: Value = serde_json::from_str(&row.value.unwrap()).unwrap();
        let text = |field: &str| notice[field].as_str().unwrap().to_owned();
        format!("{} {}", text("event"), text("user"))
    });
    let mut notices: Vec<String> = notices.collect();
    notices.sort();
    let expected = ["cleared chief", "cleared guard", "escalated chief", "issued guard"];
    assert_eq!(notices, expected, "{}", machine.said());
}

/// In quiet nothing is recorded, but checkpoints are taken: of a time that the right clock has not reached.
#[test]
fn a_quiet_start_by_a_clock_that_was_ahead_leaves_nothing_to_fall_over() {
    let Some(machine) = Machine::new() else { return };
    // Two hours would be silence.
    for ahead in [0, HOUR / 6, HOUR, 0] {
        machine.set(ahead);
        machine.start_live("5m").stop();
    }
    machine.set(0);
    let job = machine.start("5m");
    machine.observe("a", 10);
    machine.until("the right clock warns", |machine| machine.open() == set(&["high a"]));
    job.stop();
    machine.start_live("5m").stop();
    assert!(!machine.said().contains("begins again"), "{}", machine.said());
    assert_eq!(machine.kinds(), ["raised high a"]);
}

/// A machine whose clock is behind until it asks for the time: what it took for the future is refused, and must not be on where the
/// output says that it is not.
#[test]
fn after_a_start_by_a_clock_that_was_behind_state_and_output_agree() {
    let Some(machine) = Machine::new() else { return };
    let job = machine.start_live("5m");
    machine.observe("a", 10);
    machine.until("the first warning", |machine| machine.open() == set(&["high a"]));
    let kept = machine.said().matches("INFO checkpoint").count();
    machine.until("a checkpoint of it", |machine| {
        machine.said().matches("INFO checkpoint").count() > kept + 1
    });
    job.stop();
    machine.set(-HOUR / 6);
    let job = machine.start("5m");
    machine.until("what is yet to come was not", |machine| machine.open().is_empty());
    drop(job);
    machine.set(0);
    let address = crate::chaos::free();
    let http = [format!("http.listen=\"{address}\""), "http.enabled=true".to_owned()];
    let job = machine.start_with("5m", &http.each_ref().map(String::as_str));
    machine.observe("a", 11);
    machine.until("it is high", |machine| machine.open() == set(&["high a"]));
    let shown = crate::actions::curl(&format!("http://{address}/api/v1/warnings"), &[])
        .unwrap()
        .json();
    assert_eq!(shown["total"], 1, "{shown}");
    job.stop();
}

/// Whoever is ready shows what there is, also where nothing happened since the state was made anew.
#[test]
fn a_job_that_made_its_state_anew_is_ready_with_its_tables() {
    let Some(machine) = Machine::new() else { return };
    let job = machine.start("5m");
    machine.observe("a", 10);
    machine.until("the first warning", |machine| machine.open() == set(&["high a"]));
    job.stop();
    machine.set(24 * HOUR);
    let job = machine.start("5m");
    machine.until("the silence", |machine| machine.open().contains("silent a"));
    job.stop();
    machine.set(0);
    let address = crate::chaos::free();
    let http = [format!("http.listen=\"{address}\""), "http.enabled=true".to_owned()];
    let job = machine.start_with("5m", &http.each_ref().map(String::as_str));
    let got = |path: &str| crate::actions::curl(&format!("http://{address}{path}"), &[]);
    machine.until("it is ready", |_| got("/readyz").is_some_and(|got| got.status == 200));
    let shown = got("/api/v1/warnings").unwrap().json();
    assert_eq!(shown["total"], 1, "{shown}");
    job.stop();
}

#[test]
fn a_job_that_may_not_begin_again_says_what_can_be_done() {
    let Some(machine) = Machine::new() else { return };
    machine.set(24 * HOUR);
    let job = machine.start_live("5m");
    machine.observe("a", 10);
    machine.until("the observation is refused", |machine| machine.refused() == 1);
    job.stop();
    machine.set(0);
    let checkpoints = machine.folder.path().join("checkpoints");
    let said = refused(&machine.place, &checkpoints);
    assert!(said.contains("clock.rewind=anew") && said.contains("ahead"), "{said}");
}

fn refused(place: &dyn Place, checkpoints: &Path) -> String {
    let mut command = Command::new(crate::kafka::riskflow());
    command.args([
        "run",
        "--log",
        "warn",
        "--set",
        "http.enabled=false",
        "--set",
        "clock.rewind=\"refuse\"",
    ]);
    for set in place.settings() {
        command.args(["--set", &set]);
    }
    command.args(["--set", &format!("checkpoint.path={checkpoints:?}")]);
    let ended = command.output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    String::from_utf8(ended.stderr).unwrap()
}
