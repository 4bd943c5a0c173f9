//! Topics on the brokers: what is there, and making what is not.

use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::types::RDKafkaRespErr;
use riskflow_config::{KafkaSettings, TopicSettings};
use riskflow_model::limit::{LEAST_RECORD_BYTES, MESSAGE_BYTES};
use riskflow_model::topic::{Cleanup, Direction, Topic};

use super::asking::{Served, ask, of_each};
use super::client::{self, Context, OPENING};
use super::error::BrokerError;
use super::properties::{MAX_MESSAGE_BYTES, Properties, properties_of, wait_for};
use crate::topics::{TopicReport, TopicState};

/// What a broker tells of a topic.
pub(super) struct Found {
    pub partitions: u16,
    pub replication: usize,
}

/// How many partitions a topic has, and of some of them the number, the first offset that is there, and the one behind the last.
pub(super) struct Extents {
    pub partitions: u16,
    pub ends: Vec<(u16, u64, u64)>,
}

/// What a broker tells of a topic, and of all brokers.
pub(super) fn fetch(served: &impl Served, kafka: &KafkaSettings, name: &str) -> Result<Metadata, BrokerError> {
    ask(served, kafka, |client, time| client.fetch_metadata(Some(name), time))
}

/// `None` if there is no such topic.
pub(super) fn metadata_of(
    served: &impl Served,
    kafka: &KafkaSettings,
    name: &str,
) -> Result<Option<Found>, BrokerError> {
    let metadata = fetch(served, kafka, name)?;
    let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) else {
        return Ok(None);
    };
    match topic.error() {
        None => {}
        Some(
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART | RDKafkaRespErr::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
        ) => return Ok(None),
        Some(error) => {
            let error = KafkaError::MetadataFetch(error.into());
            return Err(BrokerError::Refused {
                topic: name.to_owned(),
                error,
            });
        }
    }
    let partitions = topic.partitions();
    let replication = partitions
        .iter()
        .map(|partition| partition.replicas().len())
        .min()
        .unwrap_or(0);
    Ok(u16::try_from(partitions.len())
        .ok()
        .filter(|count| *count > 0)
        .map(|partitions| Found {
            partitions,
            replication,
        }))
}

/// How many partitions each topic has, and where those begin and end that `holds` names, by the topic's place and their number. `None` for a
/// topic that is not there.
pub(super) fn extents_of(
    consumer: &BaseConsumer<Context>,
    kafka: &KafkaSettings,
    names: &[String],
    holds: impl Fn(usize, u16) -> bool + Sync,
) -> Result<Vec<Option<Extents>>, BrokerError> {
    let places: Vec<(usize, &String)> = names.iter().enumerate().collect();
    of_each(&places, |(place, name)| {
        let Some(Found { partitions, .. }) = metadata_of(consumer, kafka, name)? else {
            return Ok(None);
        };
        let held = (0..partitions).filter(|number| holds(*place, *number));
        let ends = held.map(|number| {
            let ends = consumer.fetch_watermarks(name, i32::from(number), OPENING);
            let (low, high) = ends.map_err(|error| BrokerError::unavailable(kafka, consumer.context(), error))?;
            Ok((number, low.max(0) as u64, high.max(0) as u64))
        });
        let ends = ends.collect::<Result<_, BrokerError>>()?;
        Ok(Some(Extents { partitions, ends }))
    })
}

/// The identity of the cluster, which it keeps whatever its brokers are called.
pub(crate) fn cluster_id(kafka: &KafkaSettings) -> Result<String, BrokerError> {
    let consumer = client::consumer(kafka)?;
    ask(&consumer, kafka, |client, time| {
        let id = client.fetch_cluster_id(time);
        id.ok_or(KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut))
    })
}

/// Compares topics with the settings.
pub(crate) fn check(
    kafka: &KafkaSettings,
    settings: &TopicSettings,
    topics: &[Topic],
) -> Result<Vec<TopicReport>, BrokerError> {
    let admin = client::admin(kafka)?;
    // An admin client is a producer inside, and a producer that asks for a topic lets the broker make it.
    let consumer = client::consumer(kafka)?;
    of_each(topics, |topic| {
        let name = settings.name(*topic);
        let mut remarks = Vec::new();
        let state = match metadata_of(&consumer, kafka, &name)? {
            None => TopicState::Missing,
            Some(found) => {
                let properties = properties_of(&admin, kafka, &name)?;
                remarks.extend(remark(&name, *topic, &properties));
                compare(settings, *topic, &found, &properties)
            }
        };
        Ok(TopicReport {
            topic: *topic,
            name,
            state,
            remarks,
        })
    })
}

