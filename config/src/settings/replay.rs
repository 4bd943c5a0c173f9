//! What a replay does otherwise than a job.

use std::collections::BTreeMap;

use riskflow_model::Millis;
use riskflow_model::progress::Offsets;
use riskflow_model::topic::Topic;

use super::{Output, TopicSettings};

/// What a replay does otherwise than a job on the same input; by default, nothing.
#[derive(Clone, Debug, Default)]
pub struct ReplaySettings {
    /// The epochs are those that a job closed, as its output there has them in `out.epoch`; else they lie on the grid of
    /// `epoch.replay_tick`.
    pub as_ran: Option<(Output, TopicSettings)>,
    /// What epochs before this give is not published; the tables as they are then are.
    pub from: Option<Millis>,
    /// At most so many times as fast as the history was, above 0; `None`: as fast as the machine allows.
    pub speed: Option<f64>,
    /// It begins with a checkpoint of the job whose history it is: where that keeps them, and the epoch. `None`: with the retained input.
    pub checkpoint: Option<(String, Millis)>,
    /// Partitions that begin with a later record than their first.
    pub from_offsets: Offsets,
    /// Partitions that end before this offset.
    pub until_offsets: BTreeMap<(Topic, u16), u64>,
    /// Files that are taken by the times in them need not be in order; `None`: they are taken as they stand.
    pub disorder: Option<Disorder>,
}

/// How far a file is sorted by the times in it while it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disorder {
    /// A record may stand so far behind a later one, in milliseconds.
    pub within: i64,
    /// So many records of a file are held at most, by each worker that reads it.
    pub most: usize,
}

impl Disorder {
    /// Of so many files: how much is held in all is bounded, some hundred bytes a record.
    #[must_use]
    pub const fn of(within: i64, files: usize) -> Self {
        let files = if files == 0 { 1 } else { files };
        let share = Self::HELD / files;
        Self {
            within,
            most: if share < Self::LEAST { Self::LEAST } else { share },
        }
    }

    /// Of all files together, at most.
    const HELD: usize = 1 << 19;

    /// Of each, however many there are.
    const LEAST: usize = 1 << 10;
}
