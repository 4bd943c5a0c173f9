//! How large records and batches may be, as the settings say.

use riskflow_config::KafkaSettings;
use riskflow_model::limit::{LEAST_RECORD_BYTES, RECORD_BYTES};

/// What a batch may have beside its records.
const BATCH: usize = 512;

/// The most that the settings allow the producer.
pub(super) fn of_producer(kafka: &KafkaSettings) -> usize {
    let own = kafka
        .properties
        .get("message.max.bytes")
        .and_then(|value| value.reveal().parse().ok());
    own.unwrap_or(RECORD_BYTES).clamp(LEAST_RECORD_BYTES, RECORD_BYTES)
}

/// The most that the records of a batch may have: a topic's limit is one for batches.
pub(super) fn of_batch(kafka: &KafkaSettings) -> usize {
    // librdkafka's own, unless the settings say another.
    const USUAL: usize = 1_000_000;
    let own = kafka
        .properties
        .get("batch.size")
        .and_then(|value| value.reveal().parse().ok());
    own.unwrap_or(USUAL).min(of_producer(kafka) - BATCH)
}
