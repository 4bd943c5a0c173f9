//! Bench: how long a cluster of two processes is away when one of them is killed. A real broker, a steady load, the state of all
//! datastreams in checkpoints; each process has a supervisor that starts it again when it ends, as systemd and Kubernetes do.
//!
//! Time counts from SIGKILL until both processes, started again, say that they are live. Then the other one is killed. Ends with
//! exit code 1 where the longest is above the limit. Needs a broker (`deploy/kafka/kafka.sh start`) and kcat.
//!
//! Unfair to riskflow: broker, load and both processes share the machine. Unfair to others: no machine and no network is lost, and nothing
//! has to be found by name.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use clap::Parser;
use riskflow_benches::broker::{Writer, keyed, produce};
use riskflow_benches::load;
use riskflow_benches::measure::{Job, machine, now, programs};
use riskflow_connectors::checkpoint::CheckpointStore;

/// Kills one of two processes again and again, and measures until both are live.
#[derive(Parser)]
struct Arguments {
    /// The broker.
    #[arg(long, value_name = "HOST:PORT")]
    kafka: String,
    /// Datastreams.
    #[arg(long, default_value_t = 100_000)]
    datastreams: u64,
    /// Observations a second.
    #[arg(long, default_value_t = 5_000)]
    rate: u64,
    /// Worker threads of each process.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// How often one is killed.
    #[arg(long, default_value_t = 4)]
    deaths: usize,
    /// Seconds of load before each death, beside the first checkpoint.
    #[arg(long, default_value_t = 45)]
    seconds: u64,
    /// `checkpoint.interval`.
    #[arg(long, default_value = "1m")]
    interval: String,
    /// How long a supervisor waits before it starts a process again, in milliseconds; by default as the unit of the Debian package
    /// (`RestartSec`).
    #[arg(long, default_value_t = 2_000)]
    restart_after: u64,
    /// The most seconds from a death to live again.
    #[arg(long, default_value_t = 10.0)]
    limit: f64,
    /// The program; by default the one beside this.
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Where to keep the load and the checkpoints.
    #[arg(long, default_value = "target/bench/cluster")]
    folder: PathBuf,
}

const BASE: [&str; 3] = ["base.asset", "base.datastream", "in.rule"];

