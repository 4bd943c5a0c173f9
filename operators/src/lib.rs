//! The dataflow of riskflow: folds at the edge, views in the middle.
//!
//! A **fold** ([`engine::Fold`]) is a keyed operator that takes records in epoch order, holds compact state for each key and may
//! ask to be woken by the clock. What must survive a crash lives in folds and nowhere else. A **view** is a function
//! from collections to collections. The rooms stand in the order in which data flows; each has one door, and takes only from those
//! before it.
//!
//! Nothing here knows Kafka, files, threads of its own, or the wall clock; the same input gives the same output.

pub mod engine;
pub mod gauge;
pub mod place;
pub mod risk;
pub mod warning;
pub mod permit;
pub mod span;
pub mod closed_loop;
pub mod standalone;

pub use engine::{Diff, Epoch, Rows, Turn};
