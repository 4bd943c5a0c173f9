//! The history behind the examples: two weirs at Zhoushan, made up, in less than half an hour. Each output topic gets a record of it.

use std::collections::BTreeMap;
use std::path::Path;

use riskflow_connectors::log::LogWriter;
use riskflow_model::Millis;
use riskflow_model::topic::Topic;
use serde_json::{Value, json};

use crate::quiet::PARTITIONS;

/// 2021-07-25T00:00:00Z.
const START: i64 = 1_627_171_200_000;

/// When the last record arrives, in seconds after the start.
pub const END: i64 = 1_500;

/// What people saw.
pub const INCIDENT: &str = "leak-7";

/// A rule set that is no more than tried.
pub const SET: &str = "strict";

/// So many seconds after the start.
pub fn at(second: i64) -> String {
    Millis(START + second * 1_000).to_string()
}

/// Regions, assets and datastreams.
fn places() -> Vec<(Topic, Value)> {
    let region = |code: &str, name: &str, parent: Option<&str>| {
        let row = json!({ "code": code, "name": name, "parent": parent });
        (Topic::BASE_REGION, row)
    };
    let mut rows = vec![
        region("3309", "舟山市", None),
        region("330902", "定海区", Some("3309")),
        region("330902001", "城东街道", Some("330902")),
        region("330902001001", "河口社区", Some("330902001")),
    ];
    for (id, name, level, population) in [("weir-3", "3号水闸", 3, 1_200), ("weir-4", "4号水闸", 2, 300)] {
        let asset = json!({
            "id": id, "name": name, "category": "river_gauge", "domain": "natural_hazard", "region": "330902001001",
            "inherent_level": level, "population": population,
        });
        let datastream =
            json!({ "id": format!("{id}/level"), "asset": id, "observed_property": "water_level", "unit": "m" });
        rows.extend([(Topic::BASE_ASSET, asset), (Topic::BASE_DATASTREAM, datastream)]);
    }
    rows
}

/// Who is told, and what is to be done.
fn people() -> Vec<(Topic, Value)> {
    let (town, county) = ("unit-330902001", "unit-330902");
    let post = |unit: &str, role: &str| json!([{ "unit": unit, "role": role }]);
    vec![
        (
            Topic::BASE_UNIT,
            json!({ "id": county, "name": "定海区应急指挥中心", "region": "330902" }),
        ),
        (
            Topic::BASE_UNIT,
            json!({ "id": town, "name": "城东街道应急办", "region": "330902001", "parent": county }),
        ),
        (
            Topic::BASE_USER,
            json!({ "id": "officer-1", "channel": "sms:officer-1", "posts": post(town, "duty_officer") }),
        ),
        (
            Topic::BASE_USER,
            json!({ "id": "chief-1", "channel": "sms:chief-1", "posts": post(county, "chief") }),
        ),
        (
            Topic::BASE_DUTY,
            json!({ "id": "duty-1", "region": "330902001", "unit": town, "role": "duty_officer" }),
        ),
        (
            Topic::BASE_PLAN,
            json!({
                "id": "leak-3", "name": "危化品泄漏三级响应", "rules": ["chemical_leak"], "level": "yellow",
                "tasks": [{ "id": "close-valve", "name": "关闭阀门", "role": "duty_officer", "limit_minutes": 30 }],
            }),
        ),
    ]
}

/// A rule of the level of water: the last reading of an hour, in metres.
fn rule(id: &str, blue: f64, red: f64) -> (Topic, Value) {
    let when = |threshold: f64| {
        let when = json!({ "feature": "last", "window": "1h", "op": ">=", "threshold": threshold });
        json!({ "when": when, "margin": 0.2 })
    };
    let row = json!({
        "id": id, "version": 1, "name": "水位", "source": "example", "select": { "observed_property": "water_level" }, "unit": "m",
        "levels": { "blue": when(blue), "red": when(red) },
    });
    (Topic::IN_RULE, row)
}

/// Rules: one in force, one of a set that is tried, and one that watches nothing.
fn rules() -> Vec<(Topic, Value)> {
    let heat = json!({
        "id": "heat", "version": 1, "name": "高温", "source": "example", "select": { "observed_property": "temperature" },
        "levels": { "blue": { "when": { "feature": "last", "window": "1h", "op": ">=", "threshold": 37 } } },
    });
    vec![
        rule("water_level", 3.0, 4.0),
        rule(&format!("{SET}/water_level"), 2.5, 3.8),
        (Topic::IN_RULE, heat),
        (Topic::IN_RULESET, json!({ "id": SET, "base": "default" })),
    ]
}

