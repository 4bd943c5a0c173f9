//! The state of one case, and how the events that its timeline gives now are compared with those published before.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use riskflow_config::FlappingSettings;
use riskflow_model::action::Action;
use riskflow_model::id::{CaseReference, WarningOrIncident};
use riskflow_model::intake::IncidentState;
use riskflow_model::output::{
    Basis, CaseCounts, CaseDelta, CaseEvent, CaseEventKind, CaseState, CaseStep, Cause, Obligation, Origin, Refusal,
    TaskState, WarningState,
};
use riskflow_model::responsibility::Unit;
use riskflow_model::{Domain, Duration, Id, Key, Level, Millis};
use serde::{Deserialize, Serialize};

use super::alarm::alarms;
use super::item::{Fact, FactKind, Held, Item, What};
use super::machine::{Machine, Post, Rules, Told};
use super::restless::{Passed, Restless};
use super::{Alarm, Case, CaseOutput, Change, Standing, acting, name};
use crate::closed_loop::obligation::{PlannedTask, Subject, TaskMatch};
use crate::engine::{Diff, Next};
use crate::warning::KNOWN;

/// A case behind its items.
#[derive(Debug)]
struct Walked {
    machine: Machine,
    /// How many items it has behind it.
    items: usize,
    /// Up to when its deadlines have passed.
    until: Millis,
}

/// One case.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct File {
    /// See [`name::of_case`].
    pub(super) id: Id<CaseState>,
    /// The warnings that it is about, the newest last; none of an incident.
    warnings: VecDeque<Id<WarningState>>,
    /// How many there were.
    joined: u32,
    /// Whether one of them ended.
    ended: bool,
    /// How they rise and fall.
    restless: Restless,
    /// What changed since the last settling.
    #[serde(skip)]
    pub(super) change: Change,
    /// What it is about; as it was last while it had a row.
    pub(super) subject: Arc<Subject>,
    /// As it stands on the timeline.
    domain: Option<Domain>,
    /// The level that was told last; none where it rests on nothing.
    level: Level,
    /// Obligations and tasks as they stand on the timeline.
    duties: BTreeMap<Post, Held>,
    tasks: BTreeMap<PlannedTask, TaskMatch>,
    /// The identifiers of its actions.
    actions: BTreeSet<Key>,
    /// The case as of a time that nothing can reach any more.
    anchor: Machine,
    /// Of a long timeline the case behind all items, as it was told last: what comes behind them need not walk them again.
    #[serde(skip)]
    walked: Option<Box<Walked>>,
    /// What came after the anchor.
    items: Vec<Item>,
    /// The events after that, as told.
    told: Vec<CaseEvent>,
    /// The rows as given.
    state: Option<Arc<CaseState>>,
    standing: Option<Arc<Standing>>,
    alarms: BTreeSet<Arc<Alarm>>,
}

impl File {
    pub(super) fn new(id: Id<CaseState>, subject: Arc<Subject>) -> Self {
        Self {
            id,
            warnings: VecDeque::new(),
            joined: 0,
            ended: false,
            restless: Restless::default(),
            change: Change::default(),
            subject,
            domain: None,
            level: Level::None,
            duties: BTreeMap::new(),
            tasks: BTreeMap::new(),
            actions: BTreeSet::new(),
            anchor: Machine::default(),
            walked: None,
            items: Vec::new(),
            told: Vec::new(),
            state: None,
            standing: None,
            alarms: BTreeSet::new(),
        }
    }

    /// Whether it has this name, or what has it belongs to it.
    pub(super) fn is_of(&self, named: &Id<CaseReference>) -> bool {
        *self.id == **named || self.warnings.iter().any(|warning| **warning == **named)
    }

    /// Whether it is archived, as far as is told.
    pub(super) fn is_archived(&self) -> bool {
        self.state
            .as_ref()
            .is_some_and(|state| state.step == CaseStep::Archived)
    }

    /// A warning belongs to it from here on.
    pub(super) fn join(&mut self, warning: Id<WarningState>) {
        self.joined += 1;
        self.warnings.push_back(warning);
        if self.warnings.len() > KNOWN {
            self.warnings.pop_front();
        }
    }

