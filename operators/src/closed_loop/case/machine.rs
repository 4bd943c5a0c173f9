//! The state machine of one case: walks its timeline, and passes its deadlines ([`passing`](super::passing)).
//!
//! The machine is a value: a copy of it that stands behind everything that can still change goes over what came since, again
//! whenever any of that changes. So what is found does not depend on the order in which it was learnt.

use std::collections::BTreeMap;
use std::sync::Arc;

use riskflow_config::CaseSettings;
use riskflow_model::output::{Basis, CaseEvent, CaseEventKind, CaseStep, CaseTimes, Cause, Escalation, People};
use riskflow_model::responsibility::Unit;
use riskflow_model::{Domain, Duration, Id, Level, Millis, Text};
use serde::{Deserialize, Serialize};

use super::deadline::{Deadline, Reminding};
use super::item::{Evidence, Fact, FactKind, Held, Item, What};
use crate::closed_loop::obligation::{PlannedTask, TaskMatch};

/// A unit and a role there.
pub type Post = (Id<Unit>, Text);

/// What the machine needs to know besides its timeline.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Deadlines.
    pub settings: &'a CaseSettings,
    /// How far an action may be before the issue.
    pub max_future: Duration,
}

/// Who must acknowledge the case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Obliged {
    /// As the duties give it.
    pub held: Held,
    /// Whether duties give it still.
    pub present: bool,
    /// Pending since then.
    pub since: Millis,
    /// By when.
    pub deadline: Deadline,
    /// When it was acknowledged.
    pub acknowledged: Option<Millis>,
}

/// What a plan asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// As the plan gives it.
    pub task: TaskMatch,
    /// Whether the plan gives it still.
    pub present: bool,
    /// When it came.
    pub since: Millis,
    /// By when.
    pub deadline: Deadline,
    /// When it was reported.
    pub reported: Option<Millis>,
}

/// An escalation, and whether the unit that it went to knows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Lifted {
    /// What was due, and where it went.
    pub escalation: Escalation,
    /// In which round.
    pub round: u32,
    /// Whether the unit acknowledged.
    pub acknowledged: bool,
}

/// An event, and its cause where that is its own.
pub type Told = (CaseEvent, Cause);

/// A case at one moment.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Machine {
    pub(super) domain: Option<Domain>,
    pub(super) round: u32,
    pub(super) step: CaseStep,
    /// When the step was entered.
    pub(super) entered: Millis,
    pub(super) basis: Basis,
    /// When the last fact stood.
    pub(super) fact_at: Millis,
    pub(super) level: Level,
    pub(super) peak: Level,
    /// The time of the alarm that must be acknowledged.
    pub(super) armed: Millis,
    /// How people are reminded of it, where they are; a suppression that is over moves the beginning.
    pub(super) reminding: Option<Reminding>,
    /// Since when it goes on again after an end that was told.
    pub(super) resumed: Option<Millis>,
    /// Since when what it rests on is restless.
    pub(super) flapping: Option<Millis>,
    /// What the last fact rests on, and that which armed it last.
    pub(super) evidence: Option<Arc<Evidence>>,
    pub(super) armed_by: Option<Arc<Evidence>>,
    pub(super) rejected: Option<Text>,
    pub(super) suppressed: Option<Millis>,
    /// By when the next step must be done, and which that is.
    pub(super) next: (CaseStep, Deadline),
    /// By when anybody must acknowledge where nobody is obliged.
    pub(super) anybody: Deadline,
    pub(super) obliged: BTreeMap<Post, Obliged>,
    pub(super) jobs: BTreeMap<PlannedTask, Job>,
    pub(super) lifted: Vec<Lifted>,
    /// The level at which it was first issued.
    pub(super) issue_level: Level,
    pub(super) times: CaseTimes,
    pub(super) people: People,
    /// How many notes and pieces of evidence there were: of each only the newest are kept.
    pub(super) noted: u32,
    pub(super) attached: u32,
}

impl Machine {
    /// Whether the case was ever issued.
    pub fn exists(&self) -> bool {
        self.round > 0
    }

    /// Whether people are told and deadlines for them run.
    pub fn telling(&self) -> bool {
        self.step < CaseStep::Verified && self.basis != Basis::Withdrawn && self.rejected.is_none()
    }

    /// How people are reminded of it now; `None` where they are not.
    pub(super) fn reminding(&self, now: Millis) -> Option<Reminding> {
        let waits = self.telling() && self.step < CaseStep::Acknowledged && self.basis == Basis::Active;
        let suppressed = self.suppressed.is_some_and(|until| now < until);
        let Reminding { from, every } = self.reminding.filter(|_| waits && !suppressed)?;
        // What a suppression kept from them is not made up for when it is over.
        let from = self.suppressed.map_or(from, |until| from.max(until));
        Some(Reminding { from, every })
    }

