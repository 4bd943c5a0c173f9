//! Cases: each rebuilt from everything that is known of it, after every epoch.

use std::collections::{BTreeMap, BTreeSet};

use riskflow::graph::Semantics;
use riskflow_config::InputRecord;
use riskflow_model::action::Action;
use riskflow_model::intake::{Incident, IncidentState};
use riskflow_model::output::{
    Basis, CaseCounts, CaseDelta, CaseEvent, CaseEventKind, CaseState, CaseStep, Cause, DeltaKind, Origin, Reason,
    Refusal, WarningState,
};
use riskflow_model::{Key, Level, Shared, Text};

use crate::oracle::act::by;
use crate::oracle::bureau::Bureau;
use crate::oracle::notice::Memory;
use crate::oracle::place::Places;
use crate::oracle::timeline::{About, Asked, Fact, Kept, Named, Says, Timeline};
use crate::oracle::walk::{Walk, walk};
use crate::oracle::{Expected, Told, notice, response};

/// The most actions that a case may have.
const MOST_ACTIONS: usize = 1000;

/// A case as the oracle remembers it.
#[derive(Default)]
struct Case {
    timeline: Timeline,
    /// Identifiers of its actions.
    ids: BTreeSet<Text>,
    /// What was told of it, and not taken back.
    events: BTreeSet<CaseEvent>,
    memory: Memory,
}

/// A fact of the epoch, and whether it may begin a case.
struct News {
    case: Text,
    fact: Fact,
    raises: bool,
}

/// All cases.
#[derive(Default)]
pub struct Cases {
    bureau: Bureau,
    cases: BTreeMap<Text, Case>,
}

impl Cases {
    /// Takes an epoch in, after its warnings are known.
    pub fn step(
        &mut self,
        semantics: &Semantics,
        now: i64,
        records: &[(Origin, InputRecord)],
        places: Places,
        expected: &mut Expected,
    ) {
        self.bureau.places = places;
        let before = self.bureau.incidents.clone();
        for (origin, record) in records {
            if let InputRecord::Base(key, row) = record {
                self.bureau.apply(origin.topic, *key, row.as_ref());
            }
        }
        let mut news: Vec<News> = expected.deltas.iter().map(|told| of_warning(told, now)).collect();
        news.extend(of_incidents(&before, &self.bureau.incidents, now));
        let mut causes: BTreeMap<Text, Cause> = BTreeMap::new();
        for News { case, fact, raises } in news {
            if raises || self.cases.contains_key(&case) {
                causes.insert(case.clone(), fact.cause);
                self.cases.entry(case).or_default().timeline.facts.push(fact);
            }
        }
        self.tell_abouts(now, expected);
        let mut acted = BTreeSet::new();
        let mut too_many = Vec::new();
        for (origin, record) in records {
            if let InputRecord::Action(action) = record {
                match admitted(semantics, now, action) {
                    Err(reason) => drop(expected.dead.insert((reason, *origin))),
                    Ok(()) => self.action(now, *origin, action, &mut acted, &mut too_many, expected),
                }
            }
        }
        let ids: Vec<Text> = self.cases.keys().cloned().collect();
        for id in ids {
            let refused = too_many.iter().filter(|action| action.warning == id);
            let refused: Vec<&Action> = refused.copied().collect();
            let fact = causes.get(&id).copied();
            if self.rebuild(semantics, now, &id, (fact, acted.contains(&id)), &refused, expected) {
                self.cases.remove(&id);
            }
        }
        expected.responses = response::rows(expected.cases.values(), &self.bureau.places);
        expected.cases.values_mut().for_each(show);
    }

    /// What each case is about, as its warning's or incident's row says as long as there is one.
    fn tell_abouts(&mut self, now: i64, expected: &Expected) {
        for (id, case) in &mut self.cases {
            let warning = expected.warnings.get(id).map(of_row);
            let incident = self.bureau.incidents.get(&Key::of(id)).map(|row| of_incident(row));
            let Some(about) = warning.or(incident) else { continue };
            let told = &mut case.timeline.about;
            if told.last().is_none_or(|last| last.about != about) {
                told.push(Named { at: now, about });
            }
        }
    }

