//! Bench: how fast a history is replayed, and what decides that: how many records there are, not how long it is.
//!
//! A day of a city: 100,000 datastreams, one observation a minute each, 144 million observations. A year of 1,000 stations that report on the
//! hour, 8.76 million. Ten thousand observations with none near another, over 100 hours and over 100 days: these take the same time. All are
//! JSON on disk, a file for each worker, made beforehand and deleted behind it: the day has 15 GB. With `--pipes` they are made while they
//! are read, which takes its part of the machine. And the real year of two stations, back-tested.
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
    /// Days of the year.
    #[arg(long, default_value_t = 365)]
    days: u64,
    /// Makes the observations while they are read, in the same machine, instead of on disk beforehand.
    #[arg(long)]
    pipes: bool,
    /// Worker threads.
    #[arg(long, default_value_t = 2)]
    workers: u64,
    /// Where to keep base rows, observations and outputs.
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
}

/// So long the rain pack may take over the real year of two stations.
const MOST_OF_THE_YEAR: Duration = Duration::from_secs(5);

/// The longer of two histories of as many records may take so many times as long as the other.
const MOST_OF_THE_LONGER: f64 = 1.2;

/// So many observations with none near another.
const ALONE: u64 = 10_000;

const HOUR: i64 = 3_600_000;

/// A load: its name; how many datastreams report how often, in milliseconds, and within how much of that all of them; how many observations
/// there are, and how many a second are the least.
struct Load {
    name: &'static str,
    datastreams: u64,
    interval: i64,
    within: i64,
    observations: u64,
    least: Option<f64>,
}

impl Load {
    /// The time that it covers, in hours.
    fn hours(&self) -> f64 {
        (self.observations / self.datastreams) as f64 * self.interval as f64 / HOUR as f64
    }

    fn measure(&self, arguments: &Arguments) -> Result<Cost> {
        let folder = arguments
            .folder
            .join(format!("replay-{}", self.name.replace(", ", "-")));
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        load::base(&folder, self.datastreams)?;
        let shares = arguments.workers;
        let files: Vec<PathBuf> = (0..shares)
            .map(|share| folder.join(format!("observations-{share}.ndjson")))
            .collect();
        if arguments.pipes {
            make_pipes(&files)?;
        }
        let writers: Vec<JoinHandle<Result<()>>> = (0..shares)
            .zip(files.clone())
            .map(|(share, path)| {
                let size = (self.datastreams, self.observations);
                let times = (self.interval, self.within);
                // To open a pipe waits for its reader, and ends with this process where none comes.
                std::thread::spawn(move || {
                    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
                    load::observations_of(&mut out, size, times, (share, shares))
                })
            })
            .collect();
        let mut replay = replay(&folder, &files, shares)?;
        let cost = if arguments.pipes {
            let cost = run(&mut replay)?;
            join(writers)?;
            cost
        } else {
            join(writers)?;
            run(&mut replay)?
        };
        fs::remove_dir_all(&folder)?;
        Ok(cost)
    }
}

fn join(writers: Vec<JoinHandle<Result<()>>>) -> Result<()> {
    writers.into_iter().try_for_each(|writer| {
        let ended = writer.join();
        ended.map_err(|_| anyhow!("a writer of observations panicked"))?
    })
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

fn loads(arguments: &Arguments) -> [Load; 4] {
    [
        Load {
            name: "day",
            datastreams: 100_000,
            interval: 60_000,
            within: 60_000,
            observations: 100_000 * arguments.hours * 60,
            least: Some(1_000_000.0),
        },
        // Its hours have 360 epochs of 10 s each, and all records lie in one of them: the others must cost nothing.
        Load {
            name: "year",
            datastreams: 1_000,
            interval: HOUR,
            within: 1,
            observations: 1_000 * arguments.days * 24,
            least: Some(100_000.0),
        },
        Load {
            name: "alone, hourly",
            datastreams: 100,
            interval: HOUR,
            within: HOUR,
            observations: ALONE,
            least: None,
        },
        Load {
            name: "alone, daily",
            datastreams: 100,
            interval: 24 * HOUR,
            within: 24 * HOUR,
            observations: ALONE,
            least: None,
        },
    ]
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut out = std::io::stdout().lock();
    let from = if arguments.pipes {
        "through a pipe for each worker"
    } else {
        "from disk"
    };
    writeln!(
        out,
        "Replay: `riskflow replay --out`, {} workers, epochs of 10 s at most, JSON {from}, one rule (5-minute mean), tables and deltas out",
        arguments.workers
    )?;
    writeln!(out, "Machine: {}\n", machine())?;
    writeln!(
        out,
        "| history | observations | wall s | CPU s | observations/s | bound | times real time | peak MiB |\n|---|---|---|---|---|---|---|---|"
    )?;
    let mut missed = Vec::new();
    let mut lasted = Vec::new();
    for load in loads(&arguments) {
        let Cost { wall, cpu, peak, .. } = load.measure(&arguments)?;
        let (seconds, hours) = (wall.as_secs_f64(), load.hours());
        let rate = load.observations as f64 / seconds;
        let bound = load.least.map_or_else(|| "-".to_owned(), |least| least.to_string());
        writeln!(
            out,
            "| {}: {} datastreams, {hours:.0} h | {} | {seconds:.1} | {:.1} | {rate:.0} | {bound} | {:.0} | {} |",
            load.name,
            load.datastreams,
            load.observations,
            cpu.as_secs_f64(),
            hours * 3_600.0 / seconds,
            peak >> 20
        )?;
        if load.least.is_some_and(|least| rate < least) {
            missed.push(format!(
                "the {}: {rate:.0} observations a second, bound {bound}",
                load.name
            ));
        }
        lasted.push(wall);
    }
    if let [.., hourly, daily] = lasted.as_slice() {
        let times = daily.as_secs_f64() / hourly.as_secs_f64();
        writeln!(
            out,
            "\n{ALONE} observations over 100 days take {times:.2} times as long as over 100 hours (bound {MOST_OF_THE_LONGER})"
        )?;
        if times > MOST_OF_THE_LONGER {
            missed.push(format!(
                "the length of a history counts: {times:.2} times as long, bound {MOST_OF_THE_LONGER}"
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