    /// Adds a fact to the timeline. While the case is flapping, only a fact with a level above the peak is added.
    pub(super) fn fact(
        &mut self,
        now: Millis,
        id: &Id<WarningOrIncident>,
        mut fact: Fact,
        settings: &FlappingSettings,
    ) {
        // The last warning is withdrawn, but others of the case have ended: so the case has ended, it is not withdrawn.
        match fact.kind {
            FactKind::Cleared => self.ended = true,
            FactKind::Withdrawn if self.ended && !name::begins_with(&self.id, id) => fact.kind = FactKind::Cleared,
            _ => {}
        }
        let cause = fact.cause;
        // Of a new case there is no peak yet, and nothing to be restless about.
        let peak = match &self.state {
            Some(state) if state.step == CaseStep::Archived => None,
            Some(state) => Some(state.peak),
            None => Some(Level::None),
        };
        match self.restless.pass(now, fact, peak, settings) {
            Passed::Told(fact) => self.put(now, fact),
            Passed::Marks(fact) => {
                self.put(now, fact);
                self.add(now, What::Flapping(true, cause));
            }
            Passed::Held => return,
        }
        self.change.fact = Some(cause);
    }

    /// The mark goes once there was calm, and what was not told meanwhile is told.
    pub(super) fn calm_down(&mut self, now: Millis) {
        let shown = self.state.as_ref().map_or(Level::None, |state| state.level);
        if let Some((at, fact)) = self.restless.calm(now, shown) {
            self.add(at, What::Flapping(false, Cause::Clock));
            if let Some(fact) = fact {
                self.put(at, fact);
            }
        }
    }

    fn put(&mut self, at: Millis, fact: Fact) {
        self.level = fact.level();
        self.add(at, What::Fact(fact));
    }

    /// Says what the case is about now.
    pub(super) fn about(&mut self, now: Millis, subject: &Arc<Subject>) {
        self.subject = Arc::clone(subject);
        if self.domain != Some(subject.domain) {
            self.domain = Some(subject.domain);
            self.add(now, What::Domain(subject.domain));
        }
    }

    /// Takes an action in, unless it is there; says whether it is kept.
    ///
    /// # Errors
    ///
    /// The action itself, where the case has as many as it may have.
    pub(super) fn action(
        &mut self,
        now: Millis,
        origin: Origin,
        action: Box<Action>,
        most: usize,
    ) -> Result<bool, Box<Action>> {
        let id = action.id.key();
        if self.actions.contains(&id) {
            return Ok(false);
        }
        if self.actions.len() >= most {
            return Err(action);
        }
        self.actions.insert(id);
        // Done after the issue and before it was told.
        let at = action.time.min(now).max(self.issued());
        self.add(at, What::Act(origin, action));
        Ok(true)
    }

    fn issued(&self) -> Millis {
        if self.anchor.exists() {
            self.anchor.times.issued
        } else {
            self.items.first().map_or(Millis::MIN, |first| first.at)
        }
    }

    fn add(&mut self, at: Millis, what: What) {
        // What comes in between, or at the same instant, is walked from the anchor on.
        self.walked = self.walked.take().filter(|walked| walked.until < at);
        Item { at, what }.insert_into(&mut self.items);
    }

    /// Puts what the duties and plans say now on the timeline, where it differs; says whether anything did.
    pub(super) fn follow(&mut self, now: Millis, rows: &super::Rows) -> bool {
        // What a restless level does not show leaves them as they are.
        let shows = |subject: &Arc<Subject>| {
            let open = matches!(subject.incident, None | Some(IncidentState::Open));
            open && subject.level == self.level
        };
        let hidden = self.restless.until().is_some() && !rows.subject.as_ref().is_some_and(shows);
        if self.level == Level::None || hidden {
            return false;
        }
        let mut duties: BTreeMap<Post, Held> = BTreeMap::new();
        for duty in rows.duties.values() {
            let held = duties
                .entry((duty.unit.clone(), duty.role.clone()))
                .or_insert_with(|| Held {
                    parent: duty.parent.clone(),
                    depth: duty.depth,
                    rosters: Vec::new(),
                    by_post: false,
                });
            held.depth = held.depth.max(duty.depth);
            held.by_post |= !duty.rostered;
            held.rosters.extend(duty.rostered.then_some(duty.duty));
        }
        let tasks: BTreeMap<PlannedTask, TaskMatch> = rows
            .tasks
            .iter()
            .map(|(id, task)| (id.clone(), (**task).clone()))
            .collect();
        let changed_duties = difference(&self.duties, &duties);
        let changed_tasks = difference(&self.tasks, &tasks);
        let any = !changed_duties.is_empty() || !changed_tasks.is_empty();
        for (post, held) in changed_duties {
            self.add(now, What::Duty(post, held));
        }
        for (id, task) in changed_tasks {
            self.add(now, What::Task(id, task));
        }
        (self.duties, self.tasks) = (duties, tasks);
        any
    }

