//! The whole dataflow on one page. It wires and decides nothing.
//!
//! ```text
//!  base records ─► latest ─┬─ regions ─────────────────────────────────────────────────────────┐
//!                          ├─ assets ──────┬───────────────┬──────────────┐                    │
//!                          ├─ datastreams ─┤               │              │                    │
//!                          └─ rules ───────┴► specification│              │                    │
//!                                                │         │              │                    │
//!  observations ─────────────────────────────► monitor ─► asset risk ─────┼─► region risk ◄────┘
//!                                                │                        │       ▲  ▲
//!                                                └─ revisions ────────► lifecycle ┘  └ score baseline
//! ```
//!
//! `latest`, `monitor`, `lifecycle` and `score_baseline` are folds, all else is views. `ticks` reach every fold.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use differential_dataflow::AsCollection;
use differential_dataflow::logging::{DifferentialEvent, DifferentialEventBuilder};
use riskflow_config::{CaseSettings, ScoreCuts, TimeSettings, UnknownSettings};
use riskflow_operators::case::Acted;
use riskflow_operators::fold::{Fold, FoldMeter, Keeper, Tick, fold};
use riskflow_operators::lifecycle::Lifecycle;
use riskflow_operators::monitor::{Monitor, Observed, remembered};
use riskflow_operators::score_baseline::ScoreBaseline;
use riskflow_operators::table::{BaseRecord, Latest};
use riskflow_operators::{Epoch, asset_risk, region_risk, specification};
use timely::dataflow::StreamVec;
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::vec::{Map, ToStream};
use timely::worker::Worker;

use crate::output::{Output, OutputUpdate};

/// What comes in, on each worker.
pub struct Inputs<'scope> {
    /// Records of base topics and rules.
    pub base: StreamVec<'scope, Epoch, BaseRecord>,
    /// Observations that were admitted.
    pub observations: StreamVec<'scope, Epoch, Observed>,
    /// Actions that were admitted.
    pub actions: StreamVec<'scope, Epoch, Acted>,
    /// One for each epoch on each worker.
    pub ticks: StreamVec<'scope, Epoch, Tick>,
}

/// The settings that give the answer its meaning; all others change only how it is computed.
#[derive(Clone, Copy, Debug)]
pub struct Semantics {
    /// Horizons of event time.
    pub time: TimeSettings,
    /// What becomes of observations whose datastream is not known.
    pub unknown: UnknownSettings,
    /// How a score becomes a level.
    pub cuts: ScoreCuts,
    /// Deadlines and bounds of cases.
    pub case: CaseSettings,
}

/// How the state of each fold outlives the process.
pub struct Keepers {
    /// Of `latest`.
    pub latest: Keeper,
    /// Of `monitor`.
    pub monitor: Keeper,
    /// Of `lifecycle`.
    pub lifecycle: Keeper,
    /// Of `score_baseline`.
    pub score_baseline: Keeper,
}

