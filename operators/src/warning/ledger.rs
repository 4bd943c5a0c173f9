//! Fold `ledger`: what late data and corrections did to warnings, by county and kind of asset.
//!
//! ```text
//!   deltas by late data or a correction ──(by source)──► [ ledger ] ──► counts
//! ```
//!
//! It counts what is told, and nothing is told twice. A delta says for certain which asset it is of; the datastream that it names is
//! the one of the highest level, which need not be the one that was late. So it is counted by what is known of the asset.
//!
//! Where nothing is late, nothing comes here.

use std::sync::Arc;

use differential_dataflow::AsCollection;
use riskflow_model::output::{Cause, DeltaCounts, DeltaKind, Lateness, Origin, WarningDelta};
use riskflow_model::{Key, Millis, RegionCode, Text, Tier};
use serde::{Deserialize, Serialize};

use crate::engine::{Builder, Diff, Fold, Next, Updates, batched};

/// A delta by late data or a correction, as far as it is counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Late {
    source: Key,
    region: RegionCode,
    category: Text,
    cause: LateCause,
    kind: DeltaKind,
}

/// The causes that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum LateCause {
    LateData,
    Correction,
}

impl Late {
    /// What is counted of a delta; nothing where its cause is another, or where it names no place, since its asset has no row any
    /// more.
    #[must_use]
    pub fn of(delta: &WarningDelta) -> Option<Self> {
        let cause = match delta.cause {
            Cause::LateData => LateCause::LateData,
            Cause::Correction => LateCause::Correction,
            Cause::Clock | Cause::Data | Cause::BaseChange | Cause::RuleChange | Cause::Manual => return None,
        };
        let region = county(delta.explanation.region?);
        let category = delta.explanation.category.clone();
        Some(Self {
            source: Key::of_parts(&[&region.to_string(), &category]),
            region,
            category,
            cause,
            kind: delta.kind,
        })
    }
}

/// The county in which a region lies by its code, or that region itself.
fn county(region: RegionCode) -> RegionCode {
    let county = region.by_code().find(|above| above.tier() == Some(Tier::County));
    county.unwrap_or(region)
}

/// Adds it to the dataflow.
pub fn ledger<'scope>(b: &mut Builder<'scope, '_>, late: Updates<'scope, Late>) {
    let (rows, records) = (b.no_rows(), batched::<Ledger, _>(late, |(late, ..)| Some(late)));
    let counts = b.fold(Ledger, rows, records);
    b.publish(counts.as_collection());
}

/// The fold itself: nothing but its state.
#[derive(Debug)]
struct Ledger;

/// Of one kind of asset in one county: how many deltas late data and corrections made, by kind.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct LedgerState {
    /// As given out.
    shown: Option<Arc<Lateness>>,
    /// With what came in this epoch, if anything did.
    #[serde(skip)]
    next: Option<Lateness>,
}

impl Fold for Ledger {
    type Key = Key;
    type Row = ();
    type Record = Late;
    type State = LedgerState;
    type Output = Arc<Lateness>;

    const NAME: &'static str = "ledger";

    fn route(key: &Key) -> u64 {
        key.route()
    }

    /// Counts do not depend on an order.
    fn place(record: &Late) -> (Key, Origin) {
        (record.source, Origin::default())
    }

    fn rows(
        &mut self,
        _now: Millis,
        _key: Key,
        _state: &mut LedgerState,
        _changes: &mut dyn Iterator<Item = ((), Diff)>,
    ) -> bool {
        false
    }

    fn record(&mut self, now: Millis, _key: Key, state: &mut LedgerState, late: &mut Late) {
        let LedgerState { shown, next } = state;
        let next = next.get_or_insert_with(|| match shown {
            Some(shown) => Lateness::clone(shown),
            None => Lateness {
                region: late.region,
                category: late.category.clone(),
                late_data: DeltaCounts::default(),
                correction: DeltaCounts::default(),
                changed: now,
            },
        });
        let counts = match late.cause {
            LateCause::LateData => &mut next.late_data,
            LateCause::Correction => &mut next.correction,
        };
        *counts.of(late.kind) += 1;
        next.changed = now;
    }

