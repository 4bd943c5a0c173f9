//! The end of a job that is asked to stop, or whose history has ended: one more epoch is closed, and a checkpoint of it is waited for, so
//! that the next start has nothing to replay.
//!
//! Worker 0 does it, and through the dataflow all workers of all processes take part: as long as it waits, none of them ends. It waits
//! for `checkpoint.at_stop` at most, and not at all where there is nothing to gain: while the epochs of an earlier run are replayed,
//! while the state is made anew, or in a replay that keeps to a tempo.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use riskflow_model::duration;

use super::driver::{Driver, Due};
use crate::runtime::pace::Step;

/// A stop that waits for a checkpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopping {
    began: Instant,
    /// Whether the last epoch is closed.
    closed: bool,
}

/// How often it is looked whether the checkpoint is whole.
const LOOK: Duration = Duration::from_millis(5);

impl Driver {
    /// Closes the last epoch and says how long to wait for its checkpoint; `None` once nothing is waited for.
    pub(super) fn stop(&mut self) -> Option<Duration> {
        self.keep(Self::close_last)
    }

    /// The same where a history has ended by itself. An exercise ends with its history, and nothing goes on from it live.
    pub(super) fn end(&mut self) -> Option<Duration> {
        if self.job.settings.output_topics.exercise {
            return None;
        }
        self.keep(Self::close_behind)
    }

    /// `close` closes the last epoch, once that may be.
    fn keep(&mut self, close: fn(&mut Self, Instant) -> Option<Duration>) -> Option<Duration> {
        let limit = self.job.settings.checkpoint.at_stop;
        if self.stopping.is_none() && !self.keeps_at_stop() {
            return None;
        }
        let fresh = || Stopping {
            began: Instant::now(),
            closed: false,
        };
        let Stopping { began, closed } = *self.stopping.get_or_insert_with(fresh);
        self.watch();
        let busy = self.job.state.busy.load(Ordering::Acquire);
        if closed && !busy {
            return None;
        }
        if began.elapsed() >= limit {
            let limit = duration::show(limit.as_millis() as i64);
            tracing::warn!(
                "the checkpoint before the stop was not whole within {limit} (`checkpoint.at_stop`): stopping without; the next start \
                 replays what came since the one before"
            );
            return None;
        }
        self.job.state.hurry.store(true, Ordering::Release);
        // One that is under way comes first: only one is, at any time.
        if busy { Some(LOOK) } else { close(self, began) }
    }

    /// Whether the next start would have more to do without a checkpoint.
    fn keeps_at_stop(&self) -> bool {
        let pace = self.pace.borrow();
        let is_beyond = pace.last().epoch >= self.job.last && !pace.is_rewinding();
        let is_free = self.tempo.is_none() && self.held.is_none();
        !self.job.settings.checkpoint.at_stop.is_zero() && self.job.lasting.is_some() && is_beyond && is_free
    }

    /// Closes one behind a history in which nothing happens.
    fn close_behind(&mut self, began: Instant) -> Option<Duration> {
        let behind = self.pace.borrow_mut().behind_history();
        let (epoch, mut cut) = behind?;
        (cut.epoch, cut.checkpoint) = (epoch, self.may_checkpoint(epoch, cut.how));
        self.stopping = Some(Stopping { began, closed: true });
        Some(self.close(Due { cut, rewinding: false }))
    }

    /// Closes the last epoch as soon as one may be closed.
    fn close_last(&mut self, began: Instant) -> Option<Duration> {
        let now = self.read_clock();
        let under_way = self.closed.borrow().len();
        let step = self.pace.borrow_mut().step(under_way, now, true);
        match step {
            Step::Close(epoch, mut cut) if self.may_checkpoint(epoch, cut.how) => {
                (cut.epoch, cut.checkpoint) = (epoch, true);
                self.stopping = Some(Stopping { began, closed: true });
                Some(self.close(Due { cut, rewinding: false }))
            }
            Step::Wait(wait) => Some(wait.min(LOOK)),
            // Nothing was taken in yet, or nothing is left to come.
            Step::Close(..) | Step::Rewind | Step::End => None,
        }
    }
}
