//! What can be read: lists and single rows of the output tables, metrics, health. Who may is decided in [`access`].

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query as Given, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use axum::{Extension, Json, Router};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use riskflow_config::Capabilities;
use riskflow_model::output::{AssetRisk, PastWarning, WarningDelta, WarningState};
use riskflow_model::topic::Topic;
use riskflow_model::{DomainScope, Millis, RegionCode};
use serde::Serialize;
use serde_json::{Value, json};

use super::RETRY_AFTER;
use super::access::{self, Pass};
use super::endpoints::Endpoint;
use super::events::{self, Listeners};
use super::explanations::{self, Explanations};
use super::in_use::Swapped;
use super::lists::{LARGEST_PAGE, LISTS, List, PAGE, Query, values};
use super::openapi;
use super::pages::{Full, Pages, known_epoch};
use crate::runtime::job::Handles;
use crate::runtime::state::Condition;
use crate::runtime::views::Tables;

/// What requests are answered from.
#[derive(Clone)]
pub(super) struct Reader {
    pub handles: Handles,
    /// Who may read, as it stands now.
    pub in_use: Swapped,
    pub capabilities: Capabilities,
    pub pages: Arc<Pages>,
    pub explanations: Option<Explanations>,
    pub listeners: Listeners,
}

/// The routes that only read.
pub(super) fn routes(reader: &Reader) -> Router {
    let (mut tables, mut others, mut open) = (Router::new(), Router::new(), Router::new());
    for endpoint in Endpoint::ALL {
        let Some(answer) = answer(endpoint) else { continue };
        let routes = if endpoint.needs_tables() {
            &mut tables
        } else if endpoint.is_open() {
            &mut open
        } else {
            &mut others
        };
        *routes = std::mem::take(routes).route(endpoint.path(), answer);
    }
    for list in LISTS.iter() {
        let show = async move |reader: State<Reader>, pass: Extension<Pass>, given: Pairs| {
            show(&reader, &pass, list, given).await
        };
        tables = tables.route(&list.path(), get(show));
    }
    let tables = tables.route_layer(from_fn_with_state(reader.clone(), need_tables));
    // It comes before all that answers: a handler that finds no pass answers nothing.
    let check = from_fn_with_state(Arc::clone(&reader.in_use), access::check);
    let guarded = others.merge(tables).route_layer(check);
    open.merge(guarded).with_state(reader.clone())
}

/// What answers; `None`: what needs a token is routed with the way in.
fn answer(endpoint: Endpoint) -> Option<MethodRouter<Reader>> {
    Some(match endpoint {
        Endpoint::Region => get(region),
        Endpoint::Asset => get(asset),
        Endpoint::AssetExplanation => get(explanations::of_asset),
        Endpoint::Warning => get(warning),
        Endpoint::WarningExplanation => get(explanations::of_warning),
        Endpoint::KnownWarnings => get(explanations::of_time),
        Endpoint::PastWarning => get(past_warning),
        Endpoint::Case => get(case),
        Endpoint::Difference => get(difference),
        Endpoint::Events => get(events::events),
        Endpoint::Index => get(index),
        Endpoint::OpenApi => get(openapi::serve),
        Endpoint::Metrics => get(metrics),
        Endpoint::Dataflow => get(dataflow),
        Endpoint::Health => get(|| async { "ok\n" }),
        Endpoint::Ready => get(ready),
        Endpoint::Act | Endpoint::Promote | Endpoint::TakeCheckpoint | Endpoint::Checkpoint => return None,
    })
}

/// The parameters of a request, as they are given.
pub(super) type Pairs = Result<Given<Vec<(String, String)>>, QueryRejection>;

