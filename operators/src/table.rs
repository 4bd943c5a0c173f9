//! Fold `latest`: a keyed table out of the records of a compacted topic.
//!
//! For each key the last record counts; one without a row deletes. A row equal to the one before changes nothing. In tables
//! with versions ([`BaseRow::version`]) a record of a lower version than the row that is there is left aside; one without a
//! row forgets the version too.

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

    fn record(&mut self, _now: i64, _key: TableKey, state: &mut LatestState, record: &mut BaseRecord) {
        let version = |row: &Option<BaseRow>| row.as_ref().map_or(0, BaseRow::version);
        let stands = state.next.as_ref().unwrap_or(&state.shown);
        if record.row.is_none() || version(&record.row) >= version(stands) {
            state.next = Some(record.row.take());
        }
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

#[cfg(test)]
mod tests {
    use riskflow_model::Shared;
    use riskflow_model::base::Region;
    use riskflow_model::intake::Report;
    use riskflow_model::topic::Topic;

    use super::*;

    fn report(version: u32, houses: f64) -> Option<BaseRow> {
        let report: Report = serde_json::from_value(serde_json::json!({
            "id": "r", "version": version, "module": "town", "region": "330902001", "kind": "damage",
            "quantities": { "houses": houses }, "time": 0,
        }))
        .unwrap();
        Some(BaseRow::Report(Shared::new(report)))
    }

    /// What stands after each epoch, an epoch being a list of records.
    fn shown(topic: Topic, epochs: &[Vec<Option<BaseRow>>]) -> Vec<Option<BaseRow>> {
        let mut state = LatestState::default();
        let mut stands = None;
        let mut after = Vec::new();
        let key = (topic.index(), Key::of("r"));
        for records in epochs {
            for row in records {
                let origin = Origin::default();
                let mut record = BaseRecord {
                    origin,
                    key: key.1,
                    row: row.clone(),
                };
                Latest.record(0, key, &mut state, &mut record);
            }
            let mut out = Vec::new();
            let next = Latest.settle(0, key, &mut state, &mut out);
            for ((_, row), diff) in out {
                let before = if diff < 0 {
                    stands.take()
                } else {
                    stands.replace(row.clone())
                };
                assert_eq!(
                    before,
                    (diff < 0).then_some(row),
                    "a row goes that stands, and comes where none does"
                );
            }
            if next == Next::Forget {
                state = LatestState::default();
            }
            after.push(stands.clone());
        }
        after
    }

    #[test]
    fn the_highest_version_counts_in_whatever_order_they_come() {
        let (one, two, same) = (report(1, 12.0), report(2, 9.0), report(2, 8.0));
        let in_order = shown(Topic::InReport, &[vec![one.clone()], vec![two.clone()]]);
        assert_eq!(in_order, [one.clone(), two.clone()]);
        let late = shown(Topic::InReport, &[vec![two.clone()], vec![one.clone()]]);
        assert_eq!(late, [two.clone(), two.clone()], "a lower version is left aside");
        let at_once = shown(Topic::InReport, &[vec![two.clone(), one]]);
        assert_eq!(at_once[0], two);
        let equal = shown(Topic::InReport, &[vec![two], vec![same.clone()]]);
        assert_eq!(equal[1], same, "of the same version the later one counts");
    }

    #[test]
    fn a_deleted_identifier_forgets_its_version() {
        let (one, two) = (report(1, 12.0), report(2, 9.0));
        let stands = shown(Topic::InReport, &[vec![two.clone()], vec![None], vec![one.clone()]]);
        assert_eq!(stands, [two.clone(), None, one.clone()]);
        let at_once = shown(Topic::InReport, &[vec![two, None, one.clone()]]);
        assert_eq!(at_once[0], one);
    }

    #[test]
    fn without_versions_the_last_record_counts() {
        let named = |name: &str| {
            let code = "3309".parse().unwrap();
            let name = name.into();
            Some(BaseRow::Region(Shared::new(Region { code, name })))
        };
        let stands = shown(
            Topic::BaseRegion,
            &[vec![named("a")], vec![named("b")], vec![named("a")]],
        );
        assert_eq!(stands, [named("a"), named("b"), named("a")]);
    }
}
