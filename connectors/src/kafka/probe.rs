//! What can be told of brokers without writing anything: who they are, which topics may be read, and how new the newest record is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Message, Offset, Timestamp, TopicPartitionList};
use riskflow_config::{KafkaSettings, TopicSettings};
use riskflow_model::Millis;
use riskflow_model::topic::Topic;

use super::client::{self, Context, OPENING};
use super::error::{BrokerError, refuses};
use super::topics::{fetch, metadata_of};

/// So long the client waits for what the brokers send.
const STEP: Duration = Duration::from_millis(20);

/// The newest record that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newest {
    /// Its topic, with prefix.
    pub topic: String,
    /// Its timestamp.
    pub time: Millis,
    /// Whether the broker gave it that; else its sender did.
    pub appended: bool,
}

/// What came of reading the last record of each partition.
#[derive(Debug, Default)]
pub struct Readable {
    /// How many topics are there.
    pub topics: usize,
    /// Topics that may not be read, and why, by name.
    pub refused: BTreeMap<String, BrokerError>,
    /// Partitions of which nothing came in time.
    pub silent: usize,
    /// The newest record of all.
    pub newest: Option<Newest>,
}

/// The addresses that the brokers give to clients, `host:port`: these have to be reached, whatever the settings name.
///
/// # Errors
///
/// When no broker answers, or no client can be made of the settings.
pub fn brokers(kafka: &KafkaSettings, settings: &TopicSettings) -> Result<Vec<String>, BrokerError> {
    let consumer = client::consumer(kafka)?;
    // Any topic will do, also one that is not there.
    let metadata = fetch(&consumer, kafka, &settings.name(Topic::IN_OBSERVATION))?;
    let address = |host: &str, port: i32| {
        if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        }
    };
    let brokers = metadata.brokers().iter();
    Ok(brokers.map(|broker| address(broker.host(), broker.port())).collect())
}

/// Reads at most the last record of each partition of these topics, and writes nothing: no group is joined, no offset committed. Topics
/// that are not there are passed over.
///
/// # Errors
///
/// When no broker answers, or no client can be made of the settings.
pub fn readable(kafka: &KafkaSettings, settings: &TopicSettings, topics: &[Topic]) -> Result<Readable, BrokerError> {
    let consumer = Arc::new(client::consumer(kafka)?);
    let mut found = Readable::default();
    let mut assignment = TopicPartitionList::new();
    let mut partitions: Vec<(String, i32)> = Vec::new();
    for topic in topics {
        let name = settings.name(*topic);
        let there = match metadata_of(&*consumer, kafka, &name) {
            Ok(Some(there)) => there,
            Ok(None) => continue,
            Err(refused @ BrokerError::Refused { .. }) => {
                found.refused.insert(name, refused);
                continue;
            }
            Err(error) => return Err(error),
        };
        found.topics += 1;
        for number in 0..i32::from(there.partitions) {
            let added = assignment.add_partition_offset(&name, number, Offset::OffsetTail(1));
            added.map_err(BrokerError::Settings)?;
            partitions.push((name.clone(), number));
        }
    }
    consumer.assign(&assignment).map_err(BrokerError::Settings)?;
    let lanes = partitions.into_iter().filter_map(|(topic, number)| {
        let queue = consumer.split_partition_queue(&topic, number)?;
        Some(Lane { topic, number, queue })
    });
    let lanes = lanes.collect();
    found.read(&consumer, lanes);
    Ok(found)
}

/// One partition of which nothing is known yet.
struct Lane {
    topic: String,
    number: i32,
    queue: PartitionQueue<Context>,
}

impl Readable {
    fn read(&mut self, consumer: &Arc<BaseConsumer<Context>>, mut lanes: Vec<Lane>) {
        let until = Instant::now() + OPENING;
        while !lanes.is_empty() && Instant::now() < until {
            // Here comes what does not belong to one partition, and what came before its partition had a queue of its own.
            if let Some(Ok(message)) = consumer.poll(STEP) {
                self.note(&message);
                lanes.retain(|lane| lane.topic != message.topic() || lane.number != message.partition());
            }
            lanes.retain(|lane| !self.is_known(lane));
        }
        self.silent = lanes.len();
    }

    /// Whether a partition has told what it can.
    fn is_known(&mut self, lane: &Lane) -> bool {
        let error = match lane.queue.poll(Duration::ZERO) {
            None => return false,
            Some(Ok(message)) => {
                self.note(&message);
                return true;
            }
            // At its end: it may be read.
            Some(Err(KafkaError::PartitionEOF(_))) => return true,
            Some(Err(error)) => error,
        };
        match error.rdkafka_error_code() {
            // All of its records were deleted.
            Some(RDKafkaErrorCode::AutoOffsetReset) => true,
            Some(code) if refuses(code) => {
                let topic = lane.topic.clone();
                self.refused
                    .entry(lane.topic.clone())
                    .or_insert(BrokerError::Refused { topic, error });
                true
            }
            Some(_) | None => false,
        }
    }

    fn note(&mut self, message: &impl Message) {
        let (time, appended) = match message.timestamp() {
            Timestamp::NotAvailable => return,
            Timestamp::CreateTime(time) => (Millis(time), false),
            Timestamp::LogAppendTime(time) => (Millis(time), true),
        };
        if self.newest.as_ref().is_none_or(|newest| newest.time < time) {
            self.newest = Some(Newest {
                topic: message.topic().to_owned(),
                time,
                appended,
            });
        }
    }
}
