//! The command line, defined once: help, parsing and defaults all come from here.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use riskflow_model::Millis;
use riskflow_model::action::Verb;

/// The exit code for a configuration that cannot be used (as for wrong usage).
pub const EXIT_CONFIGURATION: u8 = 2;

/// The exit code for topics or checkpoints that are not what they should be.
pub const EXIT_DIFFERS: u8 = 3;

/// Incremental, explainable risk monitoring and early warning for a city.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 topics or checkpoints are not what they should be.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 110)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How to log.
    #[command(flatten)]
    pub log: LogArguments,
}

/// How to log; logs go to standard error.
#[derive(Debug, Args)]
pub struct LogArguments {
    /// What to log, as a `tracing` filter such as `info` or `riskflow=debug,warn`.
    #[arg(
        long,
        global = true,
        env = "RISKFLOW_LOG",
        default_value = "info",
        value_name = "FILTER"
    )]
    pub log: String,
    /// How to write logs.
    #[arg(
        long,
        global = true,
        env = "RISKFLOW_LOG_FORMAT",
        default_value = "text",
        value_name = "FORMAT"
    )]
    pub log_format: LogFormat,
}

/// How to write logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line each, for people.
    Text,
    /// One JSON object each, for machines.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the whole job on a simulated city in a typhoon: generate, run, summarize.
    Demo(DemoArguments),
    /// Run the job, until its input ends or it is told to stop (SIGTERM, ctrl-c).
    Run(RunArguments),
    /// Generate a simulated city and a storm, or real weather, as input.
    Generate(GenerateArguments),
    /// Check a configuration, or rules and what they meet, and say everything that is wrong.
    ///
    /// Without `--rules`, `--base` and `--live` the configuration is checked, and printed with its defaults. With any of them, rows of input
    /// tables are read as the job reads them: what would be refused, which datastreams each rule watches, and what does not fit together.
    /// Exit code 0: nothing would be refused, and all fits; 2: something is wrong.
    Check(CheckArguments),
    /// Print the JSON Schema of a topic's records, of rules, or of the configuration.
    Schema(SchemaArguments),
    /// List, check or create the topics that the job needs.
    Topics(TopicsArguments),
    /// List, verify, prune or adopt the checkpoints of a job.
    Checkpoint(CheckpointArguments),
    /// Print the records of a topic, or warnings, cases and notices for people.
    ///
    /// `warnings`, `cases` and `notices` are lines for people: one event each, by epoch, with levels in colour on a terminal (unless
    /// `NO_COLOR` is set) and the names of regions from `base.region`. Any other topic is printed as it is.
    Tail(TailArguments),
    /// Say what was done about a warning: append an action to `in.action`.
    ///
    /// Ends when the action is durable. Whether the step is in order the job decides: `riskflow tail cases -f` shows it.
    Act(Box<ActArguments>),
}

/// Where the configuration is.
#[derive(Clone, Debug, Args)]
pub struct ConfigArguments {
    /// The configuration; without one, `riskflow.toml` if it is there, else defaults.
    #[arg(short, long, global = true, env = "RISKFLOW_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Sets one field over the file, such as `--set epoch.tick=10ms`; may be repeated.
    #[arg(long = "set", global = true, value_name = "FIELD=VALUE")]
    pub overrides: Vec<String>,
}

/// What to check.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("read").args(["rules", "base", "live"]).multiple(true))]
pub struct CheckArguments {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArguments,
    /// Check these rules and limits: files (JSON, NDJSON, CSV) or folders of them. They stand over those of `--base` and `--live`.
    #[arg(long, num_args = 1.., value_name = "FILE|FOLDER")]
    pub rules: Vec<PathBuf>,
    /// The rows that they are to meet: files named after their topic (`base.asset.ndjson`, `assets.csv`), or `TOPIC=FILE`, or folders
    /// of such files as `riskflow generate --out` writes them.
    #[arg(long, num_args = 1.., value_name = "FILE|FOLDER")]
    pub base: Vec<PathBuf>,
    /// Read the input tables of the configured input, up to where they end now: what this version would refuse of them, before an
    /// upgrade to it.
    #[arg(long)]
    pub live: bool,
    /// Print one JSON object.
    #[arg(long, requires = "read")]
    pub json: bool,
}

/// How to run.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArguments,
    /// Where the input that a recovery needs is gone: leave checkpoints and progress aside, read what input there is, and
    /// publish how the tables then differ. Warnings that rest on what is gone are withdrawn.
    #[arg(long)]
    pub start_anew: bool,
}

