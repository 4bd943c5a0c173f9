//! In a cluster process 0 has the tables. Every other process passes requests on to it, so that each answers all: a balancer may send a
//! reader to any of them.
//!
//! All is passed on but what a process says of itself (`/`, `/openapi.json`, `/metrics`, `/debug/dataflow`, `/healthz`, `/readyz`): lists,
//! rows, explanations, events as they come, and the way in. Headers go with a request, tokens too, but those of one connection, and
//! `Host`, which is checked where the request came first. With TLS process 0 must show one of the certificates in `http.tls.certificate`:
//! all processes have the same.
//!
//! | status | when |
//! |---|---|
//! | 503, `Retry-After` | process 0 was not met yet, cannot be reached, or does not begin to answer within 25 s |
//! | 508 | a request that was passed on came to another process without tables: it goes no further |

use std::time::Duration;

use anyhow::Result;
use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use riskflow_config::TlsSettings;
use serde_json::json;
use tokio::time::timeout;

use super::connections::Lasting;
use super::endpoints::Endpoint;
use super::in_use::Swapped;
use super::trust;
use super::views::{refused, unavailable};
use crate::runtime::cluster::Home;
use crate::runtime::job::Handles;
use crate::runtime::outcome::PassedOn;

/// How long a connection to process 0 may take to be made.
const CONNECT: Duration = Duration::from_secs(2);

/// How long process 0 may take to begin its answer: less than the patience of the server, so that it is said who was waited for.
const LIMIT: Duration = Duration::from_secs(25);

/// Connections that nothing is asked on are kept so long, which is less than process 0 keeps them, and so many of them.
const IDLE: Duration = Duration::from_secs(20);
const KEPT: usize = 8;

/// A request with this header was passed on once, and is not again.
const PASSED_ON: &str = "riskflow-passed-on";

/// Process 0 takes loopback names always; under which name a request came was checked before.
const HOST: &str = "localhost";

/// Headers that are of one connection, not of the request (RFC 9110, 7.6.1), and `Expect`, which the server answers by itself.
const OF_A_CONNECTION: [&str; 9] = [
    "connection",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The way to process 0.
#[derive(Clone)]
pub(super) struct Way(Client<HttpsConnector<HttpConnector>, Body>);

impl Way {
    /// With TLS it trusts the own certificates.
    ///
    /// # Errors
    ///
    /// When these cannot be read.
    pub fn new(tls: Option<&TlsSettings>) -> Result<Self> {
        let known = tls.map(|tls| trust::certificates(&tls.certificate)).transpose()?;
        let tls = trust::only(known.unwrap_or_default())?;
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let mut client = Client::builder(TokioExecutor::new());
        client.pool_timer(TokioTimer::new());
        client.pool_idle_timeout(IDLE).pool_max_idle_per_host(KEPT);
        Ok(Self(client.build(connector)))
    }
}

/// What requests are passed on by.
#[derive(Clone)]
pub(super) struct PassOn {
    handles: Handles,
    in_use: Swapped,
}

impl PassOn {
    pub fn new(handles: Handles, in_use: Swapped) -> Self {
        Self { handles, in_use }
    }

    async fn ask(&self, home: &Home, request: Request) -> Response {
        if request.headers().contains_key(PASSED_ON) {
            let error = "a process without tables passed this on to another without tables: `cluster.hosts` and `http.listen` of process 0 \
                         lead elsewhere than to process 0";
            return (StatusCode::LOOP_DETECTED, Json(json!({ "error": error }))).into_response();
        }
        let url = match home.url() {
            Ok(url) => url,
            Err(why) => return self.failed(&format!("{why}; try again")),
        };
        let Some(request) = rewritten(url, request) else {
            return refused("the path cannot be passed on".to_owned());
        };
        let way = self.in_use.load().way.clone();
        match timeout(LIMIT, way.0.request(request)).await {
            Ok(Ok(answer)) => {
                self.handles.metrics.http.passed_on(PassedOn::Answered);
                let (parts, body) = answer.into_parts();
                taken_over(Response::from_parts(parts, Body::new(body)))
            }
            Ok(Err(error)) => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    url,
                    "process 0 does not answer"
                );
                self.failed(&format!(
                    "process 0 of the cluster has the tables, and cannot be reached at {url}; try again"
                ))
            }
            Err(_) => self.failed(&format!(
                "process 0 of the cluster has the tables, and did not answer within {} s; try again",
                LIMIT.as_secs()
            )),
        }
    }

    fn failed(&self, error: &str) -> Response {
        self.handles.metrics.http.passed_on(PassedOn::Failed);
        unavailable(error.to_owned())
    }
}

