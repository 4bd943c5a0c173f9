//! `riskflow explain`: a warning from its beginning to its end, what the rules said of an asset at a time, and what was known then.

use serde_json::{Value, json};

use crate::first_hour::Desk;

const CONFIGURATION: &str = "[input]\nclock = \"arrival\"\n[time]\nhorizon = \"30m\"\n";

/// So many minutes (and seconds, as a fraction) after the beginning of 2025.
fn at(minutes: f64) -> String {
    let millis = 1_735_689_600_000 + (minutes * 60_000.0) as i64;
    riskflow_model::Millis(millis).to_string()
}

fn envelope(topic: &str, key: &str, value: &Value, arrival: f64) -> String {
    json!({"topic": topic, "key": key, "value": value, "arrival": at(arrival)}).to_string()
}

fn reading(minute: f64, result: f64, arrival: f64) -> String {
    let value = json!({"datastream": "gas-1", "phenomenon_time": at(minute), "result": result});
    envelope("in.observation", "gas-1", &value, arrival)
}

/// Blue from 50 on, which is the datastream's own threshold, once it lasts for a minute; red from 80 on.
fn rows() -> Vec<String> {
    let compared = |feature: &str, threshold: u32| json!({"feature": feature, "window": "10m", "op": ">=", "threshold": threshold});
    let rule = json!({
        "id": "gas", "version": 3, "name": "Gas", "select": {"observed_property": "gas"}, "unit": "%", "pane": "1m",
        "levels": {"blue": {"when": compared("last", 60), "hold": "1m"}, "red": {"when": compared("max", 80)}},
    });
    let wind = json!({
        "id": "wind", "version": 1, "select": {"observed_property": "wind_speed"},
        "levels": {"blue": {"when": compared("max", 10)}},
    });
    let asset = json!({
        "id": "tank", "name": "Tank 1", "category": "tank", "domain": "work_safety", "region": "330902001001", "inherent_level": 4,
    });
    let quiet = json!({"id": "dam", "category": "dam", "domain": "natural_hazard", "region": "330903001001", "inherent_level": 2});
    let datastream = json!({
        "id": "gas-1", "asset": "tank", "observed_property": "gas", "unit": "%", "thresholds": {"gas": {"blue": 50}},
    });
    vec![
        envelope(
            "base.region",
            "330902",
            &json!({"code": "330902", "name": "Dinghai"}),
            -3.0,
        ),
        envelope(
            "base.region",
            "330903",
            &json!({"code": "330903", "name": "Putuo"}),
            -3.0,
        ),
        envelope("base.asset", "tank", &asset, -3.0),
        envelope("base.asset", "dam", &quiet, -3.0),
        envelope("base.datastream", "gas-1", &datastream, -3.0),
        envelope("in.rule", "gas", &rule, -3.0),
        envelope("in.rule", "wind", &wind, -3.0),
    ]
}

/// A job that worked a history off: raised at 6 (held from 5 on), escalated at 10, revised by a late reading that came at 14, withdrawn
/// by corrections that came at 16.
fn history() -> Desk {
    let desk = Desk::new();
    desk.put("riskflow.toml", CONFIGURATION);
    let mut lines = rows();
    lines.extend([
        reading(0.0, 40.0, 0.0),
        reading(5.0, 55.0, 5.0),
        reading(8.0, 57.0, 8.0),
        reading(10.0, 85.0, 10.0),
        reading(3.0, 52.0, 14.0),
        reading(3.0, 10.0, 16.0),
        reading(5.0, 10.0, 16.0),
        reading(8.0, 10.0, 16.0),
        reading(10.0, 10.0, 16.0),
    ]);
    desk.put("history.ndjson", lines.join("\n") + "\n");
    desk.run(&["import", "history.ndjson", "--format", "envelope"])
        .ends(0, &["16 imported"]);
    desk.run(&["run"]).ends(0, &[]);
    desk
}