/// How large the demo is.
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// Datastreams of the city, 1,000 to 1,000,000.
    #[arg(long, default_value_t = 2_000, value_name = "N")]
    pub datastreams: usize,
    /// Worker threads.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub workers: usize,
    /// The seed of everything that is drawn by lot.
    #[arg(long, default_value_t = 2106, value_name = "SEED")]
    pub seed: u64,
    /// Hours of storm; the default covers the landfall.
    #[arg(long, default_value_t = 36, value_name = "HOURS", value_parser = clap::value_parser!(u32).range(1..=96))]
    pub hours: u32,
    /// The folder for the embedded log, replaced by each demo; a temporary one by default.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where HTTP listens.
    #[arg(long, default_value = "127.0.0.1:9464", value_name = "ADDRESS")]
    pub http: SocketAddr,
    /// End with the storm; do not go on serving HTTP.
    #[arg(long)]
    pub once: bool,
    /// Print the final summary as JSON, and nothing else, on standard output.
    #[arg(long)]
    pub json: bool,
}

/// What to generate, and where to.
#[derive(Debug, Args)]
pub struct GenerateArguments {
    /// What to generate.
    #[arg(value_enum, default_value = "storm")]
    pub what: Scenario,
    /// The embedded log to write to.
    #[arg(long, value_name = "DIR", conflicts_with = "out")]
    pub to_log: Option<PathBuf>,
    /// The folder for one NDJSON file a topic; `-` for envelopes on standard output.
    #[arg(long, value_name = "DIR", required_unless_present = "to_log")]
    pub out: Option<PathBuf>,
    /// Partitions of each topic of the embedded log.
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub partitions: u16,
    /// Datastreams of the city, 1,000 to 1,000,000.
    #[arg(long, default_value_t = 2_000, value_name = "N")]
    pub datastreams: usize,
    /// The seed of everything that is drawn by lot.
    #[arg(long, default_value_t = 2106, value_name = "SEED")]
    pub seed: u64,
    /// Hours of storm.
    #[arg(long, default_value_t = 36, value_name = "HOURS", value_parser = clap::value_parser!(u32).range(1..=96))]
    pub hours: u32,
}

/// What can be generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Base records and rules of the simulated city, and a storm after typhoon In-Fa (2106).
    Storm,
    /// Base records and rules only.
    City,
    /// Real hourly weather of two stations in 2013, with their base records and the rules.
    Weather,
}

/// Whose schema.
#[derive(Debug, Args)]
pub struct SchemaArguments {
    /// A topic such as `out.warning.delta`, or `config`; without one, the names that there are.
    pub name: Option<String>,
    /// Write all of them into this folder, as `<name>.schema.json`.
    #[arg(long, value_name = "DIR", conflicts_with = "name")]
    pub out: Option<PathBuf>,
}

/// What to do with topics.
#[derive(Debug, Args)]
pub struct TopicsArguments {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArguments,
    /// Create what is missing.
    #[arg(long)]
    pub create: bool,
    /// Exit with code 3 if anything is missing or differs.
    #[arg(long)]
    pub check: bool,
    /// Give up what is committed in an embedded log's output and is lost or damaged, and print what that is. Offsets stay; a
    /// damaged file is kept beside, as `*.damaged`. A table is filled again by one start with `recovery.verify=false`.
    #[arg(long, conflicts_with_all = ["create", "check"])]
    pub accept_loss: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// What to do with checkpoints.
#[derive(Debug, Args)]
pub struct CheckpointArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: CheckpointCommand,
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArguments,
    /// Print JSON, one object a line.
    #[arg(long, global = true)]
    pub json: bool,
}

/// What to do with checkpoints.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum CheckpointCommand {
    /// Print those that are there, the newest first.
    List,
    /// Read every byte of all of them; exit with code 3 if any is not what was written.
    Verify,
    /// Delete all but the newest. `out.progress` must reach back to the oldest that is left: it does for those that a job
    /// keeps by itself.
    Prune {
        /// How many to keep; `checkpoint.keep` by default.
        #[arg(long, value_name = "N")]
        keep: Option<usize>,
    },
    /// Make all of them those of this job: after its log was put together anew, or its Kafka cluster is another one with the same
    /// records at the same offsets. Never for the checkpoints of another job.
    Adopt,
}

/// Which records to print.
#[derive(Debug, Args)]
pub struct TailArguments {
    /// `warnings`, `cases`, `notices`, or a topic without prefix, such as `out.warning.delta`.
    #[arg(value_name = "WHAT")]
    pub topic: String,
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArguments,
    /// Go on with what comes, until stopped.
    #[arg(short, long)]
    pub follow: bool,
    /// Print envelopes, one JSON object a line, that the job can read back.
    #[arg(long)]
    pub json: bool,
    /// Stop after so many records.
    #[arg(short = 'n', long, value_name = "N")]
    pub limit: Option<usize>,
}

/// What was done, about which warning, and by whom.
#[derive(Debug, Args)]
pub struct ActArguments {
    /// The identifier of the warning or incident.
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
    /// Print JSON: `{"id", "partition", "offset"}`.
    #[arg(long)]
    pub json: bool,
}

/// The verbs, and their other names.
fn verb() -> impl TypedValueParser<Value = Verb> {
    let names = Verb::ALL.map(|verb| PossibleValue::new(verb.name()).aliases(verb.aliases()));
    PossibleValuesParser::new(names).try_map(|name| Verb::from_name(&name).ok_or("no verb"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Arguments::command().debug_assert();
    }
}
