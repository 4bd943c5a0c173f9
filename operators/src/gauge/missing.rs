//! What is there without what it needs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Changes, Distinct, Steps, Stretch};

/// How many different `of` have, at an instant, a span for which no span of the other kind is there with an equal `on`.
///
/// Holders at work without a certificate, for example: `of` is (permit, holder), `on` is (holder, kind of work), and the other kind is
/// certificates.
///
/// # Cost
///
/// A span of the other kind asks every `of` that needs it; a span of one's own asks the other kind once for each crossing within it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Missing<O: Ord, J: Ord> {
    needs: BTreeMap<J, BTreeMap<O, Steps>>,
    there: BTreeMap<J, Steps>,
    /// The spans of an `of` that lack something.
    lacking: Distinct<O>,
}

impl<O: Ord, J: Ord> Default for Missing<O, J> {
    fn default() -> Self {
        Self {
            needs: BTreeMap::new(),
            there: BTreeMap::new(),
            lacking: Distinct::default(),
        }
    }
}

impl<O: Ord + Clone, J: Ord + Clone> Missing<O, J> {
    /// A span that needs another comes (`times` 1) or goes (-1).
    pub fn add(&mut self, of: &O, on: &J, stretch: Stretch, times: i32, changes: &mut Changes) {
        let floor = self.steps().floor();
        if stretch.rest(floor).is_empty() || times == 0 {
            return;
        }
        let sharers = self.needs.entry(on.clone()).or_default();
        let own = sharers.entry(of.clone()).or_insert_with(|| Steps::known_from(floor));
        own.add(stretch, 1, times);
        let (there, lacking) = (self.there.get(on), &mut self.lacking);
        own.flips(stretch, 1, times, 1, |flip| {
            let mut lacks = |piece| lacking.add(of, piece, times.signum(), changes);
            match there {
                Some(there) => there.pieces(flip, 1, false, lacks),
                None => lacks(flip),
            }
        });
        if own.is_zero() {
            sharers.remove(of);
            if sharers.is_empty() {
                self.needs.remove(on);
            }
        }
    }

    /// A span of the other kind comes (`times` 1) or goes (-1).
    pub fn add_other(&mut self, on: &J, stretch: Stretch, times: i32, changes: &mut Changes) {
        let floor = self.steps().floor();
        if stretch.rest(floor).is_empty() || times == 0 {
            return;
        }
        let there = self.there.entry(on.clone()).or_insert_with(|| Steps::known_from(floor));
        there.add(stretch, 1, times);
        let (sharers, lacking) = (self.needs.get(on), &mut self.lacking);
        there.flips(stretch, 1, times, 1, |flip| {
            for (of, own) in sharers.into_iter().flatten() {
                own.pieces(flip, 1, true, |piece| {
                    lacking.add(of, piece, -times.signum(), changes);
                });
            }
        });
        if there.is_zero() {
            self.there.remove(on);
        }
    }

    /// The number at an instant.
    #[must_use]
    pub fn value(&self, at: i64) -> i128 {
        self.lacking.value(at)
    }

    /// The number as a function of time.
    #[must_use]
    pub const fn steps(&self) -> &Steps {
        self.lacking.steps()
    }

    /// Whether it holds nothing, and is as good as a new one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.needs.is_empty() && self.there.is_empty()
    }

    /// See [`Steps::forget`]. Asks every `of` and `on` that is held: to be called now and then, not for each change.
    pub fn forget(&mut self, before: i64) {
        if before <= self.steps().floor() {
            return;
        }
        let known = |steps: &mut Steps| {
            steps.forget(before);
            !steps.is_zero()
        };
        self.needs.retain(|_, sharers| {
            sharers.retain(|_, own| known(own));
            !sharers.is_empty()
        });
        self.there.retain(|_, there| known(there));
        self.lacking.forget(before);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::naive::{Span, Tested, check, count, ops};
    use super::*;

    /// Spans of an odd weight are of the other kind.
    fn other(span: &Span) -> bool {
        span.weight % 2 != 0
    }

    impl Tested for Missing<u8, u8> {
        type Value = i128;
        const EXACT: bool = true;

        fn change(&mut self, span: Span, times: i32, changes: &mut Changes) {
            if other(&span) {
                self.add_other(&span.on, span.stretch, times, changes);
            } else {
                self.add(&span.key, &span.on, span.stretch, times, changes);
            }
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
            let lacks = |key: u8, on: u8| {
                count(seen, at, |span| !other(span) && span.key == key && span.on == on) >= 1
                    && count(seen, at, |span| other(span) && span.on == on) < 1
            };
            let lacking = (0..4).filter(|key| (0..3).any(|on| lacks(*key, on)));
            i128::try_from(lacking.count()).unwrap()
        }
    }

    #[test]
    fn a_holder_without_a_certificate_is_missing_one() {
        let (mut work, mut changes) = (Missing::default(), Changes::default());
        work.add(
            &("permit 1", "ann"),
            &("ann", "hot"),
            Stretch::new(0, 100),
            1,
            &mut changes,
        );
        work.add(
            &("permit 1", "bo"),
            &("bo", "hot"),
            Stretch::new(0, 100),
            1,
            &mut changes,
        );
        assert_eq!(work.value(50), 2);
        changes.take();
        work.add_other(&("ann", "hot"), Stretch::new(20, 300), 1, &mut changes);
        work.add_other(&("bo", "height"), Stretch::new(0, 300), 1, &mut changes);
        assert_eq!(changes.take(), [Stretch::new(20, 100)]);
        assert_eq!([0, 19, 20, 99, 100].map(|at| work.value(at)), [2, 2, 1, 1, 0]);
        work.add_other(&("ann", "hot"), Stretch::new(20, 300), -1, &mut changes);
        work.add_other(&("ann", "hot"), Stretch::new(20, 60), 1, &mut changes);
        assert_eq!(work.value(59), 1, "revoked from 60 on");
        assert_eq!(work.value(60), 2);
    }

    proptest! {
        #[test]
        fn what_is_missing_is_that_of_all_spans(ops in ops()) {
            check::<Missing<u8, u8>>(Missing::default(), &ops);
        }
    }
}
