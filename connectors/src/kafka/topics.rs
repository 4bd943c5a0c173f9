//! Topics on the brokers: what is there, and making what is not.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread::{self, Thread};

use rdkafka::admin::{AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::Client;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use riskflow_config::{KafkaSettings, TopicSettings};
use riskflow_model::topic::{Cleanup, Topic};

use super::BrokerError;
use super::client::{self, Context};
use super::source::OPENING;
use crate::topics::{TopicReport, TopicState};

/// What a broker tells of a topic.
pub(super) struct Found {
    pub partitions: u16,
    pub replication: usize,
}

/// `None` if there is no such topic.
pub(super) fn metadata_of(
    client: &Client<Context>,
    kafka: &KafkaSettings,
    name: &str,
) -> Result<Option<Found>, BrokerError> {
    let unavailable = |error| BrokerError::Unavailable {
        brokers: kafka.brokers.clone(),
        error,
    };
    let metadata = client.fetch_metadata(Some(name), OPENING).map_err(unavailable)?;
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

/// Compares topics with the settings.
pub(crate) fn check(
    kafka: &KafkaSettings,
    settings: &TopicSettings,
    topics: &[Topic],
) -> Result<Vec<TopicReport>, BrokerError> {
    let admin = client::admin(kafka)?;
    // An admin client is a producer inside, and a producer that asks for a topic lets the broker make it.
    let consumer = client::consumer(kafka)?;
    let mut reports = Vec::new();
    for topic in topics {
        let name = settings.name(*topic);
        let state = match metadata_of(consumer.client(), kafka, &name)? {
            None => TopicState::Missing,
            Some(found) => {
                let specifier = ResourceSpecifier::Topic(&name);
                let described = wait_for(admin.describe_configs([&specifier], &options()));
                let described = described.map_err(|error| refused(&name, error))?;
                let policy = described
                    .into_iter()
                    .flatten()
                    .find_map(|resource| resource.get("cleanup.policy").and_then(|entry| entry.value.clone()));
                compare(settings, *topic, &found, policy.as_deref())
            }
        };
        reports.push(TopicReport {
            topic: *topic,
            name,
            state,
        });
    }
    Ok(reports)
}

/// Makes topics that are not there.
pub(crate) fn create(kafka: &KafkaSettings, settings: &TopicSettings, topics: &[Topic]) -> Result<(), BrokerError> {
    let admin = client::admin(kafka)?;
    let names: Vec<(Topic, String)> = topics.iter().map(|topic| (*topic, settings.name(*topic))).collect();
    // One replica may be away.
    let insync = settings.replication.saturating_sub(1).max(1).to_string();
    let new: Vec<NewTopic<'_>> = names
        .iter()
        .map(|(topic, name)| {
            let replication = TopicReplication::Fixed(i32::from(settings.replication));
            NewTopic::new(name, i32::from(settings.partitions), replication)
                .set("cleanup.policy", policy(topic.cleanup()))
                .set("min.insync.replicas", &insync)
                // What a recovery replays must still be there as it was.
                .set("min.compaction.lag.ms", if topic.is_base() { "3600000" } else { "0" })
        })
        .collect();
    if new.is_empty() {
        return Ok(());
    }
    let made = wait_for(admin.create_topics(&new, &options()));
    for made in made.map_err(|error| BrokerError::Unavailable {
        brokers: kafka.brokers.clone(),
        error,
    })? {
        match made {
            // Another process was faster.
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => return Err(refused(&name, KafkaError::AdminOp(code))),
        }
    }
    Ok(())
}

pub(super) fn compare(settings: &TopicSettings, topic: Topic, found: &Found, policy_found: Option<&str>) -> TopicState {
    let mut differs = Vec::new();
    if found.partitions != settings.partitions {
        differs.push(format!(
            "{} partitions, the settings say {}",
            found.partitions, settings.partitions
        ));
    }
    if found.replication < usize::from(settings.replication) {
        differs.push(format!(
            "{} replicas, the settings say {}",
            found.replication, settings.replication
        ));
    }
    let wanted = policy(topic.cleanup());
    if let Some(policy) = policy_found.filter(|policy| *policy != wanted) {
        differs.push(format!("cleanup.policy {policy}, should be {wanted}"));
    }
    if differs.is_empty() {
        TopicState::Ok
    } else {
        TopicState::Differs(differs)
    }
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

fn refused(name: &str, error: KafkaError) -> BrokerError {
    BrokerError::Refused {
        topic: name.to_owned(),
        error,
    }
}

/// Waits for an answer that librdkafka's own thread brings.
fn wait_for<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut TaskContext::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
