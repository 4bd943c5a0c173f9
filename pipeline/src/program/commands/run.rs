//! `riskflow run`.

pub(super) mod news;
mod reload;
mod supervisor;
mod watch;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::channel;

use anyhow::{Context as _, Result, bail};
use riskflow::runtime::clock::wall_clock;
use riskflow::runtime::cluster::{self, Home};
use riskflow::runtime::http::{Explain, Question, Server, Times, WayIn};
use riskflow::runtime::job::{self, Handles};
use riskflow::runtime::metrics::Done;
use riskflow::runtime::recovery::is_definite;
use riskflow_config::{Clock, Guarantee, HttpSettings, Input, Output, Settings, TopicSettings};
use riskflow_connectors::open_append;
use riskflow_model::topic::Topic;

use self::news::News;
use self::reload::Reloads;
use self::supervisor::Supervisor;
use super::refused::Refused;
use super::reload::listen;
use super::signals::{Hangup, stop_job};
use super::{checkpoint, configuration, explain, tail};
use crate::program::cli::RunArguments;
use crate::program::limits;
use crate::program::terminal::{log_by, tell};
use crate::runtime::version::COMMIT;

/// Runs the job until its input ends or it is told to stop.
pub fn run(arguments: &RunArguments) -> Result<ExitCode> {
    // First of all: whoever is asked to stop ends well, however early that is.
    let handles = Handles::new()?;
    let (asks, asked) = channel();
    stop_job(&handles, Hangup::reloads(asks))?;
    let watch = reload::watch(&arguments.config);
    let (written, mut settings) = configuration::load_and_look(&arguments.config)?;
    log_by(&settings.log.filter).map_err(anyhow::Error::msg)?;
    handles.metrics.configuration.read(wall_clock());
    settings.recovery.start_anew = arguments.start_anew;
    // Process 0 tells the others where they begin.
    if let Some(name) = arguments
        .from_checkpoint
        .as_deref()
        .filter(|_| settings.cluster.process == 0)
    {
        settings.recovery.from = Some(checkpoint::named(&settings, name)?);
    }
    if settings.cluster.hosts.len() > 1 {
        cluster::end_with_peers();
    }
    introduce(arguments, &settings);
    limits::check(&settings)?;
    if settings.cluster.process > 0 {
        let home = Home::awaited(&settings.cluster.hosts);
        handles.elsewhere.store(Some(Arc::new(home)));
    }
    let server = settings.http.as_ref().map(|http| serve(http, &settings, &handles));
    // It serves until the job has ended.
    let server = server.transpose()?;
    let supervisor = Supervisor::start(&handles);
    let control = server.as_ref().map(Server::control);
    let reloads = Reloads::new(
        arguments,
        (written, settings.clone()),
        control,
        &handles,
        (supervisor.clone(), watch),
    );
    listen(reloads, asked)?;
    let news = News::start(&handles, &settings, &configuration::again(&arguments.config, &[]), None);
    let metrics = &handles.metrics;
    let prefix = &settings.output_topics.prefix;
    if let Some(otlp) = &settings.tracing
        && let Err(error) = metrics.spans.start(otlp, prefix, &metrics.span_counts)
    {
        tracing::error!("spans are not sent, and the job goes on without: {error:#}");
    }
    let ended = job::run(&settings, &handles, None);
    metrics.spans.end();
    supervisor.ends();
    news.end(ended.is_ok());
    ended?;
    match handles.elsewhere.load().as_ref() {
        // Its epochs are those of the process with the tables.
        Some(_) => tracing::info!("job ended"),
        None => tracing::info!(epoch = %handles.views.load().epoch, "job ended"),
    }
    let from_files = matches!(settings.input, Input::Files(_));
    if from_files || settings.clock != Clock::Live {
        sum_up(&handles);
        if from_files {
            mostly_used(&handles, &settings, arguments)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Says what is about to run: which version, with which settings, from where to where.
fn introduce(arguments: &RunArguments, settings: &Settings) {
    let TopicSettings { prefix, .. } = &settings.topics;
    let (inputs, outputs) = (
        settings.capabilities.inputs().count(),
        settings.capabilities.outputs().count(),
    );
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        commit = COMMIT,
        configuration = configuration::described(&arguments.config),
        "riskflow starts"
    );
    let input = configuration::place(&settings.input);
    let output = match &settings.output {
        Output::Log(folder) => format!("the embedded log in {}", folder.display()),
        Output::Kafka(kafka) => format!("Kafka at {}", kafka.brokers),
        Output::Files(files) => format!("{} files in {}", files.format.name(), files.folder.display()),
    };
    // Files promise no more, whatever is set.
    let guarantee = if matches!(settings.output, Output::Files(_)) {
        Guarantee::AtLeastOnce
    } else {
        settings.guarantee
    };
    let checkpoints = if is_definite(settings) {
        &settings.checkpoint.path
    } else {
        "none: a job on files begins anew each time"
    };
    let topics = format!(
        "{inputs} inputs {prefix}base.* and {prefix}in.*, {outputs} outputs {prefix}out.*; read outputs with \
         isolation.level=read_committed"
    );
    tracing::info!(input, output, topics, guarantee = guarantee.name(), "input and output");
    tracing::info!(
        workers = settings.cluster.workers.get(),
        processes = settings.cluster.hosts.len().max(1),
        clock = settings.clock.name(),
        checkpoints,
        "job starts"
    );
}

/// Says on standard error what became of an input that has an end: standard output may be the output.
pub fn sum_up(handles: &Handles) {
    let whole = handles.whole();
    let done: &Done = &whole.done;
    let mut lines = String::new();
    for (what, counts) in [
        ("records", &done.records),
        ("dead letters", &done.dead_letters),
        ("events of warnings", &done.deltas),
    ] {
        let by: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
        let by = if by.is_empty() {
            String::new()
        } else {
            format!(": {}", by.join(", "))
        };
        lines += &format!("{} {what}{by}\n", total(counts));
    }
    lines += &format!("{} rules and {} limits were in force\n", whole.rules, whole.limits);
    let waiting = whole.waiting;
    if waiting > 0 {
        lines += &format!(
            "{waiting} observations were waiting for the row of their datastream (`unknown.hold`) when the input ended: they are in \
             no output\n"
        );
    }
    tell(lines.trim_end());
}

/// Whether most of the records of files could be used.
///
/// # Errors
///
/// When they could not.
fn mostly_used(handles: &Handles, settings: &Settings, arguments: &RunArguments) -> Result<()> {
    let refused = Refused::of(handles, settings);
    if refused.is_most() {
        let again = configuration::again(&arguments.config, &[]);
        let why = tail::read_with(settings, ("out.deadletter", &again), Topic::DEAD_LETTER);
        let cure = refused.cure(settings, "--set input.clock=event_time");
        bail!("{}: {why} says why of each; {cure}", refused.said());
    }
    Ok(())
}

/// How many in all.
pub fn total(counts: &[(&str, u64)]) -> u64 {
    counts.iter().map(|(_, count)| count).sum()
}

fn serve(http: &HttpSettings, settings: &Settings, handles: &Handles) -> Result<Server> {
    let way_in = |topic: Topic| {
        let open = || open_append(&settings.input, &settings.topics, topic);
        // The other processes of a cluster pass actions on.
        let takes = http.actions.is_some() && settings.cluster.process == 0;
        let way_in = takes.then(open).transpose();
        way_in.with_context(|| format!("could not open the way in, `{topic}`"))
    };
    let (to, rule_sets) = (way_in(Topic::IN_ACTION)?, way_in(Topic::IN_RULESET)?);
    let times = Times {
        horizon: settings.case.horizon,
        max_future: settings.time.max_future,
    };
    let way_in = to.map(|to| WayIn { to, rule_sets, times });
    let with = settings.clone();
    let explain: Explain =
        Arc::new(move |question: &Question, waits: &dyn Fn() -> bool| explain::over_http(&with, question, waits));
    let server = Server::start(http, &settings.capabilities, handles.clone(), way_in, Some(explain));
    let server = server.context("could not serve HTTP")?;
    let scheme = if http.tls.is_some() { "https" } else { "http" };
    handles.served.get_or_init(|| format!("{scheme}://{}", server.address));
    tracing::info!(
        address = %server.address,
        tls = http.tls.is_some(),
        actions = http.actions.is_some(),
        tokens_to_read = http.reading.is_some(),
        "serving HTTP"
    );
    Ok(server)
}
