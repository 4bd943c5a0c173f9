//! The whole timeline of one case, walked instant by instant: facts, then obligations and tasks, then actions, then the
//! deadlines that pass.

use std::collections::{BTreeMap, BTreeSet};

use riskflow::runtime::graph::Semantics;
use riskflow_model::action::Action;
use riskflow_model::output::{
    Basis, CaseCounts, CaseEvent, CaseEventKind, CaseState, CaseStep, CaseTimes, Cause, Escalation, Note, Obligation,
    People, TaskState,
};
use riskflow_model::responsibility::Unit;
use riskflow_model::{Domain, Id, Level, Millis, Text};

use crate::oracle::bureau::{Asking, Place, Wanted};
use crate::oracle::timeline::{About, Asked, Fact, Says, Timeline};

mod passing;

/// A deadline, by the domain and peak that the case had when it was set.
#[derive(Clone, Copy, Debug)]
struct Due {
    step: CaseStep,
    at: Option<i64>,
    /// Whether it came while the case was suppressed.
    put_off: bool,
    /// Whether it is over, missed or not.
    passed: bool,
}

/// Someone who must acknowledge.
#[derive(Clone, Debug)]
pub struct Pending {
    /// What the duties ask.
    pub asking: Asking,
    since: i64,
    /// By when.
    pub due: Option<i64>,
    put_off: bool,
    passed: bool,
    /// When it was acknowledged.
    pub acknowledged: Option<i64>,
}

/// A task of the case.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub wanted: Wanted,
    since: i64,
    put_off: bool,
    passed: bool,
    pub reported: Option<i64>,
}

/// An escalation, with what the walk must know of it.
#[derive(Clone, Debug)]
pub struct Lifted {
    /// As shown.
    pub escalation: Escalation,
    /// The round.
    pub round: u32,
    /// Whether the parent unit acknowledged.
    pub acknowledged: bool,
}

/// A case at some instant.
pub struct Walk<'a> {
    pub(super) semantics: &'a Semantics,
    /// What it is about.
    pub about: About,
    pub(super) issue: i64,
    issue_level: Level,
    pub(super) step: CaseStep,
    entered: i64,
    pub(super) round: u32,
    /// The level now.
    pub level: Level,
    /// The highest level of the round.
    pub peak: Level,
    pub(super) basis: Basis,
    pub(super) rejected: Option<Text>,
    /// Since when it goes on after an end.
    pub resumed: Option<i64>,
    /// Since when it is restless.
    pub flapping: Option<i64>,
    pub(super) suppressed: Option<i64>,
    /// When the last time of quiet ends or ended.
    pub(super) quiet_until: Option<i64>,
    /// When all were last told to acknowledge.
    pub alarm: i64,
    /// From when reminders count, and by which domain and level.
    reminding: (i64, Domain, Level),
    /// The last fact that ended it, as long as it has ended.
    pub end: Option<(i64, Basis)>,
    /// Since when it is cleared, withdrawn or rejected.
    ended: Option<i64>,
    /// Who must acknowledge.
    pub obligations: BTreeMap<Place, Pending>,
    pub(super) tasks: Vec<Task>,
    /// What went to the parent unit, in all rounds.
    pub lifted: Vec<Lifted>,
    /// The next step.
    next: Option<Due>,
    /// The acknowledgement of a case for which nobody answers.
    whole: Due,
    times: CaseTimes,
    pub(super) people: People,
    /// What happened, and why that is told.
    pub events: BTreeMap<CaseEvent, Cause>,
}

/// Walks a timeline up to now. It begins with the fact that issues the case.
pub fn walk<'a>(id: &Id<CaseState>, timeline: &Timeline, semantics: &'a Semantics, now: i64) -> (Walk<'a>, CaseState) {
    let first = &timeline.facts[0];
    let mut walk = Walk::new(semantics, timeline.about[0].about.clone(), first.at);
    let mut actions = timeline.actions.clone();
    actions.sort_by_key(|kept| (kept.at, kept.origin));
    let known: BTreeSet<i64> = (timeline.facts.iter().map(|fact| fact.at))
        .chain(timeline.about.iter().map(|told| told.at))
        .chain(timeline.asked.iter().map(|asked| asked.at))
        .chain(actions.iter().map(|kept| kept.at))
        .collect();
    let mut instant = Some(first.at);
    while let Some(at) = instant {
        if let Some(told) = timeline.about.iter().find(|told| told.at == at) {
            walk.about = told.about.clone();
        }
        for fact in timeline.facts.iter().filter(|fact| fact.at == at) {
            walk.fact(fact);
        }
        for asked in timeline.asked.iter().filter(|asked| asked.at == at) {
            walk.follow(asked);
        }
        for kept in actions.iter().filter(|kept| kept.at == at) {
            walk.act(kept);
        }
        walk.deadlines(at);
        let known = known.range(at + 1..).next().copied();
        let next = known.into_iter().chain(walk.borders()).filter(|next| *next > at);
        instant = next.min().filter(|next| *next <= now);
    }
    let state = walk.state(id);
    (walk, state)
}

