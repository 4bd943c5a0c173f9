//! Putting items in and taking them away, one way down the tree.

use super::{Child, FAN, Item, LEAF, Node, place};

impl<I: Item> Node<I> {
    /// Gives the right part of this node where it was divided.
    pub(super) fn edit(&mut self, key: &I::Key, change: impl FnOnce(Option<&I>) -> Option<I>) -> Option<Self> {
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

    pub(super) fn forget(&mut self, key: &I::Key) -> I::Sum {
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
    pub(super) fn collapse(&mut self) {
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
