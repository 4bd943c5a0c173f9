//! Where a replay writes: never where a live job does, unless it is forced.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use riskflow_config::{FilesOutput, Input, KafkaSettings, Output, OutputFormat, Settings};
use riskflow_connectors::Lock;
use riskflow_connectors::kafka::{BrokerError, keep_apart, keep_once};
use riskflow_connectors::topics::{Place, create};
use riskflow_model::topic::Topic;

use super::decided::WORDS;
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
        if writes {
            is_free_for_log(folder)?;
        }
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
        // Files have no offsets to go on from: a second run would write all of it once more.
        is_free(kafka, settings, matches!(settings.input, Input::Files(_)))?;
    }
    settings.checkpoint.path = arguments
        .checkpoints
        .clone()
        .unwrap_or_else(|| beside(Path::new(prefix.trim_end_matches('.'))));
    Ok(())
}

/// Makes the topics that are not there, once nothing is refused any more.
pub(super) fn make_topics(kafka: &KafkaSettings, settings: &Settings) -> Result<()> {
    let outputs: Vec<Topic> = settings.capabilities.outputs().collect();
    create(Place::Kafka(kafka), &settings.output_topics, &outputs).context("could not make the output topics")?;
    Ok(())
}

/// Whether an exercise may write to these topics: asked before topics are made, and arguments kept. `once`: where none wrote before.
pub(super) fn is_free(kafka: &KafkaSettings, settings: &Settings, once: bool) -> Result<()> {
    let looked = if once {
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

/// How the mark of a folder of files begins; that of a log is [`WORDS`].
const FILES: &str = "all that is in this folder is an exercise, written by `riskflow replay`";

/// What the file is called that every embedded log has from its first job on.
const LOG_ID: &str = "log-id";

/// What stands in the mark of a folder; `None`: it has none.
///
/// # Errors
///
/// [`Usage`] where a file stands in the place of the folder.
fn marked(folder: &Path) -> Result<Option<String>> {
    let mark = folder.join(MARK);
    match fs::read(&mark) {
        Ok(text) => Ok(Some(String::from_utf8_lossy(&text).into_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            Err(Usage(format!("`{}` is no folder; give one", folder.display())).into())
        }
        Err(error) => Err(error).with_context(|| format!("could not read `{}`", mark.display())),
    }
}

/// Whether the log of a replay may stand in a folder.
fn is_free_for_log(folder: &Path) -> Result<()> {
    let place = folder.display();
    let says = match marked(folder)? {
        Some(text) if text.starts_with(FILES) => format!("`{place}` has the files of a replay in it, and no log"),
        Some(_) => return Ok(()),
        None if is_log(folder) => format!("`{place}` is a log that no exercise made: nothing is replayed into it"),
        None if holds_any(folder)? => format!("`{place}` is not empty, and no replay wrote it"),
        None => return Ok(()),
    };
    Err(Usage(format!("{says}; give another folder")).into())
}

/// Whether an embedded log stands there: it has an identity, or topics.
fn is_log(folder: &Path) -> bool {
    let mut topics = Topic::inputs().chain(Topic::outputs());
    folder.join(LOG_ID).exists() || topics.any(|topic| folder.join(topic.name()).join("0").is_dir())
}

/// Whether anything is in a folder; where there is none, nothing is.
fn holds_any(folder: &Path) -> Result<bool> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("could not read `{}`", folder.display())),
    }
}

/// An earlier replay into the folder goes: files are always written anew. While what is returned is open, no other replay may write there.
fn make_room(folder: &Path) -> Result<Lock> {
    let (mark, place) = (folder.join(MARK), folder.display());
    let found = marked(folder)?;
    let says = match &found {
        Some(text) if text.starts_with(WORDS) => format!("`{place}` is the log of a replay, and no folder of files"),
        Some(_) => String::new(),
        None if is_log(folder) => format!("`{place}` is a log, and no replay wrote it"),
        None if holds_any(folder)? => format!("`{place}` is not empty, and no replay wrote it"),
        None => String::new(),
    };
    if !says.is_empty() {
        return Err(Usage(format!("{says}; give another folder")).into());
    }
    fs::create_dir_all(folder).with_context(|| format!("could not make `{place}`"))?;
    if found.is_none() {
        fs::write(&mark, format!("{FILES}\n")).with_context(|| format!("could not write `{}`", mark.display()))?;
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
