//! What a feature is over a stretch of the series, from summaries: exact, and in as many steps as the tree is deep. Only to *show* a
//! quantile is to look at each point; to compare it, its limits are ranked among the results.

use std::cmp::Ordering;

use ethnum::I256;
use riskflow_config::{Feature, FeatureKind, Limit, Operator};

use super::evaluation::{HOUR, rate, whole};
use super::series::{Beyond, Edge, Point, Ranks, Series, billionths};
use super::value::{Ranked, Value, bounds, parts, ratio};
use super::walk::Walk;

/// The same as [`value_at`], only for comparisons of the entry.
pub fn judged_at(walk: &Walk<'_>, feature: &Feature, at: i64) -> Value {
    if feature.kind.is_forecast() {
        return value_at(walk, feature, at);
    }
    let (after, until) = walk.stretch(at, feature);
    judged_over(walk, feature, after, until)
}

/// The same as [`value_over`], only for comparisons of the entry.
pub fn judged_over(walk: &Walk<'_>, feature: &Feature, after: i64, until: i64) -> Value {
    match feature.kind {
        FeatureKind::Quantile => ranked(walk, feature, after, until),
        _ => value_over(walk, feature, after, until),
    }
}

/// The value at an instant of a feature that does not follow the observations as they come. Not of silences.
pub fn value_at(walk: &Walk<'_>, feature: &Feature, at: i64) -> Value {
    if feature.kind.is_forecast() {
        let known = walk.forecasts.filter(|_| at > walk.floor);
        return known.map_or(Value::Unknown, |forecasts| forecasts.value(feature, at));
    }
    let (after, until) = walk.stretch(at, feature);
    value_over(walk, feature, after, until)
}

/// The value of a feature over the points later than `after`, up to and including `until`. Not of silences and forecasts.
pub fn value_over(walk: &Walk<'_>, feature: &Feature, after: i64, until: i64) -> Value {
    let series = walk.series;
    let extent = || series.extent(after, until);
    let nothing = || match feature.kind.has_nothing(walk.entry.rule.on_event) && walk.is_known(until) {
        true => ratio(0, 1),
        false => Value::Unknown,
    };
    let last = series.last_counted(until).filter(|last| last.time() > after);
    let Some(last) = last else { return nothing() };
    match feature.kind {
        FeatureKind::Last => Value::Result(last.result),
        FeatureKind::Min => Value::Result(extent().least),
        FeatureKind::Max => Value::Result(extent().most),
        FeatureKind::Sum => ratio(extent().sum, 1),
        FeatureKind::Mean => {
            let extent = extent();
            ratio(extent.sum, extent.count.into())
        }
        FeatureKind::Count => number(match reading(walk, feature) {
            Some((operator, limit)) => series.ranks(after, until, limit).such(operator, extent().count),
            None => extent().count,
        }),
        FeatureKind::InARow => number(in_a_row(walk, feature, after, until)),
        FeatureKind::Rate => {
            let first = series.first_counted(after);
            first.map_or(Value::Unknown, |first| rate(first, last, feature.shortest))
        }
        FeatureKind::Projected => {
            let first = series.first_counted(after);
            first.map_or(Value::Unknown, |first| projected(first, last, feature))
        }
        FeatureKind::Range | FeatureKind::Drop | FeatureKind::Rise => {
            let extent = extent();
            let (low, high) = match feature.kind {
                FeatureKind::Drop => (last.result, extent.most),
                FeatureKind::Rise => (extent.least, last.result),
                _ => (extent.least, extent.most),
            };
            difference(low, high)
        }
        FeatureKind::Deviation => Value::Root(Box::new(series.moments(after, until).variance())),
        FeatureKind::Slope => {
            let moments = series.moments(after, until);
            let lapse = moments.ends.map_or(0, |(first, last)| last.time() - first.time());
            let slope = moments.slope().filter(|_| lapse >= feature.shortest);
            slope.map_or(Value::Unknown, |(over, under)| {
                Value::Wide(Box::new((over * I256::from(HOUR), under)))
            })
        }
        FeatureKind::Increase => {
            let moments = series.moments(after, until);
            let (first, _) = moments.ends.expect("the last one is there");
            match base(walk, feature, first, after) {
                Some(base) => ratio(moments.increase + super::series::step(base, first), 1),
                None if moments.count > 1 => ratio(moments.increase, 1),
                None => nothing(),
            }
        }
        FeatureKind::Quantile => Value::Result(quantile(series, feature.quantile, after, until)),
        FeatureKind::Silence
        | FeatureKind::ForecastMin
        | FeatureKind::ForecastMax
        | FeatureKind::ForecastMean
        | FeatureKind::ForecastSum
        | FeatureKind::Gauge => unreachable!("it is not of a window"),
    }
}

