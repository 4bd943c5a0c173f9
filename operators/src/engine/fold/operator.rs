//! A fold as an operator of the dataflow: what comes waits for its epoch to be complete.

use std::collections::BTreeMap;
use std::sync::Arc;

use riskflow_model::{Millis, Text};
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::frontier::MutableAntichain;

use super::{Arrived, Batch, Fold, FoldMeter, Keeper, Keyed, RowChange, SHARDS, Tick};
use crate::engine::{Diff, Rows, Turn, clear};

/// For each output the right to give at an epoch.
struct Kept {
    updates: Capability<Turn>,
    waking: Capability<Turn>,
}

/// What the clock does to one worker's share of a fold; given where either differs from what was given before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Waking {
    /// The fold's name.
    pub fold: Text,
    /// The worker.
    pub worker: usize,
    /// Whether the epoch woke a key: what is kept may differ from then on, whether or not anything came out.
    pub woken: bool,
    /// The earliest time that any key waits for after the epoch; `None` where none waits.
    pub next: Option<Millis>,
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
    pub updates: StreamVec<'scope, Turn, (O, Turn, Diff)>,
    /// What the clock does, at most one for each epoch and worker.
    pub waking: StreamVec<'scope, Turn, (Waking, Turn)>,
}

impl<'scope, O> Folded<'scope, O> {
    /// The output; what the clock does is put with that of other folds.
    pub fn note(
        self,
        waking: &mut Vec<StreamVec<'scope, Turn, (Waking, Turn)>>,
    ) -> StreamVec<'scope, Turn, (O, Turn, Diff)> {
        waking.push(self.waking);
        self.updates
    }
}

/// Runs a fold over the rows of a view and a stream of records.
///
/// `ticks` must carry one item for each epoch on each worker, and every row and record must stand at such an epoch.
///
/// # Panics
///
/// When a saved chunk is not one of this fold: chunks are checked before they come here. When rows or records come at an epoch
/// without a tick.
#[expect(
    clippy::too_many_lines,
    reason = "one operator: its inputs, and what it does with them in order"
)]
pub fn fold<'scope, F: Fold>(
    fold: F,
    rows: Rows<'scope, (F::Key, F::Row)>,
    records: StreamVec<'scope, Turn, Batch<F::Record>>,
    ticks: StreamVec<'scope, Turn, Tick>,
    meter: Arc<FoldMeter>,
    keeper: Keeper,
) -> Folded<'scope, F::Output> {
    let scope = ticks.scope();
    let (worker, peers) = (scope.worker().index(), scope.worker().peers());
    let mut builder = OperatorBuilder::new(format!("Fold: {}", F::NAME), scope);
    let activator = scope.activator_for(builder.operator_info().address);
    let by_row = Exchange::new(|((key, _), _, _): &((F::Key, F::Row), Turn, Diff)| F::route(key) % SHARDS);
    let by_worker = Exchange::new(|batch: &Batch<F::Record>| batch.worker());
    let mut rows = builder.new_input(rows.inner, by_row);
    let mut records = builder.new_input(records, by_worker);
    let mut ticks = builder.new_input(ticks, Pipeline);
    let (output, updates) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<(F::Output, Turn, Diff)>>>::from(output);
    let (waking_output, waking) = builder.new_output();
    let mut waking_output = OutputBuilder::<_, CapacityContainerBuilder<Vec<(Waking, Turn)>>>::from(waking_output);
    let mut waits_for = None;
    let mut pending: BTreeMap<Turn, Pending<F>> = BTreeMap::new();
    let Keeper { saved, mut offer } = keeper;
    let mut keyed = loaded(Keyed::new(fold, meter), saved, worker, peers);
    let mut out = Vec::new();
    keyed.recall(&mut out);
    builder.build(move |_capabilities| {
        move |frontiers: &[MutableAntichain<Turn>]| {
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
                if let ((Some(updates), Some(waking)), Some(tick)) = (kept, batch.pop()) {
                    let epoch = *updates.time();
                    let kept = Kept { updates, waking };
                    pending.entry(epoch).or_default().tick = Some((kept, tick));
                }
            });
            let mut output = output.activate();
            let mut waking_output = waking_output.activate();
            while let Some(entry) = pending.first_entry() {
                if frontiers.iter().any(|frontier| frontier.less_equal(entry.key())) {
                    break;
                }
                let (turn, work) = entry.remove_entry();
                let Some((kept, tick)) = work.tick else {
                    // Sources and views speak only at ticks. To go on would be to drop what came.
                    panic!("{} has rows or records at turn {turn}, which had no tick", F::NAME);
                };
                keyed.rows(tick.clock, work.rows);
                keyed.records(work.records);
                let woken = keyed.settle(tick.clock, &mut out);
                let next = keyed.next_due();
                if woken || waits_for.replace(next) != Some(next) {
                    let fold = F::NAME.into();
                    let waking = Waking {
                        fold,
                        worker,
                        woken,
                        next,
                    };
                    waking_output.session(&kept.waking).give((waking, turn));
                }
                let updates = out.drain(..).map(|(data, diff)| (data, turn, diff));
                output.session(&kept.updates).give_iterator(updates);
                clear(&mut out);
                if tick.checkpoint {
                    keyed.begin_snapshot(tick.epoch, tick.clock);
                }
            }
            if keyed.step_snapshot(&mut offer) {
                activator.activate_after(BREATH);
            }
        }
    });
    Folded { updates, waking }
}

fn loaded<F: Fold>(mut keyed: Keyed<F>, saved: impl Iterator<Item = Vec<u8>>, worker: usize, peers: usize) -> Keyed<F> {
    for chunk in saved {
        let loaded = keyed.load(&chunk, worker, peers);
        assert!(loaded.is_ok(), "{}: a checkpoint's chunk is not one", F::NAME);
    }
    keyed
}
