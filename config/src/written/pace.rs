//! How the job runs: `[cluster]`, `[epoch]`, `[clock]`, `[recovery]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::process::WrittenProcess;
use crate::secret::WrittenSecret;
use crate::settings::{Quiet, Rewind};

/// Threads, processes and hosts. All processes of a cluster have the same settings but for `process`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenCluster {
    /// Worker threads in each process, 1 to 256. More than there are cores makes all of them slower.
    pub workers: usize,
    /// This process's position in `hosts`, from 0; or `hostname`: the number behind the last `-` of the name of its host, as the pods
    /// of a StatefulSet have it.
    pub process: WrittenProcess,
    /// How many processes there are, up to 1,000; 0: as many as `hosts` has.
    pub processes: usize,
    /// `host:port` of every process, in the same order everywhere; empty for one process. With `processes` it may be one pattern: in
    /// `riskflow-{}.riskflow-peers:2101` the number of each process takes the place of `{}`.
    pub hosts: Vec<String>,
    /// `address:port` where this process listens for the others, where that is not its own entry in `hosts`; empty: that is. Without a
    /// secret it is a private address.
    pub listen: String,
    /// What only the processes of this cluster know, 32 characters or more: who does not, does not join. It keeps strangers out and
    /// encrypts nothing: the ports belong on a private network all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<WrittenSecret>,
}

impl Default for WrittenCluster {
    fn default() -> Self {
        Self {
            workers: 1,
            process: WrittenProcess::Number(0),
            processes: 0,
            hosts: Vec::new(),
            listen: String::new(),
            secret: None,
        }
    }
}

/// How epochs are cut: an epoch closes when its tick has passed and few enough are under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenEpoch {
    /// The shortest epoch while live, `1ms` to `10s`. Latency is at least half of it; each epoch has a fixed cost.
    pub tick: String,
    /// The length of an epoch in a replay, in pipeline time, `1ms` to `1h`, and at most `time.horizon`. Only those epochs are
    /// closed in which something happens.
    pub replay_tick: String,
    /// The most records that one worker takes into one live epoch, 100 to 10,000,000: bounds memory and latency under
    /// overload.
    pub max_records: usize,
    /// How many epochs may be under way at once, 1 to 64; of those that a start does again, up to 64 while they hold no more records
    /// than so many epochs may.
    pub in_flight: usize,
    /// Live, an epoch closes after so long even where nothing happens, `tick` to `1m`: readers see that the clock goes on.
    pub heartbeat: String,
    /// What becomes of epochs in which nothing happens: `skip` passes over them, `close` closes each, at the length of
    /// `tick` or `replay_tick`. The answers are the same; this is for comparing.
    pub quiet: Quiet,
}

impl Default for WrittenEpoch {
    fn default() -> Self {
        Self {
            tick: "20ms".into(),
            replay_tick: "1s".into(),
            max_records: 65_536,
            in_flight: 2,
            heartbeat: "1s".into(),
            quiet: Quiet::Skip,
        }
    }
}

/// How the job's clock follows the wall clock. It goes by monotonic time, and follows the wall clock at once where that differs by
/// no more than `time.max_future`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenClock {
    /// How long a larger step of the wall clock must stand until it is followed, `0s` to `1d`.
    pub confirm: String,
    /// What happens where the wall clock stands more than `time.max_future` behind the last epoch, because it was ahead
    /// before: `anew` makes the state anew from the input that is there, with the right clock; `refuse` ends the job.
    pub rewind: Rewind,
}

impl Default for WrittenClock {
    fn default() -> Self {
        Self {
            confirm: "5m".into(),
            rewind: Rewind::Anew,
        }
    }
}

/// How a job goes on after an earlier run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenRecovery {
    /// Whether every epoch that is replayed must give, bit for bit, what it gave before; if it does not, the job ends before
    /// it publishes anything. Otherwise that is a warning and a metric.
    pub verify: bool,
}

impl Default for WrittenRecovery {
    fn default() -> Self {
        Self { verify: true }
    }
}
