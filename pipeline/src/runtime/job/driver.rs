//! Closing epochs: worker 0's other task, between two steps of its dataflow.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use riskflow_config::Clock;
use riskflow_model::duration;
use riskflow_operators::Turn;
use timely::dataflow::InputHandleVec;

use super::Job;
use super::catching_up::CatchingUp;
use super::stopping::Stopping;
use super::tempo::Tempo;
use crate::runtime::clock::{JobClock, Motion, Reading, TOLERANCE};
use crate::runtime::ingest::{Cut, How};
use crate::runtime::pace::{Now, Pace, Step};
use crate::runtime::publisher::Closing;

/// What worker 0 knows of the epochs that it closed and that are under way.
pub(super) type Closed = Rc<RefCell<BTreeMap<u64, Closing>>>;

/// The first epoch by the job's clock, once it is closed, behind its turn: when it is done, readers see the present.
pub(super) type FirstLive = Rc<Cell<Option<(Turn, u64)>>>;

/// Worker 0's other task: closing epochs.
pub(super) struct Driver {
    cuts: InputHandleVec<Turn, Cut>,
    pub(super) pace: Rc<RefCell<Pace>>,
    clock: JobClock,
    pub(super) closed: Closed,
    pub(super) job: Arc<Job>,
    /// When the next checkpoint is due.
    checkpoint_due: Instant,
    /// When a stalled epoch was last told of.
    warned: Instant,
    first_live: FirstLive,
    catching_up: CatchingUp,
    /// The time of the epoch closed last: one that is held is not.
    at: i64,
    pub(super) tempo: Option<Tempo>,
    /// An epoch that a replay closes when its time has come.
    pub(super) held: Option<Due>,
    /// What is waited for before it stops, once it is asked to.
    pub(super) stopping: Option<Stopping>,
}

/// An epoch that is to be closed.
pub(super) struct Due {
    pub(super) cut: Cut,
    /// Whether it makes the state anew after a clock that was ahead.
    pub(super) rewinding: bool,
}

/// An epoch that is held is looked at so often at least.
const HELD: Duration = Duration::from_millis(50);

/// An epoch that is under way for so long is told of, again and again.
const STALLED: Duration = Duration::from_secs(10);

impl Driver {
    pub(super) fn new(
        cuts: InputHandleVec<Turn, Cut>,
        pace: Rc<RefCell<Pace>>,
        closed: Closed,
        first_live: FirstLive,
        job: &Arc<Job>,
    ) -> Self {
        let settings = &job.settings;
        let tolerance = settings.time.max_future.0.max(TOLERANCE);
        Self {
            cuts,
            pace,
            clock: JobClock::new(settings.job_clock, tolerance, Reading::now()),
            closed,
            job: Arc::clone(job),
            // A job that is killed more often than the interval passes would never take one, and do more and more again.
            checkpoint_due: Instant::now() + settings.checkpoint.interval.saturating_sub(job.plan.to_redo()),
            warned: Instant::now(),
            first_live,
            catching_up: CatchingUp::new(),
            at: 0,
            tempo: Tempo::of(&settings.replay),
            held: None,
            stopping: None,
        }
    }

    /// Closes an epoch if it is time, and says how long the worker may sleep; `None` at the end.
    pub(super) fn step(&mut self) -> Option<Duration> {
        if self.job.handles.stop.load(Ordering::Acquire) {
            return self.stop();
        }
        self.watch();
        if let Some(due) = self.held.take() {
            // Where epochs are far apart it is held for long.
            self.show_position();
            return Some(self.close(due));
        }
        let under_way = self.closed.borrow().len();
        let now = self.read_clock();
        let asked = self.is_time_for_checkpoint();
        let mut pace = self.pace.borrow_mut();
        self.job.handles.metrics.epochs.pace(under_way, pace.is_live());
        let step = pace.step(under_way, now, asked);
        let rewinding = pace.is_rewinding();
        drop(pace);
        self.show_position();
        match step {
            Step::Close(epoch, mut cut) => {
                cut.checkpoint = asked && !rewinding && self.may_checkpoint(epoch, cut.how);
                cut.epoch = epoch;
                Some(self.close(Due { cut, rewinding }))
            }
            Step::Wait(duration) => Some(duration),
            Step::Rewind => {
                self.job.rewind.store(true, Ordering::Release);
                self.job.handles.ready.store(false, Ordering::Release);
                None
            }
            Step::End => {
                if let Some(wait) = self.end() {
                    return Some(wait);
                }
                CatchingUp::end(&self.job.handles.catching_up);
                self.job.handles.ready.store(true, Ordering::Release);
                None
            }
        }
    }

