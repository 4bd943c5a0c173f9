//! Units of measure as UCUM writes them, and how a number in one becomes a number in another: by a fraction, never rounded.
//!
//! `octofhir-ucum` reads codes and knows the factors of all units to 28 digits. A factor with fewer digits is exact. Those that are
//! quotients (of `[degF]`, `[psi]`, `deg`) stand here as fractions, with π as a factor of its own; with the few that do not, nothing
//! but the unit itself is compared.

use std::fmt;

use octofhir_ucum::{Case, EvalResult, Number, SpecialKind, UnitExpr, evaluate, lookup_unit, parse_expression};
use riskflow_model::Text;
use riskflow_model::ruleset::Adjust;
use serde::{Deserialize, Serialize};

/// The most that a factor of a conversion may have above or below its line. Products of it with everything that it is multiplied
/// with fit 128 bits: see [`Conversion`].
const MOST: i128 = 10_000_000_000_000;
/// The most that an offset may be, in thousandths.
const FARTHEST: i128 = 1_000_000_000_000_000;
/// More digits than this may have been rounded.
const EXACT_DIGITS: u128 = 10u128.pow(24);

/// Atoms that are quotients, or multiples of π: code, factor above and below the line in UCUM's base units, power of π.
const QUOTIENTS: [(&str, i128, i128, i32); 14] = [
    ("[degF]", 5, 9, 0),
    ("[degR]", 5, 9, 0),
    ("[kn_i]", 1_852, 3_600, 0),
    ("[psi]", 44_482_216_152_605, 6_451_600, 0),
    ("[ft_us]", 1_200, 3_937, 0),
    ("[in_us]", 100, 3_937, 0),
    ("[mi_us]", 6_336_000, 3_937, 0),
    ("[pi]", 1, 1, 1),
    ("deg", 1, 180, 1),
    ("'", 1, 10_800, 1),
    ("''", 1, 648_000, 1),
    ("gon", 1, 200, 1),
    ("circ", 2, 1, 1),
    ("sph", 4, 1, 1),
];

/// A unit that is known.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Its code, as written.
    pub code: Text,
    /// What it measures.
    kind: EvalResult,
    /// What it is in base units; `None` where no fraction is known.
    size: Option<Size>,
}

/// A unit in base units; of one with a scale of its own (`Cel`, `dB`) the unit that the scale counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    factor: Fraction,
    /// The power of π that the factor is multiplied with.
    pi: i32,
    /// How many steps of its own scale it is: 1/10 of dB.
    scale: Fraction,
}

/// Why numbers of two units cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Mismatch {
    /// It is no unit of UCUM.
    Unknown,
    /// They measure different things.
    Dimension,
    /// No fraction of numbers that can be computed with leads from one to the other.
    Inexact,
    /// Their zeros are different, so a sum of the one is no sum of the other.
    Offset,
}

/// How a number in one unit becomes one in another: times `over`, plus `shift`, by `under`; the number and the result in
/// thousandths. `over` and `under` are from 1 to 10^13, and `shift` is at most 10^15 times `under`.
///
/// So nothing overflows: a threshold with its margin is at most 2·10^15, a window has at most 4·10^9 points or milliseconds, and
/// 2·10^15 · 10^13 · 4·10^9 is less than 2^127; a sum or rate of results in 64 bits times 10^13 is far less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Conversion {
    /// Positive.
    pub over: i128,
    /// Positive.
    pub under: i128,
    /// In thousandths times `under`.
    pub shift: i128,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "is no unit of UCUM",
            Self::Dimension => "measures something else",
            Self::Inexact => "does not convert exactly",
            Self::Offset => "has its zero elsewhere, so a `sum` does not convert",
        })
    }
}

impl Unit {
    /// Reads a code.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for people.
    pub fn parse(code: &str) -> Result<Self, String> {
        let expression = parse_expression(code).map_err(|error| error.message.to_string())?;
        let kind = evaluate(&expression).map_err(|error| error.message.to_string())?;
        Ok(Self {
            code: code.into(),
            kind,
            size: Size::of(&expression),
        })
    }

    /// Whether it has a scale of its own, whose zero is not nought: a sum of such numbers means nothing.
    #[must_use]
    pub const fn is_scale(&self) -> bool {
        self.kind.special.is_some()
    }