impl<'a> Walk<'a> {
    fn new(semantics: &'a Semantics, about: About, issue: i64) -> Self {
        Self {
            semantics,
            reminding: (issue, about.domain, Level::None),
            about,
            issue,
            issue_level: Level::None,
            step: CaseStep::Issued,
            entered: issue,
            round: 0,
            level: Level::None,
            peak: Level::None,
            basis: Basis::Active,
            rejected: None,
            resumed: None,
            flapping: None,
            suppressed: None,
            quiet_until: None,
            alarm: issue,
            end: None,
            ended: None,
            obligations: BTreeMap::new(),
            tasks: Vec::new(),
            lifted: Vec::new(),
            next: None,
            whole: Due {
                step: CaseStep::Acknowledged,
                at: None,
                put_off: false,
                passed: false,
            },
            times: CaseTimes {
                issued: Millis(issue),
                ..CaseTimes::default()
            },
            people: People::default(),
            events: BTreeMap::new(),
        }
    }

    fn limit(&self, step: CaseStep) -> Option<i64> {
        let limit = self.semantics.case.deadline(self.about.domain, self.peak, step);
        limit.map(|limit| limit.0)
    }

    pub(super) fn event(&self, at: i64, kind: CaseEventKind) -> CaseEvent {
        CaseEvent {
            at: Millis(at),
            kind,
            step: self.step,
            level: self.level,
            by: None,
            escalation: None,
            refusal: None,
            allowed: Vec::new(),
        }
    }

    fn fact(&mut self, fact: &Fact) {
        let at = fact.at;
        let kind = match fact.says {
            Says::Open(level) => self.open(level, fact),
            Says::Marked(true) => {
                (self.flapping, self.resumed) = (Some(at), None);
                CaseEventKind::Flapping
            }
            Says::Marked(false) => {
                self.flapping = None;
                CaseEventKind::Calm
            }
            Says::Cleared => {
                self.over(Basis::Cleared, at);
                // After the report verified was next already.
                if (CaseStep::Acknowledged..CaseStep::Reported).contains(&self.step) {
                    self.schedule(at);
                }
                CaseEventKind::Cleared
            }
            Says::Withdrawn => {
                self.over(Basis::Withdrawn, at);
                if self.step == CaseStep::Archived {
                    CaseEventKind::BasisCorrected
                } else {
                    CaseEventKind::Withdrawn
                }
            }
        };
        self.events.insert(self.event(at, kind), fact.cause);
    }

    fn over(&mut self, basis: Basis, at: i64) {
        self.resumed = None;
        self.basis = basis;
        self.level = Level::None;
        self.end = Some((at, basis));
        self.mark_end(at);
    }

    fn open(&mut self, level: Level, fact: &Fact) -> CaseEventKind {
        let (at, before) = (fact.at, self.basis);
        let (again, above) = (before != Basis::Active, level > self.peak);
        self.resumed = None;
        self.basis = Basis::Active;
        self.end = None;
        self.level = level;
        if self.round == 0 {
            self.issue_level = level;
            self.begin(level, at);
            return CaseEventKind::Issued;
        }
        let anew = match self.step {
            CaseStep::Archived => fact.begins || above,
            step => step == CaseStep::Verified && fact.joins,
        };
        let kind = match (anew, again, above) {
            (true, ..) => {
                (self.suppressed, self.quiet_until) = (None, None);
                for task in &mut self.tasks {
                    task.reported = None;
                    task.since = at;
                    task.put_off = false;
                    task.passed = false;
                }
                self.begin(level, at);
                return CaseEventKind::Reopened;
            }
            (_, true, false) if fact.joins && before == Basis::Cleared && self.rejected.is_none() => {
                self.resumed = Some(at);
                self.reminding = (at, self.about.domain, self.peak);
                self.mark_end(at);
                if (CaseStep::Acknowledged..CaseStep::Reported).contains(&self.step) {
                    self.schedule(at);
                }
                return CaseEventKind::Resumed;
            }
            (_, true, true) if fact.joins && before == Basis::Cleared => CaseEventKind::Raised,
            (_, true, _) => CaseEventKind::Reissued,
            (_, false, true) => CaseEventKind::Raised,
            (_, false, false) => return CaseEventKind::Level,
        };
        self.peak = self.peak.max(level);
        self.arm(at);
        kind
    }

