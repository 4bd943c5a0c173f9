//! A child process from start to end: wall clock, CPU, peak memory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};

/// What a child process took.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Wall clock.
    pub wall: Duration,
    /// User and system time of all its threads.
    pub cpu: Duration,
    /// Peak resident memory, bytes.
    pub peak: u64,
    /// The greatest of its threads' parts of the CPU, 0 to 1.
    pub busiest: f64,
}

/// Runs a command to its end. Children must not run side by side: CPU is the growth of all children's.
///
/// # Errors
///
/// When it cannot be started or fails.
pub fn run(command: &mut Command) -> Result<Cost> {
    let before = children()?;
    let began = Instant::now();
    let mut child = command
        .spawn()
        .with_context(|| format!("could not start {command:?}"))?;
    let mut peak = 0;
    let mut threads = BTreeMap::new();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        peak = peak.max(high_water(child.id()));
        threads.extend(thread_ticks(child.id()));
        std::thread::sleep(Duration::from_millis(10));
    };
    let wall = began.elapsed();
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(Cost {
        wall,
        cpu: children()? - before,
        peak,
        busiest: threads.values().max().copied().unwrap_or(0) as f64 / threads.values().sum::<u64>().max(1) as f64,
    })
}

/// User and system time of each thread of a process so far, in ticks of the clock.
fn thread_ticks(pid: u32) -> Vec<(u32, u64)> {
    let ticks = |entry: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name, which may hold anything, stands in brackets; behind it the 12th and 13th field.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some((entry.file_name().to_str()?.parse().ok()?, ticks(11)? + ticks(12)?))
    };
    let entries = std::fs::read_dir(format!("/proc/{pid}/task"));
    entries.into_iter().flatten().flatten().filter_map(ticks).collect()
}

fn children() -> Result<Duration> {
    usage(UsageWho::RUSAGE_CHILDREN)
}

/// User and system time of this process so far.
///
/// # Panics
///
/// Where the system does not tell.
#[must_use]
pub fn cpu() -> Duration {
    usage(UsageWho::RUSAGE_SELF).expect("a system tells a process its own times")
}

fn usage(who: UsageWho) -> Result<Duration> {
    let usage = getrusage(who)?;
    let seconds = |time: nix::sys::time::TimeVal| Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1_000);
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// The peak resident memory of a process so far, bytes; 0 where it cannot be told.
#[must_use]
pub fn high_water(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024)
}

/// The folder of this program: the others lie beside it.
///
/// # Errors
///
/// When the system does not say where this program lies.
pub fn programs() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().context("a program lies in a folder")?;
    Ok(folder.to_path_buf())
}

/// This machine, for the heading of a result.
#[must_use]
pub fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or("?");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores, {}", model.trim_start_matches([' ', '\t', ':']))
}

/// A child process, killed at the end.
pub struct Job(pub std::process::Child);

impl Drop for Job {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The wall clock, in milliseconds since the Unix epoch.
#[must_use]
pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap_or_default().as_millis() as i64
}
