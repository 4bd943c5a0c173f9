//! View: totals of what towns and streets report, for the region of each report and all above.
//!
//! ```text
//!   reports ─► one difference for each quantity and region above ─► sums ─► rows
//! ```
//!
//! The sum rides in the difference, in thousandths: a new version of a report takes out what the one before put in, in the
//! same epoch, and nothing is added up again.

use std::sync::Arc;

use differential_dataflow::difference::{Abelian, IsZero, Monoid, Multiply, Semigroup};
use differential_dataflow::operators::CountTotal;
use riskflow_config::Located;
use riskflow_model::base::Region;
use riskflow_model::intake::Report;
use riskflow_model::output::ReportTotal;
use riskflow_model::{Number, RegionCode, Shared, Text};
use serde::{Deserialize, Serialize};

use crate::engine::{Builder, Diff, Rows};
use crate::place::locate;

/// What is summed up: region, module, kind, quantity.
type Place = (RegionCode, Text, Text, Text);

/// A sum and what it is of. Integers throughout: sums do not depend on order. Wide, so that no number of reports is too many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Sum {
    thousandths: i128,
    reports: i64,
}

/// Adds it to the dataflow.
pub(super) fn build<'scope>(b: &mut Builder<'scope, '_>, placed: Rows<'scope, Shared<Region>>) {
    let reports = locate(b.rows_of::<Report>(), placed, |report| report.region);
    b.publish(report_total(reports));
}

/// Returns the total of every region, module, kind and quantity of which there is a report that was not taken back.
fn report_total<'scope>(reports: Rows<'scope, (Shared<Report>, Located)>) -> Rows<'scope, Arc<ReportTotal>> {
    reports
        .filter(|(report, _)| !report.deleted)
        .explode(|(report, located): (Shared<Report>, Located)| {
            let places = located.chain(report.region);
            places.into_iter().flat_map(move |region| {
                let of = |(quantity, number): (&Text, &Number)| {
                    let place = (region, report.module.clone(), report.kind.clone(), quantity.clone());
                    (place, Sum::one(*number))
                };
                report.quantities.iter().map(of).collect::<Vec<(Place, Sum)>>()
            })
        })
        .arrange_by_self_named("ReportTotal: sums")
        .count_total_core::<Diff>()
        .map(|((region, module, kind, quantity), sum)| {
            Arc::new(ReportTotal {
                region,
                module,
                kind,
                quantity,
                total: sum.total(),
                reports: sum.reports,
            })
        })
}

impl Sum {
    /// Of one report.
    fn one(number: Number) -> Self {
        Self {
            thousandths: (number.0 * 1000.0).round() as i128,
            reports: 1,
        }
    }

    fn total(&self) -> Number {
        Number(self.thousandths as f64 / 1000.0)
    }
}

impl IsZero for Sum {
    fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

impl Semigroup for Sum {
    fn plus_equals(&mut self, other: &Self) {
        self.thousandths += other.thousandths;
        self.reports += other.reports;
    }
}

impl Monoid for Sum {
    fn zero() -> Self {
        Self::default()
    }
}

impl Abelian for Sum {
    fn negate(&mut self) {
        self.thousandths = -self.thousandths;
        self.reports = -self.reports;
    }
}

impl Multiply<Diff> for Sum {
    type Output = Self;

    fn multiply(mut self, by: &Diff) -> Self {
        self.thousandths *= i128::from(*by);
        self.reports *= by;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_exact_and_nothing_is_left_of_what_went() {
        let mut sum = Sum::default();
        for number in [0.1, 0.2, -0.3, 0.0005, 1e9] {
            sum.plus_equals(&Sum::one(Number(number)));
        }
        assert_eq!((sum.total(), sum.reports), (Number(1e9 + 0.001), 5));
        for number in [1e9, 0.0005, 0.3, -0.5, 0.2] {
            sum.plus_equals(&Sum::one(Number(number)).multiply(&-1));
        }
        assert_eq!((sum.total(), sum.reports), (Number(0.0), 0));
        assert!(sum.is_zero());
    }

    #[test]
    fn a_sum_of_nought_is_a_row_as_long_as_there_are_reports() {
        let mut sum = Sum::one(Number(2.5));
        sum.plus_equals(&Sum::one(Number(-2.5)));
        assert!(!sum.is_zero());
        assert_eq!(sum.total().0.to_bits(), 0.0f64.to_bits());
    }
}
