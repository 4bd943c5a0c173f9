//! Bench (a) and (c): events per CPU-second and peak memory, end to end from a file, against the plain loop.
//!
//! The job closes an epoch for each five seconds of event time, some 50,000 observations; the loop knows no epochs. What the
//! default of one second costs is a row of its own.
//!
//! Prints a table in Markdown; `make bench` keeps it under `benches/runs/`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;
use clap::Parser;
use riskflow_benches::load;
use riskflow_benches::measure::{Cost, machine, programs, run};

/// Measures the job and the plain loop over the same file.
#[derive(Parser)]
struct Arguments {
    /// Observations.
    #[arg(long, default_value_t = 5_000_000)]
    observations: u64,
    /// Datastreams.
    #[arg(long, default_value_t = 100_000)]
    datastreams: u64,
    /// How often each is run; the median counts.
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// Where to keep the load and the outputs.
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let size = (arguments.datastreams, arguments.observations);
    let folder = load::written_once(&arguments.folder, "load", size, load::write)?;
    let programs = programs()?;
    let mut rows = Vec::new();
    let mut loops = Vec::new();
    let mut jobs = [Vec::new(), Vec::new(), Vec::new()];
    // In turns, so that a slow minute of the machine meets all of them.
    for _ in 0..arguments.repeat {
        let mut command = Command::new(programs.join("plain_loop"));
        loops.push(run(command
            .arg(&folder)
            .arg(folder.join("plain.ndjson"))
            .stderr(Stdio::null()))?);
        for (costs, (workers, tick)) in jobs.iter_mut().zip(RUNS) {
            costs.push(run(&mut job(&programs, &folder, workers, tick)?)?);
        }
    }
    let plain = median(loops, arguments.observations);
    rows.push(("plain loop, 1 thread", plain));
    let [one, two, fine] = jobs.map(|costs| median(costs, arguments.observations));
    rows.push(("riskflow, 1 worker", one));
    rows.push(("riskflow, 2 workers", two));
    rows.push(("riskflow, 1 worker, epochs of 1 s", fine));
    report(&arguments, &rows)
}

/// Workers, and the length of an epoch.
const RUNS: [(usize, &str); 3] = [(1, "5s"), (2, "5s"), (1, "1s")];

/// Each run writes into an empty folder, as the loop writes a new file.
fn job(programs: &Path, folder: &Path, workers: usize, tick: &str) -> Result<Command> {
    let file = |topic: &str| {
        format!(
            "{{ path = \"{}\", topic = \"{topic}\" }}",
            folder.join(format!("{topic}.ndjson")).display()
        )
    };
    let files = ["base.asset", "base.datastream", "in.rule", "in.observation"]
        .map(file)
        .join(", ");
    let mut command = Command::new(programs.join("riskflow"));
    command.args(["run", "--log", "warn"]);
    let out = folder.join(format!("out-{workers}"));
    if out.exists() {
        std::fs::remove_dir_all(&out)?;
    }
    let out = format!("output={{ kind = \"files\", path = \"{}\" }}", out.display());
    for set in [
        format!("cluster.workers={workers}"),
        format!("input={{ kind = \"files\", clock = \"event_time\", files = [{files}] }}"),
        out,
        format!("epoch.replay_tick=\"{tick}\""),
        "http.enabled=false".to_owned(),
    ] {
        command.args(["--set", &set]);
    }
    Ok(command)
}

/// What a run gave: the cost, and events per second of wall clock and of CPU.
#[derive(Clone, Copy)]
struct Rate {
    cost: Cost,
    wall: f64,
    cpu: f64,
}

fn median(mut costs: Vec<Cost>, observations: u64) -> Rate {
    costs.sort_by_key(|cost| cost.wall);
    let cost = costs[costs.len() / 2];
    let rate = |duration: std::time::Duration| observations as f64 / duration.as_secs_f64();
    Rate {
        cost,
        wall: rate(cost.wall),
        cpu: rate(cost.cpu),
    }
}

fn report(arguments: &Arguments, rows: &[(&str, Rate)]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "Throughput: {} JSON observations, {} datastreams, 5-minute mean, thresholds joined, roll-up, deltas out",
        arguments.observations, arguments.datastreams
    )?;
    writeln!(out, "Machine: {}; median of {} runs\n", machine(), arguments.repeat)?;
    writeln!(
        out,
        "| | wall s | CPU s | events/s | events per CPU-second | peak MiB |\n|---|---|---|---|---|---|"
    )?;
    for (name, rate) in rows {
        let Cost { wall, cpu, peak, .. } = rate.cost;
        writeln!(
            out,
            "| {name} | {:.2} | {:.2} | {:.0} | {:.0} | {} |",
            wall.as_secs_f64(),
            cpu.as_secs_f64(),
            rate.wall,
            rate.cpu,
            peak >> 20
        )?;
    }
    let [(_, plain), (_, one), (_, two), ..] = rows else {
        return Ok(());
    };
    writeln!(
        out,
        "\nevents per CPU-second, 1 worker to plain loop: {:.2} (target 0.60)",
        one.cpu / plain.cpu
    )?;
    writeln!(
        out,
        "throughput, 2 workers to 1: {:.2} (target 1.50)",
        two.wall / one.wall
    )?;
    writeln!(
        out,
        "peak memory, 1 worker: {} MiB (target < 1024)",
        one.cost.peak >> 20
    )?;
    Ok(())
}
