//! The difference and the ratio of two values.

use std::cmp::Ordering;

/// By how much one value is greater than another; unknown if one of them is.
#[must_use]
pub fn difference(value: Option<i128>, other: Option<i128>) -> Option<i128> {
    // Sums are far from 128 bits; what is not has no answer rather than a wrong one.
    value?.checked_sub(other?)
}

/// How many times one value is as great as another; unknown if one of them is, or if the other is 0.
#[must_use]
pub fn ratio(value: Option<i128>, other: Option<i128>) -> Option<Ratio> {
    let (value, other) = (value?, other?);
    (other != 0).then(|| Ratio {
        negative: value != 0 && (value < 0) != (other < 0),
        value: value.unsigned_abs(),
        other: other.unsigned_abs(),
    })
}

/// A ratio, exactly. Ratios are equal, less or greater as numbers are: 1/2 is 2/4.
#[derive(Clone, Copy, Debug)]
pub struct Ratio {
    negative: bool,
    value: u128,
    /// Not 0.
    other: u128,
}

impl Ratio {
    /// The ratio in units of `1 / 10^places`, rounded half away from zero. `None` where 128 bits do not hold it.
    #[must_use]
    pub fn rounded(self, places: u32) -> Option<i128> {
        let scale = 10u128.checked_pow(places)?;
        let (whole, rest) = (self.value / self.other, self.value % self.other);
        let part = rest.checked_mul(scale)?;
        // `part % other >= other / 2` without a half: what is missing to the next one is no more than what is there.
        let (units, over) = (part / self.other, part % self.other);
        let up = u128::from(over >= self.other - over);
        let shown = whole.checked_mul(scale)?.checked_add(units)?.checked_add(up)?;
        let shown = i128::try_from(shown).ok()?;
        Some(if self.negative { -shown } else { shown })
    }

    /// Compares what is not negative: by cross-multiplication, or where the products do not fit, by whole parts and then by
    /// what is over, upside down.
    fn compare(self, with: Self) -> Ordering {
        let products = (self.value.checked_mul(with.other), with.value.checked_mul(self.other));
        if let (Some(one), Some(other)) = products {
            return one.cmp(&other);
        }
        let mut one = (self.value, self.other);
        let mut other = (with.value, with.other);
        loop {
            let whole = (one.0 / one.1).cmp(&(other.0 / other.1));
            let over = (one.0 % one.1, other.0 % other.1);
            match (whole, over) {
                (Ordering::Equal, (0, _) | (_, 0)) => return over.0.cmp(&over.1),
                // a/b < c/d just if d/c < b/a.
                (Ordering::Equal, _) => (one, other) = ((other.1, over.1), (one.1, over.0)),
                _ => return whole,
            }
        }
    }
}

impl Ord for Ratio {
    fn cmp(&self, with: &Self) -> Ordering {
        match (self.negative, with.negative) {
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => self.compare(*with),
            (true, true) => with.compare(*self),
        }
    }
}

impl PartialOrd for Ratio {
    fn partial_cmp(&self, with: &Self) -> Option<Ordering> {
        Some(self.cmp(with))
    }
}

impl PartialEq for Ratio {
    fn eq(&self, with: &Self) -> bool {
        self.cmp(with) == Ordering::Equal
    }
}

impl Eq for Ratio {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(value: i128, other: i128) -> Ratio {
        ratio(Some(value), Some(other)).unwrap()
    }

    #[test]
    fn what_is_unknown_stays_unknown() {
        assert_eq!(difference(Some(3), Some(5)), Some(-2));
        assert_eq!(difference(None, Some(5)), None);
        assert_eq!(difference(Some(5), None), None);
        assert!(ratio(None, Some(5)).is_none() && ratio(Some(5), None).is_none() && ratio(Some(5), Some(0)).is_none());
        assert_eq!(of(0, 5), of(0, -7));
    }

    #[test]
    fn a_half_is_rounded_away_from_zero() {
        for (value, other, places, shown) in [
            (1, 8, 2, 13),
            (-1, 8, 2, -13),
            (1, -8, 2, -13),
            (1, 3, 3, 333),
            (2, 3, 3, 667),
            (5, 2, 0, 3),
            (-5, 2, 0, -3),
            (9, 20, 0, 0),
            (4, 2, 1, 20),
        ] {
            assert_eq!(of(value, other).rounded(places), Some(shown), "{value}/{other}");
        }
        assert_eq!(of(i128::MAX, 1).rounded(1), None);
    }

    #[test]
    fn the_greatest_numbers_are_compared_exactly() {
        let max = i128::MAX;
        assert!(
            of(max, max - 1) < of(max - 1, max - 2),
            "1 + 1/(max-1) is less than 1 + 1/(max-2)"
        );
        assert!(of(-max, max - 1) > of(1 - max, max - 2));
        assert_eq!(of(max, max), of(max - 1, max - 1));
    }

    proptest! {
        #[test]
        fn ratios_are_in_the_order_of_cross_multiplication(
            (a, c) in (-60..60i128, -60..60i128),
            (b, d) in (1..60i128, 1..60i128),
        ) {
            prop_assert_eq!(of(a, b).cmp(&of(c, d)), (a * d).cmp(&(c * b)));
            prop_assert_eq!(of(-a, -b).cmp(&of(c, d)), (a * d).cmp(&(c * b)));
            // So great that products do not fit, and the same ratios.
            let great = 1i128 << 120;
            prop_assert_eq!(of(a * great, b * great).cmp(&of(c * great, d * great)), (a * d).cmp(&(c * b)));
        }
    }
}
