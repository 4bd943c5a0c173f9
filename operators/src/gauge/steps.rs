//! A number as a function of time: by how much it changes, and when.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::stretch::{ALWAYS, OPEN, Stretch};
use super::tree::{Item, Tree};

/// A number for every instant, made of the weights of spans.
///
/// # Invariants
///
/// The value at `s` is the sum of the weights of all stretches that contain `s`. An instant at which deltas cancel each other is not
/// held, nor is an open end: as many instants as are needed to tell the function.
///
/// Sums do not overflow: one change is at most `2^94` (64 bits of weight, 32 of times), and it takes more than `2^30` of them at once to
/// come near.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Steps {
    /// Nothing is known before. What changed until then is in `base`.
    floor: i64,
    base: i128,
    steps: Tree<Step>,
}

/// From an instant on the value is another one.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Step {
    at: i64,
    /// Of an `i128`, which would take eight bytes more for its alignment.
    delta: [u8; 16],
}

const _: () = assert!(size_of::<Step>() == 24);

impl Step {
    fn delta(&self) -> i128 {
        i128::from_le_bytes(self.delta)
    }
}

/// By how much some steps in a row change the value, and the least and greatest value after each of them, from where it stood before.
#[derive(Clone, Copy, Debug)]
struct Rise {
    total: i128,
    least: i128,
    most: i128,
}

/// Greater than any sum; twice of it still fits.
const BEYOND: i128 = 1 << 125;

impl Default for Rise {
    fn default() -> Self {
        Self {
            total: 0,
            least: BEYOND,
            most: -BEYOND,
        }
    }
}

impl Item for Step {
    type Key = i64;
    type Sum = Rise;

    fn key(&self) -> &i64 {
        &self.at
    }

    fn sum(&self) -> Rise {
        let total = self.delta();
        Rise {
            total,
            least: total,
            most: total,
        }
    }

    fn join(left: Rise, right: Rise) -> Rise {
        #[cfg(test)]
        tests::JOINS.set(tests::JOINS.get() + 1);
        Rise {
            total: left.total + right.total,
            least: left.least.min(left.total + right.least),
            most: left.most.max(left.total + right.most),
        }
    }
}

impl Default for Steps {
    fn default() -> Self {
        Self::known_from(ALWAYS)
    }
}

impl Steps {
    /// Zero for ever; nothing will be known before `floor`.
    #[must_use]
    pub fn known_from(floor: i64) -> Self {
        Self {
            floor,
            base: 0,
            steps: Tree::default(),
        }
    }

    /// The first instant that may be asked for.
    #[must_use]
    pub const fn floor(&self) -> i64 {
        self.floor
    }

    /// Whether it is zero at every instant that may be asked for.
    #[must_use]
    pub const fn is_zero(&self) -> bool {
        self.base == 0 && self.steps.is_empty()
    }

    /// Adds `weight`, so many times, at every instant of a stretch.
    pub fn add(&mut self, stretch: Stretch, weight: i64, times: i32) {
        let stretch = stretch.rest(self.floor);
        if stretch.is_empty() {
            return;
        }
        let delta = product(weight, times);
        self.edit(stretch.from, delta);
        if stretch.to != OPEN {
            self.edit(stretch.to, -delta);
        }
    }

    fn edit(&mut self, at: i64, delta: i128) {
        if at <= self.floor {
            self.base += delta;
            return;
        }
        self.steps.edit(&at, |step| {
            let delta = step.map_or(0, Step::delta) + delta;
            let delta = (delta != 0).then(|| delta.to_le_bytes());
            delta.map(|delta| Step { at, delta })
        });
    }

    /// The value at an instant from [`Steps::floor`] on.
    #[must_use]
    pub fn value(&self, at: i64) -> i128 {
        self.base + self.steps.up_to(&at).total
    }

    /// The first instant after one at which the value is another one than just before.
    #[must_use]
    pub fn next_change(&self, after: i64) -> Option<i64> {
        let step = self.steps.first_after(&after, |_, _| true, |_, _| true);
        step.map(|step| step.at)
    }

    /// The last instant up to and including one at which the value became another one.
    #[must_use]
    pub fn last_change(&self, up_to: i64) -> Option<i64> {
        let step = self.steps.last_up_to(&up_to, |_, _| true, |_, _| true);
        step.map(|step| step.at)
    }

