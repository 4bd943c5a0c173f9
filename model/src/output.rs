//! What riskflow writes: risk tables, warnings and their deltas, cases and notices, dead letters.
//!
//! On the topics each of these is one JSON object to which [`Stamped`] adds the epoch of the change.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Millis;

mod candidate;
mod case;
mod dead_letter;
mod history;
mod lateness;
mod notice;
mod risk;
mod total;
mod unmatched;
mod warning;

pub use candidate::{CandidateDelta, CandidateState, DifferenceKind, Open, SetDifference, SetState};
pub use case::{
    Basis, By, CaseCounts, CaseDelta, CaseEvent, CaseEventKind, CaseState, CaseStep, CaseTimes, Escalation, Note,
    Obligation, People, Refusal, TaskState,
};
pub use dead_letter::{DeadLetter, Origin, PayloadEncoding, Reason};
pub use history::{PastState, PastWarning};
pub use lateness::{DeltaCounts, Lateness};
pub use notice::{Notice, NoticeEvent, Reminder};
pub use risk::{AssetRisk, LevelCounts, RegionRisk, TopAsset};
pub use total::{ReportTotal, Response};
pub use unmatched::Unmatched;
pub use warning::{
    Cause, DeltaKind, Explanation, FeatureValue, GivenLimit, LimitSource, Sample, SourceKind, WarningDelta,
    WarningState,
};

/// A record as written: its fields, and the epoch in which it changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stamped<T> {
    /// The fields of the record.
    #[serde(flatten)]
    pub record: T,
    /// Only where the record was too large to be written: this one, of the same key, stands for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stand_in: Option<StandIn>,
    /// The logical time of the change: all records of one epoch become visible together.
    pub epoch: Millis,
}

/// A record stands for one that is too large. It has the same key and the same fields, but its long texts are cut, each with a
/// mark that says how long it was (`…(70000 bytes, cut)…`), and of long lists the first entries are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StandIn {
    /// How many bytes the whole record would have had.
    pub bytes: u64,
    /// The most that the topic takes.
    pub most: u64,
}
