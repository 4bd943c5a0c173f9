//! The exit of the dataflow. What is done for each row is done on the worker that made it: it puts its rows of an epoch in order and
//! encodes them. Worker 0 merges these shares and hands the epoch over. In one process rows and payloads move there as they are; between
//! processes a row goes beside its payload, since views and listeners need it.

use std::collections::BTreeMap;

use riskflow_model::progress::Offsets;
use riskflow_model::{Bytes, Millis, Text};
use riskflow_operators::engine::{Tick, Waking};
use riskflow_operators::{Diff, Turn};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::probe::{Handle, Probe};
use timely::progress::frontier::MutableAntichain;

use super::{EpochOutput, Json, Leaving, Output, OutputUpdate, in_order};

/// What goes to worker 0: from which worker, what, and of a row its payload if it is encoded.
type Given = (usize, Output, Diff, Option<Bytes>);

/// When each fold's share on each worker waits for the clock next.
#[derive(Default)]
struct Alarms(BTreeMap<(Text, usize), Option<Millis>>);

impl Alarms {
    /// Hears what the clock did in an epoch; whether it woke a key.
    fn hear(&mut self, wakings: Vec<Waking>) -> bool {
        let mut woken = false;
        for waking in wakings {
            woken |= waking.woken;
            self.0.insert((waking.fold, waking.worker), waking.next);
        }
        woken
    }

    fn earliest(&self) -> Option<i64> {
        self.0.values().flatten().min().map(|next| next.0)
    }
}

/// What waits on its worker until its turn is over.
#[derive(Default)]
struct Share {
    /// Its epoch, and the right to say something in it.
    tick: Option<(Millis, Capability<Turn>)>,
    updates: Vec<(Output, Diff)>,
}

impl Share {
    /// Gives it, rows in order. Encoded is what leaves: of what comes and goes in one epoch nothing does.
    fn give(updates: Vec<(Output, Diff)>, mut json: Option<Json>, give: &mut dyn FnMut(Output, Diff, Option<Bytes>)) {
        let mut rows: Vec<Leaving> = Vec::with_capacity(updates.len());
        for (output, diff) in updates {
            match output {
                Output::Row(row) => rows.push((row, diff, None)),
                Output::Taken(..) | Output::Waking(_) => give(output, diff, None),
            }
        }
        for (row, diff, _) in in_order(rows) {
            let json = json.as_mut().filter(|_| diff > 0);
            let payload = json.map(|json| Bytes(json.write(&row)));
            give(Output::Row(row), diff, payload);
        }
    }
}

/// What waits on worker 0 until all shares of its turn are there.
#[derive(Default)]
struct Pending {
    epoch: Option<Millis>,
    shares: BTreeMap<usize, Vec<Leaving>>,
    offsets: Offsets,
    wakings: Vec<Waking>,
}

impl Pending {
    fn take(&mut self, (worker, output, diff, payload): Given) {
        match output {
            Output::Row(row) => self.shares.entry(worker).or_default().push((row, diff, payload)),
            Output::Taken(topic, partition, next, mark) => self.offsets.advance_marked(topic, partition, next, mark),
            Output::Waking(waking) => self.wakings.push(*waking),
        }
    }

    fn whole(self, alarms: &mut Alarms) -> EpochOutput {
        let epoch = self.epoch.expect("what speaks speaks at ticks");
        EpochOutput {
            offsets: self.offsets,
            woken: alarms.hear(self.wakings),
            ..EpochOutput::merged(epoch, self.shares.into_values())
        }
    }
}

/// Whether all of a turn is there.
fn is_over(turn: Turn, updates: &MutableAntichain<Turn>, ticks: &MutableAntichain<Turn>) -> bool {
    !updates.frontier().less_equal(&turn) && !ticks.frontier().less_equal(&turn)
}

