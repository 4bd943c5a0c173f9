//! The catalogue of topics: name, direction, key, retention. Every place that needs a topic takes it from here.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A topic that riskflow reads or writes. Its name on a broker is the configured prefix, then [`Topic::name`].
///
/// The order is the order in which the records of one epoch are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u16)]
pub enum Topic {
    /// Administrative regions.
    BaseRegion,
    /// Assets.
    BaseAsset,
    /// Datastreams.
    BaseDatastream,
    /// Units that answer for regions, and their parents.
    BaseUnit,
    /// People, the units they belong to and the roles they hold there.
    BaseUser,
    /// Who answers for what: region, domain, rule and level to unit and role, with rosters.
    BaseDuty,
    /// Response plans: rule and level to tasks.
    BasePlan,
    /// Limits of work under permit.
    BaseLimit,
    /// Rules.
    InRule,
    /// Work permits and certificates.
    InPermit,
    /// Reports of towns and streets.
    InReport,
    /// Incidents reported by people.
    InIncident,
    /// Observations.
    InObservation,
    /// What people do about cases.
    InAction,
    /// Risk of every asset.
    RiskAsset,
    /// Risk of every region and domain.
    RiskRegion,
    /// Open warnings.
    WarningState,
    /// Every step of every warning.
    WarningDelta,
    /// Cases: the closed loop of every warning and incident.
    CaseState,
    /// Every event of every case.
    CaseDelta,
    /// One for each recipient and event.
    Notice,
    /// How fast cases are acknowledged and resolved.
    Response,
    /// Totals of reports by region.
    ReportTotal,
    /// What meets nothing, and pairs of records that are wrong together.
    Unmatched,
    /// Records that could not be used.
    DeadLetter,
    /// Which offsets belong to which epoch; internal.
    Progress,
}

/// Whether riskflow reads or writes a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// riskflow reads it.
    In,
    /// riskflow writes it.
    Out,
}

/// What a topic keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// The last record of each key (a table).
    Compact,
    /// Every record, for a time (a log).
    Delete,
}

impl Topic {
    /// All of them, inputs first.
    pub const ALL: [Self; 26] = [
        Self::BaseRegion,
        Self::BaseAsset,
        Self::BaseDatastream,
        Self::BaseUnit,
        Self::BaseUser,
        Self::BaseDuty,
        Self::BasePlan,
        Self::BaseLimit,
        Self::InRule,
        Self::InPermit,
        Self::InReport,
        Self::InIncident,
        Self::InObservation,
        Self::InAction,
        Self::RiskAsset,
        Self::RiskRegion,
        Self::WarningState,
        Self::WarningDelta,
        Self::CaseState,
        Self::CaseDelta,
        Self::Notice,
        Self::Response,
        Self::ReportTotal,
        Self::Unmatched,
        Self::DeadLetter,
        Self::Progress,
    ];

    /// Those that riskflow reads, in the order in which they are applied.
    pub fn inputs() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|topic| topic.direction() == Direction::In)
    }

    /// Those that riskflow writes.
    pub fn outputs() -> impl Iterator<Item = Self> {
        Self::ALL
            .into_iter()
            .filter(|topic| topic.direction() == Direction::Out)
    }

    /// The name without prefix.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BaseRegion => "base.region",
            Self::BaseAsset => "base.asset",
            Self::BaseDatastream => "base.datastream",
            Self::BaseUnit => "base.unit",
            Self::BaseUser => "base.user",
            Self::BaseDuty => "base.duty",
            Self::BasePlan => "base.plan",
            Self::BaseLimit => "base.limit",
            Self::InRule => "in.rule",
            Self::InPermit => "in.permit",
            Self::InReport => "in.report",
            Self::InIncident => "in.incident",
            Self::InObservation => "in.observation",
            Self::InAction => "in.action",
            Self::RiskAsset => "out.risk.asset",
            Self::RiskRegion => "out.risk.region",
            Self::WarningState => "out.warning.state",
            Self::WarningDelta => "out.warning.delta",
            Self::CaseState => "out.case.state",
            Self::CaseDelta => "out.case.delta",
            Self::Notice => "out.notice",
            Self::Response => "out.response",
            Self::ReportTotal => "out.report.total",
            Self::Unmatched => "out.unmatched",
            Self::DeadLetter => "out.deadletter",
            Self::Progress => "out.progress",
        }
    }

    /// The topic of that name, or `None`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.name() == name)
    }

    /// Whether riskflow reads or writes it.
    #[must_use]
    pub const fn direction(self) -> Direction {
        if (self as u16) < Self::RiskAsset as u16 {
            Direction::In
        } else {
            Direction::Out
        }
    }

    /// Whether it is an input table: keyed rows of which the last counts, and which a null payload deletes. In an epoch all of
    /// them come before observations and actions.
    #[must_use]
    pub const fn is_base(self) -> bool {
        (self as u16) < Self::InObservation as u16
    }

    /// What it keeps.
    #[must_use]
    pub const fn cleanup(self) -> Cleanup {
        match self {
            Self::InObservation
            | Self::InAction
            | Self::WarningDelta
            | Self::CaseDelta
            | Self::Notice
            | Self::DeadLetter => Cleanup::Delete,
            _ => Cleanup::Compact,
        }
    }

    /// What its records are keyed by. Several parts are joined with `/`; in a part `/` is `~1` and `~` is `~0`
    /// ([`crate::joined`]), so that no two keys are the same by chance.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::BaseRegion => "code",
            Self::BaseAsset
            | Self::BaseDatastream
            | Self::BaseUnit
            | Self::BaseUser
            | Self::BaseDuty
            | Self::BasePlan
            | Self::BaseLimit
            | Self::InRule
            | Self::InPermit
            | Self::InReport
            | Self::InIncident => "id",
            Self::InObservation => "datastream",
            Self::InAction => "warning",
            Self::RiskAsset => "asset",
            Self::RiskRegion => "region/domain",
            Self::WarningState | Self::WarningDelta | Self::CaseState => "id",
            Self::CaseDelta | Self::Notice => "case",
            Self::Response => "region/domain or unit/id",
            Self::ReportTotal => "region/module/kind/quantity",
            Self::Unmatched => "kind or kind/id/rule/part",
            Self::DeadLetter => "topic/partition/offset",
            Self::Progress => "epoch",
        }
    }

    /// The position in [`Topic::ALL`].
    #[must_use]
    pub const fn index(self) -> u16 {
        self as u16
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
