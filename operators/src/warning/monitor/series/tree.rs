//! A B+ tree of points by time, with a summary of each subtree.
//!
//! ```text
//!   Inner [ first, extent ─► Inner [ first, extent ─► Leaf [point …], … ], … ]
//! ```
//!
//! Up to [`LEAF`] points the tree is one leaf, so a short series is a plain vector. What is appended, or put in front, leaves
//! full leaves behind: a series in either order takes little more than its points.

mod reading;

use std::cell::{OnceCell, RefCell};

use riskflow_config::Limit;
use thin_vec::{ThinVec, thin_vec};

use super::ranks::{Asked, Ranks};
use super::{Extent, Moments, Point};

/// The most points of a leaf, and the most children of an inner node. Unit tests reach every split with few points.
pub(super) const LEAF: usize = if cfg!(test) { 8 } else { 128 };
const FAN: usize = if cfg!(test) { 4 } else { 32 };

/// A subtree. As small as a vector: most series are short, and have no inner node.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Leaf(Vec<Point>),
    Inner(ThinVec<Child>),
}

const _: () = assert!(size_of::<Node>() == size_of::<Vec<Point>>());

/// A subtree that is not empty, and what can be told of it from outside. One line of the cache.
#[derive(Clone, Debug)]
pub(super) struct Child {
    /// The time of its first point.
    first: i64,
    extent: Extent,
    node: Node,
    /// Found when it is asked for: few rules need it.
    sought: OnceCell<Box<Sought>>,
}

/// What else is known of a subtree, until a point of it changes.
#[derive(Clone, Debug, Default)]
struct Sought {
    moments: OnceCell<Box<Moments>>,
    ranks: RefCell<Asked>,
}

impl Child {
    fn of(node: Node) -> Self {
        let mut child = Self {
            first: i64::MAX,
            extent: Extent::default(),
            node,
            sought: OnceCell::new(),
        };
        child.measure();
        child
    }

    fn sought(&self) -> &Sought {
        self.sought.get_or_init(Box::default)
    }

    fn moments(&self) -> &Moments {
        self.sought().moments.get_or_init(|| {
            let mut moments = Moments::default();
            self.node.moments(i64::MIN, i64::MAX, &mut moments);
            Box::new(moments)
        })
    }

    fn ranks(&self, limit: Limit<'_>) -> Ranks {
        let asked = self.sought().ranks.borrow().get(limit);
        asked.unwrap_or_else(|| {
            let mut ranks = Ranks::default();
            self.node.ranks(i64::MIN, i64::MAX, limit, &mut ranks);
            self.sought().ranks.borrow_mut().put(limit, ranks);
            ranks
        })
    }

    fn measure(&mut self) {
        self.sought.take();
        self.extent = self.node.whole();
        self.first = match &self.node {
            Node::Leaf(points) => points.first().map_or(i64::MAX, |point| point.time()),
            Node::Inner(children) => children.first().map_or(i64::MAX, |child| child.first),
        };
    }
}

/// The child in which a time has its place.
fn place(children: &[Child], time: i64) -> usize {
    children.partition_point(|child| child.first <= time).saturating_sub(1)
}

/// By how much a buffer grows. Small steps: half-filled buffers would cost more than to move them now and then.
fn step(len: usize, most: usize) -> usize {
    len.clamp(4, 16).min(most.saturating_sub(len).max(1))
}

fn grow(points: &mut Vec<Point>) {
    if points.len() == points.capacity() {
        points.reserve_exact(step(points.len(), LEAF));
    }
}

impl Node {
    /// From points in the order of time.
    pub(super) fn build(points: Vec<Point>) -> Self {
        if points.len() <= LEAF {
            return Self::Leaf(points);
        }
        let mut nodes: Vec<Self> = points.chunks(LEAF).map(|leaf| Self::Leaf(leaf.to_vec())).collect();
        while nodes.len() > 1 {
            let mut rest = nodes.into_iter().map(Child::of).peekable();
            nodes = Vec::new();
            while rest.peek().is_some() {
                nodes.push(Self::Inner(rest.by_ref().take(FAN).collect()));
            }
        }
        nodes.pop().expect("there are points, so there is a node")
    }

    fn len(&self) -> usize {
        match self {
            Self::Leaf(points) => points.len(),
            Self::Inner(children) => children.len(),
        }
    }

    /// The summary of all points.
    pub(super) fn whole(&self) -> Extent {
        let mut extent = Extent::default();
        match self {
            Self::Leaf(points) => points.iter().for_each(|point| extent.add(*point)),
            Self::Inner(children) => children.iter().for_each(|child| extent.join(&child.extent)),
        }
        extent
    }

    /// Puts a point behind all others of a short series, which nearly all observations do. `false` where that is not all.
    pub(super) fn append(&mut self, point: Point) -> bool {
        let Self::Leaf(points) = self else { return false };
        let fits = points.len() < LEAF && points.last().is_none_or(|last| last.time() < point.time());
        if fits {
            grow(points);
            points.push(point);
        }
        fits
    }

