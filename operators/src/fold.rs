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
//! * **Order.** An epoch is applied once all three inputs have passed it: first the rows that changed (views have at
//!   most one row a key), then the records in the order of their origin, then every touched or due key settles once.
//! * **Clock.** A tick arrives on every worker for every epoch; time passes by nothing else. A key that asked to be
//!   woken at *d* settles at the first epoch ≥ *d*.
//! * **State** is one value a key; [`Keyed::save`] and [`Keyed::load`] write it out and read the shards of one worker
//!   back, for any number of workers.
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
use serde::Serialize;
use serde::de::DeserializeOwned;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::frontier::MutableAntichain;

use crate::{Diff, Epoch, Rows};

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

    /// The key's row is another one from this epoch on, or gone.
    fn row(&mut self, now: i64, key: Self::Key, state: &mut Self::State, row: Option<Self::Row>);

    /// A record arrived in this epoch.
    fn record(&mut self, now: i64, key: Self::Key, state: &mut Self::State, record: Self::Record);

    /// Reads the parts of the state that applying and settling will need, and gives anything made of them.
    ///
    /// Called for some keys in a row before these settle: short independent reads miss the cache side by side, where the
    /// long work on one key after the other would wait for each miss by itself.
    fn warm(_state: &Self::State) -> u64 {
        0
    }

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
    free: Vec<u32>,
    /// Slots touched in this epoch.
    touched: Vec<u32>,
    /// Records of this epoch in order, each with the position of the next one of its slot.
    queue: Vec<(Option<F::Record>, u32)>,
    /// When slots asked to be woken; an entry is void unless the slot still says the same.
    alarms: BinaryHeap<Reverse<(i64, u32)>>,
    meter: Arc<FoldMeter>,
}

struct Slot<F: Fold> {
    key: F::Key,
    state: F::State,
    wake: i64,
    touched: bool,
    /// The first and the last record of this slot in the queue.
    queued: Option<(u32, u32)>,
}

const NEVER: i64 = i64::MAX;
/// Keys warmed at once: enough to overlap misses, few enough to stay in the nearest caches until they settle.
const WARM: usize = 64;
const NO_RECORD: u32 = u32::MAX;

impl<F: Fold> Keyed<F> {
    /// No state yet.
    pub fn new(fold: F, meter: Arc<FoldMeter>) -> Self {
        Self {
            fold,
            index: HashMap::default(),
            slots: Vec::new(),
            free: Vec::new(),
            touched: Vec::new(),
            queue: Vec::new(),
            alarms: BinaryHeap::new(),
            meter,
        }
    }

    /// Applies a changed row.
    pub fn row(&mut self, now: i64, key: F::Key, row: Option<F::Row>) {
        let slot = self.touch(key);
        self.fold.row(now, key, &mut self.slots[slot as usize].state, row);
        self.meter.rows.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes a record of this epoch in; it is applied when its key settles.
    ///
    /// State is far larger than a cache: a key's records and its settling meet it in one visit.
    pub fn record(&mut self, record: F::Record) {
        let (key, _) = F::place(&record);
        let slot = self.touch(key);
        let position = self.queue.len() as u32;
        self.queue.push((Some(record), NO_RECORD));
        let entry = &mut self.slots[slot as usize];
        entry.queued = match entry.queued {
            None => Some((position, position)),
            Some((first, last)) => {
                self.queue[last as usize].1 = position;
                Some((first, position))
            }
        };
    }

    /// Settles what was touched or is due, and closes the epoch.
    pub fn settle(&mut self, now: i64, out: &mut Vec<(F::Output, Diff)>) {
        while let Some(Reverse((due, slot))) = self.alarms.peek().copied() {
            if due > now {
                break;
            }
            self.alarms.pop();
            let entry = &mut self.slots[slot as usize];
            if entry.wake == due {
                entry.wake = NEVER;
                if !entry.touched {
                    entry.touched = true;
                    self.touched.push(slot);
                }
            }
        }
        let touched = std::mem::take(&mut self.touched);
        for block in touched.chunks(WARM) {
            let warmed = block.iter().map(|slot| F::warm(&self.slots[*slot as usize].state));
            std::hint::black_box(warmed.fold(0, u64::wrapping_add));
            for slot in block {
                self.settle_one(now, *slot, out);
            }
        }
        self.meter.settled.fetch_add(touched.len() as u64, Ordering::Relaxed);
        self.meter.keys.store(self.index.len() as u64, Ordering::Relaxed);
        self.meter.outputs.fetch_add(out.len() as u64, Ordering::Relaxed);
        self.meter.records.fetch_add(self.queue.len() as u64, Ordering::Relaxed);
        self.queue.clear();
        self.touched = touched;
        self.touched.clear();
    }

    fn settle_one(&mut self, now: i64, slot: u32, out: &mut Vec<(F::Output, Diff)>) {
        let entry = &mut self.slots[slot as usize];
        entry.touched = false;
        let mut next = entry.queued.take().map_or(NO_RECORD, |(first, _)| first);
        while let Some((record, following)) = self.queue.get_mut(next as usize) {
            if let Some(record) = record.take() {
                self.fold.record(now, entry.key, &mut entry.state, record);
            }
            next = *following;
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
                self.free.push(slot);
            }
        }
    }

