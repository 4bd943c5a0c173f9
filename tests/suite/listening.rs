//! Server-sent events: what a listener hears, where it goes on, that it is told when it has missed something, and that nobody who listens
//! holds up anything.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use riskflow::runtime::feed::News;
use riskflow::runtime::output::EpochOutput;
use riskflow_model::output::{Explanation, WarningDelta};
use riskflow_model::{Millis, OutputRow};
use serde_json::{Value, json};

use crate::actions::{Desk, curl, tables};

/// A connection with an answer on it.
pub struct Listener(BufReader<TcpStream>);

/// What was heard: kind, data, and the identifier, where it has one.
pub type Heard = (String, Value, Option<String>);

impl Listener {
    /// Asks, and reads the head of the answer. By HTTP/1.0 its body is as it is, up to the end of the connection.
    fn open(desk: &Desk, query: &str, last: Option<Millis>) -> (u16, Self) {
        let last = last.map(|last| format!("Last-Event-ID: {last}\r\n"));
        Self::open_with(desk, query, &last.unwrap_or_default())
    }

    /// The same with these lines of the request's head.
    pub fn open_with(desk: &Desk, query: &str, more: &str) -> (u16, Self) {
        let url = desk.url("");
        let (_, address) = url.split_once("://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let request = format!("GET /api/v1/events{query} HTTP/1.0\r\nHost: {address}\r\n{more}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut this = Self(BufReader::new(stream));
        let status = this.line();
        let status = status.split(' ').nth(1).unwrap().parse().unwrap();
        while !this.line().is_empty() {}
        (status, this)
    }

    fn listen(desk: &Desk, query: &str, last: Option<Millis>) -> Self {
        let (status, mut this) = Self::open(desk, query, last);
        assert_eq!(status, 200);
        assert_eq!(this.line(), "retry: 3000");
        while !this.line().is_empty() {}
        this
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.0.read_line(&mut line).unwrap() > 0, "the answer ended");
        line.trim_end().to_owned()
    }

    /// Waits until the server has ended it; events before that are passed over.
    pub fn ends(mut self) {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).unwrap();
    }

    /// The next event; what comes in quiet is passed over.
    pub fn hear(&mut self) -> Heard {
        let (mut id, mut kind, mut data) = (None, String::new(), None);
        loop {
            let line = self.line();
            match line.split_once(": ") {
                Some(("id", value)) => id = Some(value.to_owned()),
                Some(("event", value)) => value.clone_into(&mut kind),
                Some(("data", value)) => data = Some(serde_json::from_str(value).unwrap()),
                _ => match data.take() {
                    Some(data) => return (kind, data, id),
                    None => id = None,
                },
            }
        }
    }

    /// The warnings of so many events.
    fn ids(&mut self, count: usize) -> Vec<String> {
        let heard = (0..count).map(|_| self.hear().1["id"].as_str().unwrap().to_owned());
        heard.collect()
    }
}

pub fn epoch(number: i64) -> Millis {
    Millis(1_700_000_000_000 + number * 1_000)
}

/// Something happens to a warning.
pub fn delta(id: &str, kind: &str, (from, to): (&str, &str), region: &str) -> OutputRow {
    let mut explanation = serde_json::to_value(Explanation::nothing()).unwrap();
    explanation["region"] = region.into();
    let delta = json!({
        "id": id, "kind": kind, "cause": "data", "rule": "gas", "asset": "tank", "since": 0, "at": 0, "from": from, "to": to,
        "explanation": explanation,
    });
    OutputRow::new(serde_json::from_value::<WarningDelta>(delta).unwrap())
}

fn raised(id: &str) -> OutputRow {
    delta(id, "raised", ("none", "red"), "330902001001")
}

pub fn tell(desk: &Desk, number: i64, deltas: &[OutputRow]) {
    let rows = deltas.iter().map(|row| (row.clone(), 1)).collect();
    let output = EpochOutput::new(epoch(number), rows);
    desk.handles.views.feed.tell(News::of(&output, &tables()));
}

fn desk() -> Desk {
    let desk = Desk::open();
    let mut tables = tables();
    tables.epoch = epoch(0);
    desk.handles.views.store(&tables);
    desk.handles.views.feed.begin(epoch(0));
    desk
}

/// What comes before the first event.
fn beginning(desk: &Desk, query: &str) -> Vec<String> {
    let (status, mut listener) = Listener::open(desk, query, None);
    assert_eq!(status, 200);
    std::iter::repeat_with(|| listener.line())
        .take_while(|line| !line.is_empty())
        .collect()
}

