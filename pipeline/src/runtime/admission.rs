//! Whether a decoded record may be taken in at an epoch, and where it goes: one answer for live input, replays and tests.

use riskflow_config::{CaseSettings, InputRecord, TimeSettings};
use riskflow_connectors::Rejection;
use riskflow_model::event::Event;
use riskflow_model::forecast::Forecast;
use riskflow_model::output::{Origin, Reason};
use riskflow_model::{Duration, LogRow, Millis};
use riskflow_operators::closed_loop::Acted;
use riskflow_operators::engine::BaseRecord;
use riskflow_operators::span::EventRecord;
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
    /// To the spans.
    Event(EventRecord),
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
            InputRecord::Log(row) => self.admit_log(now, origin, &row),
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

    /// Each log has its horizon, and its fold.
    fn admit_log(&self, now: i64, origin: Origin, row: &LogRow) -> Admitted {
        if let Some(forecast) = row.clone().downcast::<Forecast>() {
            let timed = Timed {
                field: row.time_field(),
                time: row.time(),
                horizon: self.time.forecast_age,
            };
            return match self.check(now, &timed) {
                None => Admitted::Forecast(Forecasted {
                    datastream: forecast.datastream.key(),
                    origin,
                    forecast,
                }),
                Some(rejection) => Admitted::Refused(rejection),
            };
        }
        let Some(event) = row.clone().downcast::<Event>() else {
            panic!("{} has no fold", row.topic());
        };
        match self.check_event(now, &event) {
            None => Admitted::Event(EventRecord { origin, event }),
            Some(rejection) => Admitted::Refused(rejection),
        }
    }

    /// `TooLate` behind the horizon, `InFuture` further ahead of the clock than `time.max_future`.
    fn check(&self, now: i64, timed: &Timed) -> Option<Rejection> {
        let now = Millis(now);
        let Timed { field, time, horizon } = *timed;
        if time < now - horizon {
            Some(too_late(now, field, time, horizon))
        } else if time > now + self.time.max_future {
            Some(in_future(now, field, time, self.time.max_future))
        } else {
            None
        }
    }

    /// `TooLate` where it was over longer ago than `time.event_age`, `InFuture` where it begins further ahead of the clock than
    /// `time.event_ahead`. What goes on, or is taken back, is never too late.
    fn check_event(&self, now: i64, event: &Event) -> Option<Rejection> {
        let now = Millis(now);
        let (age, ahead) = (self.time.event_age, self.time.event_ahead);
        if event.end() < now - age {
            let field = if event.to.is_some() { "to" } else { "time" };
            Some(too_late(now, field, event.end(), age))
        } else if event.time > now + ahead {
            Some(in_future(now, "time", event.time, ahead))
        } else {
            None
        }
    }
}

fn too_late(now: Millis, field: &str, time: Millis, most: Duration) -> Rejection {
    Rejection {
        reason: Reason::TooLate,
        detail: format!("`{field}` is {time} at {now}; give a time at most {most} behind"),
    }
}

fn in_future(now: Millis, field: &str, time: Millis, most: Duration) -> Rejection {
    Rejection {
        reason: Reason::InFuture,
        detail: format!("`{field}` is {time} at {now}; give a time at most {most} ahead"),
    }
}

#[cfg(test)]
mod tests {
    use riskflow_config::WrittenSettings;

    use super::*;

    const NOW: i64 = 1_795_700_000_000;
    const DAY: i64 = 86_400_000;

    /// Why an event is refused at [`NOW`]; `rest`: what stands behind its identifier.
    fn refused(rest: &str) -> Option<(Reason, String)> {
        let settings = WrittenSettings::default().check().unwrap();
        let admission = Admission {
            time: settings.time,
            case: settings.case,
        };
        let text = format!(r#"{{"id":"e1",{rest}}}"#);
        let event: Event = serde_json::from_str(&text).unwrap();
        let origin = Origin {
            topic: 259,
            partition: 0,
            offset: 0,
        };
        match admission.admit(NOW, origin, InputRecord::Log(LogRow::new(event))) {
            Admitted::Event(_) => None,
            Admitted::Refused(Rejection { reason, detail }) => Some((reason, detail)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn of_an_event_its_end_must_not_be_too_long_ago_and_its_beginning_not_too_far_ahead() {
        let (floor, latest) = (NOW - 7 * DAY, NOW + 31 * DAY);
        let event = |time: i64, rest: &str| refused(&format!(r#""kind":"k","region":"33","time":{time}{rest}"#));
        let (ended, over) = (format!(r#","to":{floor}"#), format!(r#","to":{}"#, floor - 1));
        // Exactly at both borders it is taken; what goes on, or is taken back, is never over.
        for (time, rest) in [
            (floor, ""),
            (latest, ""),
            (floor - DAY, r#","open":true"#),
            (floor - DAY, r#","op":"delete""#),
            (floor - DAY, ended.as_str()),
        ] {
            assert_eq!(event(time, rest), None, "{time} {rest}");
        }
        for (time, rest, reason, begins, ends) in [
            (floor - 1, "", Reason::TooLate, "`time` is ", "at most 168h behind"),
            (
                floor - DAY,
                over.as_str(),
                Reason::TooLate,
                "`to` is ",
                "at most 168h behind",
            ),
            (latest + 1, "", Reason::InFuture, "`time` is ", "at most 744h ahead"),
            (
                latest + 1,
                r#","open":true"#,
                Reason::InFuture,
                "`time` is ",
                "at most 744h ahead",
            ),
            (
                latest + 1,
                r#","op":"delete""#,
                Reason::InFuture,
                "`time` is ",
                "at most 744h ahead",
            ),
        ] {
            let (found, detail) = event(time, rest).unwrap();
            assert_eq!(found, reason, "{time} {rest}");
            assert!(detail.starts_with(begins) && detail.ends_with(ends), "{detail}");
        }
    }
}
