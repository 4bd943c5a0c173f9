//! The dataflow of riskflow: folds at the edge, views in the middle.
//!
//! A **fold** ([`fold`]) is a keyed operator that takes records in epoch order, holds compact state for each key and may
//! ask to be woken by the clock. What must survive a crash lives in folds and nowhere else. A **view** is a function
//! from collections to collections. The modules stand in the order in which data flows.
//!
//! Nothing here knows Kafka, files, threads of its own, or the wall clock; the same input gives the same output.

pub mod fold;
pub mod table;
pub mod builder;
pub mod valid;
pub mod locate;
mod few;
pub mod unmatched;
pub mod specification;
pub mod monitor;
pub mod permit;
pub mod lifecycle;
pub mod roster;
pub mod obligation;
pub mod joining;
pub mod case;
pub mod named;
pub mod notice;
pub mod response;
pub mod closed_loop;
pub mod asset_risk;
pub mod score_baseline;
pub mod region_risk;
pub mod standalone;

/// What stands for an epoch within the dataflow: how many were closed before it since the start. The tick of a turn
/// ([`Tick`](fold::Tick)) says which epoch it is.
pub type Turn = u64;

/// The logical time of the job: milliseconds of pipeline time since the Unix epoch.
pub type Epoch = u64;

/// Rows that many others share a key with meet over this many keys in its place: a key's rows are worked on and merged as a
/// whole, on one worker.
pub(crate) const SPREAD: u64 = 16;

/// Which of them a row belongs to.
pub(crate) const fn spread(key: riskflow_model::Key) -> u64 {
    key.route() % SPREAD
}

/// The multiplicity of a row.
pub type Diff = i64;

/// A collection of rows that changes from epoch to epoch.
pub type Rows<'scope, D> = differential_dataflow::VecCollection<'scope, Turn, D, Diff>;
