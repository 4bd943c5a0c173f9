//! How many rules, and limits of work under permit, are in force in the whole job: without any nothing ever warns.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use riskflow_operators::{Diff, Rows};
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::vec::Map;

/// The numbers; worker 0 of process 0 has them, elsewhere they are 0.
#[derive(Debug, Default)]
pub struct InForceMeter {
    rules: AtomicI64,
    limits: AtomicI64,
}

impl InForceMeter {
    /// Rules of `in.rule`.
    #[must_use]
    pub fn rules(&self) -> i64 {
        self.rules.load(Ordering::Relaxed)
    }

    /// Limits of `base.limit`.
    #[must_use]
    pub fn limits(&self) -> i64 {
        self.limits.load(Ordering::Relaxed)
    }
}

/// Counts rules on worker 0. A job that begins once more counts anew.
pub fn watch_rules<R: Clone + 'static>(rules: Rows<'_, R>, meter: &Arc<InForceMeter>) {
    count(rules, Arc::clone(meter), |meter| &meter.rules);
}

/// The same of limits.
pub fn watch_limits<L: Clone + 'static>(limits: Rows<'_, L>, meter: &Arc<InForceMeter>) {
    count(limits, Arc::clone(meter), |meter| &meter.limits);
}

fn count<D: Clone + 'static>(rows: Rows<'_, D>, meter: Arc<InForceMeter>, which: fn(&InForceMeter) -> &AtomicI64) {
    if rows.inner.scope().index() == 0 {
        which(&meter).store(0, Ordering::Relaxed);
    }
    let changes = rows.inner.map(|(_, _, diff)| diff);
    changes.sink(Exchange::new(|_: &Diff| 0), "InForce", move |(input, _)| {
        input.for_each(|_, changes| {
            which(&meter).fetch_add(changes.drain(..).sum::<Diff>(), Ordering::Relaxed);
        });
    });
}
