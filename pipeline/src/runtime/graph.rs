//! The whole dataflow on one page. It wires and decides nothing.
//!
//! ```text
//!  base records ─► latest ─┬─ regions ─────┬───────────────────────────────────────────────┐
//!                          ├─ assets ──────┼─────────────┬──────┐                          │
//!                          ├─ datastreams ─┤             │      │                          │
//!                          ├─ rules ───────┴► specifications    │                          │
//!                          │                     │       │      ▼                          ▼
//!  observations, forecasts │─────────────────► monitor ──┼► lifecycle ─┬─ asset risk ─► region risk
//!                          │            (revisions)      ▼  ▲   │ │    └─ warnings ───►   ▲
//!                          ├─ permits, limits ─────► permit ┤   │ │        score baseline ─┘
//!  events ─────────────────┼─ reviews ► event ► gauge ──────┘   │ │
//!                          ├─ what meets nothing ─► unmatched   │ │
//!                          └─ reports ─► report total           │ └─ deltas ─┬───────────────────┐
//!  incidents, duties on now (roster), units, plans ─► obligations            └► ledger           ▼
//!                                                          └───────────────────────────────────► case ◄── joining ◄── actions
//!  duties and posts on now (roster) ─► recipients ◄── alarms ──────────────────────────────────────┤
//!                                          └─► notice                               response ◄─────┘
//! ```
//!
//! `latest`, `monitor`, `permit`, `event`, `gauge`, `unmatched`, `lifecycle`, `score_baseline`, `ledger`, `roster`, `joining`, `case` and
//! `notice` are folds, all else is views. `ticks` reach every fold.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use differential_dataflow::AsCollection;
use differential_dataflow::logging::{DifferentialEvent, DifferentialEventBuilder};
use jiff::tz::TimeZone;
use riskflow_config::{
    Capabilities, CaseSettings, CityDays, ScoreCuts, Settings, TimeSettings, UnknownSettings, UnmatchedSettings,
};
use riskflow_model::base::{Asset, Datastream, Region};
use riskflow_model::gauge::Gauge;
use riskflow_model::id::Run;
use riskflow_model::intake::Limit;
use riskflow_model::output::{
    AssetRisk, CandidateDelta, CandidateState, PastWarning, SetDifference, WarningDelta, WarningState,
};
use riskflow_model::rule::RuleRecord;
use riskflow_model::ruleset::RuleSet;
use riskflow_model::{Id, Shared, capability};
use riskflow_operators::closed_loop::{self, Acted, CaseRecord, CaseTerms, Warnings};
use riskflow_operators::engine::{
    BaseRecord, Batch, Builder, Built, FoldMeter, Keeper, Outside, Tick, Updates, batched, fork, split_into,
};
use riskflow_operators::place::{locate, named, placed};
use riskflow_operators::risk::{ScoreBaseline, region_risk, region_rollup};
use riskflow_operators::span::{self, EventRecord};
use riskflow_operators::warning::{
    self, Alone, EvaluationMeter, Finding, Incoming, Joined, Lasting, Late, Lifecycle, Monitor, NoValueMeter, SetMeter,
    Step, UnmatchedMeter, Written, remembered, unmatched_table,
};
use riskflow_operators::{Rows, Turn, permit, standalone};
use timely::dataflow::StreamVec;
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::vec::Map;
use timely::worker::Worker;

use crate::runtime::admission::Admission;
use crate::runtime::dataflow::DataflowMeter;
use crate::runtime::in_force::{self, InForceMeter};
use crate::runtime::output::{Output, OutputUpdate};
use crate::runtime::unmatched;

/// What comes in, on each worker.
pub struct Inputs<'scope> {
    /// Records of base topics and rules.
    pub base: StreamVec<'scope, Turn, Batch<BaseRecord>>,
    /// Observations and forecasts that were admitted.
    pub incoming: StreamVec<'scope, Turn, Batch<Incoming>>,
    /// Actions that were admitted.
    pub actions: StreamVec<'scope, Turn, Batch<Acted>>,
    /// Events that were admitted.
    pub events: StreamVec<'scope, Turn, Batch<EventRecord>>,
    /// One for each epoch on each worker.
    pub ticks: StreamVec<'scope, Turn, Tick>,
}