/// The share of this worker in each epoch, once that is complete. Its payloads are in it where `encodes` says so.
fn shares<'scope>(
    updates: StreamVec<'scope, Turn, OutputUpdate>,
    ticks: StreamVec<'scope, Turn, Tick>,
    index: usize,
    encodes: impl Fn(Millis) -> bool + 'static,
) -> StreamVec<'scope, Turn, Given> {
    let mut waiting: BTreeMap<Turn, Share> = BTreeMap::new();
    updates.binary_frontier::<_, CapacityContainerBuilder<Vec<Given>>, _, _, _, _>(
        ticks,
        Pipeline,
        Pipeline,
        "Encode",
        move |capability, _| {
            drop(capability);
            move |(updates, updates_frontier), (ticks, ticks_frontier), output| {
                updates.for_each(|_, batch| {
                    for (update, turn, diff) in batch.drain(..) {
                        waiting.entry(turn).or_default().updates.push((update, diff));
                    }
                });
                ticks.for_each(|capability, ticks| {
                    if let Some((capability, tick)) = capability.retain_least(0).zip(ticks.first()) {
                        let share = waiting.entry(*capability.time()).or_default();
                        share.tick = Some((Millis(tick.epoch as i64), capability));
                    }
                });
                while let Some(entry) = waiting.first_entry() {
                    if !is_over(*entry.key(), updates_frontier, ticks_frontier) {
                        break;
                    }
                    let Share { tick, updates } = entry.remove();
                    let (epoch, capability) = tick.expect("every worker has the tick of every epoch");
                    let json = encodes(epoch).then(|| Json::new(epoch));
                    let mut session = output.session(&capability);
                    Share::give(updates, json, &mut |output, diff, payload| {
                        session.give((index, output, diff, payload));
                    });
                }
            }
        },
    )
}

