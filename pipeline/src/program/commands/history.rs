//! Which history a replay or a back-test reads, and by which clock: the configured input, or files.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::{Context as _, Result};
use riskflow_config::{Clock, Disorder, FileFormat, FileInput, Input, Settings};
use riskflow_connectors::files::{Columns, read_rows};
use riskflow_connectors::wrong_envelope;
use riskflow_model::{Duration, Millis};

use super::import::files::{Given, gather};
use super::import::mapping::Mapping;
use super::import::spool::Room;
use crate::program::cli::ReplayClock;
use crate::program::exit::Usage;

/// What people say of it.
pub struct Asked<'a> {
    /// Files in the place of the configured input; none: that.
    pub files: &'a [PathBuf],
    /// At most so many MiB are copied of what can be read only once.
    pub copy_limit: u64,
    /// When a record is taken, where that is said.
    pub clock: Option<ReplayClock>,
    /// Where what is looked at begins and ends.
    pub from: Option<Millis>,
    pub until: Option<Millis>,
    /// How far files are sorted by the times in them, where that is said.
    pub disorder: Option<Duration>,
}

/// Puts the history into the settings. Gives copies of what can be read only once; they go with it.
///
/// # Errors
///
/// [`Usage`] or problems where it is not there, does not say what it holds, or ends before it begins or before what is looked at.
pub fn take(asked: &Asked<'_>, settings: &mut Settings) -> Result<Vec<Given>> {
    let mut copies = Vec::new();
    if !asked.files.is_empty() {
        copies = gather(asked.files, &Mapping::default(), &Room::of(asked.copy_limit))?;
        settings.input = Input::Files(copies.iter().map(input).collect::<Result<_>>()?);
    }
    // Files say when something was observed, and seldom when that was known.
    let has_arrivals = match &settings.input {
        Input::Log(_) | Input::Kafka(_) => true,
        Input::Files(files) => files.iter().all(|file| file.format == Some(FileFormat::Envelope)),
    };
    settings.clock = match asked.clock {
        Some(clock) => clock.into(),
        None if has_arrivals => Clock::Arrival,
        None => Clock::EventTime,
    };
    settings.replay.disorder = disorder(asked, settings)?;
    settings.until = asked.until.or(settings.until);
    if let (Some(from), Some(until)) = (asked.from, settings.until)
        && from >= until
    {
        let says = format!("`--from` is {from}, and the history ends at {until}; give an earlier time");
        return Err(Usage(says).into());
    }
    if let Some(from) = asked.from
        && let Some(last) = last_before(&copies, from)
    {
        let says = format!(
            "`--from` is {from}, and the history ends with {last}: nothing of it would be written; give an earlier time"
        );
        return Err(Usage(says).into());
    }
    Ok(copies)
}

/// So far behind its last record a history may have its last epoch, and more: what lies within is found out at the end.
const BEHIND: Duration = Duration(86_400_000);

/// The last time in files, where that is long before this one: said at once, and not after all of them were worked off. It reads until a record
/// is near enough. `None` also where none has a time, and where a file cannot be read, which whoever reads it next says.
fn last_before(files: &[Given], from: Millis) -> Option<Millis> {
    let mapping = Mapping::default();
    let mut last: Option<Millis> = None;
    for file in files {
        let (form, columns) = ((mapping.format(), file.topic), mapping.columns_of(&file.name));
        let mut is_near = false;
        let read = read_rows(&file.path, form, columns, &Arc::new(AtomicU64::new(0)), &mut |row| {
            let Ok(ready) = mapping.ready(&row) else {
                return ControlFlow::Continue(());
            };
            // One that arrived later than its own time counts then by the other clock.
            last = last.max(ready.time).max(ready.arrival);
            is_near = last.is_some_and(|last| last + BEHIND >= from);
            if is_near {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        if is_near || read.is_err() {
            return None;
        }
    }
    last
}

/// How far files are sorted: as far as people say, else as far as records may be late. What goes by offsets stays as it is.
fn disorder(asked: &Asked<'_>, settings: &Settings) -> Result<Option<Disorder>> {
    match &settings.input {
        Input::Files(files) if settings.clock == Clock::EventTime => {
            let within = asked.disorder.unwrap_or(settings.time.horizon);
            Ok(Some(Disorder::of(within.0, files.len())))
        }
        _ if asked.disorder.is_some() => {
            let says =
                "`--disorder` sorts files that are taken by the times in them: give files, and no `--clock arrival`";
            Err(Usage(says.to_owned()).into())
        }
        _ => Ok(None),
    }
}

/// How the job reads a file: as envelopes where its first line is one.
fn input(given: &Given) -> Result<FileInput> {
    let is_envelopes = given.topic.is_none() || begins_with_envelope(&given.path)?;
    Ok(FileInput {
        path: given.path.clone(),
        topic: given
            .topic
            .filter(|_| !is_envelopes)
            .map(|topic| topic.name().to_owned()),
        format: is_envelopes.then_some(FileFormat::Envelope),
    })
}

fn begins_with_envelope(path: &Path) -> Result<bool> {
    let mut found = false;
    let each = read_rows(
        path,
        (None, None),
        &Columns::default(),
        &Arc::new(AtomicU64::new(0)),
        &mut |row| {
            // Nothing else says of which topic it is. One that cannot be read is told as such.
            let text = row.payload.and_then(|payload| str::from_utf8(payload).ok());
            found = row.topic.is_some() || text.and_then(wrong_envelope).is_some();
            ControlFlow::Break(())
        },
    );
    match each {
        Ok(()) => Ok(found),
        // A table: nothing here says of what.
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Ok(false),
        Err(error) => Err(error).with_context(|| format!("could not read `{}`", path.display())),
    }
}
