//! A B+ tree by key, with a summary of each subtree.
//!
//! ```text
//!   Inner [ first, sum ─► Inner [ first, sum ─► Leaf [item …], … ], … ]
//! ```
//!
//! Up to [`LEAF`] items the tree is one vector and nothing else. What is appended, or put in front, leaves full leaves behind.
//! One edit measures the nodes on one way from the root to a leaf again, so it costs `O(log n)`.

mod edit;
mod search;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::de::Error as _;
use serde::ser::SerializeSeq as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use edit::Ends;
pub(super) use search::best;

/// The most items of a leaf, and the most children of an inner node. Unit tests reach every split with few items.
pub(super) const LEAF: usize = if cfg!(test) { 8 } else { 128 };
pub(super) const FAN: usize = if cfg!(test) { 4 } else { 32 };

/// What a [`Tree`] holds.
pub trait Item: Clone + fmt::Debug {
    /// The order of items. No two items of a tree have the same.
    type Key: Clone + Ord + fmt::Debug;
    /// The summary of some items in a row. The default is that of no item: joined to another, it gives the other.
    type Sum: Copy + Default + fmt::Debug;

    /// Its key.
    fn key(&self) -> &Self::Key;

    /// The summary of this item alone.
    fn sum(&self) -> Self::Sum;

    /// The summary of what stands left and what stands right of it. Associative; the sides may not be exchanged.
    fn join(left: Self::Sum, right: Self::Sum) -> Self::Sum;
}

/// Items in the order of their keys.
///
/// A checkpoint holds the items, in order, and no nodes.
#[derive(Clone, Debug)]
pub struct Tree<I: Item> {
    root: Node<I>,
}

/// A subtree.
#[derive(Clone, Debug)]
pub(super) enum Node<I: Item> {
    Leaf(Vec<I>),
    Inner(Vec<Child<I>>),
}

/// A subtree that is not empty, and what can be told of it from outside.
#[derive(Clone, Debug)]
pub(super) struct Child<I: Item> {
    /// The key of its first item.
    pub(super) first: I::Key,
    pub(super) sum: I::Sum,
    pub(super) node: Node<I>,
}

impl<I: Item> Default for Tree<I> {
    fn default() -> Self {
        Self {
            root: Node::Leaf(Vec::new()),
        }
    }
}

impl<I: Item> Tree<I> {
    /// From items as they come out of a checkpoint. `None` if each key is not greater than the one before.
    #[must_use]
    pub fn from_sorted(items: Vec<I>) -> Option<Self> {
        if !items.is_sorted_by(|one, next| one.key() < next.key()) {
            return None;
        }
        if items.len() <= LEAF {
            return Some(Self {
                root: Node::Leaf(items),
            });
        }
        let mut nodes: Vec<Node<I>> = items.chunks(LEAF).map(|leaf| Node::Leaf(leaf.to_vec())).collect();
        while nodes.len() > 1 {
            let mut rest = nodes.into_iter().filter_map(Child::of).peekable();
            nodes = Vec::new();
            while rest.peek().is_some() {
                nodes.push(Node::Inner(rest.by_ref().take(FAN).collect()));
            }
        }
        nodes.pop().map(|root| Self { root })
    }

