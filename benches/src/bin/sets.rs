//! Bench: what a sweep of 20 thresholds costs in one run, beside a run of one set, over the calm load; and, beside another build of the
//! program, what a job without candidates costs.
//!
//! The load is that of `throughput`, but that datastreams have no thresholds of their own: these stand before swept ones, and all sets
//! would be one. Both are `riskflow backtest`, which keeps nothing but the warnings.
//!
//! What costs more than its bound fails the bench.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use riskflow_benches::load;
use riskflow_benches::measure::{Cost, machine, programs, run};

/// Measures sets of rules side by side.
#[derive(Parser)]
struct Arguments {
    /// Observations.
    #[arg(long, default_value_t = 5_000_000)]
    observations: u64,
    /// Datastreams.
    #[arg(long, default_value_t = 100_000)]
    datastreams: u64,
    /// How often each is run, in turns; the median counts.
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// Where to keep the load and the outputs.
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
    /// Instead: a job without candidates in turns with this `riskflow` of another build.
    #[arg(long, value_name = "PROGRAM")]
    before: Option<PathBuf>,
}

/// Twenty thresholds. A calm datastream stays below 60; one that runs high, above 120.
const SWEEP: &str = "load.yellow=81..100/1";

/// The most that the sweep may cost, times one run, in CPU and in memory.
const MOST: f64 = 4.0;

/// The most that a job without candidates may cost, times what it did before there were sets.
const MOST_WITHOUT: f64 = 1.05;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let size = (arguments.datastreams, arguments.observations);
    let folder = load::written_once(&arguments.folder, "load", size, load::write)?;
    match &arguments.before {
        Some(before) => without_candidates(&arguments, &folder, before),
        None => sweep(&arguments, &folder),
    }
}

/// Writes the rule, and the datastreams without thresholds of their own.
fn rows(folder: &Path, datastreams: u64) -> Result<(PathBuf, PathBuf)> {
    let (rule, rows) = (folder.join("sets.rule.json"), folder.join("sets.datastream.ndjson"));
    std::fs::write(&rule, load::RULE)?;
    let file = File::create(&rows).with_context(|| format!("could not create `{}`", rows.display()))?;
    let mut out = BufWriter::new(file);
    for i in 0..datastreams {
        writeln!(
            out,
            r#"{{"id":"ds-{i:06}","asset":"as-{i:06}","observed_property":"load"}}"#
        )?;
    }
    out.flush()?;
    Ok((rule, rows))
}

/// One set beside a sweep.
fn sweep(arguments: &Arguments, folder: &Path) -> Result<()> {
    let (rule, rows) = rows(folder, arguments.datastreams)?;
    let program = programs()?.join("riskflow");
    let backtest = |sweep: &[&str]| {
        let mut command = Command::new(&program);
        command
            .args(["backtest", "--log", "error", "--rules"])
            .arg(&rule)
            .args(sweep);
        command.args(["--set", "cluster.workers=1", "--set", "epoch.replay_tick=\"5s\""]);
        command.arg(folder.join("base.asset.ndjson"));
        command.arg(format!("base.datastream={}", rows.display()));
        command.arg(folder.join("in.observation.ndjson"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        run(&mut command)
    };
    let (mut one, mut swept) = (Vec::new(), Vec::new());
    // In turns, so that a slow minute of the machine meets both.
    for _ in 0..arguments.repeat {
        one.push(backtest(&[])?);
        swept.push(backtest(&["--sweep", SWEEP])?);
    }
    let (one, swept) = (median(one), median(swept));
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "Rule sets: `riskflow backtest` over {} JSON observations of {} datastreams, 5-minute mean, one worker; a sweep of 20 thresholds \
         (21 sets in one run) and one set",
        arguments.observations, arguments.datastreams
    )?;
    writeln!(out, "Machine: {}; median of {} runs\n", machine(), arguments.repeat)?;
    writeln!(out, "| | wall s | CPU s | peak MiB |\n|---|---|---|---|")?;
    row(&mut out, "one set", one)?;
    row(&mut out, "a sweep of 20", swept)?;
    let (cpu, peak) = (times(swept.cpu, one.cpu), swept.peak as f64 / one.peak as f64);
    writeln!(out, "\nCPU, the sweep to one set: {cpu:.2} (bound {MOST})")?;
    writeln!(out, "peak memory, the sweep to one set: {peak:.2} (bound {MOST})")?;
    ensure!(
        cpu <= MOST && peak <= MOST,
        "a sweep of 20 costs {cpu:.2} times the CPU and {peak:.2} times the memory of one set, bound {MOST}"
    );
    Ok(())
}

/// The job over files, by this build and by another one.
fn without_candidates(arguments: &Arguments, folder: &Path, before: &Path) -> Result<()> {
    let now = programs()?.join("riskflow");
    let mut pairs = Vec::new();
    for _ in 0..arguments.repeat {
        let cost = run(&mut job(before, folder)?)?;
        pairs.push((cost, run(&mut job(&now, folder)?)?));
    }
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "A job without candidates, {} JSON observations of {} datastreams, one worker, in turns with {}",
        arguments.observations,
        arguments.datastreams,
        before.display()
    )?;
    writeln!(out, "Machine: {}\n", machine())?;
    writeln!(out, "| | wall s | CPU s | peak MiB |\n|---|---|---|---|")?;
    for (before, now) in &pairs {
        row(&mut out, "before", *before)?;
        row(&mut out, "this build", *now)?;
    }
    let mut ratios: Vec<f64> = pairs.iter().map(|(before, now)| times(now.cpu, before.cpu)).collect();
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    writeln!(
        out,
        "\nCPU, this build to the other, median of {} pairs: {median:.3} (bound {MOST_WITHOUT})",
        ratios.len()
    )?;
    ensure!(
        median <= MOST_WITHOUT,
        "a job without candidates costs {median:.3} times what it did, bound {MOST_WITHOUT}"
    );
    Ok(())
}

/// A job over the load as it stands, without any record of sets.
fn job(program: &Path, folder: &Path) -> Result<Command> {
    let files = ["base.asset", "base.datastream", "in.rule", "in.observation"].map(|topic| {
        let path = folder.join(format!("{topic}.ndjson"));
        format!("{{ path = \"{}\", topic = \"{topic}\" }}", path.display())
    });
    let out = folder.join("out-sets");
    if out.exists() {
        std::fs::remove_dir_all(&out)?;
    }
    let mut command = Command::new(program);
    command.args(["run", "--log", "error"]).stderr(Stdio::null());
    for set in [
        "cluster.workers=1".to_owned(),
        format!(
            "input={{ kind = \"files\", clock = \"event_time\", files = [{}] }}",
            files.join(", ")
        ),
        format!("output={{ kind = \"files\", path = \"{}\" }}", out.display()),
        "epoch.replay_tick=\"5s\"".to_owned(),
        "http.enabled=false".to_owned(),
    ] {
        command.args(["--set", &set]);
    }
    Ok(command)
}

fn row(out: &mut impl std::io::Write, name: &str, cost: Cost) -> Result<()> {
    let (wall, cpu) = (cost.wall.as_secs_f64(), cost.cpu.as_secs_f64());
    writeln!(out, "| {name} | {wall:.2} | {cpu:.2} | {} |", cost.peak >> 20)?;
    Ok(())
}

fn times(much: Duration, little: Duration) -> f64 {
    much.as_secs_f64() / little.as_secs_f64()
}

/// By CPU, of which a machine with other work tells more than of the time on the wall.
fn median(mut costs: Vec<Cost>) -> Cost {
    costs.sort_by_key(|cost| cost.cpu);
    costs[costs.len() / 2]
}
