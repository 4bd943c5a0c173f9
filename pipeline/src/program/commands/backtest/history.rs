//! Which history is read, and how: nothing is kept of what the job gives.

use anyhow::Result;
use riskflow_config::{Capabilities, FilesOutput, Guarantee, Output, OutputFormat, Settings, Tidy};
use riskflow_model::capability;

use super::super::history::{Asked, take};
use super::super::import::files::Given;
use crate::program::cli::BacktestArguments;

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
    /// As [`take`].
    pub fn of(arguments: &BacktestArguments, settings: Settings) -> Result<Self> {
        let mut settings = apart(settings);
        let asked = Asked {
            files: &arguments.files,
            copy_limit: arguments.copies.copy_limit,
            clock: arguments.clock,
            from: arguments.from,
            until: arguments.until,
            disorder: None,
        };
        let copies = take(&asked, &mut settings)?;
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
    settings.capabilities = Capabilities::without([
        capability::CASES,
        capability::PERMITS,
        capability::REPORTS,
        capability::GAUGES,
    ]);
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
