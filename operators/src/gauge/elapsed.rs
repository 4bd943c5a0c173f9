//! For how long there has been a span.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};

use serde::{Deserialize, Serialize};

use super::runs::Runs;
use super::{Changes, OPEN, Stretch};

/// For how long there has been a span without a hole of `gap` or longer, in milliseconds; 0 where there is none.
///
/// # Invariants
///
/// A **chain** is runs of spans in a row between which each hole is shorter than `gap`. `begins` holds the beginnings of the first runs
/// of chains. A chain in which an instant lies that may be asked for has its beginning there, however old.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Elapsed {
    gap: i64,
    runs: Runs,
    begins: BTreeSet<i64>,
}

impl Elapsed {
    /// Holes shorter than `gap` milliseconds are bridged; at 0 none is.
    #[must_use]
    pub fn new(gap: i64) -> Self {
        Self {
            gap,
            runs: Runs::default(),
            begins: BTreeSet::new(),
        }
    }

    /// A span comes (`times` 1) or goes (-1).
    pub fn add(&mut self, stretch: Stretch, times: i32, changes: &mut Changes) {
        for flip in self.runs.change(stretch, times) {
            self.flip(flip, times > 0, changes);
        }
    }

    fn flip(&mut self, flip: Stretch, on: bool, changes: &mut Changes) {
        changes.add(flip);
        // What follows was there before and is after, but may be of another chain.
        let follower = self.runs.reached(flip.to);
        let before = follower.and_then(|at| self.chain(at));
        if on {
            self.runs.put(flip);
        } else {
            self.runs.cut(flip);
        }
        self.judge(flip.from);
        self.judge(flip.to);
        let Some(at) = follower else { return };
        self.judge(at);
        if self.chain(at) != before {
            let next = self.begins.range((Excluded(at), Unbounded)).next();
            let last = self.runs.before(next.copied().unwrap_or(OPEN));
            changes.add(Stretch::new(at, last.map_or(OPEN, |run| run.to)));
        }
    }

    /// Whether a chain begins at an instant, by the run before.
    fn judge(&mut self, at: i64) {
        let begins = self.runs.last(at).is_some_and(|run| run.from == at)
            && self
                .runs
                .before(at)
                .is_none_or(|before| at.saturating_sub(before.to) >= self.gap);
        if begins {
            self.begins.insert(at);
        } else {
            self.begins.remove(&at);
        }
    }

    fn chain(&self, at: i64) -> Option<i64> {
        self.begins.range(..=at).next_back().copied()
    }

    /// Since when there has been a span at an instant; `None` where there is none.
    #[must_use]
    pub fn since(&self, at: i64) -> Option<i64> {
        (self.runs.count().value(at) >= 1).then(|| self.chain(at)).flatten()
    }

    /// For how long at an instant, in milliseconds.
    #[must_use]
    pub fn value(&self, at: i64) -> i128 {
        self.since(at).map_or(0, |since| i128::from(at) - i128::from(since))
    }

    /// What may go on at an instant: from the beginning of the chain of the last run that begins before the instant to the end of this
    /// run, cut to the instant. A span of this stretch makes up for all spans before the instant.
    #[must_use]
    pub fn before(&self, at: i64) -> Option<Stretch> {
        let run = self.runs.before(at)?;
        Some(Stretch::new(self.chain(run.from)?, run.to.min(at)))
    }

    /// Where there is a span, as a function of time: 1 or more.
    #[must_use]
    pub const fn steps(&self) -> &super::Steps {
        self.runs.count()
    }

