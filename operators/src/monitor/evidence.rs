//! What a level rests on, in words and numbers: computed only when a level changes.

use riskflow_config::{Condition, Conversion, Feature, FeatureKind, unit_of_feature};
use riskflow_model::limit::TEXT_BYTES;
use riskflow_model::output::{Explanation, FeatureValue, Sample};
use riskflow_model::{Level, Millis, Number, Text, shortened};

use super::evaluation::{Walk, left, rate};
use super::series::Point;
use super::value::Value;
use crate::specification::{Entry, Subject};

/// The explanation of the last change of a level: when, to which, from which; of the lowest level, as of `now`, where nothing
/// ever was on.
///
/// Asset fields stay empty: the lifecycle knows the asset.
pub fn explain(walk: &Walk<'_>, last: Option<(i64, Level, Level)>, now: i64, subject: &Subject) -> Explanation {
    let entry = walk.entry;
    let (at, level) = match last {
        None => (now, entry.rule.levels.first().map_or(Level::None, |plan| plan.level)),
        Some((at, Level::None, before)) => (at, before),
        Some((at, level, _)) => (at, level),
    };
    let plan = entry.rule.levels.iter().find(|plan| plan.level == level);
    let mut features = Vec::new();
    if let Some(plan) = plan {
        collect(entry, &plan.condition, &mut features);
    }
    let condition = plan.map_or_else(String::new, |plan| {
        entry.rule.show_condition(&plan.condition, &entry.thresholds)
    });
    let of_rule = &entry.rule.record.unit;
    let unit = if of_rule.is_empty() { &subject.unit } else { of_rule };
    let features = features.into_iter().map(|feature| value(walk, feature, at, unit));
    Explanation {
        rule_version: entry.rule.record.version,
        condition: shortened(&condition, TEXT_BYTES).into(),
        datastream: subject.datastream.clone(),
        features: features.collect(),
        unit: unit.clone(),
        ..nothing()
    }
}

/// The explanation where no entry is left.
pub fn nothing() -> Explanation {
    Explanation {
        rule_version: 0,
        condition: Text::default(),
        datastream: Text::default(),
        features: Vec::new(),
        unit: Text::default(),
        asset_name: Text::default(),
        category: Text::default(),
        inherent_level: None,
        region: None,
    }
}

fn collect(entry: &Entry, condition: &Condition, features: &mut Vec<Feature>) {
    match condition {
        Condition::Comparison(index) => {
            let feature = entry.rule.features[entry.rule.comparisons[*index].feature];
            if !features.contains(&feature) {
                features.push(feature);
            }
        }
        Condition::Any(parts) | Condition::All(parts) => {
            for part in parts {
                collect(entry, part, features);
            }
        }
    }
}

/// A feature at a time, with the first and the last observation that count in it; of a silence, the one before it.
fn value(walk: &Walk<'_>, feature: Feature, at: i64, unit: &str) -> FeatureValue {
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
    FeatureValue {
        feature: feature.to_string().into(),
        value: ends.and_then(|ends| of(walk, feature, ends, at).shown()).map(|value| {
            let conversion = conversion.of_feature(feature.kind);
            Number(conversion.shown(value))
        }),
        unit: match feature.kind {
            FeatureKind::Silence => "s".into(),
            kind => unit_of_feature(kind, unit).into(),
        },
        first: first.map(sample),
        last: last.map(sample),
    }
}

fn of(walk: &Walk<'_>, feature: Feature, (first, last): (Point, Point), at: i64) -> Value {
    let extent = || walk.series.extent(first.time() - 1, last.time());
    let ratio = |over, under| Value::Ratio { over, under };
    match feature.kind {
        FeatureKind::Silence => ratio(at - last.time(), 1),
        FeatureKind::Last => Value::Result(last.result),
        FeatureKind::Rate => rate(first, last),
        FeatureKind::Min => Value::Result(extent().least),
        FeatureKind::Max => Value::Result(extent().most),
        FeatureKind::Sum => ratio(extent().sum, 1),
        FeatureKind::Mean => ratio(extent().sum, extent().count.into()),
        FeatureKind::Count => ratio(i64::from(extent().count) * 1000, 1),
    }
}
