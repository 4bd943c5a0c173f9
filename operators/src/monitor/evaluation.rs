//! One run of one entry along one series: which points are in which window, which levels are on.
//!
//! Features are constant between *instants*: an observation begins to count, or expires at a pane boundary, a silence
//! reaches a threshold, a hold or clear comes to its end. [`Evaluation::advance`] goes from instant to instant.

use riskflow_config::{Bound, Comparison, Condition, Feature, FeatureKind, Operator};
use riskflow_model::Level;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::Track;
use super::series::{Point, Series};
use crate::specification::Entry;

/// The state of a run at one time. Small: it is read and written for each observation of each datastream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Evaluation {
    at: i64,
    /// The time of the last counted point seen; `i64::MIN` before the first.
    last_counted: i64,
    /// The position after the last point seen.
    seen: u32,
    windows: SmallVec<[Window; 2]>,
    levels: SmallVec<[Standing; 4]>,
}

/// The points of one feature's window: positions `first..seen`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Window {
    first: u32,
    count: u32,
    sum: i64,
}

/// One level of the rule: since when it is in its phase, then three bits below: the phase, and whether the level is on.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Standing(i64);

impl Standing {
    /// Nothing was seen yet.
    const NEW: Self = Self((Phase::Neither as i64) << 1);

    const fn on(self) -> bool {
        self.0 & 1 != 0
    }

    const fn phase(self) -> Phase {
        match (self.0 >> 1) & 3 {
            0 => Phase::Held,
            1 => Phase::False,
            _ => Phase::Neither,
        }
    }

    /// Since when it is in this phase.
    const fn since(self) -> i64 {
        self.0 >> 3
    }

    const fn enter(&mut self, phase: Phase, since: i64) {
        self.0 = (since << 3) | (phase as i64) << 1 | (self.0 & 1);
    }

    const fn turn(&mut self, on: bool) {
        self.0 = (self.0 & !1) | on as i64;
    }
}

/// The condition implies the moved one, so there are three cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The condition holds.
    Held,
    /// The moved condition is false.
    False,
    /// Neither is known.
    Neither,
}

impl Evaluation {
    /// A run that has seen nothing; it does not see what is at or before `floor`, the first positions of the series.
    pub fn new(entry: &Entry, series: &Series, floor: i64) -> Self {
        let start = series.position_after(floor);
        let window = Window {
            first: start as u32,
            count: 0,
            sum: 0,
        };
        Self {
            at: floor,
            seen: start as u32,
            last_counted: i64::MIN,
            windows: entry.rule.features.iter().map(|_| window).collect(),
            levels: entry.rule.levels.iter().map(|_| Standing::NEW).collect(),
        }
    }

    /// As of when the run stands.
    pub const fn at(&self) -> i64 {
        self.at
    }

    /// The first position that it may still look at.
    pub fn first_needed(&self) -> usize {
        self.windows.iter().map(|window| window.first).fold(self.seen, u32::min) as usize
    }

    /// Reads the lines that the run itself lies in.
    pub fn warm_self(&self) -> u64 {
        self.at as u64 ^ (self.windows.len() + self.levels.len()) as u64
    }

    /// Reads the first points of each window: one may leave, and the next says when it will.
    pub fn warm(&self, series: &Series) -> u64 {
        let firsts = self.windows.iter().flat_map(|window| {
            series
                .points()
                .get(window.first as usize..)
                .unwrap_or_default()
                .iter()
                .take(2)
        });
        firsts.fold(self.levels.len() as u64, |sum, point| {
            sum.wrapping_add(point.time() as u64)
        })
    }

    /// The series lost its first points.
    pub fn shift(&mut self, dropped: usize) {
        let dropped = dropped as u32;
        self.seen -= dropped;
        for window in &mut self.windows {
            window.first -= dropped;
        }
    }

    /// Runs on to a time; changes of the entry's level go to `track`. Gives the next instant after it that comes without
    /// another observation and may matter; `i64::MAX` for never.
    ///
    /// While the run is idle, what expires waits for the next observation: nothing follows from it.
    pub fn advance(&mut self, entry: &Entry, series: &Series, until: i64, track: &mut Track) -> i64 {
        let mut before = self.level(entry);
        loop {
            let own = if self.idle(entry, series) {
                i64::MAX
            } else {
                self.next_own_instant(entry, series)
            };
            let point = series.points().get(self.seen as usize);
            let instant = point.map_or(own, |point| point.time().min(own));
            if instant > until || instant == i64::MAX {
                self.at = self.at.max(until);
                return own;
            }
            self.see(entry, series, instant);
            self.judge(entry, series, instant);
            let after = self.level(entry);
            if before != after {
                track.push((instant, after));
                before = after;
            }
            self.at = instant;
        }
    }

