use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, PurgeConfig};
use riskflow_config::{KafkaSettings, TopicSettings};
use riskflow_model::topic::Topic;
use tracing::warn;

use super::client;
use super::deliveries::Deliveries;
use super::error::BrokerError;
use super::topics::metadata_of;
use crate::append::{Append, AppendError, Appended, InRecord};

/// A batch that takes longer fails. Longer than librdkafka itself waits for a record (`message.timeout.ms`).
const PATIENCE: Duration = Duration::from_secs(20);

/// How long one look for acknowledgements takes at most.
const LOOK: Duration = Duration::from_millis(2);

/// Appends to a topic on Kafka: an idempotent producer outside of transactions.
pub struct KafkaAppend {
    producer: BaseProducer<Deliveries>,
    kafka: KafkaSettings,
    topic: String,
    /// How many records were ever sent: the number of the next one.
    sent: usize,
}

impl KafkaAppend {
    /// Makes the producer, for a topic that is there.
    ///
    /// # Errors
    ///
    /// When the settings are refused, no broker answers, or there is no such topic.
    pub fn open(kafka: &KafkaSettings, settings: &TopicSettings, topic: Topic) -> Result<Self, AppendError> {
        let topic = settings.name(topic);
        // A producer that asks for a topic lets the broker make it; a consumer does not.
        let consumer = client::consumer(kafka)?;
        if metadata_of(&consumer, kafka, &topic)?.is_none() {
            return Err(AppendError::no_topic(topic));
        }
        Ok(Self {
            producer: client::append_producer(kafka)?,
            kafka: kafka.clone(),
            topic,
            sent: 0,
        })
    }

    /// Hands a record to librdkafka; what it is told about it comes under this number.
    fn send(&self, number: usize, record: &InRecord, deadline: Instant) -> Result<(), BrokerError> {
        let mut message: BaseRecord<'_, str, [u8], usize> = BaseRecord::with_opaque_to(&self.topic, number)
            .key(record.key.as_str())
            .timestamp(record.arrival.0);
        message.payload = record.payload.as_deref();
        loop {
            let (error, unsent) = match self.producer.send(message) {
                Ok(()) => return Ok(()),
                Err(refused) => refused,
            };
            let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            if !full || Instant::now() > deadline {
                return Err(self.refused(error));
            }
            message = unsent;
            self.producer.poll(LOOK);
        }
    }

    fn refused(&self, error: KafkaError) -> BrokerError {
        BrokerError::Refused {
            topic: self.topic.clone(),
            error,
        }
    }

    /// Waits until all records from `first` on are answered, or the time is over.
    fn wait(&self, first: usize, answers: &mut [Option<Result<Appended, AppendError>>], deadline: Instant) {
        loop {
            for (number, told) in self.producer.client().context().take() {
                // One of an earlier batch that was given up.
                let Some(answer) = number.checked_sub(first).and_then(|index| answers.get_mut(index)) else {
                    continue;
                };
                *answer = Some(told.map_err(|error| self.refused(error).into()));
            }
            if answers.iter().all(Option::is_some) || Instant::now() > deadline {
                return;
            }
            self.producer.poll(LOOK);
        }
    }

    /// A producer that failed for good is of no more use; another one may be.
    fn renew_if_broken(&mut self) {
        let Some((code, reason)) = self.producer.client().fatal_error() else {
            return;
        };
        warn!(%code, reason, "the producer of `{}` failed for good, making another", self.topic);
        match client::append_producer(&self.kafka) {
            Ok(producer) => self.producer = producer,
            Err(error) => warn!(%error, "no other producer could be made"),
        }
    }
}

impl Append for KafkaAppend {
    fn append(&mut self, records: &[InRecord]) -> Vec<Result<Appended, AppendError>> {
        self.renew_if_broken();
        let deadline = Instant::now() + PATIENCE;
        let first = self.sent;
        self.sent += records.len();
        let mut answers: Vec<Option<Result<Appended, AppendError>>> = Vec::new();
        for (number, record) in (first..).zip(records) {
            let sent = self.send(number, record, deadline);
            answers.push(sent.err().map(|error| Err(error.into())));
        }
        self.wait(first, &mut answers, deadline);
        let missing = answers.iter().filter(|answer| answer.is_none()).count();
        if missing > 0 {
            self.producer.purge(PurgeConfig::default().queue().inflight());
        }
        let timed_out = AppendError::from(BrokerError::TimedOut {
            missing,
            seconds: PATIENCE.as_secs(),
        });
        let answers = answers
            .into_iter()
            .map(|answer| answer.unwrap_or_else(|| Err(timed_out.clone())));
        answers.collect()
    }
}