#[test]
fn a_region_in_which_nothing_lies_is_told_at_once() {
    let desk = desk();
    for (query, region) in [("", None), ("?within=3309", None), ("?within=330999", Some("330999"))] {
        let said = beginning(&desk, query);
        let comments: Vec<&String> = said.iter().filter(|line| line.starts_with(": ")).collect();
        assert_eq!(comments.len(), usize::from(region.is_some()), "{said:?}");
        let names = |line: &&String| region.is_some_and(|region| line.contains(region));
        assert!(comments.iter().all(names), "{said:?}");
    }
}

#[test]
fn a_listener_hears_each_change_and_goes_on_where_it_stood() {
    let desk = desk();
    let mut listener = Listener::listen(&desk, "", None);
    tell(&desk, 1, &[raised("a"), raised("b")]);
    let (first, second) = (listener.hear(), listener.hear());
    assert_eq!((&*first.0, &first.1["id"], &first.2), ("raised", &json!("a"), &None));
    // Only with its last event is an epoch over.
    let id = epoch(1).to_string();
    assert_eq!(
        (&second.1["id"], &second.1["epoch"], &second.2),
        (&json!("b"), &json!(id), &Some(id.clone()))
    );
    drop(listener);
    tell(&desk, 2, &[delta("a", "cleared", ("red", "none"), "330902001001")]);
    tell(&desk, 3, &[raised("c")]);
    let mut again = Listener::listen(&desk, "", Some(epoch(1)));
    let cleared = again.hear();
    assert_eq!((&*cleared.0, &cleared.1["to"]), ("cleared", &json!("none")));
    assert_eq!(again.ids(1), ["c"]);
    let after = format!("?after={}", epoch(2));
    assert_eq!(Listener::listen(&desk, &after, None).ids(1), ["c"]);
    // The end of the server is the end of what has none.
    drop(desk);
    let mut rest = Vec::new();
    let _ = again.0.read_to_end(&mut rest);
    assert!(
        !String::from_utf8_lossy(&rest).contains("event:"),
        "{}",
        String::from_utf8_lossy(&rest)
    );
}

#[test]
fn events_are_narrowed_as_the_list_is() {
    let desk = desk();
    let mut near = Listener::listen(&desk, "?within=330902", None);
    let mut high = Listener::listen(&desk, "?least=orange", None);
    let mut other = Listener::listen(&desk, "?rule=rain", None);
    tell(
        &desk,
        1,
        &[
            delta("far", "raised", ("none", "red"), "330903001001"),
            delta("near", "raised", ("none", "blue"), "330902001001"),
            // It was higher before.
            delta("down", "eased", ("red", "blue"), "330903001001"),
        ],
    );
    assert_eq!(near.ids(1), ["near"]);
    assert_eq!(high.ids(2), ["down", "far"]);
    tell(&desk, 2, &[raised("late")]);
    assert_eq!(
        (near.ids(1), high.ids(1)),
        (vec!["late".to_owned()], vec!["late".to_owned()])
    );
    // Nothing is said to who asked for something else.
    desk.handles.views.feed.begin(epoch(5));
    assert_eq!(other.hear().0, "resync");
    let got = curl(&desk.url("/api/v1/events?step=issued"), &[]).unwrap();
    assert_eq!(got.status, 400);
}

#[test]
fn who_is_too_far_behind_is_told_and_holds_up_nobody() {
    let desk = desk();
    let mut slow = Listener::listen(&desk, "", None);
    let mut quick = Listener::listen(&desk, "", None);
    let many: Vec<OutputRow> = (0..1_000).map(|number| raised(&format!("{number:04}"))).collect();
    // More than is kept, and more than a connection buffers.
    for number in 1..=30 {
        tell(&desk, number, &many);
        assert_eq!(quick.ids(many.len()).len(), many.len());
    }
    let mut heard = 0;
    let missed = loop {
        let (kind, data, id) = slow.hear();
        if kind == "resync" {
            break (data, id);
        }
        heard += 1;
    };
    assert!(heard < 30 * many.len(), "it heard all");
    let id = epoch(30).to_string();
    assert_eq!(missed, (json!({ "epoch": id }), Some(id)));
    tell(&desk, 31, &[raised("new")]);
    assert_eq!(slow.ids(1), ["new"]);
    // Of an epoch that was never kept.
    let mut lost = Listener::listen(&desk, "", Some(epoch(-1)));
    assert_eq!(lost.hear().0, "resync");
}

#[test]
fn only_so_many_listen_and_others_find_a_place() {
    let desk = desk();
    // Half of the connections that there may be.
    let listeners: Vec<Listener> = (0..128).map(|_| Listener::listen(&desk, "", None)).collect();
    assert_eq!(Listener::open(&desk, "", None).0, 503);
    assert_eq!(curl(&desk.url("/api/v1/warnings"), &[]).unwrap().status, 200);
    drop(listeners);
    let until = std::time::Instant::now() + Duration::from_secs(30);
    while Listener::open(&desk, "", None).0 != 200 {
        assert!(std::time::Instant::now() < until, "no place is given back");
    }
}
