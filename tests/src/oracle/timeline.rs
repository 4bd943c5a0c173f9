//! Everything that is known of one case, with its times.

use std::collections::BTreeMap;

use riskflow_model::action::Action;
use riskflow_model::base::Asset;
use riskflow_model::id::RuleOrHazard;
use riskflow_model::output::{Cause, Origin};
use riskflow_model::{Domain, Id, Level, Millis, RegionCode};

use crate::oracle::bureau::{Asking, Place, Wanted};

/// What a case is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Whether it is an incident.
    pub incident: bool,
    /// The rule or hazard.
    pub rule: Id<RuleOrHazard>,
    /// The asset.
    pub asset: Option<Id<Asset>>,
    /// The domain.
    pub domain: Domain,
    /// Where.
    pub region: RegionCode,
    /// Since when.
    pub since: Millis,
}

/// What a fact says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// It is there, at this level.
    Open(Level),
    /// It is over.
    Cleared,
    /// It never was.
    Withdrawn,
    /// It rises and falls again and again, or does so no more.
    Marked(bool),
}

/// What the case is about from an epoch on.
#[derive(Clone, Debug)]
pub struct Named {
    /// The epoch.
    pub at: i64,
    /// What.
    pub about: About,
}

/// A change of the warning or incident.
#[derive(Clone, Debug)]
pub struct Fact {
    /// The epoch.
    pub at: i64,
    /// Its cause.
    pub cause: Cause,
    /// What is so now.
    pub says: Says,
    /// Whether something begins.
    pub begins: bool,
    /// Whether it is a warning that joins a case.
    pub joins: bool,
}

impl Fact {
    /// Whether it is about how restless the level is, not about the level.
    #[must_use]
    pub const fn is_mark(&self) -> bool {
        matches!(self.says, Says::Marked(_))
    }
}

/// What duties and plans ask for from an epoch on.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The epoch.
    pub at: i64,
    /// Who must acknowledge.
    pub obligations: BTreeMap<Place, Asking>,
    /// What is to be done.
    pub tasks: Vec<Wanted>,
}

/// An action where it stands.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Where it stands.
    pub at: i64,
    /// Where it came from.
    pub origin: Origin,
    /// What was done.
    pub action: Action,
}

/// Everything that is known of a case.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// By epoch.
    pub about: Vec<Named>,
    /// By epoch.
    pub facts: Vec<Fact>,
    /// By epoch.
    pub asked: Vec<Asked>,
    /// As they came.
    pub actions: Vec<Kept>,
}
