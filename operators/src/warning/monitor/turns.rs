//! Which levels of an entry are on, over time.

use riskflow_config::{LevelPlan, Rule};
use riskflow_model::Level;
use serde::{Deserialize, Serialize};
use thin_vec::ThinVec;

use super::finding::Track;
use super::value::takes_part;
use crate::warning::specification::Entry;

/// Levels that are on: the i-th of the rule by its bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Set(u8);

impl Set {
    /// No level.
    pub const NONE: Self = Self(0);

    /// With one level on or not, where it was not on before.
    #[must_use]
    pub const fn with(self, level: usize, on: bool) -> Self {
        Self(self.0 | (on as u8) << level)
    }

    /// Whether a level is on.
    pub const fn has(self, level: usize) -> bool {
        self.0 >> level & 1 != 0
    }

    /// The same levels of another entry: of one that it lacks, or for which no threshold is in force, the next lower.
    pub fn carried(self, from: &Rule, to: &Entry) -> Self {
        let on = from.levels.iter().enumerate().filter(|(level, _)| self.has(*level));
        let judged = |plan: &LevelPlan| takes_part(to, &plan.condition);
        let highest = on.filter_map(|(_, plan)| {
            let levels = &to.rule.levels;
            levels
                .iter()
                .rposition(|other| other.level <= plan.level && judged(other))
        });
        highest.fold(Self::NONE, |set, level| match set.has(level) {
            true => set,
            false => set.with(level, true),
        })
    }

    /// The highest level that is on.
    pub fn level(self, rule: &Rule) -> Level {
        let highest = self.0.checked_ilog2().map(|highest| highest as usize);
        let plan = highest.and_then(|highest| rule.levels.get(highest));
        plan.map_or(Level::None, |plan| plan.level)
    }
}

/// Change points of such a set: from each time on, the set there. A time and four bits in eight bytes; and where there are none,
/// as with nearly all sensors, no more than that.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Turns(ThinVec<i64>);

const BITS: u32 = 4;

const fn time(turn: i64) -> i64 {
    turn >> BITS
}

const fn set(turn: i64) -> Set {
    Set((turn & ((1 << BITS) - 1)) as u8)
}

impl Turns {
    /// Adds a change after all others.
    pub fn push(&mut self, time: i64, set: Set) {
        self.0.push(time << BITS | i64::from(set.0));
    }

    /// How many changes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many changes are at or before a time.
    pub fn after(&self, at: i64) -> usize {
        match self.0.last() {
            Some(last) if time(*last) > at => self.0.partition_point(|turn| time(*turn) <= at),
            _ => self.0.len(),
        }
    }

    /// The set after so many changes.
    pub fn set(&self, changes: usize) -> Set {
        changes.checked_sub(1).map_or(Set::NONE, |last| set(self.0[last]))
    }

    /// The set at a time.
    pub fn at(&self, at: i64) -> Set {
        self.set(self.after(at))
    }

    /// Puts others in the place of those from one position up to another; gives these.
    pub fn replace(&mut self, from: usize, to: usize, others: &Self) -> Self {
        Self(self.0.splice(from..to, others.0.iter().copied()).collect())
    }

    /// Lets go of all at or before a time.
    pub fn forget_until(&mut self, time: i64) {
        let gone = self.after(time);
        self.0.drain(..gone);
    }

    /// Those from a position on, and then those of another list.
    pub fn from<'a>(
        &'a self,
        position: usize,
        more: &'a Self,
    ) -> impl DoubleEndedIterator<Item = (i64, Set)> + Clone + 'a {
        let all = self.0[position..].iter().chain(&more.0);
        all.map(|turn| (time(*turn), set(*turn)))
    }

    /// Lets go of what is not asked for any more, if only times after `known` are: what came before the last change of level
    /// up to there.
    pub fn forget(&mut self, known: i64, rule: &Rule) {
        let end = self.after(known);
        let mut keep = end;
        while keep > 1 && set(self.0[keep - 1]).level(rule) == set(self.0[end - 1]).level(rule) {
            keep -= 1;
        }
        self.0.drain(..keep.saturating_sub(1));
    }
}

/// The level over time of sets that follow on `before`, from change to change.
pub fn levels(before: Set, turns: impl Iterator<Item = (i64, Set)>, rule: &Rule) -> Track {
    let mut track = Track::new();
    let mut level = before.level(rule);
    for (time, set) in turns {
        let next = set.level(rule);
        if next != level {
            track.push((time, next));
            level = next;
        }
    }
    track
}

/// When a level changed for the last time, to which, and from which.
pub fn last_change(turns: impl DoubleEndedIterator<Item = (i64, Set)>, rule: &Rule) -> Option<(i64, Level, Level)> {
    let mut turns = turns.rev().map(|(time, set)| (time, set.level(rule)));
    let (mut at, level) = turns.next()?;
    for (time, before) in turns {
        if before != level {
            return Some((at, level, before));
        }
        at = time;
    }
    (level > Level::None).then_some((at, level, Level::None))
}

/// When the level that is above none at the end began to be so.
pub fn begun(turns: impl DoubleEndedIterator<Item = (i64, Set)>, rule: &Rule) -> Option<i64> {
    let on = turns.rev().map(|(time, set)| (time, set.level(rule)));
    let on = on.take_while(|(_, level)| *level > Level::None);
    on.last().map(|(time, _)| time)
}

/// The first time at which two functions differ that were equal before both lists begin; `None` where they never do.
pub fn first_difference(one: &Track, other: &Track) -> Option<i64> {
    let same = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let next = |track: &Track| track.get(same).map(|(time, _)| *time);
    match (next(one), next(other)) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
