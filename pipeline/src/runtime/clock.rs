//! The job's clock: the only place that reads the time for the dataflow.
//!
//! It starts with the wall clock and then goes by monotonic time, also while the machine sleeps. As long as the wall clock
//! differs by no more than `time.max_future` it is followed at once: that is how time servers correct it. A larger step may
//! be a mistake that is taken back in a moment; observations would be refused meanwhile. So it is followed only when it
//! has stood for `clock.confirm`.

use std::time::{SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use riskflow_config::ClockSettings;

/// The least difference, in milliseconds, that the wall clock may have and still be followed at once.
pub const TOLERANCE: i64 = 1_000;

/// Milliseconds since the Unix epoch by the wall clock.
///
/// # Panics
///
/// When it stands before 1970.
#[must_use]
pub fn wall_clock() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the wall clock stands before 1970; set it");
    since.as_millis() as i64
}

/// What the machine's clocks say at one moment, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Since the Unix epoch; may go forward and back.
    pub wall: i64,
    /// Since some moment; only ever goes forward, as fast as time passes.
    pub steady: i64,
}

impl Reading {
    /// Asks the machine.
    ///
    /// # Panics
    ///
    /// When it has no such clocks: no supported system is without.
    #[must_use]
    pub fn now() -> Self {
        let steady = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("every Linux has this clock");
        Self {
            wall: wall_clock(),
            steady: steady.tv_sec() * 1_000 + steady.tv_nsec() / 1_000_000,
        }
    }
}

/// What the clock did at a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Motion {
    /// It went on.
    Went,
    /// The wall clock made a step that is not followed for now, this far ahead of the job's clock.
    Stepped(i64),
    /// The wall clock took its step back, or time has caught up with it.
    Agrees,
    /// The step is followed now: the job's clock moved by so much.
    Followed(i64),
}

/// The job's clock.
#[derive(Clone, Debug)]
pub struct JobClock {
    settings: ClockSettings,
    /// How far the wall clock may differ and still be followed at once.
    tolerance: i64,
    /// The job's time less monotonic time.
    offset: i64,
    /// The monotonic time at which the wall clock was first seen to differ by more.
    differs_since: Option<i64>,
    time: i64,
}

impl JobClock {
    /// A clock that starts with the wall clock.
    #[must_use]
    pub const fn new(settings: ClockSettings, tolerance: i64, reading: Reading) -> Self {
        Self {
            settings,
            tolerance,
            offset: reading.wall - reading.steady,
            differs_since: None,
            time: reading.wall,
        }
    }

    /// What time it is, as of the last reading: milliseconds since the Unix epoch. It goes back where the wall clock was
    /// followed back.
    #[must_use]
    pub const fn time(&self) -> i64 {
        self.time
    }

    /// Whether the wall clock stands elsewhere, and is not followed for now.
    #[must_use]
    pub const fn differs(&self) -> bool {
        self.differs_since.is_some()
    }

    /// Takes a reading.
    pub const fn read(&mut self, reading: Reading) -> Motion {
        let Reading { wall, steady } = reading;
        self.time = steady + self.offset;
        let ahead = wall - self.time;
        if ahead.abs() <= self.tolerance {
            self.follow(reading);
            return match self.differs_since.take() {
                Some(_) => Motion::Agrees,
                None => Motion::Went,
            };
        }
        match self.differs_since {
            None => {
                self.differs_since = Some(steady);
                Motion::Stepped(ahead)
            }
            Some(since) if steady - since >= self.settings.confirm => {
                self.follow(reading);
                self.differs_since = None;
                Motion::Followed(ahead)
            }
            Some(_) => Motion::Went,
        }
    }

    const fn follow(&mut self, reading: Reading) {
        self.offset = reading.wall - reading.steady;
        self.time = reading.wall;
    }
}

#[cfg(test)]
mod tests {
    use riskflow_config::Rewind;

    use super::*;

    const MINUTE: i64 = 60_000;
    const START: i64 = 1_700_000_000_000;

    /// Reads once a second of steady time, while the wall clock is so far from where it should be.
    struct Machine {
        clock: JobClock,
        steady: i64,
    }

    impl Machine {
        fn new() -> Self {
            let settings = ClockSettings {
                confirm: 5 * MINUTE,
                rewind: Rewind::Anew,
            };
            let reading = Reading { wall: START, steady: 0 };
            Self {
                clock: JobClock::new(settings, MINUTE, reading),
                steady: 0,
            }
        }

        fn pass(&mut self, seconds: i64, off: i64) -> Vec<Motion> {
            let mut motions = Vec::new();
            for _ in 0..seconds {
                self.steady += 1_000;
                let (wall, steady) = (START + self.steady + off, self.steady);
                let motion = self.clock.read(Reading { wall, steady });
                motions.extend((motion != Motion::Went).then_some(motion));
            }
            motions
        }

        fn off(&self) -> i64 {
            self.clock.time() - START - self.steady
        }
    }

    #[test]
    fn a_small_step_is_followed_at_once_in_both_directions() {
        let mut machine = Machine::new();
        for off in [20_000, -10_000, 0, -MINUTE] {
            assert_eq!(machine.pass(3, off), []);
            assert_eq!(machine.off(), off);
        }
    }

    #[test]
    fn a_large_step_that_is_taken_back_moves_nothing() {
        for step in [120 * MINUTE, -120 * MINUTE] {
            let mut machine = Machine::new();
            assert_eq!(machine.pass(200, step), [Motion::Stepped(step)]);
            assert_eq!(machine.off(), 0);
            assert!(machine.clock.differs());
            assert_eq!(machine.pass(3, 0), [Motion::Agrees]);
            assert!(!machine.clock.differs());
            // The next one counts from its own beginning.
            assert_eq!(machine.pass(299, step), [Motion::Stepped(step)]);
            assert_eq!(machine.off(), 0);
        }
    }

    #[test]
    fn a_large_step_that_stands_is_followed() {
        for step in [120 * MINUTE, -120 * MINUTE] {
            let mut machine = Machine::new();
            assert_eq!(machine.pass(301, step), [Motion::Stepped(step), Motion::Followed(step)]);
            assert_eq!(machine.off(), step);
            assert_eq!(machine.pass(10, step), []);
        }
    }
}
