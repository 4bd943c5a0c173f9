//! What late data and corrections did to warnings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::DeltaKind;
use crate::topic::{Record, Shape, Spec};
use crate::{Facets, Filter, Listed, Millis, OutputRecord, RegionCode, Text, joined};

/// A row of `out.lateness`, keyed by `region/category`: what late data and corrections did to the warnings of one kind of asset in one
/// county, as `out.warning.delta` told it since the job began. Counts only grow; there is a row once there is anything to count.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Lateness {
    /// The county in which the asset stood. Where its region lies in none by its code (a province, a city, a code that is not
    /// statistical), that region.
    pub region: RegionCode,
    /// The asset's kind.
    pub category: Text,
    /// How many deltas had the cause `late_data`.
    pub late_data: DeltaCounts,
    /// How many had the cause `correction`.
    pub correction: DeltaCounts,
    /// The epoch of the last of them.
    pub changed: Millis,
}

/// How many deltas there were of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct DeltaCounts {
    /// A warning began.
    pub raised: u64,
    /// The level of one rose.
    pub escalated: u64,
    /// The level of one fell, and not to `none`.
    pub eased: u64,
    /// One ended.
    pub cleared: u64,
    /// One never was, whether it was open or over.
    pub withdrawn: u64,
    /// One began at another time.
    pub revised: u64,
    /// One was over when it was learnt.
    pub recorded: u64,
    /// Of one that is over the beginning, the end or the highest level was another.
    pub amended: u64,
}

impl DeltaCounts {
    /// How many there were of a kind.
    pub const fn of(&mut self, kind: DeltaKind) -> &mut u64 {
        match kind {
            DeltaKind::Raised => &mut self.raised,
            DeltaKind::Escalated => &mut self.escalated,
            DeltaKind::Eased => &mut self.eased,
            DeltaKind::Cleared => &mut self.cleared,
            DeltaKind::Withdrawn => &mut self.withdrawn,
            DeltaKind::Revised => &mut self.revised,
            DeltaKind::Recorded => &mut self.recorded,
            DeltaKind::Amended => &mut self.amended,
        }
    }
}

impl Record for Lateness {
    const SPEC: Spec = Spec {
        id: 525,
        name: "out.lateness",
        shape: Shape::OutputTable,
        key: "region/category",
        capability: None,
        example: "",
    };
}

impl OutputRecord for Lateness {
    const LIST: Option<Listed> = Some(Listed {
        name: "lateness",
        about: "what late data and corrections did to warnings since the job began, by county and kind of asset",
        filters: &[Filter::Within, Filter::Category],
        scope: None,
    });

    fn key(&self) -> Text {
        joined(&[&self.region.to_string(), &self.category]).into()
    }

    fn facets(&self) -> Facets<'_> {
        Facets {
            region: Some(self.region),
            category: Some(&self.category),
            ..Facets::default()
        }
    }
}