    /// Shows where a history is and logs it, while it is worked off.
    fn show_position(&mut self) {
        let pace = self.pace.borrow();
        let (behind, live) = (pace.behind(), pace.is_live());
        drop(pace);
        let handles = &self.job.handles;
        if live {
            CatchingUp::end(&handles.catching_up);
        } else if self.cuts.time() > &0 {
            let settings = &self.job.settings;
            let goal = match settings.clock {
                Clock::Live => Some(self.clock.time()),
                Clock::Arrival | Clock::EventTime => settings.until.map(|until| until.0),
            };
            let taken = || handles.metrics.records.total();
            self.catching_up
                .look(self.at, taken, behind, goal, &handles.catching_up);
        }
    }

    /// Closes an epoch, or holds it until its time has come; says how long to wait.
    pub(super) fn close(&mut self, due: Due) -> Duration {
        let clock = due.cut.clock;
        let left = self
            .tempo
            .as_mut()
            .map_or(Duration::ZERO, |tempo| tempo.left(clock, Instant::now()));
        if !left.is_zero() {
            self.held = Some(due);
            // Somebody may ask it to stop.
            return left.min(HELD);
        }
        let Due { cut, rewinding } = due;
        if cut.how != How::Look {
            let closing = Closing {
                at: Instant::now(),
                clock,
                checkpoint: cut.checkpoint,
                rewinding,
            };
            self.closed.borrow_mut().insert(cut.epoch, closing);
        }
        // The dataflow's timestamps are the turns 0, 1, 2 and so on: where the next epoch will be is not known until this
        // one is done, and a step over what lies between would go through all operators once more.
        let turn = *self.cuts.time();
        self.at = clock;
        self.cuts.send(cut);
        self.cuts.advance_to(turn + 1);
        Duration::ZERO
    }

    /// What the job's clock says; what it does is told.
    pub(super) fn read_clock(&mut self) -> Now {
        let reading = Reading::now();
        let motion = self.clock.read(reading);
        let confirm = duration::show(self.job.settings.job_clock.confirm);
        match motion {
            Motion::Went => {}
            Motion::Stepped(ahead) => tracing::warn!(
                ahead_ms = ahead,
                "the wall clock made a step; it is followed if it stands for {confirm} (`clock.confirm`)"
            ),
            Motion::Agrees => tracing::info!("the wall clock agrees with the job's clock again"),
            Motion::Followed(ahead) => tracing::warn!(
                ahead_ms = ahead,
                "the step of the wall clock stood for {confirm}: it is followed"
            ),
        }
        if motion != Motion::Went {
            let off = self.clock.differs().then(|| reading.wall - self.clock.time());
            self.job.handles.clock_off.store(off.unwrap_or(0), Ordering::Release);
            self.job.handles.metrics.epochs.clock_off(off.unwrap_or(0));
        }
        Now {
            clock: self.clock.time(),
            steady: reading.steady,
        }
    }

    /// From the end of one to the beginning of the next the interval passes, unless somebody asks for one.
    fn is_time_for_checkpoint(&mut self) -> bool {
        if self.job.state.busy.load(Ordering::Acquire) {
            self.checkpoint_due = Instant::now() + self.job.settings.checkpoint.interval;
            return false;
        }
        let is_due = Instant::now() >= self.checkpoint_due;
        self.job.lasting.is_some() && (is_due || self.job.state.asked.is_wanted())
    }

    /// Begins a checkpoint with this epoch. What is replayed is kept already.
    pub(super) fn may_checkpoint(&mut self, epoch: u64, how: How) -> bool {
        let begin = epoch > self.job.last && how != How::Look;
        if begin {
            self.job.state.busy.store(true, Ordering::Release);
            self.job.state.asked.begin();
            self.checkpoint_due = Instant::now() + self.job.settings.checkpoint.interval;
        }
        begin
    }

    /// Nothing hangs in silence.
    pub(super) fn watch(&mut self) {
        let oldest = self
            .closed
            .borrow()
            .first_key_value()
            .map(|(epoch, closing)| (*epoch, closing.at));
        self.job.handles.metrics.epochs.oldest(oldest.map(|(_, closed)| closed));
        let (epoch, age) = oldest
            .map(|(epoch, closed)| (epoch, closed.elapsed()))
            .unwrap_or_default();
        let committed = self.job.committed.load(Ordering::Acquire);
        self.job.handles.now.store(committed, Ordering::Release);
        let caught_up = self.pace.borrow().caught_up();
        if let (Some((_, first)), Some(caught_up)) = (self.first_live.get(), caught_up)
            && committed >= first.max(caught_up) as i64
        {
            self.job.handles.ready.store(true, Ordering::Release);
        }
        if age >= STALLED && self.warned.elapsed() >= STALLED {
            self.warned = Instant::now();
            tracing::warn!(epoch, ?age, "an epoch is stalled: a source or a worker does not get on");
        }
    }
}
