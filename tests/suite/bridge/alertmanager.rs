//! Debian's Alertmanager: what it is told, and whom it tells then.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::receiver::{Receiver, Request};
use super::{Bridge, Place, notice, until};
use crate::actions::curl;
use crate::chaos::free;

const PROGRAM: &str = "prometheus-alertmanager";

/// Whether it is there. Where it is not, that is said; with `RISKFLOW_REQUIRE_ALERTMANAGER=1` it fails.
fn is_there() -> bool {
    let there = Command::new(PROGRAM).arg("--version").output().is_ok();
    if !there {
        let required = std::env::var("RISKFLOW_REQUIRE_ALERTMANAGER").is_ok_and(|value| value == "1");
        assert!(
            !required,
            "Alertmanager is not installed (Debian: apt-get install prometheus-alertmanager)"
        );
        let not_run =
            "\n*** NOT RUN: the bridge against Alertmanager: Debian: apt-get install prometheus-alertmanager ***";
        let _ = writeln!(std::io::stderr(), "{not_run}");
    }
    there
}

/// It tells a receiver of ours; killed when it is dropped.
struct Alertmanager {
    child: Child,
    _folder: TempDir,
}

impl Alertmanager {
    fn start(listens: SocketAddr, tells: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let configuration = folder.path().join("alertmanager.yml");
        let text = format!(
            "route: {{ receiver: duty, group_by: [case], group_wait: 100ms, group_interval: 1s, repeat_interval: 1h }}\n\
             receivers:\n- name: duty\n  webhook_configs: [{{ url: 'http://{tells}/', send_resolved: true }}]\n"
        );
        std::fs::write(&configuration, text).unwrap();
        let child = Command::new(PROGRAM)
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!("--storage.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={listens}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, _folder: folder }
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The alerts that stand in Alertmanager.
fn standing(listens: SocketAddr) -> Option<Vec<Value>> {
    let got = curl(&format!("http://{listens}/api/v2/alerts"), &[])?;
    serde_json::from_str(&got.body).ok()
}

/// The newest that people were told of an alert of this level.
fn told(requests: &[Request], level: &str) -> Option<Value> {
    let alerts = requests.iter().rev().flat_map(|request| {
        let told = request.json();
        told["alerts"].as_array().unwrap().clone()
    });
    let mut of_level = alerts.filter(|alert| alert["labels"]["level"] == level);
    of_level.next()
}

fn is(requests: &[Request], level: &str, status: &str) -> bool {
    told(requests, level).is_some_and(|alert| alert["status"] == status)
}

#[test]
fn alertmanager_shows_a_warning_calls_anew_when_it_rises_and_says_when_it_is_over() {
    if !is_there() {
        return;
    }
    let (place, people, listens) = (Place::new(), Receiver::in_turn(Vec::new()), free());
    let configuration = place.configure(&format!(
        "[bridge.alertmanager]\nurls = [\"http://{listens}\", \"http://127.0.0.1:1\"]\nrepeat = \"1s\"\nhold = \"1h\"\n\
         link = \"https://riskflow.example\"\n"
    ));
    // What was over before anyone heard of it is nobody's concern.
    place.commit(vec![
        notice(0, "old", "issued", "red"),
        notice(1, "old", "cleared", "red"),
        notice(2, "c", "issued", "yellow"),
    ]);
    // It may come up after the bridge.
    let mut bridge = Bridge::start(&configuration);
    let stuck = "riskflow_bridge_stuck_seconds{receiver=\"alertmanager\"}";
    until("it is not stuck", || bridge.metric(stuck).filter(|stuck| *stuck > 0.0));
    let _alertmanager = Alertmanager::start(listens, people.address);
    let requests = people.until("the warning", |requests| is(requests, "yellow", "firing"));
    let alert = told(&requests, "yellow").unwrap();
    let labels = json!({
        "alertname": "RiskWarning", "case": "c", "level": "yellow", "severity": "warning", "rule": "gas", "asset": "tank",
        "domain": "work_safety", "region": "330902001001",
    });
    assert_eq!(alert["labels"], labels);
    assert_eq!(alert["annotations"]["summary"], "Red warning: Tank 1");
    assert_eq!(alert["annotations"]["value"], "last 10m = 60.5 %");
    assert_eq!(alert["generatorURL"], "https://riskflow.example/api/v1/cases/c");
    bridge.until_metric(stuck, 0.0);

    place.commit(vec![notice(3, "c", "issued", "red")]);
    people.until("it rises", |requests| {
        is(requests, "red", "firing") && is(requests, "yellow", "resolved")
    });
    bridge.until_metric("riskflow_bridge_alerts", 1.0);
    // That of the other one, which is not there, holds nothing up.
    let retried = "riskflow_bridge_requests_total{outcome=\"retried\",receiver=\"alertmanager\"}";
    assert!(bridge.metric(retried).unwrap() > 0.0);

    // While nothing is heard of the bridge the warning stands.
    bridge.kill();
    let alerts = standing(listens).unwrap();
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    let ends: jiff::Timestamp = alerts[0]["endsAt"].as_str().unwrap().parse().unwrap();
    assert!(ends.as_millisecond() > crate::kafka::now() + 30 * 60_000, "{alerts:?}");
    place.commit(vec![notice(4, "c", "cleared", "red")]);
    // Another one is posted by a bridge that does not live to know, and is over before the next one begins.
    place.commit(vec![notice(5, "d", "issued", "orange")]);
    let mut dies = Bridge::start_to_die(&configuration, "bridge::posted", 0);
    assert!(!dies.child.wait().unwrap().success());
    people.until("it begins", |requests| is(requests, "orange", "firing"));
    place.commit(vec![notice(6, "d", "cleared", "orange")]);
    let _bridge = Bridge::start(&configuration);
    people.until("it is over, too", |requests| is(requests, "orange", "resolved"));
    people.until("it is over", |requests| is(requests, "red", "resolved"));
    until("it still stands", || standing(listens).filter(Vec::is_empty));
    let cases = people
        .requests()
        .iter()
        .all(|request| !request.body.contains("\"old\""));
    assert!(cases, "people were told of what was over long ago");
}
