//! What became of an action: an event of its case, a refusal, or a dead letter.

use std::fmt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use riskflow_config::Settings;
use riskflow_connectors::{Appended, Polled, RawRecord, Share, Source, Until, Verdict, back_from_end, open_source};
use riskflow_model::Id;
use riskflow_model::action::Action;
use riskflow_model::output::{CaseDelta, CaseEventKind, DeadLetter, Stamped};
use riskflow_model::progress::Offsets;
use riskflow_model::topic::Topic;
use serde_json::{Value, json};

use super::super::tail::people::allowed;
use super::super::tail::place_of;
use crate::program::cli::{EXIT_NO_ANSWER, EXIT_REFUSED};

/// Where outcomes are told.
const TOPICS: [Topic; 2] = [Topic::CASE_DELTA, Topic::DEAD_LETTER];

/// What became of an action.
pub enum Outcome {
    /// It counts: the event that it made of the case.
    Counts(Box<CaseDelta>),
    /// It was done before, under the same identifier: nothing new happens.
    Before(Box<CaseDelta>),
    /// It is refused, and changes nothing.
    Refused(Box<CaseDelta>),
    /// It could not be used at all.
    Dead(Box<DeadLetter>),
    /// Nobody said anything for so long.
    Unknown(Duration),
}

impl Outcome {
    /// The exit code.
    pub fn code(&self) -> ExitCode {
        match self {
            Self::Counts(_) => ExitCode::SUCCESS,
            Self::Before(delta) if delta.event.kind != CaseEventKind::Refused => ExitCode::SUCCESS,
            Self::Before(_) | Self::Refused(_) | Self::Dead(_) => ExitCode::from(EXIT_REFUSED),
            Self::Unknown(_) => ExitCode::from(EXIT_NO_ANSWER),
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Counts(_) => "counts",
            Self::Before(_) => "before",
            Self::Refused(_) => "refused",
            Self::Dead(_) => "dead_letter",
            Self::Unknown(_) => "unknown",
        }
    }

    /// Adds itself to what is told as JSON.
    pub fn note(&self, told: &mut Value) {
        told["outcome"] = self.name().into();
        match self {
            Self::Counts(delta) | Self::Before(delta) | Self::Refused(delta) => told["event"] = json!(delta.event),
            Self::Dead(letter) => {
                told["reason"] = json!(letter.reason);
                told["detail"] = json!(letter.detail);
            }
            Self::Unknown(_) => {}
        }
    }
}

/// One line.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Counts(delta) => {
                let event = &delta.event;
                let verb = event.by.as_ref().map_or("it", |by| by.verb.name());
                write!(f, "done: {verb} at {}; the case is {}", event.at, event.step.name())
            }
            Self::Before(delta) => {
                let counted = if delta.event.kind == CaseEventKind::Refused {
                    "was refused"
                } else {
                    "counted"
                };
                write!(
                    f,
                    "an action with this identifier came before, and {counted}; the case was {} then",
                    delta.event.step.name()
                )
            }
            Self::Refused(delta) => {
                let refusal = json!(delta.event.refusal);
                let refusal = refusal.as_str().unwrap_or("for a reason that is not told");
                if refusal == "unknown_case" {
                    return f.write_str(
                        "refused: unknown_case; there is no such case: give its whole identifier, as `riskflow tail cases --json` shows it",
                    );
                }
                write!(f, "refused: {refusal}; the case is {}", delta.event.step.name())?;
                let allowed = allowed(&delta.event);
                match allowed.is_empty() {
                    true => write!(f, ", and nothing is allowed"),
                    false => write!(f, ", and allowed are {}", allowed.join(", ")),
                }
            }
            Self::Dead(letter) => write!(f, "refused: {}: {}", letter.reason.name(), letter.detail),
            Self::Unknown(patience) => write!(
                f,
                "no outcome within {} s: no job runs here, or it is behind; the action is kept, and counts when a job takes it",
                patience.as_secs_f64()
            ),
        }
    }
}

