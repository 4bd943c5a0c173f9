//! Settings as checked: whoever holds a [`Settings`] need not ask whether a number makes sense.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::num::NonZeroUsize;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use riskflow_model::topic::Topic;
use riskflow_model::{Duration, Level, Millis};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Secret;

mod bridge;
mod case;
mod http;
mod pace;
mod place;
mod replay;

pub use bridge::{AlertmanagerSettings, Begin, BridgeSettings, Endpoint, SendSettings, SigningKey, WebhookSettings};
pub use case::{CaseSettings, FlappingSettings};
pub(crate) use http::CONNECTIONS;
pub use http::{ActionSettings, HttpSettings, ReaderSettings, ReadingSettings, TlsSettings, TokenSettings};
pub use pace::{Clock, ClockSettings, EpochSettings, Quiet, Rewind};
pub use place::{
    FileFormat, FileInput, FilesOutput, Input, KafkaSettings, Output, OutputFormat, RegistryCredentials,
    RegistrySettings, Tidy, TopicSettings,
};
pub use replay::{Disorder, ReplaySettings};

/// Everything that the job needs to know. Made by [`crate::WrittenSettings::check`].
#[derive(Clone, Debug)]
pub struct Settings {
    /// Threads, processes and hosts.
    pub cluster: ClusterSettings,
    /// How epochs are cut.
    pub epoch: EpochSettings,
    /// Horizons of event time.
    pub time: TimeSettings,
    /// What becomes of observations whose datastream is not known.
    pub unknown: UnknownSettings,
    /// What stands in `out.unmatched`.
    pub unmatched: UnmatchedSettings,
    /// How a score becomes a level.
    pub cuts: ScoreCuts,
    /// Deadlines and bounds of cases.
    pub case: CaseSettings,
    /// The time that people in the city go by.
    pub zone: TimeZone,
    /// Its special days.
    pub days: CityDays,
    /// Which parts are on.
    pub capabilities: Capabilities,
    /// Names and partitions of topics.
    pub topics: TopicSettings,
    /// The same of the output: those of `topics`, but in a replay that writes elsewhere.
    pub output_topics: TopicSettings,
    /// Where records come from.
    pub input: Input,
    /// What the clock follows.
    pub clock: Clock,
    /// Where a replay ends: at this time; without, at the first epoch at or after the last arrival.
    pub until: Option<Millis>,
    /// How the job's clock follows the wall clock.
    pub job_clock: ClockSettings,
    /// Where records go.
    pub output: Output,
    /// Where schemas of topics on Kafka are registered, if anywhere.
    pub schema_registry: Option<RegistrySettings>,
    /// What a commit promises.
    pub guarantee: Guarantee,
    /// Where and how often state is kept.
    pub checkpoint: CheckpointSettings,
    /// How a job goes on after an earlier run.
    pub recovery: RecoverySettings,
    /// What HTTP serves and where; `None` for nowhere.
    pub http: Option<HttpSettings>,
    /// What `riskflow bridge` sends, and where.
    pub bridge: BridgeSettings,
    /// What is logged.
    pub log: LogSettings,
    /// Whether a running job reads its configuration again when a file of it changed.
    pub watch: bool,
    /// Where spans go, if anywhere.
    pub tracing: Option<TracingSettings>,
    /// Topics that are read from these files in place of the input; rows of tables belong to the first epoch. Offsets of these topics are
    /// those of the files: a run that goes on must be given the same ones.
    pub instead: Vec<FileInput>,
    /// What a replay does otherwise.
    pub replay: ReplaySettings,
}

/// Days of a city that are not as their weekday says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CityDays {
    /// On these people do not work, and rules may ask for them.
    pub holidays: BTreeSet<Date>,
    /// On these they do, though they are at a weekend or on a holiday.
    pub workdays: BTreeSet<Date>,
}

/// Which parts of riskflow are on ([`riskflow_model::capability`]): all, but for some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    off: BTreeSet<&'static str>,
}

impl Capabilities {
    /// All but these.
    pub fn without(off: impl IntoIterator<Item = &'static str>) -> Self {
        Self {
            off: off.into_iter().collect(),
        }
    }

    /// Whether one is on.
    #[must_use]
    pub fn is_on(&self, name: &str) -> bool {
        !self.off.contains(name)
    }

