//! The keyed state of one worker, and the order in which it is worked on.
//!
//! State is far larger than a cache, so this is about where things lie: slots in the order in which keys came, the little that
//! every record touches apart from the state, and short reads of many keys before the long work on each.

use std::hash::Hasher;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use riskflow_model::Millis;

use super::alarms::Alarms;
use super::batch::Arrived;
use super::snapshot::{Lives, Snapshot};
use super::{Fold, FoldMeter, NEVER, Next, RowChange, WARM_STAGES};
use crate::engine::{Diff, Index, clear};

/// A hasher for keys that are hashes already.
#[derive(Clone, Copy, Default)]
pub struct RouteHasher(u64);

impl Hasher for RouteHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, word: u64) {
        // The low bits choose the worker, so the table must not rely on them alone.
        self.0 = (self.0 ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(byte.into());
    }

    fn write_isize(&mut self, word: isize) {
        self.write_u64(word as u64);
    }
}

/// The keyed state of one worker, and the order in which it is worked on. Holds no dataflow type.
pub struct Keyed<F: Fold> {
    fold: F,
    index: Index,
    pub(super) slots: Vec<Slot<F>>,
    /// What taking records in needs of each slot, apart from its state: small enough for a cache.
    heads: Vec<Head>,
    pub(super) free: Vec<u32>,
    /// Slots that were loaded and have not heard of their rows yet.
    loaded: Vec<u32>,
    /// Slots with records in this epoch, in their order.
    recorded: Vec<u32>,
    /// Slots that settle in this epoch even without a record.
    touched: Vec<u32>,
    /// Records of this epoch.
    queue: Arrived<F::Record>,
    /// For the address of each record that of the next one of its slot.
    following: Vec<u32>,
    /// When slots asked to be woken; an entry is void unless the slot still says the same.
    alarms: Alarms,
    pub(super) meter: Arc<FoldMeter>,
    /// How many keys the meter knows of: it counts those of all workers.
    metered: u64,
    /// The same of keys that should give a sign of life, and of those that do not.
    pub(super) told: Lives,
    /// A checkpoint under way.
    pub(super) snapshot: Option<Snapshot>,
}

pub(super) struct Slot<F: Fold> {
    pub(super) key: F::Key,
    pub(super) state: F::State,
    pub(super) wake: Millis,
}

#[derive(Clone, Copy)]
struct Head {
    /// Whether it settles even without a record.
    touched: bool,
    /// Whether it was loaded and has heard of its rows, or need not.
    informed: bool,
    /// Whether it stands for no key.
    vacant: bool,
    /// Where the first and the last record of this slot lie in the queue.
    first: u32,
    last: u32,
}

/// Where the keys before were found. Slots stand in the order in which keys came, and these came from several workers: a few
/// sequences, woven into one.
#[derive(Default)]
struct Trails {
    last: [u32; 4],
    /// Which is given up for the next that follows on none.
    oldest: usize,
    /// Whether the slot found last followed on one of them.
    lead: bool,
}

impl Trails {
    fn note(&mut self, slot: u32) {
        let before = self.last.iter_mut().find(|last| last.wrapping_add(1) == slot);
        self.lead = before.is_some();
        match before {
            Some(last) => *last = slot,
            None => {
                self.last[self.oldest] = slot;
                self.oldest = (self.oldest + 1) % self.last.len();
            }
        }
    }
}

const UNTOUCHED: Head = Head {
    touched: false,
    informed: true,
    vacant: false,
    first: NO_RECORD,
    last: NO_RECORD,
};

/// Keys warmed at once: enough to overlap misses, few enough to stay in the nearest caches until they settle.
const WARM: usize = 32;
/// The most keys that room is made for in advance.
const EXPECTED: usize = 1 << 18;
const NO_RECORD: u32 = u32::MAX;
const NO_SLOT: u32 = u32::MAX;

impl<F: Fold> Keyed<F> {
    /// No state yet.
    pub fn new(fold: F, meter: Arc<FoldMeter>) -> Self {
        Self {
            fold,
            index: Index::default(),
            slots: Vec::new(),
            heads: Vec::new(),
            free: Vec::new(),
            loaded: Vec::new(),
            recorded: Vec::new(),
            touched: Vec::new(),
            queue: Arrived::default(),
            following: Vec::new(),
            alarms: Alarms::default(),
            meter,
            metered: 0,
            told: Lives::default(),
            snapshot: None,
        }
    }

