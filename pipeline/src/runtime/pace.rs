//! The pace of epochs: worker 0 decides when the next one closes, and how.
//!
//! After a restart the epochs that an earlier run committed come first, with the very records that they took then. While
//! there is history, epochs lie on a grid of pipeline time (`epoch.replay_tick`). Live, an epoch closes when its tick has
//! passed on the job's clock and few enough are under way: under load epochs grow, they never pile up.
//!
//! An epoch that takes no record and at which no key of a fold is due is *quiet*: it changes no state and gives nothing, so it
//! is not closed. What can be due is known once all epochs that were closed have been applied ([`Pace::applied`]). So a history
//! costs by what happens in it, whatever the time between.
//!
//! Epochs rise for ever, the clock need not: where it was ahead and is right again, epochs go on one by one above the last, each
//! with its own time ([`Cut::clock`]), until the clock has caught up with them.

use std::collections::VecDeque;
use std::time::Duration;

use riskflow_config::{Clock, EpochSettings, Quiet};
use riskflow_model::Millis;
use riskflow_model::progress::Offsets;

use crate::runtime::ingest::{Cut, How, Report, earliest};
use recorded::UnderWay;

mod recorded;

#[cfg(test)]
mod tests;

/// An epoch, and what time it was then; the same but for a clock that was ahead before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// The epoch.
    pub epoch: u64,
    /// Milliseconds since the Unix epoch.
    pub clock: i64,
}

impl Moment {
    /// An epoch by a clock that was never ahead.
    #[must_use]
    pub const fn of(epoch: u64) -> Self {
        Self {
            epoch,
            clock: epoch as i64,
        }
    }
}

/// The epochs with which a job begins that goes on after an earlier run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The state was loaded as of this epoch: in it the views are rebuilt.
    pub restored: Option<Moment>,
    /// There is no state, and the epochs up to this one are not recorded any more: what lies before these offsets belongs
    /// to them, by its time of arrival.
    pub cold: Option<(Moment, Offsets)>,
    /// Epochs with the offsets up to which each took records.
    pub recorded: VecDeque<(Moment, Offsets)>,
    /// The clock was ahead: the state is made anew from the input that is there, by its time of arrival, in epochs behind this
    /// one.
    pub rewound: Option<u64>,
    /// Whether the job ends with the last recorded epoch.
    pub ends: bool,
}

impl Plan {
    /// How long it was from the state that was loaded to the last recorded epoch: each start does so much again, until there is a newer
    /// checkpoint. For ever where there was no state to load.
    #[must_use]
    pub fn to_redo(&self) -> Duration {
        let last = self.recorded.back().map(|(moment, _)| *moment);
        match (self.restored, last) {
            _ if self.cold.is_some() => Duration::MAX,
            (_, None) => Duration::ZERO,
            (None, Some(_)) => Duration::MAX,
            (Some(restored), Some(last)) => Duration::from_millis((last.clock - restored.clock).max(0).unsigned_abs()),
        }
    }
}

/// How the job may go on.
#[derive(Clone, Debug)]
pub struct Terms {
    /// How epochs are cut.
    pub epoch: EpochSettings,
    /// What the clock follows.
    pub clock: Clock,
    /// Where a replay ends.
    pub until: Option<Millis>,
    /// How far the clock may stand behind the last epoch's before the state is made anew.
    pub max_future: i64,
    /// How many workers there are.
    pub peers: usize,
}

/// What the job's clock says, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    /// Since the Unix epoch.
    pub clock: i64,
    /// Since some moment, never going back.
    pub steady: i64,
}

/// What worker 0 should do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Close this epoch.
    Close(u64, Cut),
    /// Nothing before this time has passed or something else happens.
    Wait(Duration),
    /// The clock was ahead: what was made of it cannot go on.
    Rewind,
    /// There is nothing more to come.
    End,
}