    /// The highest level on, and whether it is stale.
    pub fn standing(&self, entry: &Entry, series: &Series, now: i64) -> (Level, bool) {
        let highest = entry
            .rule
            .levels
            .iter()
            .zip(&self.levels)
            .rev()
            .find(|(_, standing)| standing.on());
        highest.map_or((Level::None, false), |(plan, _)| {
            let values = self.values(entry, series, now);
            let unknown = truth(entry, &plan.condition, &values, false) == Truth::Unknown;
            (plan.level, unknown)
        })
    }

    /// Whether nothing can happen to level or staleness without a new observation.
    fn idle(&self, entry: &Entry, series: &Series) -> bool {
        let quiet = self
            .levels
            .iter()
            .all(|standing| !standing.on() && standing.phase() != Phase::Held);
        let mut bounds = entry.rule.comparisons.iter().zip(entry.thresholds.iter());
        let rising = |(comparison, bound): (&Comparison, &Option<Bound>)| {
            bound.is_some_and(|bound| may_rise(comparison, bound.on, &entry.rule.features, series))
        };
        quiet && !bounds.any(rising)
    }

    fn level(&self, entry: &Entry) -> Level {
        let highest = entry
            .rule
            .levels
            .iter()
            .zip(&self.levels)
            .rev()
            .find(|(_, standing)| standing.on());
        highest.map_or(Level::None, |(plan, _)| plan.level)
    }

