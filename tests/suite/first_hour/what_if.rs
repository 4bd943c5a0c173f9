//! What if: a set whose rules see other results than came.

use std::fs;
use std::path::Path;

use riskflow_model::Millis;
use serde_json::{Value, json};

use super::Desk;

/// Ten days of the tide at Kanmen as the file has it: every ten minutes, in millimetres.
fn tide() -> Vec<(Millis, i64)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipeline/data/kanmen_tide_2021-07_10min.csv");
    let text = fs::read_to_string(file).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("time_utc,level_m_msl"));
    let rows = lines.take(10 * 24 * 6).map(|line| {
        let (time, level) = line.split_once(',').unwrap();
        let metres: f64 = level.parse().unwrap();
        (time.parse().unwrap(), (1_000.0 * metres).round() as i64)
    });
    rows.collect()
}

/// When the tide came to a level, each time.
fn comes_to(tide: &[(Millis, i64)], level: i64) -> Vec<Millis> {
    let mut is_there = false;
    let mut times = Vec::new();
    for (time, height) in tide {
        let before = std::mem::replace(&mut is_there, *height >= level);
        if is_there && !before {
            times.push(*time);
        }
    }
    times
}

/// When warnings were raised, by what stands in a file of a replay.
fn raised(desk: &Desk, topic: &str, set: Option<&str>) -> Vec<Millis> {
    let text = desk.read(&format!("out/{topic}.ndjson"));
    let deltas = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["value"].take());
    let raised = deltas.filter(|delta| {
        let is_of_set = set.is_none_or(|set| delta["set"] == set);
        delta["kind"] == "raised" && is_of_set
    });
    let since = raised.map(|delta| delta["since"].as_str().unwrap().parse().unwrap());
    let mut since: Vec<Millis> = since.collect();
    since.sort_unstable();
    since
}

#[test]
fn a_tide_that_is_higher_is_a_set_of_the_same_rules() {
    let desk = Desk::new();
    let tide = tide();
    let rows = tide.iter().map(|(time, level)| {
        let row = json!({ "datastream": "gauge", "phenomenon_time": time.0, "result": *level as f64 / 1_000.0 });
        format!("{row}\n")
    });
    desk.put("in.observation.ndjson", rows.collect::<String>());
    desk.put(
        "assets.csv",
        "id,category,domain,region,inherent_level\ngauge,tide_gauge,natural_hazard,330902001001,2\n",
    );
    desk.put(
        "datastreams.csv",
        "id,asset,observed_property,unit\ngauge,gauge,tide_level,m\n",
    );
    let when = json!({ "feature": "last", "window": "30m", "op": ">=", "threshold": 1.5 });
    let rule = json!({
        "id": "high", "version": 1, "source": "test", "select": { "observed_property": "tide_level" },
        "levels": { "blue": { "when": when } },
    });
    desk.put("high.json", rule.to_string());
    desk.run(&["rules", "load", "high.json"]).ends(0, &[]);
    let higher = ["rules", "load", "--into", "higher", "--adjust", "tide_level+0.3"];
    desk.run(&higher).ends(2, &["`higher` would have no rules", "--base"]);
    let with_base = [&higher[..], &["--base", "default"]].concat();
    desk.run(&[&with_base[..], &["--dry-run"]].concat())
        .ends(0, &["`higher` would have 1 rules, 0 of its own"]);
    assert!(desk.tail("in.ruleset").is_empty());
    let said = desk.run(&[&with_base[..], &["--json"]].concat());
    said.ends(0, &[]);
    let adjust = json!([{ "observed_property": "tide_level", "multiply": 1.0, "add": 0.3 }]);
    let said = said.json();
    assert_eq!(
        (&said["adjust"], &said["set"]["set"], &said["set"]["rules"]),
        (&adjust, &json!("higher"), &json!(1))
    );
    let written = desk.tail("in.ruleset");
    assert_eq!(written.len(), 1);
    let row = &written[0]["value"];
    assert_eq!(
        (&row["id"], &row["base"], &row["adjust"]),
        (&json!("higher"), &json!("default"), &adjust)
    );
    let wrong = [&with_base[..], &["--adjust", "tide_level", "--adjust", "tide_level*0"]].concat();
    desk.run(&wrong)
        .ends(2, &["`--adjust` is `tide_level`", "tide_level+0.3"]);
    let alone = ["rules", "load", "--adjust", "tide_level+0.3"];
    desk.run(&alone).ends(2, &["--into"]);

    desk.run(&["import", "assets.csv", "datastreams.csv", "in.observation.ndjson"])
        .ends(0, &[]);
    desk.run(&["replay", "--clock", "event-time", "--out", "out"])
        .ends(0, &[]);
    let (as_it_was, higher) = (comes_to(&tide, 1_500), comes_to(&tide, 1_200));
    assert!(
        as_it_was.len() > 5 && higher.len() > as_it_was.len(),
        "{} and {} tides",
        as_it_was.len(),
        higher.len()
    );
    assert_eq!(raised(&desk, "out.warning.delta", None), as_it_was);
    assert_eq!(raised(&desk, "out.candidate.delta", Some("higher")), higher);
}
