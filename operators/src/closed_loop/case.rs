//! Fold `case`: the closed loop of one warning or incident.
//!
//! ```text
//!   subject, duties, tasks (rows) ──┐
//!   deltas of the warning ──────────┼─► timeline ─► [ machine ] ─┬─► the case's row
//!   actions ────────────────────────┘                            ├─► events that came, and retractions of those that went
//!                                                                └─► who is to be told of what
//! ```
//!
//! Everything that happens to a case stands on its timeline at its time. Whenever the timeline changes, the machine walks
//! it again from the last moment that nothing can change any more, and what it finds is compared with what was told.

mod acting;
mod alarm;
mod deadline;
mod file;
mod item;
mod machine;
mod name;
mod passing;
mod restless;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use riskflow_config::CaseSettings;
use riskflow_model::action::Action;
use riskflow_model::id::{Run, WarningOrIncident};
use riskflow_model::intake::IncidentState;
use riskflow_model::output::{
    CaseDelta, CaseEvent, CaseEventKind, CaseState, CaseStep, CaseTimes, Cause, DeltaKind, NoticeEvent, Obligation,
    Origin, Refusal, WarningDelta, WarningState,
};
use riskflow_model::responsibility::Unit;
use riskflow_model::topic::Topic;
use riskflow_model::{Domain, Duration, Id, Key, Level, Millis, RegionCode, Text};
use serde::{Deserialize, Serialize};

use crate::closed_loop::obligation::{CaseRow, DutyMatch, PlannedTask, Subject, TaskMatch};
use crate::engine::{Diff, Fold, Next};

pub use alarm::notice_of;
pub use deadline::Reminding;
use file::File;
pub use item::Evidence;
use item::{Fact, FactKind};

/// An action on its way to its case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Acted {
    /// The key of its case: that of the warning or incident that it names, or of the run that this belongs to.
    pub case: Key,
    /// Where it came from.
    pub origin: Origin,
    /// What was done.
    pub action: Box<Action>,
}

/// What happens to a case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum CaseRecord {
    /// Something happened to its warning.
    Warning(Box<Happened>),
    /// Someone did something.
    Action(Acted),
}

/// A step of a warning on its way to its case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Happened {
    /// The run that the warning belongs to.
    pub run: Id<Run>,
    /// The warning.
    pub warning: Id<WarningState>,
    /// What happened.
    pub kind: DeltaKind,
    /// The level after it.
    pub level: Level,
    /// Why it happened.
    pub cause: Cause,
    /// What it rests on.
    pub evidence: Arc<Evidence>,
}

impl CaseRecord {
    /// What a step of a warning of a run means for its case.
    #[must_use]
    pub fn of_delta(delta: &WarningDelta, run: Id<Run>) -> Self {
        Self::Warning(Box::new(Happened {
            run,
            warning: delta.id.clone(),
            kind: delta.kind,
            level: delta.to,
            cause: delta.cause,
            evidence: Arc::new(Evidence::of(&delta.explanation)),
        }))
    }
}

impl Acted {
    /// An action, as if what it names were a case, or had one of its own.
    #[must_use]
    pub fn new(origin: Origin, action: Box<Action>) -> Self {
        Self {
            case: Key::of(name::run_of(&action.warning)),
            origin,
            action,
        }
    }
}

/// What the fold gives out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CaseOutput {
    /// A row of the table of cases. Its lists are bounded, for each change writes all of it.
    State(Arc<CaseState>),
    /// A row: what the case counts for in response times, without such bounds.
    Standing(Arc<Standing>),
    /// Something happened, or never did; never taken back by itself.
    Delta(Box<CaseDelta>),
    /// A row: who is to be told.
    Alarm(Arc<Alarm>),
}

/// What of a case goes into response times.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Standing {
    /// The case.
    pub case: Id<CaseState>,
    /// Where.
    pub region: RegionCode,
    /// The domain.
    pub domain: Domain,
    /// When things were done, in the first round.
    pub times: CaseTimes,
    /// All missed deadlines, and all that people lifted.
    pub escalations: u32,
    /// All who must acknowledge it.
    pub obligations: Vec<Obligation>,
    /// How many escalations there were from each unit.
    pub missed: Vec<(Id<Unit>, u32)>,
}

