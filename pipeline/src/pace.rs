//! The pace of epochs: worker 0 decides when the next one closes, and how.
//!
//! After a restart the epochs that an earlier run committed come first, with the very records that they took then. While
//! there is history, epochs lie on a grid of pipeline time (`epoch.replay_tick`), each as soon as few enough are under
//! way. Live, an epoch closes when its tick has passed on the wall clock and few enough are under way: under load epochs
//! grow, they never pile up. This is the only place that reads the wall clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use std::collections::VecDeque;

use riskflow_config::{Clock, EpochSettings};
use riskflow_model::progress::Offsets;

use crate::ingest::{Cut, How, Report, earliest};

/// The epochs with which a job begins that goes on after an earlier run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The state was loaded as of this epoch: in it the views are rebuilt.
    pub restored: Option<u64>,
    /// There is no state, and the epochs up to this one are not recorded any more: what lies before these offsets belongs
    /// to them, by its time of arrival.
    pub cold: Option<(u64, Offsets)>,
    /// Epochs with the offsets up to which each took records.
    pub recorded: VecDeque<(u64, Offsets)>,
}

/// What worker 0 should do now.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Epochs of an earlier run; the first has not begun.
    Begin,
    /// Those that are not recorded.
    Cold { epoch: u64, bound: Offsets, asked: bool },
    /// Those that are.
    Recorded,
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
    plan: Plan,
    last: u64,
    peers: usize,
    /// What each worker said after the last cut.
    reports: Vec<Option<Report>>,
}

impl Pace {
    /// A job that begins.
    #[must_use]
    pub fn new(settings: EpochSettings, clock: Clock, peers: usize, plan: Plan) -> Self {
        let fresh = plan == Plan::default();
        Self {
            settings,
            clock,
            phase: if fresh {
                Phase::Look { asked: false }
            } else {
                Phase::Begin
            },
            plan,
            last: 0,
            peers,
            reports: vec![None; peers],
        }
    }

    /// Notes what a worker said after the cut at an epoch.
    pub fn note(&mut self, epoch: u64, report: Report) {
        // After an earlier one it tells nothing: the next was closed without it.
        if epoch == self.last {
            self.reports[report.worker] = Some(report);
        }
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
        let room = under_way < self.settings.in_flight;
        let waiting = match self.phase {
            Phase::Begin | Phase::Look { asked: false } | Phase::Cold { asked: false, .. } => false,
            Phase::Live { .. } => !room,
            // It is known what comes next, so nobody waits for the slowest.
            Phase::History if self.next_arrival().is_some() => !room,
            Phase::Recorded if !self.plan.recorded.is_empty() => !room,
            _ => !room || self.reports.iter().any(Option::is_none),
        };
        let now = Instant::now();
        match self.phase {
            Phase::Live { next } if now < next => Step::Wait(next - now),
            _ if waiting => Step::Wait(idle),
            Phase::Begin => self.begin(),
            Phase::Cold { .. } => self.cold(),
            Phase::Recorded => self.recorded(under_way),
            Phase::Look { asked: false } => {
                self.phase = Phase::Look { asked: true };
                self.close(1, How::Look.into())
            }
            Phase::Look { asked: true } | Phase::History => match self.next_arrival() {
                Some(arrival) => {
                    let epoch = self.on_grid(arrival);
                    self.phase = Phase::History;
                    self.close(epoch, How::History.into())
                }
                None if self.clock == Clock::Live => {
                    self.phase = Phase::Live { next: now };
                    self.step(under_way)
                }
                None => Step::End,
            },
            Phase::Live { next } => {
                // A tick that was missed is not made up for.
                let planned = next + self.settings.tick;
                let next = if planned > now {
                    planned
                } else {
                    now + self.settings.tick
                };
                self.phase = Phase::Live { next };
                self.close(wall_clock(), How::Live.into())
            }
        }
    }

    fn begin(&mut self) -> Step {
        if let Some((epoch, bound)) = self.plan.cold.take() {
            self.phase = Phase::Cold {
                epoch,
                bound,
                asked: false,
            };
            return self.cold();
        }
        self.phase = Phase::Recorded;
        match self.plan.restored.take() {
            Some(epoch) => self.close(epoch, recorded(Offsets::default())),
            None => self.recorded(0),
        }
    }

    /// By arrival up to the bound; the last of these epochs takes what is left before it.
    fn cold(&mut self) -> Step {
        let next = self.next_arrival();
        let Phase::Cold { epoch, bound, asked } = &mut self.phase else {
            return Step::Wait(Duration::ZERO);
        };
        let (epoch, bound) = (*epoch, bound.clone());
        if !std::mem::replace(asked, true) {
            let look = Cut {
                bound: Some(bound),
                ..How::Look.into()
            };
            return self.close(1, look);
        }
        let grid = next.map(|arrival| self.on_grid(arrival)).filter(|grid| *grid < epoch);
        if let Some(grid) = grid {
            let history = Cut {
                bound: Some(bound),
                ..How::History.into()
            };
            return self.close(grid, history);
        }
        self.phase = Phase::Recorded;
        self.close(epoch, recorded(bound))
    }

    fn recorded(&mut self, under_way: usize) -> Step {
        if let Some((epoch, bound)) = self.plan.recorded.pop_front() {
            return self.close(epoch, recorded(bound));
        }
        // The reports on the last epoch told what comes next.
        self.phase = Phase::Look { asked: true };
        self.step(under_way)
    }

