//! How epochs are cut, and which clock they go by.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How epochs are cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochSettings {
    /// The shortest epoch while live.
    pub tick: std::time::Duration,
    /// The length of an epoch in a replay, in pipeline time (milliseconds).
    pub replay_tick: i64,
    /// The most records that one worker takes into one live epoch.
    pub max_records: usize,
    /// How many epochs may be under way at once.
    pub in_flight: usize,
    /// Live, an epoch closes after so long even where nothing happens.
    pub heartbeat: std::time::Duration,
    /// What becomes of epochs in which nothing happens.
    pub quiet: Quiet,
}

/// What becomes of epochs that take no record and wake no key. They change nothing, so the answers are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Quiet {
    /// They are passed over.
    Skip,
    /// Each is closed.
    Close,
}

/// What the clock follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// History by its arrival times first, as fast as the machine allows; then the wall clock, until stopped.
    Live,
    /// History by its recorded arrival times; ends where it ended when the job began. A record without an arrival time
    /// arrives at its phenomenon time.
    Arrival,
    /// History by its phenomenon times, for inputs whose arrival times say nothing (a bulk load); ends with it. Base
    /// records and rules arrive before everything else.
    EventTime,
}

impl Clock {
    /// As in `riskflow.toml`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Arrival => "arrival",
            Self::EventTime => "event_time",
        }
    }
}

/// How the job's clock follows the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockSettings {
    /// How long a step of the wall clock that is larger than `time.max_future` must stand until it is followed, in
    /// milliseconds.
    pub confirm: i64,
    /// What happens where the wall clock turns out to be behind the epochs.
    pub rewind: Rewind,
}

/// What happens where the wall clock stands more than `time.max_future` behind the last epoch: it was ahead before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rewind {
    /// The state is made anew from the input that is there, with the right clock.
    Anew,
    /// The job ends, and says what can be done.
    Refuse,
}
