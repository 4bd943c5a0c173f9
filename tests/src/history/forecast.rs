//! Forecasts of a random history: issues that come late and twice, corrections, and what cannot be taken.

use riskflow_config::InputRecord;
use riskflow_model::forecast::Forecast;
use riskflow_model::{Key, LogRow};
use serde_json::{Value, json};

use super::{Draw, STREAMS};

/// A forecast, and the key by which it goes to its partition.
pub(super) fn draw(draw: &mut Draw, now: i64) -> (Key, InputRecord) {
    // The last has no row.
    let datastream = format!("stream-{}", draw.below(STREAMS + 1));
    let age = match draw.below(16) {
        0 => 50_000,
        1 => 50_001,
        2 => -10_000,
        3 => -10_001,
        // On a grid: several records are of one issue.
        _ => now.rem_euclid(20_000) + 20_000 * draw.below(2) as i64,
    };
    let issued = now - age;
    let valid = |draw: &mut Draw| issued - issued.rem_euclid(30_000) + 30_000 * draw.below(8) as i64;
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
    (Key::of(&datastream), InputRecord::Log(LogRow::new(forecast)))
}
