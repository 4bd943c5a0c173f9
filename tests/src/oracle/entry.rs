//! Entries: one rule on one datastream, and what it sees of it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use riskflow::runtime::graph::Semantics;
use riskflow_config::{FeatureKind, PairProblem, Role, Rule, Whose};
use riskflow_model::base::{Asset, Datastream, Region, Reporting};
use riskflow_model::observation::{Observation, Reading, Said};
use riskflow_model::rule::RuleRecord;
use riskflow_model::{Id, Key, Number, Shared, Text, TextMap};

use super::calendar::City;
use super::sets::{Entries, OfSet};
use super::{level, unit};

/// One rule on one datastream, in force since some epoch.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// By what it is called in its sets.
    pub(super) rule: Rule,
    /// As written: that of the first of its sets.
    pub(super) written: Rule,
    pub(super) asset: Id<Asset>,
    /// On and off thresholds in the rule's unit, for each comparison.
    pub(super) thresholds: Vec<Option<[unit::Fraction; 2]>>,
    pub(super) conversion: unit::Conversion,
    pub(super) sense: Sense,
    /// Whether nothing in a window means that nothing happened, and the rule asks for what adds up.
    pub(super) on_event: bool,
    /// What is at or before this time is not seen.
    pub(super) floor: i64,
    /// When the datastream was last heard of up to there.
    pub(super) heard: i64,
    /// What the one with another condition left.
    pub(super) left: Option<level::Left>,
}

impl Entry {
    /// What it sees of a datastream.
    pub(super) fn seen(&self, stream: &Sensed) -> level::Seen {
        let seen = (stream.series.iter()).filter(|(time, reading)| **time > self.floor && counts(reading, &self.sense));
        level::Seen {
            points: seen.map(|(time, reading)| (*time, reading.result)).collect(),
            heard: self.heard,
            forecasts: stream.forecasts.clone(),
            floor: self.floor,
            left: self.left.clone(),
        }
    }

    /// It, on what it sees.
    pub(super) fn watched<'a>(&'a self, seen: &'a level::Seen, city: &'a City) -> level::Watched<'a> {
        level::Watched {
            rule: &self.rule,
            thresholds: &self.thresholds,
            conversion: self.conversion,
            on_event: self.on_event,
            city,
            seen,
            values: RefCell::default(),
        }
    }
}

/// Which results of a datastream are values: borders, and numbers that are none. By bits: equal numbers are one.
pub(super) type Sense = (Option<u64>, Option<u64>, BTreeSet<u64>);

pub(super) fn sense(datastream: &Datastream) -> Sense {
    // Minus zero is zero.
    let bits = |number: riskflow_model::Number| (number.0 + 0.0).to_bits();
    let (min, max) = datastream
        .valid
        .as_deref()
        .map_or((None, None), |valid| (valid.min, valid.max));
    let none = datastream.no_value.iter().map(|number| bits(*number)).collect();
    (min.map(bits), max.map(bits), none)
}

pub(super) fn counts(reading: &Reading, (min, max, none): &Sense) -> bool {
    let number = f64::from_bits;
    reading.quality.counts()
        && min.is_none_or(|min| reading.result >= number(min))
        && max.is_none_or(|max| reading.result <= number(max))
        && none.iter().all(|none| reading.result != number(*none))
}

/// What an observation says, by the row of its datastream; `None` where that does not know the state.
pub(super) fn said(row: &Datastream, observation: &Observation) -> Option<Option<Reading>> {
    let state = match &observation.said {
        Said::Nothing => return Some(None),
        Said::Number(reading) => return Some(Some(*reading)),
        Said::State(state) => state,
    };
    let named = row.states.iter().find(|(name, _)| ***name == *state.name);
    let result = match (named, state.name.as_str()) {
        (Some((_, number)), _) => number.0,
        (None, "true") => 1.0,
        (None, "false") => 0.0,
        (None, _) => return None,
    };
    let quality = state.quality;
    Some(Some(Reading { result, quality }))
}

/// What came of a datastream.
#[derive(Clone, Debug, Default)]
pub(super) struct Sensed {
    pub(super) series: BTreeMap<i64, Reading>,
    /// What was said of times to come, as it came.
    pub(super) forecasts: Vec<Saying>,
}

/// What an issue says of a time, from when on it counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Saying {
    pub from: i64,
    pub issued: i64,
    pub valid: i64,
    pub value: Option<f64>,
}

/// A known datastream.
#[derive(Clone, Debug, Default)]
pub(super) struct Stream {
    pub(super) sensed: Sensed,
    pub(super) floor: Option<i64>,
    /// The last observation at or before the floor, as it was judged then; else when the row came.
    pub(super) heard: i64,
    pub(super) sense: Sense,
    pub(super) entries: Entries,
    /// The rows behind the entries, to tell a changed base from a changed rule.
    pub(super) rows: Option<(Shared<Datastream>, Shared<Asset>, Vec<String>)>,
}

impl Stream {
    /// What is behind the floor is not seen by entries that come, but for when it was last heard of.
    pub(super) fn limit(&mut self, now: i64, semantics: &Semantics) {
        let entries = self.entries.values().flat_map(BTreeMap::values);
        let reach = entries.map(|entry| entry.rule.reach).max().unwrap_or(0);
        let time = semantics.time;
        let floor = now - time.horizon.0 - time.retain.0.max(reach);
        for (time, reading) in self.sensed.series.range(..=floor) {
            if self.floor.is_none_or(|floor| *time > floor) && counts(reading, &self.sense) {
                self.heard = *time;
            }
        }
        self.floor = Some(self.floor.map_or(floor, |old| old.max(floor)));
    }
}

pub(super) fn alike(a: &Entry, b: &Entry) -> bool {
    decide_alike(a, b) && a.asset == b.asset && a.sense == b.sense
}

