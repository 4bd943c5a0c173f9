//! Forms of one rule side by side give what each gives alone, whoever follows whom.

use std::cell::Cell;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use riskflow_config::{Rule, Standing};
use riskflow_model::observation::{Observation, Quality, Reading, Said};
use riskflow_model::output::Origin;
use riskflow_model::{Key, Millis, binary};
use serde_json::{Value, json};

use super::leads;
use crate::engine::Fold as _;
use crate::warning::monitor::tests::{Epoch, START, epochs, monitor, rule, specification};
use crate::warning::monitor::{Finding, Incoming, Monitor, MonitorState, Observed};

thread_local! {
    /// How often a watch followed another.
    pub(super) static FOLLOWED: Cell<u64> = const { Cell::new(0) };
}

/// Moves each threshold of a condition, but those that say which results count.
fn moved(condition: &mut Value, by: f64) {
    match condition {
        Value::Object(fields) => {
            if let Some(threshold) = fields.get("threshold").and_then(Value::as_f64) {
                fields.insert("threshold".to_owned(), json!(threshold + by));
            }
            for (name, part) in fields.iter_mut() {
                if name != "of" {
                    moved(part, by);
                }
            }
        }
        Value::Array(parts) => parts.iter_mut().for_each(|part| moved(part, by)),
        _ => {}
    }
}

/// The forms of a rule with other thresholds that can be: each of a set of its own, or with a name of its own as in a sweep.
fn forms(rule: &Rule, shifts: &[f64], named: bool) -> Vec<Rule> {
    let sets: Vec<String> = (0..shifts.len()).map(|set| format!("s{set}")).collect();
    let forms = shifts.iter().zip(&sets).filter_map(|(by, set)| {
        let mut json = serde_json::to_value(&rule.record).unwrap();
        json["levels"]
            .as_object_mut()
            .unwrap()
            .values_mut()
            .for_each(|level| moved(&mut level["when"], *by));
        if named {
            json["id"] = json!(format!("{set}:r"));
        }
        let form = Rule::from_json(json.to_string().as_bytes()).ok()?;
        let form = if rule.on_event { form.on_events() } else { form };
        if named {
            return Some(form);
        }
        let standing = Standing {
            live: false,
            candidates: vec![set.as_str().into()],
            all: sets.iter().map(|set| set.as_str().into()).collect(),
        };
        Some(form.in_sets(Arc::new(standing), Vec::new()))
    });
    forms.collect()
}

/// A datastream with these rules, and the monitor that keeps it.
struct Kept(Monitor, MonitorState, Vec<Rule>);

impl Kept {
    fn of(rules: &[Rule]) -> Self {
        let mut kept = Self(monitor(), MonitorState::default(), rules.to_vec());
        kept.specify(START);
        kept
    }

    fn specify(&mut self, now: i64) {
        let mut all = specification(&self.2[0]);
        all.entries = self
            .2
            .iter()
            .map(|rule| specification(rule).entries.remove(0))
            .collect();
        self.0
            .rows(Millis(now), Key::of("d"), &mut self.1, &mut std::iter::once((all, 1)));
    }

    /// What an epoch gives, in an order of its own.
    fn epoch(&mut self, now: i64, said: &[(i64, Option<(i64, bool)>)]) -> Vec<String> {
        let key = Key::of("d");
        if now % 5 == 0 {
            let mut bytes = Vec::new();
            binary::append(&mut bytes, &self.1).unwrap();
            self.1 = binary::read(&bytes).unwrap();
            self.specify(now);
        }
        for (behind, reading) in said {
            let reading = reading.map(|(result, good)| Reading {
                result: result as f64 / 2.0,
                quality: if good { Quality::Good } else { Quality::Bad },
            });
            let observation = Observation {
                datastream: key,
                id: "d".into(),
                time: Millis(now - behind),
                said: reading.map_or(Said::Nothing, Said::Number),
            };
            let origin = Origin::default();
            let mut record = Incoming::Observed(Observed { origin, observation });
            self.0.record(Millis(now), key, &mut self.1, &mut record);
        }
        let mut out = Vec::new();
        self.0.settle(Millis(now), key, &mut self.1, &mut out);
        let mut told: Vec<String> = out
            .iter()
            .map(|(finding, _): &(Finding, _)| format!("{finding:?}"))
            .collect();
        told.sort();
        told
    }
}

fn check(rules: &[Rule], epochs: &[Epoch]) {
    let mut together = Kept::of(rules);
    let mut alone: Vec<Kept> = rules.iter().map(|rule| Kept::of(std::slice::from_ref(rule))).collect();
    let mut now = START;
    for (gap, said) in epochs {
        now += gap;
        let mut expected: Vec<String> = alone.iter_mut().flat_map(|kept| kept.epoch(now, said)).collect();
        expected.sort();
        assert_eq!(together.epoch(now, said), expected, "at {now}");
    }
}