    /// Finds out what is to be said now, and says what differs from what was said; when to look again, or `None` to forget the
    /// case.
    pub(super) fn tell(&mut self, now: Millis, case: &Case, out: &mut Vec<(CaseOutput, Diff)>) -> Option<Next> {
        let rules = Rules {
            settings: &case.settings,
            max_future: case.max_future,
        };
        let (mut machine, goes_on) = match self.walked.take() {
            Some(walked) => {
                let Walked { machine, items, .. } = *walked;
                (machine, Some(items))
            }
            None => (self.anchor.clone(), None),
        };
        let mut found: Vec<Told> = Vec::new();
        for item in &self.items[goes_on.unwrap_or(0)..] {
            machine.step_over(item, rules, &mut found);
        }
        machine.pass(now + Duration(1), &mut found);
        let change = std::mem::take(&mut self.change);
        let refused = change.too_many.iter().map(|action| self.too_many(action, &machine));
        out.extend(refused.map(|delta| (CaseOutput::Delta(Box::new(delta)), 1)));
        if goes_on.is_some() {
            out.extend(
                found
                    .iter()
                    .map(|(event, cause)| (self.delta(event.clone(), false, *cause), 1)),
            );
        } else {
            self.tell_events(&found, change.cause(), out);
            self.told.clear();
        }
        self.told.extend(found.into_iter().map(|(event, _)| event));
        let rest = self.rest(&machine).map(|rest| rest + case.settings.retain);
        if rest.is_some_and(|until| until <= now) {
            return None;
        }
        self.show(now, &machine, out);
        self.move_anchor(now - case.settings.horizon, rules);
        let suppressed = machine.suppressed.filter(|until| *until > now);
        let wakes = [machine.next_due(), suppressed, rest, self.restless.until()];
        let wake = wakes.into_iter().flatten().min();
        // A short timeline is walked faster than a copy of the case is worth its memory.
        self.walked = (self.items.len() > LONG).then(|| {
            Box::new(Walked {
                machine,
                items: self.items.len(),
                until: now,
            })
        });
        Some(wake.map_or(Next::Keep, Next::Wake))
    }

    /// Since when nothing more is to come; `None` while something is.
    fn rest(&self, machine: &Machine) -> Option<Millis> {
        if machine.step == CaseStep::Archived {
            Some(machine.entered)
        } else if machine.basis != Basis::Active && self.actions.is_empty() {
            Some(machine.fact_at)
        } else {
            None
        }
    }

    /// Goes for good over what is before a time that no action can reach any more.
    fn move_anchor(&mut self, floor: Millis, rules: Rules<'_>) {
        let before = self.items.partition_point(|item| item.at < floor);
        // Now and then: to let go of the first few moves all others.
        if 2 * before < self.items.len() {
            return;
        }
        let mut events = Vec::new();
        for item in self.items.drain(..before) {
            self.anchor.step_over(&item, rules, &mut events);
        }
        self.told.drain(..events.len());
    }

    fn tell_events(&self, found: &[Told], retraction: Cause, out: &mut Vec<(CaseOutput, Diff)>) {
        // Most often there is only more of it.
        let same = self.told.iter().zip(found).take_while(|(a, (b, _))| *a == b).count();
        let mut gone: BTreeMap<&CaseEvent, i64> = BTreeMap::new();
        for event in &self.told[same..] {
            *gone.entry(event).or_default() += 1;
        }
        for (event, cause) in &found[same..] {
            match gone.get_mut(event).filter(|count| **count > 0) {
                Some(count) => *count -= 1,
                None => out.push((self.delta(event.clone(), false, *cause), 1)),
            }
        }
        for (event, count) in gone {
            for _ in 0..count {
                out.push((self.delta(event.clone(), true, retraction), 1));
            }
        }
    }

