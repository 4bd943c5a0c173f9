//! Records on their way to a fold: written once by whoever finds them, and read where they lie.
//!
//! Records are many and large. Passed on one by one each would be copied for the worker of its key, into the queue of its
//! epoch, and again to put that in order. So they go in batches, each for one worker; the queue is a list of batches, and its
//! order a list of runs: batches come partition by partition, so whole runs follow on one another.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use riskflow_model::output::Origin;
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

use super::{Fold, SHARDS};
use crate::engine::Turn;

/// The most records in a batch; a power of two.
const BATCH: usize = 4_096;

/// Records for one worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Batch<R> {
    worker: u64,
    records: Vec<R>,
}

impl<R> Batch<R> {
    /// The worker that they are for.
    pub(super) const fn worker(&self) -> u64 {
        self.worker
    }
}

/// Gathers records in batches.
pub struct Batches<F: Fold> {
    /// For each worker; and how many were in the batch before.
    open: Vec<(Vec<F::Record>, usize)>,
    full: Vec<Batch<F::Record>>,
}

impl<F: Fold> Batches<F> {
    /// None yet, for so many workers.
    #[must_use]
    pub fn new(peers: usize) -> Self {
        Self {
            open: std::iter::repeat_with(|| (Vec::new(), 0)).take(peers).collect(),
            full: Vec::new(),
        }
    }

    /// Adds a record.
    pub fn push(&mut self, record: F::Record) {
        let worker = if self.open.len() > 1 {
            let shard = F::route(&F::place(&record).0) % SHARDS;
            shard as usize % self.open.len()
        } else {
            0
        };
        let (records, usual) = &mut self.open[worker];
        if records.capacity() == 0 {
            // Batches are alike; to grow is to copy.
            records.reserve((*usual + *usual / 8).clamp(4, BATCH));
        }
        records.push(record);
        if records.len() == BATCH {
            *usual = BATCH;
            let records = std::mem::take(records);
            let worker = worker as u64;
            self.full.push(Batch { worker, records });
        }
    }

    /// Takes all batches, in the order of their records for each worker.
    pub fn drain(&mut self) -> impl Iterator<Item = Batch<F::Record>> + '_ {
        let open = self.open.iter_mut().zip(0..);
        let open = open.filter(|((records, _), _)| !records.is_empty());
        let open = open.map(|((records, usual), worker)| {
            *usual = records.len();
            let records = std::mem::take(records);
            Batch { worker, records }
        });
        self.full.drain(..).chain(open)
    }
}

/// The records found in what a stream carries, in batches.
pub fn batched<'scope, F: Fold, D: Clone + 'static>(
    stream: StreamVec<'scope, Turn, D>,
    mut record: impl FnMut(D) -> Option<F::Record> + 'static,
) -> StreamVec<'scope, Turn, Batch<F::Record>> {
    let mut batches = Batches::<F>::new(stream.scope().worker().peers());
    let name = format!("Batched: {}", F::NAME);
    stream.unary::<CapacityContainerBuilder<Vec<_>>, _, _, _>(Pipeline, &name, move |_, _| {
        move |input, output| {
            input.for_each_stamp(|capability, found| {
                let found = found.flat_map(|found| found.drain(..));
                found.filter_map(&mut record).for_each(|record| batches.push(record));
                output.session(&capability).give_iterator(batches.drain());
            });
        }
    })
}

/// Records as they arrive where there is one worker and nobody else.
pub fn arrived<F: Fold>(records: impl IntoIterator<Item = F::Record>) -> Arrived<F::Record> {
    let mut batches = Batches::<F>::new(1);
    records.into_iter().for_each(|record| batches.push(record));
    let mut arrived = Arrived::default();
    batches
        .drain()
        .for_each(|batch| arrived.push(batch, |record| F::place(record).1));
    arrived
}

/// The records of one epoch, where they arrived.
pub struct Arrived<R> {
    batches: Vec<Vec<R>>,
    /// Addresses of records one after the other in a batch, each of the same or a later origin than the one before.
    runs: Vec<Range<u32>>,
    len: usize,
}

impl<R> Default for Arrived<R> {
    fn default() -> Self {
        Self {
            batches: Vec::new(),
            runs: Vec::new(),
            len: 0,
        }
    }
}

