//! How many spans there are, and what they weigh.

use serde::{Deserialize, Serialize};

use super::{Changes, Steps, Stretch};

/// What all spans that contain an instant weigh together, in the unit of the weights. With a weight of 1 each it counts them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sum {
    steps: Steps,
}

impl Sum {
    /// A span of a weight comes (`times` 1) or goes (-1).
    pub fn add(&mut self, stretch: Stretch, weight: i64, times: i32, changes: &mut Changes) {
        if weight != 0 && times != 0 {
            self.steps.add(stretch, weight, times);
            changes.add(stretch.rest(self.steps.floor()));
        }
    }

    /// The sum at an instant.
    #[must_use]
    pub fn value(&self, at: i64) -> i128 {
        self.steps.value(at)
    }

    /// The sum as a function of time.
    #[must_use]
    pub const fn steps(&self) -> &Steps {
        &self.steps
    }

    /// Whether it holds nothing, and is as good as a new one.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.steps.is_zero()
    }

    /// See [`Steps::forget`].
    pub fn forget(&mut self, before: i64) {
        self.steps.forget(before);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::naive::{Op, Span, Tested, check, ops};
    use super::super::{ALWAYS, OPEN};
    use super::*;

    impl Tested for Sum {
        type Value = i128;
        const EXACT: bool = true;

        fn change(&mut self, span: Span, times: i32, changes: &mut Changes) {
            self.add(span.stretch, span.weight, times, changes);
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
            let there = seen.iter().filter(|(span, _)| span.stretch.contains(at));
            there
                .map(|(span, times)| i128::from(span.weight) * i128::from(*times))
                .sum()
        }
    }

    #[test]
    fn tonnes_of_two_tankers() {
        let (mut sum, mut changes) = (Sum::default(), Changes::default());
        sum.add(Stretch::new(10, 30), 500, 1, &mut changes);
        sum.add(Stretch::new(20, OPEN), 300, 1, &mut changes);
        sum.add(Stretch::new(25, 25), 900, 1, &mut changes);
        assert_eq!([9, 10, 20, 29, 30].map(|at| sum.value(at)), [0, 500, 800, 800, 300]);
        assert_eq!(changes.take(), [Stretch::new(10, OPEN)]);
        sum.add(Stretch::new(10, 30), 500, -1, &mut changes);
        assert_eq!(changes.take(), [Stretch::new(10, 30)]);
        assert_eq!(sum.value(20), 300);
    }

    #[test]
    fn the_greatest_weights_do_not_wrap() {
        let (mut sum, mut changes) = (Sum::default(), Changes::default());
        for _ in 0..3 {
            sum.add(Stretch::new(ALWAYS, OPEN), i64::MAX, i32::MAX, &mut changes);
            sum.add(Stretch::new(0, 5), i64::MIN, i32::MIN, &mut changes);
        }
        let always = 3 * i128::from(i64::MAX) * i128::from(i32::MAX);
        assert_eq!(sum.value(-1), always);
        assert_eq!(sum.value(0), always + 3 * i128::from(i64::MIN) * i128::from(i32::MIN));
    }

    proptest! {
        #[test]
        fn sums_are_those_of_all_spans(ops in ops()) {
            check::<Sum>(Sum::default(), &ops);
        }
    }

    #[test]
    fn what_is_taken_away_first_is_owed() {
        let span = Span::of(Stretch::new(2, 5));
        check::<Sum>(
            Sum::default(),
            &[Op::Change(span, -1), Op::Change(span, 1), Op::Change(span, 1)],
        );
    }
}
