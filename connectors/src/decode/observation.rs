//! The hot path: one pass over the payload, nothing allocated.

use riskflow_model::json;
use riskflow_model::observation::{Observation, ObservationRecord, Op, Quality, Reading, Said, State, WrittenResult};
use riskflow_model::{Key, identifier};

use super::Rejection;
use super::reject::unreadable;

pub(super) fn decode(text: &str) -> Result<Observation, Rejection> {
    let record: ObservationRecord<'_> = serde_json::from_str(text).map_err(|_| why(text))?;
    identifier::check(&record.datastream).map_err(|wrong| Rejection::field("datastream", wrong.found, &wrong.give))?;
    let said = match (record.op, record.result) {
        (Op::Delete, _) => Said::Nothing,
        (Op::Upsert, Some(WrittenResult::State(name))) => state(&name, record.quality)?,
        (Op::Upsert, Some(WrittenResult::Number(number))) => Said::Number(Reading {
            result: result(number)?,
            quality: record.quality,
        }),
        (Op::Upsert, None) => return Err(missing()),
    };
    Ok(Observation {
        datastream: Key::of(&record.datastream),
        id: (&*record.datastream).into(),
        time: record.phenomenon_time,
        said,
    })
}

#[cold]
fn why(text: &str) -> Rejection {
    let why = json::why_by(text, |text| json::attempt::<ObservationRecord<'_>>(text));
    unreadable(text, why)
}

fn result(result: f64) -> Result<f64, Rejection> {
    if result.abs() <= Reading::LIMIT {
        return Ok(result);
    }
    Err(Rejection::field("result", result, "a number from -1e9 to 1e9"))
}

#[cold]
fn missing() -> Rejection {
    Rejection::field("result", "missing", "a number, the name of a state, or `op`: `delete`")
}

/// A name that no row may have is a mistake of the record.
#[cold]
fn state(name: &str, quality: Quality) -> Result<Said, Rejection> {
    identifier::check(name).map_err(|wrong| Rejection::field("result", wrong.found, &wrong.give))?;
    let name = name.into();
    Ok(Said::State(Box::new(State { name, quality })))
}
