//! Going over many instants at once, where none of them can change which conditions hold.
//!
//! Over a stretch of time each feature lies between bounds that follow from summaries of the series: some points are in the
//! window throughout, others come or expire on the way. Where the truth of a condition is the same at both ends of all bounds,
//! nothing happens in the stretch. So a run along a long series costs a few summaries for each change of a condition, not a look
//! at each point; where bounds are too wide to tell, it goes from instant to instant.

use std::cmp::Ordering;

use ethnum::I256;
use riskflow_config::{Feature, FeatureKind, LevelPlan, Limit, Operator};
use smallvec::SmallVec;

use super::evaluation::{Evaluation, HOUR, Phase, Window, expiry, extreme_of, is_extreme, is_sum, left};
use super::series::billionths;
use super::tally::Tally;
use super::value::{THOUSANDTH, Truth, admits, parts, truth};
use super::walk::Walk;

/// What a feature may be at the instants of a stretch.
pub(super) struct Span {
    /// Whether it is known, or unknown, at all of them; neither where that cannot be told.
    known: bool,
    unknown: bool,
    /// How many points are in the window throughout.
    stays: u32,
    values: Values,
}

/// Bounds of the values, in billionths but for results.
enum Values {
    /// Results between two.
    Results { least: f64, most: f64 },
    /// Numbers between two.
    Numbers { least: i128, most: i128 },
    /// Sums or means.
    Sums(Sums),
    /// Differences between two, over lapses between two.
    Rates { rise: (i128, i128), lapse: (i64, i64) },
}

/// Of some points, and of any of so many others with results between two.
struct Sums {
    mean: bool,
    sum: i128,
    count: u32,
    others: u32,
    least: i64,
    most: i64,
}

impl Sums {
    /// By how much the threshold is surpassed, at least and at most. The mean reaches it where the sum of what each result is
    /// over it reaches 0. The threshold is a fraction; all times what stands below its line.
    fn over(&self, (above, below): (I256, I256)) -> (I256, I256) {
        let (one, all) = match self.mean {
            true => (above, above * I256::from(self.count)),
            false => (I256::ZERO, above),
        };
        let rest = I256::from(self.sum) * below - all;
        let others = I256::from(self.others);
        let least = (I256::from(self.least) * below - one).min(I256::ZERO) * others;
        let most = (I256::from(self.most) * below - one).max(I256::ZERO) * others;
        (rest + least, rest + most)
    }
}

impl Span {
    /// Of a feature over the instants after `after`, up to and including `until`.
    pub(super) fn of(walk: &Walk<'_>, feature: Feature, last_counted: i64, after: i64, until: i64) -> Self {
        let pane = walk.entry.rule.pane;
        let gone = |at| left(at, feature, pane).max(walk.floor);
        if feature.kind == FeatureKind::Silence {
            return Self::silence(walk, last_counted, after, until);
        }
        let stays = walk.series.extent(gone(until), after);
        let all = walk.series.extent(gone(after), until);
        let needed = if feature.kind == FeatureKind::Rate { 2 } else { 1 };
        let (known, unknown) = (stays.count >= needed, all.count < needed);
        let values = if unknown {
            Values::Numbers { least: 0, most: 0 }
        } else {
            match feature.kind {
                // The rest can only be less extreme than what stays.
                FeatureKind::Max => Values::Results {
                    least: if known { stays.most } else { all.least },
                    most: all.most,
                },
                FeatureKind::Min => Values::Results {
                    least: all.least,
                    most: if known { stays.least } else { all.most },
                },
                FeatureKind::Count => Values::Numbers {
                    least: i128::from(stays.count) * 1000 * THOUSANDTH,
                    most: i128::from(all.count) * 1000 * THOUSANDTH,
                },
                FeatureKind::Sum | FeatureKind::Mean => Values::Sums(Sums {
                    mean: feature.kind == FeatureKind::Mean,
                    sum: stays.sum,
                    count: stays.count,
                    others: all.count - stays.count,
                    least: billionths(all.least),
                    most: billionths(all.most),
                }),
                FeatureKind::Rate => Self::rates(walk, gone(after), gone(until), after, until),
                FeatureKind::Last | FeatureKind::Silence => {
                    let before = walk.series.last_counted(after).map_or(after, |last| last.time());
                    let lasts = walk.series.extent(before.max(gone(after) + 1) - 1, until);
                    Values::Results {
                        least: lasts.least,
                        most: lasts.most,
                    }
                }
            }
        };
        Self {
            known,
            unknown,
            stays: stays.count,
            values,
        }
    }

    /// A silence begins anew with each point.
    fn silence(walk: &Walk<'_>, last: i64, after: i64, until: i64) -> Self {
        let next = walk.series.first_counted(after).map_or(i64::MAX, |next| next.time());
        let unknown = last == i64::MIN;
        // Where nothing was seen yet, it begins with what was heard before.
        let next = if unknown && walk.heard > after {
            next.min(walk.heard)
        } else {
            next
        };
        let (least, most) = match next > until {
            _ if unknown => (0, until - next.min(until)),
            true => (after + 1 - last, until - last),
            false => (0, until - last),
        };
        Self {
            known: !unknown,
            unknown: unknown && next > until,
            stays: 0,
            values: Values::Numbers {
                // Milliseconds are thousandths of a second.
                least: i128::from(least) * THOUSANDTH,
                most: i128::from(most) * THOUSANDTH,
            },
        }
    }

