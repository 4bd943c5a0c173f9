//! A topic of the output, as it is written.

use riskflow_model::topic::Topic;

use super::writer::PartitionWriter;
use crate::lock::Lock;

/// An output topic. Nobody else writes it.
pub(super) struct OutTopic {
    pub topic: Topic,
    pub writers: Vec<PartitionWriter>,
    pub _lock: Lock,
}
