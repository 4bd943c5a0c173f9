//! The whole dataflow on one page. It wires and decides nothing.
//!
//! ```text
//!  base records ─► latest ─┬─ regions ─────────────────────────────────────────────────────┐
//!                          ├─ assets ──────┬─────────────┬──────┐                          │
//!                          ├─ datastreams ─┤             │      │                          │
//!                          ├─ rules ───────┴► specifications    │                          │
//!                          │                     │       │      ▼                          ▼
//!  observations ───────────│─────────────────► monitor ──┼► lifecycle ─┬─ asset risk ─► region risk
//!                          │            (revisions)      ▼  ▲   │ │    └─ warnings ───►   ▲
//!                          ├─ permits, limits ─────► permit ┘   │ │        score baseline ─┘
//!                          ├─ what meets nothing ─► unmatched   │ │
//!                          └─ reports ─► report total           │ └─ deltas ─────────────────────┐
//!  incidents, duties on now (roster), units, plans ─► obligations                                ▼
//!                                                          └───────────────────────────────────► case ◄── joining ◄── actions
//!  duties and posts on now (roster) ─► recipients ◄── alarms ──────────────────────────────────────┤
//!                                          └─► notice                               response ◄─────┘
//! ```
//!
//! `latest`, `monitor`, `permit`, `unmatched`, `lifecycle`, `score_baseline`, `roster`, `joining`, `case` and `notice` are folds, all else is views.
//! `ticks` reach every fold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use differential_dataflow::AsCollection;
use differential_dataflow::logging::{DifferentialEvent, DifferentialEventBuilder};
use jiff::tz::TimeZone;
use riskflow_config::{CaseSettings, ScoreCuts, Settings, TimeSettings, UnknownSettings, UnmatchedSettings};
use riskflow_model::base::{Asset, Region};
use riskflow_model::intake::{Incident, Limit, Permit, Report};
use riskflow_model::output::{AssetRisk, CaseState, WarningDelta, WarningState};
use riskflow_model::responsibility::{Duty, Plan, Unit, User};
use riskflow_model::topic::Topic;
use riskflow_model::{Key, Shared, TableRecord, Text};
use riskflow_operators::case::{Acted, Alarm, Case, CaseOutput, CaseRecord, Standing};
use riskflow_operators::fold::{Batch, Fold, FoldMeter, Keeper, Tick, Waking, batched, fold};
use riskflow_operators::joining::Joining;
use riskflow_operators::lifecycle::{Joined, Lifecycle, Step};
use riskflow_operators::locate::{locate, placed};
use riskflow_operators::monitor::{Monitor, Observed, remembered};
use riskflow_operators::named::named;
use riskflow_operators::notice::{Notices, recipients, sentence};
use riskflow_operators::obligation::{obligation, subjects};
use riskflow_operators::permit::UnderPermit;
use riskflow_operators::roster::{OnDuty, Roster, RosterRow};
use riskflow_operators::score_baseline::ScoreBaseline;
use riskflow_operators::table::{BaseRecord, Latest, TableKey, TableOutput};
use riskflow_operators::unmatched::{Alone, Lasting, UnmatchedMeter, unmatched_table};
use riskflow_operators::valid::NoValueMeter;
use riskflow_operators::{Diff, Rows, Turn, permit, region_risk, report_total, response, specification};
use timely::dataflow::StreamVec;
use timely::dataflow::operators::vec::{Map, Partition, ToStream};
use timely::dataflow::operators::{Concat, Concatenate};
use timely::worker::Worker;

use crate::in_force::{self, InForceMeter};
use crate::output::{Output, OutputUpdate};
use crate::unmatched;

/// What comes in, on each worker.
pub struct Inputs<'scope> {
    /// Records of base topics and rules.
    pub base: StreamVec<'scope, Turn, Batch<BaseRecord>>,
    /// Observations that were admitted.
    pub observations: StreamVec<'scope, Turn, Batch<Observed>>,
    /// Actions that were admitted.
    pub actions: StreamVec<'scope, Turn, Batch<Acted>>,
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
        }
    }
}

/// How the state of each fold outlives the process.
pub struct Keepers {
    /// Of `latest`.
    pub latest: Keeper,
    /// Of `monitor`.
    pub monitor: Keeper,
    /// Of `permit`.
    pub permit: Keeper,
    /// Of `unmatched`.
    pub unmatched: Keeper,
    /// Of `lifecycle`.
    pub lifecycle: Keeper,
    /// Of `score_baseline`.
    pub score_baseline: Keeper,
    /// Of `roster`.
    pub roster: Keeper,
    /// Of `joining`.
    pub joining: Keeper,
    /// Of `case`.
    pub case: Keeper,
    /// Of `notice`.
    pub notice: Keeper,
}

