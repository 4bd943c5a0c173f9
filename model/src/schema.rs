//! JSON Schemas (2020-12) of the records on the topics, generated from the types.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};

use crate::action::Action;
use crate::base::{Asset, Datastream, Region};
use crate::intake::{Incident, Limit, Permit, Report};
use crate::observation::ObservationRecord;
use crate::output::{
    AssetRisk, CaseDelta, CaseState, DeadLetter, Notice, RegionRisk, ReportTotal, Response, Stamped, WarningDelta,
    WarningState,
};
use crate::responsibility::{Duty, Plan, Unit, User};
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
        Topic::BaseUnit => of::<Unit>(),
        Topic::BaseUser => of::<User>(),
        Topic::BaseDuty => of::<Duty>(),
        Topic::BasePlan => of::<Plan>(),
        Topic::BaseLimit => of::<Limit>(),
        Topic::InPermit => of::<Permit>(),
        Topic::InReport => of::<Report>(),
        Topic::InIncident => of::<Incident>(),
        Topic::InObservation => of::<ObservationRecord<'static>>(),
        Topic::InAction => of::<Action>(),
        Topic::RiskAsset => of::<Stamped<AssetRisk>>(),
        Topic::RiskRegion => of::<Stamped<RegionRisk>>(),
        Topic::WarningState => of::<Stamped<WarningState>>(),
        Topic::WarningDelta => of::<Stamped<WarningDelta>>(),
        Topic::CaseState => of::<Stamped<CaseState>>(),
        Topic::CaseDelta => of::<Stamped<CaseDelta>>(),
        Topic::Notice => of::<Stamped<Notice>>(),
        Topic::Response => of::<Stamped<Response>>(),
        Topic::ReportTotal => of::<Stamped<ReportTotal>>(),
        Topic::DeadLetter => of::<Stamped<DeadLetter>>(),
        Topic::Progress => of::<crate::progress::Progress>(),
        Topic::InRule => return None,
    })
}
