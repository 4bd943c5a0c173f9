//! View: many rows that meet few by a key.
//!
//! Duties, plans and people on duty are few and change seldom; cases and alarms are many, and change all the time. So every worker
//! holds all of the few, and the many stay on the worker that they are on: a row of theirs is looked up, not sorted into an
//! arrangement and merged with all others over and over. What comes out is that of a join, consolidated for each epoch. The state is
//! rebuilt from rows, as that of every view.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use differential_dataflow::consolidation::consolidate;
use differential_dataflow::{AsCollection, ExchangeData};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::vec::Broadcast;

use super::epochs::by_epoch_of_two;
use super::{Diff, Rows, Turn};

/// Rows with how often they are there.
type Bag<D> = BTreeMap<D, Diff>;

/// Changes of one side in an epoch.
type Changes<K, D> = Vec<((K, D), Diff)>;

/// Those of the many that meet the same keys, and these keys.
struct Group<K, A> {
    keys: Vec<K>,
    rows: Bag<A>,
}

/// All that is there. Holds no dataflow type.
struct Held<G, K, A, B> {
    many: BTreeMap<G, Group<K, A>>,
    /// The groups that meet a key, and as which of theirs.
    groups: BTreeMap<K, BTreeSet<(G, usize)>>,
    few: BTreeMap<K, Bag<B>>,
}

impl<G: Ord + Clone, K: Ord + Clone, A: Ord, B: Ord> Held<G, K, A, B> {
    const fn new() -> Self {
        Self {
            many: BTreeMap::new(),
            groups: BTreeMap::new(),
            few: BTreeMap::new(),
        }
    }

    /// Takes an epoch in, and gives what changes of what they make together.
    fn apply<D: Ord, I: IntoIterator<Item = D>>(
        &mut self,
        (many, few): (Changes<G, A>, Changes<K, B>),
        keys: &impl Fn(&G) -> Vec<K>,
        meet: &mut impl FnMut(usize, &A, &B) -> I,
    ) -> Vec<(D, Diff)> {
        let mut out = Vec::new();
        let mut add = |at, a: &A, b: &B, diff| out.extend(meet(at, a, b).into_iter().map(|row| (row, diff)));
        for ((key, b), diff) in few {
            for (group, at) in self.groups.get(&key).into_iter().flatten() {
                for (a, times) in self.many.get(group).into_iter().flat_map(|group| &group.rows) {
                    add(*at, a, &b, times * diff);
                }
            }
            let bag = self.few.entry(key.clone()).or_default();
            count(bag, b, diff);
            if bag.is_empty() {
                self.few.remove(&key);
            }
        }
        for ((group, a), diff) in many {
            let found = match self.many.entry(group.clone()) {
                Entry::Occupied(found) => found.into_mut(),
                Entry::Vacant(place) => {
                    let keys = keys(&group);
                    for (at, key) in keys.iter().enumerate() {
                        let groups = self.groups.entry(key.clone()).or_default();
                        groups.insert((group.clone(), at));
                    }
                    let rows = Bag::new();
                    place.insert(Group { keys, rows })
                }
            };
            for (at, key) in found.keys.iter().enumerate() {
                for (b, times) in self.few.get(key).into_iter().flatten() {
                    add(at, &a, b, times * diff);
                }
            }
            count(&mut found.rows, a, diff);
            if found.rows.is_empty() {
                self.forget(&group);
            }
        }
        consolidate(&mut out);
        out
    }

    fn forget(&mut self, group: &G) {
        let gone = self.many.remove(group);
        for (at, key) in gone.into_iter().flat_map(|gone| gone.keys).enumerate() {
            if let Entry::Occupied(mut groups) = self.groups.entry(key) {
                groups.get_mut().remove(&(group.clone(), at));
                if groups.get().is_empty() {
                    groups.remove();
                }
            }
        }
    }
}

/// Counts a row in so many times; one that is there no more leaves nothing behind.
fn count<D: Ord>(bag: &mut Bag<D>, row: D, diff: Diff) {
    match bag.entry(row) {
        Entry::Vacant(times) => drop(times.insert(diff)),
        Entry::Occupied(times) if *times.get() == -diff => drop(times.remove()),
        Entry::Occupied(mut times) => *times.get_mut() += diff,
    }
}

