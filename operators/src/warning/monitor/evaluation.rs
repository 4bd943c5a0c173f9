//! One run of one entry along one series: which points are in which window, which levels are on.
//!
//! Features are constant between *instants*: an observation begins to count, or expires at a pane boundary, a silence
//! reaches a threshold, a hold or clear comes to its end. [`Evaluation::advance`] goes from instant to instant, and over many
//! at once where they cannot change anything ([`leap`](super::leap)).

use riskflow_config::{Condition, Feature, FeatureKind, LevelPlan, Limit, Operator};
use riskflow_model::Level;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::series::{Beyond, Edge, Extent, Point, Series};
use super::turns::{Set, Turns};
use super::value::{THOUSANDTH, Truth, Value, bounds, compare, ratio};
use super::walk::Walk;
use super::window::{judged_at, judged_over};
use crate::warning::specification::Entry;

/// The state of a run at one time. Small: it is read and written for each observation of each datastream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Evaluation {
    pub(super) at: i64,
    /// The time of the last counted point seen; before the first, when the datastream was heard of; before that `i64::MIN`.
    pub(super) last_counted: i64,
    /// The position after the last point seen.
    pub(super) seen: u32,
    /// One for each feature of the rule; most rules have one.
    pub(super) windows: SmallVec<[Window; 1]>,
    /// One for each level of the rule; those behind are never on.
    pub(super) levels: [Standing; LEVELS],
}

/// A rule has at most as many levels as there are to warn of.
pub(crate) const LEVELS: usize = Level::WARNING.len();

/// The points of one feature's window: positions `first..seen`. Packed, or the sum would have all that it lies in begin at
/// sixteen bytes, with as much in between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[repr(C, packed(8))]
pub(super) struct Window {
    pub(super) first: u32,
    pub(super) count: u32,
    /// `sum`, `mean`: the sum in billionths. `min`, `max`: the position of the extreme, where `count` is not 0.
    pub(super) held: i128,
}

/// One level of the rule: since when it is in its phase, then three bits below: the phase, and whether the level is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing(i64);

impl Standing {
    pub(crate) const fn new(phase: Phase, since: i64, on: bool) -> Self {
        Self((since << 3) | (phase as i64) << 1 | on as i64)
    }

    pub(crate) const fn on(self) -> bool {
        self.0 & 1 != 0
    }

    pub(crate) const fn phase(self) -> Phase {
        match (self.0 >> 1) & 3 {
            0 => Phase::Held,
            1 => Phase::False,
            _ => Phase::Neither,
        }
    }

    /// Since when it is in this phase.
    pub(crate) const fn since(self) -> i64 {
        self.0 >> 3
    }

    const fn enter(&mut self, phase: Phase, since: i64) {
        *self = Self::new(phase, since, self.on());
    }

    const fn turn(&mut self, on: bool) {
        self.0 = (self.0 & !1) | on as i64;
    }

    /// From an instant on it is in this phase; whether that turns the level, or that it has lasted until then does.
    #[inline]
    pub(crate) fn judge(&mut self, plan: &LevelPlan, phase: Phase, instant: i64) -> bool {
        if phase != self.phase() {
            self.enter(phase, instant);
        }
        let on = match phase {
            Phase::Held if self.since() + plan.hold <= instant => true,
            Phase::False if self.since() + plan.clear <= instant => false,
            _ => return false,
        };
        let turned = on != self.on();
        self.turn(on);
        turned
    }

    /// When time alone turns the level, if the phase lasts.
    pub(crate) fn turns(self, plan: &LevelPlan) -> Option<i64> {
        let wait = if self.on() { plan.clear } else { plan.hold };
        self.waits().then(|| self.since() + wait)
    }

    /// Whether time alone turns the level, if the phase lasts.
    pub(crate) const fn waits(self) -> bool {
        matches!((self.phase(), self.on()), (Phase::Held, false) | (Phase::False, true))
    }
}

/// The condition implies the moved one, so there are three cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The condition holds.
    Held,
    /// The moved condition is false.
    False,
    /// Neither is known.
    Neither,
}

