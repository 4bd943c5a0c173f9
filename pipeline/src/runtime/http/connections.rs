//! Connections: how many there may be, for how long, and what ends them. None of them can hold up the job, and no client can
//! keep others out by doing nothing.
//!
//! | what a client does | ends after |
//! |---|---|
//! | no TLS handshake, or half of one | 10 s |
//! | no request, half of its headers, or nothing after an answer | 30 s |
//! | reads nothing of an answer | 15 s |
//! | reads so slowly that the answer does not end | 2 min, but for what [lasts](Lasting) |
//! | waits before or between requests while another wants in and all places are taken | at once, the longest idle first |
//! | takes an answer for longer than 5 s while another wants in, all places are taken and nobody idles | at once, the longest first |
//!
//! So whoever reads nothing, or a little now and then, on every place that there is keeps others out for some seconds, not for minutes.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt as _;

use super::in_use::Swapped;
use super::places::{Place, Places};
use crate::runtime::metrics::Metrics;
use crate::runtime::outcome::Ended;

/// How long a connection may take for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    handshake: Duration,
    headers: Duration,
    stall: Duration,
    answer: Duration,
    /// Its answer may be under way for so long where others want in.
    crowded: Duration,
}

impl Bounds {
    pub const fn usual() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            headers: Duration::from_secs(30),
            stall: Duration::from_secs(15),
            answer: Duration::from_secs(120),
            crowded: Duration::from_secs(5),
        }
    }
}

/// The most that the headers of a request may take, in bytes.
const LARGEST_HEADERS: usize = 64 << 10;

/// What hyper buffers of a request or an answer, for each connection.
const BUFFER: usize = 128 << 10;

/// How long answers under way may take when the server stops.
const LEAVE: Duration = Duration::from_secs(5);

/// After an error of `accept` (no files left), and between two looks for a place.
const BREATH: Duration = Duration::from_millis(20);

/// What a connection is at.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// It was opened then, and no request came yet.
    New(Instant),
    /// No request is under way, since then.
    Idle(Instant),
    /// A request came then, and its answer has not begun.
    Busy(Instant),
    /// Its answer has, and is not at its end.
    Answering {
        /// When the request came.
        asked: Instant,
        /// When the answer began.
        begun: Instant,
    },
    /// Its answer has no end.
    Lasting,
    /// It must make room.
    Shed,
}

/// Goes with an answer that has no end, and comes as its client reads it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lasting;

/// What the connections share.
struct Shared {
    router: Router,
    in_use: Swapped,
    bounds: Bounds,
    metrics: Arc<Metrics>,
    stop: watch::Receiver<bool>,
    places: Arc<Places>,
    open: Mutex<BTreeMap<u64, Arc<watch::Sender<Phase>>>>,
}

/// Serves until `stop` comes, then as long as answers under way take, but not longer than [`LEAVE`].
pub(super) async fn serve(
    listener: TcpListener,
    (in_use, places): (Swapped, Arc<Places>),
    router: Router,
    bounds: Bounds,
    (metrics, mut stop): (Arc<Metrics>, watch::Receiver<bool>),
) {
    let shared = Arc::new(Shared {
        router,
        in_use,
        bounds,
        metrics,
        stop: stop.clone(),
        places,
        open: Mutex::default(),
    });
    let leaving = GracefulShutdown::new();
    for number in 0.. {
        let next = async {
            let stream = accept(&listener).await;
            (stream, shared.place().await)
        };
        let (stream, place) = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            next = next => next,
        };
        let connection = Connection::new(&shared, number, place);
        tokio::spawn(connection.serve(stream, leaving.watcher()));
    }
    drop(listener);
    let _ = timeout(LEAVE, leaving.shutdown()).await;
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(BREATH).await;
            }
        }
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<watch::Sender<Phase>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more connection; where there is none, that of the one that has been idle longest.
    async fn place(&self) -> Place {
        if let Some(place) = self.places.try_take() {
            return place;
        }
        loop {
            self.shed();
            if let Ok(place) = timeout(BREATH, self.places.take()).await {
                return place;
            }
        }
    }

    /// Ends the connection that has been idle longest. Where none is, those whose answers last make room, the oldest first, down to half
    /// of the places: there may have been more places when they came. Where there are no more of these, the one that has taken its answer
    /// for longest, if that is too long. Whoever waits for this side is left alone.
    fn shed(&self) {
        let open = self.open();
        let idle = open.values().filter_map(|phase| match *phase.borrow() {
            Phase::New(since) | Phase::Idle(since) => Some((since, phase)),
            Phase::Busy(_) | Phase::Answering { .. } | Phase::Lasting | Phase::Shed => None,
        });
        if let Some((_, longest)) = idle.min_by_key(|(since, _)| *since) {
            longest.send_replace(Phase::Shed);
            return;
        }
        let lasting = open.values().filter(|phase| matches!(*phase.borrow(), Phase::Lasting));
        let lasting: Vec<_> = lasting.collect();
        let most = (self.places.count() / 2).max(1);
        let too_many = &lasting[..lasting.len().saturating_sub(most)];
        for phase in too_many {
            phase.send_replace(Phase::Shed);
        }
        if !too_many.is_empty() {
            return;
        }
        let slow = open.values().filter_map(|phase| match *phase.borrow() {
            Phase::Answering { begun, .. } if begun.elapsed() >= self.bounds.crowded => Some((begun, phase)),
            _ => None,
        });
        if let Some((_, longest)) = slow.min_by_key(|(begun, _)| *begun) {
            longest.send_replace(Phase::Shed);
        }
    }
}

