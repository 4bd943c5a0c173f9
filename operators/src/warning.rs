//! Capability: warnings. From rules and datastreams over observations to what begins, changes and ends.

mod valid;
mod unmatched;
mod specification;
mod monitor;
mod lifecycle;
mod ledger;

pub use ledger::{Late, ledger};
pub(crate) use lifecycle::KNOWN;
pub use lifecycle::{Joined, Lifecycle, Step};
pub(crate) use monitor::forget_episodes;
pub use monitor::{Finding, Forecasted, Incoming, Monitor, Observed, Revision, Source, Track, remembered};
pub(crate) use specification::above_hash;
pub use specification::{Entry, LocatedAsset, Specification, Subject, at_asset, rule, specifications};
pub use unmatched::{Alone, Lasting, UnmatchedMeter, unmatched_table};
pub use valid::NoValueMeter;