    /// A round begins.
    fn begin(&mut self, level: Level, at: i64) {
        self.round += 1;
        self.peak = level;
        self.step = CaseStep::Issued;
        self.entered = at;
        self.arm(at);
    }

    fn arm(&mut self, at: i64) {
        self.rejected = None;
        self.mark_end(at);
        self.alarm = at;
        self.reminding = (at, self.about.domain, self.peak);
        // What was kept only because it was acknowledged goes when the duties are followed, at this same instant.
        let due = self.limit(CaseStep::Acknowledged).map(|limit| at + limit);
        for pending in self.obligations.values_mut() {
            pending.since = at;
            pending.due = due;
            pending.put_off = false;
            pending.passed = false;
            pending.acknowledged = None;
        }
        self.schedule(at);
        self.whole = Due {
            step: CaseStep::Acknowledged,
            at: due,
            put_off: false,
            passed: false,
        };
    }

    /// Notes since when the case is cleared, withdrawn or rejected.
    pub(super) fn mark_end(&mut self, at: i64) {
        let over = self.basis != Basis::Active || self.rejected.is_some();
        let newly = over && self.ended.is_none();
        self.ended = over.then(|| self.ended.unwrap_or(at));
        if self.step == CaseStep::Verified && (newly || !over) {
            self.schedule(at);
        }
    }

    /// The next step is due, counted from here.
    fn schedule(&mut self, from: i64) {
        let active = self.basis != Basis::Cleared;
        let step = match self.step {
            CaseStep::Issued => Some(CaseStep::Called),
            CaseStep::Called | CaseStep::Archived => None,
            CaseStep::Acknowledged if active => Some(CaseStep::Dispatched),
            CaseStep::Dispatched if active => Some(CaseStep::InProgress),
            CaseStep::InProgress if active => Some(CaseStep::Reported),
            CaseStep::Acknowledged | CaseStep::Dispatched | CaseStep::InProgress | CaseStep::Reported => {
                Some(CaseStep::Verified)
            }
            CaseStep::Verified => self.ended.map(|_| CaseStep::Archived),
        };
        self.next = step.map(|step| Due {
            step,
            at: self.limit(step).map(|limit| from + limit),
            put_off: false,
            passed: false,
        });
    }

    /// Obligations and tasks follow duties and plans.
    fn follow(&mut self, asked: &Asked) {
        self.obligations
            .retain(|place, pending| pending.acknowledged.is_some() || asked.obligations.contains_key(place));
        let due = self.limit(CaseStep::Acknowledged).map(|limit| asked.at + limit);
        for (place, asking) in &asked.obligations {
            let pending = self.obligations.entry(place.clone()).or_insert_with(|| Pending {
                asking: asking.clone(),
                since: asked.at,
                due,
                put_off: false,
                passed: false,
                acknowledged: None,
            });
            pending.asking = asking.clone();
        }
        let mut before = std::mem::take(&mut self.tasks);
        for wanted in &asked.tasks {
            let same = |task: &Task| (&task.wanted.plan, &task.wanted.task) == (&wanted.plan, &wanted.task);
            let task = match before.iter().position(same) {
                Some(position) => Task {
                    wanted: wanted.clone(),
                    ..before.remove(position)
                },
                None => Task {
                    wanted: wanted.clone(),
                    since: asked.at,
                    put_off: false,
                    passed: false,
                    reported: None,
                },
            };
            self.tasks.push(task);
        }
        self.tasks
            .extend(before.into_iter().filter(|task| task.reported.is_some()));
        self.tasks.sort_by_key(|task| {
            let Wanted { plan, place, task, .. } = &task.wanted;
            (plan.clone(), *place, task.clone())
        });
    }

