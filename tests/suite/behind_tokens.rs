//! Reading behind tokens: who is let in, and that nobody sees, counts or hears of what lies outside the region of its token.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::Command;

use riskflow::runtime::http::openapi;
use riskflow_config::{ReaderSettings, ReadingSettings};
use riskflow_model::OutputRow;
use riskflow_model::output::{AssetRisk, PastWarning};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::actions::{CITY, Desk, Got, TOWN, curl, tables};
use crate::chaos::Feed;
use crate::kafka::riskflow;
use crate::listening::{Listener, delta, epoch, tell};
use crate::supervised::{Reloading, Token};

/// Sees everything.
const ALL: &str = "secret of all";

/// Sees the county 330903, where `far` lies.
const COUNTY: &str = "secret of a county";

fn reader(secret: &str, region: Option<&str>) -> ReaderSettings {
    ReaderSettings {
        name: secret.to_owned(),
        sha256: Sha256::digest(secret).into(),
        region: region.map(|region| region.parse().unwrap()),
    }
}

fn reading(metrics: bool) -> ReadingSettings {
    ReadingSettings {
        tokens: vec![reader(ALL, None), reader(COUNTY, Some("330903"))],
        metrics,
    }
}

/// `near` and the case `incident` in the town 330902001; `far`, an asset and a warning that is over in the county 330903.
fn desk(metrics: bool) -> Desk {
    let desk = Desk::behind_tokens(reading(metrics));
    let mut tables = tables();
    tables.epoch = epoch(0);
    let asset = json!({
        "asset": "dam", "name": "Dam", "category": "dam", "domain": "lifeline", "region": "330903001001", "inherent_level": 2,
        "dynamic_level": "red", "score": 8, "level": "orange", "stale": false, "population": 0,
    });
    tables.insert(OutputRow::new(serde_json::from_value::<AssetRisk>(asset).unwrap()));
    let past = json!({
        "id": "past", "rule": "flood", "source": "datastream", "asset": "dam", "domain": "lifeline", "region": "330903001001", "since": 0, "until": "1970-01-01T00:00:01.000Z",
        "peak": "red", "state": "ended", "told": true,
    });
    tables.insert(OutputRow::new(serde_json::from_value::<PastWarning>(past).unwrap()));
    desk.handles.views.store(&tables);
    desk.handles.views.feed.begin(epoch(0));
    desk
}

fn get(desk: &Desk, token: &str, path: &str) -> Got {
    let bearer = format!("Authorization: Bearer {token}");
    curl(&desk.url(path), &["-H", &bearer]).unwrap()
}

fn status(desk: &Desk, token: &str, path: &str) -> u16 {
    get(desk, token, path).status
}

fn ids(got: &Got) -> Vec<String> {
    let list = got.json();
    let items = list["items"].as_array().unwrap();
    assert_eq!(list["total"], items.len(), "the total counts what is seen");
    let id = |item: &Value| item["id"].as_str().unwrap().to_owned();
    items.iter().map(id).collect()
}

#[test]
fn nothing_is_told_without_a_token_but_how_the_process_is() {
    let desk = desk(false);
    let document = openapi::document();
    let mut guarded = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        if operations.get("get").is_none() {
            continue;
        }
        let names = ["{id}", "{code}", "{set}", "{request}"];
        let asked = names
            .into_iter()
            .fold(path.clone(), |path, name| path.replace(name, "1"));
        let url = desk.url(&asked);
        let got = curl(&url, &[]).unwrap();
        if matches!(path.as_str(), "/healthz" | "/readyz" | "/openapi.json" | "/metrics") {
            assert_eq!(got.status, 200, "{path}");
            continue;
        }
        guarded += 1;
        for header in [
            "X-Nothing: here",
            "Authorization: Bearer nonsense",
            "Authorization: Basic YTpi",
        ] {
            let got = curl(&url, &["-H", header]).unwrap();
            assert_eq!(got.status, 401, "{path} {header}: {}", got.body);
            assert!(got.headers.contains("www-authenticate: bearer realm="), "{path}");
            assert!(
                !got.body.contains("near") && !got.body.contains("330902"),
                "{path}: {}",
                got.body
            );
        }
    }
    assert!(guarded > 20, "only {guarded} paths are guarded");
    // A token is told from another whatever it is for.
    assert_eq!(status(&desk, ALL, "/"), 200);
    assert_eq!(status(&desk, TOWN, "/"), 200);
}

