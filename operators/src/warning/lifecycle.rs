//! Fold `lifecycle`: the episodes of one asset's warnings, every step of their lives, and the risk that follows for it.
//!
//! The level of a (rule, asset) is the highest of its datastreams' levels, at every time: tracks of the datastreams are
//! merged into one. An episode is an interval on which that level is above none. What is visible is the episode that is
//! open now; a delta is the difference between what is visible after this epoch and what was visible before.
//!
//! Episodes that follow each other closely are a *run*, which has the name of the first of them: they share a case.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use riskflow_config::ScoreCuts;
use riskflow_model::base::Asset;
use riskflow_model::id::{RuleOrLimit, Run};
use riskflow_model::output::{
    AssetRisk, Cause, DeltaKind, Explanation, Origin, SourceKind, WarningDelta, WarningState,
};
use riskflow_model::{Duration, Id, Key, Level, Millis, Shared};
use serde::{Deserialize, Serialize};

use crate::engine::{Diff, Fold, Next};
use crate::risk::asset_risk;
use crate::warning::monitor::{Revision, Source, Track, forget_ended};

/// What the lifecycle gives out.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A row of the table of asset risks.
    Risk(Arc<AssetRisk>),
    /// A row of the table of open warnings, and its run.
    State(Arc<WarningState>, Id<Run>),
    /// A row: a warning belongs to a run of another name.
    Joined(Arc<Joined>),
    /// Something happened to a warning of a run; never taken back.
    Delta(Box<WarningDelta>, Id<Run>),
}

/// A warning that belongs to a run of another name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Joined {
    /// Its identifier.
    pub warning: Id<WarningState>,
    /// The run, by the name of its first warning.
    pub run: Id<Run>,
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

    /// The delta and the run of its warning, if it is one.
    #[must_use]
    pub fn delta(self) -> Option<(Box<WarningDelta>, Id<Run>)> {
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
    /// By rule or limit: these may have one name.
    warnings: BTreeMap<(SourceKind, Id<RuleOrLimit>), Warning>,
}

impl LifecycleState {
    /// The highest level of any datastream, and whether it stands only on silent ones.
    fn highest(&self) -> (Level, bool) {
        let members = self.warnings.values().flat_map(|warning| warning.members.values());
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

/// One rule's warnings on the asset.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Warning {
    /// By what they come from.
    members: BTreeMap<Source, Member>,
    /// The highest level of the members.
    track: Track,
    /// From here on, until `stale_until`, `track` must be merged again.
    stale_from: i64,
    stale_until: i64,
    touched: bool,
    /// The greatest cause since the last settling.
    cause: Option<Cause>,
    shown: Option<Arc<WarningState>>,
    runs: Runs,
}

/// Runs of episodes.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Runs {
    /// The name of the last run; empty before the first.
    last: Id<Run>,
    /// When its last episode ended, as far as that was told: of one that was withdrawn, the epoch. `None` while one is open.
    ended: Option<Millis>,
    /// The newest episodes, with the names of their runs.
    known: VecDeque<Joined>,
}

/// So many episodes of a rule and asset, and of a case, are known by their names.
pub const KNOWN: usize = 1000;

impl Runs {
    /// An episode is raised: finds its run. One that was known before is of the run that it was of.
    fn raise(&mut self, id: &Id<WarningState>, since: Millis, join: Duration, out: &mut Vec<(Step, Diff)>) {
        let known = self.known.iter().find(|known| known.warning == *id);
        let joins = || self.ended.is_some_and(|ended| since - ended <= join);
        let run = match known {
            Some(known) => known.run.clone(),
            None if joins() => self.last.clone(),
            None => id.widen(),
        };
        if known.is_none() {
            let joined = Joined {
                warning: id.clone(),
                run: run.clone(),
            };
            out.extend(joined.row(1));
            self.known.push_back(joined);
            if self.known.len() > KNOWN {
                out.extend(self.known.pop_front().and_then(|oldest| oldest.row(-1)));
            }
        }
        (self.last, self.ended) = (run, None);
    }

    /// When all is forgotten.
    fn until(&self, keep: Duration) -> Option<Millis> {
        self.ended.map(|ended| ended + keep)
    }

