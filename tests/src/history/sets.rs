//! Rule sets over a history: candidates that copy rules or change them, bases, promotions, demotions, results that are seen otherwise.

use std::collections::BTreeMap;

use riskflow::runtime::replay::EpochInput;
use riskflow_config::{InputRecord, Rule};
use riskflow_model::output::Origin;
use riskflow_model::rule::{ConditionRecord, RuleRecord};
use riskflow_model::topic::Topic;
use riskflow_model::{Key, Number, Row, Text};
use serde_json::{Value, json};

use super::{Draw, PROPERTIES};

const SETS: [&str; 3] = ["calm", "strict", "tide"];

/// So many more there are in some histories: beyond what is evaluated, and by their names before others.
const CROWD: u64 = 7;

/// A sweep that some histories have.
const SWEEP: &str = "swept";
/// So many at most are changed in an epoch.
const MOST_CHANGED: u64 = 6;

/// The same history, with rule sets in it.
#[must_use]
pub fn with_sets(seed: u64, mut history: Vec<EpochInput>) -> Vec<EpochInput> {
    let mut maker = Maker {
        draw: Draw::new(seed ^ 0x005E_7500),
        offset: 0,
        known: BTreeMap::new(),
        sweeps: false,
    };
    maker.sweeps = Draw::new(seed ^ 0x0053_EE95).once_in(3);
    if Draw::new(seed ^ 0x0C80_3D00).once_in(6)
        && let Some(first) = history.first_mut()
    {
        first.records.extend((0..CROWD).map(|number| maker.one_more(number)));
    }
    for input in &mut history {
        maker.learn(input);
        while maker.draw.once_in(2) {
            let record = maker.record();
            input.records.extend(record);
        }
        if maker.sweeps && maker.draw.once_in(3) {
            let records = maker.sweep();
            input.records.extend(records);
        }
    }
    history
}

struct Maker {
    draw: Draw,
    offset: u64,
    /// The rules of the set `default`.
    known: BTreeMap<Key, RuleRecord>,
    /// Whether there are sweeps.
    sweeps: bool,
}

impl Maker {
    fn learn(&mut self, input: &EpochInput) {
        for (origin, record) in &input.records {
            if let InputRecord::Base(key, row) = record
                && origin.topic == Topic::IN_RULE.id()
            {
                match row.as_ref().and_then(|row| row.downcast_ref::<RuleRecord>()) {
                    Some(rule) => drop(self.known.insert(*key, rule.clone())),
                    None => drop(self.known.remove(key)),
                }
            }
        }
    }

    fn origin(&mut self, topic: Topic) -> Origin {
        self.offset += 1;
        Origin {
            topic: topic.id(),
            // One of their own: no other record moves.
            partition: 99,
            offset: self.offset,
        }
    }

    fn record(&mut self) -> Option<(Origin, InputRecord)> {
        match self.draw.below(8) {
            0..=3 => self.rule(),
            4 | 5 => {
                let (id, row) = self.set();
                Some(self.row(&id, row))
            }
            _ => {
                let set = *self.draw.pick(&["default", "calm", "strict", "tide", "nowhere"]);
                let row = (!self.draw.once_in(5)).then(|| self.live(set));
                Some(self.row("live", row))
            }
        }
    }

    /// The row that makes a set live; with or without the one that was until then, or that is said to have been.
    fn live(&mut self, set: &str) -> Value {
        let mut row = json!({ "id": "live", "set": set });
        let before = *self.draw.pick(&["default", "calm", "strict", "tide", "gone", set]);
        if before != set {
            row["before"] = json!(before);
        }
        row
    }

    /// A set with the rules of `default`.
    fn one_more(&mut self, number: u64) -> (Origin, InputRecord) {
        let set = format!("crowd-{number}");
        let row = json!({ "id": set, "base": "default" });
        self.row(&set, Some(row))
    }

    fn row(&mut self, id: &str, row: Option<Value>) -> (Origin, InputRecord) {
        let row = row.map(|row| Row::from_json(Topic::IN_RULESET, &row.to_string()).expect("a set"));
        (self.origin(Topic::IN_RULESET), InputRecord::Base(Key::of(id), row))
    }

