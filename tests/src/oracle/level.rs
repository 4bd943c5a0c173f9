//! The level of one entry, by walking every instant at which anything could change.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use riskflow_config::{Condition, LevelPlan, Rule};
use riskflow_model::Level;

use super::calendar::City;
use super::condition::{Truth, comparison, is_absent, truth};
use super::entry::Saying;
use super::instants::instants;
use super::unit::{Conversion, Fraction};

/// Change points of a level.
pub type Track = Vec<(i64, Level)>;

/// The level of a track at a time.
pub fn level_at(track: &Track, time: i64) -> Level {
    track
        .iter()
        .rev()
        .find(|(at, _)| *at <= time)
        .map_or(Level::None, |(_, level)| *level)
}

/// What an entry sees of a datastream.
pub struct Seen {
    /// Observations that count, by time.
    pub points: Vec<(i64, f64)>,
    /// When it was heard of before all of them, or came to be known.
    pub heard: i64,
    /// What was said of times to come, as it came.
    pub forecasts: Vec<Saying>,
    /// Up to here nothing is seen.
    pub floor: i64,
    /// What the entry before it left.
    pub left: Option<Left>,
}

/// What an entry with another condition left for the one in its place.
#[derive(Clone, Debug)]
pub struct Left {
    /// Up to here it counts.
    pub floor: i64,
    /// The level up to there.
    pub track: Track,
    /// The levels that are on there.
    pub on: BTreeSet<Level>,
}

/// What turns levels on and off: a rule on a datastream, or one over the gauges of an asset.
pub trait Decides {
    /// The rule.
    fn rule(&self) -> &Rule;

    /// On and off thresholds of its comparisons; none of one that takes no part.
    fn thresholds(&self) -> &[Option<[Fraction; 2]>];

    /// What the entry before left.
    fn left(&self) -> Option<&Left>;

    /// The clocks on its walls.
    fn city(&self) -> &City;

    /// Every instant up to now at which a condition may change, in order.
    fn instants(&self, now: i64) -> Vec<i64>;

    /// Whether a comparison holds at an instant, with its threshold moved or as it is.
    fn comparison(&self, index: usize, at: i64, moved: bool) -> Truth;
}

/// The open episode of a track.
#[derive(Clone, Copy, Debug)]
pub struct Open {
    /// When the level left none.
    pub since: i64,
    /// The level now.
    pub level: Level,
    /// When it took that level for the last time.
    pub level_since: i64,
}

/// The episode that is open at the end of a track.
pub fn open(track: &Track) -> Option<Open> {
    let (level_since, level) = *track.last().filter(|(_, level)| *level > Level::None)?;
    let begin = track
        .iter()
        .rposition(|(_, level)| *level == Level::None)
        .map_or(0, |position| position + 1);
    Some(Open {
        since: track[begin].0,
        level,
        level_since,
    })
}

/// The highest of several tracks at every time.
pub fn highest<'a>(tracks: impl Iterator<Item = &'a Track> + Clone) -> Track {
    let times: BTreeSet<i64> = tracks.clone().flatten().map(|(at, _)| *at).collect();
    let mut merged = Track::new();
    for time in times {
        let level = tracks
            .clone()
            .map(|track| level_at(track, time))
            .max()
            .unwrap_or_default();
        if merged.last().map_or(Level::None, |(_, level)| *level) != level {
            merged.push((time, level));
        }
    }
    merged
}

/// One rule on the observations of one datastream.
pub struct Watched<'a> {
    pub rule: &'a Rule,
    /// On and off, in the rule's unit.
    pub thresholds: &'a [Option<[Fraction; 2]>],
    pub conversion: Conversion,
    /// Whether the datastream reports on events only.
    pub on_event: bool,
    pub city: &'a City,
    pub seen: &'a Seen,
    /// Values of features by their positions and instants: all levels ask for the same.
    pub values: RefCell<BTreeMap<(usize, i64), Option<Fraction>>>,
}

impl Decides for Watched<'_> {
    fn rule(&self) -> &Rule {
        self.rule
    }

    fn thresholds(&self) -> &[Option<[Fraction; 2]>] {
        self.thresholds
    }

    fn left(&self) -> Option<&Left> {
        self.seen.left.as_ref()
    }

    fn city(&self) -> &City {
        self.city
    }

    fn instants(&self, now: i64) -> Vec<i64> {
        instants(self, now)
    }

    fn comparison(&self, index: usize, at: i64, moved: bool) -> Truth {
        comparison(self, index, at, moved)
    }
}

