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
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::OkErr;

use crate::engine::{Diff, Rows, Turn, Updates, by_epoch, by_epoch_of_two};
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
pub type Regions<'scope> = Updates<'scope, (RegionScope, Option<Box<RegionRisk>>)>;

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
    let on_one = Exchange::new(|_: &(Part, Turn, Diff)| 0);
    let gather = |parts: &mut Vec<_>, part, diff| parts.push((part, diff));
    let told = by_epoch(parts.inner, on_one, "RegionRollup", gather, move |parts, give| {
        rollup.apply(parts);
        rollup.settle(&mut |told| give(told, 1));
    });
    // Apart, and not twice: a row is large.
    let (rows, scores) = told.ok_err(|(told, epoch, _)| match told {
        Told::Row(scope, row) => Ok(((scope, row), epoch, 1)),
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

/// What regions and baselines are said to be in an epoch.
type Said = (Vec<(RegionScope, Option<Box<RegionRisk>>)>, Vec<(RegionScope, i64)>);

/// Returns the row of every region and domain, with its trend.
pub fn region_risk<'scope>(
    regions: Regions<'scope>,
    baselines: Rows<'scope, (RegionScope, i64)>,
) -> Rows<'scope, Arc<RegionRisk>> {
    let mut shown: BTreeMap<RegionScope, Shown> = BTreeMap::new();
    let on_one = Exchange::new(|_: &((RegionScope, i64), Turn, Diff)| 0);
    let row = |said: &mut Said, row, _| said.0.push(row);
    let baseline = |said: &mut Said, (scope, score), diff| said.1.push((scope, score * diff));
    let rows = by_epoch_of_two(
        (regions, Pipeline),
        (baselines.inner, on_one),
        "RegionRisk",
        (row, baseline),
        move |(rows, baselines), give| show(&mut shown, rows, baselines, give),
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
