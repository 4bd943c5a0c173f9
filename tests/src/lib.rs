//! What the tests share: the batch oracle, random histories, and a foreign Kafka client.

pub mod golden;
pub mod history;
pub mod kafka;
pub mod oracle;
