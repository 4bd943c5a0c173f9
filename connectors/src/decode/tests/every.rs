//! What holds for every field of every record: told by the schemas, or by one record of each topic.

use riskflow_model::intake::Permit;

use super::*;

/// Of each topic a record in which every `I` is an identifier and every `T` a text, and where these stand.
const TEXTS: [(Topic, &str, &[&str]); 12] = [
    (Topic::BASE_REGION, r#"{"code":"330902","name":"T"}"#, &["/name"]),
    (
        Topic::BASE_ASSET,
        r#"{"id":"I","name":"T","category":"I","domain":"lifeline","region":"330902","inherent_level":1}"#,
        &["/id", "/name", "/category"],
    ),
    (
        Topic::BASE_DATASTREAM,
        r#"{"id":"I","asset":"I","observed_property":"I"}"#,
        &["/id", "/asset", "/observed_property"],
    ),
    (
        Topic::IN_RULE,
        r#"{"id":"I","version":1,"name":"T","source":"T","select":{},
            "levels":{"red":{"when":{"feature":"last","window":"1h","op":">","threshold":1}}}}"#,
        &["/name", "/source"],
    ),
    (
        Topic::BASE_UNIT,
        r#"{"id":"u","name":"T","region":"3309","parent":"I"}"#,
        &["/id", "/name", "/parent"],
    ),
    (
        Topic::BASE_USER,
        r#"{"id":"I","channel":"T","posts":[{"unit":"u","role":"r"},{"unit":"I","role":"I"}]}"#,
        &["/id", "/channel", "/posts/1/unit", "/posts/1/role"],
    ),
    (
        Topic::BASE_DUTY,
        r#"{"id":"I","region":"3309","unit":"I","role":"I","roster":[{"user":"I"}]}"#,
        &["/id", "/unit", "/role", "/roster/0/user"],
    ),
    (
        Topic::BASE_PLAN,
        r#"{"id":"I","name":"T","level":"red","tasks":[{"id":"I","name":"T","role":"I"}]}"#,
        &["/id", "/name", "/tasks/0/id", "/tasks/0/name", "/tasks/0/role"],
    ),
    (
        Topic::BASE_LIMIT,
        r#"{"id":"I","version":1,"measure":"concurrent_work","work_type":"I","levels":{"red":1}}"#,
        &["/id", "/work_type"],
    ),
    (
        Topic::IN_PERMIT,
        r#"{"id":"I","version":1,"kind":"work","work_type":"I","asset":"I","holders":["I"],"valid_from":0,"valid_to":1750000000000}"#,
        &["/id", "/work_type", "/asset", "/holders/0"],
    ),
    (
        Topic::IN_REPORT,
        r#"{"id":"I","version":1,"module":"I","region":"3309","kind":"I","quantities":{"I":1},"time":0}"#,
        &["/id", "/module", "/kind"],
    ),
    (
        Topic::IN_INCIDENT,
        r#"{"id":"I","version":1,"hazard":"I","title":"T","level":"red","domain":"lifeline","region":"3309","asset":"I",
            "since":0}"#,
        &["/id", "/hazard", "/title", "/asset"],
    ),
];

/// What names a thing may become a key, and every text goes out.
#[test]
fn texts_longer_than_their_bound_are_refused_by_field_and_the_longest_are_taken() {
    let (id, text) = ("i".repeat(200), "t".repeat(4096));
    for (topic, template, places) in TEXTS {
        let longest = template
            .replace("\"I\"", &format!("\"{id}\""))
            .replace("\"T\"", &format!("\"{text}\""));
        let taken = decode(&raw(topic, None, Some(longest.as_bytes())));
        assert!(taken.is_ok(), "{topic}: {taken:?}");
        for place in places {
            let mut row: serde_json::Value = serde_json::from_str(&longest).unwrap();
            let field = row.pointer_mut(place).unwrap();
            let most = if field.as_str().unwrap().starts_with('t') {
                4096
            } else {
                200
            };
            *field = "x".repeat(most + 1).into();
            let (reason, detail) = reject(topic, None, Some(row.to_string().as_bytes()));
            assert_eq!(reason, Reason::InvalidField, "{topic}{place}");
            let name = place[1..].replace("/0", "[0]").replace("/1", "[1]").replace('/', ".");
            assert_eq!(
                detail,
                format!("`{name}` is {} bytes long; give at most {most} bytes", most + 1)
            );
        }
    }
    let refused = |topic, payload: String| reject(topic, None, Some(payload.as_bytes())).1;
    let quantity = TEXTS[10].1.replace("{\"I\"", &format!("{{\"{id}i\""));
    let said = refused(Topic::IN_REPORT, quantity);
    assert!(said.contains("201 bytes long"), "{said}");
    assert!(
        refused(Topic::IN_OBSERVATION, OBSERVATION.replace("s1", &format!("{id}i"))).starts_with("`datastream` is 201")
    );
    assert!(
        decode(&raw(
            Topic::IN_OBSERVATION,
            None,
            Some(OBSERVATION.replace("s1", &id).as_bytes())
        ))
        .is_ok()
    );
}

