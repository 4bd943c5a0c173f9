use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use riskflow_config::TopicSettings;
use riskflow_model::Millis;
use riskflow_model::topic::Topic;

use super::{LogError, LogWriter};
use crate::{OutRecord, Sink, SinkError};

/// Whether every commit waits for the disk. It costs about a millisecond for each partition written in an epoch; without it a
/// power cut may take back what a reader has already acted on, which a warning must not be.
const SYNC_EACH_COMMIT: bool = true;

/// Writes output topics into an embedded log, partitioned by key; a record's arrival is its epoch.
pub struct LogSink {
    folder: PathBuf,
    settings: TopicSettings,
    writers: BTreeMap<Topic, LogWriter>,
}

impl LogSink {
    /// Opens all output topics in this folder, and makes those that are not there.
    ///
    /// # Errors
    ///
    /// When another process writes one of them, or one cannot be written.
    pub fn open(folder: &Path, settings: &TopicSettings) -> Result<Self, SinkError> {
        let mut sink = Self {
            folder: folder.to_owned(),
            settings: settings.clone(),
            writers: BTreeMap::new(),
        };
        for topic in Topic::outputs() {
            sink.open_topic(topic)?;
        }
        Ok(sink)
    }

    fn open_topic(&mut self, topic: Topic) -> Result<(), LogError> {
        let writer = LogWriter::open(&self.folder, &self.settings.name(topic), self.settings.partitions)?;
        self.writers.insert(topic, writer);
        Ok(())
    }
}

impl Sink for LogSink {
    fn commit(&mut self, epoch: Millis, records: &[OutRecord]) -> Result<(), SinkError> {
        for record in records {
            if !self.writers.contains_key(&record.topic) {
                self.open_topic(record.topic)?;
            }
            if let Some(writer) = self.writers.get_mut(&record.topic) {
                let key = record.key.as_bytes();
                let partition = writer.partition_of(Some(key));
                writer.append(partition, epoch, Some(key), record.payload.as_deref())?;
            }
        }
        for writer in self.writers.values_mut() {
            if SYNC_EACH_COMMIT {
                writer.sync()?;
            } else {
                writer.flush()?;
            }
        }
        Ok(())
    }
}
