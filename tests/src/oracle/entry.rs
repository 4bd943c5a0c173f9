//! Entries: one rule on one datastream, and what it sees of it.

use std::collections::{BTreeMap, BTreeSet};

use riskflow::runtime::graph::Semantics;
use riskflow_config::{PairProblem, Rule};
use riskflow_model::base::{Asset, Datastream};
use riskflow_model::observation::Reading;
use riskflow_model::rule::RuleRecord;
use riskflow_model::{Id, Key, Shared, Text};

use super::{level, unit};

/// One rule on one datastream, in force since some epoch.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) rule: Rule,
    pub(super) asset: Id<Asset>,
    /// On and off thresholds in the rule's unit, for each comparison.
    pub(super) thresholds: Vec<Option<[unit::Fraction; 2]>>,
    pub(super) conversion: unit::Conversion,
    pub(super) sense: Sense,
    /// What is at or before this time is not seen.
    pub(super) floor: i64,
    /// When the datastream was last heard of up to there.
    pub(super) heard: i64,
    /// What the one with another condition left.
    pub(super) left: Option<level::Left>,
    /// Whether it, or one whose place it took, ever was on.
    pub(super) ever_on: bool,
}

impl Entry {
    /// What it sees of a series.
    pub(super) fn seen(&self, series: &BTreeMap<i64, Reading>) -> level::Seen {
        let seen = series
            .iter()
            .filter(|(time, reading)| **time > self.floor && counts(reading, &self.sense));
        level::Seen {
            points: seen.map(|(time, reading)| (*time, reading.result)).collect(),
            heard: self.heard,
            left: self.left.clone(),
        }
    }

    /// It, on what it sees.
    pub(super) fn watched<'a>(&'a self, seen: &'a level::Seen) -> level::Watched<'a> {
        level::Watched {
            rule: &self.rule,
            thresholds: &self.thresholds,
            conversion: self.conversion,
            seen,
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

/// A known datastream.
#[derive(Clone, Debug, Default)]
pub(super) struct Stream {
    pub(super) series: BTreeMap<i64, Reading>,
    /// What each issue says, by valid time and issue.
    pub(super) forecasts: BTreeMap<(i64, i64), f64>,
    pub(super) floor: Option<i64>,
    /// The last observation at or before the floor, as it was judged then; else when the row came.
    pub(super) heard: i64,
    pub(super) sense: Sense,
    pub(super) entries: BTreeMap<Id<RuleRecord>, Entry>,
    /// The rows behind the entries, to tell a changed base from a changed rule.
    pub(super) rows: Option<(Shared<Datastream>, Shared<Asset>, Vec<String>)>,
}

impl Stream {
    /// What is behind the floor is not seen by entries that come, but for when it was last heard of.
    pub(super) fn limit(&mut self, now: i64, semantics: &Semantics) {
        let reach = self.entries.values().map(|entry| entry.rule.reach).max().unwrap_or(0);
        let time = semantics.time;
        let floor = now - time.horizon.0 - time.retain.0.max(reach);
        for (time, reading) in self.series.range(..=floor) {
            if self.floor.is_none_or(|floor| *time > floor) && counts(reading, &self.sense) {
                self.heard = *time;
            }
        }
        self.floor = Some(self.floor.map_or(floor, |old| old.max(floor)));
    }
}

pub(super) fn alike(a: &Entry, b: &Entry) -> bool {
    let plan = |entry: &Entry| {
        let comparisons = entry.rule.comparisons.iter();
        let comparisons: Vec<_> = comparisons.map(|each| (each.feature, each.operator)).collect();
        (
            entry.rule.pane,
            entry.rule.features.clone(),
            comparisons,
            entry.rule.levels.clone(),
        )
    };
    plan(a) == plan(b)
        && a.asset == b.asset
        && a.thresholds == b.thresholds
        && a.conversion == b.conversion
        && a.sense == b.sense
}

pub(super) fn wanted(
    rows: Option<&(Shared<Datastream>, Shared<Asset>, Vec<String>)>,
    rules: &BTreeMap<Key, Rule>,
) -> BTreeMap<Id<RuleRecord>, Entry> {
    let Some((datastream, asset, chain)) = rows else {
        return BTreeMap::new();
    };
    let selected = rules.values().filter(|rule| selects(rule, datastream, asset, chain));
    let entries = selected.map(|rule| {
        // What does not convert is taken as it is; its own thresholds are void.
        let conversion = unit::conversion(rule, datastream).unwrap_or(unit::SAME);
        let own = datastream.thresholds.get(&rule.record.id);
        let void = |problem: &PairProblem| !matches!(problem.kind(), "names_nothing" | "unset");
        let voids = rule.merge(own, &datastream.unit).problems.iter().any(void);
        let own = own.filter(|_| !voids);
        let thresholds = rule.comparisons.iter().map(|comparison| {
            let named = comparison
                .name
                .as_ref()
                .map(|name| format!("{}.{name}", comparison.level));
            let of = |key: &str| own.and_then(|own| own.get(key)).and_then(|number| number.thousandths());
            let own = named
                .and_then(|key| of(&key))
                .or_else(|| of(&comparison.level.to_string()));
            unit::bound(comparison, rule.features[comparison.feature].kind, own, conversion)
        });
        let entry = Entry {
            rule: rule.clone(),
            asset: asset.id.clone(),
            thresholds: thresholds.collect(),
            conversion,
            sense: sense(datastream),
            floor: i64::MIN,
            heard: i64::MIN,
            left: None,
            ever_on: false,
        };
        (Id::new(rule.record.id.clone()), entry)
    });
    entries.collect()
}

pub(super) fn selects(rule: &Rule, datastream: &Datastream, asset: &Asset, chain: &[String]) -> bool {
    let select = &rule.record.select;
    let tagged = |tag: &Text| datastream.tags.contains(tag) || asset.tags.contains(tag);
    select
        .observed_property
        .as_ref()
        .is_none_or(|property| *property == datastream.observed_property)
        && (select.category.is_empty() || select.category.contains(&asset.category))
        && select.domain.is_none_or(|domain| domain == asset.domain)
        && select.region.is_none_or(|region| chain.contains(&region.to_string()))
        && select.tags.iter().all(tagged)
}
