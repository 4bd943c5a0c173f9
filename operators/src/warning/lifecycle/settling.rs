//! One rule and asset at the end of an epoch: what is open and what is over now, against what was told.

use std::collections::BTreeSet;
use std::sync::Arc;

use riskflow_model::base::Asset;
use riskflow_model::id::{RuleOrLimit, Run};
use riskflow_model::output::{
    Cause, DeltaKind, Explanation, PastState, PastWarning, SourceKind, WarningDelta, WarningState,
};
use riskflow_model::{Id, Key, Level, Millis};

use super::past::{self, Episode, Past};
use super::run::Runs;
use super::sets::{self, WarningKey};
use super::warning::Warning;
use super::{Lifecycle, Step};
use crate::engine::Diff;

/// One rule and asset while they settle.
pub(super) struct Settling<'a> {
    pub(super) now: Millis,
    pub(super) kind: SourceKind,
    /// Of a candidate's with its set.
    pub(super) rule: &'a Id<RuleOrLimit>,
    /// The candidate and what the rule is called in it, where it is not live.
    candidate: Option<(&'a str, &'a str)>,
    /// `None` where it has no row; then it has no entries either.
    pub(super) asset: Option<&'a Asset>,
    /// The warning that was open before.
    before: Option<Arc<WarningState>>,
    /// What became of its episode.
    kept: Option<Episode>,
    /// What was told so far.
    said: Vec<(Step, Diff)>,
}

/// What is told of an episode.
struct Said<'a> {
    kind: DeltaKind,
    id: &'a Id<WarningState>,
    since: i64,
    at: Millis,
    levels: (Level, Level),
    /// A member whose level changed then explains it.
    spoken: i64,
}

impl<'a> Settling<'a> {
    pub(super) fn new(now: Millis, key: &'a WarningKey, asset: Option<&'a Asset>) -> Self {
        Self {
            now,
            kind: key.0,
            rule: &key.1,
            candidate: sets::candidate(key),
            asset,
            before: None,
            kept: None,
            said: Vec::new(),
        }
    }

    pub(super) fn settle(mut self, fold: &Lifecycle, warning: &mut Warning, out: &mut Vec<(Step, Diff)>) {
        warning.merge();
        self.before = warning.shown.take();
        let mut runs = std::mem::take(&mut warning.runs);
        let mut past = std::mem::take(&mut warning.past);
        let run_before = runs.last.clone();
        self.kept = (self.before.as_ref()).and_then(|before| warning.episode(before.since.0));
        let open = warning.open(self.kept).zip(self.asset);
        let same = self.goes_on(open.is_some()).map(|before| before.id.clone());
        if same.is_none() {
            self.end_open(warning, &mut past, &mut runs);
        }
        let reopened = self.revise_past(warning, &mut past, (self.now - fold.remember).0);
        let after = open.map(|((since, level, _), asset)| WarningState {
            id: same
                .clone()
                .or(reopened)
                .unwrap_or_else(|| self.new_id(&past, &asset.id, since)),
            rule: self.rule.clone(),
            asset: asset.id.clone(),
            domain: asset.domain,
            region: asset.region,
            level,
            since: Millis(since),
            stale: warning.stale(level),
        });
        if let Some((after, ((.., at), _))) = after.as_ref().zip(open) {
            if same.is_none() {
                past.take(&after.id);
                runs.raise(&after.id, after.since, fold.join, out);
            }
            self.say_open(warning, &runs.last, after, Millis(at));
        }
        out.append(&mut self.said);
        let (before, after) = (self.before, after.map(Arc::new));
        if before != after {
            out.extend(before.map(|row| (Step::State(row, run_before), -1)));
            out.extend(after.clone().map(|row| (Step::State(row, runs.last.clone()), 1)));
        }
        warning.past = past;
        // A change of condition goes on from what was on then.
        let forget = (self.now - fold.remember).0.min(self.now.0 - warning.reach);
        warning.settled(after, runs, forget);
    }

    /// The warning that was open, if it goes on: whatever moved its beginning, late data or an edit, it is the same as long as its
    /// episode is open.
    fn goes_on(&self, is_open: bool) -> Option<&WarningState> {
        let goes_on = is_open && matches!(self.kept, Some((_, None)));
        self.before.as_deref().filter(|_| goes_on)
    }

