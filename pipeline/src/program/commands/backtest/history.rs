//! Which history is read, and how: the configured input, or files.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::{Context as _, Result};
use riskflow_config::{
    Capabilities, Clock, FileFormat, FileInput, FilesOutput, Guarantee, Input, Output, OutputFormat, Settings, Tidy,
};
use riskflow_connectors::files::{Columns, read_rows};
use riskflow_model::capability;

use super::super::import::files::{Given, gather};
use super::super::import::mapping::Mapping;
use crate::program::cli::BacktestArguments;
use crate::program::exit::Usage;

/// The history, and copies of what can be read only once; they go with it.
pub struct History {
    /// The settings of a job that reads it, and keeps nothing.
    pub settings: Settings,
    _copies: Vec<Given>,
}

impl History {
    /// What the arguments name.
    ///
    /// # Errors
    ///
    /// [`Usage`] or problems where it is not there, or does not say what it holds.
    pub fn of(arguments: &BacktestArguments, settings: Settings) -> Result<Self> {
        let mut settings = apart(settings);
        let mut copies = Vec::new();
        if !arguments.files.is_empty() {
            copies = gather(&arguments.files, &Mapping::default())?;
            settings.input = Input::Files(copies.iter().map(input).collect::<Result<_>>()?);
        }
        let has_arrivals = match &settings.input {
            Input::Log(_) | Input::Kafka(_) => true,
            Input::Files(files) => files.iter().all(|file| file.format == Some(FileFormat::Envelope)),
        };
        settings.clock = match arguments.clock {
            Some(clock) => clock.into(),
            None if has_arrivals => Clock::Arrival,
            None => Clock::EventTime,
        };
        settings.until = arguments.until.or(settings.until);
        if let (Some(from), Some(until)) = (arguments.from, settings.until)
            && from >= until
        {
            let says = format!("`--from` is {from}, and the history ends at {until}; give an earlier time");
            return Err(Usage(says).into());
        }
        Ok(Self {
            settings,
            _copies: copies,
        })
    }
}

/// The same settings for a job whose output nobody reads: nothing is written, nothing is deleted, and nothing is done about warnings.
fn apart(mut settings: Settings) -> Settings {
    settings.cluster.hosts.clear();
    settings.cluster.process = 0;
    settings.capabilities = Capabilities::without([capability::CASES, capability::PERMITS, capability::REPORTS]);
    settings.output = Output::Files(FilesOutput {
        folder: "/dev/null".into(),
        format: OutputFormat::Ndjson,
    });
    settings.guarantee = Guarantee::AtLeastOnce;
    settings.topics.tidy = Tidy::default();
    settings.output_topics = settings.topics.clone();
    settings.http = None;
    settings
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
            // Nothing else says of which topic it is.
            found = row.topic.is_some();
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
