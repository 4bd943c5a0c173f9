//! The command line, defined once: help, parsing and defaults all come from here.

mod bridge;
mod checkpoint;
mod doctor;
mod documents;
mod history;
mod intake;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};

use crate::runtime::version::LONG as LONG_VERSION;
use bridge::BRIDGE_EXAMPLE;
pub use bridge::BridgeArguments;
pub use checkpoint::{CheckpointArguments, CheckpointCommand, TakeArguments};
pub use doctor::DoctorArguments;
use doctor::EXAMPLE as DOCTOR_EXAMPLE;
use documents::{COMPLETIONS_EXAMPLE, MAN_EXAMPLE};
pub use documents::{CompletionsArguments, ManArguments};
use history::{BACKTEST_EXAMPLE, EXPLAIN_EXAMPLES};
pub use history::{BacktestArguments, ExplainArguments, PartitionOffset, ReplayArguments, ReplayClock};
pub use intake::{ActArguments, CopyArguments, ImportArguments, ImportFormat, TimeUnit};

/// The exit code for a configuration that cannot be used (as for wrong usage).
pub const EXIT_CONFIGURATION: u8 = 2;

/// The exit code for topics or checkpoints that are not what they should be, and for what `doctor` finds.
pub const EXIT_DIFFERS: u8 = 3;

/// The exit code where something that was asked for was refused, and the rest is done.
pub const EXIT_REFUSED: u8 = 4;

/// The exit code where nothing was known in time.
pub const EXIT_NO_ANSWER: u8 = 5;

/// The exit code of what was ended by ctrl-c before it was done.
pub const EXIT_INTERRUPTED: u8 = 130;

/// What every help says at its end.
const EXIT_CODES: &str = "Exit codes: 0 done; 1 failed (`health`: not live); 2 wrong usage or configuration; 3 topics are missing or differ, checkpoints are \
     not what they should be, or `doctor` found something to mend; 4 something was refused (`act --wait`: the action; `promote --wait`: another set is live; `import`: some rows; \
     `topics --create`: schemas); 5 no outcome in time (`act --wait`, `promote --wait`, `checkpoint take`); 130 ended by ctrl-c before it was done. Beyond `check`, a file or history of which most records are refused is a failure: 1.";

