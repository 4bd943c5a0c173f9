//! Conditions drawn by lot, for results from -1 to 9.5 in halves that come every few seconds.

use serde_json::{Value, json};

use super::Draw;

/// What conditions of a history are made of.
pub struct Terms {
    /// Windows of a length of their own.
    pub windows: &'static [&'static str],
    /// The most milliseconds of a silence, in seconds; a multiple of five.
    pub silence: u64,
    /// Rates per hour: from minus a quarter of it to three quarters.
    pub rates: u64,
    /// Windows of the calendar.
    pub calendars: &'static [&'static str],
    /// One in so many windows is of the calendar.
    pub calendar_once_in: u64,
    /// Times of the day.
    pub times: &'static [&'static str],
    /// How far apart the observations of a rate are at least.
    pub shortest: &'static [&'static str],
}

const OPERATORS: [&str; 5] = [">=", ">=", ">", "<=", "<"];
/// As they always were, and what the language learned later.
const FEATURES: [&str; 8] = ["last", "min", "max", "mean", "sum", "count", "rate", "silence"];
const LATER: [&str; 11] = [
    "range",
    "drop",
    "rise",
    "deviation",
    "quantile",
    "increase",
    "slope",
    "projected",
    "in_a_row",
    "count of",
    "sum",
];
const AHEAD: [&str; 4] = ["forecast_min", "forecast_max", "forecast_mean", "forecast_sum"];

/// Any condition; `margins`: whether comparisons may have margins of their own.
pub fn condition(draw: &mut Draw, terms: &Terms, depth: u32, margins: bool) -> Value {
    if depth < 2 && draw.once_in(4) {
        let mut parts: Vec<_> = (0..=draw.below(2) + 1)
            .map(|_| condition(draw, terms, depth + 1, margins))
            .collect();
        if draw.once_in(3) {
            let during = during(draw, terms);
            parts.insert(draw.below(parts.len() as u64 + 1) as usize, during);
            // One thing at a time is asked for, mostly.
            parts.truncate(if draw.once_in(2) { parts.len() } else { 2 });
        }
        return if draw.once_in(2) {
            json!({ "any": parts })
        } else {
            json!({ "all": parts })
        };
    }
    comparison(draw, terms, margins)
}

/// A comparison while it is a time.
pub fn while_it_is_time(draw: &mut Draw, terms: &Terms) -> Value {
    json!({ "all": [during(draw, terms), comparison(draw, terms, true)] })
}

fn during(draw: &mut Draw, terms: &Terms) -> Value {
    let mut during = serde_json::Map::new();
    if !draw.once_in(4) {
        during.insert("time".into(), json!(draw.pick(terms.times)));
    }
    if draw.once_in(4) {
        let days = *draw.pick(&["sun", "workday", "day_off", "mon", "sat"]);
        during.insert("days".into(), json!([days, draw.pick(&["sun", "tue", "workday"])]));
    }
    if draw.once_in(5) {
        let season = *draw.pick(&["09-01..09-30", "10-01..09-14", "09-13..09-13", "02-29..10-25"]);
        during.insert("season".into(), json!(season));
    }
    if during.is_empty() || draw.once_in(6) {
        during.insert("holiday".into(), json!(draw.once_in(2)));
    }
    json!({ "during": during })
}

/// A threshold, now and then on a border between thousandths.
fn threshold(draw: &mut Draw, below: u64, of: impl Fn(f64) -> f64) -> f64 {
    let drawn = draw.below(below * 12);
    let finer = match drawn / below {
        thousandths @ 0..=2 => thousandths as f64 + 1.0,
        _ => 0.0,
    };
    // The nearest double to the decimal.
    ((of((drawn % below) as f64) + finer / 1_000.0) * 1_000.0).round() / 1_000.0
}

/// Any comparison.
pub fn comparison(draw: &mut Draw, terms: &Terms, margins: bool) -> Value {
    let feature = match draw.below(12) {
        0 => *draw.pick(&AHEAD),
        1..=6 => *draw.pick(&LATER),
        _ => *draw.pick(&FEATURES),
    };
    comparison_of(draw, terms, feature, margins)
}

/// A comparison of what is forecast.
pub fn ahead(draw: &mut Draw, terms: &Terms, margins: bool) -> Value {
    let feature = *draw.pick(&AHEAD);
    comparison_of(draw, terms, feature, margins)
}

fn comparison_of(draw: &mut Draw, terms: &Terms, feature: &str, margins: bool) -> Value {
    let name = feature.trim_end_matches(" of");
    let limit = match name {
        "rate" | "slope" => threshold(draw, terms.rates, |drawn| drawn - terms.rates as f64 / 4.0),
        "silence" => 5.0 * draw.below(terms.silence / 5) as f64,
        "count" => draw.below(5) as f64,
        "in_a_row" => draw.below(4) as f64,
        "sum" | "increase" | "forecast_sum" => threshold(draw, 20, |drawn| drawn),
        "deviation" => threshold(draw, 16, |drawn| drawn / 4.0),
        _ => threshold(draw, 16, |drawn| drawn / 2.0),
    };
    let mut comparison = json!({ "feature": name, "op": draw.pick(&OPERATORS) });
    if name != "silence" {
        if !name.starts_with("forecast") && draw.once_in(terms.calendar_once_in) {
            comparison["window"] = json!(draw.pick(terms.calendars));
            if draw.once_in(2) {
                comparison["ago"] = json!(1 + draw.below(2));
            }
        } else {
            comparison["window"] = json!(draw.pick(terms.windows));
        }
    }
    if feature == "count of" || name == "in_a_row" {
        comparison["of"] =
            json!({ "op": draw.pick(&OPERATORS), "threshold": threshold(draw, 16, |drawn| drawn / 2.0) });
        if draw.once_in(4) {
            comparison["of"]["name"] = json!("of");
        }
    }
    if name == "quantile" {
        comparison["q"] = json!(draw.pick(&[0.5, 0.5, 0.9, 0.25, 0.001, 0.999, 0.334]));
    }
    if name == "projected" {
        comparison["ahead"] = json!(draw.pick(terms.windows));
    }
    if matches!(name, "rate" | "slope" | "projected") && draw.once_in(2) {
        comparison["shortest"] = json!(draw.pick(terms.shortest));
    }
    if !draw.once_in(8) {
        comparison["threshold"] = json!(limit);
    }
    if margins && draw.once_in(5) {
        comparison["margin"] = json!(draw.pick(&[0.0, 0.5, 1.0, 2.0]));
    }
    if draw.once_in(3) {
        comparison["name"] = json!("a");
    }
    comparison
}
