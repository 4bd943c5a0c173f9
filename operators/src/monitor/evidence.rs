//! What a level rests on, in words and numbers: computed only when a level changes.

use riskflow_config::{Condition, Feature, FeatureKind};
use riskflow_model::limit::TEXT_BYTES;
use riskflow_model::output::{Explanation, FeatureValue, Sample};
use riskflow_model::{Level, Millis, Number, Text, shortened};

use super::Track;
use super::evaluation::{expiry, reduce};
use super::series::{Point, Series};
use crate::specification::Entry;

/// An explanation tells the values of so many features.
const MOST_FEATURES: usize = 100;

/// The explanation of the last change of a track; of the lowest level, as of `now`, where nothing ever was on.
///
/// Asset fields stay empty: the lifecycle knows the asset.
pub fn explain(entry: &Entry, series: &Series, track: &Track, floor: i64, now: i64, datastream: &Text) -> Explanation {
    let (at, level) = match track.as_slice() {
        [] => (now, entry.rule.levels.first().map_or(Level::None, |plan| plan.level)),
        [.., (_, before), (at, Level::None)] => (*at, *before),
        [.., (at, level)] => (*at, *level),
    };
    let plan = entry.rule.levels.iter().find(|plan| plan.level == level);
    let mut features = Vec::new();
    if let Some(plan) = plan {
        collect(entry, &plan.condition, &mut features);
    }
    let more = features.len().saturating_sub(MOST_FEATURES);
    features.truncate(MOST_FEATURES);
    let left_out = (more > 0).then(|| FeatureValue {
        feature: format!("…({more} more)").into(),
        value: None,
        first: None,
        last: None,
    });
    let condition = plan.map_or_else(String::new, |plan| {
        entry.rule.show_condition(&plan.condition, &entry.thresholds)
    });
    let visible = &series.points()[series.position_after(floor)..];
    Explanation {
        rule_version: entry.rule.record.version,
        condition: shortened(&condition, TEXT_BYTES).into(),
        datastream: datastream.clone(),
        features: features
            .into_iter()
            .map(|feature| value(feature, visible, entry.rule.pane, at))
            .chain(left_out)
            .collect(),
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

fn value(feature: Feature, points: &[Point], pane: i64, at: i64) -> FeatureValue {
    let seen = &points[..points.partition_point(|point| point.time() <= at)];
    let sample = |point: &Point| Sample {
        time: Millis(point.time()),
        result: Number(point.result),
    };
    if feature.kind == FeatureKind::Silence {
        let last = seen.iter().rfind(|point| point.counts());
        return FeatureValue {
            feature: feature.to_string().into(),
            value: last.map(|point| Number((at - point.time()) as f64 / 1000.0)),
            first: last.map(sample),
            last: last.map(sample),
        };
    }
    let window = &seen[seen.partition_point(|point| expiry(*point, feature.window, pane) <= at)..];
    let mut counted = window.iter().filter(|point| point.counts());
    let first = counted.next().map(sample);
    FeatureValue {
        feature: feature.to_string().into(),
        value: reduce(feature.kind, window).map(Number),
        first,
        last: counted.next_back().map(sample).or(first),
    }
}