/// Where the job stands between its beginning and its end.
#[derive(Debug)]
enum Phase {
    /// Epochs of an earlier run; the first has not begun.
    Begin,
    /// Those that are not recorded.
    Cold { goal: Moment, bound: Offsets },
    /// Those that are.
    Recorded,
    /// Nobody knows yet when the history begins.
    Look { asked: bool },
    /// There are records in front that arrived in the past.
    History,
    /// The job's clock rules.
    Live,
}

/// What comes next in a history.
enum Next {
    /// The epoch at this grid point.
    At(i64),
    /// Not known yet, or no room.
    Wait,
    /// No record is left.
    Exhausted,
}

/// Nothing wakes the job from here on in between: others do.
const IDLE: Duration = Duration::from_millis(50);
/// How often sources are asked whether a record is at hand: as often as epochs may close, within these bounds.
pub const POLL: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(20));
/// No history begins before this.
pub const DAWN: i64 = 1;

/// Decides about epochs.
#[derive(Debug)]
pub struct Pace {
    terms: Terms,
    phase: Phase,
    plan: Plan,
    /// Those of the plan that are under way.
    again: UnderWay,
    /// The epoch closed last, and its time.
    last: Moment,
    /// When it was closed, by steady time; while live.
    closed: i64,
    /// What each worker said after the last cut.
    reports: Vec<Option<Report>>,
    /// How many records each worker's sources hold that were not taken, as far as that is known.
    behind: Vec<u64>,
    /// The epoch with which each worker had taken all that was there when its sources were opened.
    caught_up: Vec<Option<u64>>,
    /// Whether a source has a record at hand that no epoch was closed for yet.
    rung: bool,
    /// The earliest time that a key waits for, as of the last epoch that was applied.
    wake: Option<i64>,
}

impl Pace {
    /// A job that begins.
    #[must_use]
    pub fn new(terms: Terms, plan: Plan) -> Self {
        let fresh = plan.restored.is_none() && plan.cold.is_none() && plan.recorded.is_empty();
        Self {
            phase: if fresh {
                Phase::Look { asked: false }
            } else {
                Phase::Begin
            },
            last: Moment {
                epoch: plan.rewound.unwrap_or(0),
                clock: 0,
            },
            plan,
            again: UnderWay::default(),
            closed: i64::MIN / 2,
            reports: vec![None; terms.peers],
            behind: vec![0; terms.peers],
            caught_up: vec![None; terms.peers],
            terms,
            rung: false,
            wake: None,
        }
    }

    /// Notes what a worker said after a cut.
    pub fn note(&mut self, report: Report) {
        self.behind[report.worker] = report.behind;
        if report.caught_up {
            self.caught_up[report.worker].get_or_insert(report.epoch);
        }
        // After an earlier one it tells nothing: the next was closed without it.
        if report.epoch == self.last.epoch {
            self.reports[report.worker] = Some(report);
        }
    }

    /// An epoch was applied; after it, this is the earliest time that a key of any fold waits for.
    pub const fn applied(&mut self, wake: Option<i64>) {
        self.wake = wake;
    }

    /// A source has a record at hand, or a process was asked to stop.
    pub const fn ring(&mut self) {
        self.rung = true;
    }

    /// How many records the sources hold that were not taken, as far as that is known.
    #[must_use]
    pub fn behind(&self) -> u64 {
        self.behind.iter().sum()
    }

    /// The epoch with which all was taken that was there when the job began. It may be long behind the first live one: what
    /// arrived just before the start is no history, and a live epoch takes `epoch.max_records` at most.
    #[must_use]
    pub fn caught_up(&self) -> Option<u64> {
        self.caught_up
            .iter()
            .copied()
            .try_fold(0, |last, epoch| Some(last.max(epoch?)))
    }

    /// The epoch closed last, and its time.
    #[must_use]
    pub const fn last(&self) -> Moment {
        self.last
    }

