//! How many different attributes there are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Changes, Steps, Stretch};

/// How many different tuples of attributes the spans have that contain an instant.
///
/// # Invariants
///
/// Of each tuple there are the steps of its spans; the count has a step where the truth of "there is a span of this tuple" changes. A
/// tuple without spans is not held.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Distinct<K: Ord> {
    of: BTreeMap<K, Steps>,
    count: Steps,
}

impl<K: Ord> Default for Distinct<K> {
    fn default() -> Self {
        Self {
            of: BTreeMap::new(),
            count: Steps::default(),
        }
    }
}

impl<K: Ord + Clone> Distinct<K> {
    /// A span with a tuple of attributes comes (`times` 1) or goes (-1). One without these attributes is not counted: leave it out.
    pub fn add(&mut self, key: &K, stretch: Stretch, times: i32, changes: &mut Changes) {
        self.change(key, stretch, times, |_, flip| changes.add(flip));
    }

    /// The same. `changed` gets the new count, and each stretch in which it became another one: by `times.signum()`.
    pub(super) fn change(&mut self, key: &K, stretch: Stretch, times: i32, mut changed: impl FnMut(&Steps, Stretch)) {
        let count = &mut self.count;
        let floor = count.floor();
        if stretch.rest(floor).is_empty() || times == 0 {
            return;
        }
        let of = self.of.entry(key.clone()).or_insert_with(|| Steps::known_from(floor));
        of.add(stretch, 1, times);
        of.flips(stretch, 1, times, 1, |flip| {
            count.add(flip, 1, times.signum());
            changed(count, flip);
        });
        if of.is_zero() {
            self.of.remove(key);
        }
    }

    /// The number of tuples at an instant.
    #[must_use]
    pub fn value(&self, at: i64) -> i128 {
        self.count.value(at)
    }

    /// The number as a function of time.
    #[must_use]
    pub const fn steps(&self) -> &Steps {
        &self.count
    }

    /// Whether it holds nothing, and is as good as a new one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.of.is_empty() && self.count.is_zero()
    }

    /// See [`Steps::forget`]. Asks every tuple that is held: to be called now and then, not for each change.
    pub fn forget(&mut self, before: i64) {
        if before <= self.count.floor() {
            return;
        }
        self.count.forget(before);
        self.of.retain(|_, steps| {
            steps.forget(before);
            !steps.is_zero()
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::naive::{Span, Tested, check, keys, ops};
    use super::*;

    impl Tested for Distinct<u8> {
        type Value = i128;
        const EXACT: bool = true;

        fn change(&mut self, span: Span, times: i32, changes: &mut Changes) {
            self.add(&span.key, span.stretch, times, changes);
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
            keys(seen, at)
        }
    }

    #[test]
    fn two_spans_of_one_holder_are_one() {
        let (mut holders, mut changes) = (Distinct::default(), Changes::default());
        holders.add(&"ann", Stretch::new(0, 10), 1, &mut changes);
        holders.add(&"bo", Stretch::new(4, 6), 1, &mut changes);
        changes.take();
        holders.add(&"ann", Stretch::new(5, 15), 1, &mut changes);
        assert_eq!(changes.take(), [Stretch::new(10, 15)], "ann was there until 10");
        assert_eq!([0, 5, 12, 15].map(|at| holders.value(at)), [1, 2, 1, 0]);
        holders.add(&"bo", Stretch::new(4, 6), -1, &mut changes);
        assert_eq!(holders.of.len(), 1, "who has no span is not held");
    }

    proptest! {
        #[test]
        fn distinct_tuples_are_those_of_all_spans(ops in ops()) {
            check::<Distinct<u8>>(Distinct::default(), &ops);
        }
    }
}
