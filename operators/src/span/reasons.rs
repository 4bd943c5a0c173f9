//! What the level of a rule over gauges rests on, in words and numbers.

use riskflow_config::Condition;
use riskflow_model::limit::TEXT_BYTES;
use riskflow_model::output::{Explanation, FeatureValue, SourceKind};
use riskflow_model::{Level, Number, shortened};

use super::level::Ground;
use crate::warning::{Truth, collect, given_limit, whose};

/// The explanation of the last change of a track, with the values of then, or of the floor where they are not known any more; of the lowest
/// level, as of now, where nothing ever was on.
pub(super) fn explain(ground: &Ground<'_>, track: &[(i64, Level)], (floor, now): (i64, i64)) -> Explanation {
    let (at, level) = match track {
        [] => (now, Level::None),
        [.., (_, before), (at, Level::None)] => (*at, *before),
        [.., (at, level)] => (*at, *level),
    };
    explain_at(ground, at.max(floor), level)
}

/// The explanation of a level at a time.
///
/// Asset fields stay empty: the lifecycle knows the asset.
pub(super) fn explain_at(ground: &Ground<'_>, at: i64, level: Level) -> Explanation {
    let entry = &ground.over.entry;
    let plans = &entry.rule.levels;
    let plan = plans.iter().rfind(|plan| plan.level <= level).or(plans.first());
    let mut comparisons = Vec::new();
    if let Some(plan) = plan {
        collect(&plan.condition, &mut comparisons);
    }
    let (mut held, mut limits) = (Vec::new(), Vec::new());
    let mut features: Vec<usize> = Vec::new();
    for index in comparisons {
        let shown = || {
            entry
                .rule
                .show_condition(&Condition::Comparison(index), &entry.thresholds)
        };
        if ground.compare(index, false, at) == Truth::Yes {
            held.push(shown().into());
        }
        limits.extend(whose(entry, index).map(|whose| given_limit(whose, shown())));
        let feature = entry.rule.comparisons[index].feature;
        if !features.contains(&feature) {
            features.push(feature);
        }
    }
    let condition = plan.map_or_else(String::new, |plan| {
        entry.rule.show_condition(&plan.condition, &entry.thresholds)
    });
    let features = features.into_iter().map(|feature| FeatureValue {
        feature: entry
            .rule
            .show_feature(&entry.rule.features[feature], &entry.thresholds)
            .into(),
        value: ground.value(feature, at).shown().map(Number),
        unit: "".into(),
        first: None,
        last: None,
        not_counted: 0,
        issued: None,
        valid_time: None,
    });
    Explanation {
        rule_name: entry.rule.record.name.clone(),
        rule_version: entry.rule.record.version,
        condition: shortened(&condition, TEXT_BYTES).into(),
        source: Some(SourceKind::Gauge),
        held,
        features: features.collect(),
        limits,
        ..Explanation::nothing()
    }
}
