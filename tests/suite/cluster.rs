//! Two processes of one job: each answers whoever asks, and only those that know the secret join.

use std::time::{Duration, Instant};

use riskflow_model::topic::Topic;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::actions::{Got, curl};
use crate::chaos::place::{KafkaPlace, Place as _};
use crate::chaos::{Feed, Running, pause, settle, verdict};
use crate::savepoints::whole;
use crate::trouble::metric;

const TOKEN: &str = "of the duty officer";

/// Whoever has [`TOKEN`] may act, and ask for checkpoints.
fn settings() -> [String; 2] {
    let hash: String = Sha256::digest(TOKEN).iter().map(|byte| format!("{byte:02x}")).collect();
    let token =
        format!("{{ name = \"officer\", sha256 = \"{hash}\", role = \"duty\", region = \"3309\", checkpoint = true }}");
    [
        "http.actions.enabled=true".to_owned(),
        format!("http.actions.tokens=[{token}]"),
    ]
}

fn get(job: &Running, process: usize, path: &str) -> Option<Got> {
    curl(&format!("{}{path}", job.url_of(process)), &[])
}

/// Asks again and again until there is an answer.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(120);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what}");
        pause();
    }
}

/// A list or row as of its epoch: without the pipeline's time, which goes on.
fn shown(got: &Got) -> Value {
    let mut shown = got.json();
    if let Some(fields) = shown.as_object_mut() {
        fields.remove("now");
    }
    shown
}

/// Waits until both processes say the same, at the same epoch; what they say.
fn agreed(job: &Running, path: &str) -> Value {
    until(&format!("the processes never say the same of {path}"), || {
        let [first, second] = [0, 1].map(|process| get(job, process, path));
        let (first, second) = (first?, second?);
        let answered = first.status == second.status && first.status != 503;
        (answered && shown(&first) == shown(&second)).then(|| shown(&first))
    })
}

/// The paths of lists that every process serves, as it says itself, and rows of some of them.
fn paths(job: &Running) -> Vec<String> {
    let index = get(job, 1, "/").unwrap().json();
    let endpoints = index["endpoints"].as_array().unwrap();
    let lists = endpoints.iter().filter(|endpoint| endpoint["filters"].is_object());
    let mut paths: Vec<String> = lists.map(|list| list["path"].as_str().unwrap().to_owned()).collect();
    assert!(paths.len() > 5, "{paths:?}");
    let first = |list: &str| {
        let list = agreed(job, list);
        Some(list["items"].as_array()?.first()?["id"].as_str()?.to_owned())
    };
    // A row may go meanwhile: then it is missing at both.
    let rows = ["/api/v1/warnings", "/api/v1/warnings/history", "/api/v1/cases"].map(|list| Some((list, first(list)?)));
    let rows: Vec<(&str, String)> = rows.into_iter().flatten().collect();
    assert!(rows.len() > 1, "{rows:?}");
    paths.extend(rows.iter().map(|(list, id)| format!("{list}/{id}")));
    paths.extend([
        format!("/api/v1/warnings/{}/explanation", rows[0].1),
        "/api/v1/regions/3309".to_owned(),
        "/api/v1/assets/asset-0".to_owned(),
        "/api/v1/regions?within=3309&domain=work_safety&limit=1".to_owned(),
    ]);
    paths
}

fn post(job: &Running, process: usize, path: &str, token: &str, body: &str) -> Got {
    let bearer = format!("Authorization: Bearer {token}");
    let json = "Content-Type: application/json";
    curl(
        &format!("{}{path}", job.url_of(process)),
        &["-H", &bearer, "-H", json, "-d", body],
    )
    .unwrap()
}

