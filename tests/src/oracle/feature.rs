//! The value of a feature at an instant, from all observations that an entry sees.

use std::collections::BTreeMap;

use riskflow_config::{Feature, FeatureKind};

use super::condition::meets;
use super::entry::Saying;
use super::level::Watched;
use super::number::{BILLION, billionths, decimal};
use super::unit::Fraction;

const HOUR: i128 = 3_600_000;

/// When an observation leaves a window: at the first border of a pane at which it is as old.
pub fn expiry(time: i64, window: i64, pane: i64) -> i64 {
    let mut boundary = (time + window) / pane * pane;
    while boundary < time + window {
        boundary += pane;
    }
    boundary
}

/// What is in a window, and what was just before it.
struct Window {
    points: Vec<(i64, f64)>,
    /// The last observation before the window, where it is less than one window away.
    before: Option<f64>,
}

fn window(watched: &Watched<'_>, feature: Feature, at: i64) -> Window {
    let pane = watched.rule.pane;
    let past = || watched.seen.points.iter().filter(|(time, _)| *time <= at);
    // What left last stands here at the latest; and how far before it something is near.
    let (points, left, length): (Vec<_>, i64, i64) = match feature.calendar {
        None => {
            let inside = past().filter(|(time, _)| at < expiry(*time, feature.window, pane));
            (
                inside.copied().collect(),
                at.div_euclid(pane) * pane - feature.window,
                feature.window,
            )
        }
        Some(calendar) => {
            let (begin, end) = watched.city.window(calendar, at);
            let inside = past().filter(|(time, _)| begin <= *time && *time < end);
            (inside.copied().collect(), begin - 1, end - begin)
        }
    };
    let before = past().rfind(|(time, _)| *time <= left);
    Window {
        points,
        before: before
            .filter(|(time, _)| *time > left - length)
            .map(|(_, result)| *result),
    }
}

/// The value of a feature at an instant, in the datastream's unit (of `deviation` its square); `None` where it is unknown.
pub fn value(watched: &Watched<'_>, feature: Feature, at: i64) -> Option<Fraction> {
    let seen = watched.seen;
    // Of an hour or a day that is over it must have been heard of by its end.
    let by = feature
        .calendar
        .map_or(at, |calendar| at.min(watched.city.window(calendar, at).1 - 1));
    let last_of_all = seen.points.iter().rev().map(|(time, _)| *time).find(|time| *time <= by);
    let heard = last_of_all.or_else(|| (seen.heard <= by).then_some(seen.heard));
    if feature.kind == FeatureKind::Silence {
        return heard.map(|heard| (i128::from(at - heard), 1000));
    }
    let Window { points, before } = window(watched, feature, at);
    let meets = |result: f64| feature.of.is_none_or(|of| meets(watched, of, decimal(result)));
    let results = || points.iter().map(|(_, result)| *result);
    let counted = |number: usize| heard.map(|_| (number as i128, 1));
    match feature.kind {
        FeatureKind::Count => return counted(results().filter(|result| meets(*result)).count()),
        FeatureKind::InARow => return counted(results().rev().take_while(|result| meets(*result)).count()),
        FeatureKind::Sum | FeatureKind::Increase if points.is_empty() && watched.on_event => return counted(0),
        FeatureKind::ForecastMin => return expected(watched, feature, at).into_iter().min().map(billionth),
        FeatureKind::ForecastMax => return expected(watched, feature, at).into_iter().max().map(billionth),
        FeatureKind::ForecastSum | FeatureKind::ForecastMean => {
            let values = expected(watched, feature, at);
            let parts = if feature.kind == FeatureKind::ForecastSum {
                1
            } else {
                values.len() as i128
            };
            return (!values.is_empty()).then(|| (values.iter().sum(), BILLION * parts));
        }
        _ => {}
    }
    of_points(watched, feature, &points, before)
}

const fn billionth(number: i128) -> Fraction {
    (number, BILLION)
}