    /// How a number in this unit becomes one in another; `None` where it is the same number.
    ///
    /// # Errors
    ///
    /// When none can be compared with the other.
    pub fn to(&self, other: &Self) -> Result<Option<Conversion>, Mismatch> {
        if !self.kind.is_commensurable(&other.kind) {
            return Err(Mismatch::Dimension);
        }
        let (Some(own), Some(its)) = (self.size, other.size) else {
            return Err(Mismatch::Inexact);
        };
        let (from, to) = (self.offset(), other.offset());
        let (factor, shift) = match (from, to) {
            (Some(from), Some(to)) if own.pi == its.pi => own.shifted(&its, from, to).ok_or(Mismatch::Inexact)?,
            (None, None) if self.scale_code() == other.scale_code() => {
                (own.scale.by(its.scale).ok_or(Mismatch::Inexact)?, Fraction::NOUGHT)
            }
            (Some(_), Some(_)) => return Err(Mismatch::Inexact),
            _ => return Err(Mismatch::Dimension),
        };
        Conversion::of(factor, shift)
    }

    /// Where its zero stands, in steps of the unit that its scale counts in; `None` of a scale that does not go by equal steps.
    fn offset(&self) -> Option<Fraction> {
        let hundredths = match self.kind.special.map(|special| special.unit.special) {
            None => 0,
            Some(SpecialKind::Celsius) => 27_315,
            Some(SpecialKind::Fahrenheit) => 45_967,
            Some(SpecialKind::Reaumur) => 21_852,
            Some(_) => return None,
        };
        Fraction::new(hundredths, 100)
    }

    fn scale_code(&self) -> Option<&'static str> {
        self.kind.special.map(|special| special.unit.code)
    }
}

impl Size {
    const ONE: Self = Self {
        factor: Fraction::ONE,
        pi: 0,
        scale: Fraction::ONE,
    };

    fn of(expression: &UnitExpr) -> Option<Self> {
        match expression {
            UnitExpr::Symbol(code) => Self::of_symbol(code),
            UnitExpr::Numeric(number) => Self::number(Fraction::of(*number)?),
            UnitExpr::Power(base, exponent) => Self::of(base)?.power(*exponent),
            UnitExpr::Annotation(_) => Some(Self::ONE),
            UnitExpr::Annotated(expression, _) => Self::of(expression),
            UnitExpr::Product(parts) => parts
                .iter()
                .try_fold(Self::ONE, |product, part| product.times(Self::of(part)?)),
            UnitExpr::Quotient(over, under) => Self::of(over)?.times(Self::of(under)?.power(-1)?),
            UnitExpr::Reciprocal(under) => Self::of(under)?.power(-1),
        }
    }

    fn of_symbol(code: &str) -> Option<Self> {
        let (prefix, atom) = lookup_unit(code, Case::Sensitive)?;
        let prefix = prefix.map_or(Some(Fraction::ONE), |prefix| Fraction::of(prefix.factor))?;
        let quotient = QUOTIENTS.iter().find(|(code, ..)| *code == atom.code);
        let (factor, pi) = match quotient {
            Some((_, over, under, pi)) => (Fraction::new(*over, *under)?, *pi),
            None => (Fraction::of(atom.factor)?, 0),
        };
        Some(if atom.special.is_special() {
            Self {
                factor,
                pi,
                scale: prefix,
            }
        } else {
            Self {
                factor: factor.times(prefix)?,
                pi,
                scale: Fraction::ONE,
            }
        })
    }

    const fn number(factor: Fraction) -> Option<Self> {
        Some(Self { factor, ..Self::ONE })
    }

    /// Where one of the two has a scale of its own, the other is a number: the crate refuses anything else.
    fn times(self, other: Self) -> Option<Self> {
        Some(Self {
            factor: self.factor.times(other.factor)?,
            pi: self.pi.checked_add(other.pi)?,
            scale: self.scale.times(other.scale)?,
        })
    }

    fn power(self, exponent: i32) -> Option<Self> {
        Some(Self {
            factor: self.factor.power(exponent)?,
            pi: self.pi.checked_mul(exponent)?,
            scale: self.scale.power(exponent)?,
        })
    }

