//! View: how fast cases are acknowledged and resolved, by region and domain, and by unit.
//!
//! All counts and sums ride in the difference of one update, as those of regions do: a changed case is one small update for each
//! region that it lies in.

use std::sync::Arc;

use differential_dataflow::operators::CountTotal;
use riskflow_config::Located;
use riskflow_model::output::{Obligation, Response};
use riskflow_model::{DomainScope, Millis, RegionCode, Text};
use serde::{Deserialize, Serialize};

use crate::case::Standing;
use crate::{Diff, Rows};

/// What is summed over.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Scope {
    Region(RegionCode, DomainScope),
    Unit(Text),
}

const BUCKETS: usize = Response::MINUTES.len() + 1;

/// What is counted and summed for a scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Tally {
    cases: i64,
    acknowledged: i64,
    in_time: i64,
    escalations: i64,
    archived: i64,
    acknowledge_seconds: i64,
    resolve_seconds: i64,
    acknowledged_within: [i64; BUCKETS],
    resolved_within: [i64; BUCKETS],
}

impl Tally {
    fn of_case(case: &Standing) -> Self {
        let mut tally = Self {
            cases: 1,
            in_time: case.times.in_time.into(),
            escalations: case.escalations.into(),
            ..Self::default()
        };
        tally.acknowledge(case.times.issued, case.times.acknowledged);
        if let Some(archived) = case.times.archived {
            let seconds = seconds(case.times.issued, archived);
            tally.archived = 1;
            tally.resolve_seconds = seconds;
            tally.resolved_within[bucket(seconds)] = 1;
        }
        tally
    }

    fn of_obligation(obligation: &Obligation) -> Self {
        let in_time = obligation
            .acknowledged
            .is_some_and(|at| obligation.due.is_none_or(|due| at <= due));
        let mut tally = Self {
            cases: 1,
            in_time: in_time.into(),
            ..Self::default()
        };
        tally.acknowledge(obligation.since, obligation.acknowledged);
        tally
    }

    fn of_escalations(escalations: u32) -> Self {
        Self {
            escalations: escalations.into(),
            ..Self::default()
        }
    }

    fn acknowledge(&mut self, since: Millis, acknowledged: Option<Millis>) {
        if let Some(acknowledged) = acknowledged {
            let seconds = seconds(since, acknowledged);
            self.acknowledged = 1;
            self.acknowledge_seconds = seconds;
            self.acknowledged_within[bucket(seconds)] = 1;
        }
    }

    fn numbers(&mut self) -> impl Iterator<Item = &mut i64> {
        let Self {
            cases,
            acknowledged,
            in_time,
            escalations,
            archived,
            acknowledge_seconds,
            resolve_seconds,
            acknowledged_within,
            resolved_within,
        } = self;
        let sums = [
            cases,
            acknowledged,
            in_time,
            escalations,
            archived,
            acknowledge_seconds,
            resolve_seconds,
        ];
        sums.into_iter().chain(acknowledged_within).chain(resolved_within)
    }
}

crate::sums::difference!(Tally);

const fn seconds(from: Millis, to: Millis) -> i64 {
    (to.0 - from.0).div_euclid(1_000)
}

fn bucket(seconds: i64) -> usize {
    Response::MINUTES.partition_point(|minutes| minutes * 60 < seconds)
}

/// Returns the response times of every region and domain that has a case, and of every unit that has to do with one.
pub fn response<'scope>(cases: Rows<'scope, (Arc<Standing>, Located)>) -> Rows<'scope, Arc<Response>> {
    cases
        .explode(|(case, located): (Arc<Standing>, Located)| contributions(&case, &located))
        .arrange_by_self_named("Response: cases by scope")
        .count_total_core::<Diff>()
        .map(|(scope, tally)| Arc::new(row(scope, &tally)))
}

fn contributions(case: &Standing, located: &Located) -> Vec<(Scope, Tally)> {
    let whole = Tally::of_case(case);
    let regions = located.chain(case.region).into_iter().flat_map(|region| {
        let domains = [DomainScope::All, DomainScope::One(case.domain)];
        domains.map(|domain| (Scope::Region(region, domain), whole))
    });
    let obligations = case.obligations.iter();
    let obligations =
        obligations.map(|obligation| (Scope::Unit(obligation.unit.clone()), Tally::of_obligation(obligation)));
    let missed = case.missed.iter();
    let escalations = missed.map(|(unit, count)| (Scope::Unit(unit.clone()), Tally::of_escalations(*count)));
    regions.chain(obligations).chain(escalations).collect()
}

fn row(scope: Scope, tally: &Tally) -> Response {
    let (region, domain, unit) = match scope {
        Scope::Region(region, domain) => (Some(region), Some(domain), None),
        Scope::Unit(unit) => (None, None, Some(unit)),
    };
    Response {
        region,
        domain,
        unit,
        cases: tally.cases,
        acknowledged: tally.acknowledged,
        in_time: tally.in_time,
        escalations: tally.escalations,
        archived: tally.archived,
        acknowledge_seconds: tally.acknowledge_seconds,
        resolve_seconds: tally.resolve_seconds,
        acknowledged_within: tally.acknowledged_within,
        resolved_within: tally.resolved_within,
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
