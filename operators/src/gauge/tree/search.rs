//! Looking for items, by what the summaries say.

use std::collections::BinaryHeap;

use super::{Child, FAN, Item, Node, Tree, place};

impl<I: Item> Node<I> {
    /// `sum` is that of all before this node, and then of this node, too. Without a key: all of the node is asked.
    pub(super) fn first_after(
        &self,
        key: Option<&I::Key>,
        sum: &mut I::Sum,
        node: &impl Fn(I::Sum, I::Sum) -> bool,
        item: &impl Fn(I::Sum, &I) -> bool,
    ) -> Option<&I> {
        match self {
            Self::Leaf(items) => {
                let start = key.map_or(0, |key| items.partition_point(|item| item.key() <= key));
                for (at, one) in items.iter().enumerate() {
                    *sum = I::join(*sum, one.sum());
                    if at >= start && item(*sum, one) {
                        return Some(one);
                    }
                }
            }
            Self::Inner(children) => {
                let edge = key.map(|key| place(children, key));
                for (at, child) in children.iter().enumerate() {
                    if edge.is_none_or(|edge| at >= edge) && node(*sum, child.sum) {
                        let key = key.filter(|_| edge == Some(at));
                        if let Some(found) = child.node.first_after(key, sum, node, item) {
                            return Some(found);
                        }
                    } else {
                        *sum = I::join(*sum, child.sum);
                    }
                }
            }
        }
        None
    }

    /// `before` is the summary of all before this node. Without a key: all of the node is asked.
    pub(super) fn last_up_to(
        &self,
        key: Option<&I::Key>,
        before: I::Sum,
        node: &impl Fn(I::Sum, I::Sum) -> bool,
        item: &impl Fn(I::Sum, &I) -> bool,
    ) -> Option<&I> {
        let mut sum = before;
        match self {
            Self::Leaf(items) => {
                let end = key.map_or(items.len(), |key| items.partition_point(|item| item.key() <= key));
                let mut found = None;
                for one in &items[..end] {
                    sum = I::join(sum, one.sum());
                    if item(sum, one) {
                        found = Some(one);
                    }
                }
                found
            }
            Self::Inner(children) => {
                let edge = key.map(|key| place(children, key));
                let mut before = [sum; FAN];
                for (before, child) in before.iter_mut().zip(children) {
                    *before = sum;
                    sum = I::join(sum, child.sum);
                }
                let asked = children.iter().zip(before).take(edge.map_or(FAN, |edge| edge + 1));
                asked.enumerate().rev().find_map(|(at, (child, before))| {
                    let key = key.filter(|_| edge == Some(at));
                    let found = node(before, child.sum).then(|| child.node.last_up_to(key, before, node, item));
                    found.flatten()
                })
            }
        }
    }
}

/// Up to `most` items, the greatest rank first. `item` gives an item's rank, or `None` if it is not wanted. `node` gives a rank that
/// no item of a subtree exceeds, or `None` if none of it is wanted. Looks into no subtree whose rank is less than that of the last
/// item that it gives.
pub(in crate::gauge) fn best<'a, I: Item, R: Ord>(
    tree: &'a Tree<I>,
    most: usize,
    node: impl Fn(&'a Child<I>) -> Option<R>,
    item: impl Fn(&'a I) -> Option<R>,
) -> Vec<&'a I> {
    enum Place<'a, I: Item> {
        Node(&'a Node<I>),
        Item(&'a I),
    }
    // What was seen, and its numbers by rank.
    let mut seen = vec![Place::Node(tree.root())];
    let mut waiting = BinaryHeap::new();
    let mut found = Vec::new();
    let mut next = 0;
    while found.len() < most {
        match seen[next] {
            Place::Item(one) => found.push(one),
            Place::Node(Node::Leaf(items)) => {
                for one in items {
                    if let Some(rank) = item(one) {
                        waiting.push((rank, seen.len()));
                        seen.push(Place::Item(one));
                    }
                }
            }
            Place::Node(Node::Inner(children)) => {
                for child in children {
                    if let Some(rank) = node(child) {
                        waiting.push((rank, seen.len()));
                        seen.push(Place::Node(&child.node));
                    }
                }
            }
        }
        match waiting.pop() {
            Some((_, place)) => next = place,
            None => break,
        }
    }
    found
}
