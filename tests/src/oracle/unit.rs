//! Units of the histories, from a table of their own.

use std::cmp::Ordering;

use riskflow_config::{Comparison, FeatureKind, Rule};
use riskflow_model::Number;
use riskflow_model::base::Datastream;
use riskflow_model::ruleset::Adjust;

/// Numerator and denominator, without common factor; the denominator is positive.
pub type Fraction = (i128, i128);

/// Of an integer over another.
pub fn fraction(over: i128, under: i128) -> Fraction {
    let (mut a, mut b) = (over.abs(), under.abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    let common = a.max(1) * under.signum();
    (over / common, under / common)
}

/// How one stands to another, however long both are.
pub fn compare(a: Fraction, b: Fraction) -> Ordering {
    // Whole parts first; then what is left over, upside down. Nothing is multiplied.
    let whole = a.0.div_euclid(a.1).cmp(&b.0.div_euclid(b.1));
    whole.then_with(|| match (a.0.rem_euclid(a.1), b.0.rem_euclid(b.1)) {
        (0, 0) => Ordering::Equal,
        (0, _) => Ordering::Less,
        (_, 0) => Ordering::Greater,
        (one, other) => compare((b.1, other), (a.1, one)),
    })
}

fn times(a: Fraction, b: Fraction) -> Fraction {
    let (one, other) = (fraction(a.0, b.1), fraction(b.0, a.1));
    (one.0 * other.0, one.1 * other.1)
}

fn plus(a: Fraction, b: Fraction) -> Fraction {
    fraction(a.0 * b.1 + b.0 * a.1, a.1 * b.1)
}

/// From a datastream's unit to a rule's: factor and what is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conversion {
    factor: Fraction,
    added: Fraction,
}

/// Nothing is converted.
pub const SAME: Conversion = Conversion {
    factor: (1, 1),
    added: (0, 1),
};

impl Conversion {
    /// A result, or what is one of them or their mean, in the rule's unit.
    pub fn of_result(self, result: Fraction) -> Fraction {
        plus(times(result, self.factor), self.added)
    }

    /// The same of results that are adjusted before.
    pub fn after(self, adjust: &Adjust) -> Self {
        let number = |number: Number| fraction(number.thousandths().expect("it was checked").into(), 1_000);
        Self {
            factor: times(self.factor, number(adjust.multiply)),
            added: plus(times(number(adjust.add), self.factor), self.added),
        }
    }

    /// A difference of results, or a sum of them, in the rule's unit.
    pub fn of_difference(self, difference: Fraction) -> Fraction {
        times(difference, self.factor)
    }

    /// The value of a feature in the rule's unit.
    pub fn of(self, kind: FeatureKind, value: Fraction) -> Fraction {
        match kind {
            // Gauges have no unit.
            FeatureKind::Count | FeatureKind::Silence | FeatureKind::InARow | FeatureKind::Gauge => value,
            FeatureKind::Sum
            | FeatureKind::Rate
            | FeatureKind::Range
            | FeatureKind::Drop
            | FeatureKind::Rise
            | FeatureKind::Deviation
            | FeatureKind::Increase
            | FeatureKind::Slope
            | FeatureKind::ForecastSum => self.of_difference(value),
            FeatureKind::Last
            | FeatureKind::Min
            | FeatureKind::Max
            | FeatureKind::Mean
            | FeatureKind::Quantile
            | FeatureKind::Projected
            | FeatureKind::ForecastMin
            | FeatureKind::ForecastMax
            | FeatureKind::ForecastMean => self.of_result(value),
        }
    }
}

/// What a unit measures, how much of its base unit it is, and where its zero stands there.
fn known(code: &str) -> Option<(char, Fraction, Fraction)> {
    Some(match code {
        "mm" => ('L', (1, 1_000), (0, 1)),
        "cm" => ('L', (1, 100), (0, 1)),
        "m" => ('L', (1, 1), (0, 1)),
        "[in_i]" => ('L', fraction(254, 10_000), (0, 1)),
        "K" => ('T', (1, 1), (0, 1)),
        "Cel" => ('T', (1, 1), fraction(27_315, 100)),
        "[degF]" => ('T', (5, 9), fraction(45_967 * 5, 900)),
        "kg" => ('M', (1, 1), (0, 1)),
        _ => return None,
    })
}

/// From a datastream's unit to a rule's; `None` where results cannot be compared.
pub fn conversion(rule: &Rule, datastream: &Datastream) -> Option<Conversion> {
    let (from, to) = (&datastream.unit, &rule.record.unit);
    if from.is_empty() || to.is_empty() || from == to {
        return Some(SAME);
    }
    let (from, to) = (known(from)?, known(to)?);
    let inverse = (to.1.1, to.1.0);
    let conversion = Conversion {
        factor: times(from.1, inverse),
        added: times(plus(from.2, (-to.2.0, to.2.1)), inverse),
    };
    let sums = rule.features.iter().any(|feature| {
        let adds_up = [FeatureKind::Sum, FeatureKind::Increase, FeatureKind::ForecastSum];
        adds_up.contains(&feature.kind)
    });
    (from.0 == to.0 && !(sums && conversion.added.0 != 0)).then_some(conversion)
}

/// On and off thresholds of a comparison in the rule's unit, where it takes part. Of one that is given it is said whether it is the
/// datastream's own: then it is in the unit of that.
pub fn bound(
    comparison: &Comparison,
    kind: FeatureKind,
    given: Option<(i64, bool)>,
    conversion: Conversion,
) -> Option<[Fraction; 2]> {
    let thousandths = |number: i64| fraction(number.into(), 1_000);
    let on = match given {
        Some((own, true)) => conversion.of(kind, thousandths(own)),
        Some((given, false)) => thousandths(given),
        None => thousandths(comparison.threshold?),
    };
    let upward = matches!(comparison.operator.sign(), ">=" | ">");
    let margin = thousandths(if upward { -comparison.margin } else { comparison.margin });
    Some([on, plus(on, margin)])
}
