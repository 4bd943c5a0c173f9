//! HTTP for machines and people who look: metrics, health, read-only JSON of the output tables; and the way in for actions.
//!
//! | path | gives |
//! |---|---|
//! | `/` | this table, as JSON, with the filters of each list and their values |
//! | `/metrics` | Prometheus text |
//! | `/debug/dataflow` | what each operator does, where `http.dataflow` is on |
//! | `/healthz` | 200 while the process is alive |
//! | `/readyz` | the state of the process ([`State`](crate::runtime::state::State)): 200 while it is live, else 503 and why; JSON where `Accept` asks for it |
//! | `/api/v1/regions?within=&tier=&domain=&least=` | region risks, of `domain=all` where none is given |
//! | `/api/v1/regions/{code}` | one region, every domain |
//! | `/api/v1/assets?within=&domain=&category=&least=` | asset risks |
//! | `/api/v1/assets/{id}` | one asset |
//! | `/api/v1/warnings?within=&domain=&rule=&least=` | open warnings |
//! | `/api/v1/warnings/{id}` | one open warning with its last delta, which says why |
//! | `/api/v1/warnings/history?within=&domain=&rule=&least=` | warnings that are over |
//! | `/api/v1/warnings/history/{id}` | one of them |
//! | `/api/v1/cases?within=&domain=&rule=&step=&least=` | cases: the closed loop of warnings and incidents |
//! | `/api/v1/cases/{id}` | one case |
//! | `/api/v1/responses?within=&tier=&domain=` | how fast cases are acknowledged and resolved, by region and domain, and by unit |
//! | `/api/v1/reports?within=&tier=&module=` | totals of reports |
//! | `/api/v1/gauges?within=&tier=&gauge=&least=` | what gauges show, by gauge and asset or region |
//! | `/api/v1/unmatched?kind=&rule=` | what meets nothing, and records that are wrong together |
//! | `/api/v1/events?after=&within=&domain=&rule=&least=` | changes of warnings as they are committed, as server-sent events; see [`events`] |
//! | `/openapi.json` | all of this as OpenAPI 3.1; see [`openapi`] |
//! | `/api/v1/warnings/{id}/explanation`, `/api/v1/assets/{id}/explanation?at=` | why, and why not; see [`explanations`] |
//! | `/api/v1/warnings/known?at=` | which warnings were open, by what was told by a time; see [`explanations`] |
//! | `POST /api/v1/warnings/{id}/actions` | 202 once an action is durable on `in.action`; see [`actions`] |
//! | `POST /api/v1/checkpoints?pin=` | 202 once a checkpoint is asked for, `GET /api/v1/checkpoints/{request}` what became of it |
//!
//! **Lists** are `{"now", "epoch", "total", "items", "next"}`: at most `limit` items (100 by default, 10,000 at most, and 16 MiB),
//! all of one epoch, in the order of their keys. `next` is null on the last page, else the key to give as `after`: what is there all the
//! while is on exactly one page, whatever comes and goes between two requests. `offset` passes over so many items. Where nothing fits,
//! `notes` says which filter fits nothing by itself. A filter that a list does not have, and a value that a filter does not
//! have, are refused (400). Rows are `{"now", "epoch", "item"}`.
//!
//! **Times.** `epoch` is the last that changed any row; `now` is the pipeline's time: all up to it is in the tables. Where nothing happens
//! `epoch` stands still and `now` goes on; where `now` stands still, too, the job does not get on.
//!
//! Reading needs no token unless `[http.reading]` says so (`access`): it listens on loopback unless configured otherwise. With `[http.tls]`
//! it is HTTPS only.
//! Requests by another host name than those it is known by are refused (421, `http.hosts`). A list is encoded once for all who ask for the
//! same at a time (`pages`); connections are bounded in number and time (`connections`). In a cluster process 0 has the
//! tables, and the others pass requests on to it (`pass_on`): each answers all. Names, tokens, certificate and the number of connections
//! change while it runs ([`Control`]).

pub mod actions;
pub mod events;
pub mod explanations;
pub mod openapi;
pub mod trust;

mod access;
mod authority;
mod connections;
mod endpoints;
mod host;
mod in_use;
mod lists;
mod pages;
mod pass_on;
mod places;
mod tls;
mod views;
mod writer;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use arc_swap::ArcSwap;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use riskflow_config::{Capabilities, HttpSettings};
use riskflow_connectors::Append;
use serde_json::json;
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tower_http::timeout::TimeoutLayer;

use crate::runtime::job::Handles;
use actions::Actions;
use connections::Bounds;
use events::Listeners;
use explanations::Explanations;
use in_use::{InUse, Swapped};
use pages::Pages;
use pass_on::PassOn;
use places::Places;
use views::Reader;
use writer::Writer;

pub use explanations::{Explain, NoAnswer, Question};
pub use in_use::{Control, Prepared};

/// How long a request may wait for its answer to begin.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the system keeps of an answer that is not read, for each connection.
const SEND_BUFFER: u32 = 256 << 10;

