//! What a level rests on, in words and numbers: computed only when a level changes.

use riskflow_config::{Condition, Conversion, Feature, FeatureKind, Limit, unit_of_feature};
use riskflow_model::limit::TEXT_BYTES;
use riskflow_model::output::{Explanation, FeatureValue, Sample, SourceKind};
use riskflow_model::{Level, Millis, Number, shortened};

use super::evaluation::{left, rate, whole};
use super::series::Point;
use super::value::{Truth, Value, compare, ratio};
use super::walk::Walk;
use crate::warning::specification::Subject;

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
    let mut held = Vec::new();
    for index in comparisons {
        let comparison = &entry.rule.comparisons[index];
        let feature = entry.rule.features[comparison.feature];
        if features.iter().all(|(known, ..)| *known != feature) {
            let (shown, value) = value(walk, feature, at, unit);
            features.push((feature, shown, value));
        }
        let found = features.iter().find(|(known, ..)| *known == feature);
        let of = |_, limit: Limit<'_>| found.and_then(|(_, _, value)| value.against(limit));
        if compare(entry, index, false, of) == Truth::Yes {
            let condition = entry
                .rule
                .show_condition(&Condition::Comparison(index), &entry.thresholds);
            held.push(condition.into());
        }
    }
    let condition = plan.map_or_else(String::new, |plan| {
        entry.rule.show_condition(&plan.condition, &entry.thresholds)
    });
    Explanation {
        rule_name: entry.rule.record.name.clone(),
        rule_version: entry.rule.record.version,
        condition: shortened(&condition, TEXT_BYTES).into(),
        source: Some(SourceKind::Datastream),
        datastream: subject.datastream.clone(),
        held,
        features: features.into_iter().map(|(_, shown, _)| shown).collect(),
        interval: subject.interval.as_deref().cloned(),
        unit: unit.clone(),
        ..Explanation::nothing()
    }
}

/// The comparisons of a condition, in order.
fn collect(condition: &Condition, comparisons: &mut Vec<usize>) {
    match condition {
        Condition::Comparison(index) => comparisons.push(*index),
        Condition::Any(parts) | Condition::All(parts) => {
            for part in parts {
                collect(part, comparisons);
            }
        }
    }
}

/// A feature at a time, with the first and the last observation that count in it; of a silence, the one before it.
fn value(walk: &Walk<'_>, feature: Feature, at: i64, unit: &str) -> (FeatureValue, Value) {
    let series = walk.series;
    let conversion = walk
        .entry
        .scaled
        .as_ref()
        .map_or(Conversion::SAME, |scaled| scaled.conversion);
    let gone = match feature.kind {
        FeatureKind::Silence => walk.floor,
        _ => left(at, feature, walk.entry.rule.pane).max(walk.floor),
    };
    let last = series.last_counted(at).filter(|last| last.time() > gone);
    let first = match feature.kind {
        FeatureKind::Silence => last,
        _ => last.and_then(|_| series.first_counted(gone)),
    };
    let sample = |point: Point| Sample {
        time: Millis(point.time()),
        result: Number(conversion.shown(point.result)),
    };
    let ends = first.zip(last);
    // A sensor that was not heard of since it came, or since before what is kept, is silent since then.
    let unheard = match feature.kind {
        FeatureKind::Silence if walk.heard <= at => whole(at - walk.heard, 1),
        _ => Value::Unknown,
    };
    let all = match feature.kind {
        // Of a silence what came since is of interest, not what was before.
        FeatureKind::Silence => series.extent(last.map_or(gone, Point::time), at),
        _ => series.extent(gone, at),
    };
    let value = ends.map_or(unheard, |ends| of(walk, feature, ends, at));
    let shown = FeatureValue {
        feature: feature.to_string().into(),
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
    };
    (shown, value)
}

fn of(walk: &Walk<'_>, feature: Feature, (first, last): (Point, Point), at: i64) -> Value {
    let extent = || walk.series.extent(first.time() - 1, last.time());
    match feature.kind {
        FeatureKind::Silence => whole(at - last.time(), 1),
        FeatureKind::Last => Value::Result(last.result),
        FeatureKind::Rate => rate(first, last),
        FeatureKind::Min => Value::Result(extent().least),
        FeatureKind::Max => Value::Result(extent().most),
        FeatureKind::Sum => ratio(extent().sum, 1),
        FeatureKind::Mean => ratio(extent().sum, extent().count.into()),
        FeatureKind::Count => whole(i64::from(extent().count) * 1000, 1),
    }
}
