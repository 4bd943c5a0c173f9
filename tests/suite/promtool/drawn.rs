//! Random pairs of series and rule, within what both sides can say. One number makes one pair.

use riskflow_config::Rule;
use riskflow_tests::history::Draw;

use super::pair::{Feature, Pair};

/// Minutes from the first to the last.
pub const MINUTES: usize = 90;
/// Windows of which some quantile in thousandths is that of one result, and needs no interpolation.
const QUANTILE_WINDOWS: [usize; 7] = [3, 5, 6, 9, 11, 21, 26];
const OPERATORS: [&str; 4] = [">=", ">", "<=", "<"];
/// How near to a threshold a value may not come that is computed in floating point.
const NEAR: f64 = 1e-6;

/// The pair of a number. A rule that riskflow refuses, as one that is always on, is drawn anew.
pub fn pair(number: usize) -> Pair {
    let feature = Feature::ALL[number % Feature::ALL.len()];
    let mut draw = Draw::of(23, "promtool", number as u64);
    for _ in 0..1_000 {
        let pair = attempt(&mut draw, feature);
        if Rule::from_json(pair.rule(number).to_string().as_bytes()).is_ok() {
            return pair;
        }
    }
    panic!("no rule is drawn for {feature:?}");
}

fn attempt(draw: &mut Draw, feature: Feature) -> Pair {
    let window = match feature {
        Feature::Quantile => *draw.pick(&QUANTILE_WINDOWS),
        // A bare series is the commonest of all rules.
        Feature::Last if draw.once_in(3) => 5,
        _ => up_to(draw, 2, 30),
    };
    let series = series(draw, feature, window);
    let some: Vec<f64> = series.iter().flatten().copied().collect();
    let operator = match feature {
        Feature::Silence => *draw.pick(&[">=", "<"]),
        _ => *draw.pick(&OPERATORS),
    };
    let mut pair = Pair {
        feature,
        window,
        operator,
        threshold: 0.0,
        of: (*draw.pick(&OPERATORS), *draw.pick(&some)),
        quantile: up_to(draw, 1, window.max(3) - 2) * 1000 / (window - 1),
        hold: up_to(draw, 0, 10),
        clear: if draw.once_in(2) { 0 } else { up_to(draw, 0, 10) },
        series,
    };
    let values: Vec<f64> = (0..=MINUTES).filter_map(|minute| value(&pair, minute)).collect();
    pair.threshold = threshold(draw, feature, &values);
    if feature == Feature::InARow {
        pair.threshold = up_to(draw, 1, window - 1) as f64;
    }
    pair
}

fn up_to(draw: &mut Draw, least: usize, most: usize) -> usize {
    least + draw.below((most - least + 1) as u64) as usize
}

/// A threshold at a value that occurs, or near it; of what is computed in floating point only near it.
fn threshold(draw: &mut Draw, feature: Feature, values: &[f64]) -> f64 {
    let near = *draw.pick(values);
    match feature {
        Feature::Mean | Feature::Deviation | Feature::Slope | Feature::Rate => {
            let mut thousandths = (near * 1_000.0).round() + up_to(draw, 0, 40) as f64 - 20.0;
            let is_near = |threshold: f64| {
                let mut apart = values
                    .iter()
                    .map(|value| (value - threshold).abs() / value.abs().max(1.0));
                apart.any(|apart| apart <= NEAR)
            };
            while is_near(thousandths / 1_000.0) {
                thousandths += 1.0;
            }
            thousandths / 1_000.0
        }
        Feature::Quantile | Feature::Increase => near - 0.5 + up_to(draw, 0, 1) as f64,
        _ if draw.once_in(2) => near,
        _ => near + *draw.pick(&[-3.0, -1.0, -0.5, -0.001, 0.001, 0.5, 1.0, 3.0]),
    }
}

/// Integers, one a minute; some are missing where that makes no difference by design.
fn series(draw: &mut Draw, feature: Feature, window: usize) -> Vec<Option<f64>> {
    let numbers = match feature {
        Feature::Increase => counter(draw, window),
        // What begins in the middle is extrapolated, or interpolated: so nothing happens until the window is full.
        Feature::Rate | Feature::Quantile => after_a_calm(numbers(draw), window),
        _ => numbers(draw),
    };
    let mut series: Vec<Option<f64>> = numbers.into_iter().map(|number| Some(number as f64)).collect();
    // The longest that may be missing at a time.
    let longest = match feature {
        Feature::Increase | Feature::Rate | Feature::Quantile | Feature::InARow => 0,
        // A slope needs two.
        Feature::Slope => window - 2,
        Feature::Count | Feature::CountOf | Feature::Silence => window + 12,
        _ => window - 1,
    };
    let often = if feature == Feature::Silence { 1 } else { 3 };
    if longest == 0 || !draw.once_in(often) {
        return series;
    }
    // The first two stand: silence and slope begin with them.
    let mut minute = 2;
    loop {
        minute += up_to(draw, 0, 10);
        let end = minute + up_to(draw, 1, longest);
        if end > MINUTES {
            return series;
        }
        series[minute..end].fill(None);
        // As many as a slope needs.
        minute = end + 2;
    }
}

