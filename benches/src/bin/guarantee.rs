//! Bench: what exactly once costs against at least once on Kafka: the same history, read from a topic, worked off as fast as
//! the machine allows. Needs a broker (`deploy/kafka/kafka.sh start`) and kcat.
//!
//! Unfair to both: the broker shares the machine's cores. In turns, so that a slow minute of the machine meets both.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use clap::Parser;
use riskflow_benches::broker::{keyed, produce};
use riskflow_benches::load;
use riskflow_benches::measure::{Cost, machine, programs, run};

/// Measures both guarantees over the same history.
#[derive(Parser)]
struct Arguments {
    /// The broker.
    #[arg(long, value_name = "HOST:PORT")]
    kafka: String,
    /// Observations.
    #[arg(long, default_value_t = 2_000_000)]
    observations: u64,
    /// Datastreams.
    #[arg(long, default_value_t = 20_000)]
    datastreams: u64,
    /// How often each is run; the median counts.
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// Where to keep the load and the checkpoints.
    #[arg(long, default_value = "target/bench/guarantee")]
    folder: PathBuf,
}

const TOPICS: [&str; 4] = ["base.asset", "base.datastream", "in.rule", "in.observation"];
const GUARANTEES: [&str; 2] = ["at_least_once", "exactly_once"];

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.folder.exists() {
        std::fs::remove_dir_all(&arguments.folder)?;
    }
    load::write(&arguments.folder, arguments.datastreams, arguments.observations)?;
    for topic in TOPICS {
        keyed(&arguments.folder, topic)?;
    }
    let mut costs = [Vec::new(), Vec::new()];
    for turn in 0..arguments.repeat {
        for (guarantee, costs) in GUARANTEES.into_iter().zip(&mut costs) {
            let prefix = format!("guarantee-{}-{turn}-{guarantee}.", std::process::id());
            costs.push(once(&arguments, &prefix, guarantee)?);
        }
    }
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "Guarantees on Kafka: {} observations of {} datastreams, 1 worker; median of {}\nMachine: {}\n",
        arguments.observations,
        arguments.datastreams,
        arguments.repeat,
        machine()
    )?;
    writeln!(out, "| | wall s | CPU s | observations/s |\n|---|---|---|---|")?;
    let mut rates = Vec::new();
    for (guarantee, mut costs) in GUARANTEES.into_iter().zip(costs) {
        costs.sort_by_key(|cost| cost.wall);
        let Cost { wall, cpu, .. } = costs[costs.len() / 2];
        let rate = arguments.observations as f64 / wall.as_secs_f64();
        writeln!(
            out,
            "| {guarantee} | {:.2} | {:.2} | {rate:.0} |",
            wall.as_secs_f64(),
            cpu.as_secs_f64()
        )?;
        rates.push(rate);
    }
    writeln!(
        out,
        "\nexactly once to at least once: {:.2} (target >= 0.85)",
        rates[1] / rates[0]
    )?;
    Ok(())
}

fn once(arguments: &Arguments, prefix: &str, guarantee: &str) -> Result<Cost> {
    let programs = programs()?;
    let command = |verb: &str| {
        let mut command = Command::new(programs.join("riskflow"));
        command.args([verb, "--log", "warn"]).stdout(Stdio::null());
        for set in [
            format!("kafka.brokers={:?}", arguments.kafka),
            format!("topics.prefix={prefix:?}"),
            format!("output.guarantee={guarantee:?}"),
            format!("checkpoint.path={:?}", arguments.folder.join(prefix)),
            "input={ kind = \"kafka\", clock = \"event_time\" }".to_owned(),
            "output.kind=kafka".to_owned(),
            "http.enabled=false".to_owned(),
        ] {
            command.args(["--set", &set]);
        }
        command
    };
    ensure!(command("topics").arg("--create").status()?.success(), "no topics");
    for topic in TOPICS {
        produce(&arguments.kafka, prefix, &arguments.folder, topic)?;
    }
    run(&mut command("run"))
}