    /// Whether it holds nothing, and is as good as a new one.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// See [`super::Steps::forget`]. The last run before, and the beginning of its chain, are kept as long as what comes may go on with it:
    /// also where its spans are taken away later, for they are not known any more. A caller that knows them all makes it anew then.
    pub fn forget(&mut self, before: i64) {
        self.runs.forget(before);
        let Some(kept) = self.runs.before(before) else { return };
        let first = if kept.to < before && before.saturating_sub(kept.to) >= self.gap {
            self.runs.clear_before(before);
            Some(before)
        } else {
            self.chain(kept.from)
        };
        while first.is_some_and(|first| self.begins.first().is_some_and(|begin| *begin < first)) {
            self.begins.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::ALWAYS;
    use super::super::naive::{Span, Tested, check, count, ops};
    use super::*;

    impl Tested for Elapsed {
        type Value = i128;

        fn change(&mut self, span: Span, times: i32, changes: &mut Changes) {
            self.add(span.stretch, times, changes);
        }

        fn forget_all(&mut self, before: i64) {
            self.forget(before);
        }

        fn holds_nothing(&self) -> bool {
            self.is_empty()
        }

        fn found(&self, at: i64) -> i128 {
            self.value(at)
        }

        /// Goes back step by step. What is there at -1 was always there.
        fn expected(&self, seen: &[(Span, i32)], at: i64) -> i128 {
            let on = |at| count(seen, at, |_| true) >= 1;
            if !on(at) {
                return 0;
            }
            let (mut since, mut hole) = (at, 0);
            for earlier in (-1..at).rev() {
                if on(earlier) {
                    (since, hole) = (earlier, 0);
                } else {
                    hole += 1;
                    if hole >= self.gap {
                        break;
                    }
                }
            }
            let since = if since == -1 { ALWAYS } else { since };
            i128::from(at) - i128::from(since)
        }
    }

    #[test]
    fn a_short_rest_does_not_end_the_time_at_the_wheel() {
        let (mut wheel, mut changes) = (Elapsed::new(20), Changes::default());
        wheel.add(Stretch::new(0, 100), 1, &mut changes);
        wheel.add(Stretch::new(119, 200), 1, &mut changes);
        wheel.add(Stretch::new(220, 300), 1, &mut changes);
        assert_eq!([99, 100, 118, 119, 250].map(|at| wheel.value(at)), [99, 0, 0, 119, 30]);
        assert_eq!(wheel.since(199), Some(0));
        changes.take();
        // One ms more of rest.
        wheel.add(Stretch::new(99, 100), 1, &mut changes);
        wheel.add(Stretch::new(0, 100), -1, &mut changes);
        wheel.add(Stretch::new(0, 99), 1, &mut changes);
        wheel.add(Stretch::new(99, 100), -1, &mut changes);
        assert_eq!(wheel.since(199), Some(119));
        assert_eq!(changes.take(), [Stretch::new(0, 200)], "the third was not touched");
        wheel.add(Stretch::new(205, 210), 1, &mut changes);
        assert_eq!(changes.take(), [Stretch::new(205, 210), Stretch::new(220, 300)]);
        assert_eq!(wheel.since(250), Some(119));
    }

    #[test]
    fn what_is_forgotten_began_when_it_began() {
        let (mut wheel, mut changes) = (Elapsed::new(20), Changes::default());
        for from in 0..100 {
            wheel.add(Stretch::new(from * 10, from * 10 + 5), 1, &mut changes);
        }
        wheel.forget(998);
        assert!(wheel.begins.len() == 1);
        wheel.add(Stretch::new(1000, OPEN), 1, &mut changes);
        assert_eq!(wheel.since(5000), Some(0));
        wheel.add(Stretch::new(1000, OPEN), -1, &mut changes);
        wheel.forget(10_000);
        assert!(wheel.is_empty() && wheel.begins.is_empty(), "nothing goes on with it");
    }

    #[test]
    fn one_span_makes_up_for_all_before() {
        let (mut wheel, mut changes) = (Elapsed::new(20), Changes::default());
        for (from, to) in [(0, 10), (50, 100), (110, 150)] {
            wheel.add(Stretch::new(from, to), 1, &mut changes);
        }
        let before = [0, 5, 50, 51, 110, 120, 500].map(|at| wheel.before(at));
        let expected = [(0, 5), (0, 10), (50, 51), (50, 100), (50, 120), (50, 150)];
        assert_eq!(before[0], None);
        assert_eq!(before[1..], expected.map(|(from, to)| Some(Stretch::new(from, to))));
    }

    proptest! {
        #[test]
        fn time_elapsed_is_that_of_all_spans(ops in ops(), gap in 0..6i64) {
            check::<Elapsed>(Elapsed::new(gap), &ops);
        }
    }
}
