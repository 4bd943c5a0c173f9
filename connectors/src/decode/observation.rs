//! The hot path: one pass over the payload, nothing allocated.

use riskflow_model::json;
use riskflow_model::observation::{Observation, ObservationRecord, Op, Reading};
use riskflow_model::{Key, identifier};

use super::Rejection;
use super::reject::unreadable;

pub(super) fn decode(text: &str) -> Result<Observation, Rejection> {
    let record: ObservationRecord<'_> = serde_json::from_str(text).map_err(|_| why(text))?;
    identifier::check(&record.datastream).map_err(|wrong| Rejection::field("datastream", wrong.found, &wrong.give))?;
    let reading = match record.op {
        Op::Delete => None,
        Op::Upsert => Some(Reading {
            result: result(record.result)?,
            quality: record.quality,
        }),
    };
    Ok(Observation {
        datastream: Key::of(&record.datastream),
        id: (&*record.datastream).into(),
        time: record.phenomenon_time,
        reading,
    })
}

#[cold]
fn why(text: &str) -> Rejection {
    let why = json::why_by(text, |text| json::attempt::<ObservationRecord<'_>>(text));
    unreadable(text, why)
}

fn result(result: Option<f64>) -> Result<f64, Rejection> {
    match result {
        Some(result) if result.abs() <= Reading::LIMIT => Ok(result),
        Some(result) => Err(Rejection::field("result", result, "a number from -1e9 to 1e9")),
        None => Err(Rejection::field("result", "missing", "a number, or `op`: `delete`")),
    }
}
