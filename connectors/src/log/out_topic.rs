//! A topic of the output, as it is written.

use std::fs::File;

use riskflow_model::topic::Topic;

use super::writer::PartitionWriter;

/// An output topic. Nobody else writes it.
pub(super) struct OutTopic {
    pub topic: Topic,
    pub writers: Vec<PartitionWriter>,
    /// Closing it gives the lock back.
    pub _lock: File,
}
