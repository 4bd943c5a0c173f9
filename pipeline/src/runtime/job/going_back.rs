//! A start that goes back to a checkpoint: what is newer goes, once it is known that there is a way from there on.

use anyhow::{Context as _, Result};
use riskflow_config::Settings;
use riskflow_connectors::checkpoint::CheckpointStore;
use riskflow_model::Millis;

use super::open_sources;
use crate::runtime::recovery::Recovery;

/// Deletes the checkpoints behind the one that was asked for: a later start would take them, and undo what was asked for.
///
/// # Errors
///
/// When input is gone that is needed from there on, or one of those behind it has a name; then none is deleted.
pub(super) fn go_back(settings: &Settings, store: &CheckpointStore, epoch: Millis, recovery: &Recovery) -> Result<()> {
    let start = &recovery.start;
    let about = || format!("could not go back to the checkpoint of {epoch}");
    // As one worker would read all of it; the workers open their shares of it themselves.
    let sources = open_sources(settings, start, 0, 1)
        .context("could not read the input")
        .with_context(about)?;
    let lost: Vec<_> = sources.iter().flat_map(|source| source.lost()).collect();
    drop(sources);
    start.check_lost(&lost).with_context(about)?;
    let newer = store.remove_newer(epoch).with_context(about)?;
    tracing::warn!(
        %epoch,
        newer = newer.len(),
        last = %recovery.beginning.last,
        "going back to a checkpoint: newer ones are deleted; what was committed since is worked off again and not published again"
    );
    Ok(())
}