/// A rule of one level that is off most of the time.
fn calm() -> impl Strategy<Value = Rule> {
    let feature = prop::sample::select(vec!["last", "max", "mean", "sum"]);
    let window = prop::sample::select(vec!["20ms", "60ms", "200ms"]);
    let hold = prop::sample::select(vec!["0s", "5ms", "40ms"]);
    (feature, window, 3..12i64, hold, 0..3i64).prop_map(|(feature, window, threshold, hold, margin)| {
        let when = json!({ "feature": feature, "window": window, "op": ">=", "threshold": threshold });
        let level = json!({ "when": when, "hold": hold, "margin": margin as f64 / 2.0 });
        let rule = json!({ "id": "r", "version": 1, "select": {}, "pane": "1ms", "levels": { "blue": level } });
        Rule::from_json(rule.to_string().as_bytes()).unwrap()
    })
}

#[test]
fn forms_side_by_side_give_what_each_gives_alone() {
    let mut runner = TestRunner::new(Config::with_cases(300));
    let shifts = prop::collection::vec(prop::sample::select(vec![-1.0, 0.5, 1.0, 3.0, 20.0, 1_000.0]), 2..6);
    let drawn = (prop_oneof![2 => rule(), 1 => calm()], shifts, any::<bool>(), epochs());
    let before = FOLLOWED.get();
    let ran = runner.run(&drawn, |(rule, shifts, named, epochs)| {
        let rules = forms(&rule, &shifts, named);
        if rules.len() > 1 {
            check(&rules, &epochs);
        }
        Ok(())
    });
    ran.unwrap();
    let followed = FOLLOWED.get() - before;
    // Drawn anew in each run: some 900 to 2,000.
    assert!(followed > 200, "few followed another: {followed}");
}

/// A rule with these thresholds of a level that turns on, turns off, and of the results that are counted.
fn form(name: &str, (when, margin, until, of): (f64, f64, Option<f64>, f64)) -> Rule {
    let mut level = json!({
        "when": { "any": [
            { "feature": "mean", "window": "5m", "op": ">=", "threshold": when },
            { "feature": "count", "window": "5m", "op": ">=", "threshold": 90, "of": { "op": ">", "threshold": of } },
        ] },
    });
    match until {
        Some(until) => level["until"] = json!({ "feature": "mean", "window": "5m", "op": "<", "threshold": until }),
        None => level["margin"] = json!(margin),
    }
    let rule = json!({ "id": "r", "version": 1, "select": {}, "levels": { "blue": level } });
    let rule = Rule::from_json(rule.to_string().as_bytes()).unwrap();
    let standing = Standing {
        live: false,
        candidates: vec![name.into()],
        all: vec!["a".into(), "b".into(), "c".into()],
    };
    rule.in_sets(Arc::new(standing), Vec::new())
}

#[test]
fn those_follow_that_ask_for_at_least_as_much_in_all_that_turns_on_and_for_the_same_in_the_rest() {
    let follow = |forms: [(f64, f64, Option<f64>, f64); 3]| {
        let names = ["a", "b", "c"];
        let rules: Vec<Rule> = names.iter().zip(forms).map(|(name, given)| form(name, given)).collect();
        let kept = Kept::of(&rules);
        leads(&kept.1.known.as_ref().unwrap().watches)
    };
    let plain = |when: f64| (when, 1.0, None, 5.0);
    assert_eq!(follow([plain(60.0), plain(61.0), plain(62.0)]), [0, 0, 0]);
    assert_eq!(
        follow([plain(62.0), plain(60.0), plain(61.0)]),
        [1, 1, 1],
        "whatever the order"
    );
    let wide = (61.0, 9.0, None, 5.0);
    assert_eq!(
        follow([plain(60.0), wide, plain(62.0)]),
        [0, 1, 0],
        "one that turns off later does not"
    );
    let counts_others = (61.0, 1.0, None, 4.0);
    assert_eq!(
        follow([plain(60.0), counts_others, plain(62.0)]),
        [0, 1, 0],
        "it counts others"
    );
    let until = |when: f64, until: f64| (when, 0.0, Some(until), 5.0);
    assert_eq!(
        follow([until(60.0, 50.0), until(61.0, 50.0), until(62.0, 51.0)]),
        [0, 0, 2]
    );
    let nobody: [u16; 0] = [];
    assert_eq!(follow([plain(60.0), until(61.0, 50.0), wide]), nobody);
}
