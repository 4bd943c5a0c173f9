//! Read-only JSON of the output tables.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::get};
use riskflow_model::output::CaseStep;
use riskflow_model::{DomainScope, Level, Millis, RegionCode, Tier, duration};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::job::Handles;

/// The routes that only read.
pub(super) fn routes() -> Router<Handles> {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/api/v1/regions", get(regions))
        .route("/api/v1/regions/{code}", get(region))
        .route("/api/v1/assets", get(assets))
        .route("/api/v1/assets/{id}", get(asset))
        .route("/api/v1/warnings", get(warnings))
        .route("/api/v1/warnings/{id}", get(warning))
        .route("/api/v1/cases", get(cases))
        .route("/api/v1/cases/{id}", get(case))
        .route("/api/v1/responses", get(responses))
        .route("/api/v1/reports", get(reports))
}

async fn metrics(State(handles): State<Handles>) -> Response {
    let text = handles.metrics.render(&handles.meters);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

async fn ready(State(handles): State<Handles>) -> Response {
    let off = handles.clock_off.load(Ordering::Acquire);
    let clock = match off {
        0 => String::new(),
        _ => format!(
            "; the wall clock is {} off and not followed yet",
            duration::show(off.abs())
        ),
    };
    if handles.ready.load(Ordering::Acquire) {
        return (StatusCode::OK, format!("ready{clock}\n")).into_response();
    }
    let position = handles.catching_up.get().map(|position| format!(": {position}"));
    let said = format!("history is being worked off{}{clock}\n", position.unwrap_or_default());
    (StatusCode::SERVICE_UNAVAILABLE, said).into_response()
}

/// What a list may be narrowed to.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    within: Option<RegionCode>,
    tier: Option<Tier>,
    domain: Option<DomainScope>,
    category: Option<String>,
    rule: Option<String>,
    module: Option<String>,
    step: Option<CaseStep>,
    least: Option<Level>,
    #[serde(default)]
    offset: usize,
    limit: Option<usize>,
}

impl Filter {
    fn region(&self, region: RegionCode) -> bool {
        self.within.is_none_or(|within| region.within(within)) && self.tier.is_none_or(|tier| region.tier() == tier)
    }

    fn domain(&self, domain: riskflow_model::Domain) -> bool {
        self.domain
            .is_none_or(|wanted| wanted == DomainScope::All || wanted == DomainScope::One(domain))
    }

    fn level(&self, level: Level) -> bool {
        self.least.is_none_or(|least| level >= least)
    }

    fn list<T: Serialize>(&self, epoch: Millis, rows: impl Iterator<Item = Arc<T>>) -> Response {
        let limit = self.limit.unwrap_or(100).min(10_000);
        let mut total = 0;
        let mut items = Vec::new();
        for row in rows {
            if total >= self.offset && items.len() < limit {
                items.push(row);
            }
            total += 1;
        }
        let items: Vec<&T> = items.iter().map(AsRef::as_ref).collect();
        Json(json!({ "epoch": epoch, "total": total, "items": items })).into_response()
    }
}

async fn regions(State(handles): State<Handles>, Query(filter): Query<Filter>) -> Response {
    let tables = handles.views.load();
    let domain = filter.domain.unwrap_or(DomainScope::All);
    let rows = tables
        .regions
        .values()
        .filter(|row| filter.region(row.region) && row.domain == domain);
    filter.list(tables.epoch, rows.filter(|row| filter.level(row.level)).cloned())
}

async fn region(State(handles): State<Handles>, Path(code): Path<String>) -> Response {
    let tables = handles.views.load();
    let Ok(code) = code.parse::<RegionCode>() else {
        return not_found("region", &code);
    };
    let rows: Vec<_> = DomainScope::EACH
        .iter()
        .filter_map(|domain| tables.regions.get(&(code, *domain)))
        .collect();
    if rows.is_empty() {
        return not_found("region", &code.to_string());
    }
    let rows: Vec<_> = rows.iter().map(|row| row.as_ref()).collect();
    Json(json!({ "epoch": tables.epoch, "items": rows })).into_response()
}

async fn assets(State(handles): State<Handles>, Query(filter): Query<Filter>) -> Response {
    let tables = handles.views.load();
    let rows = tables.assets.values().filter(|row| {
        filter.region(row.region)
            && filter.domain(row.domain)
            && filter.level(row.level)
            && filter
                .category
                .as_deref()
                .is_none_or(|category| category == &*row.category)
    });
    filter.list(tables.epoch, rows.cloned())
}

async fn asset(State(handles): State<Handles>, Path(id): Path<String>) -> Response {
    let tables = handles.views.load();
    match tables.assets.get(id.as_str()) {
        Some(row) => Json(json!({ "epoch": tables.epoch, "item": row.as_ref() })).into_response(),
        None => not_found("asset", &id),
    }
}

async fn warnings(State(handles): State<Handles>, Query(filter): Query<Filter>) -> Response {
    let tables = handles.views.load();
    let rows = tables.warnings.values().filter(|row| {
        filter.region(row.region)
            && filter.domain(row.domain)
            && filter.level(row.level)
            && filter.rule.as_deref().is_none_or(|rule| rule == &*row.rule)
    });
    filter.list(tables.epoch, rows.cloned())
}

async fn warning(State(handles): State<Handles>, Path(id): Path<String>) -> Response {
    let tables = handles.views.load();
    match tables.warnings.get(id.as_str()) {
        Some(row) => {
            let delta = tables.last_deltas.get(id.as_str()).map(AsRef::as_ref);
            Json(json!({ "epoch": tables.epoch, "item": row.as_ref(), "last_delta": delta })).into_response()
        }
        None => not_found("open warning", &id),
    }
}

async fn cases(State(handles): State<Handles>, Query(filter): Query<Filter>) -> Response {
    let tables = handles.views.load();
    let rows = tables.cases.values().filter(|row| {
        filter.region(row.region)
            && filter.domain(row.domain)
            && filter.level(row.level)
            && filter.rule.as_deref().is_none_or(|rule| rule == &*row.rule)
            && filter.step.is_none_or(|step| step == row.step)
    });
    filter.list(tables.epoch, rows.cloned())
}

async fn case(State(handles): State<Handles>, Path(id): Path<String>) -> Response {
    let tables = handles.views.load();
    match tables.cases.get(id.as_str()) {
        Some(row) => Json(json!({ "epoch": tables.epoch, "item": row.as_ref() })).into_response(),
        None => not_found("case", &id),
    }
}

/// Rows of units have neither region nor domain: they are there as long as none is asked for.
async fn responses(State(handles): State<Handles>, Query(filter): Query<Filter>) -> Response {
    let tables = handles.views.load();
    let rows = tables.responses.values().filter(|row| match row.region {
        Some(region) => filter.region(region) && filter.domain.is_none_or(|domain| row.domain == Some(domain)),
        None => filter.within.is_none() && filter.tier.is_none() && filter.domain.is_none(),
    });
    filter.list(tables.epoch, rows.cloned())
}

async fn reports(State(handles): State<Handles>, Query(filter): Query<Filter>) -> Response {
    let tables = handles.views.load();
    let rows = tables.totals.values().filter(|row| {
        filter.region(row.region) && filter.module.as_deref().is_none_or(|module| module == &*row.module)
    });
    filter.list(tables.epoch, rows.cloned())
}

fn not_found(what: &str, id: &str) -> Response {
    let error = json!({ "error": format!("there is no {what} `{id}`") });
    (StatusCode::NOT_FOUND, Json(error)).into_response()
}