#[test]
fn kafka_every_process_of_a_cluster_answers_reads_and_takes_actions() {
    let Some(place) = KafkaPlace::start("cluster_reads", &[]) else {
        return;
    };
    let checkpoints = tempfile::tempdir().unwrap();
    let mut feed = Feed::new(41);
    feed.begin(&place);
    let sets = settings();
    let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
    let mut job = Running::start_pair_with(&place, checkpoints.path(), &sets);
    job.await_ready(&place, &mut feed);
    assert!(job.is_ready());
    // Events come as they are committed, by the process that passes them on.
    let events = format!("{}/api/v1/events", job.url_of(1));
    let listening = std::thread::spawn(move || curl(&events, &["-N", "--max-time", "10"]));
    while !listening.is_finished() {
        feed.step(&place);
    }
    let heard = listening.join().unwrap().unwrap();
    assert_eq!(heard.status, 200);
    assert!(
        heard.headers.contains("content-type: text/event-stream"),
        "{}",
        heard.headers
    );
    assert!(heard.body.contains("\nevent: raised\ndata: {"), "{}", heard.body);
    job.await_taken(&place);

    for path in paths(&job) {
        agreed(&job, &path);
    }
    let missing = get(&job, 1, "/api/v1/assets/nobody").unwrap();
    assert_eq!(missing.status, 404);

    let case = agreed(&job, "/api/v1/cases")["items"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/api/v1/warnings/{case}/actions");
    let note = json!({"id": "by-1", "action": "comment", "text": "seen"}).to_string();
    assert_eq!(post(&job, 1, &path, "another", &note).status, 401);
    let acted = post(&job, 1, &path, TOKEN, &note);
    assert_eq!(acted.status, 202, "{}", acted.body);
    // The same once more, by the other process: it is one action.
    assert_eq!(post(&job, 0, &path, TOKEN, &note).status, 200);
    let actions = place.all(Topic::IN_ACTION);
    let ours = actions
        .iter()
        .filter(|row| row.value.as_deref().is_some_and(|value| value.contains("by-1")));
    assert_eq!(ours.count(), 1);

    let asked = post(&job, 1, "/api/v1/checkpoints", TOKEN, "");
    assert_eq!(asked.status, 202, "{}", asked.body);
    let look = format!("/api/v1/checkpoints/{}", asked.json()["request"]);
    let bearer = format!("Authorization: Bearer {TOKEN}");
    let whole = until("the checkpoint does not get whole", || {
        let got = curl(&format!("{}{look}", job.url_of(1)), &["-H", &bearer])?;
        (got.status == 200).then(|| got.json())
    });
    assert_eq!(whole["state"], "whole", "{whole}");
    let passed = get(&job, 1, "/metrics").unwrap().body;
    assert!(
        !passed.contains("riskflow_http_passed_on_total{outcome=\"answered\"} 0\n"),
        "{passed}"
    );
    job.await_taken(&place);
    job.stop();
    verdict::judge(&place);
}

/// One process, two, and one again: each begins with the checkpoint of the stop before it, and what came in between is not lost.
#[test]
#[ignore = "20 s or more: `make acceptance` runs it"]
fn kafka_a_job_is_scaled_to_two_processes_and_back() {
    let Some(place) = KafkaPlace::start("rescale", &[]) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = folder.path();
    let mut feed = Feed::new(43);
    feed.begin(&place);
    for processes in [1, 2, 1] {
        let mut job = if processes == 1 {
            Running::start(&place, checkpoints, 2, "")
        } else {
            Running::start_pair_with(&place, checkpoints, &[])
        };
        job.await_ready(&place, &mut feed);
        let replayed = metric(&job, "riskflow_replayed_epochs_total");
        assert_eq!(replayed, 0.0, "{processes} processes: the checkpoint was not taken");
        for _ in 0..20 {
            feed.step(&place);
        }
        job.await_taken(&place);
        job.stop();
        let last = verdict::resume(&place).last().0;
        let newest = whole(checkpoints).last().copied();
        assert!(
            newest >= Some(last),
            "{processes} processes: {newest:?} is the newest checkpoint, and {last} the last epoch"
        );
        // Something is left to take in, for whoever comes next.
        feed.step(&place);
    }
    settle(&place, checkpoints);
    verdict::judge(&place);
}
