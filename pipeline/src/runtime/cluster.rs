//! What the processes of a cluster owe each other. Only those of one job meet, and all begin where process 0 says. It is fail-stop:
//! when one process ends before the others, all end, each with one line that says so.

mod handshake;
mod proof;

use std::any::Any;

use std::cell::RefCell;
use std::fmt;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::panic;
use std::process;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use riskflow_config::{Input as From, Output, Settings};
use timely::ExchangeData;
use timely::communication::Hooks;
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::allocator::{AllocatorBuilder, ProcessBuilder};
use timely::dataflow::InputHandleVec;
use timely::dataflow::operators::Inspect;
use timely::dataflow::operators::probe::{Handle, Probe};
use timely::dataflow::operators::vec::{Broadcast, Input};
use timely::worker::Worker;

use crate::runtime::recovery::semantics_of;

use handshake::{Job, connect};

/// What timely's threads say, in a panic, when a connection to another process breaks.
const LOST: &str = "timely communication error: ";

/// From now on the loss of another process of the cluster ends this one, with an error on standard error and exit code 1,
/// at whatever instruction it stands: as after kill -9, a start goes on from the last commit. Other panics stay as they are.
pub fn end_with_peers() {
    static ONCE: Mutex<()> = Mutex::new(());
    let others = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let Some(why) = info.payload_as_str().and_then(|text| text.strip_prefix(LOST)) else {
            return others(info);
        };
        // Each connection has threads of its own; the first that notices speaks.
        let _first = ONCE.lock();
        let _ = writeln!(
            std::io::stderr(),
            "error: another process of the cluster is gone ({why}): this one ends too; start all of them again"
        );
        process::exit(1);
    }));
}

/// How workers reach each other, and what must live as long as they do.
pub type Communication = (Vec<AllocatorBuilder>, Box<dyn Any + Send>);

/// Puts together how the workers of this process reach each other and those of the other processes. Waits for these; `None` if it
/// was asked to stop before they were there.
///
/// # Errors
///
/// When the port of this process cannot be had, or another process refuses this one.
pub fn communication(settings: &Settings, stop: &AtomicBool) -> Result<Option<Communication>> {
    let cluster = &settings.cluster;
    let threads = cluster.workers.get();
    if cluster.hosts.len() < 2 {
        let alone = match threads {
            1 => timely::CommunicationConfig::Thread,
            _ => timely::CommunicationConfig::Process(threads),
        };
        return alone.try_build().map(Some).map_err(|error| anyhow!(error));
    }
    let Some(sockets) = connect(cluster, &job(settings), stop)? else {
        return Ok(None);
    };
    let hooks = Hooks::default();
    let builders = ProcessBuilder::new_typed_vector(threads, hooks.refill.clone(), hooks.spill.clone());
    let (builders, guard) = initialize_networking_from_sockets(builders, sockets, cluster.process, threads, hooks)
        .context("could not use the connections of the cluster")?;
    Ok(Some((
        builders.into_iter().map(AllocatorBuilder::Tcp).collect(),
        Box::new(guard),
    )))
}

/// What the processes of a job have in common, by the names of the settings: with others they would compute something else, or
/// something at another place.
fn job(settings: &Settings) -> Job {
    let input = match &settings.input {
        From::Log(folder) => format!("log {}", folder.display()),
        From::Kafka(kafka) => format!("kafka {}", kafka.brokers),
        From::Files(files) => format!("files {files:?}"),
    };
    // Only process 0 writes; the others need to know whether what is written lasts.
    let output = match &settings.output {
        Output::Log(_) => "log",
        Output::Kafka(_) => "kafka",
        Output::Files(_) => "files",
    };
    let all = [
        ("version of riskflow", env!("CARGO_PKG_VERSION").to_owned()),
        ("cluster.hosts", settings.cluster.hosts.join(" ")),
        ("cluster.workers", settings.cluster.workers.to_string()),
        // Whether there is one; which it is, each has to prove.
        ("cluster.secret", settings.cluster.secret.is_some().to_string()),
        ("topics.prefix", settings.topics.prefix.clone()),
        ("input", input),
        ("input.clock", format!("{:?}", settings.clock)),
        ("output.kind", output.to_owned()),
        // Requests are passed on as they came: not from HTTPS to HTTP.
        (
            "http.tls",
            settings
                .http
                .as_ref()
                .is_some_and(|http| http.tls.is_some())
                .to_string(),
        ),
        ("checkpoint.path", settings.checkpoint.path.clone()),
        (
            "[time], [unknown], [unmatched], [risk] or [case]",
            semantics_of(settings).to_string(),
        ),
    ];
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Where the tables of a cluster are, for a process that does not have them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home(Result<String, String>);

impl Home {
    /// Before process 0 was met.
    #[must_use]
    pub fn awaited(hosts: &[String]) -> Self {
        Self(Err(format!(
            "process 0 of the cluster ({}) has the tables, and was not met yet",
            hosts.first().map_or("", String::as_str)
        )))
    }

    /// As process 0 says: `served` is where it serves HTTP, such as `http://0.0.0.0:9464`, if it does. `process` is this one.
    #[must_use]
    pub fn told(hosts: &[String], process: usize, served: Option<&str>) -> Self {
        let host_of = |process: usize| {
            let host = hosts.get(process).map_or("", String::as_str);
            host.rsplit_once(':').map_or(host, |(host, _)| host)
        };
        let (home, own) = (host_of(0), host_of(process));
        let Some((scheme, address)) = served.and_then(|served| served.split_once("://")) else {
            return Self(Err(format!(
                "process 0 of the cluster ({home}) has the tables, and serves no HTTP"
            )));
        };
        let parsed: Option<SocketAddr> = address.parse().ok();
        match parsed {
            // It listens on every address of its host.
            Some(address) if address.ip().is_unspecified() => Self(Ok(format!("{scheme}://{home}:{}", address.port()))),
            // On another host, that would be this process itself, or nobody.
            Some(address) if address.ip().is_loopback() && home != own && !is_loopback(home) => Self(Err(format!(
                "process 0 of the cluster ({home}) has the tables, and serves HTTP for its own host only: give an address in \
                 `http.listen` that the others reach"
            ))),
            _ => Self(Ok(format!("{scheme}://{address}"))),
        }
    }

    /// Where requests are passed on to, such as `http://10.0.0.1:9464`.
    ///
    /// # Errors
    ///
    /// Why they cannot be, in words.
    pub fn url(&self) -> Result<&str, &str> {
        self.0.as_deref().map_err(String::as_str)
    }
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.url() {
            Ok(url) => write!(f, "requests are passed on to process 0 of the cluster, {url}"),
            Err(why) => f.write_str(why),
        }
    }
}

