//! JSON Schemas (2020-12) of the records on the topics, generated from the types.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};

use crate::base::{Asset, Datastream, Region};
use crate::observation::ObservationRecord;
use crate::output::{AssetRisk, DeadLetter, RegionRisk, Stamped, WarningDelta, WarningState};
use crate::topic::Topic;

/// The schema of a type.
#[must_use]
pub fn of<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<T>()
}

/// The schema of a topic's payload; `None` where another crate owns the type (`in.rule`).
#[must_use]
pub fn of_topic(topic: Topic) -> Option<Schema> {
    Some(match topic {
        Topic::BaseRegion => of::<Region>(),
        Topic::BaseAsset => of::<Asset>(),
        Topic::BaseDatastream => of::<Datastream>(),
        Topic::InObservation => of::<ObservationRecord<'static>>(),
        Topic::RiskAsset => of::<Stamped<AssetRisk>>(),
        Topic::RiskRegion => of::<Stamped<RegionRisk>>(),
        Topic::WarningState => of::<Stamped<WarningState>>(),
        Topic::WarningDelta => of::<Stamped<WarningDelta>>(),
        Topic::DeadLetter => of::<Stamped<DeadLetter>>(),
        Topic::Progress => of::<crate::progress::Progress>(),
        Topic::InRule => return None,
    })
}
