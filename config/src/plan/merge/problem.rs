//! What is wrong with a rule and the thresholds for it, though each may be right by itself.

use std::fmt;

use riskflow_model::{Level, Number, Text};
use serde::{Deserialize, Serialize};

use super::Whose;
use crate::unit::Mismatch;

/// What is wrong with a rule and the thresholds for it of a datastream, its asset and its regions, though each may be right by itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PairProblem {
    /// An own threshold is for a level or comparison that the rule does not have. The others hold.
    NamesNothing {
        /// As written.
        key: Text,
    },
    /// A threshold is beyond what its feature can be. The rule's own thresholds hold.
    Beyond {
        /// As written.
        key: Text,
        /// As written.
        threshold: Number,
        /// In whose row it stands.
        whose: Whose,
    },
    /// A higher level would be on more easily than a lower one. The rule's own thresholds hold.
    OutOfOrder {
        /// The higher level.
        level: Level,
        /// Its threshold.
        threshold: Number,
        /// The lower level.
        lower: Level,
        /// Its threshold.
        lower_threshold: Number,
    },
    /// A level could never turn on. The rule's own thresholds hold.
    NeverHolds {
        /// The level.
        level: Level,
    },
    /// A level could never turn off. The rule's own thresholds hold.
    NeverClears {
        /// The level.
        level: Level,
    },
    /// Nothing gives any threshold: the rule watches the datastream, and nothing can come of it.
    Unset,
    /// Results in the datastream's unit do not convert to the rule's: they are taken as numbers in the rule's, and its own thresholds are
    /// not used.
    Unit {
        /// Of the datastream.
        unit: Text,
        /// Of the rule.
        of_rule: Text,
        /// Why.
        why: Mismatch,
    },
}

impl PairProblem {
    /// The names of all kinds.
    pub const KINDS: [&'static str; 7] = [
        "names_nothing",
        "beyond",
        "out_of_order",
        "never_holds",
        "never_clears",
        "unset",
        "unit",
    ];

    /// The name of its kind, for metrics and machines.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NamesNothing { .. } => Self::KINDS[0],
            Self::Beyond { .. } => Self::KINDS[1],
            Self::OutOfOrder { .. } => Self::KINDS[2],
            Self::NeverHolds { .. } => Self::KINDS[3],
            Self::NeverClears { .. } => Self::KINDS[4],
            Self::Unset => Self::KINDS[5],
            Self::Unit { .. } => Self::KINDS[6],
        }
    }

    /// Which own threshold or level it is about.
    #[must_use]
    pub fn part(&self) -> Option<Text> {
        match self {
            Self::NamesNothing { key } | Self::Beyond { key, .. } => Some(key.clone()),
            Self::OutOfOrder { level, .. } | Self::NeverHolds { level } | Self::NeverClears { level } => {
                Some(level.name().into())
            }
            Self::Unset | Self::Unit { .. } => None,
        }
    }

    /// Whether the rule's own thresholds hold because of it.
    pub(super) const fn voids(&self) -> bool {
        !matches!(self, Self::NamesNothing { .. } | Self::Unset | Self::Unit { .. })
    }
}

impl fmt::Display for PairProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NamesNothing { key } => {
                write!(
                    f,
                    "`{key}` names no level or comparison of the rule, so that threshold is not used"
                )
            }
            Self::Beyond { key, threshold, whose } => {
                write!(f, "`{key}`")?;
                if *whose != Whose::Datastream {
                    write!(f, " of the {whose}")?;
                }
                write!(f, " is {threshold}, which its feature can never be")
            }
            Self::OutOfOrder {
                level,
                threshold,
                lower,
                lower_threshold,
            } => {
                write!(
                    f,
                    "`{level}` at {threshold} is on more easily than `{lower}` at {lower_threshold}"
                )?;
                if threshold == lower_threshold {
                    f.write_str(", which that number does not turn on")?;
                }
                Ok(())
            }
            Self::NeverHolds { level } => write!(f, "`{level}` could never turn on"),
            Self::NeverClears { level } => write!(
                f,
                "`{level}` could never turn off: no value meets its `until`, or leaves its condition by its margin"
            ),
            Self::Unit { unit, of_rule, why } => write!(
                f,
                "its unit `{unit}` {why}, beside `{of_rule}` of the rule, so its numbers are taken as `{of_rule}`, and its own thresholds are not used; give a unit of UCUM that converts"
            ),
            Self::Unset => f.write_str(
                "neither the rule nor the datastream, its asset or its regions give a threshold, so nothing is watched",
            ),
        }?;
        if self.voids() {
            f.write_str("; the rule's own thresholds hold instead")?;
        }
        Ok(())
    }
}
