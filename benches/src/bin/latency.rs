//! Bench (b): at a steady rate, how long from the arrival of an observation to the warning delta that it causes being
//! readable by another process: on the embedded log, or with `--kafka` on a broker, for either guarantee.
//!
//! Unfair to riskflow: the load, the job, the reader and the broker share the machine's cores. Unfair to others: on the
//! embedded log no broker stands between.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use riskflow_benches::load;
use riskflow_benches::measure::{Job, machine, now, programs};
use riskflow_config::{Input, KafkaSettings, TopicSettings};
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
    /// The broker; without it the embedded log. Its topics get a prefix of their own.
    #[arg(long, value_name = "HOST:PORT")]
    kafka: Option<String>,
    /// What a commit promises.
    #[arg(long, default_value = "exactly_once")]
    guarantee: String,
    /// Where to keep the log.
    #[arg(long, default_value = "target/bench/latency")]
    folder: PathBuf,
}

const RULE: &str = r#"{"id":"load","version":1,"source":"bench","select":{"observed_property":"load"},"levels":{"red":{"when":{"feature":"last","window":"1m","op":">=","threshold":100}}}}"#;
const STEP: Duration = Duration::from_millis(5);

/// Where the job reads and writes.
struct Place {
    input: Input,
    topics: TopicSettings,
    settings: Vec<String>,
}

impl Place {
    fn new(arguments: &Arguments) -> Self {
        let prefix = arguments
            .kafka
            .as_ref()
            .map(|_| format!("latency-{}.", now()))
            .unwrap_or_default();
        let checkpoints = arguments.folder.join("checkpoints");
        let mut settings = vec![
            format!("cluster.workers={}", arguments.workers),
            format!("output.guarantee={:?}", arguments.guarantee),
            format!("checkpoint.path={checkpoints:?}"),
            format!("topics.prefix={prefix:?}"),
            "http.enabled=false".to_owned(),
            "time.horizon=1m".to_owned(),
            "time.retain=0s".to_owned(),
        ];
        let input = if let Some(brokers) = &arguments.kafka {
            let more = [
                format!("kafka.brokers={brokers:?}"),
                "input.kind=kafka".into(),
                "output.kind=kafka".into(),
            ];
            settings.extend(more);
            Input::Kafka(KafkaSettings {
                brokers: brokers.clone(),
                properties: std::collections::BTreeMap::new(),
                group_offsets: true,
            })
        } else {
            let log = arguments.folder.join("log");
            settings.extend([format!("input.path={log:?}"), format!("output.path={log:?}")]);
            Input::Log(log)
        };
        let topics = TopicSettings {
            prefix,
            partitions: 4,
            replication: 1,
            retention: 86_400_000,
            exercise: false,
            forced: false,
            tidy: riskflow_config::Tidy::default(),
        };
        Self {
            input,
            topics,
            settings,
        }
    }

    /// The program, with these settings.
    fn riskflow(&self, verb: &str) -> Result<Command> {
        let mut command = Command::new(programs()?.join("riskflow"));
        command.args([verb, "--log", "warn"]);
        for set in &self.settings {
            command.args(["--set", set]);
        }
        Ok(command)
    }

    fn feed(&self, topic: Topic) -> Result<Feed> {
        let name = self.topics.name(topic);
        Ok(match &self.input {
            Input::Kafka(kafka) => {
                let mut kcat = Command::new("kcat");
                kcat.args(["-P", "-b", &kafka.brokers, "-t", &name, "-K", "\t", "-X", "linger.ms=1"]);
                Feed::Kafka(kcat.stdin(Stdio::piped()).spawn().context("could not start kcat")?)
            }
            Input::Log(log) => Feed::Log(Box::new(LogWriter::open(log, &name, 4)?)),
            Input::Files(_) => anyhow::bail!("files are not live"),
        })
    }

    fn open(&self, topic: Topic) -> Result<Box<dyn Source>> {
        let beginning = Offsets::default();
        Ok(open_source(
            &self.input,
            &self.topics,
            &[topic],
            Share::WHOLE,
            Until::Forever,
            &beginning,
        )?)
    }
}

/// Where records are written to.
enum Feed {
    Log(Box<LogWriter>),
    Kafka(Child),
}

impl Feed {
    fn put(&mut self, arrival: i64, key: &str, payload: &[u8]) -> Result<()> {
        match self {
            Self::Log(writer) => {
                let partition = writer.partition_of(Some(key.as_bytes()));
                writer.append(partition, Millis(arrival), Some(key.as_bytes()), Some(payload))?;
            }
            Self::Kafka(kcat) => {
                let mut line = Vec::with_capacity(key.len() + payload.len() + 2);
                line.extend_from_slice(key.as_bytes());
                line.push(b'\t');
                line.extend_from_slice(payload);
                line.push(b'\n');
                kcat.stdin.as_mut().context("kcat has an input")?.write_all(&line)?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if let Self::Log(writer) = self {
            writer.flush()?;
        }
        Ok(())
    }

    /// Everything is there when this returns.
    fn finish(self) -> Result<()> {
        match self {
            Self::Log(mut writer) => writer.sync()?,
            Self::Kafka(mut kcat) => {
                drop(kcat.stdin.take());
                ensure!(kcat.wait()?.success(), "kcat could not write");
            }
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.folder.exists() {
        std::fs::remove_dir_all(&arguments.folder)?;
    }
    std::fs::create_dir_all(&arguments.folder)?;
    let place = Place::new(&arguments);
    ensure!(
        place
            .riskflow("topics")?
            .arg("--create")
            .stdout(Stdio::null())
            .status()?
            .success()
    );
    load::base(&arguments.folder, arguments.datastreams)?;
    for topic in [Topic::BASE_ASSET, Topic::BASE_DATASTREAM] {
        copy(&arguments.folder, &place, topic)?;
    }
    let mut rules = place.feed(Topic::IN_RULE)?;
    rules.put(now(), "load", RULE.as_bytes())?;
    rules.finish()?;
    let mut observations = place.feed(Topic::IN_OBSERVATION)?;
    let mut job = Job(place.riskflow("run")?.spawn().context("could not start the job")?);
    wait_for_assets(&place, arguments.datastreams)?;
    let mut deltas = place.open(Topic::WARNING_DELTA)?;
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
            observations.put(time, &key, &payload)?;
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
        "Latency: {} observations a second, {} datastreams, {} worker, {}, {}, arrival to delta readable",
        sent / arguments.seconds,
        arguments.datastreams,
        arguments.workers,
        if arguments.kafka.is_some() {
            "Kafka"
        } else {
            "embedded log"
        },
        arguments.guarantee
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

fn copy(folder: &Path, place: &Place, topic: Topic) -> Result<()> {
    let mut feed = place.feed(topic)?;
    let arrival = now();
    for line in std::fs::read_to_string(folder.join(format!("{topic}.ndjson")))?.lines() {
        let id = line.split('"').nth(3).context("an id")?;
        feed.put(arrival, id, line.as_bytes())?;
    }
    feed.finish()
}

/// Waits until the job has published every asset: from then on it is live.
fn wait_for_assets(place: &Place, assets: u64) -> Result<()> {
    let mut source = place.open(Topic::RISK_ASSET)?;
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
