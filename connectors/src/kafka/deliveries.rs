//! What became of records that were given to a producer.

use std::sync::{Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::ProducerContext;
use tracing::debug;

use crate::append::Appended;

/// What librdkafka tells about each record, by its number.
#[derive(Default)]
pub(super) struct Deliveries(Mutex<Vec<(usize, Result<Appended, KafkaError>)>>);

impl Deliveries {
    pub(super) fn take(&self) -> Vec<(usize, Result<Appended, KafkaError>)> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        debug!(target: "librdkafka", ?level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(target: "librdkafka", %error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let told = match result {
            Ok(message) => Ok(Appended {
                partition: message.partition() as u16,
                offset: message.offset() as u64,
            }),
            Err((error, _)) => Err(error.clone()),
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push((number, told));
    }
}
