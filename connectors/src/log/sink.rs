use std::path::Path;

use riskflow_config::TopicSettings;
use riskflow_model::progress::Offsets;
use riskflow_model::topic::Topic;

use super::commits::Commits;
use super::{LogError, LogWriter};
use crate::{EpochRecords, Sink, SinkError};

/// Writes output topics into an embedded log, partitioned by key; a record's arrival is its epoch.
///
/// A commit waits for the disk twice: for the records of each partition that it wrote to, then for the file that makes
/// them visible. Without that a power cut may take back what a reader has already acted on, which a warning must not be.
pub struct LogSink {
    writers: Vec<(Topic, LogWriter)>,
    commits: Commits,
}

impl LogSink {
    /// Opens all output topics in this folder, and makes those that are not there. Cuts off what was not committed.
    ///
    /// # Errors
    ///
    /// When another process writes one of them, or one cannot be written.
    pub fn open(folder: &Path, settings: &TopicSettings) -> Result<Self, SinkError> {
        let open = |topic| -> Result<_, LogError> {
            let writer = LogWriter::open(folder, &settings.name(topic), settings.partitions)?;
            Ok((topic, writer))
        };
        let mut writers = Topic::outputs().map(open).collect::<Result<Vec<_>, _>>()?;
        // Behind the locks of the writers: no other process commits now.
        let commits = Commits::open(folder, settings)?;
        for (topic, writer) in &mut writers {
            for partition in 0..writer.partitions() {
                writer.cut(partition, commits.ends.next(*topic, partition))?;
            }
        }
        Ok(Self { writers, commits })
    }

    fn ends(&self) -> Offsets {
        let mut ends = Offsets::default();
        for (topic, writer) in &self.writers {
            for partition in 0..writer.partitions() {
                ends.advance(*topic, partition, writer.next(partition));
            }
        }
        ends
    }
}

impl Sink for LogSink {
    fn commit(&mut self, epochs: &[EpochRecords]) -> Result<(), SinkError> {
        let committed = self.commits.ends.clone();
        for (topic, writer) in &mut self.writers {
            // What an attempt before left behind.
            for partition in 0..writer.partitions() {
                writer.cut(partition, committed.next(*topic, partition))?;
            }
            for EpochRecords { epoch, records } in epochs {
                for record in records.iter().filter(|record| record.topic == *topic) {
                    let key = record.key.as_bytes();
                    let partition = writer.partition_of(Some(key));
                    writer.append(partition, *epoch, Some(key), record.payload.as_deref())?;
                }
            }
        }
        crate::failpoint("log::commit::before_sync");
        for (_, writer) in &mut self.writers {
            writer.sync()?;
        }
        crate::failpoint("log::commit::before_commit");
        self.commits.commit(self.ends())?;
        crate::failpoint("log::commit::after_commit");
        Ok(())
    }
}
