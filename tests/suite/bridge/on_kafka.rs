//! On Kafka: what an exercise wrote among live records does not leave, and the bridge goes on where it stood.

use riskflow_config::{Guarantee, WrittenSettings};
use riskflow_connectors::{EpochRecords, OutRecord, open_sink};
use riskflow_model::Millis;
use riskflow_tests::kafka::Kafka;
use serde_json::json;

use super::receiver::Receiver;
use super::{Bridge, SECRET, id, ids, notice};
use crate::kafka::{create_topics, now};

/// The configuration of job and bridge.
fn configured(kafka: &Kafka, more: &str) -> String {
    format!(
        "input.kind = \"kafka\"\noutput.kind = \"kafka\"\nkafka.brokers = {:?}\ntopics.prefix = {:?}\ntopics.partitions = 4\n{more}",
        kafka.brokers(),
        kafka.prefix()
    )
}

/// What a job, or an exercise, commits.
fn commit(kafka: &Kafka, exercise: bool, records: Vec<OutRecord>) {
    let settings = WrittenSettings::from_toml(&configured(kafka, ""))
        .unwrap()
        .check()
        .unwrap();
    let mut topics = settings.topics;
    topics.exercise = exercise;
    // Otherwise it is refused among what is live.
    topics.forced = exercise;
    let mut sink = open_sink(&settings.output, &topics, Guarantee::ExactlyOnce).unwrap();
    let epoch = Millis(now());
    sink.commit(&[EpochRecords { epoch, records }]).unwrap();
}

#[test]
fn no_exercise_leaves_kafka_and_a_bridge_goes_on_where_it_stood() {
    let Some(kafka) = Kafka::for_test("bridge") else {
        return;
    };
    create_topics(&kafka);
    let one = |number| vec![notice(number, "c", "issued", "red")];
    commit(&kafka, false, one(0));
    commit(&kafka, true, one(1));
    commit(&kafka, false, one(2));
    let receiver = Receiver::in_turn(Vec::new());
    let folder = tempfile::tempdir().unwrap();
    let bridge = folder.path().join("bridge");
    let more = format!(
        "[bridge]\npath = {bridge:?}\nlisten = \"127.0.0.1:0\"\n[bridge.webhook]\nurl = {:?}\nsecrets = [{SECRET:?}]\nbegin = \"beginning\"\n",
        receiver.url()
    );
    let configuration = folder.path().join("riskflow.toml");
    std::fs::write(&configuration, configured(&kafka, &more)).unwrap();

    let mut bridge = Bridge::start(&configuration);
    let requests = receiver.until("two notices", |requests| requests.len() == 2);
    assert_eq!(ids(&requests), [id(0), id(2)]);
    assert_eq!(
        requests[0].json()["source"],
        json!(format!("riskflow/{}", kafka.prefix()))
    );
    bridge.until_metric(&bridge.notices("delivered"), 2.0);
    bridge.until_metric(&bridge.notices("exercise"), 1.0);
    bridge.stop();

    commit(&kafka, true, one(3));
    commit(&kafka, false, one(4));
    let bridge = Bridge::start(&configuration);
    receiver.until("the next notice", |requests| requests.len() == 3);
    bridge.until_metric(&bridge.notices("delivered"), 1.0);
    bridge.until_metric(&bridge.notices("exercise"), 1.0);
    assert_eq!(ids(&receiver.requests()), [id(0), id(2), id(4)]);
}