/// How long anything may take before the bench gives up.
const PATIENCE: Duration = Duration::from_secs(300);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.folder.exists() {
        std::fs::remove_dir_all(&arguments.folder)?;
    }
    std::fs::create_dir_all(&arguments.folder)?;
    load::base(&arguments.folder, arguments.datastreams)?;
    let bench = Bench::new(&arguments)?;
    bench.fill()?;
    let cluster = [
        Supervised::start(bench.clone(), 0)?,
        Supervised::start(bench.clone(), 1)?,
    ];
    all_live(&cluster, [1, 1])?;
    let feeding = Arc::new(AtomicBool::new(true));
    let feeder = feed(&arguments, &bench.prefix, Arc::clone(&feeding));
    let bytes = bench.await_checkpoint()?;
    let mut took = Vec::new();
    for death in 0..arguments.deaths {
        // So long the load runs before a process dies: it is a part of what is measured.
        std::thread::sleep(Duration::from_secs(arguments.seconds));
        ensure!(!feeder.is_finished(), "the load ended by itself");
        let killed = 1 - death % 2;
        let next = cluster.each_ref().map(|process| process.starts() + 1);
        let began = Instant::now();
        cluster[killed].kill()?;
        all_live(&cluster, next)?;
        took.push((killed, began.elapsed()));
    }
    feeding.store(false, Ordering::Release);
    let sent = feeder.join().map_err(|_| anyhow!("the load panicked"))??;
    for process in cluster {
        process.end();
    }
    let worst = took.iter().map(|(_, took)| *took).max().unwrap_or_default();
    tell(&arguments, (bytes, sent), &took)?;
    Ok(if worst.as_secs_f64() > arguments.limit {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn tell(arguments: &Arguments, (bytes, sent): (u64, u64), took: &[(usize, Duration)]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "A cluster loses a process: 2 processes of {} workers on loopback, Kafka, {} datastreams, {} observations a second ({sent} in all), \
         checkpoints every {}\nMachine: {}\n",
        arguments.workers,
        arguments.datastreams,
        arguments.rate,
        arguments.interval,
        machine()
    )?;
    writeln!(
        out,
        "the first checkpoint: {:.1} MiB\n",
        bytes as f64 / f64::from(1 << 20)
    )?;
    writeln!(out, "| killed | live again after s |\n|---|---|")?;
    for (killed, took) in took {
        writeln!(out, "| process {killed} | {:.2} |", took.as_secs_f64())?;
    }
    let worst = took.iter().map(|(_, took)| took.as_secs_f64()).fold(0.0, f64::max);
    writeln!(
        out,
        "\nfrom SIGKILL to both live again: at most {worst:.2} s (target <= {}), of which the supervisors waited {:.2} s",
        arguments.limit,
        arguments.restart_after as f64 / 1_000.0
    )?;
    Ok(())
}

/// An address that was free a moment ago.
fn free() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// What both processes have in common.
#[derive(Clone)]
struct Bench {
    program: PathBuf,
    settings: Vec<String>,
    listens: [SocketAddr; 2],
    prefix: String,
    kafka: String,
    folder: PathBuf,
    restart_after: Duration,
}

impl Bench {
    fn new(arguments: &Arguments) -> Result<Self> {
        let program = match &arguments.program {
            Some(program) => program.clone(),
            None => programs()?.join("riskflow"),
        };
        let prefix = format!("cluster-{}.", std::process::id());
        let hosts = [free()?.to_string(), free()?.to_string()];
        let settings = vec![
            format!("kafka.brokers={:?}", arguments.kafka),
            format!("topics.prefix={prefix:?}"),
            "input.kind=kafka".to_owned(),
            "output.kind=kafka".to_owned(),
            format!("cluster.hosts={hosts:?}"),
            format!("cluster.workers={}", arguments.workers),
            format!("checkpoint.path={:?}", arguments.folder.join("checkpoints")),
            format!("checkpoint.interval={:?}", arguments.interval),
        ];
        Ok(Self {
            program,
            settings,
            listens: [free()?, free()?],
            prefix,
            kafka: arguments.kafka.clone(),
            folder: arguments.folder.clone(),
            restart_after: Duration::from_millis(arguments.restart_after),
        })
    }

    fn command(&self, verb: &str, more: &[String]) -> Command {
        let mut command = Command::new(&self.program);
        command.args([verb, "--log", "error"]).stdout(Stdio::null());
        for set in self.settings.iter().chain(more) {
            command.args(["--set", set]);
        }
        command
    }

    /// Makes the topics, and writes base records and the rule.
    fn fill(&self) -> Result<()> {
        let made = self.command("topics", &[]).arg("--create").status();
        ensure!(made.context("could not start riskflow")?.success(), "no topics");
        for topic in BASE {
            keyed(&self.folder, topic)?;
            produce(&self.kafka, &self.prefix, &self.folder, topic)?;
        }
        Ok(())
    }

    /// Waits for a checkpoint; how many bytes it has.
    fn await_checkpoint(&self) -> Result<u64> {
        let path = self.folder.join("checkpoints");
        let until = Instant::now() + PATIENCE;
        loop {
            let store = CheckpointStore::open(&path.to_string_lossy())?;
            if let Some(newest) = store.newest(|_| true)? {
                return Ok(newest.parts.iter().map(|part| part.bytes).sum());
            }
            ensure!(Instant::now() < until, "no checkpoint was taken");
            // Its folder tells of nothing: between two looks.
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// A process that is started again whenever it ends.
struct Supervised {
    job: Arc<Mutex<Option<Job>>>,
    starts: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    listens: SocketAddr,
    supervisor: JoinHandle<()>,
}

impl Supervised {
    fn start(bench: Bench, process: usize) -> Result<Self> {
        let job: Arc<Mutex<Option<Job>>> = Arc::default();
        let starts: Arc<AtomicU64> = Arc::default();
        let over: Arc<AtomicBool> = Arc::default();
        let listens = bench.listens[process];
        let mut command = bench.command(
            "run",
            &[
                format!("cluster.process={process}"),
                format!("http.listen=\"{listens}\""),
            ],
        );
        // It says that the other is gone: that is what is tried.
        command.stderr(Stdio::null());
        let (slot, count, ends) = (Arc::clone(&job), Arc::clone(&starts), Arc::clone(&over));
        let supervisor = std::thread::Builder::new().spawn(move || {
            while !ends.load(Ordering::Acquire) {
                let mut held = slot.lock().unwrap_or_else(PoisonError::into_inner);
                let ended = held.as_mut().is_none_or(|job| !matches!(job.0.try_wait(), Ok(None)));
                if !ended {
                    drop(held);
                    std::thread::sleep(LOOK);
                    continue;
                }
                if held.take().is_some() {
                    drop(held);
                    // As a supervisor waits (`RestartSec`).
                    std::thread::sleep(bench.restart_after);
                    held = slot.lock().unwrap_or_else(PoisonError::into_inner);
                }
                *held = command.spawn().ok().map(Job);
                count.fetch_add(1, Ordering::AcqRel);
            }
        })?;
        Ok(Self {
            job,
            starts,
            over,
            listens,
            supervisor,
        })
    }

    /// How often it was started.
    fn starts(&self) -> u64 {
        self.starts.load(Ordering::Acquire)
    }

    fn kill(&self) -> Result<()> {
        let mut job = self.job.lock().unwrap_or_else(PoisonError::into_inner);
        let job = job.as_mut().context("the process runs")?;
        Ok(job.0.kill()?)
    }

    /// Whether it says that it is live.
    fn is_live(&self) -> bool {
        let mut said = String::new();
        let asked = TcpStream::connect(self.listens).and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n")?;
            stream.read_to_string(&mut said)
        });
        asked.is_ok() && said.split(' ').nth(1) == Some("200")
    }

    /// Ends it for good.
    fn end(self) {
        self.over.store(true, Ordering::Release);
        let _ = self.supervisor.join();
        drop(self.job);
    }
}

/// Waits until each was started so often, and says that it is live.
fn all_live(cluster: &[Supervised; 2], starts: [u64; 2]) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    let ready = |(process, starts): (&Supervised, u64)| process.starts() >= starts && process.is_live();
    while !cluster.iter().zip(starts).all(ready) {
        ensure!(Instant::now() < until, "the processes do not get live");
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// A steady load until it is told to end; how many observations it sent.
fn feed(arguments: &Arguments, prefix: &str, on: Arc<AtomicBool>) -> JoinHandle<Result<u64>> {
    let (kafka, topic) = (arguments.kafka.clone(), format!("{prefix}in.observation"));
    let (rate, datastreams) = (arguments.rate, arguments.datastreams);
    std::thread::spawn(move || {
        let mut writer = Writer::start(&kafka, &topic)?;
        let (began, mut sent) = (Instant::now(), 0);
        while on.load(Ordering::Acquire) {
            let due = (began.elapsed().as_secs_f64() * rate as f64) as u64;
            let lines = writer.lines();
            for number in sent..due {
                let (datastream, step) = (number % datastreams, number / datastreams);
                write!(lines, "ds-{datastream:06}\t")?;
                load::observation(lines, datastream, now(), load::result(datastream, step))?;
                lines.write_all(b"\n")?;
            }
            lines.flush()?;
            sent = due;
            std::thread::sleep(LOOK);
        }
        writer.end()?;
        Ok(sent)
    })
}
