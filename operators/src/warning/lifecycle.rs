//! Fold `lifecycle`: the episodes of one asset's warnings, every step of their lives, and the risk that follows for it.
//!
//! The level of a (rule, asset) is the highest of its datastreams' levels, at every time: tracks of the datastreams are
//! merged into one. An episode is an interval on which that level is above none. What is visible is the episode that is
//! open now; a delta is the difference between what is visible after this epoch and what was visible before.
//!
//! What is over stands in rows of its own as long as it is remembered ([`past`]). What changes of it is told, and nobody is called.
//!
//! Where there are several rule sets, the warnings of candidates live here as well ([`sets`]), and are told elsewhere.
//!
//! Episodes that follow each other closely are a *run*, which has the name of the first of them: they share a case.

use std::collections::BTreeMap;
use std::sync::Arc;

use riskflow_config::ScoreCuts;
use riskflow_model::base::Asset;
use riskflow_model::id::Run;
use riskflow_model::output::{
    AssetRisk, CandidateDelta, CandidateState, Origin, PastWarning, SetDifference, WarningDelta, WarningState,
};
use riskflow_model::{Duration, Id, Key, Level, Millis, Shared};
use serde::{Deserialize, Serialize};

use crate::engine::{Diff, Fold, Next};
use crate::risk::asset_risk;
use crate::warning::monitor::{Revision, Source};

mod past;
mod run;
mod sets;
mod settling;
mod warning;

pub use run::{Joined, KNOWN};

use run::Runs;
use sets::{Against, WarningKey, candidate, tell};
use settling::Settling;
pub(in crate::warning) use warning::Warning;

/// What the lifecycle gives out.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A row of the table of asset risks.
    Risk(Arc<AssetRisk>),
    /// A row of the table of open warnings, and its run.
    State(Arc<WarningState>, Id<Run>),
    /// A row: a warning belongs to a run of another name.
    Joined(Arc<Joined>),
    /// A row of the table of warnings that are over.
    Past(Arc<PastWarning>),
    /// Something happened to a warning, and to its run where it is open or was until now; never taken back.
    Delta(Box<WarningDelta>, Option<Id<Run>>),
    /// A row of the table of warnings that candidates would have open.
    Candidate(Arc<CandidateState>),
    /// Something happened to one of them.
    CandidateDelta(Box<CandidateDelta>),
    /// A row: a candidate warns otherwise than the live set.
    Difference(Arc<SetDifference>),
}

impl Step {
    /// The risk, if it is one.
    #[must_use]
    pub fn risk(self) -> Option<Arc<AssetRisk>> {
        if let Self::Risk(risk) = self { Some(risk) } else { None }
    }

    /// The open warning and its run, if it is one.
    #[must_use]
    pub fn state(self) -> Option<(Arc<WarningState>, Id<Run>)> {
        if let Self::State(state, run) = self {
            Some((state, run))
        } else {
            None
        }
    }

    /// The warning that joined a run, if it is one.
    #[must_use]
    pub fn joined(self) -> Option<Arc<Joined>> {
        if let Self::Joined(joined) = self {
            Some(joined)
        } else {
            None
        }
    }

    /// The warning that is over, if it is one.
    #[must_use]
    pub fn past(self) -> Option<Arc<PastWarning>> {
        if let Self::Past(past) = self { Some(past) } else { None }
    }

    /// The warning that a candidate would have open, if it is one.
    #[must_use]
    pub fn candidate(self) -> Option<Arc<CandidateState>> {
        if let Self::Candidate(state) = self {
            Some(state)
        } else {
            None
        }
    }

    /// What happened to such a warning, if it is that.
    #[must_use]
    pub fn candidate_delta(self) -> Option<Box<CandidateDelta>> {
        if let Self::CandidateDelta(delta) = self {
            Some(delta)
        } else {
            None
        }
    }

    /// The difference, if it is one.
    #[must_use]
    pub fn difference(self) -> Option<Arc<SetDifference>> {
        if let Self::Difference(difference) = self {
            Some(difference)
        } else {
            None
        }
    }

    /// The delta, and the run to which it happened, if it is one.
    #[must_use]
    pub fn delta(self) -> Option<(Box<WarningDelta>, Option<Id<Run>>)> {
        if let Self::Delta(delta, run) = self {
            Some((delta, run))
        } else {
            None
        }
    }
}

/// The fold's settings.
#[derive(Clone, Copy, Debug)]
pub struct Lifecycle {
    /// What ended longer ago than this may be forgotten.
    pub remember: Duration,
    /// How a score becomes a level.
    pub cuts: ScoreCuts,
    /// An episode that begins so long after the end of the one before, or sooner, is of its run.
    pub join: Duration,
    /// So long after the end of its last episode a run is forgotten.
    pub keep: Duration,
}

/// Of one asset: for each rule the levels of its datastreams, the episodes that follow, and the runs.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct LifecycleState {
    /// Comes as a row, so it is not saved.
    #[serde(skip)]
    asset: Option<Shared<Asset>>,
    #[serde(skip)]
    asset_changed: bool,
    /// As given out; follows from the asset and the warnings, so it is not saved.
    #[serde(skip)]
    risk: Option<Arc<AssetRisk>>,
    /// By rule or limit: these may have one name. Those of candidates are among them. Boxed, for a node of the map has room for eleven, and most assets have one.
    warnings: BTreeMap<WarningKey, Box<Warning>>,
}

