use proptest::prelude::*;
use riskflow_config::{BaseRow, InputRecord};
use riskflow_model::observation::Quality;
use riskflow_model::output::{PayloadEncoding, Reason};
use riskflow_model::topic::Topic;
use riskflow_model::{Key, Millis};

use super::*;

fn raw<'a>(topic: Topic, key: Option<&'a [u8]>, payload: Option<&'a [u8]>) -> RawRecord<'a> {
    RawRecord {
        topic,
        partition: 3,
        offset: 7,
        arrival: None,
        key,
        payload,
    }
}

fn reject(topic: Topic, key: Option<&str>, payload: Option<&[u8]>) -> (Reason, String) {
    let rejection = decode(&raw(topic, key.map(str::as_bytes), payload)).unwrap_err();
    (rejection.reason, rejection.detail)
}

const OBSERVATION: &str = r#"{"datastream":"s1","phenomenon_time":1627187400000,"result":5.5}"#;
const ASSET: &str = r#"{"id":"a1","category":"reservoir","domain":"natural_hazard","region":"330902001001",
    "inherent_level":3,"position":{"longitude":122.1,"latitude":30.0},"tags":["x"],"owner":"ignored"}"#;
const SENSED: &str = r#"{"id":"s1","asset":"a1","observed_property":"rainfall","unit":"mm","tags":["t"],"thresholds":{"r":{"blue":50.0}},
    "valid":{"min":-1,"max":500.5},"no_value":[-9999,999.9],"interval":"5m"}"#;
const DATASTREAM: &str =
    r#"{"id":"s1","asset":"a1","observed_property":"rainfall","unit":"mm","thresholds":{"r":{"blue":50.0}}}"#;
const RULE: &str = r#"{"id":"r","version":1,"select":{"observed_property":"rainfall"},
    "levels":{"blue":{"when":{"feature":"sum","window":"12h","op":">=","threshold":50}}}}"#;

