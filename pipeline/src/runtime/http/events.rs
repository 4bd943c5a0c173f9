//! `GET /api/v1/events`: changes of warnings as they are committed, as server-sent events.
//!
//! An event is a record of `out.warning.delta`: `event` is its kind, `data` its JSON. The last event of an epoch has the epoch as its `id`.
//! Who comes back with it in `Last-Event-ID` (browsers do by themselves), or with `after`, gets what came since; without either, what comes
//! from now on. Where that is not kept any more, or the job began anew since, there is one event `resync`: read the list of open warnings
//! again, and pass over events up to its `epoch`. In quiet there is an `id` without an event every 10 s.
//!
//! `within`, `domain` and `rule` narrow as in the list of warnings; `least` goes by the higher of the levels before and after. Where nothing
//! lies within `within` now, a comment at the beginning says so: it may be misspelt, or come later.
//!
//! Where reading needs a token (`access`) a listener is told of its region only, and no more once the token is not known any more.
//!
//! Nobody who listens holds up anything: a listener takes the next piece when it has read the one before, and who is too slow gets
//! `resync`. There are at most half as many listeners as connections, and 256; more get 503. A listener that reads nothing is cut off as
//! any other connection.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, HttpBody};
use axum::extract::{Query as Given, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use hyper::body::Frame;
use riskflow_model::output::{RegionRisk, WarningDelta, WarningState};
use riskflow_model::topic::Topic;
use riskflow_model::{Facets, Millis, RegionCode};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::sleep;

use super::access::Pass;
use super::connections::Lasting;
use super::in_use::Swapped;
use super::lists::{LISTS, Query};
use super::views::{Pairs, Reader, refused, unavailable};
use crate::runtime::feed::{Change, News, Next};
use crate::runtime::views::{Tables, Views};

/// How many may listen, whatever the number of connections.
const MOST: usize = 256;

/// A piece is sent when it has so many bytes.
const PIECE: usize = 64 << 10;

/// How often something is sent in quiet, so that a connection that is gone is found.
const BEAT: Duration = Duration::from_secs(10);

/// How long browsers wait before they come back, in milliseconds.
const COME_BACK: u32 = 3_000;

/// Who may listen.
#[derive(Clone)]
pub(super) struct Listeners {
    places: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

impl Listeners {
    /// Beside so many connections, until `stop`.
    pub fn new(connections: usize, stop: watch::Receiver<bool>) -> Self {
        Self {
            places: Arc::new(Semaphore::new((connections / 2).clamp(1, MOST))),
            stop,
        }
    }
}

/// Answers for as long as the listener stays.
pub(super) async fn events(
    State(reader): State<Reader>,
    Extension(pass): Extension<Pass>,
    headers: HeaderMap,
    given: Pairs,
) -> Response {
    let asked = given
        .map_err(|error| error.body_text())
        .and_then(|Given(given)| asked(&headers, given));
    let (after, query) = match asked {
        Ok(asked) => asked,
        Err(error) => return refused(error),
    };
    let Ok(place) = Arc::clone(&reader.listeners.places).try_acquire_owned() else {
        return unavailable("too many listen already; try again, or read the list now and then".to_owned());
    };
    let views = Arc::clone(&reader.handles.views);
    let nowhere = nowhere(&views.load(), &pass, &query);
    let at = after.unwrap_or_else(|| views.feed.last());
    let listener = Listener {
        views,
        query: Query {
            seen: pass.region,
            ..query
        },
        pass,
        in_use: reader.in_use,
        at,
        stop: reader.listeners.stop.clone(),
        _place: place,
    };
    let (to, from) = mpsc::channel(1);
    tokio::spawn(listener.listen(nowhere, to));
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    let mut answer = (headers, Body::new(Said(from))).into_response();
    answer.extensions_mut().insert(Lasting);
    answer
}

/// A comment, where nothing that is seen lies within the region that is asked for: it would look as if all were calm.
fn nowhere(tables: &Tables, pass: &Pass, query: &Query) -> String {
    let lies = |within: RegionCode| {
        let warned = tables.table::<WarningState>().map(|(_, row)| row.region);
        let mut regions = tables.table::<RegionRisk>().map(|(_, row)| row.region).chain(warned);
        regions.any(|region| tables.within(region, within) && pass.sees(tables, Some(region)))
    };
    let unknown = query.within.filter(|within| !lies(*within));
    unknown.map_or_else(String::new, |within| {
        format!(": none of the regions lies within `{within}` now; `/api/v1/regions` shows all\n")
    })
}

/// From which epoch on, and which changes.
fn asked(headers: &HeaderMap, given: Vec<(String, String)>) -> Result<(Option<Millis>, Query), String> {
    let (after, filters): (Vec<_>, Vec<_>) = given.into_iter().partition(|(name, _)| name == "after");
    if let Some((name, _)) = filters.iter().find(|(name, _)| name == "limit" || name == "offset") {
        return Err(format!("`{name}` is given, which events do not have; leave it out"));
    }
    let list = LISTS.iter().find(|list| list.topic == Topic::WARNING_STATE);
    let query = Query::parse(list.expect("the table says how it is listed"), &filters)?;
    let epoch = |name: &str, text: &str| {
        let parsed = text.trim().parse::<Millis>();
        parsed.map_err(|_| format!("`{name}` is no epoch; give the `epoch` of a list, or the `id` of an event"))
    };
    // A browser that comes back sends the same address again: what it has heard since counts.
    if let Some(last) = headers.get("last-event-id").filter(|last| !last.is_empty()) {
        let last = epoch("Last-Event-ID", &String::from_utf8_lossy(last.as_bytes()))?;
        return Ok((Some(last), query));
    }
    match &*after {
        [] => Ok((None, query)),
        [(name, value)] => Ok((Some(epoch(name, value)?), query)),
        _ => Err("`after` is given twice".to_owned()),
    }
}

/// One who listens.
struct Listener {
    views: Arc<Views>,
    query: Query,
    pass: Pass,
    /// Who may listen, as it stands now.
    in_use: Swapped,
    /// Up to this epoch it has heard all.
    at: Millis,
    stop: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
}

impl Listener {
    /// Until it goes away, or the server stops.
    async fn listen(mut self, comment: String, to: mpsc::Sender<Bytes>) {
        let mut bell = self.views.feed.subscribe();
        let mut stop = self.stop.clone();
        let mut piece = format!("retry: {COME_BACK}\n{comment}id: {}\n\n", self.at);
        loop {
            if to.send(Bytes::from(piece)).await.is_err() || !self.catch_up(&mut bell, &to).await {
                return;
            }
            let goes_on = tokio::select! {
                biased;
                () = async { drop(stop.wait_for(|stop| *stop).await) } => false,
                () = to.closed() => false,
                changed = bell.changed() => changed.is_ok(),
                () = sleep(BEAT) => true,
            };
            if !goes_on {
                return;
            }
            piece = format!("id: {}\n\n", self.at);
        }
    }

    /// Tells all that there is; whether anybody listens still.
    async fn catch_up(&mut self, bell: &mut watch::Receiver<()>, to: &mpsc::Sender<Bytes>) -> bool {
        // What comes from here on rings again.
        drop(bell.borrow_and_update());
        loop {
            if !self.in_use.load().admits(&self.pass) {
                return false;
            }
            match self.views.feed.after(self.at) {
                Next::News(news) => {
                    if !self.tell(&news, to).await {
                        return false;
                    }
                    self.at = news.epoch;
                }
                Next::Lost(last) => {
                    self.at = last;
                    let said = format!("id: {last}\nevent: resync\ndata: {}\n\n", json!({ "epoch": last }));
                    if to.send(Bytes::from(said)).await.is_err() {
                        return false;
                    }
                }
                Next::Nothing(last) => {
                    self.at = last;
                    return true;
                }
            }
        }
    }

    /// Tells of an epoch, in pieces. Only its last event has the `id`: who goes away before it gets the epoch again.
    async fn tell(&self, news: &News, to: &mpsc::Sender<Bytes>) -> bool {
        let shown = self.shown(news);
        let mut piece = Vec::new();
        for (index, change) in shown.iter().enumerate() {
            let is_last = index + 1 == shown.len();
            if is_last {
                piece.extend_from_slice(format!("id: {}\n", news.epoch).as_bytes());
            }
            piece.extend_from_slice(format!("event: {}\ndata: ", delta(change).kind.name()).as_bytes());
            piece.extend_from_slice(&change.json(news.epoch));
            piece.extend_from_slice(b"\n\n");
            if is_last || piece.len() >= PIECE {
                let full = std::mem::take(&mut piece);
                if to.send(Bytes::from(full)).await.is_err() {
                    return false;
                }
            }
        }
        true
    }

    /// What was asked for.
    fn shown<'a>(&self, news: &'a News) -> Vec<&'a Change> {
        let tables = self.views.load();
        let changes = news.changes.iter();
        changes.filter(|change| self.fits(&tables, change)).collect()
    }

    fn fits(&self, tables: &Tables, change: &Change) -> bool {
        let delta = delta(change);
        let facets = Facets {
            region: delta.explanation.region,
            domain: change.domain,
            rule: Some(&delta.rule),
            level: Some(delta.from.max(delta.to)),
            ..Facets::default()
        };
        self.query.fits(tables, facets)
    }
}

