//! Reading over HTTP: what is refused and how it is said, pages, that one encoding serves all, and the names it goes by.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use riskflow::runtime::cluster::Home;
use riskflow::runtime::views::Tables;
use riskflow_model::output::{AssetRisk, PastWarning};
use riskflow_model::topic::Topic;
use riskflow_model::{Millis, OutputRow};
use serde_json::{Value, json};
use timely::logging::{OperatesEvent, TimelyEvent};

use crate::actions::{Desk, Got, curl, tables};

fn get(desk: &Desk, path: &str) -> Got {
    curl(&desk.url(path), &[]).unwrap()
}

fn epoch(number: i64) -> Millis {
    Millis(1_700_000_000_000 + number)
}

/// Tables with so many assets `a000`, `a001` ….
fn many(count: usize) -> Tables {
    let mut tables = tables();
    for number in 0..count {
        let id = format!("a{number:03}");
        let asset = json!({
            "asset": id, "name": "舟".repeat(100), "category": "tank", "domain": "work_safety", "region": "330902001001",
            "inherent_level": 2, "dynamic_level": "red", "score": 8, "level": "orange", "stale": false, "population": 0,
        });
        let asset: AssetRisk = serde_json::from_value(asset).unwrap();
        tables.insert(OutputRow::new(asset));
    }
    tables.epoch = epoch(0);
    tables
}

fn show(desk: &Desk, tables: &Tables) {
    desk.handles.views.store(tables);
}

fn pages_encoded(desk: &Desk) -> u64 {
    let text = desk.handles.metrics.render(&desk.handles.meters);
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("riskflow_http_pages_encoded_total "));
    line.unwrap().parse().unwrap()
}

#[test]
fn filters_and_values_that_do_not_apply_are_refused_and_what_applies_is_named() {
    let desk = Desk::open();
    for (path, expected) in [
        (
            "/api/v1/warnings?step=archived",
            "`step` is `archived`, which warnings cannot be narrowed by; give `within`, `domain`, `rule`",
        ),
        (
            "/api/v1/cases?category=zzz",
            "`category` is `zzz`, which cases cannot be narrowed by",
        ),
        (
            "/api/v1/regions?rule=gas",
            "`rule` is `gas`, which regions cannot be narrowed by",
        ),
        (
            "/api/v1/assets?colour=red",
            "`colour` is `red`, which assets cannot be narrowed by",
        ),
        (
            "/api/v1/warnings?least=purple",
            "`least` is `purple`; give this level or above: one of `none`, `blue`",
        ),
        (
            "/api/v1/warnings?domain=fire",
            "`domain` is `fire`; give one of `all`, `lifeline`",
        ),
        ("/api/v1/warnings?within=%2033", "`within` is ` 33`; give a region code"),
        (
            "/api/v1/warnings?limit=99999999999999999999",
            "give a number up to 10000",
        ),
        ("/api/v1/warnings?limit=1&limit=2", "`limit` is given twice"),
        ("/api/v1/cases/incident?limit=1", "takes no parameters"),
    ] {
        let got = get(&desk, path);
        assert_eq!(got.status, 400, "{path}");
        assert!(
            got.json()["error"].as_str().unwrap().contains(expected),
            "{path}: {}",
            got.body
        );
    }
    // What may be right, and fits nothing, is said beside the empty list.
    let got = get(&desk, "/api/v1/warnings?rule=typo&within=3309");
    assert_eq!((got.status, &got.json()["items"]), (200, &json!([])));
    assert_eq!(got.json()["notes"], json!(["none of the warnings has `rule` = `typo`"]));
    assert!(
        get(&desk, "/api/v1/warnings?rule=gas&least=red")
            .json()
            .get("notes")
            .is_none()
    );
    assert!(
        get(&desk, "/api/v1/warnings?rule=gas&domain=lifeline")
            .json()
            .get("notes")
            .is_none()
    );
}

#[test]
fn pages_hold_each_row_once_whatever_comes_and_goes_between() {
    let desk = Desk::open();
    let mut tables = many(25);
    let (mut after, mut seen) = (String::new(), Vec::new());
    for page in 0.. {
        show(&desk, &tables);
        let got = get(&desk, &format!("/api/v1/assets?limit=10{after}")).json();
        let items = got["items"].as_array().unwrap();
        seen.extend(items.iter().map(|item| item["asset"].as_str().unwrap().to_owned()));
        assert_eq!(got["total"], 25 - page);
        let Some(next) = got["next"].as_str() else { break };
        after = format!("&after={next}");
        // One that was seen goes.
        tables.remove(Topic::RISK_ASSET, seen[page].as_str());
        tables.epoch = epoch(1 + page as i64);
    }
    let expected: Vec<String> = (0..25).map(|number| format!("a{number:03}")).collect();
    assert_eq!(seen, expected);
    show(&desk, &many(25));
    let middle = get(&desk, "/api/v1/assets?offset=23&limit=10").json();
    assert_eq!(
        (&middle["items"][0]["asset"], &middle["next"]),
        (&json!("a023"), &Value::Null)
    );
    let none = get(&desk, "/api/v1/assets?limit=0").json();
    assert_eq!(
        (&none["total"], &none["items"], &none["next"]),
        (&json!(25), &json!([]), &Value::Null)
    );
}

