//! What meets nothing, by going through all rows.

use std::collections::{BTreeMap, BTreeSet};

use riskflow_config::{GivenProblem, PairProblem, Role, Rule, Unmatched};
use riskflow_model::base::{Asset, Datastream, Region, ThresholdsByRule};
use riskflow_model::output::Unmatched as Row;
use riskflow_model::rule::RuleRecord;
use riskflow_model::{Id, Key, Millis, OutputRecord as _, Shared, Text};

use super::entry::{nearest, selects_asset};
use super::gauge::Gauges;
use super::gauge_rule;
use super::place::Places;
use super::{selects, unit};

/// Since when what has met nothing, by kind, identifier, rule and part.
#[derive(Default)]
pub struct Alone(BTreeMap<Place, i64>);

type Place = (&'static str, Text, Option<Id<RuleRecord>>, Option<Text>);

/// The tables that meet.
pub struct Tables<'a> {
    pub assets: &'a BTreeMap<Key, Shared<Asset>>,
    pub datastreams: &'a BTreeMap<Key, Shared<Datastream>>,
    /// Of the live set, by what they are called in it.
    pub rules: &'a BTreeMap<Key, Rule>,
    /// Of candidates.
    pub others: Vec<&'a BTreeMap<Key, Rule>>,
    /// All rules, and each place with those that it has, as written.
    pub written: &'a BTreeMap<Key, Rule>,
    pub of_sets: Vec<&'a BTreeMap<Key, Rule>>,
    pub regions: &'a BTreeMap<Key, Shared<Region>>,
    pub places: &'a Places,
    pub gauges: &'a Gauges,
    /// Whether there are permits and what else is not of events.
    pub has_permits: bool,
}

impl Alone {
    /// The rows after an epoch, keyed as on the topic.
    pub fn step(&mut self, now: i64, after: i64, tables: &Tables<'_>) -> BTreeMap<String, Row> {
        let found = tables.alone();
        self.0.retain(|place, _| found.contains_key(place));
        let mut kinds: BTreeMap<&'static str, (u64, bool)> = BTreeMap::new();
        let mut rows = BTreeMap::new();
        for (place, (what, asset)) in found {
            let since = *self.0.entry(place.clone()).or_insert(now);
            if since + after > now {
                continue;
            }
            let (kind, id, rule, part) = place;
            let alerts = !matches!(kind, "no_rule" | "unset" | "no_datastream" | "selects_nothing");
            let (count, _) = kinds.entry(kind).or_insert((0, alerts));
            *count += 1;
            if *count > 1_000 {
                continue;
            }
            let of = |kinds: &[&str]| kinds.contains(&kind).then(|| id.clone());
            let asset = asset.or_else(|| of(&["no_datastream"]).map(Id::new));
            let about_rule = of(&["selects_nothing", "no_gauge"]).map(Id::new);
            let of_asset = matches!(what, Unmatched::OfAsset { .. });
            let of_region = of(&["region_rule_missing", "region_names_nothing"]);
            let region = of_region.map(|code| code.parse().expect("a code"));
            let row = Row {
                kind: kind.into(),
                datastream: (kind != "no_datastream" && about_rule.is_none() && !of_asset && region.is_none())
                    .then(|| Id::new(id.clone())),
                rule: about_rule.or(rule),
                asset,
                part,
                problem: what.to_string().into(),
                since: Some(Millis(since)),
                alerts,
                count: None,
                region,
            };
            rows.insert(row.key().to_string(), row);
        }
        for (kind, (count, alerts)) in kinds {
            let row = Row {
                kind: kind.into(),
                datastream: None,
                rule: None,
                asset: None,
                part: None,
                problem: "so many there are of this kind".into(),
                since: None,
                alerts,
                count: Some(count),
                region: None,
            };
            rows.insert(row.key().to_string(), row);
        }
        rows
    }
}

/// What meets nothing, and the asset that is missing.
#[derive(Default)]
struct Found(BTreeMap<Place, (Unmatched, Option<Id<Asset>>)>);

