//! HTTP for machines and people who look: metrics, health, read-only JSON of the output tables; and the way in for actions.
//!
//! | path | gives |
//! |---|---|
//! | `/metrics` | Prometheus text |
//! | `/healthz` | 200 while the process is alive |
//! | `/readyz` | 200 once history is worked off, 503 before |
//! | `/api/v1/regions?tier=&domain=&within=` | region risks |
//! | `/api/v1/regions/{code}` | one region, every domain |
//! | `/api/v1/assets?within=&domain=&category=&least=` | asset risks |
//! | `/api/v1/assets/{id}` | one asset |
//! | `/api/v1/warnings?within=&domain=&rule=&least=` | open warnings |
//! | `/api/v1/warnings/{id}` | one open warning with its last delta, which says why |
//! | `/api/v1/cases?within=&domain=&rule=&step=&least=` | cases: the closed loop of warnings and incidents |
//! | `/api/v1/cases/{id}` | one case |
//! | `/api/v1/responses?within=&tier=&domain=` | how fast cases are acknowledged and resolved, by region and domain, and by unit |
//! | `/api/v1/reports?within=&tier=&module=` | totals of reports |
//! | `POST /api/v1/warnings/{id}/actions` | 202 once an action is durable on `in.action`; see [`actions`] |
//!
//! Lists are `{"epoch", "total", "items"}`, at most `limit` items (100 by default, 10,000 at most) from `offset`, all of one
//! epoch. Reading needs no authentication: it listens on loopback unless configured otherwise. With `[http.tls]` it is
//! HTTPS only.

pub mod actions;

mod authority;
mod outcome;
mod tls;
mod views;
mod writer;

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use riskflow_config::HttpSettings;
use riskflow_connectors::Append;

use crate::job::Handles;
use actions::Actions;
use writer::Writer;

pub use outcome::Outcome;

/// A connection whose first request does not come within this time is closed.
const FIRST_REQUEST: Duration = Duration::from_secs(30);

/// How long requests under way may take when the server stops.
const LEAVE: Duration = Duration::from_secs(5);

/// A running server; it stops when dropped.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    handle: Handle<SocketAddr>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Server {
    /// Starts a server on a thread of its own. `way_in` is where actions go, if the settings have any.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound, or certificate and key are of no use.
    pub fn start(settings: &HttpSettings, handles: Handles, way_in: Option<Box<dyn Append>>) -> Result<Self> {
        let tls = settings.tls.as_ref().map(tls::load).transpose()?;
        let address = settings.address;
        let listener = TcpListener::bind(address).with_context(|| format!("could not listen on {address}"))?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut threads = Vec::new();
        let actions = match (&settings.actions, way_in) {
            (Some(settings), Some(way_in)) => {
                let (writer, thread) = Writer::start(way_in)?;
                threads.push(thread);
                Some(Actions::new(settings, handles.clone(), writer))
            }
            _ => None,
        };
        let router = router(handles, actions);
        let handle = Handle::new();
        let stop = handle.clone();
        let thread = std::thread::Builder::new().name("http".to_owned()).spawn(move || {
            if let Err(error) = runtime.block_on(serve(listener, tls, stop, router)) {
                tracing::error!(%error, "http server ended");
            }
        })?;
        // It holds the way to the writer: it must end first.
        threads.insert(0, thread);
        Ok(Self {
            address,
            handle,
            threads,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.handle.graceful_shutdown(Some(LEAVE));
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

async fn serve(
    listener: TcpListener,
    tls: Option<RustlsConfig>,
    handle: Handle<SocketAddr>,
    router: Router,
) -> std::io::Result<()> {
    let service = router.into_make_service();
    match tls {
        Some(tls) => {
            let server = axum_server::from_tcp_rustls(listener, tls)?.handle(handle);
            let server = server.http1_only().first_request_timeout(FIRST_REQUEST);
            server.serve(service).await
        }
        None => {
            let server = axum_server::from_tcp(listener)?.handle(handle);
            let server = server.http1_only().first_request_timeout(FIRST_REQUEST);
            server.serve(service).await
        }
    }
}

/// The routes; without `actions` there is no way in.
fn router(handles: Handles, actions: Option<Actions>) -> Router {
    let views = views::routes().with_state(handles);
    match actions {
        Some(actions) => actions::routes(actions, views),
        None => views,
    }
}
