//! The plumbing of the clients, against librdkafka's own mock of a cluster: no transactions, no compaction.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rdkafka::message::Headers;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use riskflow_config::{Guarantee, KafkaSettings, TopicSettings};
use riskflow_model::Millis;
use riskflow_model::progress::Offsets;
use riskflow_model::topic::Topic;

use super::limits::Limits;
use super::properties::Properties;
use super::topics::{Found, compare, remark};
use super::*;
use crate::Retry;
use crate::topics::TopicState;
use crate::{EpochRecords, OutRecord, Polled, Share, Sink, SinkError, Source, SourceError, Until, Verdict};

fn kafka(brokers: &str, properties: &[(&str, &str)]) -> KafkaSettings {
    let owned = properties
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).into()));
    KafkaSettings {
        brokers: brokers.to_owned(),
        properties: owned.collect::<BTreeMap<_, _>>(),
        group_offsets: true,
    }
}

fn settings() -> TopicSettings {
    TopicSettings {
        prefix: "t.".to_owned(),
        partitions: 2,
        replication: 1,
        retention: 86_400_000,
        exercise: false,
        forced: false,
        tidy: riskflow_config::Tidy::default(),
    }
}

fn record(key: &str, payload: Option<&str>) -> OutRecord {
    OutRecord {
        topic: Topic::WARNING_STATE,
        key: key.to_owned(),
        payload: payload.map(|text| text.as_bytes().to_vec()),
    }
}

fn epoch(epoch: i64, records: Vec<OutRecord>) -> EpochRecords {
    EpochRecords {
        epoch: Millis(epoch),
        records,
    }
}

fn cluster() -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t.out.warning.state", 2, 1).unwrap();
    cluster
}

#[test]
fn what_is_committed_is_read_back_and_what_is_not_taken_is_offered_again() {
    let cluster = cluster();
    let kafka = kafka(&cluster.bootstrap_servers(), &[("compression.type", "none")]);
    let mut sink = KafkaSink::open(&kafka, &settings(), Guarantee::AtLeastOnce).unwrap();
    let records: Vec<OutRecord> = (0..50).map(|n| record(&n.to_string(), Some("{}"))).collect();
    sink.commit(&[epoch(1000, records)]).unwrap();
    sink.commit(&[epoch(2000, vec![record("7", None)])]).unwrap();

    let topics = [Topic::WARNING_STATE];
    let mut source = KafkaSource::open(
        &kafka,
        &settings(),
        &topics,
        Share::WHOLE,
        (Until::End, &Offsets::default()),
    )
    .unwrap();
    assert!(!source.caught_up());
    assert_eq!(source.lag().iter().map(|lag| lag.2).sum::<u64>(), 51);
    let mut answered = 0u32;
    let mut read = Vec::new();
    loop {
        let polled = source.poll(7, &mut |record| {
            answered += 1;
            if answered.is_multiple_of(3) {
                return Verdict::NotYet;
            }
            let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
            read.push((record.partition, record.offset, key, record.payload.map(<[u8]>::to_vec)));
            Verdict::Taken
        });
        if polled.unwrap() == Polled::Ended {
            break;
        }
    }
    assert!(source.caught_up());
    assert_eq!(read.len(), 51);
    assert_eq!(source.lag().iter().map(|lag| lag.2).sum::<u64>(), 0);
    for partition in 0..2 {
        let offsets: Vec<u64> = read
            .iter()
            .filter(|record| record.0 == partition)
            .map(|record| record.1)
            .collect();
        assert_eq!(offsets, (0..offsets.len() as u64).collect::<Vec<_>>());
    }
    let of_seven: Vec<_> = read
        .iter()
        .filter(|record| record.2 == "7")
        .map(|record| record.3.clone())
        .collect();
    assert_eq!(of_seven, [Some(b"{}".to_vec()), None]);
}

#[test]
fn a_source_follows_until_told_otherwise() {
    let cluster = cluster();
    let kafka = kafka(&cluster.bootstrap_servers(), &[("compression.type", "none")]);
    let topics = [Topic::WARNING_STATE];
    let mut source = KafkaSource::open(
        &kafka,
        &settings(),
        &topics,
        Share::WHOLE,
        (Until::Forever, &Offsets::default()),
    )
    .unwrap();
    assert!(source.caught_up());
    let mut sink = KafkaSink::open(&kafka, &settings(), Guarantee::AtLeastOnce).unwrap();
    sink.commit(&[epoch(1000, vec![record("a", Some("{}"))])]).unwrap();
    let mut count = 0;
    while count == 0 {
        let polled = source.poll(10, &mut |_| {
            count += 1;
            Verdict::Taken
        });
        assert_eq!(polled.unwrap(), Polled::Idle);
    }
}

