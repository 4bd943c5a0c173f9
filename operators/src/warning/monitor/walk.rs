//! What a run goes along: the entry, the observations, and from when on they are seen.

use riskflow_config::{Comparison, Feature, FeatureKind, Limit};
use serde::{Deserialize, Serialize};

use super::series::{Point, Range, Series, billionths};
use super::turns::Set;
use super::value::{admits, bounds, ratio, upwards};
use crate::warning::specification::Entry;

/// From when on a run sees what came.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Sight {
    /// What is at or before this time is not seen.
    pub floor: i64,
    /// When the datastream was last heard of up to there; else when its row came.
    pub heard: i64,
}

/// What a run goes along.
pub struct Walk<'a> {
    /// The rule and its thresholds.
    pub entry: &'a Entry,
    /// The observations.
    pub series: &'a Series,
    /// What is at or before this time is not seen.
    pub floor: i64,
    /// When the datastream was last heard of before the first observation that is seen, for silences; `i64::MAX` where there are
    /// none.
    pub heard: i64,
    /// The levels that are on at the floor, where the run goes on from an entry of the same rule with another condition.
    pub begin: Option<Set>,
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
    pub fn new(entry: &'a Entry, series: &'a Series, sight: Sight) -> Self {
        let silence = |feature: &Feature| feature.kind == FeatureKind::Silence;
        let silences = entry.rule.features.iter().any(silence);
        Self {
            entry,
            series,
            floor: sight.floor,
            heard: if silences { sight.heard } else { i64::MAX },
            begin: None,
            lazy: false,
            rises: None,
            leaves: [(&[], 0); 3],
        }
    }

    /// The same, from where an entry with another condition came to.
    pub const fn from(self, begin: Option<Set>) -> Self {
        Self { begin, ..self }
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
            bounds(entry).any(|(comparison, [on, _])| may_rise(comparison, on, &entry.rule.features, range))
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
    match features[comparison.feature].kind {
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
        FeatureKind::Rate => true,
    }
}
