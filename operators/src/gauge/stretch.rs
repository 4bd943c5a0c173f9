//! Stretches of time, and those in which a value became another one.

use serde::{Deserialize, Serialize};

/// The end of what has no end.
pub const OPEN: i64 = i64::MAX;

/// The beginning of what was always there.
pub const ALWAYS: i64 = i64::MIN;

/// All instants from `from` on and before `to`, in milliseconds. None if `from >= to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stretch {
    /// The first instant.
    pub from: i64,
    /// The first instant that is not in it any more; [`OPEN`]: it has no end.
    pub to: i64,
}

impl Stretch {
    /// From `from` on and before `to`.
    #[must_use]
    pub const fn new(from: i64, to: i64) -> Self {
        Self { from, to }
    }

    /// Whether no instant is in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.from >= self.to
    }

    /// Whether an instant is in it.
    #[must_use]
    pub const fn contains(self, at: i64) -> bool {
        self.from <= at && at < self.to
    }

    /// What of it is not before an instant.
    #[must_use]
    pub fn rest(self, from: i64) -> Self {
        Self {
            from: self.from.max(from),
            to: self.to,
        }
    }
}

/// Stretches in which a value may have become another one.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    stretches: Vec<Stretch>,
}

impl Changes {
    /// Adds a stretch, unless it is empty.
    pub fn add(&mut self, stretch: Stretch) {
        if stretch.is_empty() {
            return;
        }
        // What is changed again and again, or piece by piece, takes one place.
        match self.stretches.last_mut() {
            Some(last) if stretch.from <= last.to && last.from <= stretch.to => {
                last.from = last.from.min(stretch.from);
                last.to = last.to.max(stretch.to);
            }
            _ => self.stretches.push(stretch),
        }
    }

    /// Takes all stretches: in order, and none touches the next.
    pub fn take(&mut self) -> Vec<Stretch> {
        let mut stretches = std::mem::take(&mut self.stretches);
        stretches.sort_unstable();
        stretches.dedup_by(|next, one| {
            let touches = next.from <= one.to;
            if touches {
                one.to = one.to.max(next.to);
            }
            touches
        });
        stretches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_that_touch_are_one() {
        let mut changes = Changes::default();
        for (from, to) in [(5, 7), (0, 2), (2, 3), (9, 9), (12, 10), (6, 8), (20, OPEN), (30, 40)] {
            changes.add(Stretch::new(from, to));
        }
        let merged = [Stretch::new(0, 3), Stretch::new(5, 8), Stretch::new(20, OPEN)];
        assert_eq!(changes.take(), merged);
        assert!(changes.take().is_empty());
    }

    #[test]
    fn the_end_is_not_in_a_stretch() {
        let stretch = Stretch::new(3, 5);
        assert!(!stretch.contains(2) && stretch.contains(3) && stretch.contains(4) && !stretch.contains(5));
        assert!(Stretch::new(5, 5).is_empty() && Stretch::new(6, 5).is_empty() && !stretch.is_empty());
        assert_eq!(stretch.rest(4), Stretch::new(4, 5));
    }
}
