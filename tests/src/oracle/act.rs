//! What an action does to a case. Which one is allowed, what it needs and where it leads is read from the tables of
//! `docs/closed-loop.md` ([`action_table`](super::action_table)); here is only what the words of these tables mean.

use riskflow_model::action::{Action, Verb};
use riskflow_model::output::{By, CaseEvent, CaseEventKind, Cause, Refusal};
use riskflow_model::{Millis, Text};

use crate::oracle::action_table::{Cell, Need, Standing, TABLES};
use crate::oracle::bureau::{Place, Wanted};
use crate::oracle::timeline::Kept;
use crate::oracle::walk::{Walk, full_name};

impl Walk<'_> {
    fn cell(&self, verb: Verb, overrides: bool) -> Cell {
        let standing = Standing {
            basis: self.basis,
            rejected: self.rejected.is_some(),
        };
        TABLES.cell(verb, standing, self.step, overrides)
    }

    /// Everything that would be allowed now, whatever it names.
    pub fn allowed(&self) -> Vec<Verb> {
        let is_allowed = |verb: &Verb| !matches!(self.cell(*verb, false), Cell::Refused(_));
        Verb::ALL.into_iter().filter(is_allowed).collect()
    }

    /// The cell of an action that is allowed and lacks nothing.
    fn judge(&self, action: &Action) -> Result<Cell, Refusal> {
        let is_lacking = |need: &&Need| !self.holds(&need.what, action);
        let verb = action.action;
        if let Some(need) = TABLES.needs_before(verb).find(is_lacking) {
            return Err(need.refusal);
        }
        let cell = self.cell(verb, action.overrides);
        if let Cell::Refused(refusal) = cell {
            return Err(refusal);
        }
        let lacking = TABLES.needs(verb, cell).find(is_lacking);
        lacking.map_or(Ok(cell), |need| Err(need.refusal))
    }

    /// Whether what the page calls so holds.
    fn holds(&self, what: &str, action: &Action) -> bool {
        match what {
            "not_before_issue" => action.time.0 >= self.issue - self.semantics.time.max_future.0,
            "marks_something" => self.marks_something(action),
            "names_a_task" => match &action.task {
                Some(name) => !self.named(name).is_empty(),
                None => !self.tasks_are_open(),
            },
            "task_is_open" => action.task.is_none() || self.first_open(action).is_some(),
            "tasks_are_open" => self.tasks_are_open(),
            _ => panic!("docs/closed-loop.md asks for `{what}`, of which the oracle knows nothing"),
        }
    }

    fn tasks_are_open(&self) -> bool {
        self.tasks.iter().any(|task| task.reported.is_none())
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
            of(&|task| *task.task == **name)
        } else {
            in_full
        }
    }

    /// The first task that a report names and that is not reported.
    fn first_open(&self, action: &Action) -> Option<usize> {
        let named = self.named(action.task.as_ref()?);
        named
            .into_iter()
            .find(|position| self.tasks[*position].reported.is_none())
    }

    /// Whether an acknowledgement finds anything to mark.
    fn marks_something(&self, action: &Action) -> bool {
        let obligation =
            |(unit, role): &Place| *role == action.role && action.unit.as_ref().is_none_or(|named| named == unit);
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

    pub(super) fn act(&mut self, kept: &Kept) {
        let (at, action) = (kept.at, &kept.action);
        let cell = match self.judge(action) {
            Ok(cell) => cell,
            Err(refusal) => {
                let event = CaseEvent {
                    refusal: Some(refusal),
                    allowed: self.allowed(),
                    by: Some(by(action)),
                    ..self.event(action.time.0, CaseEventKind::Refused)
                };
                self.events.insert(event, Cause::Manual);
                return;
            }
        };
        let effect = TABLES.effect(action.action);
        self.perform(&effect.what, at, action);
        let is_kept_back = !effect.unless.is_empty() && self.holds(&effect.unless, action);
        let kind = match cell {
            Cell::To(step) if !is_kept_back => {
                self.enter(step, at);
                CaseEventKind::Step
            }
            _ => effect.event.expect("an action that is no step has an event of its own"),
        };
        let event = CaseEvent {
            by: Some(by(action)),
            ..self.event(action.time.0, kind)
        };
        if effect.what == "escalate" {
            let named = action.unit.as_ref().and_then(|unit| self.first_of(unit));
            self.lift(None, named.or_else(|| self.lead()), None, at, Some(event));
        } else {
            self.events.insert(event, Cause::Manual);
        }
    }

    /// Does what the page calls so.
    fn perform(&mut self, what: &str, at: i64, action: &Action) {
        match what {
            // An escalation is made with its event.
            "" | "escalate" => {}
            "mark" => self.mark(action, at),
            "finish_task" => {
                if let Some(position) = self.first_open(action) {
                    self.tasks[position].reported = Some(at);
                }
            }
            "reject" => {
                self.rejected = Some(action.text.clone());
                self.mark_end(at);
            }
            "suppress" => {
                let until = action.until.map(|until| until.0).filter(|until| *until > at);
                let was_quiet = self.suppressed.is_some_and(|until| until > at);
                // One that is cut short ends here.
                self.quiet_until = until.or(if was_quiet { Some(at) } else { self.quiet_until });
                self.suppressed = until;
            }
            "note" => self.people.notes.push(Self::note(at, action, &action.text)),
            "assign" => self.people.assignee.clone_from(&action.assignee),
            "evidence" => {
                let evidence = action.evidence.clone().unwrap_or_default();
                self.people.evidence.push(Self::note(at, action, &evidence));
            }
            _ => panic!("docs/closed-loop.md names the effect `{what}`, of which the oracle knows nothing"),
        }
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
