//! View: how fast cases are acknowledged and resolved, by region and domain, and by unit.
//!
//! ```text
//!   cases ──► [ sums of an epoch, on each worker ] ──(by scope)──► [ totals ] ──► response times
//! ```
//!
//! A tally is large, and a case counts in all regions that it lies in. So what an epoch did is summed up where its cases are: by
//! place and domain first, then for each scope once. Totals are rebuilt from cases, as the state of every view.

use std::collections::BTreeMap;
use std::sync::Arc;

use differential_dataflow::{AsCollection, Hashable};
use riskflow_config::Located;
use riskflow_model::output::{Obligation, Response};
use riskflow_model::responsibility::Unit;
use riskflow_model::{Domain, DomainScope, Id, Millis, RegionCode};
use serde::{Deserialize, Serialize};
use timely::dataflow::channels::pact::{Exchange, Pipeline};

use crate::closed_loop::case::Standing;
use crate::engine::{Diff, Rows, Turn, Updates, by_epoch};

#[cfg(test)]
mod tests;

/// What is summed over.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Scope {
    Region(RegionCode, DomainScope),
    Unit(Id<Unit>),
}

const BUCKETS: usize = Response::MINUTES.len() + 1;

/// What is counted and summed for a scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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

    /// Counts another in so many times.
    fn add(&mut self, mut other: Self, times: Diff) {
        for (mine, theirs) in self.numbers().zip(other.numbers()) {
            *mine += *theirs * times;
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

const fn seconds(from: Millis, to: Millis) -> i64 {
    (to.0 - from.0).div_euclid(1_000)
}

fn bucket(seconds: i64) -> usize {
    Response::MINUTES.partition_point(|minutes| minutes * 60 < seconds)
}

/// What an epoch did to the tallies.
#[derive(Debug, Default)]
struct Changes {
    /// By where cases lie.
    places: BTreeMap<(RegionCode, Domain, Located), Tally>,
    units: BTreeMap<Id<Unit>, Tally>,
}

impl Changes {
    fn count(&mut self, case: &Standing, located: Located, times: Diff) {
        let place = self.places.entry((case.region, case.domain, located)).or_default();
        place.add(Tally::of_case(case), times);
        for obligation in &case.obligations {
            let unit = self.units.entry(obligation.unit.clone()).or_default();
            unit.add(Tally::of_obligation(obligation), times);
        }
        for (unit, escalations) in &case.missed {
            let unit = self.units.entry(unit.clone()).or_default();
            unit.add(Tally::of_escalations(*escalations), times);
        }
    }

    /// By scope, of those that differ.
    fn by_scope(self) -> BTreeMap<Scope, Tally> {
        let mut scopes: BTreeMap<Scope, Tally> = BTreeMap::new();
        for ((region, domain, located), tally) in self.places {
            if tally == Tally::default() {
                continue;
            }
            for region in located.chain(region) {
                for domain in [DomainScope::All, DomainScope::One(domain)] {
                    scopes.entry(Scope::Region(region, domain)).or_default().add(tally, 1);
                }
            }
        }
        scopes.extend(self.units.into_iter().map(|(unit, tally)| (Scope::Unit(unit), tally)));
        scopes.retain(|_, tally| *tally != Tally::default());
        scopes
    }
}

/// What is counted now, and the rows that stand for it.
#[derive(Debug, Default)]
struct Totals(BTreeMap<Scope, (Tally, Option<Arc<Response>>)>);

impl Totals {
    /// Takes what an epoch did in, and gives the rows that went and came.
    fn apply(&mut self, changes: BTreeMap<Scope, Tally>, give: &mut dyn FnMut(Arc<Response>, Diff)) {
        for (scope, change) in changes {
            let (tally, given) = self.0.entry(scope.clone()).or_default();
            tally.add(change, 1);
            let counts = *tally != Tally::default();
            let now = counts.then(|| Arc::new(row(scope.clone(), tally)));
            if now != *given {
                let before = std::mem::replace(given, now.clone());
                before.into_iter().for_each(|row| give(row, -1));
                now.into_iter().for_each(|row| give(row, 1));
            }
            if !counts {
                self.0.remove(&scope);
            }
        }
    }
}

/// Returns the response times of every region and domain that has a case, and of every unit that has to do with one.
pub fn response<'scope>(cases: Rows<'scope, (Arc<Standing>, Located)>) -> Rows<'scope, Arc<Response>> {
    let mut totals = Totals::default();
    let by_scope = Exchange::new(|((scope, _), _, _): &((Scope, Tally), Turn, Diff)| scope.hashed());
    let gather = |changes: &mut BTreeMap<Scope, Tally>, (scope, change), times| {
        changes.entry(scope).or_default().add(change, times);
    };
    let rows = by_epoch(sums(cases), by_scope, "Response", gather, move |changes, give| {
        totals.apply(changes, give);
    });
    rows.as_collection()
}

/// What each epoch did to the tally of each scope, once on each worker.
fn sums<'scope>(cases: Rows<'scope, (Arc<Standing>, Located)>) -> Updates<'scope, (Scope, Tally)> {
    let gather = |changes: &mut Changes, (case, located): (Arc<Standing>, Located), times| {
        changes.count(&case, located, times);
    };
    by_epoch(cases.inner, Pipeline, "ResponseSums", gather, |changes, give| {
        let scopes = changes.by_scope().into_iter();
        scopes.for_each(|change| give(change, 1));
    })
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