impl Evaluation {
    /// A run that has seen nothing.
    pub fn new(walk: &Walk<'_>) -> Self {
        let start = walk.series.position_after(walk.floor) as u32;
        let window = Window {
            first: start,
            ..Window::default()
        };
        let rule = &walk.entry.rule;
        let on = walk.begin.unwrap_or(Set::NONE);
        let heard_before = walk.begin.is_some() && walk.heard <= walk.floor;
        Self {
            at: match walk.begin {
                Some(_) => walk.floor,
                None => walk.floor.min(walk.heard.saturating_sub(1)),
            },
            seen: start,
            last_counted: if heard_before { walk.heard } else { i64::MIN },
            windows: rule.features.iter().map(|_| window).collect(),
            levels: std::array::from_fn(|level| Standing::new(Phase::Neither, 0, on.has(level))),
        }
    }

    /// As of when the run stands.
    pub const fn at(&self) -> i64 {
        self.at
    }

    /// Which levels are on.
    pub fn set(&self) -> Set {
        let on = self.levels.iter().enumerate();
        on.fold(Set::NONE, |set, (level, standing)| set.with(level, standing.on()))
    }

    /// Reads the lines that the run itself lies in.
    pub fn warm_self(&self) -> u64 {
        self.at as u64 ^ u64::from(self.seen)
    }

    /// Reads the first points of each window of a short series: one may leave, and the next says when it will.
    pub fn warm(&self, series: &Series) -> u64 {
        let (points, _) = series.leaf(0);
        let firsts = self.windows.iter().flat_map(|window| {
            let first = (window.first as usize).min(points.len());
            points[first..].iter().take(2)
        });
        firsts.fold(0, |sum: u64, point| sum.wrapping_add(point.time() as u64))
    }

    /// The series lost its first points; none of them is in a window.
    pub fn shift(&mut self, dropped: usize, entry: &Entry) {
        let dropped = dropped as u32;
        self.seen -= dropped;
        for (feature, window) in entry.rule.features.iter().zip(&mut self.windows) {
            window.first -= dropped;
            if is_extreme(feature.kind) && window.count > 0 {
                window.held -= i128::from(dropped);
            }
        }
    }

    /// Runs on to a time; changes of the set of levels that are on go to `turns`. Gives the next instant after it that comes
    /// without another observation and may matter; `i64::MAX` for never.
    pub fn advance(&mut self, walk: &mut Walk<'_>, until: i64, turns: &mut Turns) -> i64 {
        self.advance_unless(walk, until, turns, |_| false)
    }

    /// The same, but no further than to the first instant at which `stop` holds.
    pub fn advance_unless(
        &mut self,
        walk: &mut Walk<'_>,
        until: i64,
        turns: &mut Turns,
        mut stop: impl FnMut(&Self) -> bool,
    ) -> i64 {
        let mut quiet = 0;
        let mut stride = STRIDE;
        loop {
            let own = if walk.begin.is_some() && self.at == walk.floor {
                // What is known at the floor is judged as soon as it is passed.
                walk.floor + 1
            } else if walk.lazy && self.idle(walk) {
                i64::MAX
            } else {
                self.next_own_instant(walk)
            };
            let next = walk.point(0, self.seen);
            let instant = next.map_or(own, |point| point.time().min(own));
            if instant > until || instant == i64::MAX {
                self.at = self.at.max(until);
                return own;
            }
            if quiet >= STRIDE {
                if self.leap(walk, until, stride) {
                    stride = stride.saturating_mul(2).min(1 << 30);
                    if stop(self) {
                        return own;
                    }
                    continue;
                }
                // What is constant is near the size that was tried last.
                quiet = if stride > STRIDE { STRIDE } else { 0 };
                stride = (stride / 4).max(STRIDE);
                if quiet > 0 {
                    continue;
                }
            }
            quiet += 1;
            self.see(walk, instant, next.filter(|point| point.time() == instant));
            self.at = instant;
            if self.judge(walk, instant) {
                turns.push(instant, self.set());
                (quiet, stride) = (0, STRIDE);
            }
            if stop(self) {
                return own;
            }
        }
    }

    /// The highest level on, and whether it is stale.
    #[inline]
    pub fn standing(&self, walk: &mut Walk<'_>, now: i64) -> (Level, bool) {
        if self.is_on() {
            self.standing_on(walk, now)
        } else {
            (Level::None, false)
        }
    }

    /// Whether any level is on.
    fn is_on(&self) -> bool {
        self.levels.iter().any(|standing| standing.on())
    }

