//! The process is killed again and again, at random and at every border of the commit and checkpoint protocols, while
//! records, corrections, base changes and rule changes go on coming; the broker is killed in turn. In the end the output
//! is what the batch oracle makes of the recorded epochs: every delta and dead letter exactly once, every row right.
//!
//! `RISKFLOW_CRASHES` says how many crashes each run has, `RISKFLOW_SEED` which. `make chaos` runs more of them.

mod feed;
pub mod gauges;
mod people;
pub mod place;
mod sets;
pub mod verdict;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use riskflow_tests::history::Draw;

pub use feed::Feed;
use place::{KafkaPlace, LogPlace, Place};

/// Borders of the protocols at which a run may end, each as if by SIGKILL.
const FAILPOINTS: [&str; 9] = [
    "log::commit::before_sync",
    "log::commit::before_commit",
    "log::commit::after_commit",
    "kafka::commit::before_commit",
    "kafka::commit::after_commit",
    "checkpoint::before_part",
    "checkpoint::before_manifest",
    "checkpoint::before_prune",
    "checkpoint::after_prune",
];

pub fn now() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_millis() as i64
}

/// A running job; killed when it is dropped.
pub struct Running {
    processes: Vec<Child>,
    /// Where each serves HTTP.
    listens: Vec<SocketAddr>,
}

/// Between two looks at what a job has done: so that it has the processors, not those who look. Nothing depends on how many looks there are.
pub fn pause() {
    std::thread::park_timeout(Duration::from_millis(20));
}

/// An address that was free a moment ago.
pub fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

impl Running {
    pub fn start(place: &dyn Place, checkpoints: &Path, workers: usize, armed: &str) -> Self {
        Self::start_cluster(place, checkpoints, workers, armed, &[], &[])
    }

    /// One that ends by itself, and is then asked why.
    pub fn start_to_fail(place: &dyn Place, checkpoints: &Path) -> Self {
        Self::start_cluster(place, checkpoints, 2, "", &[free().to_string()], &[])
    }

    /// Two processes of one worker. The second finds no output: where it begins it is told by the first.
    pub fn start_pair(place: &dyn Place, checkpoints: &Path) -> Self {
        let hosts = [free().to_string(), free().to_string()];
        Self::start_cluster(place, checkpoints, 1, "", &hosts, &[])
    }

    /// Two processes of two workers, with more settings.
    pub fn start_pair_with(place: &dyn Place, checkpoints: &Path, sets: &[&str]) -> Self {
        let hosts = [free().to_string(), free().to_string()];
        let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
        Self::start_cluster(place, checkpoints, 2, "", &hosts, &sets)
    }

    pub fn start_anew(place: &dyn Place, checkpoints: &Path) -> Self {
        Self::start_cluster(place, checkpoints, 1, "", &[], &["--start-anew"])
    }

    /// One that goes back to this checkpoint.
    pub fn start_from(place: &dyn Place, checkpoints: &Path, checkpoint: &str) -> Self {
        Self::start_cluster(place, checkpoints, 1, "", &[], &["--from-checkpoint", checkpoint])
    }

    /// With more settings.
    pub fn start_with(place: &dyn Place, checkpoints: &Path, workers: usize, sets: &[&str]) -> Self {
        let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
        Self::start_cluster(place, checkpoints, workers, "", &[], &sets)
    }

    fn start_cluster(
        place: &dyn Place,
        checkpoints: &Path,
        workers: usize,
        armed: &str,
        hosts: &[String],
        flags: &[&str],
    ) -> Self {
        let listens: Vec<SocketAddr> = (0..hosts.len().max(1)).map(|_| free()).collect();
        let processes = listens.iter().enumerate().map(|(process, listen)| {
            let mut command = Command::new(super::kafka::with_failpoints());
            command.args(["run", "--log", "warn"]).args(flags).stdout(Stdio::null());
            // They are for this test, and the job would warn of what it does not read.
            command.env_remove("RISKFLOW_CRASHES").env_remove("RISKFLOW_SEED");
            if !hosts.is_empty() {
                command.stderr(Stdio::piped());
            }
            let mut sets = place.settings();
            sets.extend([
                format!("cluster.workers={workers}"),
                format!("cluster.process={process}"),
                format!("http.listen=\"{listen}\""),
                format!("cluster.hosts={hosts:?}"),
                format!("checkpoint.path={checkpoints:?}"),
            ]);
            if process > 0 {
                sets.push(format!("output.path={:?}", checkpoints.join("nowhere")));
            }
            for set in sets.iter().map(String::as_str).chain(SETTINGS) {
                command.args(["--set", set]);
            }
            if !armed.is_empty() {
                command.env("FAILPOINTS", armed);
            }
            command.spawn().unwrap()
        });
        let processes = processes.collect();
        Self { processes, listens }
    }