    fn delta(&self, event: CaseEvent, retracted: bool, cause: Cause) -> CaseOutput {
        CaseOutput::Delta(Box::new(CaseDelta {
            case: self.id.clone(),
            retracted,
            cause,
            rule: self.subject.rule.clone(),
            domain: Some(self.subject.domain),
            region: Some(self.subject.region),
            event,
        }))
    }

    fn too_many(&self, action: &Action, machine: &Machine) -> CaseDelta {
        let mut event = machine.event(action.time, CaseEventKind::Refused);
        event.by = Some(acting::by(action));
        event.refusal = Some(Refusal::TooMany);
        CaseDelta {
            case: self.id.clone(),
            retracted: false,
            cause: Cause::Manual,
            rule: self.subject.rule.clone(),
            domain: Some(self.subject.domain),
            region: Some(self.subject.region),
            event,
        }
    }

    /// Gives the rows where they differ from those given.
    fn show(&mut self, now: Millis, machine: &Machine, out: &mut Vec<(CaseOutput, Diff)>) {
        let obligations = obligations_of(machine);
        let state = self.state_of(machine, &obligations);
        replace(&mut self.state, state, CaseOutput::State, out);
        let standing = self.standing_of(machine, obligations);
        replace(&mut self.standing, standing, CaseOutput::Standing, out);
        let alarms = alarms(&self.id, now, machine);
        let gone = self.alarms.difference(&alarms).cloned();
        out.extend(gone.map(|alarm| (CaseOutput::Alarm(alarm), -1)));
        let came = alarms.difference(&self.alarms).cloned();
        out.extend(came.map(|alarm| (CaseOutput::Alarm(alarm), 1)));
        self.alarms = alarms;
    }

    /// The step and round that its row shows.
    #[cfg(test)]
    pub(super) fn shown_step(&self) -> (CaseStep, u32) {
        let state = self.state.as_ref().expect("it has a row");
        (state.step, state.round)
    }

    /// Until when a mark lasts, if it stays calm.
    #[cfg(test)]
    pub(super) const fn wakes(&self) -> Option<Millis> {
        self.restless.until()
    }

    /// How much stands on its timeline.
    #[cfg(test)]
    pub(super) fn length(&self) -> usize {
        self.items.len()
    }

    /// What it counts for in response times.
    #[cfg(test)]
    pub(super) fn standing(&self) -> Option<&Standing> {
        self.standing.as_deref()
    }

    /// Gives all rows that stand (1), or takes them back (-1).
    pub(super) fn shown(&self, diff: Diff, out: &mut Vec<(CaseOutput, Diff)>) {
        out.extend(self.state.iter().map(|row| (CaseOutput::State(Arc::clone(row)), diff)));
        out.extend(
            self.standing
                .iter()
                .map(|row| (CaseOutput::Standing(Arc::clone(row)), diff)),
        );
        out.extend(self.alarms.iter().map(|row| (CaseOutput::Alarm(Arc::clone(row)), diff)));
    }

    fn state_of(&self, machine: &Machine, obligations: &[Obligation]) -> CaseState {
        let subject = &self.subject;
        let tasks = tasks_of(machine);
        let (next, deadline) = machine.next;
        let in_force = machine.telling() || next == CaseStep::Archived;
        let older = machine.lifted.len().saturating_sub(CaseState::NEWEST);
        let escalations = machine.lifted[older..].iter().map(|lifted| lifted.escalation.clone());
        CaseState {
            id: self.id.clone(),
            warnings: newest(&self.warnings, CaseState::NEWEST),
            flapping: machine.flapping,
            incident: subject.incident.is_some(),
            rule: subject.rule.clone(),
            asset: subject.asset.clone(),
            domain: subject.domain,
            region: subject.region,
            since: subject.since,
            level: machine.level,
            peak: machine.peak,
            basis: machine.basis,
            step: machine.step,
            entered: machine.entered,
            due: deadline.due.filter(|_| deadline.ahead.is_some() && in_force),
            round: machine.round,
            rejected: machine.rejected.clone(),
            suppressed_until: machine.suppressed,
            escalations: escalations.collect(),
            obligations: first(obligations, |obligation| obligation.acknowledged.is_none()),
            tasks: first(&tasks, |task| task.reported.is_none()),
            times: machine.times,
            people: machine.people.clone(),
            counts: CaseCounts {
                warnings: self.joined,
                escalations: machine.lifted.len() as u32,
                obligations: obligations.len() as u32,
                tasks: tasks.len() as u32,
                notes: machine.noted,
                evidence: machine.attached,
            },
        }
    }