    /// What a set is, or that it goes.
    fn set(&mut self) -> (String, Option<Value>) {
        let id = (*self.draw.pick(&SETS)).to_owned();
        if self.draw.once_in(6) {
            return (id, None);
        }
        let mut row = json!({ "id": id });
        if !self.draw.once_in(4) {
            row["base"] = json!(self.draw.pick(&["default", "default", "default", "other"]));
            if self.draw.once_in(3) {
                row["removed"] = json!([format!("rule-{}", self.draw.below(4))]);
            }
        }
        if self.draw.once_in(3) {
            let multiply = *self.draw.pick(&[1.0, 1.0, 2.0, 0.5, 1.234]);
            let add = *self.draw.pick(&[0.0, 0.3, -1.0, 2.5]);
            let property = *self.draw.pick(&PROPERTIES);
            row["adjust"] = json!([{ "observed_property": property, "multiply": multiply, "add": add }]);
        }
        (id, Some(row))
    }

    /// A sweep of one rule: the same with one threshold after another, each in a set of its own; or that sets go.
    fn sweep(&mut self) -> Vec<(Origin, InputRecord)> {
        let rules: Vec<RuleRecord> = self.known.values().cloned().collect();
        let mut records = Vec::new();
        if rules.is_empty() {
            return records;
        }
        let rule = self.draw.pick(&rules).clone();
        let goes = self.draw.once_in(4);
        for value in 0..=self.draw.below(MOST_CHANGED) {
            let set = format!("{SWEEP}-{value}");
            let row = (!goes).then(|| json!({ "id": set, "base": "default", "sweep": SWEEP }));
            records.push(self.row(&set, row));
            let mut swept = rule.clone();
            swept.id = Text::from(format!("{set}/{}", rule.id));
            for level in swept.levels.values_mut() {
                shift(&mut level.when, value as f64);
            }
            let key = Key::of(&swept.id);
            // What is drawn by lot may be refused: then there is none, as after a tombstone.
            let row = Rule::check(swept).ok().map(|rule| Row::new(rule.record.clone()));
            let origin = self.origin(Topic::IN_RULE);
            records.push((origin, InputRecord::Base(key, row.filter(|_| !goes))));
        }
        if self.draw.once_in(6) {
            records.push(self.row("live", Some(json!({ "id": "live", "set": format!("{SWEEP}-1") }))));
        }
        records
    }

    /// A rule of a set: one of `default` as it is, or with other thresholds; or that it goes.
    fn rule(&mut self) -> Option<(Origin, InputRecord)> {
        let rules: Vec<RuleRecord> = self.known.values().cloned().collect();
        if rules.is_empty() {
            return None;
        }
        let mut rule = self.draw.pick(&rules).clone();
        let set = *self.draw.pick(&SETS);
        rule.id = Text::from(format!("{set}/{}", rule.id));
        let key = Key::of(&rule.id);
        let origin = self.origin(Topic::IN_RULE);
        if self.draw.once_in(5) {
            return Some((origin, InputRecord::Base(key, None)));
        }
        if !self.draw.once_in(3) {
            let by = *self.draw.pick(&[-1.0, 0.5, 1.0, 2.0]);
            for level in rule.levels.values_mut() {
                shift(&mut level.when, by);
            }
        }
        // What is drawn by lot may be refused.
        let rule = Rule::check(rule).ok()?;
        Some((origin, InputRecord::Base(key, Some(Row::new(rule.record.clone())))))
    }
}

fn shift(condition: &mut ConditionRecord, by: f64) {
    match condition {
        ConditionRecord::Any { any: parts } | ConditionRecord::All { all: parts } => {
            parts.iter_mut().for_each(|part| shift(part, by));
        }
        ConditionRecord::During { .. } => {}
        ConditionRecord::Comparison(comparison) => {
            if let Some(Number(threshold)) = &mut comparison.threshold {
                *threshold += by;
            }
        }
    }
}