/// The settings that give the answer its meaning; all others change only how it is computed.
#[derive(Clone, Debug)]
pub struct Semantics {
    /// Horizons of event time.
    pub time: TimeSettings,
    /// What becomes of observations whose datastream is not known.
    pub unknown: UnknownSettings,
    /// When what meets nothing stands in its table.
    pub unmatched: UnmatchedSettings,
    /// How a score becomes a level.
    pub cuts: ScoreCuts,
    /// Deadlines and bounds of cases.
    pub case: CaseSettings,
    /// The time that people there go by.
    pub zone: TimeZone,
    /// Its special days.
    pub days: CityDays,
    /// Which parts are on.
    pub capabilities: Capabilities,
}

impl Semantics {
    /// Those of a job.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        Self {
            time: settings.time,
            unknown: settings.unknown,
            unmatched: settings.unmatched,
            cuts: settings.cuts,
            case: settings.case,
            zone: settings.zone.clone(),
            days: settings.days.clone(),
            capabilities: settings.capabilities.clone(),
        }
    }
}

impl Semantics {
    /// Which times of records are taken.
    #[must_use]
    pub const fn admission(&self) -> Admission {
        Admission {
            time: self.time,
            case: self.case,
        }
    }
}

/// What the folds and views have done so far, over all workers of the process.
#[derive(Clone, Debug, Default)]
pub struct Meters {
    folds: Arc<Mutex<BTreeMap<&'static str, Arc<FoldMeter>>>>,
    /// Updates that went into arrangements of the views.
    pub arranged: Arc<AtomicU64>,
    /// Deletions of rows that were not there.
    pub in_vain: Arc<AtomicU64>,
    /// How much stands in `out.unmatched`, of each kind.
    pub unmatched: Arc<UnmatchedMeter>,
    /// Rules and limits in force.
    pub in_force: Arc<InForceMeter>,
    /// Rule sets, and what is wrong with them.
    pub sets: Arc<SetMeter>,
    /// Observations that are no values.
    pub no_values: Arc<NoValueMeter>,
    /// Observations that wait for the row of their datastream.
    pub waiting: Arc<AtomicU64>,
    /// Spans at assets that have no row.
    pub placeless: Arc<AtomicI64>,
    /// How often rules were evaluated.
    pub evaluations: Arc<EvaluationMeter>,
    /// What each operator has done, where that is watched.
    pub dataflow: Arc<DataflowMeter>,
}

/// How many datastreams should report at an interval, and how many of them have fallen silent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reporting {
    /// Their rows say an interval.
    pub expected: i64,
    /// Nothing came of them for several of these.
    pub silent: i64,
}

impl Meters {
    /// The job begins once more: what was counted of its state is gone with it.
    pub fn begin_anew(&self) {
        // Folds add to it; those of a run before this one are gone.
        self.waiting.store(0, Ordering::Relaxed);
        self.placeless.store(0, Ordering::Relaxed);
        self.dataflow.begin_anew();
        for (_, meter) in self.folds() {
            meter.begin_anew();
        }
    }

    /// Which datastreams report, at the newest checkpoint.
    #[must_use]
    pub fn reporting(&self) -> Reporting {
        let mut reporting = Reporting::default();
        for (_, meter) in self.folds() {
            reporting.expected += meter.expected.load(Ordering::Relaxed) as i64;
            reporting.silent += meter.silent.load(Ordering::Relaxed) as i64;
        }
        reporting
    }

    /// What a fold has done, by its name.
    #[must_use]
    pub fn fold(&self, name: &'static str) -> Arc<FoldMeter> {
        let mut folds = self.folds.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(folds.entry(name).or_default())
    }

    /// What each fold has done, in the order of their names.
    #[must_use]
    pub fn folds(&self) -> Vec<(&'static str, Arc<FoldMeter>)> {
        let folds = self.folds.lock().unwrap_or_else(PoisonError::into_inner);
        folds.iter().map(|(name, meter)| (*name, Arc::clone(meter))).collect()
    }

