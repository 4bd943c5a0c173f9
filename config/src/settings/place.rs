//! Where records come from and go to: embedded logs, Kafka with its schema registry, files; and how topics are called there.

use std::collections::BTreeMap;
use std::path::PathBuf;

use riskflow_model::topic::Topic;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Secret;

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

impl TopicSettings {
    /// The name of a topic on the broker or in the log folder.
    #[must_use]
    pub fn name(&self, topic: Topic) -> String {
        format!("{}{}", self.prefix, topic.name())
    }
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