    /// Whether the job's clock rules by now.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live)
    }

    /// Whether what is closed now makes the state anew after a clock that was ahead.
    #[must_use]
    pub const fn is_rewinding(&self) -> bool {
        self.plan.rewound.is_some() && !self.is_live()
    }

    /// Decides, with this many epochs under way; `asked`: somebody wants an epoch, for a checkpoint.
    pub fn step(&mut self, under_way: usize, now: Now, asked: bool) -> Step {
        let room = under_way < self.terms.epoch.in_flight;
        match self.phase {
            Phase::Begin => self.begin(),
            Phase::Cold { .. } => self.cold(under_way),
            Phase::Recorded => self.recorded(under_way, now),
            Phase::Look { asked: false } => {
                self.phase = Phase::Look { asked: true };
                self.close(DAWN, How::Look.into())
            }
            Phase::Look { asked: true } | Phase::History => self.history(under_way, now),
            Phase::Live if self.last.clock - now.clock > self.terms.max_future => {
                if under_way > 0 {
                    return Step::Wait(IDLE);
                }
                Step::Rewind
            }
            Phase::Live => self.live(room, under_way, now, asked),
        }
    }

    fn begin(&mut self) -> Step {
        if let Some((goal, bound)) = self.plan.cold.take() {
            self.phase = Phase::Cold {
                goal,
                bound: bound.clone(),
            };
            let look = Cut {
                bound: Some(bound),
                ..How::Look.into()
            };
            return self.close(DAWN, look);
        }
        self.phase = Phase::Recorded;
        match self.plan.restored.take() {
            Some(moment) => self.close_at(moment, recorded(Offsets::default())),
            None => Step::Wait(Duration::ZERO),
        }
    }

    /// By arrival up to the bound; the last of these epochs takes what is left before it.
    fn cold(&mut self, under_way: usize) -> Step {
        let next = self.next_in_history(under_way);
        let Phase::Cold { goal, bound, .. } = &self.phase else {
            unreachable!("it was asked for this phase")
        };
        let (goal, bound) = (*goal, bound.clone());
        match next {
            Next::Wait => Step::Wait(IDLE),
            Next::At(grid) if grid < goal.clock => {
                let cut = Cut {
                    bound: Some(bound),
                    ..How::History.into()
                };
                self.close(grid, cut)
            }
            Next::At(_) | Next::Exhausted => {
                self.phase = Phase::Recorded;
                self.close_at(goal, recorded(bound))
            }
        }
    }

    fn recorded(&mut self, under_way: usize, now: Now) -> Step {
        if let Some((_, bound)) = self.plan.recorded.front() {
            let EpochSettings {
                in_flight, max_records, ..
            } = self.terms.epoch;
            let most = max_records.saturating_mul(in_flight) as u64;
            if under_way >= in_flight && !self.again.have_room(under_way, bound, most) {
                return Step::Wait(IDLE);
            }
        }
        if let Some((moment, bound)) = self.plan.recorded.pop_front() {
            self.again.note(&bound);
            return self.close_at(moment, recorded(bound));
        }
        if self.plan.ends {
            return Step::End;
        }
        // The reports on the last epoch tell what comes next.
        self.phase = Phase::History;
        self.history(under_way, now)
    }

    fn history(&mut self, under_way: usize, now: Now) -> Step {
        let live = self.terms.clock == Clock::Live;
        let end = self.terms.until.map_or(i64::MAX, |until| until.0);
        match self.next_in_history(under_way) {
            Next::Wait => Step::Wait(IDLE),
            Next::At(grid) if live && grid > now.clock => self.go_live(),
            Next::At(grid) if grid <= end => {
                self.phase = Phase::History;
                self.close(grid, How::History.into())
            }
            Next::Exhausted if live => self.go_live(),
            Next::Exhausted if self.terms.until.is_some() && self.begun() => {
                let due = self.wake.map(|wake| self.on_grid(wake));
                match due.filter(|due| *due <= end) {
                    Some(due) => self.close(due, How::History.into()),
                    None => Step::End,
                }
            }
            Next::At(_) | Next::Exhausted => Step::End,
        }
    }

    /// One more epoch behind a history that has ended, a moment later, in which nothing happens: for a checkpoint of what it left. It lies
    /// before the next on the grid, so a later start closes the same epochs as if there had been no end. `None` where something would
    /// happen in it, or the history did not get to its end.
    pub fn behind_history(&mut self) -> Option<(u64, Cut)> {
        let clock = self.last.clock + 1;
        let is_over = matches!(self.phase, Phase::History) && self.begun() && self.next_arrival().is_none();
        let is_known = self.reports.iter().all(Option::is_some);
        if !is_over || !is_known || self.wake.is_some_and(|wake| wake <= clock) {
            return None;
        }
        match self.close(clock, How::History.into()) {
            Step::Close(epoch, cut) => Some((epoch, cut)),
            Step::Wait(_) | Step::Rewind | Step::End => None,
        }
    }

    fn go_live(&mut self) -> Step {
        self.phase = Phase::Live;
        self.rung = true;
        Step::Wait(Duration::ZERO)
    }

    fn live(&mut self, room: bool, under_way: usize, now: Now, asked: bool) -> Step {
        let EpochSettings {
            tick, heartbeat, quiet, ..
        } = self.terms.epoch;
        let passed = Duration::from_millis((now.steady - self.closed).unsigned_abs());
        if passed < tick {
            return Step::Wait(tick - passed);
        }
        if !room {
            return Step::Wait(IDLE);
        }
        // While epochs are under way, what they will wake is not known; when they are done it is.
        let due = self.wake.filter(|_| under_way == 0).map(|wake| wake - now.clock);
        let wanted = self.rung || asked || quiet == Quiet::Close;
        if wanted || passed >= heartbeat || due.is_some_and(|left| left <= 0) {
            self.closed = now.steady;
            return self.close(now.clock, How::Live.into());
        }
        let due = due.map_or(heartbeat, |left| Duration::from_millis(left.unsigned_abs()));
        let poll = tick.clamp(POLL.0, POLL.1);
        Step::Wait(poll.min(heartbeat - passed).min(due))
    }

    /// The next epoch in which something happens.
    fn next_in_history(&self, under_way: usize) -> Next {
        let arrival = self.next_arrival();
        let next = self.on_grid(self.last.clock + 1);
        let near = |arrival: i64| arrival <= next || self.terms.epoch.quiet == Quiet::Close;
        if self.begun() && arrival.is_some_and(near) {
            // It is known what comes next, so nobody waits for the slowest.
            return if under_way < self.terms.epoch.in_flight {
                Next::At(next)
            } else {
                Next::Wait
            };
        }
        if under_way > 0 || self.reports.iter().any(Option::is_none) {
            return Next::Wait;
        }
        match arrival {
            None => Next::Exhausted,
            Some(arrival) if self.begun() => {
                let due = self.wake.map_or(arrival, |wake| wake.min(arrival));
                Next::At(self.on_grid(due))
            }
            Some(arrival) => Next::At(self.on_grid(arrival)),
        }
    }

    /// Whether an epoch was closed that had a time.
    const fn begun(&self) -> bool {
        self.last.clock > DAWN
    }

    fn next_arrival(&self) -> Option<i64> {
        let arrivals = self.reports.iter().flatten().map(|report| report.next_arrival);
        arrivals.fold(None, earliest)
    }

    fn close(&mut self, clock: i64, cut: Cut) -> Step {
        let clock = clock.max(self.last.clock + 1);
        let epoch = clock.unsigned_abs().max(self.last.epoch + 1);
        self.close_at(Moment { epoch, clock }, cut)
    }

    fn close_at(&mut self, moment: Moment, mut cut: Cut) -> Step {
        cut.clock = moment.clock;
        self.last = moment;
        self.reports = vec![None; self.terms.peers];
        self.rung = false;
        Step::Close(moment.epoch, cut)
    }

    /// The first grid point after the last epoch that is not before this time.
    fn on_grid(&self, time: i64) -> i64 {
        let tick = self.terms.epoch.replay_tick;
        let time = time.max(self.last.clock + 1).max(DAWN);
        time + (-time).rem_euclid(tick)
    }
}

fn recorded(bound: Offsets) -> Cut {
    Cut {
        bound: Some(bound),
        ..How::Recorded.into()
    }
}
