//! Settings as checked: whoever holds a [`Settings`] need not ask whether a number makes sense.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use riskflow_model::output::CaseStep;
use riskflow_model::progress::Offsets;
use riskflow_model::topic::Topic;
use riskflow_model::{Domain, Duration, Level, Millis, RegionCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Secret;

mod bridge;

pub use bridge::{AlertmanagerSettings, Begin, BridgeSettings, Endpoint, SendSettings, SigningKey, WebhookSettings};

/// How many connections may be open at once where nothing is said.
pub(crate) const CONNECTIONS: usize = 256;

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
    /// Topics that are read from these files in place of the input; rows of tables belong to the first epoch.
    pub instead: Vec<FileInput>,
    /// What a replay does otherwise.
    pub replay: ReplaySettings,
}

/// What a replay does otherwise than a job on the same input; by default, nothing.
#[derive(Clone, Debug, Default)]
pub struct ReplaySettings {
    /// The epochs are those that a job closed, as its output there has them in `out.epoch`; else they lie on the grid of
    /// `epoch.replay_tick`.
    pub as_ran: Option<(Output, TopicSettings)>,
    /// What epochs before this give is not published; the tables as they are then are.
    pub from: Option<Millis>,
    /// At most so many times as fast as the history was, above 0; `None`: as fast as the machine allows.
    pub speed: Option<f64>,
    /// It begins with a checkpoint of the job whose history it is: where that keeps them, and the epoch. `None`: with the retained input.
    pub checkpoint: Option<(String, Millis)>,
    /// Partitions that begin with a later record than their first.
    pub from_offsets: Offsets,
    /// Partitions that end before this offset.
    pub until_offsets: BTreeMap<(Topic, u16), u64>,
    /// Files that are taken by the times in them need not be in order; `None`: they are taken as they stand.
    pub disorder: Option<Disorder>,
}

/// How far a file is sorted by the times in it while it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disorder {
    /// A record may stand so far behind a later one, in milliseconds.
    pub within: i64,
    /// So many records of a file are held at most, by each worker that reads it.
    pub most: usize,
}

impl Disorder {
    /// Of so many files: how much is held in all is bounded, some hundred bytes a record.
    #[must_use]
    pub const fn of(within: i64, files: usize) -> Self {
        let files = if files == 0 { 1 } else { files };
        let share = Self::HELD / files;
        Self {
            within,
            most: if share < Self::LEAST { Self::LEAST } else { share },
        }
    }

    /// Of all files together, at most.
    const HELD: usize = 1 << 19;

    /// Of each, however many there are.
    const LEAST: usize = 1 << 10;
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

/// How epochs are cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochSettings {
    /// The shortest epoch while live.
    pub tick: std::time::Duration,
    /// The length of an epoch in a replay, in pipeline time (milliseconds).
    pub replay_tick: i64,
    /// The most records that one worker takes into one live epoch.
    pub max_records: usize,
    /// How many epochs may be under way at once.
    pub in_flight: usize,
    /// Live, an epoch closes after so long even where nothing happens.
    pub heartbeat: std::time::Duration,
    /// What becomes of epochs in which nothing happens.
    pub quiet: Quiet,
}

/// What becomes of epochs that take no record and wake no key. They change nothing, so the answers are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Quiet {
    /// They are passed over.
    Skip,
    /// Each is closed.
    Close,
}

/// How the job's clock follows the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockSettings {
    /// How long a step of the wall clock that is larger than `time.max_future` must stand until it is followed, in
    /// milliseconds.
    pub confirm: i64,
    /// What happens where the wall clock turns out to be behind the epochs.
    pub rewind: Rewind,
}

/// What happens where the wall clock stands more than `time.max_future` behind the last epoch: it was ahead before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rewind {
    /// The state is made anew from the input that is there, with the right clock.
    Anew,
    /// The job ends, and says what can be done.
    Refuse,
}

/// Horizons of event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeSettings {
    /// Observations may be added, replaced and taken back this far behind the clock.
    pub horizon: Duration,
    /// Observations may be this far ahead of the clock.
    pub max_future: Duration,
    /// From here on an observation counts as late.
    pub late_after: Duration,
    /// The least length of series kept behind the horizon, for rules that come later.
    pub retain: Duration,
    /// Forecasts may have been issued this far behind the clock.
    pub forecast_age: Duration,
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

/// Deadlines and bounds of cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaseSettings {
    /// Actions may be this far behind the clock.
    pub horizon: Duration,
    /// How long a case is kept after it was archived.
    pub retain: Duration,
    /// Levels that rise and fall again and again.
    pub flapping: FlappingSettings,
    /// By domain ([`Domain::ALL`]), level ([`Level::WARNING`]) and step ([`CaseStep::ALL`]) how long it may take to get there
    /// from the step before; 0 where there is no deadline. `acknowledged` counts from the issue.
    pub deadlines: [[[Duration; CaseStep::ALL.len()]; 4]; 4],
    /// By domain and level how long after an alarm people are reminded of it, and after each reminder again; 0 where they are not.
    pub remind: [[Duration; 4]; 4],
}