/// The level of an entry over time, up to `now`.
pub fn track(watched: &impl Decides, now: i64) -> Track {
    let found = highest(each(watched, now).iter().map(|(_, track)| track));
    let Some(left) = watched.left() else { return found };
    let mut whole = left.track.clone();
    let times = found.iter().map(|(time, _)| *time);
    let later = times.filter(|time| *time > left.floor + 1);
    for time in std::iter::once(left.floor + 1).chain(later) {
        let level = level_at(&found, time);
        if level_at(&whole, time) != level {
            whole.push((time, level));
        }
    }
    whole
}

/// All episodes of a track: when each begins, and when it ends.
pub fn all(track: &Track) -> Vec<(i64, Option<i64>)> {
    let mut episodes: Vec<(i64, Option<i64>)> = Vec::new();
    for (time, level) in track {
        match episodes.last_mut().filter(|(_, end)| end.is_none()) {
            None => episodes.push((*time, None)),
            Some((_, end)) if *level == Level::None => *end = Some(*time),
            Some(_) => {}
        }
    }
    episodes
}

/// The episode that holds a time, or else the first that begins later.
pub fn episode(track: &Track, at: i64) -> Option<(i64, Option<i64>)> {
    let mut episodes = all(track).into_iter();
    episodes.find(|(_, end)| end.is_none_or(|end| end > at))
}

/// Each level's own track.
fn each(watched: &impl Decides, now: i64) -> Vec<(Level, Track)> {
    let instants = watched.instants(now);
    let levels = watched.rule().levels.iter();
    levels
        .map(|plan| (plan.level, one_level(watched, plan, &instants, now)))
        .collect()
}

/// What an entry leaves at a time for one with another condition, with these thresholds.
pub fn left(watched: &impl Decides, at: i64, next: &Rule, thresholds: &[Option<[Fraction; 2]>]) -> Left {
    let mut whole = track(watched, at);
    whole.retain(|(time, _)| *time <= at);
    let levels = each(watched, at);
    let on = levels.iter().filter(|(_, track)| level_at(track, at) > Level::None);
    let there = next
        .levels
        .iter()
        .filter(|plan| !is_absent(thresholds, &plan.condition));
    let there: Vec<Level> = there.map(|plan| plan.level).collect();
    let carried = on.filter_map(|(level, _)| there.iter().copied().rfind(|other| other <= level));
    Left {
        floor: at,
        track: whole,
        on: carried.collect(),
    }
}

/// Whether the condition of this level is unknown now.
pub fn stale(watched: &impl Decides, now: i64, level: Level) -> bool {
    let plan = watched.rule().levels.iter().find(|plan| plan.level == level);
    plan.is_some_and(|plan| truth(watched, &plan.condition, now, false) == Truth::Unknown)
}

/// One level's own track: on where a raise interval begins, off where a lower interval begins.
fn one_level(watched: &impl Decides, plan: &LevelPlan, instants: &[i64], now: i64) -> Track {
    let raises = |at: i64| truth(watched, &plan.condition, at, false) == Truth::Yes;
    // Without a threshold in force `until` is none.
    let has_threshold = |until: &&Condition| !is_absent(watched.thresholds(), until);
    let until = plan.until.as_ref().filter(has_threshold);
    let lowers = |at: i64| match until {
        Some(until) => truth(watched, until, at, false) == Truth::Yes && !raises(at),
        None => truth(watched, &plan.condition, at, true) == Truth::No,
    };
    let mut changes: Vec<(i64, bool)> = Vec::new();
    for turn in [true, false] {
        let wait = if turn { plan.hold } else { plan.clear };
        let mut since = None;
        for (index, instant) in instants.iter().enumerate() {
            let holds = if turn { raises(*instant) } else { lowers(*instant) };
            since = holds.then(|| since.unwrap_or(*instant));
            let end = instants.get(index + 1).copied().unwrap_or(now + 1);
            // [since, end) is not known to be all of the interval yet, but enough to see whether it reaches so far.
            if let Some(begin) = since
                .map(|since: i64| since + wait)
                .filter(|begin| *begin < end && *begin >= *instant)
            {
                changes.push((begin, turn));
            }
        }
    }
    changes.sort_unstable();
    let left = watched.left().filter(|left| left.on.contains(&plan.level));
    let mut on = left.is_some();
    let mut track: Track = left.iter().map(|left| (left.floor, plan.level)).collect();
    for (at, turn) in changes {
        if turn != on {
            on = turn;
            track.push((at, if on { plan.level } else { Level::None }));
        }
    }
    track
}