/// Makes topics that are not there.
pub(crate) fn create(kafka: &KafkaSettings, settings: &TopicSettings, topics: &[Topic]) -> Result<(), BrokerError> {
    let admin = client::admin(kafka)?;
    let names: Vec<(Topic, String)> = topics.iter().map(|topic| (*topic, settings.name(*topic))).collect();
    let insync = insync(settings).to_string();
    let retention = settings.retention.to_string();
    let largest = MESSAGE_BYTES.to_string();
    let new: Vec<NewTopic<'_>> = names
        .iter()
        .map(|(topic, name)| {
            let replication = TopicReplication::Fixed(i32::from(settings.replication));
            let new = NewTopic::new(name, i32::from(settings.partitions), replication)
                .set("cleanup.policy", policy(topic.cleanup()))
                .set("min.insync.replicas", &insync)
                .set(MAX_MESSAGE_BYTES, &largest)
                // What a recovery replays must still be there as it was.
                .set(
                    "min.compaction.lag.ms",
                    if topic.is_input_table() { "3600000" } else { "0" },
                );
            if keeps_for_a_time(*topic) {
                new.set("retention.ms", &retention)
            } else {
                new
            }
        })
        .collect();
    if new.is_empty() {
        return Ok(());
    }
    let made = wait_for(admin.create_topics(&new, &options()));
    for made in made.map_err(|error| BrokerError::unavailable(kafka, admin.inner().context(), error))? {
        match made {
            // Another process was faster.
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => return Err(not_made(name, code)),
        }
    }
    Ok(())
}

pub(super) fn compare(settings: &TopicSettings, topic: Topic, found: &Found, properties: &Properties) -> TopicState {
    let mut differs = Vec::new();
    let topic_name = settings.name(topic);
    if found.partitions != settings.partitions {
        let wanted = settings.partitions;
        let cure = if found.partitions < wanted {
            format!("`kafka-topics --alter --topic {topic_name} --partitions {wanted}`")
        } else {
            format!(
                "a topic never gets fewer: `topics.partitions = {}`, or make it anew",
                found.partitions
            )
        };
        differs.push(format!(
            "{} partitions, the settings say {wanted}: {cure}",
            found.partitions
        ));
    }
    if found.replication < usize::from(settings.replication) {
        differs.push(format!(
            "{} replicas, the settings say {}: `kafka-reassign-partitions` adds some",
            found.replication, settings.replication
        ));
    }
    let mut property = |name: &str, fits: &dyn Fn(&str) -> bool, wanted: &str| {
        if let Some(value) = properties.get(name).filter(|value| !fits(value)) {
            differs.push(format!(
                "{name} {value}, should be {wanted}: `kafka-configs --alter --topic {topic_name} --add-config {name}={wanted}`"
            ));
        }
    };
    let policy = policy(topic.cleanup());
    property("cleanup.policy", &|value| value == policy, policy);
    if topic.direction() == Direction::Out {
        let fits = |value: &str| value.parse().is_ok_and(|most: usize| most >= LEAST_RECORD_BYTES);
        property(MAX_MESSAGE_BYTES, &fits, &MESSAGE_BYTES.to_string());
    }
    // Fewer: what was acknowledged may be lost with one broker. As many as there are replicas: none may be away.
    let (least, most) = (insync(settings), found.replication.saturating_sub(1).max(1));
    let fits = |value: &str| {
        value
            .parse()
            .is_ok_and(|count: usize| (least..=most.max(least)).contains(&count))
    };
    property("min.insync.replicas", &fits, &least.to_string());
    if keeps_for_a_time(topic) {
        let least = settings.retention;
        // Negative: for ever.
        let fits = |value: &str| value.parse().is_ok_and(|millis: i64| millis < 0 || millis >= least);
        property("retention.ms", &fits, &least.to_string());
    }
    if differs.is_empty() {
        TopicState::Ok
    } else {
        TopicState::Differs(differs)
    }
}

/// What riskflow works with all the same, but others should know.
pub(super) fn remark(name: &str, topic: Topic, properties: &Properties) -> Option<String> {
    let most: usize = properties.get(MAX_MESSAGE_BYTES)?.parse().ok()?;
    let cut = match topic.direction() {
        Direction::Out => "larger records are cut to that",
        Direction::In => "larger records are refused by the broker",
    };
    (most < MESSAGE_BYTES).then(|| {
        format!(
            "{MAX_MESSAGE_BYTES} {most}, {cut}: `kafka-configs --alter --topic {name} --add-config \
             {MAX_MESSAGE_BYTES}={MESSAGE_BYTES}`"
        )
    })
}

/// One replica may be away.
fn insync(settings: &TopicSettings) -> usize {
    usize::from(settings.replication).saturating_sub(1).max(1)
}

/// Whether riskflow sets how long records stay: not where it does not write, and a table keeps its rows.
fn keeps_for_a_time(topic: Topic) -> bool {
    topic.direction() == Direction::Out && topic.cleanup() == Cleanup::Delete
}

const fn policy(cleanup: Cleanup) -> &'static str {
    match cleanup {
        Cleanup::Compact => "compact",
        Cleanup::Delete => "delete",
    }
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(OPENING))
        .operation_timeout(Some(OPENING))
}

fn not_made(topic: String, code: RDKafkaErrorCode) -> BrokerError {
    let error = KafkaError::AdminOp(code);
    let denied = [
        RDKafkaErrorCode::TopicAuthorizationFailed,
        RDKafkaErrorCode::ClusterAuthorizationFailed,
    ];
    if denied.contains(&code) {
        return BrokerError::NotAllowed {
            what: topic,
            operations: "Create",
            error: Box::new(error),
        };
    }
    BrokerError::Refused { topic, error }
}
