//! `riskflow checkpoint`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use riskflow_config::Settings;
use riskflow_connectors::Identity;
use riskflow_connectors::checkpoint::{CheckpointError, CheckpointStore, Listed};
use serde_json::json;

use super::configuration;
use crate::program::cli::{CheckpointArguments, CheckpointCommand, EXIT_DIFFERS};
use crate::program::terminal::{progress, say, table};

/// Lists, verifies, prunes or adopts checkpoints.
pub fn checkpoint(arguments: &CheckpointArguments) -> Result<ExitCode> {
    let (_, settings) = configuration::load(&arguments.config)?;
    let path = &settings.checkpoint.path;
    // To look at a folder must not make one: a path that is misspelled would look like a job without checkpoints.
    if !path.contains("://") && !Path::new(path).exists() {
        bail!("`checkpoint.path` is {path:?}, and there is no such folder; `riskflow run` makes it");
    }
    let mut store = CheckpointStore::open(path).context("could not open the checkpoints")?;
    match arguments.command {
        CheckpointCommand::List => list(&store.list()?, arguments.json),
        CheckpointCommand::Verify => return verify(&store, arguments.json),
        CheckpointCommand::Prune { keep } => {
            store.claim(&this_job(&settings)?)?;
            let gone = store.prune(keep.unwrap_or(settings.checkpoint.keep))?;
            let gone: Vec<String> = gone.iter().map(ToString::to_string).collect();
            if arguments.json {
                say(json!({ "deleted": gone }));
            } else {
                say(format_args!("deleted: {}", gone.len()));
            }
        }
        CheckpointCommand::Adopt => {
            let adopted = store.adopt(&this_job(&settings)?)?;
            if arguments.json {
                say(json!({ "adopted": adopted }));
            } else {
                say(format_args!("adopted: {adopted}"));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn this_job(settings: &Settings) -> Result<Identity> {
    Identity::find(&settings.input, &settings.output, &settings.output_topics)
        .context("could not find out which job this is")
}

fn list(listed: &[Listed], as_json: bool) {
    let mut rows = Vec::new();
    for Listed { epoch, manifest } in listed {
        let (parts, bytes, state) = match manifest {
            Ok(manifest) => (
                manifest.parts.len(),
                manifest.parts.iter().map(|part| part.bytes).sum(),
                "whole".to_owned(),
            ),
            Err(error) => (0, 0u64, error.to_string()),
        };
        if as_json {
            say(json!({ "epoch": epoch, "parts": parts, "bytes": bytes, "state": state }));
        } else {
            rows.push(vec![epoch.to_string(), parts.to_string(), bytes.to_string(), state]);
        }
    }
    if !as_json {
        say(table(&["epoch", "parts", "bytes", "state"], rows.into_iter()));
    }
}

/// Reads every byte of every checkpoint, and what stands beside them. Exit code 3 if any is not what was written.
fn verify(store: &CheckpointStore, as_json: bool) -> Result<ExitCode> {
    let listed = store.list()?;
    let bar = progress("verifying", listed.len() as u64);
    let mut unsound = 0;
    for Listed { epoch, manifest } in listed {
        let verified = manifest.and_then(|manifest| store.verify(&manifest));
        bar.inc(1);
        unsound += usize::from(verified.is_err());
        let state = state(verified);
        if as_json {
            say(json!({ "epoch": epoch, "state": state }));
        } else {
            say(format_args!("{epoch}  {state}"));
        }
    }
    bar.finish_and_clear();
    for (name, verified) in store.verify_beside() {
        unsound += usize::from(verified.is_err());
        let state = state(verified);
        if as_json {
            say(json!({ "beside": name, "state": state }));
        } else {
            say(format_args!("{name}  {state}"));
        }
    }
    Ok(if unsound == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_DIFFERS)
    })
}

fn state(verified: Result<(), CheckpointError>) -> String {
    match verified {
        Ok(()) => "sound".to_owned(),
        Err(error) => match std::error::Error::source(&error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        },
    }
}
