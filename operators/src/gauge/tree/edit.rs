//! Putting items in and taking them away, one way down the tree.

use super::{Child, FAN, Item, LEAF, Node, place};

/// Which ends of the tree a node stands at: there it stays full where it is divided, for what comes in order comes there.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    first: bool,
    last: bool,
}

impl Ends {
    /// Of the root.
    pub(super) const BOTH: Self = Self {
        first: true,
        last: true,
    };
}

impl<I: Item> Node<I> {
    /// Gives the right part of this node where it was divided.
    pub(super) fn edit(
        &mut self,
        key: &I::Key,
        ends: Ends,
        change: impl FnOnce(Option<&I>) -> Option<I>,
    ) -> Option<Self> {
        let children = match self {
            Self::Leaf(items) => return edit_leaf(items, key, ends, change),
            Self::Inner(children) => children,
        };
        let at = place(children, key);
        let below = Ends {
            first: ends.first && at == 0,
            last: ends.last && at + 1 == children.len(),
        };
        let right = children[at].node.edit(key, below, change);
        children[at].measure();
        match right.and_then(Child::of) {
            Some(right) => insert(children, at + 1, ends, right),
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
    ends: Ends,
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
    let cut = match at {
        0 if ends.first => 0,
        LEAF if ends.last => LEAF,
        _ => LEAF / 2,
    };
    let mut right = items.split_off(cut);
    if at > cut || cut == LEAF {
        right.insert(at - cut, item);
    } else {
        items.insert(at, item);
    }
    Some(Node::Leaf(right))
}

/// Puts a child in; gives the right part where the children had to be divided.
fn insert<I: Item>(children: &mut Vec<Child<I>>, at: usize, ends: Ends, child: Child<I>) -> Option<Node<I>> {
    if children.len() < FAN {
        children.insert(at, child);
        return None;
    }
    let cut = match at {
        // It was the first child that was divided.
        1 if ends.first => 1,
        FAN if ends.last => FAN,
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
    let fits = |left: &usize| {
        let pair = children.get(*left).zip(children.get(left + 1));
        pair.is_some_and(|(one, next)| one.node.fill().0 + next.node.fill().0 <= most * 3 / 4)
    };
    let lefts = [Some(at), at.checked_sub(1)];
    let Some(left) = lefts.into_iter().flatten().find(fits) else {
        return;
    };
    let right = children.remove(left + 1);
    match (&mut children[left].node, right.node) {
        (Node::Leaf(items), Node::Leaf(more)) => items.extend(more),
        (Node::Inner(children), Node::Inner(more)) => children.extend(more),
        _ => unreachable!("siblings are alike"),
    }
    children[left].measure();
}
