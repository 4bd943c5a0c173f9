//! What a level rests on, in words and numbers: computed only when a level changes.

use riskflow_config::{Condition, Conversion, Feature, FeatureKind, Limit, Whose, unit_of_feature};
use riskflow_model::limit::TEXT_BYTES;
use riskflow_model::output::{Explanation, FeatureValue, GivenLimit, LimitSource, Sample, SourceKind};
use riskflow_model::{Level, Millis, Number, shortened};

use super::evaluation::whole;
use super::forecast::Expected;
use super::series::Point;
use super::value::{Truth, Value, compare};
use super::walk::Walk;
use super::window::{value_at, value_over};
use crate::warning::specification::{Entry, Subject};

/// The explanation of a level at a time; of the next lower one where the rule does not have it, or else of the lowest.
///
/// Asset fields stay empty: the lifecycle knows the asset.
pub fn explain(walk: &Walk<'_>, at: i64, level: Level, subject: &Subject) -> Explanation {
    let entry = walk.entry;
    let plans = &entry.rule.levels;
    let plan = plans.iter().rfind(|plan| plan.level <= level).or(plans.first());
    let mut comparisons = Vec::new();
    if let Some(plan) = plan {
        collect(&plan.condition, &mut comparisons);
    }
    let of_rule = &entry.rule.record.unit;
    let unit = if of_rule.is_empty() { &subject.unit } else { of_rule };
    let mut features: Vec<(Feature, FeatureValue, Value)> = Vec::new();
    let (mut held, mut limits, mut truths) = (Vec::new(), Vec::new(), Vec::new());
    for index in comparisons {
        let comparison = &entry.rule.comparisons[index];
        let feature = entry.rule.features[comparison.feature];
        if features.iter().all(|(known, ..)| *known != feature) {
            let (shown, value) = value(walk, &feature, at, unit);
            features.push((feature, shown, value));
        }
        let found = features.iter().find(|(known, ..)| *known == feature);
        let of = |_, limit: Limit<'_>| found.and_then(|(_, _, value)| value.against(limit));
        let shown = || {
            entry
                .rule
                .show_condition(&Condition::Comparison(index), &entry.thresholds)
        };
        let truth = compare(entry, index, false, of);
        if truth == Truth::Yes {
            held.push(shown().into());
        }
        truths.push((index, truth, feature.kind.is_forecast()));
        limits.extend(whose(entry, index).map(|whose| given_limit(whose, shown())));
        let picks = feature.of.and_then(|reading| whose(entry, reading));
        let of_feature = || entry.rule.show_feature(&feature, &entry.thresholds);
        limits.extend(picks.map(|whose| given_limit(whose, of_feature())));
    }
    let condition = plan.map_or_else(String::new, |plan| {
        entry.rule.show_condition(&plan.condition, &entry.thresholds)
    });
    // Whether it holds, with what is forecast or as if nothing were.
    let holds = |forecast: bool| {
        let of = |comparison: usize| match truths.iter().find(|(index, ..)| *index == comparison) {
            Some((_, truth, ahead)) if forecast || !ahead || *truth == Truth::Absent => *truth,
            _ => Truth::Unknown,
        };
        plan.is_some_and(|plan| walk.truth(&plan.condition, at, &of) == Truth::Yes)
    };
    Explanation {
        rule_name: entry.rule.record.name.clone(),
        rule_version: entry.rule.record.version,
        condition: shortened(&condition, TEXT_BYTES).into(),
        source: Some(SourceKind::Datastream),
        datastream: subject.datastream.clone(),
        held,
        features: features.into_iter().map(|(_, shown, _)| shown).collect(),
        interval: subject.interval.clone(),
        unit: unit.clone(),
        limits,
        forecast: holds(true) && !holds(false),
        ..Explanation::nothing()
    }
}

/// Whose the threshold of a comparison is, if it is not the rule's.
pub(crate) fn whose(entry: &Entry, comparison: usize) -> Option<Whose> {
    *entry.givers.as_ref()?.get(comparison)?
}

pub(crate) fn given_limit(whose: Whose, comparison: String) -> GivenLimit {
    let (of, region) = match whose {
        Whose::Datastream => (LimitSource::Datastream, None),
        Whose::Asset => (LimitSource::Asset, None),
        Whose::Region(region) => (LimitSource::Region, Some(region)),
    };
    GivenLimit {
        comparison: comparison.into(),
        of,
        region,
    }
}