    fn rows(&self) -> impl Iterator<Item = (Step, Diff)> + '_ {
        self.known.iter().filter_map(|joined| joined.row(1))
    }

    fn forget(&mut self, out: &mut Vec<(Step, Diff)>) {
        let gone = std::mem::take(self).known;
        out.extend(gone.iter().filter_map(|joined| joined.row(-1)));
    }
}

impl Joined {
    /// The row of one whose run has another name.
    fn row(&self, diff: Diff) -> Option<(Step, Diff)> {
        (*self.warning != *self.run).then(|| (Step::Joined(Arc::new(self.clone())), diff))
    }
}

/// The part of one datastream or limit.
#[derive(Debug, Serialize, Deserialize)]
struct Member {
    track: Track,
    stale: bool,
    explanation: Box<Explanation>,
}

impl Member {
    fn level(&self) -> Level {
        self.track.last().map_or(Level::None, |(_, level)| *level)
    }
}

impl Warning {
    fn revise(&mut self, revision: &mut Revision) {
        (self.stale_from, self.stale_until) = if self.touched {
            (self.stale_from.min(revision.from), self.stale_until.max(revision.until))
        } else {
            (revision.from, revision.until)
        };
        self.touched = true;
        self.cause = self.cause.max(revision.cause);
        if revision.gone {
            self.members.remove(&revision.source);
            return;
        }
        let member = self.members.entry(revision.source.clone()).or_insert_with(|| Member {
            track: Track::new(),
            stale: false,
            explanation: Box::new(Explanation::nothing()),
        });
        let stretch = between(&member.track, revision.from, revision.until);
        member.track.splice(stretch, revision.tail.drain(..));
        member.stale = revision.stale;
        if let Some(explanation) = revision.explanation.take() {
            member.explanation = explanation;
        }
    }

    /// Merges the members' tracks again, from `stale_from` until `stale_until`.
    fn merge(&mut self) {
        let (from, until) = (self.stale_from, self.stale_until);
        let stretch = between(&self.track, from, until);
        let mut times: Vec<i64> = Vec::new();
        for member in self.members.values() {
            let changes = &member.track[between(&member.track, from, until)];
            times.extend(changes.iter().map(|(time, _)| *time));
        }
        times.sort_unstable();
        times.dedup();
        // `from` itself is a change point where a member's track ends before it.
        if from != i64::MIN && from != i64::MAX && times.first() != Some(&from) {
            times.insert(0, from);
        }
        let mut last = self.track[..stretch.start]
            .last()
            .map_or(Level::None, |(_, level)| *level);
        let mut merged = Track::new();
        for time in times {
            let members = self.members.values();
            let level = members
                .map(|member| level_at(&member.track, time))
                .max()
                .unwrap_or_default();
            if level != last {
                merged.push((time, level));
                last = level;
            }
        }
        // Members that meet their old tracks before `until` have the old levels there.
        self.track.splice(stretch, merged);
    }

    /// The episode that is open at the end of the track: since when, at which level, and since when at that level. `kept` is that of
    /// the warning that was shown, if there is one.
    fn open(&self, kept: Option<Episode>) -> Option<(i64, Level, i64)> {
        let (at, level) = *self.track.last().filter(|(_, level)| *level > Level::None)?;
        let since = match kept {
            Some((since, None)) => since,
            Some((_, Some(_))) | None => self.begin(self.track.len()),
        };
        Some((since, level, at))
    }

    /// When the episode began to which the change point before a position belongs, or the one at it if that ended one.
    fn begin(&self, position: usize) -> i64 {
        let ended = self.track[..position]
            .iter()
            .rposition(|(_, level)| *level == Level::None);
        self.track[ended.map_or(0, |ended| ended + 1)].0
    }

    /// The episode of a warning that was open since a time: the one that holds that time, or else the first that begins behind it.
    fn episode(&self, since: i64) -> Option<Episode> {
        let merged = self.track.partition_point(|(time, _)| *time < self.stale_from);
        let is_over = |point: &&(i64, Level)| point.1 == Level::None;
        let (begin, from) = if since < self.stale_from {
            // What is before that is as it was then, and it was open from there on: an episode may be long.
            (since, merged)
        } else {
            let after = self.track.partition_point(|(time, _)| *time <= since);
            let ends = after == 0 || self.track[after - 1].1 == Level::None;
            let begin = if ends {
                self.track.get(after)?.0
            } else {
                self.begin(after)
            };
            (begin, after)
        };
        let end = self.track[from..].iter().find(is_over);
        Some((begin, end.map(|(time, _)| *time)))
    }