    /// The last instant up to and including one at which the truth of `value >= bound` became another one.
    #[must_use]
    pub fn last_flip(&self, up_to: i64, bound: i128) -> Option<i64> {
        let is = self.value(up_to) >= bound;
        let other = if is {
            self.last_below(up_to, bound)
        } else {
            self.last_at_least(up_to, bound)
        };
        // Before the first step it is as it is at the floor.
        let other = other.or_else(|| ((self.base >= bound) != is).then_some(self.floor))?;
        if is {
            self.next_at_least(other, bound)
        } else {
            self.next_below(other, bound)
        }
    }

    /// The first change after an instant from which on the value is at least `bound`. If it was already, this is the first change
    /// after which it still is.
    #[must_use]
    pub fn next_at_least(&self, after: i64, bound: i128) -> Option<i64> {
        let base = self.base;
        let step = self.steps.first_after(
            &after,
            |before, node| base + before.total + node.most >= bound,
            |sum, _| base + sum.total >= bound,
        );
        step.map(|step| step.at)
    }

    /// The first change after an instant from which on the value is below `bound`, in the same way.
    #[must_use]
    pub fn next_below(&self, after: i64, bound: i128) -> Option<i64> {
        let base = self.base;
        let step = self.steps.first_after(
            &after,
            |before, node| base + before.total + node.least < bound,
            |sum, _| base + sum.total < bound,
        );
        step.map(|step| step.at)
    }

    /// The last change up to and including an instant from which on the value was at least `bound`.
    #[must_use]
    pub fn last_at_least(&self, up_to: i64, bound: i128) -> Option<i64> {
        let base = self.base;
        let step = self.steps.last_up_to(
            &up_to,
            |before, node| base + before.total + node.most >= bound,
            |sum, _| base + sum.total >= bound,
        );
        step.map(|step| step.at)
    }

    /// The last change up to and including an instant from which on the value was below `bound`.
    #[must_use]
    pub fn last_below(&self, up_to: i64, bound: i128) -> Option<i64> {
        let base = self.base;
        let step = self.steps.last_up_to(
            &up_to,
            |before, node| base + before.total + node.least < bound,
            |sum, _| base + sum.total < bound,
        );
        step.map(|step| step.at)
    }

    /// Where `value >= bound` became another truth by a change that was made, and by no other: the runs, in order, none touching the
    /// next. It became true if the change was upwards.
    ///
    /// Costs a descent for each crossing within the stretch, before or after, however many steps lie between.
    pub fn flips(&self, stretch: Stretch, weight: i64, times: i32, bound: i128, mut run: impl FnMut(Stretch)) {
        let delta = product(weight, times);
        // Exactly the values in low..high are on the other side of the bound than before.
        let other = bound.saturating_add(delta);
        let (low, high) = (bound.min(other), bound.max(other));
        let Stretch { from: mut at, to } = stretch.rest(self.floor);
        while at < to && low < high {
            let value = self.value(at);
            let next = if value < low {
                self.next_at_least(at, low)
            } else if value >= high {
                self.next_below(at, high)
            } else {
                let ends = [self.next_below(at, low), self.next_at_least(at, high)];
                let end = ends.into_iter().flatten().fold(to, i64::min);
                run(Stretch::new(at, end));
                Some(end)
            };
            at = next.unwrap_or(to);
        }
    }

    /// The pieces of a stretch in which `value >= bound` is `truth`, in order, none touching the next.
    pub fn pieces(&self, stretch: Stretch, bound: i128, truth: bool, mut piece: impl FnMut(Stretch)) {
        let Stretch { from: mut at, to } = stretch.rest(self.floor);
        while at < to {
            let is = self.value(at) >= bound;
            let next = if is {
                self.next_below(at, bound)
            } else {
                self.next_at_least(at, bound)
            };
            let end = next.map_or(to, |next| next.min(to));
            if is == truth {
                piece(Stretch::new(at, end));
            }
            at = end;
        }
    }

    /// Lets go of all changes before an instant: from there on the values stay as they are, and nothing before it may be asked.
    pub fn forget(&mut self, before: i64) {
        if before > self.floor {
            self.base += self.steps.forget(&before).total;
            self.floor = before;
        }
    }
}

/// So many times a weight. At most `2^94`.
fn product(weight: i64, times: i32) -> i128 {
    i128::from(weight) * i128::from(times)
}
