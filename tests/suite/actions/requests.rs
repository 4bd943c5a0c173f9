//! Requests to a server over tables that are made up.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;

use riskflow_config::{HttpSettings, TlsSettings};
use riskflow_connectors::{Append, AppendError, Appended, InRecord};
use riskflow_model::Millis;
use riskflow_model::topic::Topic;
use serde_json::{Value, json};

use super::{CITY, Desk, TOWN, actions_of, curl, riskflow};

fn comment(id: &str) -> Value {
    json!({"id": id, "action": "comment", "text": "seen"})
}

/// Path, token, body, more flags of curl; the status and outcome that follow.
type Request<'a> = (&'a str, Option<&'a str>, String, &'a [&'a str], u16, &'a str);

#[test]
#[expect(clippy::too_many_lines, reason = "one row a request, and nothing else")]
fn what_is_refused_changes_nothing_and_is_counted() {
    let desk = Desk::open();
    let good = comment("a").to_string();
    let large = json!({"id": "a", "action": "comment", "text": "x".repeat(70_000)}).to_string();
    let with = |fields: Value| {
        let mut body = comment("a");
        body.as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        body.to_string()
    };
    let (near, town) = (actions_of("near"), Some(TOWN));
    let long = actions_of(&"x".repeat(10_000));
    let plain = ["-H", "Content-Type: text/plain"];
    let cases: Vec<Request<'_>> = vec![
        (&near, None, good.clone(), &[], 401, "unauthorized"),
        (&near, Some("wrong"), good.clone(), &[], 401, "unauthorized"),
        (
            &near,
            None,
            good.clone(),
            &["-H", "Authorization: Basic dG93bg=="],
            401,
            "unauthorized",
        ),
        (
            &near,
            town,
            good.clone(),
            &["-H", "Authorization: Bearer other"],
            401,
            "unauthorized",
        ),
        (
            "/api/v1/warnings/far/actions",
            town,
            good.clone(),
            &[],
            403,
            "other_region",
        ),
        (
            "/api/v1/warnings/nobody/actions",
            town,
            good.clone(),
            &[],
            404,
            "unknown_case",
        ),
        (&near, town, with(json!({"role": "mayor"})), &[], 403, "not_allowed"),
        (&near, town, with(json!({"unit": "unit-3309"})), &[], 403, "not_allowed"),
        (&near, town, with(json!({"actor": "mayor"})), &[], 403, "not_allowed"),
        (&near, town, with(json!({"actor": "city"})), &[], 403, "not_allowed"),
        (&near, town, with(json!({"actor": ["town"]})), &[], 403, "not_allowed"),
        (
            &near,
            town,
            with(json!({"action": "archive", "override": true})),
            &[],
            403,
            "not_allowed",
        ),
        (&near, town, large.clone(), &[], 413, "too_large"),
        (
            &near,
            town,
            large,
            &["-H", "Transfer-Encoding: chunked"],
            413,
            "too_large",
        ),
        (&near, town, good.clone(), &plain, 415, "content_type"),
        (&near, town, r#"{"id":"a","action":"#.to_owned(), &[], 400, "malformed"),
        (&near, town, "[".repeat(60_000), &[], 400, "malformed"),
        (&near, town, "\u{0}".to_owned(), &[], 400, "malformed"),
        (&near, town, "[]".to_owned(), &[], 400, "malformed"),
        (
            &near,
            town,
            json!({"action": "comment", "text": "x"}).to_string(),
            &[],
            400,
            "no_id",
        ),
        (
            &near,
            town,
            json!({"id": " ", "action": "comment", "text": "x"}).to_string(),
            &[],
            422,
            "invalid",
        ),
        (
            &near,
            town,
            json!({"id": "a", "action": "dance"}).to_string(),
            &[],
            422,
            "invalid",
        ),
        (
            &near,
            town,
            json!({"id": "a", "action": "comment"}).to_string(),
            &[],
            422,
            "invalid",
        ),
        (&near, town, with(json!({"id": "x".repeat(201)})), &[], 422, "invalid"),
        (&near, town, with(json!({"warning": "far"})), &[], 422, "invalid"),
        (&near, town, with(json!({"case": "far"})), &[], 422, "invalid"),
        (&near, town, with(json!({"time": "yesterday"})), &[], 422, "invalid"),
        (&near, town, good.clone(), &["-H", "Idempotency-Key: b"], 422, "invalid"),
        // Tricks with the path.
        (
            "/api/v1/warnings/near/../far/actions",
            town,
            good.clone(),
            &[],
            404,
            "no_such_path",
        ),
        (
            "/api/v1/warnings/../actions",
            town,
            good.clone(),
            &[],
            404,
            "unknown_case",
        ),
        (
            "/api/v1/warnings/%2e%2e/actions",
            town,
            good.clone(),
            &[],
            404,
            "unknown_case",
        ),
        (
            "/api/v1/warnings/near%2f..%2ffar/actions",
            town,
            good.clone(),
            &[],
            404,
            "unknown_case",
        ),
        (
            "/api/v1/warnings/near%00/actions",
            town,
            good.clone(),
            &[],
            404,
            "unknown_case",
        ),
        (
            "/api/v1/warnings/%ff%fe/actions",
            town,
            good.clone(),
            &[],
            404,
            "no_such_path",
        ),
        (
            "/api/v1/warnings//actions",
            town,
            good.clone(),
            &[],
            404,
            "no_such_path",
        ),
        (
            "/api/v1/warnings/near/actions/",
            town,
            good.clone(),
            &[],
            404,
            "no_such_path",
        ),
        (
            "//api/v1/warnings/near/actions",
            town,
            good.clone(),
            &[],
            404,
            "no_such_path",
        ),
        (&long, town, good.clone(), &[], 404, "unknown_case"),
        ("/api/v1/warnings/near", town, good.clone(), &[], 405, "method"),
        (&near, town, good, &["-X", "PUT"], 405, "method"),
    ];
    for (path, token, body, more, status, outcome) in cases {
        let before = desk.count(outcome);
        let got = desk.post(path, token, &body, more);
        let about = format!("{} {more:?}: {}", &path[..path.len().min(60)], got.body);
        assert_eq!(got.status, status, "{about}");
        assert!(got.json()["error"].is_string(), "{about}");
        assert_eq!(desk.count(outcome), before + 1, "{about}");
        assert_eq!(
            got.headers.contains("www-authenticate: bearer"),
            status == 401,
            "{about}"
        );
    }
    assert_eq!(desk.count("accepted") + desk.count("replayed"), 0);
    assert_eq!(desk.written(), Vec::<Value>::new());
}

