//! A sweep in a job on the embedded log: loaded, compared with what is live, one of its sets promoted, and dropped.

use std::path::Path;
use std::process::Output;

use riskflow_model::topic::Topic;
use serde_json::{Value, json};

use super::jobs::{Serving, append, empty_log, on_log, texts};
use super::riskflow;
use super::rule_sets::{line, records};
use crate::kafka::now;

/// Assets with a datastream each, and what is read there last. Before that the pump was at 45.
const READINGS: [(&str, i64); 5] = [("calm", 10), ("pipe", 45), ("pump", 55), ("tank", 55), ("well", 59)];

/// For each value how many rows there are: `only_live`, `only_set`, `level`, `since`. At 40 only the set warns of the pipe, and of the pump
/// since an earlier time; at 50 it is the rule that is live; at 60 pump and tank are below it, and the well is blue, not yellow.
const COUNTS: [(&str, [u64; 4]); 3] = [("40", [0, 1, 0, 1]), ("50", [0, 0, 0, 0]), ("60", [2, 0, 1, 0])];

const KINDS: [&str; 4] = ["only_live", "only_set", "level", "since"];

/// A log with one rule: yellow from 50 on, blue for an hour after 58.
fn log(folder: &Path) -> [String; 3] {
    let sets = empty_log(folder);
    let put = |topic: Topic, key: &str, row: &Value| append(folder, topic, key, &row.to_string());
    put(
        Topic::BASE_REGION,
        "330902",
        &json!({ "code": "330902", "name": "定海区" }),
    );
    let levels = json!({
        "blue": { "when": { "feature": "max", "window": "1h", "op": ">=", "threshold": 58 } },
        "yellow": { "when": { "feature": "last", "window": "10m", "op": ">=", "threshold": 50 } },
    });
    let select = json!({ "observed_property": "gas" });
    let rule = json!({ "id": "gas", "version": 1, "source": "test", "select": select, "levels": levels });
    put(Topic::IN_RULE, "gas", &rule);
    let time = now();
    for (id, result) in READINGS {
        let asset = json!({ "id": id, "category": "plant", "domain": "work_safety", "region": "330902001001", "inherent_level": 2 });
        put(Topic::BASE_ASSET, id, &asset);
        let datastream = json!({ "id": id, "asset": id, "observed_property": "gas" });
        put(Topic::BASE_DATASTREAM, id, &datastream);
        let read = |time: i64, result: i64| {
            let row = json!({ "datastream": id, "phenomenon_time": time, "result": result });
            put(Topic::IN_OBSERVATION, id, &row);
        };
        if id == "pump" {
            read(time - 2_000, 45);
        }
        read(time, result);
    }
    sets
}

/// Waits until a list has so many rows that fit, and no others.
fn until(job: &Serving, path: &str, count: usize, fits: impl Fn(&Value) -> bool) {
    job.until(&format!("/api/v1/{path}"), |body| {
        let page: Value = serde_json::from_str(body).ok()?;
        let items = page["items"].as_array()?;
        (items.len() == count && items.iter().all(&fits)).then_some(())
    });
}

/// What `rules diff` is to say to machines of the sweep, where another set is live.
fn counted(live: &str, counts: [(&str, [u64; 4]); 3]) -> Value {
    let sets = counts.map(|(value, counts)| {
        let set = format!("wet-{value}");
        let named = KINDS.iter().zip(counts);
        let warnings: Value = named.map(|(kind, count)| ((*kind).to_owned(), json!(count))).collect();
        json!({ "live": set == live, "set": set, "value": value, "in_force": true, "warnings": warnings })
    });
    json!({ "sweep": "wet", "live": live, "sets": sets })
}

/// `riskflow rules` beside the job.
struct Rules<'a>(&'a [String; 3]);

impl Rules<'_> {
    fn ran(&self, arguments: &[&str]) -> Output {
        riskflow(&[&["rules"][..], arguments].concat(), &texts(self.0))
    }

    fn said(&self, arguments: &[&str]) -> String {
        let output = self.ran(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.said(arguments)).unwrap()
    }

    fn refused(&self, arguments: &[&str], says: &str) {
        let output = self.ran(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(says), "{arguments:?}: {error}");
    }
}

/// What `rules diff` says to people of the sweep, while `default` is live.
fn the_table_is_whole(diff: &str) {
    assert_eq!(line(diff, &["set"]), [&["set"][..], &KINDS].concat());
    for (value, counts) in COUNTS {
        let set = format!("wet-{value}");
        let counts = counts.map(|count| count.to_string());
        let mut words = vec![set.as_str(), "candidate"];
        words.extend(counts.iter().map(String::as_str));
        assert_eq!(line(diff, &[set.as_str()]), words);
    }
}

#[test]
fn a_sweep_is_loaded_compared_promoted_from_and_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let sets = log(folder.path());
    let job = on_log(&sets);
    until(&job, "warnings", 3, |row| row["level"] == "yellow");
    let rules = Rules(&sets);

    rules.said(&[
        "load",
        "--into",
        "wet",
        "--base",
        "default",
        "--sweep",
        "gas.yellow=40..60/10",
    ]);
    until(&job, "rulesets", 4, |row| row["in_force"] == true && row["own"] == 1);
    until(&job, "rulesets/difference", 5, |row| row["set"] != "wet-50");
    let listed = rules.said(&["sets"]);
    let sweep: Vec<&str> = "wet: 40, 50, 60 sweep, 3 of 3 evaluated default 1 1"
        .split(' ')
        .collect();
    assert_eq!(line(&listed, &["wet:"]), sweep);
    assert!(!listed.contains("wet-"), "{listed}");

    assert_eq!(rules.json(&["diff", "wet", "--json"]), counted("default", COUNTS));
    the_table_is_whole(&rules.said(&["diff", "wet"]));
    let of_one = rules.json(&["diff", "wet-60", "--json"]);
    assert_eq!(of_one["warnings"].as_array().unwrap().len(), 3, "{of_one}");

    rules.said(&["promote", "wet-40", "--wait=60s"]);
    until(&job, "warnings", 4, |row| row["level"] == "yellow");
    // Seen from 40: default and 50 lack the pipe, and 60 has only the well, of another level.
    let seen = [("40", [0, 0, 0, 0]), ("50", [1, 0, 0, 1]), ("60", [3, 0, 1, 0])];
    until(&job, "rulesets/difference", 8, |row| row["set"] != "wet-40");
    assert_eq!(rules.json(&["diff", "wet", "--json"]), counted("wet-40", seen));
    let listed = rules.said(&["sets"]);
    assert_eq!(line(&listed, &["wet-40"])[1], "live");
    assert_eq!(line(&listed, &["wet:"])[1..3], ["50,", "60"]);
    let before = records(&sets, Topic::IN_RULE).len();
    rules.refused(&["drop", "wet"], "`wet-40` is live");
    assert_eq!(records(&sets, Topic::IN_RULE).len(), before);

    rules.said(&["promote", "default", "--wait=60s"]);
    rules.said(&["drop", "wet"]);
    // With `default` alone there is nothing to tell of sets.
    for path in ["rulesets", "rulesets/difference", "candidates"] {
        until(&job, path, 0, |_| false);
    }
    until(&job, "warnings", 3, |row| row["level"] == "yellow");
    let listed = rules.said(&["sets"]);
    assert!(!listed.contains("wet"), "{listed}");
    rules.refused(
        &["diff", "wet"],
        "there is neither a set nor a sweep `wet`; give one of `default`",
    );
}
