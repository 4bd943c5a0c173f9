//! What is asked of a tree: each question goes into subtrees only where their summaries do not answer it.

use std::cmp::Ordering;

use riskflow_config::Limit;

use super::{Child, Node, place};
use crate::warning::monitor::series::ranks::Ranks;
use crate::warning::monitor::series::{Extent, Moments, Point};

impl Node {
    /// How many points there are.
    pub(in crate::warning::monitor::series) fn count(&self) -> usize {
        match self {
            Self::Leaf(points) => points.len(),
            Self::Inner(children) => children.iter().map(|child| child.extent.len as usize).sum(),
        }
    }

    /// The leaf that holds a position, and the position of its first point; an empty one beyond the end.
    pub(in crate::warning::monitor::series) fn leaf(&self, position: usize) -> (&[Point], usize) {
        let (mut node, mut start) = (self, 0);
        loop {
            match node {
                Self::Leaf(points) => return (points, start),
                Self::Inner(children) => {
                    let mut found = None;
                    for child in children {
                        let end = start + child.extent.len as usize;
                        if position < end {
                            found = Some(&child.node);
                            break;
                        }
                        start = end;
                    }
                    match found {
                        Some(child) => node = child,
                        None => return (&[], start),
                    }
                }
            }
        }
    }

    /// How many points are at or before a time.
    pub(in crate::warning::monitor::series) fn rank(&self, time: i64) -> usize {
        let (mut node, mut before) = (self, 0);
        loop {
            match node {
                Self::Leaf(points) => return before + points.partition_point(|point| point.time() <= time),
                Self::Inner(children) => {
                    let at = place(children, time);
                    let lens = children[..at].iter().map(|child| child.extent.len as usize);
                    before += lens.sum::<usize>();
                    node = &children[at].node;
                }
            }
        }
    }

    /// The summary of the points later than `after`, up to and including `until`.
    pub(in crate::warning::monitor::series) fn extent(&self, after: i64, until: i64, extent: &mut Extent) {
        match self {
            Self::Leaf(points) => {
                let end = points.partition_point(|point| point.time() <= until);
                let start = points[..end].partition_point(|point| point.time() <= after);
                points[start..end].iter().for_each(|point| extent.add(*point));
            }
            Self::Inner(children) => {
                for (child, inside) in within(children, after, until) {
                    if inside {
                        extent.join(&child.extent);
                    } else {
                        child.node.extent(after, until, extent);
                    }
                }
            }
        }
    }

    /// The moments of the points later than `after`, up to and including `until`, behind those of `moments`.
    pub(in crate::warning::monitor::series) fn moments(&self, after: i64, until: i64, moments: &mut Moments) {
        match self {
            Self::Leaf(points) => {
                let end = points.partition_point(|point| point.time() <= until);
                let start = points[..end].partition_point(|point| point.time() <= after);
                points[start..end].iter().for_each(|point| moments.add(*point));
            }
            Self::Inner(children) => {
                for (child, inside) in within(children, after, until) {
                    if inside {
                        moments.join(child.moments());
                    } else {
                        child.node.moments(after, until, moments);
                    }
                }
            }
        }
    }

    /// How the results of the points later than `after`, up to and including `until`, stand to a limit.
    pub(in crate::warning::monitor::series) fn ranks(
        &self,
        after: i64,
        until: i64,
        limit: Limit<'_>,
        ranks: &mut Ranks,
    ) {
        match self {
            Self::Leaf(points) => {
                let end = points.partition_point(|point| point.time() <= until);
                let start = points[..end].partition_point(|point| point.time() <= after);
                points[start..end].iter().for_each(|point| ranks.add(*point, limit));
            }
            Self::Inner(children) => {
                for (child, inside) in within(children, after, until) {
                    let extent = &child.extent;
                    if extent.count == 0 || limit.of_result(extent.least) == Ordering::Greater {
                        continue;
                    }
                    match inside {
                        true if limit.of_result(extent.most) == Ordering::Less => ranks.less += extent.count,
                        true => ranks.join(child.ranks(limit)),
                        false => child.node.ranks(after, until, limit, ranks),
                    }
                }
            }
        }
    }

    /// The last point up to and including a time for which `is` holds. It is looked for only where `fits` holds for the
    /// summary; `fits` must hold wherever there is such a point, and only there.
    pub(in crate::warning::monitor::series) fn find_last(
        &self,
        until: i64,
        fits: &impl Fn(&Extent) -> bool,
        is: &impl Fn(Point) -> bool,
    ) -> Option<Point> {
        match self {
            Self::Leaf(points) => {
                let end = points.partition_point(|point| point.time() <= until);
                points[..end].iter().rev().copied().find(|point| is(*point))
            }
            Self::Inner(children) => {
                let end = children.partition_point(|child| child.first <= until);
                let mut fitting = children[..end].iter().rev().filter(|child| fits(&child.extent));
                fitting.find_map(|child| child.node.find_last(until, fits, is))
            }
        }
    }

    /// The first point later than a time for which `is` holds, in the same way.
    pub(in crate::warning::monitor::series) fn find_first(
        &self,
        after: i64,
        fits: &impl Fn(&Extent) -> bool,
        is: &impl Fn(Point) -> bool,
    ) -> Option<Point> {
        match self {
            Self::Leaf(points) => {
                let start = points.partition_point(|point| point.time() <= after);
                points[start..].iter().copied().find(|point| is(*point))
            }
            Self::Inner(children) => {
                let start = place(children, after);
                let mut fitting = children[start..].iter().filter(|child| fits(&child.extent));
                fitting.find_map(|child| child.node.find_first(after, fits, is))
            }
        }
    }

    /// Every point, in the order of time.
    pub(in crate::warning::monitor::series) fn for_each(&self, each: &mut impl FnMut(Point)) {
        match self {
            Self::Leaf(points) => points.iter().for_each(|point| each(*point)),
            Self::Inner(children) => children.iter().for_each(|child| child.node.for_each(each)),
        }
    }
}

/// The children that may hold points later than `after`, up to and including `until`, and whether all of their points are such.
fn within(children: &[Child], after: i64, until: i64) -> impl Iterator<Item = (&Child, bool)> {
    let end = children.partition_point(|child| child.first <= until);
    let start = place(&children[..end], after);
    let between = children[..end].iter().enumerate().skip(start);
    // What lies before a sibling that begins in time lies in time as well.
    between.map(move |(at, child)| (child, child.first > after && at + 1 < end))
}