/// Gathers all updates on worker 0 and hands them to `publish` epoch by epoch, in order, once an epoch is complete, together
/// with the earliest time that any key waits for after it; epochs that publish nothing too. `probe` follows behind.
///
/// Each worker encodes its rows of the epochs of which `encodes` says so; of others they are encoded where they are written.
pub fn publish<'scope>(
    updates: StreamVec<'scope, Turn, OutputUpdate>,
    ticks: StreamVec<'scope, Turn, Tick>,
    probe: &Handle<Turn>,
    (index, encodes): (usize, impl Fn(Millis) -> bool + 'static),
    mut publish: impl FnMut(EpochOutput, Option<i64>) + 'static,
) {
    let mut alarms = Alarms::default();
    let mut pending: BTreeMap<Turn, Pending> = BTreeMap::new();
    let gather = Exchange::new(|_: &Given| 0);
    shares(updates, ticks.clone(), index, encodes)
        .binary_frontier::<_, CapacityContainerBuilder<Vec<()>>, _, _, _, _>(
            ticks,
            gather,
            Pipeline,
            "Publish",
            move |capability, _| {
                drop(capability);
                move |(given, given_frontier), (ticks, ticks_frontier), _output| {
                    given.for_each(|capability, batch| {
                        let turn = capability.least().expect("shares are given at their turn");
                        let of_turn = pending.entry(*turn).or_default();
                        batch.drain(..).for_each(|given| of_turn.take(given));
                    });
                    ticks.for_each(|capability, ticks| {
                        if let Some(turn) = capability.least().filter(|_| index == 0) {
                            pending.entry(*turn).or_default().epoch =
                                ticks.first().map(|tick| Millis(tick.epoch as i64));
                        }
                    });
                    while let Some(entry) = pending.first_entry() {
                        if !is_over(*entry.key(), given_frontier, ticks_frontier) {
                            break;
                        }
                        let output = entry.remove().whole(&mut alarms);
                        publish(output, alarms.earliest());
                    }
                }
            },
        )
        .probe_with(probe);
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use riskflow_model::output::ReportTotal;
    use riskflow_model::topic::Topic;
    use riskflow_model::{OutputRow, binary};
    use timely::dataflow::InputHandleVec;
    use timely::dataflow::operators::vec::Input;

    use super::*;
    use crate::runtime::output::testing::total;

    fn row(kind: &str, sum: f64) -> OutputRow {
        total("m", kind, sum)
    }

    /// What three epochs give; the second gives nothing. Neighbours are made by different workers, if there are several.
    fn epochs() -> [Vec<(OutputRow, Diff)>; 3] {
        let many = (0..100).map(|at| (row(&format!("{}", at * 37 % 100), f64::from(at)), 1));
        let replaced = [(row("5", 65.0), -1), (row("5", 7.0), 1)];
        let in_vain = [(row("new", 1.0), 1), (row("new", 1.0), -1)];
        let gone = [(row("37", 1.0), -1)];
        let last = replaced.into_iter().chain(in_vain).chain(gone);
        [many.collect(), Vec::new(), last.collect()]
    }

    fn published(workers: usize, encodes: bool) -> Vec<EpochOutput> {
        let found: Arc<Mutex<Vec<EpochOutput>>> = Arc::default();
        let shared = Arc::clone(&found);
        let guards = timely::execute(timely::Config::process(workers), move |worker| {
            let (index, peers) = (worker.index(), worker.peers());
            let found = Arc::clone(&shared);
            let mut updates: InputHandleVec<Turn, OutputUpdate> = InputHandleVec::new();
            let mut ticks: InputHandleVec<Turn, Tick> = InputHandleVec::new();
            let probe = Handle::new();
            worker.dataflow::<Turn, _, _>(|scope| {
                let (updates, ticks) = (scope.input_from(&mut updates), scope.input_from(&mut ticks));
                let exit = (index, move |_: Millis| encodes);
                publish(updates, ticks, &probe, exit, move |output, _| {
                    found.lock().unwrap().push(output);
                });
            });
            for (turn, rows) in (1..).zip(epochs()) {
                updates.advance_to(turn);
                ticks.advance_to(turn);
                ticks.send(Tick {
                    epoch: turn * 10,
                    clock: Millis(0),
                    checkpoint: false,
                });
                let taken = Output::Taken(Topic::IN_REPORT, index as u16, turn, None);
                updates.send((taken, turn, 1));
                let own = rows.into_iter().enumerate().filter(|(at, _)| at % peers == index);
                own.for_each(|(_, (row, diff))| updates.send((Output::Row(row), turn, diff)));
            }
            drop((updates, ticks));
            while !probe.done() {
                worker.step_or_park(None);
            }
        });
        for result in guards.unwrap().join() {
            result.unwrap();
        }
        std::mem::take(&mut *found.lock().unwrap())
    }

    #[test]
    fn any_number_of_workers_gives_the_same_in_the_same_order() {
        let one = published(1, false);
        let kinds: Vec<_> = one[2]
            .table::<ReportTotal>()
            .map(|(row, diff)| (&*row.kind, row.total.0, diff))
            .collect();
        assert_eq!(kinds, [("37", 1.0, -1), ("5", 65.0, -1), ("5", 7.0, 1)]);
        assert_eq!(one[0].rows().len(), 100);
        for workers in [1, 2, 3] {
            let mut outputs = published(workers, true);
            let told: Vec<i64> = outputs.iter().map(|output| output.epoch.0).collect();
            assert_eq!(told, [10, 20, 30]);
            for (output, expected) in outputs.iter_mut().zip(&one) {
                assert_eq!(output.rows(), expected.rows());
                assert_eq!(output.offsets.len(), workers);
                let mut json = Json::new(output.epoch);
                let payloads = expected.rows().iter().map(|(row, diff)| match diff {
                    1.. => Some(Bytes(json.write(row))),
                    _ => None,
                });
                let payloads: Vec<_> = payloads.collect();
                assert_eq!(output.take_payloads(), payloads, "each stands beside its row");
            }
            assert!(
                published(workers, false)[0].take_payloads().is_empty(),
                "nobody asked for them"
            );
        }
    }

    #[test]
    fn a_row_and_its_payload_cross_between_processes() {
        let row = row("a", 1.0);
        let payload = Bytes(Json::new(Millis(10)).write(&row));
        let given: Given = (3, Output::Row(row), 1, Some(payload));
        let mut bytes = Vec::new();
        binary::append(&mut bytes, &given).unwrap();
        assert_eq!(binary::read::<Given>(&bytes).unwrap(), given);
    }
}