    fn standing_of(&self, machine: &Machine, obligations: Vec<Obligation>) -> Standing {
        let mut missed: BTreeMap<&Id<Unit>, u32> = BTreeMap::new();
        for unit in machine
            .lifted
            .iter()
            .filter_map(|lifted| lifted.escalation.unit.as_ref())
        {
            *missed.entry(unit).or_default() += 1;
        }
        Standing {
            case: self.id.clone(),
            region: self.subject.region,
            domain: self.subject.domain,
            times: machine.times,
            escalations: machine.lifted.len() as u32,
            obligations,
            missed: missed.into_iter().map(|(unit, count)| (unit.clone(), count)).collect(),
        }
    }
}

/// From so many items on a timeline is long. Builds for tests reach it with few.
const LONG: usize = if cfg!(debug_assertions) { 4 } else { 64 };

/// The last of a list.
fn newest<T: Clone>(all: &VecDeque<T>, most: usize) -> Vec<T> {
    all.iter().skip(all.len().saturating_sub(most)).cloned().collect()
}

/// Gives a row where it differs from the one given before.
fn replace<R: PartialEq>(
    given: &mut Option<Arc<R>>,
    row: R,
    output: impl Fn(Arc<R>) -> CaseOutput,
    out: &mut Vec<(CaseOutput, Diff)>,
) {
    if given.as_deref() != Some(&row) {
        let row = Arc::new(row);
        let before = given.replace(Arc::clone(&row));
        out.extend(before.map(|before| (output(before), -1)));
        out.push((output(row), 1));
    }
}

fn obligations_of(machine: &Machine) -> Vec<Obligation> {
    let obligations = machine.obliged.iter().map(|((unit, role), obliged)| Obligation {
        unit: unit.clone(),
        role: role.clone(),
        since: obliged.since,
        due: obliged.deadline.due,
        acknowledged: obliged.acknowledged,
    });
    obligations.collect()
}

fn tasks_of(machine: &Machine) -> Vec<TaskState> {
    let mut jobs: Vec<_> = machine.jobs.values().collect();
    jobs.sort_by_key(|job| (&job.task.plan, job.task.order, &job.task.task));
    let tasks = jobs.into_iter().map(|job| TaskState {
        plan: job.task.plan.clone(),
        task: job.task.task.clone(),
        name: job.task.name.clone(),
        role: job.task.role.clone(),
        due: job.deadline.due,
        reported: job.reported,
    });
    tasks.collect()
}

/// As many as a row may hold: of more, those that are open come first.
fn first<T: Clone>(all: &[T], is_open: impl Fn(&T) -> bool) -> Vec<T> {
    if all.len() <= CaseState::MOST {
        return all.to_vec();
    }
    let (open, done): (Vec<&T>, Vec<&T>) = all.iter().partition(|one| is_open(one));
    open.into_iter().chain(done).take(CaseState::MOST).cloned().collect()
}

/// What must be changed to make one map the other.
fn difference<K: Ord + Clone, V: PartialEq + Clone>(
    before: &BTreeMap<K, V>,
    after: &BTreeMap<K, V>,
) -> Vec<(K, Option<V>)> {
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    let came = after.iter().filter(|(key, value)| before.get(*key) != Some(*value));
    gone.map(|key| (key.clone(), None))
        .chain(came.map(|(key, value)| (key.clone(), Some(value.clone()))))
        .collect()
}
