//! Fold `score_baseline`: the score of a region and domain an hour ago, for its trend.
//!
//! "An hour ago" is the last full minute at or before the clock, less one hour: a region whose score changes at every
//! epoch still gives at most one update a minute here.

use std::collections::VecDeque;

use differential_dataflow::Hashable;
use riskflow_model::output::Origin;
use riskflow_model::{DomainScope, Millis, RegionCode};
use serde::{Deserialize, Serialize};

use crate::engine::{Diff, Fold, Next, NoRecord};

/// A region and a domain.
pub type RegionScope = (RegionCode, DomainScope);

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// The fold itself: nothing but its state.
#[derive(Debug, Default)]
pub struct ScoreBaseline;

/// Of one region and domain: the scores of the last hour, and the one of an hour ago.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct BaselineState {
    /// Scores with the time from which on they were an hour old, rising.
    ahead: VecDeque<(Millis, i64)>,
    shown: i64,
}

/// From when on a score that a region took at `time` is that of an hour ago.
const fn due(time: Millis) -> Millis {
    // At `now` the score of `floor(now) - HOUR` counts, so one taken at `time` counts from the first full minute at or
    // after it on.
    Millis((time.0 + MINUTE - 1).div_euclid(MINUTE) * MINUTE + HOUR)
}

impl Fold for ScoreBaseline {
    type Key = RegionScope;
    type Row = i64;
    type Record = NoRecord;
    type State = BaselineState;
    type Output = (RegionScope, i64);

    const NAME: &'static str = "score_baseline";

    fn route(key: &RegionScope) -> u64 {
        key.hashed()
    }

    fn place(record: &NoRecord) -> (RegionScope, Origin) {
        match *record {}
    }

    fn rows(
        &mut self,
        now: Millis,
        _key: RegionScope,
        state: &mut BaselineState,
        changes: &mut dyn Iterator<Item = (i64, Diff)>,
    ) -> bool {
        let score = changes
            .filter(|(_, diff)| *diff > 0)
            .last()
            .map_or(0, |(score, _)| score);
        if state.ahead.back().map_or(state.shown, |(_, last)| *last) != score {
            match state.ahead.back_mut() {
                Some(last) if last.0 == due(now) => last.1 = score,
                _ => state.ahead.push_back((due(now), score)),
            }
        }
        true
    }

    fn record(&mut self, _now: Millis, _key: RegionScope, _state: &mut BaselineState, record: &mut NoRecord) {
        match *record {}
    }

    fn recall(&mut self, key: RegionScope, state: &BaselineState, out: &mut Vec<(Self::Output, Diff)>) {
        out.extend((state.shown != 0).then_some(((key, state.shown), 1)));
    }

    fn settle(
        &mut self,
        now: Millis,
        key: RegionScope,
        state: &mut BaselineState,
        out: &mut Vec<(Self::Output, Diff)>,
    ) -> Next {
        let before = state.shown;
        while let Some((_, score)) = state.ahead.pop_front_if(|(due, _)| *due <= now) {
            state.shown = score;
        }
        if state.shown != before {
            out.extend((before != 0).then_some(((key, before), -1)));
            out.extend((state.shown != 0).then_some(((key, state.shown), 1)));
        }
        match state.ahead.front() {
            Some((due, _)) => Next::Wake(*due),
            None if state.shown == 0 => Next::Forget,
            None => Next::Keep,
        }
    }
}
