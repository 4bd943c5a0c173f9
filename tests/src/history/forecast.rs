//! Forecasts of a random history: issues that come late and twice, corrections, and what cannot be taken.

use riskflow_config::InputRecord;
use riskflow_model::forecast::Forecast;
use riskflow_model::{Key, LogRow};
use serde_json::{Value, json};

use super::Draw;

/// When forecasts are issued, and for when, in milliseconds.
pub(super) struct Pace {
    /// So old they may be; so much ahead of the clock.
    pub(super) age: i64,
    pub(super) ahead: i64,
    /// Issues come so far apart: several records are of one.
    pub(super) issue: i64,
    /// Valid times lie so far apart.
    pub(super) step: i64,
}

/// A forecast, and the key by which it goes to its partition.
pub(super) fn draw(draw: &mut Draw, datastream: &str, now: i64, pace: &Pace) -> (Key, InputRecord) {
    let old = pace.age / pace.issue;
    let age = match draw.below(24) {
        0 => pace.age,
        1 => pace.age + 1,
        2 => -pace.ahead,
        3 => -pace.ahead - 1,
        4..=7 => now.rem_euclid(pace.issue) + pace.issue * draw.below(old as u64) as i64,
        _ => now.rem_euclid(pace.issue) + pace.issue * draw.below(2) as i64,
    };
    let issued = now - age;
    let first = issued - issued.rem_euclid(pace.step);
    let valid = |draw: &mut Draw| first + pace.step * draw.below(8) as i64;
    let value = |draw: &mut Draw| draw.below(24) as f64 / 2.0;
    let mut record = json!({ "datastream": datastream, "issued": issued });
    match draw.below(4) {
        0 => {
            record["valid_time"] = json!(valid(draw));
            record["op"] = json!("delete");
        }
        1 => {
            record["valid_time"] = json!(valid(draw));
            record["value"] = json!(value(draw));
        }
        _ => {
            let values: Vec<Value> = (0..=draw.below(6))
                .map(|_| match draw.once_in(8) {
                    true => json!([valid(draw), null]),
                    false => json!([valid(draw), value(draw)]),
                })
                .collect();
            record["values"] = json!(values);
        }
    }
    let forecast: Forecast = serde_json::from_value(record).expect("a forecast");
    (Key::of(datastream), InputRecord::Log(LogRow::new(forecast)))
}