/// Constant, rising or falling, wandering, or with spikes.
fn numbers(draw: &mut Draw) -> Vec<i64> {
    let start = up_to(draw, 0, 60) as i64 - 20;
    let minutes = 0..=MINUTES as i64;
    let around = |draw: &mut Draw, most: usize| up_to(draw, 0, 2 * most) as i64 - most as i64;
    match draw.below(8) {
        0 => minutes.map(|_| start).collect(),
        1 => {
            let step = around(draw, 4);
            minutes.map(|minute| start + step * minute).collect()
        }
        2 => {
            let (step, turn) = (around(draw, 4), up_to(draw, 10, 80) as i64);
            minutes.map(|minute| start + step * (turn - minute).abs()).collect()
        }
        3 | 4 => minutes
            .map(|_| match draw.once_in(9) {
                true => start + around(draw, 50),
                false => start,
            })
            .collect(),
        _ => {
            let (mut number, most) = (start, up_to(draw, 1, 6));
            let step = |_| {
                number += around(draw, most);
                number
            };
            minutes.map(step).collect()
        }
    }
}

/// The numbers, from the first full window on.
fn after_a_calm(mut numbers: Vec<i64>, window: usize) -> Vec<i64> {
    let first = numbers[window];
    numbers[..window].fill(first);
    numbers
}

/// One that stands still for a window, grows, and begins anew now and then: never so low that zero is near, where nothing is
/// extrapolated.
fn counter(draw: &mut Draw, window: usize) -> Vec<i64> {
    let mut number = up_to(draw, 100, 500) as i64;
    let most = up_to(draw, 1, 30);
    let step = |minute| {
        if minute > window {
            number += match draw.once_in(3) {
                true => up_to(draw, 0, most) as i64,
                false => 0,
            };
            if draw.once_in(20) {
                number = up_to(draw, 100, 200) as i64;
            }
        }
        number
    };
    (0..=MINUTES).map(step).collect()
}

/// The value at a minute, nearly: thresholds are drawn from these, and nothing is judged by them.
fn value(pair: &Pair, minute: usize) -> Option<f64> {
    let begin = (minute + 1).saturating_sub(pair.window);
    let points: Vec<(f64, f64)> = (begin..=minute)
        .filter_map(|at| Some((at as f64, pair.series[at]?)))
        .collect();
    let results = || points.iter().map(|(_, result)| *result);
    let count = points.len() as f64;
    let mean = results().sum::<f64>() / count;
    let (least, most) = (results().reduce(f64::min)?, results().reduce(f64::max)?);
    let last = results().next_back()?;
    Some(match pair.feature {
        Feature::Last | Feature::Silence => last,
        Feature::Min => least,
        Feature::Max => most,
        Feature::Sum => results().sum(),
        Feature::Count | Feature::InARow => count,
        Feature::CountOf => {
            let (operator, limit) = pair.of;
            let meets = |result: &f64| match operator {
                ">=" => *result >= limit,
                ">" => *result > limit,
                "<=" => *result <= limit,
                _ => *result < limit,
            };
            results().filter(meets).count() as f64
        }
        Feature::Mean => mean,
        Feature::Deviation => (results().map(|result| (result - mean).powi(2)).sum::<f64>() / count).sqrt(),
        Feature::Slope => {
            let middle = points.iter().map(|(at, _)| at).sum::<f64>() / count;
            let over: f64 = points.iter().map(|(at, result)| (at - middle) * (result - mean)).sum();
            let under: f64 = points.iter().map(|(at, _)| (at - middle).powi(2)).sum();
            (under > 0.0).then(|| over / under * 60.0)?
        }
        Feature::Rate => {
            let lapse = minute - begin;
            (lapse > 0).then(|| (last - results().next().unwrap_or(last)) / lapse as f64 * 60.0)?
        }
        Feature::Range => most - least,
        Feature::Drop => most - last,
        Feature::Rise => last - least,
        Feature::Increase => {
            let grown = |at: usize| {
                let (before, now) = (pair.series[at - 1]?, pair.series[at]?);
                Some(if now < before { now } else { now - before })
            };
            (begin.max(1)..=minute).filter_map(grown).sum()
        }
        Feature::Quantile => {
            let mut sorted: Vec<f64> = results().collect();
            sorted.sort_by(f64::total_cmp);
            sorted[(sorted.len() - 1) * pair.quantile / 1000]
        }
    })
}
