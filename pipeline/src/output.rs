//! What the graph publishes, gathered epoch by epoch on one worker.

use std::collections::BTreeMap;
use std::sync::Arc;

use differential_dataflow::consolidation::consolidate;
use riskflow_model::output::{
    AssetRisk, CaseDelta, CaseState, DeadLetter, Notice, RegionRisk, ReportTotal, Response, Unmatched, WarningDelta,
    WarningState,
};
use riskflow_model::progress::Offsets;
use riskflow_model::topic::Topic;
use riskflow_model::{Millis, Text};
use riskflow_operators::fold::{Tick, Waking};
use riskflow_operators::{Diff, Turn};
use serde::{Deserialize, Serialize};
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::probe::{Handle, Probe};

/// A row of an output table, or a record of an output log. Ordered by topic, then by key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Output {
    /// A row of `out.risk.asset`.
    AssetRisk(Arc<AssetRisk>),
    /// A row of `out.risk.region`.
    RegionRisk(Arc<RegionRisk>),
    /// A row of `out.warning.state`.
    WarningState(Arc<WarningState>),
    /// A record of `out.warning.delta`.
    WarningDelta(Box<WarningDelta>),
    /// A row of `out.case.state`.
    CaseState(Arc<CaseState>),
    /// A record of `out.case.delta`.
    CaseDelta(Box<CaseDelta>),
    /// A record of `out.notice`.
    Notice(Box<Notice>),
    /// A row of `out.response`.
    Response(Arc<Response>),
    /// A row of `out.report.total`.
    ReportTotal(Arc<ReportTotal>),
    /// A row of `out.unmatched`.
    Unmatched(Arc<Unmatched>),
    /// A record of `out.deadletter`.
    DeadLetter(Box<DeadLetter>),
    /// The epoch took the records of a partition before this offset: topic, partition, offset, and the mark there.
    Taken(Topic, u16, u64, Option<u32>),
    /// What the clock does to a fold.
    Waking(Box<Waking>),
}

/// A change of what is published.
pub type OutputUpdate = (Output, Turn, Diff);

/// Everything that one epoch publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochOutput {
    /// The epoch.
    pub epoch: Millis,
    /// Asset rows that came (1) and went (-1).
    pub assets: Vec<(Arc<AssetRisk>, Diff)>,
    /// Region rows that came and went.
    pub regions: Vec<(Arc<RegionRisk>, Diff)>,
    /// Open warnings that came and went.
    pub warnings: Vec<(Arc<WarningState>, Diff)>,
    /// What happened to warnings: for one rule and asset the end of one episode before the beginning of the next.
    pub deltas: Vec<WarningDelta>,
    /// Cases that came and went.
    pub cases: Vec<(Arc<CaseState>, Diff)>,
    /// What happened to cases: for one case retractions first.
    pub case_deltas: Vec<CaseDelta>,
    /// Who is told.
    pub notices: Vec<Notice>,
    /// Response times that came and went.
    pub responses: Vec<(Arc<Response>, Diff)>,
    /// Totals of reports that came and went.
    pub totals: Vec<(Arc<ReportTotal>, Diff)>,
    /// What meets nothing: rows that came and went.
    pub unmatched: Vec<(Arc<Unmatched>, Diff)>,
    /// What could not be used.
    pub dead: Vec<DeadLetter>,
    /// How far the input was taken, in partitions of which any was.
    pub offsets: Offsets,
    /// Whether the clock woke a key of a fold.
    pub woken: bool,
}

