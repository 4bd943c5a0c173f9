//! Bench of checkpoints and recovery on the embedded log: what a checkpoint costs the stream, how large it is, and how long a
//! restart takes to be live again.
//!
//! The job runs in this process at a steady load. Latency is the wall clock at commit less the epoch, which live is the wall
//! clock at closing. Unfair to riskflow: load and job share the machine. Unfair to others: there is no broker.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use clap::Parser;
use riskflow::runtime::clock::wall_clock;
use riskflow::runtime::job::{self, Handles};
use riskflow_benches::load;
use riskflow_benches::measure::machine;
use riskflow_config::{Settings, WrittenSettings};
use riskflow_connectors::checkpoint::CheckpointStore;
use riskflow_connectors::log::LogWriter;
use riskflow_model::Millis;
use riskflow_model::topic::Topic;

/// The same allocator as riskflow's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures checkpoints and recovery.
#[derive(Parser)]
struct Arguments {
    /// Datastreams.
    #[arg(long, default_value_t = 1_000_000)]
    datastreams: u64,
    /// Observations a second.
    #[arg(long, default_value_t = 20_000)]
    rate: u64,
    /// Seconds with, and without, checkpoints.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Worker threads.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Where to keep the log and the checkpoints.
    #[arg(long, default_value = "target/bench/recovery")]
    folder: PathBuf,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.folder.exists() {
        std::fs::remove_dir_all(&arguments.folder)?;
    }
    let log = arguments.folder.join("log");
    write_base(&arguments, &log)?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "Checkpoints: {} datastreams, {} observations a second, {} workers, embedded log\nMachine: {}\n",
        arguments.datastreams,
        arguments.rate,
        arguments.workers,
        machine()
    )?;
    let without = run(&arguments, &log, "1d")?;
    let with = run(&arguments, &log, "1s")?;
    let store = CheckpointStore::open(&arguments.folder.join("checkpoints").to_string_lossy())?;
    let newest = store.newest(|_| true)?.context("a checkpoint was taken")?;
    let bytes: u64 = newest.parts.iter().map(|part| part.bytes).sum();
    let again = run(&arguments, &log, "1d")?;
    writeln!(
        out,
        "| | epochs | median ms | 99% ms | 99.9% ms | most ms |\n|---|---|---|---|---|---|"
    )?;
    for (name, run) in [("no checkpoints", &again), ("one after the other", &with)] {
        let at = |part: f64| run.latency[((run.latency.len() - 1) as f64 * part) as usize];
        writeln!(
            out,
            "| {name} | {} | {} | {} | {} | {} |",
            run.latency.len(),
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0)
        )?;
    }
    let tail = |run: &Run| run.latency[((run.latency.len() - 1) as f64 * 0.999) as usize] as f64;
    writeln!(
        out,
        "\n99.9% of epochs during checkpoints to without: {:.2} (target <= 3)",
        tail(&with) / tail(&again)
    )?;
    writeln!(
        out,
        "size: {} MiB, {} bytes a datastream",
        bytes >> 20,
        bytes / arguments.datastreams
    )?;
    writeln!(
        out,
        "live after {:.1} s from the beginning of the log, {:.1} s from a checkpoint (target <= 10)",
        without.live.as_secs_f64(),
        again.live.as_secs_f64()
    )?;
    Ok(())
}

struct Run {
    /// From the start to live.
    live: Duration,
    /// Of live epochs in milliseconds, sorted.
    latency: Vec<i64>,
}

fn write_base(arguments: &Arguments, log: &Path) -> Result<()> {
    std::fs::create_dir_all(&arguments.folder)?;
    load::base(&arguments.folder, arguments.datastreams)?;
    for topic in Topic::inputs() {
        let mut writer = LogWriter::open(log, topic.name(), 4)?;
        let file = arguments.folder.join(format!("{topic}.ndjson"));
        for line in std::fs::read_to_string(file).unwrap_or_default().lines() {
            let id = line.split('"').nth(3).context("an id")?;
            let partition = writer.partition_of(Some(id.as_bytes()));
            writer.append(
                partition,
                Millis(wall_clock()),
                Some(id.as_bytes()),
                Some(line.as_bytes()),
            )?;
        }
        writer.sync()?;
    }
    Ok(())
}

fn settings(arguments: &Arguments, log: &Path, interval: &str) -> Result<Settings> {
    let mut written = WrittenSettings::default();
    written.cluster.workers = arguments.workers;
    written.input.path = log.to_owned();
    written.output.path = log.to_owned();
    written.checkpoint.path = arguments.folder.join("checkpoints").to_string_lossy().into_owned();
    written.checkpoint.interval = interval.to_owned();
    // What is measured is a start that has something to replay.
    written.checkpoint.at_stop = "0s".to_owned();
    Ok(written.check()?)
}

/// Starts the job, waits until it is live, feeds it for the time, and stops it.
fn run(arguments: &Arguments, log: &Path, interval: &str) -> Result<Run> {
    let settings = settings(arguments, log, interval)?;
    let handles = Handles::new()?;
    let latency: Arc<Mutex<Vec<i64>>> = Arc::default();
    let (noted, ready) = (Arc::clone(&latency), Arc::clone(&handles.ready));
    let began = Instant::now();
    let running = handles.clone();
    let job = std::thread::spawn(move || {
        let observer = move |output: &riskflow::runtime::output::EpochOutput, _: &riskflow::runtime::views::Tables| {
            if ready.load(Ordering::Acquire)
                && let Ok(mut noted) = noted.lock()
            {
                noted.push(wall_clock() - output.epoch.0);
            }
        };
        job::run(&settings, &running, Some(Box::new(observer)))
    });
    while !handles.ready.load(Ordering::Acquire) {
        ensure!(!job.is_finished(), "the job ended: {:?}", job.join());
        std::thread::sleep(Duration::from_millis(5));
    }
    let live = began.elapsed();
    let mut observations = LogWriter::open(log, Topic::IN_OBSERVATION.name(), 4)?;
    let began = Instant::now();
    let mut sent = 0;
    while began.elapsed() < Duration::from_secs(arguments.seconds) {
        let due = (began.elapsed().as_secs_f64() * arguments.rate as f64) as u64;
        for number in sent..due {
            let datastream = number % arguments.datastreams;
            let time = wall_clock();
            let mut payload = Vec::with_capacity(96);
            load::observation(
                &mut payload,
                datastream,
                time,
                load::result(datastream, number / arguments.datastreams),
            )?;
            let key = format!("ds-{datastream:06}");
            let partition = observations.partition_of(Some(key.as_bytes()));
            observations.append(partition, Millis(time), Some(key.as_bytes()), Some(&payload))?;
        }
        observations.flush()?;
        sent = due;
        std::thread::sleep(Duration::from_millis(5));
    }
    handles.stop.store(true, Ordering::Release);
    job.join().map_err(|_| anyhow!("the job panicked"))??;
    let mut latency = latency.lock().map_err(|_| anyhow!("the observer panicked"))?.clone();
    // The first seconds fill caches.
    latency.drain(..latency.len() / 10);
    latency.sort_unstable();
    ensure!(!latency.is_empty(), "no epoch was live");
    Ok(Run { live, latency })
}