#[test]
fn a_missing_topic_is_named_with_its_cure() {
    let cluster = MockCluster::new(1).unwrap();
    let kafka = kafka(&cluster.bootstrap_servers(), &[]);
    let opened = KafkaSource::open(
        &kafka,
        &settings(),
        &[Topic::IN_RULE],
        Share::WHOLE,
        (Until::End, &Offsets::default()),
    );
    let Err(error) = opened else { panic!("opened") };
    assert!(
        matches!(&error, SourceError::NoTopic { topic } if topic == "t.in.rule"),
        "{error:?}"
    );
}

#[test]
fn properties_that_are_ours_are_refused_by_name() {
    for (property, value) in [
        ("acks", "1"),
        ("request.required.acks", "1"),
        ("bootstrap.servers", "x:1"),
    ] {
        let opened = KafkaSink::open(
            &kafka("127.0.0.1:1", &[(property, value)]),
            &settings(),
            Guarantee::AtLeastOnce,
        );
        let Err(SinkError::Kafka(error)) = opened else {
            panic!("{property}")
        };
        assert!(
            error
                .to_string()
                .starts_with(&format!("`kafka.properties.\"{property}\"` is set; leave it out")),
            "{error}"
        );
        assert_eq!(error.retry(), Retry::Never);
    }
    assert!(
        KafkaSink::open(
            &kafka("127.0.0.1:1", &[("acks", "all")]),
            &settings(),
            Guarantee::AtLeastOnce
        )
        .is_ok()
    );
    let opened = KafkaSink::open(
        &kafka("127.0.0.1:1", &[("no.such", "1")]),
        &settings(),
        Guarantee::AtLeastOnce,
    );
    assert!(matches!(opened, Err(SinkError::Kafka(BrokerError::Settings(_)))));
}

#[test]
fn what_is_wrong_with_a_property_is_told_without_its_value() {
    for property in ["no.such.password", "linger.ms", "ssl.key.pem"] {
        let settings = kafka("127.0.0.1:1", &[(property, "s3cr3t"), ("security.protocol", "ssl")]);
        let Err(error) = KafkaSource::open(
            &settings,
            &self::settings(),
            &[Topic::IN_RULE],
            Share::WHOLE,
            (Until::End, &Offsets::default()),
        ) else {
            panic!("{property}")
        };
        let mut said = format!("{error:?} {error}");
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            said.push_str(&format!(" {error:?} {error}"));
            cause = error.source();
        }
        assert!(!said.contains("s3cr3t") && said.contains(property), "{said}");
    }
}

#[test]
fn oauthbearer_needs_something_that_makes_tokens() {
    let given = |more: &[(&str, &str)]| {
        let login = [
            ("security.protocol", "sasl_plaintext"),
            ("sasl.mechanism", "OAUTHBEARER"),
        ];
        problems(&kafka("127.0.0.1:1", &[&login[..], more].concat()))
    };
    let told: Vec<String> = given(&[]).iter().map(|problem| problem.field.clone()).collect();
    assert_eq!(told, ["kafka.properties.\"enable.sasl.oauthbearer.unsecure.jwt\""]);
    let unsecured = [
        ("enable.sasl.oauthbearer.unsecure.jwt", "true"),
        ("sasl.oauthbearer.config", "principal=a"),
    ];
    assert!(given(&unsecured).is_empty());
    // What makes tokens at a server is not built in, and said so.
    let told: Vec<String> = given(&[("sasl.oauthbearer.method", "oidc")])
        .iter()
        .map(|problem| problem.field.clone())
        .collect();
    assert!(
        told.contains(&"kafka.properties.\"sasl.oauthbearer.method\"".to_owned()),
        "{told:?}"
    );
}