/// The comparisons of a condition, in order.
pub(crate) fn collect(condition: &Condition, comparisons: &mut Vec<usize>) {
    match condition {
        Condition::Comparison(index) => comparisons.push(*index),
        Condition::During(_) => {}
        Condition::Any(parts) | Condition::All(parts) => {
            for part in parts {
                collect(part, comparisons);
            }
        }
    }
}

/// A feature at a time, with the first and the last observation that count in it; of a silence, the one before it.
pub(super) fn value(walk: &Walk<'_>, feature: &Feature, at: i64, unit: &str) -> (FeatureValue, Value) {
    let series = walk.series;
    let conversion = walk
        .entry
        .scaled
        .as_ref()
        .map_or(Conversion::SAME, |scaled| scaled.conversion);
    let (gone, until) = match feature.kind {
        FeatureKind::Silence => (walk.floor, at),
        _ => walk.stretch(at, feature),
    };
    let last = series.last_counted(until).filter(|last| last.time() > gone);
    let first = match feature.kind {
        FeatureKind::Silence => last,
        _ => last.and_then(|_| series.first_counted(gone)),
    };
    let sample = |point: Point| Sample {
        time: Millis(point.time()),
        result: Number(conversion.shown(point.result)),
    };
    // A sensor that was not heard of since it came, or since before what is kept, is silent since then.
    let unheard = match feature.kind {
        FeatureKind::Silence if walk.heard <= at => whole(at - walk.heard, 1),
        _ => Value::Unknown,
    };
    let all = match feature.kind {
        // Of a silence what came since is of interest, not what was before.
        FeatureKind::Silence => series.extent(last.map_or(gone, Point::time), at),
        _ => series.extent(gone, until),
    };
    if feature.kind.is_forecast() {
        return forecast(walk, feature, at, (unit, conversion));
    }
    let value = match (feature.kind, last) {
        (FeatureKind::Silence, Some(last)) => whole(at - last.time(), 1),
        (FeatureKind::Silence, None) => unheard,
        _ => value_over(walk, feature, gone, until),
    };
    let shown = FeatureValue {
        feature: walk.entry.rule.show_feature(feature, &walk.entry.thresholds).into(),
        value: value.shown().map(|value| {
            let conversion = feature.kind.converted(conversion);
            Number(conversion.shown(value))
        }),
        unit: match feature.kind {
            FeatureKind::Silence => "s".into(),
            kind => unit_of_feature(kind, unit).into(),
        },
        first: first.map(sample),
        last: last.map(sample),
        not_counted: all.len - all.count,
        issued: None,
        valid_time: None,
    };
    (shown, value)
}

/// A feature of what is forecast, with the first and the last value that count, and the newest issue among them.
fn forecast(
    walk: &Walk<'_>,
    feature: &Feature,
    at: i64,
    (unit, conversion): (&str, Conversion),
) -> (FeatureValue, Value) {
    let value = value_at(walk, feature, at);
    let ahead = || {
        walk.forecasts
            .into_iter()
            .flat_map(|forecasts| forecasts.ahead(at, feature.window))
    };
    let sample = |expected: Expected| Sample {
        time: Millis(expected.valid),
        result: Number(conversion.shown(expected.value)),
    };
    // Of several the first.
    let extreme = match feature.kind {
        FeatureKind::ForecastMin => ahead().min_by(|one, other| one.value.total_cmp(&other.value)),
        FeatureKind::ForecastMax => ahead().min_by(|one, other| other.value.total_cmp(&one.value)),
        _ => None,
    };
    let shown = FeatureValue {
        feature: feature.to_string().into(),
        value: value
            .shown()
            .map(|value| Number(feature.kind.converted(conversion).shown(value))),
        unit: unit_of_feature(feature.kind, unit).into(),
        first: ahead().next().map(sample),
        last: ahead().last().map(sample),
        not_counted: 0,
        issued: ahead().map(|expected| Millis(expected.issued)).max(),
        valid_time: extreme.map(|expected| Millis(expected.valid)),
    };
    (shown, value)
}
