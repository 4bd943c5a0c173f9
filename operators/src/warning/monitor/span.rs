//! Between which bounds a feature lies over a stretch of time: they follow from summaries of the series, since some points are in the
//! window throughout, and others come or expire on the way.

use std::cmp::Ordering;

use ethnum::I256;
use riskflow_config::{Feature, FeatureKind, Limit, Operator};

use super::evaluation::HOUR;
use super::series::{Extent, Point, billionths, step};
use super::tally::Tally;
use super::value::{Ranked, THOUSANDTH, Truth, Value, admits, parts, root, wide};
use super::walk::Walk;
use super::window::{base, judged_at, ranked_between, reading};

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
    /// Roots of quotients between two, in squares of billionths.
    Roots { least: Quotient, most: Quotient },
    /// Quotients between two, in billionths.
    Quotients { least: Quotient, most: Quotient },
    /// What stands to limits between two.
    Ranked(Box<(Ranked, Ranked)>),
    /// One value.
    Exact(Value),
    /// Whatever.
    Any,
}

/// Above and below the line, which is positive.
type Quotient = (I256, I256);

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
        let stretch = Stretch {
            walk,
            feature,
            gone: gone(after),
            then: gone(until),
            after,
            until,
            stays: walk.series.extent(gone(until), after),
            all: walk.series.extent(gone(after), until),
        };
        let of_nothing = feature.kind.has_nothing(walk.entry.rule.on_event) && walk.is_known(after);
        let (known, unknown) = stretch.known(of_nothing);
        Self {
            known,
            unknown,
            stays: stretch.stays.count,
            of_nothing,
            values: stretch.values(known),
        }
    }

    /// Of one that does not follow the observations as they come: it changes at borders only, and with corrections.
    fn constant(walk: &Walk<'_>, feature: &Feature, after: i64, until: i64) -> Self {
        // Where the stretch crosses a border there is no telling.
        let crosses = walk.next_border(after, feature) <= until;
        let values = match crosses {
            true => Values::Any,
            false => Values::Exact(judged_at(walk, feature, until)),
        };
        let unknown = matches!(&values, Values::Exact(Value::Unknown));
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
            Values::Roots { ref least, ref most } => (root(least, limit), root(most, limit)),
            Values::Quotients { ref least, ref most } => (wide(least, limit), wide(most, limit)),
            Values::Ranked(ref ranked) => (ranked.0.against(limit), ranked.1.against(limit)),
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
            Values::Results { .. }
            | Values::Rates { .. }
            | Values::Roots { .. }
            | Values::Quotients { .. }
            | Values::Ranked(_)
            | Values::Exact(_)
            | Values::Any => return false,
        };
        let admits = |over: I256| admits(tally.operator, over.cmp(&I256::ZERO));
        admits(least - tally.rose) == admits(most - tally.fell)
    }

    /// The least and the greatest truth that a comparison may have.
    pub(super) fn truths(&self, operator: Operator, limit: Limit<'_>) -> (Truth, Truth) {
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

/// A feature whose window follows the observations, over the instants after one time, up to and including another.
struct Stretch<'a, 'b> {
    walk: &'a Walk<'b>,
    feature: &'a Feature,
    /// What had left the window at the beginning, and what at the end.
    gone: i64,
    then: i64,
    after: i64,
    until: i64,
    /// The points that are in the window throughout, and all that are at any time.
    stays: Extent,
    all: Extent,
}

impl Stretch<'_, '_> {
    /// Whether the feature is known, or unknown, throughout.
    fn known(&self, of_nothing: bool) -> (bool, bool) {
        let zero = self.feature.kind.has_nothing(self.walk.entry.rule.on_event);
        match self.feature.kind {
            FeatureKind::Rate | FeatureKind::Slope | FeatureKind::Projected => self.sloping(),
            // A second point, or one before the window.
            FeatureKind::Increase if !of_nothing => {
                let nothing = self.all.count == 0 && !(zero && self.walk.is_known(self.until));
                (self.stays.count >= 2, nothing)
            }
            _ if of_nothing => (true, false),
            _ => {
                let nothing = self.all.count == 0 && !(zero && self.walk.is_known(self.until));
                (self.stays.count >= 1, nothing)
            }
        }
    }

    /// The first point of the window is one of some, the last of others.
    fn sloping(&self) -> (bool, bool) {
        let series = self.walk.series;
        let first = |gone, until| {
            series
                .first_counted(gone)
                .map(Point::time)
                .filter(|time| *time <= until)
        };
        let last = |until, gone| series.last_counted(until).map(Point::time).filter(|time| *time > gone);
        let long = |from: Option<i64>, to: Option<i64>| {
            let lapse = from.zip(to).map_or(0, |(from, to)| to - from);
            lapse > 0 && lapse >= self.feature.shortest
        };
        let known = long(first(self.then, self.after), last(self.after, self.then));
        let possible = long(first(self.gone, self.until), last(self.until, self.gone));
        (known, !possible)
    }

    fn values(&self, known: bool) -> Values {
        let Self { stays, all, .. } = self;
        if all.count == 0 {
            return between(0, 0);
        }
        match self.feature.kind {
            // The rest can only be less extreme than what stays.
            FeatureKind::Max => Values::Results {
                least: if known { stays.most } else { all.least },
                most: all.most,
            },
            FeatureKind::Min => Values::Results {
                least: all.least,
                most: if known { stays.least } else { all.most },
            },
            FeatureKind::Range => between(
                if stays.count > 0 {
                    part(stays.most, stays.least)
                } else {
                    0
                },
                part(all.most, all.least),
            ),
            // The extreme is one of those that stay, or beyond them; the last one is the extreme at most.
            FeatureKind::Drop => {
                let lasts = self.lasts();
                let least = if known { part(stays.most, lasts.most).max(0) } else { 0 };
                between(least, part(all.most, lasts.least))
            }
            FeatureKind::Rise => {
                let lasts = self.lasts();
                let least = if known {
                    part(lasts.least, stays.least).max(0)
                } else {
                    0
                };
                between(least, part(lasts.most, all.least))
            }
            FeatureKind::Deviation => self.deviations(),
            FeatureKind::Quantile => Values::Ranked(Box::new(ranked_between(
                self.walk,
                self.feature,
                (self.then, self.after),
                (self.gone, self.until),
            ))),
            FeatureKind::Count | FeatureKind::InARow => self.counts(),
            FeatureKind::Increase => self.growth(),
            FeatureKind::Sum | FeatureKind::Mean => Values::Sums(Sums {
                mean: self.feature.kind == FeatureKind::Mean,
                sum: stays.sum,
                count: stays.count,
                others: all.count - stays.count,
                least: billionths(all.least),
                most: billionths(all.most),
            }),
            FeatureKind::Rate => Self::rates(self.walk, self.gone, self.then, self.after, self.until),
            FeatureKind::Last => {
                let lasts = self.lasts();
                Values::Results {
                    least: lasts.least,
                    most: lasts.most,
                }
            }
            FeatureKind::Slope => self.slopes(),
            FeatureKind::Projected => self.projections(),
            FeatureKind::Silence
            | FeatureKind::ForecastMin
            | FeatureKind::ForecastMax
            | FeatureKind::ForecastMean
            | FeatureKind::ForecastSum
            | FeatureKind::Gauge => unreachable!("it does not follow the observations"),
        }
    }

    fn counts(&self) -> Values {
        let Self { walk, stays, all, .. } = self;
        let number = |count: u32| i128::from(count) * 1000 * THOUSANDTH;
        let Some((operator, limit)) = reading(walk, self.feature) else {
            return between(number(stays.count), number(all.count));
        };
        let such = |after, until, count| walk.series.ranks(after, until, limit).such(operator, count);
        let most = such(self.gone, self.until, all.count);
        let least = match self.feature.kind {
            FeatureKind::Count => such(self.then, self.after, stays.count),
            // All that stays, and more, unless one comes that does not meet the comparison.
            _ if most == all.count => stays.count,
            _ => 0,
        };
        between(number(least), number(most))
    }

    /// The points that are the last one at some time.
    fn lasts(&self) -> Extent {
        let before = self.walk.series.last_counted(self.after);
        let before = before.map_or(self.after, Point::time);
        self.walk.series.extent(before.max(self.gone + 1) - 1, self.until)
    }

    /// Whatever is added to some points, the sum of the squares about the mean becomes no less, and it becomes more by no more than
    /// the squares of what the others are off the mean of those.
    fn deviations(&self) -> Values {
        let Self { stays, all, .. } = self;
        let ends = (I256::from(billionths(all.least)), I256::from(billionths(all.most)));
        if stays.count == 0 {
            // It is at most half of the range (Popoviciu 1935).
            let range = ends.1 - ends.0;
            let (least, most) = ((I256::ZERO, I256::ONE), (range * range, I256::from(4)));
            return Values::Roots { least, most };
        }
        let moments = self.walk.series.moments(self.then, self.after);
        // The squares about the mean, times the number.
        let (squares, number) = moments.variance();
        let count = I256::from(stays.count);
        let others = I256::from(all.count - stays.count);
        let off = furthest(ends, count, I256::from(moments.sum));
        let under = count * (count + others);
        let one = (squares, number);
        let with_all = (squares + above(others * off * off, count), under);
        Values::Roots {
            least: (squares, under),
            // Others that are further off make the mean of the squares more, or else less.
            most: if with_all.0 * one.1 > one.0 * with_all.1 {
                with_all
            } else {
                one
            },
        }
    }

    /// Others change the sums of products and of squares about the means by no more than the products of what they are off them, for
    /// what their own means take back is a part of that.
    fn slopes(&self) -> Values {
        let Self { stays, all, .. } = self;
        let moments = self.walk.series.moments(self.then, self.after);
        let Some((over, under)) = moments.slope() else {
            return Values::Any;
        };
        let (first, _) = moments.ends.expect("a slope is one of points");
        let count = I256::from(stays.count);
        let others = I256::from(all.count - stays.count);
        let times = (self.gone, self.until);
        let times = (I256::from(times.0), I256::from(times.1));
        let times = (times.0 - I256::from(first.time()), times.1 - I256::from(first.time()));
        let late = furthest(times, count, I256::from(moments.times));
        let results = (I256::from(billionths(all.least)), I256::from(billionths(all.most)));
        let high = furthest(results, count, I256::from(moments.sum));
        let products = above(others * late * high, count);
        let wide = under + above(others * late * late, count);
        let (low, high) = (over - products, over + products);
        let hour = I256::from(HOUR);
        Values::Quotients {
            least: (low * hour, if low < I256::ZERO { under } else { wide }),
            most: (high * hour, if high < I256::ZERO { wide } else { under }),
        }
    }

    /// The last result, and of a rate what it makes in the time ahead: both between their bounds.
    fn projections(&self) -> Values {
        let Values::Rates { rise, lapse } = Self::rates(self.walk, self.gone, self.then, self.after, self.until) else {
            unreachable!("rates lie between rates");
        };
        let lasts = self.lasts();
        let ahead = I256::from(self.feature.ahead);
        let bound = |last: f64, rise: i128, lapse: i64| {
            let lapse = I256::from(lapse);
            (I256::from(billionths(last)) * lapse + I256::from(rise) * ahead, lapse)
        };
        // What falls falls furthest in the shortest time, what rises rises least in the longest.
        Values::Quotients {
            least: bound(lasts.least, rise.0, if rise.0 < 0 { lapse.0 } else { lapse.1 }),
            most: bound(lasts.most, rise.1, if rise.1 < 0 { lapse.1 } else { lapse.0 }),
        }
    }

    /// What a counter grew: no step is negative.
    fn growth(&self) -> Values {
        let Self { walk, .. } = self;
        let whole = walk.series.moments(self.gone, self.until);
        let (first, _) = whole.ends.expect("there are points that count");
        let before = base(walk, self.feature, first, self.gone);
        let before = before.map_or(0, |before| step(before, first));
        let inside = walk.series.moments(self.then, self.after).increase;
        between(inside, whole.increase + before)
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
        Values::Rates {
            rise: (part(lasts.least, firsts.most), part(lasts.most, firsts.least)),
            lapse: ((oldest - latest).max(1), newest - earliest),
        }
    }
}

/// How far either end is off the mean of so many with this sum, times their number.
fn furthest((least, most): (I256, I256), count: I256, sum: I256) -> I256 {
    (least * count - sum).abs().max((most * count - sum).abs())
}

/// A quotient of what is not negative, or a little above it.
fn above(over: I256, under: I256) -> I256 {
    over / under + I256::ONE
}

const fn between(least: i128, most: i128) -> Values {
    Values::Numbers { least, most }
}

/// One result less another, in billionths.
fn part(one: f64, other: f64) -> i128 {
    i128::from(billionths(one)) - i128::from(billionths(other))
}
