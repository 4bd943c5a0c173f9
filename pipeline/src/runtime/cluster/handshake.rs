//! Who may join: each connection between two processes begins with a handshake of our own, before a byte of timely's protocol.
//!
//! ```text
//!   connects (a later one in `cluster.hosts`)        listens (an earlier one)
//!        hello: its position, its job ─────────────► the same job, a position that is awaited?
//!     with `cluster.secret`:
//!        the right proof? ◄────────────── random bytes, its proof that it knows the secret
//!        its proof ────────────────────────────────► the right one?
//!        ◄──────────── welcome, or refused: what is another
//! ```
//!
//! What is no hello, or comes too slowly, is dropped, and nobody minds: the port may be found by scanners, or be the port of
//! another cluster. A process of another job is refused by name, and that one ends: it was set up wrongly. Once all have met nobody listens
//! any more.
//!
//! **Not promised:** what goes on a connection afterwards is neither encrypted nor signed. So the port belongs on a private network, and
//! without a secret only a private address is listened on.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use riskflow_config::ClusterSettings;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use socket2::{SockRef, TcpKeepalive};

use super::proof::{Key, Side, nonce};

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

/// A connection whose other side has acknowledged nothing for so long is lost. Kafka takes as long to give up on a transaction.
const LOST: Duration = Duration::from_secs(30);

/// What all processes of a job have in common: names of settings and their values.
pub type Job = BTreeMap<String, String>;

/// What a process says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Hello {
    process: usize,
    job: Job,
    /// Random bytes, where there is a secret.
    #[serde(default)]
    nonce: String,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Welcome,
    /// Why not. Names of settings, no values: who asks may be a stranger.
    Refused(String),
    /// It is to prove that it knows the secret, as this one does.
    Prove {
        nonce: String,
        proof: String,
    },
}

/// What is said to [`Answer::Prove`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Proved {
    proof: String,
}

/// What is wrong with who proves it wrongly.
const OTHER_SECRET: &str = "it has another `cluster.secret`";

/// Connects this process with all others. Returns a socket for each, in the order of `hosts`, with `None` for itself; `None` if it
/// was asked to stop before all were there.
///
/// # Errors
///
/// When its own port cannot be had, or is for all the world and there is no secret; or another process refuses this one.
pub fn connect(cluster: &ClusterSettings, job: &Job, stop: &AtomicBool) -> Result<Option<Vec<Option<TcpStream>>>> {
    let (hosts, process) = (&cluster.hosts, cluster.process);
    let listener = listen(cluster)?;
    let key = cluster.secret.as_ref().map(|secret| Arc::new(Key::of(secret)));
    let hello = Hello {
        process,
        job: job.clone(),
        nonce: String::new(),
    };
    let own = listener.local_addr().context("could not listen")?;
    let mut meeting = Meeting {
        door: Door {
            listener,
            hello: hello.clone(),
            key: key.clone(),
            processes: hosts.len(),
            pending: Vec::new(),
            said: None,
        },
        peers: hosts.iter().map(|_| None).collect(),
        callers: Callers::new(hosts, hello, key),
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

/// Listens where the settings say.
fn listen(cluster: &ClusterSettings) -> Result<TcpListener> {
    let (field, address) = match cluster.listen {
        Some(address) => ("cluster.listen".to_owned(), address.to_string()),
        None => (
            format!("cluster.hosts[{}]", cluster.process),
            cluster.hosts[cluster.process].clone(),
        ),
    };
    let listener =
        TcpListener::bind(&address).with_context(|| format!("`{field}` is `{address}`: could not listen there"))?;
    listener.set_nonblocking(true).context("could not listen")?;
    if cluster.secret.is_none() {
        let ip = listener.local_addr().context("could not listen")?.ip();
        ensure!(
            is_private(ip),
            "`{field}` is `{address}`, which is {ip}, no private address, and there is no `cluster.secret`: anybody could join. Give a \
             private address in `cluster.listen`, or a secret that all processes have"
        );
        tracing::warn!(
            "there is no `cluster.secret`: nothing but the network keeps others from the ports between the processes"
        );
    }
    Ok(listener)
}

/// Whether an address is of one machine or one network only: loopback, RFC 1918, RFC 6598, link-local, RFC 4193.
fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            let shared = first == 100 && second & 0xC0 == 64;
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || shared
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
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
                .and_then(|()| stream.set_nodelay(true))
                .and_then(|()| notices_loss(stream));
            set.context("could not set up a connection of the cluster")?;
        }
        Ok(self.peers)
    }
}