#[test]
fn operators_of_the_dataflow_are_told_where_they_are_watched() {
    let desk = Desk::open();
    let got = get(&desk, "/debug/dataflow");
    assert_eq!(got.status, 404);
    assert!(got.body.contains("http.dataflow = true"), "{}", got.body);
    let operates = OperatesEvent {
        id: 7,
        addr: vec![0, 3],
        name: "Fold: case".to_owned(),
    };
    let watched = desk.handles.meters.dataflow.worker(0);
    watched.take(&[(Duration::ZERO, TimelyEvent::Operates(operates))]);
    watched.arrange(7, 1, 20);
    assert_eq!(
        get(&desk, "/debug/dataflow").json(),
        json!({ "operators": [{
            "address": [0, 3], "name": "Fold: case", "seconds": 0.0, "runs": 0, "batches": 0, "records": 0,
            "arrangement": { "batches": 1, "updates": 20 },
        }] })
    );
}

#[test]
fn the_pipelines_time_goes_on_where_the_rows_stand_still() {
    let desk = Desk::open();
    let fresh = get(&desk, "/api/v1/assets").json();
    assert_eq!((&fresh["now"], &fresh["epoch"]), (&Value::Null, &Value::Null));
    show(&desk, &many(1));
    for now in [0, 5_000] {
        desk.handles.now.store(epoch(now).0, Ordering::Release);
        for path in ["/api/v1/assets", "/api/v1/assets/a000", "/api/v1/cases/incident", "/"] {
            let got = get(&desk, path).json();
            let times = (got["now"].as_str().unwrap(), got["epoch"].as_str().unwrap());
            assert_eq!(times, (&*epoch(now).to_string(), &*epoch(0).to_string()), "{path}");
        }
    }
}

#[test]
fn a_warning_that_is_over_is_found_where_the_open_one_says() {
    let desk = Desk::open();
    let mut tables = tables();
    let past = json!({
        "id": "over", "rule": "gas", "source": "datastream", "asset": "a", "domain": "lifeline", "region": "330902",
        "since": epoch(0).0, "until": epoch(60_000).0, "peak": "red", "state": "ended", "told": true,
    });
    let past: PastWarning = serde_json::from_value(past).unwrap();
    tables.insert(OutputRow::new(past));
    tables.epoch = epoch(0);
    show(&desk, &tables);
    let open = get(&desk, "/api/v1/warnings/over");
    assert_eq!(open.status, 404);
    let says = open.json()["error"].as_str().unwrap().to_owned();
    let (_, path) = says.rsplit_once(' ').unwrap();
    assert_eq!(path, "/api/v1/warnings/history/over");
    let over = get(&desk, path);
    assert_eq!((over.status, &over.json()["item"]["peak"]), (200, &json!("red")));
    assert_eq!(
        get(&desk, "/api/v1/warnings/never").json()["error"],
        "there is no open warning `never`"
    );
    assert_eq!(get(&desk, "/api/v1/warnings/history/never").status, 404);
}

#[test]
fn readers_of_one_list_cost_one_encoding_an_epoch() {
    let desk = Desk::open();
    let mut tables = many(2_000);
    show(&desk, &tables);
    let ask = || {
        let readers: Vec<_> = (0..10)
            .map(|_| {
                let url = desk.url("/api/v1/assets?limit=10000");
                std::thread::spawn(move || curl(&url, &[]).unwrap().json()["total"].as_u64())
            })
            .collect();
        readers.into_iter().all(|reader| reader.join().unwrap() == Some(2_000))
    };
    for _ in 0..3 {
        assert!(ask());
    }
    assert_eq!(pages_encoded(&desk), 1);
    tables.epoch = epoch(1);
    show(&desk, &tables);
    assert!(ask());
    assert_eq!(pages_encoded(&desk), 2);
    get(&desk, "/api/v1/assets?limit=9999");
    assert_eq!(pages_encoded(&desk), 3);
}

