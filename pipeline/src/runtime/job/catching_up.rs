//! How a job that works off a history gets on: where it stands, how fast, and how long it still takes.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use riskflow_model::Millis;

/// Where a job stands that works off a history.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Position {
    /// The time of the last epoch.
    pub time: Millis,
    /// Records taken in a second, of late.
    pub rate: f64,
    /// Records that are there and not taken yet, where that is known.
    pub behind: u64,
    /// How long it still takes, where that can be told.
    pub left: Option<Duration>,
}

/// What tells no time, as base data in files, is taken at the first point of the grid behind the beginning of 1970, and `epoch.replay_tick`
/// is an hour at most: that is no time of the history.
const BASE: Millis = Millis(3_600_000);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.time > BASE {
            write!(f, "at {}", self.time)?;
        } else {
            f.write_str("at base data")?;
        }
        write!(f, ", {:.0} records a second", self.rate)?;
        if self.behind > 0 {
            write!(f, ", {} records behind", self.behind)?;
        }
        match self.left {
            Some(left) => write!(f, ", about {} left", riskflow_model::duration::show(rounded(left))),
            None => Ok(()),
        }
    }
}

/// Whole seconds, and whole minutes from ten minutes on.
const fn rounded(left: Duration) -> i64 {
    let seconds = left.as_secs() as i64 + 1;
    let seconds = if seconds < 600 { seconds } else { seconds / 60 * 60 };
    seconds * 1_000
}

/// What the terminal shows of it; nothing once the job is live.
#[derive(Debug, Default)]
pub struct Shown(Mutex<Option<Position>>);

impl Shown {
    /// Where the job stands; `None` while it is live, or has not begun.
    #[must_use]
    pub fn get(&self) -> Option<Position> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, position: Option<Position>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = position;
    }
}

/// Looks at it now and then.
pub(super) struct CatchingUp {
    looked: Instant,
    told: Instant,
    /// At the last look that was told: time, and records taken.
    before: (i64, u64),
}

/// Between two looks, and between two lines in the log.
const LOOK: Duration = Duration::from_millis(250);
const TELL: Duration = Duration::from_secs(5);

impl CatchingUp {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            looked: now,
            told: now,
            before: (0, 0),
        }
    }

    /// What a job does that is at this time, took so many records, and is so many behind; `goal`: where its history ends, if
    /// that is known.
    pub(super) fn look(
        &mut self,
        time: i64,
        taken: impl FnOnce() -> u64,
        behind: u64,
        goal: Option<i64>,
        shown: &Shown,
    ) {
        if self.looked.elapsed() < LOOK {
            return;
        }
        self.looked = Instant::now();
        let (passed, taken) = (self.told.elapsed().as_secs_f64(), taken());
        let (before, taken_before) = self.before;
        let rate = (taken - taken_before) as f64 / passed;
        let position = Position {
            time: Millis(time),
            rate,
            behind,
            left: left(behind as f64 / rate).or_else(|| {
                let speed = (time - before) as f64 / passed;
                left((goal? - time) as f64 / speed).filter(|_| before > 0)
            }),
        };
        shown.set(Some(position));
        if self.told.elapsed() >= TELL {
            (self.told, self.before) = (Instant::now(), (time, taken));
            tracing::info!("catching up: {position}");
        }
    }

    pub(super) fn end(shown: &Shown) {
        shown.set(None);
    }
}

/// Nothing where nothing is left, or nothing moves.
fn left(seconds: f64) -> Option<Duration> {
    (seconds > 0.0 && seconds < 1e9).then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_one_sentence() {
        let position = Position {
            time: Millis(1_750_003_200_000),
            rate: 31_000.4,
            behind: 93_000,
            left: left(93_000.0 / 31_000.4),
        };
        assert_eq!(
            position.to_string(),
            "at 2025-06-15T16:00:00.000Z, 31000 records a second, 93000 records behind, about 3s left"
        );
        let base = Position {
            time: Millis(1_000),
            behind: 0,
            left: None,
            ..position
        };
        assert_eq!(base.to_string(), "at base data, 31000 records a second");
        assert_eq!(left(f64::INFINITY), None);
        assert_eq!(left(f64::NAN), None);
    }
}
