//! The union of spans, as runs that do not touch.

use serde::{Deserialize, Serialize};

use super::{Item, Steps, Stretch, Tree};

impl Item for Stretch {
    type Key = i64;
    type Sum = i128;

    fn key(&self) -> &i64 {
        &self.from
    }

    fn sum(&self) -> i128 {
        i128::from(self.to) - i128::from(self.from)
    }

    fn join(left: i128, right: i128) -> i128 {
        left + right
    }
}

/// Where there is any span.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Runs {
    count: Steps,
    runs: Tree<Stretch>,
}

impl Runs {
    /// How many spans contain an instant.
    pub(super) const fn count(&self) -> &Steps {
        &self.count
    }

    /// Changes the count by a span that comes or goes. Gives the stretches that [`Runs::put`] or [`Runs::cut`] must get next.
    pub(super) fn change(&mut self, stretch: Stretch, times: i32) -> Vec<Stretch> {
        let mut flips = Vec::new();
        self.count.add(stretch, 1, times);
        self.count.flips(stretch, 1, times, 1, |flip| flips.push(flip));
        flips
    }

    /// A stretch without any span has one now. It is joined with the runs that it touches.
    pub(super) fn put(&mut self, stretch: Stretch) {
        let mut run = stretch;
        if let Some(left) = self.last(run.from).filter(|left| left.to == run.from) {
            run.from = left.from;
        }
        if let Some(right) = self.last(run.to).filter(|right| right.from == run.to) {
            self.runs.edit(&right.from, |_| None);
            run.to = right.to;
        }
        self.runs.edit(&run.from, |_| Some(run));
    }

    /// A stretch of one run has no span any more.
    pub(super) fn cut(&mut self, stretch: Stretch) {
        let Some(run) = self.last(stretch.from) else {
            return;
        };
        let left = Stretch::new(run.from, stretch.from);
        self.runs.edit(&run.from, |_| (!left.is_empty()).then_some(left));
        let right = Stretch::new(stretch.to, run.to);
        if !right.is_empty() {
            self.runs.edit(&right.from, |_| Some(right));
        }
    }

    /// The last run that begins at or before an instant.
    pub(super) fn last(&self, up_to: i64) -> Option<Stretch> {
        self.runs.last_up_to(&up_to, |_, _| true, |_, _| true).copied()
    }

    /// The last run that begins before an instant.
    pub(super) fn before(&self, at: i64) -> Option<Stretch> {
        self.last(at.checked_sub(1)?)
    }

    /// The first instant from one on that is in a run.
    pub(super) fn reached(&self, from: i64) -> Option<i64> {
        if self.last(from).is_some_and(|run| run.contains(from)) {
            return Some(from);
        }
        let next = self.runs.first_after(&from, |_, _| true, |_, _| true);
        next.map(|run| run.from)
    }

    /// How many milliseconds before an instant are in a run that is held.
    pub(super) fn length_before(&self, at: i64) -> i128 {
        let beyond = self.last(at).map_or(0, |last| i128::from(last.to) - i128::from(at));
        self.runs.up_to(&at) - beyond.max(0)
    }

    /// Whether no span is held.
    pub(super) const fn is_empty(&self) -> bool {
        self.count.is_zero() && self.runs.is_empty()
    }

    /// Lets go of the counts before an instant, and of all runs that begin before it but the last one: this one is kept, over or not.
    pub(super) fn forget(&mut self, before: i64) {
        self.count.forget(before);
        if let Some(kept) = self.before(before) {
            self.clear_before(kept.from);
        }
    }

    /// Lets go of all runs that begin before an instant.
    pub(super) fn clear_before(&mut self, at: i64) {
        if let Some(last) = at.checked_sub(1) {
            self.runs.forget(&last);
        }
    }
}
