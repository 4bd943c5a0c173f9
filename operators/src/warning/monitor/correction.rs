//! What a change behind the head of a series can reach.
//!
//! A point that came, went or is another changes a feature only where it counts in the window, and for most features only
//! where it is the one that decides. Where no feature is another, no condition is; so a run that begins in front of such a
//! stretch, and behind it meets the old one, has found all that changed.

use riskflow_config::{Feature, FeatureKind, Operator};

use super::evaluation::STRIDE;
use super::series::{Beyond, Edge, Point, Series};
use super::span::Span;
use super::tally::Tally;
use super::value::bounds;
use super::walk::Walk;
use super::window::breaking;

/// What became of the point of a time; points that do not count are none.
#[derive(Clone, Copy, Debug)]
pub struct Edit {
    /// When.
    pub time: i64,
    /// As it was when the watches settled last.
    pub before: Option<Point>,
    /// As it is now.
    pub after: Option<Point>,
}

/// The points that changed, in the order of time: each as it was before the first change, and as it is now.
pub fn edits(changes: &mut Vec<(i64, Option<Point>)>, series: &Series) -> Vec<Edit> {
    // Of several changes the first saw the point as it was.
    changes.sort_by_key(|(time, _)| *time);
    changes.dedup_by_key(|(time, _)| *time);
    let counted = |point: Option<Point>| point.filter(|point| point.counts());
    let edits = changes.drain(..).map(|(time, before)| Edit {
        time,
        before: counted(before),
        after: counted(series.at(time)),
    });
    let differ = |edit: &Edit| match (edit.before, edit.after) {
        (None, None) => false,
        (Some(before), Some(after)) => before.result.to_bits() != after.result.to_bits(),
        _ => true,
    };
    edits.filter(differ).collect()
}

/// What became of points, and in which half-open stretches what is forecast did.
pub type Edits<'a> = (&'a [Edit], &'a [(i64, i64)]);

/// The half-open stretches of time in which a feature may have changed, up to `until`: in order, and not overlapping.
pub fn stretches(walk: &Walk<'_>, (edits, forecast): Edits<'_>, until: i64) -> Vec<(i64, i64)> {
    let seen = |time| edits.partition_point(|edit| edit.time <= time);
    let edits = &edits[seen(walk.floor)..seen(until).max(seen(walk.floor))];
    let mut found = Vec::new();
    if walk
        .entry
        .rule
        .features
        .iter()
        .any(|feature| feature.kind.is_forecast())
    {
        found.extend_from_slice(forecast);
    }
    for (place, feature) in walk.entry.rule.features.iter().enumerate() {
        if feature.kind.has_nothing(walk.entry.rule.on_event) {
            edits
                .iter()
                .for_each(|edit| found.extend(first_heard(walk, feature, edit)));
        }
        match feature.kind {
            _ if !feature.follows() && feature.calendar.is_some() => {
                edits.iter().for_each(|edit| found.extend(bucket(walk, feature, edit)));
            }
            FeatureKind::Sum | FeatureKind::Mean => sums(walk, place, edits, until, &mut found),
            FeatureKind::Count if feature.of.is_none() => sums(walk, place, edits, until, &mut found),
            _ => edits.iter().for_each(|edit| decisive(walk, feature, edit, &mut found)),
        }
    }
    found.retain(|(from, to)| from < to && *from <= until);
    found.sort_unstable();
    found.dedup_by(|next, last| {
        let joined = next.0 <= last.1;
        if joined {
            last.1 = last.1.max(next.1);
        }
        joined
    });
    found
}

/// Where a point is in the hour or day that a feature looks at. What a counter grew into one depends on the reading before it, too.
fn bucket(walk: &Walk<'_>, feature: &Feature, edit: &Edit) -> Option<(i64, i64)> {
    let calendar = feature.calendar?;
    let last = match feature.kind {
        FeatureKind::Increase => walk.series.first_counted(edit.time).map_or(edit.time, Point::time),
        _ => edit.time,
    };
    let (from, _) = walk.civil.bucket_ahead(calendar, edit.time);
    Some((from, walk.civil.bucket_ahead(calendar, last).1))
}

/// Before anything was heard of a datastream it is not known that there is nothing: the first point ends that.
fn first_heard(walk: &Walk<'_>, feature: &Feature, edit: &Edit) -> Option<(i64, i64)> {
    if walk.is_known(edit.time - 1) {
        return None;
    }
    let next = walk.series.first_counted(edit.time).map_or(i64::MAX, Point::time);
    let until = next.min(walk.heard);
    match feature.calendar {
        Some(calendar) if calendar.ago > 0 && until < i64::MAX => {
            let ahead = |at| walk.civil.bucket_ahead(calendar, at);
            Some((ahead(edit.time).0, ahead(until).1))
        }
        _ => Some((edit.time, until)),
    }
}

