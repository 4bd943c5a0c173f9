//! Who may join: each connection between two processes begins with a handshake of our own, before a byte of timely's protocol.
//!
//! ```text
//!   connects (a later one in `cluster.hosts`)        listens (an earlier one)
//!        hello: its position, its job ─────────────► the same job, a position that is awaited?
//!        ◄──────────── welcome, or refused: what is another
//! ```
//!
//! What is no hello, or comes too slowly, is dropped, and nobody minds: the port may be found by scanners, or be the port of
//! another cluster. A process of another job is refused by name, and that one ends: it was set up wrongly.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

/// What every message begins with.
const MAGIC: &[u8; 8] = b"riskflow";
/// Magic, and the length of the JSON behind it.
const HEAD: usize = 12;
/// No message is longer.
const LONGEST: usize = 64 << 10;
/// A handshake that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(5);
/// So many handshakes may be under way; the oldest goes.
const MOST_PENDING: usize = 64;
/// Between two looks at the sockets, and between two attempts to connect.
const LOOK: Duration = Duration::from_millis(20);
const RETRY: Duration = Duration::from_millis(250);
/// How often it is said what is waited for, and what strangers do.
const SAY: Duration = Duration::from_secs(10);

/// What all processes of a job have in common: names of settings and their values.
pub type Job = BTreeMap<String, String>;

/// What a process says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Hello {
    process: usize,
    job: Job,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Welcome,
    /// Why not. Names of settings, no values: who asks may be a stranger.
    Refused(String),
}

/// Connects this process with all others. Returns a socket for each, in the order of `hosts`, with `None` for itself; `None` if it
/// was asked to stop before all were there.
///
/// # Errors
///
/// When its own port cannot be had, or another process refuses this one.
pub fn connect(
    hosts: &[String],
    process: usize,
    job: &Job,
    stop: &AtomicBool,
) -> Result<Option<Vec<Option<TcpStream>>>> {
    let own = &hosts[process];
    let listener = TcpListener::bind(own)
        .with_context(|| format!("`cluster.hosts[{process}]` is `{own}`: could not listen there"))?;
    listener.set_nonblocking(true).context("could not listen")?;
    let hello = Hello {
        process,
        job: job.clone(),
    };
    let mut meeting = Meeting {
        door: Door {
            listener,
            hello: hello.clone(),
            processes: hosts.len(),
            pending: Vec::new(),
            said: None,
        },
        peers: hosts.iter().map(|_| None).collect(),
        callers: Callers::new(hosts, hello),
    };
    let mut said = Instant::now();
    tracing::info!(process, listens = %own, "waiting for the other processes of the cluster");
    loop {
        meeting.step()?;
        let missing = meeting.missing(process);
        if missing.is_empty() {
            return Ok(Some(meeting.ready()?));
        }
        if stop.load(Ordering::Acquire) {
            return Ok(None);
        }
        if said.elapsed() >= SAY {
            said = Instant::now();
            let missing: Vec<&str> = missing.iter().map(|peer| hosts[*peer].as_str()).collect();
            tracing::warn!(
                ?missing,
                "still waiting for processes of the cluster: they do not run, or cannot be reached"
            );
        }
        std::thread::sleep(LOOK);
    }
}

/// A process on its way into the cluster.
struct Meeting {
    door: Door,
    peers: Vec<Option<TcpStream>>,
    callers: Callers,
}

impl Meeting {
    fn step(&mut self) -> Result<()> {
        for (peer, stream) in self.door.step() {
            // One that comes again has lost its first connection.
            self.peers[peer] = Some(stream);
        }
        for (peer, stream) in self.callers.step()? {
            self.peers[peer] = Some(stream);
        }
        for (peer, slot) in self.peers.iter_mut().enumerate() {
            if slot.as_ref().is_some_and(is_gone) {
                tracing::warn!(process = peer, "a process of the cluster went away before it began");
                *slot = None;
                self.callers.call(peer);
            }
        }
        Ok(())
    }

    fn missing(&self, process: usize) -> Vec<usize> {
        let empty = |peer: &usize| *peer != process && self.peers[*peer].is_none();
        (0..self.peers.len()).filter(empty).collect()
    }

