//! Flapping: the level of a case rises and falls again and again, and most of it is held back.

use riskflow_config::FlappingSettings;
use riskflow_model::output::Cause;
use riskflow_model::{Level, Millis};
use serde::{Deserialize, Serialize};

use super::item::{Fact, FactKind};

/// The raises of late, and what is held back.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Restless {
    /// As facts said last.
    level: Level,
    /// When something was raised the last times: at most [`RAISES`].
    raises: Vec<Millis>,
    /// While the case is marked: until when it must be calm for the mark to go.
    until: Option<Millis>,
    /// The last of the facts that are not told while it is marked.
    held: Option<Fact>,
}

/// So many raises within `case.flapping.within` mark a case.
const RAISES: usize = 3;

/// What becomes of a fact.
#[derive(Debug)]
pub(super) enum Passed {
    /// It is told.
    Told(Fact),
    /// It is told, and marks the case.
    Marks(Fact),
    /// It is kept until there is calm.
    Held,
}

impl Restless {
    /// Takes a fact in. `peak` is that of the case; of one that is archived there is none, and all is told.
    pub fn pass(&mut self, now: Millis, fact: Fact, peak: Option<Level>, settings: &FlappingSettings) -> Passed {
        let level = fact.level();
        let raises = matches!(fact.kind, FactKind::Raised(_) | FactKind::Joined(_));
        if raises {
            self.raises.push(now);
            let older = self.raises.len().saturating_sub(RAISES);
            self.raises.drain(..older);
        }
        let changes = level != std::mem::replace(&mut self.level, level);
        if let Some(until) = &mut self.until {
            if changes {
                *until = now + settings.calm;
            }
            let told = match peak {
                Some(peak) if level <= peak => {
                    self.held = Some(fact);
                    return Passed::Held;
                }
                // For the case its basis never went.
                Some(_) => Fact {
                    kind: FactKind::Level(level),
                    ..fact
                },
                None => fact,
            };
            self.held = None;
            return Passed::Told(told);
        }
        let first = self.raises.first().filter(|_| self.raises.len() == RAISES);
        let marks = raises && peak.is_some() && first.is_some_and(|first| now - *first <= settings.within);
        if marks {
            self.until = Some(now + settings.calm);
            Passed::Marks(fact)
        } else {
            Passed::Told(fact)
        }
    }

    /// Until when it must be calm, while the case is marked.
    pub const fn until(&self) -> Option<Millis> {
        self.until
    }

    /// The mark goes if there was calm: when that was, and what is to be told then of a case that shows this level.
    pub fn calm(&mut self, now: Millis, shown: Level) -> Option<(Millis, Option<Fact>)> {
        let until = self.until.filter(|until| *until <= now)?;
        self.until = None;
        self.raises.clear();
        let held = self.held.take().filter(|fact| fact.level() != shown);
        let told = held.map(|fact| Fact {
            kind: match fact.kind {
                FactKind::Raised(level) | FactKind::Joined(level) => FactKind::Level(level),
                kind => kind,
            },
            cause: Cause::Clock,
            ..fact
        });
        Some((until, told))
    }
}
