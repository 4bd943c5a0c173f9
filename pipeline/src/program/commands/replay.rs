//! `riskflow replay`: a history once more, to somewhere else.
//!
//! It is the job of `riskflow run` with other settings: the history's clock, an output of its own that is marked as an exercise,
//! checkpoints of its own, and no HTTP.

mod decided;
mod ending;

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use riskflow::runtime::cluster::{self, Home};
use riskflow::runtime::job::{self, Handles};
use riskflow::runtime::recovery::is_definite;
use riskflow_config::{FileFormat, FileInput, FilesOutput, Input, Output, OutputFormat, Settings};
use riskflow_connectors::topics::{Place, create};
use riskflow_model::binary;
use riskflow_model::duration;
use riskflow_model::topic::Topic;

use self::decided::Decided;
use self::ending::End;
use super::configuration;
use super::history::{Asked, take};
use super::rules;
use super::run::hangup::Hangup;
use super::run::news::News;
use super::run::stop_on_signals;
use crate::program::cli::{EXIT_INTERRUPTED, ReplayArguments};
use crate::program::exit::Usage;
use crate::program::limits;
use crate::program::terminal::{log_by, tell};

/// Runs a history, and says what came of it.
pub fn replay(arguments: &ReplayArguments) -> Result<ExitCode> {
    let handles = Handles::new()?;
    stop_on_signals(&handles, Hangup::Stops)?;
    let (_, mut settings) = configuration::load_and_look(&arguments.config)?;
    log_by(&settings.log.filter).map_err(anyhow::Error::msg)?;
    let asked = Asked {
        files: &arguments.files,
        copy_limit: arguments.copies.copy_limit,
        clock: arguments.clock,
        from: arguments.from,
        until: arguments.until,
    };
    let given = take(&asked, &mut settings)?;
    let rules = Rules::of(arguments, &mut settings)?;
    let live = settings.clone();
    when(arguments, &mut settings)?;
    let alone = elsewhere(arguments, &live, &mut settings)?;
    limits::check(&settings)?;
    if settings.cluster.hosts.len() > 1 {
        cluster::end_with_peers();
    }
    if settings.cluster.process > 0 {
        let home = Home::awaited(&settings.cluster.hosts);
        handles.elsewhere.store(Some(Arc::new(home)));
    }
    let mut goes_on = false;
    if settings.cluster.process == 0 {
        goes_on = Decided::of(arguments, &settings, rules.fingerprint.clone()).keep(&settings)?;
    }
    introduce(arguments, &settings);
    let began = Instant::now();
    let news = News::start(&handles, &settings);
    let ended = job::run(&settings, &handles, None);
    news.end(ended.is_ok());
    ended?;
    // They are read until now.
    drop((given, rules, alone));
    let interrupted = handles.stop.load(Ordering::Acquire);
    let differed = handles.metrics.done().differed;
    if settings.cluster.process > 0 {
        return Ok(ExitCode::SUCCESS);
    }
    let end = End {
        arguments,
        settings: &settings,
        handles: &handles,
        took: began.elapsed(),
        goes_on,
    };
    end.sum_up();
    if interrupted {
        tell("stopped before its end");
        return Ok(ExitCode::from(EXIT_INTERRUPTED));
    }
    end.is_of_use()?;
    if arguments.verify && differed > 0 {
        bail!("{differed} epochs gave something else than they gave when they ran");
    }
    Ok(ExitCode::SUCCESS)
}

/// Rules in the place of those of the history, in a file of their own that goes with it.
struct Rules {
    _folder: Option<tempfile::TempDir>,
    /// What tells them from others, where there are any.
    fingerprint: Option<String>,
}