#[test]
fn a_good_action_is_durable_when_it_is_answered_and_is_appended_once() {
    let desk = Desk::open();
    let got = desk.act("near", &comment("a"));
    assert_eq!(got.status, 202, "{}", got.body);
    let answer = got.json();
    let written = desk.written();
    assert_eq!(written.len(), 1);
    let (key, value) = (&written[0]["key"], &written[0]["value"]);
    assert_eq!(
        (key.as_str(), answer["id"].as_str(), answer["offset"].as_u64()),
        (Some("near"), Some("a"), Some(0))
    );
    let fields = ["warning", "actor", "role", "unit", "text", "action"].map(|name| value[name].as_str().unwrap());
    assert_eq!(fields, ["near", "town", "duty", "unit-330902001", "seen", "comment"]);
    assert!(value["time"].is_string());

    // The same again, by a body that is written otherwise; and the identifier in the header.
    let again = desk.act(
        "near",
        &json!({"text": "seen", "action": "comment", "id": "a", "role": "duty", "unit": null}),
    );
    assert_eq!((again.status, again.json()), (200, answer.clone()));
    let header = ["-H", "Idempotency-Key: \"a\""];
    let body = json!({"text": "seen", "action": "comment"}).to_string();
    let again = desk.post(&actions_of("near"), Some(TOWN), &body, &header);
    assert_eq!((again.status, again.json()), (200, answer));
    // Another action must not pass for the same.
    let other = desk.act(
        "near",
        &json!({"id": "a", "action": "comment", "text": "something else"}),
    );
    assert_eq!(other.status, 422, "{}", other.body);
    assert_eq!(desk.written().len(), 1);
    // Of another case it is another action.
    assert_eq!(desk.act("incident", &comment("a")).status, 202);
    assert_eq!(desk.written().len(), 2);
    let counts = ["accepted", "replayed", "conflict"].map(|outcome| desk.count(outcome));
    assert_eq!(counts, [2, 2, 1]);
}

