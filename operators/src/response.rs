//! View: how fast cases are acknowledged and resolved, by region and domain, and by unit.
//!
//! All counts and sums ride in the difference of one update, as those of regions do: a changed case is one small update for each
//! region that it lies in.

use std::sync::Arc;

use differential_dataflow::difference::{Abelian, IsZero, Monoid, Multiply, Semigroup};
use differential_dataflow::operators::CountTotal;
use riskflow_model::output::{CaseState, Obligation, Response};
use riskflow_model::{DomainScope, Millis, RegionCode, Text};
use serde::{Deserialize, Serialize};

use crate::{Diff, Rows};

/// What is summed over.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Scope {
    Region(RegionCode, DomainScope),
    Unit(Text),
}

const SUMS: usize = 7;
const BUCKETS: usize = Response::MINUTES.len() + 1;

/// Cases, acknowledged, in time, escalations, archived, seconds to acknowledge, seconds to resolve; then counts by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Tally {
    first: [i64; SUMS],
    acknowledged: [i64; BUCKETS],
    resolved: [i64; BUCKETS],
}

impl Tally {
    const ZERO: Self = Self {
        first: [0; SUMS],
        acknowledged: [0; BUCKETS],
        resolved: [0; BUCKETS],
    };

    fn of_case(case: &CaseState) -> Self {
        let mut tally = Self::ZERO;
        tally.first[0] = 1;
        tally.first[2] = case.times.in_time.into();
        tally.first[3] = case.escalations.len() as i64;
        tally.acknowledge(case.times.issued, case.times.acknowledged);
        if let Some(archived) = case.times.archived {
            let seconds = seconds(case.times.issued, archived);
            tally.first[4] = 1;
            tally.first[6] = seconds;
            tally.resolved[bucket(seconds)] = 1;
        }
        tally
    }

    fn of_obligation(obligation: &Obligation) -> Self {
        let mut tally = Self::ZERO;
        tally.first[0] = 1;
        let in_time = obligation
            .acknowledged
            .is_some_and(|at| obligation.due.is_none_or(|due| at <= due));
        tally.first[2] = in_time.into();
        tally.acknowledge(obligation.since, obligation.acknowledged);
        tally
    }

    fn of_escalation() -> Self {
        let mut tally = Self::ZERO;
        tally.first[3] = 1;
        tally
    }

    fn acknowledge(&mut self, since: Millis, acknowledged: Option<Millis>) {
        if let Some(acknowledged) = acknowledged {
            let seconds = seconds(since, acknowledged);
            self.first[1] = 1;
            self.first[5] = seconds;
            self.acknowledged[bucket(seconds)] = 1;
        }
    }

    fn numbers(&mut self) -> impl Iterator<Item = &mut i64> {
        self.first
            .iter_mut()
            .chain(&mut self.acknowledged)
            .chain(&mut self.resolved)
    }
}

const fn seconds(from: Millis, to: Millis) -> i64 {
    (to.0 - from.0).div_euclid(1_000)
}

fn bucket(seconds: i64) -> usize {
    Response::MINUTES.partition_point(|minutes| minutes * 60 < seconds)
}

impl IsZero for Tally {
    fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }
}

impl Semigroup for Tally {
    fn plus_equals(&mut self, other: &Self) {
        let mut other = *other;
        for (mine, theirs) in self.numbers().zip(other.numbers()) {
            *mine += *theirs;
        }
    }
}

impl Monoid for Tally {
    fn zero() -> Self {
        Self::ZERO
    }
}

impl Abelian for Tally {
    fn negate(&mut self) {
        for number in self.numbers() {
            *number = -*number;
        }
    }
}

impl Multiply<Diff> for Tally {
    type Output = Self;

    fn multiply(mut self, by: &Diff) -> Self {
        for number in self.numbers() {
            *number *= by;
        }
        self
    }
}

/// Returns the response times of every region and domain that has a case, and of every unit that has to do with one.
pub fn response<'scope>(cases: Rows<'scope, Arc<CaseState>>) -> Rows<'scope, Arc<Response>> {
    cases
        .explode(|case: Arc<CaseState>| contributions(&case))
        .arrange_by_self_named("Response: cases by scope")
        .count_total_core::<Diff>()
        .map(|(scope, tally)| Arc::new(row(scope, &tally)))
}

fn contributions(case: &CaseState) -> Vec<(Scope, Tally)> {
    let whole = Tally::of_case(case);
    let regions = case.region.up_to_city().flat_map(|region| {
        let domains = [DomainScope::All, DomainScope::One(case.domain)];
        domains.map(|domain| (Scope::Region(region, domain), whole))
    });
    let obligations = case.obligations.iter();
    let obligations =
        obligations.map(|obligation| (Scope::Unit(obligation.unit.clone()), Tally::of_obligation(obligation)));
    let escalations = case.escalations.iter().filter_map(|escalation| escalation.unit.clone());
    let escalations = escalations.map(|unit| (Scope::Unit(unit), Tally::of_escalation()));
    regions.chain(obligations).chain(escalations).collect()
}

fn row(scope: Scope, tally: &Tally) -> Response {
    let (region, domain, unit) = match scope {
        Scope::Region(region, domain) => (Some(region), Some(domain), None),
        Scope::Unit(unit) => (None, None, Some(unit)),
    };
    let [
        cases,
        acknowledged,
        in_time,
        escalations,
        archived,
        acknowledge_seconds,
        resolve_seconds,
    ] = tally.first;
    Response {
        region,
        domain,
        unit,
        cases,
        acknowledged,
        in_time,
        escalations,
        archived,
        acknowledge_seconds,
        resolve_seconds,
        acknowledged_within: tally.acknowledged,
        resolved_within: tally.resolved,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_counts_in_the_first_bound_that_holds_it() {
        assert_eq!([0, 60, 61, 4320 * 60, 4320 * 60 + 1].map(bucket), [0, 0, 1, 11, 12]);
    }
}
