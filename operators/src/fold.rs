//! The generic fold: keyed state, applied in epoch order, woken by the clock.
//!
//! ```text
//!   rows ────(key)──┐
//!   records ─(key)──┼──► [ Keyed<F> on each worker ] ──► (output, epoch, difference)
//!   ticks ──────────┘
//! ```
//!
//! * **Exchange.** Rows and records go to the worker of their key's shard: one of [`SHARDS`], so that what is bounded
//!   for a shard does not depend on the number of workers.
//! * **Order.** An epoch is applied once all three inputs have passed it: first the rows that changed, then the records
//!   in the order of their origin, then every touched or due key settles once: keys with records in the order of these,
//!   then the others. In what order these do depends on the history of the process, so nothing may depend on it.
//! * **Clock.** A tick arrives on every worker for every epoch; time passes by nothing else. A key that asked to be
//!   woken at *d* settles at the first epoch ≥ *d*.
//! * **State** is one value a key. A tick may ask for a checkpoint: the state after its epoch goes out in chunks while the
//!   stream goes on ([`Keyed::begin_snapshot`]), and [`Keyed::load`] reads the shards of one worker back, for any number of
//!   workers. Views are rebuilt: in the first epoch after a load the output tables are given again, and all rows come again.
//!
//! [`Keyed`] holds no dataflow type: unit tests drive it with plain calls.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use differential_dataflow::ExchangeData;
use hashbrown::HashMap;
use riskflow_model::output::Origin;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use snapshot::Snapshot;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::frontier::MutableAntichain;

use crate::{Diff, Epoch, Rows};

mod snapshot;

pub use snapshot::{Keeper, Offer};

/// One for each epoch on each worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// Whether the state after this epoch is to be kept.
    pub checkpoint: bool,
}

/// How many parts the keys are divided into; a power of two, so that workers get even shares.
pub const SHARDS: u64 = 4096;

/// What a fold does with one key. Its methods are plain; [`Keyed`] calls them in order.
pub trait Fold: 'static {
    /// What state is kept for.
    type Key: ExchangeData + Copy + Hash;
    /// A row that a view holds for the key.
    type Row: ExchangeData;
    /// A record for the key.
    type Record: Clone + Serialize + DeserializeOwned + Send + 'static;
    /// What is kept for the key; without any state a key need not be kept.
    type State: Default + Serialize + DeserializeOwned;
    /// What comes out.
    type Output: Clone + 'static;

    /// The name in metrics and logs.
    const NAME: &'static str;

    /// A well-mixed number for the key; its low bits are the shard.
    fn route(key: &Self::Key) -> u64;

    /// The key of a record, and where in the order of its epoch the record stands.
    fn place(record: &Self::Record) -> (Self::Key, Origin);

    /// The key's rows are others from this epoch on: those that went (-1) come before those that came (1). Whether the key
    /// must settle; if it has no state yet, it must.
    ///
    /// State that was loaded knows nothing of rows: views are rebuilt, so all rows that there are come again, in one call
    /// that is made even where there are none.
    fn rows(
        &mut self,
        now: i64,
        key: Self::Key,
        state: &mut Self::State,
        changes: &mut dyn Iterator<Item = (Self::Row, Diff)>,
    ) -> bool;

    /// A record arrived in this epoch.
    fn record(&mut self, now: i64, key: Self::Key, state: &mut Self::State, record: Self::Record);

    /// Reads parts of the state that applying and settling will need, and gives anything made of them: what the state
    /// itself points to in the first of [`WARM_STAGES`], what that points to in the second, and so on.
    ///
    /// Called stage by stage for some keys in a row before these settle: short independent reads miss the cache side by
    /// side, where the long work on one key after the other would wait for each miss by itself.
    fn warm(_state: &Self::State, _stage: usize) -> u64 {
        0
    }

    /// Gives again what stands in the output for a key that was loaded; records of append-only outputs do not.
    fn recall(&mut self, key: Self::Key, state: &Self::State, out: &mut Vec<(Self::Output, Diff)>);

    /// Everything of this epoch was applied to the key, or it asked to be woken: gives what follows from it.
    fn settle(
        &mut self,
        now: i64,
        key: Self::Key,
        state: &mut Self::State,
        out: &mut Vec<(Self::Output, Diff)>,
    ) -> Next;
}

