//! Bench: what a storm costs. Five million observations, and one window in fifteen changes its level: CPU, peak memory and the parts of
//! the workers, from files to files, against the plain loop `storm_loop`.
//!
//! Both must give the same rows of assets and regions, in the same epochs, byte by byte: it fails where they do not. With cases on, a
//! warning has a case, with an office that must acknowledge it in its town, from orange in its county, and from red in the city.
//!
//! Unfair to riskflow: what the loop leaves out (see there). Unfair to the loop: the same decoder. Both write what they give to
//! the same disk; with two workers, the machine's cores are shared with the thread that publishes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use riskflow_benches::measure::{Cost, machine, programs, run};
use riskflow_benches::{load, storm};
use riskflow_model::Key;
use riskflow_model::output::{AssetRisk, RegionRisk};
use riskflow_model::topic::Topic;

/// Measures the job and the plain loop over the same storm.
#[derive(Parser)]
struct Arguments {
    /// Observations.
    #[arg(long, default_value_t = 5_000_000)]
    observations: u64,
    /// Datastreams, each at an asset of its own.
    #[arg(long, default_value_t = 100_000)]
    datastreams: u64,
    /// How often each is run; the median of CPU counts.
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// Worker threads of the job.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2])]
    workers: Vec<usize>,
    /// With cases off, on, or both.
    #[arg(long, value_delimiter = ',', default_values_t = [false, true])]
    cases: Vec<bool>,
    /// Another build of the job, run in turns with this one.
    #[arg(long)]
    against: Option<PathBuf>,
    /// Where to keep the load and the outputs.
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
}

/// One way to run it.
struct Way {
    name: String,
    program: PathBuf,
    cases: bool,
    workers: usize,
    costs: Vec<Cost>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let size = (arguments.datastreams, arguments.observations);
    let folder = load::written_once(&arguments.folder, "storm", size, storm::write)?;
    let programs = programs()?;
    let mut ways = ways(&arguments, &programs);
    let mut loops = Vec::new();
    let mut changes = 0;
    // In turns, so that a slow minute of the machine meets all of them.
    for _ in 0..arguments.repeat {
        let plain = fresh(&folder, "plain")?;
        std::fs::create_dir_all(&plain)?;
        let said = folder.join("plain.changes");
        let mut command = Command::new(programs.join("storm_loop"));
        command.arg(&folder).arg(&plain).stdout(std::fs::File::create(&said)?);
        loops.push(run(&mut command)?);
        changes = std::fs::read_to_string(&said)?.trim().parse()?;
        for way in &mut ways {
            let out = fresh(&folder, "out")?;
            way.costs.push(run(&mut job(way, &folder, &out))?);
            same_rows(&plain, &out).with_context(|| way.name.clone())?;
        }
    }
    report(&arguments, changes, median(loops), ways)
}

fn ways(arguments: &Arguments, programs: &Path) -> Vec<Way> {
    let mut ways = Vec::new();
    for cases in &arguments.cases {
        for workers in &arguments.workers {
            let on = if *cases { "all on" } else { "cases off" };
            let s = if *workers == 1 { "" } else { "s" };
            let name = format!("riskflow, {on}, {workers} worker{s}");
            let other = arguments.against.clone();
            let other = other.map(|program| (format!("{name}, the other build"), program));
            for (name, program) in other.into_iter().chain([(name, programs.join("riskflow"))]) {
                ways.push(Way {
                    name,
                    program,
                    cases: *cases,
                    workers: *workers,
                    costs: Vec::new(),
                });
            }
        }
    }
    ways
}

/// A folder that is not there.
fn fresh(folder: &Path, name: &str) -> Result<PathBuf> {
    let out = folder.join(name);
    if out.exists() {
        std::fs::remove_dir_all(&out)?;
    }
    Ok(out)
}

