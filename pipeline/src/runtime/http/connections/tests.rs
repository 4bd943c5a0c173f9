use std::future::pending;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use axum::body::{Bytes, HttpBody};
use axum::routing::{get, post};
use hyper::body::Frame;
use riskflow_config::HttpSettings;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::super::in_use::InUse;
use super::*;

const SHORT: Duration = Duration::from_millis(100);

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(300);

const BOUNDS: Bounds = Bounds {
    handshake: LONG,
    headers: LONG,
    stall: LONG,
    answer: LONG,
    crowded: LONG,
};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A body of which nothing ever comes.
struct Nothing;

impl HttpBody for Nothing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

async fn lasting() -> Response<Body> {
    let mut answer = Response::new(Body::new(Nothing));
    answer.extensions_mut().insert(Lasting);
    answer
}

struct Running {
    address: SocketAddr,
    metrics: Arc<Metrics>,
    places: Arc<Places>,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
}

impl Running {
    async fn start(bounds: Bounds, tls: Option<TlsAcceptor>) -> Self {
        let router = Router::new()
            .route("/", get(|| async { "ok" }))
            .route("/large", get(|| async { "x".repeat(64 << 20) }))
            .route("/never", get(pending::<&'static str>))
            .route("/lasting", get(lasting))
            .route(
                "/body",
                post(|body: axum::body::Bytes| async move { body.len().to_string() }),
            );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let metrics = Arc::new(Metrics::new().unwrap());
        let (stop, stopped) = watch::channel(false);
        let in_use = InUse {
            tls,
            ..InUse::of(&HttpSettings::at(address), address).unwrap()
        };
        let places = Places::new(4);
        let goes_by = (Arc::new(ArcSwap::from_pointee(in_use)), Arc::clone(&places));
        let server = tokio::spawn(serve(
            listener,
            goes_by,
            router,
            bounds,
            (Arc::clone(&metrics), stopped),
        ));
        Self {
            address,
            metrics,
            places,
            stop,
            server,
        }
    }

    async fn connect(&self, said: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(said).await.unwrap();
        stream
    }

    /// Connects, and reads one small answer.
    async fn asked(&self) -> TcpStream {
        let mut stream = self.connect(GET).await;
        let mut answer = [0; 1_024];
        let read = stream.read(&mut answer).await.unwrap();
        assert!(String::from_utf8_lossy(&answer[..read]).ends_with("ok"));
        stream
    }

    fn metric(&self, name: &str) -> u64 {
        let text = self.metrics.render(&crate::runtime::graph::Meters::default());
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
    }

    fn ended(&self, why: Ended) -> u64 {
        self.metric(&format!(
            "riskflow_http_connections_ended_total{{reason=\"{}\"}}",
            why.name()
        ))
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        self.server.await.unwrap();
    }
}

/// Whether the other side ended it, whatever it said before.
async fn is_over(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    // An error is an end, too.
    let _ = stream.read_to_end(&mut rest).await;
}

#[tokio::test]
async fn idle_and_half_said_connections_end() {
    let running = Running::start(
        Bounds {
            headers: SHORT,
            ..BOUNDS
        },
        None,
    )
    .await;
    let mut silent = running.connect(b"").await;
    let mut half = running.connect(b"GET / HTTP/1.1\r\nX-a: ").await;
    let mut kept = running.asked().await;
    let mut again = running.asked().await;
    again.write_all(b"GET / HTTP/1.1\r\nX-a").await.unwrap();
    for stream in [&mut silent, &mut half, &mut kept, &mut again] {
        is_over(stream).await;
    }
    assert_eq!(running.ended(Ended::Idle), 4);
    running.stop().await;
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_dropped_and_so_is_one_that_never_ends() {
    let running = Running::start(Bounds { stall: SHORT, ..BOUNDS }, None).await;
    let mut stalled = running.connect(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    while running.ended(Ended::Stalled) == 0 {
        tokio::task::yield_now().await;
    }
    is_over(&mut stalled).await;
    running.stop().await;

    let running = Running::start(
        Bounds {
            answer: SHORT,
            ..BOUNDS
        },
        None,
    )
    .await;
    let mut slow = running.connect(b"GET /never HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    is_over(&mut slow).await;
    let mut half = running
        .connect(b"POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc")
        .await;
    is_over(&mut half).await;
    assert_eq!(running.ended(Ended::Slow), 2);
    running.stop().await;
}

#[tokio::test]
async fn an_answer_that_lasts_is_not_cut_off_for_its_length_and_makes_no_room() {
    let bounds = Bounds {
        answer: SHORT,
        ..BOUNDS
    };
    let running = Running::start(bounds, None).await;
    let mut lasting = running
        .connect(b"GET /lasting HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    let mut head = [0; 1_024];
    assert!(lasting.read(&mut head).await.unwrap() > 0);
    // One that came later is over.
    let mut slow = running.connect(b"GET /never HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    is_over(&mut slow).await;
    while running.metric("riskflow_http_connections") > 1 {
        tokio::task::yield_now().await;
    }
    let mut idle = Vec::new();
    for _ in 0..10 {
        idle.push(running.asked().await);
    }
    let open = lasting.try_read(&mut head).unwrap_err();
    assert_eq!(open.kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(running.ended(Ended::Slow), 1);
    drop(lasting);
    running.stop().await;
}

#[tokio::test]
async fn whoever_takes_its_answer_slowly_makes_room_where_others_want_in_and_whoever_waits_does_not() {
    let bounds = Bounds {
        crowded: SHORT,
        ..BOUNDS
    };
    let running = Running::start(bounds, None).await;
    let waiting = running.connect(b"GET /never HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let mut slow = Vec::new();
    for _ in 0..3 {
        let mut stream = running.connect(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        // Its answer has begun, and goes nowhere.
        stream.read_exact(&mut [0; 8]).await.unwrap();
        slow.push(stream);
    }
    assert_eq!(running.ended(Ended::Shed), 0);
    let asked = running.asked().await;
    assert!((1..=3).contains(&running.ended(Ended::Shed)));
    is_over(&mut slow[0]).await;
    let open = waiting.try_read(&mut [0; 8]).unwrap_err();
    assert_eq!(open.kind(), std::io::ErrorKind::WouldBlock);
    drop((asked, slow, waiting));
    running.stop().await;
}

#[tokio::test]
async fn with_fewer_places_what_lasts_makes_room_down_to_half_of_them() {
    let running = Running::start(BOUNDS, None).await;
    let mut listening = Vec::new();
    for _ in 0..4 {
        let mut lasting = running
            .connect(b"GET /lasting HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await;
        let mut head = [0; 1_024];
        assert!(lasting.read(&mut head).await.unwrap() > 0);
        listening.push(lasting);
    }
    running.places.resize(2);
    // It is answered, whoever listens.
    let asked = running.asked().await;
    for gone in &mut listening[..3] {
        is_over(gone).await;
    }
    let open = listening[3].try_read(&mut [0; 8]).unwrap_err();
    assert_eq!(open.kind(), std::io::ErrorKind::WouldBlock);
    drop((listening, asked));
    running.stop().await;
}

#[tokio::test]
async fn no_tls_handshake_ends_and_so_does_what_is_no_tls() {
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::server::ResolvesServerCertUsingSni::new()));
    let tls: TlsAcceptor = Arc::new(config).into();
    let running = Running::start(
        Bounds {
            handshake: SHORT,
            ..BOUNDS
        },
        Some(tls),
    )
    .await;
    let mut silent = running.connect(b"").await;
    let mut plain = running.connect(GET).await;
    is_over(&mut silent).await;
    is_over(&mut plain).await;
    assert_eq!(running.ended(Ended::Handshake), 1);
    running.stop().await;
}

#[tokio::test]
async fn whoever_idles_makes_room_and_whoever_is_served_does_not() {
    let running = Running::start(BOUNDS, None).await;
    let _served = running.connect(b"GET /never HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let mut idle = Vec::new();
    for _ in 0..50 {
        idle.push(running.asked().await);
        assert!(running.metric("riskflow_http_connections") <= 4);
    }
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(running.connect(b"").await);
    }
    running.asked().await;
    assert!(running.ended(Ended::Shed) >= 47 + 48, "{}", running.ended(Ended::Shed));
    assert_eq!(running.ended(Ended::Slow), 0);
    // The first to go was the one that had idled longest.
    is_over(&mut idle[0]).await;
    running.stop().await;
}

#[tokio::test]
async fn with_fewer_places_whoever_idles_makes_room_until_they_are_kept() {
    let running = Running::start(BOUNDS, None).await;
    let mut idle = Vec::new();
    for _ in 0..4 {
        idle.push(running.asked().await);
    }
    running.places.resize(2);
    assert_eq!(running.metric("riskflow_http_connections"), 4);
    let _last = running.asked().await;
    assert!(running.metric("riskflow_http_connections") <= 2);
    is_over(&mut idle[0]).await;
    running.places.resize(4);
    let _more = [running.asked().await, running.asked().await];
    assert!(running.metric("riskflow_http_connections") > 2);
    running.stop().await;
}

#[tokio::test]
async fn a_server_that_stops_ends_what_idles_at_once() {
    let running = Running::start(BOUNDS, None).await;
    let mut kept = running.asked().await;
    let mut silent = running.connect(b"GET / HT").await;
    let began = Instant::now();
    running.stop().await;
    assert!(began.elapsed() < LEAVE);
    is_over(&mut kept).await;
    is_over(&mut silent).await;
}