#[test]
fn lists_rows_and_totals_are_those_of_the_region_of_the_token() {
    let desk = desk(false);
    let list = |token: &str, path: &str| ids(&get(&desk, token, path));
    assert_eq!(list(ALL, "/api/v1/warnings"), ["far", "near"]);
    // Those who act read where they act.
    assert_eq!(list(CITY, "/api/v1/warnings"), ["far", "near"]);
    assert_eq!(list(TOWN, "/api/v1/warnings"), ["near"]);
    assert_eq!(list(COUNTY, "/api/v1/warnings"), ["far"]);
    // A filter narrows what is seen, and widens nothing.
    assert_eq!(list(TOWN, "/api/v1/warnings?within=3309"), ["near"]);
    assert_eq!(list(TOWN, "/api/v1/warnings?within=330903"), Vec::<String>::new());
    assert_eq!(list(COUNTY, "/api/v1/cases"), Vec::<String>::new());
    assert_eq!(list(TOWN, "/api/v1/warnings/history"), Vec::<String>::new());
    assert_eq!(list(COUNTY, "/api/v1/warnings/history"), ["past"]);
    for (path, seen_by, hidden_from) in [
        ("/api/v1/warnings/near", TOWN, COUNTY),
        ("/api/v1/warnings/far", COUNTY, TOWN),
        ("/api/v1/cases/incident", TOWN, COUNTY),
        ("/api/v1/assets/dam", COUNTY, TOWN),
        ("/api/v1/warnings/history/past", COUNTY, TOWN),
        ("/api/v1/warnings/near/explanation", TOWN, COUNTY),
        ("/api/v1/warnings/past/explanation", COUNTY, TOWN),
        ("/api/v1/assets/dam/explanation?at=1h", COUNTY, TOWN),
    ] {
        assert_eq!(status(&desk, ALL, path), 200, "{path}");
        assert_eq!(status(&desk, seen_by, path), 200, "{path}");
        let got = get(&desk, hidden_from, path);
        assert_eq!(got.status, 403, "{path}: {}", got.body);
        assert!(
            !got.body.contains("gas") && !got.body.contains("lifeline"),
            "{path}: {}",
            got.body
        );
    }
    // What is unknown is unknown to all.
    assert_eq!(status(&desk, TOWN, "/api/v1/warnings/nobody"), 404);
    // That a warning is over elsewhere is not said.
    assert!(!get(&desk, TOWN, "/api/v1/warnings/past").body.contains("is over"));
    assert!(get(&desk, COUNTY, "/api/v1/warnings/past").body.contains("is over"));
    // How an identifier begins is looked for in topics, which are not by region.
    assert_eq!(status(&desk, ALL, "/api/v1/warnings/nea/explanation"), 200);
    assert_eq!(status(&desk, TOWN, "/api/v1/warnings/nea/explanation"), 404);
    // Of a time each is asked for with what it sees.
    let asked = |token: &str| get(&desk, token, "/api/v1/warnings/known?at=1h&within=3309").json()["asked"].to_string();
    assert!(asked(TOWN).contains("seen: Some("), "{}", asked(TOWN));
    assert_ne!(asked(TOWN), asked(COUNTY));
    assert!(asked(ALL).contains("seen: None"), "{}", asked(ALL));
}

#[test]
fn what_is_beside_a_page_tells_nothing_of_elsewhere_either() {
    let desk = desk(false);
    // `flood` is a rule of the county: whether there is such a rule in the town is all that the town is told.
    let notes = |token: &str| get(&desk, token, "/api/v1/warnings/history?rule=flood").json()["notes"].clone();
    assert_eq!(notes(COUNTY), Value::Null);
    assert_eq!(
        notes(TOWN),
        json!(["none of the warnings/history has `rule` = `flood`"])
    );
    // The same page, asked for one after the other: each gets its own.
    for _ in 0..3 {
        assert_eq!(ids(&get(&desk, TOWN, "/api/v1/warnings?limit=7")), ["near"]);
        assert_eq!(ids(&get(&desk, COUNTY, "/api/v1/warnings?limit=7")), ["far"]);
    }
    for path in ["/api/v1/unmatched", "/api/v1/rulesets", "/debug/dataflow"] {
        for token in [TOWN, CITY, COUNTY] {
            let got = get(&desk, token, path);
            assert_eq!(got.status, 403, "{path}: {}", got.body);
            assert!(
                got.json()["error"].as_str().unwrap().contains("of the whole city"),
                "{}",
                got.body
            );
        }
        assert_ne!(status(&desk, ALL, path), 403, "{path}");
    }
}

#[test]
fn metrics_are_open_or_for_whoever_sees_everything() {
    assert_eq!(curl(&desk(false).url("/metrics"), &[]).unwrap().status, 200);
    let guarded = desk(true);
    let nobody = curl(&guarded.url("/metrics"), &[]).unwrap();
    assert!(
        nobody.status == 401 && nobody.headers.contains("www-authenticate: bearer"),
        "{}",
        nobody.headers
    );
    assert_eq!(status(&guarded, COUNTY, "/metrics"), 403);
    let all = get(&guarded, ALL, "/metrics");
    assert!(
        all.status == 200 && all.body.contains("riskflow_epochs_total"),
        "{}",
        all.body
    );
    for path in ["/healthz", "/readyz"] {
        assert_eq!(curl(&guarded.url(path), &[]).unwrap().status, 200, "{path}");
    }
}

