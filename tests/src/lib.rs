//! What the tests share: the batch oracle, random histories, a foreign Kafka client, and what breaks a contract.

pub mod compatibility;
pub mod golden;
pub mod history;
pub mod kafka;
pub mod oracle;
