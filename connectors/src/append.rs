use std::sync::Arc;

use riskflow_model::Millis;
use riskflow_model::topic::Topic;

use crate::kafka::BrokerError;
use crate::log::LogError;
use crate::{Retry, SourceError};

/// A record on its way into an input topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InRecord {
    /// When it came to us.
    pub arrival: Millis,
    /// Its key.
    pub key: String,
    /// Its payload, JSON; `None` deletes the row of a table.
    pub payload: Option<Vec<u8>>,
}

/// Where a record was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The partition.
    pub partition: u16,
    /// The offset.
    pub offset: u64,
}

/// A way into one input topic, beside whoever else writes it; see the crate's documentation for what it promises.
pub trait Append: Send {
    /// Appends records, and waits until they are durable: one wait for all. The answers are in the order of the records.
    ///
    /// # Errors
    ///
    /// Each record has its own: it is not known to be there. It may be all the same, and appending it again then repeats it.
    fn append(&mut self, records: &[InRecord]) -> Vec<Result<Appended, AppendError>>;
}

/// Why a record could not be appended, or a topic not be opened for that. Cheap to clone: records of a batch share it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// The input is files.
    #[error("the input is files, and nothing can be appended to them; give a log or Kafka as input for `{topic}`")]
    Files {
        /// The topic.
        topic: Topic,
    },
    /// The topic does not exist, or cannot be looked at.
    #[error(transparent)]
    Topic(#[from] Arc<SourceError>),
    /// The embedded log.
    #[error("the embedded log cannot be written")]
    Log(#[from] Arc<LogError>),
    /// Kafka.
    #[error("Kafka cannot be written")]
    Kafka(#[from] Arc<BrokerError>),
}

impl AppendError {
    /// Whether the same may succeed later.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Files { .. } => Retry::Never,
            Self::Topic(error) => error.retry(),
            Self::Log(error) => error.retry(),
            Self::Kafka(error) => error.retry(),
        }
    }

    pub(crate) fn no_topic(topic: String) -> Self {
        Self::Topic(Arc::new(SourceError::NoTopic { topic }))
    }
}

impl From<LogError> for AppendError {
    fn from(error: LogError) -> Self {
        Self::Log(Arc::new(error))
    }
}

impl From<BrokerError> for AppendError {
    fn from(error: BrokerError) -> Self {
        Self::Kafka(Arc::new(error))
    }
}
