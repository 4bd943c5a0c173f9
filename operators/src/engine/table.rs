//! Fold `latest`: a keyed table out of the records of a compacted topic.
//!
//! For each key the last record counts; one without a row deletes. A row equal to the one before changes nothing. In tables
//! with versions ([`Row::rank`]) a record of a lower version than the row that is there is left aside; one without a
//! row forgets the version too. A record that was refused changes nothing; it comes here all the same, since its dead letter says what
//! stays in force.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use riskflow_model::output::{DeadLetter, Origin};
use riskflow_model::{Key, Millis, Row};
use serde::{Deserialize, Serialize};
use thin_vec::ThinVec;

use crate::engine::Diff;
use crate::engine::fold::{Fold, Next};

/// A record of a base topic.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BaseRecord {
    /// Where it came from.
    pub origin: Origin,
    /// The key of its identifier.
    pub key: Key,
    /// What it does to the row of that key.
    pub change: Change,
}

/// What a record does to a row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Change {
    /// Puts this one in its place.
    Put(Row),
    /// Deletes it.
    Delete,
    /// Nothing: it was refused.
    Refused(Box<DeadLetter>),
}

impl From<Option<Row>> for Change {
    fn from(row: Option<Row>) -> Self {
        row.map_or(Self::Delete, Self::Put)
    }
}

/// What the tables give.
#[derive(Clone, Debug, PartialEq)]
pub enum TableOutput {
    /// A row that came or went.
    Row(Key, Row),
    /// A record that was refused.
    Refused(Box<DeadLetter>),
}

/// Topic and key: tables of different topics do not meet.
pub type TableKey = (u16, Key);

/// The fold itself: nothing but its state.
#[derive(Debug, Default)]
pub struct Latest {
    /// Deletions of what was not there, since the start. On a compacted topic they are usual after a start from its beginning.
    pub in_vain: Arc<AtomicU64>,
}

/// Of one key of an input table: the row in force.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct LatestState {
    /// The row given out last.
    shown: Option<Row>,
    /// What came since then; between epochs there is none. Apart, for there are as many keys as rows.
    #[serde(skip)]
    came: Option<Box<Came>>,
}

/// What an epoch has for one key.
#[derive(Debug, Default)]
struct Came {
    /// What the last record says.
    next: Option<Option<Row>>,
    /// Records that were refused.
    refused: ThinVec<Box<DeadLetter>>,
}

impl LatestState {
    fn stands(&self) -> Option<&Row> {
        let next = self.came.as_ref().and_then(|came| came.next.as_ref());
        next.unwrap_or(&self.shown).as_ref()
    }
}

/// What stays in force where a record was refused, for its dead letter.
fn in_force(row: Option<&Row>) -> String {
    let Some(row) = row else {
        return "there is no row of this key, so nothing is in force".to_owned();
    };
    match row.version() {
        None => format!("the row that `{}` had before stays in force", row.id()),
        Some(version) => format!("version {version} of `{}` stays in force", row.id()),
    }
}

impl Fold for Latest {
    type Key = TableKey;
    type Row = ();
    type Record = BaseRecord;
    type State = LatestState;
    type Output = TableOutput;

    const NAME: &'static str = "latest";

    fn route(key: &TableKey) -> u64 {
        key.1.route()
    }

    fn place(record: &BaseRecord) -> (TableKey, Origin) {
        ((record.origin.topic, record.key), record.origin)
    }

    fn rows(
        &mut self,
        _now: Millis,
        _key: TableKey,
        _state: &mut LatestState,
        _changes: &mut dyn Iterator<Item = ((), Diff)>,
    ) -> bool {
        false
    }

    fn record(&mut self, _now: Millis, _key: TableKey, state: &mut LatestState, record: &mut BaseRecord) {
        match std::mem::replace(&mut record.change, Change::Delete) {
            Change::Put(row) => {
                if row.rank() >= state.stands().map_or(0, Row::rank) {
                    state.came.get_or_insert_default().next = Some(Some(row));
                }
            }
            Change::Delete => {
                if state.stands().is_none() {
                    self.in_vain.fetch_add(1, Ordering::Relaxed);
                }
                state.came.get_or_insert_default().next = Some(None);
            }
            Change::Refused(mut letter) => {
                letter.detail = format!("{}\n{}", letter.detail, in_force(state.stands())).into();
                state.came.get_or_insert_default().refused.push(letter);
            }
        }
    }

    fn recall(&mut self, key: TableKey, state: &LatestState, out: &mut Vec<(TableOutput, Diff)>) {
        out.extend(state.shown.clone().map(|row| (TableOutput::Row(key.1, row), 1)));
    }

