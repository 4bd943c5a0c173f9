//! Settings as written in `riskflow.toml`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use riskflow_model::Problems;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use crate::settings::{Clock, FileInput, Guarantee, Quiet, Rewind, ScoreCuts, Settings};
use crate::written_case::WrittenCase;
use crate::written_http::WrittenHttp;
use crate::{WrittenSecret, read};

/// `riskflow.toml`: every field has a default, so that an empty file is a job on the embedded log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenSettings {
    /// The version of this format: 1.
    pub version: u32,
    /// Threads, processes and hosts.
    pub cluster: WrittenCluster,
    /// The city that it serves.
    pub city: WrittenCity,
    /// Which parts of riskflow are on.
    pub capabilities: WrittenCapabilities,
    /// How epochs are cut.
    pub epoch: WrittenEpoch,
    /// How the job's clock follows the wall clock.
    pub clock: WrittenClock,
    /// Horizons of event time.
    pub time: WrittenTime,
    /// What becomes of observations whose datastream is not known.
    pub unknown: WrittenUnknown,
    /// What stands in `out.unmatched`.
    pub unmatched: WrittenUnmatched,
    /// How a score becomes a level.
    pub risk: WrittenRisk,
    /// Deadlines and bounds of cases.
    pub case: WrittenCase,
    /// Names and partitions of topics.
    pub topics: WrittenTopics,
    /// Where records come from.
    pub input: WrittenInput,
    /// Where records go.
    pub output: WrittenOutput,
    /// How Kafka is reached, where input or output is `kafka`.
    pub kafka: WrittenKafka,
    /// Where and how often state is kept.
    pub checkpoint: WrittenCheckpoint,
    /// How a job goes on after an earlier run.
    pub recovery: WrittenRecovery,
    /// Metrics, health, JSON views, and the way in for actions.
    pub http: WrittenHttp,
}

/// Which parts of riskflow are on. One that is off needs no topics and costs nothing; its tables in the output become empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenCapabilities {
    /// The closed loop: cases, duties, notices, response times, incidents, actions.
    pub cases: bool,
    /// Work under permit, its limits, and maintenance windows.
    pub permits: bool,
    /// Reports of towns and streets, and their totals.
    pub reports: bool,
}

impl Default for WrittenCapabilities {
    fn default() -> Self {
        Self {
            cases: true,
            permits: true,
            reports: true,
        }
    }
}

/// The city that it serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenCity {
    /// The time that people there go by, as a name of the IANA time zone database: the sentences of notices are in it.
    pub timezone: String,
}

impl Default for WrittenCity {
    fn default() -> Self {
        Self {
            timezone: "Asia/Shanghai".into(),
        }
    }
}

/// Threads, processes and hosts. All processes of a cluster have the same settings but for `process`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenCluster {
    /// Worker threads in each process, 1 to 256. More than there are cores makes all of them slower.
    pub workers: usize,
    /// This process's position in `hosts`, from 0.
    pub process: usize,
    /// `host:port` of every process, in the same order everywhere; empty for one process.
    pub hosts: Vec<String>,
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
    /// How many epochs may be under way at once, 1 to 64.
    pub in_flight: usize,
    /// Live, an epoch closes after so long even where nothing happens, `tick` to `1m`: readers see that the clock goes on.
    pub heartbeat: String,
    /// What becomes of epochs in which nothing happens: `skip` passes over them, `close` closes each, at the length of
    /// `tick` or `replay_tick`. The answers are the same; this is for comparing.
    pub quiet: Quiet,
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

/// Horizons of event time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenTime {
    /// Observations may be added, replaced and taken back this far behind the clock, `1s` to `7d`; older ones are dead
    /// letters (`too_late`). Memory grows with it.
    pub horizon: String,
    /// Observations may be this far ahead of the clock, up to `1d`; others are dead letters (`in_future`).
    pub max_future: String,
    /// From here on an observation counts as late, up to the horizon.
    pub late_after: String,
    /// The least length of series kept behind the horizon, so that a rule that comes later finds some history, up to
    /// `31d`. Windows of present rules are kept in any case.
    pub retain: String,
}