#[test]
fn a_token_acts_in_its_region_and_overrides_where_it_may() {
    let desk = Desk::open();
    let archive = json!({
        "id": "z", "action": "archive", "override": true, "text": "told by phone", "actor": "city", "unit": "unit-3309",
        "time": "2026-01-02T03:04:05+08:00",
    });
    let got = desk.post(&actions_of("far"), Some(CITY), &archive.to_string(), &[]);
    assert_eq!(got.status, 202, "{}", got.body);
    let value = desk.written()[0]["value"].clone();
    assert_eq!((&value["actor"], &value["override"]), (&json!("city"), &json!(true)));
    assert_eq!(value["time"], "2026-01-01T19:04:05.000Z");
}

/// By the clock of the job, which an epoch told last, or which went on since.
#[test]
fn what_the_job_would_refuse_for_its_time_is_refused_at_once() {
    let desk = Desk::open();
    let now: Millis = "2026-01-02T00:00:00Z".parse().unwrap();
    desk.handles.now.store(now.0, Ordering::Release);
    desk.handles
        .clock_off
        .store(crate::chaos::now() - now.0, Ordering::Release);
    let done = |id: &str, time: &str| json!({ "id": id, "action": "comment", "text": "seen", "time": time });
    let got = desk.act("near", &done("b", "2026-01-01T00:00:02Z"));
    assert_eq!(got.status, 202, "{}", got.body);
    for (time, border) in [
        ("2025-12-31T23:59:59.999Z", "give at least 2026-01-01T00:0"),
        ("2026-01-02T00:11:00.000Z", "give at most 2026-01-02T00:01"),
    ] {
        let got = desk.act("near", &done("a", time));
        assert_eq!(got.status, 422, "{}", got.body);
        assert!(
            got.body.contains(&format!("`time` is {time}")) && got.body.contains(border),
            "{}",
            got.body
        );
    }
    assert_eq!(desk.written().len(), 1);
    // What counts already is no other for having become old.
    desk.handles.now.store(now.0 + 86_400_000, Ordering::Release);
    assert_eq!(desk.act("near", &done("b", "2026-01-01T00:00:02Z")).status, 200);
    assert_eq!(desk.act("near", &done("c", "2026-01-01T00:00:02Z")).status, 422);
    // One field by two names, and by one.
    let twice = json!({ "id": "d", "action": "comment", "text": "x", "case": "near", "warning": "near" });
    assert_eq!(desk.act("near", &twice).status, 400);
    let body = r#"{"id": "d", "action": "comment", "text": "x", "text": "y"}"#;
    assert_eq!(desk.post(&actions_of("near"), Some(TOWN), body, &[]).status, 400);
}

#[test]
fn without_the_setting_there_is_no_way_in() {
    let desk = Desk::with(tempfile::tempdir().unwrap(), None, None);
    let got = desk.post(&actions_of("near"), Some(TOWN), &comment("a").to_string(), &[]);
    assert_eq!(got.status, 404);
    let read = curl(&desk.url("/api/v1/warnings/near"), &[]).unwrap();
    assert_eq!(read.json()["item"]["id"], "near");
}

#[test]
fn before_the_job_knows_its_cases_it_asks_to_come_again() {
    let desk = Desk::open();
    desk.handles.ready.store(false, Ordering::Release);
    let got = desk.act("near", &comment("a"));
    assert_eq!(
        (got.status, got.headers.contains("retry-after: 1")),
        (503, true),
        "{}",
        got.headers
    );
    assert_eq!((desk.count("not_ready"), desk.written().len()), (1, 0));
}

struct Broken;

impl Append for Broken {
    fn append(&mut self, records: &[InRecord]) -> Vec<Result<Appended, AppendError>> {
        let topic = Topic::IN_ACTION;
        records.iter().map(|_| Err(AppendError::Files { topic })).collect()
    }
}

#[test]
fn what_cannot_be_appended_is_not_accepted() {
    let desk = Desk::with(tempfile::tempdir().unwrap(), Some(Box::new(Broken)), None);
    for _ in 0..2 {
        assert_eq!(desk.act("near", &comment("a")).status, 503);
    }
    assert_eq!((desk.count("failed"), desk.count("replayed")), (2, 0));
}