impl EpochOutput {
    fn new(epoch: u64, updates: Vec<(Output, Diff)>, woken: bool) -> Self {
        let mut this = Self {
            epoch: Millis(epoch as i64),
            woken,
            ..Self::default()
        };
        // The fold gives what differs, each row once: nothing to cancel, and to sort all assets of a city takes long.
        let (assets, mut others): (Vec<_>, Vec<_>) = updates
            .into_iter()
            .partition(|(output, _)| matches!(output, Output::AssetRisk(_)));
        consolidate(&mut others);
        for (output, diff) in assets.into_iter().chain(others) {
            match output {
                Output::AssetRisk(row) => this.assets.push((row, diff)),
                Output::RegionRisk(row) => this.regions.push((row, diff)),
                Output::WarningState(row) => this.warnings.push((row, diff)),
                Output::WarningDelta(delta) => this.deltas.push(*delta),
                Output::CaseState(row) => this.cases.push((row, diff)),
                Output::CaseDelta(delta) => this.case_deltas.push(*delta),
                Output::Notice(notice) => this.notices.push(*notice),
                Output::Response(row) => this.responses.push((row, diff)),
                Output::ReportTotal(row) => this.totals.push((row, diff)),
                Output::Unmatched(row) => this.unmatched.push((row, diff)),
                Output::DeadLetter(letter) => this.dead.push(*letter),
                Output::Waking(..) => unreachable!("it was taken out before"),
                Output::Taken(topic, partition, next, mark) => {
                    this.offsets.advance_marked(topic, partition, next, mark);
                }
            }
        }
        this.deltas.sort_by(|a, b| {
            let order = |delta: &WarningDelta| (delta.rule.clone(), delta.asset.clone(), delta.to, delta.since);
            order(a).cmp(&order(b))
        });
        this.case_deltas
            .sort_by(|a, b| (&a.case, !a.retracted, &a.event).cmp(&(&b.case, !b.retracted, &b.event)));
        this.dead
            .sort_by(|a, b| (&a.topic, a.partition, a.offset).cmp(&(&b.topic, b.partition, b.offset)));
        this
    }

    /// Whether nothing is published.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let rows = self.assets.is_empty() && self.regions.is_empty() && self.warnings.is_empty();
        let people = self.cases.is_empty() && self.case_deltas.is_empty() && self.notices.is_empty();
        let sums = self.responses.is_empty() && self.totals.is_empty() && self.unmatched.is_empty();
        rows && people && sums && self.deltas.is_empty() && self.dead.is_empty()
    }
}

/// When each fold's share on each worker waits for the clock next.
#[derive(Default)]
struct Alarms(BTreeMap<(Text, usize), Option<i64>>);

impl Alarms {
    /// Takes out what the clock did in an epoch; whether it woke a key.
    fn hear(&mut self, updates: &mut Vec<(Output, Diff)>) -> bool {
        let mut woken = false;
        updates.retain(|(output, _)| {
            let Output::Waking(waking) = output else {
                return true;
            };
            woken |= waking.woken;
            self.0.insert((waking.fold.clone(), waking.worker), waking.next);
            false
        });
        woken
    }

    fn earliest(&self) -> Option<i64> {
        self.0.values().flatten().min().copied()
    }
}

/// What waits until its turn is over.
#[derive(Default)]
struct Pending {
    epoch: Option<u64>,
    updates: Vec<(Output, Diff)>,
}

/// Gathers all updates on worker 0 and hands them to `publish` epoch by epoch, in order, once an epoch is complete, together
/// with the earliest time that any key waits for after it; epochs that publish nothing too. `probe` follows behind.
pub fn publish<'scope>(
    updates: StreamVec<'scope, Turn, OutputUpdate>,
    ticks: StreamVec<'scope, Turn, Tick>,
    probe: &Handle<Turn>,
    index: usize,
    mut publish: impl FnMut(EpochOutput, Option<i64>) + 'static,
) {
    let mut alarms = Alarms::default();
    let mut pending: BTreeMap<Turn, Pending> = BTreeMap::new();
    let gather = Exchange::new(|_: &OutputUpdate| 0);
    let pipeline = timely::dataflow::channels::pact::Pipeline;
    updates
        .binary_frontier::<_, timely::container::CapacityContainerBuilder<Vec<()>>, _, _, _, _>(
            ticks,
            gather,
            pipeline,
            "Publish",
            move |capability, _| {
                drop(capability);
                move |(updates, updates_frontier), (ticks, ticks_frontier), _output| {
                    updates.for_each(|_, batch| {
                        for (output, turn, diff) in batch.drain(..) {
                            pending.entry(turn).or_default().updates.push((output, diff));
                        }
                    });
                    ticks.for_each(|capability, ticks| {
                        if let Some(turn) = capability.least().filter(|_| index == 0) {
                            pending.entry(*turn).or_default().epoch = ticks.first().map(|tick| tick.epoch);
                        }
                    });
                    while let Some(entry) = pending.first_entry() {
                        let turn = *entry.key();
                        if updates_frontier.frontier().less_equal(&turn) || ticks_frontier.frontier().less_equal(&turn)
                        {
                            break;
                        }
                        let Pending { epoch, mut updates } = entry.remove();
                        let epoch = epoch.expect("what speaks speaks at ticks");
                        let woken = alarms.hear(&mut updates);
                        publish(EpochOutput::new(epoch, updates, woken), alarms.earliest());
                    }
                }
            },
        )
        .probe_with(probe);
}
