//! What was found, for people and for machines.

mod people;
mod tables;

use std::collections::BTreeMap;

use riskflow_config::{GivenProblem, Rule, RuleWarning, Unmatched};
use riskflow_model::base::{Asset, Datastream};
use riskflow_model::rule::RuleRecord;
use riskflow_model::ruleset::RuleSet;
use riskflow_model::{Duration, Id, RegionCode, Text};
use serde::Serialize;

use super::stock::{Refused, Stock};
use tables::{MetBy, Tables};

/// For people so many of each are listed; machines get all.
const LISTED: usize = 20;

/// What a job with these rows would refuse, and what its rules meet.
#[derive(Serialize)]
pub struct Report {
    ok: bool,
    refused: Vec<RefusedRow>,
    rules: Vec<RuleRow>,
    limits: usize,
    datastreams: usize,
    assets: usize,
    unmatched: Vec<UnmatchedRow>,
    /// What is wrong with rule sets.
    sets: Vec<SetRow>,
    passed_over: Vec<String>,
    /// What rules hardly mean. They can be used all the same.
    warnings: Vec<WarningRow>,
}

/// A record that would be refused.
#[derive(Serialize)]
struct RefusedRow {
    place: String,
    topic: &'static str,
    reason: &'static str,
    problems: Vec<String>,
    /// What stays in force under its key; null if nothing does.
    in_force: Option<InForce>,
}

#[derive(Serialize)]
struct InForce {
    id: Text,
    version: Option<u32>,
}

/// A rule, and the datastreams that it watches.
#[derive(Serialize)]
struct RuleRow {
    id: Id<RuleRecord>,
    version: u32,
    name: Text,
    place: String,
    datastreams: Vec<Id<Datastream>>,
    /// Of a rule over gauges.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    assets: Vec<Id<Asset>>,
    /// How many of these go by thresholds that are not the rule's, by whose these are: `datastream`, `asset`, `region 330902`.
    thresholds_of: BTreeMap<String, usize>,
}

/// A rule set with which something is wrong.
#[derive(Serialize)]
struct SetRow {
    set: Id<RuleSet>,
    problems: Vec<Text>,
}

/// Something in a rule that will hardly do what its author means.
#[derive(Serialize)]
struct WarningRow {
    rule: Id<RuleRecord>,
    place: String,
    #[serde(flatten)]
    warning: RuleWarning,
}

/// A datastream with something that meets nothing, or a pair that is wrong together.
#[derive(Serialize)]
struct UnmatchedRow {
    datastream: Option<Id<Datastream>>,
    asset: Option<Id<Asset>>,
    region: Option<RegionCode>,
    rule: Option<Id<RuleRecord>>,
    kind: &'static str,
    detail: String,
    mistake: bool,
}

impl Report {
    /// Matches all rows as the job does. With the horizon of observations it is also said what rules hardly mean.
    pub fn of(stock: Stock, horizon: Option<Duration>) -> Self {
        let refused = stock.refused().into_iter();
        let refused: Vec<_> = refused.map(|refused| RefusedRow::of(refused, &stock)).collect();
        let tables = Tables::of(&stock);
        let (met, unmatched) = tables.meet(stock.all_rules);
        // Where only some rules are known, what is missing may be among the others.
        let sets: Vec<SetRow> = if stock.all_rules { tables.sets() } else { Vec::new() };
        let warnings = horizon.map_or_else(Vec::new, |horizon| tables.warnings(&met, horizon));
        let rules = tables.rules.iter().zip(met);
        Self {
            ok: refused.is_empty() && !unmatched.iter().any(|row| row.mistake) && sets.is_empty(),
            refused,
            rules: rules
                .map(|((rule, place), met)| RuleRow::of(rule, place, met))
                .collect(),
            limits: tables.limits,
            datastreams: tables.datastreams.len(),
            assets: tables.assets.len(),
            unmatched,
            sets,
            passed_over: stock.passed_over.clone(),
            warnings,
        }
    }

    /// Whether anything is refused.
    pub const fn has_refused(&self) -> bool {
        !self.refused.is_empty()
    }

    /// How many datastreams a rule watches, or assets.
    pub fn watched_by(&self, rule: &str) -> usize {
        let rule = self.rules.iter().find(|row| &*row.id == rule);
        rule.map_or(0, |rule| rule.datastreams.len() + rule.assets.len())
    }

    /// Whether there is a rule or a limit, a refused one included.
    pub fn has_rules(&self) -> bool {
        self.limits > 0 || !self.rules.is_empty() || !self.refused.is_empty()
    }

    /// Whether there is anything that rules hardly mean.
    pub fn strict(self) -> Self {
        Self {
            ok: self.ok && self.warnings.is_empty(),
            ..self
        }
    }

    /// Whether nothing would be refused and nothing is wrong together.
    pub const fn is_clean(&self) -> bool {
        self.ok
    }

    /// One JSON object.
    pub fn as_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report is plain data")
    }
}

impl RefusedRow {
    fn of(refused: &Refused, stock: &Stock) -> Self {
        let in_force = stock.in_force(refused).map(|row| InForce {
            id: row.id(),
            version: row.version(),
        });
        Self {
            place: refused.place.clone(),
            topic: refused.topic.name(),
            reason: refused.reason,
            problems: refused.problems.clone(),
            in_force,
        }
    }
}

impl RuleRow {
    fn of(rule: &Rule, place: &str, met: MetBy) -> Self {
        let thresholds_of = met.thresholds_of.into_iter();
        Self {
            id: Id::new(rule.written().clone()),
            version: rule.record.version,
            name: rule.record.name.clone(),
            place: place.to_owned(),
            datastreams: met.datastreams,
            assets: met.assets,
            thresholds_of: thresholds_of.map(|(whose, count)| (whose.to_string(), count)).collect(),
        }
    }
}

impl UnmatchedRow {
    /// It says nothing yet of which row it is.
    fn of(unmatched: &Unmatched, all_rules: bool) -> Self {
        // Where only some rules are known the missing one may be among the others.
        let is_missing = |problem: &GivenProblem| *problem == GivenProblem::RuleMissing;
        let mistake = match unmatched {
            Unmatched::RuleMissing { .. } => all_rules,
            Unmatched::OfAsset { problem, .. } | Unmatched::OfRegion { problem, .. } if is_missing(problem) => {
                all_rules
            }
            other => other.is_mistake(),
        };
        Self {
            datastream: None,
            asset: None,
            region: None,
            rule: unmatched.rule().cloned(),
            kind: unmatched.kind(),
            detail: unmatched.to_string(),
            mistake,
        }
    }
}
