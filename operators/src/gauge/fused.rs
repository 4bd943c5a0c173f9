//! A level that is higher where several say so.

use riskflow_model::Level;
use serde::{Deserialize, Serialize};

use super::{Changes, Distinct, HighestLevel, Stretch};

/// The highest level of any span, and one more, at most [`Level::Red`], where spans have at least `n` different tuples of attributes.
/// [`Level::None`] stays what it is: many that say nothing say nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fused<K: Ord> {
    n: u32,
    highest: HighestLevel,
    sources: Distinct<K>,
}

impl<K: Ord + Clone> Fused<K> {
    /// One more from `n` different tuples on.
    #[must_use]
    pub fn new(n: u32) -> Self {
        Self {
            n,
            highest: HighestLevel::default(),
            sources: Distinct::default(),
        }
    }

    /// A span of a level comes (`times` 1) or goes (-1). Without the attributes (`None`) it has a level, but does not count as one more.
    pub fn add(&mut self, level: Level, key: Option<&K>, stretch: Stretch, times: i32, changes: &mut Changes) {
        self.highest.add(level, stretch, times, changes);
        let bound = i128::from(self.n);
        if let Some(key) = key {
            self.sources.change(key, stretch, times, |count, changed| {
                count.flips(changed, 1, times.signum(), bound, |flip| changes.add(flip));
            });
        }
    }

    /// The level at an instant.
    #[must_use]
    pub fn value(&self, at: i64) -> Level {
        let highest = self.highest.value(at);
        if highest == Level::None || self.sources.value(at) < i128::from(self.n) {
            return highest;
        }
        let above = Level::ALL.into_iter().find(|level| *level > highest);
        above.unwrap_or(highest)
    }

    /// The highest level, not raised.
    #[must_use]
    pub const fn highest(&self) -> &HighestLevel {
        &self.highest
    }

    /// How many different tuples there are.
    #[must_use]
    pub const fn sources(&self) -> &Distinct<K> {
        &self.sources
    }

    /// Whether it holds nothing, and is as good as a new one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.highest.is_empty() && self.sources.is_empty()
    }

    /// See [`super::Steps::forget`].
    pub fn forget(&mut self, before: i64) {
        self.highest.forget(before);
        self.sources.forget(before);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::naive::{Span, Tested, check, keys, level, ops};
    use super::*;

    impl Tested for Fused<u8> {
        type Value = Level;

        fn change(&mut self, span: Span, times: i32, changes: &mut Changes) {
            self.add(span.level, Some(&span.key), span.stretch, times, changes);
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
            let highest = level(seen, at);
            let more = usize::from(highest != Level::None && keys(seen, at) >= i128::from(self.n));
            Level::ALL[(highest.index() + more).min(4)]
        }
    }

    #[test]
    fn two_sources_make_it_one_more() {
        let (mut fused, mut changes) = (Fused::new(2), Changes::default());
        fused.add(Level::Blue, Some(&"rain"), Stretch::new(0, 10), 1, &mut changes);
        changes.take();
        fused.add(Level::Blue, Some(&"river"), Stretch::new(4, 20), 1, &mut changes);
        assert_eq!(changes.take(), [Stretch::new(4, 20)]);
        fused.add(Level::Red, None, Stretch::new(5, 6), 1, &mut changes);
        let levels = [0, 4, 5, 6, 10, 20].map(|at| fused.value(at));
        assert_eq!(
            levels,
            [
                Level::Blue,
                Level::Yellow,
                Level::Red,
                Level::Yellow,
                Level::Blue,
                Level::None
            ]
        );
    }

    proptest! {
        #[test]
        fn fused_levels_are_those_of_all_spans(ops in ops(), n in 1..4u32) {
            check::<Fused<u8>>(Fused::new(n), &ops);
        }
    }
}
