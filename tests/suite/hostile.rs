//! HTTP under a hostile client: while another process opens 10,000 connections that say nothing, trickles headers, sends bodies and headers
//! that do not end, random bytes and requests whose answers nobody reads, whoever behaves is served, memory stays bounded, and the stream
//! goes on as before.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use riskflow_model::Millis;
use serde_json::Value;

use crate::chaos::place::Place as _;
use crate::chaos::{Feed, now, verdict};
use crate::supervised::{Job, Reloading, Token, until};

/// How many connections the job may have open: fewer than usual, so that all of them are taken soon.
const PLACES: usize = 64;

/// Whoever behaves is answered within this, trying again where its connection made room for another. Without slow readers on all places;
/// and with them, who may stay for 5 s each.
const SERVED: Duration = Duration::from_secs(10);
const SERVED_BESIDE_SLOW_READERS: Duration = Duration::from_secs(15);

/// The job's memory may grow by so much, in bytes: that of 64 connections is bounded by 8 MiB of buffers in the process, and the rest is
/// what the job takes in meanwhile.
const GROWTH: usize = 64 << 20;

/// An epoch may take so much longer from its closing to its commit than in calm, in seconds, on average: less than two ticks.
const LONGER: f64 = 0.25;

/// What was committed is heard by a listener within this.
const HEARD: Duration = Duration::from_secs(5);

/// The hostile process; it ends when its input does.
struct Enemy {
    child: Child,
    input: Option<ChildStdin>,
    said: BufReader<std::process::ChildStdout>,
}

impl Enemy {
    fn start(kind: &str, listens: SocketAddr, token: &Token) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_riskflow-enemy"))
            .args([kind, &listens.to_string(), token.0])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, said) = (child.stdin.take(), child.stdout.take().unwrap());
        Self {
            child,
            input,
            said: BufReader::new(said),
        }
    }

    /// Waits until it has tried all its connections: how many it tried, and how many it got.
    fn tried(&mut self) -> [u64; 2] {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        ["attempted", "connected"].map(|name| said[name].as_u64().unwrap())
    }

    fn stop(mut self) {
        drop(self.input.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Enemy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One request on a connection of its own; `None` where it is not answered.
fn ask(listens: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&listens, SERVED_BESIDE_SLOW_READERS).ok()?;
    stream.set_read_timeout(Some(SERVED_BESIDE_SLOW_READERS)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.contains(" 200 ").then(|| body.to_owned())
}

/// The same again and again until there is an answer: and how long that took.
fn served(listens: SocketAddr, path: &str, bound: Duration) -> (String, Duration) {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask(listens, path) {
            return (answer, began.elapsed());
        }
        assert!(began.elapsed() < bound, "{path} is not answered within {bound:?}");
    }
}

/// What is seen of a job for a while.
#[derive(Debug)]
struct Seen {
    /// Epochs a second.
    epochs: f64,
    /// From closing an epoch to its commit, in seconds, on average.
    latency: f64,
    /// The longest that whoever behaves waited.
    waited: Duration,
    /// The most memory, in bytes.
    memory: usize,
    /// The most connections.
    connections: f64,
}

fn value(metrics: &str, name: &str) -> f64 {
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

/// The memory of a process, in bytes.
fn memory(process: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).unwrap();
    kib.parse::<usize>().unwrap() << 10
}

/// A job, as whoever behaves sees it.
struct Watched {
    listens: SocketAddr,
    process: u32,
}

impl Watched {
    fn metrics(&self, bound: Duration) -> (String, Duration) {
        served(self.listens, "/metrics", bound)
    }

    /// Asks it again and again for so long, and at least until `enough`. `before`: its metrics then.
    fn watch(&self, before: &str, (time, bound): (Duration, Duration), mut enough: impl FnMut() -> bool) -> Seen {
        let began = Instant::now();
        let (mut waited, mut most, mut connections) = (Duration::ZERO, 0, 0.0_f64);
        loop {
            let (list, first) = served(self.listens, "/api/v1/warnings?limit=10", bound);
            assert!(list.contains("\"items\":["), "{list}");
            let (metrics, second) = self.metrics(bound);
            waited = waited.max(first).max(second);
            most = most.max(memory(self.process));
            connections = connections.max(value(&metrics, "riskflow_http_connections"));
            if began.elapsed() < time || !enough() {
                continue;
            }
            let came = |name: &str| value(&metrics, name) - value(before, name);
            return Seen {
                epochs: came("riskflow_epochs_total") / began.elapsed().as_secs_f64(),
                latency: came("riskflow_epoch_seconds_sum") / came("riskflow_epoch_seconds_count").max(1.0),
                waited,
                memory: most,
                connections,
            };
        }
    }
}

/// Tells threads to end when it is dropped, be it by a failure: whoever waits for them would wait for ever.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Listens until it is told to end, and gives how many changes it heard, and the longest that one took from its epoch to here.
fn listen(listens: SocketAddr, ends: &AtomicBool) -> (usize, Duration) {
    let mut stream = TcpStream::connect(listens).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(stream, "GET /api/v1/events HTTP/1.0\r\n\r\n").unwrap();
    let (mut heard, mut longest) = (0, Duration::ZERO);
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap();
        assert!(!line.contains("resync"), "the listener was too slow");
        if let Some(data) = line.strip_prefix("data: ") {
            let change: Value = serde_json::from_str(data).unwrap();
            let epoch: Millis = change["epoch"].as_str().unwrap().parse().unwrap();
            longest = longest.max(Duration::from_millis((now() - epoch.0).max(0) as u64));
            heard += 1;
        }
        if ends.load(Ordering::Acquire) {
            return (heard, longest);
        }
    }
    panic!("the listener was cut off after {heard} changes");
}