#[test]
fn a_warning_is_explained_from_its_beginning_to_its_end() {
    let desk = history();
    let deltas = desk.tail("out.warning.delta");
    let kinds: Vec<&str> = deltas
        .iter()
        .map(|delta| delta["value"]["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["raised", "escalated", "revised", "withdrawn"]);
    let id = deltas[0]["key"].as_str().unwrap();

    let said = desk.run(&["explain", &id[..8]]);
    said.ends(
        0,
        &[
            &format!("warning {id}: Gas (gas) at Tank 1 (tank), Dinghai 330902001001, inherent level 4"),
            &format!("raised as blue, since {}", at(6.0)),
            "version 3 of the rule: last 10m >= 50 %",
            "datastream gas-1",
            &format!("last 10m = 55 %  observed: 40 at {} to 55 at {}", at(0.0), at(5.0)),
            "threshold of the datastream: last 10m >= 50 %",
        ],
    );
    let lines: Vec<&str> = said.out.lines().filter(|line| line.contains(" → ")).collect();
    let expected = [
        format!(
            "{}  blue    raised  none → blue  since {}  clock  last 10m = 55 %",
            at(6.0),
            at(6.0)
        ),
        format!(
            "{}  red     escalated  blue → red  since {}  data  max 10m = 85 %",
            at(10.0),
            at(6.0)
        ),
        format!(
            "{}  red     revised  red → red  since {}  late data  max 10m = 85 %",
            at(14.0),
            at(4.0)
        ),
        format!(
            "{}  red     withdrawn  red → none  since {}  correction  ",
            at(16.0),
            at(4.0)
        ),
    ];
    assert_eq!(lines.len(), 4, "{}", said.out);
    for (line, expected) in lines.iter().zip(&expected) {
        assert!(line.starts_with(expected.as_str()), "{line}\n{expected}");
    }
    let issued = said
        .out
        .lines()
        .any(|line| line.contains("case") && line.contains("issued"));
    assert!(issued, "{}", said.out);
    said.ends(0, &[&format!("now: withdrawn at {}", at(16.0))]);

    let then = desk.run(&["explain", id, "--as-of", &at(12.0)]);
    then.ends(0, &[&format!("by {}: open, red, since {}", at(12.0), at(6.0))]);
    assert!(
        !then.out.contains("withdrawn") && !then.out.contains("late data"),
        "{}",
        then.out
    );

    let machines = desk.run(&["explain", id, "--json"]).json();
    assert_eq!(machines["deltas"].as_array().unwrap().len(), 4);
    assert_eq!(machines["deltas"][0], deltas[0]["value"]);
    assert_eq!(machines["now"]["state"], "withdrawn");
    assert_eq!(machines["case"]["id"], id);
}

/// What the rule of gas says of the tank, to machines.
fn looked(desk: &Desk, time: f64, as_of: f64) -> Value {
    let said = desk.run(&["explain", "tank", "--at", &at(time), "--as-of", &at(as_of), "--json"]);
    said.ends(0, &[]);
    said.json()
}

#[test]
fn an_asset_is_explained_level_by_level_and_by_what_was_known_then() {
    let desk = history();
    let lines = |time: f64, as_of: f64, parts: &[&str]| {
        let said = desk.run(&["explain", "tank", "--at", &at(time), "--as-of", &at(as_of)]);
        said.ends(0, parts);
    };
    lines(
        2.0,
        2.5,
        &[
            "Tank 1 (tank), tank, Dinghai 330902001001, inherent level 4",
            "Gas (gas), version 3, on gas-1: none",
            "  blue    off: does not hold",
            "last 10m >= 50 %: 40 %, does not hold (threshold of the datastream)",
            "max 10m >= 80 %: 40 %, does not hold",
        ],
    );
    lines(
        -1.0,
        0.0,
        &[
            "blue    off: unknown",
            "last 10m >= 50 %: unknown (threshold of the datastream)  no observation",
        ],
    );
    let waits = format!("blue    off: holds since {}, and must for 30s more (hold 1m)", at(5.0));
    lines(5.5, 6.0, &[&waits, "55 %, holds"]);
    lines(
        8.5,
        9.0,
        &[
            &format!("on gas-1: blue since {}", at(6.0)),
            &format!("its warning at the asset: blue, since {}", at(6.0)),
            &format!("blue    on since {}", at(6.0)),
        ],
    );
    // The same time, before the late reading, after it, and after the corrections.
    for (as_of, since) in [(13.0, Some(6.0)), (15.0, Some(4.0)), (17.0, None)] {
        let found = looked(&desk, 8.5, as_of);
        let since = since.map(|since| json!(at(since)));
        assert_eq!(
            found["warnings"].get(0).map(|warning| &warning["since"]),
            since.as_ref(),
            "{found}"
        );
        assert_eq!(found["rules"][0]["since"], since.unwrap_or_default(), "{found}");
    }
}

/// What was known of a time, to machines.
fn known(desk: &Desk, time: f64, as_of: f64, more: &[&str]) -> Value {
    let (time, as_of) = (at(time), at(as_of));
    let asked = ["explain", "--at", &time, "--as-of", &as_of, "--json"];
    let said = desk.run(&[&asked[..], more].concat());
    said.ends(0, &[]);
    said.json()
}

#[test]
fn a_trend_says_when_it_reaches_its_threshold_and_a_corrected_reading_moves_that() {
    let desk = Desk::new();
    desk.put("riskflow.toml", CONFIGURATION);
    let asset = json!({
        "id": "weir", "name": "Weir", "category": "river_gauge", "domain": "natural_hazard", "region": "330902001001", "inherent_level": 2,
    });
    let datastream = json!({"id": "stage", "asset": "weir", "observed_property": "river_stage", "unit": "m"});
    let mut lines = vec![
        envelope("base.asset", "weir", &asset, -3.0),
        envelope("base.datastream", "stage", &datastream, -3.0),
    ];
    // In the order in which rules are told.
    for (id, op, threshold) in [("a-rise", ">=", 2.8), ("b-there", ">=", 2.2), ("c-fall", "<=", 1.0)] {
        let when = json!({"feature": "projected", "window": "3h", "ahead": "3h", "op": op, "threshold": threshold});
        let rule = json!({
            "id": id, "version": 1, "unit": "m", "pane": "1m", "select": {"observed_property": "river_stage"},
            "levels": {"blue": {"when": when}},
        });
        lines.push(envelope("in.rule", id, &rule, -3.0));
    }
    for (minute, result, arrival) in [
        (60.0, 2.1, 60.0),
        (120.0, 2.25, 120.0),
        (180.0, 2.42, 180.0),
        (180.0, 2.3, 181.0),
    ] {
        let value = json!({"datastream": "stage", "phenomenon_time": at(minute), "result": result});
        lines.push(envelope("in.observation", "stage", &value, arrival));
    }
    desk.put("history.ndjson", lines.join("\n") + "\n");
    desk.run(&["import", "history.ndjson", "--format", "envelope"])
        .ends(0, &["9 imported"]);

    // 0.16 m an hour: 0.38 m take 2 h 22.5 min. Of 0.10 m an hour 0.50 m take 5 h.
    for (as_of, takes) in [(180.5, 142.5), (182.0, 300.0)] {
        let asked = ["explain", "weir", "--at", &at(180.0), "--as-of", &at(as_of)];
        let said = desk.run(&[&asked[..], &["--json"][..]].concat());
        said.ends(0, &[]);
        let found = said.json();
        let reaches = |rule: usize| &found["rules"][rule]["levels"][0]["when"]["comparisons"][0]["reaches"];
        assert_eq!(reaches(0), &json!(at(180.0 + takes)), "{found}");
        // It is there already; it goes the other way.
        assert_eq!((reaches(1), reaches(2)), (&Value::Null, &Value::Null), "{found}");
        let reached = format!("at this rate reached at {}", at(180.0 + takes));
        desk.run(&asked).ends(0, &[&reached, "after the last observation"]);
    }
}

#[test]
fn what_was_open_at_a_time_is_told_by_what_was_known_at_another() {
    let desk = history();
    let deltas = desk.tail("out.warning.delta");
    // The same time, before the late reading, after it, and after the corrections.
    for (as_of, since, last) in [
        (9.0, Some(6.0), "raised"),
        (13.0, Some(6.0), "escalated"),
        (15.0, Some(4.0), "revised"),
        (17.0, None, ""),
    ] {
        let found = known(&desk, 8.5, as_of, &[]);
        let warnings = found["warnings"].as_array().unwrap();
        assert_eq!(warnings.len(), usize::from(since.is_some()), "{found}");
        assert_eq!(found["reaches_back_to"], at(6.0), "{found}");
        let (Some(since), Some(warned)) = (since, warnings.first()) else {
            continue;
        };
        assert_eq!(
            (&warned["id"], &warned["since"], &warned["last"]["kind"]),
            (&deltas[0]["key"], &json!(at(since)), &json!(last)),
            "{found}"
        );
        assert_eq!(
            (&warned["level"], &warned["from"], &warned["until"]),
            (&json!("blue"), &json!(at(6.0)), &Value::Null),
            "{found}"
        );
    }
    let level = |time: f64| known(&desk, time, 15.0, &[])["warnings"][0]["level"].clone();
    assert_eq!(
        (level(5.0), level(9.5), level(10.0)),
        (Value::Null, json!("blue"), json!("red"))
    );
    assert_eq!(known(&desk, 3.5, 15.0, &[])["warnings"], json!([]));

    let count = |more: &[&str]| known(&desk, 8.5, 13.0, more)["warnings"].as_array().unwrap().len();
    assert_eq!(
        (count(&["--within", "3309"]), count(&["--within", "330902001001"])),
        (1, 1)
    );
    assert_eq!((count(&["--within", "330903"]), count(&["--rule", "gas"])), (0, 1));
    let other = known(&desk, 8.5, 13.0, &["--rule", "wind"]);
    assert_eq!(other["warnings"], json!([]));
    assert_eq!(
        other["notes"],
        json!(["out.warning.delta has nothing of a rule `wind`"])
    );

    desk.run(&["explain", "--at", &at(8.5), "--as-of", &at(13.0)]).ends(
        0,
        &[
            &format!("at {}, by what was told by {}: one warning was open", at(8.5), at(13.0)),
            &format!(
                "blue   since {}  Gas (gas)  Tank 1 (tank)  Dinghai 330902001001",
                at(6.0)
            ),
            &format!("reaches back to {}", at(6.0)),
        ],
    );
    desk.run(&["explain", "--at", &at(8.5), "--as-of", &at(17.0)])
        .ends(0, &["no warning was open"]);
    desk.run(&["explain"]).ends(2, &["WARNING|ASSET"]);
    desk.run(&["explain", "--at", &at(8.5), "--within", "a\nb"])
        .ends(2, &["`--within`", "no region code"]);
    desk.run(&["explain", "--at", &at(8.5), "--as-of", &at(8.0)])
        .ends(2, &["nothing was known of it"]);
    desk.run(&["explain", "tank", "--at", &at(8.5), "--within", "330902"])
        .ends(2, &["--within"]);
}

/// Any text may be a code, and of one that no region has all would look calm.
#[test]
fn a_region_that_is_not_there_is_refused_and_one_is_found_by_its_name() {
    let desk = history();
    let within = |region: &str, more: &[&str]| {
        let asked = ["explain", "--at", &at(8.5), "--as-of", &at(13.0), "--within", region];
        desk.run(&[&asked[..], more].concat())
    };
    // That nothing was told of a rule says nothing of the region.
    let rules: [&[&str]; 2] = [&[], &["--rule", "nosuch"]];
    for more in rules {
        within("330999", more).ends(
            2,
            &[
                "`--within` is `330999`",
                "`330902`",
                "`riskflow tail base.region` shows all",
            ],
        );
        within("Dinghia", more).ends(2, &["`--within` is `Dinghia`", "there is `330902`"]);
        within("zzz", more).ends(2, &["`--within` is `zzz`"]);
    }
    within("Dinghai", &[]).ends(0, &["one warning was open within Dinghai"]);
    let found = known(&desk, 8.5, 13.0, &["--within", "Dinghai"]);
    assert_eq!(found["within"], "330902");
    // A village that has no row is known by what was told of it, of whatever rule; or by an asset that lies there.
    for village in ["330902001001", "330903001001"] {
        within(village, &["--rule", "nosuch"]).ends(0, &["no warning was open within"]);
    }
    within("Putuo", &[]).ends(0, &["no warning was open within Putuo"]);
}

#[test]
fn what_it_says_of_an_open_warning_is_what_the_job_published() {
    let desk = history();
    for delta in desk.tail("out.warning.delta") {
        let delta = &delta["value"];
        if delta["to"] == "none" {
            continue;
        }
        let epoch: riskflow_model::Millis = delta["epoch"].as_str().unwrap().parse().unwrap();
        let minutes = (epoch.0 - 1_735_689_600_000) as f64 / 60_000.0;
        let found = looked(&desk, minutes, minutes);
        let warned = &found["warnings"][0];
        assert_eq!(
            (&warned["level"], &warned["since"]),
            (&delta["to"], &delta["since"]),
            "{found}"
        );
        if delta["kind"] != "revised" {
            assert_eq!(warned["at"], delta["at"], "{found}");
        }
        let levels = found["rules"][0]["levels"].as_array().unwrap();
        let level = levels.iter().find(|level| level["level"] == delta["to"]).unwrap();
        assert_eq!(level["on"], true, "{found}");
        let (ours, told) = (&level["explanation"], &delta["explanation"]);
        for field in ["rule_version", "condition", "datastream", "unit", "limits"] {
            assert_eq!(ours[field], told[field], "{field} in {found}");
        }
        // The delta shows the values of when the level was taken, which for these two is that epoch.
        if delta["kind"] != "revised" {
            assert_eq!(
                (&ours["features"], &ours["held"]),
                (&told["features"], &told["held"]),
                "{found}"
            );
        }
    }
}

#[test]
fn rules_that_do_not_watch_it_and_what_is_not_there() {
    let desk = history();
    let all = ["explain", "tank", "--at", &at(2.0), "--all-rules"];
    desk.run(&all).ends(
        0,
        &["wind: it watches the observed property `wind_speed`, and of the asset `gas` is observed"],
    );
    desk.run(&["explain", "tank", "--at", &at(2.0), "--rule", "wind"])
        .ends(0, &["no rule that was asked about", "wind_speed"]);
    desk.run(&["explain", "tnak", "--at", &at(2.0)]).ends(
        1,
        &[
            "there is no asset `tnak`",
            "the embedded log in data/log",
            "there is `tank`",
        ],
    );
    desk.run(&["explain", "tank", "--at", &at(2.0), "--rule", "gaz"])
        .ends(1, &["there is no rule `gaz`", "`gas`"]);
    desk.run(&["explain", "0123456789"]).ends(
        1,
        &[
            "nothing was told of a warning `0123456789`",
            "reaches back to",
            "riskflow tail warnings",
        ],
    );
    desk.run(&["explain", "tank"]).ends(2, &["too short", "--at TIME"]);
    desk.run(&["explain", "tank", "--at", "soon"])
        .ends(2, &["`--at` is `soon`", "`08:30`"]);
    desk.run(&["explain", "tank", "--at", &at(2.0), "--as-of", &at(1.0)])
        .ends(2, &["nothing was known of it"]);
    desk.run(&["explain", "--help"])
        .ends(0, &["riskflow explain weir-3 --at 08:30", "Exit codes:"]);
}
