//! Rule sets of a job on the embedded log: what HTTP and the command line tell of them is what stands on the topics, and a promotion is one
//! record.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use riskflow_model::topic::Topic;
use serde_json::{Value, json};

use super::jobs::{Serving, append, empty_log, on_log, texts};
use super::{CITY, Got, TOWN, curl, riskflow};
use crate::kafka::now;

/// Assets with a datastream of the same name each: domain, region, observed property.
const ASSETS: [(&str, &str, &str, &str); 4] = [
    ("tank", "work_safety", "330902001001", "gas"),
    ("pipe", "lifeline", "330903001001", "gas"),
    ("well", "public_safety", "330903001002", "gas"),
    ("pump", "natural_hazard", "330902002001", "level"),
];

/// From how much on each level is.
type Levels = &'static [(&'static str, u32)];

/// Rules by the identifiers that they have on the topic: observed property, and from how much on each level is.
const RULES: [(&str, &str, Levels); 9] = [
    ("gas", "gas", &[("blue", 50), ("red", 70)]),
    ("storm", "gas", &[("blue", 50)]),
    ("level", "level", &[("blue", 50)]),
    ("kept", "gas", &[("orange", 75)]),
    ("other", "smoke", &[("blue", 1)]),
    ("strict/gas", "gas", &[("blue", 30), ("red", 55)]),
    ("strict/storm", "gas", &[("blue", 70)]),
    ("strict/level", "level", &[("blue", 35)]),
    ("strict/extra", "gas", &[("blue", 200)]),
];

/// How `strict` differs from what is live: rule, asset, kind, live level, its own level.
const DIFFERENCES: [(&str, &str, &str, &str, &str); 4] = [
    ("gas", "pipe", "only_set", "-", "blue"),
    ("gas", "tank", "level", "blue", "red"),
    ("level", "pump", "since", "blue", "blue"),
    ("storm", "tank", "only_live", "blue", "-"),
];

/// What `strict` would warn of: rule, asset, level.
const CANDIDATES: [(&str, &str, &str); 6] = [
    ("gas", "pipe", "blue"),
    ("gas", "tank", "red"),
    ("gas", "well", "red"),
    ("kept", "well", "orange"),
    ("level", "pump", "blue"),
    ("storm", "well", "blue"),
];

/// A log with the set `strict`, which has `default` as its base, and a set without rules.
fn log(folder: &Path) -> [String; 3] {
    let sets = empty_log(folder);
    let put = |topic: Topic, key: &str, row: &Value| append(folder, topic, key, &row.to_string());
    for (code, name) in [("330902", "定海区"), ("330903", "普陀区")] {
        put(Topic::BASE_REGION, code, &json!({ "code": code, "name": name }));
    }
    for (id, domain, region, property) in ASSETS {
        let asset = json!({ "id": id, "category": "plant", "domain": domain, "region": region, "inherent_level": 2 });
        put(Topic::BASE_ASSET, id, &asset);
        let datastream = json!({ "id": id, "asset": id, "observed_property": property });
        put(Topic::BASE_DATASTREAM, id, &datastream);
    }
    for (id, property, thresholds) in RULES {
        let levels = thresholds.iter().map(|(level, threshold)| {
            let when = json!({ "feature": "last", "window": "10m", "op": ">=", "threshold": threshold });
            ((*level).to_owned(), json!({ "when": when }))
        });
        let levels: serde_json::Map<String, Value> = levels.collect();
        let select = json!({ "observed_property": property });
        let rule = json!({ "id": id, "version": 1, "source": "test", "select": select, "levels": levels });
        put(Topic::IN_RULE, id, &rule);
    }
    let strict = json!({ "id": "strict", "base": "default", "removed": ["other"] });
    put(Topic::IN_RULESET, "strict", &strict);
    put(Topic::IN_RULESET, "empty", &json!({ "id": "empty" }));
    let time = now();
    // The level rises above the threshold of `strict` two seconds before it rises above that of `default`.
    for (id, time, result) in [
        ("tank", time, 60),
        ("pipe", time, 40),
        ("well", time, 80),
        ("pump", time - 2_000, 40),
        ("pump", time, 60),
    ] {
        let row = json!({ "datastream": id, "phenomenon_time": time, "result": result });
        put(Topic::IN_OBSERVATION, id, &row);
    }
    sets
}