/// One connection; it gives its place back when dropped.
struct Connection {
    shared: Arc<Shared>,
    number: u64,
    phase: Arc<watch::Sender<Phase>>,
    _place: Place,
}

impl Connection {
    fn new(shared: &Arc<Shared>, number: u64, place: Place) -> Self {
        let phase = Arc::new(watch::Sender::new(Phase::New(Instant::now())));
        let mut open = shared.open();
        open.insert(number, Arc::clone(&phase));
        shared.metrics.http.connections(open.len());
        drop(open);
        Self {
            shared: Arc::clone(shared),
            number,
            phase,
            _place: place,
        }
    }

    /// Until client or server end it.
    async fn serve(self, stream: TcpStream, leaving: Watcher) {
        // An answer is written in one go, or waits for its reader.
        let _ = stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.shared.bounds.stall));
        let stream = Box::pin(stream);
        let served = async {
            let tls = self.shared.in_use.load().tls.clone();
            match tls {
                None => self.http(TokioIo::new(stream), leaving).await,
                Some(tls) => match timeout(self.shared.bounds.handshake, tls.accept(stream)).await {
                    Ok(Ok(stream)) => self.http(TokioIo::new(stream), leaving).await,
                    // No TLS, or of another kind: the client hears of it by TLS's own means.
                    Ok(Err(_)) => None,
                    Err(_) => Some(Ended::Handshake),
                },
            }
        };
        let mut stop = self.shared.stop.clone();
        // Whoever never said what it wants is not waited for; hyper lets go of the others.
        let unborn = async {
            let _ = stop.wait_for(|stop| *stop).await;
            let new = matches!(*self.phase.borrow(), Phase::New(_));
            if !new {
                std::future::pending().await
            }
        };
        let ended = tokio::select! {
            ended = served => ended,
            ended = self.overdue() => Some(ended),
            () = unborn => None,
        };
        if let Some(ended) = ended {
            self.shared.metrics.http.ended(ended);
        }
    }

    /// Requests and answers, one after the other; `None` where the client ended it.
    async fn http(&self, stream: impl Read + Write + Unpin + 'static, leaving: Watcher) -> Option<Ended> {
        let service = service_fn(|request| self.answer(request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.shared.bounds.headers)
            .max_header_size(LARGEST_HEADERS)
            .max_buf_size(BUFFER)
            .serve_connection(stream, service);
        let error = leaving.watch(connection).await.err()?;
        if error.is_timeout() {
            return Some(Ended::Idle);
        }
        let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
        let stalled = cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::TimedOut);
        stalled.then_some(Ended::Stalled)
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let busy = Busy::new(&self.phase);
        let router = self.shared.router.clone();
        let Ok(answer) = router.oneshot(request.map(Body::new)).await;
        self.shared.metrics.http.answered(answer.status().as_u16());
        let phase = match answer.extensions().get::<Lasting>() {
            Some(Lasting) => Phase::Lasting,
            None => busy.answering(),
        };
        self.phase.send_replace(phase);
        // It is under way for as long as its body is.
        Ok(answer.map(|body| {
            Body::new(body.map_frame(move |frame| {
                let _ = &busy;
                frame
            }))
        }))
    }

    /// Comes when it must end although the client goes on.
    async fn overdue(&self) -> Ended {
        let mut phase = self.phase.subscribe();
        loop {
            let now = *phase.borrow_and_update();
            match now {
                Phase::Shed => return Ended::Shed,
                Phase::New(_) | Phase::Idle(_) | Phase::Lasting => drop(phase.changed().await),
                Phase::Busy(asked) | Phase::Answering { asked, .. } => tokio::select! {
                    _ = phase.changed() => {}
                    () = sleep_until(asked + self.shared.bounds.answer) => return Ended::Slow,
                },
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut open = self.shared.open();
        open.remove(&self.number);
        self.shared.metrics.http.connections(open.len());
    }
}

/// A request under way, up to the end of its answer.
struct Busy {
    phase: Arc<watch::Sender<Phase>>,
    asked: Instant,
}

impl Busy {
    fn new(phase: &Arc<watch::Sender<Phase>>) -> Self {
        let asked = Instant::now();
        phase.send_replace(Phase::Busy(asked));
        Self {
            phase: Arc::clone(phase),
            asked,
        }
    }

    /// Its answer begins.
    fn answering(&self) -> Phase {
        Phase::Answering {
            asked: self.asked,
            begun: Instant::now(),
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.phase.send_replace(Phase::Idle(Instant::now()));
    }
}

#[cfg(test)]
mod tests;