impl Keepers {
    /// The names of the folds.
    pub const FOLDS: [&'static str; 4] = [Latest::NAME, Monitor::NAME, Lifecycle::NAME, ScoreBaseline::NAME];

    /// One keeper for each fold, by its name.
    #[must_use]
    pub fn of(mut keeper: impl FnMut(&'static str) -> Keeper) -> Self {
        Self {
            latest: keeper(Latest::NAME),
            monitor: keeper(Monitor::NAME),
            lifecycle: keeper(Lifecycle::NAME),
            score_baseline: keeper(ScoreBaseline::NAME),
        }
    }
}

/// What each fold has done so far, over all workers of the process.
#[derive(Clone, Debug, Default)]
pub struct Meters {
    /// Of `latest`.
    pub latest: Arc<FoldMeter>,
    /// Of `monitor`.
    pub monitor: Arc<FoldMeter>,
    /// Of `lifecycle`.
    pub lifecycle: Arc<FoldMeter>,
    /// Of `score_baseline`.
    pub score_baseline: Arc<FoldMeter>,
    /// Updates that went into arrangements of the views.
    pub arranged: Arc<AtomicU64>,
}

impl Meters {
    /// Counts from now on what a worker's arrangements take in. Call it before the dataflow is built.
    pub fn count_arranged(&self, worker: &Worker) {
        let arranged = Arc::clone(&self.arranged);
        let Some(mut register) = worker.log_register() else {
            return;
        };
        register.insert::<DifferentialEventBuilder, _>("differential/arrange", move |_, events| {
            let batches = events
                .iter()
                .flat_map(|events| events.iter())
                .filter_map(|(_, event)| match event {
                    DifferentialEvent::Batch(batch) => Some(batch.length as u64),
                    _ => None,
                });
            arranged.fetch_add(batches.sum(), Ordering::Relaxed);
        });
    }
}

/// Builds the dataflow; returns everything that is to be published.
#[expect(clippy::too_many_lines, reason = "the whole dataflow on one page; it only wires")]
pub fn graph<'scope>(
    inputs: Inputs<'scope>,
    semantics: &Semantics,
    meters: &Meters,
    keepers: Keepers,
) -> StreamVec<'scope, Epoch, OutputUpdate> {
    let Inputs {
        base,
        observations,
        actions,
        ticks,
    } = inputs;
    drop(actions);
    let scope = ticks.scope();

    let nothing = ToStream::to_stream(None, scope).as_collection();
    let tables = fold(
        Latest,
        nothing,
        base,
        ticks.clone(),
        meters.latest.clone(),
        keepers.latest,
    )
    .as_collection();
    let regions = tables.clone().flat_map(|(_, row)| row.region());
    let assets = tables.clone().flat_map(|(key, row)| Some((key, row.asset()?)));
    let datastreams = tables.clone().flat_map(|(key, row)| Some((key, row.datastream()?)));
    let rules = tables.flat_map(|(_, row)| row.rule());

    let specifications = specification::specification(datastreams, assets.clone(), rules);
    let monitor = Monitor::new(semantics.time, semantics.unknown);
    let findings = fold(
        monitor,
        specifications,
        observations,
        ticks.clone(),
        meters.monitor.clone(),
        keepers.monitor,
    );
    let standings = findings
        .clone()
        .flat_map(|(finding, epoch, diff)| Some((finding.standing()?, epoch, diff)));
    let revisions = findings.clone().flat_map(|(finding, _, _)| finding.revision());
    let dead_letters =
        findings.flat_map(|(finding, epoch, diff)| Some((Output::DeadLetter(finding.dead_letter()?), epoch, diff)));

    let lifecycle = Lifecycle {
        remember: remembered(&semantics.time),
    };
    let steps = fold(
        lifecycle,
        assets.clone(),
        revisions,
        ticks.clone(),
        meters.lifecycle.clone(),
        keepers.lifecycle,
    );
    let warnings = steps
        .clone()
        .flat_map(|(step, epoch, diff)| Some((step.state()?, epoch, diff)))
        .as_collection();
    let deltas = steps.flat_map(|(step, epoch, diff)| Some((Output::WarningDelta(step.delta()?), epoch, diff)));

    let asset_risks = asset_risk::asset_risk(assets, standings.as_collection(), semantics.cuts);
    let tallies = region_risk::region_tally(asset_risks.clone(), warnings.clone());
    let scores = region_risk::region_score(tallies.clone());
    let no_records = ToStream::to_stream(None, scope);
    let baselines = fold(
        ScoreBaseline,
        scores,
        no_records,
        ticks,
        meters.score_baseline.clone(),
        keepers.score_baseline,
    )
    .as_collection();
    let region_risks = region_risk::region_risk(regions, asset_risks.clone(), tallies, baselines);

    asset_risks
        .map(Output::AssetRisk)
        .concat(region_risks.map(Output::RegionRisk))
        .concat(warnings.map(Output::WarningState))
        .inner
        .concat(deltas)
        .concat(dead_letters)
}