fn delta(change: &Change) -> &WarningDelta {
    let delta = change.delta.downcast_ref();
    delta.expect("only deltas of warnings are told")
}

/// What is said to a listener, piece by piece.
struct Said(mpsc::Receiver<Bytes>);

impl HttpBody for Said {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let piece = self.0.poll_recv(context);
        piece.map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn ask(last: Option<&str>, given: &[(&str, &str)]) -> Result<(Option<Millis>, Query), String> {
        let mut headers = HeaderMap::new();
        if let Some(last) = last {
            headers.insert("last-event-id", HeaderValue::from_str(last).unwrap());
        }
        let given = given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        asked(&headers, given.collect())
    }

    #[test]
    fn a_listener_goes_on_where_it_stood() {
        let epoch = Millis(1_700_000_000_000);
        let (text, number) = (epoch.to_string(), epoch.0.to_string());
        assert_eq!(ask(None, &[]).unwrap(), (None, Query::default()));
        assert_eq!(ask(None, &[("after", text.as_str())]).unwrap().0, Some(epoch));
        assert_eq!(ask(None, &[("after", number.as_str())]).unwrap().0, Some(epoch));
        // The address is that of the first time.
        assert_eq!(ask(Some(&text), &[("after", "1")]).unwrap().0, Some(epoch));
        assert_eq!(ask(Some(""), &[]).unwrap().0, None);
    }

    #[test]
    fn what_events_do_not_have_is_refused() {
        for (given, says) in [
            (&[("limit", "1")][..], "`limit` is given, which events do not have"),
            (&[("after", "soon")], "`after` is no epoch"),
            (&[("after", "1"), ("after", "2")], "`after` is given twice"),
            (&[("least", "purple")], "`least` is `purple`; give this level or above"),
            (
                &[("colour", "red")],
                "`colour` is `red`, which warnings cannot be narrowed by",
            ),
        ] {
            let said = ask(None, given).unwrap_err();
            assert!(said.starts_with(says), "{said}");
        }
        assert!(
            ask(Some("soon"), &[])
                .unwrap_err()
                .starts_with("`Last-Event-ID` is no epoch")
        );
    }

    #[test]
    fn listeners_leave_places_to_others() {
        let places = |connections| {
            let (_, stop) = watch::channel(false);
            Listeners::new(connections, stop).places.available_permits()
        };
        assert_eq!([places(1), places(8), places(65_536)], [1, 4, MOST]);
    }
}