/// A job that has told of all that there is.
fn serving(sets: &[String; 3]) -> Serving {
    let job = on_log(sets);
    job.until("/readyz", |body| (body == "live\n").then_some(()));
    job.until("/api/v1/candidates?set=strict", |body| {
        let page: Value = serde_json::from_str(body).ok()?;
        (page["total"] == CANDIDATES.len()).then_some(())
    });
    // Between the two observations of the pump only `strict` warns of it.
    job.until("/api/v1/rulesets/strict/difference", |body| {
        let page: Value = serde_json::from_str(body).ok()?;
        let pump = page["items"].as_array()?.iter().find(|row| row["asset"] == "pump")?;
        (page["total"] == DIFFERENCES.len() && pump["kind"] == "since").then_some(())
    });
    job
}

fn get(job: &Serving, path: &str) -> Got {
    curl(&job.url(&format!("/api/v1/{path}")), &[]).expect("an answer")
}

/// The rows that a list has.
fn items(job: &Serving, path: &str) -> Vec<Value> {
    let got = get(job, path);
    assert_eq!(got.status, 200, "{path}: {}", got.body);
    let page = got.json();
    let items = page["items"].as_array().unwrap().clone();
    assert_eq!(
        (&page["total"], &page["next"]),
        (&json!(items.len()), &Value::Null),
        "{path}"
    );
    items
}

/// Records of a topic as the program prints them: keys and values.
pub(super) fn records(sets: &[String; 3], topic: Topic) -> Vec<(String, Value)> {
    let said = riskflow(&["tail", topic.name(), "--json"], &texts(sets));
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let lines = String::from_utf8(said.stdout).unwrap();
    let records = lines.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        (line["key"].as_str().unwrap().to_owned(), line["value"].take())
    });
    records.collect()
}

/// The rows of an output table, without their epochs, in the order of their keys.
fn table(sets: &[String; 3], topic: Topic) -> Vec<Value> {
    let mut rows = BTreeMap::new();
    for (key, mut value) in records(sets, topic) {
        match value.as_object_mut() {
            Some(row) => {
                assert!(row.remove("epoch").is_some(), "{topic} {key}: no epoch");
                rows.insert(key, value);
            }
            None => drop(rows.remove(&key)),
        }
    }
    rows.into_values().collect()
}

/// Those of some rows that are as asked.
fn narrowed(rows: &[Value], fits: impl Fn(&Value) -> bool) -> Vec<Value> {
    rows.iter().filter(|row| fits(row)).cloned().collect()
}

fn is_of(row: &Value, field: &str, value: &str) -> bool {
    row[field] == value
}

/// Rule, asset, and what else is told of each row.
fn told<const N: usize>(rows: &[Value], fields: [&str; N]) -> BTreeSet<[String; N]> {
    let text = |row: &Value, path: &str| {
        let value = row.pointer(&format!("/{path}")).and_then(Value::as_str);
        value.unwrap_or("-").to_owned()
    };
    rows.iter().map(|row| fields.map(|field| text(row, field))).collect()
}

