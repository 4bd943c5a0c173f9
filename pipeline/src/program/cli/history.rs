//! What looks at a history: replays, back-tests, explanations.

use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args, ValueEnum};
use riskflow_model::topic::{Direction, Topic};
use riskflow_model::{Duration, Level, Millis, duration};

use super::{ConfigArguments, CopyArguments};

/// What the help of `explain` says at its end.
pub(super) const EXPLAIN_EXAMPLES: &str = "Examples:
  riskflow explain f630a1c2                        why it was raised, all that changed since, and how it stands
  riskflow explain f630a1c2 --as-of 09:00          the same as it was told by nine
  riskflow explain weir-3 --at 08:30               what each rule said of weir-3 at half past eight, and why not more
  riskflow explain weir-3 --at 08:30 --as-of 09:00 the same by what was known at nine
  riskflow explain weir-3 --at 2h --rule rain --json
  riskflow explain --at 08:30 --as-of 09:00 --within 330902
                                                   what was known at nine of the warnings of half past eight in a county";

/// What the help of `backtest` says at its end.
pub(super) const BACKTEST_EXAMPLE: &str = "Example: the rain pack against a stricter file, over a year of files, beside the floods of that year:\n\n  \
     riskflow backtest --rules rain-strict.json --against rain --truth floods.csv --html report.html history/\n\n\
     and how many millimetres in 12 hours would have been best:\n\n  \
     riskflow backtest --rules rain --sweep rain.blue=40..60/2 --truth floods.csv history/\n\n\
     Exit codes: 0 done; 1 failed, also where most records of the history were refused; 2 wrong usage, rules, events or configuration; \
     3 topics are missing; 130 ended by ctrl-c before it was done.";

/// What to replay, and where to.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("to").args(["out", "to_log", "prefix"]).required(true))]
pub struct ReplayArguments {
    /// Files of the history in the place of the configured input: named as `riskflow import` names them (`observations.csv.gz`,
    /// `TOPIC=FILE`, a folder); several are merged by time.
    #[arg(value_name = "FILE|FOLDER")]
    pub files: Vec<PathBuf>,
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArguments,
    /// Write files, one a topic, into this folder; `-` for standard output, as NDJSON.
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
    /// How the files are written.
    #[arg(long, value_name = "FORMAT", default_value = "ndjson", conflicts_with_all = ["to_log", "prefix"])]
    pub format: ReplayFormat,
    /// Write an embedded log in this folder, with checkpoints beside it in `FOLDER-checkpoints`.
    #[arg(long, value_name = "FOLDER")]
    pub to_log: Option<PathBuf>,
    /// Write to Kafka, to topics with this prefix, such as `exercise.`; they are made where they are not there. Files go there once: where
    /// anything was written before, they are refused.
    #[arg(long, value_name = "PREFIX")]
    pub prefix: Option<String>,
    /// With `--prefix`: the folder or bucket of the replay's checkpoints; `PREFIX-checkpoints` by default.
    // Not `requires`: that is not asked for where another place is given, for it is one or the other.
    #[arg(long, value_name = "PLACE", conflicts_with_all = ["out", "to_log"])]
    pub checkpoints: Option<String>,
    /// With `--prefix`: write there even if a live job writes to these topics. All of it is marked as an exercise, and whoever reads them
    /// without looking at the mark takes it for live: rows of tables take the place of live ones. Nothing is kept to go on from.
    #[arg(long, conflicts_with_all = ["out", "to_log", "checkpoints"])]
    pub force: bool,
    /// Close the very epochs that the configured job closed, as its `out.epoch` has them, and compare what each gives. Otherwise epochs
    /// lie on the grid of `epoch.replay_tick`.
    #[arg(long, conflicts_with_all = ["rules", "clock"])]
    pub as_ran: bool,
    /// With `--as-ran`: exit with 1 if an epoch gives something else than it gave when it ran.
    #[arg(long, requires = "as_ran", conflicts_with_all = ["rules", "clock"])]
    pub verify: bool,
    /// Begin with the state of this checkpoint of the configured job, by its name or epoch (`riskflow checkpoint list`), and not with the
    /// retained input: of that only what follows must be there. The tables as they are then come first.
    #[arg(long, value_name = "NAME|EPOCH", conflicts_with_all = ["files", "rules", "clock"])]
    pub from_checkpoint: Option<String>,
    /// Begin a partition with this offset, and not with its first record; what comes before it is not evaluated. May be repeated; other
    /// partitions are read from their beginning.
    #[arg(long, value_name = "TOPIC/PARTITION=N", value_parser = offset, conflicts_with_all = ["files", "as_ran", "from_checkpoint"])]
    pub from_offset: Vec<PartitionOffset>,
    /// End a partition before this offset. May be repeated; other partitions are read to their end.
    #[arg(long, value_name = "TOPIC/PARTITION=N", value_parser = offset, conflicts_with_all = ["files", "as_ran"])]
    pub until_offset: Vec<PartitionOffset>,
    /// Write from this time on; what came before is evaluated, and the tables as they are then come first.
    #[arg(long, value_name = "TIME")]
    pub from: Option<Millis>,
    /// End with this time; by default with the last record.
    #[arg(long, value_name = "TIME")]
    pub until: Option<Millis>,
    /// At most so many times as fast as the history was, such as 1 or 100; by default as fast as the machine can.
    #[arg(long, value_name = "TIMES", value_parser = speed)]
    pub speed: Option<f64>,
    /// When a record is taken: when it arrived, as recorded, or at its own time. By default `arrival`, and `event-time` for files that
    /// are no envelopes.
    #[arg(long, value_name = "CLOCK")]
    pub clock: Option<ReplayClock>,
    /// With files, by the times in them: a record may stand so far behind a later one and is still taken in order; one further back counts
    /// as late data, and the summary tells how many. By default `time.horizon`.
    #[arg(long, value_name = "DURATION", value_parser = length)]
    pub disorder: Option<Duration>,
    /// Rules in the place of those of the history: packs, files or folders, as for `riskflow rules load`.
    #[arg(long, num_args = 1.., value_name = "PACK|FILE|FOLDER")]
    pub rules: Vec<String>,
    /// How much is copied of what can be read only once.
    #[command(flatten)]
    pub copies: CopyArguments,
    /// Print the summary as JSON.
    #[arg(long)]
    pub json: bool,
}