/// Joins rows with few others: what `meet` makes of each two that have a key together, and of the position of that among the keys of
/// the first. Rows of one group have the same keys, and there are not many groups. `few` are sent to every worker.
pub fn join_few<'scope, G, K, A, B, D, I>(
    many: Rows<'scope, (G, A)>,
    few: Rows<'scope, (K, B)>,
    name: &str,
    keys: impl Fn(&G) -> Vec<K> + 'static,
    mut meet: impl FnMut(usize, &A, &B) -> I + 'static,
) -> Rows<'scope, D>
where
    G: ExchangeData,
    K: ExchangeData,
    A: ExchangeData,
    B: ExchangeData,
    D: ExchangeData,
    I: IntoIterator<Item = D> + 'static,
{
    let mut held = Held::new();
    let joined = by_epoch_of_two(
        (many.inner, Pipeline),
        (few.inner.broadcast(), Pipeline),
        name,
        (
            |changes: &mut (Changes<G, A>, Changes<K, B>), row, diff| changes.0.push((row, diff)),
            |changes: &mut (Changes<G, A>, Changes<K, B>), row, diff| changes.1.push((row, diff)),
        ),
        move |changes, give| {
            let updates = held.apply(changes, &keys, &mut meet);
            updates.into_iter().for_each(|(row, diff)| give(row, diff));
        },
    );
    joined.as_collection()
}

/// Maps rows. An update that takes back the one before it is left out with that: of a row that changed in what is not asked for,
/// nothing passes.
pub fn map_changed<'scope, D: Clone + 'static, E: Clone + PartialEq + 'static>(
    rows: Rows<'scope, D>,
    mut map: impl FnMut(D) -> E + 'static,
) -> Rows<'scope, E> {
    let mapped = rows
        .inner
        .unary::<CapacityContainerBuilder<Vec<_>>, _, _, _>(Pipeline, "MapChanged", move |_, _| {
            move |input, output| {
                input.for_each_stamp(|capability, batches| {
                    let mut session = output.session(&capability);
                    let mut last: Option<(E, Turn, Diff)> = None;
                    for (row, epoch, diff) in batches.flat_map(|batch| batch.drain(..)) {
                        let row = map(row);
                        last = match last.take() {
                            Some((before, at, times)) if times == -diff && at == epoch && before == row => None,
                            before => {
                                before.into_iter().for_each(|update| session.give(update));
                                Some((row, epoch, diff))
                            }
                        };
                    }
                    last.into_iter().for_each(|update| session.give(update));
                });
            }
        });
    mapped.as_collection()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Rows come and go on both sides, several in an epoch: after each, what was given is the join of what is there.
        #[test]
        fn what_is_given_is_the_join(
            epochs in prop::collection::vec(
                prop::collection::vec((any::<bool>(), 0u8..3, 0u8..4, any::<bool>()), 0..6),
                1..12,
            ),
        ) {
            let mut held = Held::new();
            // A group meets its own key and the next.
            let keys = |group: &u8| vec![*group, group + 1];
            let (mut many, mut few) = (Bag::<(u8, u8)>::new(), Bag::<(u8, u8)>::new());
            let mut given: Bag<(usize, u8, u8)> = Bag::new();
            for changes in epochs {
                let mut sides = (Vec::new(), Vec::new());
                for (is_many, key, row, came) in changes {
                    let (side, bag) = match is_many {
                        true => (&mut sides.0, &mut many),
                        false => (&mut sides.1, &mut few),
                    };
                    let diff = if came { 1 } else { -1 };
                    side.push(((key, row), diff));
                    count(bag, (key, row), diff);
                }
                for ((at, a, b), diff) in held.apply(sides, &keys, &mut |at, a: &u8, b: &u8| [(at, *a, *b)]) {
                    prop_assert_ne!(diff, 0);
                    count(&mut given, (at, a, b), diff);
                }
                let mut expected = Bag::new();
                for ((group, a), times) in &many {
                    for (at, key) in keys(group).into_iter().enumerate() {
                        for ((_, b), others) in few.iter().filter(|((other, _), _)| *other == key) {
                            *expected.entry((at, *a, *b)).or_default() += times * others;
                        }
                    }
                }
                expected.retain(|_, times| *times != 0);
                prop_assert_eq!(&given, &expected);
            }
            prop_assert_eq!(held.many.values().map(|group| group.rows.len()).sum::<usize>(), many.len());
            let groups = held.groups.values().map(BTreeSet::len).sum::<usize>();
            prop_assert_eq!(groups, 2 * held.many.len());
        }
    }
}