#[test]
fn what_is_told_of_rule_sets_over_http_is_what_stands_on_the_topics() {
    let folder = tempfile::tempdir().unwrap();
    let sets = log(folder.path());
    let job = serving(&sets);

    let states = items(&job, "rulesets");
    assert_eq!(states, table(&sets, Topic::RULESET));
    let state = |set: &str, live: bool, base: Value, rules: u32, own: u32| json!({ "set": set, "live": live, "in_force": true, "base": base, "sweep": null, "rules": rules, "own": own, "problems": [] });
    let expected = [
        state("default", true, Value::Null, 5, 5),
        state("empty", false, Value::Null, 0, 0),
        state("strict", false, json!("default"), 5, 4),
    ];
    assert_eq!(states, expected);
    assert_eq!(items(&job, "rulesets?set=strict"), expected[2..]);

    let all = table(&sets, Topic::RULESET_DIFFERENCE);
    let of_strict = narrowed(&all, |row| is_of(row, "set", "strict"));
    let fields = ["rule", "asset", "kind", "live/level", "candidate/level"];
    let expected: BTreeSet<[String; 5]> = DIFFERENCES
        .iter()
        .map(|(rule, asset, kind, live, candidate)| [*rule, *asset, *kind, *live, *candidate].map(str::to_owned))
        .collect();
    assert_eq!(told(&of_strict, fields), expected);
    // What warns of the same level since the same time in both sets is no difference: the well, under all its rules.
    assert!(of_strict.iter().all(|row| row["asset"] != "well"), "{of_strict:?}");
    let at = |row: &Value, side: &str| row[side]["since"].as_str().unwrap().parse::<riskflow_model::Millis>();
    let pump = of_strict.iter().find(|row| row["asset"] == "pump").unwrap();
    let lead = at(pump, "live").unwrap().0 - at(pump, "candidate").unwrap().0;
    assert_eq!(lead, 2_000, "{pump}");

    assert_eq!(items(&job, "rulesets/difference"), all);
    let path = "rulesets/strict/difference";
    assert_eq!(items(&job, path), of_strict);
    let lies = |row: &Value, county: &str| row["region"].as_str().unwrap().starts_with(county);
    for (filter, rows) in [
        ("within=330902", narrowed(&of_strict, |row| lies(row, "330902"))),
        ("within=330903", narrowed(&of_strict, |row| lies(row, "330903"))),
        (
            "domain=work_safety",
            narrowed(&of_strict, |row| is_of(row, "domain", "work_safety")),
        ),
        ("rule=gas", narrowed(&of_strict, |row| is_of(row, "rule", "gas"))),
        (
            "rule=gas&within=330903",
            narrowed(&of_strict, |row| is_of(row, "rule", "gas") && lies(row, "330903")),
        ),
    ] {
        assert!(
            (1..of_strict.len()).contains(&rows.len()),
            "{filter} does not narrow anything"
        );
        assert_eq!(items(&job, &format!("{path}?{filter}")), rows, "{filter}");
        let by_list = items(&job, &format!("rulesets/difference?set=strict&{filter}"));
        assert_eq!(by_list, rows, "{filter}");
    }
    for wrong in [
        "rulesets/strict/difference?least=red",
        "rulesets/strict/difference?set=strict",
    ] {
        let got = get(&job, wrong);
        assert_eq!(got.status, 400, "{wrong}: {}", got.body);
    }
    let got = get(&job, "rulesets/nowhere/difference").json();
    assert_eq!((&got["total"], got["notes"].is_array()), (&json!(0), true), "{got}");
}

#[test]
fn candidates_over_http_are_the_rows_of_their_topic() {
    let folder = tempfile::tempdir().unwrap();
    let sets = log(folder.path());
    let job = serving(&sets);
    let all = table(&sets, Topic::CANDIDATE_STATE);
    assert_eq!(items(&job, "candidates"), all);
    let expected: BTreeSet<[String; 4]> = CANDIDATES
        .iter()
        .map(|(rule, asset, level)| ["strict", *rule, *asset, *level].map(str::to_owned))
        .collect();
    assert_eq!(told(&all, ["set", "rule", "asset", "level"]), expected);
    for (filter, field, value, count) in [
        ("rule=gas", "rule", "gas", 3),
        ("domain=public_safety", "domain", "public_safety", 3),
        ("least=red", "level", "red", 2),
        ("within=330902002", "asset", "pump", 1),
    ] {
        let rows = narrowed(&all, |row| is_of(row, field, value));
        assert_eq!(rows.len(), count, "{filter}");
        assert_eq!(items(&job, &format!("candidates?{filter}")), rows, "{filter}");
    }
    let orange = narrowed(&all, |row| is_of(row, "level", "red") || is_of(row, "level", "orange"));
    assert_eq!(items(&job, "candidates?set=strict&least=orange"), orange);
    assert!(items(&job, "candidates?set=empty").is_empty());
}

