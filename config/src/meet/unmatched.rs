//! What meets nothing, and what is wrong together.

use std::fmt;

use riskflow_model::base::Asset;
use riskflow_model::rule::RuleRecord;
use riskflow_model::{Astray, Id, Lineage, RegionCode, Text};
use serde::{Deserialize, Serialize};

use crate::PairProblem;

/// Something that meets nothing, or a pair that is wrong together: of a datastream, but for the last four.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Unmatched {
    /// The datastream's asset has no row: no rule watches it.
    NoAsset {
        /// The asset's identifier.
        asset: Id<Asset>,
    },
    /// No rule selects the datastream.
    NoRule,
    /// It has thresholds for a rule that does not exist.
    RuleMissing {
        /// The rule's identifier.
        rule: Id<RuleRecord>,
    },
    /// It has thresholds for a rule that does not select it.
    NotSelected {
        /// The rule's identifier.
        rule: Id<RuleRecord>,
    },
    /// The region of its asset lies nowhere.
    Region {
        /// The region.
        region: RegionCode,
        /// Why.
        astray: Astray,
    },
    /// Its own thresholds and its rule are wrong together.
    Pair {
        /// The rule's identifier.
        rule: Id<RuleRecord>,
        /// What is wrong.
        problem: PairProblem,
    },
    /// The asset has no datastream.
    NoDatastream,
    /// The rule selects no datastream.
    SelectsNothing,
    /// A threshold of an asset.
    OfAsset {
        /// The rule's identifier.
        rule: Id<RuleRecord>,
        /// What is wrong.
        problem: GivenProblem,
    },
    /// A threshold of a region.
    OfRegion {
        /// The rule's identifier.
        rule: Id<RuleRecord>,
        /// What is wrong.
        problem: GivenProblem,
    },
    /// The rule names a gauge that it cannot go by.
    NoGauge {
        /// The gauge's identifier.
        gauge: Text,
        /// Why.
        why: NoGauge,
    },
}

/// Why a rule cannot go by a gauge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NoGauge {
    /// It has no row.
    Missing,
    /// It is not by what the first of the rule is by.
    Mixed,
    /// It is of spans of a part that is off.
    Off,
}

/// What is wrong with a threshold of an asset or region, whatever datastream it is for. It is not used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum GivenProblem {
    /// The rule does not exist.
    RuleMissing,
    /// It selects none of the asset's datastreams.
    NotSelected,
    /// It has no such level or comparison.
    NamesNothing {
        /// As written.
        key: Text,
    },
    /// The rule is over gauges, and the two are wrong together.
    Pair(PairProblem),
}

impl Unmatched {
    /// The names of all kinds.
    pub const KINDS: [&'static str; 23] = [
        "no_asset",
        "no_rule",
        "rule_missing",
        "not_selected",
        PairProblem::KINDS[0],
        PairProblem::KINDS[1],
        PairProblem::KINDS[2],
        PairProblem::KINDS[3],
        PairProblem::KINDS[4],
        PairProblem::KINDS[5],
        PairProblem::KINDS[6],
        "no_datastream",
        "selects_nothing",
        "no_region",
        "no_parent_region",
        "region_circle",
        "region_depth",
        "asset_rule_missing",
        "asset_not_selected",
        "asset_names_nothing",
        "region_rule_missing",
        "region_names_nothing",
        "no_gauge",
    ];

