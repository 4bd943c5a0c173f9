//! `riskflow replay`: a history once more, to somewhere else.
//!
//! It is the job of `riskflow run` with other settings: the history's clock, an output of its own that is marked as an exercise,
//! checkpoints of its own, and no HTTP.

mod decided;
mod elsewhere;
mod ending;
mod offsets;

use std::collections::BTreeSet;
use std::fs;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Context as _, Result};
use riskflow::runtime::cluster::{self, Home};
use riskflow::runtime::job::{self, Handles};
use riskflow::runtime::recovery::is_definite;
use riskflow_config::{FileFormat, FileInput, Input, Output, Settings};
use riskflow_model::topic::Topic;
use riskflow_model::{binary, duration, ruleset};

use self::decided::Decided;
use self::elsewhere::elsewhere;
use self::ending::End;
use super::history::{Asked, take};
use super::rules;
use super::run::news::News;
use super::signals::{Hangup, stop_job};
use super::{checkpoint, configuration};
use crate::program::cli::{EXIT_INTERRUPTED, ReplayArguments};
use crate::program::exit::Usage;
use crate::program::limits;
use crate::program::terminal::{log_by, tell};

/// Runs a history, and says what came of it.
pub fn replay(arguments: &ReplayArguments) -> Result<ExitCode> {
    let handles = Handles::new()?;
    stop_job(&handles, Hangup::Stops)?;
    let (_, mut settings) = configuration::load_and_look(&arguments.config)?;
    log_by(&settings.log.filter).map_err(anyhow::Error::msg)?;
    let asked = Asked {
        files: &arguments.files,
        copy_limit: arguments.copies.copy_limit,
        clock: arguments.clock,
        from: arguments.from,
        until: arguments.until,
        disorder: arguments.disorder,
    };
    let given = take(&asked, &mut settings)?;
    let rules = Rules::of(arguments, &mut settings)?;
    let live = settings.clone();
    when(arguments, &mut settings)?;
    offsets::take(arguments, &live, &mut settings)?;
    if let Some(name) = &arguments.from_checkpoint {
        settings.replay.checkpoint = Some(checkpoint::of_history(&live, name)?);
    }
    let alone = elsewhere(arguments, &live, &mut settings)?;
    limits::check(&settings)?;
    if settings.cluster.hosts.len() > 1 {
        cluster::end_with_peers();
    }
    if settings.cluster.process > 0 {
        let home = Home::awaited(&settings.cluster.hosts);
        handles.elsewhere.store(Some(Arc::new(home)));
    }
    if settings.cluster.process == 0 {
        let decided = Decided::of(arguments, &settings, rules.fingerprint.clone());
        let goes_on = decided.keep(&settings, &arguments.files)?;
        handles.goes_on.store(goes_on, Ordering::Release);
    }
    introduce(arguments, &settings);
    let began = Instant::now();
    let news = News::start(&handles, &settings, &ending::again(arguments), rules.sets.clone());
    let ended = job::run(&settings, &handles, None);
    news.end(ended.is_ok());
    ended?;
    // They are read until now.
    drop((given, rules, alone));
    let end = End {
        arguments,
        settings: &settings,
        handles: &handles,
        took: began.elapsed(),
        whole: handles.whole(),
    };
    end.sum_up();
    // Whichever of its processes was told to.
    if end.whole.stopped {
        tell("stopped before its end");
        return Ok(ExitCode::from(EXIT_INTERRUPTED));
    }
    end.is_of_use()?;
    end.is_verified()?;
    Ok(ExitCode::SUCCESS)
}

/// Rules in the place of those of the history, in a file of their own that goes with it.
struct Rules {
    _folder: Option<tempfile::TempDir>,
    /// What tells them from others, where there are any.
    fingerprint: Option<String>,
    /// The sets that they are of, where there are any.
    sets: Option<BTreeSet<String>>,
}

impl Rules {
    fn of(arguments: &ReplayArguments, settings: &mut Settings) -> Result<Self> {
        if arguments.rules.is_empty() {
            return Ok(Self {
                _folder: None,
                fingerprint: None,
                sets: None,
            });
        }
        let folder = tempfile::tempdir().context("could not make a temporary folder for the rules")?;
        let mut lines: Vec<(Topic, String)> = vec![(Topic::IN_RULE, String::new())];
        let mut sets = BTreeSet::new();
        for (topic, row) in rules::checked(&arguments.rules)? {
            if topic == Topic::IN_RULE {
                sets.insert(ruleset::parts(&row.id()).0.to_owned());
            }
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
            sets: Some(sets),
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
        "none: all of it is written anew"
    };
    let begins = match &settings.replay.checkpoint {
        Some((place, epoch)) => format!("with the checkpoint of {epoch} in {place}"),
        None => "with the retained input".to_owned(),
    };
    let sorted = match settings.replay.disorder {
        Some(disorder) => format!(
            "records that stand up to {} behind later ones",
            duration::show(disorder.within)
        ),
        None => "nothing".to_owned(),
    };
    tracing::info!(
        configuration = configuration::described(&arguments.config),
        input,
        sorted,
        output,
        epochs,
        rules,
        checkpoints = resumes,
        begins,
        "an exercise: nothing of it goes to live topics"
    );
}