#[test]
fn http_and_a_shell_write_side_by_side() {
    let desk = Desk::open();
    let path = format!("input.path={:?}", desk.folder.path());
    let answers: Vec<Value> = std::thread::scope(|scope| {
        let shells = (0..4).map(|writer| {
            let path = &path;
            scope.spawn(move || {
                let mut answers = Vec::new();
                for number in 0..5 {
                    let id = format!("shell-{writer}-{number}");
                    let arguments = [
                        "act", "near", "ack", "--actor", "li", "--role", "duty", "--id", &id, "--json",
                    ];
                    let output = riskflow(&arguments, &[path]);
                    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                    answers.push(serde_json::from_slice(&output.stdout).unwrap());
                }
                answers
            })
        });
        let shells: Vec<_> = shells.collect();
        let mut answers: Vec<Value> = (0..20)
            .map(|number| desk.act("near", &comment(&format!("http-{number}"))).json())
            .collect();
        answers.extend(shells.into_iter().flat_map(|shell| shell.join().unwrap()));
        answers
    });
    let offsets: BTreeSet<u64> = answers
        .iter()
        .map(|answer| answer["offset"].as_u64().unwrap())
        .collect();
    assert_eq!(offsets, (0..40).collect());
    let written = desk.written();
    for answer in &answers {
        let at = answer["offset"].as_u64().unwrap() as usize;
        assert_eq!(written[at]["value"]["id"], answer["id"]);
    }
}

#[test]
fn act_says_what_is_wrong_and_makes_no_topic() {
    let folder = tempfile::tempdir().unwrap();
    let path = format!("input.path={:?}", folder.path());
    let act = |more: &[&str]| {
        let output = riskflow(
            &[&["act", "w", "comment", "--actor", "li"][..], more].concat(),
            &[&path],
        );
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = act(&[]);
    assert!(code == Some(2) && said.contains("`text` is missing"), "{said}");
    let (code, said) = act(&["--text", "x"]);
    assert!(code == Some(3) && said.contains("riskflow topics --create"), "{said}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let files = [
        "input.kind=files",
        "input.clock=arrival",
        "input.files=[{ path = \"x\", topic = \"in.action\" }]",
    ];
    let output = riskflow(&["act", "w", "call", "--actor", "li"], &files);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(2) && said.contains("the input is files"),
        "{said}"
    );
}

/// A certificate of loopback that nobody vouches for, and its key.
fn certificate(folder: &Path, name: &str) -> TlsSettings {
    let tls = TlsSettings {
        certificate: folder.join(format!("{name}.cert.pem")),
        key: folder.join(format!("{name}.key.pem")),
    };
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "1",
        ])
        .args([
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
        ])
        .arg(&tls.key)
        .arg("-out")
        .arg(&tls.certificate)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    tls
}

#[test]
fn with_tls_it_is_https_only() {
    let folder = tempfile::tempdir().unwrap();
    let tls = certificate(folder.path(), "one");
    let trusted = tls.certificate.clone();
    let desk = Desk::with(folder, Some(Box::new(Broken)), Some(tls));
    let trusted = ["--cacert", trusted.to_str().unwrap()];
    assert_eq!(curl(&desk.url("/healthz"), &trusted).unwrap().body, "ok\n");
    let got = desk.post(&actions_of("near"), None, &comment("a").to_string(), &trusted);
    assert_eq!(got.status, 401);
    assert!(
        curl(&desk.url("/healthz"), &[]).is_none(),
        "nobody vouches for this certificate"
    );
    let plain = desk.url("/healthz").replace("https", "http");
    assert!(curl(&plain, &[]).is_none(), "plain HTTP");
    let asked = riskflow(&["health", "--url", &desk.url("")], &[]);
    let said = String::from_utf8_lossy(&asked.stdout).into_owned();
    assert_eq!((asked.status.code(), said.as_str()), (Some(0), "live\n"), "{asked:?}");
}