/// Incremental, explainable risk monitoring and early warning for a city.
#[derive(Debug, Parser)]
#[command(
    version,
    long_version = LONG_VERSION.as_str(),
    propagate_version = true,
    max_term_width = 110,
    after_help = EXIT_CODES
)]
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
    /// What to log, as a `tracing` filter such as `info` or `riskflow=debug,warn`; without, a running job goes by `log.filter` of its
    /// configuration, and everything else by `info`.
    #[arg(long, global = true, env = "RISKFLOW_LOG", value_name = "FILTER")]
    pub log: Option<String>,
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
    ///
    /// SIGHUP reads the configuration once more: tokens, certificate, names, the number of connections and the log's filter change while
    /// the job runs; what needs a restart is named in the log, and a configuration that cannot be used changes nothing.
    ///
    /// Without a rule nothing ever warns: `riskflow rules load` loads the packs. A replay of files ends with a summary, and with exit code
    /// 1 if most of the records were refused.
    #[command(after_help = EXIT_CODES)]
    Run(RunArguments),
    /// Send notices to a webhook, and alerts to Alertmanager, until it is told to stop (SIGTERM, ctrl-c).
    ///
    /// Reads committed records of `out.notice` beside the job, from where it stood: each notice goes to the webhook at least once, in order
    /// and signed, with the same identifier whenever it is sent again; Alertmanager gets an alert of each case that stands, and is told when
    /// it is over. Nothing that an exercise wrote is sent. docs/bridge.md says how it is set up.
    ///
    /// SIGHUP reads the configuration once more: places, secrets and times of `[bridge]` change while it runs.
    #[command(after_help = format!("{BRIDGE_EXAMPLE}\n\n{EXIT_CODES}"))]
    Bridge(BridgeArguments),
    /// Run a history once more, to somewhere else: from the configured log or Kafka, or from files.
    ///
    /// What comes of it is an exercise: it goes to files, to a log of its own or to topics with another prefix, every record is marked, and
    /// live topics are never written to. The same history gives the same bytes at any speed, on any number of workers, and after any crash:
    /// on a log or Kafka the same command goes on where it stood, files are written anew. It begins with the retained input.
    ///
    /// Example: `riskflow replay --from 2024-07-24T00:00:00+08:00 --until 2024-07-26T00:00:00+08:00 --rules new/ --out exercise`
    #[command(after_help = EXIT_CODES)]
    Replay(ReplayArguments),
    /// List the packs of rules that come with riskflow, load packs or rules of your own, or run tests of rules.
    #[command(after_help = EXIT_CODES)]
    Rules(RulesArguments),
    /// Import files (CSV, Parquet, NDJSON, envelopes; plain, gzip, Zstandard; `-`) into the embedded log or Kafka.
    ///
    /// Everything is checked first. Rows that would be refused go to a file with line, reason and cure, and the others are imported, in the
    /// order of their times; if most would be refused nothing is. Importing the same again changes nothing.
    #[command(after_help = EXIT_CODES)]
    Import(ImportArguments),
    /// Generate a simulated city and a storm, or real weather, as input.
    Generate(GenerateArguments),
    /// Show what rules would have done over a history: beside other rules, and beside what happened.
    ///
    /// Reads the configured input up to where it ends now, or files, and runs new and old rules over it at once, in this process. Nothing is
    /// written but the reports that are asked for. Prints a table; `--html` is a page for people, `--json` has everything.
    #[command(after_help = BACKTEST_EXAMPLE)]
    Backtest(Box<BacktestArguments>),
    /// Check a configuration, or rules and what they meet, and say everything that is wrong.
    ///
    /// Without `--rules`, `--base` and `--live` the configuration is checked, with the files that it names and the properties of Kafka, and
    /// printed with its defaults; brokers are not asked (`riskflow topics --check` does). With any of them, rows of input
    /// tables are read as the job reads them: what would be refused, which datastreams each rule watches, and what does not fit together.
    /// Exit code 0: nothing would be refused, and all fits; 2: something is wrong.
    #[command(after_help = EXIT_CODES)]
    Check(CheckArguments),
    /// Look at everything that a job needs of this machine and of its brokers, and say what to mend; changes nothing.
    ///
    /// The configuration with all that is wrong with it; whether brokers answer, topics are as they should be, inputs may be read;
    /// clocks; checkpoints; folders and disk; open files; memory; ports. Run it as the user of the job, with its environment. What
    /// nobody can tell without writing is said to be skipped.
    #[command(after_help = format!("{DOCTOR_EXAMPLE}\n\n{EXIT_CODES}"))]
    Doctor(DoctorArguments),
    /// Print the JSON Schema of a topic's records, of the configuration, or of tests of rules; or what describes all topics or all of HTTP.
    ///
    /// `asyncapi` is an AsyncAPI 3.0 document of all topics with keys, headers and examples; `openapi` an OpenAPI 3.1 document of HTTP, as
    /// a running job serves it at `/openapi.json`. What may change in them from version to version: docs/compatibility.md.
    ///
    /// Example: `riskflow schema asyncapi >asyncapi.json`
    #[command(after_help = EXIT_CODES)]
    Schema(SchemaArguments),
    /// Ask a running process how it is: starting, hydrating, catching up, live or stopping.
    ///
    /// Asks `/readyz` of the process that runs with this configuration on this machine, or of the one at `--url`. Exit code 0 only where it
    /// is live; 1: it is not, or nobody answers. So it is what a container's health check runs.
    ///
    /// Example: `riskflow health --config /etc/riskflow/riskflow.toml`, `riskflow health --url http://10.0.0.7:9464 --json`
    #[command(after_help = EXIT_CODES)]
    Health(HealthArguments),
    /// List, check or create the topics that the job needs, and their schemas at a schema registry.
    #[command(after_help = EXIT_CODES)]
    Topics(TopicsArguments),
    /// Take, list, name, verify, prune or adopt the checkpoints of a job.
    #[command(after_help = EXIT_CODES)]
    Checkpoint(CheckpointArguments),
    /// Print the records of a topic, or warnings, cases and notices for people.
    ///
    /// `warnings`, `cases` and `notices` are lines for people: one event each, by epoch, with levels in colour on a terminal (unless
    /// `NO_COLOR` is set) and the names of regions from `base.region`. Any other topic is printed as it is: all records that are there,
    /// or with `-n` the newest.
    ///
    /// Only what is committed is shown. On Kafka every other consumer must ask for that by itself, or it sees records that never counted:
    /// `isolation.level=read_committed`.
    #[command(after_help = EXIT_CODES)]
    Tail(TailArguments),
    /// Say why a warning was raised and what became of it; or what the rules said of an asset at a time, and why not more.
    ///
    /// Of a warning everything that was published is read: why it was raised, every change since with its cause and the values that made
    /// it, its case, and how it stands now. Of an asset (with `--at`) rows, rules and observations are read from the input, and
    /// evaluated as the job does: for each rule each level with its condition, the values against the thresholds and whose these
    /// are, whether it was on, since when, and what it waited for.
    #[command(after_help = format!("{EXPLAIN_EXAMPLES}\n\n{EXIT_CODES}"))]
    Explain(Box<ExplainArguments>),
    /// Say what was done about a warning: append an action to `in.action`.
    ///
    /// Ends when the action is durable. Whether the step is in order the job decides: with `--wait` it says what became of it.
    #[command(after_help = EXIT_CODES)]
    Act(Box<ActArguments>),
    /// Print what a shell needs to complete command lines.
    #[command(after_help = COMPLETIONS_EXAMPLE)]
    Completions(CompletionsArguments),
    /// Print the man page, or write the pages of all commands into a folder.
    #[command(after_help = MAN_EXAMPLE)]
    Man(ManArguments),
}

