//! View: rows with where they lie.
//!
//! A statistical code says by itself which regions it lies in, and its row passes at once. Of all other codes the rows of
//! `base.region` say it: those rows are held here, and are given again where that changes.

use std::collections::BTreeMap;

use differential_dataflow::consolidation::consolidate;
use differential_dataflow::{AsCollection, ExchangeData};
use riskflow_config::Located;
use riskflow_model::base::Region;
use riskflow_model::{Lineage, RegionCode, Shared};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::vec::Broadcast;

use crate::engine::{Diff, Rows, Turn};

/// The rows of regions of which the code does not say where they lie, on every worker.
pub fn placed<'scope>(regions: Rows<'scope, Shared<Region>>) -> Rows<'scope, Shared<Region>> {
    let placed = regions.filter(|region| !region.code.is_statistical());
    placed.inner.broadcast().as_collection()
}

/// Rows whose code is not statistical, and where these lie. Holds no dataflow type.
struct Held<D> {
    lineage: Lineage,
    rows: BTreeMap<RegionCode, (Located, BTreeMap<D, Diff>)>,
}

impl<D: ExchangeData> Held<D> {
    /// Takes an epoch in, and gives what changes.
    fn apply(
        &mut self,
        mut regions: Vec<(Shared<Region>, Diff)>,
        rows: Vec<(RegionCode, D, Diff)>,
    ) -> Vec<((D, Located), Diff)> {
        let mut out = Vec::new();
        consolidate(&mut regions);
        // What went comes first.
        regions.sort_by_key(|(_, diff)| *diff > 0);
        for (region, diff) in &regions {
            if *diff > 0 {
                self.lineage.put(region.code, region.parent);
            } else {
                self.lineage.remove(region.code);
            }
        }
        if !regions.is_empty() {
            for (region, (located, rows)) in &mut self.rows {
                let now = Located::of(&self.lineage, *region);
                if now != *located {
                    for (row, diff) in rows.iter() {
                        out.push(((row.clone(), located.clone()), -diff));
                        out.push(((row.clone(), now.clone()), *diff));
                    }
                    *located = now;
                }
            }
        }
        for (region, row, diff) in rows {
            let lineage = &self.lineage;
            let place = self.rows.entry(region);
            let (located, held) = place.or_insert_with(|| (Located::of(lineage, region), BTreeMap::new()));
            out.push(((row.clone(), located.clone()), diff));
            let times = held.entry(row.clone()).or_default();
            *times += diff;
            if *times == 0 {
                held.remove(&row);
            }
            if held.is_empty() {
                self.rows.remove(&region);
            }
        }
        consolidate(&mut out);
        out
    }
}

/// Returns each row with where the region lies that it is in. `regions` are those that [`placed`] gives.
pub fn locate<'scope, D: ExchangeData>(
    rows: Rows<'scope, D>,
    regions: Rows<'scope, Shared<Region>>,
    region: impl Fn(&D) -> RegionCode + 'static,
) -> Rows<'scope, (D, Located)> {
    type Waiting<D> = (
        Vec<(Shared<Region>, Diff)>,
        Vec<(RegionCode, D, Diff)>,
        Capability<Turn>,
    );
    let mut held = Held {
        lineage: Lineage::default(),
        rows: BTreeMap::new(),
    };
    let mut waiting: BTreeMap<Turn, Waiting<D>> = BTreeMap::new();
    let located = rows
        .inner
        .binary_frontier::<_, CapacityContainerBuilder<Vec<_>>, _, _, _, _>(
            regions.inner,
            Pipeline,
            Pipeline,
            "Locate",
            move |capability, _| {
                drop(capability);
                move |(rows, rows_frontier), (regions, regions_frontier), output| {
                    rows.for_each_stamp(|capability, batches| {
                        let mut session = output.session(&capability);
                        for (row, epoch, diff) in batches.flat_map(|batch| batch.drain(..)) {
                            let code = region(&row);
                            if code.is_statistical() {
                                session.give(((row, Located::default()), epoch, diff));
                            } else {
                                let entry = waiting.entry(epoch);
                                let entry =
                                    entry.or_insert_with(|| (Vec::new(), Vec::new(), capability.delayed(&epoch, 0)));
                                entry.1.push((code, row, diff));
                            }
                        }
                    });
                    regions.for_each_stamp(|capability, batches| {
                        for (row, epoch, diff) in batches.flat_map(|batch| batch.drain(..)) {
                            let entry = waiting.entry(epoch);
                            let entry =
                                entry.or_insert_with(|| (Vec::new(), Vec::new(), capability.delayed(&epoch, 0)));
                            entry.0.push((row, diff));
                        }
                    });
                    while let Some(entry) = waiting.first_entry() {
                        let epoch = *entry.key();
                        let passed =
                            |frontier: timely::progress::frontier::AntichainRef<'_, Turn>| !frontier.less_equal(&epoch);
                        if !passed(rows_frontier.frontier()) || !passed(regions_frontier.frontier()) {
                            break;
                        }
                        let (regions, rows, capability) = entry.remove();
                        let updates = held.apply(regions, rows);
                        let mut session = output.session(&capability);
                        session.give_iterator(updates.into_iter().map(|(row, diff)| (row, epoch, diff)));
                    }
                }
            },
        );
    located.as_collection()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(code: &str, parent: &str) -> Shared<Region> {
        let json = format!(r#"{{"code":"{code}","name":"n","parent":"{parent}"}}"#);
        Shared::new(serde_json::from_str(&json).unwrap())
    }

    #[test]
    fn rows_follow_the_rows_of_regions() {
        let mut held = Held {
            lineage: Lineage::default(),
            rows: BTreeMap::new(),
        };
        let code: RegionCode = "berth".parse().unwrap();
        let mut apply = |regions: Vec<(Shared<Region>, Diff)>, rows: Vec<(u32, Diff)>| {
            let rows = rows.into_iter().map(|(row, diff)| (code, row, diff)).collect();
            let out = held.apply(regions, rows).into_iter();
            let told = out.map(|((row, located), diff)| {
                let chain: Vec<String> = located.chain(code).iter().map(ToString::to_string).collect();
                (row, chain.join(" "), located.astray().is_some(), diff)
            });
            let mut told: Vec<_> = told.collect();
            told.sort();
            told
        };
        let row = |row: u32, chain: &str, astray: bool, diff: Diff| (row, chain.to_owned(), astray, diff);
        assert_eq!(
            apply(vec![], vec![(1, 1), (2, 1)]),
            [row(1, "berth", true, 1), row(2, "berth", true, 1)]
        );
        let there = "berth 330902 3309 33";
        assert_eq!(
            apply(vec![(region("berth", "330902"), 1)], vec![(2, -1)]),
            [
                row(1, "berth", true, -1),
                row(1, there, false, 1),
                row(2, "berth", true, -1)
            ]
        );
        assert_eq!(apply(vec![(region("pier", "berth"), 1)], vec![]), []);
        let moved = apply(
            vec![(region("berth", "330903"), 1), (region("berth", "330902"), -1)],
            vec![],
        );
        assert_eq!(
            moved,
            [row(1, there, false, -1), row(1, "berth 330903 3309 33", false, 1)]
        );
        assert_eq!(
            apply(vec![], vec![(1, -1)]),
            [row(1, "berth 330903 3309 33", false, -1)]
        );
        assert_eq!(apply(vec![(region("berth", "330903"), -1)], vec![]), []);
    }
}
