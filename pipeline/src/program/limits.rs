//! How many files the process may open. What the log needs comes first: a segment that cannot be opened ends the job.

use std::sync::OnceLock;

use anyhow::{Context as _, Result, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use riskflow_config::Settings;
use riskflow_connectors::topics::open_files;

/// The limit as it was found and as it is: soft, hard.
#[derive(Clone, Copy, Debug)]
struct Limit {
    found: u64,
    soft: u64,
    hard: u64,
}

/// The process itself: standard streams, runtimes, the listener, a checkpoint under way.
const OWN: u64 = 64;

/// Each worker, and each other process of a cluster.
const EACH: u64 = 8;

/// Raises the soft limit to the hard one. The soft one is low for the sake of programs that cannot count beyond 1,024.
///
/// # Errors
///
/// When the system does not tell its limits.
pub fn raise() -> Result<()> {
    limit().map(drop)
}

fn limit() -> Result<Limit> {
    static LIMIT: OnceLock<Limit> = OnceLock::new();
    if let Some(limit) = LIMIT.get() {
        return Ok(*limit);
    }
    let (found, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("could not read the limit of open files")?;
    // Not allowed: it stays as it is.
    let raised = found < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
    let soft = if raised { hard } else { found };
    Ok(*LIMIT.get_or_init(|| Limit { found, soft, hard }))
}

/// Sees to it that the process may open what its input, its output and its HTTP connections need.
///
/// # Errors
///
/// When it may not.
pub fn check(settings: &Settings) -> Result<()> {
    let limit = limit()?;
    let log = open_files(settings) as u64;
    let threads = settings.cluster.workers.get() + settings.cluster.hosts.len();
    let own = OWN + EACH * threads as u64;
    let connections = settings.http.as_ref().map_or(0, |http| http.max_connections as u64);
    let Limit { found, soft, hard } = limit;
    let needed = log + own + connections;
    tracing::info!(found, hard, limit = soft, needed, connections, "limit of open files");
    ensure!(
        needed <= soft,
        "the limit of open files is {soft}, and the job needs {needed}: {log} for the partitions of input and output, {connections} for \
         HTTP connections, {own} for itself; raise the hard limit (`LimitNOFILE=` of systemd, `ulimit -Hn`), or lower \
         `http.max_connections` or the number of partitions"
    );
    Ok(())
}