    fn has_ended(&mut self) -> bool {
        self.processes
            .iter_mut()
            .any(|child| child.try_wait().unwrap().is_some())
    }

    /// Where process 0 serves HTTP.
    pub fn url(&self) -> String {
        self.url_of(0)
    }

    /// Where a process serves HTTP.
    pub fn url_of(&self, process: usize) -> String {
        format!("http://{}", self.listens[process])
    }

    /// What a process answers over HTTP; empty if it does not.
    pub fn get(&self, process: usize, path: &str) -> String {
        let mut answer = String::new();
        if let Ok(mut stream) = TcpStream::connect(self.listens[process]) {
            let asked = write!(stream, "GET {path} HTTP/1.0\r\n\r\n");
            let _ = asked.and_then(|()| stream.read_to_string(&mut answer));
        }
        answer
    }

    /// Whether all processes say that they are at the present. Those without tables say where these are.
    pub fn is_ready(&self) -> bool {
        let home = format!(
            "\r\n\r\nlive: requests are passed on to process 0 of the cluster, http://{}\n",
            self.listens[0]
        );
        (0..self.listens.len()).all(|process| {
            let said = self.get(process, "/readyz");
            said.contains(" 200 ") && (process == 0 || said.ends_with(&home))
        })
    }

    /// Feeds until a process has ended by itself with exit code 1; its last words, without warnings.
    pub fn last_words(&mut self, process: usize, place: &dyn Place, feed: &mut Feed) -> String {
        self.last_words_while(process, &mut || feed.step(place))
    }

    /// The same without feeding it: its end is asked for every few milliseconds, and nothing depends on how many.
    pub fn last_words_of_an_idle_job(&mut self, process: usize) -> String {
        self.last_words_while(process, &mut || std::thread::park_timeout(Duration::from_millis(5)))
    }

    fn last_words_while(&mut self, process: usize, step: &mut dyn FnMut()) -> String {
        let until = Instant::now() + Duration::from_secs(120);
        let child = &mut self.processes[process];
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < until, "the job goes on");
            step();
        };
        let mut said = String::new();
        child.stderr.as_mut().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(status.code(), Some(1), "{said}");
        let lines = said.lines().filter(|line| !line.contains(" WARN "));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Feeds until the job is at the present, or has ended.
    pub fn await_ready(&mut self, place: &dyn Place, feed: &mut Feed) {
        let until = Instant::now() + Duration::from_secs(120);
        while !self.is_ready() && !self.has_ended() {
            assert!(Instant::now() < until, "the job does not get to the present");
            feed.step(place);
        }
    }

    /// Waits until all of the input is taken.
    pub fn await_taken(&mut self, place: &dyn Place) {
        let end = place.ends();
        let until = Instant::now() + Duration::from_secs(60);
        // Progress is compared with the ends of the input: no clock says when all is done.
        while !verdict::taken(place).covers(&end) {
            assert!(!self.has_ended(), "the job ended by itself");
            assert!(Instant::now() < until, "the job does not get through its input");
            pause();
        }
    }

    /// Whether a failpoint ended it, not we.
    fn met_a_failpoint(&mut self) -> bool {
        use std::os::unix::process::ExitStatusExt as _;
        const SIGABRT: i32 = 6;
        let mut ended = self.processes.iter_mut().filter_map(|child| child.try_wait().unwrap());
        ended.any(|status| {
            let aborted = status.signal() == Some(SIGABRT);
            assert!(
                aborted || status.signal().is_some(),
                "the job ended by itself: {status}"
            );
            aborted
        })
    }

    pub fn stop(self) {
        let all = 0..self.processes.len();
        self.stop_each(all);
    }

    /// Asks process 0 to stop, and looks again and again until it has; its exit code.
    pub fn ends_when_asked(&mut self, mut look: impl FnMut(&Self)) -> Option<i32> {
        let child = &mut self.processes[0];
        await_handler(child);
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        loop {
            if let Some(status) = self.processes[0].try_wait().unwrap() {
                return status.code();
            }
            look(self);
        }
    }

    /// Asks one process only.
    pub fn stop_by(self, process: usize) {
        self.stop_each(process..process + 1);
    }

    fn stop_each(mut self, asked: std::ops::Range<usize>) {
        for child in &mut self.processes[asked] {
            await_handler(child);
            let pid = child.id().to_string();
            assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        }
        for child in &mut self.processes {
            assert!(child.wait().unwrap().success(), "a job that is asked to stop ends well");
        }
    }
}

