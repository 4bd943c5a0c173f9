//! What every capability is built of: folds, tables, joins, and the builder that puts them into the dataflow.

mod buffer;
mod index;
mod fold;
mod table;
mod builder;
mod epochs;
mod few;

pub(crate) use buffer::clear;
pub use builder::{Builder, Built, Outside, Updates, fork, split_into};
pub(crate) use epochs::{by_epoch, by_epoch_of_two};
pub(crate) use few::{join_few, map_changed};
pub use fold::{
    Batch, Batches, Fold, FoldMeter, Keeper, Keyed, Next, NoRecord, Offer, Pulse, RouteHasher, SHARDS, Tick, Waking,
    arrived, batched, fold,
};
pub(crate) use index::Index;
pub use table::{BaseRecord, Change, Latest, TableKey};

/// What stands for an epoch within the dataflow: how many were closed before it since the start. The tick of a turn
/// ([`Tick`]) says which epoch it is.
pub type Turn = u64;

/// The logical time of the job: milliseconds of pipeline time since the Unix epoch.
pub type Epoch = u64;

/// The multiplicity of a row.
pub type Diff = i64;

/// A collection of rows that changes from epoch to epoch.
pub type Rows<'scope, D> = differential_dataflow::VecCollection<'scope, Turn, D, Diff>;

/// Rows that many others share a key with meet over this many keys in its place: a key's rows are worked on and merged as a
/// whole, on one worker.
pub(crate) const SPREAD: u64 = 16;

/// Which of them a row belongs to.
pub(crate) const fn spread(key: riskflow_model::Key) -> u64 {
    key.route() % SPREAD
}
