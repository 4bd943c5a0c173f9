//! How many limits of work under permit are in force in the whole job: with neither rules nor limits nothing ever warns.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use riskflow_operators::{Diff, Rows};
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::vec::Map;

/// The number; worker 0 of process 0 has it, elsewhere it is 0.
#[derive(Debug, Default)]
pub struct InForceMeter {
    limits: AtomicI64,
}

impl InForceMeter {
    /// Limits of `base.limit`.
    #[must_use]
    pub fn limits(&self) -> i64 {
        self.limits.load(Ordering::Relaxed)
    }
}

/// Counts limits on worker 0. A job that begins once more counts anew.
pub fn watch_limits<L: Clone + 'static>(limits: Rows<'_, L>, meter: &Arc<InForceMeter>) {
    let meter = Arc::clone(meter);
    if limits.inner.scope().index() == 0 {
        meter.limits.store(0, Ordering::Relaxed);
    }
    let changes = limits.inner.map(|(_, _, diff)| diff);
    changes.sink(Exchange::new(|_: &Diff| 0), "InForce", move |(input, _)| {
        input.for_each(|_, changes| {
            meter
                .limits
                .fetch_add(changes.drain(..).sum::<Diff>(), Ordering::Relaxed);
        });
    });
}