/// Waits until a process handles SIGTERM: one that has only just begun is ended by it as any program is.
fn await_handler(child: &mut Child) {
    let until = Instant::now() + Duration::from_secs(60);
    let handles = |child: &Child| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        // SIGTERM is 15, and the first bit stands for 1.
        caught.is_some_and(|mask| mask & (1 << 14) != 0)
    };
    while !handles(child) && child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < until, "it never handles SIGTERM");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for child in &mut self.processes {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Small horizons, so that all of them are crossed; few epochs, so that the oracle keeps up.
pub const SETTINGS: [&str; 18] = [
    "input.clock=\"live\"",
    "epoch.tick=\"150ms\"",
    "epoch.replay_tick=\"150ms\"",
    "time.horizon=\"10s\"",
    "time.max_future=\"5s\"",
    "time.late_after=\"1s\"",
    "time.retain=\"5s\"",
    "time.event_age=\"1m\"",
    "case.horizon=\"1m\"",
    "case.retain=\"1m\"",
    "case.deadlines.yellow.called=\"1s\"",
    "case.deadlines.yellow.acknowledged=\"3s\"",
    "case.deadlines.yellow.dispatched=\"2s\"",
    "case.deadlines.red.acknowledged=\"1s\"",
    "case.remind.yellow=\"1m\"",
    "case.remind.red=\"1m\"",
    "checkpoint.interval=\"400ms\"",
    "checkpoint.keep=2",
];

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .map(|value| value.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// Kills the job so many times; returns what was fed.
pub fn storm(place: &mut dyn Place, checkpoints: &Path, crashes: u64, seed: u64, fault: Option<&str>) -> Feed {
    storm_of(Feed::new(seed), place, checkpoints, (crashes, seed), fault)
}

/// The same with rule sets in it, one change at least for each crash.
pub fn storm_of_sets(place: &mut dyn Place, checkpoints: &Path, crashes: u64, seed: u64) -> Feed {
    storm_of(Feed::new(seed).with_sets(), place, checkpoints, (crashes, seed), None)
}

fn storm_of(
    mut feed: Feed,
    place: &mut dyn Place,
    checkpoints: &Path,
    (crashes, seed): (u64, u64),
    fault: Option<&str>,
) -> Feed {
    feed.begin(place);
    let mut draw = Draw::new(seed ^ 0xC0FFEE);
    for crash in 0..crashes {
        let workers = [1, 2, 4, 1][crash as usize % 4];
        let mut armed = Vec::new();
        if let Some(fault) = fault {
            // A fault shows where a crash meets it.
            armed = vec![
                format!("{fault}=return"),
                "log::commit::before_sync=15%return".to_owned(),
                "fault::apart=30%return".to_owned(),
            ];
        } else if draw.once_in(2) {
            let here: Vec<&str> = FAILPOINTS.into_iter().filter(|name| place.reaches(name)).collect();
            armed.push(format!("{}=20%return", draw.pick(&here)));
        }
        feed.people.look(place);
        feed.sets.iter_mut().for_each(|sets| sets.change(place));
        let mut job = Running::start(place, checkpoints, workers, &armed.join(";"));
        // Some die on their way to the present.
        if !draw.once_in(4) {
            job.await_ready(place, &mut feed);
        }
        let until = Instant::now() + Duration::from_millis(draw.below(1_500));
        let broker = draw.once_in(4);
        while Instant::now() < until && !job.has_ended() {
            feed.step(place);
        }
        if broker {
            place.kill_broker();
        }
        // SIGKILL, if a failpoint was not faster.
        feed.at_a_border += u64::from(job.met_a_failpoint());
        feed.brokers += u64::from(broker);
        feed.sets.iter_mut().for_each(sets::Sets::crash);
        drop(job);
        for _ in 0..draw.below(4) {
            feed.step(place);
        }
        if broker {
            place.start_broker();
        }
    }
    feed
}

/// Lets the job take in what is left, and stops it.
pub fn settle(place: &dyn Place, checkpoints: &Path) {
    let mut job = Running::start(place, checkpoints, 2, "");
    job.await_taken(place);
    job.stop();
}

fn run(place: &mut dyn Place, name: &str, crashes: u64) {
    let seed = number("RISKFLOW_SEED").unwrap_or(7);
    let checkpoints = tempfile::tempdir().unwrap();
    let feed = storm_of_sets(place, checkpoints.path(), crashes, seed);
    assert!(feed.at_a_border > 0, "no failpoint was ever reached");
    let promoted = feed.sets.as_ref().map_or(0, |sets| sets.crashes);
    assert!(promoted > 0, "no crash between a promotion and the demotion");
    settle(place, checkpoints.path());
    let report = verdict::judge(place);
    assert!(
        report.case_deltas > 0 && report.notices > 0,
        "nothing happened to cases, or nobody was told: {report}"
    );
    assert!(report.candidate_deltas > 0, "nothing happened to candidates: {report}");
    let _ = writeln!(
        std::io::stderr(),
        "chaos on {name}, seed {seed}: {crashes} crashes ({} at a border; {promoted} while the candidate was live; a broker, if there is one, {} times), {} observations ({} bad), {} actions, {report}",
        feed.at_a_border,
        feed.brokers,
        feed.sent,
        feed.bad,
        feed.people.acted()
    );
}

#[test]
fn chaos_on_the_embedded_log_loses_and_repeats_nothing() {
    run(
        &mut LogPlace::new(),
        "the embedded log",
        number("RISKFLOW_CRASHES").unwrap_or(30),
    );
}

#[test]
fn kafka_chaos_loses_and_repeats_nothing_though_the_broker_dies_too() {
    let Some(mut place) = KafkaPlace::start("chaos", &[]) else {
        return;
    };
    run(&mut place, "Kafka", number("RISKFLOW_CRASHES").unwrap_or(20));
}

/// The judge must notice what it is there for.
fn is_noticed(fault: &str) {
    let mut place = LogPlace::new();
    let checkpoints = tempfile::tempdir().unwrap();
    let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        // Whether a crash meets the fault is chance: of ten in a row it may be none.
        storm(&mut place, checkpoints.path(), 50, 11, Some(fault));
        settle(&place, checkpoints.path());
        verdict::judge(&place);
    }));
    let Err(panic) = judged else {
        panic!("{fault} was not noticed")
    };
    let said = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or_default();
    // By the job itself, which refuses to go on with another result than before; or by the judge.
    let noticed = ["ended by itself", "lost", "repeated", "not contiguous"];
    assert!(
        noticed.iter().any(|word| said.contains(word)),
        "{fault} was not noticed, but something else went wrong: {said}"
    );
}

