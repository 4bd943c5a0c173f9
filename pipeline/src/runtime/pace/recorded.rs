//! How many recorded epochs are under way at once.
//!
//! What was answered before is answered again, so nobody waits for a single one of them: workers that have several at hand go through
//! all operators once for all of these. How far the input was taken says how many records each has.

use std::collections::VecDeque;

use riskflow_model::progress::Offsets;

/// The most epochs. Some 2,500 small epochs of two processes took a third of the time that they took two at once.
const MOST: usize = 64;

/// The recorded epochs that were closed last.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    /// Up to where they took the input.
    taken: Offsets,
    /// How many records each has, at most [`MOST`] of them.
    records: VecDeque<u64>,
}

impl UnderWay {
    /// Whether one more may be closed that takes the input up to `bound`, while `under_way` are under way and may hold `most` records.
    pub(super) fn have_room(&self, under_way: usize, bound: &Offsets, most: u64) -> bool {
        let held: u64 = self.records.iter().rev().take(under_way).sum();
        under_way < MOST && held.saturating_add(self.records_up_to(bound)) <= most
    }

    /// Notes one that is closed.
    pub(super) fn note(&mut self, bound: &Offsets) {
        self.records.push_back(self.records_up_to(bound));
        if self.records.len() > MOST {
            self.records.pop_front();
        }
        self.taken.merge(bound);
    }

    /// Where a partition is met for the first time it is not known from where on: that counts as none.
    fn records_up_to(&self, bound: &Offsets) -> u64 {
        let since = |(topic, partition, next): (_, _, u64)| match self.taken.next(topic, partition) {
            0 => 0,
            taken => next.saturating_sub(taken),
        };
        bound.iter().map(since).sum()
    }
}

#[cfg(test)]
mod tests {
    use riskflow_model::topic::Topic;

    use super::*;

    fn up_to(partitions: [u64; 2]) -> Offsets {
        let mut offsets = Offsets::default();
        for (partition, next) in (0..).zip(partitions) {
            offsets.advance(Topic::IN_OBSERVATION, partition, next);
        }
        offsets
    }

    #[test]
    fn epochs_are_under_way_while_their_records_are_few() {
        let mut epochs = UnderWay::default();
        // Nobody knows where it began.
        assert!(epochs.have_room(0, &up_to([1_000, 5_000]), 100));
        epochs.note(&up_to([1_000, 5_000]));
        assert!(epochs.have_room(1, &up_to([1_060, 5_040]), 100));
        assert!(!epochs.have_room(1, &up_to([1_061, 5_040]), 100));
        epochs.note(&up_to([1_060, 5_000]));
        assert!(!epochs.have_room(2, &up_to([1_060, 5_041]), 100));
        // The one of 60 is done, or only it is under way.
        assert!(epochs.have_room(0, &up_to([1_060, 5_041]), 100));
        epochs.note(&up_to([1_060, 5_040]));
        assert!(epochs.have_room(1, &up_to([1_100, 5_060]), 100));
        assert!(!epochs.have_room(2, &up_to([1_100, 5_060]), 100));
    }

    #[test]
    fn there_are_never_more_than_so_many() {
        let mut epochs = UnderWay::default();
        for _ in 0..3 * MOST {
            epochs.note(&up_to([1, 1]));
        }
        assert_eq!(epochs.records.len(), MOST);
        assert!(epochs.have_room(MOST - 1, &up_to([1, 1]), 0));
        assert!(!epochs.have_room(MOST, &up_to([1, 1]), 0));
    }
}