    fn ready(self) -> Result<Vec<Option<TcpStream>>> {
        for stream in self.peers.iter().flatten() {
            let set = stream
                .set_nonblocking(false)
                .and_then(|()| stream.set_read_timeout(None))
                .and_then(|()| stream.set_write_timeout(None))
                .and_then(|()| stream.set_nodelay(true));
            set.context("could not set up a connection of the cluster")?;
        }
        Ok(self.peers)
    }
}

/// Whether the other side has closed it. Nothing is taken from it.
fn is_gone(stream: &TcpStream) -> bool {
    let peeked = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
    match peeked {
        Ok(bytes) => bytes == 0,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock && error.kind() != io::ErrorKind::Interrupted,
    }
}

/// Where later processes come in.
struct Door {
    listener: TcpListener,
    hello: Hello,
    processes: usize,
    pending: Vec<Pending>,
    said: Option<Instant>,
}

/// A connection that has not said yet who it is.
struct Pending {
    stream: TcpStream,
    from: SocketAddr,
    since: Instant,
    read: Vec<u8>,
}

impl Door {
    /// The processes that came in since the last look.
    fn step(&mut self) -> Vec<(usize, TcpStream)> {
        // An error is of one connection that is gone again, or of too many open files: the next look finds what is there.
        for (stream, from) in (0..MOST_PENDING).map_while(|_| self.listener.accept().ok()) {
            if stream.set_nonblocking(true).is_ok() {
                self.pending.push(Pending {
                    stream,
                    from,
                    since: Instant::now(),
                    read: Vec::new(),
                });
            }
            if self.pending.len() > MOST_PENDING {
                self.pending.remove(0);
            }
        }
        let mut came = Vec::new();
        for mut pending in std::mem::take(&mut self.pending) {
            match pending.hello() {
                Ok(None) => self.pending.push(pending),
                Ok(Some(hello)) => came.extend(self.answer(&hello, pending)),
                Err(why) => self.say(pending.from, &why),
            }
        }
        came
    }

    fn answer(&mut self, hello: &Hello, mut pending: Pending) -> Option<(usize, TcpStream)> {
        let expected = self.hello.process + 1..self.processes;
        let differs = differing(&self.hello.job, &hello.job);
        let refusal = if !differs.is_empty() {
            Some(format!("it has another {}", differs.join(", ")))
        } else if !expected.contains(&hello.process) {
            Some(format!(
                "it has `cluster.process` {}, which does not connect here",
                hello.process
            ))
        } else {
            None
        };
        let answer = refusal.clone().map_or(Answer::Welcome, Answer::Refused);
        let answered = send(&mut pending.stream, &answer);
        match (refusal, answered) {
            (None, Ok(())) => Some((hello.process, pending.stream)),
            (None, Err(_)) => None,
            (Some(why), _) => {
                self.say(pending.from, &format!("a process of another job: {why}"));
                None
            }
        }
    }

    /// There may be many.
    fn say(&mut self, from: SocketAddr, what: &str) {
        if self.said.is_none_or(|said| said.elapsed() >= SAY) {
            self.said = Some(Instant::now());
            tracing::warn!(%from, "a connection to the port of the cluster was refused: {what}");
        }
    }
}

impl Pending {
    /// Its hello, once it is there.
    fn hello(&mut self) -> Result<Option<Hello>, String> {
        loop {
            let wanted = match self.read.get(..HEAD) {
                Some(head) => HEAD + length(head)?,
                None if !MAGIC.starts_with(&self.read[..self.read.len().min(MAGIC.len())]) => {
                    return Err("it does not speak riskflow's protocol".to_owned());
                }
                None => HEAD,
            };
            if self.read.len() == wanted && wanted > HEAD {
                let hello = serde_json::from_slice(&self.read[HEAD..]);
                return hello.map(Some).map_err(|_| "its hello cannot be read".to_owned());
            }
            // No byte more: what follows is timely's.
            let mut piece = vec![0; wanted - self.read.len()];
            match self.stream.read(&mut piece) {
                Ok(0) => return Err("it hung up".to_owned()),
                Ok(bytes) => self.read.extend_from_slice(&piece[..bytes]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.to_string()),
            }
        }
        if self.since.elapsed() > PATIENCE {
            return Err("it does not say who it is".to_owned());
        }
        Ok(None)
    }
}

/// The length of the JSON behind a head.
fn length(head: &[u8]) -> Result<usize, String> {
    let (magic, length) = head.split_at(MAGIC.len());
    let length = length.try_into().map_or(0, u32::from_be_bytes) as usize;
    if magic != MAGIC || length == 0 || length > LONGEST {
        return Err("it does not speak riskflow's protocol".to_owned());
    }
    Ok(length)
}

