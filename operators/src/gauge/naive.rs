//! For tests: measures by looking at all spans, at every instant.

use std::collections::BTreeSet;
use std::fmt::Debug;

use proptest::prelude::*;
use riskflow_model::{Level, binary};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{ALWAYS, Changes, OPEN, Stretch};

/// The instants that are asked for. All spans that are not open or of always begin and end within.
const FIRST: i64 = 0;
const BEYOND: i64 = 36;

#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// What of it counts.
    pub(super) stretch: Stretch,
    /// All of it.
    pub(super) drawn: Stretch,
    /// 0 to 3.
    pub(super) key: u8,
    /// 0 to 2.
    pub(super) on: u8,
    pub(super) weight: i64,
    pub(super) level: Level,
}

impl Span {
    pub(super) const fn of(stretch: Stretch) -> Self {
        Self {
            stretch,
            drawn: stretch,
            key: 0,
            on: 0,
            weight: 1,
            level: Level::Blue,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    Change(Span, i32),
    Forget(i64),
}

/// A measure.
pub(super) trait Tested: Serialize + DeserializeOwned {
    type Value: PartialEq + Debug;
    /// Whether the value changes at each instant that is told.
    const EXACT: bool = false;
    fn change(&mut self, span: Span, times: i32, changes: &mut Changes);
    fn forget_all(&mut self, before: i64);
    /// From when on spans count after that.
    fn known_from(before: i64) -> i64 {
        before
    }
    fn holds_nothing(&self) -> bool;
    fn found(&self, at: i64) -> Self::Value;
    /// The same from all changes until now.
    fn expected(&self, seen: &[(Span, i32)], at: i64) -> Self::Value;
}

/// After every change: each value is as expected, and where it is told that it did not change, it did not. Last, it is saved and read, and
/// what was read lets all go that came.
pub(super) fn check<T: Tested>(mut tested: T, ops: &[Op]) {
    let mut seen = Vec::new();
    let mut floor = FIRST;
    let mut known_from = ALWAYS;
    let mut changes = Changes::default();
    for op in ops {
        let before: Vec<_> = (floor..BEYOND).map(|at| (at, tested.found(at))).collect();
        match *op {
            Op::Change(span, times) => {
                tested.change(span, times, &mut changes);
                let stretch = span.stretch.rest(known_from);
                seen.push((Span { stretch, ..span }, times));
            }
            Op::Forget(at) => {
                tested.forget_all(at);
                floor = floor.max(at);
                known_from = known_from.max(T::known_from(at));
            }
        }
        let changed = changes.take();
        for (at, before) in before.into_iter().filter(|(at, _)| *at >= floor) {
            let found = tested.found(at);
            assert_eq!(found, tested.expected(&seen, at), "at {at} after {op:?}");
            if !changed.iter().any(|stretch| stretch.contains(at)) {
                assert_eq!(found, before, "at {at} after {op:?}, not in {changed:?}");
            } else if T::EXACT {
                assert_ne!(found, before, "at {at} after {op:?}, in {changed:?}");
            }
        }
    }
    let saved = binary::encode(&tested).unwrap();
    let mut read: T = binary::decode(&saved).unwrap();
    for at in floor..BEYOND {
        assert_eq!(read.found(at), tested.found(at), "at {at}, saved and read");
    }
    if known_from == ALWAYS {
        for (span, times) in seen {
            read.change(span, -times, &mut changes);
        }
        assert!(read.holds_nothing(), "all have gone");
    }
}

/// How many spans of a sort contain an instant.
pub(super) fn count(seen: &[(Span, i32)], at: i64, is: impl Fn(&Span) -> bool) -> i128 {
    let there = seen.iter().filter(|(span, _)| span.stretch.contains(at) && is(span));
    there.map(|(_, times)| i128::from(*times)).sum()
}

/// How many keys have a span that contains an instant.
pub(super) fn keys(seen: &[(Span, i32)], at: i64) -> i128 {
    let all: BTreeSet<u8> = seen.iter().map(|(span, _)| span.key).collect();
    let there = all
        .into_iter()
        .filter(|key| count(seen, at, |span| span.key == *key) >= 1);
    i128::try_from(there.count()).unwrap()
}

/// The highest level that is reached, and with it all below.
pub(super) fn level(seen: &[(Span, i32)], at: i64) -> Level {
    let reached = |level: &Level| count(seen, at, |span| span.level >= *level) >= 1;
    let levels = Level::WARNING.into_iter().take_while(reached);
    levels.last().unwrap_or(Level::None)
}

fn span() -> impl Strategy<Value = Span> {
    let from = prop_oneof![9 => FIRST..20i64, 1 => Just(ALWAYS)];
    let end = prop_oneof![9 => FIRST..30i64, 1 => Just(OPEN)];
    (from, end, 0..4u8, 0..3u8, -3..4i64, 0..5usize).prop_map(|(from, to, key, on, weight, level)| Span {
        key,
        on,
        weight,
        level: Level::ALL[level],
        ..Span::of(Stretch::new(from, to))
    })
}

/// Spans that come and go in any order, what goes sometimes before it comes, and now and then some are forgotten.
pub(super) fn ops() -> impl Strategy<Value = Vec<Op>> {
    let times = prop_oneof![4 => Just(1), 2 => Just(-1), 1 => -3..=3i32];
    let changes = prop::collection::vec((any::<prop::sample::Index>(), times), 0..60);
    let forgotten = prop::collection::vec((any::<prop::sample::Index>(), FIRST..20i64), 0..3);
    (prop::collection::vec(span(), 1..20), changes, forgotten).prop_map(|(spans, changes, forgotten)| {
        let change = |(index, times): (prop::sample::Index, i32)| Op::Change(*index.get(&spans), times);
        let mut ops: Vec<Op> = changes.into_iter().map(change).collect();
        for (place, before) in forgotten {
            ops.insert(place.index(ops.len() + 1), Op::Forget(before));
        }
        ops
    })
}
