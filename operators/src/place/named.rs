//! View: what goes out, with the names of regions.
//!
//! There are few regions and they change seldom, so each worker holds the names of all of them. A record gets the name that its
//! region has in the record's epoch; what is told is not told again because a name is another one later.

use std::collections::BTreeMap;

use riskflow_model::base::Region;
use riskflow_model::{RegionCode, Shared, Text};
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::vec::Broadcast;

use crate::engine::{Diff, Rows, Updates, by_epoch_of_two};

/// Names that came and went in an epoch, and records that get theirs.
type Epoch<D> = (Vec<(Shared<Region>, Diff)>, Vec<(D, Diff)>);

/// Returns each record after `give_name` has given it the name of its region; empty where that has no row.
pub fn named<'scope, D: Clone + 'static>(
    records: Updates<'scope, D>,
    regions: Rows<'scope, Shared<Region>>,
    region: impl Fn(&D) -> Option<RegionCode> + 'static,
    give_name: impl Fn(&mut D, Text) + 'static,
) -> Updates<'scope, D> {
    let mut names: BTreeMap<RegionCode, Text> = BTreeMap::new();
    by_epoch_of_two(
        (records, Pipeline),
        (regions.inner.broadcast(), Pipeline),
        "Named",
        (
            |epoch: &mut Epoch<D>, record, diff| epoch.1.push((record, diff)),
            |epoch: &mut Epoch<D>, row, diff| epoch.0.push((row, diff)),
        ),
        move |(mut changes, records), give| {
            // What went comes first.
            changes.sort_by_key(|(_, diff)| *diff > 0);
            for (row, diff) in changes {
                if diff > 0 {
                    names.insert(row.code, row.name.clone());
                } else {
                    names.remove(&row.code);
                }
            }
            for (mut record, diff) in records {
                let name = region(&record).and_then(|region| names.get(&region).cloned());
                give_name(&mut record, name.unwrap_or_default());
                give(record, diff);
            }
        },
    )
}