    fn touch(&mut self, key: F::Key) -> u32 {
        let slot = if let Some(slot) = self.index.get(&key) {
            *slot
        } else {
            let slot = self.vacant(key, F::State::default());
            self.index.insert(key, slot);
            slot
        };
        let entry = &mut self.slots[slot as usize];
        if !entry.touched {
            entry.touched = true;
            self.touched.push(slot);
        }
        slot
    }

    fn vacant(&mut self, key: F::Key, state: F::State) -> u32 {
        let fresh = Slot {
            key,
            state,
            wake: NEVER,
            touched: false,
            queued: None,
        };
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = fresh;
            return slot;
        }
        self.slots.push(fresh);
        (self.slots.len() - 1) as u32
    }

    /// Every key with its state and the time it asked to be woken at, in the order of keys.
    ///
    /// Call it between epochs.
    pub fn save(&self) -> BTreeMap<F::Key, (&F::State, Option<i64>)> {
        let slots = self.index.values().map(|slot| &self.slots[*slot as usize]);
        slots
            .map(|slot| (slot.key, (&slot.state, (slot.wake != NEVER).then_some(slot.wake))))
            .collect()
    }

    /// Takes a saved key in, if its shard is one of this worker's.
    pub fn load(&mut self, key: F::Key, state: F::State, wake: Option<i64>, worker: usize, peers: usize) {
        if F::route(&key) % SHARDS % peers as u64 != worker as u64 {
            return;
        }
        let slot = self.vacant(key, state);
        self.index.insert(key, slot);
        if let Some(due) = wake {
            self.slots[slot as usize].wake = due;
            self.alarms.push(Reverse((due, slot)));
        }
    }
}

/// A row that came or went.
type RowChange<F> = ((<F as Fold>::Key, <F as Fold>::Row), Diff);

/// What waits for its epoch to be complete.
struct Pending<F: Fold> {
    tick: Option<Capability<Epoch>>,
    rows: Vec<RowChange<F>>,
    records: Vec<F::Record>,
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

/// Runs a fold over the rows of a view and a stream of records.
///
/// `ticks` must carry one item for each epoch on each worker, and every row and record must stand at such an epoch.
pub fn fold<'scope, F: Fold>(
    fold: F,
    rows: Rows<'scope, (F::Key, F::Row)>,
    records: StreamVec<'scope, Epoch, F::Record>,
    ticks: StreamVec<'scope, Epoch, ()>,
    meter: Arc<FoldMeter>,
) -> StreamVec<'scope, Epoch, (F::Output, Epoch, Diff)> {
    let scope = ticks.scope();
    let mut builder = OperatorBuilder::new(format!("Fold: {}", F::NAME), scope);
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
    builder.build(move |_capabilities| {
        move |frontiers: &[MutableAntichain<Epoch>]| {
            rows.for_each(|_, updates| {
                for (row, epoch, diff) in updates.drain(..) {
                    pending.entry(epoch).or_default().rows.push((row, diff));
                }
            });
            records.for_each(|capability, batch| {
                if let Some(epoch) = capability.least() {
                    pending.entry(*epoch).or_default().records.append(batch);
                }
            });
            ticks.for_each(|capability, _| {
                if let Some(kept) = capability.retain_least(0) {
                    let epoch = *kept.time();
                    pending.entry(epoch).or_default().tick = Some(kept);
                }
            });
            let mut output = output.activate();
            while let Some(entry) = pending.first_entry() {
                if frontiers.iter().any(|frontier| frontier.less_equal(entry.key())) {
                    break;
                }
                let (epoch, work) = entry.remove_entry();
                let Some(capability) = work.tick else {
                    // Cannot be: sources and views speak only at ticks. Nothing may be dropped, so it stays visible.
                    debug_assert!(false, "{} has work at epoch {epoch}, which had no tick", F::NAME);
                    continue;
                };
                apply(&mut keyed, epoch as i64, work.rows, work.records, &mut out);
                let updates = out.drain(..).map(|(data, diff)| (data, epoch, diff));
                output.session(&capability).give_iterator(updates);
            }
        }
    });
    stream
}

fn apply<F: Fold>(
    keyed: &mut Keyed<F>,
    now: i64,
    mut rows: Vec<RowChange<F>>,
    mut records: Vec<F::Record>,
    out: &mut Vec<(F::Output, Diff)>,
) {
    differential_dataflow::consolidation::consolidate(&mut rows);
    // A replaced row is a retraction and an insertion: the insertion counts.
    rows.sort_by(|((a, _), da), ((b, _), db)| (a, da.signum()).cmp(&(b, db.signum())));
    let mut rows = rows.into_iter().peekable();
    while let Some(((key, row), diff)) = rows.next() {
        if rows.peek().is_none_or(|((next, _), _)| *next != key) {
            keyed.row(now, key, (diff > 0).then_some(row));
        }
    }
    // Batches come partition by partition: mostly they are sorted already, or a few sorted runs.
    if !records.is_sorted_by_key(|record| F::place(record).1) {
        records.sort_by_key(|record| F::place(record).1);
    }
    for record in records {
        keyed.record(record);
    }
    keyed.settle(now, out);
}
