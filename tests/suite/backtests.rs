//! Back-tests over the demo's storm, in small, and once in full: what several sets in one run give is what runs of each by itself give.

mod judged;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::first_hour::Desk;

/// Eight hours of the storm: base data, and the observations of which the key has one of these in it. Late, repeated and corrected ones are
/// among them.
fn storm(desk: &Desk, keys: &[&str]) {
    desk.run(&[
        "generate",
        "storm",
        "--out",
        "storm",
        "--datastreams",
        "1000",
        "--hours",
        "8",
    ])
    .ends(0, &[]);
    let observations = desk.read("storm/in.observation.ndjson");
    let is_asked = |line: &&str| {
        let key = line.split("\"key\":\"").nth(1).and_then(|rest| rest.split('"').next());
        key.is_some_and(|key| keys.iter().any(|part| key.contains(part)))
    };
    let asked: Vec<&str> = observations.lines().filter(is_asked).collect();
    assert!(asked.len() > 1_000, "{keys:?}: {} observations", asked.len());
    desk.put("in.observation.ndjson", asked.join("\n") + "\n");
}

/// A rule with a sum or the like for some levels: level, feature, window, threshold.
fn rule(id: &str, property: &str, levels: &[(&str, &str, &str, u32)]) -> Value {
    let levels = levels.iter().map(|(level, feature, window, threshold)| {
        let when = json!({"feature": feature, "window": window, "op": ">=", "threshold": threshold});
        ((*level).to_owned(), json!({"when": when, "clear": "10m"}))
    });
    let levels: serde_json::Map<String, Value> = levels.collect();
    json!({
        "id": id, "version": 1, "source": "test", "select": {"observed_property": property}, "pane": "1m", "levels": levels,
    })
}

/// The report of a back-test, with these arguments before the history.
fn backtest(desk: &Desk, arguments: &[&str]) -> Value {
    let history = [
        "storm/base.region.ndjson",
        "storm/base.asset.ndjson",
        "storm/base.datastream.ndjson",
        "in.observation.ndjson",
    ];
    let more = ["--json", "-", "--set", "epoch.replay_tick=\"1m\""];
    let said = desk.run(&[&["backtest"][..], arguments, &more[..], &history[..]].concat());
    said.ends(0, &[]);
    said.json()
}

/// Warnings that were not withdrawn, by all that a comparison looks at.
fn there<'a>(warnings: impl IntoIterator<Item = &'a Value>) -> BTreeSet<String> {
    let there = warnings.into_iter().filter(|warning| warning["withdrawn"] == false);
    let fields = ["rule", "asset", "since", "until", "levels"];
    let by = there.map(|warning| json!(fields.map(|field| &warning[field])).to_string());
    by.collect()
}

fn list<'a>(report: &'a Value, name: &str) -> &'a [Value] {
    report[name].as_array().unwrap()
}

/// Two sets of rules, the new one and the old one, that are related in every way.
fn two_sets() -> [Value; 2] {
    let storm = |blue: u32, red: u32| {
        let levels = [
            ("blue", "sum", "6h", blue),
            ("yellow", "sum", "3h", 50),
            ("red", "sum", "3h", red),
        ];
        rule("rain_storm", "rainfall", &levels)
    };
    let gust = rule(
        "gust",
        "wind_gust",
        &[("blue", "max", "1h", 17), ("yellow", "max", "1h", 24)],
    );
    // The same times and other levels; and both others.
    let squall = |yellow: u32| {
        let levels = [("blue", "max", "1h", 17), ("yellow", "max", "1h", yellow)];
        rule("squall", "wind_gust", &levels)
    };
    let shower = |blue: u32| {
        let levels = [("blue", "sum", "1h", blue), ("yellow", "sum", "1h", 2 * blue)];
        rule("shower", "rainfall", &levels)
    };
    let wind_mean = rule("wind_mean", "wind_speed", &[("blue", "mean", "10m", 14)]);
    let rain_hour = rule("rain_hour", "rainfall", &[("blue", "sum", "1h", 20)]);
    [
        json!([storm(40, 80), wind_mean, squall(18), shower(8), gust]),
        json!([storm(50, 100), rain_hour, squall(19), shower(10), gust]),
    ]
}

/// Whether the report of two sets in one run is what follows from the reports of a run of each: the new one, the old one.
fn is_the_difference(both: &Value, alone: &[Value; 2]) {
    // Each set gives in company what it gives alone, and costs no record of the others.
    for (alone, (set, warnings)) in alone.iter().zip([("new", "new_warnings"), ("old", "old_warnings")]) {
        assert_eq!(both[set], alone["new"], "{set}");
        assert_eq!(both[warnings], alone["new_warnings"], "{set}");
        assert_eq!(both["read"], alone["read"]);
    }
    let [new, old] = [&alone[0], &alone[1]].map(|alone| there(list(alone, "new_warnings")));
    let differ = |side: &str| {
        let sides = list(both, "differences").iter().map(|difference| &difference[side]);
        there(sides.filter(|warning| !warning.is_null()))
    };
    assert_eq!(differ("new"), &new - &old);
    assert_eq!(differ("old"), &old - &new);
    let same = new.intersection(&old).count();
    assert_eq!(both["relations"]["same"], same);
}