/// What becomes of levels that rise and fall again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlappingSettings {
    /// A warning that begins so long after the end of the one before, or sooner, joins its case.
    pub join: Duration,
    /// A third raise within so long marks a case.
    pub within: Duration,
    /// After so long without a change the mark goes.
    pub calm: Duration,
}

impl CaseSettings {
    /// How long it may take to get to a step in a case of this domain and level; `None` where there is no deadline.
    #[must_use]
    pub fn deadline(&self, domain: Domain, level: Level, step: CaseStep) -> Option<Duration> {
        let level = level.index().checked_sub(1)?;
        let limit = self.deadlines[domain as usize][level][step.index()];
        (limit > Duration::ZERO).then_some(limit)
    }

    /// How long people are left in peace between an alarm and the first reminder, and between two; `None` where there are none.
    #[must_use]
    pub fn remind(&self, domain: Domain, level: Level) -> Option<Duration> {
        let level = level.index().checked_sub(1)?;
        let every = self.remind[domain as usize][level];
        (every > Duration::ZERO).then_some(every)
    }
}

/// Names and partitions of topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSettings {
    /// Stands before every topic's name.
    pub prefix: String,
    /// How many partitions a topic gets when riskflow creates it.
    pub partitions: u16,
    /// How many replicas a topic gets when riskflow creates it on Kafka.
    pub replication: u16,
    /// How long records of output topics that are no tables are kept, in milliseconds.
    pub retention: i64,
    /// What goes of an embedded log.
    pub tidy: Tidy,
    /// Whether what is written is an exercise: every record is marked (a header on Kafka, a field of envelopes), and so is an embedded log.
    pub exercise: bool,
    /// An exercise is written even where a live job writes on Kafka. It keeps nothing there to go on from: that is the live job's.
    pub forced: bool,
}

/// What goes of an embedded log: nothing but by the live clock, for the records of a replay are as old as the history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tidy {
    /// Output logs keep their records for so many milliseconds, and tables their deletions; tables are compacted. `None`: nothing
    /// goes.
    pub outputs: Option<i64>,
    /// Input logs keep their records for so many milliseconds, or longer if a recovery asks for them; the
    /// other inputs are tables, and are compacted. `None`: nothing goes.
    pub inputs: Option<i64>,
}

impl TopicSettings {
    /// The name of a topic on the broker or in the log folder.
    #[must_use]
    pub fn name(&self, topic: Topic) -> String {
        format!("{}{}", self.prefix, topic.name())
    }
}

/// Where records come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// An embedded log in this folder.
    Log(PathBuf),
    /// Kafka.
    Kafka(KafkaSettings),
    /// History files.
    Files(Vec<FileInput>),
}

/// Where records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// An embedded log in this folder.
    Log(PathBuf),
    /// Kafka.
    Kafka(KafkaSettings),
    /// Files.
    Files(FilesOutput),
}

/// Files that are written, one a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesOutput {
    /// Their folder; `-` for all topics on standard output, which is always NDJSON; `/dev/null` for nowhere.
    pub folder: PathBuf,
    /// How they are written.
    pub format: OutputFormat,
}

impl FilesOutput {
    /// The file of a topic.
    #[must_use]
    pub fn file(&self, topic: Topic) -> PathBuf {
        self.folder.join(format!("{topic}.{}", self.format.name()))
    }
}

/// How output files are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutputFormat {
    /// One record a line, as an envelope ([`FileFormat::Envelope`]): nothing is left out, and riskflow reads it again.
    Ndjson,
    /// One record a row, the first row names the columns: `epoch`, `key`, `op` (`put` or `delete`) and the fields of the record, those
    /// of objects with their path (`explanation.rule_version`), lists as JSON. Times are RFC 3339.
    Csv,
    /// The same columns as Apache Parquet, times in milliseconds, UTC. A file is whole once the job has ended; until then its name
    /// ends in `.part`.
    Parquet,
}