    /// Whether nothing more has to be done but to close the case.
    pub(super) fn ended(&self) -> bool {
        self.basis != Basis::Active || self.rejected.is_some()
    }

    /// Passes the deadlines before the item, then the item.
    pub fn step_over(&mut self, item: &Item, rules: Rules<'_>, out: &mut Vec<Told>) {
        self.pass(item.at, out);
        match &item.what {
            What::Domain(domain) => self.domain = Some(*domain),
            What::Fact(fact) => self.fact(item.at, fact, rules, out),
            What::Flapping(flapping, cause) => self.flap(item.at, *flapping, *cause, out),
            What::Duty(post, held) => self.duty(item.at, post, held.as_ref(), rules),
            What::Task(id, task) => self.task(item.at, id, task.as_ref()),
            What::Act(_, action) => self.act(item.at, action, rules, out),
        }
    }

    /// An event that leaves the case as it is now.
    pub(super) fn event(&self, at: Millis, kind: CaseEventKind) -> CaseEvent {
        CaseEvent {
            at,
            kind,
            step: self.step,
            level: self.level,
            by: None,
            escalation: None,
            refusal: None,
            allowed: Vec::new(),
        }
    }

    fn flap(&mut self, at: Millis, flapping: bool, cause: Cause, out: &mut Vec<Told>) {
        self.flapping = flapping.then_some(at);
        let kind = if flapping {
            // That says more than that it goes on.
            self.resumed = None;
            CaseEventKind::Flapping
        } else {
            CaseEventKind::Calm
        };
        out.push((self.event(at, kind), cause));
    }

    fn fact(&mut self, at: Millis, fact: &Fact, rules: Rules<'_>, out: &mut Vec<Told>) {
        self.fact_at = at;
        self.resumed = None;
        self.evidence.clone_from(&fact.evidence);
        let archived = self.step == CaseStep::Archived;
        let kind = match fact.kind {
            FactKind::Raised(level) | FactKind::Joined(level) if !self.exists() => {
                self.times.issued = at;
                self.issue_level = level;
                self.begin(at, level, rules);
                CaseEventKind::Issued
            }
            FactKind::Raised(level) | FactKind::Joined(level) | FactKind::Level(level)
                if archived && self.reopens(fact.kind) =>
            {
                self.begin(at, level, rules);
                CaseEventKind::Reopened
            }
            // People are done with it: a new warning is a new round.
            FactKind::Joined(level) if self.step == CaseStep::Verified => {
                self.begin(at, level, rules);
                CaseEventKind::Reopened
            }
            FactKind::Joined(level)
                if self.basis == Basis::Cleared && level <= self.peak && self.rejected.is_none() =>
            {
                self.resume(at, level, rules);
                CaseEventKind::Resumed
            }
            FactKind::Joined(level) if self.basis == Basis::Cleared && level > self.peak => {
                (self.basis, self.level, self.peak) = (Basis::Active, level, level);
                self.arm(at, rules);
                CaseEventKind::Raised
            }
            FactKind::Raised(level) | FactKind::Joined(level) => {
                (self.basis, self.level, self.peak) = (Basis::Active, level, self.peak.max(level));
                self.arm(at, rules);
                CaseEventKind::Reissued
            }
            FactKind::Level(level) if level > self.peak => {
                (self.level, self.peak) = (level, level);
                self.arm(at, rules);
                CaseEventKind::Raised
            }
            FactKind::Level(level) => {
                self.level = level;
                CaseEventKind::Level
            }
            FactKind::Cleared => {
                self.end(at, Basis::Cleared, rules);
                CaseEventKind::Cleared
            }
            FactKind::Withdrawn => {
                self.end(at, Basis::Withdrawn, rules);
                if archived {
                    CaseEventKind::BasisCorrected
                } else {
                    CaseEventKind::Withdrawn
                }
            }
        };
        out.push((self.event(at, kind), fact.cause));
    }

    /// Whether a fact opens an archived case again.
    fn reopens(&self, fact: FactKind) -> bool {
        match fact {
            FactKind::Raised(_) | FactKind::Joined(_) => true,
            FactKind::Level(level) => level > self.peak,
            FactKind::Cleared | FactKind::Withdrawn => false,
        }
    }

    /// A round begins.
    fn begin(&mut self, at: Millis, level: Level, rules: Rules<'_>) {
        self.round += 1;
        (self.step, self.entered) = (CaseStep::Issued, at);
        (self.basis, self.level, self.peak) = (Basis::Active, level, level);
        self.suppressed = None;
        self.jobs.retain(|_, job| job.present);
        for job in self.jobs.values_mut() {
            job.reported = None;
            job.since = at;
            job.deadline = Deadline::after(at, job.task.limit);
        }
        self.arm(at, rules);
    }

