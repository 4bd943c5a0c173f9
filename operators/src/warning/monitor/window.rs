//! What a feature is over a stretch of the series, from summaries: exact, and in as many steps as the tree is deep.

use ethnum::I256;
use riskflow_config::{Feature, FeatureKind, Operator};

use super::evaluation::{HOUR, rate, whole};
use super::series::{Beyond, Edge, Point, Series, billionths};
use super::value::{Value, ratio};
use super::walk::Walk;

/// So many points are sorted to find one by its rank; of more it is found by halving.
const SORTED: u32 = 512;

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
            Some(beyond) => series.count_beyond(after, until, beyond),
            None => extent().count,
        }),
        FeatureKind::InARow => number(in_a_row(walk, feature, after, until)),
        FeatureKind::Rate => {
            let first = series.first_counted(after);
            first.map_or(Value::Unknown, |first| rate(first, last, feature.shortest))
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
        | FeatureKind::ForecastSum => unreachable!("it is not of a window"),
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
pub(super) fn reading<'a>(walk: &Walk<'a>, feature: &Feature) -> Option<Beyond<'a>> {
    let comparison = feature.of?;
    let operator = walk.entry.rule.comparisons[comparison].operator;
    let [limit, _] = walk.entry.limits(comparison)?;
    Some(Beyond(operator, Edge::Limit(limit)))
}

/// How many of the newest points meet the comparison of a feature, up to the first that does not.
fn in_a_row(walk: &Walk<'_>, feature: &Feature, after: i64, until: i64) -> u32 {
    let Some(Beyond(operator, edge)) = reading(walk, feature) else {
        return 0;
    };
    let other = walk.series.last_beyond(until, Beyond(operator.opposite(), edge));
    let from = other.map_or(after, |other| other.time().max(after));
    walk.series.extent(from, until).count
}

/// The least of some results that so many thousandths of them do not surpass. There is one.
pub(super) fn quantile(series: &Series, thousandths: u16, after: i64, until: i64) -> f64 {
    let extent = series.extent(after, until);
    let rank = (u64::from(extent.count) * u64::from(thousandths)).div_ceil(1000).max(1) as u32;
    if extent.count <= SORTED {
        let mut results = Vec::with_capacity(extent.count as usize);
        series.each_counted(after, until, &mut |point| results.push(point.result));
        let (_, result, _) = results.select_nth_unstable_by(rank as usize - 1, f64::total_cmp);
        return *result;
    }
    // No result is NaN, and minus zero is not told from zero by any comparison.
    let (mut low, mut high) = (ordinal(extent.least), ordinal(extent.most));
    while low < high {
        let middle = low + (high - low) / 2;
        let edge = Edge::Result(result_of(middle));
        match series.count_beyond(after, until, Beyond(Operator::AtMost, edge)) >= rank {
            true => high = middle,
            false => low = middle + 1,
        }
    }
    result_of(low)
}

/// The place of a double among all others.
fn ordinal(result: f64) -> i128 {
    let bits = result.to_bits() as i64;
    // Of negative ones the greater bits are of the lesser number.
    i128::from(bits ^ ((bits >> 63) as u64 >> 1) as i64)
}

fn result_of(ordinal: i128) -> f64 {
    let place = ordinal as i64;
    f64::from_bits((place ^ ((place >> 63) as u64 >> 1) as i64) as u64)
}

/// One result less another, as the decimals that were given.
pub(super) fn difference(low: f64, high: f64) -> Value {
    ratio(i128::from(billionths(high)) - i128::from(billionths(low)), 1)
}

const fn number(count: u32) -> Value {
    whole(count as i64 * 1000, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_counted_in_their_order() {
        let numbers = [f64::MIN, -1e9, -1.5, -5e-324, 0.0, 5e-324, 0.1, 1.0, 1e9, f64::MAX];
        assert!(numbers.map(ordinal).is_sorted());
        for number in numbers {
            assert_eq!(result_of(ordinal(number)).to_bits(), number.to_bits());
        }
    }
}
