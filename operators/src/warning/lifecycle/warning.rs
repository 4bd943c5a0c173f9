//! The levels of one rule and asset: tracks of its members merged into one.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use riskflow_model::Level;
use riskflow_model::output::{Cause, DeltaKind, Explanation, SetDifference, WarningState};
use serde::{Deserialize, Serialize};

use super::past::{self, Episode, Past};
use super::run::Runs;
use super::sets::Against;
use crate::warning::monitor::{Explained, Revision, Source, Track, forget_ended};

/// One rule's warnings on the asset.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(in crate::warning) struct Warning {
    /// By what they come from. Boxed, for a node of the map has room for eleven, and most have one.
    pub(super) members: BTreeMap<Source, Box<Member>>,
    /// The highest level of the members.
    pub(super) track: Track,
    /// From here on, until `stale_until`, `track` must be merged again.
    pub(super) stale_from: i64,
    pub(super) stale_until: i64,
    pub(super) touched: bool,
    /// How far back from the clock a change of condition may reach.
    pub(super) reach: i64,
    /// Whether an entry went since the last settling, for another reason than data.
    #[serde(skip)]
    pub(super) went: bool,
    /// The greatest cause since the last settling.
    pub(super) cause: Option<Cause>,
    pub(super) shown: Option<Arc<WarningState>>,
    pub(super) runs: Runs,
    pub(super) past: Past,
    /// Of a live one: the candidates that it is compared with.
    pub(super) against: Against,
    /// Of a candidate's: how it differs from the live one, as given out.
    pub(super) difference: Option<Arc<SetDifference>>,
}

/// The part of one datastream or limit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Member {
    track: Track,
    pub(super) stale: bool,
    explanation: Box<Explanation>,
    /// What became of the past in this epoch.
    #[serde(skip)]
    past: Vec<Explained>,
}

impl Member {
    pub(super) fn level(&self) -> Level {
        self.track.last().map_or(Level::None, |(_, level)| *level)
    }

    /// Whether its level became none at a time.
    fn ends(&self, at: i64) -> bool {
        let found = self.track.binary_search_by_key(&at, |(time, _)| *time);
        found.is_ok_and(|position| self.track[position].1 == Level::None)
    }
}

impl Warning {
    /// Takes in what a member says.
    pub(super) fn revise(&mut self, revision: &mut Revision) {
        (self.stale_from, self.stale_until) = if self.touched {
            (self.stale_from.min(revision.from), self.stale_until.max(revision.until))
        } else {
            (revision.from, revision.until)
        };
        self.touched = true;
        self.reach = self.reach.max(revision.reach);
        if revision.gone {
            let member = self.members.remove(&revision.source);
            if member.is_some_and(|member| has_level(&member.track)) {
                self.cause = self.cause.max(revision.cause);
                // Who takes back the last of what a level rests on says that it never was; who deletes a rule does not.
                self.went |= revision.cause >= Some(Cause::BaseChange);
            }
            return;
        }
        let member = self.members.entry(revision.source.clone()).or_insert_with(|| {
            Box::new(Member {
                track: Track::new(),
                stale: false,
                explanation: Box::new(Explanation::nothing()),
                past: Vec::new(),
            })
        });
        let stretch = between(&member.track, revision.from, revision.until);
        let was_on = has_level(&member.track);
        member.track.splice(stretch, revision.tail.drain(..));
        if was_on || has_level(&member.track) {
            self.cause = self.cause.max(revision.cause);
        }
        member.stale = revision.stale;
        member.past.append(&mut revision.past);
        if let Some(explanation) = revision.explanation.take() {
            member.explanation = explanation;
        }
    }

    /// Puts another in the place of a member, or none: all that followed from it is merged again. Whether the one that left had a
    /// level that did not end at or before `forget`.
    pub(super) fn replace(
        &mut self,
        source: &Source,
        member: Option<Box<Member>>,
        (cause, forget): (Cause, i64),
    ) -> bool {
        (self.stale_from, self.stale_until) = (i64::MIN, i64::MAX);
        self.touched = true;
        // What is forgotten may still stand in the track: nobody settled it.
        let was_on = |member: &Member| has_level(&member.track) && !has_ended(&member.track, forget);
        let comes = member.as_deref().is_some_and(was_on);
        let left = match member {
            Some(member) => self.members.insert(source.clone(), member),
            None => self.members.remove(source),
        };
        let leaves = left.as_deref().is_some_and(was_on);
        if comes || leaves {
            self.cause = self.cause.max(Some(cause));
        }
        leaves
    }