/// Whether they turn levels on and off alike, wherever they are and whatever counts as a value.
pub(super) fn decide_alike(a: &Entry, b: &Entry) -> bool {
    let plan = |entry: &Entry| {
        let comparisons = entry.rule.comparisons.iter();
        let comparisons: Vec<_> = comparisons
            .map(|each| (each.role, each.feature, each.operator))
            .collect();
        (
            entry.rule.pane,
            entry.rule.features.clone(),
            comparisons,
            entry.rule.during.clone(),
            // With what turns a level off.
            entry.rule.levels.clone(),
        )
    };
    plan(a) == plan(b) && a.thresholds == b.thresholds && a.conversion == b.conversion && a.on_event == b.on_event
}

/// The thresholds for a rule, nearest first.
pub(super) fn nearest<'a>(
    rule: &Rule,
    (datastream, asset, chain): (&'a Datastream, &'a Asset, &[String]),
    regions: &'a BTreeMap<Key, Shared<Region>>,
) -> Vec<(Whose, &'a TextMap<Number>)> {
    let mut all = vec![
        (Whose::Datastream, &datastream.thresholds),
        (Whose::Asset, &asset.thresholds),
    ];
    for code in chain {
        if let Some(region) = regions.get(&Key::of(code)) {
            all.push((Whose::Region(region.code), &region.thresholds));
        }
    }
    let of_rule = all
        .into_iter()
        .filter_map(|(whose, by_rule)| Some((whose, by_rule.get(&rule.record.id)?)));
    of_rule.collect()
}

pub(super) fn wanted(
    rows: Option<&(Shared<Datastream>, Shared<Asset>, Vec<String>)>,
    of_set: &OfSet,
    regions: &BTreeMap<Key, Shared<Region>>,
) -> BTreeMap<Id<RuleRecord>, Entry> {
    let Some((datastream, asset, chain)) = rows else {
        return BTreeMap::new();
    };
    let rules = of_set.rules.iter();
    let selected = rules.filter(|(_, rule)| selects(rule, datastream, asset, chain));
    let adjust = of_set
        .adjust
        .iter()
        .find(|adjust| adjust.observed_property == datastream.observed_property);
    let entries = selected.map(|(key, rule)| {
        // What does not convert is taken as it is; its own thresholds are void.
        let conversion = unit::conversion(rule, datastream).unwrap_or(unit::SAME);
        let mut given = nearest(rule, (datastream, asset, chain), regions);
        let void = |problem: &PairProblem| !matches!(problem.kind(), "names_nothing" | "unset" | "unit");
        if rule.merge(&given, &datastream.unit).problems.iter().any(void) {
            given.clear();
        }
        if unit::conversion(rule, datastream).is_none() {
            given.retain(|(whose, _)| *whose != Whose::Datastream);
        }
        let thresholds = rule.comparisons.iter().map(|comparison| {
            let named = comparison
                .name
                .as_ref()
                .map(|name| format!("{}.{name}", comparison.level));
            let kind = match comparison.role {
                Role::When | Role::Until => rule.features[comparison.feature].kind,
                // Each result is compared, as it is.
                Role::Reading => FeatureKind::Last,
            };
            let level = comparison.level.to_string();
            let of = |(whose, own): &(Whose, &TextMap<Number>)| {
                let of_level = || own.get(&level).filter(|_| comparison.role == Role::When);
                let number = named.as_ref().and_then(|key| own.get(key)).or_else(of_level)?;
                Some((number.thousandths()?, *whose == Whose::Datastream))
            };
            unit::bound(comparison, kind, given.iter().find_map(of), conversion)
        });
        let adds_up = [FeatureKind::Sum, FeatureKind::Increase];
        let adds_up = rule.features.iter().any(|feature| adds_up.contains(&feature.kind));
        let entry = Entry {
            rule: rule.clone(),
            written: of_set.written[key].clone(),
            asset: asset.id.clone(),
            thresholds: thresholds.collect(),
            // Thresholds are what they are; it is results that are seen otherwise.
            conversion: adjust.map_or(conversion, |adjust| conversion.after(adjust)),
            sense: sense(datastream),
            on_event: adds_up && datastream.reporting == Reporting::OnEvent,
            floor: i64::MIN,
            heard: i64::MIN,
            left: None,
        };
        (Id::new(rule.record.id.clone()), entry)
    });
    entries.collect()
}

/// Whether a rule watches a datastream; one over gauges watches none.
pub(super) fn selects(rule: &Rule, datastream: &Datastream, asset: &Asset, chain: &[String]) -> bool {
    let select = &rule.record.select;
    let tagged = |tag: &Text| datastream.tags.contains(tag) || asset.tags.contains(tag);
    !rule.is_of_gauges()
        && select
            .observed_property
            .as_ref()
            .is_none_or(|property| *property == datastream.observed_property)
        && is_meant(rule, asset, chain)
        && select.tags.iter().all(tagged)
}

/// Whether a rule over gauges watches an asset; one on datastreams watches those.
pub(super) fn selects_asset(rule: &Rule, asset: &Asset, chain: &[String]) -> bool {
    let tags = &rule.record.select.tags;
    rule.is_of_gauges() && is_meant(rule, asset, chain) && tags.iter().all(|tag| asset.tags.contains(tag))
}

/// Whether a rule means what is at an asset, but for tags.
fn is_meant(rule: &Rule, asset: &Asset, chain: &[String]) -> bool {
    let select = &rule.record.select;
    (select.category.is_empty() || select.category.contains(&asset.category))
        && select.domain.is_none_or(|domain| domain == asset.domain)
        && select.region.is_none_or(|region| chain.contains(&region.to_string()))
}
