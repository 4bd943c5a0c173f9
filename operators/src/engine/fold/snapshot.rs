//! A checkpoint of one worker's keys, taken while the stream goes on.
//!
//! A snapshot holds every key as it was when it began. A key that is about to change is encoded first; all others are
//! encoded little by little between epochs. So the stream never waits for more than one key and one small step.

use std::sync::atomic::Ordering;

use riskflow_model::{Millis, binary};

use super::{Fold, Keyed, NEVER, Pulse};
use crate::engine::Epoch;

/// Keys are encoded until this many bytes are at hand, then the stream gets its turn.
const STEP: usize = 64 << 10;

/// A chunk of about this size goes out.
const CHUNK: usize = 4 << 20;

/// Takes the chunks of a checkpoint: epoch, encoded keys, whether it is the last. Takes the bytes out and says `true`, or leaves them
/// and says `false` when there is no room now.
pub type Offer = Box<dyn FnMut(Epoch, &mut Vec<u8>, bool) -> bool>;

/// How a fold's keys outlive the process.
pub struct Keeper {
    /// Chunks of an earlier checkpoint, of all workers.
    pub saved: Box<dyn Iterator<Item = Vec<u8>>>,
    /// Where chunks of new ones go.
    pub offer: Offer,
}

impl Keeper {
    /// Nothing is kept, and nothing was.
    #[must_use]
    pub fn none() -> Self {
        Self {
            saved: Box::new(std::iter::empty()),
            offer: Box::new(|_, chunk, _| {
                chunk.clear();
                true
            }),
        }
    }
}

/// How many keys should give a sign of life, and how many of them do not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lives {
    expected: u64,
    silent: u64,
}

impl Lives {
    fn count(&mut self, pulse: Pulse) {
        self.expected += u64::from(pulse != Pulse::NotExpected);
        self.silent += u64::from(pulse == Pulse::Silent);
    }
}

/// A snapshot under way.
pub(super) struct Snapshot {
    epoch: Epoch,
    /// What time it was.
    now: Millis,
    lives: Lives,
    /// Slots before it were looked at.
    cursor: usize,
    /// Whether a slot needs no more encoding; slots beyond the end came later.
    done: Vec<bool>,
    chunk: Vec<u8>,
}

impl<F: Fold> Keyed<F> {
    /// Begins a snapshot of everything as it is now, between two epochs. One that is under way is given up.
    pub fn begin_snapshot(&mut self, epoch: Epoch, now: Millis) {
        let mut done = vec![false; self.slots.len()];
        for slot in &self.free {
            done[*slot as usize] = true;
        }
        self.snapshot = Some(Snapshot {
            epoch,
            now,
            lives: Lives::default(),
            cursor: 0,
            done,
            chunk: Vec::new(),
        });
    }

    /// Goes on with the snapshot for a moment. Whether one is still under way.
    pub fn step_snapshot(&mut self, offer: &mut Offer) -> bool {
        let Some(mut snapshot) = self.snapshot.take() else {
            return false;
        };
        let goal = snapshot.chunk.len() + STEP;
        while snapshot.cursor < snapshot.done.len() && snapshot.chunk.len() < goal.min(CHUNK) {
            let slot = snapshot.cursor;
            snapshot.cursor += 1;
            if !std::mem::replace(&mut snapshot.done[slot], true) {
                snapshot.lives.count(F::pulse(&self.slots[slot].state, snapshot.now));
                self.encode(slot, &mut snapshot.chunk);
            }
        }
        let last = snapshot.cursor == snapshot.done.len();
        if (last || snapshot.chunk.len() >= CHUNK) && offer(snapshot.epoch, &mut snapshot.chunk, last) {
            snapshot.chunk.clear();
            if last {
                self.tell(snapshot.lives);
                return false;
            }
        }
        self.snapshot = Some(snapshot);
        true
    }