    /// The name of its kind, for metrics and machines.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NoAsset { .. } => Self::KINDS[0],
            Self::NoRule => Self::KINDS[1],
            Self::RuleMissing { .. } => Self::KINDS[2],
            Self::NotSelected { .. } => Self::KINDS[3],
            Self::Region { astray, .. } => match astray {
                Astray::NoRow => Self::KINDS[13],
                Astray::NoParent(_) => Self::KINDS[14],
                Astray::Circle => Self::KINDS[15],
                Astray::TooDeep => Self::KINDS[16],
            },
            Self::Pair { problem, .. } => problem.kind(),
            Self::NoDatastream => Self::KINDS[11],
            Self::SelectsNothing => Self::KINDS[12],
            Self::OfAsset { problem, .. } => match problem {
                GivenProblem::RuleMissing => Self::KINDS[17],
                GivenProblem::NotSelected => Self::KINDS[18],
                GivenProblem::NamesNothing { .. } => Self::KINDS[19],
                GivenProblem::Pair(problem) => problem.kind(),
            },
            Self::OfRegion { problem, .. } => match problem {
                // Where a region's assets have no such datastream they may get one.
                GivenProblem::RuleMissing | GivenProblem::NotSelected => Self::KINDS[20],
                GivenProblem::NamesNothing { .. } => Self::KINDS[21],
                GivenProblem::Pair(problem) => problem.kind(),
            },
            Self::NoGauge { .. } => Self::KINDS[22],
        }
    }

    /// The rule that it is about.
    #[must_use]
    pub fn rule(&self) -> Option<&Id<RuleRecord>> {
        match self {
            Self::NoAsset { .. }
            | Self::NoRule
            | Self::Region { .. }
            | Self::NoDatastream
            | Self::SelectsNothing
            | Self::NoGauge { .. } => None,
            Self::RuleMissing { rule }
            | Self::NotSelected { rule }
            | Self::Pair { rule, .. }
            | Self::OfAsset { rule, .. }
            | Self::OfRegion { rule, .. } => Some(rule),
        }
    }

    /// Which own threshold or level of the rule it is about, where there may be several.
    #[must_use]
    pub fn part(&self) -> Option<Text> {
        match self {
            Self::Pair { problem, .. } => problem.part(),
            Self::OfAsset { problem, .. } | Self::OfRegion { problem, .. } => match problem {
                GivenProblem::NamesNothing { key } => Some(key.clone()),
                GivenProblem::RuleMissing | GivenProblem::NotSelected => None,
                GivenProblem::Pair(problem) => problem.part(),
            },
            Self::NoGauge { gauge, .. } => Some(gauge.clone()),
            _ => None,
        }
    }

    /// Whether someone made a mistake. A datastream that no rule is about, or that has no threshold, may well be meant so.
    #[must_use]
    pub const fn is_mistake(&self) -> bool {
        !matches!(
            self,
            Self::NoRule
                | Self::NoDatastream
                | Self::SelectsNothing
                | Self::Pair {
                    problem: PairProblem::Unset,
                    ..
                }
                | Self::OfAsset {
                    problem: GivenProblem::Pair(PairProblem::Unset),
                    ..
                }
        )
    }
}

impl fmt::Display for Unmatched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAsset { asset } => write!(f, "its asset `{asset}` has no row in base.asset, so no rule watches it"),
            Self::NoRule => f.write_str("no rule selects it"),
            Self::Region { region, astray } => match astray {
                Astray::NoRow => write!(
                    f,
                    "the region of its asset, `{region}`, has no row in base.region and no digits that say where it lies"
                ),
                Astray::NoParent(parent) => write!(
                    f,
                    "the region of its asset, `{region}`, lies, by its parents, in `{parent}`, which has no row in base.region"
                ),
                Astray::Circle => write!(
                    f,
                    "the region of its asset, `{region}`, lies, by its parents in base.region, in one that lies within itself"
                ),
                Astray::TooDeep => write!(
                    f,
                    "the region of its asset, `{region}`, lies, by its parents in base.region, in more than {} others; those above count for \
                     nothing",
                    Lineage::HIGHEST
                ),
            },
            Self::RuleMissing { rule } => write!(f, "`thresholds.{rule}` is for a rule that does not exist"),
            Self::NotSelected { rule } => write!(f, "`thresholds.{rule}` is for a rule that does not select it"),
            Self::Pair { rule, problem } => write!(f, "rule `{rule}`: {problem}"),
            Self::NoDatastream => f.write_str("no datastream is of it, so no rule watches it"),
            Self::SelectsNothing => f.write_str("it selects no datastream, or of a rule over gauges no asset"),
            Self::NoGauge { gauge, why } => match why {
                NoGauge::Missing => write!(
                    f,
                    "gauge `{gauge}` has no row in in.gauge, so its comparisons are unknown"
                ),
                NoGauge::Mixed => write!(
                    f,
                    "gauge `{gauge}` is not by what the first gauge of the rule is by (assets, or regions of one tier), so its comparisons are \
                     unknown"
                ),
                NoGauge::Off => write!(
                    f,
                    "gauge `{gauge}` is of permits or maintenance, or needs them, and the capability `permits` is off, so its comparisons \
                     are unknown"
                ),
            },
            Self::OfAsset { rule, problem } | Self::OfRegion { rule, problem } => match problem {
                GivenProblem::RuleMissing => write!(f, "`thresholds.{rule}` is for a rule that does not exist"),
                GivenProblem::NotSelected => {
                    write!(
                        f,
                        "`thresholds.{rule}` is for a rule that selects none of its datastreams"
                    )
                }
                GivenProblem::NamesNothing { key } => {
                    write!(f, "rule `{rule}`: {}", PairProblem::NamesNothing { key: key.clone() })
                }
                GivenProblem::Pair(problem) => write!(f, "rule `{rule}`: {problem}"),
            },
        }
    }
}