    fn action<'r>(
        &mut self,
        now: i64,
        origin: Origin,
        action: &'r Action,
        acted: &mut BTreeSet<Text>,
        too_many: &mut Vec<&'r Action>,
        expected: &mut Expected,
    ) {
        let Some(case) = self.cases.get_mut(&action.warning) else {
            let event = refused(action, CaseStep::Issued, Level::None, Refusal::UnknownCase);
            expected.case_deltas.insert(CaseDelta {
                case: action.warning.clone(),
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
            too_many.push(action);
            return;
        }
        case.ids.insert(action.id.clone());
        let issue = case.timeline.facts[0].at;
        case.timeline.actions.push(Kept {
            at: action.time.0.max(issue).min(now),
            origin,
            action: action.clone(),
        });
        acted.insert(action.warning.clone());
    }

    /// Walks a case again, and says what is new of it; `true` if it is to be forgotten.
    fn rebuild(
        &mut self,
        semantics: &Semantics,
        now: i64,
        id: &Text,
        (fact, acted): (Option<Cause>, bool),
        too_many: &[&Action],
        expected: &mut Expected,
    ) -> bool {
        let case = self.cases.get_mut(id).expect("it is there");
        let asked_changed = ask(&mut case.timeline, &self.bureau, now);
        let (walked, state) = walk(id, &case.timeline, semantics, now);
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
        if rest(case, &state).is_some_and(|rest| now >= rest + semantics.case.retain) {
            return true;
        }
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
        escalations: newest(&mut case.escalations),
        obligations: open_first(&mut case.obligations, |one| one.acknowledged.is_some()),
        tasks: open_first(&mut case.tasks, |one| one.reported.is_some()),
        notes: newest(&mut case.people.notes),
        evidence: newest(&mut case.people.evidence),
    };
}

fn tell(id: &Text, walked: &Walk<'_>, bureau: &Bureau, now: i64, memory: &mut Memory, expected: &mut Expected) {
    expected
        .notices
        .extend(notice::notices(id, walked, bureau, now, memory));
}

fn admitted(semantics: &Semantics, now: i64, action: &Action) -> Result<(), Reason> {
    if action.time.0 < now - semantics.case.horizon {
        return Err(Reason::TooLate);
    }
    if action.time.0 > now + semantics.time.max_future {
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
        rule: warning.rule.clone(),
        asset: Some(warning.asset.clone()),
        domain: warning.domain,
        region: warning.region,
        since: warning.since,
    }
}

fn of_incident(incident: &Incident) -> About {
    About {
        incident: true,
        rule: incident.hazard.clone(),
        asset: incident.asset.clone(),
        domain: incident.domain,
        region: incident.region,
        since: incident.since,
    }
}

fn of_warning(told: &Told, now: i64) -> News {
    let says = match told.kind {
        DeltaKind::Raised | DeltaKind::Escalated | DeltaKind::Eased | DeltaKind::Revised => Says::Open(told.levels.1),
        DeltaKind::Cleared => Says::Cleared,
        DeltaKind::Withdrawn => Says::Withdrawn,
    };
    News {
        case: told.id.clone(),
        raises: told.kind == DeltaKind::Raised,
        fact: Fact {
            at: now,
            cause: told.cause,
            says,
        },
    }
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
            case: row.id.clone(),
            raises: matches!(says(new), Says::Open(_)) && !matches!(says(old), Says::Open(_)),
            fact: Fact {
                at: now,
                cause: Cause::Manual,
                says: says(new),
            },
        })
    });
    news.collect()
}

/// Obligations and tasks follow duties and plans while the basis is active. Whether they are others than before.
fn ask(timeline: &mut Timeline, bureau: &Bureau, now: i64) -> bool {
    let last = timeline.facts.last().expect("it was issued");
    let Says::Open(level) = last.says else { return false };
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
    let last = case.timeline.facts.last().expect("it was issued").at;
    (state.basis != Basis::Active && case.timeline.actions.is_empty()).then_some(last)
}
