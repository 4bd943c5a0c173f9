//! What the bridge says of itself: metrics, and how it is. Nothing of what it tells others.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::extract::State as Extracted;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tower_http::timeout::TimeoutLayer;

use super::Metrics;
use crate::runtime::state::State;

/// So long an answer may take: all of it is at hand.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone)]
struct Shown {
    metrics: Arc<Metrics>,
    stopping: Arc<AtomicBool>,
}

/// A server on a thread of its own, which ends with the process.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Serves `/metrics`, `/healthz` and `/readyz`, which says the same as that of a job: `riskflow health` reads it.
    ///
    /// # Errors
    ///
    /// When it cannot listen there.
    pub fn start(address: SocketAddr, metrics: Arc<Metrics>, stopping: Arc<AtomicBool>) -> Result<Self> {
        let listener = std::net::TcpListener::bind(address)
            .with_context(|| format!("could not listen on `bridge.listen` = {address}"))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let timeout = TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, PATIENCE);
        let router = Router::new()
            .route("/metrics", get(told))
            .route("/healthz", get("ok\n"))
            .route("/readyz", get(ready))
            .layer(timeout)
            .with_state(Shown { metrics, stopping });
        let work = move || {
            runtime.block_on(async {
                let served = match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => axum::serve(listener, router).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = served {
                    tracing::error!(%error, "the bridge does not serve metrics any more");
                }
            });
        };
        let thread = std::thread::Builder::new().name("http".to_owned()).spawn(work);
        thread.context("there is no thread for HTTP")?;
        Ok(Self { address })
    }
}

async fn told(Extracted(shown): Extracted<Shown>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], shown.metrics.render()).into_response()
}

async fn ready(Extracted(shown): Extracted<Shown>) -> Response {
    let state = if shown.stopping.load(Ordering::Acquire) {
        State::Stopping
    } else if shown.metrics.is_live() {
        State::Live
    } else {
        State::Starting
    };
    let is_live = state == State::Live;
    let status = if is_live {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    // A receiver that is down makes no bridge unready: to start it anew would change nothing.
    let answer = json!({ "state": state.name(), "live": is_live, "reason": shown.metrics.troubles() });
    (status, Json(answer)).into_response()
}
