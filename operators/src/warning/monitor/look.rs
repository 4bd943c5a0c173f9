//! What an entry says at one time, as it is told to whoever asks.

use riskflow_model::base::Datastream;
use riskflow_model::output::{Explanation, FeatureValue, GivenLimit};
use riskflow_model::{Duration, Id, Level, Millis, Text};
use serde::Serialize;

use super::value::Truth;
use super::{Monitor, MonitorState};

/// What one rule says of one datastream at a time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Look {
    /// The rule's identifier.
    pub rule: Text,
    /// Its name.
    pub rule_name: Text,
    /// Its version.
    pub rule_version: u32,
    /// The datastream.
    pub datastream: Id<Datastream>,
    /// The rule, or its thresholds, came or changed, and it sees only observations after this time; absent where it sees all. Where it
    /// lies at or after the time that was asked about, there are no levels.
    pub begins: Option<Millis>,
    /// The highest level that is on.
    pub level: Level,
    /// Since when it is that.
    pub since: Option<Millis>,
    /// Whether it stands only because the condition of that level is unknown.
    pub stale: bool,
    /// Each level of the rule, the lowest first.
    pub levels: Vec<LookedLevel>,
}

/// What one level of a rule comes to at a time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LookedLevel {
    /// Blue to red.
    pub level: Level,
    /// What turns it on.
    pub when: Judged,
    /// Whether it is on.
    pub on: bool,
    /// Since when, as far back as that is known.
    pub on_since: Option<Millis>,
    /// How long the condition must hold.
    pub hold: Duration,
    /// Of a level that waits for its hold: since when the condition holds.
    pub held_since: Option<Millis>,
    /// How long what turns it off must last.
    pub clear: Duration,
    /// Of a level that waits to turn off: since when what turns it off lasts.
    pub clear_since: Option<Millis>,
    /// When it turns on or off, if nothing else comes.
    pub turns: Option<Millis>,
    /// What turns it off, where the rule says so.
    pub until: Option<Judged>,
    /// The condition with its thresholds moved by the margins, where they move: while it is not false, the level does not turn off.
    pub moved: Option<Judged>,
    /// The condition in words, the values and their first and last observations: what a warning of this level would say.
    pub explanation: Explanation,
}

/// A condition at a time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judged {
    /// In words, with the thresholds in force.
    pub condition: Text,
    /// Whether it holds.
    pub truth: Truth,
    /// Each of its comparisons, in order.
    pub comparisons: Vec<Weighed>,
}

/// One comparison at a time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Weighed {
    /// In words, with the threshold in force.
    pub comparison: Text,
    /// What is compared.
    pub feature: FeatureValue,
    /// Whether it holds.
    pub truth: Truth,
    /// Whose its threshold is; absent where it is the rule's.
    pub whose: Option<GivenLimit>,
    /// Of `projected`: when the result gets to the threshold where it goes on as over the window, rounded up to a millisecond. Absent
    /// where the last result is there already, the trend does not lead there, or not within 31 days of the last observation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reaches: Option<Millis>,
}

impl MonitorState {
    /// What each rule says of this datastream at a time that lies at most the horizon behind what was settled last, or was kept
    /// ([`MonitorState::keep_all`]).
    pub(in crate::warning) fn look(&self, monitor: &Monitor, Millis(at): Millis) -> Vec<Look> {
        let Some(known) = &self.known else {
            return Vec::new();
        };
        let forecasts = self.aside.as_ref().map(|aside| &aside.forecasts);
        let ground = monitor.ground(&known.series, forecasts);
        let watches = known.watches.iter();
        watches
            .filter_map(|watch| watch.look(ground, at, &known.subject))
            .collect()
    }

    /// Lets go of nothing from now on. What comes out is the same, but takes the more memory the longer the series is.
    pub(in crate::warning) fn keep_all(&mut self) {
        if let Some(known) = &mut self.known {
            known.compacted = i64::MAX;
        }
    }
}