#[test]
fn a_new_certificate_is_shown_to_connections_to_come_and_a_bad_one_to_none() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (certificate(folder.path(), "old"), certificate(folder.path(), "new"));
    let other_key = TlsSettings {
        certificate: new.certificate.clone(),
        key: old.key.clone(),
    };
    let elsewhere = tempfile::tempdir().unwrap();
    let desk = Desk::with(elsewhere, Some(Box::new(Broken)), Some(old.clone()));
    let taken = |tls: &TlsSettings| {
        let trusted = ["--cacert", tls.certificate.to_str().unwrap()];
        curl(&desk.url("/healthz"), &trusted).is_some()
    };
    let settings = |tls: &TlsSettings| HttpSettings {
        tls: Some(tls.clone()),
        ..HttpSettings::at(desk.server.address)
    };
    let control = desk.server.control();
    assert!(control.prepare(&settings(&other_key)).is_err(), "not its key");
    assert_eq!((taken(&old), taken(&new)), (true, false));
    let Ok(prepared) = control.prepare(&settings(&new)) else {
        panic!("a certificate with its key")
    };
    assert_eq!((taken(&old), taken(&new)), (true, false), "prepared is not in force");
    control.apply(prepared);
    assert_eq!((taken(&old), taken(&new)), (false, true));
    // Those who may act are as before.
    let trusted = ["--cacert", new.certificate.to_str().unwrap()];
    let acted = desk.post(&actions_of("near"), Some(TOWN), &comment("a").to_string(), &trusted);
    assert_ne!(acted.status, 401);
}

#[test]
fn cases_responses_and_reports_can_be_read() {
    let desk = Desk::open();
    let total = |path: &str| {
        let got = curl(&desk.url(path), &[]).unwrap();
        (got.status, got.json()["total"].as_u64())
    };
    for (path, expected) in [
        ("/api/v1/cases", 1),
        (
            "/api/v1/cases?within=330902001&domain=public_safety&step=dispatched&least=orange",
            1,
        ),
        ("/api/v1/cases?within=330903", 0),
        ("/api/v1/cases?step=issued", 0),
        ("/api/v1/cases?least=red", 0),
        ("/api/v1/cases?domain=lifeline", 0),
        ("/api/v1/responses?within=3309&domain=all", 0),
        ("/api/v1/reports?within=3309&module=x", 0),
    ] {
        assert_eq!(total(path), (200, Some(expected)), "{path}");
    }
    assert_eq!(curl(&desk.url("/api/v1/cases?step=nowhere"), &[]).unwrap().status, 400);
    assert_eq!(
        curl(&desk.url("/api/v1/cases/incident"), &[]).unwrap().json()["item"]["rule"],
        "fire"
    );
    assert_eq!(curl(&desk.url("/api/v1/cases/nobody"), &[]).unwrap().status, 404);
}

#[test]
fn a_checkpoint_is_asked_for_by_whoever_may_and_its_end_is_told() {
    let desk = Desk::open();
    let ask = |token: Option<&str>, query: &str| desk.post(&format!("/api/v1/checkpoints{query}"), token, "", &[]);
    for (token, query, status) in [
        (None, "", 401),
        (Some(TOWN), "", 403),
        (Some(CITY), "?pin=1", 422),
        (Some(CITY), "?name=before", 400),
        // No job runs here.
        (Some(CITY), "", 503),
    ] {
        let got = ask(token, query);
        assert_eq!(got.status, status, "{token:?} {query}: {}", got.body);
    }
    let asked = &desk.handles.checkpoints;
    asked.open();
    let got = ask(Some(CITY), "?pin=before");
    assert_eq!((got.status, got.json()), (202, json!({"request": 1, "joined": false})));
    assert_eq!(ask(Some(CITY), "").json()["joined"], true);
    asked.begin();
    let settle = || asked.settle(Millis(1_627_171_200_000), 770, std::time::Duration::from_millis(12));
    assert_eq!(settle().into_iter().collect::<Vec<_>>(), ["before"]);
    assert!(settle().is_empty());
    let bearer = format!("Authorization: Bearer {CITY}");
    let look = |request: &str| {
        let url = desk.url(&format!("/api/v1/checkpoints/{request}"));
        curl(&url, &["-H", &bearer]).unwrap()
    };
    let got = look("1");
    let told = got.json();
    assert_eq!((got.status, &told["state"]), (200, &json!("whole")), "{told}");
    assert_eq!(
        (&told["pins"], &told["bytes"]),
        (&json!(["before"]), &json!(770)),
        "{told}"
    );
    assert_eq!((look("2").status, look("x").status), (404, 404));
    let nobody = curl(&desk.url("/api/v1/checkpoints/1"), &[]).unwrap();
    assert_eq!(nobody.status, 401);
}