#[test]
fn a_listener_hears_of_its_region_and_no_more_once_its_token_is_gone() {
    let desk = desk(false);
    let listen = |token: &str, query: &str| {
        let bearer = format!("Authorization: Bearer {token}\r\n");
        Listener::open_with(&desk, query, &bearer)
    };
    assert_eq!(Listener::open_with(&desk, "", "").0, 401);
    assert_eq!(listen("nonsense", "").0, 401);
    let after = format!("?after={}", epoch(0));
    let [mut all, mut town, mut county] = [ALL, TOWN, COUNTY].map(|token| {
        let (status, listener) = listen(token, &after);
        assert_eq!(status, 200);
        listener
    });
    let raised = |id: &str, region: &str| delta(id, "raised", ("none", "red"), region);
    let (near, far) = (raised("near", "330902001001"), raised("far", "330903001001"));
    tell(&desk, 1, &[near, far]);
    let id = |listener: &mut Listener| listener.hear().1["id"].as_str().unwrap().to_owned();
    let two = |listener: &mut Listener| BTreeSet::from([id(listener), id(listener)]);
    let both = |one: &str, other: &str| BTreeSet::from([one.to_owned(), other.to_owned()]);
    assert_eq!(two(&mut all), both("near", "far"));
    assert_eq!((id(&mut town), id(&mut county)), ("near".to_owned(), "far".to_owned()));

    // The token of the county is taken away, that of all is as it was.
    desk.read_by(ReadingSettings {
        tokens: vec![reader(ALL, None)],
        metrics: false,
    });
    tell(
        &desk,
        2,
        &[raised("other", "330903001001"), raised("here", "330902001001")],
    );
    county.ends();
    assert_eq!(two(&mut all), both("other", "here"));
    assert_eq!(id(&mut town), "here");
    assert_eq!(status(&desk, COUNTY, "/"), 401);
}

/// The real program, from its configuration on.
#[test]
fn a_job_asks_whoever_reads_and_who_may_changes_by_sighup() {
    let world = Reloading::new();
    Feed::new(36).begin(&world.place);
    let acts = Token("acts");
    let reader = |secret: &str| {
        let hash: String = Sha256::digest(secret)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("http.reading.tokens=[{{ name = \"map\", sha256 = \"{hash}\" }}]")
    };
    let put = |secret: &str| world.put(&acts, &["http.reading.enabled=true", &reader(secret)]);
    let job = world.start(&put("old"));
    let asked = |secret: &str| {
        let bearer = format!("Authorization: Bearer {secret}");
        let url = format!("http://{}/api/v1/warnings", world.listens);
        curl(&url, &["-H", &bearer]).unwrap().status
    };
    let all = ["old", "new", "acts"];
    assert_eq!(all.map(&asked), [200, 401, 200]);
    let url = format!("http://{}", world.listens);
    let health = Command::new(riskflow())
        .args(["health", "--url", &url])
        .output()
        .unwrap();
    assert!(health.status.success(), "{health:?}");
    put("new");
    world.reload(&job);
    assert_eq!(all.map(&asked), [401, 200, 200]);
    assert_eq!(world.counts(), [1.0, 0.0, 0.0, 0.0]);
    // That reading needs no token any more waits for a restart.
    world.put(&acts, &[]);
    world.reload(&job);
    assert_eq!(all.map(&asked), [401, 200, 200]);
    assert_eq!(world.counts(), [2.0, 0.0, 0.0, 1.0]);
    job.stop();
}

/// The example that listens over HTTP, in Python without more.
#[test]
fn the_example_listener_gives_its_token_and_prints_what_it_hears() {
    let desk = desk(false);
    let folder = tempfile::tempdir().unwrap();
    let (right, wrong) = (folder.path().join("right"), folder.path().join("wrong"));
    std::fs::write(&right, format!("{COUNTY}\n")).unwrap();
    std::fs::write(&wrong, "nonsense\n").unwrap();
    tell(
        &desk,
        1,
        &[
            delta("near", "raised", ("none", "red"), "330902001001"),
            delta("far", "raised", ("none", "red"), "330903001001"),
        ],
    );
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/consumers/python/listen.py");
    let run = |token: &std::path::Path| {
        let mut command = Command::new("python3");
        command
            .arg(script)
            .args(["--url", &desk.url(""), "--after", &epoch(0).to_string(), "--count", "1"]);
        command.arg("--token-file").arg(token).output()
    };
    let Ok(heard) = run(&right) else {
        // Straight to standard error: what `eprintln!` says in a test that passes is never seen.
        let _ = writeln!(
            std::io::stderr(),
            "\n*** NOT RUN: the example listener: there is no python3 ***"
        );
        return;
    };
    let said = String::from_utf8_lossy(&heard.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&heard.stderr);
    assert!(heard.status.success(), "{complaints}");
    assert_eq!(said, format!("{} raised gas/tank none->red\n", epoch(1)));
    let refused = run(&wrong).unwrap();
    let complaints = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && complaints.contains("401"), "{complaints}");
}