    /// Applies the rows that came and went in this epoch; those of one key may stand anywhere.
    ///
    /// New keys get their slots in the order in which they come, not in that of their hashes: what came together mostly
    /// comes together again, and is then read in one sweep.
    pub fn rows(&mut self, now: Millis, changes: Vec<RowChange<F>>) {
        self.expect(changes.len());
        let changes = changes.into_iter();
        let mut changes: Vec<((u32, F::Row), Diff)> = changes
            .map(|((key, row), diff)| ((self.slot_of(key), row), diff))
            .collect();
        differential_dataflow::consolidation::consolidate(&mut changes);
        changes.sort_by(|((a, _), da), ((b, _), db)| (a, da.signum()).cmp(&(b, db.signum())));
        self.meter.rows.fetch_add(changes.len() as u64, Ordering::Relaxed);
        let mut changes = changes.into_iter().peekable();
        while let Some(((slot, _), _)) = changes.peek() {
            let slot = *slot;
            let mut of_slot = std::iter::from_fn(|| {
                let ((_, row), diff) = changes.next_if(|((next, _), _)| *next == slot)?;
                Some((row, diff))
            });
            self.rows_of(now, slot, &mut of_slot);
            of_slot.for_each(drop);
        }
        for slot in std::mem::take(&mut self.loaded) {
            if !self.heads[slot as usize].informed {
                self.rows_of(now, slot, &mut std::iter::empty());
            }
        }
    }

    fn rows_of(&mut self, now: Millis, slot: u32, changes: &mut dyn Iterator<Item = (F::Row, Diff)>) {
        self.preserve(slot);
        self.heads[slot as usize].informed = true;
        let entry = &mut self.slots[slot as usize];
        if self.fold.rows(now, entry.key, &mut entry.state, changes) {
            self.touch_slot(slot);
        }
    }

    /// Takes all records of this epoch in, in the order of their origins; each is applied when its key settles.
    ///
    /// State is far larger than a cache: a key's records and its settling meet it in one visit. Keys are looked up some
    /// at a time for the same reason.
    pub fn records(&mut self, mut records: Arrived<F::Record>) {
        let mut order = records.in_order(|record| F::place(record).1).into_iter().flatten();
        self.expect(records.len());
        self.following.clear();
        self.following.resize(records.addresses(), NO_RECORD);
        self.queue = records;
        let mut block = Vec::with_capacity(WARM);
        let mut slots = Vec::with_capacity(WARM);
        let mut trails = Trails::default();
        loop {
            block.clear();
            block.extend(order.by_ref().take(WARM).filter_map(|address| {
                let (key, _) = F::place(self.queue.get(address)?);
                Some((address, key))
            }));
            if block.is_empty() {
                return;
            }
            slots.clear();
            slots.extend(block.iter().map(|(_, key)| self.find(*key, &mut trails)));
            for ((address, key), slot) in block.iter().zip(&slots) {
                let slot = if *slot == NO_SLOT { self.slot_of(*key) } else { *slot };
                let head = &mut self.heads[slot as usize];
                let last = std::mem::replace(&mut head.last, *address);
                if head.first == NO_RECORD {
                    head.first = *address;
                    self.recorded.push(slot);
                    self.preserve(slot);
                } else {
                    self.following[last as usize] = *address;
                }
            }
        }
    }

    /// Settles what was touched or is due, and closes the epoch. Whether anything was due.
    pub fn settle(&mut self, now: Millis, out: &mut Vec<(F::Output, Diff)>) -> bool {
        let mut woken = false;
        while let Some((due, slot)) = self.first_alarm() {
            if due > now {
                break;
            }
            self.touch_slot(slot);
            self.slots[slot as usize].wake = NEVER;
            woken = true;
        }
        let recorded = std::mem::take(&mut self.recorded);
        let mut touched = std::mem::take(&mut self.touched);
        // Those with records as well settle with these.
        touched.retain(|slot| self.heads[*slot as usize].first == NO_RECORD);
        for block in recorded.chunks(WARM).chain(touched.chunks(WARM)) {
            for stage in 0..WARM_STAGES {
                let warmed = block
                    .iter()
                    .map(|slot| F::warm(&self.slots[*slot as usize].state, stage));
                std::hint::black_box(warmed.fold(0, u64::wrapping_add));
            }
            for slot in block {
                self.settle_one(now, *slot, out);
            }
        }
        let settled = recorded.len() + touched.len();
        self.meter.settled.fetch_add(settled as u64, Ordering::Relaxed);
        let keys = self.index.len() as u64;
        let before = std::mem::replace(&mut self.metered, keys);
        self.meter.keys.fetch_add(keys.wrapping_sub(before), Ordering::Relaxed);
        self.meter.outputs.fetch_add(out.len() as u64, Ordering::Relaxed);
        self.meter.records.fetch_add(self.queue.len() as u64, Ordering::Relaxed);
        self.queue = Arrived::default();
        (self.recorded, self.touched) = (recorded, touched);
        clear(&mut self.recorded);
        clear(&mut self.touched);
        clear(&mut self.following);
        woken
    }

