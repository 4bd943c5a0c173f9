use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::naive::{Span, Tested, check, level, ops};
use super::*;

impl Tested for HighestLevel {
    type Value = Level;

    fn change(&mut self, span: Span, times: i32, changes: &mut Changes) {
        self.add(span.level, span.stretch, times, changes);
    }

    fn forget_all(&mut self, before: i64) {
        self.forget(before);
    }

    fn holds_nothing(&self) -> bool {
        self.is_empty()
    }

    fn found(&self, at: i64) -> Level {
        self.value(at)
    }

    fn expected(&self, seen: &[(Span, i32)], at: i64) -> Level {
        level(seen, at)
    }
}

impl Tested for HighestNumber {
    type Value = Option<i64>;
    const EXACT: bool = true;

    fn change(&mut self, span: Span, times: i32, changes: &mut Changes) {
        self.add(span.weight, span.stretch, times, changes);
    }

    fn forget_all(&mut self, before: i64) {
        self.forget(before);
    }

    fn holds_nothing(&self) -> bool {
        self.is_empty()
    }

    fn found(&self, at: i64) -> Option<i64> {
        self.value(at)
    }

    /// Of equal spans together, since one that is owed is none. What was over when it came or went never counted.
    fn expected(&self, seen: &[(Span, i32)], at: i64) -> Option<i64> {
        let mut held = BTreeMap::new();
        for (span, times) in seen.iter().filter(|(span, _)| span.stretch.contains(at)) {
            *held.entry((span.drawn, span.weight)).or_insert(0) += times;
        }
        let there = held.into_iter().filter(|(_, times)| *times > 0);
        there.map(|((_, number), _)| number).max()
    }
}

#[test]
fn the_highest_hides_the_others() {
    let (mut highest, mut changes) = (HighestLevel::default(), Changes::default());
    highest.add(Level::Orange, Stretch::new(0, 10), 1, &mut changes);
    changes.take();
    highest.add(Level::Blue, Stretch::new(5, 15), 1, &mut changes);
    assert_eq!(changes.take(), [Stretch::new(10, 15)]);
    assert_eq!(
        [0, 9, 10, 15].map(|at| highest.value(at)),
        [Level::Orange, Level::Orange, Level::Blue, Level::None]
    );
    highest.add(Level::None, Stretch::new(0, 99), 1, &mut changes);
    assert!(changes.take().is_empty());
    assert_eq!(
        highest.steps(Level::Blue).and_then(|steps| steps.next_below(0, 1)),
        Some(15)
    );
    assert!(highest.steps(Level::None).is_none());
}

#[test]
fn the_greatest_number_changes_where_it_is_the_greatest() {
    let (mut highest, mut changes) = (HighestNumber::default(), Changes::default());
    highest.add(-5, Stretch::new(0, 20), 1, &mut changes);
    highest.add(7, Stretch::new(4, 8), 1, &mut changes);
    changes.take();
    highest.add(3, Stretch::new(2, OPEN), 1, &mut changes);
    assert_eq!(changes.take(), [Stretch::new(2, 4), Stretch::new(8, OPEN)]);
    let values = [-1, 0, 2, 4, 8, 99].map(|at| highest.value(at));
    assert_eq!(values, [None, Some(-5), Some(3), Some(7), Some(3), Some(3)]);
    assert_eq!(
        [-1, 0, 2, 4, 8].map(|at| highest.next_change(at)),
        [Some(0), Some(2), Some(4), Some(8), None]
    );
    highest.add(3, Stretch::new(2, OPEN), -1, &mut changes);
    assert_eq!(changes.take(), [Stretch::new(2, 4), Stretch::new(8, OPEN)]);
}

proptest! {
    #[test]
    fn the_highest_is_that_of_all_spans(ops in ops()) {
        check::<HighestLevel>(HighestLevel::default(), &ops);
        check::<HighestNumber>(HighestNumber::default(), &ops);
    }
}
