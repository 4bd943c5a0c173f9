//! What people bring in: files, and what they did about warnings.

use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use riskflow_model::Millis;
use riskflow_model::action::Verb;

use super::ConfigArguments;

/// What to import, and how its columns are called.
#[derive(Debug, Args)]
pub struct ImportArguments {
    /// Files, or folders of them. What a file holds is told by `--topic`, by `TOPIC=FILE`, or by its name: `base.asset.csv`,
    /// `assets.csv.gz`, `rain.parquet`, `observations.ndjson`. `-` is standard input.
    #[arg(value_name = "FILE|FOLDER", required = true)]
    pub files: Vec<PathBuf>,
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArguments,
    /// The topic of all records, such as `in.observation`.
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,
    /// How the files are written; by default as their names tell, and lines that look like envelopes are some.
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<ImportFormat>,
    /// A column that has another name than its field, such as `sensor_id=datastream`; `COLUMN=` leaves one out. May be repeated. With a
    /// file before it, `rain.csv:mm=result`, it is of that file alone.
    #[arg(long = "map", value_name = "[FILE:]COLUMN=FIELD")]
    pub map: Vec<String>,
    /// A field that is the same in all rows, such as `category=rain_gauge`; may be repeated.
    #[arg(long = "value", value_name = "FIELD=VALUE")]
    pub values: Vec<String>,
    /// The offset of times that are written without one, such as `+08:00`.
    #[arg(long, value_name = "OFFSET", allow_hyphen_values = true)]
    pub utc_offset: Option<String>,
    /// The unit of times that are numbers.
    #[arg(long, value_name = "UNIT")]
    pub time_unit: Option<TimeUnit>,
    /// A TOML file with any of the above: `topic`, `format`, `utc_offset`, `time_unit`, and tables `[map]` and `[values]`.
    #[arg(long, value_name = "FILE")]
    pub mapping: Option<PathBuf>,
    /// When the records arrived. By default records of logs when they were made, rows of tables before these, or now if nothing
    /// else is imported; a job that works off a history takes them in that order.
    #[arg(long, value_name = "TIME")]
    pub arrival: Option<Millis>,
    /// Where rows that are refused go, one JSON object a line; written beside and put in the place of an older one at the end, if there are any.
    #[arg(long, value_name = "FILE", default_value = "import-rejects.ndjson")]
    pub rejects: PathBuf,
    /// How much is copied of what can be read only once.
    #[command(flatten)]
    pub copies: CopyArguments,
    /// Import nothing; say what would be done.
    #[arg(long)]
    pub dry_run: bool,
    /// Print the summary as JSON.
    #[arg(long)]
    pub json: bool,
}

/// How much is copied of what can be read only once.
#[derive(Clone, Copy, Debug, Args)]
pub struct CopyArguments {
    /// At most so many MiB are copied of standard input or a pipe, which is read before anything is done with it. The copies lie in the
    /// folder that TMPDIR names (`/tmp`), and leave a twentieth of its disk free.
    #[arg(long, value_name = "MIB", default_value_t = 16 << 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub copy_limit: u64,
}

/// How a file to be imported is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportFormat {
    /// One row a line, the first names the columns.
    Csv,
    /// Apache Parquet.
    Parquet,
    /// One JSON object a line.
    Ndjson,
    /// One record a line: `{"topic", "key", "value", "arrival"}`, as `riskflow tail --json` prints.
    Envelope,
}

/// The unit of times that are numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeUnit {
    /// Seconds since 1970.
    S,
    /// Milliseconds since 1970.
    Ms,
}

/// What was done, about which warning, and by whom.
#[derive(Debug, Args)]
pub struct ActArguments {
    /// The identifier of the warning or incident, or how it begins: 8 characters or more.
    pub warning: String,
    /// What was done.
    #[arg(value_parser = verb())]
    pub verb: Verb,
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArguments,
    /// Who did it; the login name by default.
    #[arg(long, env = "RISKFLOW_ACTOR", value_name = "NAME")]
    pub actor: Option<String>,
    /// In which role; `acknowledge` counts for the duties of this role.
    #[arg(long, env = "RISKFLOW_ROLE", default_value = "", value_name = "ROLE")]
    pub role: String,
    /// In which unit; without one, `acknowledge` counts for any.
    #[arg(long, env = "RISKFLOW_UNIT", value_name = "UNIT")]
    pub unit: Option<String>,
    /// In words; needed for `comment`, `reject`, `escalate`, and `archive` with `--override`.
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub text: String,
    /// Of `report`: which task of the plan is done.
    #[arg(long, value_name = "TASK")]
    pub task: Option<String>,
    /// Of `assign`: to whom.
    #[arg(long, value_name = "NAME")]
    pub assignee: Option<String>,
    /// Of `attach`: where the evidence is.
    #[arg(long, value_name = "URL")]
    pub evidence: Option<String>,
    /// Of `suppress`: up to when nobody is told; RFC 3339, or from now on such as `2h`.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// When it was done, RFC 3339 with an offset; now by default.
    #[arg(long, value_name = "TIME")]
    pub time: Option<Millis>,
    /// Of `archive`: although not everything for it is there; `--text` says why.
    #[arg(long = "override")]
    pub although: bool,
    /// The identifier of the action; one that comes again changes nothing. A random one by default.
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// Append it though the output of the job tells of no such warning yet: the identifier must be whole.
    #[arg(long)]
    pub unchecked: bool,
    /// Wait for what becomes of it, so long at most (30s): exit code 0 if it counts, 4 if it is refused, 5 if no job says.
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "30s", require_equals = true)]
    pub wait: Option<String>,
    /// Print JSON: `{"id", "partition", "offset"}`, with `--wait` also `outcome` and the event.
    #[arg(long)]
    pub json: bool,
}

/// The verbs, and their other names.
fn verb() -> impl TypedValueParser<Value = Verb> {
    let names = Verb::ALL.map(|verb| PossibleValue::new(verb.name()).aliases(verb.aliases()));
    PossibleValuesParser::new(names).try_map(|name| Verb::from_name(&name).ok_or("no verb"))
}