    /// The first point of the window is one of some, the last one of others.
    fn rates(walk: &Walk<'_>, gone: i64, then: i64, after: i64, until: i64) -> Values {
        let series = walk.series;
        let earliest = series.first_counted(gone).map_or(until, |point| point.time());
        let latest = series
            .first_counted(then)
            .map_or(until, |point| point.time().min(until));
        let firsts = series.extent(earliest - 1, latest);
        let oldest = series
            .last_counted(after)
            .map_or(earliest, |point| point.time().max(earliest));
        let newest = series.last_counted(until).map_or(until, |point| point.time());
        let lasts = series.extent(oldest - 1, newest);
        let part = |one: f64, other: f64| i128::from(billionths(one)) - i128::from(billionths(other));
        Values::Rates {
            rise: (part(lasts.least, firsts.most), part(lasts.most, firsts.least)),
            lapse: ((oldest - latest).max(1), newest - earliest),
        }
    }

    /// How the least and the greatest possible value stand to a threshold.
    fn against(&self, limit: Limit<'_>) -> (Ordering, Ordering) {
        let (above, below) = parts(limit);
        match self.values {
            Values::Results { least, most } => (limit.of_result(least), limit.of_result(most)),
            Values::Numbers { least, most } => (
                (I256::from(least) * below).cmp(&above),
                (I256::from(most) * below).cmp(&above),
            ),
            Values::Sums(ref sums) => {
                let (least, most) = sums.over((above, below));
                (least.cmp(&I256::ZERO), most.cmp(&I256::ZERO))
            }
            Values::Rates { rise, lapse } => {
                let (short, long) = (above * I256::from(lapse.0), above * I256::from(lapse.1));
                let hour = I256::from(HOUR) * below;
                (
                    (I256::from(rise.0) * hour).cmp(&short.max(long)),
                    (I256::from(rise.1) * hour).cmp(&short.min(long)),
                )
            }
        }
    }

    /// Whether a comparison of a feature that adds up had the same truth throughout as it has now, if so many points came and
    /// went, and with them at most as much as the tally says.
    pub(super) fn untouched(&self, (came, went): (u32, u32), tally: &Tally) -> bool {
        if self.unknown || self.stays <= came {
            return self.unknown && went == 0;
        }
        let (above, below) = tally.limit;
        let (least, most) = match &self.values {
            Values::Sums(sums) => sums.over(tally.limit),
            Values::Numbers { least, most } => (I256::from(*least) * below - above, I256::from(*most) * below - above),
            Values::Results { .. } | Values::Rates { .. } => return false,
        };
        let admits = |over: I256| admits(tally.operator, over.cmp(&I256::ZERO));
        admits(least - tally.rose) == admits(most - tally.fell)
    }

    /// The least and the greatest truth that a comparison may have.
    fn truths(&self, operator: Operator, limit: Limit<'_>) -> (Truth, Truth) {
        if self.unknown {
            return (Truth::Unknown, Truth::Unknown);
        }
        let (least, most) = self.against(limit);
        let (one, other) = (admits(operator, least), admits(operator, most));
        let lowest = match one && other {
            false => Truth::No,
            true if self.known => Truth::Yes,
            true => Truth::Unknown,
        };
        let highest = match one || other {
            true => Truth::Yes,
            false if self.known => Truth::No,
            false => Truth::Unknown,
        };
        (lowest, highest)
    }
}

/// The phase of a level at all instants of a stretch, if it can be told that it is one.
fn phase(walk: &Walk<'_>, plan: &LevelPlan, spans: &[Span]) -> Option<Phase> {
    let rule = &walk.entry.rule;
    let of = |moved, lowest| {
        truth(&plan.condition, &|index| {
            let Some([on, off]) = walk.entry.limits(index) else {
                return Truth::Absent;
            };
            let comparison = &rule.comparisons[index];
            let truths = spans[comparison.feature].truths(comparison.operator, if moved { off } else { on });
            if lowest { truths.0 } else { truths.1 }
        })
    };
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
            .map(|feature| Span::of(walk, *feature, self.last_counted, self.at, end))
            .collect();
        let mut levels = walk.entry.rule.levels.iter().zip(&self.levels);
        let constant = levels.all(|(plan, standing)| phase(walk, plan, &spans) == Some(standing.phase()));
        if constant {
            self.seat(walk, end);
        }
        constant
    }

    /// How far so many points reach.
    fn stretch(&self, walk: &Walk<'_>, until: i64, stride: u32) -> i64 {
        let time = |first: u32| walk.series.get((first + stride) as usize).map(|point| point.time());
        let mut end = until.min(self.next_turn(walk.entry) - 1);
        end = end.min(time(self.seen).map_or(end, |time| time - 1));
        for (feature, window) in walk.entry.rule.features.iter().zip(&self.windows) {
            if feature.kind != FeatureKind::Silence {
                let expiry = |time| expiry(time, *feature, walk.entry.rule.pane) - 1;
                end = end.min(time(window.first).map_or(end, expiry));
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
            if feature.kind == FeatureKind::Silence {
                continue;
            }
            let gone = left(at, *feature, walk.entry.rule.pane).max(walk.floor);
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
