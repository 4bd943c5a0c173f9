//! Bench: many open cases under a steady stream of actions, on the embedded log: memory, and how long from an action to the
//! case's new status being readable by another process.
//!
//! Every case is that of an open warning with three obligations; the actions take some thousands of them through their steps.
//!
//! Unfair to riskflow: the load, the job and the reader share the machine's cores. Unfair to others: no broker stands between.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use riskflow_benches::load;
use riskflow_benches::measure::{Job, high_water, machine, now, programs};
use riskflow_config::{Input, TopicSettings};
use riskflow_connectors::log::LogWriter;
use riskflow_connectors::{RawRecord, Share, Source, Until, Verdict, open_source};
use riskflow_model::Millis;
use riskflow_model::progress::Offsets;
use riskflow_model::topic::Topic;
use serde_json::{Value, json};

/// Measures actions on open cases.
#[derive(Parser)]
struct Arguments {
    /// Open cases.
    #[arg(long, default_value_t = 100_000)]
    cases: u64,
    /// Actions a second.
    #[arg(long, default_value_t = 1_000)]
    rate: u64,
    /// Seconds.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Worker threads of the job.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// Where to keep the log.
    #[arg(long, default_value = "target/bench/cases")]
    folder: PathBuf,
}

const RULE: &str = r#"{"id":"load","version":1,"source":"bench","select":{"observed_property":"load"},"levels":{"orange":{"when":{"feature":"last","window":"6h","op":">=","threshold":100}}}}"#;
/// How often actions are sent and statuses read: the pace of the load, not a wait for anything.
const STEP: Duration = Duration::from_millis(5);
const VERBS: [&str; 5] = ["call", "acknowledge", "dispatch", "progress", "report"];

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.folder.exists() {
        std::fs::remove_dir_all(&arguments.folder)?;
    }
    let log = arguments.folder.join("log");
    std::fs::create_dir_all(&log)?;
    ensure!(
        riskflow(&arguments, "topics")?
            .arg("--create")
            .stdout(Stdio::null())
            .status()?
            .success()
    );
    base(&arguments, &log)?;
    let mut job = Job(riskflow(&arguments, "run")?
        .spawn()
        .context("could not start the job")?);
    let mut states = open(&log, Topic::CASE_STATE)?;
    let ids = wait_for_cases(states.as_mut(), &arguments)?;
    let mut actions = LogWriter::open(&log, Topic::IN_ACTION.name(), 4)?;
    // So many cases that each gets every verb once.
    let busy = (arguments.rate * arguments.seconds / VERBS.len() as u64).clamp(1, ids.len() as u64);
    let mut seen: Vec<i64> = Vec::new();
    let began = Instant::now();
    let mut sent = 0;
    while began.elapsed() < Duration::from_secs(arguments.seconds) {
        let due = (began.elapsed().as_secs_f64() * arguments.rate as f64) as u64;
        let time = now();
        for number in sent..due {
            let id = &ids[(number % busy) as usize];
            let verb = VERBS[((number / busy) as usize).min(VERBS.len() - 1)];
            let action = json!({"id": number.to_string(), "warning": id, "action": verb, "actor": "bench", "role": "town",
                "time": time});
            let partition = actions.partition_of(Some(id.as_bytes()));
            let payload = action.to_string();
            actions.append(partition, Millis(time), Some(id.as_bytes()), Some(payload.as_bytes()))?;
        }
        actions.flush()?;
        sent = due;
        read(states.as_mut(), began, &mut seen)?;
        std::thread::sleep(STEP);
    }
    ensure!(job.0.try_wait()?.is_none(), "the job ended");
    report(&arguments, sent, seen, high_water(job.0.id()))
}

/// The program, on this log.
fn riskflow(arguments: &Arguments, verb: &str) -> Result<Command> {
    let mut command = Command::new(programs()?.join("riskflow"));
    command.args([verb, "--log", "warn"]);
    let log = arguments.folder.join("log");
    for set in [
        format!("cluster.workers={}", arguments.workers),
        format!("checkpoint.path={:?}", arguments.folder.join("checkpoints")),
        format!("input.path={log:?}"),
        format!("output.path={log:?}"),
        "http.enabled=false".to_owned(),
        "time.horizon=1m".to_owned(),
        "time.retain=0s".to_owned(),
    ] {
        command.args(["--set", &set]);
    }
    Ok(command)
}

