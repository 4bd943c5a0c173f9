//! Cases: each rebuilt from everything that is known of it, after every epoch.

use std::collections::{BTreeMap, BTreeSet};

use riskflow::runtime::graph::Semantics;
use riskflow_config::InputRecord;
use riskflow_model::action::Action;
use riskflow_model::id::{Run, WarningOrIncident};
use riskflow_model::intake::{Incident, IncidentState};
use riskflow_model::output::{
    Basis, CaseCounts, CaseDelta, CaseEvent, CaseEventKind, CaseState, CaseStep, Cause, DeltaKind, Origin, Reason,
    Refusal, WarningState,
};
use riskflow_model::{Id, Key, Level, Shared};

use crate::oracle::act::by;
use crate::oracle::bureau::Bureau;
use crate::oracle::notice::Memory;
use crate::oracle::place::Places;
use crate::oracle::run::{Raw, Runs, told};
use crate::oracle::timeline::{About, Asked, Fact, Kept, Named, Says, Timeline};
use crate::oracle::walk::{Walk, walk};
use crate::oracle::{Expected, Told, notice, response};

/// The most actions that a case may have.
const MOST_ACTIONS: usize = 1000;

/// A case as the oracle remembers it.
#[derive(Default)]
struct Case {
    timeline: Timeline,
    /// All facts, also those that are not told.
    learnt: Vec<Raw>,
    /// Whether the level is restless now.
    marked: bool,
    /// Its warnings.
    warnings: Vec<Id<WarningState>>,
    /// As of the last epoch.
    shown: Option<CaseState>,
    /// Identifiers of its actions.
    ids: BTreeSet<Id<Action>>,
    /// What was told of it, and not taken back.
    events: BTreeSet<CaseEvent>,
    memory: Memory,
}

/// A fact of the epoch.
struct News {
    /// The run of the warning; of an incident itself.
    run: Id<Run>,
    id: Id<WarningOrIncident>,
    fact: Fact,
}

/// All cases.
#[derive(Default)]
pub struct Cases {
    bureau: Bureau,
    cases: BTreeMap<Id<CaseState>, Case>,
    /// The cases of each run, the newest last.
    of_run: BTreeMap<Id<Run>, Vec<Id<CaseState>>>,
}

impl Cases {
    /// Takes an epoch in, after its warnings are known.
    pub fn step(
        &mut self,
        semantics: &Semantics,
        now: i64,
        records: &[(Origin, InputRecord)],
        (places, runs): (Places, &Runs),
        expected: &mut Expected,
    ) {
        self.bureau.places = places;
        let before = self.bureau.incidents.clone();
        for (origin, record) in records {
            if let InputRecord::Base(key, row) = record {
                self.bureau.apply(origin.topic, *key, row.as_ref());
            }
        }
        // Of one run a warning may end and another begin, and one may begin anew and rise.
        let order = |told: &&Told| match told.kind {
            DeltaKind::Cleared | DeltaKind::Withdrawn => 0,
            DeltaKind::Raised | DeltaKind::Revised | DeltaKind::Recorded | DeltaKind::Amended => 1,
            DeltaKind::Escalated | DeltaKind::Eased => 2,
        };
        let mut deltas: Vec<&Told> = expected.deltas.iter().collect();
        deltas.sort_by_key(order);
        let mut news: Vec<News> = deltas
            .iter()
            .filter_map(|told| of_warning(told, expected.runs.get(&told.id)?, now))
            .collect();
        news.extend(of_incidents(&before, &self.bureau.incidents, now));
        for one in news {
            self.learn(one);
        }
        let causes = self.tell_facts(semantics, now);
        self.tell_abouts(now, runs, expected);
        let mut acted = BTreeSet::new();
        let mut too_many = Vec::new();
        for (origin, record) in records {
            if let InputRecord::Action(action) = record {
                match admitted(semantics, now, action) {
                    Err(reason) => drop(expected.dead.insert((reason, *origin))),
                    Ok(()) => {
                        let named = &action.warning;
                        // `<first warning>@<run>`
                        let run = named
                            .split_once('@')
                            .map_or_else(|| runs.of(named), |(_, run)| run.into());
                        let case = self.case_of(&run, named);
                        self.action((now, *origin), (case, action), &mut acted, &mut too_many, expected);
                    }
                }
            }
        }
        let ids: Vec<Id<CaseState>> = self.cases.keys().cloned().collect();
        for id in ids {
            let refused = too_many.iter().filter(|(case, _)| *case == id);
            let refused: Vec<&Action> = refused.map(|(_, action)| *action).collect();
            let fact = causes.get(&id).copied();
            if self.rebuild(semantics, now, &id, (fact, acted.contains(&id)), &refused, expected) {
                self.cases.remove(&id);
                for of_run in self.of_run.values_mut() {
                    of_run.retain(|case| *case != id);
                }
            }
        }
        expected.responses = response::rows(expected.cases.values(), &self.bureau.places);
        expected.cases.values_mut().for_each(show);
    }