    /// Counts from now on what a worker's arrangements take in, and what its operators do if these are watched. Call it before the
    /// dataflow is built.
    pub fn watch(&self, worker: &Worker, operators: bool) {
        let arranged = Arc::clone(&self.arranged);
        let watched = operators.then(|| self.dataflow.watch(worker));
        let Some(mut register) = worker.log_register() else {
            return;
        };
        register.insert::<DifferentialEventBuilder, _>("differential/arrange", move |_, events| {
            if let (Some(watched), Some(events)) = (&watched, events.as_ref()) {
                watched.take_arranged(events.iter().map(|(_, event)| event));
            }
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

/// What the folds need: meters, and how their state outlives the process.
struct Around<'a> {
    meters: &'a Meters,
    keeper: &'a mut dyn FnMut(&'static str) -> Keeper,
}

impl Outside for Around<'_> {
    fn keeper(&mut self, fold: &'static str) -> Keeper {
        (self.keeper)(fold)
    }

    fn meter(&mut self, fold: &'static str) -> Arc<FoldMeter> {
        self.meters.fold(fold)
    }
}

/// Builds the dataflow; returns everything that is to be published. `keeper` says, by the name of a fold, how its state outlives
/// the process.
pub fn graph<'scope>(
    inputs: Inputs<'scope>,
    semantics: &Semantics,
    meters: &Meters,
    keeper: &mut dyn FnMut(&'static str) -> Keeper,
) -> StreamVec<'scope, Turn, OutputUpdate> {
    let is_on = |name| semantics.capabilities.is_on(name);
    let mut around = Around { meters, keeper };
    let mut builder = Builder::new(inputs.base, inputs.ticks, meters.in_vain.clone(), &mut around);
    let b = &mut builder;

    let regions = b.rows_of::<Region>();
    let placed = placed(regions.clone());
    let assets = b.table::<Asset>();
    let located = locate(assets.clone(), placed.clone(), |(_, asset)| asset.region);
    let datastreams = b.table::<Datastream>().map(|(key, row)| warning::at_asset(key, row));
    let (written, there) = written(b, semantics, meters);
    let specified = warning::specifications(datastreams, located.clone(), written, regions.clone());
    tell_unmatched(b, specified.alone, there, semantics, meters);

    let mut findings = b.fold(monitor(semantics, meters), specified.datastreams, inputs.incoming);
    // Once for all who look assets up.
    let arranged = (is_on(capability::PERMITS) || is_on(capability::GAUGES)).then(|| warning::arranged(located));
    if let Some(assets) = arranged.clone().filter(|_| is_on(capability::PERMITS)) {
        in_force::watch_limits(b.rows_of::<Limit>(), &meters.in_force);
        findings = findings.concat(permit::build(b, assets));
    }
    if let Some(assets) = arranged.filter(|_| is_on(capability::GAUGES)) {
        let inputs = span::Inputs {
            events: inputs.events,
            assets,
            placed: placed.clone(),
            watched: specified.assets,
        };
        findings = findings.concat(span::build(b, inputs, span_terms(semantics, meters)));
    }
    let [revisions, letters] = split_into(findings, |finding| match finding {
        Finding::Revision(_) => 0,
        Finding::DeadLetter(_) => 1,
    });
    let revisions = batched::<Lifecycle, _>(revisions, |(finding, _, _)| finding.revision());
    b.append(letters.flat_map(|(finding, turn, diff)| Some((finding.dead_letter()?, turn, diff))));

    let steps = Steps::of(b.fold(lifecycle(semantics), assets, revisions));
    let warnings = steps.running.clone().map(|(warning, _)| warning);
    warning::ledger(b, steps.late);
    let (deltas, happened) = deltas_and_records(steps.deltas, is_on(capability::CASES));
    let deltas = named(
        deltas,
        regions.clone(),
        |delta| delta.explanation.region,
        |delta, name| delta.explanation.region_name = name,
    );
    b.append(deltas);
    region_risks(b, regions.clone(), steps.asset_risks.clone(), warnings.clone());
    b.publish(steps.asset_risks);
    b.publish(warnings);
    b.publish(steps.past);
    tell_candidates(b, regions.clone(), steps.candidates, steps.candidate_deltas);
    b.publish(steps.differences);