    /// What is shown from this epoch on; change points of episodes that ended at or before `forget` are dropped.
    fn settled(&mut self, shown: Option<Arc<WarningState>>, runs: Runs, forget: i64) {
        (self.shown, self.runs) = (shown, runs);
        (self.touched, self.cause) = (false, None);
        forget_ended(&mut self.track, forget);
        for member in self.members.values_mut() {
            forget_ended(&mut member.track, forget);
        }
    }

    fn stale(&self, level: Level) -> bool {
        self.members
            .values()
            .filter(|member| member.level() == level)
            .all(|member| member.stale)
    }

    /// The member that explains a delta.
    fn speaker(&self, kind: DeltaKind, level: Level, at: i64) -> Option<&Member> {
        let mut members = self.members.values();
        match kind {
            DeltaKind::Raised | DeltaKind::Revised | DeltaKind::Escalated | DeltaKind::Eased => {
                members.find(|member| member.level() == level)
            }
            DeltaKind::Cleared => members.find(|member| member.track.contains(&(at, Level::None))),
            DeltaKind::Withdrawn => members.next(),
        }
    }
}

/// When an episode begins, and when it ends; one that is open has no end.
type Episode = (i64, Option<i64>);

/// The positions of the change points from one time on until another.
fn between(track: &Track, from: i64, until: i64) -> Range<usize> {
    let start = track.partition_point(|(time, _)| *time < from);
    let end = if until == i64::MAX {
        track.len()
    } else {
        track.partition_point(|(time, _)| *time < until)
    };
    start..end.max(start)
}

/// The level of a track at a time.
fn level_at(track: &Track, time: i64) -> Level {
    let after = track.partition_point(|(point, _)| *point <= time);
    if after == 0 { Level::None } else { track[after - 1].1 }
}

/// The identifier of an episode: a hash of rule or limit, asset and since, as first told.
#[must_use]
pub fn warning_id((kind, rule): (SourceKind, &Id<RuleOrLimit>), asset: &Id<Asset>, since: Millis) -> Id<WarningState> {
    let since = since.0.to_string();
    let key = match kind {
        SourceKind::Datastream => Key::of_parts(&[rule, asset, &since]),
        SourceKind::Limit => Key::of_parts(&["limit", rule, asset, &since]),
    };
    key.to_string().into()
}

impl Lifecycle {
    fn settle_warning(
        &self,
        now: Millis,
        (kind, rule): (SourceKind, &Id<RuleOrLimit>),
        warning: &mut Warning,
        asset: Option<&Asset>,
        out: &mut Vec<(Step, Diff)>,
    ) {
        warning.merge();
        let before = warning.shown.take();
        let mut runs = std::mem::take(&mut warning.runs);
        let run_before = runs.last.clone();
        let kept = before.as_ref().and_then(|before| warning.episode(before.since.0));
        let open = warning.open(kept).zip(asset);
        // Whatever moved its beginning, late data or an edit: what is told is the same warning as long as its episode goes on.
        let same = before
            .as_ref()
            .filter(|_| open.is_some() && matches!(kept, Some((_, None))));
        let after = open.map(|((since, level, _), asset)| WarningState {
            id: same.map_or_else(
                || warning_id((kind, rule), &asset.id, Millis(since)),
                |before| before.id.clone(),
            ),
            rule: rule.clone(),
            asset: asset.id.clone(),
            domain: asset.domain,
            region: asset.region,
            level,
            since: Millis(since),
            stale: warning.stale(level),
        });
        let mut said = Vec::new();
        let mut say = |runs: &Runs, kind, state: &WarningState, at: Millis, from: Level, to: Level| {
            let delta = self.delta(warning, kind, state, at, from, to, asset);
            said.push((Step::Delta(Box::new(delta), runs.last.clone()), 1));
        };
        if let Some(before) = before.as_ref().filter(|_| same.is_none()) {
            let (kind, at) = match kept.and_then(|(_, end)| end) {
                Some(at) => (DeltaKind::Cleared, Millis(at)),
                None => (DeltaKind::Withdrawn, now),
            };
            say(&runs, kind, before, at, before.level, Level::None);
            runs.ended = Some(at);
        }
        if let Some((after, ((_, level, at), _))) = after.as_ref().zip(open) {
            let at = Millis(at);
            if same.is_none() {
                runs.raise(&after.id, after.since, self.join, out);
            }
            if same.is_some_and(|before| before.since != after.since) {
                say(&runs, DeltaKind::Revised, after, now, level, level);
            }
            match same.map(|before| before.level) {
                None => say(&runs, DeltaKind::Raised, after, at, Level::None, level),
                Some(from) if from < level => say(&runs, DeltaKind::Escalated, after, at, from, level),
                Some(from) if from > level => say(&runs, DeltaKind::Eased, after, at, from, level),
                Some(_) => {}
            }
        }
        out.append(&mut said);
        let after = after.map(Arc::new);
        if before != after {
            out.extend(before.map(|row| (Step::State(row, run_before), -1)));
            out.extend(after.clone().map(|row| (Step::State(row, runs.last.clone()), 1)));
        }
        warning.settled(after, runs, (now - self.remember).0);
    }