    /// The case of a warning of a run, or of an incident: the newest that knows it.
    fn case_of(&self, run: &Id<Run>, id: &str) -> Option<Id<CaseState>> {
        let of_run = self.of_run.get(run)?;
        let is_of = |case: &Case| case.warnings.iter().rev().take(1000).any(|one| **one == *id);
        let knows = |case: &&Id<CaseState>| ***case == *id || is_of(&self.cases[*case]);
        of_run.iter().rfind(knows).cloned()
    }

    /// Finds the case of a fact: its own, the one that it joins, or a new one.
    fn learn(&mut self, News { run, id, mut fact }: News) {
        let known = self.case_of(&run, &id);
        let is_archived = |case: &Case| case.shown.as_ref().is_some_and(|row| row.step == CaseStep::Archived);
        let case = match known {
            Some(case) => case,
            None if !fact.begins => return,
            None => {
                let of_run = self.of_run.entry(run.clone()).or_default();
                let last = of_run.last().filter(|last| !is_archived(&self.cases[*last])).cloned();
                fact.joins = last.is_some();
                let case = last.unwrap_or_else(|| {
                    let name = if *id == *run {
                        Id::new(id.text().clone())
                    } else {
                        format!("{id}@{run}").into()
                    };
                    of_run.push(name.clone());
                    name
                });
                let incident = self.bureau.incidents.contains_key(&id.key());
                self.cases
                    .entry(case.clone())
                    .or_default()
                    .warnings
                    .extend((!incident).then(|| id.narrow()));
                case
            }
        };
        let own = case.split('@').next() == Some(&*id);
        let case = self.cases.get_mut(&case).expect("it is there");
        let ended = case.learnt.iter().any(|raw| raw.fact.says == Says::Cleared);
        // What is told of the last says nothing of those before it.
        if fact.says == Says::Withdrawn && ended && !own {
            fact.says = Says::Cleared;
        }
        let peak = case.shown.as_ref().map_or(Level::None, |row| row.peak);
        let peak = (!is_archived(case)).then_some(peak);
        case.learnt.push(Raw { fact, peak });
    }

    /// Finds what is told of each case; for those of which there is news in this epoch, why.
    fn tell_facts(&mut self, semantics: &Semantics, now: i64) -> BTreeMap<Id<CaseState>, Cause> {
        let mut causes = BTreeMap::new();
        for (id, case) in &mut self.cases {
            let (facts, marked) = told(&case.learnt, &semantics.case.flapping, now);
            // What the end of a mark brings is told by the clock alone, at its own time.
            let news = facts.iter().rfind(|fact| fact.at == now && !fact.is_mark());
            let learnt = case.learnt.last().filter(|raw| raw.fact.at == now);
            if news.is_some()
                && let Some(raw) = learnt
            {
                causes.insert(id.clone(), raw.fact.cause);
            }
            (case.timeline.facts, case.marked) = (facts, marked);
        }
        causes
    }

    /// What each case is about, as its warning's or incident's row says as long as there is one.
    fn tell_abouts(&mut self, now: i64, runs: &Runs, expected: &Expected) {
        let warnings = expected.warnings.values();
        let warnings = warnings.map(|row| (self.case_of(&runs.of(&row.id), &row.id), of_row(row)));
        let incidents = self.bureau.incidents.values();
        let incidents = incidents.map(|row| (self.case_of(&row.id.widen(), &row.id), of_incident(row)));
        let abouts: Vec<(Option<Id<CaseState>>, About)> = warnings.chain(incidents).collect();
        for (id, about) in abouts {
            let Some(case) = id.and_then(|id| self.cases.get_mut(&id)) else {
                continue;
            };
            let told = &mut case.timeline.about;
            if told.last().is_none_or(|last| last.about != about) {
                told.push(Named { at: now, about });
            }
        }
    }

