//! Where things are read, written and kept: `[topics]`, `[input]`, `[output]`, `[kafka]`, `[checkpoint]`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use super::WrittenSchemaRegistry;
use crate::WrittenSecret;
use crate::settings::{Clock, FileInput, Guarantee, OutputFormat};

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
    /// How long an embedded log as input keeps observations, forecasts and actions, and longer while a recovery may ask for them; its
    /// tables are compacted. `0s`: nothing goes.
    pub input_retention: String,
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

/// Where records go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenOutput {
    /// `log`, `kafka` or `files`.
    pub kind: Kind,
    /// The folder of the embedded log, or for files; `-` for standard output, `/dev/null` for nowhere.
    pub path: PathBuf,
    /// How files are written, one a topic: `ndjson`, `csv` or `parquet`.
    pub format: OutputFormat,
    /// `exactly_once`, or `at_least_once` (Kafka without transactions: cheaper, repeats after a crash). Files are always the
    /// latter.
    pub guarantee: Guarantee,
}

impl Default for WrittenOutput {
    fn default() -> Self {
        Self {
            kind: Kind::Log,
            path: "data/log".into(),
            format: OutputFormat::Ndjson,
            guarantee: Guarantee::ExactlyOnce,
        }
    }
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
    /// How many are kept, 1 to 100: the newest, and those before it in case that it is damaged. Those that have a name
    /// (`riskflow checkpoint pin`) are kept beside them.
    pub keep: usize,
    /// How long a stop waits at most until a checkpoint of its last epoch is whole, up to `20s`, so that the next start has nothing to
    /// replay; `0s`: none is taken.
    pub at_stop: String,
}

impl Default for WrittenCheckpoint {
    fn default() -> Self {
        Self {
            path: "data/checkpoints".into(),
            interval: "1m".into(),
            keep: 3,
            at_stop: "10s".into(),
        }
    }
}

/// The three kinds of connectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A folder of append-only partitions; nothing has to be installed.
    Log,
    /// Apache Kafka, or what speaks its protocol.
    Kafka,
    /// NDJSON, CSV and Parquet.
    Files,
}

/// How Kafka is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenKafka {
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// Whether a live job commits offsets of its input in the consumer group `<topics.prefix>riskflow`, so that Kafka's own tools show its
    /// lag. It never reads them.
    pub group_offsets: bool,
    /// Settings of librdkafka, passed through: `security.protocol`, `ssl.ca.location`, `sasl.mechanism`, …. Passwords may stand
    /// elsewhere: `"sasl.password" = { file = "/run/secrets/kafka" }`, or `{ env = "KAFKA_PASSWORD" }`.
    #[serde(serialize_with = "harmless")]
    pub properties: BTreeMap<String, WrittenSecret>,
    /// Where `riskflow topics --create` registers the schemas of topics, if anywhere.
    pub schema_registry: WrittenSchemaRegistry,
}

impl Default for WrittenKafka {
    fn default() -> Self {
        Self {
            brokers: String::new(),
            group_offsets: true,
            properties: BTreeMap::new(),
            schema_registry: WrittenSchemaRegistry::default(),
        }
    }
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