#[test]
fn headers_are_those_of_cloud_events_and_the_same_each_time() {
    let headers_of = |payload, before, settings: &TopicSettings| {
        let headers = super::sink::headers(Millis(1_627_187_400_000), &record("r/a", payload), before, settings);
        let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap().to_vec()).unwrap();
        headers
            .iter()
            .map(|header| format!("{}={}", header.key, text(header.value)))
            .collect::<Vec<_>>()
    };
    let settings = settings();
    let headers = |before| headers_of(Some("{}"), before, &settings);
    assert_eq!(
        headers(0),
        [
            "ce_specversion=1.0",
            "ce_id=1627187400000-out.warning.state-r/a",
            "ce_source=riskflow/t.",
            "ce_type=riskflow.out.warning.state.v1",
            "ce_time=2021-07-25T04:30:00.000Z",
            "ce_logicaltime=1627187400000",
            "ce_subject=r/a",
            "content-type=application/json",
            "ce_dataschema=urn:riskflow:schema:out.warning.state:v1",
        ]
    );
    assert_eq!(headers(2)[1], "ce_id=1627187400000.2-out.warning.state-r/a");
    // What deletes a row has no data, and so no schema of it.
    assert_eq!(headers_of(None, 0, &settings), headers(0)[..8]);
    let in_exercise = TopicSettings {
        prefix: String::new(),
        exercise: true,
        ..settings.clone()
    };
    let exercise = headers_of(Some("{}"), 0, &in_exercise);
    assert_eq!(
        (&*exercise[2], &*exercise[9]),
        ("ce_source=riskflow", "ce_exercise=true")
    );
    // The contract lists the same, in the same order.
    let names = exercise
        .iter()
        .filter_map(|header| Some(header.split_once('=')?.0))
        .collect::<Vec<_>>();
    let said = riskflow_model::schema::asyncapi::HEADERS.map(|header| header.name);
    assert_eq!(names, said);
}

proptest! {
    /// Whatever the record is, one of an exercise has the mark once, one of no exercise has none, and nothing else differs.
    #[test]
    fn an_exercise_is_marked_in_a_header_and_else_as_it_is(
        topic in prop::sample::select(Topic::outputs().collect::<Vec<_>>()),
        key in any::<String>(),
        payload in prop::option::of(prop::collection::vec(any::<u8>(), 0..20)),
        (epoch, before) in (0..4_000_000_000_000_i64, 0..3_u32),
    ) {
        let record = OutRecord { topic, key, payload };
        let [live, exercise] = [false, true].map(|exercise| {
            let settings = TopicSettings { exercise, ..settings() };
            let headers = super::sink::headers(Millis(epoch), &record, before, &settings);
            let header = |header: rdkafka::message::Header<'_, &[u8]>| {
                (header.key.to_owned(), header.value.map(<[u8]>::to_vec))
            };
            headers.iter().map(header).collect::<Vec<_>>()
        });
        let mark = |(key, _): &(String, Option<Vec<u8>>)| key == "ce_exercise";
        prop_assert!(!live.iter().any(mark), "{:?}", live);
        let (marks, others): (Vec<_>, Vec<_>) = exercise.into_iter().partition(mark);
        prop_assert_eq!(marks, [("ce_exercise".to_owned(), Some(b"true".to_vec()))]);
        prop_assert_eq!(others, live);
    }
}