/// What else is written: an incident, a report, a window of maintenance, what was done about the incident, and what a camera saw.
fn written() -> Vec<(i64, Topic, Value)> {
    let report = json!({
        "id": "shelter-7", "version": 1, "module": "shelter", "region": "330902001", "kind": "occupancy",
        "quantities": { "people": 412 }, "time": at(0),
    });
    let window = json!({
        "id": "window-1", "version": 1, "kind": "sensor", "region": "330902001001", "asset": "weir-4", "valid_from": at(0),
        "valid_to": at(7_200), "title": "水位计校准",
    });
    let gauge = json!({
        "id": "smoke", "title": "烟雾", "kind": "smoke", "by": "town", "lasts": "1h", "measure": "distinct", "attributes": ["source"],
        "where": [{ "attribute": "confidence", "at_least": 0.8 }],
    });
    let event = json!({
        "id": "smoke-1", "kind": "smoke", "time": at(38), "asset": "weir-4", "source": "camera-12", "confidence": 0.93,
        "model": "smoke-2.1", "level": "blue", "evidence": "https://example.org/photos/12",
    });
    let incident = json!({
        "id": INCIDENT, "version": 1, "hazard": "chemical_leak", "title": "储罐区泄漏", "level": "yellow", "domain": "work_safety",
        "region": "330902001001", "since": at(30), "state": "open",
    });
    let action = |second: i64, verb: &str, more: (&str, &str)| {
        let mut row = json!({
            "id": format!("{INCIDENT}-{verb}"), "warning": INCIDENT, "action": verb, "actor": "officer-1", "role": "duty_officer",
            "unit": "unit-330902001", "time": at(second),
        });
        row[more.0] = more.1.into();
        (second, Topic::IN_ACTION, row)
    };
    vec![
        (5, Topic::IN_REPORT, report),
        (5, Topic::IN_MAINTENANCE, window),
        (5, Topic::IN_GAUGE, gauge),
        (40, Topic::IN_EVENT, event),
        (60, Topic::IN_INCIDENT, incident),
        action(100, "call", ("text", "已电话叫应")),
        action(160, "acknowledge", ("text", "收到")),
        action(220, "dispatch", ("text", "已派消防队")),
        action(250, "assign", ("assignee", "officer-1")),
        action(300, "comment", ("text", "已疏散周边人员")),
        action(420, "attach", ("evidence", "https://example.org/photos/7")),
    ]
}

/// Readings, by when they arrive and when they were made: one weir warns and is over, the other's warning comes by a late reading and
/// stays. The stricter set saw it earlier.
fn readings() -> Vec<(i64, Topic, Value)> {
    let reading = |arrival: i64, weir: &str, second: i64, result: f64| {
        let datastream = format!("{weir}/level");
        let row = json!({ "datastream": datastream, "phenomenon_time": at(second), "result": result });
        (arrival, Topic::IN_OBSERVATION, row)
    };
    vec![
        reading(10, "weir-3", 10, 2.0),
        reading(20, "weir-3", 20, 3.5),
        reading(25, "weir-4", 25, 2.7),
        reading(600, "weir-3", 600, 1.0),
        reading(900, "weir-4", 500, 3.4),
        reading(1_000, "weir-4", 1_000, 4.5),
        reading(END, "weir-3", END, 1.2),
    ]
}

/// All records with their keys, in the order in which they arrive.
fn records() -> Vec<(i64, Topic, String, String)> {
    let rows = [places(), people(), rules()].concat();
    let rows = rows.into_iter().map(|(topic, row)| (0, topic, row));
    let all = rows.chain(written()).chain(readings());
    let mut records: Vec<(i64, Topic, String, String)> = all
        .map(|(second, topic, row)| {
            let key = row[topic.key()].as_str().unwrap().to_owned();
            (second, topic, key, row.to_string())
        })
        .collect();
    // A sender that was cut off.
    let cut = "{\"datastream\":\"weir-3/level\",\"phenomenon_time\":\"2021-07-25T00:1";
    records.push((1_100, Topic::IN_OBSERVATION, "weir-3/level".to_owned(), cut.to_owned()));
    // Those of one second stay in this order: the sort is stable.
    records.sort_by_key(|(second, ..)| *second);
    records
}

/// Writes it into the folder of an input log.
pub fn write(folder: &Path) {
    let mut writers: BTreeMap<Topic, LogWriter> = Topic::inputs()
        .map(|topic| (topic, LogWriter::open(folder, topic.name(), PARTITIONS).unwrap()))
        .collect();
    for (second, topic, key, value) in records() {
        let writer = writers.get_mut(&topic).unwrap();
        let partition = writer.partition_of(Some(key.as_bytes()));
        let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
        let arrival = Millis(START + second * 1_000);
        writer.append(partition, arrival, key, value).unwrap();
    }
    for writer in writers.values_mut() {
        writer.sync().unwrap();
    }
}
