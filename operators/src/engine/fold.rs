//! The generic fold: keyed state, applied in epoch order, woken by the clock.
//!
//! ```text
//!   rows ────(key)──┐                             ┌──► (output, epoch, difference)
//!   records ─(key)──┼──► [ Keyed<F> on each worker ]
//!   ticks ──────────┘                             └──► when the clock woke a key, and when it will wake the next
//! ```
//!
//! * **Exchange.** Rows and records go to the worker of their key's shard: one of [`SHARDS`], so that what is bounded
//!   for a shard does not depend on the number of workers. Records go in [`Batches`], gathered where they are found.
//! * **Order.** An epoch is applied once all three inputs have passed it: first the rows that changed, then the records
//!   in the order of their origin, then every touched or due key settles once: keys with records in the order of these,
//!   then the others. In what order these do depends on the history of the process, so nothing may depend on it.
//! * **Clock.** A tick arrives on every worker for every epoch and says what time it is; time passes by nothing else. A key
//!   that asked to be woken at *d* settles at the first tick that says *d* or later. That a tick woke a key is told even where
//!   nothing is given, and so is the earliest time that a key waits for: an epoch without rows, records and keys due is
//!   *quiet*, it changes no state, and need not be closed.
//! * **State** is one value a key. A tick may ask for a checkpoint: the state after its epoch goes out in chunks while the
//!   stream goes on ([`Keyed::begin_snapshot`]), and [`Keyed::load`] reads the shards of one worker back, for any number of
//!   workers. Views are rebuilt: in the first epoch after a load the output tables are given again, and all rows come again.
//!
//! [`Keyed`] holds no dataflow type: unit tests drive it with plain calls.

use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};

use differential_dataflow::ExchangeData;
use riskflow_model::Millis;
use riskflow_model::output::Origin;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::engine::Diff;

mod alarms;
mod batch;
mod keyed;
mod operator;
mod snapshot;

pub use batch::{Arrived, Batch, Batches, arrived, batched};
pub use keyed::{Keyed, RouteHasher};
pub use operator::{Waking, fold};
pub use snapshot::{Keeper, Offer};

/// What no clock says.
const NEVER: Millis = Millis::MAX;

/// One for each epoch on each worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// The epoch.
    pub epoch: u64,
    /// What time it is. Rises from tick to tick. The epoch itself, but after a clock that
    /// was ahead: epochs never go back, time does.
    pub clock: Millis,
    /// Whether the state after this epoch is to be kept.
    pub checkpoint: bool,
}

/// How many parts the keys are divided into; a power of two, so that workers get even shares.
pub const SHARDS: u64 = 4096;

/// The record of a fold to which all comes from rows.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum NoRecord {}

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

    /// The rows of the key changed in this epoch: removals (-1) come before additions (1). Returns whether the key must
    /// settle; a key without state must.
    ///
    /// State that was loaded from a checkpoint has no rows, since views are rebuilt: all rows come again, in one call, which
    /// is made even if there are none.
    fn rows(
        &mut self,
        now: Millis,
        key: Self::Key,
        state: &mut Self::State,
        changes: &mut dyn Iterator<Item = (Self::Row, Diff)>,
    ) -> bool;

    /// A record arrived in this epoch. What it holds may be moved out of it: it is not read again.
    fn record(&mut self, now: Millis, key: Self::Key, state: &mut Self::State, record: &mut Self::Record);

    /// Reads parts of the state that applying and settling will need, and gives anything made of them: what the state
    /// itself points to in the first of [`WARM_STAGES`], what that points to in the second, and so on.
    ///
    /// Called stage by stage for some keys in a row before these settle: short independent reads miss the cache side by
    /// side, where the long work on one key after the other would wait for each miss by itself.
    fn warm(_state: &Self::State, _stage: usize) -> u64 {
        0
    }

    /// Whether a key that should give a sign of life again and again does so. Asked of each key that a checkpoint takes in, as it is
    /// then.
    fn pulse(_state: &Self::State, _now: Millis) -> Pulse {
        Pulse::NotExpected
    }

    /// Gives again what stands in the output for a key that was loaded; records of append-only outputs do not.
    fn recall(&mut self, key: Self::Key, state: &Self::State, out: &mut Vec<(Self::Output, Diff)>);

    /// Everything of this epoch was applied to the key, or it asked to be woken: gives what follows from it.
    fn settle(
        &mut self,
        now: Millis,
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
    Wake(Millis),
    /// Nothing is known of the key any more: drop the state.
    Forget,
}

/// Whether a key gives a sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// Nobody says that it should.
    NotExpected,
    /// It does.
    Beats,
    /// It should, and does not.
    Silent,
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
    /// Keys that should give a sign of life, at the newest checkpoint.
    pub expected: AtomicU64,
    /// Those of them that do not.
    pub silent: AtomicU64,
}

impl FoldMeter {
    /// The job begins once more: what was counted of its state is gone with it. What was done stays done.
    pub fn begin_anew(&self) {
        for gone in [&self.keys, &self.expected, &self.silent] {
            gone.store(0, Ordering::Relaxed);
        }
    }
}

/// How many times in a row [`Fold::warm`] is called for a key.
pub const WARM_STAGES: usize = 2;

/// A row that came (1) or went (-1).
pub type RowChange<F> = ((<F as Fold>::Key, <F as Fold>::Row), Diff);