    #[expect(clippy::too_many_arguments, reason = "each is one field of the delta")]
    fn delta(
        &self,
        warning: &Warning,
        kind: DeltaKind,
        state: &WarningState,
        at: Millis,
        from: Level,
        to: Level,
        asset: Option<&Asset>,
    ) -> WarningDelta {
        let speaker = warning.speaker(kind, to, at.0);
        let explanation = speaker.map_or_else(Explanation::nothing, |member| (*member.explanation).clone());
        WarningDelta {
            id: state.id.clone(),
            kind,
            cause: warning.cause.unwrap_or(Cause::BaseChange),
            rule: state.rule.clone(),
            asset: state.asset.clone(),
            since: state.since,
            at,
            from,
            to,
            explanation: Explanation {
                asset_name: asset.map(|asset| asset.name.clone()).unwrap_or_default(),
                category: asset.map(|asset| asset.category.clone()).unwrap_or_default(),
                inherent_level: asset.map(|asset| asset.inherent_level),
                region: asset.map(|asset| asset.region),
                ..explanation
            },
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

    fn record(&mut self, _now: Millis, _key: Key, state: &mut LifecycleState, revision: &mut Revision) {
        state
            .warnings
            .entry((revision.source.kind(), Id::new(revision.rule.clone())))
            .or_default()
            .revise(revision);
    }

    fn recall(&mut self, _key: Key, state: &LifecycleState, out: &mut Vec<(Step, Diff)>) {
        for warning in state.warnings.values() {
            let shown = warning.shown.clone();
            out.extend(shown.map(|row| (Step::State(row, warning.runs.last.clone()), 1)));
            out.extend(warning.runs.rows());
        }
    }

    fn settle(&mut self, now: Millis, _key: Key, state: &mut LifecycleState, out: &mut Vec<(Step, Diff)>) -> Next {
        let asset = state.asset.clone();
        let asset_changed = std::mem::take(&mut state.asset_changed);
        for ((kind, rule), warning) in &mut state.warnings {
            if warning.touched || asset_changed {
                if !warning.touched {
                    (warning.stale_from, warning.stale_until) = (i64::MAX, i64::MAX);
                }
                self.settle_warning(now, (*kind, rule), warning, asset.as_deref(), out);
            }
        }
        state.settle_risk(self.cuts, out);
        let mut wake: Option<Millis> = None;
        state.warnings.retain(|_, warning| {
            match warning.runs.until(self.keep) {
                Some(until) if until <= now => warning.runs.forget(out),
                until => wake = wake.into_iter().chain(until).min(),
            }
            !warning.members.is_empty() || warning.shown.is_some() || warning.runs.ended.is_some()
        });
        match wake {
            Some(until) => Next::Wake(until),
            None if state.warnings.is_empty() && state.asset.is_none() => Next::Forget,
            None => Next::Keep,
        }
    }
}