fn send<T: Serialize>(stream: &mut TcpStream, message: &T) -> io::Result<()> {
    let json = serde_json::to_vec(message).expect("texts and numbers can be written");
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&(json.len() as u32).to_be_bytes());
    bytes.extend_from_slice(&json);
    stream.write_all(&bytes)
}

/// The names of what is not the same.
fn differing(ours: &Job, theirs: &Job) -> Vec<String> {
    let names = ours
        .keys()
        .chain(theirs.keys().filter(|name| !ours.contains_key(*name)));
    let differs = names.filter(|name| ours.get(*name) != theirs.get(*name));
    differs.map(|name| format!("`{name}`")).collect()
}

/// A connection, or why the other process does not want it.
type Called = Result<TcpStream, String>;

/// Connects to the earlier processes, a thread for each.
struct Callers {
    hosts: Vec<String>,
    hello: Hello,
    sender: Sender<(usize, Called)>,
    receiver: Receiver<(usize, Called)>,
    /// Set when nobody waits for them any more.
    over: Arc<AtomicBool>,
}

impl Callers {
    fn new(hosts: &[String], hello: Hello) -> Self {
        let (sender, receiver) = channel();
        let this = Self {
            hosts: hosts.to_vec(),
            hello,
            sender,
            receiver,
            over: Arc::default(),
        };
        (0..this.hello.process).for_each(|peer| this.call(peer));
        this
    }

    /// Begins to connect to a process; later ones connect by themselves.
    fn call(&self, peer: usize) {
        if peer >= self.hello.process {
            return;
        }
        let (host, hello) = (self.hosts[peer].clone(), self.hello.clone());
        let (sender, over) = (self.sender.clone(), Arc::clone(&self.over));
        std::thread::spawn(move || {
            while !over.load(Ordering::Acquire) {
                match call_once(&host, &hello) {
                    Ok((stream, Answer::Welcome)) => return drop(sender.send((peer, Ok(stream)))),
                    Ok((_, Answer::Refused(why))) => return drop(sender.send((peer, Err(why)))),
                    // It is not there yet, or something else is.
                    Err(error) => tracing::debug!(%error, host, "not connected yet"),
                }
                std::thread::sleep(RETRY);
            }
        });
    }

    fn step(&mut self) -> Result<Vec<(usize, TcpStream)>> {
        let mut came = Vec::new();
        for (peer, answer) in self.receiver.try_iter() {
            match answer {
                Ok(stream) => came.push((peer, stream)),
                Err(why) => bail!(
                    "process {peer} of the cluster, at `{}`, refuses this one: {why}. All processes of a cluster have the same \
                     version and the same settings but for `cluster.process`",
                    self.hosts[peer]
                ),
            }
        }
        Ok(came)
    }
}

/// One attempt.
fn call_once(host: &str, hello: &Hello) -> io::Result<(TcpStream, Answer)> {
    let addresses = host.to_socket_addrs()?;
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return ask(stream, hello),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn ask(mut stream: TcpStream, hello: &Hello) -> io::Result<(TcpStream, Answer)> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    send(&mut stream, hello)?;
    let mut head = [0; HEAD];
    stream.read_exact(&mut head)?;
    let mut json = vec![0; length(&head).map_err(io::Error::other)?];
    stream.read_exact(&mut json)?;
    Ok((stream, serde_json::from_slice(&json)?))
}

impl Drop for Callers {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(count: usize) -> Vec<String> {
        let free: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        free.iter()
            .map(|listener| listener.local_addr().unwrap().to_string())
            .collect()
    }

    fn job(prefix: &str) -> Job {
        Job::from([
            ("topics.prefix".to_owned(), prefix.to_owned()),
            ("version".to_owned(), "1".to_owned()),
        ])
    }

    /// Connects as soon as somebody listens.
    fn stranger(host: &str) -> TcpStream {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            match TcpStream::connect(host) {
                Ok(stream) => return stream,
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
            std::thread::yield_now();
        }
    }

    type Joined = std::thread::JoinHandle<Result<Option<Vec<Option<TcpStream>>>>>;

    fn join(hosts: &[String], process: usize, job: Job, stop: &Arc<AtomicBool>) -> Joined {
        let (hosts, stop) = (hosts.to_vec(), Arc::clone(stop));
        std::thread::spawn(move || connect(&hosts, process, &job, &stop))
    }