impl LifecycleState {
    /// The highest level of any datastream, and whether it stands only on silent ones.
    fn highest(&self) -> (Level, bool) {
        let live = self.warnings.iter().filter(|(key, _)| candidate(key).is_none());
        let members = live.flat_map(|(_, warning)| warning.members.values());
        let standings = members.map(|member| (member.level(), member.stale));
        // Among equals one that is not stale counts.
        let highest = standings.max_by_key(|(level, stale)| (*level, !*stale));
        highest.filter(|(level, _)| *level > Level::None).unwrap_or_default()
    }

    fn settle_risk(&mut self, cuts: ScoreCuts, out: &mut Vec<(Step, Diff)>) {
        let risk = self.asset.as_ref().map(|asset| asset_risk(asset, self.highest(), cuts));
        if risk.as_ref() != self.risk.as_deref() {
            let risk = risk.map(Arc::new);
            let before = std::mem::replace(&mut self.risk, risk.clone());
            out.extend(before.map(|row| (Step::Risk(row), -1)));
            out.extend(risk.map(|row| (Step::Risk(row), 1)));
        }
    }
}

impl Fold for Lifecycle {
    type Key = Key;
    type Row = Shared<Asset>;
    type Record = Revision;
    type State = LifecycleState;
    type Output = Step;

    const NAME: &'static str = "lifecycle";

    fn route(key: &Key) -> u64 {
        key.route()
    }

    fn place(record: &Revision) -> (Key, Origin) {
        (Key::of(&record.asset), record.origin)
    }

    fn rows(
        &mut self,
        _now: Millis,
        _key: Key,
        state: &mut LifecycleState,
        changes: &mut dyn Iterator<Item = (Shared<Asset>, Diff)>,
    ) -> bool {
        state.asset = changes.filter(|(_, diff)| *diff > 0).last().map(|(asset, _)| asset);
        state.asset_changed = true;
        true
    }

    fn record(&mut self, now: Millis, _key: Key, state: &mut LifecycleState, revision: &mut Revision) {
        if revision.standing.is_some() {
            return state.revise_in_sets(revision, (now - self.remember).0);
        }
        let key = (revision.source.kind(), Id::new(revision.rule.clone()));
        let warning = state.warnings.entry(key).or_default();
        if revision.source == Source::Gauge {
            // Candidates are not asked about gauges.
            warning.against = Against::default();
        }
        warning.revise(revision);
    }

    fn recall(&mut self, _key: Key, state: &LifecycleState, out: &mut Vec<(Step, Diff)>) {
        for (key, warning) in &state.warnings {
            let shown = warning.shown.clone();
            let shown = shown.map(|row| (Step::State(row, warning.runs.last.clone()), 1));
            match candidate(key) {
                Some(of) => tell(of, shown.into_iter().collect(), out),
                None => {
                    out.extend(shown);
                    out.extend(warning.runs.rows());
                    out.extend(warning.past.rows());
                }
            }
            out.extend(warning.difference.clone().map(|row| (Step::Difference(row), 1)));
        }
    }

    fn settle(&mut self, now: Millis, _key: Key, state: &mut LifecycleState, out: &mut Vec<(Step, Diff)>) -> Next {
        let asset = state.asset.clone();
        let asset_changed = std::mem::take(&mut state.asset_changed);
        for (key, warning) in &mut state.warnings {
            if !(warning.touched || asset_changed) {
                continue;
            }
            if !warning.touched {
                (warning.stale_from, warning.stale_until) = (i64::MAX, i64::MAX);
            }
            let settling = Settling::new(now, key, asset.as_deref());
            match candidate(key) {
                None => settling.settle(self, warning, out),
                Some(of) => {
                    let mut steps = Vec::new();
                    settling.settle(self, warning, &mut steps);
                    warning.runs = Runs::default();
                    tell(of, steps, out);
                }
            }
        }
        state.settle_differences(out);
        state.settle_risk(self.cuts, out);
        let mut wake: Option<Millis> = None;
        state.warnings.retain(|key, warning| {
            match warning.runs.until(self.keep) {
                Some(until) if until <= now => warning.runs.forget(out),
                until => wake = wake.into_iter().chain(until).min(),
            }
            warning.past.forget((now - self.remember).0);
            match candidate(key) {
                None => warning.past.give(out),
                Some(_) => warning.past.give(&mut Vec::new()),
            }
            let forgotten = warning.past.first().map(|until| Millis(until) + self.remember);
            wake = wake.into_iter().chain(forgotten).min();
            let is_past = warning.runs.ended.is_some() || !warning.past.is_empty();
            !warning.members.is_empty() || warning.shown.is_some() || is_past || warning.difference.is_some()
        });
        match wake {
            Some(until) => Next::Wake(until),
            None if state.warnings.is_empty() && state.asset.is_none() => Next::Forget,
            None => Next::Keep,
        }
    }
}