    /// The warning that was open is over, or never was.
    fn end_open(&mut self, warning: &Warning, past: &mut Past, runs: &mut Runs) {
        let Some(before) = self.before.clone() else { return };
        let (kind, since, until, peak, state) = match self.kept {
            Some((since, Some(until))) => {
                let peak = past::peak(&warning.track, since, until);
                (DeltaKind::Cleared, since, Millis(until), peak, PastState::Ended)
            }
            _ => {
                let since = before.since.0;
                (
                    DeltaKind::Withdrawn,
                    since,
                    self.now,
                    before.level,
                    PastState::Withdrawn,
                )
            }
        };
        let said = Said {
            kind,
            id: &before.id,
            since,
            at: until,
            levels: (before.level, Level::None),
            spoken: until.0,
        };
        self.say(warning, Some(runs.last.clone()), &said);
        runs.ended = Some(until);
        past.put(PastWarning {
            id: before.id.clone(),
            rule: before.rule.clone(),
            source: self.kind,
            asset: before.asset.clone(),
            domain: self.asset.map_or(before.domain, |asset| asset.domain),
            region: self.asset.map_or(before.region, |asset| asset.region),
            since: Millis(since),
            until,
            peak,
            state,
            told: true,
        });
    }

    /// What is over is what the track says now: tells what differs. Returns the identifier of the one that is open again.
    fn revise_past(&mut self, warning: &Warning, past: &mut Past, forget: i64) -> Option<Id<WarningState>> {
        let (from, until) = (warning.stale_from, warning.stale_until);
        let kept = self.kept.map(|(since, _)| since);
        let mut taken: BTreeSet<i64> = BTreeSet::new();
        let is_free = |since: &i64, taken: &BTreeSet<i64>| kept != Some(*since) && !taken.contains(since);
        let mut reopened = None;
        for row in past.touched(from, until) {
            if self.before.as_ref().is_some_and(|before| before.id == row.id) {
                // It ended just now.
                continue;
            }
            let found = past::episode(&warning.track, row.since.0);
            let found = found.filter(|(since, _)| *since < row.until.0 && is_free(since, &taken));
            taken.extend(found.map(|(since, _)| since));
            match found {
                Some((since, Some(end))) => self.amend(warning, past, &row, (since, end)),
                Some((_, None)) => {
                    past.take(&row.id);
                    reopened = Some(row.id.clone());
                }
                None if warning.went || past.is_adrift(&row.id) => past.moor(&row.id, false),
                None => self.withdraw(warning, past, &row),
            }
        }
        let Some(asset) = self.asset else { return reopened };
        for (since, end) in past::over(&warning.track, from, until) {
            if end > forget && is_free(&since, &taken) {
                self.record(warning, past, asset, (since, end));
            }
        }
        reopened
    }

    /// One that is over has this episode now.
    fn amend(&mut self, warning: &Warning, past: &mut Past, row: &PastWarning, (since, until): (i64, i64)) {
        past.moor(&row.id, true);
        let peak = past::peak(&warning.track, since, until);
        if (row.since.0, row.until.0, row.peak) == (since, until, peak) {
            return;
        }
        let said = Said {
            kind: DeltaKind::Amended,
            id: &row.id,
            since,
            at: self.now,
            levels: (row.peak, peak),
            spoken: until,
        };
        self.say(warning, None, &said);
        past.put(PastWarning {
            domain: self.asset.map_or(row.domain, |asset| asset.domain),
            region: self.asset.map_or(row.region, |asset| asset.region),
            since: Millis(since),
            until: Millis(until),
            peak,
            ..row.clone()
        });
    }

    /// One that is over never was.
    fn withdraw(&mut self, warning: &Warning, past: &mut Past, row: &PastWarning) {
        let said = Said {
            kind: DeltaKind::Withdrawn,
            id: &row.id,
            since: row.since.0,
            at: self.now,
            levels: (row.peak, Level::None),
            spoken: row.until.0,
        };
        self.say(warning, None, &said);
        past.put(PastWarning {
            state: PastState::Withdrawn,
            ..row.clone()
        });
    }

