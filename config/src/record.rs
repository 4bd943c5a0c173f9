//! Input records as decoded: what sources hand to the dataflow.

use riskflow_model::action::Action;
use riskflow_model::base::{Asset, Datastream, Region};
use riskflow_model::intake::{Incident, Limit, Permit, Report};
use riskflow_model::observation::Observation;
use riskflow_model::responsibility::{Duty, Plan, Unit, User};
use riskflow_model::{Key, Shared, Text};
use serde::{Deserialize, Serialize};

use crate::Rule;

/// A record of an input topic, decoded and checked. A table's record without a row deletes.
#[derive(Clone, Debug, PartialEq)]
pub enum InputRecord {
    /// Of `in.observation`.
    Observation(Observation),
    /// Of `in.action`.
    Action(Box<Action>),
    /// Of a table: the key of its identifier, and its row.
    Base(Key, Option<BaseRow>),
}

/// A row of one of the input tables.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BaseRow {
    /// Of `base.region`.
    Region(Shared<Region>),
    /// Of `base.asset`.
    Asset(Shared<Asset>),
    /// Of `base.datastream`.
    Datastream(Shared<Datastream>),
    /// Of `in.rule`.
    Rule(Rule),
    /// Of `base.unit`.
    Unit(Shared<Unit>),
    /// Of `base.user`.
    User(Shared<User>),
    /// Of `base.duty`.
    Duty(Shared<Duty>),
    /// Of `base.plan`.
    Plan(Shared<Plan>),
    /// Of `base.limit`.
    Limit(Shared<Limit>),
    /// Of `in.permit`.
    Permit(Shared<Permit>),
    /// Of `in.report`.
    Report(Shared<Report>),
    /// Of `in.incident`.
    Incident(Shared<Incident>),
}

impl BaseRow {
    /// The identifier that keys the row on its topic.
    #[must_use]
    pub fn id(&self) -> Text {
        match self {
            Self::Region(region) => region.code.to_string().into(),
            Self::Asset(asset) => asset.id.clone(),
            Self::Datastream(datastream) => datastream.id.clone(),
            Self::Rule(rule) => rule.record.id.clone(),
            Self::Unit(unit) => unit.id.clone(),
            Self::User(user) => user.id.clone(),
            Self::Duty(duty) => duty.id.clone(),
            Self::Plan(plan) => plan.id.clone(),
            Self::Limit(limit) => limit.id.clone(),
            Self::Permit(permit) => permit.id.clone(),
            Self::Report(report) => report.id.clone(),
            Self::Incident(incident) => incident.id.clone(),
        }
    }

    /// The version, of tables in which the highest counts; 0 in all others.
    #[must_use]
    pub fn version(&self) -> u32 {
        match self {
            Self::Permit(permit) => permit.version,
            Self::Report(report) => report.version,
            Self::Incident(incident) => incident.version,
            _ => 0,
        }
    }

    /// The region, if it is one.
    #[must_use]
    pub fn region(self) -> Option<Shared<Region>> {
        if let Self::Region(row) = self { Some(row) } else { None }
    }

    /// The asset, if it is one.
    #[must_use]
    pub fn asset(self) -> Option<Shared<Asset>> {
        if let Self::Asset(row) = self { Some(row) } else { None }
    }

    /// The datastream, if it is one.
    #[must_use]
    pub fn datastream(self) -> Option<Shared<Datastream>> {
        if let Self::Datastream(row) = self {
            Some(row)
        } else {
            None
        }
    }

    /// The rule, if it is one.
    #[must_use]
    pub fn rule(self) -> Option<Rule> {
        if let Self::Rule(row) = self { Some(row) } else { None }
    }

    /// The unit, if it is one.
    #[must_use]
    pub fn unit(self) -> Option<Shared<Unit>> {
        if let Self::Unit(row) = self { Some(row) } else { None }
    }

    /// The user, if it is one.
    #[must_use]
    pub fn user(self) -> Option<Shared<User>> {
        if let Self::User(row) = self { Some(row) } else { None }
    }

    /// The duty, if it is one.
    #[must_use]
    pub fn duty(self) -> Option<Shared<Duty>> {
        if let Self::Duty(row) = self { Some(row) } else { None }
    }

    /// The plan, if it is one.
    #[must_use]
    pub fn plan(self) -> Option<Shared<Plan>> {
        if let Self::Plan(row) = self { Some(row) } else { None }
    }

    /// The limit, if it is one.
    #[must_use]
    pub fn limit(self) -> Option<Shared<Limit>> {
        if let Self::Limit(row) = self { Some(row) } else { None }
    }

    /// The permit, if it is one.
    #[must_use]
    pub fn permit(self) -> Option<Shared<Permit>> {
        if let Self::Permit(row) = self { Some(row) } else { None }
    }

    /// The report, if it is one.
    #[must_use]
    pub fn report(self) -> Option<Shared<Report>> {
        if let Self::Report(row) = self { Some(row) } else { None }
    }

    /// The incident, if it is one.
    #[must_use]
    pub fn incident(self) -> Option<Shared<Incident>> {
        if let Self::Incident(row) = self {
            Some(row)
        } else {
            None
        }
    }
}