    /// The next instant that comes without another observation.
    fn next_own_instant(&self, entry: &Entry, series: &Series) -> i64 {
        let mut next = i64::MAX;
        for (feature, window) in entry.rule.features.iter().zip(&self.windows) {
            if feature.kind != FeatureKind::Silence && window.first < self.seen {
                let point = series.points()[window.first as usize];
                next = next.min(expiry(point, feature.window, entry.rule.pane));
            }
        }
        if self.last_counted != i64::MIN {
            for (comparison, bound) in entry.rule.comparisons.iter().zip(entry.thresholds.iter()) {
                if entry.rule.features[comparison.feature].kind != FeatureKind::Silence {
                    continue;
                }
                for threshold in bound.iter().flat_map(|bound| [bound.on, bound.off]) {
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
        }
        for (plan, standing) in entry.rule.levels.iter().zip(&self.levels) {
            match standing.phase() {
                Phase::Held if !standing.on() => next = next.min(standing.since() + plan.hold),
                Phase::False if standing.on() => next = next.min(standing.since() + plan.clear),
                _ => {}
            }
        }
        next
    }

    /// Takes in what begins to count at this instant, and lets go of what expires.
    fn see(&mut self, entry: &Entry, series: &Series, instant: i64) {
        let points = series.points();
        if let Some(point) = points.get(self.seen as usize).filter(|point| point.time() == instant) {
            self.seen += 1;
            if point.counts() {
                self.last_counted = instant;
                let thousandths = point.thousandths();
                for window in &mut self.windows {
                    window.count += 1;
                    window.sum += thousandths;
                }
            }
        }
        for (feature, window) in entry.rule.features.iter().zip(&mut self.windows) {
            if feature.kind == FeatureKind::Silence {
                window.first = self.seen;
                continue;
            }
            while window.first < self.seen {
                let point = points[window.first as usize];
                if expiry(point, feature.window, entry.rule.pane) > instant {
                    break;
                }
                window.first += 1;
                if point.counts() {
                    window.count -= 1;
                    window.sum -= point.thousandths();
                }
            }
        }
    }

    /// Finds which conditions hold from this instant on, and which levels that turns on or off.
    fn judge(&mut self, entry: &Entry, series: &Series, instant: i64) {
        let values = self.values(entry, series, instant);
        for (plan, standing) in entry.rule.levels.iter().zip(&mut self.levels) {
            // The condition implies the moved one, and mostly not even that holds.
            let phase = if truth(entry, &plan.condition, &values, true) == Truth::No {
                Phase::False
            } else if truth(entry, &plan.condition, &values, false) == Truth::Yes {
                Phase::Held
            } else {
                Phase::Neither
            };
            if phase != standing.phase() {
                standing.enter(phase, instant);
            }
            match phase {
                Phase::Held if standing.since() + plan.hold <= instant => standing.turn(true),
                Phase::False if standing.since() + plan.clear <= instant => standing.turn(false),
                _ => {}
            }
        }
    }

    /// The values of all features.
    fn values(&self, entry: &Entry, series: &Series, at: i64) -> Values {
        let features = entry.rule.features.iter().zip(&self.windows);
        features
            .map(|(feature, window)| self.value(*feature, *window, series, at))
            .collect()
    }

    fn value(&self, feature: Feature, window: Window, series: &Series, at: i64) -> Option<f64> {
        if feature.kind == FeatureKind::Silence {
            return (self.last_counted != i64::MIN).then(|| (at - self.last_counted) as f64 / 1000.0);
        }
        if window.count == 0 {
            return None;
        }
        match feature.kind {
            FeatureKind::Sum => Some(window.sum as f64 / 1000.0),
            FeatureKind::Mean => Some(window.sum as f64 / (1000.0 * f64::from(window.count))),
            FeatureKind::Count => Some(f64::from(window.count)),
            kind => reduce(kind, &series.points()[window.first as usize..self.seen as usize]),
        }
    }
}

/// The values of an entry's features; `None` while unknown.
type Values = SmallVec<[Option<f64>; 4]>;

fn truth(entry: &Entry, condition: &Condition, values: &Values, moved: bool) -> Truth {
    match condition {
        Condition::Comparison(index) => compare(entry, *index, values, moved),
        Condition::Any(parts) => combine(
            parts.iter().map(|part| truth(entry, part, values, moved)),
            Truth::Yes,
            Truth::No,
        ),
        Condition::All(parts) => combine(
            parts.iter().map(|part| truth(entry, part, values, moved)),
            Truth::No,
            Truth::Yes,
        ),
    }
}

fn compare(entry: &Entry, index: usize, values: &Values, moved: bool) -> Truth {
    let Some(bound) = entry.thresholds.get(index).copied().flatten() else {
        return Truth::Absent;
    };
    let comparison = &entry.rule.comparisons[index];
    let threshold = if moved { bound.off } else { bound.on };
    match values[comparison.feature] {
        None => Truth::Unknown,
        Some(value) if comparison.operator.holds(value, threshold) => Truth::Yes,
        Some(_) => Truth::No,
    }
}

/// The value of a feature over the points of its window; `None` while unknown.
pub fn reduce(kind: FeatureKind, points: &[Point]) -> Option<f64> {
    let mut counted = points.iter().filter(|point| point.counts());
    match kind {
        FeatureKind::Last => counted.next_back().map(|point| point.result),
        FeatureKind::Min => counted.map(|point| point.result).reduce(f64::min),
        FeatureKind::Max => counted.map(|point| point.result).reduce(f64::max),
        FeatureKind::Count => Some(counted.count() as f64).filter(|count| *count > 0.0),
        FeatureKind::Rate => {
            let first = counted.next()?;
            let last = counted.next_back()?;
            Some((last.result - first.result) * 3_600_000.0 / (last.time() - first.time()) as f64)
        }
        FeatureKind::Sum | FeatureKind::Mean => {
            let (count, sum) = counted.fold((0i64, 0), |(count, sum), point| (count + 1, sum + point.thousandths()));
            let divisor = if kind == FeatureKind::Mean {
                1000.0 * count as f64
            } else {
                1000.0
            };
            (count > 0).then(|| sum as f64 / divisor)
        }
        FeatureKind::Silence => None,
    }
}

/// From when on a point no longer counts in a window: the first pane boundary at or after its time plus the window.
pub fn expiry(point: Point, window: i64, pane: i64) -> i64 {
    let end = point.time() + window;
    end + (-end).rem_euclid(pane)
}

/// Whether a comparison that is not true may become true with no new observation: something leaves the window, and the
/// rest compares otherwise. Mean, least and greatest of any rest lie within the range of all results.
fn may_rise(comparison: &Comparison, threshold: i64, features: &[Feature], series: &Series) -> bool {
    let upwards = matches!(comparison.operator, Operator::AtLeast | Operator::Above);
    let (low, high) = series.range();
    let extreme = if upwards { high } else { low };
    match features[comparison.feature].kind {
        FeatureKind::Last => false,
        FeatureKind::Count => !upwards,
        FeatureKind::Max => !upwards && comparison.operator.holds(extreme, threshold),
        FeatureKind::Min => upwards && comparison.operator.holds(extreme, threshold),
        // Rounding to thousandths may lift a mean above every result by half a thousandth.
        FeatureKind::Mean => comparison
            .operator
            .holds(extreme, comparison.operator.eased(threshold, 1)),
        FeatureKind::Sum => !upwards || low < 0.0,
        FeatureKind::Silence => upwards,
        FeatureKind::Rate => true,
    }
}

/// Kleene's truth values, and one for a condition that takes no part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Truth {
    Yes,
    No,
    Unknown,
    Absent,
}

/// `strong` if any part is; `Unknown` if any is unknown; `weak` if all are; parts that take no part are left out.
fn combine(parts: impl Iterator<Item = Truth>, strong: Truth, weak: Truth) -> Truth {
    let mut result = Truth::Absent;
    for part in parts {
        if part == strong {
            return strong;
        }
        result = match (result, part) {
            (known, Truth::Absent) => known,
            (Truth::Unknown, _) | (_, Truth::Unknown) => Truth::Unknown,
            _ => weak,
        };
    }
    result
}
