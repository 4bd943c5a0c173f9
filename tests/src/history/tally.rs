//! What the rule language has, and how often it raised and ended a warning: a comparison of what never happens would show nothing.

use std::collections::BTreeMap;

use riskflow::runtime::replay::EpochInput;
use riskflow_config::InputRecord;
use riskflow_model::base::{Datastream, Reporting};
use riskflow_model::output::{Cause, DeltaKind};
use riskflow_model::rule::{ComparisonRecord, ConditionRecord, RuleRecord};
use riskflow_model::topic::Topic;
use riskflow_model::{Key, Level, Text};

use crate::oracle::Told;

/// Features by which levels must have turned on and off: that of the only comparison that they ask for.
const FEATURES: [&str; 14] = [
    "range",
    "drop",
    "rise",
    "deviation",
    "quantile",
    "increase",
    "slope",
    "projected",
    "in_a_row",
    "count of",
    "forecast_min",
    "forecast_max",
    "forecast_mean",
    "forecast_sum",
];
/// What else rules may have.
const WAYS: [&str; 6] = ["until", "during", "calendar", "ago", "margin of its own", "on event"];
/// How often each must have raised a warning, and how often ended one.
const ENOUGH: usize = 20;

/// How often each part of the rule language raised and ended warnings.
#[derive(Default)]
pub struct Tally {
    rules: BTreeMap<Key, RuleRecord>,
    datastreams: BTreeMap<Key, Datastream>,
    counts: BTreeMap<&'static str, [usize; 2]>,
}

impl Tally {
    /// Before another history begins.
    pub fn begin(&mut self) {
        self.rules.clear();
        self.datastreams.clear();
    }

    /// Takes in what came, and what was told of it.
    pub fn add<'a>(&mut self, input: &EpochInput, told: impl Iterator<Item = &'a Told>) {
        self.learn(input);
        // What someone edited tells nothing of what its parts do.
        let edits = [Cause::RuleChange, Cause::BaseChange];
        for told in told.filter(|told| !edits.contains(&told.cause)) {
            let ended = match told.kind {
                DeltaKind::Raised => false,
                DeltaKind::Cleared | DeltaKind::Withdrawn => true,
                DeltaKind::Escalated
                | DeltaKind::Eased
                | DeltaKind::Revised
                | DeltaKind::Recorded
                | DeltaKind::Amended => continue,
            };
            let level = if ended { told.levels.0 } else { told.levels.1 };
            for way in self.ways(told, level) {
                self.counts.entry(way).or_default()[usize::from(ended)] += 1;
            }
        }
    }

    /// Rules and datastreams.
    fn learn(&mut self, input: &EpochInput) {
        for (origin, record) in &input.records {
            let InputRecord::Base(key, row) = record else { continue };
            if origin.topic == Topic::IN_RULE.id() {
                let rule = row.as_ref().and_then(|row| row.downcast_ref::<RuleRecord>());
                self.rules.remove(key);
                self.rules.extend(rule.map(|rule| (*key, rule.clone())));
            }
            if origin.topic == Topic::BASE_DATASTREAM.id() {
                let row = row.as_ref().and_then(|row| row.downcast_ref::<Datastream>());
                self.datastreams.remove(key);
                self.datastreams.extend(row.map(|row| (*key, row.clone())));
            }
        }
    }

    fn ways(&self, told: &Told, level: Level) -> Vec<&'static str> {
        let Some(rule) = self.rules.get(&told.rule.key()) else {
            return Vec::new();
        };
        let Some(level) = rule.levels.get(&level) else {
            return Vec::new();
        };
        let mut comparisons = Vec::new();
        let times = parts(&level.when, &mut comparisons);
        // Rules over gauges are counted elsewhere.
        if comparisons.iter().any(|comparison| comparison.gauge.is_some()) {
            return Vec::new();
        }
        let mut ways: Vec<&'static str> = level.until.iter().map(|_| "until").collect();
        let [only] = comparisons.as_slice() else {
            return ways;
        };
        let counts_some = only.of.is_some() && &*only.feature == "count";
        let name = if counts_some { "count of" } else { &*only.feature };
        ways.extend(FEATURES.iter().find(|feature| **feature == name));
        let window = only.window.as_deref().unwrap_or_default();
        let there = [
            ("during", times > 0),
            ("calendar", window.starts_with("hour") || window.starts_with("day")),
            ("ago", only.ago.is_some()),
            ("margin of its own", only.margin.is_some_and(|margin| margin.0 > 0.0)),
            (
                "on event",
                matches!(name, "sum" | "increase") && self.is_on_event(rule, told.asset.text()),
            ),
        ];
        ways.extend(there.into_iter().filter_map(|(way, there)| there.then_some(way)));
        ways
    }

    /// Whether all datastreams of an asset that a rule may watch report on events.
    fn is_on_event(&self, rule: &RuleRecord, asset: &Text) -> bool {
        let property = rule.select.observed_property.as_ref();
        let watched = self.datastreams.values().filter(|row| {
            row.asset.text() == asset && property.is_none_or(|property| *property == row.observed_property)
        });
        let mut reporting = watched.map(|row| row.reporting).peekable();
        reporting.peek().is_some() && reporting.all(|reporting| reporting == Reporting::OnEvent)
    }

    /// What has not come up often enough, with how often it raised and ended a warning; of what these histories are to reach.
    #[must_use]
    pub fn missing(&self, are_to_reach: impl Fn(&str) -> bool) -> Vec<String> {
        let ways = FEATURES.iter().chain(&WAYS);
        let counts = ways.filter(|way| are_to_reach(way)).map(|way| {
            let [raised, ended] = self.counts.get(way).copied().unwrap_or_default();
            (way, raised, ended)
        });
        counts
            .filter(|(_, raised, ended)| *raised < ENOUGH || *ended < ENOUGH)
            .map(|(way, raised, ended)| format!("{way}: raised {raised}, ended {ended}"))
            .collect()
    }
}

/// The comparisons of a condition; how often it asks for a time.
fn parts<'a>(condition: &'a ConditionRecord, out: &mut Vec<&'a ComparisonRecord>) -> usize {
    match condition {
        ConditionRecord::Any { any: conditions } | ConditionRecord::All { all: conditions } => {
            conditions.iter().map(|condition| parts(condition, out)).sum()
        }
        ConditionRecord::During { .. } => 1,
        ConditionRecord::Comparison(comparison) => {
            out.push(comparison);
            0
        }
    }
}
