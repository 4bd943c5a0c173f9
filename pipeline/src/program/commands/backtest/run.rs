//! One run of the job over the history, with all sets of rules at once.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use riskflow::runtime::job::{self, Handles};
use riskflow::runtime::output::EpochOutput;
use riskflow::runtime::publisher::Observer;
use riskflow::runtime::views::Tables;
use riskflow_config::Settings;
use riskflow_model::Millis;
use riskflow_model::topic::Topic;
use serde::Serialize;

use super::super::refused::{Refused, of_logs};
use super::episode::{Episode, Gathered};
use super::sets::{SetId, Sets};
use super::world::World;
use crate::program::exit::Usage;
use crate::program::terminal::Live;

/// What a run gave.
#[derive(Default)]
pub struct Ran {
    /// The warnings of each set, by rule, asset and beginning.
    pub episodes: BTreeMap<SetId, Vec<Episode>>,
    /// The first and the last epoch.
    pub span: Option<(Millis, Millis)>,
    /// What became of the records of the history.
    pub read: Read,
}

/// What became of the records of a history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Read {
    /// How many there were, rows included; without rules, for those of the sets stand in their place.
    pub records: u64,
    /// Those that could not be used, by reason.
    pub dead_letters: BTreeMap<&'static str, u64>,
    /// Observations whose datastream has no row: they are in nothing.
    pub waiting: u64,
}

impl Ran {
    /// The warnings of a set.
    pub fn of(&self, set: SetId) -> &[Episode] {
        self.episodes.get(&set).map_or(&[], Vec::as_slice)
    }
}

/// Runs the job until the history ends; `None` where it was stopped before.
///
/// # Errors
///
/// When it fails, or most records could not be used; [`Usage`] where the history has nothing at the times that are looked at, of which
/// `from` is the first.
pub fn run(
    settings: &Settings,
    sets: &Sets,
    world: &World,
    (handles, from): (&Handles, Option<Millis>),
) -> Result<Option<Ran>> {
    let folder = tempfile::tempdir().context("could not make a temporary folder for the rules")?;
    let mut settings = settings.clone();
    settings.instead = sets.write(folder.path(), world)?;
    let gathered: Arc<Mutex<Gathered>> = Arc::default();
    job::run(&settings, handles, Some(observer(handles, &gathered)))?;
    if handles.stop.load(Ordering::Acquire) {
        return Ok(None);
    }
    let gathered = std::mem::take(&mut *gathered.lock().unwrap_or_else(PoisonError::into_inner));
    let span = gathered
        .span
        .map(|(first, last)| (first, settings.until.unwrap_or(last).max(first)));
    let read = read(handles, &settings)?;
    times_are_of_it(&settings, from, handles, gathered.span)?;
    Ok(Some(Ran {
        span,
        episodes: gathered.episodes(),
        read,
    }))
}

fn times_are_of_it(
    settings: &Settings,
    from: Option<Millis>,
    handles: &Handles,
    span: Option<(Millis, Millis)>,
) -> Result<(), Usage> {
    if let Some(until) = settings.until
        && of_logs(handles) == 0
    {
        let says = format!("`--until` is {until}, and the history has no records by then; give a later time");
        return Err(Usage(says));
    }
    match (from, span) {
        (Some(from), Some((_, last))) if last < from => {
            let says = format!("`--from` is {from}, and the history ends with {last}; give an earlier time");
            Err(Usage(says))
        }
        _ => Ok(()),
    }
}

/// Takes what the job gives, and shows how far it is.
fn observer(handles: &Handles, gathered: &Arc<Mutex<Gathered>>) -> Observer {
    let (gathered, shown) = (Arc::clone(gathered), Arc::clone(&handles.catching_up));
    // Elsewhere the log tells it.
    let mut live = Live::new(!std::io::stderr().is_terminal());
    Box::new(move |output: &EpochOutput, _: &Tables| {
        gathered.lock().unwrap_or_else(PoisonError::into_inner).take(output);
        live.show(|| {
            let position = shown.get();
            let line = position.map_or_else(|| format!("at {}", output.epoch), |position| position.to_string());
            vec![format!("back-test {line}")]
        });
    })
}

/// What was read of the history. The rules are those of the sets, and none of it.
fn read(handles: &Handles, settings: &Settings) -> Result<Read> {
    let done = handles.metrics.done();
    let of_history = done.records.iter().filter(|(topic, _)| *topic != Topic::IN_RULE.name());
    let read = Read {
        records: of_history.map(|(_, count)| count).sum(),
        dead_letters: done
            .dead_letters
            .iter()
            .copied()
            .filter(|(_, count)| *count > 0)
            .collect(),
        waiting: handles.meters.waiting.load(Ordering::Relaxed),
    };
    let refused = Refused::of(handles, settings);
    if refused.is_most() {
        bail!("{}; {}", refused.said(), refused.cure(settings, "--clock event-time"));
    }
    Ok(read)
}