    /// Takes in what a member says, outside of any epoch, and forgets nothing.
    pub(in crate::warning) fn follow(&mut self, mut revision: Revision) {
        self.revise(&mut revision);
        self.merge();
        (self.touched, self.went, self.cause) = (false, false, None);
    }

    /// The highest level of the members, over time.
    pub(in crate::warning) const fn track(&self) -> &Track {
        &self.track
    }

    /// Merges the members' tracks again, from `stale_from` until `stale_until`.
    pub(super) fn merge(&mut self) {
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
        let behind = stretch.start + merged.len();
        self.track.splice(stretch, merged);
        if self.track.get(behind).is_some_and(|(_, level)| *level == last) {
            self.track.remove(behind);
        }
    }

    /// The episode that is open at the end of the track: since when, at which level, and since when at that level. `kept` is that of
    /// the warning that was shown, if there is one.
    pub(super) fn open(&self, kept: Option<Episode>) -> Option<(i64, Level, i64)> {
        let (at, level) = *self.track.last().filter(|(_, level)| *level > Level::None)?;
        let since = match kept {
            Some((since, None)) => since,
            Some((_, Some(_))) | None => self.track[past::begin(&self.track, self.track.len())].0,
        };
        Some((since, level, at))
    }

    /// The episode of a warning that was open since a time: the one that holds that time, or else the first that begins behind it.
    pub(super) fn episode(&self, since: i64) -> Option<Episode> {
        if since >= self.stale_from {
            return past::episode(&self.track, since);
        }
        // What is before that is as it was then, and it was open from there on: an episode may be long.
        let merged = self.track.partition_point(|(time, _)| *time < self.stale_from);
        Some((since, past::end(&self.track, merged)))
    }

    /// What is shown from this epoch on; change points of episodes that ended at or before `forget` are dropped.
    pub(super) fn settled(&mut self, shown: Option<Arc<WarningState>>, runs: Runs, forget: i64) {
        (self.shown, self.runs) = (shown, runs);
        (self.touched, self.went, self.cause) = (false, false, None);
        forget_ended(&mut self.track, forget);
        for member in self.members.values_mut() {
            forget_ended(&mut member.track, forget);
            member.past = Vec::new();
        }
    }

    /// Whether a level stands only on silent members.
    pub(super) fn stale(&self, level: Level) -> bool {
        self.members
            .values()
            .filter(|member| member.level() == level)
            .all(|member| member.stale)
    }

    /// What explains a delta of what is open, or was until now.
    pub(super) fn why(&self, kind: DeltaKind, level: Level, at: i64) -> Option<&Explanation> {
        let mut members = self.members.values();
        let speaker = match kind {
            DeltaKind::Raised | DeltaKind::Revised | DeltaKind::Escalated | DeltaKind::Eased => {
                members.find(|member| member.level() == level)
            }
            DeltaKind::Cleared | DeltaKind::Recorded | DeltaKind::Amended => members.find(|member| member.ends(at)),
            DeltaKind::Withdrawn => members.next(),
        };
        speaker.map(|member| &*member.explanation)
    }

    /// What explains what became of an episode that is over: what was the highest in it, or is known of it now.
    pub(super) fn why_past(&self, since: i64, until: i64) -> Option<&Explanation> {
        let all = self.members.values().flat_map(|member| &member.past);
        let within = all.filter(|one| since <= one.at && one.at < until);
        // Of several as high the first.
        let highest = within.rev().max_by_key(|one| one.level);
        highest.map(|one| &*one.why)
    }
}

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

/// Whether there is any level in a track. One that begins again without a level begins with a change point of none.
fn has_level(track: &Track) -> bool {
    track.iter().any(|(_, level)| *level > Level::None)
}

/// Whether all levels of a track ended at or before a time.
fn has_ended(track: &Track, at: i64) -> bool {
    track
        .last()
        .is_none_or(|(time, level)| *level == Level::None && *time <= at)
}

/// The level of a track at a time.
fn level_at(track: &Track, time: i64) -> Level {
    let after = track.partition_point(|(point, _)| *point <= time);
    if after == 0 { Level::None } else { track[after - 1].1 }
}
