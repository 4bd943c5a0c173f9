//! What a level rests on, in words and numbers: computed only when a level changes.

use riskflow_config::{Condition, Feature, FeatureKind};
use riskflow_model::limit::TEXT_BYTES;
use riskflow_model::output::{Explanation, FeatureValue, Sample};
use riskflow_model::{Level, Millis, Number, Text, shortened};

use super::evaluation::{Walk, left, rate};
use super::series::Point;
use super::value::Value;
use crate::specification::Entry;

/// The explanation of the last change of a level: when, to which, from which; of the lowest level, as of `now`, where nothing
/// ever was on.
///
/// Asset fields stay empty: the lifecycle knows the asset.
pub fn explain(walk: &Walk<'_>, last: Option<(i64, Level, Level)>, now: i64, datastream: &Text) -> Explanation {
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
    Explanation {
        rule_version: entry.rule.record.version,
        condition: shortened(&condition, TEXT_BYTES).into(),
        datastream: datastream.clone(),
        features: features.into_iter().map(|feature| value(walk, feature, at)).collect(),
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
        interval: None,
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
fn value(walk: &Walk<'_>, feature: Feature, at: i64) -> FeatureValue {
    let series = walk.series;
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
        result: Number(point.result),
    };
    let ends = first.zip(last);
    // A sensor that was not heard of since it came, or since before what is kept, is silent since then.
    let unheard = (feature.kind == FeatureKind::Silence && walk.heard <= at).then(|| Value::Ratio {
        over: at - walk.heard,
        under: 1,
    });
    let all = match feature.kind {
        // Of a silence what came since is of interest, not what was before.
        FeatureKind::Silence => series.extent(last.map_or(gone, Point::time), at),
        _ => series.extent(gone, at),
    };
    FeatureValue {
        feature: feature.to_string().into(),
        value: ends
            .map_or(unheard, |ends| Some(of(walk, feature, ends, at)))
            .and_then(Value::shown)
            .map(Number),
        first: first.map(sample),
        last: last.map(sample),
        not_counted: all.len - all.count,
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
