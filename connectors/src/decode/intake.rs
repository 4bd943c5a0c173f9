//! Permits, limits, reports and incidents.

use riskflow_model::Level;
use riskflow_model::intake::{Incident, Limit, Permit, PermitKind, Report};
use riskflow_model::observation::Reading;

use super::Rejection;
use super::reject::Check;
use super::responsibility::warning_level;

const MOST_HOLDERS: usize = 100;
const MOST_QUANTITIES: usize = 50;

pub(super) fn permit(permit: Permit) -> Result<Permit, Rejection> {
    let mut check = Check::default();
    check.identifier("id", &permit.id);
    check.identifier("work_type", &permit.work_type);
    check.identifiers("holders", &permit.holders);
    if permit.holders.len() > MOST_HOLDERS {
        let found = format!("a list of {}", permit.holders.len());
        check.wrong("holders", found, "at most 100 holders");
    }
    if let (Some(from), Some(to)) = (permit.valid_from, permit.valid_to)
        && to <= from
    {
        check.wrong("valid_to", to, "a time after `valid_from`");
    }
    match permit.kind {
        PermitKind::Work => {
            match permit.asset.as_deref() {
                None | Some("") => check.wrong("asset", "missing", "the asset where the work is done"),
                Some(asset) => check.identifier("asset", asset),
            }
            // Work that never ends would count for ever.
            for (name, border) in [("valid_from", permit.valid_from), ("valid_to", permit.valid_to)] {
                if border.is_none() {
                    check.wrong(
                        name,
                        "missing or unbounded",
                        "a time: work is permitted from one to another",
                    );
                }
            }
        }
        PermitKind::Certificate => {
            if let Some(asset) = &permit.asset {
                check.wrong("asset", format!("`{asset}`"), "none: certificates have holders");
            }
        }
    }
    check.done(permit)
}

pub(super) fn limit(limit: Limit) -> Result<Limit, Rejection> {
    let mut check = Check::default();
    check.identifier("id", &limit.id);
    check.identifier_if_any("work_type", limit.work_type.as_deref());
    check.identifiers("category", &limit.category);
    if limit.levels.is_empty() {
        check.wrong("levels", "empty", "counts for `blue` to `red`");
    }
    let mut below: Option<(Level, u32)> = None;
    for (level, count) in &limit.levels {
        let field = format_args!("levels.{level}");
        match below {
            _ if *count == 0 => check.wrong(field, 0, "1 or more"),
            Some((lower, least)) if *count < least => {
                let give = format!("at least {least}, as `levels.{lower}` is");
                check.wrong(field, count, &give);
            }
            _ => {}
        }
        below = Some((*level, *count));
    }
    check.done(limit)
}

pub(super) fn report(report: Report) -> Result<Report, Rejection> {
    let mut check = Check::default();
    check.identifier("id", &report.id);
    check.identifier("module", &report.module);
    check.identifier("kind", &report.kind);
    if report.quantities.len() > MOST_QUANTITIES {
        check.wrong(
            "quantities",
            format!("{} of them", report.quantities.len()),
            "at most 50",
        );
    }
    for (name, quantity) in &report.quantities {
        let field = format_args!("quantities.{name}");
        check.identifier(field, name);
        if quantity.0.abs() > Reading::LIMIT {
            check.wrong(field, quantity, "a number from -1e9 to 1e9");
        }
    }
    check.done(report)
}

pub(super) fn incident(incident: Incident) -> Result<Incident, Rejection> {
    let mut check = Check::default();
    check.identifier("id", &incident.id);
    check.identifier("hazard", &incident.hazard);
    check.identifier_if_any("asset", incident.asset.as_deref());
    warning_level(&mut check, incident.level);
    if incident.id.len() == 32 && incident.id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        check.wrong(
            "id",
            format!("`{}`", incident.id),
            "another: warnings have 32 hexadecimal digits",
        );
    }
    check.done(incident)
}
