//! What people may do at each step, and what it does.

use riskflow_model::action::{Action, Verb};
use riskflow_model::output::{Basis, By, CaseEventKind, CaseState, CaseStep, Cause, Note, Refusal, TaskState};
use riskflow_model::responsibility::Unit;
use riskflow_model::{Id, Millis, Text};

use super::machine::{Machine, Post, Rules, Told};
use crate::closed_loop::obligation::PlannedTask;

impl Machine {
    /// An action stands at a time: it is done, or refused and changes nothing.
    pub(super) fn act(&mut self, at: Millis, action: &Action, rules: Rules<'_>, out: &mut Vec<Told>) {
        let by = by(action);
        let refused = if action.time < self.times.issued - rules.max_future {
            Some(Refusal::BeforeIssue)
        } else {
            self.refusal(action)
        };
        if let Some(refusal) = refused {
            // An event of an action is of the time that the action names, wherever it stands.
            let mut event = self.event(action.time, CaseEventKind::Refused);
            event.by = Some(by);
            event.refusal = Some(refusal);
            event.allowed = Verb::ALL.into_iter().filter(|verb| self.allows(*verb)).collect();
            out.push((event, Cause::Manual));
            return;
        }
        if action.action == Verb::Escalate {
            let of_unit = action
                .unit
                .as_ref()
                .and_then(|unit| self.obliged.keys().find(|(held, _)| held == unit).cloned());
            let from = of_unit.or_else(|| self.lead());
            self.lift(at, None, from, None, Some((by, action.time)), out);
            return;
        }
        let kind = self.perform(at, action, rules);
        let mut event = self.event(action.time, kind);
        event.by = Some(by);
        out.push((event, Cause::Manual));
    }

    /// Whether a verb is allowed now, whatever the action names.
    pub(super) fn allows(&self, verb: Verb) -> bool {
        let step = self.step;
        let working = (CaseStep::Acknowledged..=CaseStep::Reported).contains(&step);
        match verb {
            Verb::Call => step == CaseStep::Issued,
            Verb::Acknowledge => step <= CaseStep::Reported,
            Verb::Dispatch => step == CaseStep::Acknowledged,
            Verb::Progress => (CaseStep::Dispatched..=CaseStep::Reported).contains(&step),
            Verb::Report => step == CaseStep::InProgress,
            Verb::Verify if self.basis == Basis::Withdrawn || self.rejected.is_some() => step < CaseStep::Verified,
            Verb::Verify if self.basis == Basis::Cleared => working,
            Verb::Verify => step == CaseStep::Reported,
            Verb::Archive => step == CaseStep::Verified && self.ended(),
            Verb::Reject => step < CaseStep::Verified && self.rejected.is_none(),
            Verb::Suppress | Verb::Escalate | Verb::Assign => step < CaseStep::Archived,
            Verb::Comment | Verb::Attach => true,
        }
    }

    fn refusal(&self, action: &Action) -> Option<Refusal> {
        let verb = action.action;
        let overridden = verb == Verb::Archive && action.overrides && self.step < CaseStep::Archived;
        if self.allows(verb) || overridden {
            return match verb {
                Verb::Acknowledge if self.step >= CaseStep::Acknowledged && !self.matches_any(action) => {
                    Some(Refusal::AlreadyDone)
                }
                Verb::Report => self.job_of(action).err(),
                _ => None,
            };
        }
        let done = target(verb).is_some_and(|target| target <= self.step);
        Some(match verb {
            _ if self.step == CaseStep::Archived => Refusal::Archived,
            Verb::Archive if self.step == CaseStep::Verified => Refusal::NotEnded,
            Verb::Reject if self.rejected.is_some() => Refusal::AlreadyDone,
            _ if done => Refusal::AlreadyDone,
            _ => Refusal::OutOfOrder,
        })
    }

    /// Does what is allowed.
    fn perform(&mut self, at: Millis, action: &Action, rules: Rules<'_>) -> CaseEventKind {
        match action.action {
            Verb::Call => self.enter(at, CaseStep::Called, rules),
            Verb::Acknowledge => {
                self.acknowledge(at, action);
                if self.step >= CaseStep::Acknowledged {
                    return CaseEventKind::Acknowledgement;
                }
                self.enter(at, CaseStep::Acknowledged, rules);
                if self.round == 1 {
                    self.first_acknowledged(at, rules);
                }
            }
            Verb::Dispatch => self.enter(at, CaseStep::Dispatched, rules),
            Verb::Progress if self.step == CaseStep::InProgress => return CaseEventKind::Progress,
            Verb::Progress => self.enter(at, CaseStep::InProgress, rules),
            Verb::Report => {
                if let Some(job) = self.job_of(action).ok().flatten().and_then(|id| self.jobs.get_mut(&id)) {
                    job.reported = Some(at);
                }
                if self.jobs.values().any(|job| job.reported.is_none()) {
                    return CaseEventKind::Task;
                }
                self.enter(at, CaseStep::Reported, rules);
            }
            Verb::Verify => self.enter(at, CaseStep::Verified, rules),
            Verb::Archive => {
                self.enter(at, CaseStep::Archived, rules);
                if self.round == 1 {
                    self.times.archived = Some(at);
                }
            }
            Verb::Reject => {
                self.rejected = Some(action.text.clone());
                return CaseEventKind::Rejected;
            }
            Verb::Suppress => {
                self.suppress(at, action.until);
                return CaseEventKind::Suppressed;
            }
            Verb::Escalate => return CaseEventKind::Escalated,
            Verb::Comment | Verb::Assign | Verb::Attach => {
                self.note(at, action);
                return CaseEventKind::Noted;
            }
        }
        CaseEventKind::Step
    }

