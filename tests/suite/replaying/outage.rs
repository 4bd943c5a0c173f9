//! A process of a cluster is killed under a steady load, with as many datastreams as a city has: all are back in time, and what they
//! published through it is, byte by byte, what a run gives that nobody killed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use riskflow_model::topic::Topic;
use riskflow_tests::history::Draw;
use serde_json::{Value, json};

use super::{assert_same, epochs, live, published, replay, text};
use crate::actions::curl;
use crate::chaos::place::{KafkaPlace, Place};
use crate::chaos::{SETTINGS, free, now, verdict};
use crate::kafka::riskflow;
use crate::savepoints::whole;

/// As many as the promise is about.
const DATASTREAMS: u64 = 100_000;

/// Half of the load is of so many, whose levels change again and again.
const BUSY: u64 = 100;

/// Observations a second.
const RATE: f64 = 2_000.0;

/// For whatever no clock should decide.
const PATIENCE: Duration = Duration::from_secs(300);

/// Names the program that is measured; that of this build is slower.
const PROGRAM: &str = "RISKFLOW_TEST_PROGRAM";

/// The program, and how long a cluster of it may be away. Of ten seconds two are those that a supervisor waits (`RestartSec` of the
/// unit); here nobody waits.
fn program() -> (PathBuf, Duration) {
    match std::env::var_os(PROGRAM) {
        Some(program) => (program.into(), Duration::from_secs(8)),
        None => (riskflow(), Duration::from_secs(30)),
    }
}

/// Asks again and again until it is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "{what}");
        // It is asked every few milliseconds, and nothing depends on how many.
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// An asset for each datastream, all over the city, and one rule.
fn city(place: &KafkaPlace) {
    let rows = |row: &dyn Fn(u64) -> (String, Value)| {
        let rows = (0..DATASTREAMS).map(|number| {
            let (id, row) = row(number);
            (id, Some(row.to_string()))
        });
        rows.collect::<Vec<_>>()
    };
    let region = json!({ "code": "3309", "name": "Zhoushan" });
    place.put(Topic::BASE_REGION, &[("3309".to_owned(), Some(region.to_string()))]);
    let assets = rows(&|number| {
        let id = format!("as-{number}");
        let region = format!("3309{:02}{:03}001", number % 4 + 1, number / 4 % 9 + 1);
        let row = json!({
            "id": id, "category": "tank", "domain": "work_safety", "region": region, "inherent_level": 1 + number % 4,
        });
        (id, row)
    });
    place.put(Topic::BASE_ASSET, &assets);
    let datastreams = rows(&|number| {
        let id = format!("ds-{number}");
        let row = json!({ "id": id, "asset": format!("as-{number}"), "observed_property": "gas" });
        (id, row)
    });
    place.put(Topic::BASE_DATASTREAM, &datastreams);
    let when = json!({ "feature": "last", "window": "4s", "op": ">=", "threshold": 97 });
    let rule = json!({
        "id": "gas", "version": 1, "source": "test", "select": { "observed_property": "gas" }, "pane": "1s",
        "levels": { "red": { "when": when, "clear": "1s" } },
    });
    place.put(Topic::IN_RULE, &[("gas".to_owned(), Some(rule.to_string()))]);
}