impl Keepers {
    /// The names of the folds.
    pub const FOLDS: [&'static str; 10] = [
        Latest::NAME,
        Monitor::NAME,
        UnderPermit::NAME,
        Lasting::NAME,
        Lifecycle::NAME,
        ScoreBaseline::NAME,
        Roster::NAME,
        Joining::NAME,
        Case::NAME,
        Notices::NAME,
    ];

    /// One keeper for each fold, by its name.
    #[must_use]
    pub fn of(mut keeper: impl FnMut(&'static str) -> Keeper) -> Self {
        Self {
            latest: keeper(Latest::NAME),
            monitor: keeper(Monitor::NAME),
            permit: keeper(UnderPermit::NAME),
            unmatched: keeper(Lasting::NAME),
            lifecycle: keeper(Lifecycle::NAME),
            score_baseline: keeper(ScoreBaseline::NAME),
            roster: keeper(Roster::NAME),
            joining: keeper(Joining::NAME),
            case: keeper(Case::NAME),
            notice: keeper(Notices::NAME),
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
    /// Of `permit`.
    pub permit: Arc<FoldMeter>,
    /// Of `unmatched`.
    pub unmatched_fold: Arc<FoldMeter>,
    /// Of `lifecycle`.
    pub lifecycle: Arc<FoldMeter>,
    /// Of `score_baseline`.
    pub score_baseline: Arc<FoldMeter>,
    /// Of `roster`.
    pub roster: Arc<FoldMeter>,
    /// Of `joining`.
    pub joining: Arc<FoldMeter>,
    /// Of `case`.
    pub case: Arc<FoldMeter>,
    /// Of `notice`.
    pub notice: Arc<FoldMeter>,
    /// Updates that went into arrangements of the views.
    pub arranged: Arc<AtomicU64>,
    /// Deletions of rows that were not there.
    pub in_vain: Arc<AtomicU64>,
    /// How much stands in `out.unmatched`, of each kind.
    pub unmatched: Arc<UnmatchedMeter>,
    /// Rules and limits in force.
    pub in_force: Arc<InForceMeter>,
    /// Observations that are no values.
    pub no_values: Arc<NoValueMeter>,
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
) -> StreamVec<'scope, Turn, OutputUpdate> {
    let Inputs {
        base,
        observations,
        actions,
        ticks,
    } = inputs;
    let scope = ticks.scope();
    let mut waking = Vec::new();

    let nothing = ToStream::to_stream(None, scope).as_collection();
    let tables = fold(
        Latest {
            in_vain: meters.in_vain.clone(),
        },
        nothing,
        base,
        ticks.clone(),
        meters.latest.clone(),
        keepers.latest,
    )
    .note(&mut waking);
    let tables = Parted::of(tables);
    let refused = tables.refused.clone();
    let regions = tables.table::<Region>().map(|(_, row)| row);
    let placed = placed(regions.clone());
    let assets = tables.table::<Asset>();
    let datastreams = tables.table().map(|(key, row)| specification::at_asset(key, row));
    let rules = tables.table().map(|(_, row)| specification::rule(&row));
    let permits = tables.table::<Permit>().map(|(_, row)| row);
    let limits = tables.table::<Limit>().map(|(_, row)| row);
    let reports = tables.table::<Report>().map(|(_, row)| row);
    in_force::watch(rules.clone(), limits.clone(), &meters.in_force);

    let located = locate(assets.clone(), placed.clone(), |(_, asset)| asset.region);
    let reports = locate(reports, placed.clone(), |report| report.region);
    let there = rules.clone().map(|rule| Alone::Rule(rule.record.id.clone()));
    let (specifications, alone) = specification::specifications(datastreams, located.clone(), rules);
    let alone = unmatched::tell(alone).concat(there);
    let lasting = fold(
        Lasting {
            after: semantics.unmatched.after,
        },
        alone.map(|alone| (alone.key(), alone)),
        ToStream::to_stream(None, scope),
        ticks.clone(),
        meters.unmatched_fold.clone(),
        keepers.unmatched,
    )
    .note(&mut waking)
    .as_collection();
    let unmatched = unmatched_table(lasting, meters.unmatched.clone());
    let monitor = Monitor::new(semantics.time, semantics.unknown).counting(meters.no_values.clone());
    let findings = fold(
        monitor,
        specifications,
        observations,
        ticks.clone(),
        meters.monitor.clone(),
        keepers.monitor,
    )
    .note(&mut waking);
    let remember = remembered(&semantics.time);
    let permitted = fold(
        UnderPermit { remember },
        permit::parts(permits, located, limits),
        ToStream::to_stream(None, scope),
        ticks.clone(),
        meters.permit.clone(),
        keepers.permit,
    )
    .note(&mut waking);
    let findings = findings.concat(permitted);
    let revisions = batched::<Lifecycle, _>(findings.clone(), |(finding, _, _)| finding.revision());
    let dead_letters = findings
        .flat_map(|(finding, epoch, diff)| Some((Output::DeadLetter(finding.dead_letter()?), epoch, diff)))
        .concat(refused);

    let lifecycle = Lifecycle {
        remember,
        cuts: semantics.cuts,
        join: semantics.case.flapping.join,
        keep: semantics.case.retain,
    };
    let steps = fold(
        lifecycle,
        assets,
        revisions,
        ticks.clone(),
        meters.lifecycle.clone(),
        keepers.lifecycle,
    )
    .note(&mut waking);
    let Steps {
        asset_risks,
        running,
        joined,
        deltas,
    } = Steps::of(steps);
    let warnings = running.clone().map(|(warning, _)| warning);
    let facts = batched::<Case, _>(deltas.clone(), |((delta, run), _, _)| {
        Some(CaseRecord::of_delta(&delta, run))
    });
    let deltas = named(
        deltas.map(|((delta, _), epoch, diff)| (delta, epoch, diff)),
        regions.clone(),
        |delta| delta.explanation.region,
        |delta, name| delta.explanation.region_name = name,
    );
    let deltas = deltas.map(|(delta, epoch, diff)| (Output::WarningDelta(delta), epoch, diff));

    let region_states = region_risk::region_rollup(regions.clone(), asset_risks.clone(), warnings.clone());
    let scores = region_risk::region_score(region_states.clone());
    let no_records = ToStream::to_stream(None, scope);
    let baselines = fold(
        ScoreBaseline,
        scores,
        no_records,
        ticks.clone(),
        meters.score_baseline.clone(),
        keepers.score_baseline,
    )
    .note(&mut waking)
    .as_collection();
    let region_risks = region_risk::region_risk(region_states, baselines);

    let loop_inputs = Loop {
        tables,
        regions,
        placed,
        running,
        joined,
        facts,
        actions,
        ticks,
    };
    let case = Case {
        settings: semantics.case,
        max_future: semantics.time.max_future,
    };
    let closed_loop = closed_loop(
        loop_inputs,
        (case, semantics.zone.clone()),
        meters,
        (keepers.roster, keepers.joining, keepers.case, keepers.notice),
        &mut waking,
    );
    let waking = scope.concatenate(waking);
    let waking = waking.map(|(waking, epoch)| (Output::Waking(Box::new(waking)), epoch, 1));

    asset_risks
        .map(Output::AssetRisk)
        .concat(region_risks.map(Output::RegionRisk))
        .concat(warnings.map(Output::WarningState))
        .concat(report_total::report_total(reports).map(Output::ReportTotal))
        .concat(unmatched.map(Output::Unmatched))
        .inner
        .concat(deltas)
        .concat(dead_letters)
        .concat(closed_loop)
        .concat(waking)
}

/// What the closed loop is made of.
struct Loop<'scope> {
    tables: Parted<'scope>,
    regions: Rows<'scope, Shared<Region>>,
    placed: Rows<'scope, Shared<Region>>,
    running: Rows<'scope, (Arc<WarningState>, Text)>,
    joined: Rows<'scope, Arc<Joined>>,
    facts: StreamVec<'scope, Turn, Batch<CaseRecord>>,
    actions: StreamVec<'scope, Turn, Batch<Acted>>,
    ticks: StreamVec<'scope, Turn, Tick>,
}

/// The second part of the page: who answers for what, what is done, and who is told.
fn closed_loop<'scope>(
    inputs: Loop<'scope>,
    (case, zone): (Case, TimeZone),
    meters: &Meters,
    (keep_roster, keep_joining, keep_case, keep_notice): (Keeper, Keeper, Keeper, Keeper),
    waking: &mut Vec<StreamVec<'scope, Turn, (Waking, Turn)>>,
) -> StreamVec<'scope, Turn, OutputUpdate> {
    let Loop {
        tables,
        regions,
        placed,
        running,
        joined,
        facts,
        actions,
        ticks,
    } = inputs;
    let scope = ticks.scope();
    let units = tables.table::<Unit>().map(|(_, row)| row);
    let users = tables.table::<User>();
    let plans = tables.table::<Plan>().map(|(_, row)| row);
    let incidents = tables.table::<Incident>().map(|(_, row)| row);
    let on_duty = roster_rows(tables.table(), users.clone());
    let users = users.map(|(_, row)| row);
    let no_records = ToStream::to_stream(None, scope);
    let on_duty = fold(
        Roster,
        on_duty,
        no_records.clone(),
        ticks.clone(),
        meters.roster.clone(),
        keep_roster,
    )
    .note(waking)
    .as_collection();
    let duties = on_duty.clone().flat_map(|on| match on {
        OnDuty::Duty(duty) => Some(duty),
        OnDuty::Shift(_) | OnDuty::Post(_) => None,
    });

    let actions = fold(
        Joining,
        joined.map(|joined| (Key::of(&joined.warning), joined.run.clone())),
        actions,
        ticks.clone(),
        meters.joining.clone(),
        keep_joining,
    )
    .note(waking);
    let actions = batched::<Case, _>(actions, |(acted, _, _)| Some(CaseRecord::Action(acted)));
    let records = facts.concat(actions);
    let rows = obligation(subjects(running, incidents), duties, units, plans, placed.clone());
    let found = fold(case, rows, records, ticks.clone(), meters.case.clone(), keep_case).note(waking);
    let Found {
        cases,
        standings,
        alarms,
        deltas,
    } = Found::of(found);
    let standings = locate(standings, placed, |standing| standing.region);
    let told = recipients(cases.clone(), alarms, on_duty, users);
    let notices = fold(Notices, told, no_records, ticks, meters.notice.clone(), keep_notice).note(waking);
    let notices = named(
        notices,
        regions,
        |notice| Some(notice.region),
        move |notice, name| {
            notice.region_name = name;
            sentence::write(notice, &zone);
        },
    );
    let notices = notices.map(|(notice, epoch, diff)| (Output::Notice(notice), epoch, diff));

    cases
        .clone()
        .map(Output::CaseState)
        .concat(response::response(standings).map(Output::Response))
        .inner
        .concat(deltas)
        .concat(notices)
}

