//! Kafka, through librdkafka.
//!
//! The source assigns its partitions by hand, from given offsets, and reads only what is committed. Offsets are the
//! broker's, arrival is the record's timestamp. The sink commits in transactions (or, for at least once, as an idempotent
//! producer); its records carry CloudEvents 1.0 headers in binary mode. Offsets in a consumer group are for Kafka's own tools only.

mod error;
mod fault;
mod certificate;
mod sizes;
mod deliveries;
mod client;
mod asking;
mod properties;
mod limits;
mod apart;
mod source;
mod sink;
mod append;
mod telling;
mod topics;
mod probe;

#[cfg(test)]
mod tests;

pub(crate) use apart::PATIENCE;
pub use apart::{keep_apart, keep_once};
pub use append::KafkaAppend;
pub use client::problems;
pub use error::BrokerError;
pub use probe::{Newest, Readable, brokers, readable};
pub use sink::{KafkaSink, transactional_id};
pub use source::KafkaSource;
pub(crate) use source::back_from_end;
pub use telling::GroupOffsets;
pub(crate) use telling::Telling;
pub(crate) use topics::{check, cluster_id, create};