    /// Puts the point of a time, or takes it away (`None`). Gives what was there.
    pub(super) fn put(&mut self, time: i64, point: Option<Point>) -> Option<Point> {
        let (before, right) = self.edit(time, point);
        if let Some(right) = right {
            let left = std::mem::replace(self, Self::Leaf(Vec::new()));
            *self = Self::Inner(thin_vec![Child::of(left), Child::of(right)]);
        }
        self.collapse();
        before
    }

    /// A root with one child gives way to it.
    fn collapse(&mut self) {
        while let Self::Inner(children) = self {
            match children.len() {
                0 => *self = Self::Leaf(Vec::new()),
                1 => {
                    let child = children.pop().expect("there is one");
                    *self = child.node;
                }
                _ => break,
            }
        }
    }

    /// Gives what was there, and the right part of this node where it was divided.
    fn edit(&mut self, time: i64, point: Option<Point>) -> (Option<Point>, Option<Self>) {
        let children = match self {
            Self::Leaf(points) => return edit_leaf(points, time, point),
            Self::Inner(children) => children,
        };
        let at = place(children, time);
        let child = &mut children[at];
        child.sought.take();
        let (before, right) = child.node.edit(time, point);
        match (before, point, &right) {
            (None, Some(point), None) => {
                child.extent.add(point);
                child.first = child.first.min(time);
            }
            (None, None, _) => {}
            _ => child.measure(),
        }
        if before.is_some() && point.is_none() {
            tidy(children, at);
        }
        (
            before,
            right.and_then(|right| insert(children, at + 1, Child::of(right))),
        )
    }

    /// Lets go of the first points.
    pub(super) fn drop_first(&mut self, count: usize) {
        self.cut_first(count);
        self.collapse();
    }

    fn cut_first(&mut self, mut count: usize) {
        match self {
            Self::Leaf(points) => {
                points.drain(..count);
            }
            Self::Inner(children) => {
                let mut gone = 0;
                while let Some(child) = children.get(gone).filter(|child| child.extent.len as usize <= count) {
                    count -= child.extent.len as usize;
                    gone += 1;
                }
                children.drain(..gone);
                if let Some(child) = children.first_mut().filter(|_| count > 0) {
                    child.node.cut_first(count);
                    child.measure();
                }
            }
        }
    }

    /// Gives memory back that is not needed any more.
    pub(super) fn shrink(&mut self) {
        if let Self::Leaf(points) = self
            && points.capacity() > 4 * points.len().max(16)
        {
            points.shrink_to_fit();
        }
    }
}

fn edit_leaf(points: &mut Vec<Point>, time: i64, point: Option<Point>) -> (Option<Point>, Option<Node>) {
    let position = match points.last() {
        Some(last) if last.time() < time => Err(points.len()),
        None => Err(0),
        _ => points.binary_search_by_key(&time, |point| point.time()),
    };
    match (position, point) {
        (Ok(at), Some(point)) => (Some(std::mem::replace(&mut points[at], point)), None),
        (Ok(at), None) => (Some(points.remove(at)), None),
        (Err(at), Some(point)) if points.len() == LEAF => {
            // At either end the leaf stays full.
            let cut = if at == 0 || at == LEAF { at } else { LEAF / 2 };
            let mut right = Vec::with_capacity(if cut == LEAF { 4 } else { LEAF - cut + 1 });
            right.extend_from_slice(&points[cut..]);
            points.truncate(cut);
            if at > cut || cut == LEAF {
                right.insert(at - cut, point);
            } else {
                points.insert(at, point);
            }
            points.shrink_to_fit();
            (None, Some(Node::Leaf(right)))
        }
        (Err(at), Some(point)) => {
            grow(points);
            points.insert(at, point);
            (None, None)
        }
        (Err(_), None) => (None, None),
    }
}