    /// Those that are off.
    pub fn off(&self) -> impl Iterator<Item = &'static str> {
        self.off.iter().copied()
    }

    /// Whether a topic is needed.
    #[must_use]
    pub fn need(&self, topic: Topic) -> bool {
        topic.capability().is_none_or(|name| self.is_on(name))
    }

    /// Why a topic is not needed: which switch is off, in words. `None`: it is needed.
    #[must_use]
    pub fn off_of(&self, topic: Topic) -> Option<String> {
        let name = topic.capability().filter(|name| !self.is_on(name))?;
        Some(format!(
            "`{topic}` belongs to a part that is off (`capabilities.{name} = false`)"
        ))
    }

    /// The topics that are read, in the order in which they are applied.
    pub fn inputs(&self) -> impl Iterator<Item = Topic> {
        Topic::inputs().filter(|topic| self.need(*topic))
    }

    /// The topics that are written.
    pub fn outputs(&self) -> impl Iterator<Item = Topic> {
        Topic::outputs().filter(|topic| self.need(*topic))
    }
}

/// Threads, processes and hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSettings {
    /// Worker threads in each process.
    pub workers: NonZeroUsize,
    /// This process's position in `hosts`.
    pub process: usize,
    /// `host:port` of every process; empty for one process.
    pub hosts: Vec<String>,
    /// Where this process listens for the others, where that is not its own in `hosts`.
    pub listen: Option<SocketAddr>,
    /// What only the processes of the cluster know.
    pub secret: Option<Secret>,
}

/// Horizons of event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeSettings {
    /// Observations may be added, replaced and taken back this far behind the clock.
    pub horizon: Duration,
    /// Observations may be this far ahead of the clock.
    pub max_future: Duration,
    /// From here on an observation counts as late, and an event that was over.
    pub late_after: Duration,
    /// The least length of series kept behind the horizon, for rules that come later.
    pub retain: Duration,
    /// Forecasts may have been issued this far behind the clock.
    pub forecast_age: Duration,
    /// Events may have been over for so long, and are known for so long after their end.
    pub event_age: Duration,
    /// Events may begin this far ahead of the clock.
    pub event_ahead: Duration,
}

/// What becomes of observations whose datastream is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownSettings {
    /// How long they wait for a `base.datastream` record.
    pub hold: Duration,
    /// How many may wait, over all workers.
    pub max_observations: usize,
    /// How many bytes they may take, over all workers.
    pub max_bytes: usize,
}

/// When what meets nothing stands in `out.unmatched`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnmatchedSettings {
    /// After so long without what it should meet.
    pub after: Duration,
}

impl Default for UnmatchedSettings {
    fn default() -> Self {
        Self {
            after: Duration(600_000),
        }
    }
}

/// How a score (inherent level times dynamic level, 0 to 16) becomes a level: the highest whose cut it reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScoreCuts {
    /// The least scores of blue, yellow, orange and red, rising.
    pub least: [u8; 4],
}

impl ScoreCuts {
    /// The level of a score.
    #[must_use]
    pub fn level(&self, score: u8) -> Level {
        let reached = self.least.iter().filter(|least| score >= **least).count();
        Level::ALL[reached]
    }
}

impl Default for ScoreCuts {
    fn default() -> Self {
        Self { least: [1, 4, 8, 12] }
    }
}

/// What a commit promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Guarantee {
    /// All records of an epoch become visible together with its progress, once, whatever crashes. Not for files.
    ExactlyOnce,
    /// On Kafka without transactions: a crash may repeat records of the last epochs, and show a part of one.
    AtLeastOnce,
}

impl Guarantee {
    /// As in `riskflow.toml`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ExactlyOnce => "exactly_once",
            Self::AtLeastOnce => "at_least_once",
        }
    }
}

/// Where and how often state is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointSettings {
    /// A folder, or the URL of a bucket with a prefix.
    pub path: String,
    /// From the end of one to the beginning of the next.
    pub interval: std::time::Duration,
    /// How many are kept, beside those that have a name.
    pub keep: usize,
    /// How long a stop waits at most for one of its last epoch; 0: none is taken.
    pub at_stop: std::time::Duration,
}

/// How a job goes on after an earlier run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoverySettings {
    /// Whether an epoch that is replayed must give what it gave before; otherwise a difference is a warning.
    pub verify: bool,
    /// Whether to begin with what input there is where the offsets that a recovery needs are gone.
    pub start_anew: bool,
    /// The epoch of the checkpoint to go back to, whichever is the newest; those behind it are deleted.
    pub from: Option<Millis>,
}

/// What is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// A `tracing` filter, where the command line has none.
    pub filter: String,
}

/// Where spans of slow epochs and checkpoints go: a collector that takes OTLP over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracingSettings {
    /// The URL that takes spans.
    pub endpoint: String,
    /// What took so long or longer is slow.
    pub slow: std::time::Duration,
    /// Headers of the requests.
    pub headers: BTreeMap<String, Secret>,
}
