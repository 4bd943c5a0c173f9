//! Thresholds for results in another unit than the rule's.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::{Rule, Wide};
use crate::FeatureKind;
use crate::unit::Conversion;

/// What is in force for a datastream whose results are in another unit than the rule's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Scaled {
    /// From the datastream's unit to the rule's.
    pub conversion: Conversion,
    /// The thresholds in the datastream's unit, for turning on and off: one place for each comparison; `None` where it has none, or
    /// counts something else.
    pub limits: Vec<Option<[Border; 2]>>,
}

/// A threshold in thousandths, as a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Border {
    /// At most 3·10^28 either way.
    pub over: i128,
    /// From 1 to 10^13.
    pub under: i128,
}

/// A threshold as results are compared with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit<'a> {
    /// In thousandths.
    Plain(i64),
    /// The same, not whole.
    Fraction(&'a Border),
}

impl Scaled {
    pub(super) fn new(rule: &Rule, conversion: Conversion, bounds: &[Option<Wide>]) -> Self {
        let limits = rule.comparisons.iter().zip(bounds).map(|(comparison, bound)| {
            let kind = comparison.kind(&rule.features);
            let Conversion { over, shift, .. } = kind.converted(conversion);
            let limit = |wide: i128| Border {
                over: wide - shift,
                under: over,
            };
            let in_no_unit = matches!(kind, FeatureKind::Count | FeatureKind::Silence | FeatureKind::InARow);
            bound
                .filter(|_| !in_no_unit)
                .map(|Wide { on, off }| [limit(on), limit(off)])
        });
        Self {
            conversion,
            limits: limits.collect(),
        }
    }
}

impl Limit<'_> {
    /// Above and below the line, in thousandths.
    #[must_use]
    pub const fn parts(self) -> (i128, i128) {
        match self {
            Self::Plain(thousandths) => (thousandths as i128, 1),
            Self::Fraction(fraction) => (fraction.over, fraction.under),
        }
    }

    /// How the result of an observation stands to it: as the decimal that was given.
    #[must_use]
    pub fn of_result(self, result: f64) -> Ordering {
        match self {
            // One division: the nearest double to the decimal number that a person wrote. Neither is NaN.
            Self::Plain(thousandths) => {
                let threshold = thousandths as f64 / 1000.0;
                result.partial_cmp(&threshold).unwrap_or(Ordering::Equal)
            }
            Self::Fraction(fraction) => fraction.of_result(result),
        }
    }
}

impl Border {
    fn of_result(&self, result: f64) -> Ordering {
        let near = self.over as f64 / (1000.0 * self.under as f64);
        // Both are off by less than a 10^15th; only what is as near as that needs the decimal itself.
        if (result - near).abs() > near.abs() * 1e-14 {
            return result.partial_cmp(&near).unwrap_or(Ordering::Equal);
        }
        let (digits, exponent) = decimal(result);
        // The two are nearly equal, so one side is as long as the other: 17 digits times 1000 times 13 digits, at most.
        let power = 10i128.pow(exponent.unsigned_abs());
        let (left, right) = if exponent < 0 {
            (digits * 1000 * self.under, self.over * power)
        } else {
            (digits * power * 1000 * self.under, self.over)
        };
        left.cmp(&right)
    }
}

