//! When slots asked to be woken.
//!
//! A calendar queue (Brown 1988): what is due within one second lies in a heap, what comes later in a list for each second, without
//! order. Most alarms are put off by the next record before they are due. So most are never put in order, and the heap is small
//! enough for the nearest caches.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use riskflow_model::Millis;

/// When, and which slot.
type Alarm = (Millis, u32);

/// Alarms in the order of their times, and of slots among equals.
#[derive(Debug)]
pub(super) struct Alarms {
    /// Up to and including this day of the calendar.
    near: BinaryHeap<Reverse<Alarm>>,
    until: i64,
    /// By the days that follow.
    far: BTreeMap<i64, Vec<Alarm>>,
}

/// A day of the calendar, in milliseconds: about a second.
const DAY: i64 = 1 << 10;

const fn day(due: Millis) -> i64 {
    due.0.div_euclid(DAY)
}

impl Default for Alarms {
    fn default() -> Self {
        Self {
            near: BinaryHeap::new(),
            until: i64::MIN,
            far: BTreeMap::new(),
        }
    }
}

impl Alarms {
    pub(super) fn push(&mut self, due: Millis, slot: u32) {
        if day(due) <= self.until {
            self.near.push(Reverse((due, slot)));
        } else {
            self.far.entry(day(due)).or_default().push((due, slot));
        }
    }

    /// The first of those that are in force; the others before it are let go.
    pub(super) fn first(&mut self, is_in_force: impl Fn(Alarm) -> bool) -> Option<Alarm> {
        loop {
            while let Some(Reverse(first)) = self.near.peek() {
                if is_in_force(*first) {
                    return Some(*first);
                }
                self.near.pop();
            }
            let (day, mut alarms) = self.far.pop_first()?;
            alarms.retain(|alarm| is_in_force(*alarm));
            self.near = alarms.into_iter().map(Reverse).collect();
            self.until = day;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn alarms_come_in_the_order_of_their_times(asked in prop::collection::vec((0..20i64, -5_000..20_000i64, 0..9u32), 1..200)) {
            let mut alarms = Alarms::default();
            let mut wakes = [None; 9];
            let mut now = Millis(0);
            for (passed, ahead, slot) in asked {
                // As a fold does: a slot has one time, and asks again when that changes.
                let due = now.max(Millis(now.0 + ahead));
                if wakes[slot as usize] != Some(due) {
                    wakes[slot as usize] = Some(due);
                    alarms.push(due, slot);
                }
                now = Millis(now.0 + passed * passed);
                let mut rung = Vec::new();
                while let Some((due, slot)) = alarms.first(|(due, slot)| wakes[slot as usize] == Some(due)) {
                    if due > now {
                        break;
                    }
                    wakes[slot as usize] = None;
                    rung.push((due, slot));
                }
                prop_assert!(rung.is_sorted());
                prop_assert!(wakes.iter().flatten().all(|due| *due > now), "none is forgotten");
                let slots = (0u32..).zip(wakes);
                let next = slots.filter_map(|(slot, due)| Some((due?, slot))).min();
                prop_assert_eq!(alarms.first(|(due, slot)| wakes[slot as usize] == Some(due)), next);
            }
        }
    }
}
