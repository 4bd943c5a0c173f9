//! What came up of rules over gauges in all histories together.

use std::collections::{BTreeMap, BTreeSet};

use riskflow::runtime::output::EpochOutput;
use riskflow::runtime::replay::EpochInput;
use riskflow_config::InputRecord;
use riskflow_model::gauge::{Gauge, GaugeBy, Measure};
use riskflow_model::output::{Cause, DeltaKind, WarningDelta, WarningState};
use riskflow_model::rule::{ConditionRecord, RuleRecord};
use riskflow_model::topic::Topic;
use riskflow_model::{Key, Row, Text};

/// How often warnings must have come and gone by each measure.
const ENOUGH: u32 = 20;
/// How often they must have changed in each way, and for each cause.
const SOME: u32 = 5;

const MEASURES: [Measure; 9] = [
    Measure::Count,
    Measure::Sum,
    Measure::Distinct,
    Measure::Highest,
    Measure::Elapsed,
    Measure::Fused,
    Measure::Covered,
    Measure::Starts,
    Measure::Missing,
];
const CAUSES: [Cause; 6] = [
    Cause::Clock,
    Cause::Data,
    Cause::LateData,
    Cause::Correction,
    Cause::BaseChange,
    Cause::RuleChange,
];

/// What came up, and how often.
#[derive(Default)]
pub(super) struct GaugeRules {
    /// By measure: how often warnings were raised, and how often they ended.
    measures: BTreeMap<&'static str, [u32; 2]>,
    causes: BTreeMap<Cause, u32>,
    kinds: BTreeMap<DeltaKind, u32>,
    stale: u32,
    /// Of the history under way: rules over gauges as they were last, and gauges.
    rules: BTreeMap<Key, RuleRecord>,
    gauges: BTreeMap<Key, Gauge>,
}

impl GaugeRules {
    /// Before another history begins.
    pub(super) fn begin(&mut self) {
        self.rules.clear();
        self.gauges.clear();
    }

    /// Takes in what came in an epoch, and what the stream said of it.
    pub(super) fn add(&mut self, input: &EpochInput, output: &EpochOutput) {
        for (origin, record) in &input.records {
            if let InputRecord::Base(key, row) = record {
                self.learn(origin.topic, *key, row.as_ref());
            }
        }
        for delta in output.log::<WarningDelta>() {
            let Some(rule) = self.rules.get(&delta.rule.key()) else {
                continue;
            };
            *self.causes.entry(delta.cause).or_default() += 1;
            *self.kinds.entry(delta.kind).or_default() += 1;
            let ended = match delta.kind {
                DeltaKind::Raised => 0,
                DeltaKind::Cleared | DeltaKind::Withdrawn => 1,
                DeltaKind::Escalated
                | DeltaKind::Eased
                | DeltaKind::Revised
                | DeltaKind::Recorded
                | DeltaKind::Amended => continue,
            };
            for measure in self.measures_of(rule) {
                self.measures.entry(measure).or_default()[ended] += 1;
            }
        }
        let warnings = output.table::<WarningState>().filter(|(_, diff)| *diff > 0);
        let stale = warnings.filter(|(row, _)| row.stale && self.rules.contains_key(&row.rule.key()));
        self.stale += stale.count() as u32;
    }

    /// A row of any table. A rule that went is remembered, since warnings end with it.
    fn learn(&mut self, topic: u16, key: Key, row: Option<&Row>) {
        if topic == Topic::IN_GAUGE.id() {
            let gauge = row.and_then(|row| row.downcast_ref::<Gauge>());
            self.gauges.remove(&key);
            self.gauges.extend(gauge.map(|gauge| (key, gauge.clone())));
        }
        if topic == Topic::IN_RULE.id() {
            let rule = row.and_then(|row| row.downcast_ref::<RuleRecord>());
            let rule = rule.filter(|rule| !gauges_of(rule).is_empty());
            self.rules.extend(rule.map(|rule| (key, rule.clone())));
        }
    }

    /// What the gauges of a rule measure, of those that have a value.
    fn measures_of(&self, rule: &RuleRecord) -> BTreeSet<&'static str> {
        let gauges = gauges_of(rule);
        let rows = gauges.iter().filter_map(|id| self.gauges.get(&Key::of(id)));
        let by_asset = rows.filter(|gauge| gauge.by == GaugeBy::Asset);
        by_asset.map(|gauge| gauge.measure.name()).collect()
    }

    /// Rules over gauges of every measure must raise warnings and end them, for every cause, and what was told must turn out otherwise.
    pub(super) fn check(&self) {
        for measure in MEASURES {
            let counts = self.measures.get(measure.name()).copied().unwrap_or_default();
            assert!(
                counts.iter().all(|count| *count >= ENOUGH),
                "warnings by gauges that measure {}: raised, ended: {counts:?}",
                measure.name()
            );
        }
        for cause in CAUSES {
            let times = self.causes.get(&cause).copied().unwrap_or(0);
            assert!(times >= SOME, "warnings by gauges, {cause:?}: {:?}", self.causes);
        }
        for kind in [DeltaKind::Withdrawn, DeltaKind::Revised] {
            let times = self.kinds.get(&kind).copied().unwrap_or(0);
            assert!(times >= SOME, "warnings by gauges, {kind:?}: {:?}", self.kinds);
        }
        assert!(self.stale > 0, "no warning by gauges was stale");
    }
}

/// The gauges that the conditions of a rule name.
fn gauges_of(rule: &RuleRecord) -> BTreeSet<Text> {
    let mut gauges = BTreeSet::new();
    for level in rule.levels.values() {
        collect(&level.when, &mut gauges);
    }
    gauges
}

fn collect(condition: &ConditionRecord, gauges: &mut BTreeSet<Text>) {
    match condition {
        ConditionRecord::Any { any: parts } | ConditionRecord::All { all: parts } => {
            parts.iter().for_each(|part| collect(part, gauges));
        }
        ConditionRecord::During { .. } => {}
        ConditionRecord::Comparison(comparison) => gauges.extend(comparison.gauge.clone()),
    }
}