/// The shortest decimal that is read as this double, as digits and a power of ten.
fn decimal(result: f64) -> (i128, i32) {
    let text = format!("{result:e}");
    let (mantissa, exponent) = text.split_once('e').expect("the form has an exponent");
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: i128 = format!("{whole}{part}").parse().expect("a finite number has digits");
    let exponent: i32 = exponent.parse().expect("the exponent is a number");
    let exponent = if digits == 0 { 0 } else { exponent - part.len() as i32 };
    (digits, exponent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rule;

    fn limits(unit: &str, of_rule: &str, threshold: &str) -> Border {
        let json = format!(
            r#"{{"id":"r","version":1,"select":{{}},"unit":"{of_rule}","levels":
                {{"red":{{"when":{{"feature":"last","window":"1h","op":">=","threshold":{threshold}}}}}}}}}"#
        );
        let rule = Rule::from_json(json.as_bytes()).unwrap();
        rule.merge(&[], unit).scaled.expect("it is converted").limits[0].unwrap()[0]
    }

    #[test]
    fn results_are_compared_as_decimals_in_another_unit() {
        let rain = limits("m", "mm", "50");
        let inches = limits("[in_i]", "mm", "25.4");
        let fahrenheit = limits("[degF]", "Cel", "37.7");
        let kelvin = limits("K", "Cel", "0.1");
        let knots = limits("[kn_i]", "m/s", "10.8");
        for (limit, less, equal, greater) in [
            (&rain, 0.049_999_999_999_999_99, Some(0.05), 0.050_000_000_000_000_01),
            (&inches, 0.999_999_999_999_999_9, Some(1.0), 1.000_000_000_000_000_2),
            (&fahrenheit, 99.859_999_999_999_99, Some(99.86), 99.860_000_000_000_01),
            (&kelvin, 273.249_999_999_999_9, Some(273.25), 273.250_000_000_000_06),
            // 9720/463 is no decimal.
            (&knots, 20.993_520_518_358_52, None, 20.993_520_518_358_534),
        ] {
            assert_eq!(limit.of_result(less), Ordering::Less, "{limit:?}");
            assert_eq!(limit.of_result(greater), Ordering::Greater, "{limit:?}");
            if let Some(equal) = equal {
                assert_eq!(limit.of_result(equal), Ordering::Equal, "{limit:?}");
            }
            assert_eq!(limit.of_result(f64::INFINITY), Ordering::Greater);
            assert_eq!(limit.of_result(f64::NEG_INFINITY), Ordering::Less);
        }
        // The sum of 0.07 m in doubles is 70.00000000000001 mm; the decimal is not.
        assert_eq!(limits("m", "mm", "70").of_result(0.07), Ordering::Equal);
        let nought = limits("m", "mm", "0");
        assert_eq!(nought.of_result(0.0), Ordering::Equal);
        assert_eq!(nought.of_result(-0.0), Ordering::Equal);
        assert_eq!(nought.of_result(5e-324), Ordering::Greater);
    }

    /// Decimals of nine places beside every border, compared in whole numbers only.
    #[test]
    fn borders_are_exact_in_whatever_unit() {
        let mut seed: u64 = 7;
        let mut draw = |below: u64| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            i128::from((seed >> 33) % below)
        };
        // Times `over`, plus `shift` thousandths, by `under`.
        for (unit, of_rule, over, under, shift) in [
            ("m", "mm", 1_000, 1, 0),
            ("mm", "m", 1, 1_000, 0),
            ("[in_i]", "cm", 127, 50, 0),
            ("km/h", "m/s", 5, 18, 0),
            ("[kn_i]", "m/s", 463, 900, 0),
            ("[psi]", "kPa", 8_896_443_230_521, 1_290_320_000_000, 0),
            ("[degF]", "Cel", 5, 9, -160_000),
            ("Cel", "[degF]", 9, 5, 160_000),
            ("K", "Cel", 1, 1, -273_150),
        ] {
            for _ in 0..500 {
                let threshold = draw(2_000_000) - 500_000;
                let text = format!(
                    "{}{}.{:03}",
                    if threshold < 0 { "-" } else { "" },
                    threshold.abs() / 1000,
                    threshold.abs() % 1000
                );
                let limit = limits(unit, of_rule, &text);
                let border = (threshold * under - shift) * 1_000_000_000;
                let near = border.div_euclid(1000 * over);
                for billionths in near - 1..=near + 1 {
                    let (whole, part) = (billionths.abs() / 1_000_000_000, billionths.abs() % 1_000_000_000);
                    let sign = if billionths < 0 { "-" } else { "" };
                    let result: f64 = format!("{sign}{whole}.{part:09}").parse().unwrap();
                    let expected = (billionths * 1000 * over).cmp(&border);
                    // Of 16 digits and more, two decimals may be one double.
                    if whole < 1_000_000 {
                        assert_eq!(
                            limit.of_result(result),
                            expected,
                            "{result} {unit} against {text} {of_rule}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn decimals_are_the_shortest() {
        for (result, digits, exponent) in [
            (0.3, 3, -1),
            (1e9, 1, 9),
            (-0.0004, -4, -4),
            (0.0, 0, 0),
            (12.5, 125, -1),
        ] {
            assert_eq!(decimal(result), (digits, exponent), "{result}");
        }
    }
}