/// How a replay writes files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReplayFormat {
    /// One record a line.
    Ndjson,
    /// Tables with a header.
    Csv,
    /// The same tables as Apache Parquet.
    Parquet,
}

impl From<ReplayFormat> for riskflow_config::OutputFormat {
    fn from(format: ReplayFormat) -> Self {
        match format {
            ReplayFormat::Ndjson => Self::Ndjson,
            ReplayFormat::Csv => Self::Csv,
            ReplayFormat::Parquet => Self::Parquet,
        }
    }
}

/// When a replay takes a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReplayClock {
    /// When it arrived; one that does not say so at its own time.
    Arrival,
    /// At its own time; base data and rules come first.
    EventTime,
}

impl From<ReplayClock> for riskflow_config::Clock {
    fn from(clock: ReplayClock) -> Self {
        match clock {
            ReplayClock::Arrival => Self::Arrival,
            ReplayClock::EventTime => Self::EventTime,
        }
    }
}

/// An offset of a partition of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionOffset {
    pub topic: Topic,
    pub partition: u16,
    pub offset: u64,
}

fn offset(text: &str) -> Result<PartitionOffset, String> {
    let read = |text: &str| {
        let (place, offset) = text.rsplit_once('=')?;
        let (topic, partition) = place.rsplit_once('/')?;
        Some(PartitionOffset {
            topic: Topic::from_name(topic).filter(|topic| topic.direction() == Direction::In)?,
            partition: partition.parse().ok()?,
            offset: offset.parse().ok()?,
        })
    };
    read(text).ok_or_else(|| {
        "give TOPIC/PARTITION=N, such as `in.observation/0=1200`: a topic that riskflow reads, without prefix"
            .to_owned()
    })
}

fn length(text: &str) -> Result<Duration, String> {
    duration::parse(text).map(Duration)
}

fn speed(text: &str) -> Result<f64, String> {
    let give = || "give a number from 0.001 to 1000000".to_owned();
    let speed: f64 = text.trim_start_matches(['x', '×']).parse().map_err(|_| give())?;
    (0.001..=1_000_000.0).contains(&speed).then_some(speed).ok_or_else(give)
}