    /// One was over when it was learnt.
    fn record(&mut self, warning: &Warning, past: &mut Past, asset: &Asset, (since, until): (i64, i64)) {
        let peak = past::peak(&warning.track, since, until);
        let id = self.new_id(past, &asset.id, since);
        let said = Said {
            kind: DeltaKind::Recorded,
            id: &id,
            since,
            at: Millis(until),
            levels: (Level::None, peak),
            spoken: until,
        };
        self.say(warning, None, &said);
        past.put(PastWarning {
            id,
            rule: self.rule.clone(),
            source: self.kind,
            asset: asset.id.clone(),
            domain: asset.domain,
            region: asset.region,
            since: Millis(since),
            until: Millis(until),
            peak,
            state: PastState::Ended,
            told: false,
        });
    }

    /// Tells how the one that is open differs from the one that was. `at` is when it took its level.
    fn say_open(&mut self, warning: &Warning, run: &Id<Run>, after: &WarningState, at: Millis) {
        let before = self.goes_on(true).map(|before| (before.since, before.level));
        let now = self.now;
        let mut say = |kind, at: Millis, levels| {
            let said = Said {
                kind,
                id: &after.id,
                since: after.since.0,
                at,
                levels,
                spoken: at.0,
            };
            self.say(warning, Some(run.clone()), &said);
        };
        let level = after.level;
        let Some((since, from)) = before else {
            return say(DeltaKind::Raised, at, (Level::None, level));
        };
        if since != after.since {
            say(DeltaKind::Revised, now, (level, level));
        }
        if from < level {
            say(DeltaKind::Escalated, at, (from, level));
        } else if from > level {
            say(DeltaKind::Eased, at, (from, level));
        }
    }

    /// `run` is whose warning it is, where it is open or was until now: then it says something to a case.
    fn say(&mut self, warning: &Warning, run: Option<Id<Run>>, said: &Said<'_>) {
        let (from, to) = said.levels;
        let of_past = || warning.why_past(said.since, said.spoken).filter(|_| run.is_none());
        let why = of_past().or_else(|| warning.why(said.kind, to, said.spoken));
        let explanation = why.cloned().unwrap_or_else(Explanation::nothing);
        let asset = self.asset;
        let delta = WarningDelta {
            id: said.id.clone(),
            kind: said.kind,
            cause: warning.cause.unwrap_or(Cause::BaseChange),
            rule: self.rule.clone(),
            asset: self.asset_id(),
            since: Millis(said.since),
            at: said.at,
            from,
            to,
            explanation: Explanation {
                asset_name: asset.map(|asset| asset.name.clone()).unwrap_or_default(),
                category: asset.map(|asset| asset.category.clone()).unwrap_or_default(),
                inherent_level: asset.map(|asset| asset.inherent_level),
                region: asset.map(|asset| asset.region),
                ..explanation
            },
        };
        self.said.push((Step::Delta(Box::new(delta), run), 1));
    }

    /// Without an asset nothing is told but of what was open.
    fn asset_id(&self) -> Id<Asset> {
        let of_before = self.before.as_ref().map(|before| &before.asset);
        let id = self.asset.map(|asset| &asset.id).or(of_before);
        id.cloned().expect("what is told is of an asset, or was open at one")
    }

    /// An identifier that no other warning has that is remembered: the hash of rule or limit, asset and since. Of the second one with
    /// which these agree its number is in the hash as well, and so on.
    fn new_id(&self, past: &Past, asset: &Id<Asset>, since: i64) -> Id<WarningState> {
        let is_free = |id: &Id<WarningState>| {
            let is_before = self.before.as_ref().is_some_and(|before| before.id == *id);
            !is_before && !past.has(id)
        };
        let numbered = |number: u32| {
            let (since, number_text) = (since.to_string(), number.to_string());
            let mut parts: Vec<&str> = match (self.kind, self.candidate) {
                (SourceKind::Limit, _) => vec!["limit", self.rule],
                (SourceKind::Datastream | SourceKind::Gauge, None) => vec![self.rule],
                (SourceKind::Datastream | SourceKind::Gauge, Some((set, rule))) => vec![set, rule],
            };
            parts.extend([&**asset, &since]);
            if number > 1 {
                parts.push(&number_text);
            }
            Id::from(Key::of_parts(&parts).to_string())
        };
        let mut ids = (1..).map(numbered);
        ids.find(is_free).expect("few agree in rule, asset and beginning")
    }
}
