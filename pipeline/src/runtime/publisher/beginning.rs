//! Where publishing begins, and what stood in the output before.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use riskflow_connectors::Published;
use riskflow_connectors::checkpoint::CheckpointStore;
use riskflow_model::output::{CaseState, DeadLetter, WarningState};
use riskflow_model::progress::Offsets;
use riskflow_model::{Millis, Text};

use super::foretold::Foretold;
use super::told::Told;
use crate::runtime::pace::Moment;

/// Where publishing begins.
#[derive(Clone, Debug, Default)]
pub struct Beginning {
    /// Whether progress is recorded: only so can a later run go on.
    pub definite: bool,
    /// The epoch committed last; nothing up to it is published again.
    pub last: Millis,
    /// The epoch of which the state was loaded: in it the views are rebuilt, and nothing is computed once more.
    pub restored: Option<Millis>,
    /// How far the input was taken before the first epoch that comes.
    pub position: Offsets,
    /// The epoch and the offsets that `out.progress` begins with.
    pub base: (Moment, Offsets),
    /// The epochs that it records from there on.
    pub recorded: VecDeque<(Moment, Offsets)>,
    /// Whether all that is void: the job begins anew.
    pub anew: bool,
    /// Of epochs before this nothing is published but progress; the rows of the tables come with the first that is.
    pub quiet_before: Millis,
    /// What the epochs behind `last` gave when they ran, where a replay closes them as they ran.
    pub ran: BTreeMap<Millis, Text>,
    /// Whether they are closed as they ran, and what they gave is no measure: the state before the first of them is not as it was.
    pub incomparable: bool,
    /// What the epochs up to `last` gave, where that is recorded.
    pub digests: BTreeMap<Millis, Text>,
    /// Whether another digest is an error.
    pub verify: bool,
    /// The rows that stand in the output tables; `None`: they are those that the replay gives, epoch by epoch the same.
    pub published: Option<Published>,
    /// Where the clock was ahead, what stands open there.
    pub open: Option<Open>,
    /// What a clock that was ahead told too early, as far as is noted.
    pub foretold: Foretold,
    /// Where that is noted.
    pub store: Option<Arc<CheckpointStore>>,
}

/// What stands open in the output.
#[derive(Clone, Debug)]
pub struct Open {
    /// Warnings.
    pub warnings: Vec<WarningState>,
    /// Cases that are not archived, and of which something is there.
    pub cases: Vec<CaseState>,
    /// What was told of cases.
    pub told: Told,
    /// Which records were refused.
    pub letters: Refused,
}

impl Beginning {
    /// Settings or version changed since these epochs were published. So the replay may give other results, which is no error:
    /// digests are not compared, and the tables are compared instead.
    pub fn do_not_compare(&mut self) {
        self.verify = false;
        self.digests.clear();
    }

    /// Up to this epoch nothing is written and no digest is compared: what the replay gives need not be encoded.
    pub(crate) fn unwritten(&self) -> Millis {
        let first = self.digests.keys().next();
        first.map_or(self.last, |first| Millis(first.0 - 1))
    }
}

/// Which records the output says were refused, as far as it still has that.
#[derive(Clone, Debug)]
pub struct Refused {
    origins: BTreeSet<(Text, u32, u64)>,
    /// What was refused before may be gone.
    whole_from: Millis,
}

impl Default for Refused {
    fn default() -> Self {
        Self {
            origins: BTreeSet::new(),
            whole_from: Millis(i64::MIN),
        }
    }
}

impl Refused {
    /// Takes in what `out.deadletter` has. `cut` is when it was written, if older ones may be gone.
    pub fn add(&mut self, letter: &DeadLetter, cut: Option<Millis>) {
        self.origins.insert(origin(letter));
        if let Some(cut) = cut {
            self.whole_from = self.whole_from.max(cut);
        }
    }

    /// Whether it was not told, of a record that is refused at this time.
    pub(super) fn is_new(&self, letter: &DeadLetter, clock: Millis) -> bool {
        clock >= self.whole_from && !self.origins.contains(&origin(letter))
    }
}

fn origin(letter: &DeadLetter) -> (Text, u32, u64) {
    (letter.topic.clone(), letter.partition, letter.offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compared_or_written_is_encoded() {
        let mut beginning = Beginning {
            last: Millis(50),
            digests: [(Millis(30), "x".into()), (Millis(50), "y".into())].into(),
            ..Beginning::default()
        };
        assert_eq!(beginning.unwritten(), Millis(29), "the state of a checkpoint is not");
        beginning.do_not_compare();
        assert_eq!(beginning.unwritten(), Millis(50));
    }
}
