use proptest::prelude::*;
use riskflow_config::InputRecord;
use riskflow_model::observation::{Observation, Quality, Reading, Said};
use riskflow_model::output::{PayloadEncoding, Reason};
use riskflow_model::topic::Topic;
use riskflow_model::{Key, Millis};

use super::*;

mod every;

fn raw<'a>(topic: Topic, key: Option<&'a [u8]>, payload: Option<&'a [u8]>) -> RawRecord<'a> {
    RawRecord {
        topic,
        partition: 3,
        offset: 7,
        arrival: None,
        exercise: false,
        key,
        payload,
    }
}

fn reject(topic: Topic, key: Option<&str>, payload: Option<&[u8]>) -> (Reason, String) {
    let rejection = decode(&raw(topic, key.map(str::as_bytes), payload)).unwrap_err();
    (rejection.reason, rejection.detail)
}

#[test]
fn what_is_of_an_exercise_is_refused_whatever_it_is() {
    for topic in Topic::inputs() {
        for payload in [Some(&b"{}"[..]), Some(OBSERVATION.as_bytes()), None] {
            let record = RawRecord {
                exercise: true,
                ..raw(topic, Some(b"s1"), payload)
            };
            let Rejection { reason, detail } = decode(&record).unwrap_err();
            assert_eq!(reason, Reason::InvalidField, "{topic}");
            for says in ["`exercise` is true; give ", "`ce_exercise`", "`riskflow replay`"] {
                assert!(detail.contains(says), "{topic}: {says}: {detail}");
            }
        }
    }
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

fn number(observation: &Observation) -> Reading {
    match &observation.said {
        Said::Number(reading) => *reading,
        other => panic!("{other:?}"),
    }
}

#[test]
fn results_that_are_names_are_states() {
    for (result, name) in [
        (r#""open""#, "open"),
        ("true", "true"),
        ("false", "false"),
        (r#""\u5f00""#, "开"),
    ] {
        let payload = format!(r#"{{"datastream":"s1","phenomenon_time":0,"result":{result},"quality":"suspect"}}"#);
        let record = decode(&raw(Topic::IN_OBSERVATION, None, Some(payload.as_bytes()))).unwrap();
        let InputRecord::Observation(observation) = record else {
            panic!("{record:?}");
        };
        let Said::State(state) = observation.said else {
            panic!("{observation:?}");
        };
        assert_eq!((&*state.name, state.quality), (name, Quality::Suspect));
    }
}

#[test]
fn good_observations_decode() {
    let decoded = |payload: &str| match decode(&raw(Topic::IN_OBSERVATION, None, Some(payload.as_bytes()))).unwrap() {
        InputRecord::Observation(observation) => observation,
        other => panic!("{other:?}"),
    };
    let plain = decoded(OBSERVATION);
    assert_eq!(
        (plain.datastream, plain.time),
        (Key::of("s1"), Millis(1_627_187_400_000))
    );
    assert_eq!(number(&plain).result, 5.5);
    let standard = decoded(
        r#" {"datastream":"s\u0031","phenomenonTime":"2021-07-25T12:30:00+08:00","result":-3,"resultQuality":"bad","x":[1]}"#,
    );
    assert_eq!((standard.datastream, standard.time), (plain.datastream, plain.time));
    assert_eq!(number(&standard).quality, Quality::Bad);
    assert_eq!(
        decoded(r#"{"datastream":"s1","phenomenon_time":0,"op":"delete"}"#).said,
        Said::Nothing
    );
}

#[test]
fn good_base_records_decode_with_and_without_key() {
    let region = r#"{"code":"330902","name":"定海区"}"#;
    let all = [
        (Topic::BASE_REGION, "330902", region),
        (Topic::BASE_ASSET, "a1", ASSET),
        (Topic::BASE_DATASTREAM, "s1", DATASTREAM),
        (Topic::BASE_DATASTREAM, "s1", SENSED),
        (Topic::IN_RULE, "r", RULE),
    ];
    for (topic, id, payload) in all {
        for key in [None, Some(id.as_bytes())] {
            let decoded = decode(&raw(topic, key, Some(payload.as_bytes()))).unwrap();
            let InputRecord::Base(found, Some(row)) = decoded else {
                panic!("{topic}")
            };
            assert_eq!((found, &*row.id()), (Key::of(id), id));
            assert_eq!(row.topic(), topic);
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
        let (found, text) = reject(Topic::IN_OBSERVATION, None, Some(payload.as_bytes()));
        assert_eq!(found, *reason, "{payload}: {text}");
        assert!(text.contains(detail), "{payload}: {text}");
    }
    assert_eq!(reject(Topic::IN_OBSERVATION, Some("s1"), None).0, Reason::InvalidField);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one row a case, and nothing else")]
fn bad_base_records_are_refused_with_reason_and_field() {
    let asset = |from: &str, to: &str| (Topic::BASE_ASSET, ASSET.replace(from, to));
    let rule = |from: &str, to: &str| (Topic::IN_RULE, RULE.replace(from, to));
    let sensed = |field: &str| {
        let row = DATASTREAM.replace("\"unit\"", &format!("{field},\"unit\""));
        (Topic::BASE_DATASTREAM, row)
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
                Topic::BASE_REGION,
                r#"{"code":"330902","name":"n","parent":"3310"}"#.to_owned(),
            ),
            Reason::InvalidField,
            "`parent` is `3310`; give `3309`, as its digits say, or leave it out",
        ),
        (
            (
                Topic::BASE_REGION,
                r#"{"code":"33","name":"n","parent":"CN"}"#.to_owned(),
            ),
            Reason::InvalidField,
            "`parent` is `CN`; give none",
        ),
        (
            (
                Topic::BASE_REGION,
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
            (Topic::BASE_DATASTREAM, DATASTREAM.replace("\"a1\"", "\"\"")),
            Reason::InvalidField,
            "`asset` is empty",
        ),
        (
            (Topic::BASE_REGION, r#"{"code":"330902"}"#.to_owned()),
            Reason::InvalidField,
            "`name` is missing",
        ),
        (rule("12h", "12x"), Reason::InvalidRule, "window"),
        (rule("\"version\"", "\"verson\""), Reason::InvalidRule, "verson"),
        (rule("}}}}", "}}}"), Reason::Malformed, "EOF"),
        (
            (Topic::RISK_ASSET, "{}".to_owned()),
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
    let (reason, detail) = reject(Topic::IN_RULE, None, Some(rule.as_bytes()));
    assert_eq!((reason, detail.lines().count()), (Reason::InvalidRule, 2), "{detail}");
}

#[test]
fn bytes_that_are_no_utf8_are_told_from_bad_json_wherever_they_stand() {
    for at in 0..OBSERVATION.len() {
        let mut payload = OBSERVATION.as_bytes().to_vec();
        payload[at] = 0xff;
        assert_eq!(
            reject(Topic::IN_OBSERVATION, None, Some(&payload)).0,
            Reason::InvalidUtf8,
            "byte {at}"
        );
    }
}

#[test]
fn large_payloads_are_refused_unparsed_and_kept_in_part() {
    let exact = OBSERVATION.to_owned() + &" ".repeat(LARGEST_PAYLOAD - OBSERVATION.len());
    assert!(decode(&raw(Topic::IN_OBSERVATION, None, Some(exact.as_bytes()))).is_ok());
    let large = format!("{exact} ");
    let record = raw(Topic::IN_OBSERVATION, None, Some(large.as_bytes()));
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
    let letter = dead_letter(&raw(Topic::IN_RULE, None, Some(text.as_bytes())), &rejection);
    assert_eq!((letter.payload.len(), letter.encoding), (65_535, PayloadEncoding::Utf8));
    assert!(letter.payload_cut);
    let letter = dead_letter(&raw(Topic::IN_RULE, None, Some(b"a\xff")), &rejection);
    assert_eq!(
        (&*letter.payload, letter.encoding, letter.payload_bytes),
        ("Yf8=", PayloadEncoding::Base64, 2)
    );
    assert!(!letter.payload_cut);
    let letter = dead_letter(&raw(Topic::IN_RULE, None, Some(&[0xff; 70_000])), &rejection);
    assert_eq!((letter.payload.len(), letter.payload_bytes), (87_384, 70_000));
    assert!(letter.payload_cut);
    let letter = dead_letter(&raw(Topic::IN_RULE, None, None), &rejection);
    assert_eq!((&*letter.payload, letter.payload_bytes), ("", 0));
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
    fn random_bytes_never_panic(topic in 0..Topic::inputs().count(), payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        never_panics(Topic::all().nth(topic).unwrap(), None, &payload);
    }

    #[test]
    fn changed_records_never_panic(
        which in 0usize..4,
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>(), 0u8..3), 1..6),
    ) {
        let (topic, good) = [
            (Topic::IN_OBSERVATION, OBSERVATION),
            (Topic::BASE_ASSET, ASSET),
            (Topic::BASE_DATASTREAM, DATASTREAM),
            (Topic::IN_RULE, RULE),
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