/// Where the configuration is.
#[derive(Clone, Debug, Args)]
pub struct ConfigArguments {
    /// The configuration; without one, `riskflow.toml` if it is there, else defaults.
    #[arg(short, long, global = true, env = "RISKFLOW_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Sets one field over the file and the environment (`RISKFLOW__EPOCH__TICK=10ms`), such as `--set epoch.tick=10ms`; may be repeated.
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
    /// Check these rules and limits: files (JSON, NDJSON, CSV, Parquet) or folders of them. They stand over those of `--base` and `--live`.
    #[arg(long, num_args = 1.., value_name = "FILE|FOLDER")]
    pub rules: Vec<PathBuf>,
    /// The rows that they are to meet: files named after their topic (`base.asset.ndjson`, `assets.csv`), or `TOPIC=FILE` such as
    /// `base.asset=my.csv` or `assets=my.csv`, or folders of such files as `riskflow generate --out` writes them.
    #[arg(long, num_args = 1.., value_name = "FILE|FOLDER")]
    pub base: Vec<PathBuf>,
    /// Read the input tables of the configured input, up to where they end now: what this version would refuse of them, before an
    /// upgrade to it.
    #[arg(long)]
    pub live: bool,
    /// Print one JSON object; of a configuration `ok`, `problems` (each `field`, `found`, `give`), and where it is ok the configuration
    /// and where each field comes from.
    #[arg(long)]
    pub json: bool,
    /// Exit with 2 where rules may not mean what they say, too: a window shorter than its pane, a comparison that changes nothing, a
    /// level that never stands alone.
    #[arg(long, requires = "read")]
    pub strict: bool,
}

/// How to run.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArguments,
    /// Where the input that a recovery needs is gone: leave checkpoints and progress aside (those with a name lie in the folder `aside` then, the others are deleted), read what input there is, and
    /// publish how the tables then differ. Warnings that rest on what is gone are withdrawn.
    #[arg(long)]
    pub start_anew: bool,
    /// Go back to this checkpoint (its name, or its epoch as `riskflow checkpoint list` prints it), whichever is the newest. What was
    /// committed since is worked off again with the same records, and not published again; how tables then differ is published. Newer
    /// checkpoints are deleted. Once: later starts go on from where this one came.
    #[arg(long, value_name = "CHECKPOINT", conflicts_with = "start_anew")]
    pub from_checkpoint: Option<String>,
}

