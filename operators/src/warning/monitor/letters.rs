//! Dead letters of what the monitor cannot take.

use riskflow_model::observation::{Observation, ObservationRecord, Op, Quality, Said, WrittenResult};
use riskflow_model::output::{DeadLetter, Origin, PayloadEncoding, Reason};
use riskflow_model::topic::Topic;
use serde::Serialize;

use super::{Forecasted, Observed};
use crate::warning::specification::States;

/// The dead letter of an observation whose datastream nobody knows.
pub(super) fn given_up(observed: &Observed) -> DeadLetter {
    let detail = unknown(&observed.observation.id);
    refused(observed, Reason::UnknownDatastream, &detail)
}

/// The dead letter of an observation with the name of a state that its row does not know.
pub(super) fn stateless(observed: &Observed, states: &States) -> DeadLetter {
    let Observation { id, said, .. } = &observed.observation;
    let name = match said {
        Said::State(state) => state.name.as_str(),
        Said::Nothing | Said::Number(_) => "",
    };
    let give = match states {
        Some(states) => {
            let names: Vec<&str> = states.iter().map(|(name, _)| &**name).collect();
            format!(
                "a number, or one of its `states`: `{}`, or add it to these and send it again",
                names.join("`, `")
            )
        }
        None => "a number, or `states` in its row of `base.datastream`".to_owned(),
    };
    let detail = format!("`result` is `{name}`, which the row of `{id}` does not know; give {give}");
    refused(observed, Reason::UnknownState, &detail)
}

fn refused(observed: &Observed, reason: Reason, detail: &str) -> DeadLetter {
    let Observed { origin, observation } = observed;
    let (result, quality, op) = match &observation.said {
        Said::Nothing => (None, Quality::default(), Op::Delete),
        Said::Number(reading) => (Some(WrittenResult::Number(reading.result)), reading.quality, Op::Upsert),
        Said::State(state) => (
            Some(WrittenResult::State(state.name.as_str().into())),
            state.quality,
            Op::Upsert,
        ),
    };
    let record = ObservationRecord {
        datastream: observation.id.as_str().into(),
        phenomenon_time: observation.time,
        result,
        quality,
        op,
    };
    dead(*origin, (reason, detail), &record)
}

/// The dead letter of a forecast whose datastream has no row.
pub(super) fn of_nobody(forecasted: &Forecasted) -> DeadLetter {
    let Forecasted { forecast, origin, .. } = forecasted;
    let detail = unknown(&forecast.datastream);
    dead(*origin, (Reason::UnknownDatastream, &detail), &**forecast)
}

fn unknown(datastream: &str) -> String {
    format!("`datastream` is `{datastream}`; give one of `base.datastream`")
}

fn dead(origin: Origin, why: (Reason, &str), record: &impl Serialize) -> DeadLetter {
    let payload = serde_json::to_string(record).expect("what was decoded has text keys and finite numbers");
    let topic = Topic::from_id(origin.topic).expect("a record has an origin in a topic");
    let place = (topic, origin.partition, origin.offset);
    DeadLetter::new(why, place, &payload, PayloadEncoding::Decoded)
}
