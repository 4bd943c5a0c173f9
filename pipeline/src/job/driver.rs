//! Closing epochs: worker 0's other task, between two steps of its dataflow.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use riskflow_operators::Epoch;
use timely::dataflow::InputHandleVec;

use super::Job;
use crate::ingest::{Cut, How};
use crate::pace::{Pace, Step};

/// What worker 0 knows of the epochs that it closed: when, and whether a checkpoint is taken.
pub(super) type Closed = Rc<RefCell<BTreeMap<Epoch, (Instant, bool)>>>;

/// The first epoch by the wall clock, once it is closed: when it is done, readers see the present.
pub(super) type FirstLive = Rc<Cell<Option<Epoch>>>;

/// Worker 0's other task: closing epochs.
pub(super) struct Driver {
    pub(super) cuts: InputHandleVec<Epoch, Cut>,
    pub(super) pace: Rc<RefCell<Pace>>,
    pub(super) closed: Closed,
    pub(super) job: Arc<Job>,
    /// When a checkpoint was last asked for, or under way.
    pub(super) checkpointed: Instant,
    /// When a stalled epoch was last told of.
    pub(super) warned: Instant,
    pub(super) first_live: FirstLive,
}

/// An epoch that is under way for so long is told of, again and again.
const STALLED: Duration = Duration::from_secs(10);

impl Driver {
    /// Closes an epoch if it is time, and says how long the worker may sleep; `None` at the end.
    pub(super) fn step(&mut self) -> Option<Duration> {
        let handles = &self.job.handles;
        if handles.stop.load(Ordering::Acquire) {
            return None;
        }
        self.watch();
        let handles = &self.job.handles;
        let under_way = self.closed.borrow().len();
        let mut pace = self.pace.borrow_mut();
        handles.metrics.pace(under_way, pace.is_live());
        let step = pace.step(under_way);
        drop(pace);
        match step {
            Step::Close(epoch, mut cut) => {
                cut.checkpoint = self.is_time_for_checkpoint(epoch, cut.how);
                if cut.how != How::Look {
                    self.closed.borrow_mut().insert(epoch, (Instant::now(), cut.checkpoint));
                }
                if self.cuts.time() < &epoch {
                    self.cuts.advance_to(epoch);
                }
                self.cuts.send(cut);
                self.cuts.advance_to(epoch + 1);
                Some(Duration::ZERO)
            }
            Step::Wait(duration) => Some(duration),
            Step::End => {
                handles.ready.store(true, Ordering::Release);
                None
            }
        }
    }

    /// From the end of one to the beginning of the next the interval passes. What is replayed is kept already.
    fn is_time_for_checkpoint(&mut self, epoch: Epoch, how: How) -> bool {
        let busy = &self.job.state.busy;
        if busy.load(Ordering::Acquire) {
            self.checkpointed = Instant::now();
            return false;
        }
        let due = self.checkpointed.elapsed() >= self.job.settings.checkpoint.interval;
        let begin = self.job.lasting.is_some() && due && epoch > self.job.last && how != How::Look;
        if begin {
            busy.store(true, Ordering::Release);
            self.checkpointed = Instant::now();
        }
        begin
    }

    /// Nothing hangs in silence.
    fn watch(&mut self) {
        let oldest = self
            .closed
            .borrow()
            .first_key_value()
            .map(|(epoch, (closed, _))| (*epoch, *closed));
        self.job.handles.metrics.oldest_epoch(oldest.map(|(_, closed)| closed));
        let (epoch, age) = oldest
            .map(|(epoch, closed)| (epoch, closed.elapsed()))
            .unwrap_or_default();
        let committed = self.job.committed.load(Ordering::Acquire);
        self.job.handles.now.store(committed, Ordering::Release);
        if self.first_live.get().is_some_and(|first| committed >= first as i64) {
            self.job.handles.ready.store(true, Ordering::Release);
        }
        if age >= STALLED && self.warned.elapsed() >= STALLED {
            self.warned = Instant::now();
            tracing::warn!(epoch, ?age, "an epoch is stalled: a source or a worker does not get on");
        }
    }
}