/// What a fold wants for a key after it settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Keep the state.
    Keep,
    /// Keep the state and settle again at the first epoch at or after this time.
    Wake(i64),
    /// Nothing is known of the key any more: drop the state.
    Forget,
}

/// What a fold has done so far; read by the metrics while it runs.
#[derive(Debug, Default)]
pub struct FoldMeter {
    /// Keys with state.
    pub keys: AtomicU64,
    /// Row changes applied.
    pub rows: AtomicU64,
    /// Records applied.
    pub records: AtomicU64,
    /// Times that a key settled.
    pub settled: AtomicU64,
    /// Output updates given.
    pub outputs: AtomicU64,
}

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
    index: HashMap<F::Key, u32, BuildHasherDefault<RouteHasher>>,
    slots: Vec<Slot<F>>,
    /// What taking records in needs of each slot, apart from its state: small enough for a cache.
    heads: Vec<Head>,
    free: Vec<u32>,
    /// Slots that were loaded and have not heard of their rows yet.
    loaded: Vec<u32>,
    /// Slots with records in this epoch, in their order.
    recorded: Vec<u32>,
    /// Slots that settle in this epoch even without a record.
    touched: Vec<u32>,
    /// Records of this epoch in order.
    queue: Vec<Option<F::Record>>,
    /// For each record the position of the next one of its slot.
    following: Vec<u32>,
    /// When slots asked to be woken; an entry is void unless the slot still says the same.
    alarms: BinaryHeap<Reverse<(i64, u32)>>,
    meter: Arc<FoldMeter>,
    /// How many keys the meter knows of: it counts those of all workers.
    metered: u64,
    /// A checkpoint under way.
    snapshot: Option<Snapshot>,
}

struct Slot<F: Fold> {
    key: F::Key,
    state: F::State,
    wake: i64,
}

#[derive(Clone, Copy)]
struct Head {
    /// Whether it settles even without a record.
    touched: bool,
    /// Whether it was loaded and has heard of its rows, or need not.
    informed: bool,
    /// Whether it stands for no key.
    vacant: bool,
    /// The first and the last record of this slot in the queue.
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

/// How many times in a row [`Fold::warm`] is called for a key.
pub const WARM_STAGES: usize = 3;

const NEVER: i64 = i64::MAX;
/// Keys warmed at once: enough to overlap misses, few enough to stay in the nearest caches until they settle.
const WARM: usize = 64;
const NO_RECORD: u32 = u32::MAX;
const NO_SLOT: u32 = u32::MAX;

impl<F: Fold> Keyed<F> {
    /// No state yet.
    pub fn new(fold: F, meter: Arc<FoldMeter>) -> Self {
        Self {
            fold,
            index: HashMap::default(),
            slots: Vec::new(),
            heads: Vec::new(),
            free: Vec::new(),
            loaded: Vec::new(),
            recorded: Vec::new(),
            touched: Vec::new(),
            queue: Vec::new(),
            following: Vec::new(),
            alarms: BinaryHeap::new(),
            meter,
            metered: 0,
            snapshot: None,
        }
    }