/// Whether a host of `cluster.hosts` is the machine itself.
fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// What worker 0 has of this, on every worker: each must call it at the same point, and waits for worker 0.
pub fn tell<T: ExchangeData + Clone>(worker: &mut Worker, own: T) -> T {
    let told = Rc::new(RefCell::new(own));
    let (heard, probe) = (Rc::clone(&told), Handle::new());
    let mut input: InputHandleVec<u64, T> = InputHandleVec::new();
    worker.dataflow(|scope| {
        scope
            .input_from(&mut input)
            .broadcast()
            .inspect(move |said| said.clone_into(&mut heard.borrow_mut()))
            .probe_with(&probe);
    });
    if worker.index() == 0 {
        input.send(told.borrow().clone());
    }
    input.close();
    while !probe.done() {
        worker.step_or_park(None);
    }
    told.borrow().clone()
}

/// While others are waited for, it is looked so often whether it is of any use.
const LOOK: Duration = Duration::from_millis(20);

/// What some workers have of this, on every worker, in no order: each must call it at the same point, and waits for all of them; `None` once
/// that is in vain.
pub fn gather<T: ExchangeData + Clone>(
    worker: &mut Worker,
    own: Option<T>,
    in_vain: &dyn Fn() -> bool,
) -> Option<Vec<T>> {
    let all: Rc<RefCell<Vec<T>>> = Rc::default();
    let (heard, probe) = (Rc::clone(&all), Handle::new());
    let mut input: InputHandleVec<u64, T> = InputHandleVec::new();
    worker.dataflow(|scope| {
        scope
            .input_from(&mut input)
            .broadcast()
            .inspect(move |said| heard.borrow_mut().push(said.clone()))
            .probe_with(&probe);
    });
    if let Some(own) = own {
        input.send(own);
    }
    input.close();
    while !probe.done() {
        if in_vain() {
            return None;
        }
        worker.step_or_park(Some(LOOK));
    }
    Some(all.take())
}

#[cfg(test)]
mod tests {
    use super::Home;

    #[test]
    fn requests_go_where_process_0_can_be_asked() {
        let hosts = ["risk-0.example:2101".to_owned(), "risk-1.example:2101".to_owned()];
        for (served, expected) in [
            ("http://0.0.0.0:9464", "http://risk-0.example:9464"),
            ("https://[::]:9464", "https://risk-0.example:9464"),
            ("http://10.0.0.1:9464", "http://10.0.0.1:9464"),
        ] {
            assert_eq!(Home::told(&hosts, 1, Some(served)).url(), Ok(expected));
        }
        for (home, part) in [
            (Home::awaited(&hosts), "was not met yet"),
            (Home::told(&hosts, 1, None), "serves no HTTP"),
            (
                Home::told(&hosts, 1, Some("http://127.0.0.1:9464")),
                "its own host only",
            ),
            (Home::told(&hosts, 1, Some("http://[::1]:9464")), "its own host only"),
        ] {
            let why = home.url().unwrap_err();
            assert!(why.contains("risk-0.example") && why.contains(part), "{why}");
        }
    }

    #[test]
    fn processes_of_one_host_reach_each_other_by_loopback() {
        for hosts in [
            ["127.0.0.1:1", "127.0.0.1:2"],
            ["localhost:1", "127.0.0.1:2"],
            ["[::1]:1", "[::1]:2"],
            ["risk:1", "risk:2"],
        ] {
            let hosts = hosts.map(str::to_owned);
            let home = Home::told(&hosts, 1, Some("http://127.0.0.1:9464"));
            assert_eq!(home.url(), Ok("http://127.0.0.1:9464"), "{hosts:?}");
        }
    }
}
