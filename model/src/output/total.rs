//! Totals by region: how fast cases are worked on, and what is reported.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::responsibility::Unit;
use crate::topic::{Record, Shape, Spec};
use crate::{DomainScope, Facets, Filter, Id, Listed, Number, OutputRecord, RegionCode, Text, capability, joined};

/// A row of `out.response`, keyed by `region/domain` or by unit: how fast the cases there are acknowledged and resolved. It
/// counts the cases that have a row in `out.case.state`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    /// The region; absent in the row of a unit.
    pub region: Option<RegionCode>,
    /// The domain, or all; absent in the row of a unit.
    pub domain: Option<DomainScope>,
    /// The unit; absent in the row of a region.
    pub unit: Option<Id<Unit>>,
    /// Cases; of a unit its obligations.
    pub cases: i64,
    /// Those acknowledged.
    pub acknowledged: i64,
    /// Those acknowledged by their deadline.
    pub in_time: i64,
    /// Missed deadlines and what people lifted; of a unit those that it missed.
    pub escalations: i64,
    /// Cases archived; of a unit 0.
    pub archived: i64,
    /// The sum of the seconds from issue to acknowledgement.
    pub acknowledge_seconds: i64,
    /// The sum of the seconds from issue to archive; of a unit 0.
    pub resolve_seconds: i64,
    /// How many were acknowledged within each of [`Response::MINUTES`], not counting those before; the last: later.
    pub acknowledged_within: [i64; 13],
    /// How many were archived within each.
    pub resolved_within: [i64; 13],
}

impl Record for Response {
    const SPEC: Spec = Spec {
        id: 519,
        name: "out.response",
        shape: Shape::OutputTable,
        key: "region/domain or unit/id",
        capability: Some(capability::CASES),
        example: "",
    };
}

impl OutputRecord for Response {
    const LIST: Option<Listed> = Some(Listed {
        name: "responses",
        about: "how fast cases are acknowledged and resolved, by region and domain; and by unit, where none of the three is given",
        filters: &[Filter::Within, Filter::Tier, Filter::Domain],
        scope: None,
    });

    fn key(&self) -> Text {
        let key = match (&self.region, &self.domain, &self.unit) {
            (Some(region), Some(domain), _) => joined(&[&region.to_string(), &domain.to_string()]),
            // No region is called `unit`: regions are numbers.
            (_, _, Some(unit)) => joined(&["unit", unit]),
            _ => unreachable!("a row is of a region and domain, or of a unit"),
        };
        key.into()
    }

    fn facets(&self) -> Facets<'_> {
        Facets {
            region: self.region,
            scope: self.domain,
            ..Facets::default()
        }
    }
}

impl Response {
    /// The upper bounds of the counts by time.
    pub const MINUTES: [i64; 12] = [1, 2, 5, 10, 15, 30, 60, 120, 240, 480, 1440, 4320];
}

/// A row of `out.report.total`, keyed by `region/module/kind/quantity`: the sum of one quantity over the reports of a region and what lies within.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct ReportTotal {
    /// The region.
    pub region: RegionCode,
    /// The reporting module.
    pub module: Text,
    /// What is reported.
    pub kind: Text,
    /// The name of the quantity.
    pub quantity: Text,
    /// The sum.
    pub total: Number,
    /// How many reports have it.
    pub reports: i64,
}

impl Record for ReportTotal {
    const SPEC: Spec = Spec {
        id: 520,
        name: "out.report.total",
        shape: Shape::OutputTable,
        key: "region/module/kind/quantity",
        capability: Some(capability::REPORTS),
        example: "",
    };
}

impl OutputRecord for ReportTotal {
    const LIST: Option<Listed> = Some(Listed {
        name: "reports",
        about: "totals of reports, by region, module, kind and quantity",
        filters: &[Filter::Within, Filter::Tier, Filter::Module],
        scope: None,
    });

    fn key(&self) -> Text {
        joined(&[&self.region.to_string(), &self.module, &self.kind, &self.quantity]).into()
    }

    fn facets(&self) -> Facets<'_> {
        Facets {
            region: Some(self.region),
            module: Some(&self.module),
            ..Facets::default()
        }
    }
}
