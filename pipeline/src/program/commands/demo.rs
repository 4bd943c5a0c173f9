//! `riskflow demo`: a simulated city in a typhoon, from generation to a table of what happened.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use riskflow::runtime::http::Server;
use riskflow::runtime::job::{self, Handles};
use riskflow::runtime::output::EpochOutput;
use riskflow::runtime::publisher::Observer;
use riskflow::runtime::views::Tables;
use riskflow::simulator::city::{City, CityOptions, Officers};
use riskflow_config::{Capabilities, HttpSettings, WrittenSettings};
use riskflow_model::output::{DeadLetter, DeltaKind, PastWarning, Reason, RegionRisk, WarningState};
use riskflow_model::{DomainScope, Millis, RegionCode, Tier};
use serde_json::json;

use super::generate::{Log, Place as _, write_city};
use super::loop_table::{loop_rows, loop_summary};
use super::signals::{Hangup, stop_job};
use crate::program::cli::{DemoArguments, EXIT_INTERRUPTED};
use crate::program::exit::Usage;
use crate::program::terminal::{Live, Progress, say, table, tell};

/// Runs the demo.
pub fn demo(arguments: &DemoArguments) -> Result<ExitCode> {
    let asked = Instant::now();
    let handles = Handles::new()?;
    stop_job(&handles, Hangup::Stops)?;
    // First of all: a port that is taken is told before anything takes time.
    let http = HttpSettings::at(arguments.http);
    let server = Server::start(&http, &Capabilities::default(), handles.clone(), None, None)
        .map_err(|error| port_taken(arguments.http, error))?;
    let folder = Folder::prepare(arguments.data.as_deref())?;
    let options = CityOptions {
        datastreams: arguments.datastreams,
        seed: arguments.seed,
        hours: arguments.hours,
    };
    let city = City::new(options).map_err(|error| Usage(error.to_string()))?;
    tell(format_args!(
        "riskflow demo: {} datastreams of a simulated city, {} h of storm, in {}",
        arguments.datastreams,
        arguments.hours,
        folder.path.display()
    ));
    let Some(records) = rehearse(arguments, &city, &folder.path, &handles)? else {
        return Ok(ExitCode::from(EXIT_INTERRUPTED));
    };
    let reading = format!("http://{}/api/v1/regions", server.address);
    tell(format_args!("3/3 the job runs; {reading} shows it meanwhile"));
    let (counts, took) = perform(arguments, &city, &folder.path, &handles)?;
    let tables = handles.views.load();
    // Stopped in between: what happened so far.
    let records = handles.metrics.records.total().min(records);
    let interrupted = handles.stop.load(Ordering::Acquire);
    if interrupted && records == 0 {
        stopped(&handles, "before the show began");
        return Ok(ExitCode::from(EXIT_INTERRUPTED));
    }
    if interrupted {
        let at = local(tables.epoch);
        tell(format_args!(
            "stopped at {at}: what follows is what happened up to then"
        ));
    }
    if arguments.json {
        say(summary(&tables, &counts, records, took));
    } else {
        show(&tables, &counts, records, took);
        say(format_args!(
            "{:.1} s in all, generating and the officers' part included",
            asked.elapsed().as_secs_f64()
        ));
    }
    if interrupted {
        return Ok(ExitCode::from(EXIT_INTERRUPTED));
    }
    if !arguments.once {
        tell(format_args!("serving {reading} until ctrl-c"));
        while !handles.stop.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the input of the show: the storm, and what simulated duty officers do about it. How many records that are; `None` if it
/// was stopped.
fn rehearse(arguments: &DemoArguments, city: &City, folder: &Path, handles: &Handles) -> Result<Option<u64>> {
    tell("1/3 generating base data, rules and the storm");
    let mut log = Log::create(folder, 4)?;
    let written = write_city(city, &mut log, true, &handles.stop)?;
    log.finish()?;
    if stopped(handles, "before the storm was generated") {
        return Ok(None);
    }
    tell("2/3 simulated duty officers watch the storm, and act on its warnings");
    let acted = officers(arguments, city, folder, &mut log, handles)?;
    Ok((!stopped(handles, "before the show began")).then_some(written + acted))
}

/// Runs the job on it; what happened, and how long it took.
fn perform(arguments: &DemoArguments, city: &City, folder: &Path, handles: &Handles) -> Result<(Counts, Duration)> {
    let settings = settings(arguments, folder, folder)?;
    let counts = std::sync::Arc::new(std::sync::Mutex::new(Counts::default()));
    let began = Instant::now();
    job::run(&settings, handles, Some(observer(city, arguments.json, counts.clone())))?;
    let took = began.elapsed();
    let mut counts = counts.lock().map_err(|_| anyhow!("the observer panicked"))?;
    Ok((std::mem::take(&mut *counts), took))
}

/// Whether the demo was stopped; says so.
fn stopped(handles: &Handles, when: &str) -> bool {
    let stopped = handles.stop.load(Ordering::Acquire);
    if stopped {
        tell(format_args!("stopped {when}: there is nothing to show"));
    }
    stopped
}

fn port_taken(address: std::net::SocketAddr, error: impl Into<anyhow::Error>) -> anyhow::Error {
    let error: anyhow::Error = error.into();
    Usage(format!(
        "cannot serve HTTP at {address}: {error:#}; give another `--http`, such as `--http 127.0.0.1:0` for any port that is free"
    ))
    .into()
}

fn settings(arguments: &DemoArguments, folder: &Path, output: &Path) -> Result<riskflow_config::Settings> {
    let mut written = WrittenSettings::default();
    written.cluster.workers = arguments.workers;
    written.input.path = folder.to_owned();
    written.input.clock = riskflow_config::Clock::Arrival;
    written.output.path = output.to_owned();
    written.epoch.replay_tick = "10s".into();
    written.checkpoint.path = output.join("checkpoints").to_string_lossy().into_owned();
    Ok(written.check()?)
}

/// Lets the simulated duty officers see the storm's warnings, and writes down what they did about them: the input of the show.
/// Warnings do not depend on what is done about them, so those of the show are the same.
fn officers(arguments: &DemoArguments, city: &City, folder: &Path, log: &mut Log, handles: &Handles) -> Result<u64> {
    let seen = folder.join("rehearsal");
    let watching = std::sync::Arc::new(std::sync::Mutex::new(Officers::default()));
    let (start, end) = (city.start(), city.end());
    // Minutes of the storm.
    let minutes = |from: Millis, to: Millis| ((to.0 - from.0).max(0) / 60_000).unsigned_abs();
    let mut progress = Progress::new("officers watch the storm", minutes(start, end));
    let officers = watching.clone();
    let observer: Observer = Box::new(move |output: &EpochOutput, _: &Tables| {
        if let Ok(mut officers) = officers.lock() {
            officers.watch(output.epoch, output.log());
        }
        progress.set(minutes(start, output.epoch));
    });
    let rehearsal = Handles {
        stop: handles.stop.clone(),
        ..Handles::new()?
    };
    job::run(&settings(arguments, folder, &seen)?, &rehearsal, Some(observer))?;
    std::fs::remove_dir_all(&seen).with_context(|| format!("could not remove `{}`", seen.display()))?;
    let officers = watching.lock().map_err(|_| anyhow!("the observer panicked"))?;
    let actions = officers.actions(city);
    for action in &actions {
        log.put(action)?;
    }
    log.finish()?;
    Ok(actions.len() as u64)
}

/// The folder of the demo's log; a temporary one goes with the demo.
struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    fn prepare(given: Option<&Path>) -> Result<Self> {
        let path = match given {
            Some(path) => path.to_owned(),
            None => std::env::temp_dir().join(format!("riskflow-demo-{}", std::process::id())),
        };
        let marker = path.join("riskflow-demo");
        if path.exists() && !marker.exists() && path.read_dir()?.next().is_some() {
            return Err(anyhow!(
                "`{}` is not empty and no demo wrote it; give another `--data`",
                path.display()
            ));
        }
        if path.exists() {
            std::fs::remove_dir_all(&path).with_context(|| format!("could not empty `{}`", path.display()))?;
        }
        std::fs::create_dir_all(&path).with_context(|| format!("could not create `{}`", path.display()))?;
        std::fs::write(marker, "written by `riskflow demo`, which may delete this folder\n")?;
        Ok(Self {
            path,
            temporary: given.is_none(),
        })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// What the tables do not tell at the end.
#[derive(Default)]
struct Counts {
    dead: BTreeMap<Reason, u64>,
    epochs: u64,
}

/// Follows the job: counts, and shows the city while it runs.
fn observer(city: &City, quiet: bool, counts: std::sync::Arc<std::sync::Mutex<Counts>>) -> Observer {
    let (start, end) = (city.start(), city.end());
    let mut live = Live::new(quiet);
    Box::new(move |output: &EpochOutput, tables: &Tables| {
        if let Ok(mut counts) = counts.lock() {
            counts.epochs += 1;
            for letter in output.log::<DeadLetter>() {
                *counts.dead.entry(letter.reason).or_default() += 1;
            }
        }
        live.show(|| {
            let done = (output.epoch.0 - start.0) as f64 / (end.0 - start.0).max(1) as f64;
            let mut lines = vec![format!("{}  {:>5.1} %", local(output.epoch), done.clamp(0.0, 1.0) * 100.0)];
            for (code, name) in counties(tables) {
                let Some(row) = tables.region(code, DomainScope::All) else { continue };
                let [_, blue, yellow, orange, red] = row.warnings_by_level.to_array();
                lines.push(format!(
                    "{name:<4} risk {:<6} score {:>6}  open warnings: red {red:>4} orange {orange:>4} yellow {yellow:>4} blue {blue:>4}",
                    row.level.name(), row.score
                ));
            }
            lines
        });
    })
}

/// Beijing time, for people.
fn local(time: Millis) -> String {
    let text = (time + riskflow_model::Duration(8 * 3_600_000)).to_string();
    format!("{} (UTC+8)", text.replace('T', " ").trim_end_matches(".000Z"))
}

fn counties(tables: &Tables) -> Vec<(RegionCode, String)> {
    let all = tables
        .table::<RegionRisk>()
        .filter(|(_, row)| row.region.tier() == Some(Tier::County) && row.domain == DomainScope::All);
    all.map(|(_, row)| (row.region, row.name.to_string())).collect()
}

/// How many deltas of each kind, by county and domain, and in all.
fn tallies(tables: &Tables) -> Vec<(String, DomainScope, [u64; DeltaKind::ALL.len()])> {
    let mut rows = Vec::new();
    let mut total = [0; DeltaKind::ALL.len()];
    for (code, name) in counties(tables) {
        for domain in DomainScope::EACH.into_iter().skip(1) {
            let Some(counts) = tables.tallies.get(&(code, domain)) else {
                continue;
            };
            for (sum, count) in total.iter_mut().zip(counts) {
                *sum += count;
            }
            rows.push((name.clone(), domain, *counts));
        }
    }
    rows.push(("all".to_owned(), DomainScope::All, total));
    rows
}

fn show(tables: &Tables, counts: &Counts, written: u64, took: Duration) {
    say("What happened in the simulated storm (after typhoon In-Fa, July 2021; all data simulated):\n");
    let mut header = vec!["county", "domain"];
    header.extend(DeltaKind::ALL.iter().map(|kind| kind.name()));
    let rows = tallies(tables).into_iter().map(|(county, domain, counts)| {
        let mut row = vec![county, domain.to_string()];
        row.extend(counts.iter().map(u64::to_string));
        row
    });
    say(table(&header, rows));
    say("\nWhat was done about it (duty officers simulated, too):\n");
    let header = [
        "county",
        "issued",
        "acknowledged",
        "in time",
        "escalated",
        "archived",
        "median to acknowledge",
    ];
    say(table(&header, loop_rows(tables, &counties(tables))));
    let dead: Vec<String> = counts
        .dead
        .iter()
        .map(|(reason, count)| format!("{} {count}", reason.name()))
        .collect();
    say(format!(
        "\nopen at the end: {} warnings; over and remembered: {}; dead letters: {}",
        tables.count_of::<WarningState>(),
        tables.count_of::<PastWarning>(),
        dead.join(", ")
    ));
    let rate = written as f64 / took.as_secs_f64();
    say(format!(
        "{written} records, {} epochs in {:.1} s: {rate:.0} records a second",
        counts.epochs,
        took.as_secs_f64()
    ));
}

fn summary(tables: &Tables, counts: &Counts, written: u64, took: Duration) -> serde_json::Value {
    let rows = tallies(tables).into_iter().map(|(county, domain, counts)| {
        let kinds: BTreeMap<&str, u64> = DeltaKind::ALL.iter().map(|kind| kind.name()).zip(counts).collect();
        json!({ "county": county, "domain": domain, "deltas": kinds })
    });
    let dead: BTreeMap<&str, u64> = counts
        .dead
        .iter()
        .map(|(reason, count)| (reason.name(), *count))
        .collect();
    json!({
        "records": written,
        "epochs": counts.epochs,
        "seconds": took.as_secs_f64(),
        "open_warnings": tables.count_of::<WarningState>(),
        "past_warnings": tables.count_of::<PastWarning>(),
        "dead_letters": dead,
        "deltas": rows.collect::<Vec<_>>(),
        "cases": loop_summary(tables, &counties(tables)),
    })
}
