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
    /// Rules.
    InRule,
    /// Observations.
    InObservation,
    /// Risk of every asset.
    RiskAsset,
    /// Risk of every region and domain.
    RiskRegion,
    /// Open warnings.
    WarningState,
    /// Every step of every warning.
    WarningDelta,
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
    pub const ALL: [Self; 11] = [
        Self::BaseRegion,
        Self::BaseAsset,
        Self::BaseDatastream,
        Self::InRule,
        Self::InObservation,
        Self::RiskAsset,
        Self::RiskRegion,
        Self::WarningState,
        Self::WarningDelta,
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
            Self::InRule => "in.rule",
            Self::InObservation => "in.observation",
            Self::RiskAsset => "out.risk.asset",
            Self::RiskRegion => "out.risk.region",
            Self::WarningState => "out.warning.state",
            Self::WarningDelta => "out.warning.delta",
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
        match self {
            Self::BaseRegion | Self::BaseAsset | Self::BaseDatastream | Self::InRule | Self::InObservation => {
                Direction::In
            }
            _ => Direction::Out,
        }
    }

    /// Whether it is a slowly changing input table that must be complete before the first observation is applied.
    #[must_use]
    pub const fn is_base(self) -> bool {
        matches!(
            self,
            Self::BaseRegion | Self::BaseAsset | Self::BaseDatastream | Self::InRule
        )
    }

    /// What it keeps.
    #[must_use]
    pub const fn cleanup(self) -> Cleanup {
        match self {
            Self::InObservation | Self::WarningDelta | Self::DeadLetter => Cleanup::Delete,
            _ => Cleanup::Compact,
        }
    }

    /// What its records are keyed by.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::BaseRegion => "code",
            Self::BaseAsset | Self::BaseDatastream | Self::InRule => "id",
            Self::InObservation => "datastream",
            Self::RiskAsset => "asset",
            Self::RiskRegion => "region/domain",
            Self::WarningState | Self::WarningDelta => "id",
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