    fn action<'r>(
        &mut self,
        (now, origin): (i64, Origin),
        (id, action): (Option<Id<CaseState>>, &'r Action),
        acted: &mut BTreeSet<Id<CaseState>>,
        too_many: &mut Vec<(Id<CaseState>, &'r Action)>,
        expected: &mut Expected,
    ) {
        let found = id.and_then(|id| self.cases.get_mut(&id).map(|case| (id, case)));
        let Some((id, case)) = found else {
            let event = refused(action, CaseStep::Issued, Level::None, Refusal::UnknownCase);
            expected.case_deltas.insert(CaseDelta {
                case: Id::new(action.warning.text().clone()),
                retracted: false,
                cause: Cause::Manual,
                rule: "".into(),
                domain: None,
                region: None,
                event,
            });
            return;
        };
        if case.ids.contains(&action.id) {
            return;
        }
        if case.timeline.actions.len() == MOST_ACTIONS {
            too_many.push((id, action));
            return;
        }
        case.ids.insert(action.id.clone());
        let issue = case.timeline.facts[0].at;
        case.timeline.actions.push(Kept {
            at: action.time.0.max(issue).min(now),
            origin,
            action: action.clone(),
        });
        acted.insert(id);
    }

    /// Walks a case again, and says what is new of it; `true` if it is to be forgotten.
    fn rebuild(
        &mut self,
        semantics: &Semantics,
        now: i64,
        id: &Id<CaseState>,
        (fact, acted): (Option<Cause>, bool),
        too_many: &[&Action],
        expected: &mut Expected,
    ) -> bool {
        let case = self.cases.get_mut(id).expect("it is there");
        let asked_changed = ask(case, &self.bureau, now);
        let (walked, mut state) = walk(id, &case.timeline, semantics, now);
        state.warnings.clone_from(&case.warnings);
        let about = &walked.about;
        let delta = |retracted, cause, event| CaseDelta {
            case: id.clone(),
            retracted,
            cause,
            rule: about.rule.clone(),
            domain: Some(about.domain),
            region: Some(about.region),
            event,
        };
        let of_asking = if asked_changed { Cause::BaseChange } else { Cause::Clock };
        let of_retraction = if acted {
            Cause::Manual
        } else {
            fact.unwrap_or(of_asking)
        };
        for (event, cause) in &walked.events {
            if !case.events.contains(event) {
                expected.case_deltas.insert(delta(false, *cause, event.clone()));
            }
        }
        for event in case.events.iter().filter(|event| !walked.events.contains_key(*event)) {
            expected.case_deltas.insert(delta(true, of_retraction, event.clone()));
        }
        for action in too_many {
            let event = refused(action, state.step, state.level, Refusal::TooMany);
            expected.case_deltas.insert(delta(false, Cause::Manual, event));
        }
        case.events = walked.events.keys().cloned().collect();
        if rest(case, &state).is_some_and(|rest| now >= rest + semantics.case.retain.0) {
            return true;
        }
        case.shown = Some(state.clone());
        tell(id, &walked, &self.bureau, now, &mut case.memory, expected);
        expected.cases.insert(id.clone(), state);
        false
    }
}

/// Of what grows without end a row holds the newest ten, of what is asked at most a hundred, the open ones first; and how many
/// there are.
fn show(case: &mut CaseState) {
    fn newest<T>(all: &mut Vec<T>) -> u32 {
        let count = all.len();
        all.drain(..count.saturating_sub(10));
        count as u32
    }
    fn open_first<T>(all: &mut Vec<T>, done: impl Fn(&T) -> bool) -> u32 {
        let count = all.len();
        if count > 100 {
            all.sort_by_key(|one| done(one));
            all.truncate(100);
        }
        count as u32
    }
    case.counts = CaseCounts {
        warnings: newest(&mut case.warnings),
        escalations: newest(&mut case.escalations),
        obligations: open_first(&mut case.obligations, |one| one.acknowledged.is_some()),
        tasks: open_first(&mut case.tasks, |one| one.reported.is_some()),
        notes: newest(&mut case.people.notes),
        evidence: newest(&mut case.people.evidence),
    };
}

fn tell(
    id: &Id<CaseState>,
    walked: &Walk<'_>,
    bureau: &Bureau,
    now: i64,
    memory: &mut Memory,
    expected: &mut Expected,
) {
    expected
        .notices
        .extend(notice::notices(id, walked, bureau, now, memory));
}

fn admitted(semantics: &Semantics, now: i64, action: &Action) -> Result<(), Reason> {
    if action.time.0 < now - semantics.case.horizon.0 {
        return Err(Reason::TooLate);
    }
    if action.time.0 > now + semantics.time.max_future.0 {
        return Err(Reason::InFuture);
    }
    Ok(())
}

fn refused(action: &Action, step: CaseStep, level: Level, refusal: Refusal) -> CaseEvent {
    CaseEvent {
        at: action.time,
        kind: CaseEventKind::Refused,
        step,
        level,
        by: Some(by(action)),
        escalation: None,
        refusal: Some(refusal),
        allowed: Vec::new(),
    }
}

fn of_row(warning: &WarningState) -> About {
    About {
        incident: false,
        rule: warning.rule.widen(),
        asset: Some(warning.asset.clone()),
        domain: warning.domain,
        region: warning.region,
        since: warning.since,
    }
}

fn of_incident(incident: &Incident) -> About {
    About {
        incident: true,
        rule: incident.hazard.widen(),
        asset: incident.asset.clone(),
        domain: incident.domain,
        region: incident.region,
        since: incident.since,
    }
}

/// What a delta of a warning that is open, or was until now, says to its case; that it began at another time says nothing.
fn of_warning(told: &Told, run: &Id<Run>, now: i64) -> Option<News> {
    let says = match told.kind {
        DeltaKind::Raised | DeltaKind::Escalated | DeltaKind::Eased => Says::Open(told.levels.1),
        DeltaKind::Cleared => Says::Cleared,
        DeltaKind::Withdrawn => Says::Withdrawn,
        DeltaKind::Revised | DeltaKind::Recorded | DeltaKind::Amended => return None,
    };
    Some(News {
        run: run.clone(),
        id: told.id.widen(),
        fact: Fact {
            at: now,
            cause: told.cause,
            says,
            begins: told.kind == DeltaKind::Raised,
            joins: false,
        },
    })
}

fn of_incidents(
    before: &BTreeMap<Key, Shared<Incident>>,
    after: &BTreeMap<Key, Shared<Incident>>,
    now: i64,
) -> Vec<News> {
    let says = |row: Option<&Shared<Incident>>| match row.map(|row| row.state) {
        Some(IncidentState::Open) => Says::Open(row.map_or(Level::None, |row| row.level)),
        Some(IncidentState::Ended) => Says::Cleared,
        // A row that is gone never was.
        Some(IncidentState::Withdrawn) | None => Says::Withdrawn,
    };
    let keys: BTreeSet<&Key> = before.keys().chain(after.keys()).collect();
    let news = keys.into_iter().filter_map(|key| {
        let (old, new) = (before.get(key), after.get(key));
        let row = new.or(old)?;
        (says(old) != says(new)).then(|| News {
            run: row.id.widen(),
            id: row.id.widen(),
            fact: Fact {
                at: now,
                cause: Cause::Manual,
                says: says(new),
                begins: matches!(says(new), Says::Open(_)) && !matches!(says(old), Says::Open(_)),
                joins: false,
            },
        })
    });
    news.collect()
}

/// Obligations and tasks follow duties and plans while the basis is active. Returns whether they changed.
fn ask(case: &mut Case, bureau: &Bureau, now: i64) -> bool {
    let timeline = &mut case.timeline;
    let last = timeline
        .facts
        .iter()
        .rfind(|fact| !fact.is_mark())
        .expect("it was issued");
    let Says::Open(level) = last.says else { return false };
    // What a restless level does not show stays as it is.
    let is = &case.learnt.last().expect("it was issued").fact;
    if case.marked && is.says != last.says {
        return false;
    }
    let about = &timeline.about.last().expect("what is raised is known").about;
    let asked = Asked {
        at: now,
        obligations: bureau.obligations(about, level, now),
        tasks: bureau.tasks(about, level),
    };
    let before = timeline.asked.last();
    let changed = before.is_none_or(|before| before.obligations != asked.obligations || before.tasks != asked.tasks);
    // A fact may arm the case: then what was kept only because it was acknowledged goes.
    if changed || last.at == now {
        timeline.asked.push(asked);
    }
    changed
}

/// Since when nothing is to be expected any more.
fn rest(case: &Case, state: &CaseState) -> Option<i64> {
    if state.step == CaseStep::Archived {
        return Some(state.entered.0);
    }
    let facts = &case.timeline.facts;
    let last = facts.iter().rfind(|fact| !fact.is_mark()).expect("it was issued").at;
    (state.basis != Basis::Active && case.timeline.actions.is_empty()).then_some(last)
}
