use std::cell::Cell;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

thread_local! {
    /// How many summaries were joined.
    static JOINS: Cell<usize> = const { Cell::new(0) };
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Entry {
    key: i64,
    value: i64,
}

/// The number of entries, and the sum and the greatest of their values.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Summary {
    len: usize,
    sum: i64,
    most: i64,
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            len: 0,
            sum: 0,
            most: i64::MIN,
        }
    }
}

impl Item for Entry {
    type Key = i64;
    type Sum = Summary;

    fn key(&self) -> &i64 {
        &self.key
    }

    fn sum(&self) -> Summary {
        Summary {
            len: 1,
            sum: self.value,
            most: self.value,
        }
    }

    fn join(left: Summary, right: Summary) -> Summary {
        JOINS.set(JOINS.get() + 1);
        Summary {
            len: left.len + right.len,
            sum: left.sum + right.sum,
            most: left.most.max(right.most),
        }
    }
}

/// Every summary is that of the entries below, every child begins where it says, no node is empty or too large.
fn sound(node: &Node<Entry>, root: bool) {
    let (len, most) = node.fill();
    assert!(len <= most && (root || len > 0));
    if let Node::Inner(children) = node {
        assert!(len > 1 || !root, "a root with one child gives way to it");
        for child in children {
            sound(&child.node, false);
            assert_eq!(Some(&child.first), child.node.first());
            assert_eq!(child.sum, child.node.sum());
        }
    }
}

fn summary<'a>(entries: impl Iterator<Item = (&'a i64, &'a i64)>) -> Summary {
    entries.fold(Summary::default(), |sum, (key, value)| {
        Entry::join(
            sum,
            Entry {
                key: *key,
                value: *value,
            }
            .sum(),
        )
    })
}

fn equal(tree: &Tree<Entry>, held: &BTreeMap<i64, i64>, key: i64) {
    let entries: Vec<(i64, i64)> = tree.iter().map(|entry| (entry.key, entry.value)).collect();
    assert_eq!(
        entries,
        held.iter().map(|(key, value)| (*key, *value)).collect::<Vec<_>>()
    );
    assert_eq!(tree.count(), held.len());
    assert_eq!(tree.is_empty(), held.is_empty());
    sound(&tree.root, true);
    assert_eq!(tree.get(&key).map(|entry| entry.value), held.get(&key).copied());
    assert_eq!(tree.up_to(&key), summary(held.range(..=key)));
    let high = |_: Summary, node: Summary| node.most >= 7;
    // What stands before must be right, too.
    let is = |sum: Summary, entry: &Entry| {
        assert_eq!(sum, summary(held.range(..=entry.key)));
        entry.value >= 7
    };
    let first = held.range(key + 1..).find(|(_, value)| **value >= 7);
    assert_eq!(
        tree.first_after(&key, high, is).map(|entry| entry.key),
        first.map(|(key, _)| *key)
    );
    let last = held.range(..=key).rev().find(|(_, value)| **value >= 7);
    assert_eq!(
        tree.last_up_to(&key, high, is).map(|entry| entry.key),
        last.map(|(key, _)| *key)
    );
    let mut ranks: Vec<(i64, i64)> = held.iter().map(|(key, value)| (*value, *key)).collect();
    ranks.sort_unstable_by(|one, other| other.cmp(one));
    ranks.retain(|(value, _)| *value >= 3);
    ranks.truncate(10);
    let found = best(
        tree,
        10,
        |child| (child.sum.most >= 3).then_some((child.sum.most, i64::MAX)),
        |entry| (entry.value >= 3).then_some((entry.value, entry.key)),
    );
    let found: Vec<(i64, i64)> = found.into_iter().map(|entry| (entry.value, entry.key)).collect();
    assert_eq!(found, ranks);
}

proptest! {
    #[test]
    fn a_tree_says_what_a_map_of_the_same_entries_says(
        edits in prop::collection::vec((0..300i64, prop::option::weighted(0.7, 0..10i64)), 0..600),
        forgotten in -1..305i64,
        key in -5..305i64,
    ) {
        let mut tree = Tree::<Entry>::default();
        let mut held = BTreeMap::new();
        for (key, value) in edits {
            tree.edit(&key, |before: Option<&Entry>| {
                assert_eq!(before.map(|entry| entry.value), held.get(&key).copied());
                value.map(|value| Entry { key, value })
            });
            match value {
                Some(value) => held.insert(key, value),
                None => held.remove(&key),
            };
        }
        equal(&tree, &held, key);
        let built = Tree::from_sorted(tree.iter().copied().collect()).unwrap();
        equal(&built, &held, key);
        let expected = summary(held.range(..=forgotten));
        prop_assert_eq!(tree.forget(&forgotten), expected);
        held.retain(|key, _| *key > forgotten);
        equal(&tree, &held, key);
        let keys: Vec<i64> = held.keys().copied().collect();
        for key in keys {
            tree.edit(&key, |_| None);
        }
        equal(&tree, &BTreeMap::new(), key);
    }
}

