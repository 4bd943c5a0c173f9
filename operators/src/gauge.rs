//! What lasts, adds up and combines: spans, and measures of all spans that hold at an instant.
//!
//! A **span** says that something holds from `from` until before `to` ([`Stretch`]), with a weight or attributes. A **measure** is a
//! function of time over spans: how many there are, or what they weigh ([`Sum`]), how many different ones ([`Distinct`]), the
//! highest ([`HighestLevel`], [`HighestNumber`], [`Fused`]), for how long ([`Elapsed`], [`Covered`]), how many began ([`Starts`]), what is
//! there without what it needs ([`Missing`]). Which spans hold at an instant is a question to [`Members`].
//!
//! ```text
//!   a span comes or goes ─► Steps: deltas at two instants ─► flips: where `value >= 1` became another truth ─► Steps of the next
//! ```
//!
//! All of it is one structure: a [`Tree`] of deltas by time ([`Steps`]). One span costs two edits of `O(log n)`, and a descent for each
//! crossing of a bound within the span, however many steps lie between. Distinct values, gaps and what is missing are counts of counts:
//! one measure's flips are another one's spans.
//!
//! # Contract
//!
//! * Times and lengths are milliseconds. Nothing here knows the present: what is to come is as good as what was.
//! * A span comes and goes with `times`, as rows do: 1 and -1. What comes twice goes twice. The order does not matter: what goes before
//!   it comes is owed in between, and the value is right once all have been seen. A stretch with `from >= to` holds nothing.
//! * Each change adds to [`Changes`] the stretches in which the value may have become another one. Outside of them it did not. A
//!   caller settles merged stretches once an epoch.
//! * `forget(before)` lets go of what no instant from `before` on needs. Then nothing may be asked before it, and of a span that begins
//!   before it only the rest counts.
//! * State is bounded by the spans that are not forgotten. It is serialized in full where it is asked for; it can also be made anew from
//!   all spans, unless something was forgotten.
//! * No sum wraps: a weight has 64 bits, `times` 32, a sum 128.

mod tree;
mod stretch;
mod steps;
mod total;
mod distinct;
mod highest;
mod runs;
mod elapsed;
mod covered;
mod missing;
mod fused;
mod members;
mod quotient;
#[cfg(test)]
mod naive;

pub use covered::{Covered, Starts};
pub use distinct::Distinct;
pub use elapsed::Elapsed;
pub use fused::Fused;
pub use highest::{HighestLevel, HighestNumber};
pub use members::{Member, Members};
pub use missing::Missing;
pub use quotient::{Ratio, difference, ratio};
pub use steps::Steps;
pub use stretch::{ALWAYS, Changes, OPEN, Stretch};
pub use total::Sum;
pub use tree::{Item, Tree};
