//! Which rules watch a datastream, with which thresholds, and which records match nothing.
//!
//! Rows refer to each other: a datastream names its asset, a rule selects datastreams, thresholds of datastreams, assets and regions
//! name their rule.
//! A reference that leads nowhere is no mistake of one record, and another record may mend it. So it is not refused but reported, as
//! [`Unmatched`]: in the dataflow and by `riskflow check`, both from here.

use std::collections::BTreeMap;
use std::sync::Arc;

use riskflow_model::base::{Asset, Datastream, Region, ThresholdsByRule};
use riskflow_model::gauge::Gauge;
use riskflow_model::rule::RuleRecord;
use riskflow_model::{Above, Astray, Id, Lineage, RegionCode, Shared, Text};
use serde::{Deserialize, Serialize};

use crate::{Given, Givers, Rule, Scaled, Thresholds, Whose};

mod unmatched;

pub use unmatched::{GivenProblem, NoGauge, Unmatched};

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
        if rule.is_of_gauges() {
            return selects_asset(rule, asset, located);
        }
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

/// Whether a rule over gauges watches this asset.
fn selects_asset(rule: &Rule, asset: &Asset, located: &Located) -> bool {
    let within = |region| located.within(asset.region, region);
    rule.selects_asset(&asset.category, asset.domain, within, &asset.tags)
}

/// What the rules over gauges, in the order of their identifiers, come to for an asset.
#[must_use]
pub fn meet_asset<'a>(
    rules: impl ExactSizeIterator<Item = &'a Rule> + Clone,
    (asset, located): (&Asset, &Located),
    regional: &Regional,
) -> Met {
    let mut met = Met::default();
    let selected = rules.enumerate();
    let selected = selected.filter(|(_, rule)| selects_asset(rule, asset, located));
    for (position, rule) in selected {
        let id = &rule.record.id;
        let mut given: Vec<Given<'_>> = Vec::new();
        given.extend(asset.thresholds.get(id).map(|own| (Whose::Asset, own)));
        let regions = located.chain(asset.region).into_iter().filter(|_| !regional.is_empty());
        let regions = regions.filter_map(|code| Some((Whose::Region(code), regional.get(&code)?.thresholds.get(id)?)));
        given.extend(regions);
        let merged = rule.merge(&given, "");
        if rule.is_live() {
            let problems = merged.problems.into_iter();
            met.unmatched.extend(problems.map(|problem| Unmatched::OfAsset {
                rule: Id::new(id.clone()),
                problem: GivenProblem::Pair(problem),
            }));
        }
        met.rules.push(Watching {
            rule: position,
            thresholds: merged.thresholds,
            scaled: merged.scaled,
            givers: merged.givers,
        });
    }
    met
}

/// The gauges that a rule names, in its order, or why it cannot go by one; `permits`: whether that part is on. All that it goes by are of
/// the same subjects: of assets, or of regions of one tier.
pub fn gauges_of<'a>(
    rule: &Rule,
    gauge: impl Fn(&Text) -> Option<&'a Shared<Gauge>>,
    permits: bool,
) -> Vec<Result<&'a Shared<Gauge>, NoGauge>> {
    let mut by = None;
    let mut find = |id: &Text| {
        let gauge = gauge(id).ok_or(NoGauge::Missing)?;
        if !permits && !gauge.is_of_events() {
            return Err(NoGauge::Off);
        }
        match *by.get_or_insert(gauge.by) == gauge.by {
            true => Ok(gauge),
            false => Err(NoGauge::Mixed),
        }
    };
    rule.gauges.iter().map(&mut find).collect()
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