impl Found {
    fn add(&mut self, id: &Text, what: Unmatched, asset: Option<Id<Asset>>) {
        let (rule, part) = match &what {
            Unmatched::RuleMissing { rule } | Unmatched::NotSelected { rule } => (Some(rule.clone()), None),
            Unmatched::Pair { rule, problem } => (Some(rule.clone()), part(problem)),
            Unmatched::OfAsset { rule, problem } | Unmatched::OfRegion { rule, problem } => match problem {
                GivenProblem::NamesNothing { key } => (Some(rule.clone()), Some(key.clone())),
                GivenProblem::Pair(problem) => (Some(rule.clone()), part(problem)),
                _ => (Some(rule.clone()), None),
            },
            Unmatched::NoGauge { gauge, .. } => (None, Some(gauge.clone())),
            _ => (None, None),
        };
        self.0.insert((what.kind(), id.clone(), rule, part), (what, asset));
    }
}

impl Tables<'_> {
    /// Everything that meets nothing now.
    fn alone(&self) -> BTreeMap<Place, (Unmatched, Option<Id<Asset>>)> {
        let mut found = Found::default();
        for datastream in self.datastreams.values() {
            self.of_datastream(datastream, &mut found);
        }
        for asset in self.assets.values() {
            self.of_asset(asset, &mut found);
        }
        for region in self.regions.values() {
            for (rule, problem) in self.given(&region.thresholds) {
                let code = region.code.to_string().into();
                found.add(&code, Unmatched::OfRegion { rule, problem }, None);
            }
        }
        for rule in self.written.values() {
            let in_force = self
                .of_sets
                .iter()
                .any(|of_set| of_set.values().any(|other| other == rule));
            let chain = |asset: &Asset| self.places.chain(&asset.region.to_string());
            let selects = |datastream: &Shared<Datastream>| {
                let asset = self.assets.get(&datastream.asset.key());
                asset.is_some_and(|asset| selects(rule, datastream, asset, &chain(asset)))
            };
            let mut assets = self.assets.values();
            let selected = in_force
                && (self.datastreams.values().any(selects)
                    || assets.any(|asset| selects_asset(rule, asset, &chain(asset))));
            if !selected {
                found.add(&rule.record.id, Unmatched::SelectsNothing, None);
            }
        }
        for rule in self.rules.values() {
            let known = gauge_rule::known(rule, self.gauges, self.has_permits);
            for (gauge, known) in rule.gauges.iter().zip(known) {
                if let Err(why) = known {
                    let gauge = gauge.clone();
                    found.add(&rule.record.id, Unmatched::NoGauge { gauge, why }, None);
                }
            }
        }
        found.0
    }

    fn of_datastream(&self, datastream: &Datastream, found: &mut Found) {
        let id = datastream.id.text();
        let Some(asset) = self.assets.get(&datastream.asset.key()) else {
            let asset = datastream.asset.clone();
            found.add(id, Unmatched::NoAsset { asset: asset.clone() }, Some(asset));
            return;
        };
        let region = asset.region.to_string();
        let chain = self.places.chain(&region);
        if let Some(astray) = self.places.astray(&region) {
            let region = asset.region;
            found.add(id, Unmatched::Region { region, astray }, None);
        }
        let selects = |rule: &Rule| selects(rule, datastream, asset, &chain);
        if !self.rules.values().any(selects) {
            found.add(id, Unmatched::NoRule, None);
        }
        for (rule, _) in datastream.thresholds.iter() {
            let rule = Id::<RuleRecord>::new(rule.clone());
            match self.rules.get(&rule.key()) {
                None if self.is_of_candidate(&rule) => {}
                None => found.add(id, Unmatched::RuleMissing { rule }, None),
                Some(rules) if !selects(rules) => found.add(id, Unmatched::NotSelected { rule }, None),
                Some(_) => {}
            }
        }
        for rule in self.rules.values().filter(|rule| selects(rule)) {
            let given = nearest(rule, (datastream, asset, &chain), self.regions);
            let merged = rule.merge(&given, &datastream.unit);
            let is_unit = |problem: &riskflow_config::PairProblem| problem.kind() == "unit";
            assert_eq!(
                !merged.problems.iter().any(is_unit),
                unit::conversion(rule, datastream).is_some(),
                "{rule:?} of {datastream:?}"
            );
            for problem in merged.problems {
                let rule = Id::new(rule.record.id.clone());
                found.add(id, Unmatched::Pair { rule, problem }, None);
            }
        }
    }

    fn of_asset(&self, asset: &Asset, found: &mut Found) {
        if !self.datastreams.values().any(|datastream| datastream.asset == asset.id) {
            found.add(asset.id.text(), Unmatched::NoDatastream, None);
        }
        let chain = self.places.chain(&asset.region.to_string());
        let rows: Vec<_> = self.datastreams.values().filter(|row| row.asset == asset.id).collect();
        // Of what a rule does not watch, nobody asks what else is wrong.
        let mut apart = BTreeSet::new();
        for (rule, _) in asset.thresholds.iter() {
            let rule = Id::<RuleRecord>::new(rule.clone());
            let Some(known) = self.rules.get(&rule.key()) else {
                continue;
            };
            let is_apart = if known.is_of_gauges() {
                !selects_asset(known, asset, &chain)
            } else {
                !rows.is_empty() && !rows.iter().any(|row| selects(known, row, asset, &chain))
            };
            if is_apart {
                apart.insert(rule);
            }
        }
        let mut problems = self.given(&asset.thresholds);
        problems.retain(|(rule, _)| !apart.contains(rule));
        problems.extend(apart.into_iter().map(|rule| (rule, GivenProblem::NotSelected)));
        for rule in self.rules.values().filter(|rule| selects_asset(rule, asset, &chain)) {
            let given = gauge_rule::nearest(rule, (asset, &chain), self.regions);
            for problem in rule.merge(&given, "").problems {
                problems.push((Id::new(rule.record.id.clone()), GivenProblem::Pair(problem)));
            }
        }
        for (rule, problem) in problems {
            found.add(
                asset.id.text(),
                Unmatched::OfAsset { rule, problem },
                Some(asset.id.clone()),
            );
        }
    }

    /// Whether a candidate has such a rule. What is given for that is no mistake.
    fn is_of_candidate(&self, rule: &Id<RuleRecord>) -> bool {
        self.others.iter().any(|rules| rules.contains_key(&rule.key()))
    }

    /// What rules, levels and comparisons there are not, of those that an asset or a region has thresholds for.
    fn given(&self, thresholds: &ThresholdsByRule) -> Vec<(Id<RuleRecord>, GivenProblem)> {
        let mut problems = Vec::new();
        for (id, given) in thresholds.iter() {
            let rule = Id::<RuleRecord>::new(id.clone());
            let Some(found) = self.rules.get(&rule.key()) else {
                if !self.is_of_candidate(&rule) {
                    problems.push((rule, GivenProblem::RuleMissing));
                }
                continue;
            };
            for (key, _) in given.iter() {
                let known = found.comparisons.iter().any(|comparison| {
                    let named = comparison
                        .name
                        .as_ref()
                        .map(|name| format!("{}.{name}", comparison.level));
                    comparison.role == Role::When && comparison.level.to_string() == **key
                        || named.is_some_and(|named| named == **key)
                });
                if !known {
                    problems.push((rule.clone(), GivenProblem::NamesNothing { key: key.clone() }));
                }
            }
        }
        problems
    }
}

fn part(problem: &PairProblem) -> Option<Text> {
    match problem {
        PairProblem::NamesNothing { key } | PairProblem::Beyond { key, .. } => Some(key.clone()),
        PairProblem::OutOfOrder { level, .. }
        | PairProblem::NeverHolds { level }
        | PairProblem::NeverClears { level } => Some(level.to_string().into()),
        _ => None,
    }
}