async fn metrics(State(reader): State<Reader>, headers: HeaderMap) -> Response {
    if let Some(refused) = reader.in_use.load().refuses_metrics(&headers) {
        return refused;
    }
    let handles = &reader.handles;
    handles.metrics.state(Condition::of(handles).state);
    let text = handles.metrics.render(&handles.meters);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

/// What the operators of this process do, those that take the longest first.
async fn dataflow(State(reader): State<Reader>, Extension(pass): Extension<Pass>) -> Response {
    if let Some(refused) = pass.refuse_whole("operators are") {
        return refused;
    }
    let operators = reader.handles.meters.dataflow.operators();
    if operators.is_empty() {
        let error = "no operator is watched: with `http.dataflow = true` they are, from the next start on";
        return (StatusCode::NOT_FOUND, Json(json!({ "error": error }))).into_response();
    }
    Json(json!({ "operators": operators })).into_response()
}

/// How the process is. Each process answers for itself; whether it has the tables, too, is another question.
async fn ready(State(reader): State<Reader>, headers: HeaderMap) -> Response {
    let condition = Condition::of(&reader.handles);
    let live = condition.is_live();
    let status = if live {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let accept = headers.get(header::ACCEPT).map_or(&b""[..], HeaderValue::as_bytes);
    if accept.starts_with(b"application/json") {
        let said = json!({ "state": condition.state.name(), "live": live, "reason": condition.reason });
        return (status, Json(said)).into_response();
    }
    (status, format!("{condition}\n")).into_response()
}

/// What there is, for whoever looks for the first time.
async fn index(State(reader): State<Reader>) -> Response {
    let lists = LISTS.iter().filter(|list| reader.capabilities.need(list.topic));
    let lists = lists.map(|list| {
        let filters = list.about.filters.iter();
        let filters = filters.map(|filter| (filter.name().to_owned(), Value::from(values(*filter))));
        json!({ "path": list.path(), "gives": list.about.about, "filters": filters.collect::<serde_json::Map<_, _>>() })
    });
    let explains = reader.explanations.is_some();
    let others = Endpoint::ALL.into_iter().filter(|endpoint| !endpoint.needs_token());
    let watched = !reader.handles.meters.dataflow.operators().is_empty();
    let others = others.filter(|endpoint| match endpoint {
        Endpoint::Index => false,
        Endpoint::Dataflow => watched,
        _ => explains || !endpoint.explains(),
    });
    let others = others.map(|endpoint| json!({ "path": endpoint.path(), "gives": endpoint.about() }));
    let (tables, condition) = (reader.handles.views.load(), Condition::of(&reader.handles));
    let text = json!({
        "service": "riskflow",
        "version": env!("CARGO_PKG_VERSION"),
        "state": condition.state.name(),
        "ready": condition.is_live(),
        "tables": reader.handles.tables_elsewhere().map(|home| home.to_string()),
        "now": now(&reader.handles, tables.epoch),
        "epoch": known_epoch(tables.epoch),
        "endpoints": lists.chain(others).collect::<Vec<_>>(),
        "pages": format!(
            "lists give at most `limit` items ({PAGE}; up to {LARGEST_PAGE}) in the order of their keys; where there are more, `next` \
             is the key to give as `after`"
        ),
        "actions": "POST /api/v1/warnings/{id}/actions, /api/v1/rulesets/{set}/promote and /api/v1/checkpoints, where `http.actions` is on",
    });
    let text = format!("{text:#}\n");
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// An empty list before there are tables would look as if all were calm. Processes without tables pass such requests on.
async fn need_tables(State(reader): State<Reader>, request: Request, next: Next) -> Response {
    let handles = &reader.handles;
    let none = handles.views.load().epoch == Millis(0);
    if none && !handles.ready.load(Ordering::Acquire) {
        return unavailable("there are no tables yet: history is being worked off; try again".to_owned());
    }
    next.run(request).await
}

pub(super) fn unavailable(error: String) -> Response {
    let retry = [(header::RETRY_AFTER, RETRY_AFTER)];
    (StatusCode::SERVICE_UNAVAILABLE, retry, Json(json!({ "error": error }))).into_response()
}

pub(super) fn refused(error: String) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response()
}

/// The pipeline's time: up to it all is in the tables. That of the rows is of the last epoch that changed any.
fn now(handles: &Handles, epoch: Millis) -> Option<Millis> {
    known_epoch(Millis(handles.now.load(Ordering::Acquire)).max(epoch))
}

async fn show(reader: &Reader, pass: &Pass, list: &'static List, given: Pairs) -> Response {
    if !list.is_by_region()
        && let Some(refused) = pass.refuse_whole(&format!("`{}` is", list.about.name))
    {
        return refused;
    }
    if let Some(off) = is_off(reader, list.topic) {
        return off;
    }
    let given = match given {
        Ok(Given(given)) => given,
        Err(error) => return refused(error.body_text()),
    };
    let query = match Query::parse(list, &given) {
        Ok(query) => Query {
            seen: pass.region,
            ..query
        },
        Err(error) => return refused(error),
    };
    match reader.pages.get(list, query).await {
        Ok((epoch, page)) => {
            let head = format!("{{\"now\":{},", json!(now(&reader.handles, epoch)));
            let body = Body::new(Pieces(head.into(), page));
            ([(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Err(Full) => {
            unavailable("too many large pages are under way to their readers; try again, or ask for less".to_owned())
        }
    }
}

/// An empty list of what is not computed would look as if there were nothing.
fn is_off(reader: &Reader, topic: Topic) -> Option<Response> {
    let error = reader.capabilities.off_of(topic)?;
    Some((StatusCode::NOT_FOUND, Json(json!({ "error": error }))).into_response())
}

/// A body that is handed over bit by bit: what waits in a connection is a piece, not a copy of the whole.
struct Pieces(Bytes, Bytes);

const PIECE: usize = 64 << 10;

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let head = std::mem::take(&mut self.0);
        if !head.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(head))));
        }
        let piece = self.1.len().min(PIECE);
        let piece = self.1.split_to(piece);
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty() && self.1.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact((self.0.len() + self.1.len()) as u64)
    }
}