impl Rules {
    fn of(arguments: &ReplayArguments, settings: &mut Settings) -> Result<Self> {
        if arguments.rules.is_empty() {
            return Ok(Self {
                _folder: None,
                fingerprint: None,
            });
        }
        let folder = tempfile::tempdir().context("could not make a temporary folder for the rules")?;
        let mut lines: Vec<(Topic, String)> = vec![(Topic::IN_RULE, String::new())];
        for (topic, row) in rules::checked(&arguments.rules)? {
            let json = row.to_json()?;
            let line = String::from_utf8_lossy(&json);
            match lines.iter_mut().find(|(other, _)| *other == topic) {
                Some((_, text)) => *text += &format!("{line}\n"),
                None => lines.push((topic, format!("{line}\n"))),
            }
        }
        let all: Vec<(u16, &str)> = lines.iter().map(|(topic, text)| (topic.id(), text.as_str())).collect();
        let fingerprint = Some(binary::fingerprint(&all).to_string());
        for (topic, text) in lines {
            let path = folder.path().join(format!("{topic}.ndjson"));
            fs::write(&path, text).with_context(|| format!("could not write `{}`", path.display()))?;
            settings.instead.push(FileInput {
                path,
                topic: Some(topic.name().to_owned()),
                format: Some(FileFormat::Ndjson),
            });
        }
        Ok(Self {
            _folder: Some(folder),
            fingerprint,
        })
    }
}

/// Which part of the history, how fast, and by which epochs.
fn when(arguments: &ReplayArguments, settings: &mut Settings) -> Result<()> {
    settings.replay.from = arguments.from;
    settings.replay.speed = arguments.speed;
    settings.http = None;
    if arguments.as_ran {
        if matches!(settings.output, Output::Files(_)) || matches!(settings.input, Input::Files(_)) {
            let says = "`--as-ran` goes by what a job wrote to `out.epoch`: the configured input and output must be a log or Kafka";
            return Err(Usage(says.to_owned()).into());
        }
        settings.replay.as_ran = Some((settings.output.clone(), settings.topics.clone()));
    }
    Ok(())
}

/// Where it writes: never where the configured job does. What is returned keeps other replays out.
fn elsewhere(arguments: &ReplayArguments, live: &Settings, settings: &mut Settings) -> Result<Option<File>> {
    settings.topics.tidy = riskflow_config::Tidy::default();
    settings.output_topics = settings.topics.clone();
    settings.output_topics.exercise = true;
    // Of several processes the first writes.
    let writes = settings.cluster.process == 0;
    if let Some(folder) = &arguments.out {
        let format = arguments.format.into();
        let is_stdout = folder.as_os_str() == "-";
        if is_stdout && format != OutputFormat::Ndjson {
            let says = "`--out -` is NDJSON: tables have other columns for each topic; give a folder";
            return Err(Usage(says.to_owned()).into());
        }
        settings.output = Output::Files(FilesOutput {
            folder: folder.clone(),
            format,
        });
        return (writes && !is_stdout).then(|| make_room(folder)).transpose();
    }
    // Files have no offsets to go on from: a second run would write all of it once more.
    let from_files = matches!(settings.input, Input::Files(_));
    if let Some(folder) = &arguments.to_log {
        if from_files && writes && folder.join(MARK).exists() {
            let says = format!(
                "`{}` has a replay in it, and one of files does not go on where it stood; give another folder, or take that one away",
                folder.display()
            );
            return Err(Usage(says).into());
        }
        settings.output = Output::Log(folder.clone());
        settings.checkpoint.path = beside(folder);
        return Ok(None);
    }
    let Some(prefix) = &arguments.prefix else {
        unreachable!("one of the places is required");
    };
    let ((Output::Kafka(kafka), _) | (_, Input::Kafka(kafka))) = (&live.output, &live.input) else {
        let says = "`--prefix` writes to Kafka, and neither input nor output is configured to be there; give `--out` or `--to-log`";
        return Err(Usage(says.to_owned()).into());
    };
    if *prefix == live.topics.prefix {
        let says = format!(
            "`--prefix {prefix}` is that of the live topics, and an exercise is never written there; `riskflow run --set \
             input.clock=arrival` works a history off in the place of the live job"
        );
        return Err(Usage(says).into());
    }
    if from_files {
        let says = "files are replayed to `--out` or `--to-log`: on Kafka a second run would write all of it once more; `riskflow import` \
                    puts them into topics, which can be replayed";
        return Err(Usage(says.to_owned()).into());
    }
    settings.output = Output::Kafka(kafka.clone());
    settings.output_topics.prefix.clone_from(prefix);
    settings.checkpoint.path = arguments
        .checkpoints
        .clone()
        .unwrap_or_else(|| beside(Path::new(prefix.trim_end_matches('.'))));
    if writes {
        let outputs: Vec<Topic> = settings.capabilities.outputs().collect();
        create(Place::Kafka(kafka), &settings.output_topics, &outputs).context("could not make the output topics")?;
    }
    Ok(None)
}