#[test]
fn it_is_known_by_names_that_no_other_site_can_have() {
    let desk = Desk::open();
    for path in ["/api/v1/warnings", "/metrics", "/healthz", "/", "/nowhere"] {
        let got = curl(
            &desk.url(path),
            &["-H", "Host: evil.example", "-H", "Origin: http://evil.example"],
        )
        .unwrap();
        assert_eq!(got.status, 421, "{path}");
        let error = got.json()["error"].as_str().unwrap().to_owned();
        assert!(
            error.contains("`evil.example`") && error.contains("`http.hosts`"),
            "{error}"
        );
    }
    let before = desk.act("near", &json!({"id": "a", "action": "comment", "text": "x"}));
    assert_eq!(before.status, 202);
    for host in ["localhost", "LOCALHOST:1", "[::1]:9464"] {
        let got = curl(&desk.url("/healthz"), &["-H", &format!("Host: {host}")]).unwrap();
        assert_eq!(got.status, 200, "{host}");
    }
    assert_eq!(curl(&desk.url("/healthz"), &["-H", "Host:"]).unwrap().status, 400);
}

/// RFC 9112, 6.1 and 6.3: it may be an attempt to smuggle a request past a proxy that reads the other length. It is read by its chunks
/// alone, and nothing is read behind it.
#[test]
fn a_request_with_two_lengths_is_read_by_its_chunks_and_ends_its_connection() {
    let desk = Desk::open();
    let url = desk.url("");
    let (_, address) = url.split_once("://").unwrap();
    let (length, chunked) = ("Content-Length: 4\r\n", "Transfer-Encoding: chunked\r\n");
    for lengths in [[length, chunked], [chunked, length]] {
        let mut stream = TcpStream::connect(address).unwrap();
        // A connection that goes on idles for longer.
        stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        let head = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\n{}\r\n", lengths.concat());
        stream.write_all(format!("{head}0\r\n\r\n").as_bytes()).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
        assert!(said.to_lowercase().contains("\r\nconnection: close\r\n"), "{said}");
        assert_eq!(said.matches("HTTP/1.1 ").count(), 1, "{said}");
    }
}

/// Says that the tables are with process 0 of a cluster, which serves there.
fn elsewhere(desk: &Desk, served: Option<&str>) {
    let hosts = ["127.0.0.1:1", "127.0.0.1:2"].map(str::to_owned);
    let home = Home::told(&hosts, 1, served);
    desk.handles.elsewhere.store(Some(Arc::new(home)));
}

#[test]
fn a_process_that_cannot_pass_requests_on_says_why_and_answers_for_itself() {
    let desk = Desk::open();
    let nobody = format!("http://{}", crate::chaos::free());
    for (served, part) in [
        (
            Some(nobody.as_str()),
            format!("cannot be reached at {nobody}; try again"),
        ),
        (None, "serves no HTTP; try again".to_owned()),
    ] {
        elsewhere(&desk, served);
        for path in [
            "/api/v1/warnings",
            "/api/v1/warnings/near",
            "/api/v1/regions?tier=county",
            "/api/v1/reports",
            "/api/v1/events",
            "/nowhere",
        ] {
            let got = get(&desk, path);
            assert_eq!(
                (got.status, got.headers.contains("retry-after: 1")),
                (503, true),
                "{path}"
            );
            let error = got.json()["error"].as_str().unwrap().to_owned();
            assert!(error.contains(&part), "{path}: {error}");
        }
        let acted = desk.act("near", &json!({"id": "a", "action": "comment", "text": "x"}));
        assert_eq!(acted.status, 503);
        assert!(
            acted.json()["error"].as_str().unwrap().contains(&part),
            "{}",
            acted.body
        );
    }
    let said = "process 0 of the cluster (127.0.0.1) has the tables, and serves no HTTP";
    let ready = get(&desk, "/readyz");
    assert_eq!((ready.status, ready.body), (200, format!("live: {said}\n")));
    assert_eq!(get(&desk, "/").json()["tables"], said);
    assert_eq!(
        (get(&desk, "/healthz").status, get(&desk, "/metrics").status),
        (200, 200)
    );
    let failed = "riskflow_http_passed_on_total{outcome=\"failed\"} 14\n";
    assert!(get(&desk, "/metrics").body.contains(failed));
}