    /// The earliest time that any key waits for.
    pub fn next_due(&mut self) -> Option<Millis> {
        self.first_alarm().map(|(due, _)| due)
    }

    fn first_alarm(&mut self) -> Option<(Millis, u32)> {
        let slots = &self.slots;
        self.alarms.first(|(due, slot)| slots[slot as usize].wake == due)
    }

    fn settle_one(&mut self, now: Millis, slot: u32, out: &mut Vec<(F::Output, Diff)>) {
        let entry = &mut self.slots[slot as usize];
        let mut next = std::mem::replace(&mut self.heads[slot as usize], UNTOUCHED).first;
        while let Some(record) = self.queue.get_mut(next) {
            self.fold.record(now, entry.key, &mut entry.state, record);
            next = self.following[next as usize];
        }
        match self.fold.settle(now, entry.key, &mut entry.state, out) {
            Next::Keep => entry.wake = NEVER,
            Next::Wake(due) => {
                if entry.wake != due {
                    entry.wake = due;
                    self.alarms.push(due, slot);
                }
            }
            Next::Forget => {
                entry.wake = NEVER;
                entry.state = F::State::default();
                self.index.remove(&entry.key, slot);
                self.heads[slot as usize].vacant = true;
                self.free.push(slot);
            }
        }
    }

    /// The slot of a key, `NO_SLOT` if it has none. Where the one before followed on another this one may do so as well: that
    /// saves the way through the index, which is scattered over memory.
    fn find(&self, key: F::Key, trails: &mut Trails) -> u32 {
        if trails.lead {
            let follows = |last: u32| {
                let guess = last.wrapping_add(1);
                let entry = self.slots.get(guess as usize)?;
                (entry.key == key && !self.heads[guess as usize].vacant).then_some(guess)
            };
            for last in &mut trails.last {
                if let Some(slot) = follows(*last) {
                    *last = slot;
                    return slot;
                }
            }
        }
        let slot = self.known(&key).unwrap_or(NO_SLOT);
        trails.note(slot);
        slot
    }

    /// The slot of a key that has one.
    fn known(&self, key: &F::Key) -> Option<u32> {
        self.index.find(key, |slot| self.slots[slot as usize].key == *key)
    }

    fn slot_of(&mut self, key: F::Key) -> u32 {
        if let Some(slot) = self.known(&key) {
            return slot;
        }
        let slot = self.vacant(key, F::State::default());
        self.index.insert(&key, slot);
        // Whatever comes of it, it settles: a slot without state must not stay.
        self.touch_slot(slot);
        slot
    }

    /// Where nothing is known yet, makes room for so many keys: a city comes at once, and to grow is to copy.
    fn expect(&mut self, keys: usize) {
        if self.slots.is_empty() {
            let keys = keys.min(EXPECTED);
            self.index.reserve(keys);
            self.slots.reserve(keys);
            self.heads.reserve(keys);
        }
    }

    fn touch_slot(&mut self, slot: u32) {
        let head = &mut self.heads[slot as usize];
        if !head.touched {
            head.touched = true;
            self.touched.push(slot);
            self.preserve(slot);
        }
    }

    fn vacant(&mut self, key: F::Key, state: F::State) -> u32 {
        let fresh = Slot {
            key,
            state,
            wake: NEVER,
        };
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = fresh;
            self.heads[slot as usize] = UNTOUCHED;
            return slot;
        }
        self.slots.push(fresh);
        self.heads.push(UNTOUCHED);
        (self.slots.len() - 1) as u32
    }

    /// Puts a saved key in its place.
    pub(super) fn restore(&mut self, key: F::Key, state: F::State, wake: Option<Millis>) {
        let slot = self.vacant(key, state);
        self.index.insert(&key, slot);
        self.heads[slot as usize].informed = false;
        self.loaded.push(slot);
        if let Some(due) = wake {
            self.slots[slot as usize].wake = due;
            self.alarms.push(due, slot);
        }
    }

    /// Gives again what stands in the output for the keys that were loaded. Call it once, before the first epoch.
    pub fn recall(&mut self, out: &mut Vec<(F::Output, Diff)>) {
        for slot in &self.loaded {
            let entry = &self.slots[*slot as usize];
            self.fold.recall(entry.key, &entry.state, out);
        }
    }
}