    fn standing_on(&self, walk: &mut Walk<'_>, now: i64) -> (Level, bool) {
        let levels = walk.entry.rule.levels.iter().zip(&self.levels);
        let highest = levels.rev().find(|(_, standing)| standing.on());
        let (plan, _) = highest.expect("a level is on");
        let values = self.values(walk, now);
        let of = |index| {
            compare(walk.entry, index, false, |feature, limit| {
                values[feature].against(limit)
            })
        };
        (plan.level, walk.truth(&plan.condition, now, &of) == Truth::Unknown)
    }

    /// Whether nothing can happen to level or staleness without a new observation.
    fn idle(&self, walk: &mut Walk<'_>) -> bool {
        let quiet = |standing: &Standing| !standing.on() && standing.phase() != Phase::Held;
        !self.hears(walk.heard) && self.levels.iter().all(quiet) && !walk.may_rise()
    }

    /// Whether a silence is still to begin with what was heard.
    fn hears(&self, heard: i64) -> bool {
        self.last_counted == i64::MIN && heard > self.at && heard < i64::MAX
    }

    /// The next instant that comes without another observation.
    fn next_own_instant(&self, walk: &mut Walk<'_>) -> i64 {
        let entry = walk.entry;
        let mut next = self.next_turn(entry);
        // Before anything is seen no condition is true, whatever the time.
        if self.at > i64::MIN {
            next = next.min(walk.next_time(self.at));
        }
        for (place, (feature, window)) in entry.rule.features.iter().zip(&self.windows).enumerate() {
            if !feature.follows() {
                next = next.min(walk.next_border(self.at, feature));
            } else if window.first < self.seen
                && let Some(point) = walk.point(1 + place, window.first)
            {
                next = next.min(walk.expiry(point.time(), feature));
            }
            if feature.kind == FeatureKind::Increase && feature.calendar.is_none() && window.count > 0 {
                next = next.min(walk.base_expiry(self.at, feature));
            }
        }
        if self.last_counted == i64::MIN {
            return if self.hears(walk.heard) {
                next.min(walk.heard)
            } else {
                next
            };
        }
        for (comparison, limits) in bounds(entry) {
            if entry.rule.features[comparison.feature].kind != FeatureKind::Silence {
                continue;
            }
            for limit in limits {
                let Limit::Plain(threshold) = limit else {
                    unreachable!("a silence is in no unit of the datastream")
                };
                // Thousandths of seconds are milliseconds; `>` and `<=` change a millisecond later.
                let strict = matches!(comparison.operator, Operator::Above | Operator::AtMost);
                let instant = self
                    .last_counted
                    .saturating_add(threshold)
                    .saturating_add(i64::from(strict));
                if instant > self.at {
                    next = next.min(instant);
                }
            }
        }
        next
    }

    /// When the first level turns, if no phase changes.
    pub(super) fn next_turn(&self, entry: &Entry) -> i64 {
        let levels = entry.rule.levels.iter().zip(&self.levels);
        let turns = levels.filter_map(|(plan, standing)| standing.turns(plan));
        turns.min().unwrap_or(i64::MAX)
    }

    /// Takes in what begins to count at this instant, and lets go of what expires.
    fn see(&mut self, walk: &mut Walk<'_>, instant: i64, begins: Option<Point>) {
        let entry = walk.entry;
        if let Some(point) = begins {
            if point.counts() {
                self.last_counted = instant;
                for (place, feature) in entry.rule.features.iter().enumerate() {
                    self.enter(walk, place, feature.kind, point);
                }
            }
            self.seen += 1;
        }
        if instant == walk.heard && self.last_counted == i64::MIN {
            self.last_counted = instant;
        }
        for (place, feature) in entry.rule.features.iter().enumerate() {
            let window = &mut self.windows[place];
            if !feature.follows() {
                window.first = self.seen;
                continue;
            }
            let gone = walk.left(instant, feature);
            while window.first < self.seen {
                let Some(point) = walk.point(1 + place, window.first) else {
                    break;
                };
                if point.time() > gone {
                    break;
                }
                window.first += 1;
                if point.counts() {
                    window.count -= 1;
                    if is_sum(feature.kind) {
                        window.held -= i128::from(point.billionths());
                    }
                }
            }
            if is_extreme(feature.kind) && window.count > 0 && window.held < i128::from(window.first) {
                self.find_extreme(walk, place, instant);
            }
        }
    }

