//! What a feature is, and whether a condition holds: exact at every border.

use std::cmp::Ordering;

use ethnum::I256;
use riskflow_config::{Comparison, Condition, Limit, Operator, Role};
use serde::Serialize;
use smallvec::SmallVec;

use crate::warning::specification::Entry;

/// The value of a feature at one instant.
///
/// What is added up is an integer of billionths, and a quotient is compared by multiplication: no rounding stands between a
/// value and its threshold. A result is the double nearest to the decimal that was given, and so is a threshold; rounding to
/// the nearest keeps the order, so equal decimals are equal and a greater one is never less.
#[derive(Clone, Debug)]
pub enum Value {
    /// There is nothing to tell it from.
    Unknown,
    /// The result of one observation.
    Result(f64),
    /// A quotient, in billionths.
    Ratio {
        /// Above the line: at most 4·10^9 results of 10^18, or one times an hour.
        over: i128,
        /// Below it; positive.
        under: i64,
    },
    /// A quotient in billionths whose parts need more room.
    Wide(Box<(I256, I256)>),
    /// The square root of a quotient, in squares of billionths.
    Root(Box<(I256, I256)>),
    /// A result of which only is known how it stands to limits.
    Ranked(Box<Ranked>),
}

/// How a result stands to some limits.
#[derive(Clone, Debug)]
pub struct Ranked(SmallVec<[((i128, i128), Ordering); 2]>);

impl Ranked {
    /// Of limits, how it stands to each.
    pub fn new<'a>(orderings: impl Iterator<Item = (Limit<'a>, Ordering)>) -> Self {
        Self(orderings.map(|(limit, ordering)| (limit.parts(), ordering)).collect())
    }

    /// How it stands to one of them.
    pub fn against(&self, limit: Limit<'_>) -> Ordering {
        let parts = limit.parts();
        let found = self.0.iter().find(|(known, _)| *known == parts);
        found.expect("it was ranked among all limits of its comparisons").1
    }
}

/// So many billionths are a thousandth. Thresholds are in thousandths.
pub const THOUSANDTH: i128 = 1_000_000;

/// The threshold in billionths, above and below the line. Products with these do not fit into 128 bits.
pub fn parts(limit: Limit<'_>) -> (I256, I256) {
    let (above, below) = limit.parts();
    (I256::from(above) * I256::from(THOUSANDTH), I256::from(below))
}

impl Value {
    /// How it stands to a threshold; `None` while unknown.
    #[inline]
    pub fn against(&self, limit: Limit<'_>) -> Option<Ordering> {
        match (self, limit) {
            (Self::Unknown, _) => None,
            (Self::Result(result), limit) => Some(limit.of_result(*result)),
            // Both sides times both denominators. A threshold with its margin is at most 2·10^15 thousandths.
            (Self::Ratio { over, under }, Limit::Plain(threshold)) => {
                Some(over.cmp(&(i128::from(threshold) * THOUSANDTH * i128::from(*under))))
            }
            (value, limit) => Some(value.rarely_against(limit)),
        }
    }

    /// How one that is known stands to a threshold, where that is not told by two numbers; apart, so that the rest is small.
    #[cold]
    fn rarely_against(&self, limit: Limit<'_>) -> Ordering {
        match self {
            Self::Unknown => unreachable!("it is known"),
            Self::Result(result) => limit.of_result(*result),
            Self::Ratio { over, under } => wide(&(I256::from(*over), I256::from(*under)), limit),
            Self::Wide(parts) => wide(parts, limit),
            Self::Root(parts) => root(parts, limit),
            Self::Ranked(ranked) => ranked.against(limit),
        }
    }

    /// For people: the nearest double.
    pub fn shown(&self) -> Option<f64> {
        match *self {
            Self::Unknown => None,
            Self::Result(result) => Some(result),
            Self::Wide(ref parts) => Some(quotient(parts) / 1e9),
            Self::Root(ref parts) => Some(quotient(parts).sqrt() / 1e9),
            Self::Ranked(_) => unreachable!("what is shown is not only compared"),
            // As few digits as can be: where thousandths do, the quotient of two whole numbers that doubles hold.
            Self::Ratio { over, under } if over % THOUSANDTH == 0 => {
                Some((over / THOUSANDTH) as f64 / (1_000.0 * under as f64))
            }
            Self::Ratio { over, under } => Some(over as f64 / (1e9 * under as f64)),
        }
    }
}

