//! Structs of counts and sums that ride in the difference of an update.

/// Makes a struct a difference: it is added, negated and multiplied number by number. The struct has a `Default` of zeros and a
/// method `numbers` that gives every number of it.
macro_rules! difference {
    ($sums:ty) => {
        impl differential_dataflow::difference::IsZero for $sums {
            fn is_zero(&self) -> bool {
                *self == Self::default()
            }
        }

        impl differential_dataflow::difference::Semigroup for $sums {
            fn plus_equals(&mut self, other: &Self) {
                let mut other = *other;
                for (mine, theirs) in self.numbers().zip(other.numbers()) {
                    *mine += *theirs;
                }
            }
        }

        impl differential_dataflow::difference::Monoid for $sums {
            fn zero() -> Self {
                Self::default()
            }
        }

        impl differential_dataflow::difference::Abelian for $sums {
            fn negate(&mut self) {
                for number in self.numbers() {
                    *number = -*number;
                }
            }
        }

        impl differential_dataflow::difference::Multiply<crate::Diff> for $sums {
            type Output = Self;

            fn multiply(mut self, by: &crate::Diff) -> Self {
                for number in self.numbers() {
                    *number *= by;
                }
                self
            }
        }
    };
}

pub(crate) use difference;