#[test]
fn a_process_passes_requests_on_as_they_came_and_answers_back_as_they_were() {
    let (home, other) = (Desk::open(), Desk::open());
    elsewhere(&other, Some(&home.url("")));
    for path in [
        "/api/v1/warnings",
        "/api/v1/warnings?within=330902&limit=1",
        "/api/v1/warnings/near",
        "/api/v1/warnings/nobody",
        "/api/v1/warnings?step=archived",
        "/api/v1/cases/incident",
        "/nowhere?x=1",
    ] {
        let [here, there] = [&other, &home].map(|desk| get(desk, path));
        assert_eq!((here.status, &here.body), (there.status, &there.body), "{path}");
        // But for the time of the answer.
        let [here, there] = [here, there].map(|got| {
            let lines = got.headers.lines().filter(|line| !line.starts_with("date:"));
            lines.map(str::to_owned).collect::<BTreeSet<String>>()
        });
        assert_eq!(here, there, "{path}");
    }
    // By HTTP/1.0, and by a name that the other one does not have.
    let old = curl(&other.url("/api/v1/warnings/near"), &["--http1.0"]).unwrap();
    assert_eq!(old.status, 200, "{}", old.body);
    let foreign = curl(&other.url("/api/v1/warnings"), &["-H", "Host: evil.example"]).unwrap();
    assert_eq!(foreign.status, 421);
    let acted = other.act("near", &json!({"id": "a", "action": "comment", "text": "x"}));
    assert_eq!(acted.status, 202, "{}", acted.body);
    assert_eq!((home.written().len(), other.written().len()), (1, 0));
    let stranger = curl(&other.url("/api/v1/checkpoints"), &["-X", "POST"]).unwrap();
    assert_eq!(
        (stranger.status, stranger.headers.contains("www-authenticate: bearer")),
        (401, true)
    );
}

#[test]
fn a_request_that_comes_back_goes_no_further() {
    let (one, other) = (Desk::open(), Desk::open());
    elsewhere(&one, Some(&other.url("")));
    elsewhere(&other, Some(&one.url("")));
    let got = get(&one, "/api/v1/warnings");
    assert_eq!(got.status, 508, "{}", got.body);
    assert!(
        got.json()["error"].as_str().unwrap().contains("`cluster.hosts`"),
        "{}",
        got.body
    );
}

#[test]
fn nothing_is_empty_that_is_not_there_yet() {
    let desk = Desk::open();
    show(&desk, &Tables::default());
    desk.handles.ready.store(false, Ordering::Release);
    let got = get(&desk, "/api/v1/warnings");
    assert_eq!(
        (got.status, got.headers.contains("retry-after")),
        (503, true),
        "{}",
        got.body
    );
    assert_eq!(get(&desk, "/readyz").status, 503);
    desk.handles.ready.store(true, Ordering::Release);
    assert_eq!(
        (get(&desk, "/api/v1/warnings").status, get(&desk, "/readyz").status),
        (200, 200)
    );
    desk.handles.stop.store(true, Ordering::Release);
    let stopping = get(&desk, "/readyz");
    assert_eq!(
        (stopping.status, stopping.body.as_str()),
        (503, "stopping: epochs under way are committed\n")
    );
    let accept = ["-H", "Accept: application/json"];
    let stopping = curl(&desk.url("/readyz"), &accept).unwrap();
    let expected = json!({"state": "stopping", "live": false, "reason": "epochs under way are committed"});
    assert_eq!((stopping.status, stopping.json()), (503, expected));
    let metrics = get(&desk, "/metrics").body;
    assert!(metrics.contains("riskflow_state{state=\"stopping\"} 1\n"));
    assert!(metrics.contains("riskflow_state{state=\"live\"} 0\n"));
}

#[test]
fn the_first_page_names_all_there_is_and_all_of_it_is_there() {
    let desk = Desk::open();
    show(&desk, &many(1));
    let index = get(&desk, "/").json();
    let endpoints = index["endpoints"].as_array().unwrap();
    assert!(endpoints.len() > 10);
    for endpoint in endpoints {
        let path = endpoint["path"].as_str().unwrap();
        let row = path.replace("{id}", "nobody").replace("{code}", "33");
        // What has no end is asked for its head.
        let got = match path {
            "/api/v1/events" => curl(&desk.url(path), &["-I"]).unwrap(),
            _ => get(&desk, &row),
        };
        assert!(
            got.status == 200 || (path.contains('{') && got.status == 404),
            "{path}: {}",
            got.body
        );
        for filter in endpoint["filters"]
            .as_object()
            .into_iter()
            .flat_map(|filters| filters.keys())
        {
            let got = get(&desk, &format!("{path}?{filter}="));
            let error = got.json()["error"].as_str().unwrap().to_owned();
            assert!(
                got.status == 400 && error.contains(&format!("`{filter}` is ``; give ")),
                "{error}"
            );
        }
    }
    for (path, arguments, status) in [
        ("/nowhere", &[][..], 404),
        ("/api/v1/cases", &["-X", "DELETE"][..], 405),
    ] {
        let got = curl(&desk.url(path), arguments).unwrap();
        assert_eq!(got.status, status);
        assert!(
            got.json()["error"]
                .as_str()
                .unwrap()
                .contains("`/` tells what there is"),
            "{}",
            got.body
        );
    }
}