    /// Reminders count from here.
    fn remind(&mut self, from: Millis, rules: Rules<'_>) {
        let every = self.domain.and_then(|domain| rules.settings.remind(domain, self.peak));
        self.reminding = every.map(|every| Reminding { from, every });
    }

    /// All must acknowledge, and every deadline counts from here.
    fn arm(&mut self, at: Millis, rules: Rules<'_>) {
        self.armed = at;
        self.remind(at, rules);
        self.armed_by.clone_from(&self.evidence);
        self.rejected = None;
        let limit = self.limit(CaseStep::Acknowledged, rules);
        self.obliged.retain(|_, obliged| obliged.present);
        for obliged in self.obliged.values_mut() {
            obliged.since = at;
            obliged.acknowledged = None;
            obliged.deadline = Deadline::after(at, limit);
        }
        self.anybody = if self.step < CaseStep::Acknowledged {
            Deadline::after(at, limit)
        } else {
            Deadline::NONE
        };
        self.expect(at, rules);
    }

    /// It goes on after an end, no higher than before: nobody need acknowledge anew, and what the end made due is not any more.
    fn resume(&mut self, at: Millis, level: Level, rules: Rules<'_>) {
        (self.basis, self.level) = (Basis::Active, level);
        self.resumed = Some(at);
        self.remind(at, rules);
        let working = CaseStep::Acknowledged <= self.step && self.step < CaseStep::Reported;
        if working || (self.step == CaseStep::Verified && !self.ended()) {
            self.expect(at, rules);
        }
    }

    fn end(&mut self, at: Millis, basis: Basis, rules: Rules<'_>) {
        let ended = self.ended();
        self.basis = basis;
        self.level = Level::None;
        let working = CaseStep::Acknowledged <= self.step && self.step < CaseStep::Reported;
        let verified = self.step == CaseStep::Verified && !ended;
        if (working && basis == Basis::Cleared) || verified {
            self.expect(at, rules);
        }
    }

    pub(super) fn limit(&self, step: CaseStep, rules: Rules<'_>) -> Option<Duration> {
        rules.settings.deadline(self.domain?, self.peak, step)
    }

    /// Enters a step.
    pub(super) fn enter(&mut self, at: Millis, step: CaseStep, rules: Rules<'_>) {
        (self.step, self.entered) = (step, at);
        self.anybody = match step {
            CaseStep::Issued | CaseStep::Called => self.anybody,
            _ => Deadline::NONE,
        };
        self.expect(at, rules);
    }

    /// Sets the deadline of the next step, counted from `at`.
    fn expect(&mut self, at: Millis, rules: Rules<'_>) {
        let step = match self.step {
            CaseStep::Issued => Some(CaseStep::Called),
            CaseStep::Acknowledged | CaseStep::Dispatched | CaseStep::InProgress if self.basis == Basis::Cleared => {
                Some(CaseStep::Verified)
            }
            CaseStep::Acknowledged => Some(CaseStep::Dispatched),
            CaseStep::Dispatched => Some(CaseStep::InProgress),
            CaseStep::InProgress => Some(CaseStep::Reported),
            CaseStep::Reported => Some(CaseStep::Verified),
            CaseStep::Verified if self.ended() => Some(CaseStep::Archived),
            CaseStep::Called | CaseStep::Verified | CaseStep::Archived => None,
        };
        self.next = match step {
            Some(step) => (step, Deadline::after(at, self.limit(step, rules))),
            None => (self.step, Deadline::NONE),
        };
    }

    fn duty(&mut self, at: Millis, post: &Post, held: Option<&Held>, rules: Rules<'_>) {
        match (self.obliged.get_mut(post), held) {
            (Some(obliged), Some(held)) => {
                obliged.held.clone_from(held);
                obliged.present = true;
            }
            (None, Some(held)) => {
                let obliged = Obliged {
                    held: held.clone(),
                    present: true,
                    since: at,
                    deadline: Deadline::after(at, self.limit(CaseStep::Acknowledged, rules)),
                    acknowledged: None,
                };
                self.obliged.insert(post.clone(), obliged);
            }
            (Some(obliged), None) if obliged.acknowledged.is_some() => obliged.present = false,
            (_, None) => drop(self.obliged.remove(post)),
        }
    }

    fn task(&mut self, at: Millis, id: &PlannedTask, task: Option<&TaskMatch>) {
        match (self.jobs.get_mut(id), task) {
            (Some(job), Some(task)) => {
                job.task.clone_from(task);
                job.present = true;
                job.deadline.change(at, job.since, task.limit);
            }
            (None, Some(task)) => {
                let job = Job {
                    task: task.clone(),
                    present: true,
                    since: at,
                    deadline: Deadline::after(at, task.limit),
                    reported: None,
                };
                self.jobs.insert(id.clone(), job);
            }
            (Some(job), None) if job.reported.is_some() => job.present = false,
            (_, None) => drop(self.jobs.remove(id)),
        }
    }
}