/// Which rules, over which history, and what is told.
#[derive(Debug, Args)]
pub struct BacktestArguments {
    /// The new rules: a pack by its name (`riskflow rules list`), a file (JSON, NDJSON, CSV, Parquet), or a folder of files. May be repeated.
    #[arg(long, value_name = "PACK|FILE|FOLDER", required = true)]
    pub rules: Vec<String>,
    /// The old rules, which they are compared with, given in the same way. Without it the rules of the history that have the
    /// identifiers of the new ones, as they are at its end.
    #[arg(long, value_name = "PACK|FILE|FOLDER")]
    pub against: Vec<String>,
    /// The history: files, or folders of them, named as for `riskflow import`; the configured input by default.
    #[arg(value_name = "FILE|FOLDER")]
    pub files: Vec<PathBuf>,
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArguments,
    /// What happened: CSV with the columns `place` (code of a region, or an asset), `from`, `to`, and if need be `level` and `domain`.
    #[arg(long, value_name = "FILE")]
    pub truth: Option<PathBuf>,
    /// Another threshold for a level of a new rule with one comparison, in the rule's unit: each value from FROM to TO. May be
    /// repeated: then each with each, up to 64.
    #[arg(long, value_name = "RULE.LEVEL=FROM..TO/STEP")]
    pub sweep: Vec<String>,
    /// Judge and count from this time on; what came before is read all the same, for it may matter later.
    #[arg(long, value_name = "TIME")]
    pub from: Option<Millis>,
    /// End at this time.
    #[arg(long, value_name = "TIME")]
    pub until: Option<Millis>,
    /// What the clock follows: when records arrived, or the times in them. By default `event-time` for files that do not say when
    /// their records arrived, else `arrival`.
    #[arg(long, value_name = "CLOCK")]
    pub clock: Option<ReplayClock>,
    /// How much is copied of what can be read only once.
    #[command(flatten)]
    pub copies: CopyArguments,
    /// A warning counts for an event if it came so long before it, or later.
    #[arg(long, value_name = "DURATION", default_value = "12h")]
    pub max_lead: String,
    /// Warnings of this level and higher are judged; of an event that says one, of that level.
    #[arg(long, value_name = "LEVEL", default_value = "blue", value_parser = warning_level())]
    pub level: Level,
    /// The datastream or asset whose series the report shows; that with the most differences by default.
    #[arg(long, value_name = "ID")]
    pub station: Option<String>,
    /// Write the whole report as JSON; `-` for standard output, in the place of the table.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the report as one page for people, in Chinese and English; `-` for standard output, in the place of the table.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// The levels that warn.
fn warning_level() -> impl TypedValueParser<Value = Level> {
    let names = Level::WARNING.map(|level| PossibleValue::new(level.name()));
    PossibleValuesParser::new(names).try_map(|name| Level::from_name(&name).ok_or("no level"))
}

/// What is to be explained.
#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// The identifier of a warning, or how it begins: 8 characters or more. With `--at` that of an asset; without one, `--at` asks which
    /// warnings were open, by what was told of them.
    #[arg(value_name = "WARNING|ASSET", required_unless_present = "at")]
    pub what: Option<String>,
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArguments,
    /// What the rules said of the asset at this time, or which warnings were open: RFC 3339, a time of the city such as `08:30` (of today) or `2026-11-27 08:30`, or
    /// how long ago, such as `2h`.
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// By what was known then: only what was told, or had arrived, by this time. Without it, of a warning all that was told; of an
    /// asset all that arrived within `time.horizon` after `--at`, for later nothing is taken that could change it.
    #[arg(long, value_name = "TIME")]
    pub as_of: Option<String>,
    /// Only warnings in this region and within: the code of a city, a county, a town …, or the name that it alone has.
    #[arg(long, requires = "at", conflicts_with = "what", value_name = "REGION")]
    pub within: Option<String>,
    /// Only this rule; it need not watch the asset.
    #[arg(long, requires = "at", value_name = "RULE")]
    pub rule: Option<String>,
    /// The rules that watch nothing of the asset, too: one line each, with the reason.
    #[arg(long, requires = "at", requires = "what")]
    pub all_rules: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}
