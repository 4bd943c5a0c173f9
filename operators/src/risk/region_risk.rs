//! View: the risk of every region, for every domain and for all together, rolled up from village to province, and by the rows of regions.
//!
//! ```text
//!   names, assets, warnings ──► [ roll-up ] ─┬─ what a region is now ──────────► [ rows ] ──► region rows
//!                                            └─ scores ──► score baseline ──────────┘
//! ```
//!
//! Two operators with keyed state of their own, rebuilt from rows as that of every view. A change touches two cells: those of its
//! region, for its domain and for all. What an epoch did to a cell goes up once, as a difference ([`Rollup`]): nothing is
//! recomputed from its members. As plain joins and reductions this was a third of all operators of the dataflow, and the fixed cost
//! of an epoch grows with these.
//!
//! Everything is gathered on worker 0: a change costs about a microsecond here, far less than what led to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use differential_dataflow::AsCollection;
use riskflow_model::base::Region;
use riskflow_model::output::{AssetRisk, RegionRisk, WarningState};
use riskflow_model::{RegionCode, Shared};
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::{Capability, OkErr};

use crate::engine::{Diff, Rows, Turn};
use crate::risk::score_baseline::RegionScope;

mod cell;
mod rollup;
#[cfg(test)]
mod tests;

use rollup::Rollup;

/// A row that regions are made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Part {
    Asset(Arc<AssetRisk>),
    Warning(Arc<WarningState>),
    Named(Shared<Region>),
}

impl Part {
    fn region(&self) -> RegionCode {
        match self {
            Self::Asset(risk) => risk.region,
            Self::Warning(warning) => warning.region,
            Self::Named(region) => region.code,
        }
    }
}

/// What is known of a region and domain.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    /// Its row now, with its score as the trend, or that it has none; at most once an epoch.
    Row(RegionScope, Option<Box<RegionRisk>>),
    /// A score other than 0 came or went.
    Score(RegionScope, i64, Diff),
}

/// What regions are, as a stream: each region and domain in the epochs in which it may differ, at most once in each; `None` where it
/// has no row.
pub type Regions<'scope> = StreamVec<'scope, Turn, (RegionScope, Option<Box<RegionRisk>>, Turn)>;

/// What waits for its epoch to be complete.
type Pending = BTreeMap<Turn, (Vec<(Part, Diff)>, Capability<Turn>)>;

/// Rolls up names, assets and warnings. Gives what regions are, and the score of every region and domain where it is not 0: what the
/// baseline is made of.
pub fn region_rollup<'scope>(
    regions: Rows<'scope, Shared<Region>>,
    risks: Rows<'scope, Arc<AssetRisk>>,
    warnings: Rows<'scope, Arc<WarningState>>,
) -> (Regions<'scope>, Rows<'scope, (RegionScope, i64)>) {
    let parts = regions
        .map(Part::Named)
        .concat(risks.map(Part::Asset))
        .concat(warnings.map(Part::Warning));
    let mut rollup = Rollup::default();
    let mut waiting = Pending::new();
    let gather = Exchange::new(|_: &(Part, Turn, Diff)| 0);
    let told = parts.inner.unary_frontier::<CapacityContainerBuilder<Vec<_>>, _, _, _>(
        gather,
        "RegionRollup",
        move |capability, _| {
            drop(capability);
            move |(input, frontier), output| {
                input.for_each_stamp(|capability, batches| {
                    for (part, epoch, diff) in batches.flat_map(|batch| batch.drain(..)) {
                        let entry = waiting.entry(epoch);
                        let entry = entry.or_insert_with(|| (Vec::new(), capability.delayed(&epoch, 0)));
                        entry.0.push((part, diff));
                    }
                });
                while let Some(entry) = waiting.first_entry() {
                    let epoch = *entry.key();
                    if frontier.frontier().less_equal(&epoch) {
                        break;
                    }
                    let (parts, capability) = entry.remove();
                    rollup.apply(parts);
                    let mut session = output.session(&capability);
                    rollup.settle(&mut |told| session.give((told, epoch)));
                }
            }
        },
    );
    // Apart, and not twice: a row is large.
    let (rows, scores) = told.ok_err(|(told, epoch)| match told {
        Told::Row(scope, row) => Ok((scope, row, epoch)),
        Told::Score(scope, score, diff) => Err(((scope, score), epoch, diff)),
    });
    (rows, scores.as_collection())
}

