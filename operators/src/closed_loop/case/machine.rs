//! The state machine of one case: walks its timeline and passes its deadlines.
//!
//! The machine is a value: a copy of it that stands behind everything that can still change goes over what came since, again
//! whenever any of that changes. So what is found does not depend on the order in which it was learnt.

use std::collections::BTreeMap;
use std::sync::Arc;

use riskflow_config::CaseSettings;
use riskflow_model::output::{
    Basis, By, CaseEvent, CaseEventKind, CaseStep, CaseTimes, Cause, Escalation, People, Reminder, TaskState,
};
use riskflow_model::responsibility::Unit;
use riskflow_model::{Domain, Duration, Id, Level, Millis, Text};
use serde::{Deserialize, Serialize};

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

/// Something that must be done by a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadline {
    /// By when; `None` where no deadline is set.
    pub due: Option<Millis>,
    /// When it will pass: later than `due` where it was put off; `None` once it has passed, missed or not in force.
    pub ahead: Option<Millis>,
    /// Whether it has passed: it does once, whatever limits come and go.
    passed: bool,
}

impl Deadline {
    const NONE: Self = Self {
        due: None,
        ahead: None,
        passed: false,
    };

    fn after(from: Millis, limit: Option<Duration>) -> Self {
        let due = limit.map(|limit| from + limit);
        Self {
            due,
            ahead: due,
            passed: false,
        }
    }

    /// It passes: now, or at the end of what puts it off.
    const fn pass(&mut self, later: Option<Millis>) {
        self.ahead = later;
        self.passed = later.is_none();
    }

    /// The suppression that put it off ends at another time. One that only counts from a changed limit was not put off.
    fn put_off_until(&mut self, at: Millis, until: Millis) {
        if self.ahead > Some(at) && self.ahead != self.due {
            self.ahead = Some(until);
        }
    }

    /// Another limit from the same beginning; one that is past by now passes now.
    fn change(&mut self, now: Millis, from: Millis, limit: Option<Duration>) {
        let due = limit.map(|limit| from + limit);
        if due != self.due {
            self.due = due;
            self.ahead = due.filter(|_| !self.passed).map(|due| due.max(now));
        }
    }
}

/// From when on people are reminded, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reminding {
    /// They were told then.
    pub from: Millis,
    /// So long after that they are reminded, and again and again; more than nothing.
    pub every: Duration,
}

impl Reminding {
    /// The last reminder that is due; `None` before the first.
    pub fn last_due(&self, now: Millis) -> Option<Reminder> {
        let number = u32::try_from((now - self.from).0 / self.every.0).unwrap_or(0);
        (number > 0).then(|| Reminder {
            number,
            at: self.from + Duration(i64::from(number) * self.every.0),
        })
    }

    /// When the next one is due.
    pub fn next_due(&self, now: Millis) -> Millis {
        self.last_due(now).map_or(self.from, |last| last.at) + self.every
    }
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

/// Which deadline.
enum Which {
    Next,
    Anybody,
    Obliged(Post),
    Job(PlannedTask),
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

    /// Passes every deadline before this time.
    pub fn pass(&mut self, before: Millis, out: &mut Vec<Told>) {
        while let Some((due, which)) = self.first_due() {
            if due >= before {
                return;
            }
            self.pass_one(due, which, out);
        }
    }

    /// When something happens by the clock alone.
    pub fn next_due(&self) -> Option<Millis> {
        self.first_due().map(|(due, _)| due)
    }

    /// The first deadline ahead; of several at one time the next step's, then by unit and role, then tasks.
    fn first_due(&self) -> Option<(Millis, Which)> {
        let mut first: Option<(Millis, Which)> = None;
        let mut take = |due: Option<Millis>, which: Which| {
            if let Some(due) = due.filter(|due| first.as_ref().is_none_or(|(least, _)| due < least)) {
                first = Some((due, which));
            }
        };
        take(self.next.1.ahead, Which::Next);
        take(self.anybody.ahead, Which::Anybody);
        for (post, obliged) in self
            .obliged
            .iter()
            .filter(|(_, obliged)| obliged.acknowledged.is_none())
        {
            take(obliged.deadline.ahead, Which::Obliged(post.clone()));
        }
        for (id, job) in self.jobs.iter().filter(|(_, job)| job.reported.is_none()) {
            take(job.deadline.ahead, Which::Job(id.clone()));
        }
        first
    }