/// The rows of the fold `roster`.
fn roster_rows<'scope>(
    duties: Rows<'scope, (Key, Shared<Duty>)>,
    users: Rows<'scope, (Key, Shared<User>)>,
) -> Rows<'scope, (TableKey, RosterRow)> {
    let duties = duties.map(|(key, row)| ((Topic::BASE_DUTY.id(), key), RosterRow::Duty(row)));
    duties.concat(users.map(|(key, row)| ((Topic::BASE_USER.id(), key), RosterRow::User(row))))
}

/// What a fold gives.
type Updates<'scope, D> = StreamVec<'scope, Turn, (D, Turn, Diff)>;

/// Parts of what a fold gives. Each update goes one way only, without a copy for the other ways: when a city comes, they are many.
fn split<'scope, D: Clone + 'static>(
    found: Updates<'scope, D>,
    parts: u64,
    part: impl Fn(&D) -> u64 + 'static,
) -> Vec<Updates<'scope, D>> {
    found.partition(parts, move |update: (D, Turn, Diff)| (part(&update.0), update))
}

/// The same where the number of parts is known.
fn split_into<'scope, D: Clone + 'static, const N: usize>(
    found: Updates<'scope, D>,
    part: impl Fn(&D) -> u64 + 'static,
) -> [Updates<'scope, D>; N] {
    match <[_; N]>::try_from(split(found, N as u64, part)) {
        Ok(parts) => parts,
        Err(_) => unreachable!("there are as many parts as were asked for"),
    }
}

