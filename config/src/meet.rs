//! Which rules watch a datastream, with which thresholds, and which records match nothing.
//!
//! Rows refer to each other: a datastream names its asset, a rule selects datastreams, thresholds of datastreams, assets and regions
//! name their rule.
//! A reference that leads nowhere is no mistake of one record, and another record may mend it. So it is not refused but reported, as
//! [`Unmatched`]: in the dataflow and by `riskflow check`, both from here.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use riskflow_model::base::{Asset, Datastream, Region, ThresholdsByRule};
use riskflow_model::rule::RuleRecord;
use riskflow_model::{Above, Astray, Id, Lineage, RegionCode, Shared, Text};
use serde::{Deserialize, Serialize};

use crate::{Givers, PairProblem, Rule, Scaled, Thresholds, Whose};

/// The regions that have thresholds; there are few.
pub type Regional = BTreeMap<RegionCode, Shared<Region>>;

/// What the rules come to for one datastream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Met {
    /// The rules that watch it, in their order.
    pub rules: Vec<Watching>,
    /// What meets nothing, or is wrong together.
    pub unmatched: Vec<Unmatched>,
}

/// A rule that watches a datastream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watching {
    /// Its position.
    pub rule: usize,
    /// The thresholds in force.
    pub thresholds: Thresholds,
    /// The same where results are in another unit.
    pub scaled: Option<Arc<Scaled>>,
    /// Whose they are.
    pub givers: Givers,
}

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
}

impl Unmatched {
    /// The names of all kinds.
    pub const KINDS: [&'static str; 22] = [
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
            },
            Self::OfRegion { problem, .. } => match problem {
                // Where a region's assets have no such datastream they may get one.
                GivenProblem::RuleMissing | GivenProblem::NotSelected => Self::KINDS[20],
                GivenProblem::NamesNothing { .. } => Self::KINDS[21],
            },
        }
    }

    /// The rule that it is about.
    #[must_use]
    pub fn rule(&self) -> Option<&Id<RuleRecord>> {
        match self {
            Self::NoAsset { .. } | Self::NoRule | Self::Region { .. } | Self::NoDatastream | Self::SelectsNothing => {
                None
            }
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
            },
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
            Self::SelectsNothing => f.write_str("it selects no datastream"),
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
            },
        }
    }
}

/// Where a row lies, beyond what the code of its region says; small, for there is one for each asset.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Located(Option<Arc<Lies>>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Lies {
    above: Above,
    astray: Option<Astray>,
}

impl Located {
    /// Of a region.
    #[must_use]
    pub fn of(lineage: &Lineage, region: RegionCode) -> Self {
        let lies = || Lies {
            above: lineage.above(region),
            astray: lineage.astray(region),
        };
        Self((!region.is_statistical()).then(|| Arc::new(lies())))
    }

    /// The regions above, where the code does not say them.
    #[must_use]
    pub fn above(&self) -> Option<&Above> {
        self.0.as_ref().map(|lies| &lies.above)
    }

    /// What is wrong with that.
    #[must_use]
    pub fn astray(&self) -> Option<&Astray> {
        self.0.as_ref()?.astray.as_ref()
    }

    /// The region and all above it.
    #[must_use]
    pub fn chain(&self, region: RegionCode) -> Vec<RegionCode> {
        match self.above() {
            Some(above) => above.chain(region).collect(),
            None => region.by_code().collect(),
        }
    }

    /// Whether the region is equal to the other or lies within it.
    #[must_use]
    pub fn within(&self, region: RegionCode, other: RegionCode) -> bool {
        region.within_by_code(other) || self.above().is_some_and(|above| above.within(region, other))
    }
}

/// Whose thresholds stand before a rule's, nearest first: of those that have any.
fn givers<'a>(
    datastream: &'a Datastream,
    (asset, located): (&'a Asset, &Located),
    regional: &'a Regional,
) -> Vec<(Whose, &'a ThresholdsByRule)> {
    let near = [
        (Whose::Datastream, &datastream.thresholds),
        (Whose::Asset, &asset.thresholds),
    ];
    let mut givers: Vec<_> = near.into_iter().filter(|(_, given)| !given.is_empty()).collect();
    // Nearly all cities have none.
    if !regional.is_empty() {
        let chain = located.chain(asset.region).into_iter();
        givers.extend(chain.filter_map(|code| Some((Whose::Region(code), &regional.get(&code)?.thresholds))));
    }
    givers
}

