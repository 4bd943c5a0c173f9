//! A view by hand: what comes waits until its epoch is complete, and then the epoch is settled as a whole.
//!
//! For what arrangements would copy or compare too much of. The state of such a view is rebuilt from its inputs, as that of every
//! view.

use std::collections::BTreeMap;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::ParallelizationContract;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

use super::builder::Updates;
use super::{Diff, Turn};

/// What waits, by epoch: gathered, and the right to say something in that epoch.
struct Waiting<G>(BTreeMap<Turn, (G, Capability<Turn>)>);

impl<G: Default> Waiting<G> {
    fn of(&mut self, epoch: Turn, capability: impl FnOnce() -> Capability<Turn>) -> &mut G {
        &mut self.0.entry(epoch).or_insert_with(|| (G::default(), capability())).0
    }

    /// The first epoch that waits, if it is complete.
    fn next(&mut self, complete: impl Fn(Turn) -> bool) -> Option<(Turn, G, Capability<Turn>)> {
        let first = self.0.first_entry().filter(|first| complete(*first.key()))?;
        let (epoch, (gathered, capability)) = first.remove_entry();
        Some((epoch, gathered, capability))
    }
}

/// Gathers the updates of each epoch, and settles epochs in their order. Where `pact` sends an update, it is gathered.
pub fn by_epoch<'scope, A: Clone + 'static, G: Default + 'static, T: Clone + 'static>(
    given: Updates<'scope, A>,
    pact: impl ParallelizationContract<Turn, Vec<(A, Turn, Diff)>>,
    name: &str,
    mut gather: impl FnMut(&mut G, A, Diff) + 'static,
    mut settle: impl FnMut(G, &mut dyn FnMut(T, Diff)) + 'static,
) -> Updates<'scope, T> {
    let mut waiting = Waiting(BTreeMap::new());
    given.unary_frontier::<CapacityContainerBuilder<Vec<_>>, _, _, _>(pact, name, move |capability, _| {
        drop(capability);
        move |(input, frontier), output| {
            input.for_each_stamp(|capability, batches| {
                for (update, epoch, diff) in batches.flat_map(|batch| batch.drain(..)) {
                    let gathered = waiting.of(epoch, || capability.delayed(&epoch, 0));
                    gather(gathered, update, diff);
                }
            });
            while let Some((epoch, gathered, capability)) =
                waiting.next(|epoch| !frontier.frontier().less_equal(&epoch))
            {
                let mut session = output.session(&capability);
                settle(gathered, &mut |row, diff| session.give((row, epoch, diff)));
            }
        }
    })
}

/// The same of two inputs: an epoch is complete when it is in both.
pub fn by_epoch_of_two<'scope, A: Clone + 'static, B: Clone + 'static, G: Default + 'static, T: Clone + 'static>(
    (first, first_pact): (
        Updates<'scope, A>,
        impl ParallelizationContract<Turn, Vec<(A, Turn, Diff)>>,
    ),
    (second, second_pact): (
        Updates<'scope, B>,
        impl ParallelizationContract<Turn, Vec<(B, Turn, Diff)>>,
    ),
    name: &str,
    (mut gather_first, mut gather_second): (
        impl FnMut(&mut G, A, Diff) + 'static,
        impl FnMut(&mut G, B, Diff) + 'static,
    ),
    mut settle: impl FnMut(G, &mut dyn FnMut(T, Diff)) + 'static,
) -> Updates<'scope, T> {
    let mut waiting = Waiting(BTreeMap::new());
    first.binary_frontier::<_, CapacityContainerBuilder<Vec<_>>, _, _, _, _>(
        second,
        first_pact,
        second_pact,
        name,
        move |capability, _| {
            drop(capability);
            move |(first, first_frontier), (second, second_frontier), output| {
                first.for_each_stamp(|capability, batches| {
                    for (update, epoch, diff) in batches.flat_map(|batch| batch.drain(..)) {
                        gather_first(waiting.of(epoch, || capability.delayed(&epoch, 0)), update, diff);
                    }
                });
                second.for_each_stamp(|capability, batches| {
                    for (update, epoch, diff) in batches.flat_map(|batch| batch.drain(..)) {
                        gather_second(waiting.of(epoch, || capability.delayed(&epoch, 0)), update, diff);
                    }
                });
                let complete = |epoch: Turn| {
                    let open = |frontier: &timely::progress::frontier::MutableAntichain<Turn>| {
                        frontier.frontier().less_equal(&epoch)
                    };
                    !open(first_frontier) && !open(second_frontier)
                };
                while let Some((epoch, gathered, capability)) = waiting.next(complete) {
                    let mut session = output.session(&capability);
                    settle(gathered, &mut |row, diff| session.give((row, epoch, diff)));
                }
            }
        },
    )
}