/// Whom to ask how it is.
#[derive(Debug, Args)]
pub struct HealthArguments {
    /// Where the configuration is: its `http.listen` is asked, on loopback where that is every address.
    #[command(flatten)]
    pub config: ConfigArguments,
    /// Ask here instead, such as `http://10.0.0.7:9464`. A certificate is not checked: no secret is sent, and one word comes back.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Print one JSON object: `url`, `state` (null where nobody answers), `live`, `reason`.
    #[arg(long)]
    pub json: bool,
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
    /// A topic such as `out.warning.delta`, `config`, `rules-test`, `asyncapi` or `openapi`; without one, the names that there are.
    pub name: Option<String>,
    /// Write all of them into this folder: schemas as `<name>.schema.json`, and `asyncapi.json`, `openapi.json`.
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
    /// Exit with code 3 if anything is missing or differs, schemas at a registry included.
    #[arg(long)]
    pub check: bool,
    /// Give up what is committed in an embedded log's output and is lost or damaged, and print what that is. Offsets stay; a
    /// damaged file is kept beside, as `*.damaged`. A table is filled again by one start with `recovery.verify=false`.
    #[arg(long, conflicts_with_all = ["create", "check", "schema_registry"])]
    pub accept_loss: bool,
    /// With `--create` register the schemas of the topics on Kafka at this schema registry, too, else look whether they are; in place of
    /// `kafka.schema_registry.url`, whose user, password, token and certificates count. A URL such as `http://registry:8081`, or
    /// `https://apicurio/apis/ccompat/v7`. What is registered already is left alone; exit code 4 where the registry refuses one.
    #[arg(long, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    pub schema_registry: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
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
    /// Begin with the newest 10 records (or what `-n` and `--since` say), and go on with what comes, until stopped.
    #[arg(short, long)]
    pub follow: bool,
    /// With `warnings`: those that are over, as far as they are remembered (`out.warning.history`): since when, until when, how high,
    /// and whether it was told while it lasted. One line each time that a row changed.
    #[arg(long)]
    pub history: bool,
    /// Print envelopes, one JSON object a line, that the job can read back.
    #[arg(long)]
    pub json: bool,
    /// Only the newest so many records of what is there.
    #[arg(short = 'n', long, value_name = "N")]
    pub limit: Option<usize>,
    /// Only records since then: a time (RFC 3339), or how long ago, such as `2h`. Of outputs the time is that of their epoch.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
}

/// Rules that come with riskflow, and others.
#[derive(Debug, Args)]
pub struct RulesArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: RulesCommand,
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArguments,
    /// Print JSON.
    #[arg(long, global = true)]
    pub json: bool,
}