/// Has the system break a connection whose other side does not answer any more, as where the network between them is cut: timely waits
/// for what comes, and would wait for ever.
fn notices_loss(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_user_timeout(Some(LOST))?;
    let probes = TcpKeepalive::new().with_time(LOST / 3).with_interval(LOST / 6);
    socket.set_tcp_keepalive(&probes)
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
    key: Option<Arc<Key>>,
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
    /// What it is to prove.
    asked: Option<(Hello, String)>,
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
                    asked: None,
                });
            }
            if self.pending.len() > MOST_PENDING {
                self.pending.remove(0);
            }
        }
        let mut came = Vec::new();
        for mut pending in std::mem::take(&mut self.pending) {
            match self.hear(&mut pending) {
                Ok(None) => self.pending.push(pending),
                Ok(Some(process)) => came.push((process, pending.stream)),
                Err(why) => self.say(pending.from, &why),
            }
        }
        came
    }

    /// The position of a process that may come in; `None` while it has not said all.
    fn hear(&self, pending: &mut Pending) -> Result<Option<usize>, String> {
        match pending.asked.take() {
            None => match pending.message()? {
                Some(hello) => self.greet(hello, pending),
                None => Ok(None),
            },
            Some((hello, nonce)) => match pending.message::<Proved>()? {
                Some(Proved { proof }) => self.judge(&hello, &nonce, &proof, pending),
                None => {
                    pending.asked = Some((hello, nonce));
                    Ok(None)
                }
            },
        }
    }

    /// Answers a hello.
    fn greet(&self, hello: Hello, pending: &mut Pending) -> Result<Option<usize>, String> {
        let expected = self.hello.process + 1..self.processes;
        let differs = differing(&self.hello.job, &hello.job);
        if !differs.is_empty() {
            return pending.refuse(format!("it has another {}", differs.join(", ")));
        }
        if !expected.contains(&hello.process) {
            let process = hello.process;
            return pending.refuse(format!(
                "it has `cluster.process` {process}, which does not connect here"
            ));
        }
        let Some(key) = &self.key else {
            pending.send(&Answer::Welcome)?;
            return Ok(Some(hello.process));
        };
        let nonce = nonce().map_err(|error| error.to_string())?;
        let proof = key.prove(Side::Listens, &hello, &nonce);
        pending.send(&Answer::Prove {
            nonce: nonce.clone(),
            proof,
        })?;
        pending.asked = Some((hello, nonce));
        Ok(None)
    }

    /// Answers a proof.
    fn judge(&self, hello: &Hello, nonce: &str, proof: &str, pending: &mut Pending) -> Result<Option<usize>, String> {
        let knows = |key: &Arc<Key>| key.is_proof(Side::Connects, hello, nonce, proof);
        if !self.key.as_ref().is_some_and(knows) {
            return pending.refuse(OTHER_SECRET.to_owned());
        }
        pending.send(&Answer::Welcome)?;
        Ok(Some(hello.process))
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
    fn send(&mut self, answer: &Answer) -> Result<(), String> {
        send(&mut self.stream, answer).map_err(|error| error.to_string())
    }

    /// Tells it why it may not come in, as far as it listens.
    fn refuse(&mut self, why: String) -> Result<Option<usize>, String> {
        let said = format!("a process of another job: {why}");
        let _ = self.send(&Answer::Refused(why));
        Err(said)
    }

    /// The next that it says, once it is there.
    fn message<T: DeserializeOwned>(&mut self) -> Result<Option<T>, String> {
        loop {
            let wanted = match self.read.get(..HEAD) {
                Some(head) => HEAD + length(head)?,
                None if !MAGIC.starts_with(&self.read[..self.read.len().min(MAGIC.len())]) => {
                    return Err("it does not speak riskflow's protocol".to_owned());
                }
                None => HEAD,
            };
            if self.read.len() == wanted && wanted > HEAD {
                let message = serde_json::from_slice(&self.read[HEAD..]);
                self.read.clear();
                return message.map(Some).map_err(|_| "what it says cannot be read".to_owned());
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
    key: Option<Arc<Key>>,
    sender: Sender<(usize, Called)>,
    receiver: Receiver<(usize, Called)>,
    /// Set when nobody waits for them any more.
    over: Arc<AtomicBool>,
}

impl Callers {
    fn new(hosts: &[String], hello: Hello, key: Option<Arc<Key>>) -> Self {
        let (sender, receiver) = channel();
        let this = Self {
            hosts: hosts.to_vec(),
            hello,
            key,
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
        let (host, hello, key) = (self.hosts[peer].clone(), self.hello.clone(), self.key.clone());
        let (sender, over) = (self.sender.clone(), Arc::clone(&self.over));
        std::thread::spawn(move || {
            while !over.load(Ordering::Acquire) {
                match call_once(&host, &hello, key.as_deref()) {
                    Ok((stream, Answer::Welcome)) => return drop(sender.send((peer, Ok(stream)))),
                    Ok((_, Answer::Refused(why))) => return drop(sender.send((peer, Err(why)))),
                    // It asked for the secret once more: no process of ours does.
                    Ok((_, Answer::Prove { .. })) => tracing::debug!(host, "something else is there"),
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
fn call_once(host: &str, hello: &Hello, key: Option<&Key>) -> io::Result<(TcpStream, Answer)> {
    let addresses = host.to_socket_addrs()?;
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return ask(stream, hello.clone(), key),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn ask(mut stream: TcpStream, mut hello: Hello, key: Option<&Key>) -> io::Result<(TcpStream, Answer)> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    if key.is_some() {
        hello.nonce = nonce().map_err(io::Error::other)?;
    }
    send(&mut stream, &hello)?;
    let refused = |why: &str| Answer::Refused(why.to_owned());
    let answer = match (receive::<Answer>(&mut stream)?, key) {
        (Answer::Prove { nonce, proof }, Some(key)) => {
            if key.is_proof(Side::Listens, &hello, &nonce, &proof) {
                let proof = key.prove(Side::Connects, &hello, &nonce);
                send(&mut stream, &Proved { proof })?;
                receive(&mut stream)?
            } else {
                refused(OTHER_SECRET)
            }
        }
        (Answer::Prove { .. }, None) => refused("it wants `cluster.secret`, which this one does not have"),
        (Answer::Welcome, Some(_)) => refused("it does not prove that it knows `cluster.secret`"),
        (answer @ (Answer::Welcome | Answer::Refused(_)), _) => answer,
    };
    Ok((stream, answer))
}

fn receive<T: DeserializeOwned>(stream: &mut TcpStream) -> io::Result<T> {
    let mut head = [0; HEAD];
    stream.read_exact(&mut head)?;
    let mut json = vec![0; length(&head).map_err(io::Error::other)?];
    stream.read_exact(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}

impl Drop for Callers {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
