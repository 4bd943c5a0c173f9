//! How much of the hour or day so far was covered, and how often something began in it.

use serde::{Deserialize, Serialize};

use super::runs::Runs;
use super::{ALWAYS, Changes, OPEN, Steps, Stretch, Sum};

/// How many milliseconds of the bucket that holds an instant, up to this instant, are in any span.
///
/// A **bucket** is an hour or a day of the city's; which one holds an instant is told by the caller's function, always in the same way, of
/// any instant but [`OPEN`] and [`ALWAYS`]: one beyond the calendar is in its first or last bucket.
/// Between two changes the value grows by time, or stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Covered {
    runs: Runs,
}

impl Covered {
    /// A span comes (`times` 1) or goes (-1).
    pub fn add(&mut self, stretch: Stretch, times: i32, bucket: &impl Fn(i64) -> Stretch, changes: &mut Changes) {
        for flip in self.runs.change(stretch, times) {
            if times > 0 {
                self.runs.put(flip);
            } else {
                self.runs.cut(flip);
            }
            // What lasts has no length yet at its first instant, and counts to the end of its last bucket.
            let end = if flip.to == OPEN { OPEN } else { bucket(flip.to - 1).to };
            changes.add(Stretch::new(flip.from.saturating_add(1), end));
        }
    }

    /// The milliseconds at an instant.
    #[must_use]
    pub fn value(&self, at: i64, bucket: &impl Fn(i64) -> Stretch) -> i128 {
        self.runs.length_before(at) - self.runs.length_before(bucket(at).from)
    }

    /// Where there is a span, as a function of time: 1 or more. There the value grows.
    #[must_use]
    pub const fn steps(&self) -> &Steps {
        self.runs.count()
    }

    /// Whether it holds nothing, and is as good as a new one.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// See [`Steps::forget`]. What the bucket that holds `before` needs is kept: of a span that began in an earlier one the rest from its
    /// beginning on counts.
    pub fn forget(&mut self, before: i64, bucket: &impl Fn(i64) -> Stretch) {
        self.runs.forget(bucket(before).from);
    }
}

/// How many spans began in the bucket that holds an instant, up to and including this instant.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Starts {
    counted: Sum,
}

impl Starts {
    /// A span comes (`times` 1) or goes (-1). What was always there began in no bucket.
    pub fn add(&mut self, stretch: Stretch, times: i32, bucket: &impl Fn(i64) -> Stretch, changes: &mut Changes) {
        let from = stretch.from;
        if from == ALWAYS || stretch.is_empty() {
            return;
        }
        // A span that is over counts all the same, until its bucket is.
        self.counted.add(Stretch::new(from, bucket(from).to), 1, times, changes);
    }

    /// The number at an instant.
    #[must_use]
    pub fn value(&self, at: i64) -> i128 {
        self.counted.value(at)
    }

    /// The number as a function of time.
    #[must_use]
    pub const fn steps(&self) -> &Steps {
        self.counted.steps()
    }

    /// Whether it holds nothing, and is as good as a new one.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.counted.is_empty()
    }

    /// See [`Steps::forget`].
    pub fn forget(&mut self, before: i64) {
        self.counted.forget(before);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::naive::{Span, Tested, check, count, ops};
    use super::*;

    /// Buckets of seven.
    fn seven(at: i64) -> Stretch {
        let from = at.div_euclid(7) * 7;
        Stretch::new(from, from + 7)
    }

    impl Tested for Covered {
        type Value = i128;

        fn change(&mut self, span: Span, times: i32, changes: &mut Changes) {
            self.add(span.stretch, times, &seven, changes);
        }

        fn forget_all(&mut self, before: i64) {
            self.forget(before, &seven);
        }

        fn known_from(before: i64) -> i64 {
            seven(before).from
        }

        fn holds_nothing(&self) -> bool {
            self.is_empty()
        }

        fn found(&self, at: i64) -> i128 {
            self.value(at, &seven)
        }

        fn expected(&self, seen: &[(Span, i32)], at: i64) -> i128 {
            let on = |at: &i64| count(seen, *at, |_| true) >= 1;
            let covered = (seven(at).from..at).filter(on).count();
            i128::try_from(covered).unwrap()
        }
    }

    impl Tested for Starts {
        type Value = i128;
        const EXACT: bool = true;

        fn change(&mut self, span: Span, times: i32, changes: &mut Changes) {
            self.add(span.stretch, times, &seven, changes);
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

        fn expected(&self, seen: &[(Span, i32)], at: i64) -> i128 {
            let began = seen.iter().filter(|(span, _)| {
                let from = span.drawn.from;
                let there = from != ALWAYS && !span.drawn.is_empty();
                there && seven(from).contains(at) && from <= at
            });
            began.map(|(_, times)| i128::from(*times)).sum()
        }
    }

    #[test]
    fn two_pumps_at_once_cover_an_hour_once() {
        let (mut covered, mut changes) = (Covered::default(), Changes::default());
        covered.add(Stretch::new(2, 5), 1, &seven, &mut changes);
        covered.add(Stretch::new(4, 9), 1, &seven, &mut changes);
        let values = [2, 3, 6, 7, 8, 13, 14].map(|at| covered.value(at, &seven));
        assert_eq!(values, [0, 1, 4, 0, 1, 2, 0]);
        assert_eq!(changes.take(), [Stretch::new(3, 14)]);
    }

    #[test]
    fn what_begins_counts_until_the_bucket_ends() {
        let (mut starts, mut changes) = (Starts::default(), Changes::default());
        starts.add(Stretch::new(5, 6), 1, &seven, &mut changes);
        starts.add(Stretch::new(5, 6), 1, &seven, &mut changes);
        starts.add(Stretch::new(8, OPEN), 1, &seven, &mut changes);
        assert_eq!([4, 5, 6, 7, 8, 14].map(|at| starts.value(at)), [0, 2, 2, 0, 1, 0]);
        assert_eq!(changes.take(), [Stretch::new(5, 7), Stretch::new(8, 14)]);
    }

    proptest! {
        #[test]
        fn buckets_are_those_of_all_spans(ops in ops()) {
            check::<Covered>(Covered::default(), &ops);
            check::<Starts>(Starts::default(), &ops);
        }
    }
}
