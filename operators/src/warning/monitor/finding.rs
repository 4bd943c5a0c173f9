//! What the monitor gives out, and what of it is forgotten.

use std::sync::Arc;

use riskflow_config::{Place, Rule, Standing};
use riskflow_model::base::{Asset, Datastream};
use riskflow_model::output::{Cause, DeadLetter, Explanation, Origin, SourceKind};
use riskflow_model::{Id, Level, Text};
use serde::{Deserialize, Serialize};
use thin_vec::ThinVec;

/// What the monitor gives out.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// For the lifecycle: the level of an entry changed, from some time on.
    Revision(Box<Revision>),
    /// An observation was given up.
    DeadLetter(Box<DeadLetter>),
}

impl Finding {
    /// The revision, if it is one.
    #[must_use]
    pub fn revision(self) -> Option<Revision> {
        if let Self::Revision(revision) = self {
            Some(*revision)
        } else {
            None
        }
    }

    /// The dead letter, if it is one.
    #[must_use]
    pub fn dead_letter(self) -> Option<Box<DeadLetter>> {
        if let Self::DeadLetter(letter) = self {
            Some(letter)
        } else {
            None
        }
    }
}

/// Change points of a level: from each time on, the level there.
pub type Track = Vec<(i64, Level)>;

/// What an entry watches, and its level comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Source {
    /// A rule watches a datastream: its identifier.
    Datastream(Text),
    /// A limit watches the work under permit on its asset.
    Limit,
    /// A rule watches gauges of its asset.
    Gauge,
}

impl Source {
    /// As what it has warnings: rules have them of their own, and limits, whatever a rule watches.
    #[must_use]
    pub const fn kind(&self) -> SourceKind {
        match self {
            Self::Datastream(_) | Self::Gauge => SourceKind::Datastream,
            Self::Limit => SourceKind::Limit,
        }
    }
}

/// The level of one entry changed, from some time on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    /// The order in which revisions of one epoch apply; those of one entry need no other.
    pub origin: Origin,
    /// The rule's identifier.
    pub rule: Text,
    /// The asset's identifier.
    pub asset: Text,
    /// What the entry watches.
    pub source: Source,
    /// From here on the level is `tail`, which may be empty; `i64::MIN`: the entry is new, what was known of it is void.
    pub from: i64,
    /// The change points from there on, until `until`.
    pub tail: Track,
    /// From here on the level is what it was.
    pub until: i64,
    /// How far back from the clock an entry with another condition may begin to see: what went on there must be known then.
    pub reach: i64,
    /// In which rule sets it counts; `None` where there is the live one only.
    pub standing: Option<Arc<Standing>>,
    /// Where there are, nothing is said of levels: what stood in some places stands in others from now on. Then `standing` says which
    /// candidates there are, if it is live.
    pub moves: Option<ThinVec<Move>>,
    /// Whether the entry came to its end: its datastream no longer counts for this rule and asset.
    pub gone: bool,
    /// Whether the level stands only because the datastream fell silent.
    pub stale: bool,
    /// Why; `None` where only `stale` changed.
    pub cause: Option<Cause>,
    /// What the level rests on; `None` where only `stale` changed. When that is noticed depends on when the datastream was
    /// last looked at, and observations behind the horizon may be gone by then or not.
    pub explanation: Option<Box<Explanation>>,
    /// The same of what is over in the stretch that changed: of each episode when it was at its highest, and of what is gone when it
    /// would begin.
    pub past: Vec<Explained>,
}

impl Revision {
    /// One that says nothing yet of a rule on an asset.
    pub(super) fn of(rule: &Rule, asset: &Id<Asset>, datastream: &Id<Datastream>) -> Self {
        Self {
            source: Source::Datastream(datastream.text().clone()),
            standing: rule.sets.as_ref().map(|sets| Arc::clone(&sets.standing)),
            ..Self::over_gauges(&rule.record.id, asset)
        }
    }

    /// One that says nothing yet of a live rule over gauges.
    pub(crate) fn over_gauges(rule: &Text, asset: &Id<Asset>) -> Self {
        Self {
            origin: Origin::default(),
            rule: rule.clone(),
            asset: asset.text().clone(),
            source: Source::Gauge,
            from: i64::MAX,
            tail: Track::new(),
            until: i64::MAX,
            reach: 0,
            standing: None,
            moves: None,
            gone: false,
            stale: false,
            cause: None,
            explanation: None,
            past: Vec::new(),
        }
    }
}

/// What stands in a place of a rule and source from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// The place.
    pub to: Place,
    /// Where that stood until now; `None`: nothing stands there. All moves of an epoch are done at once.
    pub from: Option<Place>,
    /// Why.
    pub cause: Cause,
}

/// What a level rested on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explained {
    /// When.
    pub at: i64,
    /// The level then.
    pub level: Level,
    /// On what.
    pub why: Box<Explanation>,
}

/// Drops the change points of what ended at or before a time; of an episode that goes on those in between: its beginning, its
/// highest level and the last one up to there stay.
pub(crate) fn forget_ended(track: &mut Track, before: i64) {
    forget_episodes(track, before);
    let past = track.partition_point(|(time, _)| *time <= before);
    if past > 2 {
        let between = track[1..past - 1].iter().copied();
        let highest = between.rev().max_by_key(|(_, level)| *level);
        let highest = highest.filter(|(_, level)| *level > track[0].1.max(track[past - 1].1));
        track.splice(1..past - 1, highest);
    }
}

/// Drops the change points of what ended at or before a time.
pub(crate) fn forget_episodes(track: &mut Track, before: i64) {
    let past = track.partition_point(|(time, _)| *time <= before);
    let ended = track[..past].iter().rposition(|(_, level)| *level == Level::None);
    track.drain(..ended.map_or(0, |last| last + 1));
}

/// How far back a track is told of that is told as a whole each time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forget {
    /// What ended at or before this is not told any more. What was told until now is told once more: the lifecycle forgets it in this epoch,
    /// and until then misses what it has a row of.
    pub(crate) told: i64,
    /// The same from the next time on. When an episode that is learnt only then reached its level may be as long ago as its beginning.
    pub(crate) from_now_on: i64,
}

impl Forget {
    /// Of a track as given out until now; what ended at or before `remembered` the lifecycle forgets.
    pub(crate) fn of(shown: &[(i64, Level)], remembered: i64) -> Self {
        let first = shown.first().map(|(first, _)| first - 1);
        Self {
            told: first.map_or(remembered, |first| first.min(remembered)),
            from_now_on: since(shown, remembered).map_or(remembered, |since| since.min(remembered)),
        }
    }
}

/// When the first episode began that was not over by a time.
fn since(track: &[(i64, Level)], time: i64) -> Option<i64> {
    let over = |(at, level): &(i64, Level)| *level == Level::None && *at <= time;
    let first = track.iter().rposition(over).map_or(0, |last| last + 1);
    track.get(first).map(|(since, _)| *since)
}