/// What becomes of observations whose datastream is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenUnknown {
    /// How long they wait for a `base.datastream` record, up to `1d`; then they are dead letters.
    pub hold: String,
    /// How many may wait, over all workers, up to 100,000,000.
    pub max_observations: usize,
    /// How many bytes they may take, over all workers, up to 1 TiB: about 100 each, and what of an identifier is beyond 24.
    pub max_bytes: usize,
}

/// What stands in `out.unmatched`: what meets nothing, and pairs of records that are wrong together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenUnmatched {
    /// After it was so for so long, up to `7d`: while tables are loaded a row may come before the one that it belongs to.
    pub after: String,
}

/// How a score becomes a level.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenRisk {
    /// The least score (inherent level times dynamic level, 1 to 16) of each level; rising.
    pub cuts: WrittenCuts,
}

/// The least score of each level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenCuts {
    /// Of blue.
    pub blue: u8,
    /// Of yellow.
    pub yellow: u8,
    /// Of orange.
    pub orange: u8,
    /// Of red.
    pub red: u8,
}

/// Names and partitions of topics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenTopics {
    /// Stands before every topic's name, such as `zhoushan.`.
    pub prefix: String,
    /// How many partitions a topic gets when riskflow creates it, 1 to 10,000. More than workers, so that all have some.
    pub partitions: u16,
    /// How many replicas a topic gets when riskflow creates it on Kafka.
    pub replication: u16,
    /// How long output topics that are no tables (steps of warnings, dead letters) keep their records at least.
    pub retention: String,
    /// How long an embedded log as input keeps observations and actions, and longer while a recovery may ask for them; its
    /// tables are compacted. `0s`: nothing goes.
    pub input_retention: String,
}

/// Where records come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenInput {
    /// `log`, `kafka` or `files`.
    pub kind: Kind,
    /// What the clock follows: `live`, `arrival` or `event_time`.
    pub clock: Clock,
    /// Where a replay ends (`arrival` and `event_time`): a time in RFC 3339; empty: with the last record. What falls due after
    /// the last record, such as the end of a window, is evaluated up to there.
    pub until: String,
    /// The folder of the embedded log.
    pub path: PathBuf,
    /// History files, where `kind` is `files`.
    pub files: Vec<FileInput>,
}

/// Where records go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenOutput {
    /// `log`, `kafka` or `files`.
    pub kind: Kind,
    /// The folder of the embedded log, or for files; `-` for standard output.
    pub path: PathBuf,
    /// `exactly_once`, or `at_least_once` (Kafka without transactions: cheaper, repeats after a crash). Files are always the
    /// latter.
    pub guarantee: Guarantee,
}

/// Where and how often state is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenCheckpoint {
    /// A folder, or the URL of a bucket and prefix such as `s3://bucket/riskflow` (credentials and endpoint from the
    /// environment: `AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT`, …). All processes of a cluster must see it.
    pub path: String,
    /// From the end of one checkpoint to the beginning of the next, `100ms` to `1d`. A recovery replays at most so much.
    pub interval: String,
    /// How many are kept, 1 to 100: the newest, and those before it in case that it is damaged.
    pub keep: usize,
}

/// How a job goes on after an earlier run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenRecovery {
    /// Whether every epoch that is replayed must give, bit for bit, what it gave before; if it does not, the job ends before
    /// it publishes anything. Otherwise that is a warning and a metric.
    pub verify: bool,
}

/// The three kinds of connectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A folder of append-only partitions; nothing has to be installed.
    Log,
    /// Apache Kafka, or what speaks its protocol.
    Kafka,
    /// NDJSON and CSV.
    Files,
}

