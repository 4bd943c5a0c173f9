//! What became of a promotion: known once a job has taken its record, and committed what comes of it.

use std::fmt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use riskflow_config::Settings;
use riskflow_connectors::{Appended, Polled, RawRecord, Share, Source, Until, Verdict, back_from_end, open_source};
use riskflow_model::Millis;
use riskflow_model::progress::Progress;
use riskflow_model::topic::Topic;
use serde_json::{Value, json};

use super::super::tail::place_of;
use crate::program::cli::{EXIT_NO_ANSWER, EXIT_REFUSED};

/// How long to wait for more.
const LOOK: Duration = Duration::from_millis(20);

/// What became of a promotion.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The set is live, and was so first in this epoch or shortly after.
    Live(Millis),
    /// A job took the record, and another set is live: somebody promoted that one since.
    Other(String),
    /// No job took the record for so long.
    Unknown(Duration),
}

impl Outcome {
    /// The exit code.
    pub fn code(&self) -> ExitCode {
        match self {
            Self::Live(_) => ExitCode::SUCCESS,
            Self::Other(_) => ExitCode::from(EXIT_REFUSED),
            Self::Unknown(_) => ExitCode::from(EXIT_NO_ANSWER),
        }
    }

    /// Adds itself to what is told as JSON.
    pub fn note(&self, told: &mut Value) {
        match self {
            Self::Live(epoch) => {
                told["outcome"] = "live".into();
                told["epoch"] = json!(epoch);
            }
            Self::Other(set) => {
                told["outcome"] = "other".into();
                told["live"] = set.as_str().into();
            }
            Self::Unknown(_) => told["outcome"] = "unknown".into(),
        }
    }
}

/// One line.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Live(epoch) => write!(f, "a job made it live: epoch {epoch} is committed"),
            Self::Other(set) => write!(
                f,
                "a job took the record, and `{set}` is live: another one was promoted since, or the record was refused"
            ),
            Self::Unknown(patience) => write!(
                f,
                "no outcome within {} s: no job runs here, or it is behind; the record is kept, and counts when a job takes it",
                patience.as_secs_f64()
            ),
        }
    }
}

/// Watches which input the epochs of a job took.
pub struct Watch(Box<dyn Source>);

impl Watch {
    /// Watches from now on.
    pub fn open(settings: &Settings) -> Result<Self> {
        let (place, topics) = (place_of(settings, Topic::EPOCH)?, [Topic::EPOCH]);
        let (from, _) = back_from_end(&place, &settings.topics, &topics, 0)?;
        let source = open_source(&place, &settings.topics, &topics, Share::WHOLE, Until::Forever, &from)?;
        Ok(Self(source))
    }

    /// The epoch that took a record of `in.ruleset`, if one does in time: what comes of it is committed with it.
    pub fn wait(&mut self, appended: Appended, patience: Duration) -> Result<Option<Millis>> {
        let until = Instant::now() + patience;
        loop {
            let mut found = None;
            let polled = self.0.poll(10_000, &mut |record| {
                found = found.or_else(|| taken(&record, appended));
                Verdict::Taken
            })?;
            if found.is_some() || Instant::now() > until {
                return Ok(found);
            }
            if polled != Polled::More {
                // A source is asked, it does not call; nothing was at hand, so asking again at once would spin.
                std::thread::sleep(LOOK);
            }
        }
    }
}

/// The epoch, if it took the record or came after the one that did.
fn taken(record: &RawRecord<'_>, appended: Appended) -> Option<Millis> {
    // One that says nothing has others behind it.
    let progress: Progress = serde_json::from_slice(record.payload?).ok()?;
    let next = progress.offsets.next(Topic::IN_RULESET, appended.partition);
    (next > appended.offset).then_some(progress.epoch)
}