/// How a quotient stands to a threshold whose product with it does not fit into 128 bits.
#[cold]
pub(super) fn wide((over, under): &(I256, I256), limit: Limit<'_>) -> Ordering {
    let (above, below) = parts(limit);
    (over * below).cmp(&(above * under))
}

/// How a root stands to a threshold: squared.
pub(super) fn root((over, under): &(I256, I256), limit: Limit<'_>) -> Ordering {
    let (above, below) = parts(limit);
    if above < I256::ZERO {
        return Ordering::Greater;
    }
    let left = below.checked_mul(below).and_then(|square| over.checked_mul(square));
    let right = above.checked_mul(above).and_then(|square| under.checked_mul(square));
    match left.zip(right) {
        Some((left, right)) => left.cmp(&right),
        // Units so far apart that the squares leave 256 bits: doubles tell, as exact as what is shown.
        None => {
            let threshold = above.as_f64() / below.as_f64();
            quotient(&(*over, *under)).sqrt().total_cmp(&threshold)
        }
    }
}

fn quotient((over, under): &(I256, I256)) -> f64 {
    over.as_f64() / under.as_f64()
}

/// Whether a value that stands so to the threshold compares as the operator says.
pub const fn admits(operator: Operator, ordering: Ordering) -> bool {
    match operator {
        Operator::AtLeast => ordering.is_ge(),
        Operator::Above => ordering.is_gt(),
        Operator::AtMost => ordering.is_le(),
        Operator::Below => ordering.is_lt(),
    }
}

/// Whether the operator asks for great values.
pub const fn upwards(operator: Operator) -> bool {
    matches!(operator, Operator::AtLeast | Operator::Above)
}

/// Kleene's truth values in their order, and one for a condition that takes no part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Truth {
    /// It does not hold.
    No,
    /// It cannot be told.
    Unknown,
    /// It holds.
    Yes,
    /// Nothing is left of it.
    Absent,
}

