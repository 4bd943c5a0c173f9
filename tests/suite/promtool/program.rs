//! promtool itself: what it makes of some rules, found by telling it what to expect.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::Command;

use serde_json::{Value, json};

use super::pair::rule_name;

/// One alerting rule with its series, and the answer that promtool is to confirm.
pub struct Asked {
    pub number: usize,
    pub series: Value,
    pub alert: Value,
    /// Minute by minute.
    pub on: Vec<bool>,
}

/// Whether promtool is there. Where it is not, that is said; with `RISKFLOW_REQUIRE_PROMTOOL=1` it fails.
pub fn is_there() -> bool {
    let there = Command::new("promtool").arg("--version").output().is_ok();
    if !there {
        let required = std::env::var("RISKFLOW_REQUIRE_PROMTOOL").is_ok_and(|value| value == "1");
        assert!(
            !required,
            "promtool is not installed (Debian: apt-get install prometheus)"
        );
        let not_run = "\n*** NOT RUN: rules against promtool: Debian: apt-get install prometheus ***";
        let _ = writeln!(std::io::stderr(), "{not_run}");
    }
    there
}

/// Where promtool answers otherwise: (rule, minute).
pub fn differences(asked: &[Asked]) -> BTreeSet<(usize, usize)> {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, value: &Value| std::fs::write(folder.path().join(name), value.to_string()).unwrap();
    let rules: Vec<&Value> = asked.iter().map(|one| &one.alert).collect();
    write(
        "rules.yml",
        &json!({ "groups": [{ "name": "rules", "interval": "1m", "rules": rules }] }),
    );
    let series: Vec<&Value> = asked.iter().map(|one| &one.series).collect();
    let answer = |one: &Asked, minute: usize, on: bool| {
        // Without labels and annotations.
        let alerts = if on { json!([{}]) } else { json!([]) };
        json!({ "eval_time": format!("{minute}m"), "alertname": rule_name(one.number), "exp_alerts": alerts })
    };
    let answers: Vec<Value> = asked
        .iter()
        .flat_map(|one| {
            one.on
                .iter()
                .enumerate()
                .map(move |(minute, on)| answer(one, minute, *on))
        })
        .collect();
    write(
        "test.yml",
        &json!({
            "rule_files": ["rules.yml"], "evaluation_interval": "1m",
            "tests": [{ "interval": "1m", "input_series": series, "alert_rule_test": answers }],
        }),
    );
    let output = Command::new("promtool")
        .args(["test", "rules", "test.yml"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let found: BTreeSet<(usize, usize)> = said.lines().filter_map(difference).collect();
    assert_eq!(
        (output.status.success(), said.contains("SUCCESS")),
        (found.is_empty(), found.is_empty()),
        "promtool failed otherwise: {said}"
    );
    found
}

/// A line such as `alertname: rule_7, time: 1h2m, `.
fn difference(line: &str) -> Option<(usize, usize)> {
    let (name, rest) = line.trim().strip_prefix("alertname: rule_")?.split_once(", time: ")?;
    let time = rest.trim_end().trim_end_matches(',');
    let (hours, minutes) = time.split_once('h').unwrap_or(("0", time));
    let minutes = minutes.trim_end_matches("0s").trim_end_matches('m');
    let number = |text: &str| match text {
        "" => 0,
        text => text.parse::<usize>().unwrap_or_else(|_| panic!("promtool says {line}")),
    };
    Some((number(name), number(hours) * 60 + number(minutes)))
}
