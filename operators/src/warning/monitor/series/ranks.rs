//! How results stand to a limit: counted by subtree, so that counts of a stretch need no look at its points.

use std::cmp::Ordering;

use riskflow_config::{Limit, Operator};

use super::Point;

/// How many results that count are less than a limit, and how many are equal to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ranks {
    /// How many are less.
    pub less: u32,
    /// How many are equal.
    pub equal: u32,
}

impl Ranks {
    /// One point more.
    pub(super) fn add(&mut self, point: Point, limit: Limit<'_>) {
        if point.counts() {
            match limit.of_result(point.result) {
                Ordering::Less => self.less += 1,
                Ordering::Equal => self.equal += 1,
                Ordering::Greater => {}
            }
        }
    }

    /// Those of another stretch as well.
    pub(super) const fn join(&mut self, other: Self) {
        self.less += other.less;
        self.equal += other.equal;
    }

    /// How many of so many results compare so with the limit.
    pub const fn such(self, operator: Operator, count: u32) -> u32 {
        match operator {
            Operator::Below => self.less,
            Operator::AtMost => self.less + self.equal,
            Operator::AtLeast => count - self.less,
            Operator::Above => count - self.less - self.equal,
        }
    }
}

/// A limit apart from whose it is.
type Parts = (i128, i128);

/// Of one subtree how its results stand to the limits that were asked for last.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked(Vec<(Parts, Ranks)>);

impl Asked {
    /// Rules on one datastream have few limits; of those that were edited away nobody asks any more.
    const MOST: usize = 16;

    pub(super) fn get(&self, limit: Limit<'_>) -> Option<Ranks> {
        let parts = limit.parts();
        let found = self.0.iter().find(|(asked, _)| *asked == parts);
        found.map(|(_, ranks)| *ranks)
    }

    pub(super) fn put(&mut self, limit: Limit<'_>, ranks: Ranks) {
        if self.0.len() == Self::MOST {
            self.0.remove(0);
        }
        self.0.push((limit.parts(), ranks));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_less_equal_or_more() {
        let ranks = Ranks { less: 3, equal: 2 };
        let such = [Operator::Below, Operator::AtMost, Operator::AtLeast, Operator::Above];
        assert_eq!(such.map(|operator| ranks.such(operator, 9)), [3, 5, 6, 4]);
    }

    #[test]
    fn the_limits_asked_for_last_are_kept() {
        let mut asked = Asked::default();
        for threshold in 0..40 {
            let limit = Limit::Plain(threshold);
            assert_eq!(asked.get(limit), None);
            asked.put(
                limit,
                Ranks {
                    less: threshold as u32,
                    equal: 0,
                },
            );
        }
        assert_eq!(asked.0.len(), Asked::MOST);
        assert_eq!(asked.get(Limit::Plain(39)), Some(Ranks { less: 39, equal: 0 }));
        assert_eq!(asked.get(Limit::Plain(0)), None);
    }
}
