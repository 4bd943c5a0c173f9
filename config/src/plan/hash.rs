//! The hash of what decides when the levels of a rule are on.

use riskflow_model::{Key, Text};

use super::{Checked, Comparison, Condition, During, Feature, LevelPlan, Role};

/// What a condition is made of, while it is hashed.
pub(super) struct Parts<'a> {
    pane: i64,
    features: &'a [Feature],
    gauges: &'a [Text],
    comparisons: &'a [Comparison],
    during: &'a [During],
    levels: &'a [LevelPlan],
}

impl<'a> Parts<'a> {
    pub(super) fn of(rule: &'a Checked) -> Self {
        Self {
            pane: rule.pane,
            features: &rule.features,
            gauges: &rule.gauges,
            comparisons: &rule.comparisons,
            during: &rule.during,
            levels: &rule.levels,
        }
    }

    /// The hash of what decides when a level is on, thresholds aside. It stands in checkpoints: what a rule does not use adds nothing,
    /// so the hash of a rule outlives what the language learns.
    pub(super) fn hash(&self) -> Key {
        let mut parts = vec![self.pane.to_string()];
        parts.extend(self.features.iter().map(Self::feature));
        // They stand in the order in which features name them.
        parts.extend(self.gauges.iter().map(ToString::to_string));
        parts.extend(self.comparisons.iter().map(|comparison| {
            let role = match comparison.role {
                Role::When => "",
                Role::Until => " until",
                Role::Reading => " reading",
            };
            format!("{} {}{role}", comparison.feature, comparison.operator.sign())
        }));
        parts.extend(self.during.iter().map(ToString::to_string));
        parts.extend(self.levels.iter().map(|plan| {
            let mut written = format!("{} {} {} ", plan.level, plan.hold, plan.clear);
            tree(&plan.condition, &mut written);
            if let Some(until) = &plan.until {
                written.push('!');
                tree(until, &mut written);
            }
            written
        }));
        Key::of_parts(&parts.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn feature(feature: &Feature) -> String {
        let mut written = format!("{} {}", feature.kind.name(), feature.window);
        if let Some(calendar) = feature.calendar {
            written.push_str(&format!(" {calendar}"));
        }
        let more = [
            ("shortest", feature.shortest),
            ("ahead", feature.ahead),
            ("q", feature.quantile.into()),
        ];
        for (name, number) in more {
            if number != 0 {
                written.push_str(&format!(" {name} {number}"));
            }
        }
        if let Some(of) = feature.of {
            written.push_str(&format!(" of {of}"));
        }
        written
    }
}

fn tree(condition: &Condition, written: &mut String) {
    let (sign, parts) = match condition {
        Condition::Comparison(index) => return written.push_str(&index.to_string()),
        Condition::During(position) => return written.push_str(&format!("@{position}")),
        Condition::Any(parts) => ('|', parts),
        Condition::All(parts) => ('&', parts),
    };
    written.push(sign);
    for part in parts {
        written.push('(');
        tree(part, written);
        written.push(')');
    }
}