/// How Kafka is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenKafka {
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// Settings of librdkafka, passed through: `security.protocol`, `ssl.ca.location`, `sasl.mechanism`, …. Passwords may stand
    /// elsewhere: `"sasl.password" = { file = "/run/secrets/kafka" }`, or `{ env = "KAFKA_PASSWORD" }`.
    #[serde(serialize_with = "harmless")]
    pub properties: BTreeMap<String, WrittenSecret>,
}

/// Of the properties shows those that are known to be no secrets.
fn harmless<S: Serializer>(properties: &BTreeMap<String, WrittenSecret>, serializer: S) -> Result<S::Ok, S::Error> {
    struct Shown<'a>(&'a WrittenSecret, bool);
    impl Serialize for Shown<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.0.shown(serializer, self.1)
        }
    }
    let shown = properties.iter();
    serializer.collect_map(shown.map(|(name, value)| (name, Shown(value, is_harmless(name)))))
}

/// Whether a property of librdkafka is known to be no secret: one that is misspelt may be one.
fn is_harmless(property: &str) -> bool {
    const KINDS: [&str; 9] = [
        ".ms",
        ".bytes",
        ".kbytes",
        ".messages",
        ".location",
        ".protocol",
        ".mechanism",
        ".mechanisms",
        ".type",
    ];
    const NAMES: [&str; 10] = [
        "acks",
        "client.id",
        "client.rack",
        "compression.codec",
        "debug",
        "enable.ssl.certificate.verification",
        "partitioner",
        "retries",
        "sasl.username",
        "ssl.endpoint.identification.algorithm",
    ];
    NAMES.contains(&property) || KINDS.iter().any(|kind| property.ends_with(kind))
}

impl Default for WrittenSettings {
    fn default() -> Self {
        Self {
            version: 1,
            cluster: WrittenCluster::default(),
            epoch: WrittenEpoch::default(),
            clock: WrittenClock::default(),
            time: WrittenTime::default(),
            unknown: WrittenUnknown::default(),
            unmatched: WrittenUnmatched::default(),
            risk: WrittenRisk::default(),
            case: WrittenCase::default(),
            city: WrittenCity::default(),
            capabilities: WrittenCapabilities::default(),
            topics: WrittenTopics::default(),
            input: WrittenInput::default(),
            output: WrittenOutput::default(),
            kafka: WrittenKafka::default(),
            checkpoint: WrittenCheckpoint::default(),
            recovery: WrittenRecovery::default(),
            http: WrittenHttp::default(),
        }
    }
}

impl Default for WrittenCluster {
    fn default() -> Self {
        Self {
            workers: 1,
            process: 0,
            hosts: Vec::new(),
        }
    }
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

impl Default for WrittenClock {
    fn default() -> Self {
        Self {
            confirm: "5m".into(),
            rewind: Rewind::Anew,
        }
    }
}

impl Default for WrittenTime {
    fn default() -> Self {
        Self {
            horizon: "10m".into(),
            max_future: "1m".into(),
            late_after: "1m".into(),
            retain: "1h".into(),
        }
    }
}

impl Default for WrittenUnknown {
    fn default() -> Self {
        Self {
            hold: "10m".into(),
            max_observations: 1_000_000,
            max_bytes: 256 << 20,
        }
    }
}

impl Default for WrittenUnmatched {
    fn default() -> Self {
        Self { after: "10m".into() }
    }
}

impl Default for WrittenCuts {
    fn default() -> Self {
        let [blue, yellow, orange, red] = ScoreCuts::default().least;
        Self {
            blue,
            yellow,
            orange,
            red,
        }
    }
}

impl Default for WrittenTopics {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            partitions: 4,
            replication: 1,
            retention: "7d".into(),
            input_retention: "7d".into(),
        }
    }
}