/// What the fold `lifecycle` gives, apart.
struct Steps<'scope> {
    asset_risks: Rows<'scope, Arc<AssetRisk>>,
    running: Rows<'scope, (Arc<WarningState>, Text)>,
    joined: Rows<'scope, Arc<Joined>>,
    deltas: Updates<'scope, (Box<WarningDelta>, Text)>,
}

impl<'scope> Steps<'scope> {
    fn of(steps: Updates<'scope, Step>) -> Self {
        let [risks, states, joined, deltas] = split_into(steps, |step| match step {
            Step::Risk(_) => 0,
            Step::State(..) => 1,
            Step::Joined(_) => 2,
            Step::Delta(..) => 3,
        });
        let risks = risks.flat_map(|(step, epoch, diff)| Some((step.risk()?, epoch, diff)));
        let states = states.flat_map(|(step, epoch, diff)| Some((step.state()?, epoch, diff)));
        let joined = joined.flat_map(|(step, epoch, diff)| Some((step.joined()?, epoch, diff)));
        Self {
            asset_risks: risks.as_collection(),
            running: states.as_collection(),
            joined: joined.as_collection(),
            deltas: deltas.flat_map(|(step, epoch, diff)| Some((step.delta()?, epoch, diff))),
        }
    }
}

/// What the fold `case` gives, apart.
struct Found<'scope> {
    cases: Rows<'scope, Arc<CaseState>>,
    standings: Rows<'scope, Arc<Standing>>,
    alarms: Rows<'scope, Arc<Alarm>>,
    deltas: StreamVec<'scope, Turn, OutputUpdate>,
}