#[test]
fn what_differs_between_two_sets_is_the_difference_of_two_runs() {
    let desk = Desk::new();
    storm(&desk, &["/rainfall", "/wind_"]);
    let [new, old] = two_sets();
    desk.put("new.json", new.to_string());
    desk.put("old.json", old.to_string());
    let both = backtest(&desk, &["--rules", "new.json", "--against", "old.json"]);
    let alone = ["new.json", "old.json"].map(|rules| backtest(&desk, &["--rules", rules]));

    is_the_difference(&both, &alone);
    // There is something of each kind, or it shows nothing.
    for (relation, least) in [
        ("same", 20),
        ("time", 20),
        ("only_new", 20),
        ("only_old", 20),
        ("level", 5),
        ("level_and_time", 5),
    ] {
        assert!(
            both["relations"][relation].as_u64() > Some(least),
            "{relation}: {}",
            both["relations"]
        );
    }
    let withdrawn = [&both["new"], &both["old"]].map(|set| set["withdrawn"].as_u64().unwrap());
    assert!(withdrawn.iter().all(|count| *count > 0), "{withdrawn:?}");
}

/// All thresholds in a condition times a factor, to thousandths.
fn scale(condition: &mut Value, factor: f64) {
    match condition {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_f64().filter(|_| name == "threshold") {
                    Some(threshold) => *value = json!((threshold * factor * 1_000.0).round() / 1_000.0),
                    None => scale(value, factor),
                }
            }
        }
        Value::Array(parts) => parts.iter_mut().for_each(|part| scale(part, factor)),
        _ => {}
    }
}

/// The shipped packs of rules that need no forecasts, and their rules as somebody might change them: rain sooner, wind later, tides that
/// last longer, and no gas.
fn packs() -> ([&'static str; 6], Value) {
    const PACKS: [&str; 6] = ["gas", "heat", "industry", "rain", "water", "wind"];
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/rules");
    let rules = PACKS.iter().flat_map(|pack| {
        let text = std::fs::read_to_string(folder.join(format!("{pack}.json"))).unwrap();
        serde_json::from_str::<Vec<Value>>(&text).unwrap()
    });
    let changed = rules.filter_map(|mut rule| {
        match rule["id"].as_str().unwrap() {
            "combustible_gas" => return None,
            "rain" | "flash_flood" => scale(&mut rule["levels"], 0.9),
            "wind_mean" | "wind_gust" => scale(&mut rule["levels"], 1.1),
            "tide" => {
                let levels = rule["levels"].as_object_mut().unwrap();
                levels.values_mut().for_each(|level| level["clear"] = json!("40m"));
            }
            _ => {}
        }
        Some(rule)
    });
    (PACKS, changed.collect())
}

/// The same of the whole storm of the demo, with shipped packs.
#[test]
#[ignore = "a minute or more: `make acceptance` runs it"]
fn what_differs_between_packs_over_the_whole_storm_is_the_difference_of_two_runs() {
    let desk = Desk::new();
    // As large and as long as the demo has it.
    desk.run(&["generate", "storm", "--out", "storm"]).ends(0, &[]);
    let [from, to] = ["storm/in.observation.ndjson", "in.observation.ndjson"].map(|name| desk.folder().join(name));
    std::fs::rename(from, to).unwrap();
    let (packs, changed) = packs();
    desk.put("changed.json", changed.to_string());
    let named = |option| packs.iter().flat_map(|pack| [option, *pack]).collect::<Vec<&str>>();
    let (new, shipped, against) = (["--rules", "changed.json"], named("--rules"), named("--against"));
    let both = backtest(&desk, &[&new[..], &against[..]].concat());
    let alone = [backtest(&desk, &new), backtest(&desk, &shipped)];
    is_the_difference(&both, &alone);

    let relations = &both["relations"];
    let count = |relation: &str| relations[relation].as_u64().unwrap();
    for relation in ["same", "time", "only_new", "only_old"] {
        assert!(count(relation) > 0, "{relation}: {relations}");
    }
    assert!(count("level") + count("level_and_time") > 0, "{relations}");
    let records = &both["read"]["records"];
    assert!(
        records.as_u64() > Some(500_000),
        "{records} records are not the whole storm"
    );
}

#[test]
fn a_sweep_in_one_run_is_as_many_runs() {
    let desk = Desk::new();
    storm(&desk, &["rain_gauge"]);
    let rain = |threshold: u32| {
        json!([rule(
            "rain_hour",
            "rainfall",
            &[("blue", "sum", "1h", threshold), ("red", "sum", "1h", 45)]
        )])
        .to_string()
    };
    desk.put("rain.json", rain(20));
    let swept = backtest(&desk, &["--rules", "rain.json", "--sweep", "rain_hour.blue=11..30/1"]);
    let points = list(&swept, "sweep");
    assert_eq!(points.len(), 20);
    let (mut counts, mut warnings) = (BTreeSet::new(), BTreeMap::new());
    for (threshold, point) in (11..).zip(points) {
        assert_eq!(point["name"], format!("rain_hour.blue={threshold}"));
        desk.put("one.json", rain(threshold));
        let alone = backtest(&desk, &["--rules", "one.json"]);
        let set = alone["new"].as_object().unwrap();
        for (field, value) in set {
            assert_eq!(point[field], *value, "{field} at {threshold}");
        }
        counts.insert(set["warnings"].as_u64());
        // The fingerprint, which the point has too, is that of the warnings themselves.
        let told = alone["new_warnings"].to_string();
        let fingerprint = set["fingerprint"].as_str().unwrap().to_owned();
        let same = warnings.entry(fingerprint).or_insert_with(|| told.clone());
        assert_eq!(*same, told, "other warnings at {threshold} have the same fingerprint");
    }
    assert!(counts.len() > 5, "the threshold hardly matters: {counts:?}");
    let told: BTreeSet<&String> = warnings.values().collect();
    assert_eq!(told.len(), warnings.len(), "equal warnings have two fingerprints");
    assert!(warnings.len() >= counts.len());
}
