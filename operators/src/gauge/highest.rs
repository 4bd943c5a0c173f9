//! The highest level, and the greatest number, of any span.

#[cfg(test)]
mod tests;

use riskflow_model::Level;
use serde::{Deserialize, Serialize};

use super::tree::best;
use super::{ALWAYS, Changes, Item, OPEN, Steps, Stretch, Tree};

/// The highest level of any span that contains an instant; [`Level::None`] where there is none.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct HighestLevel {
    /// For each level that warns, how many spans reach it.
    reach: [Steps; 4],
}

impl HighestLevel {
    /// A span of a level comes (`times` 1) or goes (-1).
    pub fn add(&mut self, level: Level, stretch: Stretch, times: i32, changes: &mut Changes) {
        for reach in &mut self.reach[..level.index()] {
            reach.add(stretch, 1, times);
            reach.flips(stretch, 1, times, 1, |flip| changes.add(flip));
        }
    }

    /// The level at an instant.
    #[must_use]
    pub fn value(&self, at: i64) -> Level {
        let reached = self.reach.iter().zip(Level::WARNING);
        let reached = reached.take_while(|(reach, _)| reach.value(at) >= 1);
        reached.last().map_or(Level::None, |(_, level)| level)
    }

    /// How many spans reach a level, as a function of time: the highest is at least this level where it is 1 or more. `None` of
    /// [`Level::None`], which every instant reaches.
    #[must_use]
    pub fn steps(&self, level: Level) -> Option<&Steps> {
        self.reach.get(level.index().checked_sub(1)?)
    }

    /// Whether it holds nothing, and is as good as a new one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.reach.iter().all(Steps::is_zero)
    }

    /// See [`Steps::forget`].
    pub fn forget(&mut self, before: i64) {
        for reach in &mut self.reach {
            reach.forget(before);
        }
    }
}

/// The greatest number of any span that contains an instant; unknown (`None`) where there is none.
///
/// # Cost
///
/// Numbers are many and differ, so there are no steps for each of them, but one tree of spans by beginning, which knows of each subtree
/// the greatest number and the latest end. A span that comes or goes is one descent for each stretch in which it is the greatest; where
/// others are, one for each of them that is the greatest in its turn.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HighestNumber {
    floor: i64,
    spans: Tree<Held>,
}

/// Equal spans of a number.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Held {
    /// From, to, number.
    key: (i64, i64, i64),
    /// Below 1 they are owed, and not there.
    times: i64,
}

/// Of some spans.
#[derive(Clone, Copy, Debug)]
struct Reach {
    /// The greatest number of those that are there.
    most: Option<i64>,
    first_end: i64,
    last_end: i64,
}

impl Default for Reach {
    fn default() -> Self {
        Self {
            most: None,
            first_end: i64::MAX,
            last_end: i64::MIN,
        }
    }
}

impl Held {
    fn number(&self) -> Option<i64> {
        (self.times > 0).then_some(self.key.2)
    }
}

impl Item for Held {
    type Key = (i64, i64, i64);
    type Sum = Reach;

    fn key(&self) -> &(i64, i64, i64) {
        &self.key
    }

    fn sum(&self) -> Reach {
        Reach {
            most: self.number(),
            first_end: self.key.1,
            last_end: self.key.1,
        }
    }

    fn join(left: Reach, right: Reach) -> Reach {
        Reach {
            most: left.most.max(right.most),
            first_end: left.first_end.min(right.first_end),
            last_end: left.last_end.max(right.last_end),
        }
    }
}

impl Default for HighestNumber {
    fn default() -> Self {
        Self {
            floor: ALWAYS,
            spans: Tree::default(),
        }
    }
}

impl HighestNumber {
    /// A span with a number comes (`times` 1) or goes (-1).
    pub fn add(&mut self, number: i64, stretch: Stretch, times: i32, changes: &mut Changes) {
        let rest = stretch.rest(self.floor);
        if stretch.is_empty() || rest.is_empty() || times == 0 {
            return;
        }
        let key = (stretch.from, stretch.to, number);
        let before = self.spans.get(&key).map_or(0, |held| held.times);
        let times = before + i64::from(times);
        // The value without this span tells where the span matters.
        if before <= 0 && times > 0 {
            self.lower(number, rest, changes);
        }
        self.spans.edit(&key, |_| (times != 0).then_some(Held { key, times }));
        if before > 0 && times <= 0 {
            self.lower(number, rest, changes);
        }
    }

    /// Where in a stretch the value is below a number, or unknown.
    fn lower(&self, number: i64, stretch: Stretch, changes: &mut Changes) {
        let mut at = stretch.from;
        while at < stretch.to {
            let (value, end) = self.top(at);
            if value < Some(number) {
                // However the value changes below the number: up to the next that reaches it.
                let reached = self.spans.first_after(
                    &(at, i64::MAX, i64::MAX),
                    |_, node| node.most >= Some(number),
                    |_, held| held.number() >= Some(number),
                );
                let end = reached.map_or(OPEN, |held| held.key.0).min(stretch.to);
                changes.add(Stretch::new(at, end));
                at = end;
            } else {
                at = end.min(stretch.to);
            }
        }
    }

    /// The value at an instant, and until when it is the same at least: until a greater one begins, or its own span ends.
    fn piece(&self, at: i64) -> (Option<i64>, i64) {
        let (value, end) = self.top(at);
        let greater = self.spans.first_after(
            &(at, i64::MAX, i64::MAX),
            |_, node| node.most > value,
            |_, held| held.number() > value,
        );
        (value, greater.map_or(end, |held| held.key.0.min(end)))
    }

    /// The value at an instant, and when its own span ends.
    fn top(&self, at: i64) -> (Option<i64>, i64) {
        let top = best(
            &self.spans,
            1,
            |child| {
                let sum = child.sum;
                let may = child.first.0 <= at && at < sum.last_end;
                may.then_some((sum.most?, sum.last_end))
            },
            |held| {
                let (from, to, number) = held.key;
                (held.times > 0 && from <= at && at < to).then_some((number, to))
            },
        );
        top.first().map_or((None, OPEN), |held| (Some(held.key.2), held.key.1))
    }

    /// The greatest number at an instant.
    #[must_use]
    pub fn value(&self, at: i64) -> Option<i64> {
        self.piece(at).0
    }

    /// The first instant after one at which the value may be another one.
    #[must_use]
    pub fn next_change(&self, after: i64) -> Option<i64> {
        let (_, end) = self.piece(after);
        (end != OPEN).then_some(end)
    }

    /// Whether it holds nothing, and is as good as a new one.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// See [`Steps::forget`]. `O(log n)` for each span that has ended.
    pub fn forget(&mut self, before: i64) {
        if before <= self.floor {
            return;
        }
        self.floor = before;
        loop {
            // No span has the least key: it would be empty.
            let ended = self.spans.first_after(
                &(i64::MIN, i64::MIN, i64::MIN),
                |_, node| node.first_end <= before,
                |_, held| held.key.1 <= before,
            );
            let Some(key) = ended.map(|held| held.key) else {
                return;
            };
            self.spans.edit(&key, |_| None);
        }
    }
}
