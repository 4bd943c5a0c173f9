//! How much work under permit there is at an asset at every time: past, and as far as is known, to come.

use std::collections::{BTreeMap, BTreeSet};

use riskflow_model::intake::{Limit, Measure, Permit};
use riskflow_model::output::{Explanation, FeatureValue, SourceKind};
use riskflow_model::{Level, Millis, Number, Shared, Text};

use super::Known;
use crate::warning::Track;

/// From, and up to but not at.
type Interval = (Millis, Millis);

/// The level of a limit at every time, those to come included.
pub fn track(limit: &Limit, known: &Known) -> Track {
    let counted = counted(limit, known);
    let begins = counted.iter().map(|(from, _)| (*from, 1));
    let ends = counted.iter().map(|(_, to)| (*to, -1));
    let mut steps: Vec<(Millis, i64)> = begins.chain(ends).collect();
    steps.sort_unstable();
    let mut track = Track::new();
    let mut count = 0;
    for of_one_time in steps.chunk_by(|a, b| a.0 == b.0) {
        count += of_one_time.iter().map(|(_, step)| step).sum::<i64>();
        let level = level(limit, count);
        if track.last().map_or(Level::None, |(_, level)| *level) != level {
            track.push((of_one_time[0].0.0, level));
        }
    }
    track
}

/// The explanation of the last change of a track; of the lowest level, as of `now`, where nothing ever was on.
///
/// Asset fields stay empty: the lifecycle knows the asset.
pub fn explain(limit: &Limit, known: &Known, shown: &[(i64, Level)], now: Millis) -> Explanation {
    let (at, level) = match shown {
        [] => (now, limit.levels.keys().next().copied().unwrap_or_default()),
        [.., (_, before), (at, Level::None)] => (Millis(*at), *before),
        [.., (at, level)] => (Millis(*at), *level),
    };
    let feature = match &limit.work_type {
        Some(work_type) => format!("{} of {work_type}", limit.measure.name()),
        None => limit.measure.name().to_owned(),
    };
    let threshold = limit.levels.get(&level);
    let count = counted(limit, known)
        .iter()
        .filter(|(from, to)| *from <= at && at < *to)
        .count();
    let condition = threshold.map_or_else(String::new, |threshold| format!("{feature} >= {threshold}"));
    let holds = threshold.is_some_and(|threshold| count as u64 >= u64::from(*threshold));
    Explanation {
        rule_version: limit.version,
        held: holds.then(|| condition.as_str().into()).into_iter().collect(),
        condition: condition.into(),
        source: Some(SourceKind::Limit),
        features: vec![FeatureValue {
            feature: feature.into(),
            value: Some(Number(count as f64)),
            unit: "".into(),
            first: None,
            last: None,
            not_counted: 0,
            issued: None,
            valid_time: None,
        }],
        ..Explanation::nothing()
    }
}

/// The highest level whose count is reached.
fn level(limit: &Limit, count: i64) -> Level {
    let reached = limit.levels.iter().rev().find(|(_, least)| count >= i64::from(**least));
    reached.map_or(Level::None, |(level, _)| *level)
}

/// When each thing that counts counts.
fn counted(limit: &Limit, known: &Known) -> Vec<Interval> {
    let of_its_kind = |permit: &&Shared<Permit>| {
        let work_type = limit.work_type.as_ref();
        work_type.is_none_or(|work_type| *work_type == permit.work_type)
    };
    let works = known.works.iter().filter(of_its_kind);
    match limit.measure {
        Measure::ConcurrentWork => works.filter_map(|permit| permit.in_force()).collect(),
        Measure::UncertifiedWork => {
            let certified = certified(known);
            let mut uncovered = Vec::new();
            for permit in works {
                let Some(in_force) = permit.in_force() else { continue };
                for holder in permit.holders.iter().collect::<BTreeSet<_>>() {
                    let covers = certified.get(&(holder, &permit.work_type));
                    uncover(in_force, covers.map_or(&[], Vec::as_slice), &mut uncovered);
                }
            }
            uncovered
        }
    }
}

/// When each holder has a certificate for each kind of work, by beginning.
fn certified(known: &Known) -> BTreeMap<(&Text, &Text), Vec<Interval>> {
    let mut certified: BTreeMap<_, Vec<Interval>> = BTreeMap::new();
    for certificate in known.certificates.keys() {
        let Some(in_force) = certificate.in_force() else {
            continue;
        };
        for holder in &certificate.holders {
            let covers = certified.entry((holder, &certificate.work_type)).or_default();
            covers.push(in_force);
        }
    }
    certified.values_mut().for_each(|covers| covers.sort_unstable());
    certified
}

/// The parts of an interval that none of the others covers; these by beginning.
fn uncover((from, to): Interval, covers: &[Interval], uncovered: &mut Vec<Interval>) {
    let mut at = from;
    for (begin, end) in covers {
        let begin = (*begin).min(to);
        if begin > at {
            uncovered.push((at, begin));
        }
        at = at.max(*end);
    }
    if at < to {
        uncovered.push((at, to));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_covered_is_left() {
        let left = |covers: &[(i64, i64)]| -> Vec<(i64, i64)> {
            let covers = covers.iter().map(|(from, to)| (Millis(*from), Millis(*to)));
            let mut left = Vec::new();
            uncover((Millis(10), Millis(20)), &covers.collect::<Vec<_>>(), &mut left);
            left.into_iter().map(|(from, to)| (from.0, to.0)).collect()
        };
        assert_eq!(left(&[]), [(10, 20)]);
        assert_eq!(left(&[(10, 20)]), []);
        assert_eq!(left(&[(0, 5), (5, 10)]), [(10, 20)]);
        assert_eq!(left(&[(20, 30)]), [(10, 20)]);
        assert_eq!(left(&[(0, 12), (11, 12), (15, 18)]), [(12, 15), (18, 20)]);
        assert_eq!(left(&[(0, 15), (5, 6), (15, 40), (30, 50)]), []);
        assert_eq!(left(&[(9, 11), (25, 30)]), [(11, 20)]);
    }
}