fn base(arguments: &Arguments, log: &Path) -> Result<()> {
    load::base(&arguments.folder, arguments.cases)?;
    let arrival = Millis(now());
    let write = |topic: Topic, rows: &mut dyn Iterator<Item = (String, Vec<u8>)>| -> Result<()> {
        let mut writer = LogWriter::open(log, topic.name(), 4)?;
        for (key, payload) in rows {
            let partition = writer.partition_of(Some(key.as_bytes()));
            writer.append(partition, arrival, Some(key.as_bytes()), Some(&payload))?;
        }
        Ok(writer.sync()?)
    };
    for topic in [Topic::BASE_ASSET, Topic::BASE_DATASTREAM] {
        let text = std::fs::read_to_string(arguments.folder.join(format!("{topic}.ndjson")))?;
        let mut rows = text.lines().filter_map(|line| {
            let id = line.split('"').nth(3)?;
            Some((id.to_owned(), line.as_bytes().to_vec()))
        });
        write(topic, &mut rows)?;
    }
    let rows = |rows: Vec<Value>| {
        let keyed = rows.into_iter().map(|row| {
            (
                row["id"].as_str().unwrap_or_default().to_owned(),
                row.to_string().into_bytes(),
            )
        });
        keyed.collect::<Vec<_>>().into_iter()
    };
    let units = [
        ("town", json!("county")),
        ("county", json!("city")),
        ("city", Value::Null),
    ];
    let units = units.map(|(id, parent)| json!({"id": id, "region": "3309", "parent": parent}));
    write(Topic::BASE_UNIT, &mut rows(units.to_vec()))?;
    let roles = ["town", "county", "city"];
    let duties = roles.map(|id| json!({"id": id, "region": "3309", "unit": id, "role": id}));
    write(Topic::BASE_DUTY, &mut rows(duties.to_vec()))?;
    let users = roles.map(|id| json!({"id": format!("user-{id}"), "posts": [{"unit": id, "role": id}]}));
    write(Topic::BASE_USER, &mut rows(users.to_vec()))?;
    write(
        Topic::IN_RULE,
        &mut std::iter::once(("load".to_owned(), RULE.as_bytes().to_vec())),
    )?;
    let high = (0..arguments.cases).map(|datastream| {
        let mut payload = Vec::with_capacity(96);
        // Writing to memory cannot fail.
        let _ = load::observation(&mut payload, datastream, arrival.0, 500.0);
        (format!("ds-{datastream:06}"), payload)
    });
    write(Topic::IN_OBSERVATION, &mut { high })
}

fn open(log: &Path, topic: Topic) -> Result<Box<dyn Source>> {
    let topics = TopicSettings {
        prefix: String::new(),
        partitions: 4,
        replication: 1,
        retention: 604_800_000,
        exercise: false,
        forced: false,
        tidy: riskflow_config::Tidy::default(),
    };
    let beginning = Offsets::default();
    let input = Input::Log(log.to_owned());
    Ok(open_source(
        &input,
        &topics,
        &[topic],
        Share::WHOLE,
        Until::Forever,
        &beginning,
    )?)
}

/// Waits until every case is open; their identifiers.
fn wait_for_cases(source: &mut dyn Source, arguments: &Arguments) -> Result<Vec<String>> {
    let began = Instant::now();
    let mut ids: BTreeMap<String, ()> = BTreeMap::new();
    while (ids.len() as u64) < arguments.cases {
        ensure!(
            began.elapsed() < Duration::from_secs(300),
            "only {} of {} cases are open",
            ids.len(),
            arguments.cases
        );
        source.poll(100_000, &mut |record| {
            ids.insert(String::from_utf8_lossy(record.key.unwrap_or_default()).into_owned(), ());
            Verdict::Taken
        })?;
        std::thread::sleep(STEP);
    }
    Ok(ids.into_keys().collect())
}

fn read(source: &mut dyn Source, began: Instant, seen: &mut Vec<i64>) -> Result<()> {
    let start = now() - i64::try_from(began.elapsed().as_millis())?;
    let mut take = |record: RawRecord<'_>| {
        let case: Value = serde_json::from_slice(record.payload.unwrap_or_default()).unwrap_or_default();
        let entered = case["entered"].as_str().and_then(|at| at.parse::<Millis>().ok());
        // A case whose status an action changed says when that was.
        if let Some(entered) = entered.filter(|entered| case["step"] != "issued" && entered.0 >= start) {
            seen.push(now() - entered.0);
        }
        Verdict::Taken
    };
    source.poll(100_000, &mut take)?;
    Ok(())
}

fn report(arguments: &Arguments, sent: u64, mut seen: Vec<i64>, peak: u64) -> Result<()> {
    seen.sort_unstable();
    ensure!(!seen.is_empty(), "no status changed");
    let at = |part: f64| seen[((seen.len() - 1) as f64 * part) as usize];
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "Cases: {} open, {} actions a second, {} worker, embedded log, action to status readable",
        arguments.cases,
        sent / arguments.seconds,
        arguments.workers
    )?;
    writeln!(out, "Machine: {}\n", machine())?;
    writeln!(
        out,
        "| changes of status | median ms | 99% ms | 99.9% ms | most ms | peak MiB |\n|---|---|---|---|---|---|"
    )?;
    writeln!(
        out,
        "| {} | {} | {} | {} | {} | {} |",
        seen.len(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
        peak >> 20
    )?;
    writeln!(out, "\n99% within {} ms (target 150)", at(0.99))?;
    Ok(())
}
