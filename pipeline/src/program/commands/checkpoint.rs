//! `riskflow checkpoint`.

mod take;
mod verify;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use riskflow::runtime::recovery::{is_definite, semantics_of, settings_by_name};
use riskflow_config::Settings;
use riskflow_connectors::Identity;
use riskflow_connectors::checkpoint::{CheckpointError, CheckpointStore, Listed, Meaning, Pin};
use riskflow_model::{Millis, Problems};
use serde_json::json;

use super::configuration;
use crate::program::cli::{CheckpointArguments, CheckpointCommand};
use crate::program::exit::Usage;
use crate::program::terminal::{say, table};

/// Takes, lists, names, verifies, prunes or adopts checkpoints.
pub fn checkpoint(arguments: &CheckpointArguments) -> Result<ExitCode> {
    let (_, settings) = configuration::load(&arguments.config)?;
    let as_json = arguments.json;
    match &arguments.command {
        CheckpointCommand::Take(wanted) => return take::take(&settings, wanted, as_json),
        CheckpointCommand::List => {
            let store = open(&settings)?;
            list(&store.list()?, &store.pins()?, as_json);
        }
        CheckpointCommand::Verify { checkpoint } => {
            return verify::verify(&open(&settings)?, checkpoint.as_deref(), as_json);
        }
        CheckpointCommand::Pin { name, checkpoint } => pin(&open(&settings)?, name, checkpoint.as_deref(), as_json)?,
        CheckpointCommand::Unpin { name } => unpin(&open(&settings)?, name, as_json)?,
        CheckpointCommand::Prune { keep } => prune(&settings, *keep, as_json)?,
        CheckpointCommand::Adopt => {
            let adopted = open(&settings)?.adopt(&this_job(&settings)?)?;
            if as_json {
                say(json!({ "adopted": adopted }));
            } else {
                say(format_args!("adopted: {adopted}"));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn prune(settings: &Settings, keep: Option<usize>, as_json: bool) -> Result<()> {
    let mut store = open(settings)?;
    store.claim(&this_job(settings)?)?;
    let gone = store.prune(keep.unwrap_or(settings.checkpoint.keep))?;
    let gone: Vec<String> = gone.iter().map(ToString::to_string).collect();
    if as_json {
        say(json!({ "deleted": gone }));
    } else {
        say(format_args!("deleted: {}", gone.len()));
    }
    Ok(())
}

/// The epoch of the checkpoint that is meant, by its name or as it is listed.
///
/// # Errors
///
/// When the job keeps none, or nothing has that name.
pub(super) fn named(settings: &Settings, name: &str) -> Result<Millis> {
    keeps(settings)?;
    Ok(open(settings)?.named(name)?)
}

/// Where a replay of this job's history finds the checkpoint that it is to begin with, by its name or as it is listed: the place, and its
/// epoch.
///
/// # Errors
///
/// When the job keeps none, nothing has that name, it is another job's, not sound, or was taken with other settings than these: then, as
/// [`Problems`], which.
pub(super) fn of_history(settings: &Settings, name: &str) -> Result<(String, Millis)> {
    keeps(settings)?;
    let mut store = open(settings)?;
    store.claim(&this_job(settings)?)?;
    let epoch = store.named(name)?;
    let manifest = store
        .sound(epoch)
        .with_context(|| format!("could not begin with the checkpoint of {epoch}"))?;
    if manifest.semantics != semantics_of(settings) {
        let noted = store
            .noted()
            .context("could not read with which settings the job began last")?;
        return Err(taken_otherwise(epoch, noted, settings));
    }
    Ok((settings.checkpoint.path.clone(), epoch))
}

/// In which settings, that give the answer its meaning, a checkpoint differs from these. `noted`: those of the job as of its last start.
fn taken_otherwise(epoch: Millis, noted: Option<Meaning>, settings: &Settings) -> anyhow::Error {
    let about = format!("the checkpoint of {epoch} was taken with other settings, and its state rests on them");
    let now = settings_by_name(settings);
    // What was given up to `since` was given with others, which are not kept.
    let was = noted.filter(|noted| noted.since < epoch).map(|noted| noted.settings);
    let mut problems = Problems::default();
    for (name, was) in was.iter().flatten() {
        let is = now.get(name);
        if is.is_some_and(|is| is != was) {
            let found = is.map(|is| format!("`{is}`")).unwrap_or_default();
            let give = format!("what it was then (`{was}`), or begin without `--from-checkpoint`");
            problems.add(name.to_string(), found, give);
        }
    }
    if problems.is_empty() {
        let says = "the job has begun with others since, and does not know them any more; give those, or begin without `--from-checkpoint`";
        return Usage(format!("{about}: {says}")).into();
    }
    anyhow::Error::new(problems).context(about)
}

fn keeps(settings: &Settings) -> Result<()> {
    if is_definite(settings) {
        return Ok(());
    }
    let says = "a job that reads or writes files keeps no checkpoints: it begins anew each time";
    Err(Usage(says.to_owned()).into())
}

/// To look at a folder must not make one: a path that is misspelled would look like a job without checkpoints.
fn open(settings: &Settings) -> Result<CheckpointStore> {
    let path = &settings.checkpoint.path;
    if !path.contains("://") && !Path::new(path).exists() {
        bail!("`checkpoint.path` is {path:?}, and there is no such folder; `riskflow run` makes it");
    }
    CheckpointStore::open(path).context("could not open the checkpoints")
}

fn this_job(settings: &Settings) -> Result<Identity> {
    Identity::find(&settings.input, &settings.output, &settings.output_topics)
        .context("could not find out which job this is")
}

/// The names of a checkpoint.
fn names_of(pins: &[Pin], epoch: Millis) -> Vec<&str> {
    let of_it = pins.iter().filter(|pin| pin.epoch == epoch);
    of_it.map(|pin| &*pin.name).collect()
}

fn list(listed: &[Listed], pins: &[Pin], as_json: bool) {
    let mut rows = Vec::new();
    let mut add = |epoch: Millis, parts: usize, bytes: u64, state: String| {
        let names = names_of(pins, epoch);
        if as_json {
            let folder = format!("{:020}", epoch.0);
            say(json!({
                "epoch": epoch, "checkpoint": folder, "pins": names, "parts": parts, "bytes": bytes, "state": state,
            }));
        } else {
            rows.push(vec![
                epoch.to_string(),
                parts.to_string(),
                bytes.to_string(),
                names.join(", "),
                state,
            ]);
        }
    };
    for Listed { epoch, manifest } in listed {
        match manifest {
            Ok(manifest) => {
                let bytes = manifest.parts.iter().map(|part| part.bytes).sum();
                add(*epoch, manifest.parts.len(), bytes, "whole".to_owned());
            }
            Err(CheckpointError::Unfinished { .. }) => add(*epoch, 0, 0, "unfinished".to_owned()),
            Err(error) => add(*epoch, 0, 0, error.to_string()),
        }
    }
    let gone = pins
        .iter()
        .filter(|pin| listed.iter().all(|listed| listed.epoch != pin.epoch));
    for pin in gone {
        add(pin.epoch, 0, 0, "gone".to_owned());
    }
    if !as_json {
        say(table(&["epoch", "parts", "bytes", "names", "state"], rows.into_iter()));
    }
}

/// Keeps a checkpoint, or the newest, under a name.
fn pin(store: &CheckpointStore, name: &str, checkpoint: Option<&str>, as_json: bool) -> Result<()> {
    let epoch = match checkpoint {
        Some(checkpoint) => store.named(checkpoint)?,
        None => {
            let whole = store.list()?.into_iter().find(|listed| listed.manifest.is_ok());
            whole.context("there is no checkpoint that is whole")?.epoch
        }
    };
    store.pin(name, epoch)?;
    if as_json {
        say(json!({ "name": name, "epoch": epoch }));
    } else {
        say(format_args!(
            "the checkpoint of {epoch} is kept as `{name}`, until `riskflow checkpoint unpin {name}`"
        ));
    }
    Ok(())
}

fn unpin(store: &CheckpointStore, name: &str, as_json: bool) -> Result<()> {
    if !store.unpin(name)? {
        let pins = store.pins()?;
        let names: Vec<&str> = pins.iter().map(|pin| &*pin.name).collect();
        let says = if names.is_empty() {
            format!("there is no checkpoint of the name `{name}`, nor of another")
        } else {
            format!(
                "there is no checkpoint of the name `{name}`; there is `{}`",
                names.join("`, `")
            )
        };
        return Err(Usage(says).into());
    }
    if as_json {
        say(json!({ "unpinned": name }));
    } else {
        say(format_args!(
            "`{name}` is no name any more: the checkpoint goes when its turn comes"
        ));
    }
    Ok(())
}
