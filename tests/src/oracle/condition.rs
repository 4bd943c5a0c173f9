//! Whether a condition holds at an instant.

use std::cmp::Ordering;

use riskflow_config::{Condition, FeatureKind, Operator};

use super::feature::value;
use super::level::{Decides, Watched};
use super::unit::{Fraction, compare, fraction};

/// What is known of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    Yes,
    No,
    Unknown,
    /// It takes no part.
    Absent,
}

impl Truth {
    /// Of what is known.
    pub const fn of(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

/// Of a condition at an instant, with its thresholds moved or as they are.
pub fn truth(watched: &impl Decides, condition: &Condition, at: i64, moved: bool) -> Truth {
    match condition {
        Condition::Comparison(index) => watched.comparison(*index, at, moved),
        Condition::During(index) => Truth::of(watched.city().is_during(&watched.rule().during[*index], at)),
        Condition::Any(conditions) => match parts(watched, conditions, Condition::is_times, at, moved) {
            None => Truth::Absent,
            Some(truths) if truths.contains(&Truth::Yes) => Truth::Yes,
            Some(truths) if truths.contains(&Truth::Unknown) => Truth::Unknown,
            Some(_) => Truth::No,
        },
        Condition::All(conditions) => match parts(watched, conditions, Condition::holds_by_times, at, moved) {
            None => Truth::Absent,
            Some(truths) if truths.contains(&Truth::No) => Truth::No,
            Some(truths) if truths.contains(&Truth::Unknown) => Truth::Unknown,
            Some(_) => Truth::Yes,
        },
    }
}

/// Of the parts that take part; none do where only times are left of what asks for more, or of what asks for all where times would do.
fn parts(
    watched: &impl Decides,
    conditions: &[Condition],
    by_times: fn(&Condition) -> bool,
    at: i64,
    moved: bool,
) -> Option<Vec<Truth>> {
    let truths = conditions.iter().map(|part| (part, truth(watched, part, at, moved)));
    let (absent, there): (Vec<_>, Vec<_>) = truths.partition(|(_, truth)| *truth == Truth::Absent);
    let only_times = there.iter().all(|(part, _)| by_times(part));
    let nothing = only_times && !absent.is_empty();
    (!nothing).then(|| there.into_iter().map(|(_, truth)| truth).collect())
}

/// Whether a condition takes no part with these thresholds.
pub fn is_absent(thresholds: &[Option<[Fraction; 2]>], condition: &Condition) -> bool {
    match condition {
        Condition::Comparison(index) => thresholds[*index].is_none(),
        Condition::During(_) => false,
        Condition::Any(conditions) | Condition::All(conditions) => {
            let absent = |part: &&Condition| is_absent(thresholds, part);
            let mut there = conditions.iter().filter(|part| !absent(part));
            let by_times = match condition {
                Condition::All(_) => Condition::holds_by_times,
                _ => Condition::is_times,
            };
            conditions.iter().any(|part| absent(&part)) && there.all(by_times)
        }
    }
}

/// Whether what a datastream shows meets a comparison.
pub fn comparison(watched: &Watched<'_>, index: usize, at: i64, moved: bool) -> Truth {
    let Some([on, off]) = watched.thresholds[index] else {
        return Truth::Absent;
    };
    let comparison = &watched.rule.comparisons[index];
    let threshold = if moved { off } else { on };
    let feature = watched.rule.features[comparison.feature];
    let mut values = watched.values.borrow_mut();
    let known = values.entry((comparison.feature, at));
    let Some(value) = *known.or_insert_with(|| value(watched, feature, at)) else {
        return Truth::Unknown;
    };
    let value = fraction(value.0, value.1);
    let conversion = watched.conversion;
    let stands = match feature.kind {
        // Both are squares.
        FeatureKind::Deviation if threshold.0 < 0 => Ordering::Greater,
        FeatureKind::Deviation => {
            let squared = conversion.of_difference(conversion.of_difference(value));
            compare(squared, (threshold.0 * threshold.0, threshold.1 * threshold.1))
        }
        kind => compare(conversion.of(kind, value), threshold),
    };
    Truth::of(holds(comparison.operator, stands))
}

/// Whether a result meets a comparison, as some features count those that do.
pub fn meets(watched: &Watched<'_>, index: usize, result: Fraction) -> bool {
    let Some([threshold, _]) = watched.thresholds[index] else {
        return true;
    };
    let result = watched.conversion.of_result(fraction(result.0, result.1));
    holds(watched.rule.comparisons[index].operator, compare(result, threshold))
}

/// Whether a comparison holds of what stands so to its threshold.
pub fn holds(operator: Operator, stands: Ordering) -> bool {
    match operator {
        Operator::AtLeast => stands != Ordering::Less,
        Operator::Above => stands == Ordering::Greater,
        Operator::AtMost => stands != Ordering::Greater,
        Operator::Below => stands == Ordering::Less,
    }
}
