//! What gives the answer its meaning: `[time]`, `[unknown]`, `[unmatched]`, `[risk]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::settings::ScoreCuts;

/// Horizons of event time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenTime {
    /// Observations may be added, replaced and taken back this far behind the clock, `1s` to `7d`; older ones are dead
    /// letters (`too_late`). Memory grows with it.
    pub horizon: String,
    /// Observations may be this far ahead of the clock, up to `1d`; others are dead letters (`in_future`).
    pub max_future: String,
    /// From here on an observation counts as late, up to the horizon; of an event when it was over counts.
    pub late_after: String,
    /// The least length of series kept behind the horizon, so that a rule that comes later finds some history, up to
    /// `31d`. Windows of present rules are kept in any case.
    pub retain: String,
    /// Forecasts may have been issued this far behind the clock, `1s` to `31d`; older ones are dead letters (`too_late`).
    pub forecast_age: String,
    /// Events may have been over for so long, `1m` to `366d`; those that were over before are dead letters (`too_late`). So long they are
    /// known after their end.
    pub event_age: String,
    /// Events may begin this far ahead of the clock, up to `366d`; others are dead letters (`in_future`).
    pub event_ahead: String,
}

impl Default for WrittenTime {
    fn default() -> Self {
        Self {
            horizon: "10m".into(),
            max_future: "1m".into(),
            late_after: "1m".into(),
            retain: "1h".into(),
            forecast_age: "2d".into(),
            event_age: "7d".into(),
            event_ahead: "31d".into(),
        }
    }
}

/// What becomes of observations whose datastream is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenUnknown {
    /// How long they wait for a `base.datastream` record, up to `1d`; then they are dead letters.
    pub hold: String,
    /// How many may wait, over all workers, up to 100,000,000.
    pub max_observations: usize,
    /// How many bytes they may take, over all workers, up to 1 TiB: about 100 each, and what of an identifier is beyond 24.
    pub max_bytes: usize,
}

impl Default for WrittenUnknown {
    fn default() -> Self {
        Self {
            hold: "10m".into(),
            max_observations: 1_000_000,
            max_bytes: 256 << 20,
        }
    }
}

/// What stands in `out.unmatched`: what meets nothing, and pairs of records that are wrong together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenUnmatched {
    /// After it was so for so long, up to `7d`: while tables are loaded a row may come before the one that it belongs to.
    pub after: String,
}

impl Default for WrittenUnmatched {
    fn default() -> Self {
        Self { after: "10m".into() }
    }
}

/// How a score becomes a level.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenRisk {
    /// The least score (inherent level times dynamic level, 1 to 16) of each level; rising.
    pub cuts: WrittenCuts,
}

/// The least score of each level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenCuts {
    /// Of blue.
    pub blue: u8,
    /// Of yellow.
    pub yellow: u8,
    /// Of orange.
    pub orange: u8,
    /// Of red.
    pub red: u8,
}

impl Default for WrittenCuts {
    fn default() -> Self {
        let [blue, yellow, orange, red] = ScoreCuts::default().least;
        Self {
            blue,
            yellow,
            orange,
            red,
        }
    }
}