/// Passes on what another process has to answer.
pub(super) async fn pass_on(State(passes): State<PassOn>, request: Request, next: Next) -> Response {
    match passes.handles.tables_elsewhere() {
        Some(home) if !is_of_the_process(request.uri().path()) => passes.ask(&home, request).await,
        _ => next.run(request).await,
    }
}

/// Whether each process answers for itself.
fn is_of_the_process(path: &str) -> bool {
    let own = |endpoint: &Endpoint| !endpoint.needs_tables() && !endpoint.needs_token();
    Endpoint::ALL
        .iter()
        .filter(|endpoint| own(endpoint))
        .any(|endpoint| endpoint.path() == path)
}

/// The same request, for process 0; `None` where its path is no path.
fn rewritten(url: &str, request: Request) -> Option<Request> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    parts.uri = format!("{url}{path}")
        .parse::<Uri>()
        .ok()
        .filter(|_| path.starts_with('/'))?;
    parts.version = Version::HTTP_11;
    without_connection(&mut parts.headers);
    parts.headers.insert(header::HOST, HeaderValue::from_static(HOST));
    parts.headers.insert(PASSED_ON, HeaderValue::from_static("1"));
    Some(Request::from_parts(parts, body))
}

/// The answer of process 0, as one of this process.
fn taken_over(mut answer: Response) -> Response {
    without_connection(answer.headers_mut());
    *answer.version_mut() = Version::HTTP_11;
    let kind = answer.headers().get(header::CONTENT_TYPE);
    if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
        answer.extensions_mut().insert(Lasting);
    }
    answer
}

fn without_connection(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in &named {
        headers.remove(name);
    }
    for name in OF_A_CONNECTION {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, headers: &[(&'static str, &'static str)]) -> Request {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = uri.parse().unwrap();
        for &(name, value) in headers {
            request.headers_mut().append(name, HeaderValue::from_static(value));
        }
        request
    }

    #[test]
    fn what_a_process_says_of_itself_is_not_passed_on() {
        for path in [
            "/",
            "/metrics",
            "/healthz",
            "/readyz",
            "/openapi.json",
            "/debug/dataflow",
        ] {
            assert!(is_of_the_process(path), "{path}");
        }
        for path in [
            "/api/v1/warnings",
            "/api/v1/events",
            "/api/v1/warnings/a/actions",
            "/api/v1/checkpoints",
            "/api/v1/checkpoints/1",
            "/nowhere",
            "",
        ] {
            assert!(!is_of_the_process(path), "{path}");
        }
    }

    #[test]
    fn a_request_keeps_all_but_what_is_of_its_connection() {
        let came = request(
            "http://risk.example/api/v1/warnings?within=33&least=red",
            &[
                ("authorization", "Bearer secret"),
                ("host", "risk.example"),
                ("connection", "close, x-mine"),
                ("x-mine", "1"),
                ("keep-alive", "timeout=5"),
                ("transfer-encoding", "chunked"),
                ("last-event-id", "7"),
            ],
        );
        let sent = rewritten("http://10.0.0.1:9464", came).unwrap();
        assert_eq!(sent.uri(), "http://10.0.0.1:9464/api/v1/warnings?within=33&least=red");
        let mut headers: Vec<(&str, &[u8])> = Vec::new();
        headers.extend(
            sent.headers()
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_bytes())),
        );
        headers.sort_unstable();
        let expected: [(&str, &[u8]); 4] = [
            ("authorization", b"Bearer secret"),
            ("host", b"localhost"),
            ("last-event-id", b"7"),
            ("riskflow-passed-on", b"1"),
        ];
        assert_eq!(headers, expected);
        assert!(rewritten("http://10.0.0.1:9464", request("*", &[])).is_none());
    }

    #[test]
    fn events_last_and_other_answers_do_not() {
        for (kind, lasts) in [("text/event-stream", true), ("application/json", false)] {
            let mut answer = Response::new(Body::empty());
            answer
                .headers_mut()
                .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            let answer = taken_over(answer);
            assert_eq!(answer.extensions().get::<Lasting>().is_some(), lasts, "{kind}");
        }
    }
}
