//! The pace of epochs: worker 0 decides when the next one closes, and how.
//!
//! While there is history, epochs lie on a grid of pipeline time (`epoch.replay_tick`), each as soon as few enough are under
//! way. Live, an epoch closes when its tick has passed on the wall clock and few enough are under way: under load epochs
//! grow, they never pile up. This is the only place that reads the wall clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use riskflow_config::{Clock, EpochSettings};

use crate::ingest::{Cut, Report, earliest};

/// What worker 0 should do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Close this epoch.
    Close(u64, Cut),
    /// Nothing before this time has passed or something else happens.
    Wait(Duration),
    /// There is nothing more to come.
    End,
}

/// Where the job stands between its beginning and its end.
#[derive(Debug)]
enum Phase {
    /// Nobody knows yet when the history begins.
    Look { asked: bool },
    /// There are records in front that arrived in the past.
    History,
    /// The wall clock rules.
    Live { next: Instant },
}

/// Decides about epochs.
#[derive(Debug)]
pub struct Pace {
    settings: EpochSettings,
    clock: Clock,
    phase: Phase,
    last: u64,
    peers: usize,
    /// What each worker said after the last cut.
    reports: Vec<Option<Report>>,
}

impl Pace {
    /// A job that begins.
    #[must_use]
    pub fn new(settings: EpochSettings, clock: Clock, peers: usize) -> Self {
        Self {
            settings,
            clock,
            phase: Phase::Look { asked: false },
            last: 0,
            peers,
            reports: vec![None; peers],
        }
    }

    /// Notes what a worker said.
    pub fn note(&mut self, report: Report) {
        self.reports[report.worker] = Some(report);
    }

    /// The epoch closed last.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// Whether the wall clock rules by now.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live { .. })
    }

    /// Decides, with this many epochs under way.
    pub fn step(&mut self, under_way: usize) -> Step {
        let idle = Duration::from_millis(50);
        match self.phase {
            Phase::Look { asked: false } => {
                self.phase = Phase::Look { asked: true };
                self.close(1, Cut::Look)
            }
            Phase::Look { asked: true } | Phase::History => {
                if self.reports.iter().any(Option::is_none) {
                    return Step::Wait(idle);
                }
                let arrivals = self.reports.iter().flatten().map(|report| report.next_arrival);
                let next = arrivals.fold(None, earliest);
                match next {
                    Some(_) if under_way >= self.settings.in_flight => Step::Wait(idle),
                    Some(arrival) => {
                        let epoch = self.on_grid(arrival);
                        self.phase = Phase::History;
                        self.close(epoch, Cut::History)
                    }
                    None if self.clock == Clock::Live => {
                        self.phase = Phase::Live { next: Instant::now() };
                        self.step(under_way)
                    }
                    None => Step::End,
                }
            }
            Phase::Live { next } => {
                let now = Instant::now();
                if now < next {
                    return Step::Wait(next - now);
                }
                if under_way >= self.settings.in_flight {
                    return Step::Wait(idle);
                }
                // A tick that was missed is not made up for.
                let planned = next + self.settings.tick;
                self.phase = Phase::Live {
                    next: if planned > now {
                        planned
                    } else {
                        now + self.settings.tick
                    },
                };
                self.close(wall_clock(), Cut::Live)
            }
        }
    }

    fn close(&mut self, epoch: u64, cut: Cut) -> Step {
        self.last = epoch.max(self.last + 1);
        self.reports = vec![None; self.peers];
        Step::Close(self.last, cut)
    }

    /// The grid point after the last epoch; at the beginning the first at or after the first arrival.
    fn on_grid(&self, arrival: i64) -> u64 {
        let tick = self.settings.replay_tick;
        let first = arrival.max(1);
        let ceiled = first + (-first).rem_euclid(tick);
        match self.phase {
            Phase::History => (self.last as i64 + tick).max(1) as u64,
            _ => ceiled as u64,
        }
    }
}

/// Milliseconds since the Unix epoch by the wall clock.
#[must_use]
pub fn wall_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(clock: Clock) -> Pace {
        let settings = EpochSettings {
            tick: Duration::from_millis(20),
            replay_tick: 1_000,
            max_records: 1_000,
            in_flight: 1,
        };
        Pace::new(settings, clock, 1)
    }

    fn report(next_arrival: Option<i64>) -> Report {
        Report {
            worker: 0,
            next_arrival,
            caught_up: next_arrival.is_none(),
        }
    }

    #[test]
    fn history_lies_on_the_grid_and_ends() {
        let mut pace = pace(Clock::Arrival);
        assert_eq!(pace.step(0), Step::Close(1, Cut::Look));
        assert!(matches!(pace.step(0), Step::Wait(_)));
        pace.note(report(Some(1_500_000_000_300)));
        assert_eq!(pace.step(0), Step::Close(1_500_000_001_000, Cut::History));
        pace.note(report(Some(1_500_000_009_000)));
        assert!(matches!(pace.step(1), Step::Wait(_)), "one epoch is under way");
        // Empty epochs are closed too: deadlines pass in them.
        assert_eq!(pace.step(0), Step::Close(1_500_000_002_000, Cut::History));
        pace.note(report(None));
        assert_eq!(pace.step(0), Step::End);
    }

    #[test]
    fn what_comes_before_everything_else_does_not_choose_the_first_epoch() {
        let mut pace = pace(Clock::EventTime);
        pace.step(0);
        pace.note(report(earliest(Some(i64::MIN), Some(1_500_000_000_000))));
        assert_eq!(pace.step(0), Step::Close(1_500_000_000_000, Cut::History));
    }

    #[test]
    fn live_goes_on_after_the_history() {
        let mut pace = pace(Clock::Live);
        pace.step(0);
        pace.note(report(Some(1_500_000_000_000)));
        assert_eq!(pace.step(0), Step::Close(1_500_000_000_000, Cut::History));
        pace.note(report(None));
        let Step::Close(epoch, Cut::Live) = pace.step(0) else {
            panic!("not live")
        };
        assert!(epoch > 1_700_000_000_000, "the wall clock rules");
        assert!(pace.is_live());
        assert!(matches!(pace.step(0), Step::Wait(_)), "the tick has not passed");
    }
}