/// What is wrong with the thresholds of an asset, beside these datastreams of it.
#[must_use]
pub fn given_by_asset<'a>(
    rules: impl Iterator<Item = &'a Rule> + Clone,
    (asset, located): (&Asset, &Located),
    datastreams: impl Iterator<Item = &'a Datastream> + Clone,
) -> Vec<Unmatched> {
    let selects = |rule: &Rule| {
        let mut datastreams = datastreams.clone();
        // Where there is none at all, that is told.
        datastreams.clone().next().is_none() || datastreams.any(|row| selects(rule, row, asset, located))
    };
    let problems = given_problems(rules, &asset.thresholds, selects);
    problems
        .map(|(rule, problem)| Unmatched::OfAsset { rule, problem })
        .collect()
}

/// What is wrong with the thresholds of a region.
#[must_use]
pub fn given_by_region<'a>(rules: impl Iterator<Item = &'a Rule> + Clone, region: &Region) -> Vec<Unmatched> {
    let problems = given_problems(rules, &region.thresholds, |_| true);
    problems
        .map(|(rule, problem)| Unmatched::OfRegion { rule, problem })
        .collect()
}

fn given_problems<'a>(
    rules: impl Iterator<Item = &'a Rule> + Clone,
    thresholds: &ThresholdsByRule,
    selects: impl Fn(&Rule) -> bool,
) -> impl Iterator<Item = (Id<RuleRecord>, GivenProblem)> {
    thresholds.iter().flat_map(move |(id, given)| {
        let problems = match of_live(rules.clone(), id) {
            Named::Nothing => vec![GivenProblem::RuleMissing],
            Named::Candidate => Vec::new(),
            Named::Live(rule) if !selects(rule) => vec![GivenProblem::NotSelected],
            Named::Live(rule) => {
                let unknown = rule.unknown(given).cloned();
                unknown.map(|key| GivenProblem::NamesNothing { key }).collect()
            }
        };
        problems.into_iter().map(|problem| (Id::new(id.clone()), problem))
    })
}

/// What a name that a threshold is for leads to.
enum Named<'a> {
    Nothing,
    Live(&'a Rule),
    /// Candidates have such a rule, and the live set has none.
    Candidate,
}

fn of_live<'a>(rules: impl Iterator<Item = &'a Rule> + Clone, id: &Text) -> Named<'a> {
    let mut named = rules.filter(|rule| rule.record.id == *id);
    match named.clone().find(|rule| rule.is_live()) {
        Some(rule) => Named::Live(rule),
        None if named.next().is_some() => Named::Candidate,
        None => Named::Nothing,
    }
}

/// Whether a rule watches a datastream on this asset.
fn selects(rule: &Rule, datastream: &Datastream, asset: &Asset, located: &Located) -> bool {
    let tags = [&*datastream.tags, &*asset.tags];
    let within = |region| located.within(asset.region, region);
    rule.selects(
        &datastream.observed_property,
        &asset.category,
        asset.domain,
        within,
        &tags,
    )
}