    if let Some(happened) = happened {
        let warnings = Warnings {
            regions,
            placed: placed.clone(),
            running: steps.running,
            joined: steps.joined,
            happened,
            actions: inputs.actions,
        };
        closed_loop::build(b, warnings, case_terms(semantics));
    }
    standalone::build(b, &placed, is_on);
    let Built { rows, waking } = builder.finish();
    let rows = rows.map(|(row, turn, diff)| (Output::Row(row), turn, diff));
    rows.concat(waking.map(|(waking, turn)| (Output::Waking(Box::new(waking)), turn, 1)))
}

fn monitor(semantics: &Semantics, meters: &Meters) -> Monitor {
    Monitor::new(semantics.time, semantics.unknown)
        .in_city(semantics.zone.clone(), semantics.days.clone())
        .counting(meters.no_values.clone(), meters.waiting.clone())
        .counting_evaluations(meters.evaluations.clone())
}

fn case_terms(semantics: &Semantics) -> CaseTerms {
    CaseTerms {
        settings: semantics.case,
        max_future: semantics.time.max_future,
        zone: semantics.zone.clone(),
    }
}

fn lifecycle(semantics: &Semantics) -> Lifecycle {
    Lifecycle {
        remember: remembered(&semantics.time),
        cuts: semantics.cuts,
        join: semantics.case.flapping.join,
        keep: semantics.case.retain,
    }
}

fn span_terms(semantics: &Semantics, meters: &Meters) -> span::Terms {
    span::Terms {
        age: semantics.time.event_age,
        late_after: semantics.time.late_after,
        remember: remembered(&semantics.time),
        zone: semantics.zone.clone(),
        days: semantics.days.clone(),
        permits: semantics.capabilities.is_on(capability::PERMITS),
        placeless: Arc::clone(&meters.placeless),
    }
}

/// Rules and rule sets as written; and that each rule is there.
fn written<'scope>(
    b: &mut Builder<'scope, '_>,
    semantics: &Semantics,
    meters: &Meters,
) -> (Written<'scope>, Rows<'scope, Alone>) {
    let written = Written {
        rules: b.rows_of::<RuleRecord>().map(|row| warning::rule(&row)),
        sets: b.rows_of::<RuleSet>(),
        gauges: if semantics.capabilities.is_on(capability::GAUGES) {
            b.rows_of::<Gauge>()
        } else {
            b.no_rows()
        },
        retain: semantics.time.retain,
        permits: semantics.capabilities.is_on(capability::PERMITS),
    };
    b.publish(warning::rule_sets(&written, &meters.sets));
    let there = (written.rules.clone()).map(|rule| Alone::Rule(Id::new(rule.record.id.clone())));
    (written, there)
}

/// Deltas for their topic, and if there are cases what each means for its case: of what was over before nothing.
fn deltas_and_records<'scope>(
    deltas: Updates<'scope, (Box<WarningDelta>, Option<Id<Run>>)>,
    cases: bool,
) -> (Updates<'scope, Box<WarningDelta>>, Option<Updates<'scope, CaseRecord>>) {
    if !cases {
        return (deltas.map(|((delta, _), turn, diff)| (delta, turn, diff)), None);
    }
    let (deltas, records) = fork(deltas, |((delta, run), turn, diff)| {
        let record = run.map(|run| (CaseRecord::of_delta(&delta, run), turn, diff));
        ((delta, turn, diff), record)
    });
    (deltas, Some(records))
}

/// What sets that are not live would warn of.
fn tell_candidates<'scope>(
    b: &mut Builder<'scope, '_>,
    regions: Rows<'scope, Shared<Region>>,
    states: Rows<'scope, Arc<CandidateState>>,
    deltas: Updates<'scope, Box<CandidateDelta>>,
) {
    b.publish(states);
    let deltas = named(
        deltas,
        regions,
        |delta| delta.explanation.region,
        |delta, name| delta.explanation.region_name = name,
    );
    b.append(deltas);
}