/// What a path names; parameters are refused, for nothing heeds them.
fn named(path: Result<Path<String>, PathRejection>, request: &Request) -> Result<String, String> {
    let Path(id) = path.map_err(|error| error.body_text())?;
    match request.uri().query() {
        Some(given) if !given.is_empty() => Err(format!(
            "`{}` is given, and a single row takes no parameters; leave it out",
            &given[..given.floor_char_boundary(100)]
        )),
        _ => Ok(id),
    }
}

pub(super) type Named = Result<Path<String>, PathRejection>;

/// What was found of a row, with where it lies.
type Found<T> = Option<(RegionCode, T)>;

fn item<T: Serialize>(
    reader: &Reader,
    pass: &Pass,
    path: Named,
    request: &Request,
    what: &str,
    find: impl FnOnce(&Tables, &str) -> Found<T>,
) -> Response {
    let id = match named(path, request) {
        Ok(id) => id,
        Err(error) => return refused(error),
    };
    let tables = reader.handles.views.load();
    match find(&tables, &id) {
        Some((region, _)) if !pass.sees(&tables, Some(region)) => pass.refuse(&format!("the {what} `{id}`")),
        Some((_, found)) => {
            let (now, epoch) = (now(&reader.handles, tables.epoch), known_epoch(tables.epoch));
            Json(Item { now, epoch, found }).into_response()
        }
        None => {
            let error = json!({ "error": format!("there is no {what} `{id}`") });
            (StatusCode::NOT_FOUND, Json(error)).into_response()
        }
    }
}

#[derive(Serialize)]
struct Item<T> {
    now: Option<Millis>,
    epoch: Option<Millis>,
    #[serde(flatten)]
    found: T,
}

async fn region(State(reader): State<Reader>, pass: Extension<Pass>, path: Named, request: Request) -> Response {
    item(&reader, &pass, path, &request, "region", |tables, code| {
        let code: RegionCode = code.parse().ok()?;
        let rows = DomainScope::EACH.iter();
        let rows: Vec<_> = rows.filter_map(|domain| tables.region(code, *domain)).collect();
        (!rows.is_empty()).then(|| (code, json!({ "items": rows })))
    })
}

async fn asset(State(reader): State<Reader>, pass: Extension<Pass>, path: Named, request: Request) -> Response {
    item(&reader, &pass, path, &request, "asset", |tables, id| {
        tables
            .get::<AssetRisk>(id)
            .map(|row| (row.region, json!({ "item": row })))
    })
}

async fn warning(State(reader): State<Reader>, pass: Extension<Pass>, path: Named, request: Request) -> Response {
    if let Ok(Path(id)) = &path {
        let tables = reader.handles.views.load();
        if tables.get::<WarningState>(id).is_none()
            && let Some(past) = tables.get::<PastWarning>(id)
            && pass.sees(&tables, Some(past.region))
        {
            let error = format!("the warning `{id}` is over: see /api/v1/warnings/history/{id}");
            return (StatusCode::NOT_FOUND, Json(json!({ "error": error }))).into_response();
        }
    }
    item(&reader, &pass, path, &request, "open warning", |tables, id| {
        let row = tables.get::<WarningState>(id)?;
        let delta = tables
            .last_deltas
            .get(id)
            .and_then(|row| row.downcast_ref::<WarningDelta>());
        Some((row.region, json!({ "item": row, "last_delta": delta })))
    })
}

async fn past_warning(State(reader): State<Reader>, pass: Extension<Pass>, path: Named, request: Request) -> Response {
    item(&reader, &pass, path, &request, "warning that is over", |tables, id| {
        tables
            .get::<PastWarning>(id)
            .map(|row| (row.region, json!({ "item": row })))
    })
}

/// The list of differences, of one set.
async fn difference(reader: State<Reader>, pass: Extension<Pass>, path: Named, given: Pairs) -> Response {
    let Path(set) = match path {
        Ok(path) => path,
        Err(error) => return refused(error.body_text()),
    };
    let list = LISTS.iter().find(|list| list.topic == Topic::RULESET_DIFFERENCE);
    let list = list.expect("the table says how it is listed");
    let of_set = given.map(|Given(mut pairs)| {
        pairs.push(("set".to_owned(), set));
        Given(pairs)
    });
    show(&reader, &pass, list, of_set).await
}

async fn case(State(reader): State<Reader>, pass: Extension<Pass>, path: Named, request: Request) -> Response {
    if let Some(off) = is_off(&reader, Topic::CASE_STATE) {
        return off;
    }
    item(&reader, &pass, path, &request, "case", |tables, id| {
        tables.case(id).map(|row| (row.region, json!({ "item": row })))
    })
}
