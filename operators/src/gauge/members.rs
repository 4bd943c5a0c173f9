//! Which spans contain an instant, the gravest first.

use std::cmp::Reverse;
use std::fmt::Debug;

use riskflow_model::Level;
use serde::{Deserialize, Serialize};

use super::tree::best;
use super::{ALWAYS, Item, Stretch, Tree};

/// A span that can be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member<D> {
    /// When it holds.
    pub stretch: Stretch,
    /// Its level; [`Level::None`] where its kind has none.
    pub level: Level,
    /// Its weight.
    pub weight: i64,
    /// Which one it is. No two spans have the same beginning and id.
    pub id: D,
}

/// Spans by the order in which an explanation names them: level, then weight, the greatest first; then beginning, then id.
///
/// # Cost
///
/// A tree by beginning, which knows of each subtree the latest end and the greatest level and weight. The best subtrees are looked into
/// first, and only those with a span that contains the instant: `O(log n)` for each that is found in the usual case, and never more
/// than `O(log n)` for each that contains it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Members<D: Clone + Ord + Debug> {
    floor: i64,
    spans: Tree<Held<D>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Held<D> {
    /// Beginning and id.
    key: (i64, D),
    to: i64,
    level: Level,
    weight: i64,
}

/// Of some spans.
#[derive(Clone, Copy, Debug)]
struct Reach {
    gravest: (Level, i64),
    first_end: i64,
    last_end: i64,
}

impl Default for Reach {
    fn default() -> Self {
        Self {
            gravest: (Level::None, i64::MIN),
            first_end: i64::MAX,
            last_end: i64::MIN,
        }
    }
}

impl<D: Clone + Ord + Debug> Item for Held<D> {
    type Key = (i64, D);
    type Sum = Reach;

    fn key(&self) -> &(i64, D) {
        &self.key
    }

    fn sum(&self) -> Reach {
        Reach {
            gravest: (self.level, self.weight),
            first_end: self.to,
            last_end: self.to,
        }
    }

    fn join(left: Reach, right: Reach) -> Reach {
        Reach {
            gravest: left.gravest.max(right.gravest),
            first_end: left.first_end.min(right.first_end),
            last_end: left.last_end.max(right.last_end),
        }
    }
}

impl<D: Clone + Ord + Debug> Default for Members<D> {
    fn default() -> Self {
        Self {
            floor: ALWAYS,
            spans: Tree::default(),
        }
    }
}

impl<D: Clone + Ord + Debug> Members<D> {
    /// Puts a span in the place of the one of the same beginning and id, if there is one. One that is empty, or over before what is
    /// known, is not held.
    pub fn put(&mut self, member: Member<D>) {
        let Member {
            stretch,
            level,
            weight,
            id,
        } = member;
        let key = (stretch.from, id);
        let holds = !stretch.is_empty() && stretch.to > self.floor;
        let to = stretch.to;
        self.spans.edit(&key, |_| {
            holds.then(|| Held {
                key: key.clone(),
                to,
                level,
                weight,
            })
        });
    }

    /// Takes this very span away. Another one that stands in its place stays: of a span that became another the new one may come first.
    pub fn remove(&mut self, member: &Member<D>) {
        let key = (member.stretch.from, member.id.clone());
        let other =
            |held: &&Held<D>| (held.to, held.level, held.weight) != (member.stretch.to, member.level, member.weight);
        self.spans.edit(&key, |held| held.filter(other).cloned());
    }

    /// Whether it holds nothing, and is as good as a new one.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Up to `most` spans that contain an instant, in their order.
    #[must_use]
    pub fn at(&self, at: i64, most: usize) -> Vec<Member<D>> {
        let found = best(
            &self.spans,
            most,
            |child| {
                let (from, id) = &child.first;
                let may = *from <= at && at < child.sum.last_end;
                may.then_some((child.sum.gravest, Reverse((*from, id))))
            },
            |held| {
                let (from, id) = &held.key;
                let contains = *from <= at && at < held.to;
                contains.then_some(((held.level, held.weight), Reverse((*from, id))))
            },
        );
        let member = |held: &Held<D>| Member {
            stretch: Stretch::new(held.key.0, held.to),
            level: held.level,
            weight: held.weight,
            id: held.key.1.clone(),
        };
        found.into_iter().map(member).collect()
    }