/// Someone is to be told of something, for as long as this row stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Alarm {
    /// The case.
    pub case: Id<CaseState>,
    /// What is told.
    pub event: NoticeEvent,
    /// What makes the event another one of the same case and kind.
    pub mark: Vec<Text>,
    /// What it rests on.
    pub evidence: Option<Arc<Evidence>>,
    /// Who.
    pub to: Addressee,
    /// The level of the event.
    pub level: Level,
    /// By when it must be acknowledged.
    pub due: Option<Millis>,
}

/// Who is to be told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Addressee {
    /// Those who have the shift of one of these duties, and with `by_post` those who hold the role in the unit.
    Role {
        /// The unit.
        unit: Id<Unit>,
        /// The role.
        role: Text,
        /// Duties with a roster.
        rosters: Vec<Key>,
        /// Whether there is one without.
        by_post: bool,
    },
    /// Everyone in the unit.
    Unit(Id<Unit>),
    /// Everyone who was told before.
    Told,
    /// Those who are alarmed at that time still, again and again.
    Alarmed(Reminding),
}

/// The fold's settings.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Deadlines and bounds.
    pub settings: CaseSettings,
    /// How far an action may be before the issue.
    pub max_future: Duration,
}

/// A case may have this many actions.
const MOST_ACTIONS: usize = 1000;

/// Of one run of warnings, or of one incident: the timelines and machines of its cases, archived ones included.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct CaseFoldState {
    #[serde(skip)]
    rows: Rows,
    /// Of an incident: the state and level that its row had last.
    incident: Option<(IncidentState, Level)>,
    /// The newest last.
    files: Vec<File>,
    /// Facts of warnings since the last settling.
    facts: Vec<News>,
    /// Actions since the last settling.
    acted: Vec<Acted>,
}

/// A fact on its way to its case.
#[derive(Debug, Serialize, Deserialize)]
struct News {
    /// The warning or incident.
    id: Id<WarningOrIncident>,
    /// The run that it is of; an incident is of none but its own.
    run: Id<Run>,
    fact: Fact,
}

/// What the views say of a case. Comes as rows, so it is not saved.
#[derive(Debug, Default)]
struct Rows {
    subject: Option<Arc<Subject>>,
    duties: BTreeMap<Key, Arc<DutyMatch>>,
    tasks: BTreeMap<PlannedTask, Arc<TaskMatch>>,
}

impl Rows {
    fn apply(&mut self, row: CaseRow, diff: Diff) {
        let came = diff > 0;
        match row {
            CaseRow::Subject(subject) => self.subject = came.then_some(subject),
            CaseRow::Duty(duty) if came => drop(self.duties.insert(duty.duty, duty)),
            CaseRow::Duty(duty) => drop(self.duties.remove(&duty.duty)),
            CaseRow::Task(task) if came => drop(self.tasks.insert((task.plan.clone(), task.task.clone()), task)),
            CaseRow::Task(task) => drop(self.tasks.remove(&(task.plan.clone(), task.task.clone()))),
        }
    }

    fn is_empty(&self) -> bool {
        self.subject.is_none() && self.duties.is_empty() && self.tasks.is_empty()
    }
}