    /// Factor and shift to another, where the zeros of both stand at these offsets.
    fn shifted(&self, other: &Self, from: Fraction, to: Fraction) -> Option<(Fraction, Fraction)> {
        let step = self.factor.by(other.factor)?;
        let factor = step.times(self.scale)?.by(other.scale)?;
        let shift = from.times(step)?.minus(to)?.by(other.scale)?;
        Some((factor, shift))
    }
}

impl Conversion {
    /// Where nothing is converted.
    pub const SAME: Self = Self {
        over: 1,
        under: 1,
        shift: 0,
    };

    fn of(factor: Fraction, shift: Fraction) -> Result<Option<Self>, Mismatch> {
        let whole = || {
            let shift = shift.times(Fraction::new(1000, 1)?)?;
            let under = factor.under.checked_mul(shift.under / gcd(factor.under, shift.under))?;
            let over = factor.over.checked_mul(under / factor.under)?;
            let shift = shift.over.checked_mul(under / shift.under)?;
            let fits = over <= MOST && under <= MOST && shift.abs() <= FARTHEST.checked_mul(under)?;
            (over > 0 && fits).then_some(Self { over, under, shift })
        };
        match whole() {
            Some(Self::SAME) => Ok(None),
            Some(conversion) => Ok(Some(conversion)),
            None => Err(Mismatch::Inexact),
        }
    }

    /// The same of results that are adjusted before; and how many times smaller the parts are in which all is counted. `None` where
    /// numbers would be too large.
    #[must_use]
    pub fn adjusted(self, adjust: &Adjust) -> Option<(Self, i128)> {
        let multiply = i128::from(adjust.multiply.thousandths()?);
        let add = i128::from(adjust.add.thousandths()?);
        let times = 1000 / gcd(multiply, 1000);
        let over = self.over.checked_mul(multiply * times / 1000)?;
        let under = self.under.checked_mul(times)?;
        let shift = self
            .over
            .checked_mul(add)?
            .checked_add(self.shift)?
            .checked_mul(times)?;
        let fits = over > 0 && over <= MOST && under <= MOST && shift.abs() <= FARTHEST.checked_mul(under)?;
        fits.then_some((Self { over, under, shift }, times))
    }

    /// A number in the other unit, for people: rounded to millionths.
    #[must_use]
    pub fn shown(self, number: f64) -> f64 {
        if self == Self::SAME {
            return number;
        }
        let shown = (number * self.over as f64 + self.shift as f64 / 1000.0) / self.under as f64;
        let rounded = (shown * 1e6).round() / 1e6;
        // What is less than that is shown as it is.
        if rounded == 0.0 { shown } else { rounded }
    }
}

/// A fraction in its lowest terms; the lower part is positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fraction {
    over: i128,
    under: i128,
}

