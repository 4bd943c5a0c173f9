//! What a run goes along: the entry, the observations, and from when on they are seen.

use riskflow_config::{Comparison, Condition, Feature, FeatureKind, Limit};
use serde::{Deserialize, Serialize};

use super::civil::Civil;
use super::forecast::Forecasts;
use super::series::{Point, Range, Series, billionths};
use super::turns::Set;
use super::value::{Truth, admits, bounds, ratio, truth, upwards};
use crate::warning::specification::Entry;

/// From when on a run sees what came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    /// What is at or before this time is not seen.
    pub floor: i64,
    /// When the datastream was last heard of up to there; else when its row came.
    pub heard: i64,
}

/// What the watches of one datastream go along.
#[derive(Clone, Copy)]
pub struct Ground<'a> {
    /// The observations.
    pub series: &'a Series,
    /// The calendar.
    pub civil: &'a Civil,
    /// What is forecast, if anything is.
    pub forecasts: Option<&'a Forecasts>,
}

/// What a run goes along.
pub struct Walk<'a> {
    /// The rule and its thresholds.
    pub entry: &'a Entry,
    /// The observations.
    pub series: &'a Series,
    /// The calendar.
    pub civil: &'a Civil,
    /// What is forecast, if anything is.
    pub forecasts: Option<&'a Forecasts>,
    /// What is at or before this time is not seen.
    pub floor: i64,
    /// When the datastream was last heard of before the first observation that is seen, for silences and for what is 0 where there
    /// is nothing; `i64::MAX` where there are none.
    pub heard: i64,
    /// The levels that are on at the floor, where the run goes on from an entry of the same rule with another condition.
    pub begin: Option<Set>,
    /// Whether it was heard of before all that is retained.
    anchored: bool,
    /// Whether what expires may wait for the next observation where no level follows from it. Levels come out the same; since
    /// when a condition is false is not told of levels that are off.
    pub(super) lazy: bool,
    /// Whether a comparison may become true with no new observation, as far as that is known.
    rises: Option<bool>,
    /// Where points were read last: of those that come, and of those that expire from the first windows.
    pub(super) leaves: [(&'a [Point], usize); 3],
}

impl<'a> Walk<'a> {
    /// Along the whole of a series.
    pub fn new(entry: &'a Entry, ground: Ground<'a>, sight: Sight) -> Self {
        let hears =
            |feature: &Feature| feature.kind == FeatureKind::Silence || feature.kind.has_nothing(entry.rule.on_event);
        let hears = entry.rule.features.iter().any(hears);
        Self {
            entry,
            series: ground.series,
            civil: ground.civil,
            forecasts: ground.forecasts,
            floor: sight.floor,
            heard: if hears { sight.heard } else { i64::MAX },
            begin: None,
            anchored: false,
            lazy: false,
            rises: None,
            leaves: [(&[], 0); 3],
        }
    }

    /// The same, from where an entry with another condition came to.
    pub const fn from(self, begin: Option<Set>) -> Self {
        Self { begin, ..self }
    }

    /// The same where it is known whether the datastream was heard of before all that is retained.
    pub const fn anchored(self, anchored: bool) -> Self {
        Self { anchored, ..self }
    }

    /// The same at the head of the series, where every observation passes.
    pub const fn lazy(self) -> Self {
        Self { lazy: true, ..self }
    }

    /// The same where it is known whether no comparison may become true with no new observation.
    pub const fn calm(self, calm: bool) -> Self {
        let rises = if calm { Some(false) } else { None };
        Self { rises, ..self }
    }

    /// Whether it is known that no comparison may.
    pub const fn is_calm(&self) -> bool {
        matches!(self.rises, Some(false))
    }

    /// Whether a comparison that is not true may become true with no new observation.
    pub(super) fn may_rise(&mut self) -> bool {
        let Self { entry, series, .. } = *self;
        *self.rises.get_or_insert_with(|| {
            let range = series.range();
            !entry.rule.during.is_empty()
                || bounds(entry).any(|(comparison, [on, _])| may_rise(comparison, on, &entry.rule.features, range))
        })
    }

    /// The point at a position; `reader` tells apart who goes along.
    pub(super) fn point(&mut self, reader: usize, position: u32) -> Option<Point> {
        let (points, start) = &mut self.leaves[reader.min(2)];
        let position = position as usize;
        match points.get(position.wrapping_sub(*start)) {
            Some(point) => Some(*point),
            None => {
                (*points, *start) = self.series.leaf(position);
                points.get(position - *start).copied()
            }
        }
    }
}

/// Whether a comparison that is not true may become true with no new observation: something leaves the window, and the
/// rest compares otherwise. Mean, least and greatest of any rest lie within the range of all results; so what cannot rise in
/// one range cannot in a smaller one.
fn may_rise(comparison: &Comparison, limit: Limit<'_>, features: &[Feature], range: Range) -> bool {
    let operator = comparison.operator;
    let upwards = upwards(operator);
    let extreme = if upwards { range.high } else { range.low };
    let reaches = || admits(operator, limit.of_result(extreme));
    let feature = features[comparison.feature];
    if feature.calendar.is_some_and(|calendar| calendar.ago > 0) {
        return true;
    }
    match feature.kind {
        FeatureKind::Last => false,
        FeatureKind::Count => !upwards,
        FeatureKind::Max => !upwards && reaches(),
        FeatureKind::Min => upwards && reaches(),
        // What is averaged is taken in billionths, and that keeps the order.
        FeatureKind::Mean => {
            extreme.is_finite() && {
                ratio(billionths(extreme).into(), 1)
                    .against(limit)
                    .is_some_and(|ordering| admits(operator, ordering))
            }
        }
        FeatureKind::Sum => !upwards || range.low < 0.0,
        FeatureKind::Silence => upwards,
        // What leaves can only make them less.
        FeatureKind::Range | FeatureKind::Drop | FeatureKind::Rise | FeatureKind::Increase | FeatureKind::InARow => {
            !upwards
        }
        FeatureKind::Rate
        | FeatureKind::Slope
        | FeatureKind::Projected
        | FeatureKind::Deviation
        | FeatureKind::Quantile
        | FeatureKind::ForecastMin
        | FeatureKind::ForecastMax
        | FeatureKind::ForecastMean
        | FeatureKind::ForecastSum
        | FeatureKind::Gauge => true,
    }
}

impl Walk<'_> {
    /// The truth of a condition at an instant, from that of its comparisons.
    pub fn truth(&self, condition: &Condition, at: i64, of: &impl Fn(usize) -> Truth) -> Truth {
        let rule = &self.entry.rule;
        truth(condition, of, &|position| {
            self.civil.is_during(&rule.during[position], at)
        })
    }

    /// The first instant after one at which any of the rule's times may begin or end.
    pub fn next_time(&self, at: i64) -> i64 {
        let during = self.entry.rule.during.iter();
        let next = during.map(|during| self.civil.next_change(during, at));
        next.min().unwrap_or(i64::MAX)
    }

    /// Whether the datastream was heard of by then: only after that is it known that there is nothing.
    pub fn is_known(&self, at: i64) -> bool {
        let seen = || {
            self.series
                .last_counted(at)
                .is_some_and(|last| last.time() > self.floor)
        };
        self.anchored || self.heard <= at || seen()
    }

    /// From when on a point no longer counts in a window: the first pane boundary at or after its time plus the window, or the
    /// end of its hour or day.
    #[inline]
    pub fn expiry(&self, time: i64, feature: &Feature) -> i64 {
        match feature.calendar {
            None => expiry(time, feature.window, self.entry.rule.pane),
            Some(calendar) => self.civil.bucket_ahead(calendar, time).1,
        }
    }

    /// What is at or before this time has left the window at another: the inverse of [`Walk::expiry`].
    #[inline]
    pub fn left(&self, at: i64, feature: &Feature) -> i64 {
        match feature.calendar {
            None => left(at, feature.window, self.entry.rule.pane),
            Some(calendar) => self.civil.bucket_ago(calendar, at).0 - 1,
        }
    }

    /// When the reading before a window, from which a counter grew into it, is no longer near: as long again after it left.
    pub fn base_expiry(&self, at: i64, feature: &Feature) -> i64 {
        let gone = self.left(at, feature);
        let before = self.series.last_counted(gone).map(Point::time);
        let near = before.filter(|time| *time > self.floor && *time > gone - feature.window);
        near.map_or(i64::MAX, |time| expiry(time, 2 * feature.window, self.entry.rule.pane))
    }

    /// The first instant after one at which a feature may change that does not follow the observations as they come.
    pub fn next_border(&self, at: i64, feature: &Feature) -> i64 {
        match (feature.calendar, self.forecasts) {
            // An entry knows nothing of what was forecast before it began to see.
            (None, Some(_)) if self.floor > i64::MIN && at <= self.floor && feature.kind.is_forecast() => {
                self.floor + 1
            }
            (Some(_), _) if at == i64::MIN => i64::MAX,
            (Some(calendar), _) => self.civil.bucket(calendar, at).1,
            (None, Some(forecasts)) if feature.kind.is_forecast() => forecasts.next_change(at, feature.window),
            (None, _) => i64::MAX,
        }
    }

    /// The stretch of the series that a feature looks at, at a time: later than the first, up to and including the second.
    pub fn stretch(&self, at: i64, feature: &Feature) -> (i64, i64) {
        let after = self.left(at, feature).max(self.floor);
        match feature.calendar {
            Some(calendar) if calendar.ago > 0 => (after, self.civil.bucket_ago(calendar, at).1 - 1),
            _ => (after, at),
        }
    }
}

fn expiry(time: i64, window: i64, pane: i64) -> i64 {
    let end = time + window;
    end + (-end).rem_euclid(pane)
}

fn left(at: i64, window: i64, pane: i64) -> i64 {
    at.div_euclid(pane) * pane - window
}
