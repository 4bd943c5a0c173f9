//! The hot path: one pass over the payload, nothing allocated.

use riskflow_model::Key;
use riskflow_model::limit::ID_BYTES;
use riskflow_model::observation::{Observation, ObservationRecord, Op, Reading};

use super::Rejection;
use super::bounds::short;
use super::reject::of_parser;

pub(super) fn decode(text: &str) -> Result<Observation, Rejection> {
    let record: ObservationRecord<'_> = serde_json::from_str(text).map_err(|error| of_parser(text, &error))?;
    if record.datastream.is_empty() {
        return Err(Rejection::field("datastream", "empty", "the datastream's identifier"));
    }
    short("datastream", &record.datastream, ID_BYTES)?;
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

fn result(result: Option<f64>) -> Result<f64, Rejection> {
    match result {
        Some(result) if result.abs() <= Reading::LIMIT => Ok(result),
        Some(result) => Err(Rejection::field("result", result, "a number from -1e9 to 1e9")),
        None => Err(Rejection::field("result", "missing", "a number, or `op`: `delete`")),
    }
}
