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

use super::evaluation::{Evaluation, HOUR, Phase, Window, extreme_of, is_extreme, is_sum};
use super::series::billionths;
use super::tally::Tally;
use super::value::{THOUSANDTH, Truth, Value, admits, parts};
use super::walk::Walk;
use super::window::{base, reading};

/// What a feature may be at the instants of a stretch.
pub(super) struct Span {
    /// Whether it is known, or unknown, at all of them; neither where that cannot be told.
    known: bool,
    unknown: bool,
    /// How many points are in the window throughout.
    stays: u32,
    /// Whether it is known though the window may be empty.
    of_nothing: bool,
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
    /// One value.
    Exact(Value),
    /// Whatever.
    Any,
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
    pub(super) fn of(walk: &Walk<'_>, feature: &Feature, last_counted: i64, after: i64, until: i64) -> Self {
        let gone = |at| walk.left(at, feature).max(walk.floor);
        if feature.kind == FeatureKind::Silence {
            return Self::silence(walk, last_counted, after, until);
        }
        if !feature.follows() {
            return Self::constant(walk, feature, after, until);
        }
        let stays = walk.series.extent(gone(until), after);
        let all = walk.series.extent(gone(after), until);
        let zero = feature.kind.has_nothing(walk.entry.rule.on_event);
        let of_nothing = zero && walk.is_known(after);
        let (known, unknown) = match feature.kind {
            FeatureKind::Rate | FeatureKind::Slope => Self::sloping(walk, feature, (gone(after), gone(until)), after, until),
            // A second point, or one before the window.
            FeatureKind::Increase if !of_nothing => (stays.count >= 2, all.count == 0),
            _ if of_nothing => (true, false),
            _ => (stays.count >= 1, all.count == 0 && !(zero && walk.is_known(until))),
        };
        let between = |least: i128, most: i128| Values::Numbers { least, most };
        let number = |count: u32| i128::from(count) * 1000 * THOUSANDTH;
        let part = |one: f64, other: f64| i128::from(billionths(one)) - i128::from(billionths(other));
        let values = if all.count == 0 {
            between(0, 0)
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
                FeatureKind::Count => match reading(walk, feature) {
                    Some(beyond) => between(
                        number(walk.series.count_beyond(gone(until), after, beyond)),
                        number(walk.series.count_beyond(gone(after), until, beyond)),
                    ),
                    None => between(number(stays.count), number(all.count)),
                },
                // It is that of what stays, and more, unless one comes that does not meet the comparison.
                FeatureKind::InARow => match reading(walk, feature) {
                    Some(beyond) => {
                        let most = walk.series.count_beyond(gone(after), until, beyond);
                        let throughout = most == all.count;
                        between(number(if throughout { stays.count } else { 0 }), number(most))
                    }
                    None => between(0, 0),
                },
                FeatureKind::Range => between(
                    if stays.count > 0 { part(stays.most, stays.least) } else { 0 },
                    part(all.most, all.least),
                ),
                FeatureKind::Drop | FeatureKind::Rise => between(0, part(all.most, all.least)),
                // No result is further from the mean than half of the range is, in the mean.
                FeatureKind::Deviation => between(0, (part(all.most, all.least) + 1) / 2),
                FeatureKind::Quantile => Values::Results {
                    least: all.least,
                    most: all.most,
                },
                FeatureKind::Increase => {
                    let whole = walk.series.moments(gone(after), until);
                    let (first, _) = whole.ends.expect("there are points that count");
                    let before = base(walk, feature, first, gone(after));
                    let before = before.map_or(0, |before| super::series::step(before, first));
                    let inside = walk.series.moments(gone(until), after).increase;
                    between(inside, whole.increase + before)
                }
                FeatureKind::Slope => Values::Any,
                FeatureKind::Sum | FeatureKind::Mean => Values::Sums(Sums {
                    mean: feature.kind == FeatureKind::Mean,
                    sum: stays.sum,
                    count: stays.count,
                    others: all.count - stays.count,
                    least: billionths(all.least),
                    most: billionths(all.most),
                }),
                FeatureKind::Rate => Self::rates(walk, gone(after), gone(until), after, until),
                FeatureKind::ForecastMin
                | FeatureKind::ForecastMax
                | FeatureKind::ForecastMean
                | FeatureKind::ForecastSum => Values::Any,
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
            of_nothing,
            values,
        }
    }

    /// Whether a rate or slope is known, or unknown, throughout. The first point of the window is one of some, the last of others.
    fn sloping(walk: &Walk<'_>, feature: &Feature, (gone, then): (i64, i64), after: i64, until: i64) -> (bool, bool) {
        let series = walk.series;
        let time = |point: Option<super::series::Point>| point.map(super::series::Point::time);
        let earliest = time(series.first_counted(gone)).filter(|time| *time <= until);
        let newest = time(series.last_counted(until)).filter(|time| *time > gone);
        let latest = time(series.first_counted(then)).filter(|time| *time <= after);
        let oldest = time(series.last_counted(after)).filter(|time| *time > then);
        let long = |from: Option<i64>, to: Option<i64>| {
            from.zip(to)
                .is_some_and(|(from, to)| to > from && to - from >= feature.shortest)
        };
        (long(latest, oldest), !long(earliest, newest))
    }

    /// Of one that does not follow the observations as they come: it changes at borders only, and with corrections.
    fn constant(walk: &Walk<'_>, feature: &Feature, after: i64, until: i64) -> Self {
        // Where the stretch crosses a border there is no telling.
        let crosses = walk.next_border(after, feature) <= until;
        let values = match crosses {
            true => Values::Any,
            false => {
                let (from, to) = walk.stretch(until, feature);
                Values::Exact(super::window::value_over(walk, feature, from, to))
            }
        };
        let unknown = matches!(&values, Values::Exact(super::value::Value::Unknown));
        Self {
            known: !crosses && !unknown,
            unknown,
            stays: 0,
            of_nothing: false,
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
            of_nothing: false,
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
            Values::Any => (Ordering::Less, Ordering::Greater),
            Values::Exact(ref value) => {
                let ordering = value.against(limit).expect("it is known");
                (ordering, ordering)
            }
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
        if !self.of_nothing && (self.unknown || self.stays <= came) {
            return self.unknown && went == 0;
        }
        let (above, below) = tally.limit;
        let (least, most) = match &self.values {
            Values::Sums(sums) => sums.over(tally.limit),
            Values::Numbers { least, most } => (I256::from(*least) * below - above, I256::from(*most) * below - above),
            Values::Results { .. } | Values::Rates { .. } | Values::Exact(_) | Values::Any => return false,
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
    if let Some(until) = &plan.until {
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
        let mut end = until.min(self.next_turn(walk.entry) - 1).min(walk.next_time(self.at) - 1);
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
