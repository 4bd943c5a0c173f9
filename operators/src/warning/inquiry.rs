//! Few datastreams under the monitor, by hand: what the rules said of them at one time, and why not more.
//!
//! The dataflow tells where a level changed, and why. Why it did *not* change nobody is told; whoever asks gives here the rows and
//! records of the datastreams that it is about, epoch by epoch as they came, and looks. It is the monitor of the dataflow that
//! evaluates, and its tracks are merged as the lifecycle does, so both say the same.

use std::collections::BTreeMap;

use riskflow_config::Place;
use riskflow_model::base::{Asset, Datastream};
use riskflow_model::output::DeadLetter;
use riskflow_model::rule::RuleRecord;
use riskflow_model::{Id, Key, Level, Millis};

use crate::engine::{Diff, Fold as _};
use crate::warning::lifecycle::Warning;
use crate::warning::monitor::{Finding, Incoming, Look, Monitor, MonitorState, Revision};
use crate::warning::specification::Specification;

/// Datastreams under the monitor.
#[derive(Debug)]
pub struct Inquiry {
    monitor: Monitor,
    states: BTreeMap<Key, MonitorState>,
    /// By rule and asset.
    levels: BTreeMap<(Id<RuleRecord>, Id<Asset>), Warning>,
}

/// How the highest level of a rule and asset stood at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stood {
    /// The level.
    pub level: Level,
    /// Since when it was that.
    pub at: Millis,
    /// Since when it was above none: what a warning has as its `since`.
    pub since: Millis,
}

/// What a datastream is to be evaluated by from now on; `None` where its row went.
pub type Specified = (Id<Datastream>, Option<Box<Specification>>);

impl Inquiry {
    /// Nothing is known yet.
    #[must_use]
    pub const fn new(monitor: Monitor) -> Self {
        Self {
            monitor,
            states: BTreeMap::new(),
            levels: BTreeMap::new(),
        }
    }

    /// One epoch: specifications that changed, then records in their order. What is not yet known of the past may come at any epoch;
    /// epochs rise. Gives what could not be used.
    pub fn epoch(&mut self, now: Millis, changed: Vec<Specified>, records: Vec<Incoming>) -> Vec<DeadLetter> {
        let mut touched: Vec<Key> = Vec::new();
        for (datastream, specification) in changed {
            let key = datastream.key();
            let state = self.states.entry(key).or_default();
            let rows = specification.map(|specification| (specification, 1));
            let rows = rows.into_iter().collect::<Vec<(_, Diff)>>();
            self.monitor.rows(now, key, state, &mut rows.into_iter());
            state.keep_all();
            touched.push(key);
        }
        for mut record in records {
            let (key, _) = Monitor::place(&record);
            let state = self.states.entry(key).or_default();
            self.monitor.record(now, key, state, &mut record);
            touched.push(key);
        }
        touched.sort_unstable();
        touched.dedup();
        self.settle(now, touched)
    }

    /// Time passed, and nothing came.
    pub fn pass(&mut self, now: Millis) -> Vec<DeadLetter> {
        let all = self.states.keys().copied().collect();
        self.settle(now, all)
    }

    fn settle(&mut self, now: Millis, keys: Vec<Key>) -> Vec<DeadLetter> {
        let mut found = Vec::new();
        for key in keys {
            let state = self.states.entry(key).or_default();
            self.monitor.settle(now, key, state, &mut found);
        }
        let mut letters = Vec::new();
        for (finding, _) in found {
            match finding {
                Finding::Revision(revision) => {
                    let of = (Id::new(revision.rule.clone()), Id::new(revision.asset.clone()));
                    if let Some(revision) = of_live(*revision) {
                        self.levels.entry(of).or_default().follow(revision);
                    }
                }
                Finding::DeadLetter(letter) => letters.push(*letter),
            }
        }
        letters
    }

    /// What each rule says of each datastream at a time, by what came up to the last epoch.
    #[must_use]
    pub fn look(&self, at: Millis) -> Vec<Look> {
        let states = self.states.values();
        states.flat_map(|state| state.look(&self.monitor, at)).collect()
    }

    /// How a rule stood at an asset at a time, if its level was above none. Past the time of the last epoch it is as it was then.
    #[must_use]
    pub fn stood(&self, rule: &Id<RuleRecord>, asset: &Id<Asset>, at: Millis) -> Option<Stood> {
        let track = self.levels.get(&(rule.clone(), asset.clone()))?.track();
        let until = track.partition_point(|(time, _)| *time <= at.0);
        let (time, level) = *track[..until].last().filter(|(_, level)| *level > Level::None)?;
        let open = track[..until].iter().rev();
        let open = open.take_while(|(_, level)| *level > Level::None);
        let (since, _) = open.last()?;
        Some(Stood {
            level,
            at: Millis(time),
            since: Millis(*since),
        })
    }
}

/// What a revision says where only rules of the live set are asked: of moves that nothing counts any more.
fn of_live(revision: Revision) -> Option<Revision> {
    let Some(moves) = &revision.moves else {
        return Some(revision);
    };
    let ends = moves.iter().any(|one| one.to == Place::Live && one.from.is_none());
    ends.then(|| Revision {
        from: i64::MIN,
        gone: true,
        moves: None,
        ..revision
    })
}

#[cfg(test)]
mod tests;
