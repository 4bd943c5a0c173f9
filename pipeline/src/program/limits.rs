//! How many files the process may open. What the log needs comes first: a segment that cannot be opened ends the job.

use std::sync::OnceLock;

use anyhow::{Context as _, Result, bail};
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

/// How many files the process may open, and how many the job needs.
#[derive(Clone, Copy, Debug)]
pub struct OpenFiles {
    limit: Limit,
    log: u64,
    connections: u64,
    own: u64,
}

impl OpenFiles {
    /// Those of a job with these settings in this process.
    ///
    /// # Errors
    ///
    /// When the system does not tell its limits.
    pub fn of(settings: &Settings) -> Result<Self> {
        let threads = settings.cluster.workers.get() + settings.cluster.hosts.len();
        Ok(Self {
            limit: limit()?,
            log: open_files(settings) as u64,
            connections: settings.http.as_ref().map_or(0, |http| http.max_connections as u64),
            own: OWN + EACH * threads as u64,
        })
    }

    /// How many the job needs at most.
    pub const fn needed(&self) -> u64 {
        self.log + self.connections + self.own
    }

    /// How many it may open.
    pub const fn allowed(&self) -> u64 {
        self.limit.soft
    }

    /// Why they are too few; `None` where they are not.
    pub fn too_few(&self) -> Option<String> {
        let (soft, needed) = (self.allowed(), self.needed());
        let Self {
            log, connections, own, ..
        } = self;
        (needed > soft).then(|| {
            format!(
                "the limit of open files is {soft}, and the job needs {needed}: {log} for the partitions of input and output, {connections} for \
                 HTTP connections, {own} for itself"
            )
        })
    }
}

/// What to do where the limit is too low.
pub const RAISE: &str = "raise the hard limit (`LimitNOFILE=` of systemd, `ulimit -Hn`), or lower `http.max_connections` or the number of \
                         partitions";

/// Sees to it that the process may open what its input, its output and its HTTP connections need.
///
/// # Errors
///
/// When it may not.
pub fn check(settings: &Settings) -> Result<()> {
    let files = OpenFiles::of(settings)?;
    let Limit { found, soft, hard } = files.limit;
    let (needed, connections) = (files.needed(), files.connections);
    tracing::info!(found, hard, limit = soft, needed, connections, "limit of open files");
    match files.too_few() {
        Some(why) => bail!("{why}; {RAISE}"),
        None => Ok(()),
    }
}