    fn first_acknowledged(&mut self, at: Millis, rules: Rules<'_>) {
        let issued = self.times.issued;
        let step = CaseStep::Acknowledged;
        let limit = self
            .domain
            .and_then(|domain| rules.settings.deadline(domain, self.issue_level, step));
        self.times.acknowledged = Some(at);
        self.times.in_time = limit.is_none_or(|limit| at <= issued + limit);
    }

    fn note(&mut self, at: Millis, action: &Action) {
        let note = |text: &Text| Note {
            at,
            actor: action.actor.clone(),
            text: text.clone(),
        };
        let (list, count, added) = match action.action {
            Verb::Comment => (&mut self.people.notes, &mut self.noted, Some(&action.text)),
            Verb::Attach => (&mut self.people.evidence, &mut self.attached, action.evidence.as_ref()),
            _ => return self.people.assignee.clone_from(&action.assignee),
        };
        if let Some(added) = added {
            // Actions stand in the order of time: what is first is oldest.
            if list.len() == CaseState::NEWEST {
                list.remove(0);
            }
            list.push(note(added));
            *count += 1;
        }
    }

    fn matching<'a>(&'a self, action: &'a Action) -> impl Iterator<Item = &'a Post> {
        let pending = self
            .obliged
            .iter()
            .filter(|(_, obliged)| obliged.acknowledged.is_none());
        pending
            .map(|(post, _)| post)
            .filter(|(unit, role)| *role == action.role && action.unit.as_ref().is_none_or(|named| named == unit))
    }

    fn matches_any(&self, action: &Action) -> bool {
        let lifted = self
            .lifted
            .iter()
            .any(|lifted| lifted.round == self.round && !lifted.acknowledged && is_to(&lifted.escalation.to, action));
        lifted || self.matching(action).next().is_some()
    }

    fn acknowledge(&mut self, at: Millis, action: &Action) {
        let matching: Vec<Post> = self.matching(action).cloned().collect();
        for post in matching {
            if let Some(obliged) = self.obliged.get_mut(&post) {
                obliged.acknowledged = Some(at);
            }
        }
        let round = self.round;
        for lifted in self.lifted.iter_mut().filter(|lifted| lifted.round == round) {
            lifted.acknowledged |= is_to(&lifted.escalation.to, action);
        }
    }

    /// The task that a report is about; `None` where the case has none open.
    fn job_of(&self, action: &Action) -> Result<Option<PlannedTask>, Refusal> {
        let open = self.jobs.values().any(|job| job.reported.is_none());
        let Some(named) = &action.task else {
            return if open { Err(Refusal::UnknownTask) } else { Ok(None) };
        };
        // A full name means one task, also where another is called the same for short.
        let full = |(plan, task): &PlannedTask| TaskState::full_name(plan, task) == *named;
        let by_full_name = self.jobs.keys().any(full);
        let is_named = |id: &PlannedTask| if by_full_name { full(id) } else { id.1.text() == named };
        let mut found = self.jobs.iter().filter(|(id, _)| is_named(id)).peekable();
        if found.peek().is_none() {
            return Err(Refusal::UnknownTask);
        }
        let first = found.find(|(_, job)| job.reported.is_none());
        first.map(|(id, _)| Some(id.clone())).ok_or(Refusal::AlreadyDone)
    }
}

fn is_to(to: &Option<Id<Unit>>, action: &Action) -> bool {
    to.is_some() && *to == action.unit
}

/// The step that a verb leads to.
const fn target(verb: Verb) -> Option<CaseStep> {
    match verb {
        Verb::Call => Some(CaseStep::Called),
        Verb::Acknowledge => Some(CaseStep::Acknowledged),
        Verb::Dispatch => Some(CaseStep::Dispatched),
        Verb::Progress => Some(CaseStep::InProgress),
        Verb::Report => Some(CaseStep::Reported),
        Verb::Verify => Some(CaseStep::Verified),
        Verb::Archive => Some(CaseStep::Archived),
        Verb::Reject | Verb::Suppress | Verb::Escalate | Verb::Comment | Verb::Assign | Verb::Attach => None,
    }
}

/// Who did what.
pub(super) fn by(action: &Action) -> By {
    let until = || action.until.map(|until| until.to_string().into());
    let about = match action.action {
        Verb::Report => action.task.clone(),
        Verb::Assign => action.assignee.clone(),
        Verb::Attach => action.evidence.clone(),
        Verb::Suppress => until(),
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