/// A good record of each input topic, with all of its fields.
fn full(topic: Topic) -> serde_json::Value {
    serde_json::from_str(topic.example()).unwrap()
}

fn told(topic: Topic, record: &serde_json::Value) -> Result<InputRecord, (Reason, String)> {
    let text = record.to_string();
    decode(&raw(topic, None, Some(text.as_bytes()))).map_err(|rejection| (rejection.reason, rejection.detail))
}

#[test]
fn null_is_as_if_the_field_were_absent_in_every_record_and_the_schema_says_the_same() {
    for topic in Topic::inputs() {
        let good = full(topic);
        assert!(told(topic, &good).is_ok(), "{topic}: {:?}", told(topic, &good));
        let schema = riskflow_model::schema::of_topic(topic);
        let required = schema.as_value()["required"].as_array().unwrap();
        let properties = schema.as_value()["properties"].as_object().unwrap();
        for (name, property) in properties {
            let mut with = good.clone();
            with[name] = serde_json::Value::Null;
            let mut without = good.clone();
            without.as_object_mut().unwrap().remove(name);
            let (with, without) = (told(topic, &with), told(topic, &without));
            if required.iter().any(|required| required == name) {
                let (reason, detail) = with.unwrap_err();
                let of_rule = topic == Topic::IN_RULE;
                let expected = if of_rule {
                    Reason::InvalidRule
                } else {
                    Reason::InvalidField
                };
                assert_eq!(reason, expected, "{topic}: {detail}");
                assert!(
                    detail.contains(&format!("`{name}` is null; give ")),
                    "{topic}: {detail}"
                );
                let (_, detail) = without.unwrap_err();
                assert!(
                    detail.contains(&format!("`{name}` is missing; give ")),
                    "{topic}: {detail}"
                );
            } else {
                assert_eq!(with, without, "{topic}: {name}");
                assert!(property.to_string().contains("null"), "{topic}: {name}: {property}");
            }
        }
    }
}

#[test]
fn a_wrong_type_is_named_with_what_is_allowed_in_every_field_of_every_record() {
    let wrong = [
        serde_json::json!(true),
        serde_json::json!({ "x": 1 }),
        serde_json::json!([[1]]),
        serde_json::json!(-1.5),
        serde_json::json!("\u{1}"),
    ];
    for topic in Topic::inputs() {
        let good = full(topic);
        for name in good.as_object().unwrap().keys().filter(|name| *name != "owner") {
            let mut refused = 0;
            for value in &wrong {
                let mut record = good.clone();
                record[name] = value.clone();
                let Err((reason, detail)) = told(topic, &record) else {
                    continue;
                };
                refused += 1;
                assert!(
                    matches!(reason, Reason::InvalidField | Reason::InvalidRule),
                    "{topic}: {name}: {value}: {detail}"
                );
                let about = detail.lines().all(|line| {
                    let named = line.starts_with(&format!("`{name}")) || detail.contains("`permit`");
                    named
                        && line.contains("; give ")
                        && !line.contains(" at line ")
                        && !line.contains("a value of its type")
                });
                // A verb that asks for other fields, and a permit of another kind, say so.
                assert!(
                    about || name == "action" || name == "kind",
                    "{topic}: {name}: {value}: {detail}"
                );
                for words in [
                    "untagged",
                    "expected",
                    "invalid type",
                    "f64",
                    "u32",
                    "struct",
                    "variant",
                ] {
                    assert!(!detail.contains(words), "{topic}: {name}: {value}: {detail}");
                }
            }
            assert!(refused >= 3, "{topic}: {name}");
        }
    }
}

#[test]
fn seconds_are_refused_in_every_time_of_every_record() {
    let mut times = 0;
    for topic in Topic::inputs() {
        let good = full(topic).to_string();
        for millis in ["1750000020000", "1750000000000", ":0"] {
            // A number with places is no time.
            let whole = |at: &usize| !good[at + millis.len()..].starts_with('.');
            for at in good.match_indices(millis).map(|(at, _)| at).filter(whole) {
                for seconds in [
                    "1750000020",
                    "\"1750000020\"",
                    "1750000020000000",
                    "\"1750000020000000000\"",
                ] {
                    let with = if millis == ":0" {
                        format!(":{seconds}")
                    } else {
                        seconds.to_owned()
                    };
                    let text = format!("{}{with}{}", &good[..at], &good[at + millis.len()..]);
                    let (reason, detail) = reject(topic, None, Some(text.as_bytes()));
                    assert_eq!(reason, Reason::InvalidField, "{text}");
                    assert!(
                        detail.contains("looks like ") && detail.contains("1750000020000"),
                        "{text}: {detail}"
                    );
                    times += 1;
                }
            }
        }
    }
    assert_eq!(times / 4, 20, "times of all records");
}