/// The folder of the checkpoints of a replay that writes there: an exercise has none in common with the job.
fn beside(place: &Path) -> String {
    let mut path = place.as_os_str().to_owned();
    path.push("-checkpoints");
    path.to_string_lossy().into_owned()
}

/// What marks a folder as written by a replay.
const MARK: &str = "exercise";

/// An earlier replay into the folder goes: files are always written anew. While what is returned is open, no other replay may write there.
fn make_room(folder: &Path) -> Result<File> {
    let mark = folder.join(MARK);
    fs::create_dir_all(folder).with_context(|| format!("could not make `{}`", folder.display()))?;
    if !mark.exists() {
        let holds_any = fs::read_dir(folder).with_context(|| format!("could not read `{}`", folder.display()))?;
        if holds_any.take(1).count() > 0 {
            let says = format!(
                "`{}` is not empty, and no replay wrote it; give another folder",
                folder.display()
            );
            return Err(Usage(says).into());
        }
        let text = "all that is in this folder is an exercise, written by `riskflow replay`\n";
        fs::write(&mark, text).with_context(|| format!("could not write `{}`", mark.display()))?;
    }
    let alone = File::open(&mark).with_context(|| format!("could not open `{}`", mark.display()))?;
    match alone.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let says = format!("another replay writes to `{}`; give another folder", folder.display());
            return Err(Usage(says).into());
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("could not lock `{}`", mark.display()));
        }
    }
    let endings = ["ndjson", "csv", "parquet", "parquet.part"];
    let files = Topic::outputs().flat_map(|topic| endings.map(|ending| folder.join(format!("{topic}.{ending}"))));
    for file in files.filter(|file| file.exists()) {
        fs::remove_file(&file).with_context(|| format!("could not remove `{}`", file.display()))?;
    }
    Ok(alone)
}

/// Says what is about to be replayed, from where, and to where.
fn introduce(arguments: &ReplayArguments, settings: &Settings) {
    let input = match &settings.input {
        Input::Log(folder) => format!("the embedded log in {}", folder.display()),
        Input::Kafka(kafka) => format!("Kafka at {}, topics {}*", kafka.brokers, settings.topics.prefix),
        Input::Files(files) => format!("{} files", files.len()),
    };
    let output = match &settings.output {
        Output::Log(folder) => format!("the embedded log in {}", folder.display()),
        Output::Kafka(kafka) => format!("Kafka at {}, topics {}*", kafka.brokers, settings.output_topics.prefix),
        Output::Files(files) => format!("{} files in {}", files.format.name(), files.folder.display()),
    };
    let epochs = match &settings.replay.as_ran {
        Some(_) => "as they ran".to_owned(),
        None => format!(
            "every {} at most, by {}",
            duration::show(settings.epoch.replay_tick),
            settings.clock.name()
        ),
    };
    let rules = if arguments.rules.is_empty() {
        "those of the history".to_owned()
    } else {
        arguments.rules.join(", ")
    };
    let resumes = if is_definite(settings) {
        &*settings.checkpoint.path
    } else {
        "none: files are written anew"
    };
    tracing::info!(
        configuration = configuration::described(&arguments.config),
        input,
        output,
        epochs,
        rules,
        checkpoints = resumes,
        begins = "with the retained input",
        "an exercise: nothing of it goes to live topics"
    );
}