impl Case {
    /// What the change of an incident's row means.
    fn incident_fact(state: &mut CaseFoldState) -> Option<Fact> {
        let row = state.rows.subject.as_ref();
        let row = row.and_then(|subject| Some((subject.incident?, subject.level)));
        let before = state.incident;
        if row.is_none() && before.is_none() {
            return None;
        }
        // A row that is gone never was.
        let after = row.or_else(|| before.map(|(_, level)| (IncidentState::Withdrawn, level)));
        state.incident = after;
        let open = |standing: Option<(IncidentState, Level)>| {
            standing
                .filter(|(state, _)| *state == IncidentState::Open)
                .map(|(_, level)| level)
        };
        let kind = match (open(before), open(after)) {
            (None, Some(level)) => FactKind::Raised(level),
            (Some(before), Some(after)) if before != after => FactKind::Level(after),
            (_, Some(_)) => return None,
            (_, None) => match (before.map(|(state, _)| state), after.map(|(state, _)| state)) {
                (before, after) if before == after => return None,
                (_, Some(IncidentState::Ended)) => FactKind::Cleared,
                _ => FactKind::Withdrawn,
            },
        };
        let subject = state.rows.subject.as_ref();
        let evidence = subject.map(|subject| Arc::new(Evidence::of_incident(&subject.title)));
        Some(Fact {
            kind,
            cause: Cause::Manual,
            evidence,
        })
    }

    /// The file of a warning or incident. One that begins, and has none, joins the newest if that is not archived, or gets one.
    fn file_of<'s>(state: &'s mut CaseFoldState, now: Millis, news: &mut News) -> Option<&'s mut File> {
        let News { id, run, fact } = news;
        let named = id.widen();
        if let Some(at) = state.files.iter().rposition(|file| file.is_of(&named)) {
            return state.files.get_mut(at);
        }
        let FactKind::Raised(level) = fact.kind else {
            return None;
        };
        let subject = state.rows.subject.clone()?;
        if state.files.last().is_some_and(|file| !file.is_archived()) {
            fact.kind = FactKind::Joined(level);
        } else {
            let mut file = File::new(name::of_case(id, run), Arc::clone(&subject));
            file.about(now, &subject);
            // Most runs have one case, and it is large.
            state.files.reserve_exact(1);
            state.files.push(file);
        }
        let file = state.files.last_mut()?;
        if subject.incident.is_none() {
            file.join(id.narrow());
        }
        Some(file)
    }

    /// Takes in what came since the last settling; gives what is refused for good.
    fn take_in(&self, now: Millis, state: &mut CaseFoldState, out: &mut Vec<(CaseOutput, Diff)>) {
        for file in &mut state.files {
            file.calm_down(now);
        }
        let mut facts = std::mem::take(&mut state.facts);
        if let Some(fact) = Self::incident_fact(state) {
            let row = state.rows.subject.as_ref().map(|subject| subject.id.clone());
            // A row that is gone was that of the file: the case of an incident has its name.
            let id = row.or_else(|| state.files.last().map(|file| Id::new(file.id.text().clone())));
            facts.extend(id.map(|id| News {
                run: id.widen(),
                id,
                fact,
            }));
        }
        for mut news in facts {
            if let Some(file) = Self::file_of(state, now, &mut news) {
                file.fact(now, &news.id, news.fact, &self.settings.flapping);
            }
        }
        // One that was withdrawn, and is not any more, may belong to one before the newest.
        if let Some(subject) = &state.rows.subject
            && let Some(file) = state.files.iter_mut().rfind(|file| file.is_of(&subject.id.widen()))
        {
            file.about(now, subject);
            file.change.rows = file.follow(now, &state.rows);
        }
        for Acted { origin, action, .. } in std::mem::take(&mut state.acted) {
            let Some(file) = state.files.iter_mut().rfind(|file| file.is_of(&action.warning)) else {
                out.push((CaseOutput::Delta(Box::new(unknown(&action))), 1));
                continue;
            };
            match file.action(now, origin, action, MOST_ACTIONS) {
                Ok(kept) => file.change.action |= kept,
                Err(action) => file.change.too_many.push(*action),
            }
        }
    }
}

/// What changed since the last settling.
#[derive(Debug, Default)]
pub(super) struct Change {
    fact: Option<Cause>,
    rows: bool,
    action: bool,
    too_many: Vec<Action>,
}

impl Change {
    /// Why something that was told is taken back.
    fn cause(&self) -> Cause {
        match self.fact {
            _ if self.action => Cause::Manual,
            Some(cause) => cause,
            None if self.rows => Cause::BaseChange,
            None => Cause::Clock,
        }
    }
}