fn leaves(node: &Node<Entry>) -> usize {
    match node {
        Node::Leaf(_) => 1,
        Node::Inner(children) => children.iter().map(|child| leaves(&child.node)).sum(),
    }
}

#[test]
fn either_order_leaves_full_leaves() {
    for reversed in [false, true] {
        let mut tree = Tree::<Entry>::default();
        for i in 0..1000 {
            let key = if reversed { -i } else { i };
            tree.edit(&key, |_| Some(Entry { key, value: 1 }));
        }
        sound(&tree.root, true);
        let leaves = leaves(&tree.root);
        assert!(leaves <= 1000 / LEAF + 1, "{leaves} leaves, reversed {reversed}");
    }
}

/// What thins out from the front, as spans do of which most are short.
#[test]
fn few_items_are_in_few_leaves() {
    let mut tree = Tree::<Entry>::default();
    for key in 0..5_000 {
        tree.edit(&key, |_| Some(Entry { key, value: 1 }));
        let gone = key - 50;
        if gone % 10 != 0 {
            tree.edit(&gone, |_| None);
        }
    }
    sound(&tree.root, true);
    let (leaves, items) = (leaves(&tree.root), tree.count());
    assert!(items > 500 && leaves <= items / 3, "{leaves} leaves for {items} items");
}

/// What comes newest first into a gap behind a full leaf.
#[test]
fn a_gap_that_is_filled_backwards_has_leaves_that_are_filled() {
    let entry = |key| Entry { key, value: 1 };
    let full = (0..).take(10 * LEAF * FAN).map(|key| entry(key * 10_000)).collect();
    let mut tree = Tree::from_sorted(full).unwrap();
    let end = tree.iter().nth(LEAF * FAN - 1).unwrap().key;
    for key in (end + 1..end + 3_000).rev() {
        tree.edit(&key, |_| Some(entry(key)));
    }
    sound(&tree.root, true);
    let (leaves, items) = (leaves(&tree.root), tree.count());
    assert!(leaves <= items / (LEAF / 2) + 10, "{leaves} leaves for {items} items");
}

#[test]
fn one_leaf_is_one_vector() {
    let entries: Vec<Entry> = (0..).take(LEAF).map(|key| Entry { key, value: 1 }).collect();
    let tree = Tree::from_sorted(entries).unwrap();
    assert!(matches!(tree.root, Node::Leaf(_)));
}

#[test]
fn entries_out_of_order_are_refused() {
    let entry = |key| Entry { key, value: 1 };
    assert!(Tree::from_sorted(vec![entry(1), entry(1)]).is_none());
    assert!(Tree::from_sorted(vec![entry(2), entry(1)]).is_none());
}

#[test]
fn one_change_among_a_million_measures_few_nodes() {
    let entries: Vec<Entry> = (0..1_000_000)
        .map(|i| Entry {
            key: 2 * i,
            value: i % 5,
        })
        .collect();
    let mut tree = Tree::from_sorted(entries).unwrap();
    let joins = |work: &mut dyn FnMut()| {
        JOINS.set(0);
        work();
        JOINS.get()
    };
    // Ten inner levels at most: four children each, and a leaf of eight; both parts of each where all are divided.
    let bound = 2 * (10 * FAN + LEAF) + FAN;
    for key in [-1, 1, 999_999, 1_999_999] {
        let put = joins(&mut || tree.edit(&key, |_| Some(Entry { key, value: 9 })));
        assert!(put <= bound, "{put} joins to put {key}");
        let summed = joins(&mut || assert!(tree.up_to(&key).len > 0));
        assert!(summed <= bound, "{summed} joins to sum up to {key}");
        let mut found = None;
        let looked = joins(&mut || {
            found = tree
                .first_after(&-10, |_, node| node.most >= 9, |_, entry| entry.value >= 9)
                .map(|entry| entry.key);
        });
        assert_eq!(found, Some(key));
        assert!(looked <= bound, "{looked} joins to find {key}");
        let taken = joins(&mut || tree.edit(&key, |_| None));
        assert!(taken <= bound, "{taken} joins to take {key}");
    }
}