    fn recall(&mut self, _key: Key, state: &LedgerState, out: &mut Vec<(Arc<Lateness>, Diff)>) {
        out.extend(state.shown.clone().map(|row| (row, 1)));
    }

    fn settle(
        &mut self,
        _now: Millis,
        _key: Key,
        state: &mut LedgerState,
        out: &mut Vec<(Arc<Lateness>, Diff)>,
    ) -> Next {
        if let Some(next) = state.next.take().map(Arc::new) {
            let before = state.shown.replace(Arc::clone(&next));
            out.extend(before.map(|row| (row, -1)));
            out.push((next, 1));
        }
        Next::Keep
    }
}

#[cfg(test)]
mod tests {
    use riskflow_model::Level;
    use riskflow_model::output::Explanation;

    use super::*;

    fn delta(cause: Cause, kind: DeltaKind, region: Option<&str>) -> WarningDelta {
        WarningDelta {
            id: "w".into(),
            kind,
            cause,
            rule: "r".into(),
            asset: "a".into(),
            since: Millis(0),
            at: Millis(0),
            from: Level::None,
            to: Level::Blue,
            explanation: Explanation {
                category: "tank".into(),
                region: region.map(|region| region.parse().unwrap()),
                ..Explanation::nothing()
            },
        }
    }

    #[test]
    fn a_delta_is_counted_in_its_county_if_late_data_or_a_correction_is_its_cause() {
        let counted = |cause| Late::of(&delta(cause, DeltaKind::Raised, Some("330902001001"))).is_some();
        let others = [
            Cause::Clock,
            Cause::Data,
            Cause::BaseChange,
            Cause::RuleChange,
            Cause::Manual,
        ];
        assert!(counted(Cause::LateData) && counted(Cause::Correction));
        assert_eq!(others.map(counted), [false; 5]);
        for (region, county) in [
            ("330902001001", "330902"),
            ("330902001", "330902"),
            ("330902", "330902"),
            ("3309", "3309"),
            ("33", "33"),
            ("harbour", "harbour"),
        ] {
            let late = Late::of(&delta(Cause::LateData, DeltaKind::Raised, Some(region))).unwrap();
            assert_eq!(late.region.to_string(), county);
        }
        assert_eq!(Late::of(&delta(Cause::Correction, DeltaKind::Withdrawn, None)), None);
    }

    #[test]
    fn each_epoch_gives_the_row_once_with_all_that_it_counted() {
        let (mut state, mut out) = (LedgerState::default(), Vec::new());
        let mut settle = |now: i64, state: &mut LedgerState, deltas: &[(Cause, DeltaKind)]| {
            let now = Millis(now);
            for (cause, kind) in deltas {
                let mut late = Late::of(&delta(*cause, *kind, Some("330902001"))).unwrap();
                Ledger.record(now, late.source, state, &mut late);
            }
            assert_eq!(Ledger.settle(now, Key::of("k"), state, &mut out), Next::Keep);
            std::mem::take(&mut out)
        };
        let first = settle(
            1,
            &mut state,
            &[
                (Cause::LateData, DeltaKind::Raised),
                (Cause::LateData, DeltaKind::Raised),
                (Cause::Correction, DeltaKind::Amended),
            ],
        );
        let [(row, 1)] = first.as_slice() else {
            panic!("{first:?}")
        };
        assert_eq!((row.late_data.raised, row.correction.amended), (2, 1));
        let second = settle(2, &mut state, &[(Cause::Correction, DeltaKind::Withdrawn)]);
        let [(gone, -1), (came, 1)] = second.as_slice() else {
            panic!("{second:?}")
        };
        assert_eq!(gone, row);
        assert_eq!((came.late_data.raised, came.correction.withdrawn), (2, 1));
        assert_eq!((row.changed, came.changed), (Millis(1), Millis(2)));
        assert_eq!(settle(3, &mut state, &[]), []);
        let mut recalled = Vec::new();
        Ledger.recall(Key::of("k"), &state, &mut recalled);
        assert_eq!(recalled, [(Arc::clone(came), 1)]);
    }
}