    /// A counted point comes into a window, at position `seen`.
    fn enter(&mut self, walk: &mut Walk<'_>, place: usize, kind: FeatureKind, point: Point) {
        let window = &mut self.windows[place];
        window.count += 1;
        if is_sum(kind) {
            window.held += i128::from(point.billionths());
        } else if is_extreme(kind) {
            let first = window.count == 1;
            let held = if first {
                None
            } else {
                walk.point(1 + place, window.held as u32)
            };
            if held.is_none_or(|held| extreme(kind, held.result).is(point)) {
                window.held = self.seen.into();
            }
        }
    }

    /// The extreme left its window: finds the last one of what remains.
    fn find_extreme(&mut self, walk: &mut Walk<'_>, place: usize, at: i64) {
        let kind = walk.entry.rule.features[place].kind;
        let window = self.windows[place];
        let (points, start) = walk.series.leaf(window.first as usize);
        let (first, end) = (window.first as usize - start, self.seen as usize - start);
        self.windows[place].held = if end <= points.len() {
            let counted = (first..end).filter(|position| points[*position].counts());
            let best = counted.reduce(|best, next| match extreme(kind, points[best].result).is(points[next]) {
                true => next,
                false => best,
            });
            (start + best.expect("a counted point is in the window")) as i128
        } else {
            let extent = walk.series.extent(points[first].time() - 1, at);
            extreme_of(walk.series, kind, &extent, at)
        };
    }

    /// Finds which conditions hold from this instant on, and which levels that turns on or off; whether there is any.
    fn judge(&mut self, walk: &mut Walk<'_>, instant: i64) -> bool {
        // Most rules have one feature: its value need not be put into a list.
        if let [feature] = &*walk.entry.rule.features {
            let value = self.value(walk, 0, feature, self.windows[0], instant);
            self.judge_by(walk, instant, &[value])
        } else {
            let values = self.values(walk, instant);
            self.judge_by(walk, instant, &values)
        }
    }

    fn judge_by(&mut self, walk: &Walk<'_>, instant: i64, values: &[Value]) -> bool {
        let mut turned = false;
        for (plan, standing) in walk.entry.rule.levels.iter().zip(&mut self.levels) {
            turned |= standing.judge(plan, phase(walk, plan, values, instant), instant);
        }
        turned
    }

    /// Finds the phases at the time at which the run stands, as if each had begun now; `set` is on.
    pub(super) fn enter_phases(&mut self, walk: &mut Walk<'_>, set: Set) {
        let values = self.values(walk, self.at);
        let levels = walk.entry.rule.levels.iter().zip(&mut self.levels).enumerate();
        for (level, (plan, standing)) in levels {
            *standing = Standing::new(phase(walk, plan, &values, self.at), self.at, set.has(level));
        }
    }

    /// The values of all features.
    fn values(&self, walk: &mut Walk<'_>, at: i64) -> SmallVec<[Value; 2]> {
        let features = walk.entry.rule.features.iter().zip(&self.windows).enumerate();
        features
            .map(|(place, (feature, window))| self.value(walk, place, feature, *window, at))
            .collect()
    }

    fn value(&self, walk: &mut Walk<'_>, place: usize, feature: &Feature, window: Window, at: i64) -> Value {
        let count = i64::from(window.count);
        match feature.kind {
            FeatureKind::Silence => match self.last_counted {
                i64::MIN => Value::Unknown,
                last => whole(at - last, 1),
            },
            _ if !feature.follows() => judged_at(walk, feature, at),
            _ if count == 0 => match feature.kind.has_nothing(walk.entry.rule.on_event) && self.last_counted > i64::MIN
            {
                true => ratio(0, 1),
                false => Value::Unknown,
            },
            FeatureKind::Sum => ratio(window.held, 1),
            FeatureKind::Mean => ratio(window.held, count),
            FeatureKind::Count if feature.of.is_none() => whole(count * 1000, 1),
            FeatureKind::Min | FeatureKind::Max => walk
                .point(1 + place, window.held as u32)
                .map_or(Value::Unknown, |point| Value::Result(point.result)),
            FeatureKind::Last => self
                .last(walk)
                .map_or(Value::Unknown, |point| Value::Result(point.result)),
            FeatureKind::Rate => {
                let first = walk.point(1 + place, window.first);
                let first = first.and_then(|first| match first.counts() {
                    true => Some(first),
                    false => walk.series.first_counted(first.time()),
                });
                first
                    .zip(self.last(walk))
                    .map_or(Value::Unknown, |(first, last)| rate(first, last, feature.shortest))
            }
            FeatureKind::Count
            | FeatureKind::Range
            | FeatureKind::Drop
            | FeatureKind::Rise
            | FeatureKind::Deviation
            | FeatureKind::Quantile
            | FeatureKind::Increase
            | FeatureKind::Slope
            | FeatureKind::Projected
            | FeatureKind::InARow
            | FeatureKind::ForecastMin
            | FeatureKind::ForecastMax
            | FeatureKind::ForecastMean
            | FeatureKind::ForecastSum
            | FeatureKind::Gauge => {
                let after = walk.left(at, feature).max(walk.floor);
                judged_over(walk, feature, after, at)
            }
        }
    }