/// Where a point may be the one that decides a feature.
fn decisive(walk: &Walk<'_>, feature: &Feature, edit: &Edit, found: &mut Vec<(i64, i64)>) {
    let series = walk.series;
    let gone = |time| walk.expiry(time, feature);
    let next = || series.first_counted(edit.time).map_or(i64::MAX, Point::time);
    match feature.kind {
        // As long as it is the last.
        FeatureKind::Silence => found.push((edit.time, next())),
        FeatureKind::Last => found.push((edit.time, next().min(gone(edit.time)))),
        FeatureKind::Rate | FeatureKind::Projected => {
            found.push((edit.time, next().min(gone(edit.time))));
            // And once it is the first.
            let previous = series
                .last_counted(edit.time - 1)
                .filter(|last| last.time() > walk.floor);
            let from = previous.map_or(edit.time, |previous| gone(previous.time()).max(edit.time));
            found.push((from, gone(edit.time)));
        }
        // Where none in the window is more extreme.
        FeatureKind::Max | FeatureKind::Min => {
            for point in [edit.before, edit.after].into_iter().flatten() {
                let operator = match feature.kind {
                    FeatureKind::Max => Operator::Above,
                    _ => Operator::Below,
                };
                let beyond = Beyond(operator, Edge::Result(point.result));
                let last = series.last_beyond(edit.time - 1, beyond);
                let last = last.filter(|last| last.time() > walk.floor);
                let first = series.first_beyond(edit.time, beyond);
                let from = last.map_or(edit.time, |last| gone(last.time()).max(edit.time));
                found.push((from, first.map_or(i64::MAX, Point::time).min(gone(edit.time))));
            }
        }
        FeatureKind::Increase => {
            // The step to the next one changes with it.
            let last = series.first_counted(edit.time).map_or(edit.time, Point::time);
            found.push((edit.time, gone(last)));
        }
        FeatureKind::Sum
        | FeatureKind::Mean
        | FeatureKind::Count
        | FeatureKind::Range
        | FeatureKind::Drop
        | FeatureKind::Rise
        | FeatureKind::Deviation
        | FeatureKind::Quantile
        | FeatureKind::Slope => found.push((edit.time, gone(edit.time))),
        // Until the next one that ends a row, whatever was before it.
        FeatureKind::InARow => {
            let next = breaking(walk, feature).and_then(|breaking| series.first_beyond(edit.time, breaking));
            found.push((edit.time, next.map_or(i64::MAX, Point::time).min(gone(edit.time))));
        }
        // They do not look at observations.
        FeatureKind::ForecastMin
        | FeatureKind::ForecastMax
        | FeatureKind::ForecastMean
        | FeatureKind::ForecastSum
        | FeatureKind::Gauge => {}
    }
}

/// A sum, mean or count changes as long as an edited point counts. Whether a comparison changes with it is looked up only where
/// that costs less than a run through all instants.
fn sums(walk: &Walk<'_>, place: usize, edits: &[Edit], until: i64, found: &mut Vec<(i64, i64)>) {
    let feature = &walk.entry.rule.features[place];
    let gone = |time| walk.expiry(time, feature);
    let (Some(first), Some(last)) = (edits.first(), edits.last()) else {
        return;
    };
    let end = until.min(gone(last.time) - 1);
    let points = walk.series.position_after(end) - walk.series.position_after(first.time);
    if edits.len() * (STRIDE as usize) > points {
        found.extend(edits.iter().map(|edit| (edit.time, gone(edit.time))));
        return;
    }
    let count = |gone: fn(&Edit) -> bool| edits.iter().filter(|edit| gone(edit)).count() as u32;
    let comparisons = bounds(walk.entry).filter(|(comparison, _)| comparison.feature == place);
    let tallies = comparisons.flat_map(|(comparison, limits)| {
        limits.map(|limit| {
            let changes = edits.iter().map(|edit| (edit.before, edit.after));
            Tally::of(feature.kind, comparison.operator, limit, changes)
        })
    });
    let doubt = Doubt {
        walk,
        feature,
        moved: (count(|edit| edit.before.is_none()), count(|edit| edit.after.is_none())),
        tallies: tallies.collect(),
    };
    doubt.look(first.time - 1, end, found);
}

/// Looks for the instants at which edits may have changed a comparison of a feature that adds up.
struct Doubt<'a> {
    walk: &'a Walk<'a>,
    feature: &'a Feature,
    /// How many points came and went.
    moved: (u32, u32),
    tallies: Vec<Tally>,
}

impl Doubt<'_> {
    /// After one time, up to and including another.
    fn look(&self, after: i64, until: i64, found: &mut Vec<(i64, i64)>) {
        if after >= until || self.untouched(after, until) {
            return;
        }
        match self.middle(after, until) {
            Some(middle) => {
                self.look(after, middle, found);
                self.look(middle, until, found);
            }
            None => found.push((after + 1, until + 1)),
        }
    }

    fn untouched(&self, after: i64, until: i64) -> bool {
        let span = Span::of(self.walk, self.feature, i64::MIN, after, until);
        self.tallies.iter().all(|tally| span.untouched(self.moved, tally))
    }

    /// A time with about as many instants before as behind it; `None` where there are few.
    fn middle(&self, after: i64, until: i64) -> Option<i64> {
        let series = self.walk.series;
        let between = |one, other| {
            let first = series.position_after(one);
            (first, series.position_after(other) - first)
        };
        let (came, coming) = between(after, until);
        let (went, going) = between(self.walk.left(after, self.feature), self.walk.left(until, self.feature));
        if coming + going <= STRIDE as usize {
            return None;
        }
        let middle = if coming >= going {
            series.get(came + coming / 2)?.time()
        } else {
            self.walk.expiry(series.get(went + going / 2)?.time(), self.feature)
        };
        // Many may expire at one instant.
        [middle - 1, middle]
            .into_iter()
            .find(|middle| (after + 1..until).contains(middle))
    }
}