impl OutputFormat {
    /// As in `riskflow.toml`, and as names of files end.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
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

impl Clock {
    /// As in `riskflow.toml`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Arrival => "arrival",
            Self::EventTime => "event_time",
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

/// How Kafka is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaSettings {
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// Settings of librdkafka, passed through: TLS, SASL, time-outs. Passwords are among them.
    pub properties: BTreeMap<String, Secret>,
    /// Whether a live job commits offsets of its input in a consumer group, for Kafka's own tools.
    pub group_offsets: bool,
}

/// A schema registry with the REST API of Confluent's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrySettings {
    /// Where its API is: HTTP or HTTPS, without user, query and the `/` at its end.
    pub url: String,
    /// As whom one is there.
    pub credentials: RegistryCredentials,
    /// The certificates that HTTPS rests on, PEM; without, those of the system.
    pub ca_certificate: Option<PathBuf>,
    /// Whether keys are registered, too.
    pub keys: bool,
}

/// As whom one is at a schema registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryCredentials {
    /// As anybody.
    None,
    /// As a user with a password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// As whoever has this token.
    Bearer(Secret),
}

/// What HTTP serves, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSettings {
    /// Where it listens.
    pub address: SocketAddr,
    /// Names that requests may ask for it by, in lower case; besides loopback names and where it listens.
    pub hosts: Vec<String>,
    /// How many connections may be open at once.
    pub max_connections: usize,
    /// With it, HTTPS only.
    pub tls: Option<TlsSettings>,
    /// Who may write actions; `None`: nobody, as if there were no such path.
    pub actions: Option<ActionSettings>,
    /// Who may read; `None`: whoever reaches it.
    pub reading: Option<ReadingSettings>,
    /// Whether operators of the dataflow are watched, and `/debug/dataflow` tells of them.
    pub dataflow: bool,
}

impl HttpSettings {
    /// Plain HTTP at this address, for reading.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self {
            address,
            hosts: Vec::new(),
            max_connections: CONNECTIONS,
            tls: None,
            actions: None,
            reading: None,
            dataflow: false,
        }
    }
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

/// The files of TLS, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Who may write actions over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionSettings {
    /// The tokens; names and hashes differ.
    pub tokens: Vec<TokenSettings>,
}

/// Who may read over HTTP; whoever may write actions reads, too, within the region of its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadingSettings {
    /// The tokens; names and hashes differ, from each other and from those of actions.
    pub tokens: Vec<ReaderSettings>,
    /// Whether metrics need one, too.
    pub metrics: bool,
}

/// A bearer token that only reads.
#[derive(Clone, PartialEq, Eq)]
pub struct ReaderSettings {
    /// Whose it is.
    pub name: String,
    /// The hash of the token.
    pub sha256: [u8; 32],
    /// It sees what lies in this region and within; without one, everything.
    pub region: Option<RegionCode>,
}

/// Without the hash.
impl fmt::Debug for ReaderSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, region, .. } = self;
        write!(f, "token `{name}` (reads {region:?})")
    }
}

/// A bearer token, and what its holder may do.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenSettings {
    /// Whose it is.
    pub name: String,
    /// The hash of the token.
    pub sha256: [u8; 32],
    /// The role of its actions.
    pub role: String,
    /// The unit of its actions, if they are of one.
    pub unit: Option<String>,
    /// It acts on cases in this region and within.
    pub region: RegionCode,
    /// Whether it may archive with `override`.
    pub overrides: bool,
    /// Whether it may say which rule set is live.
    pub promote: bool,
    /// Whether it may ask for checkpoints.
    pub checkpoint: bool,
}

/// Without the hash.
impl fmt::Debug for TokenSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            role,
            unit,
            region,
            overrides,
            promote,
            checkpoint,
            ..
        } = self;
        write!(
            f,
            "token `{name}` ({role}, {unit:?}, {region}, override {overrides}, promote {promote}, checkpoint {checkpoint})"
        )
    }
}

/// A history file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileInput {
    /// The file; `-` for standard input.
    pub path: PathBuf,
    /// The topic that its records belong to, without prefix; not for envelopes, which name it themselves.
    #[serde(default)]
    pub topic: Option<String>,
    /// How it is written; by the file's ending where absent (`.csv`, `.parquet`, else NDJSON), or by its content where that is Parquet.
    #[serde(default)]
    pub format: Option<FileFormat>,
}

/// How a history file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileFormat {
    /// One payload a line.
    Ndjson,
    /// One payload a row; the first row names the fields.
    Csv,
    /// One payload a row of Apache Parquet; the columns are the fields.
    Parquet,
    /// One record a line: `{"topic", "key", "value", "arrival"}`, as the files sink writes and `riskflow tail --json`
    /// prints; a `value` of null deletes.
    Envelope,
}

/// What the clock follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// History by its arrival times first, as fast as the machine allows; then the wall clock, until stopped.
    Live,
    /// History by its recorded arrival times; ends where it ended when the job began. A record without an arrival time
    /// arrives at its phenomenon time.
    Arrival,
    /// History by its phenomenon times, for inputs whose arrival times say nothing (a bulk load); ends with it. Base
    /// records and rules arrive before everything else.
    EventTime,
}