    fn settle(
        &mut self,
        _now: Millis,
        key: TableKey,
        state: &mut LatestState,
        out: &mut Vec<(TableOutput, Diff)>,
    ) -> Next {
        let Came { next, refused } = state.came.take().map_or_else(Came::default, |came| *came);
        out.extend(refused.into_iter().map(|letter| (TableOutput::Refused(letter), 1)));
        if let Some(next) = next.filter(|next| *next != state.shown) {
            let before = std::mem::replace(&mut state.shown, next);
            out.extend(before.map(|row| (TableOutput::Row(key.1, row), -1)));
            out.extend(state.shown.clone().map(|row| (TableOutput::Row(key.1, row), 1)));
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
    use riskflow_model::base::Region;
    use riskflow_model::intake::Report;
    use riskflow_model::topic::Topic;

    use super::*;

    fn report(version: u32, houses: f64) -> Option<Row> {
        let report: Report = serde_json::from_value(serde_json::json!({
            "id": "r", "version": version, "module": "town", "region": "330902001", "kind": "damage",
            "quantities": { "houses": houses }, "time": 0,
        }))
        .unwrap();
        Some(Row::new(report))
    }

    /// What stands after each epoch, an epoch being a list of records.
    fn shown(topic: Topic, epochs: &[Vec<Option<Row>>]) -> Vec<Option<Row>> {
        let mut tables = Latest::default();
        let mut state = LatestState::default();
        let mut stands = None;
        let mut after = Vec::new();
        let key = (topic.id(), Key::of("r"));
        for records in epochs {
            for row in records {
                let origin = Origin::default();
                let mut record = BaseRecord {
                    origin,
                    key: key.1,
                    change: row.clone().into(),
                };
                tables.record(Millis(0), key, &mut state, &mut record);
            }
            let mut out = Vec::new();
            let next = tables.settle(Millis(0), key, &mut state, &mut out);
            for (given, diff) in out {
                let TableOutput::Row(_, row) = given else {
                    panic!("nothing was refused")
                };
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
        let in_order = shown(Topic::IN_REPORT, &[vec![one.clone()], vec![two.clone()]]);
        assert_eq!(in_order, [one.clone(), two.clone()]);
        let late = shown(Topic::IN_REPORT, &[vec![two.clone()], vec![one.clone()]]);
        assert_eq!(late, [two.clone(), two.clone()], "a lower version is left aside");
        let at_once = shown(Topic::IN_REPORT, &[vec![two.clone(), one]]);
        assert_eq!(at_once[0], two);
        let equal = shown(Topic::IN_REPORT, &[vec![two], vec![same.clone()]]);
        assert_eq!(equal[1], same, "of the same version the later one counts");
    }

    #[test]
    fn a_deleted_identifier_forgets_its_version() {
        let (one, two) = (report(1, 12.0), report(2, 9.0));
        let stands = shown(Topic::IN_REPORT, &[vec![two.clone()], vec![None], vec![one.clone()]]);
        assert_eq!(stands, [two.clone(), None, one.clone()]);
        let at_once = shown(Topic::IN_REPORT, &[vec![two, None, one.clone()]]);
        assert_eq!(at_once[0], one);
    }

    #[test]
    fn without_versions_the_last_record_counts() {
        let named = |name: &str| {
            let code = "3309".parse().unwrap();
            let name = name.into();
            Some(Row::new(Region {
                code,
                name,
                parent: None,
                thresholds: riskflow_model::TextMap::default(),
            }))
        };
        let stands = shown(
            Topic::BASE_REGION,
            &[vec![named("a")], vec![named("b")], vec![named("a")]],
        );
        assert_eq!(stands, [named("a"), named("b"), named("a")]);
    }

    fn refused(tables: &mut Latest, state: &mut LatestState, changes: Vec<Change>) -> Vec<String> {
        let key = (Topic::IN_REPORT.id(), Key::of("r"));
        for change in changes {
            let mut record = BaseRecord {
                origin: Origin::default(),
                key: key.1,
                change,
            };
            tables.record(Millis(0), key, state, &mut record);
        }
        let mut out = Vec::new();
        tables.settle(Millis(0), key, state, &mut out);
        let letters = out.into_iter().filter_map(|(given, diff)| match given {
            TableOutput::Refused(letter) if diff == 1 => Some(letter.detail.to_string()),
            _ => None,
        });
        letters.collect()
    }

    fn letter() -> Change {
        let letter = serde_json::json!({
            "reason": "invalid_field", "detail": "`time` is missing; give it", "topic": "in.report", "partition": 0, "offset": 1,
            "payload": "{}", "encoding": "utf8", "payload_bytes": 2,
        });
        Change::Refused(serde_json::from_value(letter).unwrap())
    }

    #[test]
    fn a_refused_record_says_what_stays_in_force() {
        let (mut tables, mut state) = (Latest::default(), LatestState::default());
        let nothing = refused(&mut tables, &mut state, vec![letter()]);
        assert_eq!(
            nothing,
            ["`time` is missing; give it\nthere is no row of this key, so nothing is in force"]
        );
        let told = refused(
            &mut tables,
            &mut state,
            vec![report(3, 1.0).into(), letter(), report(4, 1.0).into(), letter()],
        );
        assert!(told[0].ends_with("\nversion 3 of `r` stays in force"), "{told:?}");
        assert!(told[1].ends_with("\nversion 4 of `r` stays in force"), "{told:?}");
        assert_eq!(state.shown, report(4, 1.0));
        let told = refused(&mut tables, &mut state, vec![Change::Delete, letter()]);
        assert!(told[0].ends_with("nothing is in force"), "{told:?}");
        let region = Region {
            code: "3309".parse().unwrap(),
            name: "x".into(),
            parent: None,
            thresholds: riskflow_model::TextMap::default(),
        };
        let row = Row::new(region);
        let told = refused(&mut tables, &mut state, vec![Change::Put(row), letter()]);
        assert!(
            told[0].ends_with("the row that `3309` had before stays in force"),
            "{told:?}"
        );
    }

    #[test]
    fn a_deletion_of_what_is_not_there_is_counted() {
        let (mut tables, mut state) = (Latest::default(), LatestState::default());
        refused(
            &mut tables,
            &mut state,
            vec![Change::Delete, report(1, 1.0).into(), Change::Delete, Change::Delete],
        );
        assert_eq!(tables.in_vain.load(Ordering::Relaxed), 2);
    }
}