impl<'scope> Found<'scope> {
    fn of(found: Updates<'scope, CaseOutput>) -> Self {
        let [cases, standings, alarms, deltas] = split_into(found, |output| match output {
            CaseOutput::State(_) => 0,
            CaseOutput::Standing(_) => 1,
            CaseOutput::Alarm(_) => 2,
            CaseOutput::Delta(_) => 3,
        });
        let cases = cases.flat_map(|(output, epoch, diff)| match output {
            CaseOutput::State(state) => Some((state, epoch, diff)),
            CaseOutput::Standing(_) | CaseOutput::Delta(_) | CaseOutput::Alarm(_) => None,
        });
        let standings = standings.flat_map(|(output, epoch, diff)| match output {
            CaseOutput::Standing(standing) => Some((standing, epoch, diff)),
            CaseOutput::State(_) | CaseOutput::Delta(_) | CaseOutput::Alarm(_) => None,
        });
        let alarms = alarms.flat_map(|(output, epoch, diff)| match output {
            CaseOutput::Alarm(alarm) => Some((alarm, epoch, diff)),
            CaseOutput::State(_) | CaseOutput::Standing(_) | CaseOutput::Delta(_) => None,
        });
        let deltas = deltas.flat_map(|(output, epoch, diff)| match output {
            CaseOutput::Delta(delta) => Some((Output::CaseDelta(delta), epoch, diff)),
            CaseOutput::State(_) | CaseOutput::Standing(_) | CaseOutput::Alarm(_) => None,
        });
        Self {
            cases: cases.as_collection(),
            standings: standings.as_collection(),
            alarms: alarms.as_collection(),
            deltas,
        }
    }
}

/// The rows of each input table, and the records that were refused.
struct Parted<'scope> {
    tables: BTreeMap<Topic, Updates<'scope, TableOutput>>,
    refused: StreamVec<'scope, Turn, OutputUpdate>,
}

impl<'scope> Parted<'scope> {
    fn of(tables: Updates<'scope, TableOutput>) -> Self {
        let topics: Vec<Topic> = Topic::inputs().filter(|topic| topic.is_input_table()).collect();
        let places: BTreeMap<Topic, u64> = topics.iter().copied().zip(0..).collect();
        let refused = topics.len() as u64;
        let mut parts = split(tables, refused + 1, move |given| match given {
            TableOutput::Row(_, row) => places[&row.topic()],
            TableOutput::Refused(_) => refused,
        });
        let refused = parts.pop().expect("there are as many parts as were asked for");
        let refused = refused.flat_map(|(given, epoch, diff)| match given {
            TableOutput::Refused(letter) => Some((Output::DeadLetter(letter), epoch, diff)),
            TableOutput::Row(..) => None,
        });
        Self {
            tables: topics.into_iter().zip(parts).collect(),
            refused,
        }
    }

    /// The rows of a table, by the keys of their identifiers.
    fn table<R: TableRecord>(&self) -> Rows<'scope, (Key, Shared<R>)> {
        let rows = self.tables[&Topic::of::<R>()].clone();
        let rows = rows.flat_map(|(given, epoch, diff)| match given {
            TableOutput::Row(key, row) => {
                let row = row.downcast().expect("the tables were parted by topic");
                Some(((key, row), epoch, diff))
            }
            TableOutput::Refused(_) => None,
        });
        rows.as_collection()
    }
}
