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
#[expect(clippy::too_many_lines, reason = "one file a line, and nothing else")]
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

/// Whose thresholds hold, and which of assets and regions are for nothing.
#[test]
fn thresholds_from_elsewhere_are_counted_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let rules = write(at, "new.json", &rule("depth", 1, "5"));
    let base = at.join("base");
    std::fs::create_dir(&base).unwrap();
    let asset = ASSETS.replace("}", r#","thresholds":{"depht":{"red":1},"depth":{"orange":7}}}"#);
    write(&base, "base.asset.json", &asset);
    let region = r#"{"code":"3309","name":"z","thresholds":{"depth":{"blue":4,"blue.x":3}}}"#;
    write(&base, "base.region.json", region);
    let rows = [
        datastream("d1", "depth", "{}"),
        datastream("d2", "depth", r#"{"depth":{"blue":6}}"#),
    ];
    write(&base, "base.datastream.json", &format!("[{},{}]", rows[0], rows[1]));
    let base = base.to_str().unwrap();
    let (code, out, err) = check(&["--rules", &rules, "--base", base, "--json"]);
    assert_eq!(code, Some(2), "{out}{err}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let of = &report["rules"][0]["thresholds_of"];
    assert_eq!(*of, json!({ "datastream": 1, "region 3309": 1 }));
    let told: Vec<Value> = report["unmatched"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| json!([row["kind"], row["asset"], row["region"]]))
        .collect();
    let expected = [
        json!(["asset_rule_missing", "a", null]),
        json!(["asset_names_nothing", "a", null]),
        json!(["region_names_nothing", null, "3309"]),
    ];
    assert_eq!(told, expected);
    let (_, out, _) = check(&["--rules", &rules, "--base", base]);
    for says in [
        "rule `depth`: so many datastreams go by thresholds of the datastream (1), region 3309 (1)",
        "asset `a`: `thresholds.depht` is for a rule that does not exist",
        "region `3309`: rule `depth`: `blue.x` names no level or comparison of the rule, so that threshold is not used",
    ] {
        assert!(out.contains(says), "{says}:\n{out}");
    }
}

/// What a rule will hardly mean is told, and fails only where that is asked for.
#[test]
fn what_a_rule_will_hardly_mean_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let hasty = r#"{"id":"depth","version":1,"pane":"1m","select":{"observed_property":"depth"},"levels":{"blue":{
        "when":{"feature":"last","window":"5m","op":">=","threshold":3},"hold":"20m"}}}"#;
    let rules = write(at, "new.json", hasty);
    write(at, "base.asset.json", ASSETS);
    let row = datastream("d1", "depth", "{}")
        .replace('}', "")
        .replace("thresholds\":{", "interval\":\"15m\"}");
    let datastreams = write(at, "base.datastream.json", &row);
    let assets = at.join("base.asset.json").to_str().unwrap().to_owned();
    let base = ["--rules", &rules, "--base", &assets, &datastreams];
    let (code, out, err) = check(&[&base[..], &["--json"]].concat());
    assert_eq!(code, Some(0), "{out}{err}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let found: Vec<&Value> = report["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["path"])
        .collect();
    let window = "levels.blue.when.window";
    assert_eq!(found, [window, window, "levels.blue.hold"]);
    assert_eq!(
        (&report["ok"], &report["warnings"][1]["rule"]),
        (&json!(true), &json!("depth"))
    );
    let (code, out, _) = check(&[&base[..], &["--strict"]].concat());
    assert_eq!(code, Some(2), "{out}");
    assert!(out.contains("`5m`, and `d1` reports every `15m`"), "{out}");
    let (_, out, _) = check(&[&base[..], &["--set", "time.horizon=1h"]].concat());
    assert!(!out.contains("levels.blue.hold"), "{out}");
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
    put(Topic::BASE_ASSET, &[("a", Some(ASSETS))]);
    put(
        Topic::BASE_DATASTREAM,
        &[("d", Some(&datastream("d", "depth", r#"{"flood":{"red":1}}"#)))],
    );
    put(
        Topic::IN_RULE,
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

/// What the published schema says of a rule, and what reading it says.
#[test]
fn the_schema_of_rules_refuses_what_reading_refuses() {
    let schema = serde_json::to_value(riskflow_model::schema::of_topic(Topic::IN_RULE)).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let last = r#"{"feature":"last","window":"15m","op":">=","threshold":0.2}"#;
    let of = |when: &str| {
        format!(r#"{{"id":"r","version":1,"select":{{"observed_property":"x"}},"levels":{{"red":{{"when":{when}}}}}}}"#)
    };
    let good = of(last);
    let bad = [
        of(&format!(r#"{{"any":[{last}],"all":[{last}]}}"#)),
        of(&format!(r#"{{"any":[{last}],"op":">="}}"#)),
        of(&format!(r#"{{"all":[{last}],"none_of":[]}}"#)),
        of(&format!(
            r#"{{"any":[{{"all":[{last},{}]}}]}}"#,
            last.replace("window", "windw")
        )),
        of(&format!("[{last}]")),
        of(r#"{"any":[]}"#),
        of(&last.replace("0.2", r#""0.2""#)),
        of(&last.replace("0.2", "2e13")),
        of(&last.replace(r#""15m""#, "900")),
        of(&last.replace(r#""window":"15m","#, "")),
        of(&last.replace("last", "silence")),
        of(&last.replace("last", "latest")),
        of(&last.replace(">=", "==")),
        of(&last.replace(r#""op":">=","#, "")),
        of(&last.replace("}", r#","name":""}"#)),
        good.replace("red", "Red"),
        good.replace("red", "none"),
        good.replace(r#""red""#, r#""rot":{},"red""#),
        good.replace(r#""version":1"#, r#""version":0"#),
        good.replace(r#""version":1"#, r#""version":"1""#),
        good.replace(r#""id":"r""#, r#""id":"""#),
        good.replace(r#""id":"r","#, ""),
        good.replace(r#""id":"r""#, r#""id":null"#),
        good.replace(r#""version":1"#, r#""version":1,"verson":2"#),
        good.replace("observed_property", "property"),
        good.replace("}}}}", r#"},"hold":60}}}"#),
        good.replace("}}}}", r#"},"margin":-1}}}"#),
        good.replace("}}}}", r#"},"hould":"1m"}}}"#),
    ];
    let verdicts = |text: &String| {
        let value: Value = serde_json::from_str(text).unwrap();
        let read = riskflow_config::Rule::from_json(text.as_bytes());
        (validator.is_valid(&value), read.is_ok())
    };
    for text in bad {
        assert_ne!(text, good);
        assert_eq!(verdicts(&text), (false, false), "{text}");
    }
    let nulls = good
        .replace(r#""version":1"#, r#""version":1,"name":null,"source":null,"pane":null"#)
        .replace(
            r#""x""#,
            r#""x","category":null,"domain":null,"region":null,"tags":null"#,
        )
        .replace("0.2}", r#"0.2,"name":null},"hold":null,"margin":null,"clear":null"#);
    let silence = of(r#"{"all":[{"any":[{"feature":"silence","op":">","threshold":60,"window":null}]}]}"#);
    for text in [good, nulls, silence] {
        assert_eq!(verdicts(&text), (true, true), "{text}");
    }
}