    /// Whether it holds nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.root.is_empty()
    }

    /// How many items it holds. Asks every leaf.
    #[must_use]
    pub fn count(&self) -> usize {
        self.root.count()
    }

    /// The item of a key.
    #[must_use]
    pub fn get(&self, key: &I::Key) -> Option<&I> {
        let mut node = &self.root;
        while let Node::Inner(children) = node {
            node = &children.get(place(children, key))?.node;
        }
        match node {
            Node::Leaf(items) => {
                let found = items.binary_search_by(|item| item.key().cmp(key));
                found.ok().map(|at| &items[at])
            }
            Node::Inner(_) => None,
        }
    }

    /// Puts, changes or takes away (`None`) the item of a key. `change` gets what is there, and gives an item of the same key.
    pub fn edit(&mut self, key: &I::Key, change: impl FnOnce(Option<&I>) -> Option<I>) {
        if let Some(right) = self.root.edit(key, Ends::BOTH, change) {
            let left = std::mem::replace(&mut self.root, Node::Leaf(Vec::new()));
            self.root = Node::Inner([left, right].into_iter().filter_map(Child::of).collect());
        }
        self.root.collapse();
    }

    /// Takes away all items up to and including a key, from the front. Gives their summary.
    pub fn forget(&mut self, key: &I::Key) -> I::Sum {
        let sum = self.root.forget(key);
        self.root.collapse();
        sum
    }

    /// The summary of all items up to and including a key.
    #[must_use]
    pub fn up_to(&self, key: &I::Key) -> I::Sum {
        let mut sum = I::Sum::default();
        let mut node = &self.root;
        while let Node::Inner(children) = node {
            let at = place(children, key);
            sum = children[..at].iter().fold(sum, |sum, child| I::join(sum, child.sum));
            node = &children[at].node;
        }
        if let Node::Leaf(items) = node {
            let end = items.partition_point(|item| item.key() <= key);
            sum = items[..end].iter().fold(sum, |sum, item| I::join(sum, item.sum()));
        }
        sum
    }

    /// The first item after a key for which `item` holds. `item` gets the summary of all items up to and including this one. It
    /// is asked only in subtrees for which `node` holds, which gets the summary of all before the subtree, and its own.
    pub fn first_after(
        &self,
        key: &I::Key,
        node: impl Fn(I::Sum, I::Sum) -> bool,
        item: impl Fn(I::Sum, &I) -> bool,
    ) -> Option<&I> {
        self.root.first_after(Some(key), &mut I::Sum::default(), &node, &item)
    }

    /// The last item up to and including a key for which `item` holds, in the same way as [`Tree::first_after`].
    pub fn last_up_to(
        &self,
        key: &I::Key,
        node: impl Fn(I::Sum, I::Sum) -> bool,
        item: impl Fn(I::Sum, &I) -> bool,
    ) -> Option<&I> {
        self.root.last_up_to(Some(key), I::Sum::default(), &node, &item)
    }

    /// All items, in order.
    pub fn iter(&self) -> impl Iterator<Item = &I> {
        // The nodes still to be visited, the next one last.
        let mut nodes = vec![&self.root];
        std::iter::from_fn(move || {
            loop {
                match nodes.pop()? {
                    Node::Leaf(items) => return Some(items),
                    Node::Inner(children) => nodes.extend(children.iter().rev().map(|child| &child.node)),
                }
            }
        })
        .flatten()
    }

    /// For a search in another order than that of keys.
    pub(super) const fn root(&self) -> &Node<I> {
        &self.root
    }
}

impl<I: Item> Child<I> {
    /// `None` of an empty node.
    fn of(node: Node<I>) -> Option<Self> {
        let first = node.first()?.clone();
        let sum = node.sum();
        Some(Self { first, sum, node })
    }

    fn measure(&mut self) {
        if let Some(first) = self.node.first() {
            self.first = first.clone();
        }
        self.sum = self.node.sum();
    }
}

/// The child in which a key has its place.
fn place<I: Item>(children: &[Child<I>], key: &I::Key) -> usize {
    children.partition_point(|child| child.first <= *key).saturating_sub(1)
}

impl<I: Item> Node<I> {
    const fn is_empty(&self) -> bool {
        match self {
            Self::Leaf(items) => items.is_empty(),
            Self::Inner(children) => children.is_empty(),
        }
    }

    /// Items of a leaf, or children; and how many there may be.
    const fn fill(&self) -> (usize, usize) {
        match self {
            Self::Leaf(items) => (items.len(), LEAF),
            Self::Inner(children) => (children.len(), FAN),
        }
    }

    fn count(&self) -> usize {
        match self {
            Self::Leaf(items) => items.len(),
            Self::Inner(children) => children.iter().map(|child| child.node.count()).sum(),
        }
    }

    fn first(&self) -> Option<&I::Key> {
        match self {
            Self::Leaf(items) => items.first().map(I::key),
            Self::Inner(children) => children.first().map(|child| &child.first),
        }
    }

    fn sum(&self) -> I::Sum {
        let none = I::Sum::default();
        match self {
            Self::Leaf(items) => items.iter().fold(none, |sum, item| I::join(sum, item.sum())),
            Self::Inner(children) => children.iter().fold(none, |sum, child| I::join(sum, child.sum)),
        }
    }
}

impl<I: Item + Serialize> Serialize for Tree<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut items = serializer.serialize_seq(Some(self.count()))?;
        for item in self.iter() {
            items.serialize_element(item)?;
        }
        items.end()
    }
}

impl<'de, I: Item + Deserialize<'de>> Deserialize<'de> for Tree<I> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let items = Vec::deserialize(deserializer)?;
        Self::from_sorted(items).ok_or_else(|| D::Error::custom("the items are not in the order of their keys"))
    }
}
