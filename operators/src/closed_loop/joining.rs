//! Fold `joining`: the case of an action.
//!
//! ```text
//!   warnings that joined a run (rows) ──┐
//!   actions, by what they name ─────────┴─► [ joining ] ─► actions, by the key of their case
//! ```
//!
//! A case is found by the name of its run, and an action may name the case or any of its warnings. The name of a case says the
//! run; for warnings that joined one a row does. Nothing is kept but the rows.

use riskflow_model::id::Run;
use riskflow_model::output::Origin;
use riskflow_model::{Id, Key, Millis};
use serde::{Deserialize, Serialize};

use crate::closed_loop::case::Acted;
use crate::engine::{Diff, Fold, Next};

/// The fold itself: nothing but its state.
#[derive(Debug, Default)]
pub struct Joining;

/// Of one warning: the run that it joined. It comes again as a row after a restart, so nothing is saved.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct JoiningState {
    /// The run that it joined; `None` where it has a case of its own.
    #[serde(skip)]
    run: Option<Id<Run>>,
    /// Actions of this epoch.
    #[serde(skip)]
    acted: Vec<Acted>,
}

impl Fold for Joining {
    type Key = Key;
    type Row = Id<Run>;
    type Record = Acted;
    type State = JoiningState;
    type Output = Acted;

    const NAME: &'static str = "joining";

    fn route(key: &Key) -> u64 {
        key.route()
    }

    fn place(record: &Acted) -> (Key, Origin) {
        (record.case, record.origin)
    }

    fn rows(
        &mut self,
        _now: Millis,
        _key: Key,
        state: &mut JoiningState,
        changes: &mut dyn Iterator<Item = (Id<Run>, Diff)>,
    ) -> bool {
        for (run, diff) in changes {
            state.run = (diff > 0).then_some(run);
        }
        true
    }

    fn record(&mut self, _now: Millis, _key: Key, state: &mut JoiningState, record: &mut Acted) {
        state.acted.push(record.clone());
    }

    /// Actions are passed on once.
    fn recall(&mut self, _key: Key, _state: &JoiningState, _out: &mut Vec<(Acted, Diff)>) {}

    fn settle(&mut self, _now: Millis, _key: Key, state: &mut JoiningState, out: &mut Vec<(Acted, Diff)>) -> Next {
        let run = state.run.as_ref().map(Id::key);
        for acted in state.acted.drain(..) {
            let case = run.unwrap_or(acted.case);
            out.push((Acted { case, ..acted }, 1));
        }
        if run.is_some() { Next::Keep } else { Next::Forget }
    }
}
