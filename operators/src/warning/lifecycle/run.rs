//! Runs of episodes: which of them share a case.

use std::collections::VecDeque;
use std::sync::Arc;

use riskflow_model::id::Run;
use riskflow_model::output::WarningState;
use riskflow_model::{Duration, Id, Millis};
use serde::{Deserialize, Serialize};

use super::Step;
use crate::engine::Diff;

/// A warning that belongs to a run of another name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Joined {
    /// Its identifier.
    pub warning: Id<WarningState>,
    /// The run, by the name of its first warning.
    pub run: Id<Run>,
}

/// Runs of episodes.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Runs {
    /// The name of the last run; empty before the first.
    pub(super) last: Id<Run>,
    /// When its last episode ended, as far as that was told: of one that was withdrawn, the epoch. `None` while one is open.
    pub(super) ended: Option<Millis>,
    /// The newest episodes, with the names of their runs.
    known: VecDeque<Joined>,
}

/// So many episodes of a rule and asset, and of a case, are known by their names.
pub const KNOWN: usize = 1000;

impl Runs {
    /// An episode is raised: finds its run. One that was known before is of the run that it was of.
    pub(super) fn raise(&mut self, id: &Id<WarningState>, since: Millis, join: Duration, out: &mut Vec<(Step, Diff)>) {
        let known = self.known.iter().find(|known| known.warning == *id);
        let joins = || self.ended.is_some_and(|ended| since - ended <= join);
        let run = match known {
            Some(known) => known.run.clone(),
            None if joins() => self.last.clone(),
            None => id.widen(),
        };
        if known.is_none() {
            let joined = Joined {
                warning: id.clone(),
                run: run.clone(),
            };
            out.extend(joined.row(1));
            self.known.push_back(joined);
            if self.known.len() > KNOWN {
                out.extend(self.known.pop_front().and_then(|oldest| oldest.row(-1)));
            }
        }
        (self.last, self.ended) = (run, None);
    }

    /// When all is forgotten.
    pub(super) fn until(&self, keep: Duration) -> Option<Millis> {
        self.ended.map(|ended| ended + keep)
    }

    /// All rows.
    pub(super) fn rows(&self) -> impl Iterator<Item = (Step, Diff)> + '_ {
        self.known.iter().filter_map(|joined| joined.row(1))
    }

    /// Forgets all.
    pub(super) fn forget(&mut self, out: &mut Vec<(Step, Diff)>) {
        let gone = std::mem::take(self).known;
        out.extend(gone.iter().filter_map(|joined| joined.row(-1)));
    }
}

impl Joined {
    /// The row of one whose run has another name.
    fn row(&self, diff: Diff) -> Option<(Step, Diff)> {
        (*self.warning != *self.run).then(|| (Step::Joined(Arc::new(self.clone())), diff))
    }
}
