//! `riskflow check` tells before a rule goes live, or a release is upgraded, what would be refused and what meets what.

use std::path::Path;
use std::process::Command;

use riskflow_connectors::log::LogWriter;
use riskflow_model::Millis;
use riskflow_model::topic::Topic;
use serde_json::{Value, json};

fn check(arguments: &[&str]) -> (Option<i32>, String, String) {
    let program = std::env::current_exe()
        .unwrap()
        .ancestors()
        .nth(2)
        .unwrap()
        .join("riskflow");
    let output = Command::new(program).arg("check").args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

const ASSETS: &str =
    r#"{"id":"a","category":"tank","domain":"work_safety","region":"330902001001","inherent_level":4}"#;

fn rule(id: &str, version: u32, threshold: &str) -> String {
    format!(
        r#"{{"id":"{id}","version":{version},"select":{{"observed_property":"{id}"}},"levels":{{
            "blue":{{"when":{{"feature":"last","window":"1h","op":">=","threshold":{threshold}}}}},
            "red":{{"when":{{"feature":"last","window":"1h","op":">=","threshold":9}}}}}}}}"#
    )
}

fn datastream(id: &str, property: &str, thresholds: &str) -> String {
    format!(r#"{{"id":"{id}","asset":"a","observed_property":"{property}","thresholds":{thresholds}}}"#)
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn rules_in_files_are_checked_against_rows_in_files() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let one_line = |text: String| text.replace('\n', " ") + "\n";
    let good = [one_line(rule("depth", 1, "5")), one_line(rule("rain", 1, "5"))].concat();
    let rules = write(at, "new.ndjson", &good);
    std::fs::create_dir(at.join("base")).unwrap();
    let base = at.join("base").to_str().unwrap().to_owned();
    write(Path::new(&base), "base.asset.ndjson", ASSETS);
    let rows = [
        datastream("d1", "depth", "{}"),
        datastream("d2", "depth", r#"{"depth":{"blue":6}}"#),
    ];
    write(Path::new(&base), "datastreams.json", &format!("[{}]", rows.join(",")));
    write(Path::new(&base), "in.observation.ndjson", "{}");

    let (code, out, err) = check(&["--rules", &rules, "--base", &base, "--json"]);
    assert_eq!(code, Some(0), "{out}{err}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&report["ok"], &report["assets"], &report["datastreams"]),
        (&json!(true), &json!(1), &json!(2))
    );
    assert_eq!(report["rules"][0]["datastreams"], json!(["d1", "d2"]));
    assert_eq!(
        (&report["rules"][1]["id"], &report["rules"][1]["datastreams"]),
        (&json!("rain"), &json!([]))
    );

    let worse = rows[1].replace(r#""blue":6"#, r#""blue":10,"orange":1"#);
    write(Path::new(&base), "datastreams.json", &format!("[{},{worse}]", rows[0]));
    let bad = write(
        at,
        "bad.json",
        &format!("[{},{}]", rule("wind", 3, "\"5\""), rule("depth", 1, "5")),
    );
    let (code, out, _) = check(&["--rules", &rules, &bad, "--base", &base, "--json"]);
    assert_eq!(code, Some(2), "{out}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let refused = &report["refused"];
    assert_eq!(refused[0]["place"], json!(format!("{bad}[0]")));
    assert_eq!(refused[0]["reason"], "invalid_rule");
    assert_eq!(
        refused[0]["problems"],
        json!(["`levels.blue.when.threshold` is \"5\"; give a number"])
    );
    assert_eq!(refused[0]["in_force"], Value::Null);
    assert_eq!(
        (&refused[1]["reason"], &refused[1]["in_force"]["version"]),
        (&json!("given_twice"), &json!(1))
    );
    let kinds: Vec<&str> = report["unmatched"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["names_nothing", "out_of_order"]);

    let (code, out, _) = check(&["--rules", &rules, &bad, "--base", &base]);
    assert_eq!(code, Some(2));
    for says in [
        "bad.json[0] (in.rule): invalid_rule",
        "`levels.blue.when.threshold` is \"5\"; give a number",
        "datastream `d2`: rule `depth`: `red` at 9 is on more easily than `blue` at 10; the rule's own thresholds hold instead",
        "not ok: 2 rules, 1 assets, 2 datastreams; 2 refused, 2 that do not fit",
    ] {
        assert!(out.contains(says), "{says}:\n{out}");
    }
    let (code, _, err) = check(&["--rules", "nowhere.json"]);
    assert!(
        code == Some(2) && err.contains("`nowhere.json` is not readable"),
        "{err}"
    );
    let (code, _, err) = check(&["--base", &rules]);
    assert!(code == Some(2) && err.contains("give `TOPIC=FILE`"), "{err}");
}

#[test]
fn the_packs_are_clean() {
    let packs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/rules");
    let (code, out, err) = check(&["--rules", packs.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{out}{err}");
}

#[test]
fn the_input_is_checked_before_an_upgrade() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path();
    let put = |topic: Topic, records: &[(&str, Option<&str>)]| {
        let mut writer = LogWriter::open(log, topic.name(), 2).unwrap();
        for (key, payload) in records {
            let partition = writer.partition_of(Some(key.as_bytes()));
            let (key, payload) = (Some(key.as_bytes()), payload.map(str::as_bytes));
            writer.append(partition, Millis(0), key, payload).unwrap();
        }
        writer.sync().unwrap();
    };
    for topic in Topic::inputs() {
        put(topic, &[]);
    }
    let (one, inexact) = (rule("depth", 1, "5"), rule("depth", 2, "4.0001"));
    let (mended, gone) = (rule("rain", 2, "5"), rule("rain", 1, "50"));
    put(Topic::BaseAsset, &[("a", Some(ASSETS))]);
    put(
        Topic::BaseDatastream,
        &[("d", Some(&datastream("d", "depth", r#"{"flood":{"red":1}}"#)))],
    );
    put(
        Topic::InRule,
        &[
            ("depth", Some(&one)),
            ("depth", Some(&inexact)),
            ("rain", Some(&gone)),
            ("rain", Some(&mended)),
            ("wind", Some("{}")),
            ("wind", None),
        ],
    );
    let input = format!("input.path={:?}", log.to_str().unwrap());
    let (code, out, err) = check(&["--live", "--json", "--set", &input]);
    assert_eq!(code, Some(2), "{out}{err}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let refused = report["refused"].as_array().unwrap();
    assert_eq!(refused.len(), 1, "what was replaced is no matter: {out}");
    assert!(refused[0]["place"].as_str().unwrap().starts_with("in.rule/"), "{out}");
    assert_eq!(refused[0]["in_force"], json!({ "id": "depth", "version": 1 }));
    assert_eq!(report["rules"][0]["datastreams"], json!(["d"]));
    assert_eq!(report["unmatched"][0]["kind"], "rule_missing");
    assert_eq!(report["unmatched"][0]["mistake"], true, "all rules are known");

    // A new version of the rule that is wrong there, and what it would come to.
    let new = write(log, "new.json", &rule("depth", 3, "4"));
    let (_, out, _) = check(&["--live", "--rules", &new, "--json", "--set", &input]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["refused"], json!([]));
    assert_eq!(
        (&report["rules"][0]["version"], &report["rules"][0]["place"]),
        (&json!(3), &json!(new))
    );
}
