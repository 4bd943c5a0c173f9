//! Going over many instants at once, where none of them can change which conditions hold.
//!
//! Over a stretch of time each feature lies between bounds ([`span`](super::span)). Where the truth of a condition is the same at
//! both ends of all bounds, nothing happens in the stretch. So a run along a long series costs a few summaries for each change of a condition, not a look
//! at each point; where bounds are too wide to tell, it goes from instant to instant.

use riskflow_config::LevelPlan;
use smallvec::SmallVec;

use super::evaluation::{Evaluation, Phase, Window, extreme_of, is_extreme, is_sum};
use super::span::Span;
use super::value::{Truth, takes_part};
use super::walk::Walk;

/// The phase of a level at all instants of a stretch, if it can be told that it is one.
/// Times of the day do not change on the way.
fn phase(walk: &Walk<'_>, plan: &LevelPlan, spans: &[Span], until: i64) -> Option<Phase> {
    let rule = &walk.entry.rule;
    let truth_of = |condition, moved, lowest| {
        walk.truth(condition, until, &|index| {
            let Some([on, off]) = walk.entry.limits(index) else {
                return Truth::Absent;
            };
            let comparison = &rule.comparisons[index];
            let truths = spans[comparison.feature].truths(comparison.operator, if moved { off } else { on });
            if lowest { truths.0 } else { truths.1 }
        })
    };
    let of = |moved, lowest| truth_of(&plan.condition, moved, lowest);
    // No threshold may be in force for it: then the level turns off as one without it does.
    let until = plan.until.as_ref();
    if let Some(until) = until.filter(|until| takes_part(walk.entry, until)) {
        let holds = |lowest| truth_of(until, false, lowest) == Truth::Yes;
        return match (of(false, true) == Truth::Yes, of(false, false) == Truth::Yes) {
            (true, _) => Some(Phase::Held),
            (false, true) => None,
            (false, false) if holds(true) => Some(Phase::False),
            (false, false) => (!holds(false)).then_some(Phase::Neither),
        };
    }
    if of(true, false) == Truth::No {
        Some(Phase::False)
    } else if of(false, true) == Truth::Yes {
        Some(Phase::Held)
    } else if of(true, true) != Truth::No && of(false, false) != Truth::Yes {
        Some(Phase::Neither)
    } else {
        None
    }
}

impl Evaluation {
    /// Goes on by up to `stride` points of each kind at once, but not beyond `until`, if no phase changes and no level turns on
    /// the way. Whether it did.
    pub(super) fn leap(&mut self, walk: &Walk<'_>, until: i64, stride: u32) -> bool {
        let end = self.stretch(walk, until, stride);
        // What is seen from before the floor has no place in summaries; few observations come until one counts.
        let sees_before = self.last_counted > i64::MIN && self.last_counted <= walk.floor;
        if end <= self.at || sees_before {
            return false;
        }
        let features = walk.entry.rule.features.iter();
        let spans: SmallVec<[Span; 2]> = features
            .map(|feature| Span::of(walk, feature, self.last_counted, self.at, end))
            .collect();
        let mut levels = walk.entry.rule.levels.iter().zip(&self.levels);
        let constant = levels.all(|(plan, standing)| phase(walk, plan, &spans, end) == Some(standing.phase()));
        if constant {
            self.seat(walk, end);
        }
        constant
    }

    /// How far so many points reach.
    fn stretch(&self, walk: &Walk<'_>, until: i64, stride: u32) -> i64 {
        let time = |first: u32| walk.series.get((first + stride) as usize).map(|point| point.time());
        let mut end = until
            .min(self.next_turn(walk.entry) - 1)
            .min(walk.next_time(self.at) - 1);
        end = end.min(time(self.seen).map_or(end, |time| time - 1));
        for (feature, window) in walk.entry.rule.features.iter().zip(&self.windows) {
            if feature.follows() {
                let expiry = |time| walk.expiry(time, feature) - 1;
                end = end.min(time(window.first).map_or(end, expiry));
            } else {
                end = end.min(walk.next_border(self.at, feature).saturating_sub(1));
            }
        }
        end
    }

    /// Stands at a time: windows and positions are those of then, levels stay as they are.
    pub(super) fn seat(&mut self, walk: &Walk<'_>, at: i64) {
        self.at = at;
        self.seen = walk.series.position_after(at.max(walk.floor)) as u32;
        let last = walk.series.last_counted(at).map(|last| last.time());
        if let Some(last) = last.filter(|last| *last > walk.floor) {
            self.last_counted = last;
        } else if self.last_counted == i64::MIN && walk.heard <= at {
            self.last_counted = walk.heard;
        }
        for (place, feature) in walk.entry.rule.features.iter().enumerate() {
            let window = &mut self.windows[place];
            *window = Window {
                first: self.seen,
                ..Window::default()
            };
            if !feature.follows() {
                continue;
            }
            let gone = walk.left(at, feature).max(walk.floor);
            let extent = walk.series.extent(gone, at);
            window.first = self.seen - extent.len;
            window.count = extent.count;
            if is_sum(feature.kind) {
                window.held = extent.sum;
            } else if is_extreme(feature.kind) && extent.count > 0 {
                window.held = extreme_of(walk.series, feature.kind, &extent, at);
            }
        }
    }
}