/// What stands in the output for a region and domain.
#[derive(Default)]
struct Shown {
    /// The score an hour ago.
    baseline: i64,
    row: Option<Arc<RegionRisk>>,
}

/// What waits for its epoch to be complete.
struct Waiting {
    rows: Vec<(RegionScope, Option<Box<RegionRisk>>)>,
    baselines: Vec<(RegionScope, i64)>,
    capability: Capability<Turn>,
}

/// Returns the row of every region and domain, with its trend.
pub fn region_risk<'scope>(
    regions: Regions<'scope>,
    baselines: Rows<'scope, (RegionScope, i64)>,
) -> Rows<'scope, Arc<RegionRisk>> {
    let mut shown: BTreeMap<RegionScope, Shown> = BTreeMap::new();
    let mut waiting: BTreeMap<Turn, Waiting> = BTreeMap::new();
    let gather = Exchange::new(|_: &((RegionScope, i64), Turn, Diff)| 0);
    let rows = regions.binary_frontier::<_, CapacityContainerBuilder<Vec<_>>, _, _, _, _>(
        baselines.inner,
        Pipeline,
        gather,
        "RegionRisk",
        move |capability, _| {
            drop(capability);
            move |(regions, regions_frontier), (baselines, baselines_frontier), output| {
                let fresh = |capability| Waiting {
                    rows: Vec::new(),
                    baselines: Vec::new(),
                    capability,
                };
                regions.for_each_stamp(|capability, batches| {
                    for (scope, row, epoch) in batches.flat_map(|batch| batch.drain(..)) {
                        let entry = waiting.entry(epoch);
                        let entry = entry.or_insert_with(|| fresh(capability.delayed(&epoch, 0)));
                        entry.rows.push((scope, row));
                    }
                });
                baselines.for_each_stamp(|capability, batches| {
                    for ((scope, score), epoch, diff) in batches.flat_map(|batch| batch.drain(..)) {
                        let entry = waiting.entry(epoch);
                        let entry = entry.or_insert_with(|| fresh(capability.delayed(&epoch, 0)));
                        entry.baselines.push((scope, score * diff));
                    }
                });
                while let Some(entry) = waiting.first_entry() {
                    let epoch = *entry.key();
                    let passed =
                        |frontier: timely::progress::frontier::AntichainRef<'_, Turn>| !frontier.less_equal(&epoch);
                    if !passed(regions_frontier.frontier()) || !passed(baselines_frontier.frontier()) {
                        break;
                    }
                    let Waiting {
                        rows,
                        baselines,
                        capability,
                    } = entry.remove();
                    let mut session = output.session(&capability);
                    show(&mut shown, rows, baselines, &mut |row, diff| {
                        session.give((row, epoch, diff))
                    });
                }
            }
        },
    );
    rows.as_collection()
}

/// Gives the rows that went and came in an epoch.
fn show(
    shown: &mut BTreeMap<RegionScope, Shown>,
    rows: Vec<(RegionScope, Option<Box<RegionRisk>>)>,
    baselines: Vec<(RegionScope, i64)>,
    give: &mut dyn FnMut(Arc<RegionRisk>, Diff),
) {
    let mut rows: BTreeMap<_, _> = rows.into_iter().collect();
    for (scope, change) in baselines {
        let before = shown.entry(scope).or_default();
        before.baseline += change;
        // Where only its baseline is another, the rest of the row is as it was.
        if let Some(row) = &before.row {
            rows.entry(scope).or_insert_with(|| Some(Box::new((**row).clone())));
        }
    }
    for (scope, row) in rows {
        let before = shown.entry(scope).or_default();
        let row = row.map(|row| RegionRisk {
            trend: row.score - before.baseline,
            ..*row
        });
        if row.as_ref() == before.row.as_deref() {
            continue;
        }
        let row = row.map(Arc::new);
        if let Some(gone) = std::mem::replace(&mut before.row, row.clone()) {
            give(gone, -1);
        }
        if let Some(row) = row {
            give(row, 1);
        }
    }
}
