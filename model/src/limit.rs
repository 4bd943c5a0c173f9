//! How large things may be. Decoding, topics, producers, the embedded log and the publisher all take it from here.

/// The largest record, in bytes: an input payload, and an output record with its key and headers.
pub const RECORD_BYTES: usize = 1 << 20;

/// `max.message.bytes` of the topics that riskflow makes: the largest record and what frames it. Kafka's own default.
pub const MESSAGE_BYTES: usize = RECORD_BYTES + 12;

/// An output topic must take records of at least so many bytes. Every record can be cut to that.
pub const LEAST_RECORD_BYTES: usize = 64 << 10;

/// The longest identifier, in bytes: whatever names a thing, and so may become a key.
pub const ID_BYTES: usize = 200;

/// The longest text, in bytes: names, titles, notes.
pub const TEXT_BYTES: usize = 4096;

/// The most values in a record of `in.forecast`: 31 days hour by hour, and some.
pub const FORECAST_VALUES: usize = 1_000;