fn unharmed(name: &str, calm: &Seen, storm: &Seen, bound: Duration) {
    let said = format!("{name}: {storm:?}; in calm: {calm:?}");
    assert!(storm.waited <= bound, "{said}");
    assert!(storm.connections <= PLACES as f64, "{said}");
    assert!(storm.memory <= calm.memory + GROWTH, "{said}");
    assert!(storm.epochs >= calm.epochs / 2.0, "{said}");
    assert!(storm.latency <= calm.latency + LONGER, "{said}");
    let _ = writeln!(std::io::stderr(), "{said}");
}

/// Calm, then a crowd, then slow readers on all places.
fn storms(job: &Watched, token: &Token) {
    let listens = job.listens;
    let times = |seconds, bound| (Duration::from_secs(seconds), bound);
    let (before, _) = job.metrics(SERVED);
    let calm = job.watch(&before, times(4, SERVED), || true);

    let (before, _) = job.metrics(SERVED);
    let mut enemy = Enemy::start("crowd", listens, token);
    let tries = std::thread::spawn(move || (enemy.tried(), enemy));
    let crowd = job.watch(&before, times(6, SERVED), || tries.is_finished());
    let ([attempted, connected], enemy) = tries.join().unwrap();
    assert_eq!(attempted, 10_000);
    // All but those for which there are places were let in and put out again.
    until("the idle do not make room", || {
        let metrics = ask(listens, "/metrics")?;
        let shed = value(&metrics, "riskflow_http_connections_ended_total{reason=\"shed\"}");
        (shed >= connected as f64 - PLACES as f64).then_some(())
    });
    enemy.stop();
    unharmed("10,000 idle connections and worse", &calm, &crowd, SERVED);

    let (before, _) = job.metrics(SERVED);
    let enemy = Enemy::start("stall", listens, token);
    let bound = SERVED_BESIDE_SLOW_READERS;
    let slow = job.watch(&before, times(6, bound), || true);
    enemy.stop();
    unharmed("slow readers on all places", &calm, &slow, bound);
}

#[test]
#[ignore = "a minute or more: `make acceptance` runs it"]
fn whoever_behaves_is_served_beside_a_hostile_client_and_the_stream_goes_on() {
    let world = Reloading::new();
    let token = Token("the enemy has one");
    let places = format!("http.max_connections={PLACES}");
    let file = world.put(&token, &[&places]);
    let Reloading {
        place, folder, listens, ..
    } = world;
    let mut feed = Feed::new(35);
    feed.begin(&place);
    let job = Job::start(&file, None);
    until("the job does not get to the present", || {
        ask(listens, "/readyz").map(drop)
    });
    let watched = Watched {
        listens,
        process: job.child.id(),
    };
    let (fed, heard) = (AtomicBool::new(false), AtomicBool::new(false));
    let place = std::thread::scope(|scope| {
        let (ends_feed, ends_listening) = (Ends(&fed), Ends(&heard));
        // It comes as steadily whether others are answered or not.
        let (fed, mut feed) = (&fed, feed);
        let feeding = scope.spawn(move || {
            while !fed.load(Ordering::Acquire) {
                feed.step(&place);
            }
            place
        });
        let listening = scope.spawn(|| listen(listens, &heard));
        storms(&watched, &token);
        drop(ends_listening);
        let (changes, longest) = listening.join().unwrap();
        assert!(
            changes > 0 && longest <= HEARD,
            "{changes} changes, the slowest after {longest:?}"
        );
        let _ = writeln!(
            std::io::stderr(),
            "{changes} changes heard, the slowest after {longest:?}"
        );
        drop(ends_feed);
        feeding.join().unwrap()
    });
    let end = place.ends();
    until("the job does not get through its input", || {
        verdict::taken(&place).covers(&end).then_some(())
    });
    job.stop();
    let report = verdict::judge(&place);
    let _ = writeln!(std::io::stderr(), "beside a hostile client: {report}");
    drop(folder);
}