    /// Encodes a key that is about to change, if the snapshot under way still needs it.
    pub(super) fn preserve(&mut self, slot: u32) {
        let Some(snapshot) = &mut self.snapshot else { return };
        let Some(done) = snapshot.done.get_mut(slot as usize).filter(|done| !**done) else {
            return;
        };
        *done = true;
        let pulse = F::pulse(&self.slots[slot as usize].state, snapshot.now);
        snapshot.lives.count(pulse);
        let mut chunk = std::mem::take(&mut snapshot.chunk);
        self.encode(slot as usize, &mut chunk);
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.chunk = chunk;
        }
    }

    /// The meter counts the keys of all workers.
    fn tell(&mut self, now: Lives) {
        let before = std::mem::replace(&mut self.told, now);
        let change = |now: u64, before: u64| now.wrapping_sub(before);
        let (expected, silent) = (&self.meter.expected, &self.meter.silent);
        expected.fetch_add(change(now.expected, before.expected), Ordering::Relaxed);
        silent.fetch_add(change(now.silent, before.silent), Ordering::Relaxed);
    }

    /// Route, length, and key, state and alarm.
    fn encode(&self, slot: usize, chunk: &mut Vec<u8>) {
        let entry = &self.slots[slot];
        let begin = chunk.len();
        chunk.extend_from_slice(&F::route(&entry.key).to_le_bytes());
        chunk.extend_from_slice(&[0; 4]);
        let wake = (entry.wake != NEVER).then_some(entry.wake);
        let encoded = binary::append(chunk, &(entry.key, &entry.state, wake));
        // Cannot fail: state is plain data. A checkpoint without a key would be worse than none.
        assert!(encoded.is_ok(), "{}: a key cannot be encoded", F::NAME);
        let length = (chunk.len() - begin - HEAD) as u32;
        chunk[begin + 8..begin + HEAD].copy_from_slice(&length.to_le_bytes());
    }

    /// Takes in the keys of a chunk whose shards are this worker's.
    ///
    /// # Errors
    ///
    /// When the chunk is not one of this fold.
    pub fn load(&mut self, chunk: &[u8], worker: usize, peers: usize) -> Result<(), binary::BinaryError> {
        let mut rest = chunk;
        while !rest.is_empty() {
            let (route, entry, behind) = split(rest);
            rest = behind;
            if route % super::SHARDS % peers as u64 == worker as u64 {
                let (key, state, wake): Entry<F> = binary::read(entry)?;
                self.restore(key, state, wake);
            }
        }
        Ok(())
    }
}

type Entry<F> = (<F as Fold>::Key, <F as Fold>::State, Option<Millis>);

/// Of an encoded key: route and length.
const HEAD: usize = 12;