/// Puts a child in; gives the right part where the children had to be divided.
fn insert(children: &mut ThinVec<Child>, at: usize, child: Child) -> Option<Node> {
    if children.len() < FAN {
        if children.len() == children.capacity() {
            children.reserve_exact(step(children.len(), FAN));
        }
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

/// Something was taken away from a child: one that is empty goes, a small one is put together with a neighbour that has room.
fn tidy(children: &mut ThinVec<Child>, at: usize) {
    let len = children[at].node.len();
    if len == 0 {
        children.remove(at);
        return;
    }
    let most = match children[at].node {
        Node::Leaf(_) => LEAF,
        Node::Inner(_) => FAN,
    };
    if len >= most / 4 || children.len() == 1 {
        return;
    }
    let left = at.min(children.len() - 2);
    if children[left].node.len() + children[left + 1].node.len() > most * 3 / 4 {
        return;
    }
    let right = children.remove(left + 1);
    match (&mut children[left].node, right.node) {
        (Node::Leaf(points), Node::Leaf(more)) => points.extend(more),
        (Node::Inner(children), Node::Inner(more)) => children.extend(more),
        _ => unreachable!("siblings are alike"),
    }
    children[left].measure();
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use riskflow_model::observation::{Quality, Reading};

    use super::*;

    fn point(time: i64, result: f64, quality: Quality) -> Point {
        Point::new(time, Reading { result, quality })
    }

    /// Every summary is that of the points below, every child begins where it says, no node is empty or too large.
    fn sound(node: &Node, root: bool) {
        assert!(node.len() <= if matches!(node, Node::Leaf(_)) { LEAF } else { FAN });
        assert!(root || node.len() > 0);
        if let Node::Inner(children) = node {
            assert!(children.len() > 1 || !root, "a root with one child gives way to it");
            for child in children {
                sound(&child.node, false);
                let mut points = Vec::new();
                child.node.for_each(&mut |point| points.push(point));
                assert_eq!(child.first, points[0].time());
                let mut extent = Extent::default();
                points.iter().for_each(|point| extent.add(*point));
                assert_eq!(child.extent, extent);
            }
        }
    }

    fn equal(node: &Node, held: &BTreeMap<i64, Point>) {
        let mut points = Vec::new();
        node.for_each(&mut |point| points.push(point));
        assert_eq!(points, held.values().copied().collect::<Vec<_>>());
        assert_eq!(node.count(), held.len());
        sound(node, true);
    }

    /// All questions about a stretch, answered by looking at every point.
    fn answers(node: &Node, held: &BTreeMap<i64, Point>, after: i64, until: i64) {
        let mut found = Extent::default();
        node.extent(after, until, &mut found);
        let mut expected = Extent::default();
        let within = held
            .values()
            .filter(|point| point.time() > after && point.time() <= until);
        within.for_each(|point| expected.add(*point));
        assert_eq!(found, expected, "({after}, {until}]");
        assert_eq!(node.rank(until), held.range(..=until).count());
        let high = |extent: &Extent| extent.most >= 5.0;
        let is = |point: Point| point.counts() && point.result >= 5.0;
        let last = held
            .range(..=until)
            .rev()
            .map(|(_, point)| *point)
            .find(|point| is(*point));
        assert_eq!(node.find_last(until, &high, &is), last);
        let first = held
            .range(after + 1..)
            .map(|(_, point)| *point)
            .find(|point| is(*point));
        assert_eq!(node.find_first(after, &high, &is), first);
        for position in [0, held.len() / 3, held.len().saturating_sub(1)] {
            let (leaf, start) = node.leaf(position);
            assert_eq!(leaf.get(position - start), held.values().nth(position));
        }
        let (beyond, start) = node.leaf(held.len());
        assert_eq!(beyond.get(held.len() - start), None);
    }

    proptest! {
        #[test]
        fn a_tree_says_what_a_map_of_the_same_points_says(
            edits in prop::collection::vec((0..300i64, prop::option::weighted(0.7, (0..10u8, 0..4u8))), 0..600),
            dropped in 0..60usize,
            (after, until) in (-5..300i64, -5..305i64),
        ) {
            let mut node = Node::Leaf(Vec::new());
            let mut held = BTreeMap::new();
            for (time, edit) in edits {
                let quality = [Quality::Good, Quality::Bad, Quality::Suspect, Quality::Estimated];
                let edit = edit.map(|(result, q)| point(time, f64::from(result), quality[usize::from(q)]));
                let before = match edit {
                    Some(point) => held.insert(time, point),
                    None => held.remove(&time),
                };
                prop_assert_eq!(node.put(time, edit), before);
            }
            equal(&node, &held);
            answers(&node, &held, after, until);
            let all: Vec<Point> = held.values().copied().collect();
            equal(&Node::build(all), &held);
            let dropped = dropped.min(held.len());
            node.drop_first(dropped);
            held = held.into_iter().skip(dropped).collect();
            equal(&node, &held);
            answers(&node, &held, after, until);
        }
    }

    #[test]
    fn either_order_leaves_full_leaves() {
        for reversed in [false, true] {
            let mut node = Node::Leaf(Vec::new());
            let mut held = BTreeMap::new();
            for i in 0..1000 {
                let time = if reversed { -i } else { i };
                held.insert(time, point(time, 1.0, Quality::Good));
                node.put(time, Some(held[&time]));
            }
            equal(&node, &held);
            let mut leaves = 0;
            let mut position = 0;
            while position < 1000 {
                let (leaf, start) = node.leaf(position);
                leaves += 1;
                position = start + leaf.len();
            }
            assert!(leaves <= 1000 / LEAF + 1, "{leaves} leaves, reversed {reversed}");
        }
    }
}