/// The comparisons of an entry that are part of conditions and take part, with the limits in force, for turning on and off.
pub fn bounds(entry: &Entry) -> impl Iterator<Item = (&Comparison, [Limit<'_>; 2])> {
    let comparisons = entry.rule.comparisons.iter().enumerate();
    let comparisons = comparisons.filter(|(_, comparison)| comparison.role != Role::Reading);
    comparisons.filter_map(|(index, comparison)| Some((comparison, entry.limits(index)?)))
}

/// The truth of a condition from that of its comparisons and of its times.
pub fn truth(condition: &Condition, of: &impl Fn(usize) -> Truth, during: &impl Fn(usize) -> bool) -> Truth {
    match condition {
        Condition::Comparison(index) => of(*index),
        Condition::During(position) if during(*position) => Truth::Yes,
        Condition::During(_) => Truth::No,
        Condition::Any(parts) => combine(parts, (of, during), Truth::Yes, Truth::No),
        Condition::All(parts) => combine(parts, (of, during), Truth::No, Truth::Yes),
    }
}

/// `strong` if any part is; `Unknown` if any is unknown; `weak` if all are; parts that take no part are left out.
///
/// Where only times are left of parts of which some take no part, nothing is left, and of parts that must all hold nothing is either
/// where times alone make the rest true: a rule without its thresholds is not one that holds every night.
fn combine(
    parts: &[Condition],
    (of, during): (&impl Fn(usize) -> Truth, &impl Fn(usize) -> bool),
    strong: Truth,
    weak: Truth,
) -> Truth {
    let by_times = |part: &Condition| match strong {
        Truth::No => part.holds_by_times(),
        _ => part.is_times(),
    };
    let mut result = Truth::Absent;
    let (mut absent, mut features, mut decided) = (false, false, false);
    for part in parts {
        let found = truth(part, of, during);
        if found == strong {
            if !by_times(part) {
                return strong;
            }
            decided = true;
        }
        absent |= found == Truth::Absent;
        features |= found != Truth::Absent && !by_times(part);
        result = match (result, found) {
            (known, Truth::Absent) => known,
            (Truth::Unknown, _) | (_, Truth::Unknown) => Truth::Unknown,
            _ => weak,
        };
    }
    match (absent && !features, decided) {
        (true, _) => Truth::Absent,
        (false, true) => strong,
        (false, false) => result,
    }
}

/// Whether a condition takes part at all: whether a threshold is in force that it asks for.
pub fn takes_part(entry: &Entry, condition: &Condition) -> bool {
    // Whatever the features are, this is the same.
    let of = |index| match entry.limits(index) {
        Some(_) => Truth::Unknown,
        None => Truth::Absent,
    };
    truth(condition, &of, &|_| true) != Truth::Absent
}

/// The truth of one comparison of an entry, from how its feature stands to a threshold.
pub fn compare(
    entry: &Entry,
    index: usize,
    moved: bool,
    against: impl Fn(usize, Limit<'_>) -> Option<Ordering>,
) -> Truth {
    let Some([on, off]) = entry.limits(index) else {
        return Truth::Absent;
    };
    let comparison = &entry.rule.comparisons[index];
    match against(comparison.feature, if moved { off } else { on }) {
        None => Truth::Unknown,
        Some(ordering) if admits(comparison.operator, ordering) => Truth::Yes,
        Some(_) => Truth::No,
    }
}

/// A quotient in billionths.
pub(super) const fn ratio(over: i128, under: i64) -> Value {
    Value::Ratio { over, under }
}

#[cfg(test)]
mod tests {
    use riskflow_config::Border;

    use super::*;

    #[test]
    fn values_are_exact_at_their_borders() {
        // The mean of 0.1, 0.2 and 0.3 is 0.2; that of 0.1, 0.2 and 0.301 is more by a third of a thousandth.
        let mean = |over| Value::Ratio {
            over: over * THOUSANDTH,
            under: 3,
        };
        assert_eq!(mean(600).against(Limit::Plain(200)), Some(Ordering::Equal));
        assert_eq!(mean(601).against(Limit::Plain(200)), Some(Ordering::Greater));
        assert_eq!(mean(599).against(Limit::Plain(200)), Some(Ordering::Less));
        // From 0.1 to 0.3 within an hour: 0.2 an hour, though 0.3 - 0.1 is less than 0.2 in doubles.
        let rate = Value::Ratio {
            over: 200 * THOUSANDTH * 3_600_000,
            under: 3_600_000,
        };
        assert_eq!(rate.against(Limit::Plain(200)), Some(Ordering::Equal));
        // A billionth more or less.
        let sum = |over| Value::Ratio { over, under: 1 };
        assert_eq!(sum(20_000_000).against(Limit::Plain(20)), Some(Ordering::Equal));
        assert_eq!(sum(19_999_999).against(Limit::Plain(20)), Some(Ordering::Less));
        assert_eq!(sum(20_000_001).against(Limit::Plain(20)), Some(Ordering::Greater));
        assert_eq!(sum(48_000_000_000).shown(), Some(48.0));
        assert_eq!(sum(400_001).shown(), Some(0.000_400_001));
        // The most that there can be.
        let most = Value::Ratio {
            over: 1_000_000_000_000_000_000 * i128::from(u32::MAX),
            under: u32::MAX.into(),
        };
        assert_eq!(most.against(Limit::Plain(1_000_000_000_000)), Some(Ordering::Equal));
        assert_eq!(most.against(Limit::Plain(2_000_000_000_000_000)), Some(Ordering::Less));
        assert_eq!(
            Value::Result(0.1 + 0.2).against(Limit::Plain(300)),
            Some(Ordering::Greater)
        );
        assert_eq!(Value::Result(0.3).against(Limit::Plain(300)), Some(Ordering::Equal));
        // The most that a conversion may multiply with.
        let border = Border {
            over: 20_000_000_000_000_000_000_000_000_000,
            under: 10_000_000_000_000,
        };
        let low = Border {
            over: -border.over,
            ..border
        };
        let ratio = |over| Value::Ratio {
            over,
            under: 4_000_000_000,
        };
        let against = |over, border| ratio(over).against(Limit::Fraction(border));
        let extreme = 1_000_000_000_000_000_000 * i128::from(u32::MAX);
        assert_eq!(against(extreme, &border), Some(Ordering::Less));
        assert_eq!(against(-extreme, &low), Some(Ordering::Greater));
        let third = Border { over: 1_000, under: 3 };
        let thirds = |over| Value::Ratio { over, under: 3 }.against(Limit::Fraction(&third));
        assert_eq!(thirds(1_000 * THOUSANDTH), Some(Ordering::Equal));
        assert_eq!(thirds(1_000 * THOUSANDTH - 1), Some(Ordering::Less));
        assert_eq!(Value::Unknown.against(Limit::Plain(0)), None);
    }
}