fn split(bytes: &[u8]) -> (u64, &[u8], &[u8]) {
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() else {
        return (0, bytes, &[]);
    };
    let (route, length) = head.split_at(8);
    let route = route.try_into().map(u64::from_le_bytes).unwrap_or_default();
    let length = length.try_into().map(u32::from_le_bytes).unwrap_or_default() as usize;
    let (entry, behind) = rest.split_at(length.min(rest.len()));
    (route, entry, behind)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use riskflow_model::Duration;
    use riskflow_model::output::Origin;

    use super::*;
    use crate::engine::Diff;
    use crate::engine::fold::{Next, arrived};

    /// Sums what comes for a key; forgets it at 0.
    struct Sum;

    impl Fold for Sum {
        type Key = u64;
        type Row = ();
        type Record = (u64, i64);
        type State = (i64, Vec<u8>);
        type Output = (u64, i64);

        const NAME: &'static str = "sum";

        fn route(key: &u64) -> u64 {
            key.wrapping_mul(0x9E37_79B9_7F4A_7C15)
        }

        fn place(record: &(u64, i64)) -> (u64, Origin) {
            (record.0, Origin::default())
        }

        fn rows(&mut self, _: Millis, _: u64, _: &mut Self::State, _: &mut dyn Iterator<Item = ((), Diff)>) -> bool {
            false
        }

        fn record(&mut self, _: Millis, _: u64, state: &mut Self::State, record: &mut (u64, i64)) {
            state.0 += record.1;
            // Large enough for many steps.
            state.1.resize(500, state.0 as u8);
        }

        /// Odd sums should change, and those above 1 have not.
        fn pulse(state: &Self::State, now: Millis) -> Pulse {
            assert_eq!(now, Millis(3));
            match state.0 {
                1 => Pulse::Beats,
                sum if sum % 2 == 1 => Pulse::Silent,
                _ => Pulse::NotExpected,
            }
        }

        fn recall(&mut self, key: u64, state: &Self::State, out: &mut Vec<(Self::Output, Diff)>) {
            out.push(((key, state.0), 1));
        }

        fn settle(&mut self, now: Millis, _: u64, state: &mut Self::State, _: &mut Vec<(Self::Output, Diff)>) -> Next {
            match state.0 {
                0 => Next::Forget,
                _ => Next::Wake(now + Duration(100)),
            }
        }
    }

    fn keyed() -> Keyed<Sum> {
        Keyed::new(Sum, Arc::default())
    }

    fn epoch(keyed: &mut Keyed<Sum>, now: i64, records: impl IntoIterator<Item = (u64, i64)>) {
        let now = Millis(now);
        keyed.rows(now, Vec::new());
        keyed.records(arrived::<Sum>(records));
        keyed.settle(now, &mut Vec::new());
    }

    fn all(keyed: &mut Keyed<Sum>) -> BTreeMap<u64, i64> {
        let mut out = Vec::new();
        keyed.recall(&mut out);
        out.into_iter().map(|(row, _)| row).collect()
    }

    #[test]
    fn a_snapshot_holds_every_key_as_it_was_when_it_began() {
        let mut keyed = keyed();
        epoch(&mut keyed, 1, (1..=1000).map(|key| (key, 1)));
        // Some slots are free, one is taken again.
        epoch(&mut keyed, 2, [(5, -1), (6, -1)]);
        epoch(&mut keyed, 3, [(2000, 7)]);
        keyed.begin_snapshot(3, Millis(3));
        let kept = Arc::new(Mutex::new((Vec::new(), 0)));
        let shared = Arc::clone(&kept);
        let mut refusals = 0;
        let mut offer: Offer = Box::new(move |epoch, chunk, last| {
            refusals += 1;
            if refusals % 3 != 0 {
                return false;
            }
            assert_eq!(epoch, 3);
            let mut kept = shared.lock().unwrap();
            kept.0.push(std::mem::take(chunk));
            kept.1 += usize::from(last);
            true
        });
        // Between the steps keys change, go, and come.
        let mut now = 4;
        while keyed.step_snapshot(&mut offer) {
            let key = now as u64;
            epoch(
                &mut keyed,
                now,
                [(key, 5), (1001 - key, 5), (key + 300, -1), (5000 + key, 1)],
            );
            now += 1;
        }
        assert!(now > 8, "the snapshot took several steps");
        let (chunks, lasts) = std::mem::take(&mut *kept.lock().unwrap());
        assert_eq!(lasts, 1);
        let mut expected: BTreeMap<u64, i64> = (1..=1000).map(|key| (key, 1)).collect();
        expected.retain(|key, _| ![5, 6].contains(key));
        expected.insert(2000, 7);
        // As it was when it began, too: all of them, and of these the one that has 7.
        let lives = [&keyed.meter.expected, &keyed.meter.silent].map(|count| count.load(Ordering::Relaxed));
        assert_eq!(lives, [999, 1]);
        for peers in [1, 3] {
            let mut found = BTreeMap::new();
            for worker in 0..peers {
                let mut part = self::keyed();
                for chunk in &chunks {
                    part.load(chunk, worker, peers).unwrap();
                }
                let keys = all(&mut part);
                assert!(
                    keys.keys()
                        .all(|key| Sum::route(key) % super::super::SHARDS % peers as u64 == worker as u64)
                );
                found.extend(keys);
                // What was loaded goes on, alarms included.
                let mut out = Vec::new();
                part.rows(Millis(103), Vec::new());
                part.settle(Millis(103), &mut out);
            }
            assert_eq!(found, expected, "{peers} workers");
        }
    }
}