#[test]
fn a_topic_is_compared_with_the_settings() {
    let found = |partitions, replication| Found {
        partitions,
        replication,
    };
    let properties = |of: &[(&str, &str)]| -> Properties {
        let owned = of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        owned.collect()
    };
    let differs = |settings: &TopicSettings, topic: Topic, found: Found, of: &[(&str, &str)]| match compare(
        settings,
        topic,
        &found,
        &properties(of),
    ) {
        TopicState::Differs(what) => what,
        TopicState::Ok => Vec::new(),
        TopicState::Missing => panic!("missing"),
    };
    let (one, table, log) = (settings(), Topic::WARNING_STATE, Topic::WARNING_DELTA);
    let none: Vec<String> = Vec::new();
    assert_eq!(
        differs(&one, table, found(2, 3), &[("cleanup.policy", "compact")]),
        none
    );
    let what = differs(&one, table, found(4, 0), &[("cleanup.policy", "delete")]);
    assert_eq!(what.len(), 3, "{what:?}");
    assert_eq!(
        what[2],
        "cleanup.policy delete, should be compact: \
         `kafka-configs --alter --topic t.out.warning.state --add-config cleanup.policy=compact`"
    );

    let three = TopicSettings {
        replication: 3,
        ..settings()
    };
    let insync = |value| differs(&three, table, found(2, 3), &[("min.insync.replicas", value)]);
    assert!(insync("1")[0].starts_with("min.insync.replicas 1, should be 2: "));
    assert_eq!(insync("2"), none);
    assert!(insync("3")[0].starts_with("min.insync.replicas 3, should be 2: "));

    let retention = |topic, value| differs(&one, topic, found(2, 1), &[("retention.ms", value)]);
    assert!(retention(log, "3600000")[0].starts_with("retention.ms 3600000, should be 86400000: "));
    assert_eq!(retention(log, "-1"), none);
    assert_eq!(retention(log, "86400000"), none);
    assert_eq!(retention(table, "3600000"), none);

    let most = |topic, value| differs(&one, topic, found(2, 1), &[("max.message.bytes", value)]);
    assert!(most(table, "1000")[0].starts_with("max.message.bytes 1000, should be 1048588: "));
    assert_eq!(
        (most(table, "70000"), most(Topic::IN_RULE, "1000")),
        (none.clone(), none)
    );
    let said = |topic, value| remark("t.x", topic, &properties(&[("max.message.bytes", value)]));
    assert_eq!(
        said(table, "70000").as_deref(),
        Some(
            "max.message.bytes 70000, larger records are cut to that: \
             `kafka-configs --alter --topic t.x --add-config max.message.bytes=1048588`"
        )
    );
    assert!(said(Topic::IN_RULE, "1000").is_some_and(|said| said.contains("refused by the broker")));
    assert_eq!(said(table, "1048588"), None);
}

#[test]
fn a_topic_that_refuses_a_record_takes_less_from_then_on() {
    let told = |most: &[(Topic, usize)]| Limits::of(most.iter().copied());
    let (state, delta) = (Topic::WARNING_STATE, Topic::WARNING_DELTA);
    // What the broker tells now is less; or it tells the same, and refused all the same; never below the least.
    let known = told(&[]).after(&told(&[]), state);
    assert_eq!((known.most(state), known.most(delta)), (512 << 10, 1 << 20));
    let known = told(&[(state, 100_000)]).after(&known, state);
    assert_eq!(known.most(state), 100_000);
    // Another topic's refusal forgets nothing of this one.
    let known = told(&[]).after(&known, delta);
    assert_eq!((known.most(state), known.most(delta)), (100_000, 512 << 10));
    let known = told(&[]).after(&known, state);
    assert_eq!(known.most(state), 64 << 10);
    assert_eq!(told(&[]).after(&known, state).most(state), 64 << 10);
}

#[test]
fn timestamps_are_arrivals() {
    let cluster = cluster();
    let kafka = kafka(&cluster.bootstrap_servers(), &[("compression.type", "none")]);
    KafkaSink::open(&kafka, &settings(), Guarantee::AtLeastOnce)
        .unwrap()
        .commit(&[epoch(1, vec![record("a", Some("{}"))])])
        .unwrap();
    let topics = [Topic::WARNING_STATE];
    let mut source = KafkaSource::open(
        &kafka,
        &settings(),
        &topics,
        Share::WHOLE,
        (Until::End, &Offsets::default()),
    )
    .unwrap();
    let mut arrival = None;
    while source
        .poll(1, &mut |record| {
            arrival = record.arrival;
            Verdict::Taken
        })
        .unwrap()
        != Polled::Ended
    {}
    assert!(arrival.unwrap() > Millis(1_500_000_000_000));
}

#[test]
fn a_record_for_a_missing_topic_fails_its_commit() {
    let cluster = MockCluster::new(1).unwrap();
    let kafka = kafka(
        &cluster.bootstrap_servers(),
        &[("topic.metadata.propagation.max.ms", "0")],
    );
    let mut sink = KafkaSink::open(&kafka, &settings(), Guarantee::AtLeastOnce).unwrap();
    let error = sink.commit(&[epoch(1, vec![record("a", Some("{}"))])]).unwrap_err();
    let SinkError::Kafka(BrokerError::Refused { topic, .. }) = &error else {
        panic!("{error:?}")
    };
    assert_eq!((topic.as_str(), error.retry()), ("t.out.warning.state", Retry::Never));
}