    /// Applies the rows that came and went in this epoch; those of one key may stand anywhere.
    ///
    /// New keys get their slots in the order in which they come, not in that of their hashes: what came together mostly
    /// comes together again, and is then read in one sweep.
    pub fn rows(&mut self, now: i64, changes: Vec<RowChange<F>>) {
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

    fn rows_of(&mut self, now: i64, slot: u32, changes: &mut dyn Iterator<Item = (F::Row, Diff)>) {
        self.preserve(slot);
        self.heads[slot as usize].informed = true;
        let entry = &mut self.slots[slot as usize];
        if self.fold.rows(now, entry.key, &mut entry.state, changes) {
            self.touch_slot(slot);
        }
    }

    /// Takes all records of this epoch in, in order; each is applied when its key settles. What was given is empty after
    /// that, and its room can be used again.
    ///
    /// State is far larger than a cache: a key's records and its settling meet it in one visit. Keys are looked up some
    /// at a time for the same reason.
    pub fn records(&mut self, records: &mut Vec<Option<F::Record>>) {
        std::mem::swap(&mut self.queue, records);
        self.following.clear();
        self.following.resize(self.queue.len(), NO_RECORD);
        let mut keys = [None; WARM];
        let mut slots = [NO_SLOT; WARM];
        let mut trails = Trails::default();
        for start in (0..self.queue.len()).step_by(WARM) {
            let end = (start + WARM).min(self.queue.len());
            for (key, record) in keys.iter_mut().zip(&self.queue[start..end]) {
                *key = record.as_ref().map(|record| F::place(record).0);
            }
            for (slot, key) in slots.iter_mut().zip(keys.iter().take(end - start)) {
                *slot = key.map_or(NO_SLOT, |key| self.find(key, &mut trails));
            }
            for (offset, (slot, key)) in slots.iter().zip(keys).take(end - start).enumerate() {
                let Some(key) = key else { continue };
                let slot = if *slot == NO_SLOT { self.slot_of(key) } else { *slot };
                let position = (start + offset) as u32;
                let head = &mut self.heads[slot as usize];
                let last = std::mem::replace(&mut head.last, position);
                if head.first == NO_RECORD {
                    head.first = position;
                    self.recorded.push(slot);
                    self.preserve(slot);
                } else {
                    self.following[last as usize] = position;
                }
            }
        }
    }

    /// Settles what was touched or is due, and closes the epoch.
    pub fn settle(&mut self, now: i64, out: &mut Vec<(F::Output, Diff)>) {
        while let Some(Reverse((due, slot))) = self.alarms.peek().copied() {
            if due > now {
                break;
            }
            self.alarms.pop();
            if self.slots[slot as usize].wake == due {
                self.touch_slot(slot);
                self.slots[slot as usize].wake = NEVER;
            }
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
        self.queue.clear();
        (self.recorded, self.touched) = (recorded, touched);
        self.recorded.clear();
        self.touched.clear();
    }

    fn settle_one(&mut self, now: i64, slot: u32, out: &mut Vec<(F::Output, Diff)>) {
        let entry = &mut self.slots[slot as usize];
        let mut next = std::mem::replace(&mut self.heads[slot as usize], UNTOUCHED).first;
        while let Some(record) = self.queue.get_mut(next as usize) {
            if let Some(record) = record.take() {
                self.fold.record(now, entry.key, &mut entry.state, record);
            }
            next = self.following[next as usize];
        }
        match self.fold.settle(now, entry.key, &mut entry.state, out) {
            Next::Keep => entry.wake = NEVER,
            Next::Wake(due) => {
                if entry.wake != due {
                    entry.wake = due;
                    self.alarms.push(Reverse((due, slot)));
                }
            }
            Next::Forget => {
                entry.wake = NEVER;
                entry.state = F::State::default();
                self.index.remove(&entry.key);
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
        let slot = self.index.get(&key).copied().unwrap_or(NO_SLOT);
        trails.note(slot);
        slot
    }

    fn slot_of(&mut self, key: F::Key) -> u32 {
        if let Some(slot) = self.index.get(&key) {
            return *slot;
        }
        let slot = self.vacant(key, F::State::default());
        self.index.insert(key, slot);
        // Whatever comes of it, it settles: a slot without state must not stay.
        self.touch_slot(slot);
        slot
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
    fn restore(&mut self, key: F::Key, state: F::State, wake: Option<i64>) {
        let slot = self.vacant(key, state);
        self.index.insert(key, slot);
        self.heads[slot as usize].informed = false;
        self.loaded.push(slot);
        if let Some(due) = wake {
            self.slots[slot as usize].wake = due;
            self.alarms.push(Reverse((due, slot)));
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

/// A row that came (1) or went (-1).
pub type RowChange<F> = ((<F as Fold>::Key, <F as Fold>::Row), Diff);

/// What waits for its epoch to be complete.
struct Pending<F: Fold> {
    tick: Option<(Capability<Epoch>, Tick)>,
    rows: Vec<RowChange<F>>,
    records: Vec<Option<F::Record>>,
}

impl<F: Fold> Default for Pending<F> {
    fn default() -> Self {
        Self {
            tick: None,
            rows: Vec::new(),
            records: Vec::new(),
        }
    }
}

/// Between two steps of a snapshot, so that waiting for room does not spin.
const BREATH: core::time::Duration = core::time::Duration::from_micros(100);

/// How many empty buffers are kept.
const SPARE: usize = 4;

/// Runs a fold over the rows of a view and a stream of records.
///
/// `ticks` must carry one item for each epoch on each worker, and every row and record must stand at such an epoch.
///
/// # Panics
///
/// When a saved chunk is not one of this fold: chunks are checked before they come here.
pub fn fold<'scope, F: Fold>(
    fold: F,
    rows: Rows<'scope, (F::Key, F::Row)>,
    records: StreamVec<'scope, Epoch, F::Record>,
    ticks: StreamVec<'scope, Epoch, Tick>,
    meter: Arc<FoldMeter>,
    keeper: Keeper,
) -> StreamVec<'scope, Epoch, (F::Output, Epoch, Diff)> {
    let scope = ticks.scope();
    let (worker, peers) = (scope.worker().index(), scope.worker().peers());
    let mut builder = OperatorBuilder::new(format!("Fold: {}", F::NAME), scope);
    let activator = scope.activator_for(builder.operator_info().address);
    let by_row = Exchange::new(|((key, _), _, _): &((F::Key, F::Row), Epoch, Diff)| F::route(key) % SHARDS);
    let by_record = Exchange::new(|record: &F::Record| F::route(&F::place(record).0) % SHARDS);
    let mut rows = builder.new_input(rows.inner, by_row);
    let mut records = builder.new_input(records, by_record);
    let mut ticks = builder.new_input(ticks, Pipeline);
    let (output, stream) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<(F::Output, Epoch, Diff)>>>::from(output);
    let mut keyed = Keyed::new(fold, meter);
    let mut pending: BTreeMap<Epoch, Pending<F>> = BTreeMap::new();
    let mut out = Vec::new();
    let Keeper { saved, mut offer } = keeper;
    for chunk in saved {
        let loaded = keyed.load(&chunk, worker, peers);
        assert!(loaded.is_ok(), "{}: a checkpoint's chunk is not one", F::NAME);
    }
    keyed.recall(&mut out);
    // Epochs are alike: what one needed to hold its records serves the next.
    let mut spare: Vec<Vec<Option<F::Record>>> = Vec::new();
    builder.build(move |_capabilities| {
        move |frontiers: &[MutableAntichain<Epoch>]| {
            rows.for_each(|_, updates| {
                for (row, epoch, diff) in updates.drain(..) {
                    pending.entry(epoch).or_default().rows.push((row, diff));
                }
            });
            records.for_each(|capability, batch| {
                if let Some(epoch) = capability.least() {
                    let records = &mut pending.entry(*epoch).or_default().records;
                    if records.capacity() == 0 {
                        *records = spare.pop().unwrap_or_default();
                    }
                    records.extend(batch.drain(..).map(Some));
                }
            });
            ticks.for_each(|capability, batch| {
                if let (Some(kept), Some(tick)) = (capability.retain_least(0), batch.pop()) {
                    let epoch = *kept.time();
                    pending.entry(epoch).or_default().tick = Some((kept, tick));
                }
            });
            let mut output = output.activate();
            while let Some(entry) = pending.first_entry() {
                if frontiers.iter().any(|frontier| frontier.less_equal(entry.key())) {
                    break;
                }
                let (epoch, mut work) = entry.remove_entry();
                let Some((capability, tick)) = work.tick else {
                    // Cannot be: sources and views speak only at ticks. Nothing may be dropped, so it stays visible.
                    debug_assert!(false, "{} has work at epoch {epoch}, which had no tick", F::NAME);
                    continue;
                };
                apply(&mut keyed, epoch as i64, work.rows, &mut work.records, &mut out);
                if work.records.capacity() > 0 && spare.len() < SPARE {
                    spare.push(work.records);
                }
                let updates = out.drain(..).map(|(data, diff)| (data, epoch, diff));
                output.session(&capability).give_iterator(updates);
                if tick.checkpoint {
                    keyed.begin_snapshot(epoch);
                }
            }
            if keyed.step_snapshot(&mut offer) {
                activator.activate_after(BREATH);
            }
        }
    });
    stream
}

fn apply<F: Fold>(
    keyed: &mut Keyed<F>,
    now: i64,
    rows: Vec<RowChange<F>>,
    records: &mut Vec<Option<F::Record>>,
    out: &mut Vec<(F::Output, Diff)>,
) {
    keyed.rows(now, rows);
    // Batches come partition by partition: mostly they are sorted already, or a few sorted runs.
    let origin = |record: &Option<F::Record>| record.as_ref().map(|record| F::place(record).1);
    if !records.is_sorted_by_key(origin) {
        records.sort_by_key(origin);
    }
    keyed.records(records);
    keyed.settle(now, out);
}