/// The refusal of an action of a case that is not known.
fn unknown(action: &Action) -> CaseDelta {
    let event = CaseEvent {
        at: action.time,
        kind: CaseEventKind::Refused,
        step: CaseStep::Issued,
        level: Level::None,
        by: Some(acting::by(action)),
        escalation: None,
        refusal: Some(Refusal::UnknownCase),
        allowed: Vec::new(),
    };
    CaseDelta {
        // What would be one.
        case: Id::new(action.warning.text().clone()),
        retracted: false,
        cause: Cause::Manual,
        rule: Id::default(),
        domain: None,
        region: None,
        event,
    }
}

impl Fold for Case {
    type Key = Key;
    type Row = CaseRow;
    type Record = CaseRecord;
    type State = CaseFoldState;
    type Output = CaseOutput;

    const NAME: &'static str = "case";

    fn route(key: &Key) -> u64 {
        key.route()
    }

    fn place(record: &CaseRecord) -> (Key, Origin) {
        match record {
            CaseRecord::Warning(happened) => {
                // In one epoch one warning of a run may end, and the next begin and rise.
                let offset = match happened.kind {
                    DeltaKind::Cleared | DeltaKind::Withdrawn => 0,
                    DeltaKind::Raised | DeltaKind::Revised | DeltaKind::Recorded | DeltaKind::Amended => 1,
                    DeltaKind::Escalated | DeltaKind::Eased => 2,
                };
                let topic = Topic::WARNING_DELTA.id();
                let origin = Origin {
                    topic,
                    offset,
                    ..Origin::default()
                };
                (happened.run.key(), origin)
            }
            CaseRecord::Action(acted) => (acted.case, acted.origin),
        }
    }

    fn rows(
        &mut self,
        _now: Millis,
        _key: Key,
        state: &mut CaseFoldState,
        changes: &mut dyn Iterator<Item = (CaseRow, Diff)>,
    ) -> bool {
        changes.for_each(|(row, diff)| state.rows.apply(row, diff));
        true
    }

    fn record(&mut self, _now: Millis, _key: Key, state: &mut CaseFoldState, record: &mut CaseRecord) {
        match record {
            CaseRecord::Warning(happened) => {
                let level = happened.level;
                let kind = match happened.kind {
                    DeltaKind::Raised => FactKind::Raised(level),
                    DeltaKind::Escalated | DeltaKind::Eased => FactKind::Level(level),
                    // When it began the row of the case says, and what is over calls nobody.
                    DeltaKind::Revised | DeltaKind::Recorded | DeltaKind::Amended => return,
                    DeltaKind::Cleared => FactKind::Cleared,
                    DeltaKind::Withdrawn => FactKind::Withdrawn,
                };
                let fact = Fact {
                    kind,
                    cause: happened.cause,
                    evidence: Some(Arc::clone(&happened.evidence)),
                };
                state.facts.push(News {
                    id: happened.warning.widen(),
                    run: happened.run.clone(),
                    fact,
                });
            }
            CaseRecord::Action(acted) => state.acted.push(acted.clone()),
        }
    }

    fn recall(&mut self, _key: Key, state: &CaseFoldState, out: &mut Vec<(CaseOutput, Diff)>) {
        for file in &state.files {
            file.shown(1, out);
        }
    }

    fn settle(&mut self, now: Millis, _key: Key, state: &mut CaseFoldState, out: &mut Vec<(CaseOutput, Diff)>) -> Next {
        self.take_in(now, state, out);
        let mut wake: Option<Millis> = None;
        state.files.retain_mut(|file| {
            let next = file.tell(now, self, out);
            match next {
                Some(Next::Wake(at)) => wake = Some(wake.map_or(at, |wake| wake.min(at))),
                Some(_) => {}
                None => file.shown(-1, out),
            }
            next.is_some()
        });
        match wake {
            Some(at) => Next::Wake(at),
            None if state.files.is_empty() && state.rows.is_empty() => Next::Forget,
            None => Next::Keep,
        }
    }
}