    fn next_arrival(&self) -> Option<i64> {
        let arrivals = self.reports.iter().flatten().map(|report| report.next_arrival);
        arrivals.fold(None, earliest)
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
            Phase::History | Phase::Cold { .. } if self.last > 1 => (self.last as i64 + tick) as u64,
            _ => ceiled as u64,
        }
    }
}

fn recorded(bound: Offsets) -> Cut {
    Cut {
        bound: Some(bound),
        ..How::Recorded.into()
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
        Pace::new(settings, clock, 1, Plan::default())
    }

    fn report(next_arrival: Option<i64>) -> Report {
        Report {
            worker: 0,
            next_arrival,
            caught_up: next_arrival.is_none(),
            stop: false,
        }
    }

    #[test]
    fn history_lies_on_the_grid_and_ends() {
        let mut pace = pace(Clock::Arrival);
        assert_eq!(pace.step(0), Step::Close(1, How::Look.into()));
        assert!(matches!(pace.step(0), Step::Wait(_)));
        pace.note(pace.last(), report(Some(1_500_000_000_300)));
        assert_eq!(pace.step(0), Step::Close(1_500_000_001_000, How::History.into()));
        pace.note(pace.last(), report(Some(1_500_000_009_000)));
        assert!(matches!(pace.step(1), Step::Wait(_)), "one epoch is under way");
        // Empty epochs are closed too: deadlines pass in them.
        assert_eq!(pace.step(0), Step::Close(1_500_000_002_000, How::History.into()));
        pace.note(pace.last(), report(None));
        assert_eq!(pace.step(0), Step::End);
    }

    #[test]
    fn the_next_epoch_of_a_history_waits_for_one_worker_and_its_end_for_all() {
        let mut pace = pace(Clock::Arrival);
        (pace.peers, pace.reports) = (2, vec![None; 2]);
        pace.step(0);
        let of = |worker, next_arrival| Report {
            worker,
            ..report(next_arrival)
        };
        pace.note(1, of(0, Some(500)));
        assert!(
            matches!(pace.step(0), Step::Wait(_)),
            "the other may have an earlier one"
        );
        pace.note(1, of(1, Some(400)));
        assert_eq!(pace.step(0), Step::Close(1_000, How::History.into()));
        pace.note(1_000, of(1, Some(2_500)));
        assert_eq!(pace.step(0), Step::Close(2_000, How::History.into()));
        pace.note(1_000, of(0, None));
        pace.note(2_000, of(1, None));
        assert!(
            matches!(pace.step(0), Step::Wait(_)),
            "what was said of an earlier epoch does not count"
        );
        pace.note(2_000, of(0, None));
        assert_eq!(pace.step(0), Step::End);
    }

    #[test]
    fn what_comes_before_everything_else_does_not_choose_the_first_epoch() {
        let mut pace = pace(Clock::EventTime);
        pace.step(0);
        pace.note(pace.last(), report(earliest(Some(i64::MIN), Some(1_500_000_000_000))));
        assert_eq!(pace.step(0), Step::Close(1_500_000_000_000, How::History.into()));
    }

    #[test]
    fn live_goes_on_after_the_history() {
        let mut pace = pace(Clock::Live);
        pace.step(0);
        pace.note(pace.last(), report(Some(1_500_000_000_000)));
        assert_eq!(pace.step(0), Step::Close(1_500_000_000_000, How::History.into()));
        pace.note(pace.last(), report(None));
        let Step::Close(epoch, Cut { how: How::Live, .. }) = pace.step(0) else {
            panic!("not live")
        };
        assert!(epoch > 1_700_000_000_000, "the wall clock rules");
        assert!(pace.is_live());
        assert!(matches!(pace.step(0), Step::Wait(_)), "the tick has not passed");
    }

    #[test]
    fn epochs_of_an_earlier_run_come_first_and_take_what_they_took() {
        let offsets = |next| {
            let mut offsets = Offsets::default();
            offsets.advance(riskflow_model::topic::Topic::InObservation, 0, next);
            offsets
        };
        let mut pace = pace(Clock::Live);
        pace.phase = Phase::Begin;
        pace.plan = Plan {
            restored: None,
            cold: Some((5_000, offsets(10))),
            recorded: VecDeque::from([(6_500, offsets(12))]),
        };
        let mut closed = Vec::new();
        for next in [Some(3_200), Some(3_900), Some(4_900), Some(6_000), Some(7_200)] {
            let Step::Close(epoch, cut) = pace.step(0) else {
                panic!("nothing is closed")
            };
            closed.push((epoch, cut.how, cut.bound.map(|bound| bound == offsets(10))));
            pace.note(pace.last(), report(next));
        }
        let bound = Some(true);
        let expected = [
            (1, How::Look, bound),
            (4_000, How::History, bound),
            // The next on the grid would be 5,000 itself.
            (5_000, How::Recorded, bound),
            (6_500, How::Recorded, Some(false)),
            (7_000, How::History, None),
        ];
        // 6,000 is behind 6,500 already: it belongs to the first epoch on the grid after it.
        assert_eq!(closed[..4], expected[..4]);
        assert!(closed[4].0 > 6_500 && closed[4].1 == How::History);
    }
}
