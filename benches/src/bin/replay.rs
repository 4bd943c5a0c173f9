//! Bench: how fast a history is replayed, and what decides that: how many records there are, not how long it is.
//!
//! A day of a city: 100,000 datastreams, one observation a minute each, 144 million observations, 11 GB. A sparse year: 1,000
//! stations, one observation an hour each, 8.76 million. Both are JSON on disk, read by `riskflow replay --out`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use clap::Parser;
use riskflow_benches::load;
use riskflow_benches::measure::{Cost, machine, programs, run};

/// Measures replays.
#[derive(Parser)]
struct Arguments {
    /// Hours of the day of the city: the load has 6 million observations, 450 MB, for each.
    #[arg(long, default_value_t = 24)]
    hours: u64,
    /// Days of the sparse year.
    #[arg(long, default_value_t = 365)]
    days: u64,
    /// Worker threads.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Where to keep the loads and the outputs.
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
}

/// A load: its name, how many datastreams report how often, in milliseconds, for how many hours.
struct Load {
    name: &'static str,
    datastreams: u64,
    interval: i64,
    hours: u64,
}

impl Load {
    fn observations(&self) -> u64 {
        self.datastreams * self.hours * 3_600_000 / self.interval.unsigned_abs()
    }

    fn measure(&self, arguments: &Arguments) -> Result<Cost> {
        let size = (self.datastreams, self.observations());
        let folder = load::written_once(
            &arguments.folder,
            self.name,
            size,
            |folder, datastreams, observations| load::write_every(folder, (datastreams, observations), self.interval),
        )?;
        run(&mut replay(&folder, arguments.workers)?)
    }
}

fn replay(folder: &Path, workers: usize) -> Result<Command> {
    let mut command = Command::new(programs()?.join("riskflow"));
    command
        .args(["replay", "--log", "warn", "--out"])
        .arg(folder.join("out"));
    for topic in ["base.asset", "base.datastream", "in.rule", "in.observation"] {
        command.arg(folder.join(format!("{topic}.ndjson")));
    }
    command.args(["--set", &format!("cluster.workers={workers}")]);
    command.args(["--set", "epoch.replay_tick=\"10s\""]);
    Ok(command)
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let loads = [
        Load {
            name: "day",
            datastreams: 100_000,
            interval: 60_000,
            hours: arguments.hours,
        },
        Load {
            name: "year",
            datastreams: 1_000,
            interval: 3_600_000,
            hours: arguments.days * 24,
        },
    ];
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "Replay: `riskflow replay --out`, {} workers, epochs of 10 s at most, JSON from disk, one rule (5-minute mean), tables and deltas out",
        arguments.workers
    )?;
    writeln!(out, "Machine: {}\n", machine())?;
    writeln!(
        out,
        "| history | observations | wall s | CPU s | observations/s | times real time | peak MiB |\n|---|---|---|---|---|---|---|"
    )?;
    for load in loads {
        let Cost { wall, cpu, peak, .. } = load.measure(&arguments)?;
        let seconds = wall.as_secs_f64();
        writeln!(
            out,
            "| {} datastreams, {} h | {} | {seconds:.1} | {:.1} | {:.0} | {:.0} | {} |",
            load.datastreams,
            load.hours,
            load.observations(),
            cpu.as_secs_f64(),
            load.observations() as f64 / seconds,
            load.hours as f64 * 3_600.0 / seconds,
            peak >> 20
        )?;
    }
    Ok(())
}
