//! Warnings that follow each other closely, and what a case is told of a level that rises and falls again and again.

use std::collections::BTreeMap;

use riskflow_config::FlappingSettings;
use riskflow_model::id::Run;
use riskflow_model::output::{Cause, WarningState};
use riskflow_model::{Id, Level};

use crate::oracle::Group;
use crate::oracle::timeline::{Fact, Says};

/// The runs of one rule and asset.
#[derive(Default)]
struct OfOne {
    /// The newest thousand warnings, with their runs.
    warnings: Vec<(Id<WarningState>, Id<Run>)>,
    /// The run of the last of them.
    name: Id<Run>,
    /// When that ended; none while it is open.
    over: Option<i64>,
}

/// All runs.
#[derive(Default)]
pub struct Runs(BTreeMap<Group, OfOne>);

impl Runs {
    /// A warning is raised; its run.
    pub fn raise(&mut self, place: &Group, id: &Id<WarningState>, since: i64, join: i64) -> Id<Run> {
        let run = self.0.entry(place.clone()).or_default();
        let before = run.warnings.iter().find(|(known, _)| known == id).cloned();
        let name = match (before, run.over) {
            (Some((_, name)), _) => name,
            (None, over) => {
                let name = match over {
                    Some(over) if since <= over + join => run.name.clone(),
                    _ => id.widen(),
                };
                run.warnings.push((id.clone(), name.clone()));
                let older = run.warnings.len().saturating_sub(1000);
                run.warnings.drain(..older);
                name
            }
        };
        run.name = name.clone();
        run.over = None;
        name
    }

    /// The open warning of a rule and asset ended; its run.
    pub fn end(&mut self, place: &Group, at: i64) -> Id<Run> {
        let run = self.0.get_mut(place).expect("what ends was raised");
        run.over = Some(at);
        run.name.clone()
    }

    /// The run of the open warning of a rule and asset.
    pub fn of_open(&self, place: &Group) -> Id<Run> {
        self.0[place].name.clone()
    }

    /// The run of a warning by its identifier; the identifier itself where it joined none.
    pub fn of(&self, id: &str) -> Id<Run> {
        let mut known = self.0.values().flat_map(|run| &run.warnings);
        let known = known.find(|(known, _)| **known == *id);
        known.map_or_else(|| id.into(), |(_, name)| name.clone())
    }

    /// What ended long ago is not known any more.
    pub fn forget(&mut self, now: i64, keep: i64) {
        self.0.retain(|_, run| run.over.is_none_or(|over| now < over + keep));
    }
}

/// A fact as it is learnt.
#[derive(Clone, Debug)]
pub struct Raw {
    /// As it would be told.
    pub fact: Fact,
    /// The peak of the case before the epoch; none of one that is archived.
    pub peak: Option<Level>,
}

fn level(says: Says) -> Level {
    match says {
        Says::Open(level) => level,
        _ => Level::None,
    }
}

/// The facts of a case that take effect, out of all that were found up to an epoch: all except those that are held back while the
/// case is flapping. The flag says whether it is flapping now.
pub fn told(learnt: &[Raw], settings: &FlappingSettings, now: i64) -> (Vec<Fact>, bool) {
    let mut told = Telling {
        settings,
        facts: Vec::new(),
        marked: None,
        raises: Vec::new(),
        last: Level::None,
    };
    for raw in learnt {
        told.pass(raw.fact.at);
        told.learn(raw);
    }
    told.pass(now);
    (told.facts, told.marked.is_some())
}

struct Telling<'a> {
    settings: &'a FlappingSettings,
    facts: Vec<Fact>,
    /// While it is marked: the last change, and the last fact that was not told.
    marked: Option<(i64, Option<Fact>)>,
    /// When it was raised, since there was calm.
    raises: Vec<i64>,
    last: Level,
}

impl Telling<'_> {
    /// The mark ends if there was calm up to a time.
    fn pass(&mut self, at: i64) {
        let calm = self.marked.as_ref().map(|(change, _)| change + self.settings.calm.0);
        let Some(calm) = calm.filter(|calm| *calm <= at) else {
            return;
        };
        let by_clock = |says| Fact {
            at: calm,
            cause: Cause::Clock,
            says,
            begins: false,
            joins: false,
        };
        let shown = self
            .facts
            .iter()
            .rfind(|fact| !fact.is_mark())
            .map(|fact| level(fact.says));
        self.facts.push(by_clock(Says::Marked(false)));
        let held = self.marked.take().and_then(|(_, held)| held);
        let held = held.filter(|fact| shown != Some(level(fact.says)));
        self.facts.extend(held.map(|fact| by_clock(fact.says)));
        self.raises.clear();
    }

    fn learn(&mut self, Raw { fact, peak }: &Raw) {
        let new = level(fact.says);
        let changed = new != self.last;
        self.last = new;
        self.raises.extend(fact.begins.then_some(fact.at));
        match &mut self.marked {
            Some((change, held)) => {
                if changed {
                    *change = fact.at;
                }
                *held = peak.filter(|peak| new <= *peak).map(|_| fact.clone());
                if held.is_none() {
                    let again = peak.is_none();
                    self.facts.push(Fact {
                        begins: fact.begins && again,
                        joins: fact.joins && again,
                        ..fact.clone()
                    });
                }
            }
            None => {
                self.facts.push(fact.clone());
                let lately = |raise: &&i64| fact.at - **raise <= self.settings.within.0;
                let often = self.raises.iter().filter(lately).count() >= 3;
                if fact.begins && often && peak.is_some() {
                    self.facts.push(Fact {
                        says: Says::Marked(true),
                        begins: false,
                        joins: false,
                        ..fact.clone()
                    });
                    self.marked = Some((fact.at, None));
                }
            }
        }
    }
}