/// How many connections the system lets wait.
const BACKLOG: u32 = 1_024;

/// Seconds after which to try again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Where actions go.
pub struct WayIn {
    /// What appends them.
    pub to: Box<dyn Append>,
    /// What appends which rule set is live, if anything does.
    pub rule_sets: Option<Box<dyn Append>>,
    /// When one may have been done.
    pub times: Times,
}

/// How far the time of an action may lie from the clock.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Behind it (`case.horizon`).
    pub horizon: riskflow_model::Duration,
    /// Ahead of it (`time.max_future`).
    pub max_future: riskflow_model::Duration,
}

/// A running server; it stops when dropped.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    control: Control,
    stop: watch::Sender<bool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Server {
    /// Starts a server on a thread of its own. Lists of capabilities that are off are not there. `way_in` is where actions go, if
    /// the settings have any; `explain` finds explanations, if any are served.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound, or certificate and key are of no use.
    pub fn start(
        settings: &HttpSettings,
        capabilities: &Capabilities,
        handles: Handles,
        way_in: Option<WayIn>,
        explain: Option<Explain>,
    ) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = listen(&runtime, settings.address).with_context(|| {
            format!(
                "could not listen on {} (`http.listen`): give another address there, or `http.enabled = false`",
                settings.address
            )
        })?;
        let address = listener.local_addr()?;
        let control = Control {
            listens: address,
            in_use: Arc::new(ArcSwap::from_pointee(InUse::of(settings, address)?)),
            places: Places::new(settings.max_connections),
        };
        let mut threads = Vec::new();
        let actions = match (&settings.actions, way_in) {
            (Some(_), Some(way_in)) => {
                let (writer, thread) = Writer::start(way_in.to)?;
                threads.push(thread);
                let rule_sets = way_in.rule_sets.map(Writer::start).transpose()?;
                let rule_sets = rule_sets.map(|(writer, thread)| {
                    threads.push(thread);
                    writer
                });
                let writers = (writer, rule_sets);
                Some(Actions::new(
                    Arc::clone(&control.in_use),
                    handles.clone(),
                    writers,
                    way_in.times,
                ))
            }
            _ => None,
        };
        let metrics = Arc::clone(&handles.metrics);
        let pages = Arc::new(Pages::new(Arc::clone(&handles.views), Arc::clone(&metrics)));
        let (stop, stopped) = watch::channel(false);
        let reader = Reader {
            listeners: Listeners::new(settings.max_connections, stopped.clone()),
            explanations: explain.map(|explain| Explanations::new(explain, Arc::clone(&handles.stop))),
            handles,
            in_use: Arc::clone(&control.in_use),
            capabilities: capabilities.clone(),
            pages: Arc::clone(&pages),
        };
        let router = router(&reader, actions, Arc::clone(&control.in_use));
        let goes_by = (Arc::clone(&control.in_use), Arc::clone(&control.places));
        let thread = std::thread::Builder::new().name("http".to_owned()).spawn(move || {
            runtime.block_on(async {
                let listener = match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => listener,
                    Err(error) => return tracing::error!(%error, "HTTP cannot be served"),
                };
                tokio::spawn(async move { pages.sweep().await });
                connections::serve(listener, goes_by, router, Bounds::usual(), (metrics, stopped)).await;
            });
        })?;
        // It holds the way to the writer: it must end first.
        threads.insert(0, thread);
        Ok(Self {
            address,
            control,
            stop,
            threads,
        })
    }

    /// A way to change it while it runs.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn listen(runtime: &Runtime, address: SocketAddr) -> std::io::Result<TcpListener> {
    let _inside = runtime.enter();
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    // Connections have what their listener has.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

/// The routes; without `actions` there is no way in.
fn router(reader: &Reader, actions: Option<Actions>, in_use: Swapped) -> Router {
    let views = views::routes(reader);
    let all = match actions {
        Some(actions) => actions::routes(actions, views),
        None => views
            .fallback(async |request: Request| nowhere(&request, StatusCode::NOT_FOUND))
            .method_not_allowed_fallback(async |request: Request| nowhere(&request, StatusCode::METHOD_NOT_ALLOWED)),
    };
    let passes = PassOn::new(reader.handles.clone(), Arc::clone(&in_use));
    all.layer(from_fn_with_state(passes, pass_on::pass_on))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            PATIENCE,
        ))
        .layer(from_fn_with_state(in_use, host::check))
}

/// A request for what there is not.
fn nowhere(request: &Request, status: StatusCode) -> Response {
    (status, Json(json!({ "error": no_such(request) }))).into_response()
}

fn no_such(request: &Request) -> String {
    let path = request.uri().path();
    let path = &path[..path.floor_char_boundary(100)];
    let off = if path.ends_with("/actions") || path.starts_with("/api/v1/checkpoints") {
        "; actions are taken where `http.actions.enabled` is on, and checkpoints asked for"
    } else {
        ""
    };
    format!(
        "there is no `{} {path}`{off}; `/` tells what there is",
        request.method()
    )
}