impl<R> Arrived<R> {
    /// Takes a batch in.
    pub(super) fn push(&mut self, batch: Batch<R>, origin: impl Fn(&R) -> Origin) {
        let Batch { mut records, .. } = batch;
        if records.is_empty() {
            return;
        }
        self.len += records.len();
        // Addresses have room for full batches: small ones are put together.
        let last = self.batches.last_mut();
        let room = last.as_ref().map_or(0, |last| BATCH - last.len());
        let start = match last {
            Some(last) if records.len() <= room.min(BATCH / 4) => {
                let start = last.len();
                last.append(&mut records);
                start
            }
            _ => {
                self.batches.push(records);
                0
            }
        };
        let Some(batch) = self.batches.last() else { return };
        let address = |position: usize| ((self.batches.len() - 1) * BATCH + position) as u32;
        let mut before = start.checked_sub(1).map(|before| origin(&batch[before]));
        for (position, record) in batch.iter().enumerate().skip(start) {
            let origin = origin(record);
            let address = address(position);
            match self
                .runs
                .last_mut()
                .filter(|_| before.is_some_and(|before| before <= origin))
            {
                Some(run) => run.end = address + 1,
                None => self.runs.push(address..address + 1),
            }
            before = Some(origin);
        }
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// One more than the last address.
    pub(super) fn addresses(&self) -> usize {
        self.batches.len() * BATCH
    }

    /// The record at an address, if there is one.
    pub(super) fn get(&self, address: u32) -> Option<&R> {
        self.batches
            .get(address as usize / BATCH)?
            .get(address as usize % BATCH)
    }

    /// The record at an address, if there is one.
    pub(super) fn get_mut(&mut self, address: u32) -> Option<&mut R> {
        self.batches
            .get_mut(address as usize / BATCH)?
            .get_mut(address as usize % BATCH)
    }

    /// The addresses of all records in the order of their origins; those of equal origin in the order in which they came.
    ///
    /// Merges the runs. Those of several workers that read one file are woven in long stretches, so what stands before the
    /// next run is looked for in leaps.
    pub(super) fn in_order(&mut self, origin: impl Fn(&R) -> Origin) -> Vec<Range<u32>> {
        let runs = std::mem::take(&mut self.runs).into_iter();
        // Addresses rise in the order of arrival.
        let place = |address: u32| (self.get(address).map(&origin), address);
        let mut heads: BinaryHeap<_> = runs.map(|run| Reverse((place(run.start), run.end))).collect();
        let mut order = Vec::with_capacity(heads.len());
        while let Some(Reverse(((_, start), end))) = heads.pop() {
            let next = heads.peek().map(|Reverse((next, _))| *next);
            let stop = next.map_or(end, |next| leap(start..end, |address| place(address) < next));
            order.push(start..stop);
            if stop < end {
                heads.push(Reverse((place(stop), end)));
            }
        }
        order
    }
}

/// The first address for which the predicate fails, or the end of the range. It must hold for the first address, and once it
/// fails it must fail for all addresses behind (a partition point, found by steps that double).
fn leap(addresses: Range<u32>, holds: impl Fn(u32) -> bool) -> u32 {
    let Range { start: mut from, end } = addresses;
    if holds(end - 1) {
        return end;
    }
    let mut step = 1;
    while from + step < end && holds(from + step) {
        from += step;
        step *= 2;
    }
    // It holds for `from`, and no longer for `to`.
    let mut to = end.min(from + step);
    while to - from > 1 {
        let middle = from + (to - from) / 2;
        if holds(middle) {
            from = middle;
        } else {
            to = middle;
        }
    }
    to
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However records come, they are read in the order of their origins, and each once.
        #[test]
        fn records_are_read_in_order(
            batches in prop::collection::vec((prop::collection::vec(0u64..50, 0..40), any::<bool>()), 0..12),
        ) {
            let mut arrived = Arrived::default();
            let mut expected = Vec::new();
            for (index, (mut offsets, sorted)) in batches.into_iter().enumerate() {
                if sorted {
                    offsets.sort_unstable();
                }
                // Large ones stay by themselves.
                let many = if index % 3 == 0 { BATCH / 20 } else { 1 };
                let offsets = offsets.iter().flat_map(|offset| std::iter::repeat_n(*offset, many));
                let records: Vec<(u64, usize)> = offsets.zip(expected.len()..).take(BATCH).collect();
                expected.extend(records.iter().copied());
                arrived.push(Batch { worker: 0, records }, at);
            }
            prop_assert_eq!(arrived.len(), expected.len());
            expected.sort_by_key(|(offset, _)| *offset);
            let addresses = arrived.in_order(at).into_iter().flatten();
            let found: Vec<(u64, usize)> = addresses.filter_map(|address| arrived.get(address).copied()).collect();
            prop_assert_eq!(found, expected);
        }
    }

    fn at((offset, _): &(u64, usize)) -> Origin {
        Origin {
            offset: *offset,
            ..Origin::default()
        }
    }
}