    #[test]
    fn strangers_of_every_kind_end_nothing_and_the_peers_find_each_other() {
        let (hosts, stop) = (hosts(3), Arc::default());
        let first = join(&hosts, 0, job("a."), &stop);
        let mut kept = Vec::new();
        let foreign = |process, job: Job| {
            let mut bytes = Vec::new();
            let json = serde_json::to_vec(&Hello { process, job }).unwrap();
            bytes.extend_from_slice(MAGIC);
            bytes.extend_from_slice(&(json.len() as u32).to_be_bytes());
            bytes.extend_from_slice(&json);
            bytes
        };
        let half = foreign(1, job("a."));
        let sayings: [&[u8]; 9] = [
            b"",
            b"GET / HTTP/1.1\r\n\r\n",
            &1u64.to_be_bytes(),
            b"riskflow",
            b"riskflow\xff\xff\xff\xff",
            b"riskflow\0\0\0\x02{}",
            &half[..half.len() - 1],
            &foreign(7, job("a.")),
            &foreign(1, job("b.")),
        ];
        for saying in sayings {
            let mut stream = stranger(&hosts[0]);
            let _ = stream.write_all(saying);
            kept.push(stream);
        }
        // More than may be pending at once.
        kept.extend((0..100).map(|_| stranger(&hosts[0])));
        let others = [1, 2].map(|process| join(&hosts, process, job("a."), &stop));
        let mut all: Vec<Vec<Option<TcpStream>>> = vec![first.join().unwrap().unwrap().unwrap()];
        all.extend(others.map(|other| other.join().unwrap().unwrap().unwrap()));
        for (process, sockets) in all.iter_mut().enumerate() {
            let there: Vec<bool> = sockets.iter().map(Option::is_some).collect();
            assert_eq!(there, (0..3).map(|peer| peer != process).collect::<Vec<_>>());
            for socket in sockets.iter_mut().flatten() {
                socket.write_all(&[process as u8]).unwrap();
            }
        }
        // What is sent next arrives, and from the right one.
        for (process, sockets) in all.iter_mut().enumerate() {
            for (peer, socket) in sockets.iter_mut().enumerate() {
                let Some(socket) = socket else { continue };
                let mut byte = [0];
                socket.read_exact(&mut byte).unwrap();
                assert_eq!(usize::from(byte[0]), peer, "at {process}");
            }
        }
        assert!(TcpStream::connect(&hosts[0]).is_err(), "nobody listens any more");
    }

    #[test]
    fn a_process_of_another_job_is_refused_by_name_and_the_first_waits_on() {
        let (hosts, stop) = (hosts(2), Arc::default());
        let first = join(&hosts, 0, job("a."), &stop);
        let error = join(&hosts, 1, job("b."), &stop)
            .join()
            .unwrap()
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("process 0 of the cluster") && error.contains("another `topics.prefix`"),
            "{error}"
        );
        let second = join(&hosts, 1, job("a."), &stop);
        // Held: one that is gone again is waited for.
        let (first, second) = (first.join().unwrap().unwrap(), second.join().unwrap().unwrap());
        assert!(first.is_some() && second.is_some());
    }

    #[test]
    fn one_that_goes_away_before_the_cluster_is_complete_may_come_again() {
        let (hosts, stop, gone) = (hosts(3), Arc::default(), Arc::new(AtomicBool::new(true)));
        let first = join(&hosts, 0, job("a."), &stop);
        // It gets its welcome, and leaves: asked to stop, since the third is not there.
        let mut stream = stranger(&hosts[0]);
        send(
            &mut stream,
            &Hello {
                process: 1,
                job: job("a."),
            },
        )
        .unwrap();
        let mut head = [0; HEAD];
        stream.read_exact(&mut head).unwrap();
        drop(stream);
        assert!(join(&hosts, 1, job("a."), &gone).join().unwrap().unwrap().is_none());
        let others = [2, 1].map(|process| join(&hosts, process, job("a."), &stop));
        let sockets = first.join().unwrap().unwrap().unwrap();
        // All are held until all are there.
        let others = others.map(|other| other.join().unwrap().unwrap());
        assert!(others.iter().all(Option::is_some));
        assert_eq!(sockets.iter().flatten().count(), 2);
    }
}