#[test]
fn registers_write_no_end_as_a_day_far_away() {
    let read =
        |topic, text: &str| decode(&raw(topic, None, Some(text.as_bytes()))).map_err(|rejection| rejection.detail);
    let certificate = r#"{"id":"c","version":1,"kind":"certificate","work_type":"w","holders":["h"],
        "valid_from":"0001-01-01T00:00:00Z","valid_to":"9999-12-31T23:59:59+08:00"}"#;
    let InputRecord::Base(_, Some(permit)) = read(Topic::IN_PERMIT, certificate).unwrap() else {
        panic!("a permit")
    };
    let permit = permit.downcast::<Permit>().unwrap();
    assert_eq!((permit.valid_from, permit.valid_to), (None, None));
    assert_eq!(permit.in_force(), Some((Millis::MIN, Millis::MAX)));
    let work = certificate
        .replace("certificate", "work")
        .replace(r#""holders""#, r#""asset":"a","holders""#);
    let refused = read(Topic::IN_PERMIT, &work).unwrap_err();
    assert!(
        refused.contains("`valid_from` is missing or unbounded") && refused.contains("`valid_to` is"),
        "{refused}"
    );
    let reversed = r#"{"id":"d","region":"3309","unit":"u","role":"r","valid_from":"2025-06-15T00:00:00Z",
        "valid_to":"2025-06-14T00:00:00Z"}"#;
    let refused = read(Topic::BASE_DUTY, reversed).unwrap_err();
    assert!(
        refused.contains("`valid_to` is 2025-06-14T00:00:00.000Z; give a time not before"),
        "{refused}"
    );
}

#[test]
fn keys_that_are_spelt_otherwise_are_refused_in_tombstones_too() {
    for (key, says) in [
        ("\"u-1\"", "`\"u-1\"`: encoded as JSON; give it plain, `u-1`"),
        (
            "{\"id\":\"u-2\"}",
            "encoded as JSON; give it plain: without quotes and field names",
        ),
        ("u-1 ", "`u-1 `: it begins or ends with a blank; give `u-1`"),
        ("u-1\u{200b}", "zero-width"),
        ("u\u{a0}1", "no-break"),
        ("u\n1", "control character"),
        ("pumpe-zu\u{308}rich", "NFC"),
    ] {
        for topic in Topic::inputs().filter(|topic| topic.is_input_table()) {
            let (reason, detail) = reject(topic, Some(key), None);
            assert_eq!(reason, Reason::KeyMismatch);
            assert!(detail.contains(says), "{topic} {key}: {detail}");
        }
        let (reason, detail) = reject(Topic::BASE_ASSET, Some(key), Some(ASSET.as_bytes()));
        assert_eq!(reason, Reason::KeyMismatch);
        assert!(detail.contains("; give its `id`, `a1`"), "{key}: {detail}");
    }
    let bytes = raw(Topic::BASE_ASSET, Some(b"\xff"), None);
    assert!(decode(&bytes).unwrap_err().detail.contains("no UTF-8"));
}

#[test]
fn own_thresholds_are_exact_and_for_levels() {
    let with = |own: &str| DATASTREAM.replace(r#"{"blue":50.0}"#, own);
    for (own, says) in [
        (
            r#"{"blue":3.6576}"#,
            "`thresholds.r.blue` is 3.6576; give a number with at most three decimals",
        ),
        (r#"{"blue":1013.2504}"#, "`thresholds.r.blue` is 1013.2504"),
        (r#"{"blue":2e12}"#, "`thresholds.r.blue` is 2000000000000"),
        (r#"{"blue":"5"}"#, "`thresholds.r.blue` is \"5\"; give a number"),
        (
            r#"{"yelow":5}"#,
            "`thresholds.r.yelow` is for no level; give a level, `blue`",
        ),
        (r#"{"none":5}"#, "`thresholds.r.none` is for no level"),
        (r#"{"blue.":5}"#, "`thresholds.r.blue.` is empty"),
        (r#"{"blue":5,"blue":6}"#, "`thresholds.r.blue` is there twice"),
        ("[5]", "`thresholds.r` is a list; give an object"),
    ] {
        let (reason, detail) = reject(Topic::BASE_DATASTREAM, None, Some(with(own).as_bytes()));
        assert_eq!(reason, Reason::InvalidField);
        assert!(detail.contains(says), "{own}: {detail}");
    }
    for own in [r#"{"blue":3.658,"red.h1":-1e12}"#, r#"{"blue":null}"#, "null"] {
        assert!(
            decode(&raw(Topic::BASE_DATASTREAM, None, Some(with(own).as_bytes()))).is_ok(),
            "{own}"
        );
    }
}

#[test]
fn the_row_that_a_refused_record_is_about_is_known_where_it_says_so() {
    let of = |key: Option<&'static str>, payload: &'static str| {
        table_key(&raw(
            Topic::BASE_ASSET,
            key.map(str::as_bytes),
            Some(payload.as_bytes()),
        ))
    };
    assert_eq!(of(Some("a1"), "{"), Some(Key::of("a1")));
    assert_eq!(of(None, r#"{"id":"a1","region":7}"#), Some(Key::of("a1")));
    assert_eq!(of(None, "{"), None);
    assert_eq!(of(None, r#"{"id":7}"#), None);
    assert_eq!(of(Some("\"a1\""), "{}"), None);
    assert_eq!(table_key(&raw(Topic::IN_OBSERVATION, Some(b"s"), Some(b"{}"))), None);
}
