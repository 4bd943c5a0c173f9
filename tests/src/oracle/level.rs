//! The level of one entry, by walking every instant at which anything could change.

use std::collections::BTreeSet;

use riskflow_config::{Condition, Feature, FeatureKind, LevelPlan, Operator, Rule};
use riskflow_model::Level;

use super::unit::{Conversion, Fraction, fraction};

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
    pub seen: &'a Seen,
}

/// The level of an entry over time, up to `now`.
pub fn track(watched: &Watched<'_>, now: i64) -> Track {
    let found = highest(each(watched, now).iter().map(|(_, track)| track));
    let Some(left) = &watched.seen.left else { return found };
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

/// The episode that holds a time, or else the first that begins later: when it begins, and when it ends.
pub fn episode(track: &Track, at: i64) -> Option<(i64, Option<i64>)> {
    let mut episodes: Vec<(i64, Option<i64>)> = Vec::new();
    for (time, level) in track {
        match episodes.last_mut().filter(|(_, end)| end.is_none()) {
            None => episodes.push((*time, None)),
            Some((_, end)) if *level == Level::None => *end = Some(*time),
            Some(_) => {}
        }
    }
    episodes.into_iter().find(|(_, end)| end.is_none_or(|end| end > at))
}

/// Each level's own track.
fn each(watched: &Watched<'_>, now: i64) -> Vec<(Level, Track)> {
    let instants = instants(watched, now);
    let levels = watched.rule.levels.iter();
    levels
        .map(|plan| (plan.level, one_level(watched, plan, &instants, now)))
        .collect()
}

/// What an entry leaves at a time for one with another condition.
pub fn left(watched: &Watched<'_>, at: i64, next: &Rule) -> Left {
    let mut whole = track(watched, at);
    whole.retain(|(time, _)| *time <= at);
    let levels = each(watched, at);
    let on = levels.iter().filter(|(_, track)| level_at(track, at) > Level::None);
    let carried = on.filter_map(|(level, _)| next.levels.iter().map(|plan| plan.level).rfind(|other| other <= level));
    Left {
        floor: at,
        track: whole,
        on: carried.collect(),
    }
}

/// Whether the condition of this level is unknown now.
pub fn stale(watched: &Watched<'_>, now: i64, level: Level) -> bool {
    let plan = watched.rule.levels.iter().find(|plan| plan.level == level);
    plan.is_some_and(|plan| truth(watched, &plan.condition, now, false) == Truth::Unknown)
}

/// Every instant at which a feature may change.
fn instants(watched: &Watched<'_>, now: i64) -> Vec<i64> {
    let Watched {
        rule, thresholds, seen, ..
    } = watched;
    let mut instants = BTreeSet::new();
    let heard = (seen.heard, 0.0);
    for (time, _) in seen.points.iter().chain([&heard]) {
        instants.insert(*time);
        for feature in &rule.features {
            instants.insert(expiry(*time, feature.window, rule.pane));
        }
        for (comparison, bound) in rule.comparisons.iter().zip(*thresholds) {
            let silence = rule.features[comparison.feature].kind == FeatureKind::Silence;
            for (over, under) in bound.iter().flatten().filter(|_| silence) {
                let millis = (over * 1_000 / under) as i64;
                instants.insert(time + millis);
                instants.insert(time + millis + 1);
            }
        }
    }
    let floor = seen.left.as_ref().map(|left| left.floor);
    instants.extend(floor.map(|floor| floor + 1));
    let begins = floor.unwrap_or(i64::MIN);
    let instants = instants.into_iter();
    instants
        .filter(|instant| *instant > begins && *instant <= now)
        .collect()
}

/// One level's own track: on where a raise interval begins, off where a lower interval begins.
fn one_level(watched: &Watched<'_>, plan: &LevelPlan, instants: &[i64], now: i64) -> Track {
    let mut changes: Vec<(i64, bool)> = Vec::new();
    for moved in [false, true] {
        let wanted = if moved { Truth::No } else { Truth::Yes };
        let wait = if moved { plan.clear } else { plan.hold };
        let mut since = None;
        for (index, instant) in instants.iter().enumerate() {
            let holds = truth(watched, &plan.condition, *instant, moved) == wanted;
            since = holds.then(|| since.unwrap_or(*instant));
            let end = instants.get(index + 1).copied().unwrap_or(now + 1);
            // [since, end) is not known to be all of the interval yet, but enough to see whether it reaches so far.
            if let Some(begin) = since
                .map(|since: i64| since + wait)
                .filter(|begin| *begin < end && *begin >= *instant)
            {
                changes.push((begin, !moved));
            }
        }
    }
    changes.sort_unstable();
    let left = watched.seen.left.as_ref();
    let left = left.filter(|left| left.on.contains(&plan.level));
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

fn expiry(time: i64, window: i64, pane: i64) -> i64 {
    let mut boundary = (time + window) / pane * pane;
    while boundary < time + window {
        boundary += pane;
    }
    boundary
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Truth {
    Yes,
    No,
    Unknown,
    Absent,
}

fn truth(watched: &Watched<'_>, condition: &Condition, at: i64, moved: bool) -> Truth {
    let rule = watched.rule;
    let parts = |parts: &[Condition]| -> Vec<Truth> {
        let truths = parts.iter().map(|part| truth(watched, part, at, moved));
        truths.filter(|truth| *truth != Truth::Absent).collect()
    };
    match condition {
        Condition::Comparison(index) => {
            let Some([on, off]) = watched.thresholds[*index] else {
                return Truth::Absent;
            };
            let comparison = &rule.comparisons[*index];
            let threshold = if moved { off } else { on };
            let feature = rule.features[comparison.feature];
            match value(feature, rule.pane, watched.seen, at) {
                None => Truth::Unknown,
                Some(value) => {
                    let value = watched.conversion.of(feature.kind, fraction(value.0, value.1));
                    // Both sides times the denominators, which are positive.
                    let (value, threshold) = (value.0 * threshold.1, threshold.0 * value.1);
                    let holds = match comparison.operator {
                        Operator::AtLeast => value >= threshold,
                        Operator::Above => value > threshold,
                        Operator::AtMost => value <= threshold,
                        Operator::Below => value < threshold,
                    };
                    if holds { Truth::Yes } else { Truth::No }
                }
            }
        }
        Condition::Any(conditions) => match parts(conditions) {
            truths if truths.is_empty() => Truth::Absent,
            truths if truths.contains(&Truth::Yes) => Truth::Yes,
            truths if truths.contains(&Truth::Unknown) => Truth::Unknown,
            _ => Truth::No,
        },
        Condition::All(conditions) => match parts(conditions) {
            truths if truths.is_empty() => Truth::Absent,
            truths if truths.contains(&Truth::No) => Truth::No,
            truths if truths.contains(&Truth::Unknown) => Truth::Unknown,
            _ => Truth::Yes,
        },
    }
}

/// A result as the decimal that stands for it in text.
fn decimal(result: f64) -> Fraction {
    // The shortest text that is read as this double again; never in exponents.
    let text = result.abs().to_string();
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let places = 20;
    // What is finer is told apart from nothing, and no threshold is as fine.
    let finer = part.len() > places;
    let digits = format!(
        "{whole}{:0<places$}{}",
        &part[..part.len().min(places)],
        u8::from(finer)
    );
    let number: i128 = digits.parse().expect("digits");
    (
        if result < 0.0 { -number } else { number },
        10i128.pow(places as u32 + 1),
    )
}

/// In billionths: a decimal of up to six places as it is, all else as the double, half away from zero.
fn billionths(result: f64) -> i128 {
    let written = [3, 6].map(|places| format!("{result:.places$}"));
    let short = written.into_iter().find(|text| text.parse() == Ok(result));
    // More digits than any double of this size needs to tell what is between two from what is not.
    let text = short.unwrap_or_else(|| format!("{result:.60}"));
    let (whole, part) = text.split_once('.').expect("there are places");
    let digits: i128 = format!("{whole}{part:0<10.10}").parse().expect("digits");
    (digits.abs() + 5) / 10 * if text.starts_with('-') { -1 } else { 1 }
}

const BILLION: i128 = 1_000_000_000;

fn value(feature: Feature, pane: i64, seen: &Seen, at: i64) -> Option<Fraction> {
    let mut past = seen.points.iter().filter(|(time, _)| *time <= at);
    if feature.kind == FeatureKind::Silence {
        let last = past.next_back().map(|(time, _)| *time);
        let last = last.or_else(|| (seen.heard <= at).then_some(seen.heard));
        return last.map(|last| (i128::from(at - last), 1000));
    }
    let window: Vec<(i64, f64)> = past
        .filter(|(time, _)| at < expiry(*time, feature.window, pane))
        .copied()
        .collect();
    let (first, last) = (window.first()?, window.last()?);
    let count = window.len() as i128;
    let sum = || window.iter().map(|(_, result)| billionths(*result)).sum::<i128>();
    let results = window.iter().map(|(_, result)| *result);
    match feature.kind {
        FeatureKind::Last => Some(decimal(last.1)),
        FeatureKind::Min => results.reduce(f64::min).map(decimal),
        FeatureKind::Max => results.reduce(f64::max).map(decimal),
        FeatureKind::Sum => Some((sum(), BILLION)),
        FeatureKind::Mean => Some((sum(), BILLION * count)),
        FeatureKind::Count => Some((count, 1)),
        FeatureKind::Rate if last.0 > first.0 => {
            let rise = billionths(last.1) - billionths(first.1);
            Some((rise * 3_600_000, i128::from(last.0 - first.0) * BILLION))
        }
        FeatureKind::Rate | FeatureKind::Silence => None,
    }
}