fn job(way: &Way, folder: &Path, out: &Path) -> Command {
    let duties: &[Topic] = if way.cases { &storm::DUTIES } else { &[] };
    let topics = storm::BASE.iter().chain(duties).chain(&[Topic::IN_OBSERVATION]);
    let files: Vec<String> = topics
        .map(|topic| {
            let path = folder.join(format!("{topic}.ndjson"));
            format!("{{ path = \"{}\", topic = \"{topic}\" }}", path.display())
        })
        .collect();
    let mut command = Command::new(&way.program);
    command.args(["run", "--log", "warn"]).stderr(Stdio::null());
    for set in [
        format!("cluster.workers={}", way.workers),
        format!(
            "input={{ kind = \"files\", clock = \"event_time\", files = [{}] }}",
            files.join(", ")
        ),
        format!("output={{ kind = \"files\", path = \"{}\" }}", out.display()),
        format!("capabilities.cases={}", way.cases),
        "http.enabled=false".to_owned(),
    ] {
        command.args(["--set", &set]);
    }
    command
}

/// Fails where the loop and the job do not give the same rows of assets and regions.
fn same_rows(plain: &Path, out: &Path) -> Result<()> {
    for topic in [Topic::of::<AssetRisk>(), Topic::of::<RegionRisk>()] {
        let [plain, out] = [plain, out].map(|folder| lines(&folder.join(format!("{topic}.ndjson"))));
        let ((plain, plain_sum), (out, out_sum)) = (plain?, out?);
        ensure!(
            (plain, plain_sum) == (out, out_sum),
            "{topic}: the loop gave {plain} rows, the job {out}; they are not the same"
        );
    }
    Ok(())
}

/// How many lines a file has, and the sum of their hashes: the order within an epoch is not asked for.
fn lines(path: &Path) -> Result<(u64, u128)> {
    let file = std::fs::File::open(path).with_context(|| format!("could not open `{}`", path.display()))?;
    let mut reader = BufReader::with_capacity(1 << 18, file);
    let (mut line, mut count, mut sum) = (Vec::new(), 0, 0u128);
    while reader.read_until(b'\n', &mut line)? > 0 {
        count += 1;
        sum = sum.wrapping_add(Key::of_bytes(&line).to_u128());
        line.clear();
    }
    Ok((count, sum))
}

fn median(mut costs: Vec<Cost>) -> Cost {
    costs.sort_by_key(|cost| cost.cpu);
    costs[costs.len() / 2]
}

fn report(arguments: &Arguments, changes: u64, plain: Cost, ways: Vec<Way>) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "Storm: {} JSON observations, {} datastreams, 1-minute mean, four levels; {changes} changes of level, {:.1} % of the windows",
        arguments.observations,
        arguments.datastreams,
        changes as f64 * 100.0 / arguments.observations as f64
    )?;
    writeln!(out, "Machine: {}; median of {} runs\n", machine(), arguments.repeat)?;
    writeln!(
        out,
        "| | wall s | CPU s | to the plain loop | us a change beyond it | busiest thread | peak MiB |\n|---|---|---|---|---|---|---|"
    )?;
    let mut row = |name: &str, cost: Cost| {
        let (cpu, of_loop) = (cost.cpu.as_secs_f64(), plain.cpu.as_secs_f64());
        writeln!(
            out,
            "| {name} | {:.2} | {cpu:.2} | {:.2} | {:.1} | {:.0} % | {} |",
            cost.wall.as_secs_f64(),
            cpu / of_loop,
            (cpu - of_loop) * 1e6 / changes.max(1) as f64,
            cost.busiest * 100.0,
            cost.peak >> 20
        )
    };
    row("plain loop, assets and regions only, 1 thread", plain)?;
    for way in ways {
        row(&way.name, median(way.costs))?;
    }
    writeln!(
        out,
        "\ntargets: at most 3.0 times the plain loop with cases off, 4.5 with all on; two workers at most 1.2 times the CPU of one, the \
         busier at most 60 % of it"
    )?;
    Ok(())
}
