//! A B+ tree by key, with a summary of each subtree.
//!
//! ```text
//!   Inner [ first, sum ─► Inner [ first, sum ─► Leaf [item …], … ], … ]
//! ```
//!
//! Up to [`LEAF`] items the tree is one vector and nothing else. What is appended, or put in front, leaves full leaves behind.
//! One edit measures the nodes on one way from the root to a leaf again, so it costs `O(log n)`.

mod search;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::de::Error as _;
use serde::ser::SerializeSeq as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

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
        if let Some(right) = self.root.edit(key, change) {
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
        self.root
            .first_after(Some(key), &mut I::Sum::default(), &node, &item)
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

    /// Gives the right part of this node where it was divided.
    fn edit(&mut self, key: &I::Key, change: impl FnOnce(Option<&I>) -> Option<I>) -> Option<Self> {
        let children = match self {
            Self::Leaf(items) => return edit_leaf(items, key, change),
            Self::Inner(children) => children,
        };
        let at = place(children, key);
        let right = children[at].node.edit(key, change);
        children[at].measure();
        match right.and_then(Child::of) {
            Some(right) => insert(children, at + 1, right),
            None => {
                tidy(children, at);
                None
            }
        }
    }

    fn forget(&mut self, key: &I::Key) -> I::Sum {
        let none = I::Sum::default();
        match self {
            Self::Leaf(items) => {
                let end = items.partition_point(|item| item.key() <= key);
                items.drain(..end).fold(none, |sum, item| I::join(sum, item.sum()))
            }
            Self::Inner(children) => {
                let edge = place(children, key);
                let whole = children.drain(..edge).fold(none, |sum, child| I::join(sum, child.sum));
                let part = children[0].node.forget(key);
                children[0].measure();
                tidy(children, 0);
                I::join(whole, part)
            }
        }
    }

    /// A root with one child gives way to it.
    fn collapse(&mut self) {
        while let Self::Inner(children) = self {
            if children.len() > 1 {
                return;
            }
            *self = children.pop().map_or(Self::Leaf(Vec::new()), |child| child.node);
        }
    }
}

/// Gives the right part where the leaf was divided.
fn edit_leaf<I: Item>(
    items: &mut Vec<I>,
    key: &I::Key,
    change: impl FnOnce(Option<&I>) -> Option<I>,
) -> Option<Node<I>> {
    let at = match items.binary_search_by(|item| item.key().cmp(key)) {
        Ok(at) => {
            match change(Some(&items[at])) {
                Some(item) => items[at] = item,
                None => drop(items.remove(at)),
            }
            return None;
        }
        Err(at) => at,
    };
    let item = change(None)?;
    debug_assert!(item.key() == key, "an item has its place by its key");
    if items.len() < LEAF {
        if items.len() == items.capacity() {
            // Small steps: half-filled buffers would cost more than to move them now and then.
            items.reserve_exact(items.len().clamp(4, 16).min(LEAF - items.len()));
        }
        items.insert(at, item);
        return None;
    }
    // At either end the leaf stays full.
    let cut = if at == 0 || at == LEAF { at } else { LEAF / 2 };
    let mut right = items.split_off(cut);
    if at > cut || cut == LEAF {
        right.insert(at - cut, item);
    } else {
        items.insert(at, item);
    }
    Some(Node::Leaf(right))
}

/// Puts a child in; gives the right part where the children had to be divided.
fn insert<I: Item>(children: &mut Vec<Child<I>>, at: usize, child: Child<I>) -> Option<Node<I>> {
    if children.len() < FAN {
        children.insert(at, child);
        return None;
    }
    // At either end the node stays full; at the left one it was the first child that was divided.
    let cut = match at {
        0 | 1 => 1,
        FAN => FAN,
        _ => FAN / 2,
    };
    let mut right = children.split_off(cut);
    if at >= cut {
        right.insert(at - cut, child);
    } else {
        children.insert(at, child);
    }
    Some(Node::Inner(right))
}

/// A child that is empty goes; a small one is put together with a neighbour, if both fill no more than three quarters of one.
fn tidy<I: Item>(children: &mut Vec<Child<I>>, at: usize) {
    let (len, most) = children[at].node.fill();
    if len == 0 {
        children.remove(at);
        return;
    }
    if len >= most / 4 || children.len() == 1 {
        return;
    }
    let left = at.min(children.len() - 2);
    if children[left].node.fill().0 + children[left + 1].node.fill().0 > most * 3 / 4 {
        return;
    }
    let right = children.remove(left + 1);
    match (&mut children[left].node, right.node) {
        (Node::Leaf(items), Node::Leaf(more)) => items.extend(more),
        (Node::Inner(children), Node::Inner(more)) => children.extend(more),
        _ => unreachable!("siblings are alike"),
    }
    children[left].measure();
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
