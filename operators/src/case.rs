//! Fold `case`: the closed loop of one warning or incident.

use riskflow_config::{CaseSettings, TimeSettings};
use riskflow_model::Millis;
use riskflow_model::action::Action;
use riskflow_model::output::{Origin, Reason};
use serde::{Deserialize, Serialize};

/// An action on its way to its case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Acted {
    /// Where it came from.
    pub origin: Origin,
    /// What was done.
    pub action: Box<Action>,
}

/// The fold's settings.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Deadlines and bounds.
    pub settings: CaseSettings,
}

impl Case {
    /// Whether an action may be taken in at this epoch.
    ///
    /// # Errors
    ///
    /// `TooLate` behind `case.horizon`, `InFuture` too far ahead of the clock.
    pub fn admit(settings: &CaseSettings, time: &TimeSettings, now: i64, done: Millis) -> Result<(), Reason> {
        if done.0 < now - settings.horizon {
            Err(Reason::TooLate)
        } else if done.0 > now + time.max_future {
            Err(Reason::InFuture)
        } else {
            Ok(())
        }
    }
}