/// Watches for the outcome of an action.
pub struct Watch {
    source: Box<dyn Source>,
    id: Id<Action>,
    /// What an action with this identifier became before.
    before: Option<Box<CaseDelta>>,
}

impl Watch {
    /// Watches from now on. If the identifier may have come before, what became of that is looked for, too.
    pub fn open(settings: &Settings, id: &Id<Action>, case: &str, again: bool) -> Result<Self> {
        let place = place_of(settings, Topic::CASE_DELTA)?;
        let from = if again {
            Offsets::default()
        } else {
            back_from_end(&place, &settings.topics, &TOPICS, 0)?.0
        };
        let source = open_source(&place, &settings.topics, &TOPICS, Share::WHOLE, Until::Forever, &from)?;
        let mut watch = Self {
            source,
            id: id.clone(),
            before: None,
        };
        while !watch.source.caught_up() {
            let mut before = None;
            let polled = watch.poll(&mut |_, found| {
                before = found.filter(|found| *found.case == *case).or(before.take());
            })?;
            if polled != Polled::More {
                // A source is asked, it does not call; nothing was at hand, so asking again at once would spin.
                std::thread::sleep(LOOK);
            }
            watch.before = before.or(watch.before);
        }
        Ok(watch)
    }

    /// Waits for the outcome of what was appended.
    pub fn wait(&mut self, appended: Appended, patience: Duration) -> Result<Outcome> {
        if let Some(before) = self.before.take() {
            return Ok(Outcome::Before(before));
        }
        let until = Instant::now() + patience;
        loop {
            let mut outcome = None;
            let polled = self.poll(&mut |record, delta| {
                outcome = outcome.take().or_else(|| match delta {
                    Some(delta) if delta.event.kind == CaseEventKind::Refused => Some(Outcome::Refused(delta)),
                    Some(delta) => Some(Outcome::Counts(delta)),
                    None => dead_letter(record, appended).map(Outcome::Dead),
                });
            })?;
            if let Some(outcome) = outcome {
                return Ok(outcome);
            }
            if Instant::now() > until {
                return Ok(Outcome::Unknown(patience));
            }
            if polled != Polled::More {
                // As above: the end is what comes, or patience, never this.
                std::thread::sleep(LOOK);
            }
        }
    }

    /// Hands out what comes, with what it says about the action.
    fn poll(&mut self, take: &mut dyn FnMut(&RawRecord<'_>, Option<Box<CaseDelta>>)) -> Result<Polled> {
        let id = &self.id;
        Ok(self.source.poll(10_000, &mut |record| {
            take(&record, delta_about(&record, id));
            Verdict::Taken
        })?)
    }
}

/// How long to wait for more.
const LOOK: Duration = Duration::from_millis(20);

/// What a delta says about an action. Its case need not be called as the warning that the action names, which may have joined one.
fn delta_about(record: &RawRecord<'_>, id: &str) -> Option<Box<CaseDelta>> {
    let payload = record.payload.filter(|_| record.topic == Topic::CASE_DELTA)?;
    // Parsed only where it may be the one: an identifier stands in JSON as it is, or escaped.
    let may_be = |text: &str| text.contains(id) || text.contains('\\');
    if !std::str::from_utf8(payload).is_ok_and(may_be) {
        return None;
    }
    let delta: Stamped<CaseDelta> = serde_json::from_slice(payload).ok()?;
    let by = delta.record.event.by.as_ref()?;
    (*by.action == *id && !delta.record.retracted).then(|| Box::new(delta.record))
}

fn dead_letter(record: &RawRecord<'_>, appended: Appended) -> Option<Box<DeadLetter>> {
    let payload = record.payload.filter(|_| record.topic == Topic::DEAD_LETTER)?;
    let letter: Stamped<DeadLetter> = serde_json::from_slice(payload).ok()?;
    let letter = letter.record;
    let is_it = *letter.topic == *Topic::IN_ACTION.name()
        && letter.partition == u32::from(appended.partition)
        && letter.offset == appended.offset;
    is_it.then(|| Box::new(letter))
}