const fn gcd(a: i128, b: i128) -> i128 {
    let (mut a, mut b) = (a.abs(), b.abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// `None` wherever 128 bits do not hold it.
impl Fraction {
    const ONE: Self = Self { over: 1, under: 1 };
    const NOUGHT: Self = Self { over: 0, under: 1 };

    fn new(over: i128, under: i128) -> Option<Self> {
        let common = gcd(over, under).max(1) * under.signum();
        (under != 0).then(|| Self {
            over: over / common,
            under: under / common,
        })
    }

    /// `None` where the number may have been rounded.
    fn of(number: Number) -> Option<Self> {
        let (digits, exponent) = number.to_integer_and_exponent();
        let power = 10i128.checked_pow(exponent.unsigned_abs())?;
        if digits.unsigned_abs() >= EXACT_DIGITS {
            None
        } else if exponent < 0 {
            Self::new(digits, power)
        } else {
            Self::new(digits.checked_mul(power)?, 1)
        }
    }

    fn times(self, other: Self) -> Option<Self> {
        let (a, b) = (Self::new(self.over, other.under)?, Self::new(other.over, self.under)?);
        Self::new(a.over.checked_mul(b.over)?, a.under.checked_mul(b.under)?)
    }

    fn by(self, other: Self) -> Option<Self> {
        self.times(Self::new(other.under, other.over)?)
    }

    fn minus(self, other: Self) -> Option<Self> {
        let over = self.over.checked_mul(other.under)?;
        let over = over.checked_sub(other.over.checked_mul(self.under)?)?;
        Self::new(over, self.under.checked_mul(other.under)?)
    }

    fn power(self, exponent: i32) -> Option<Self> {
        let size = exponent.unsigned_abs();
        let (over, under) = (self.over.checked_pow(size)?, self.under.checked_pow(size)?);
        if exponent < 0 {
            Self::new(under, over)
        } else {
            Self::new(over, under)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert(from: &str, to: &str) -> Result<Option<(i128, i128, i128)>, Mismatch> {
        let [from, to] = [from, to].map(|code| Unit::parse(code).unwrap());
        let found = from.to(&to)?;
        Ok(found.map(|found| (found.over, found.under, found.shift)))
    }

    #[test]
    fn factors_are_exact_fractions() {
        for (from, to, over, under) in [
            ("m", "mm", 1000, 1),
            ("mm", "m", 1, 1000),
            ("[in_i]", "mm", 127, 5),
            ("km/h", "m/s", 5, 18),
            ("[kn_i]", "m/s", 463, 900),
            ("[mi_i]/h", "m/s", 1397, 3125),
            ("mm/h", "mm/d", 24, 1),
            ("[psi]", "kPa", 8_896_443_230_521, 1_290_320_000_000),
            ("m[H2O]", "Pa", 196_133, 20),
            ("bar", "MPa", 1, 10),
            ("ug/m3", "mg/m3", 1, 1000),
            ("%", "[ppm]", 10_000, 1),
            ("L/s", "m3/h", 18, 5),
            ("deg", "gon", 10, 9),
            ("circ", "deg", 360, 1),
            ("nm", "km", 1, 1_000_000_000_000),
            ("dB", "B", 1, 10),
        ] {
            assert_eq!(convert(from, to), Ok(Some((over, under, 0))), "{from} to {to}");
        }
        for (from, to) in [
            ("%{LEL}", "%"),
            ("{person}/m2", "/m2"),
            ("[degF]", "[degF]"),
            ("10*3.m", "km"),
            ("dB", "dB"),
        ] {
            assert_eq!(convert(from, to), Ok(None), "{from} to {to}");
        }
    }

    #[test]
    fn temperatures_have_their_zeros_elsewhere() {
        assert_eq!(convert("Cel", "K"), Ok(Some((1, 1, 273_150))));
        assert_eq!(convert("K", "Cel"), Ok(Some((1, 1, -273_150))));
        assert_eq!(convert("[degF]", "Cel"), Ok(Some((5, 9, -160_000))));
        assert_eq!(convert("Cel", "[degF]"), Ok(Some((9, 5, 160_000))));
        assert_eq!(convert("[degR]", "K"), Ok(Some((5, 9, 0))));
        let shown = Unit::parse("[degF]").unwrap().to(&Unit::parse("Cel").unwrap()).unwrap();
        assert_eq!(shown.unwrap().shown(212.0), 100.0);
    }

    #[test]
    fn what_does_not_convert_says_why() {
        assert_eq!(convert("kg", "mm"), Err(Mismatch::Dimension));
        assert_eq!(convert("[pH]", "mol/L"), Err(Mismatch::Dimension));
        assert_eq!(convert("deg", "rad"), Err(Mismatch::Inexact));
        assert_eq!(convert("[acr_us]", "m2"), Err(Mismatch::Inexact));
        assert_eq!(convert("fm", "km"), Err(Mismatch::Inexact));
        for unknown in ["mmm", "°C", "%LEL", "inch", "m s"] {
            assert!(Unit::parse(unknown).is_err(), "{unknown}");
        }
    }

    /// The crate's own factors have 28 digits.
    #[test]
    fn quotients_are_what_the_crate_knows_of_them() {
        for (code, over, under, pi) in QUOTIENTS {
            let (_, atom) = lookup_unit(code, Case::Sensitive).unwrap();
            let expected = atom.factor.to_f64();
            let factor = over as f64 / under as f64 * std::f64::consts::PI.powi(pi);
            assert!(
                (factor / expected - 1.0).abs() < 1e-14,
                "{code}: {factor}, not {expected}"
            );
        }
    }
}