/// What meets nothing.
fn tell_unmatched<'scope>(
    b: &mut Builder<'scope, '_>,
    alone: Rows<'scope, Alone>,
    there: Rows<'scope, Alone>,
    semantics: &Semantics,
    meters: &Meters,
) {
    let alone = unmatched::tell(alone).concat(there);
    let after = semantics.unmatched.after;
    let records = b.nothing();
    let lasting = b.fold(Lasting { after }, alone.map(|alone| (alone.key(), alone)), records);
    b.publish(unmatched_table(lasting.as_collection(), meters.unmatched.clone()));
}

/// The risk of regions, and its trend.
fn region_risks<'scope>(
    b: &mut Builder<'scope, '_>,
    regions: Rows<'scope, Shared<Region>>,
    assets: Rows<'scope, Arc<AssetRisk>>,
    warnings: Rows<'scope, Arc<WarningState>>,
) {
    let (states, scores) = region_rollup(regions, assets, warnings);
    let records = b.nothing();
    let baselines = b.fold(ScoreBaseline, scores, records);
    b.publish(region_risk(states, baselines.as_collection()));
}

/// What the fold `lifecycle` gives, apart.
struct Steps<'scope> {
    asset_risks: Rows<'scope, Arc<AssetRisk>>,
    running: Rows<'scope, (Arc<WarningState>, Id<Run>)>,
    joined: Rows<'scope, Arc<Joined>>,
    past: Rows<'scope, Arc<PastWarning>>,
    deltas: Updates<'scope, (Box<WarningDelta>, Option<Id<Run>>)>,
    late: Updates<'scope, Late>,
    candidates: Rows<'scope, Arc<CandidateState>>,
    candidate_deltas: Updates<'scope, Box<CandidateDelta>>,
    differences: Rows<'scope, Arc<SetDifference>>,
}

impl<'scope> Steps<'scope> {
    fn of(steps: Updates<'scope, Step>) -> Self {
        let [
            risks,
            states,
            joined,
            past,
            deltas,
            candidates,
            candidate_deltas,
            differences,
        ] = split_into(steps, |step| match step {
            Step::Risk(_) => 0,
            Step::State(..) => 1,
            Step::Joined(_) => 2,
            Step::Past(_) => 3,
            Step::Delta(..) => 4,
            Step::Candidate(_) => 5,
            Step::CandidateDelta(_) => 6,
            Step::Difference(_) => 7,
        });
        let risks = risks.flat_map(|(step, turn, diff)| Some((step.risk()?, turn, diff)));
        let states = states.flat_map(|(step, turn, diff)| Some((step.state()?, turn, diff)));
        let joined = joined.flat_map(|(step, turn, diff)| Some((step.joined()?, turn, diff)));
        let past = past.flat_map(|(step, turn, diff)| Some((step.past()?, turn, diff)));
        let candidates = candidates.flat_map(|(step, turn, diff)| Some((step.candidate()?, turn, diff)));
        let candidate_deltas =
            candidate_deltas.flat_map(|(step, turn, diff)| Some((step.candidate_delta()?, turn, diff)));
        let differences = differences.flat_map(|(step, turn, diff)| Some((step.difference()?, turn, diff)));
        // What is late is few: of all others nothing is copied.
        let (deltas, late) = fork(deltas, |(step, turn, diff)| {
            let (delta, run) = step.delta().expect("steps were parted by what they are");
            let late = Late::of(&delta).map(|late| (late, turn, diff));
            (((delta, run), turn, diff), late)
        });
        Self {
            asset_risks: risks.as_collection(),
            running: states.as_collection(),
            joined: joined.as_collection(),
            past: past.as_collection(),
            deltas,
            late,
            candidates: candidates.as_collection(),
            candidate_deltas,
            differences: differences.as_collection(),
        }
    }
}