/// What is expected of the times ahead, in billionths: of each the newest issue that was not taken back, of what was said by then.
fn expected(watched: &Watched<'_>, feature: Feature, at: i64) -> Vec<i128> {
    if at <= watched.seen.floor {
        return Vec::new();
    }
    let ahead = |saying: &&Saying| saying.from <= at && saying.valid > at && saying.valid <= at + feature.window;
    // What an issue says of a time takes the place of what it said before.
    let mut standing: BTreeMap<(i64, i64), Option<f64>> = BTreeMap::new();
    for saying in watched.seen.forecasts.iter().filter(ahead) {
        standing.insert((saying.valid, saying.issued), saying.value);
    }
    let mut newest: BTreeMap<i64, f64> = BTreeMap::new();
    for ((valid, _), value) in standing {
        newest.extend(value.map(|value| (valid, value)));
    }
    newest.into_values().map(billionths).collect()
}

/// Over the points of a window, of which there are some; and what was just before it.
fn of_points(watched: &Watched<'_>, feature: Feature, points: &[(i64, f64)], before: Option<f64>) -> Option<Fraction> {
    let results = || points.iter().map(|(_, result)| *result);
    let (first, last) = (points.first()?, points.last()?);
    let count = points.len() as i128;
    let numbers = || results().map(billionths);
    let sum = || numbers().sum::<i128>();
    let apart = i128::from(last.0 - first.0);
    let is_long_enough = apart > 0 && apart >= i128::from(feature.shortest);
    let (least, greatest) = (|| numbers().min(), || numbers().max());
    let newest = billionths(last.1);
    match feature.kind {
        FeatureKind::Last => Some(decimal(last.1)),
        FeatureKind::Min => results().reduce(f64::min).map(decimal),
        FeatureKind::Max => results().reduce(f64::max).map(decimal),
        FeatureKind::Quantile => {
            let mut sorted: Vec<f64> = results().collect();
            sorted.sort_by(f64::total_cmp);
            let rank = (usize::from(feature.quantile) * sorted.len()).div_ceil(1_000);
            Some(decimal(sorted[rank - 1]))
        }
        FeatureKind::Sum => Some((sum(), BILLION)),
        FeatureKind::Mean => Some((sum(), BILLION * count)),
        FeatureKind::Range => Some((greatest()? - least()?, BILLION)),
        FeatureKind::Drop => Some((greatest()? - newest, BILLION)),
        FeatureKind::Rise => Some((newest - least()?, BILLION)),
        FeatureKind::Deviation => {
            let squares: i128 = numbers().map(|number| number * number).sum();
            let parts = BILLION * count;
            Some((count * squares - sum() * sum(), parts * parts))
        }
        FeatureKind::Rate => {
            let rise = newest - billionths(first.1);
            is_long_enough.then_some((rise * HOUR, apart * BILLION))
        }
        FeatureKind::Projected => {
            let rise = newest - billionths(first.1);
            is_long_enough.then_some((newest * apart + rise * i128::from(feature.ahead), apart * BILLION))
        }
        FeatureKind::Slope => {
            let from_first = || points.iter().map(|(time, _)| i128::from(time - first.0));
            let times: i128 = from_first().sum();
            let squares: i128 = from_first().map(|time| time * time).sum();
            let products: i128 = from_first().zip(numbers()).map(|(time, number)| time * number).sum();
            let (over, under) = (count * products - times * sum(), count * squares - times * times);
            is_long_enough.then(|| (over * HOUR, under * BILLION))
        }
        FeatureKind::Increase => {
            let counter: Vec<i128> = before.into_iter().chain(results()).map(billionths).collect();
            let steps = counter.windows(2).map(|pair| match pair[1] - pair[0] {
                grown @ 0.. => grown,
                // It began anew.
                _ => pair[1].max(0),
            });
            match steps.len() {
                0 => watched.on_event.then_some((0, 1)),
                _ => Some((steps.sum(), BILLION)),
            }
        }
        FeatureKind::Count
        | FeatureKind::InARow
        | FeatureKind::Silence
        | FeatureKind::ForecastMin
        | FeatureKind::ForecastMax
        | FeatureKind::ForecastMean
        | FeatureKind::ForecastSum => unreachable!("it has a value above"),
        FeatureKind::Gauge => unreachable!("a rule over gauges is on no datastream"),
    }
}