#[test]
fn progress_that_is_committed_apart_is_noticed() {
    is_noticed("fault::progress_apart");
}

#[test]
fn a_fold_that_is_left_out_of_checkpoints_is_noticed() {
    is_noticed("fault::skip_fold");
}

/// Two processes, of which one is killed again and again: all end, all start again. `workers` of each process, at each turn.
fn deaths(place: &dyn Place, name: &str, workers: [usize; 4]) {
    let checkpoints = tempfile::tempdir().unwrap();
    let mut feed = Feed::new(3);
    feed.begin(place);
    let mut draw = Draw::new(3);
    for (crash, workers) in workers.into_iter().enumerate() {
        let hosts: Vec<String> = (0..2).map(|_| free().to_string()).collect();
        let mut job = Running::start_cluster(place, checkpoints.path(), workers, "", &hosts, &[]);
        job.await_ready(place, &mut feed);
        let until = Instant::now() + Duration::from_millis(draw.below(1_500));
        while Instant::now() < until {
            feed.step(place);
        }
        let (killed, other) = (crash % 2, 1 - crash % 2);
        job.processes[killed].kill().unwrap();
        let said = job.last_words(other, place, &mut feed);
        assert!(
            said.starts_with("error: another process of the cluster is gone") && said.lines().count() == 1,
            "{said}"
        );
    }
    settle(place, checkpoints.path());
    let report = verdict::judge(place);
    let _ = writeln!(std::io::stderr(), "a cluster of two on {name}: 4 deaths, {report}");
}

/// Nothing is lost or repeated, whatever the number of workers before and after.
#[test]
fn a_cluster_of_two_processes_survives_the_death_of_one() {
    deaths(&LogPlace::new(), "the embedded log", [1, 2, 1, 2]);
}

/// The same with four workers in all, and a real broker.
#[test]
fn kafka_a_cluster_of_two_processes_and_four_workers_survives_the_death_of_one() {
    let Some(place) = KafkaPlace::start("cluster", &[]) else {
        return;
    };
    deaths(&place, "Kafka", [2, 2, 2, 2]);
}
