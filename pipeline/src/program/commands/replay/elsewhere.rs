//! Where a replay writes: never where a live job does, unless it is forced.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use riskflow_config::{FilesOutput, Input, KafkaSettings, Output, OutputFormat, Settings};
use riskflow_connectors::Lock;
use riskflow_connectors::kafka::{BrokerError, keep_apart, keep_once};
use riskflow_connectors::topics::{Place, create};
use riskflow_model::topic::Topic;

use crate::program::cli::ReplayArguments;
use crate::program::exit::Usage;
use crate::program::terminal::tell;

/// Sets where it writes: never where the configured job does. What is returned keeps other replays out.
pub fn elsewhere(arguments: &ReplayArguments, live: &Settings, settings: &mut Settings) -> Result<Option<Lock>> {
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
    to_kafka(arguments, live, settings)?;
    Ok(None)
}

/// Topics with a prefix that no live job has.
fn to_kafka(arguments: &ReplayArguments, live: &Settings, settings: &mut Settings) -> Result<()> {
    let Some(prefix) = &arguments.prefix else {
        unreachable!("one of the places is required");
    };
    let ((Output::Kafka(kafka), _) | (_, Input::Kafka(kafka))) = (&live.output, &live.input) else {
        let says = "`--prefix` writes to Kafka, and neither input nor output is configured to be there; give `--out` or `--to-log`";
        return Err(Usage(says.to_owned()).into());
    };
    if *prefix == live.topics.prefix && !arguments.force {
        let says = format!(
            "`--prefix {prefix}` is that of the live topics, and an exercise is not written there; `riskflow run --set \
             input.clock=arrival` works a history off in the place of the live job; `--force` writes an exercise among live records"
        );
        return Err(Usage(says).into());
    }
    settings.output = Output::Kafka(kafka.clone());
    settings.output_topics.prefix.clone_from(prefix);
    settings.output_topics.forced = arguments.force;
    if arguments.force {
        tell(format_args!(
            "--force: what is replayed goes to {prefix}out.*, whoever else writes there. Its records are marked (`ce_exercise`); whoever does \
             not look at that takes them for live, and rows of tables stand in the place of live ones until these change. It keeps nothing to \
             go on from: the same command writes all of it once more"
        ));
    } else if settings.cluster.process == 0 {
        is_free(kafka, settings)?;
    }
    settings.checkpoint.path = arguments
        .checkpoints
        .clone()
        .unwrap_or_else(|| beside(Path::new(prefix.trim_end_matches('.'))));
    if settings.cluster.process == 0 {
        let outputs: Vec<Topic> = settings.capabilities.outputs().collect();
        create(Place::Kafka(kafka), &settings.output_topics, &outputs).context("could not make the output topics")?;
    }
    Ok(())
}

/// Whether an exercise may write to these topics: asked before topics are made, and arguments kept.
fn is_free(kafka: &KafkaSettings, settings: &Settings) -> Result<()> {
    // Files have no offsets to go on from: a second run would write all of it once more.
    let looked = if matches!(settings.input, Input::Files(_)) {
        keep_once(kafka, &settings.output_topics, Duration::ZERO)
    } else {
        keep_apart(kafka, &settings.output_topics, Duration::ZERO)
    };
    match looked {
        Err(refused @ BrokerError::NoExercise { .. }) => {
            Err(refused).context("`--force` writes an exercise among live records all the same")
        }
        Err(refused @ BrokerError::Written { .. }) => {
            Err(refused).context("`--force` writes it once more all the same")
        }
        looked => looked.context("could not see who else writes there"),
    }
}

/// The folder of the checkpoints of a replay that writes there: an exercise has none in common with the job.
fn beside(place: &Path) -> String {
    let mut path = place.as_os_str().to_owned();
    path.push("-checkpoints");
    path.to_string_lossy().into_owned()
}

/// What marks a folder as written by a replay.
pub(super) const MARK: &str = "exercise";

/// An earlier replay into the folder goes: files are always written anew. While what is returned is open, no other replay may write there.
fn make_room(folder: &Path) -> Result<Lock> {
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
    let lock = Lock::alone(&mark).with_context(|| format!("could not lock `{}`", mark.display()))?;
    let Some(lock) = lock else {
        let says = format!("another replay writes to `{}`; give another folder", folder.display());
        return Err(Usage(says).into());
    };
    let endings = ["ndjson", "csv", "parquet", "parquet.part"];
    let files = Topic::outputs().flat_map(|topic| endings.map(|ending| folder.join(format!("{topic}.{ending}"))));
    for file in files.filter(|file| file.exists()) {
        fs::remove_file(&file).with_context(|| format!("could not remove `{}`", file.display()))?;
    }
    Ok(lock)
}