    /// The case is at another step.
    pub(super) fn enter(&mut self, step: CaseStep, at: i64) {
        self.step = step;
        self.entered = at;
        self.schedule(at);
        if self.round == 1 && step == CaseStep::Acknowledged && self.times.acknowledged.is_none() {
            let case = &self.semantics.case;
            let limit = case.deadline(self.about.domain, self.issue_level, CaseStep::Acknowledged);
            self.times.acknowledged = Some(Millis(at));
            self.times.in_time = limit.is_none_or(|limit| at <= self.issue + limit.0);
        }
        if self.round == 1 && step == CaseStep::Archived {
            self.times.archived = Some(Millis(at));
        }
    }

    /// Of those who must acknowledge, the one nearest to the place.
    pub(super) fn lead(&self) -> Option<(Place, Option<Id<Unit>>)> {
        let nearest = self.obligations.iter().max_by(|(a, one), (b, other)| {
            // Of two that are equally near, the first counts as the greater.
            one.asking.depth.cmp(&other.asking.depth).then(b.cmp(a))
        });
        nearest.map(|(place, pending)| (place.clone(), pending.asking.parent.clone()))
    }

    /// The first obligation of a unit.
    pub(super) fn first_of(&self, unit: &Id<Unit>) -> Option<(Place, Option<Id<Unit>>)> {
        let first = self.obligations.iter().find(|((of, _), _)| of == unit);
        first.map(|(place, pending)| (place.clone(), pending.asking.parent.clone()))
    }

    /// It goes to the parent unit.
    pub(super) fn lift(
        &mut self,
        step: Option<CaseStep>,
        from: Option<(Place, Option<Id<Unit>>)>,
        task: Option<Text>,
        at: i64,
        event: Option<CaseEvent>,
    ) {
        let (place, to) = from.unzip();
        let (unit, role) = place.unzip();
        let escalation = Escalation {
            step,
            unit,
            role,
            task,
            to: to.flatten(),
            at: Millis(at),
        };
        let cause = if event.is_some() { Cause::Manual } else { Cause::Clock };
        let event = CaseEvent {
            escalation: Some(escalation.clone()),
            ..event.unwrap_or_else(|| self.event(at, CaseEventKind::Escalated))
        };
        self.events.insert(event, cause);
        self.lifted.push(Lifted {
            escalation,
            round: self.round,
            acknowledged: false,
        });
    }

    pub(super) fn note(at: i64, action: &Action, text: &Text) -> Note {
        Note {
            at: Millis(at),
            actor: action.actor.clone(),
            text: text.clone(),
        }
    }

    fn state(&self, id: &Id<CaseState>) -> CaseState {
        let About {
            incident,
            rule,
            asset,
            domain,
            region,
            since,
        } = self.about.clone();
        let in_force = |due: &Due| !due.passed && (self.telling() || due.step == CaseStep::Archived);
        let obligations = self.obligations.iter().map(|((unit, role), pending)| Obligation {
            unit: unit.clone(),
            role: role.clone(),
            since: Millis(pending.since),
            due: pending.due.map(Millis),
            acknowledged: pending.acknowledged.map(Millis),
        });
        let tasks = self.tasks.iter().map(|task| TaskState {
            plan: task.wanted.plan.clone(),
            task: task.wanted.task.clone(),
            name: task.wanted.name.clone(),
            role: task.wanted.role.clone(),
            due: task_due(task).map(Millis),
            reported: task.reported.map(Millis),
        });
        CaseState {
            id: id.clone(),
            warnings: Vec::new(),
            flapping: self.flapping.map(Millis),
            incident,
            rule,
            asset,
            domain,
            region,
            since,
            level: self.level,
            peak: self.peak,
            basis: self.basis,
            step: self.step,
            entered: Millis(self.entered),
            due: self.next.filter(in_force).and_then(|due| due.at).map(Millis),
            round: self.round,
            rejected: self.rejected.clone(),
            suppressed_until: self.suppressed.map(Millis),
            escalations: self.lifted.iter().map(|lifted| lifted.escalation.clone()).collect(),
            obligations: obligations.collect(),
            tasks: tasks.collect(),
            times: self.times,
            people: self.people.clone(),
            counts: CaseCounts::default(),
        }
    }
}

/// How a task is called among those of all plans.
pub(super) fn full_name(task: &Wanted) -> Text {
    let part = |text: &str| text.replace('~', "~0").replace('/', "~1");
    format!("{}/{}", part(&task.plan), part(&task.task)).into()
}

/// By when a task is to be reported.
fn task_due(task: &Task) -> Option<i64> {
    task.wanted.limit.map(|limit| task.since + limit)
}
