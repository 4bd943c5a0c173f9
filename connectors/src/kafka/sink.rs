use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, PurgeConfig};
use riskflow_config::{KafkaSettings, TopicSettings};
use riskflow_model::Millis;
use riskflow_model::topic::Topic;

use super::BrokerError;
use super::client::{self, Context};
use crate::{OutRecord, Sink, SinkError};

/// A commit that takes longer fails; what it sent may arrive all the same.
const COMMIT: Duration = Duration::from_secs(60);

/// How long one wait for acknowledgements takes when librdkafka's queue is full.
const QUEUE_FULL: Duration = Duration::from_millis(20);

/// Writes output topics to Kafka, with CloudEvents 1.0 headers.
///
/// `ce_id` is `<epoch ms>-<topic>-<key>`, and for the second and later records of one key in an epoch `-1`, `-2` and so on:
/// a record that is sent again has the same.
pub struct KafkaSink {
    producer: BaseProducer<Context>,
    settings: TopicSettings,
}

impl KafkaSink {
    /// Makes the producer. Nothing is sent before the first commit.
    ///
    /// # Errors
    ///
    /// When the settings are refused.
    pub fn open(kafka: &KafkaSettings, settings: &TopicSettings) -> Result<Self, SinkError> {
        Ok(Self {
            producer: client::producer(kafka)?,
            settings: settings.clone(),
        })
    }

    fn send(
        &self,
        name: &str,
        record: &OutRecord,
        headers: &OwnedHeaders,
        deadline: Instant,
    ) -> Result<(), BrokerError> {
        let mut message = BaseRecord::<str, [u8], ()>::to(name)
            .key(record.key.as_str())
            .headers(headers.clone());
        if let Some(payload) = &record.payload {
            message = message.payload(payload.as_slice());
        }
        loop {
            let (error, unsent) = match self.producer.send(message) {
                Ok(()) => return Ok(()),
                Err(refused) => refused,
            };
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(refused(name, error));
            }
            if Instant::now() > deadline {
                return Err(self.timed_out());
            }
            message = unsent;
            self.producer.poll(QUEUE_FULL);
        }
    }

    fn timed_out(&self) -> BrokerError {
        BrokerError::TimedOut {
            missing: self.producer.in_flight_count().max(0) as usize,
            seconds: COMMIT.as_secs(),
        }
    }

    fn try_commit(&self, epoch: Millis, records: &[OutRecord]) -> Result<(), BrokerError> {
        let deadline = Instant::now() + COMMIT;
        let mut before: BTreeMap<(Topic, &str), u32> = BTreeMap::new();
        for record in records {
            let count = before.entry((record.topic, &record.key)).or_default();
            let headers = headers(epoch, record, *count);
            *count += 1;
            self.send(&self.settings.name(record.topic), record, &headers, deadline)?;
        }
        let flushed = self.producer.flush(deadline.saturating_duration_since(Instant::now()));
        if let Some((topic, error)) = self.producer.client().context().take_failure() {
            return Err(refused(&topic, error));
        }
        flushed.map_err(|_| self.timed_out())
    }
}

impl Sink for KafkaSink {
    fn commit(&mut self, epoch: Millis, records: &[OutRecord]) -> Result<(), SinkError> {
        let committed = self.try_commit(epoch, records);
        match &committed {
            Ok(()) => self.producer.client().context().note(None),
            Err(_) => {
                // What is still waiting must not arrive after the next attempt's records.
                self.producer.purge(PurgeConfig::default().queue().inflight());
                // The purge's own reports are no failures of the next attempt.
                drop(self.producer.flush(QUEUE_FULL));
                self.producer.client().context().take_failure();
            }
        }
        Ok(committed?)
    }
}

fn refused(topic: &str, error: KafkaError) -> BrokerError {
    BrokerError::Refused {
        topic: topic.to_owned(),
        error,
    }
}

/// CloudEvents 1.0, Kafka protocol binding, binary mode. `before`: how many records of this key the epoch has before it.
pub(super) fn headers(epoch: Millis, record: &OutRecord, before: u32) -> OwnedHeaders {
    let topic = record.topic.name();
    let mut id = format!("{}-{topic}-{}", epoch.0, record.key);
    if before > 0 {
        id.push_str(&format!("-{before}"));
    }
    let all = [
        ("ce_specversion", "1.0".to_owned()),
        ("ce_id", id),
        ("ce_source", "riskflow".to_owned()),
        ("ce_type", format!("riskflow.{topic}.v1")),
        ("ce_time", epoch.to_string()),
        ("ce_logicaltime", epoch.0.to_string()),
        ("content-type", "application/json".to_owned()),
    ];
    all.iter()
        .fold(OwnedHeaders::new_with_capacity(all.len()), |headers, (key, value)| {
            headers.insert(Header {
                key,
                value: Some(value),
            })
        })
}