    /// The last counted point.
    fn last(&self, walk: &mut Walk<'_>) -> Option<Point> {
        let last = self.seen.checked_sub(1).and_then(|last| walk.point(0, last));
        last.filter(|last| last.counts())
            .or_else(|| walk.series.last_counted(self.last_counted))
    }
}

/// The phase of a level where features have these values.
fn phase(walk: &Walk<'_>, plan: &LevelPlan, values: &[Value], at: i64) -> Phase {
    phase_of(plan, |condition, moved| {
        walk.truth(condition, at, &|index| {
            compare(walk.entry, index, moved, |feature, limit| {
                values[feature].against(limit)
            })
        })
    })
}

/// The phase of a level whose conditions, moved or not, have this truth.
#[inline]
pub(crate) fn phase_of(plan: &LevelPlan, of: impl Fn(&Condition, bool) -> Truth) -> Phase {
    if let Some(until) = &plan.until {
        match (of(&plan.condition, false), of(until, false)) {
            (Truth::Yes, _) => return Phase::Held,
            (_, Truth::Yes) => return Phase::False,
            // No threshold is in force for it: then the level turns off as one without it does.
            (_, Truth::Absent) => {}
            _ => return Phase::Neither,
        }
    }
    // The condition implies the moved one, and mostly not even that holds.
    if of(&plan.condition, true) == Truth::No {
        Phase::False
    } else if of(&plan.condition, false) == Truth::Yes {
        Phase::Held
    } else {
        Phase::Neither
    }
}

/// The position of the last point up to a time that is the extreme of points with this summary.
pub(super) fn extreme_of(series: &Series, kind: FeatureKind, extent: &Extent, until: i64) -> i128 {
    let best = if kind == FeatureKind::Max {
        extent.most
    } else {
        extent.least
    };
    let last = series.last_beyond(until, extreme(kind, best));
    let last = last.expect("the extreme is one of the points");
    series.position_after(last.time()) as i128 - 1
}

/// So many instants are gone through one by one before a look at many costs less. Unit tests look after few.
pub(super) const STRIDE: u32 = if cfg!(test) { 4 } else { 64 };

/// A quotient in thousandths: milliseconds are seconds.
pub(super) const fn whole(over: i64, under: i64) -> Value {
    ratio(over as i128 * THOUSANDTH, under)
}

/// From one point to another, per hour; unknown where they are one, or less far apart than need be.
pub fn rate(first: Point, last: Point, shortest: i64) -> Value {
    match last.time() - first.time() {
        lapse if lapse > 0 && lapse >= shortest => {
            let rise = i128::from(last.billionths()) - i128::from(first.billionths());
            ratio(rise * i128::from(HOUR), lapse)
        }
        _ => Value::Unknown,
    }
}

/// An hour in milliseconds.
pub const HOUR: i64 = 3_600_000;

/// Whether the feature adds results up.
pub const fn is_sum(kind: FeatureKind) -> bool {
    matches!(kind, FeatureKind::Sum | FeatureKind::Mean)
}

/// The results that are at least as extreme as this one.
const fn extreme(kind: FeatureKind, result: f64) -> Beyond<'static> {
    match kind {
        FeatureKind::Max => Beyond(Operator::AtLeast, Edge::Result(result)),
        _ => Beyond(Operator::AtMost, Edge::Result(result)),
    }
}

pub(super) const fn is_extreme(kind: FeatureKind) -> bool {
    matches!(kind, FeatureKind::Min | FeatureKind::Max)
}
