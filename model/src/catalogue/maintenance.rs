//! Maintenance windows: what is worked on, and therefore may read oddly.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::Asset;
use crate::topic::{Record, Shape, Spec};
use crate::{
    Check, Facets, Filter, Id, Listed, Millis, OutputRecord, RegionCode, TableRecord, Text, capability, field, joined,
};

/// A record of `in.maintenance`, keyed by `id`: something is maintained from one time to another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Maintenance {
    /// The identifier.
    pub id: Id<Maintenance>,
    /// Grows with every change.
    pub version: u32,
    /// What is done.
    pub kind: MaintenanceKind,
    /// Where.
    pub region: RegionCode,
    /// The asset, if it is one.
    #[serde(default)]
    pub asset: Option<Id<Asset>>,
    /// From here on.
    pub valid_from: Millis,
    /// Up to here, without it.
    pub valid_to: Millis,
    /// What people call it.
    #[serde(default, deserialize_with = "field::or_default")]
    pub title: Text,
    /// Whether it was called off.
    #[serde(default, deserialize_with = "field::or_default")]
    pub cancelled: bool,
}

/// What is done in a maintenance window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MaintenanceKind {
    /// Sensors are calibrated or exchanged.
    Sensor,
    /// The asset itself is repaired.
    Asset,
    /// An exercise: what is reported is not meant.
    Exercise,
}

impl MaintenanceKind {
    /// The name on the topics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sensor => "sensor",
            Self::Asset => "asset",
            Self::Exercise => "exercise",
        }
    }
}

impl Record for Maintenance {
    const SPEC: Spec = Spec {
        id: 13,
        name: "in.maintenance",
        shape: Shape::VersionedTable,
        key: "id",
        capability: Some(capability::PERMITS),
        example: r#"{"id":"i","version":1,"kind":"sensor","region":"3309","asset":"a","valid_from":0,
            "valid_to":1750000020000,"title":"t","cancelled":false}"#,
    };
}

impl TableRecord for Maintenance {
    fn id(&self) -> Text {
        self.id.text().clone()
    }

    fn version(&self) -> Option<u32> {
        Some(self.version)
    }

    fn check(&self, check: &mut Check) {
        check.identifier("id", &self.id);
        check.identifier_if_any("asset", self.asset.as_deref());
        check.text("title", &self.title);
        if self.valid_to <= self.valid_from {
            check.wrong("valid_to", self.valid_to, "a time after `valid_from`");
        }
    }
}

/// A row of `out.maintenance.total`, keyed by `region/kind`: how many windows are planned in a region and those within.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct MaintenanceTotal {
    /// The region.
    pub region: RegionCode,
    /// What is done.
    pub kind: MaintenanceKind,
    /// How many windows that were not called off.
    pub windows: i64,
}

impl Record for MaintenanceTotal {
    const SPEC: Spec = Spec {
        id: 523,
        name: "out.maintenance.total",
        shape: Shape::OutputTable,
        key: "region/kind",
        capability: Some(capability::PERMITS),
        example: "",
    };
}

impl OutputRecord for MaintenanceTotal {
    const LIST: Option<Listed> = Some(Listed {
        name: "maintenance",
        about: "maintenance windows, by region and kind",
        filters: &[Filter::Within, Filter::Tier],
        scope: None,
    });

    fn key(&self) -> Text {
        joined(&[&self.region.to_string(), self.kind.name()]).into()
    }

    fn facets(&self) -> Facets<'_> {
        Facets {
            region: Some(self.region),
            ..Facets::default()
        }
    }
}
