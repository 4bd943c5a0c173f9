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
use serde::Serialize;

use super::episode::{Episode, Gathered};
use super::sets::{SetId, Sets};
use super::world::World;
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
    /// How many there were, rules and rows included.
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
/// When it fails, or most records could not be used.
pub fn run(settings: &Settings, sets: &Sets, world: &World, handles: &Handles) -> Result<Option<Ran>> {
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
    let read = read(handles)?;
    Ok(Some(Ran {
        span,
        episodes: gathered.episodes(),
        read,
    }))
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

fn read(handles: &Handles) -> Result<Read> {
    let done = handles.metrics.done();
    let read = Read {
        records: done.records.iter().map(|(_, count)| count).sum(),
        dead_letters: done
            .dead_letters
            .iter()
            .copied()
            .filter(|(_, count)| *count > 0)
            .collect(),
        waiting: handles.meters.waiting.load(Ordering::Relaxed),
    };
    let dead: u64 = read.dead_letters.values().sum();
    if (dead + read.waiting) * 2 > read.records {
        let reasons = read
            .dead_letters
            .iter()
            .map(|(reason, count)| format!("{reason} {count}"));
        let mut reasons: Vec<String> = reasons.collect();
        if read.waiting > 0 {
            reasons.push(format!("datastream without a row {}", read.waiting));
        }
        bail!(
            "most of the {} records of the history could not be used: {}; `riskflow import --dry-run` says what is wrong with files, line by line",
            read.records,
            reasons.join(", ")
        );
    }
    Ok(read)
}
