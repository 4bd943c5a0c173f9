//! Permits, limits, reports and incidents.

use riskflow_model::Level;
use riskflow_model::intake::{Incident, Limit, Permit, PermitKind, Report};
use riskflow_model::observation::Reading;

use super::Rejection;
use super::reject::filled;
use super::responsibility::warning_level;

const MOST_HOLDERS: usize = 100;
const MOST_QUANTITIES: usize = 50;

pub(super) fn permit(permit: Permit) -> Result<Permit, Rejection> {
    filled("work_type", &permit.work_type)?;
    if permit.valid_to <= permit.valid_from {
        return Err(Rejection::field(
            "valid_to",
            permit.valid_to,
            "a time after `valid_from`",
        ));
    }
    if permit.holders.len() > MOST_HOLDERS {
        return Err(Rejection::field("holders", permit.holders.len(), "at most 100 holders"));
    }
    match (permit.kind, permit.asset.as_deref()) {
        (PermitKind::Work, None | Some("")) => {
            Err(Rejection::field("asset", "missing", "the asset where the work is done"))
        }
        (PermitKind::Certificate, Some(asset)) => {
            Err(Rejection::field("asset", asset, "none: certificates have holders"))
        }
        _ => Ok(permit),
    }
}

pub(super) fn limit(limit: Limit) -> Result<Limit, Rejection> {
    if limit.levels.is_empty() || limit.levels.contains_key(&Level::None) {
        return Err(Rejection::field(
            "levels",
            format!("{:?}", limit.levels),
            "counts for blue to red",
        ));
    }
    let counts: Vec<u32> = limit.levels.values().copied().collect();
    if counts[0] == 0 || !counts.is_sorted() {
        let give = "numbers from 1 on, rising from blue to red";
        return Err(Rejection::field("levels", format!("{counts:?}"), give));
    }
    Ok(limit)
}

pub(super) fn report(report: Report) -> Result<Report, Rejection> {
    filled("module", &report.module)?;
    filled("kind", &report.kind)?;
    if report.quantities.len() > MOST_QUANTITIES {
        return Err(Rejection::field("quantities", report.quantities.len(), "at most 50"));
    }
    for (name, quantity) in &report.quantities {
        filled("quantities", name)?;
        if quantity.0.abs() > Reading::LIMIT {
            return Err(Rejection::field(
                &format!("quantities.{name}"),
                quantity,
                "a number from -1e9 to 1e9",
            ));
        }
    }
    Ok(report)
}

pub(super) fn incident(incident: Incident) -> Result<Incident, Rejection> {
    filled("hazard", &incident.hazard)?;
    warning_level(incident.level)?;
    if incident.id.len() == 32 && incident.id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Rejection::field(
            "id",
            &incident.id,
            "another: warnings have 32 hexadecimal digits",
        ));
    }
    Ok(incident)
}
