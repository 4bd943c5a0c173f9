//! Bench (b): at a steady rate on the embedded log, how long from the arrival of an observation to the warning delta that it
//! causes being readable by another process.
//!
//! Unfair to riskflow: the load, the job and the reader share the machine's cores. Unfair to others: no broker stands between.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use riskflow_benches::load;
use riskflow_benches::measure::machine;
use riskflow_config::{Input, TopicSettings};
use riskflow_connectors::log::LogWriter;
use riskflow_connectors::{RawRecord, Share, Source, Until, Verdict, open_source};
use riskflow_model::Millis;
use riskflow_model::progress::Offsets;
use riskflow_model::topic::Topic;
use serde_json::Value;

/// Measures latency at a steady rate.
#[derive(Parser)]
struct Arguments {
    /// Observations a second.
    #[arg(long, default_value_t = 100_000)]
    rate: u64,
    /// Datastreams.
    #[arg(long, default_value_t = 100_000)]
    datastreams: u64,
    /// Seconds.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Worker threads of the job.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// Where to keep the log.
    #[arg(long, default_value = "target/bench/latency")]
    folder: PathBuf,
}

const RULE: &str = r#"{"id":"load","version":1,"source":"bench","select":{"observed_property":"load"},"levels":{"red":{"when":{"feature":"last","window":"1m","op":">=","threshold":100}}}}"#;
const STEP: Duration = Duration::from_millis(5);

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let log = arguments.folder.join("log");
    if arguments.folder.exists() {
        std::fs::remove_dir_all(&arguments.folder)?;
    }
    std::fs::create_dir_all(&arguments.folder)?;
    load::base(&arguments.folder, arguments.datastreams)?;
    for topic in [Topic::BaseAsset, Topic::BaseDatastream] {
        copy(&arguments.folder, &log, topic)?;
    }
    let mut rules = LogWriter::open(&log, Topic::InRule.name(), 1)?;
    rules.append(0, Millis(now()), Some(b"load"), Some(RULE.as_bytes()))?;
    rules.sync()?;
    drop(rules);
    for topic in Topic::ALL {
        LogWriter::open(&log, topic.name(), 4)?.sync()?;
    }
    let mut observations = LogWriter::open(&log, Topic::InObservation.name(), 4)?;
    let mut job = Job(start(&log, arguments.workers)?);
    wait_for_assets(&log, arguments.datastreams)?;
    let mut deltas = open(&log, Topic::WarningDelta)?;
    let mut seen: Vec<i64> = Vec::new();
    let began = Instant::now();
    let mut sent = 0;
    while began.elapsed() < Duration::from_secs(arguments.seconds) {
        let due = (began.elapsed().as_secs_f64() * arguments.rate as f64) as u64;
        let time = now();
        for number in sent..due {
            let datastream = number % arguments.datastreams;
            // One in five hundred is high this time, and low again the next.
            let high = (number / arguments.datastreams + datastream).is_multiple_of(500);
            let mut payload = Vec::with_capacity(96);
            load::observation(&mut payload, datastream, time, if high { 500.0 } else { 50.0 })?;
            let key = format!("ds-{datastream:06}");
            let partition = observations.partition_of(Some(key.as_bytes()));
            observations.append(partition, Millis(time), Some(key.as_bytes()), Some(&payload))?;
        }
        observations.flush()?;
        sent = due;
        read(deltas.as_mut(), &mut seen)?;
        std::thread::sleep(STEP);
    }
    ensure!(job.0.try_wait()?.is_none(), "the job ended");
    report(&arguments, sent, seen)
}

fn report(arguments: &Arguments, sent: u64, mut seen: Vec<i64>) -> Result<()> {
    // The first seconds load the job's caches and tables.
    seen.drain(..seen.len() / 10);
    seen.sort_unstable();
    ensure!(!seen.is_empty(), "no change of level came out");
    let at = |part: f64| seen[((seen.len() - 1) as f64 * part) as usize];
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "Latency: {} observations a second, {} datastreams, {} worker, embedded log, arrival to delta readable",
        sent / arguments.seconds,
        arguments.datastreams,
        arguments.workers
    )?;
    writeln!(out, "Machine: {}\n", machine())?;
    writeln!(
        out,
        "| changes of level | median ms | 99% ms | 99.9% ms | most ms |\n|---|---|---|---|---|"
    )?;
    writeln!(
        out,
        "| {} | {} | {} | {} | {} |",
        seen.len(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    )?;
    writeln!(out, "\n99% within {} ms (target 100)", at(0.99))?;
    Ok(())
}

/// The job, killed at the end.
struct Job(Child);

impl Drop for Job {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(log: &Path, workers: usize) -> Result<Child> {
    let programs = std::env::current_exe()?
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default();
    let mut command = Command::new(programs.join("riskflow"));
    command.args(["run", "--log", "warn"]);
    for set in [
        format!("cluster.workers={workers}"),
        format!("input.path={log:?}"),
        format!("output.path={log:?}"),
        "http.enabled=false".to_owned(),
        "time.horizon=1m".to_owned(),
        "time.retain=0s".to_owned(),
    ] {
        command.args(["--set", &set]);
    }
    command.spawn().context("could not start the job")
}

fn copy(folder: &Path, log: &Path, topic: Topic) -> Result<()> {
    let mut writer = LogWriter::open(log, topic.name(), 4)?;
    let arrival = Millis(now());
    for line in std::fs::read_to_string(folder.join(format!("{topic}.ndjson")))?.lines() {
        let id = line.split('"').nth(3).context("an id")?;
        let partition = writer.partition_of(Some(id.as_bytes()));
        writer.append(partition, arrival, Some(id.as_bytes()), Some(line.as_bytes()))?;
    }
    writer.sync()?;
    Ok(())
}

fn open(log: &Path, topic: Topic) -> Result<Box<dyn Source>> {
    let settings = TopicSettings {
        prefix: String::new(),
        partitions: 4,
        replication: 1,
    };
    Ok(open_source(
        &Input::Log(log.to_owned()),
        &settings,
        &[topic],
        Share::WHOLE,
        Until::Forever,
        &Offsets::default(),
    )?)
}

/// Waits until the job has published every asset: from then on it is live.
fn wait_for_assets(log: &Path, assets: u64) -> Result<()> {
    let mut source = open(log, Topic::RiskAsset)?;
    let began = Instant::now();
    let mut count = 0;
    while count < assets {
        ensure!(
            began.elapsed() < Duration::from_secs(120),
            "the job did not come up: {count} of {assets} assets"
        );
        source.poll(100_000, &mut |_| {
            count += 1;
            Verdict::Taken
        })?;
        std::thread::sleep(STEP);
    }
    Ok(())
}

fn read(source: &mut dyn Source, seen: &mut Vec<i64>) -> Result<()> {
    let mut take = |record: RawRecord<'_>| {
        let delta: Value = serde_json::from_slice(record.payload.unwrap_or_default()).unwrap_or_default();
        if let Some(at) = delta["at"].as_str().and_then(|at| at.parse::<Millis>().ok()) {
            seen.push(now() - at.0);
        }
        Verdict::Taken
    };
    source.poll(100_000, &mut take)?;
    Ok(())
}

fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis() as i64
}