/// What to do with rules.
#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// List the packs, or the rules of some.
    List {
        /// Packs.
        #[arg(value_name = "PACK")]
        packs: Vec<String>,
    },
    /// Check rules and load them into `in.rule` (limits into `base.limit`): all packs, or those that are named, or files.
    ///
    /// Nothing is loaded if anything is wrong. What is in force already is left alone; so is a row of the same or a higher version that
    /// someone changed, unless `--replace` is given. On an embedded log that is not there yet the input topics are made.
    Load {
        /// Names of packs (`riskflow rules list`), files (JSON, NDJSON, CSV, Parquet) or folders of them; all packs by default.
        #[arg(value_name = "PACK|FILE|FOLDER")]
        what: Vec<String>,
        /// Put these rules in the place of others with the same identifier, whatever their version.
        #[arg(long)]
        replace: bool,
        /// Load nothing; say what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Load the rules as those of this set: `rain` becomes `NAME/rain`. A set that is not live warns nobody.
        #[arg(long, value_name = "NAME")]
        into: Option<String>,
        /// With `--into`: the set has the rules of this one too, but for those of the same name. Its record in `in.ruleset` is replaced.
        #[arg(long, requires = "into", value_name = "SET")]
        base: Option<String>,
        /// With `--into`: the rules of the set see other results, as in `tide_level+0.3`, `rainfall*1.2` or `level*0.98-0.1`; may be
        /// repeated. Where no rules are named none are loaded: the set has those of `--base`. Its record in `in.ruleset` is replaced.
        #[arg(
            long,
            requires = "into",
            value_name = "PROPERTY*FACTOR+NUMBER",
            allow_hyphen_values = true
        )]
        adjust: Vec<String>,
        /// With `--into`: load a set for each threshold from FROM to TO, all of the sweep NAME: `NAME-40`, `NAME-42`. Several sweeps give
        /// each value of one with each of the others (`NAME-40_7`); 64 sets at most. Where no rules are named those of `--base` are swept.
        #[arg(
            long,
            requires = "into",
            conflicts_with = "replace",
            value_name = "RULE.LEVEL=FROM..TO/STEP"
        )]
        sweep: Vec<String>,
    },
    /// List the rule sets: which is live, which are candidates, and what is wrong with one.
    Sets,
    /// Say how a candidate differs from the live set: in its rules, and in what it warns of now.
    ///
    /// Of a sweep: for each of its sets, in the order of the values, in how many rules and assets only the live set warns, only that set,
    /// both of different levels (`level`), or of the same level since another time (`since`).
    Diff {
        /// The candidate, or the sweep.
        #[arg(value_name = "SET|SWEEP")]
        set: String,
    },
    /// Make a set live, with one record in `in.ruleset`. The set that was live stays as a candidate.
    ///
    /// Warnings that both sets have open go on with their identifiers and cases; others are raised, cleared or withdrawn in one epoch.
    /// Promoting the other one is the way back.
    Promote {
        /// The set.
        #[arg(value_name = "SET")]
        set: String,
        /// Change nothing; say what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Promote it, too, where it would have no rules, or something is wrong with it.
        #[arg(long)]
        force: bool,
        /// Wait until a job has taken it and committed what comes of it, so long at most (30s): exit code 0 if the set is live then, 4 if
        /// another one is, 5 if no job says.
        #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "30s", require_equals = true)]
        wait: Option<String>,
    },
    /// Take a set that is not live away, or all sets of a sweep: tombstones under their rules and rows.
    Drop {
        /// The set, or the sweep.
        #[arg(value_name = "SET|SWEEP")]
        set: String,
        /// Change nothing; say what would go.
        #[arg(long)]
        dry_run: bool,
    },
    /// Run tests of rules: small files that say what comes in, and which warnings must come of it.
    ///
    /// Each test runs through the dataflow of the job in memory; no topic is read or written. A file that is wrong is told with every
    /// line, and nothing is run. docs/rule-tests.md explains the files, `riskflow schema rules-test` describes them.
    #[command(after_help = TEST_EXAMPLE)]
    Test {
        /// Files of tests (YAML, JSON), or folders of them.
        #[arg(value_name = "FILE|FOLDER", required = true)]
        files: Vec<PathBuf>,
        /// Run only the tests that have this in their names.
        #[arg(long, value_name = "TEXT")]
        filter: Option<String>,
    },
}

/// What the help of `rules test` says at its end.
const TEST_EXAMPLE: &str = "A file:\n\n  \
     rules: [rain]\n  \
     assets:\n  \
     - { id: gauge, category: rain_gauge, domain: natural_hazard,\n      \
         region: \"330902001001\", inherent_level: 2 }\n  \
     datastreams:\n  \
     - { id: gauge/rain, asset: gauge, observed_property: rainfall, unit: mm }\n  \
     tests:\n  \
     - name: fifty millimetres in three hours are orange\n    \
       series: [{ datastream: gauge/rain, interval: 1h, values: 20 20 10 }]\n    \
       deltas: [{ kind: raised, rule: rain, asset: gauge, level: orange, at: 2h }]\n    \
       expect: [{ at: 1h59m, open: {} }, { at: 2h, open: { rain/gauge: orange } }]\n\n\
     Exit codes: 0 all passed; 1 some failed; 2 files are wrong, or not there, or no test has the text of `--filter`.";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Arguments::command().debug_assert();
    }

    /// The variables of the options of a command, and of those within.
    fn variables(command: &clap::Command, found: &mut BTreeSet<String>) {
        let of_options = command.get_arguments().filter_map(|argument| argument.get_env());
        found.extend(of_options.map(|name| name.to_string_lossy().into_owned()));
        command.get_subcommands().for_each(|command| variables(command, found));
    }

    /// Variables that begin like these and that nothing reads are told of.
    #[test]
    fn the_configuration_knows_the_variables_of_all_options() {
        // Read by `checkpoint take`, without an option.
        let mut found = BTreeSet::from(["RISKFLOW_TOKEN".to_owned()]);
        variables(&super::Arguments::command(), &mut found);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), riskflow_config::OPTION_VARIABLES);
    }
}