/// Asks to make a set live.
fn promote(job: &Serving, set: &str, token: Option<&str>) -> Got {
    let bearer = token.map(|token| format!("Authorization: Bearer {token}"));
    let mut arguments = vec!["-X", "POST"];
    arguments.extend(bearer.iter().flat_map(|bearer| ["-H", bearer.as_str()]));
    let url = job.url(&format!("/api/v1/rulesets/{set}/promote"));
    curl(&url, &arguments).expect("an answer")
}

#[test]
fn a_promotion_over_http_is_one_record_and_what_is_refused_none() {
    let folder = tempfile::tempdir().unwrap();
    let sets = log(folder.path());
    let job = serving(&sets);
    let before = records(&sets, Topic::IN_RULESET);
    assert_eq!(before.len(), 2);
    for (set, token, status, says) in [
        ("strict", None, 401, "no token"),
        ("strict", Some("other"), 401, "not known"),
        ("strict", Some(TOWN), 403, "promote = true"),
        ("nowhere", Some(TOWN), 403, "promote = true"),
        ("nowhere", Some(CITY), 404, "no rule set `nowhere`"),
        ("empty", Some(CITY), 422, "no rules"),
    ] {
        let got = promote(&job, set, token);
        assert_eq!(got.status, status, "{set} {token:?}: {}", got.body);
        assert!(got.body.contains(says), "{set} {token:?}: {}", got.body);
    }
    let got = promote(&job, "default", Some(CITY));
    assert_eq!((got.status, got.json()), (200, json!({ "live": "default" })));
    assert_eq!(records(&sets, Topic::IN_RULESET), before);

    let got = promote(&job, "strict", Some(CITY));
    let answer = got.json();
    assert_eq!(
        (got.status, &answer["live"], &answer["before"]),
        (202, &json!("strict"), &json!("default"))
    );
    assert!(answer["partition"].is_u64() && answer["offset"].is_u64(), "{answer}");
    job.until("/api/v1/rulesets?set=strict", |body| {
        let page: Value = serde_json::from_str(body).ok()?;
        (page["items"][0]["live"] == true).then_some(())
    });
    let again = promote(&job, "strict", Some(CITY));
    assert_eq!((again.status, again.json()), (200, json!({ "live": "strict" })));
    let mut after = records(&sets, Topic::IN_RULESET);
    after.retain(|record| !before.contains(record));
    let [(key, row)] = after.as_slice() else {
        panic!("one record makes a set live: {after:?}")
    };
    assert_eq!(
        (key.as_str(), &row["id"], &row["set"], &row["before"]),
        ("live", &json!("live"), &json!("strict"), &json!("default"))
    );

    // What was a candidate is live, whole, and what was live a candidate, seen from the other side.
    let states = items(&job, "rulesets");
    let live = narrowed(&states, |row| row["live"] == true);
    assert_eq!(told(&live, ["set"]), BTreeSet::from([["strict".to_owned()]]));
    assert_eq!(states, table(&sets, Topic::RULESET));
    let expected: BTreeSet<[String; 3]> = CANDIDATES
        .iter()
        .map(|(rule, asset, level)| [*rule, *asset, *level].map(str::to_owned))
        .collect();
    assert_eq!(told(&items(&job, "warnings"), ["rule", "asset", "level"]), expected);
    let mirrored: BTreeSet<[String; 5]> = DIFFERENCES
        .iter()
        .map(|(rule, asset, kind, live, candidate)| {
            let kind = match *kind {
                "only_set" => "only_live",
                "only_live" => "only_set",
                other => other,
            };
            [*rule, *asset, kind, *candidate, *live].map(str::to_owned)
        })
        .collect();
    let rows = items(&job, "rulesets/default/difference");
    let fields = ["rule", "asset", "kind", "live/level", "candidate/level"];
    assert_eq!(told(&rows, fields), mirrored);
    assert!(items(&job, "rulesets/strict/difference").is_empty());
}

