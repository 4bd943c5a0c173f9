//! View: what goes out, with the names of regions.
//!
//! There are few regions and they change seldom, so each worker holds the names of all of them. A record gets the name that its
//! region has in the record's epoch; what is told is not told again because a name is another one later.

use std::collections::BTreeMap;

use riskflow_model::base::Region;
use riskflow_model::{RegionCode, Shared, Text};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::vec::Broadcast;

use crate::engine::{Diff, Rows, Turn};

type Update<D> = (D, Turn, Diff);

/// What waits until all names of its epoch are known.
struct Waiting<D> {
    names: Vec<(Shared<Region>, Diff)>,
    records: Vec<Update<D>>,
    capability: Capability<Turn>,
}

/// Returns each record after `give` has given it the name of its region; empty where that has no row.
pub fn named<'scope, D: Clone + 'static>(
    records: StreamVec<'scope, Turn, Update<D>>,
    regions: Rows<'scope, Shared<Region>>,
    region: impl Fn(&D) -> Option<RegionCode> + 'static,
    give: impl Fn(&mut D, Text) + 'static,
) -> StreamVec<'scope, Turn, Update<D>> {
    let mut names: BTreeMap<RegionCode, Text> = BTreeMap::new();
    let mut waiting: BTreeMap<Turn, Waiting<D>> = BTreeMap::new();
    records.binary_frontier::<_, CapacityContainerBuilder<Vec<_>>, _, _, _, _>(
        regions.inner.broadcast(),
        Pipeline,
        Pipeline,
        "Named",
        move |capability, _| {
            drop(capability);
            move |(records, records_frontier), (regions, regions_frontier), output| {
                let wait = |capability: &Capability<Turn>| Waiting {
                    names: Vec::new(),
                    records: Vec::new(),
                    capability: capability.clone(),
                };
                records.for_each_stamp(|capability, batches| {
                    for update in batches.flat_map(|batch| batch.drain(..)) {
                        let entry = waiting.entry(update.1);
                        let entry = entry.or_insert_with(|| wait(&capability.delayed(&update.1, 0)));
                        entry.records.push(update);
                    }
                });
                regions.for_each_stamp(|capability, batches| {
                    for (row, epoch, diff) in batches.flat_map(|batch| batch.drain(..)) {
                        let entry = waiting.entry(epoch);
                        let entry = entry.or_insert_with(|| wait(&capability.delayed(&epoch, 0)));
                        entry.names.push((row, diff));
                    }
                });
                while let Some(entry) = waiting.first_entry() {
                    let epoch = *entry.key();
                    if records_frontier.frontier().less_equal(&epoch) || regions_frontier.frontier().less_equal(&epoch)
                    {
                        break;
                    }
                    let Waiting {
                        names: mut changes,
                        records,
                        capability,
                    } = entry.remove();
                    // What went comes first.
                    changes.sort_by_key(|(_, diff)| *diff > 0);
                    for (row, diff) in changes {
                        if diff > 0 {
                            names.insert(row.code, row.name.clone());
                        } else {
                            names.remove(&row.code);
                        }
                    }
                    let mut session = output.session(&capability);
                    session.give_iterator(records.into_iter().map(|(mut record, epoch, diff)| {
                        let name = region(&record).and_then(|region| names.get(&region).cloned());
                        give(&mut record, name.unwrap_or_default());
                        (record, epoch, diff)
                    }));
                }
            }
        },
    )
}