/// The reading before a window, since which a counter grew into it: where it is no further before it than the window is long.
pub(super) fn base(walk: &Walk<'_>, feature: &Feature, first: Point, after: i64) -> Option<Point> {
    let window = match feature.calendar {
        None => feature.window,
        Some(calendar) => {
            let (begin, end) = walk.civil.bucket(calendar, first.time());
            end - begin
        }
    };
    let before = walk.series.last_counted(after);
    before.filter(|before| before.time() > walk.floor && before.time() > after - window)
}

/// The results that a feature counts; `None` for all, or where nothing says which.
pub(super) fn reading<'a>(walk: &Walk<'a>, feature: &Feature) -> Option<(Operator, Limit<'a>)> {
    let comparison = feature.of?;
    let operator = walk.entry.rule.comparisons[comparison].operator;
    let [limit, _] = walk.entry.limits(comparison)?;
    Some((operator, limit))
}

/// The results that end a row of those that a feature counts.
pub(super) fn breaking<'a>(walk: &Walk<'a>, feature: &Feature) -> Option<Beyond<'a>> {
    let (operator, limit) = reading(walk, feature)?;
    Some(Beyond(operator.opposite(), Edge::Limit(limit)))
}

/// How many of the newest points meet the comparison of a feature, up to the first that does not.
fn in_a_row(walk: &Walk<'_>, feature: &Feature, after: i64, until: i64) -> u32 {
    let Some(breaking) = breaking(walk, feature) else {
        return 0;
    };
    let other = walk.series.last_beyond(until, breaking);
    let from = other.map_or(after, |other| other.time().max(after));
    walk.series.extent(from, until).count
}

/// The least of some results that so many thousandths of them do not surpass. There is one.
fn quantile(series: &Series, thousandths: u16, after: i64, until: i64) -> f64 {
    let mut results = Vec::new();
    series.each_counted(after, until, &mut |point| results.push(point.result));
    let rank = rank(thousandths, results.len() as u32);
    let (_, result, _) = results.select_nth_unstable_by(rank as usize - 1, f64::total_cmp);
    *result
}

/// Which of so many results, from the least on, is the quantile; the first is 1.
fn rank(thousandths: u16, count: u32) -> u32 {
    (u64::from(count) * u64::from(thousandths)).div_ceil(1000).max(1) as u32
}

/// How a quantile stands to each limit of its comparisons: it is less than one below which as many results are as its rank.
fn ranked(walk: &Walk<'_>, feature: &Feature, after: i64, until: i64) -> Value {
    let count = walk.series.extent(after, until).count;
    if count == 0 {
        return Value::Unknown;
    }
    let rank = rank(feature.quantile, count);
    let orderings = limits_of(walk, feature).map(|limit| {
        let ranks = walk.series.ranks(after, until, limit);
        (limit, stands(ranks, rank))
    });
    Value::Ranked(Box::new(Ranked::new(orderings)))
}

/// How the result of a rank stands to a limit.
const fn stands(ranks: Ranks, rank: u32) -> Ordering {
    if ranks.less >= rank {
        Ordering::Less
    } else if ranks.less + ranks.equal >= rank {
        Ordering::Equal
    } else {
        Ordering::Greater
    }
}