/// The words of each line, and the line of a table that begins with these words.
pub(super) fn line<'a>(lines: &'a str, begins: &[&str]) -> Vec<&'a str> {
    let words = lines.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut fitting = words.filter(|words| words.starts_with(begins));
    let found = fitting.next();
    let found = found.unwrap_or_else(|| panic!("no line begins with {begins:?}:\n{lines}"));
    assert_eq!(fitting.next(), None, "{begins:?} twice:\n{lines}");
    found
}

#[test]
fn rule_sets_on_the_command_line_are_those_of_the_job() {
    let folder = tempfile::tempdir().unwrap();
    let sets = log(folder.path());
    let job = serving(&sets);
    let ran = |arguments: &[&str]| riskflow(&[&["rules"][..], arguments].concat(), &texts(&sets));
    let said = |arguments: &[&str]| {
        let output = ran(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let json_of = |arguments: &[&str]| -> Value { serde_json::from_str(&said(arguments)).unwrap() };

    assert_eq!(json_of(&["sets", "--json"]), Value::from(items(&job, "rulesets")));
    let listed = said(&["sets"]);
    let count = |lines: &str| lines.lines().filter(|line| !line.trim().is_empty()).count();
    assert_eq!(count(&listed), 4, "{listed}");
    assert_eq!(line(&listed, &["set"]), ["set", "base", "rules", "own", "problems"]);
    assert_eq!(line(&listed, &["default"]), ["default", "live", "-", "5", "5"]);
    assert_eq!(line(&listed, &["empty"]), ["empty", "candidate", "-", "0", "0"]);
    assert_eq!(line(&listed, &["strict"]), ["strict", "candidate", "default", "5", "4"]);

    let rows = items(&job, "rulesets/strict/difference");
    let expected = json!({
        "set": "strict", "live": "default",
        "rules": { "only_live": ["other"], "only_set": ["extra"], "other": ["gas", "level", "storm"] },
        "warnings": rows,
    });
    assert_eq!(json_of(&["diff", "strict", "--json"]), expected);
    let diff = said(&["diff", "strict"]);
    for says in [
        "rules only live: other",
        "rules only in the set: extra",
        "rules otherwise in the set: gas, level, storm",
    ] {
        assert!(diff.lines().any(|line| line == says), "{says} is not in:\n{diff}");
    }
    let shown = |row: &Value, side: &str| match &row[side]["since"] {
        Value::String(since) => vec![
            row[side]["level"].as_str().unwrap().to_owned(),
            "since".to_owned(),
            since.clone(),
        ],
        _ => vec!["-".to_owned()],
    };
    for row in &rows {
        let text = |field: &str| row[field].as_str().unwrap().to_owned();
        let mut words = ["rule", "asset", "region", "kind"].map(text).to_vec();
        words.extend(shown(row, "live"));
        words.extend(shown(row, "candidate"));
        let (rule, asset) = (words[0].as_str(), words[1].as_str());
        assert_eq!(line(&diff, &[rule, asset]), words);
    }
    assert_eq!(count(&diff), 3 + 1 + rows.len(), "{diff}");

    let unknown = ran(&["diff", "nowhere"]);
    let error = String::from_utf8_lossy(&unknown.stderr);
    assert_eq!(unknown.status.code(), Some(2), "{error}");
    let says = "there is neither a set nor a sweep `nowhere`; give one of `default`, `empty`, `strict`";
    assert!(error.contains(says), "{error}");
}
