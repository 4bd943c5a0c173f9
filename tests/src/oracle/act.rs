//! What an action does to a case, by the table of ARCHITECTURE.md.

use riskflow_model::action::{Action, Verb};
use riskflow_model::output::{Basis, By, CaseEvent, CaseEventKind, CaseStep, Cause, Refusal};
use riskflow_model::{Millis, Text};

use crate::oracle::bureau::Wanted;
use crate::oracle::timeline::Kept;
use crate::oracle::walk::{Walk, full_name};

impl Walk<'_> {
    /// Whether the table allows a verb now, whatever it names.
    pub(super) fn allows(&self, verb: Verb) -> bool {
        use CaseStep::{Acknowledged, Archived, Dispatched, InProgress, Issued, Reported, Verified};
        let step = self.step;
        match verb {
            Verb::Call => step == Issued,
            Verb::Acknowledge => step <= Reported,
            Verb::Dispatch => step == Acknowledged,
            Verb::Progress => [Dispatched, InProgress, Reported].contains(&step),
            Verb::Report => step == InProgress,
            Verb::Verify => {
                step == Reported
                    || (self.basis == Basis::Cleared && (Acknowledged..=Reported).contains(&step))
                    || ((self.basis == Basis::Withdrawn || self.rejected.is_some()) && step < Verified)
            }
            Verb::Archive => step == Verified && (self.basis != Basis::Active || self.rejected.is_some()),
            Verb::Reject => step < Verified && self.rejected.is_none(),
            Verb::Suppress | Verb::Escalate | Verb::Assign => step < Archived,
            Verb::Comment | Verb::Attach => true,
        }
    }

    /// Everything that would be allowed now.
    pub fn allowed(&self) -> Vec<Verb> {
        Verb::ALL.into_iter().filter(|verb| self.allows(*verb)).collect()
    }

    /// Whether an acknowledgement finds anything to mark.
    fn matches(&self, action: &Action) -> bool {
        let obligation = |(unit, role): &(Text, Text)| {
            *role == action.role && action.unit.as_ref().is_none_or(|named| named == unit)
        };
        let pending = self
            .obligations
            .iter()
            .filter(|(_, pending)| pending.acknowledged.is_none());
        let mut lifted = self
            .lifted
            .iter()
            .filter(|lifted| lifted.round == self.round && !lifted.acknowledged);
        pending.clone().any(|(place, _)| obligation(place))
            || lifted.any(|lifted| action.unit.is_some() && lifted.escalation.to == action.unit)
    }

    fn mark(&mut self, action: &Action, at: i64) {
        for ((unit, role), pending) in &mut self.obligations {
            let named = action.unit.as_ref().is_none_or(|named| named == unit);
            if *role == action.role && named && pending.acknowledged.is_none() {
                pending.acknowledged = Some(at);
            }
        }
        for lifted in &mut self.lifted {
            if lifted.round == self.round && action.unit.is_some() && lifted.escalation.to == action.unit {
                lifted.acknowledged = true;
            }
        }
    }

    /// The positions of the tasks that a report names.
    fn named(&self, name: &Text) -> Vec<usize> {
        let of = |is_named: &dyn Fn(&Wanted) -> bool| -> Vec<usize> {
            (0..self.tasks.len())
                .filter(|position| is_named(&self.tasks[*position].wanted))
                .collect()
        };
        let in_full = of(&|task| full_name(task) == *name);
        if in_full.is_empty() {
            of(&|task| task.task == *name)
        } else {
            in_full
        }
    }

    /// The task that a report would be about; an error if it can be about none.
    fn reported_task(&self, action: &Action) -> Result<Option<usize>, Refusal> {
        let open = |position: &usize| self.tasks[*position].reported.is_none();
        let any_open = (0..self.tasks.len()).any(|position| open(&position));
        match &action.task {
            None if any_open => Err(Refusal::UnknownTask),
            None => Ok(None),
            Some(name) => {
                let named = self.named(name);
                match named.iter().copied().find(open) {
                    Some(position) => Ok(Some(position)),
                    None if named.is_empty() => Err(Refusal::UnknownTask),
                    None => Err(Refusal::AlreadyDone),
                }
            }
        }
    }

    fn refusal(&self, action: &Action) -> Option<Refusal> {
        if action.time.0 < self.issue - self.semantics.time.max_future {
            return Some(Refusal::BeforeIssue);
        }
        let verb = action.action;
        let overrides = verb == Verb::Archive && action.overrides && self.step < CaseStep::Archived;
        if self.allows(verb) || overrides {
            return match verb {
                Verb::Acknowledge if self.step >= CaseStep::Acknowledged && !self.matches(action) => {
                    Some(Refusal::AlreadyDone)
                }
                Verb::Report => self.reported_task(action).err(),
                _ => None,
            };
        }
        let done = own_step(verb).is_some_and(|step| step <= self.step);
        Some(if self.step == CaseStep::Archived {
            Refusal::Archived
        } else if verb == Verb::Archive && self.step == CaseStep::Verified {
            Refusal::NotEnded
        } else if done || (verb == Verb::Reject && self.rejected.is_some()) {
            Refusal::AlreadyDone
        } else {
            Refusal::OutOfOrder
        })
    }

    pub(super) fn act(&mut self, kept: &Kept) {
        let (at, action) = (kept.at, &kept.action);
        if let Some(refusal) = self.refusal(action) {
            let event = CaseEvent {
                refusal: Some(refusal),
                allowed: self.allowed(),
                by: Some(by(action)),
                ..self.event(action.time.0, CaseEventKind::Refused)
            };
            self.events.insert(event, Cause::Manual);
            return;
        }
        let kind = self.does(action, at);
        let event = CaseEvent {
            by: Some(by(action)),
            ..self.event(action.time.0, kind)
        };
        if kind == CaseEventKind::Escalated {
            let named = action.unit.as_ref().and_then(|unit| self.first_of(unit));
            self.lift(None, named.or_else(|| self.lead()), None, at, Some(event));
        } else {
            self.events.insert(event, Cause::Manual);
        }
    }

    fn does(&mut self, action: &Action, at: i64) -> CaseEventKind {
        match action.action {
            Verb::Call => self.enter(CaseStep::Called, at),
            Verb::Acknowledge => {
                self.mark(action, at);
                if self.step >= CaseStep::Acknowledged {
                    return CaseEventKind::Acknowledgement;
                }
                self.enter(CaseStep::Acknowledged, at);
            }
            Verb::Dispatch => self.enter(CaseStep::Dispatched, at),
            Verb::Progress if self.step == CaseStep::InProgress => return CaseEventKind::Progress,
            Verb::Progress => self.enter(CaseStep::InProgress, at),
            Verb::Report => {
                if let Ok(Some(position)) = self.reported_task(action) {
                    self.tasks[position].reported = Some(at);
                }
                if self.tasks.iter().any(|task| task.reported.is_none()) {
                    return CaseEventKind::Task;
                }
                self.enter(CaseStep::Reported, at);
            }
            Verb::Verify => self.enter(CaseStep::Verified, at),
            Verb::Archive => self.enter(CaseStep::Archived, at),
            Verb::Reject => {
                self.rejected = Some(action.text.clone());
                self.mark_end(at);
                return CaseEventKind::Rejected;
            }
            Verb::Suppress => {
                // One that is over already suppresses nothing.
                self.suppressed = action.until.map(|until| until.0).filter(|until| *until > at);
                return CaseEventKind::Suppressed;
            }
            Verb::Escalate => return CaseEventKind::Escalated,
            Verb::Comment => {
                self.people.notes.push(Self::note(at, action, &action.text));
                return CaseEventKind::Noted;
            }
            Verb::Assign => {
                self.people.assignee = action.assignee.clone();
                return CaseEventKind::Noted;
            }
            Verb::Attach => {
                let evidence = action.evidence.clone().unwrap_or_default();
                self.people.evidence.push(Self::note(at, action, &evidence));
                return CaseEventKind::Noted;
            }
        }
        CaseEventKind::Step
    }
}

/// The step that a verb leads to.
fn own_step(verb: Verb) -> Option<CaseStep> {
    match verb {
        Verb::Call => Some(CaseStep::Called),
        Verb::Acknowledge => Some(CaseStep::Acknowledged),
        Verb::Dispatch => Some(CaseStep::Dispatched),
        Verb::Progress => Some(CaseStep::InProgress),
        Verb::Report => Some(CaseStep::Reported),
        Verb::Verify => Some(CaseStep::Verified),
        Verb::Archive => Some(CaseStep::Archived),
        _ => None,
    }
}

/// Who did what.
pub(super) fn by(action: &Action) -> By {
    let about = match action.action {
        Verb::Report => action.task.clone(),
        Verb::Assign => action.assignee.clone(),
        Verb::Attach => action.evidence.clone(),
        Verb::Suppress => action.until.map(|until: Millis| until.to_string().into()),
        _ => None,
    };
    By {
        action: action.id.clone(),
        verb: action.action,
        actor: action.actor.clone(),
        role: action.role.clone(),
        unit: action.unit.clone(),
        about,
        text: action.text.clone(),
    }
}