    fn pass_one(&mut self, due: Millis, which: Which, out: &mut Vec<Told>) {
        let to_archive = matches!(which, Which::Next) && self.next.0 == CaseStep::Archived;
        // Where somebody is obliged, those must acknowledge, and not anybody.
        let concerns = !matches!(which, Which::Anybody) || self.obliged.is_empty();
        let in_force = (self.telling() && concerns) || to_archive;
        // What passes while nobody is told passes at the end of that.
        let later = self.suppressed.filter(|until| in_force && *until > due);
        let lead = self.lead();
        let deadline = match &which {
            Which::Next => &mut self.next.1,
            Which::Anybody => &mut self.anybody,
            Which::Obliged(post) => match self.obliged.get_mut(post) {
                Some(obliged) => &mut obliged.deadline,
                None => return,
            },
            Which::Job(id) => match self.jobs.get_mut(id) {
                Some(job) => &mut job.deadline,
                None => return,
            },
        };
        deadline.pass(later);
        if later.is_some() {
            return;
        }
        if !in_force {
            return;
        }
        let (step, from, task) = match which {
            Which::Next => (self.next.0, lead, None),
            Which::Anybody => (CaseStep::Acknowledged, None, None),
            Which::Obliged(post) => (CaseStep::Acknowledged, Some(post), None),
            Which::Job(id) => {
                let role = self.jobs.get(&id).map(|job| job.task.role.clone()).unwrap_or_default();
                let of_role = self.obliged.keys().find(|(_, held)| *held == role).cloned();
                // By its full name: two plans may ask for tasks of one name, and these are two escalations.
                (
                    CaseStep::Reported,
                    of_role.or(lead),
                    Some(TaskState::full_name(&id.0, &id.1)),
                )
            }
        };
        self.lift(due, Some(step), from, task, None, out);
    }

    /// Nobody is told until a time, or no longer: what was put off until another one passes then.
    pub(super) fn suppress(&mut self, at: Millis, until: Option<Millis>) {
        // As long as nobody was told, nobody could be reminded.
        if let (Some(reminding), Some(over)) = (&mut self.reminding, self.suppressed) {
            reminding.from = reminding.from.max(over.min(at));
        }
        // One that is over already suppresses nothing.
        self.suppressed = until.filter(|until| *until > at);
        let end = self.suppressed.unwrap_or(at);
        let obliged = self.obliged.values_mut().map(|obliged| &mut obliged.deadline);
        let jobs = self.jobs.values_mut().map(|job| &mut job.deadline);
        for deadline in [&mut self.next.1, &mut self.anybody]
            .into_iter()
            .chain(obliged)
            .chain(jobs)
        {
            deadline.put_off_until(at, end);
        }
    }

    /// The obligation that answers for the case as a whole.
    pub(super) fn lead(&self) -> Option<Post> {
        let first = self
            .obliged
            .iter()
            .min_by_key(|(post, obliged)| (std::cmp::Reverse(obliged.held.depth), (*post).clone()));
        first.map(|(post, _)| post.clone())
    }

    /// An escalation to the parent of a unit.
    pub(super) fn lift(
        &mut self,
        at: Millis,
        step: Option<CaseStep>,
        from: Option<Post>,
        task: Option<Text>,
        by: Option<(By, Millis)>,
        out: &mut Vec<Told>,
    ) {
        let to = from
            .as_ref()
            .and_then(|post| self.obliged.get(post)?.held.parent.clone());
        let (unit, role) = from.unzip();
        let escalation = Escalation {
            step,
            unit,
            role,
            task,
            to,
            at,
        };
        self.lifted.push(Lifted {
            escalation: escalation.clone(),
            round: self.round,
            acknowledged: false,
        });
        let cause = if by.is_some() { Cause::Manual } else { Cause::Clock };
        let (by, done) = by.unzip();
        let mut event = self.event(done.unwrap_or(at), CaseEventKind::Escalated);
        event.by = by;
        event.escalation = Some(escalation);
        out.push((event, cause));
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
