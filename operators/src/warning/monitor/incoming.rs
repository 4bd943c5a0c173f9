//! What comes of a datastream: observations and forecasts, and what an observation comes to.

use std::sync::Arc;

use riskflow_model::forecast::Forecast;
use riskflow_model::observation::{Observation, Reading, Said};
use riskflow_model::output::Origin;
use riskflow_model::{Key, Number, TextMap};
use serde::{Deserialize, Serialize};

/// An observation on its way to the monitor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Observed {
    /// Where it came from.
    pub origin: Origin,
    /// What was observed.
    pub observation: Observation,
}

/// A forecast on its way to the monitor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Forecasted {
    /// Of the datastream's identifier.
    pub datastream: Key,
    /// Where it came from.
    pub origin: Origin,
    /// What is expected.
    pub forecast: Arc<Forecast>,
}

/// What comes of a datastream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Incoming {
    /// What was observed.
    Observed(Observed),
    /// What is forecast: seldom, so it does not make observations larger.
    Forecast(Box<Forecasted>),
}

/// Observations are many.
const _: () = assert!(size_of::<Incoming>() == size_of::<Observed>());

/// What an observation comes to; `None` where the name of a state stands for no number.
pub(super) fn reading_of<'a>(
    said: &Said,
    states: impl FnOnce() -> Option<&'a TextMap<Number>>,
) -> Option<Option<Reading>> {
    match said {
        Said::Nothing => Some(None),
        Said::Number(reading) => Some(Some(*reading)),
        Said::State(state) => {
            let known = states().and_then(|states| states.get(&state.name));
            let result = known.map(|number| number.0).or_else(|| state.of_itself())?;
            let quality = state.quality;
            Some(Some(Reading { result, quality }))
        }
    }
}