/// Observations at a steady rate, whatever becomes of the job, for as long as it is on.
fn load(place: &KafkaPlace, on: &AtomicBool) {
    let mut draw = Draw::new(17);
    let (began, mut sent) = (Instant::now(), 0);
    while on.load(Ordering::Acquire) {
        let due = (began.elapsed().as_secs_f64() * RATE) as u64;
        let records = (sent..due).map(|number| {
            let among = if number.is_multiple_of(2) { DATASTREAMS } else { BUSY };
            let id = format!("ds-{}", draw.below(among));
            let row = json!({ "datastream": id, "phenomenon_time": now(), "result": draw.below(100) });
            (id, Some(row.to_string()))
        });
        place.put(Topic::IN_OBSERVATION, &records.collect::<Vec<_>>());
        sent = due;
        // A steady load, not as much as the broker takes.
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

/// Ends the load also where the test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Two processes of two workers each; killed when they are dropped.
struct Pair {
    processes: [Child; 2],
    listens: [SocketAddr; 2],
}

impl Pair {
    fn start(program: &Path, place: &KafkaPlace, checkpoints: &Path) -> Self {
        let hosts = [free().to_string(), free().to_string()];
        let listens = [free(), free()];
        let processes = [0, 1].map(|process| {
            let mut sets = place.settings();
            let settings = SETTINGS.into_iter().filter(|set| !set.starts_with("checkpoint."));
            sets.extend(settings.map(str::to_owned));
            sets.extend([
                "cluster.workers=2".to_owned(),
                format!("cluster.process={process}"),
                format!("cluster.hosts={hosts:?}"),
                format!("http.listen=\"{}\"", listens[process]),
                format!("checkpoint.path={checkpoints:?}"),
                "checkpoint.interval=\"5s\"".to_owned(),
            ]);
            let mut command = Command::new(program);
            command.args(["run", "--log", "error"]).stdout(Stdio::null());
            for set in &sets {
                command.args(["--set", set]);
            }
            command.spawn().unwrap()
        });
        Self { processes, listens }
    }

    /// Waits until both say that they are live.
    fn await_live(&mut self) {
        until("the processes do not get live", || {
            let mut ended = self.processes.iter_mut().map(|child| child.try_wait().unwrap());
            assert!(ended.all(|status| status.is_none()), "a process ended by itself");
            let says = |listens: &SocketAddr| curl(&format!("http://{listens}/readyz"), &[]);
            self.listens
                .iter()
                .all(|listens| says(listens).is_some_and(|got| got.status == 200))
        });
    }

    /// Kills one, as a machine that is lost, and waits until the other has ended of that.
    fn lose(&mut self, killed: usize) {
        self.processes[killed].kill().unwrap();
        let other = &mut self.processes[1 - killed];
        until("the other process goes on", || other.try_wait().unwrap().is_some());
        assert_eq!(other.wait().unwrap().code(), Some(1));
    }

    fn stop(&mut self) {
        let pid = self.processes[0].id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        for process in &mut self.processes {
            assert!(
                process.wait().unwrap().success(),
                "a job that is asked to stop ends well"
            );
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

#[test]
#[ignore = "minutes, with 100,000 datastreams: `make acceptance` runs it"]
fn kafka_a_cluster_that_loses_a_process_under_load_is_back_in_time_and_nothing_differs() {
    let Some(place) = KafkaPlace::start("outage", &[]) else {
        return;
    };
    let (program, most) = program();
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = folder.path();
    city(&place);
    let mut pair = Pair::start(&program, &place, checkpoints);
    pair.await_live();
    let on = AtomicBool::new(true);
    std::thread::scope(|scope| {
        let _ends = Ends(&on);
        scope.spawn(|| load(&place, &on));
        for killed in [1, 0] {
            // The state of all datastreams, and some of the load, is in a checkpoint; more has come since.
            let before = whole(checkpoints).last().copied();
            until("no checkpoint is taken under load", || {
                whole(checkpoints).last().copied() > before
            });
            let began = Instant::now();
            pair.lose(killed);
            pair = Pair::start(&program, &place, checkpoints);
            pair.await_live();
            let took = began.elapsed();
            assert!(
                took <= most,
                "process {killed} was killed, and both were live again after {took:?}, {most:?} at most"
            );
        }
    });
    let ends = place.ends();
    until("the job does not get through its input", || {
        verdict::taken(&place).covers(&ends)
    });
    pair.stop();

    let out = tempfile::tempdir().unwrap();
    let output = replay(&place, &["--as-ran", "--verify", "--json", "--out", text(&out)]);
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["epochs_compared"], epochs(&place), "{summary}");
    let live = live(&place);
    let of = |topic: Topic| live.keys().filter(|(found, _)| *found == topic).count();
    assert!(of(Topic::WARNING_DELTA) > 100, "hardly anything was warned of");
    assert_eq!(of(Topic::RISK_ASSET) as u64, DATASTREAMS);
    assert_same(&published(out.path()), &live);
}
