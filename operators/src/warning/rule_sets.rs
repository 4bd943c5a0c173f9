//! View: the table of rule sets. All rules and sets are gathered on worker 0; its process meters.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use differential_dataflow::AsCollection;
use riskflow_config::{Rule, resolve};
use riskflow_model::output::SetState;
use riskflow_model::ruleset::RuleSet;
use riskflow_model::{Duration, Id, Shared, Text};
use timely::dataflow::channels::pact::Exchange;

use crate::engine::{Diff, Rows, Turn, by_epoch_of_two};
use crate::warning::specification::Written;

/// How many rule sets there are.
#[derive(Debug, Default)]
pub struct SetMeter {
    in_force: AtomicU64,
    wrong: AtomicU64,
    rules: AtomicU64,
    live: Mutex<Option<Text>>,
}

impl SetMeter {
    /// Those that are evaluated.
    #[must_use]
    pub fn in_force(&self) -> u64 {
        self.in_force.load(Ordering::Relaxed)
    }

    /// Those with a mistake in them.
    #[must_use]
    pub fn wrong(&self) -> u64 {
        self.wrong.load(Ordering::Relaxed)
    }

    /// Rules of the live set.
    #[must_use]
    pub fn rules(&self) -> u64 {
        self.rules.load(Ordering::Relaxed)
    }

    /// The set that is live, once anything is known.
    #[must_use]
    pub fn live(&self) -> Option<Text> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, states: &[SetState], wrong: usize) {
        let live = states.iter().find(|state| state.live);
        self.rules
            .store(live.map_or(0, |live| live.rules.into()), Ordering::Relaxed);
        *self.live.lock().unwrap_or_else(PoisonError::into_inner) = live.map(|live| live.set.text().clone());
        let in_force = states.iter().filter(|state| state.in_force).count();
        self.in_force.store(in_force as u64, Ordering::Relaxed);
        self.wrong.store(wrong as u64, Ordering::Relaxed);
    }
}

/// What changes in an epoch.
type Changes = (Vec<(Rule, Diff)>, Vec<(Shared<RuleSet>, Diff)>);

#[derive(Default)]
struct Table {
    rules: BTreeMap<Text, Rule>,
    sets: BTreeMap<Text, Shared<RuleSet>>,
    retain: Duration,
    shown: BTreeMap<Id<RuleSet>, Arc<SetState>>,
}

impl Table {
    fn apply(&mut self, (mut rules, mut sets): Changes, meter: &SetMeter, give: &mut dyn FnMut(Arc<SetState>, Diff)) {
        // What goes leaves before what comes.
        rules.sort_by_key(|(_, diff)| *diff > 0);
        sets.sort_by_key(|(_, diff)| *diff > 0);
        for (rule, diff) in rules {
            if diff > 0 {
                self.rules.insert(rule.record.id.clone(), rule);
            } else {
                self.rules.remove(&rule.record.id);
            }
        }
        for (set, diff) in sets {
            if diff > 0 {
                self.sets.insert(set.id.text().clone(), set);
            } else {
                self.sets.remove(set.id.text());
            }
        }
        let resolved = resolve(&self.rules, &self.sets, self.retain);
        meter.set(&resolved.states, resolved.wrong);
        let states = resolved
            .told()
            .into_iter()
            .map(|state| (state.set.clone(), Arc::new(state)));
        let states: BTreeMap<_, _> = states.collect();
        for (set, before) in &self.shown {
            if states.get(set) != Some(before) {
                give(Arc::clone(before), -1);
            }
        }
        for (set, state) in &states {
            if self.shown.get(set) != Some(state) {
                give(Arc::clone(state), 1);
            }
        }
        self.shown = states;
    }
}

/// Returns a row for each set; none where nothing is said of sets.
pub fn rule_sets<'scope>(written: &Written<'scope>, meter: &Arc<SetMeter>) -> Rows<'scope, Arc<SetState>> {
    let mut table = Table {
        retain: written.retain,
        ..Table::default()
    };
    let meter = Arc::clone(meter);
    let rows = by_epoch_of_two(
        (written.rules.clone().inner, Exchange::new(|_: &(Rule, Turn, Diff)| 0)),
        (
            written.sets.clone().inner,
            Exchange::new(|_: &(Shared<RuleSet>, Turn, Diff)| 0),
        ),
        "RuleSets",
        (
            |changes: &mut Changes, rule, diff| changes.0.push((rule, diff)),
            |changes: &mut Changes, set, diff| changes.1.push((set, diff)),
        ),
        move |changes, give| table.apply(changes, &meter, &mut |row, diff| give(row, diff)),
    );
    rows.as_collection()
}
