//! Records of a history that were read before their time: they wait until those before them in time were read, too, so that a file
//! that is not quite in order is taken as one that is.
//!
//! A file is read ahead of the earliest of its records that wait, by so much time: where none stands further behind a later one than
//! that, all are taken in the order of their times, and the epochs are those of a sorted file. One that stands further back is taken
//! when it is read, as late data, and counted. How many wait is bounded, too; then no further is read until some were taken.
//!
//! Records wait decoded. Those that come in order go through a queue, and only the others through a heap: a sorted file costs hardly
//! more than without.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use riskflow_config::{Disorder, InputRecord};

use super::Partition;
use crate::runtime::output::Output;

/// A record that waits.
#[derive(Debug)]
pub(super) struct Kept {
    /// When it is taken.
    pub(super) arrival: i64,
    pub(super) offset: u64,
    /// Of its payload.
    pub(super) bytes: usize,
    /// It, or its dead letter.
    pub(super) record: Result<InputRecord, Output>,
}

impl Kept {
    const fn place(&self) -> (i64, u64) {
        (self.arrival, self.offset)
    }
}

/// By arrival, then as they stand in the file.
impl Ord for Kept {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}

impl PartialOrd for Kept {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for Kept {}

/// What waits of one partition.
#[derive(Debug)]
struct Lane {
    /// What came in order.
    queue: VecDeque<Kept>,
    /// What came behind a later one.
    behind: BinaryHeap<Reverse<Kept>>,
    /// The latest arrival that was read.
    latest: i64,
    /// That of the record read last.
    last: i64,
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            behind: BinaryHeap::new(),
            latest: i64::MIN,
            last: i64::MIN,
        }
    }
}

impl Lane {
    fn len(&self) -> usize {
        self.queue.len() + self.behind.len()
    }

    /// The earliest arrival of those that wait.
    fn earliest(&self) -> Option<i64> {
        let queue = self.queue.front().map(|kept| kept.arrival);
        let behind = self.behind.peek().map(|Reverse(kept)| kept.arrival);
        queue.into_iter().chain(behind).min()
    }

    fn read(&mut self, arrival: i64) {
        self.latest = self.latest.max(arrival);
        self.last = arrival;
    }

    fn push(&mut self, kept: Kept) {
        if self.queue.back().is_none_or(|last| last.arrival <= kept.arrival) {
            self.queue.push_back(kept);
        } else {
            self.behind.push(Reverse(kept));
        }
    }

    /// The earliest that waits, if its time has come.
    fn pop(&mut self, now: i64) -> Option<Kept> {
        let (queue, behind) = (self.queue.front(), self.behind.peek());
        let from_queue = match (queue, behind) {
            (Some(queue), Some(Reverse(behind))) => queue <= behind,
            (queue, None) => queue.is_some(),
            (None, Some(_)) => false,
        };
        if from_queue {
            return self.queue.pop_front_if(|kept| kept.arrival <= now);
        }
        if behind.is_some_and(|Reverse(kept)| kept.arrival <= now) {
            return self.behind.pop().map(|Reverse(kept)| kept);
        }
        None
    }
}

/// Records that were read when their epoch was over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disordered {
    /// How many.
    pub records: u64,
    /// Of these, those that would have been taken in order, had no more waited than may.
    pub crowded: u64,
    /// How far behind a later record one of them stood, at most, in milliseconds.
    pub furthest: i64,
}

/// What waits of all partitions of a worker.
#[derive(Debug)]
pub(super) struct Ahead {
    bound: Disorder,
    lanes: BTreeMap<Partition, Lane>,
    /// The length of an epoch, in milliseconds.
    tick: i64,
    disordered: Disordered,
}

impl Ahead {
    pub(super) const fn new(bound: Disorder, tick: i64) -> Self {
        Self {
            bound,
            lanes: BTreeMap::new(),
            tick,
            disordered: Disordered {
                records: 0,
                crowded: 0,
                furthest: 0,
            },
        }
    }

    /// Keeps a record whose time has not come. Otherwise it stays in its file: it is too far ahead, or too many wait.
    pub(super) fn keep(&mut self, partition: Partition, arrival: i64, kept: impl FnOnce() -> Kept) -> bool {
        let lane = self.lanes.entry(partition).or_default();
        let too_far = |earliest: i64| arrival > earliest.saturating_add(self.bound.within);
        if lane.len() >= self.bound.most || lane.earliest().is_some_and(too_far) {
            return false;
        }
        lane.read(arrival);
        lane.push(kept());
        true
    }

    /// A record was read whose time has come, and is taken at `now`.
    pub(super) fn note_taken(&mut self, partition: Partition, arrival: i64, now: i64) {
        let lane = self.lanes.entry(partition).or_default();
        lane.read(arrival);
        // The epoch that it would have been of.
        let own = arrival + (-arrival).rem_euclid(self.tick);
        if own < now {
            let behind = lane.latest - arrival;
            self.disordered.records += 1;
            self.disordered.crowded += u64::from(behind <= self.bound.within);
            self.disordered.furthest = self.disordered.furthest.max(behind);
        }
    }

