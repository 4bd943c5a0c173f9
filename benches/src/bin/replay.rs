//! Bench: how fast a history is replayed, and what decides that: how many records there are, not how long it is.
//!
//! A day of a city: 100,000 datastreams, one observation a minute each, 144 million observations. A sparse year: 1,000 stations, one
//! observation an hour each, 8.76 million. Both are JSON that is made while it is read, through a pipe for each worker, so that a day needs
//! no 11 GB of disk; what makes it takes its part of the machine. And the real year of two stations, back-tested.
//!
//! What is slower than its bound fails the bench.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use clap::Parser;
use riskflow_benches::load;
use riskflow_benches::measure::{Cost, machine, programs, run};

/// Measures replays.
#[derive(Parser)]
struct Arguments {
    /// Hours of the day of the city: the load has 6 million observations for each.
    #[arg(long, default_value_t = 24)]
    hours: u64,
    /// Days of the sparse year.
    #[arg(long, default_value_t = 365)]
    days: u64,
    /// Worker threads.
    #[arg(long, default_value_t = 2)]
    workers: u64,
    /// Where to keep base rows, pipes and outputs.
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
}

/// So long the rain pack may take over the real year of two stations.
const MOST_OF_THE_YEAR: Duration = Duration::from_secs(5);

/// A load: its name, how many datastreams report how often, in milliseconds, for how many hours; and how many observations a second are
/// the least.
struct Load {
    name: &'static str,
    datastreams: u64,
    interval: i64,
    hours: u64,
    least: f64,
}

impl Load {
    fn observations(&self) -> u64 {
        self.datastreams * self.hours * 3_600_000 / self.interval.unsigned_abs()
    }

    fn measure(&self, arguments: &Arguments) -> Result<Cost> {
        let folder = arguments.folder.join(format!("replay-{}", self.name));
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        load::base(&folder, self.datastreams)?;
        let shares = arguments.workers;
        let pipes: Vec<PathBuf> = (0..shares)
            .map(|share| folder.join(format!("observations-{share}.ndjson")))
            .collect();
        make_pipes(&pipes)?;
        let size = (self.datastreams, self.observations());
        let writers: Vec<JoinHandle<Result<()>>> = (0..shares)
            .zip(pipes.clone())
            .map(|(share, pipe)| {
                let interval = self.interval;
                // Opening waits for the reader, and ends with this process where none comes.
                std::thread::spawn(move || {
                    let mut out = BufWriter::with_capacity(1 << 20, File::create(pipe)?);
                    load::observations_of(&mut out, size, interval, (share, shares))
                })
            })
            .collect();
        let cost = run(&mut replay(&folder, &pipes, shares)?)?;
        for writer in writers {
            writer
                .join()
                .map_err(|_| anyhow!("a writer of observations panicked"))??;
        }
        Ok(cost)
    }
}

fn make_pipes(pipes: &[PathBuf]) -> Result<()> {
    let made = Command::new("mkfifo")
        .args(pipes)
        .status()
        .context("could not run mkfifo")?;
    ensure!(made.success(), "mkfifo ended with {made}");
    Ok(())
}

/// The replay. Files that are named on the command line would be copied first, if they are pipes; those of the configuration are not.
fn replay(folder: &Path, pipes: &[PathBuf], workers: u64) -> Result<Command> {
    let file = |path: &Path, topic: &str| {
        format!(
            "{{ path = \"{}\", topic = \"{topic}\", format = \"ndjson\" }}",
            path.display()
        )
    };
    let base = ["base.asset", "base.datastream", "in.rule"];
    let base = base.map(|topic| file(&folder.join(format!("{topic}.ndjson")), topic));
    let observed = pipes.iter().map(|pipe| file(pipe, "in.observation"));
    let files: Vec<String> = base.into_iter().chain(observed).collect();
    let mut command = Command::new(programs()?.join("riskflow"));
    command
        .args(["replay", "--log", "warn", "--clock", "event-time", "--out"])
        .arg(folder.join("out"));
    for set in [
        format!(
            "input={{ kind = \"files\", clock = \"event_time\", files = [{}] }}",
            files.join(", ")
        ),
        format!("cluster.workers={workers}"),
        "epoch.replay_tick=\"10s\"".to_owned(),
    ] {
        command.args(["--set", &set]);
    }
    Ok(command)
}

/// The rain pack over the real weather of two stations in 2013.
fn real_year(arguments: &Arguments) -> Result<Cost> {
    let history = arguments.folder.join("weather");
    if history.exists() {
        fs::remove_dir_all(&history)?;
    }
    let program = programs()?.join("riskflow");
    let mut generate = Command::new(&program);
    generate.args(["generate", "weather", "--out"]).arg(&history);
    run(generate.stdout(Stdio::null()).stderr(Stdio::null()))?;
    let mut backtest = Command::new(&program);
    backtest
        .args(["backtest", "--log", "error", "--rules", "rain"])
        .arg(&history);
    run(backtest.stdout(Stdio::null()).stderr(Stdio::null()))
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let loads = [
        Load {
            name: "day",
            datastreams: 100_000,
            interval: 60_000,
            hours: arguments.hours,
            least: 1_000_000.0,
        },
        // Its 8,760 hours have 3 million epochs of 10 s, most of them with no record: these must not decide.
        Load {
            name: "year",
            datastreams: 1_000,
            interval: 3_600_000,
            hours: arguments.days * 24,
            least: 100_000.0,
        },
    ];
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "Replay: `riskflow replay --out`, {} workers, epochs of 10 s at most, JSON through a pipe for each worker, one rule (5-minute mean), \
         tables and deltas out",
        arguments.workers
    )?;
    writeln!(out, "Machine: {}\n", machine())?;
    writeln!(
        out,
        "| history | observations | wall s | CPU s | observations/s | bound | times real time | peak MiB |\n|---|---|---|---|---|---|---|---|"
    )?;
    let mut missed = Vec::new();
    for load in loads {
        let Cost { wall, cpu, peak, .. } = load.measure(&arguments)?;
        let seconds = wall.as_secs_f64();
        let rate = load.observations() as f64 / seconds;
        writeln!(
            out,
            "| {} datastreams, {} h | {} | {seconds:.1} | {:.1} | {rate:.0} | {} | {:.0} | {} |",
            load.datastreams,
            load.hours,
            load.observations(),
            cpu.as_secs_f64(),
            load.least,
            load.hours as f64 * 3_600.0 / seconds,
            peak >> 20
        )?;
        if rate < load.least {
            missed.push(format!(
                "the {}: {rate:.0} observations a second, bound {}",
                load.name, load.least
            ));
        }
    }
    let Cost { wall, cpu, peak, .. } = real_year(&arguments)?;
    writeln!(
        out,
        "\nThe rain pack over the real year of two stations, `riskflow backtest`: {:.2} s (bound {MOST_OF_THE_YEAR:?}), CPU {:.2} s, peak {} MiB",
        wall.as_secs_f64(),
        cpu.as_secs_f64(),
        peak >> 20
    )?;
    if wall > MOST_OF_THE_YEAR {
        missed.push(format!("the real year took {wall:?}, bound {MOST_OF_THE_YEAR:?}"));
    }
    ensure!(missed.is_empty(), "{}", missed.join("\n"));
    Ok(())
}
