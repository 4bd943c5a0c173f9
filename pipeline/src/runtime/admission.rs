//! Whether a decoded record may be taken in at an epoch, and where it goes: one answer for live input, replays and tests.

use riskflow_config::{CaseSettings, InputRecord, TimeSettings};
use riskflow_connectors::Rejection;
use riskflow_model::forecast::Forecast;
use riskflow_model::output::{Origin, Reason};
use riskflow_model::{Duration, Millis};
use riskflow_operators::closed_loop::Acted;
use riskflow_operators::engine::BaseRecord;
use riskflow_operators::warning::{Forecasted, Observed};

/// How far the times of records may lie from the clock.
#[derive(Clone, Copy, Debug)]
pub struct Admission {
    /// Horizons of event time.
    pub time: TimeSettings,
    /// How far actions may be behind.
    pub case: CaseSettings,
}

/// Where a record goes.
#[derive(Debug)]
pub enum Admitted {
    /// To the tables.
    Base(BaseRecord),
    /// To the monitor.
    Observed(Observed),
    /// To the monitor as well.
    Forecast(Forecasted),
    /// To its case.
    Acted(Acted),
    /// To the dead letters.
    Refused(Rejection),
}

/// A time of a record, and the horizon that it must lie within.
struct Timed {
    field: &'static str,
    time: Millis,
    horizon: Duration,
}

impl Admission {
    /// Decides about a record when the clock stands at `now`, in milliseconds.
    #[must_use]
    pub fn admit(&self, now: i64, origin: Origin, record: InputRecord) -> Admitted {
        match record {
            InputRecord::Base(key, row) => {
                let change = row.into();
                Admitted::Base(BaseRecord { origin, key, change })
            }
            InputRecord::Observation(observation) => {
                let timed = Timed {
                    field: "phenomenon_time",
                    time: observation.time,
                    horizon: self.time.horizon,
                };
                match self.check(now, &timed) {
                    None => Admitted::Observed(Observed { origin, observation }),
                    Some(rejection) => Admitted::Refused(rejection),
                }
            }
            InputRecord::Log(row) => {
                // Each log has its horizon, and its fold.
                let Some(forecast) = row.clone().downcast::<Forecast>() else {
                    panic!("{} has no fold", row.topic());
                };
                let timed = Timed {
                    field: row.time_field(),
                    time: row.time(),
                    horizon: self.time.forecast_age,
                };
                match self.check(now, &timed) {
                    None => Admitted::Forecast(Forecasted {
                        datastream: forecast.datastream.key(),
                        origin,
                        forecast,
                    }),
                    Some(rejection) => Admitted::Refused(rejection),
                }
            }
            InputRecord::Action(action) => {
                let timed = Timed {
                    field: "time",
                    time: action.time,
                    horizon: self.case.horizon,
                };
                match self.check(now, &timed) {
                    None => Admitted::Acted(Acted::new(origin, action)),
                    Some(rejection) => Admitted::Refused(rejection),
                }
            }
        }
    }

    /// `TooLate` behind the horizon, `InFuture` further ahead of the clock than `time.max_future`.
    fn check(&self, now: i64, timed: &Timed) -> Option<Rejection> {
        let now = Millis(now);
        let Timed { field, time, horizon } = *timed;
        let (reason, side, most) = if time < now - horizon {
            (Reason::TooLate, "behind", horizon)
        } else if time > now + self.time.max_future {
            (Reason::InFuture, "ahead", self.time.max_future)
        } else {
            return None;
        };
        let detail = format!("`{field}` is {time} at {now}; give a time at most {most} {side}");
        Some(Rejection { reason, detail })
    }
}
