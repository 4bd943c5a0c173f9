//! Response times, by summing over all cases.

use std::collections::{BTreeMap, BTreeSet};

use riskflow_model::output::{CaseState, Obligation, Response};
use riskflow_model::responsibility::Unit;
use riskflow_model::{DomainScope, Id, Millis, OutputRecord as _, RegionCode};

use super::place::Places;

/// The rows, by their keys.
pub fn rows<'a>(cases: impl Iterator<Item = &'a CaseState> + Clone, places: &Places) -> BTreeMap<String, Response> {
    let mut rows = BTreeMap::new();
    let regions: BTreeSet<RegionCode> = cases.clone().map(|case| case.region).collect();
    // Many cases lie in few regions.
    let chains: BTreeMap<RegionCode, Vec<String>> = regions
        .into_iter()
        .map(|region| (region, places.chain(&region.to_string())))
        .collect();
    let above: BTreeSet<&String> = chains.values().flatten().collect();
    for code in above {
        for domain in DomainScope::EACH {
            let Ok(region) = code.parse::<RegionCode>() else {
                continue;
            };
            let here = cases.clone().filter(|case| {
                (domain == DomainScope::All || domain == DomainScope::One(case.domain))
                    && chains[&case.region].contains(code)
            });
            let mut row = empty(Some((region, domain)), None);
            here.for_each(|case| add_case(&mut row, case));
            if row.cases > 0 {
                rows.insert(row.key().to_string(), row);
            }
        }
    }
    for case in cases {
        for obligation in &case.obligations {
            add_obligation(of_unit(&mut rows, &obligation.unit), obligation);
        }
        for unit in case
            .escalations
            .iter()
            .filter_map(|escalation| escalation.unit.as_ref())
        {
            of_unit(&mut rows, unit).escalations += 1;
        }
    }
    rows
}

fn of_unit<'a>(rows: &'a mut BTreeMap<String, Response>, unit: &Id<Unit>) -> &'a mut Response {
    let row = empty(None, Some(unit.clone()));
    rows.entry(row.key().to_string()).or_insert(row)
}

fn empty(place: Option<(RegionCode, DomainScope)>, unit: Option<Id<Unit>>) -> Response {
    let (region, domain) = place.unzip();
    Response {
        region,
        domain,
        unit,
        cases: 0,
        acknowledged: 0,
        in_time: 0,
        escalations: 0,
        archived: 0,
        acknowledge_seconds: 0,
        resolve_seconds: 0,
        acknowledged_within: [0; 13],
        resolved_within: [0; 13],
    }
}

fn add_case(row: &mut Response, case: &CaseState) {
    let times = &case.times;
    row.cases += 1;
    row.in_time += i64::from(times.in_time);
    row.escalations += case.escalations.len() as i64;
    if let Some(seconds) = seconds(times.issued, times.acknowledged) {
        row.acknowledged += 1;
        row.acknowledge_seconds += seconds;
        row.acknowledged_within[within(seconds)] += 1;
    }
    if let Some(seconds) = seconds(times.issued, times.archived) {
        row.archived += 1;
        row.resolve_seconds += seconds;
        row.resolved_within[within(seconds)] += 1;
    }
}

fn add_obligation(row: &mut Response, obligation: &Obligation) {
    row.cases += 1;
    let Some(acknowledged) = obligation.acknowledged else {
        return;
    };
    row.acknowledged += 1;
    row.in_time += i64::from(obligation.due.is_none_or(|due| acknowledged <= due));
    if let Some(seconds) = seconds(obligation.since, Some(acknowledged)) {
        row.acknowledge_seconds += seconds;
        row.acknowledged_within[within(seconds)] += 1;
    }
}

fn seconds(from: Millis, to: Option<Millis>) -> Option<i64> {
    to.map(|to| (to.0 - from.0) / 1000)
}

fn within(seconds: i64) -> usize {
    let bound = Response::MINUTES
        .into_iter()
        .position(|minutes| seconds <= minutes * 60);
    bound.unwrap_or(Response::MINUTES.len())
}