impl Default for WrittenInput {
    fn default() -> Self {
        Self {
            kind: Kind::Log,
            clock: Clock::Live,
            until: String::new(),
            path: "data/log".into(),
            files: Vec::new(),
        }
    }
}

impl Default for WrittenOutput {
    fn default() -> Self {
        Self {
            kind: Kind::Log,
            path: "data/log".into(),
            guarantee: Guarantee::ExactlyOnce,
        }
    }
}

impl Default for WrittenCheckpoint {
    fn default() -> Self {
        Self {
            path: "data/checkpoints".into(),
            interval: "1m".into(),
            keep: 3,
        }
    }
}

impl Default for WrittenRecovery {
    fn default() -> Self {
        Self { verify: true }
    }
}

impl WrittenSettings {
    /// Parses the text of a configuration.
    ///
    /// # Errors
    ///
    /// When it is no TOML, or has fields that do not exist or values of another type: all of them, with lines; no secret is quoted.
    pub fn from_toml(text: &str) -> Result<Self, Problems> {
        let (table, mut problems) = read::table(text, "riskflow.toml");
        let (written, wrong) = read::settings(table, Some(text));
        problems.add_new(wrong);
        problems.none_or(Some(written))
    }

    /// The same of TOML that was put together, and has no lines.
    ///
    /// # Errors
    ///
    /// When there are fields that do not exist, or values of another type: all of them.
    pub fn from_table(table: toml::Table) -> Result<Self, Problems> {
        let (written, problems) = read::settings(table, None);
        problems.none_or(Some(written))
    }

    /// Reads and checks a configuration: the text of a file, then fields that stand over it, such as `epoch.tick` and `10ms`.
    ///
    /// # Errors
    ///
    /// Everything wrong with it, at once; what belongs to no field stands under the name of the file.
    pub fn load(text: &str, file: &str, overrides: &[String]) -> Result<(Self, Settings), Problems> {
        let (mut table, mut problems) = read::table(text, file);
        // What is wrong with the file is told by its lines, before anything is put over it.
        problems.add_new(read::settings_of(&mut table, Some(text)).1);
        read::put_over(&mut table, overrides, &mut problems);
        let (written, wrong) = read::settings_of(&mut table, None);
        problems.add_new(wrong);
        match written.check() {
            Ok(settings) => problems.none_or(Some((written, settings))),
            Err(wrong) => {
                problems.add_new(wrong);
                Err(problems)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Input;

    #[test]
    fn an_empty_file_is_a_job_on_the_embedded_log() {
        let settings = WrittenSettings::from_toml("").unwrap().check().unwrap();
        assert_eq!(settings.input, Input::Log("data/log".into()));
        assert_eq!(settings.time.horizon, 600_000);
    }

    #[test]
    fn all_problems_come_at_once() {
        let text = r#"
            version = 2
            cluster.workers = 0
            epoch.tick = "1h"
            time.horizon = "soon"
            risk.cuts = { blue = 5, yellow = 4 }
            topics.prefix = "a b"
            input = { kind = "kafka" }
            http.listen = "localhost"
        "#;
        let problems = WrittenSettings::from_toml(text).unwrap().check().unwrap_err();
        let fields: Vec<&str> = problems.iter().map(|p| p.field.as_str()).collect();
        let expected = [
            "version",
            "cluster.workers",
            "epoch.tick",
            "time.horizon",
            "risk.cuts",
            "topics.prefix",
            "kafka.brokers",
            "http.listen",
        ];
        for field in expected {
            assert!(fields.contains(&field), "{field} is missing from {fields:?}");
        }
        assert!(
            problems
                .to_string()
                .contains("`epoch.tick` is `1h`; give a duration from 1ms to 10s")
        );
    }

    #[test]
    fn unknown_fields_are_refused_by_name() {
        let error = WrittenSettings::from_toml("[epoch]\ntik = \"1s\"")
            .unwrap_err()
            .to_string();
        assert!(error.contains("tik"), "{error}");
    }
}
