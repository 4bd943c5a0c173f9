//! Capability: warnings. From rules and datastreams over observations to what begins, changes and ends.

mod evaluations;
mod valid;
mod unmatched;
mod specification;
mod rule_sets;
mod monitor;
mod lifecycle;
mod ledger;
mod inquiry;

pub use evaluations::EvaluationMeter;
pub use inquiry::{Inquiry, Stood};
pub use ledger::{Late, ledger};
pub(crate) use lifecycle::KNOWN;
pub use lifecycle::{Joined, Lifecycle, Step};
pub use monitor::{
    Civil, Explained, Finding, Forecasted, Incoming, Judged, Look, LookedLevel, Monitor, Move, Observed, Revision,
    Source, Track, Truth, Weighed, remembered,
};
pub(crate) use monitor::{
    Forget, LEVELS, Phase, Set, Standing, THOUSANDTH, Turns, Value, bounds, collect, compare, forget_episodes,
    given_limit, levels, phase_of, truth, whose,
};
pub use rule_sets::{SetMeter, rule_sets};
pub(crate) use specification::above_hash;
pub use specification::{
    ArrangedAssets, Entry, LocatedAsset, OnAsset, OverGauges, Specification, Specified, Subject, WatchedAsset, Written,
    arranged, at_asset, region_key, rule, specification_of, specifications,
};
pub use unmatched::{Alone, Lasting, UnmatchedMeter, unmatched_table};
pub use valid::NoValueMeter;