/// What the rules, in the order of their identifiers, come to for a datastream and its asset's row. Of those that only candidates have
/// nothing is unmatched.
#[must_use]
pub fn meet<'a>(
    rules: impl ExactSizeIterator<Item = &'a Rule> + Clone,
    datastream: &Datastream,
    asset: Option<(&Asset, &Located)>,
    regional: &Regional,
) -> Met {
    let mut met = Met::default();
    let Some((asset, located)) = asset else {
        let asset = datastream.asset.clone();
        met.unmatched.push(Unmatched::NoAsset { asset });
        return met;
    };
    if let Some(astray) = located.astray().cloned() {
        let region = asset.region;
        met.unmatched.push(Unmatched::Region { region, astray });
    }
    let selects = |rule: &Rule| selects(rule, datastream, asset, located);
    let givers = givers(datastream, (asset, located), regional);
    let mut is_watched = false;
    for (position, rule) in rules.clone().enumerate().filter(|(_, rule)| selects(rule)) {
        is_watched |= rule.is_live();
        let id = &rule.record.id;
        let given = givers
            .iter()
            .filter_map(|(whose, given)| Some((*whose, given.get(id)?)));
        let adjust = rule.adjust(&datastream.observed_property);
        let merged = rule.merge_adjusted(&given.collect::<Vec<_>>(), &datastream.unit, adjust);
        if rule.is_live() {
            let problems = merged.problems.into_iter();
            met.unmatched.extend(problems.map(|problem| Unmatched::Pair {
                rule: Id::new(id.clone()),
                problem,
            }));
        }
        met.rules.push(Watching {
            rule: position,
            thresholds: merged.thresholds,
            scaled: merged.scaled,
            givers: merged.givers,
        });
    }
    if !is_watched {
        met.unmatched.push(Unmatched::NoRule);
    }
    for (id, _) in datastream.thresholds.iter() {
        let rule = || Id::new(id.clone());
        match of_live(rules.clone(), id) {
            Named::Nothing => met.unmatched.push(Unmatched::RuleMissing { rule: rule() }),
            Named::Live(found) if !selects(found) => met.unmatched.push(Unmatched::NotSelected { rule: rule() }),
            Named::Live(_) | Named::Candidate => {}
        }
    }
    met
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(id: &str) -> Rule {
        let json = format!(
            r#"{{"id":"{id}","version":1,"select":{{"observed_property":"{id}"}},"levels":
                {{"red":{{"when":{{"feature":"last","window":"1h","op":">=","threshold":9}}}}}},"unit":"m"}}"#
        );
        Rule::from_json(json.as_bytes()).unwrap()
    }

    fn kinds(datastream: &str, asset: bool) -> Vec<String> {
        let json = r#"{"id":"a","category":"t","domain":"lifeline","region":"330902001001","inherent_level":3}"#;
        let row: Option<Asset> = asset.then(|| serde_json::from_str(json).unwrap());
        let datastream: Datastream = serde_json::from_str(datastream).unwrap();
        let rules = [rule("depth"), rule("rain")];
        let located = Located::default();
        let asset = row.as_ref().map(|row| (row, &located));
        let met = meet(rules.iter(), &datastream, asset, &Regional::new());
        let told = met.unmatched.iter().map(|unmatched| unmatched.kind().to_owned());
        let rules = met
            .rules
            .iter()
            .map(|watching| rules[watching.rule].record.id.to_string());
        rules.chain(told).collect()
    }

    #[test]
    fn what_meets_nothing_is_told() {
        let of = |property: &str, thresholds: &str| {
            format!(r#"{{"id":"d","asset":"a","observed_property":"{property}","thresholds":{thresholds}}}"#)
        };
        for (row, asset, told) in [
            (of("depth", "{}"), true, vec!["depth"]),
            (of("depth", "{}"), false, vec!["no_asset"]),
            (of("wind", "{}"), true, vec!["no_rule"]),
            (
                of("depth", r#"{"depht":{"red":3}}"#),
                true,
                vec!["depth", "rule_missing"],
            ),
            (
                of("depth", r#"{"rain":{"red":3}}"#),
                true,
                vec!["depth", "not_selected"],
            ),
            (
                of("depth", r#"{"depth":{"blue":3}}"#),
                true,
                vec!["depth", "names_nothing"],
            ),
            (
                r#"{"id":"d","asset":"a","observed_property":"depth","unit":"[ft_i]"}"#.to_owned(),
                true,
                vec!["depth"],
            ),
            (
                r#"{"id":"d","asset":"a","observed_property":"depth","unit":"Cel"}"#.to_owned(),
                true,
                vec!["depth", "unit"],
            ),
        ] {
            assert_eq!(kinds(&row, asset), told, "{row}");
        }
    }
}