    /// Where records of a partition wait, the arrival of the one read last: one that cannot be read arrives with it.
    pub(super) fn waits(&self, partition: Partition) -> Option<i64> {
        let lane = self.lanes.get(&partition)?;
        (lane.len() > 0).then_some(lane.last)
    }

    /// The partitions of which a record waits whose time has come.
    pub(super) fn due(&self, now: i64) -> Vec<Partition> {
        let is_due = |lane: &Lane| lane.earliest().is_some_and(|earliest| earliest <= now);
        let due = self.lanes.iter().filter(|(_, lane)| is_due(lane));
        due.map(|(partition, _)| *partition).collect()
    }

    /// Takes out the earliest record of a partition, if its time has come.
    pub(super) fn pop(&mut self, partition: Partition, now: i64) -> Option<Kept> {
        self.lanes.get_mut(&partition)?.pop(now)
    }

    /// The earliest arrival of all that wait.
    pub(super) fn earliest(&self) -> Option<i64> {
        self.lanes.values().filter_map(Lane::earliest).min()
    }

    /// What was found since it was last asked for.
    pub(super) fn disordered(&mut self) -> Disordered {
        std::mem::take(&mut self.disordered)
    }
}

#[cfg(test)]
mod tests {
    use riskflow_model::output::DeadLetter;
    use riskflow_model::topic::Topic;

    use super::*;

    const PARTITION: Partition = (Topic::IN_OBSERVATION, 0);

    /// What a file with records of these times gives, epoch by epoch, each as long as 10; and what stood too far back. It is read as a
    /// source is read: what is not kept stays, and what follows it.
    fn taken(times: &[i64], within: i64, most: usize) -> (Vec<Vec<i64>>, Disordered) {
        let mut ahead = Ahead::new(Disorder { within, most }, 10);
        let (mut next, mut epochs) = (0, Vec::new());
        let mut now = i64::MIN;
        loop {
            let (mut epoch, mut front) = (Vec::new(), None);
            while let Some(kept) = ahead.pop(PARTITION, now) {
                epoch.push(kept.arrival);
            }
            while let Some(time) = times.get(next).copied() {
                if time <= now {
                    ahead.note_taken(PARTITION, time, now);
                    epoch.push(time);
                } else if !ahead.keep(PARTITION, time, || kept(time, next as u64)) {
                    front = Some(time);
                    break;
                }
                next += 1;
            }
            if now > i64::MIN {
                epoch.sort_unstable();
                epochs.push(epoch);
            }
            let Some(first) = front.into_iter().chain(ahead.earliest()).min() else {
                return (epochs, ahead.disordered());
            };
            now = first + (-first).rem_euclid(10);
        }
    }

    fn kept(arrival: i64, offset: u64) -> Kept {
        let letter = DeadLetter::new(
            (riskflow_model::output::Reason::Malformed, ""),
            (Topic::IN_OBSERVATION, 0, offset),
            "",
            riskflow_model::output::PayloadEncoding::Decoded,
        );
        Kept {
            arrival,
            offset,
            bytes: 0,
            record: Err(Output::Row(riskflow_model::OutputRow::new(letter))),
        }
    }

    #[test]
    fn what_stands_within_the_bound_is_taken_as_if_it_were_sorted() {
        let shuffled = [31, 12, 40, 11, 25, 39, 71, 44, 60, 41, 99, 70];
        let mut sorted = shuffled;
        sorted.sort_unstable();
        let (of_sorted, none) = taken(&sorted, 30, 100);
        assert_eq!(none, Disordered::default());
        assert_eq!(taken(&shuffled, 30, 100), (of_sorted.clone(), none));
        // Without any bound the same are taken, some of them late.
        let (epochs, disordered) = taken(&shuffled, 0, 100);
        assert_ne!(epochs, of_sorted);
        let late = Disordered {
            records: 3,
            crowded: 0,
            furthest: 29,
        };
        assert_eq!(disordered, late);
        let mut all = epochs.concat();
        all.sort_unstable();
        assert_eq!(all, sorted);
    }

    #[test]
    fn what_stands_further_back_is_late_and_counted() {
        let (epochs, disordered) = taken(&[100, 105, 200, 95, 300], 50, 100);
        // 200 is too far ahead of 100 and 105 to be read before they are taken; behind it comes 95, when its epoch is over.
        assert_eq!(epochs, [vec![100], vec![95, 105], vec![200], vec![300]]);
        let late = Disordered {
            records: 1,
            crowded: 0,
            furthest: 105,
        };
        assert_eq!(disordered, late);
    }

    #[test]
    fn no_more_wait_than_may_and_who_is_late_for_that_is_told() {
        let times = [100, 120, 140, 160, 180, 101];
        assert_eq!(taken(&times, 1_000, 100).1, Disordered::default());
        let (epochs, disordered) = taken(&times, 1_000, 2);
        assert_eq!(epochs.concat().len(), times.len());
        let late = Disordered {
            records: 1,
            crowded: 1,
            furthest: 79,
        };
        assert_eq!(disordered, late);
    }
}
