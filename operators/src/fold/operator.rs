//! A fold as an operator of the dataflow: what comes waits for its epoch to be complete.

use std::collections::BTreeMap;
use std::sync::Arc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::frontier::MutableAntichain;

use super::{Arrived, Batch, Fold, FoldMeter, Keeper, Keyed, RowChange, SHARDS, Tick};
use crate::{Diff, Epoch, Rows};

/// For each output the right to give at an epoch.
struct Kept {
    updates: Capability<Epoch>,
    woken: Capability<Epoch>,
}

/// What waits for its epoch to be complete.
struct Pending<F: Fold> {
    tick: Option<(Kept, Tick)>,
    rows: Vec<RowChange<F>>,
    records: Arrived<F::Record>,
}

impl<F: Fold> Default for Pending<F> {
    fn default() -> Self {
        Self {
            tick: None,
            rows: Vec::new(),
            records: Arrived::default(),
        }
    }
}

/// Between two steps of a snapshot, so that waiting for room does not spin.
const BREATH: core::time::Duration = core::time::Duration::from_micros(100);

/// What a fold gives, in streams of its own each.
pub struct Folded<'scope, O> {
    /// The output.
    pub updates: StreamVec<'scope, Epoch, (O, Epoch, Diff)>,
    /// The epochs at which the clock woke a key: what is kept may differ from then on, whether or not anything was given. At
    /// most one for each epoch and worker.
    pub woken: StreamVec<'scope, Epoch, Epoch>,
}

impl<'scope, O> Folded<'scope, O> {
    /// The output, with the epochs put with those of other folds.
    pub fn note(self, woken: &mut Vec<StreamVec<'scope, Epoch, Epoch>>) -> StreamVec<'scope, Epoch, (O, Epoch, Diff)> {
        woken.push(self.woken);
        self.updates
    }
}

/// Runs a fold over the rows of a view and a stream of records.
///
/// `ticks` must carry one item for each epoch on each worker, and every row and record must stand at such an epoch.
///
/// # Panics
///
/// When a saved chunk is not one of this fold: chunks are checked before they come here.
pub fn fold<'scope, F: Fold>(
    fold: F,
    rows: Rows<'scope, (F::Key, F::Row)>,
    records: StreamVec<'scope, Epoch, Batch<F::Record>>,
    ticks: StreamVec<'scope, Epoch, Tick>,
    meter: Arc<FoldMeter>,
    keeper: Keeper,
) -> Folded<'scope, F::Output> {
    let scope = ticks.scope();
    let (worker, peers) = (scope.worker().index(), scope.worker().peers());
    let mut builder = OperatorBuilder::new(format!("Fold: {}", F::NAME), scope);
    let activator = scope.activator_for(builder.operator_info().address);
    let by_row = Exchange::new(|((key, _), _, _): &((F::Key, F::Row), Epoch, Diff)| F::route(key) % SHARDS);
    let by_worker = Exchange::new(|batch: &Batch<F::Record>| batch.worker());
    let mut rows = builder.new_input(rows.inner, by_row);
    let mut records = builder.new_input(records, by_worker);
    let mut ticks = builder.new_input(ticks, Pipeline);
    let (output, updates) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<(F::Output, Epoch, Diff)>>>::from(output);
    let (woken_output, woken) = builder.new_output();
    let mut woken_output = OutputBuilder::<_, CapacityContainerBuilder<Vec<Epoch>>>::from(woken_output);
    let mut pending: BTreeMap<Epoch, Pending<F>> = BTreeMap::new();
    let Keeper { saved, mut offer } = keeper;
    let mut keyed = loaded(Keyed::new(fold, meter), saved, worker, peers);
    let mut out = Vec::new();
    keyed.recall(&mut out);
    builder.build(move |_capabilities| {
        move |frontiers: &[MutableAntichain<Epoch>]| {
            rows.for_each(|_, updates| {
                for (row, epoch, diff) in updates.drain(..) {
                    pending.entry(epoch).or_default().rows.push((row, diff));
                }
            });
            records.for_each(|capability, batch| {
                if let Some(epoch) = capability.least() {
                    let records = &mut pending.entry(*epoch).or_default().records;
                    for batch in batch.drain(..) {
                        records.push(batch, |record| F::place(record).1);
                    }
                }
            });
            ticks.for_each(|capability, batch| {
                let kept = (capability.retain_least(0), capability.retain_least(1));
                if let ((Some(updates), Some(woken)), Some(tick)) = (kept, batch.pop()) {
                    let epoch = *updates.time();
                    let kept = Kept { updates, woken };
                    pending.entry(epoch).or_default().tick = Some((kept, tick));
                }
            });
            let mut output = output.activate();
            let mut woken_output = woken_output.activate();
            while let Some(entry) = pending.first_entry() {
                if frontiers.iter().any(|frontier| frontier.less_equal(entry.key())) {
                    break;
                }
                let (epoch, work) = entry.remove_entry();
                let Some((kept, tick)) = work.tick else {
                    // Cannot be: sources and views speak only at ticks. Nothing may be dropped, so it stays visible.
                    debug_assert!(false, "{} has work at epoch {epoch}, which had no tick", F::NAME);
                    continue;
                };
                let now = epoch as i64;
                keyed.rows(now, work.rows);
                keyed.records(work.records);
                if keyed.settle(now, &mut out) {
                    woken_output.session(&kept.woken).give(epoch);
                }
                let updates = out.drain(..).map(|(data, diff)| (data, epoch, diff));
                output.session(&kept.updates).give_iterator(updates);
                if tick.checkpoint {
                    keyed.begin_snapshot(epoch);
                }
            }
            if keyed.step_snapshot(&mut offer) {
                activator.activate_after(BREATH);
            }
        }
    });
    Folded { updates, woken }
}

fn loaded<F: Fold>(mut keyed: Keyed<F>, saved: impl Iterator<Item = Vec<u8>>, worker: usize, peers: usize) -> Keyed<F> {
    for chunk in saved {
        let loaded = keyed.load(&chunk, worker, peers);
        assert!(loaded.is_ok(), "{}: a checkpoint's chunk is not one", F::NAME);
    }
    keyed
}