    /// Lets go of all spans that are over at an instant: nothing before it may be asked. `O(log n)` for each.
    pub fn forget(&mut self, before: i64) {
        self.floor = self.floor.max(before);
        while let Some(key) = self.over() {
            self.spans.edit(&key, |_| None);
        }
    }

    /// One that is over.
    fn over(&self) -> Option<(i64, D)> {
        let floor = self.floor;
        let over = best(
            &self.spans,
            1,
            |child| (child.sum.first_end <= floor).then_some(()),
            |held| (held.to <= floor).then_some(()),
        );
        over.first().map(|held| held.key.clone())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use riskflow_model::binary;

    use super::super::OPEN;
    use super::*;

    fn member(from: i64, to: i64, level: usize, weight: i64, id: u32) -> Member<u32> {
        Member {
            stretch: Stretch::new(from, to),
            level: Level::ALL[level],
            weight,
            id,
        }
    }

    /// All that contain an instant, put in order.
    fn naive(all: &[Member<u32>], at: i64, most: usize) -> Vec<Member<u32>> {
        let mut found: Vec<_> = all.iter().filter(|one| one.stretch.contains(at)).cloned().collect();
        found.sort_by_key(|one| (Reverse((one.level, one.weight)), one.stretch.from, one.id));
        found.truncate(most);
        found
    }

    #[test]
    fn the_gravest_come_first() {
        let mut members = Members::default();
        for (from, to, level, weight, id) in [
            (0, 10, 1, 5, 1),
            (2, OPEN, 3, 1, 2),
            (1, 9, 3, 1, 3),
            (1, 9, 3, 1, 4),
            (0, 5, 4, 0, 5),
            (3, 8, 1, 9, 6),
            (7, 7, 4, 9, 7),
        ] {
            members.put(member(from, to, level, weight, id));
        }
        let ids = |at, most| -> Vec<u32> { members.at(at, most).into_iter().map(|one| one.id).collect() };
        assert_eq!(ids(4, 10), [5, 3, 4, 2, 6, 1]);
        assert_eq!(ids(4, 2), [5, 3]);
        assert_eq!(ids(5, 10), [3, 4, 2, 6, 1], "what ends at 5 does not contain 5");
        assert!(ids(7, 0).is_empty());
        assert_eq!(ids(100, 10), [2]);
    }

    proptest! {
        #[test]
        fn members_are_those_of_a_list(
            edits in prop::collection::vec((0..12i64, 0..12i64, 0..5usize, 0..4i64, 0..20u32, 0..10u8), 0..150),
            forgotten in 0..12i64,
        ) {
            let mut members = Members::default();
            let mut all: Vec<Member<u32>> = Vec::new();
            for (from, length, level, weight, id, edit) in edits {
                let to = if edit == 3 { OPEN } else { from + length };
                let one = member(from, to, level, weight, id);
                let place = all.iter().position(|held| (held.stretch.from, held.id) == (from, id));
                let old = place.map(|place| all.remove(place));
                // What changes comes and goes, in either order; what is not there is taken away in vain.
                let (gone, comes) = (old.clone().unwrap_or_else(|| one.clone()), edit >= 3);
                if edit % 2 == 0 || !comes {
                    members.remove(&gone);
                }
                if comes {
                    members.put(one.clone());
                }
                if edit % 2 != 0 && comes && gone != one {
                    members.remove(&gone);
                }
                all.extend(comes.then_some(one));
                prop_assert_eq!(members.at(6, 10), naive(&all, 6, 10));
            }
            members.forget(forgotten);
            let saved = binary::encode(&members).unwrap();
            let read: Members<u32> = binary::decode(&saved).unwrap();
            for at in forgotten..25 {
                for most in [0, 1, 10, 1000] {
                    prop_assert_eq!(members.at(at, most), naive(&all, at, most));
                    prop_assert_eq!(read.at(at, most), naive(&all, at, most));
                }
            }
        }
    }
}