/// The limits with which a feature is compared.
fn limits_of<'a>(walk: &Walk<'a>, feature: &Feature) -> impl Iterator<Item = Limit<'a>> {
    let entry = walk.entry;
    let is_of = move |of: usize| entry.rule.features[of] == *feature;
    bounds(entry)
        .filter(move |(comparison, _)| is_of(comparison.feature))
        .flat_map(|(_, limits)| limits)
}

/// How a quantile may stand to each limit of its comparisons, at least and at most, while some results stay in its window and others
/// of all of them come or go.
pub(super) fn ranked_between(
    walk: &Walk<'_>,
    feature: &Feature,
    stays: (i64, i64),
    all: (i64, i64),
) -> (Ranked, Ranked) {
    let count = |(after, until)| walk.series.extent(after, until).count;
    // The more results there are, the greater is the rank. What stays is below a limit throughout, and no more than is below it of all.
    let (few, many) = (rank(feature.quantile, count(stays)), rank(feature.quantile, count(all)));
    let of = |(after, until): (i64, i64), rank| {
        let orderings =
            limits_of(walk, feature).map(move |limit| (limit, stands(walk.series.ranks(after, until, limit), rank)));
        Ranked::new(orderings)
    };
    (of(all, few), of(stays, many))
}

/// What the last result becomes in the time ahead, where it goes on as from the first to it: (last · lapse + rise · ahead) / lapse.
fn projected(first: Point, last: Point, feature: &Feature) -> Value {
    let lapse = last.time() - first.time();
    if lapse <= 0 || lapse < feature.shortest {
        return Value::Unknown;
    }
    let (from, to) = (
        i128::from(billionths(first.result)),
        i128::from(billionths(last.result)),
    );
    ratio(to * i128::from(lapse) + (to - from) * i128::from(feature.ahead), lapse)
}

/// What a trend is followed for: 31 days, which is as far ahead as a rule can ask, in milliseconds.
const FURTHEST: i64 = 31 * 24 * 3_600_000;

/// Of `projected`: when the result gets to a threshold where it goes on as over the window, last + (threshold − last) · lapse / rise; exact,
/// and rounded up to the next millisecond, at which it is there. `None` where the last result is there or beyond it already, the trend does
/// not lead there, or not within [`FURTHEST`]; and where there is no trend.
pub(super) fn reached(
    walk: &Walk<'_>,
    feature: &Feature,
    at: i64,
    (operator, limit): (Operator, Limit<'_>),
) -> Option<i64> {
    if feature.kind != FeatureKind::Projected {
        return None;
    }
    let (after, until) = walk.stretch(at, feature);
    let last = walk.series.last_counted(until).filter(|last| last.time() > after)?;
    let first = walk.series.first_counted(after)?;
    let lapse = last.time() - first.time();
    if lapse <= 0 || lapse < feature.shortest {
        return None;
    }
    let result = |point: Point| I256::from(point.billionths());
    let (above, below) = parts(limit);
    let (missing, rise) = (above - result(last) * below, result(last) - result(first));
    // The same way round for a threshold from below and from above.
    let (missing, rise) = match operator {
        Operator::AtLeast | Operator::Above => (missing, rise),
        Operator::AtMost | Operator::Below => (-missing, -rise),
    };
    if missing <= I256::ZERO || rise <= I256::ZERO {
        return None;
    }
    let (over, under) = (missing * I256::from(lapse), rise * below);
    // What no number of milliseconds says is beyond the furthest, too.
    let ahead = i64::try_from((over + under - I256::ONE) / under).ok()?;
    (ahead <= FURTHEST).then_some(last.time() + ahead)
}

/// One result less another, as the decimals that were given.
pub(super) fn difference(low: f64, high: f64) -> Value {
    ratio(i128::from(billionths(high)) - i128::from(billionths(low)), 1)
}

const fn number(count: u32) -> Value {
    whole(count as i64 * 1000, 1)
}
