//! Fold `latest`: a keyed table out of the records of a compacted topic.
//!
//! For each key the last record counts; one without a row deletes. A row equal to the one before changes nothing.

use riskflow_config::BaseRow;
use riskflow_model::Key;
use riskflow_model::output::Origin;
use serde::{Deserialize, Serialize};

use crate::Diff;
use crate::fold::{Fold, Next};

/// A record of a base topic.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BaseRecord {
    /// Where it came from.
    pub origin: Origin,
    /// The key of its identifier.
    pub key: Key,
    /// Its row; `None` deletes.
    pub row: Option<BaseRow>,
}

/// Topic and key: tables of different topics do not meet.
pub type TableKey = (u16, Key);

/// The fold itself: nothing but its state.
#[derive(Debug, Default)]
pub struct Latest;

/// What is known of one key.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct LatestState {
    /// The row given out last.
    shown: Option<BaseRow>,
    /// What the last record since then says; between epochs there is none.
    #[serde(skip)]
    next: Option<Option<BaseRow>>,
}

impl Fold for Latest {
    type Key = TableKey;
    type Row = ();
    type Record = BaseRecord;
    type State = LatestState;
    type Output = (Key, BaseRow);

    const NAME: &'static str = "latest";

    fn route(key: &TableKey) -> u64 {
        key.1.route()
    }

    fn place(record: &BaseRecord) -> (TableKey, Origin) {
        ((record.origin.topic, record.key), record.origin)
    }

    fn rows(
        &mut self,
        _now: i64,
        _key: TableKey,
        _state: &mut LatestState,
        _changes: &mut dyn Iterator<Item = ((), Diff)>,
    ) -> bool {
        false
    }

    fn record(&mut self, _now: i64, _key: TableKey, state: &mut LatestState, record: BaseRecord) {
        state.next = Some(record.row);
    }

    fn recall(&mut self, key: TableKey, state: &LatestState, out: &mut Vec<(Self::Output, Diff)>) {
        out.extend(state.shown.clone().map(|row| ((key.1, row), 1)));
    }

    fn settle(
        &mut self,
        _now: i64,
        key: TableKey,
        state: &mut LatestState,
        out: &mut Vec<(Self::Output, Diff)>,
    ) -> Next {
        if let Some(next) = state.next.take().filter(|next| *next != state.shown) {
            let before = std::mem::replace(&mut state.shown, next);
            out.extend(before.map(|row| ((key.1, row), -1)));
            out.extend(state.shown.clone().map(|row| ((key.1, row), 1)));
        }
        if state.shown.is_none() {
            Next::Forget
        } else {
            Next::Keep
        }
    }
}
