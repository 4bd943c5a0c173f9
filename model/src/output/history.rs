//! Warnings that are over.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SourceKind, WarningState};
use crate::base::Asset;
use crate::id::RuleOrLimit;
use crate::topic::{Record, Shape, Spec};
use crate::{Domain, Facets, Filter, Id, Level, Listed, Millis, OutputRecord, RegionCode, Text};

/// A row of `out.warning.history`, keyed by `id`: one episode that is over. It changes when the series does; when the episode is open
/// again, and when it ended so long ago that it is forgotten, a null payload deletes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct PastWarning {
    /// The identifier, as in `out.warning.state` if it was open once.
    pub id: Id<WarningState>,
    /// The rule's or limit's identifier.
    pub rule: Id<RuleOrLimit>,
    /// What warned: `limit` a limit, `datastream` a rule, whatever it watches.
    pub source: SourceKind,
    /// The asset's identifier.
    pub asset: Id<Asset>,
    /// The asset's domain when the row was written.
    pub domain: Domain,
    /// Where the asset stood when the row was written.
    pub region: RegionCode,
    /// When the level left `none`.
    pub since: Millis,
    /// When it was `none` again; of one that was withdrawn while it was open, the epoch.
    pub until: Millis,
    /// The highest level in between; of one that was withdrawn while it was open, its last level.
    pub peak: Level,
    /// Whether it was, as far as is known now.
    pub state: PastState,
    /// Whether it was ever told while it was open.
    pub told: bool,
}

/// Whether a warning that is over ever was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PastState {
    /// It was, and ended.
    Ended,
    /// By the series as known now it never was.
    Withdrawn,
}

impl PastState {
    /// The name on the topic.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl Record for PastWarning {
    const SPEC: Spec = Spec {
        id: 524,
        name: "out.warning.history",
        shape: Shape::OutputTable,
        key: "id",
        capability: None,
        example: "",
    };
}

impl OutputRecord for PastWarning {
    const LIST: Option<Listed> = Some(Listed {
        name: "warnings/history",
        about: "warnings that are over, as far as they are remembered; `least` is of their highest level",
        filters: &[Filter::Within, Filter::Domain, Filter::Rule, Filter::Least],
        scope: None,
    });

    fn key(&self) -> Text {
        self.id.text().clone()
    }

    fn facets(&self) -> Facets<'_> {
        Facets {
            region: Some(self.region),
            domain: Some(self.domain),
            rule: Some(&self.rule),
            level: Some(self.peak),
            ..Facets::default()
        }
    }
}