#[test]
fn good_observations_decode() {
    let decoded = |payload: &str| match decode(&raw(Topic::InObservation, None, Some(payload.as_bytes()))).unwrap() {
        InputRecord::Observation(observation) => observation,
        other => panic!("{other:?}"),
    };
    let plain = decoded(OBSERVATION);
    assert_eq!(
        (plain.datastream, plain.time),
        (Key::of("s1"), Millis(1_627_187_400_000))
    );
    assert_eq!(plain.reading.unwrap().result, 5.5);
    let standard = decoded(
        r#" {"datastream":"s\u0031","phenomenonTime":"2021-07-25T12:30:00+08:00","result":-3,"resultQuality":"bad","x":[1]}"#,
    );
    assert_eq!((standard.datastream, standard.time), (plain.datastream, plain.time));
    assert_eq!(standard.reading.unwrap().quality, Quality::Bad);
    assert_eq!(
        decoded(r#"{"datastream":"s1","phenomenon_time":0,"op":"delete"}"#).reading,
        None
    );
}

#[test]
fn good_base_records_decode_with_and_without_key() {
    let region = r#"{"code":"330902","name":"定海区"}"#;
    let all = [
        (Topic::BaseRegion, "330902", region),
        (Topic::BaseAsset, "a1", ASSET),
        (Topic::BaseDatastream, "s1", DATASTREAM),
        (Topic::BaseDatastream, "s1", SENSED),
        (Topic::InRule, "r", RULE),
    ];
    for (topic, id, payload) in all {
        for key in [None, Some(id.as_bytes())] {
            let decoded = decode(&raw(topic, key, Some(payload.as_bytes()))).unwrap();
            let InputRecord::Base(found, Some(row)) = decoded else {
                panic!("{topic}")
            };
            assert_eq!((found, &*row.id()), (Key::of(id), id));
            assert_eq!(matches!(row, BaseRow::Rule(_)), topic == Topic::InRule);
        }
        let deleted = decode(&raw(topic, Some(id.as_bytes()), None)).unwrap();
        assert_eq!(deleted, InputRecord::Base(Key::of(id), None));
        assert_eq!(
            reject(topic, Some("other"), Some(payload.as_bytes())).0,
            Reason::KeyMismatch
        );
        assert_eq!(reject(topic, None, None).0, Reason::KeyMismatch);
    }
}

/// Payload, reason, and what stands in the detail.
const BAD_OBSERVATIONS: &[(&str, Reason, &str)] = &[
    ("", Reason::Malformed, "EOF"),
    ("{", Reason::Malformed, "EOF"),
    ("hello", Reason::Malformed, "expected"),
    (
        r#"{"datastream":"s1","phenomenon_time":0,"result":1}}"#,
        Reason::Malformed,
        "trailing",
    ),
    (
        r#"{"datastream":"s1","phenomenon_time":0,"result":1"#,
        Reason::Malformed,
        "EOF",
    ),
    (
        r#"{"datastream":"s1","phenomenon_time":0,"result":NaN}"#,
        Reason::Malformed,
        "expected",
    ),
    (
        r#"["s1",0,1]"#,
        Reason::InvalidField,
        "`record` is a list; give one JSON object",
    ),
    ("null", Reason::InvalidField, "no object"),
    ("{}", Reason::InvalidField, "`datastream` is missing; give it"),
    (
        r#"{"datastream":"","phenomenon_time":0,"result":1}"#,
        Reason::InvalidField,
        "`datastream` is empty",
    ),
    (
        r#"{"datastream":7,"phenomenon_time":0,"result":1}"#,
        Reason::InvalidField,
        "`datastream` is 7; give a text in quotes",
    ),
    (
        r#"{"datastream":"s1","result":1}"#,
        Reason::InvalidField,
        "`phenomenon_time` is missing",
    ),
    (
        r#"{"datastream":"s1","phenomenon_time":"2021-07-25T12:30:00","result":1}"#,
        Reason::InvalidField,
        "`phenomenon_time` is \"2021-07-25T12:30:00\": a time without offset; give",
    ),
    (
        r#"{"datastream":"s1","phenomenon_time":1627187400000000,"result":1}"#,
        Reason::InvalidField,
        "`phenomenon_time` is 1627187400000000: looks like microseconds; give milliseconds, 1627187400000,",
    ),
    (
        r#"{"datastream":"s1","phenomenon_time":1.5,"result":1}"#,
        Reason::InvalidField,
        "`phenomenon_time` is 1.5: looks like seconds",
    ),
    (
        r#"{"datastream":"s1","phenomenon_time":0}"#,
        Reason::InvalidField,
        "`result` is missing",
    ),
    (
        r#"{"datastream":"s1","phenomenon_time":0,"result":null}"#,
        Reason::InvalidField,
        "`result` is missing",
    ),
    (
        r#"{"datastream":"s1","phenomenon_time":0,"result":"5"}"#,
        Reason::InvalidField,
        "`result` is \"5\"; give a number",
    ),
    (
        r#"{"datastream":"s1","phenomenon_time":0,"result":1.1e12}"#,
        Reason::InvalidField,
        "`result` is 1100000000000",
    ),
    (
        r#"{"datastream":"s1","phenomenon_time":0,"result":-1e999}"#,
        Reason::InvalidField,
        "`result` is -1e999; give a number that is not so large",
    ),
    (
        r#"{"datastream":"s1","phenomenon_time":0,"result":1,"result":2}"#,
        Reason::InvalidField,
        "`result` is there twice; give it once",
    ),
    (
        r#"{"datastream":"s1","phenomenon_time":0,"result":1,"quality":"fine"}"#,
        Reason::InvalidField,
        "`quality` is \"fine\"; give one of `good`, `suspect`, `bad`, `estimated`",
    ),
    (
        r#"{"datastream":"s1","phenomenon_time":1750000020,"result":1}"#,
        Reason::InvalidField,
        "`phenomenon_time` is 1750000020: looks like seconds; give milliseconds, 1750000020000, or RFC 3339, 2025-06-15T15:07:00.000Z",
    ),
    (
        r#"{"datastream":"s1","phenomenonTime":"1750000020","result":1}"#,
        Reason::InvalidField,
        "`phenomenonTime` is \"1750000020\": looks like seconds",
    ),
    (
        r#"{"datastream":"s1","phenomenon_time":0,"result":1,"quality":5,"op":[]}"#,
        Reason::InvalidField,
        "`quality` is 5; give one of `good`, `suspect`, `bad`, `estimated`\n`op` is a list; give `upsert` or `delete`",
    ),
    (
        "{\"datastream\":\"s1\u{200b}\",\"phenomenon_time\":0,\"result\":1}",
        Reason::InvalidField,
        "`datastream` is `s1\\u{200b}`: it has a zero-width character, U+200B; give `s1`",
    ),
    (
        r#"{"datastream":"\ud800","phenomenon_time":0,"result":1}"#,
        Reason::InvalidField,
        "`datastream` is",
    ),
    ("\u{feff}hello", Reason::Malformed, "no JSON"),
    (
        r#"{"datastream":"s1","phenomenon_time":0,"result":1,"op":"drop"}"#,
        Reason::InvalidField,
        "`op` is \"drop\"; give `upsert` or `delete`",
    ),
];

#[test]
fn bad_observations_are_refused_with_reason_and_field() {
    for (payload, reason, detail) in BAD_OBSERVATIONS {
        let (found, text) = reject(Topic::InObservation, None, Some(payload.as_bytes()));
        assert_eq!(found, *reason, "{payload}: {text}");
        assert!(text.contains(detail), "{payload}: {text}");
    }
    assert_eq!(reject(Topic::InObservation, Some("s1"), None).0, Reason::InvalidField);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one row a case, and nothing else")]
fn bad_base_records_are_refused_with_reason_and_field() {
    let asset = |from: &str, to: &str| (Topic::BaseAsset, ASSET.replace(from, to));
    let rule = |from: &str, to: &str| (Topic::InRule, RULE.replace(from, to));
    let sensed = |field: &str| {
        let row = DATASTREAM.replace("\"unit\"", &format!("{field},\"unit\""));
        (Topic::BaseDatastream, row)
    };
    let cases = [
        (
            asset("\"id\":\"a1\"", "\"id\":\"\""),
            Reason::InvalidField,
            "`id` is empty",
        ),
        (
            asset("122.1", "180.5"),
            Reason::InvalidField,
            "`position.longitude` is 180.5",
        ),
        (asset("30.0", "-91"), Reason::InvalidField, "`position.latitude` is -91"),
        (
            asset(":3,", ":5,"),
            Reason::InvalidField,
            "`inherent_level` is 5; give a whole number from 1 to 4",
        ),
        (
            asset("330902001001", " 33090"),
            Reason::InvalidField,
            "`region` is \" 33090\"",
        ),
        (
            (
                Topic::BaseRegion,
                r#"{"code":"330902","name":"n","parent":"3310"}"#.to_owned(),
            ),
            Reason::InvalidField,
            "`parent` is `3310`; give `3309`, as its digits say, or leave it out",
        ),
        (
            (
                Topic::BaseRegion,
                r#"{"code":"33","name":"n","parent":"CN"}"#.to_owned(),
            ),
            Reason::InvalidField,
            "`parent` is `CN`; give none",
        ),
        (
            (
                Topic::BaseRegion,
                r#"{"code":"DE21","name":"n","parent":"DE21"}"#.to_owned(),
            ),
            Reason::InvalidField,
            "`parent` is `DE21`, the region itself; give another",
        ),
        (
            asset("natural_hazard", "sea"),
            Reason::InvalidField,
            "`domain` is \"sea\"; give one of",
        ),
        (
            asset("\"owner\"", "\"population\":100000001,\"owner\""),
            Reason::InvalidField,
            "`population` is 100000001",
        ),
        (asset("}", ""), Reason::Malformed, ""),
        (
            sensed(r#""valid":{"min":5,"max":4.5}"#),
            Reason::InvalidField,
            "`valid.max` is 4.5; give at least 5, as `valid.min` is",
        ),
        (
            sensed(r#""valid":{"minimum":5}"#),
            Reason::InvalidField,
            "`valid` is without borders; give `min`, `max` or both",
        ),
        (
            sensed(r#""valid":{"min":0.0001,"max":1e10}"#),
            Reason::InvalidField,
            "`valid.min` is 0.0001; give a number with at most three decimals",
        ),
        (
            sensed(r#""valid":{"max":"high"}"#),
            Reason::InvalidField,
            "`valid.max` is \"high\"; give a number",
        ),
        (
            sensed(r#""valid":[0,5]"#),
            Reason::InvalidField,
            "`valid` is a list; give",
        ),
        (
            sensed(r#""no_value":-9999"#),
            Reason::InvalidField,
            "`no_value` is -9999; give a list",
        ),
        (
            sensed(r#""no_value":[-9999,"-"]"#),
            Reason::InvalidField,
            "`no_value[1]` is \"-\"; give a number",
        ),
        (
            sensed(r#""no_value":[9.96e36]"#),
            Reason::InvalidField,
            "give a number with at most three decimals, from -1e9 to 1e9",
        ),
        (
            sensed(r#""interval":"often""#),
            Reason::InvalidField,
            "`interval` is `often`; give a duration from 1s to 366d",
        ),
        (
            sensed(r#""interval":300"#),
            Reason::InvalidField,
            "`interval` is 300; give a text in quotes",
        ),
        (
            (Topic::BaseDatastream, DATASTREAM.replace("\"a1\"", "\"\"")),
            Reason::InvalidField,
            "`asset` is empty",
        ),
        (
            (Topic::BaseRegion, r#"{"code":"330902"}"#.to_owned()),
            Reason::InvalidField,
            "`name` is missing",
        ),
        (rule("12h", "12x"), Reason::InvalidRule, "window"),
        (rule("\"version\"", "\"verson\""), Reason::InvalidRule, "verson"),
        (rule("}}}}", "}}}"), Reason::Malformed, "EOF"),
        (
            (Topic::RiskAsset, "{}".to_owned()),
            Reason::InvalidField,
            "`topic` is out.risk.asset",
        ),
    ];
    for ((topic, payload), reason, detail) in cases {
        let (found, text) = reject(topic, None, Some(payload.as_bytes()));
        assert_eq!(found, reason, "{payload}: {text}");
        assert!(text.contains(detail), "{payload}: {text}");
    }
}

#[test]
fn every_problem_of_a_rule_is_told() {
    let rule = RULE.replace("12h", "12x").replace("\">=\"", "\"=>\"");
    let (reason, detail) = reject(Topic::InRule, None, Some(rule.as_bytes()));
    assert_eq!((reason, detail.lines().count()), (Reason::InvalidRule, 2), "{detail}");
}

#[test]
fn bytes_that_are_no_utf8_are_told_from_bad_json_wherever_they_stand() {
    for at in 0..OBSERVATION.len() {
        let mut payload = OBSERVATION.as_bytes().to_vec();
        payload[at] = 0xff;
        assert_eq!(
            reject(Topic::InObservation, None, Some(&payload)).0,
            Reason::InvalidUtf8,
            "byte {at}"
        );
    }
}

#[test]
fn large_payloads_are_refused_unparsed_and_kept_in_part() {
    let exact = OBSERVATION.to_owned() + &" ".repeat(LARGEST_PAYLOAD - OBSERVATION.len());
    assert!(decode(&raw(Topic::InObservation, None, Some(exact.as_bytes()))).is_ok());
    let large = format!("{exact} ");
    let record = raw(Topic::InObservation, None, Some(large.as_bytes()));
    let rejection = decode(&record).unwrap_err();
    assert_eq!(rejection.reason, Reason::TooLarge);
    let letter = dead_letter(&record, &rejection);
    assert_eq!((letter.payload.len(), letter.payload_bytes), (64 << 10, (1 << 20) + 1));
    assert_eq!(
        (&*letter.topic, letter.partition, letter.offset),
        ("in.observation", 3, 7)
    );
}

#[test]
fn dead_letters_are_cut_between_characters_and_hold_any_bytes() {
    let rejection = Rejection::new(Reason::Malformed, "雨".repeat(3000));
    assert!((4090..=4096).contains(&rejection.detail.len()) && rejection.detail.contains("…(9000 bytes, cut)…雨"));
    let text = "雨".repeat(30_000);
    let letter = dead_letter(&raw(Topic::InRule, None, Some(text.as_bytes())), &rejection);
    assert_eq!((letter.payload.len(), letter.encoding), (65_535, PayloadEncoding::Utf8));
    assert!(letter.payload_cut);
    let letter = dead_letter(&raw(Topic::InRule, None, Some(b"a\xff")), &rejection);
    assert_eq!(
        (&*letter.payload, letter.encoding, letter.payload_bytes),
        ("Yf8=", PayloadEncoding::Base64, 2)
    );
    assert!(!letter.payload_cut);
    let letter = dead_letter(&raw(Topic::InRule, None, Some(&[0xff; 70_000])), &rejection);
    assert_eq!((letter.payload.len(), letter.payload_bytes), (87_384, 70_000));
    assert!(letter.payload_cut);
    let letter = dead_letter(&raw(Topic::InRule, None, None), &rejection);
    assert_eq!((&*letter.payload, letter.payload_bytes), ("", 0));
}

/// Of each topic a record in which every `I` is an identifier and every `T` a text, and where these stand.
const TEXTS: [(Topic, &str, &[&str]); 12] = [
    (Topic::BaseRegion, r#"{"code":"330902","name":"T"}"#, &["/name"]),
    (
        Topic::BaseAsset,
        r#"{"id":"I","name":"T","category":"I","domain":"lifeline","region":"330902","inherent_level":1}"#,
        &["/id", "/name", "/category"],
    ),
    (
        Topic::BaseDatastream,
        r#"{"id":"I","asset":"I","observed_property":"I"}"#,
        &["/id", "/asset", "/observed_property"],
    ),
    (
        Topic::InRule,
        r#"{"id":"I","version":1,"name":"T","source":"T","select":{},
            "levels":{"red":{"when":{"feature":"last","window":"1h","op":">","threshold":1}}}}"#,
        &["/name", "/source"],
    ),
    (
        Topic::BaseUnit,
        r#"{"id":"u","name":"T","region":"3309","parent":"I"}"#,
        &["/id", "/name", "/parent"],
    ),
    (
        Topic::BaseUser,
        r#"{"id":"I","channel":"T","posts":[{"unit":"u","role":"r"},{"unit":"I","role":"I"}]}"#,
        &["/id", "/channel", "/posts/1/unit", "/posts/1/role"],
    ),
    (
        Topic::BaseDuty,
        r#"{"id":"I","region":"3309","unit":"I","role":"I","roster":[{"user":"I"}]}"#,
        &["/id", "/unit", "/role", "/roster/0/user"],
    ),
    (
        Topic::BasePlan,
        r#"{"id":"I","name":"T","level":"red","tasks":[{"id":"I","name":"T","role":"I"}]}"#,
        &["/id", "/name", "/tasks/0/id", "/tasks/0/name", "/tasks/0/role"],
    ),
    (
        Topic::BaseLimit,
        r#"{"id":"I","version":1,"measure":"concurrent_work","work_type":"I","levels":{"red":1}}"#,
        &["/id", "/work_type"],
    ),
    (
        Topic::InPermit,
        r#"{"id":"I","version":1,"kind":"work","work_type":"I","asset":"I","holders":["I"],"valid_from":0,"valid_to":1750000000000}"#,
        &["/id", "/work_type", "/asset", "/holders/0"],
    ),
    (
        Topic::InReport,
        r#"{"id":"I","version":1,"module":"I","region":"3309","kind":"I","quantities":{"I":1},"time":0}"#,
        &["/id", "/module", "/kind"],
    ),
    (
        Topic::InIncident,
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
    let said = refused(Topic::InReport, quantity);
    assert!(said.contains("201 bytes long"), "{said}");
    assert!(
        refused(Topic::InObservation, OBSERVATION.replace("s1", &format!("{id}i"))).starts_with("`datastream` is 201")
    );
    assert!(
        decode(&raw(
            Topic::InObservation,
            None,
            Some(OBSERVATION.replace("s1", &id).as_bytes())
        ))
        .is_ok()
    );
}

fn never_panics(topic: Topic, key: Option<&[u8]>, payload: &[u8]) {
    let record = raw(topic, key, Some(payload));
    if let Err(rejection) = decode(&record) {
        let letter = dead_letter(&record, &rejection);
        assert_eq!(letter.payload_bytes, payload.len() as u64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(topic in 0usize..11, payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        never_panics(Topic::ALL[topic], None, &payload);
    }

    #[test]
    fn changed_records_never_panic(
        which in 0usize..4,
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>(), 0u8..3), 1..6),
    ) {
        let (topic, good) = [
            (Topic::InObservation, OBSERVATION),
            (Topic::BaseAsset, ASSET),
            (Topic::BaseDatastream, DATASTREAM),
            (Topic::InRule, RULE),
        ][which];
        let mut payload = good.as_bytes().to_vec();
        for (at, byte, change) in changes {
            let at = at.index(payload.len());
            match change {
                0 => payload[at] = byte,
                1 => payload.insert(at, byte),
                _ => payload.truncate(at.max(1)),
            }
        }
        never_panics(topic, Some(b"a1"), &payload);
    }
}

/// A good record of each input topic, with all of its fields.
fn full(topic: Topic) -> serde_json::Value {
    let text = match topic {
        Topic::BaseRegion => r#"{"code":"330902","name":"x"}"#,
        Topic::BaseAsset => ASSET,
        Topic::BaseDatastream => SENSED,
        Topic::BaseUnit => r#"{"id":"i","name":"n","region":"3309","parent":"p"}"#,
        Topic::BaseUser => {
            r#"{"id":"i","channel":"c","posts":[{"unit":"u","role":"r","valid_from":0,"valid_to":1750000020000}]}"#
        }
        Topic::BaseDuty => {
            r#"{"id":"i","region":"3309","domain":"lifeline","rules":["r"],"asset":"a","level":"red","unit":"u","role":"r",
                "valid_from":0,"valid_to":1750000020000,"roster":[{"user":"u","valid_from":0,"valid_to":1750000020000}]}"#
        }
        Topic::BasePlan => {
            r#"{"id":"i","name":"n","region":"3309","domain":"lifeline","rules":["r"],"level":"red",
                "tasks":[{"id":"t","name":"n","role":"r","limit_minutes":5}]}"#
        }
        Topic::BaseLimit => {
            r#"{"id":"i","version":1,"measure":"concurrent_work","work_type":"w","category":["c"],"domain":"lifeline",
                "region":"3309","levels":{"blue":1,"red":2}}"#
        }
        Topic::InRule => RULE,
        Topic::InPermit => {
            r#"{"id":"i","version":1,"kind":"certificate","work_type":"w","holders":["h"],"valid_from":0,
                "valid_to":1750000020000,"cancelled_from":1750000020000}"#
        }
        Topic::InReport => {
            r#"{"id":"i","version":1,"module":"m","region":"3309","kind":"k","quantities":{"q":1},"time":0,"deleted":false}"#
        }
        Topic::InIncident => {
            r#"{"id":"i","version":1,"hazard":"h","title":"t","level":"red","domain":"lifeline","region":"3309","asset":"a",
                "since":0,"state":"open"}"#
        }
        Topic::InObservation => r#"{"datastream":"s1","phenomenon_time":0,"result":1,"quality":"good","op":"upsert"}"#,
        _ => {
            r#"{"id":"i","warning":"w","action":"call","actor":"a","role":"r","unit":"u","time":0,"text":"t","task":"t",
                "assignee":"a","evidence":"e","until":0,"override":false}"#
        }
    };
    serde_json::from_str(text).unwrap()
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
        let schema = riskflow_config::schema_of(topic);
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
                let of_rule = topic == Topic::InRule;
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
        for millis in ["1750000020000", ":0"] {
            for (at, _) in good.match_indices(millis) {
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
    assert_eq!(times / 4, 14, "times of all records");
}

#[test]
fn registers_write_no_end_as_a_day_far_away() {
    let read =
        |topic, text: &str| decode(&raw(topic, None, Some(text.as_bytes()))).map_err(|rejection| rejection.detail);
    let certificate = r#"{"id":"c","version":1,"kind":"certificate","work_type":"w","holders":["h"],
        "valid_from":"0001-01-01T00:00:00Z","valid_to":"9999-12-31T23:59:59+08:00"}"#;
    let InputRecord::Base(_, Some(BaseRow::Permit(permit))) = read(Topic::InPermit, certificate).unwrap() else {
        panic!("a permit")
    };
    assert_eq!((permit.valid_from, permit.valid_to), (None, None));
    assert_eq!(permit.in_force(), Some((i64::MIN, i64::MAX)));
    let work = certificate
        .replace("certificate", "work")
        .replace(r#""holders""#, r#""asset":"a","holders""#);
    let refused = read(Topic::InPermit, &work).unwrap_err();
    assert!(
        refused.contains("`valid_from` is missing or unbounded") && refused.contains("`valid_to` is"),
        "{refused}"
    );
    let reversed = r#"{"id":"d","region":"3309","unit":"u","role":"r","valid_from":"2025-06-15T00:00:00Z",
        "valid_to":"2025-06-14T00:00:00Z"}"#;
    let refused = read(Topic::BaseDuty, reversed).unwrap_err();
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
        for topic in Topic::inputs().filter(|topic| topic.is_base()) {
            let (reason, detail) = reject(topic, Some(key), None);
            assert_eq!(reason, Reason::KeyMismatch);
            assert!(detail.contains(says), "{topic} {key}: {detail}");
        }
        let (reason, detail) = reject(Topic::BaseAsset, Some(key), Some(ASSET.as_bytes()));
        assert_eq!(reason, Reason::KeyMismatch);
        assert!(detail.contains("; give its `id`, `a1`"), "{key}: {detail}");
    }
    let bytes = raw(Topic::BaseAsset, Some(b"\xff"), None);
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
        let (reason, detail) = reject(Topic::BaseDatastream, None, Some(with(own).as_bytes()));
        assert_eq!(reason, Reason::InvalidField);
        assert!(detail.contains(says), "{own}: {detail}");
    }
    for own in [r#"{"blue":3.658,"red.h1":-1e12}"#, r#"{"blue":null}"#, "null"] {
        assert!(
            decode(&raw(Topic::BaseDatastream, None, Some(with(own).as_bytes()))).is_ok(),
            "{own}"
        );
    }
}

#[test]
fn the_row_that_a_refused_record_is_about_is_known_where_it_says_so() {
    let of = |key: Option<&'static str>, payload: &'static str| {
        table_key(&raw(Topic::BaseAsset, key.map(str::as_bytes), Some(payload.as_bytes())))
    };
    assert_eq!(of(Some("a1"), "{"), Some(Key::of("a1")));
    assert_eq!(of(None, r#"{"id":"a1","region":7}"#), Some(Key::of("a1")));
    assert_eq!(of(None, "{"), None);
    assert_eq!(of(None, r#"{"id":7}"#), None);
    assert_eq!(of(Some("\"a1\""), "{}"), None);
    assert_eq!(table_key(&raw(Topic::InObservation, Some(b"s"), Some(b"{}"))), None);
}
