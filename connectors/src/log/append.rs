use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use riskflow_config::TopicSettings;
use riskflow_model::topic::Topic;
use tracing::warn;

use super::error::LogError;
use super::folder;
use super::handles::Handles;
use super::segment::SEGMENT_BYTES;
use super::writer::{PartitionWriter, partition_of};
use crate::append::{Append, AppendError, Appended, InRecord};
use crate::lock::Lock;

/// How long to wait for a partition that another process is writing.
const PATIENCE: Duration = Duration::from_secs(2);

/// Appends to a topic of an embedded log beside other writers: it has the lock of a partition only while it writes a batch
/// to it.
pub struct LogAppend {
    topic: PathBuf,
    /// What is known of each partition since the last batch.
    partitions: Vec<Option<PartitionWriter>>,
    patience: Duration,
}

impl LogAppend {
    /// Opens a topic that is there.
    ///
    /// # Errors
    ///
    /// When it is not, its folder cannot be read, or it belongs to another user than this process ([`LogError::Foreign`]).
    pub fn open(folder: &Path, settings: &TopicSettings, topic: Topic) -> Result<Self, AppendError> {
        let name = settings.name(topic);
        let topic = folder.join(&name);
        folder::written_by_its_user(&[folder, &topic])?;
        let count = folder::partitions(&topic)?.ok_or_else(|| AppendError::no_topic(name))?;
        Ok(Self {
            topic,
            partitions: (0..count).map(|_| None).collect(),
            patience: PATIENCE,
        })
    }

    #[cfg(test)]
    pub(super) fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Takes the lock of a partition, waiting for whoever has it or writes the whole topic.
    fn lock(&self, folder: &Path) -> Result<[Lock; 2], LogError> {
        let until = Instant::now() + self.patience;
        let mut pause = Duration::from_millis(1);
        loop {
            let locks = folder::lock(&self.topic, Lock::shared)
                .and_then(|topic| Ok([topic, folder::lock(folder, Lock::alone)?]));
            match locks {
                Err(LogError::Locked { .. }) if Instant::now() < until => {}
                locks => return locks,
            }
            // The lock of a file tells nobody when it is free: whoever has it writes one batch.
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    fn append_to(&mut self, partition: u16, records: &[&InRecord]) -> Result<Vec<u64>, LogError> {
        let folder = self.topic.join(partition.to_string());
        let _locks = self.lock(&folder)?;
        let slot = &mut self.partitions[usize::from(partition)];
        // What is known is known again when it is opened: after an error nothing is.
        let known = slot.take();
        let mut writer = match known {
            Some(mut known) if known.is_current()? => {
                known.catch_up()?;
                known
            }
            _ => PartitionWriter::recover(folder, SEGMENT_BYTES, Handles::shared())?,
        };
        let written = records
            .iter()
            .map(|record| writer.append(record.arrival, Some(record.key.as_bytes()), record.payload.as_deref()))
            .collect::<Result<Vec<u64>, _>>()
            .and_then(|offsets| writer.sync().map(|()| offsets));
        match written {
            Ok(offsets) => {
                *slot = Some(writer);
                Ok(offsets)
            }
            Err(error) => {
                // What is not in the file must not follow later.
                writer.forget_buffered();
                Err(error)
            }
        }
    }
}

impl Append for LogAppend {
    fn append(&mut self, records: &[InRecord]) -> Vec<Result<Appended, AppendError>> {
        let mut by_partition: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
        for (index, record) in records.iter().enumerate() {
            let partition = partition_of(Some(record.key.as_bytes()), self.partitions.len());
            by_partition.entry(partition).or_default().push(index);
        }
        let mut answers = BTreeMap::new();
        for (partition, indexes) in by_partition {
            let batch: Vec<&InRecord> = indexes.iter().map(|index| &records[*index]).collect();
            match self.append_to(partition, &batch) {
                Ok(offsets) => {
                    let appended = offsets.into_iter().map(|offset| Ok(Appended { partition, offset }));
                    answers.extend(indexes.into_iter().zip(appended));
                }
                Err(error) => {
                    let error = AppendError::from(error);
                    warn!(topic = %self.topic.display(), partition, %error, "could not append");
                    answers.extend(indexes.into_iter().map(|index| (index, Err(error.clone()))));
                }
            }
        }
        answers.into_values().collect()
    }
}
