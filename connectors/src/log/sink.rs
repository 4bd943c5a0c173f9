use std::collections::BTreeMap;
use std::path::Path;

use riskflow_config::TopicSettings;
use riskflow_model::progress::{Offsets, Progress};
use riskflow_model::topic::Topic;
use tracing::warn;

use super::commits::Commits;
use super::{LogError, LogSource, LogWriter};
use crate::{EpochRecords, Polled, RawRecord, Share, Sink, SinkError, Source as _, SourceError, Until, Verdict};

/// Writes output topics into an embedded log, partitioned by key; a record's arrival is its epoch.
///
/// A commit waits for the disk twice: for the records of each partition that it wrote to, then for the file that makes
/// them visible. Without that a power cut may take back what a reader has already acted on, which a warning must not be.
pub struct LogSink {
    writers: Vec<(Topic, LogWriter)>,
    commits: Commits,
    /// The record of each key of `out.progress` that stands: partition and offset. What lies before all of them goes, for
    /// every epoch has one and the log compacts nothing.
    progress: BTreeMap<String, (u16, u64)>,
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
        let mut sink = Self {
            writers,
            commits,
            progress: BTreeMap::new(),
        };
        sink.read_progress(folder, settings)?;
        Ok(sink)
    }

    fn read_progress(&mut self, folder: &Path, settings: &TopicSettings) -> Result<(), LogError> {
        let span = (Until::End, &Offsets::default());
        let opened = LogSource::open(folder, settings, &[Topic::Progress], Share::WHOLE, span);
        let log_error = |error| match error {
            SourceError::Log(error) => error,
            error => LogError::Io {
                path: folder.to_owned(),
                error: std::io::Error::other(error),
            },
        };
        let mut source = opened.map_err(log_error)?;
        let progress = &mut self.progress;
        let mut note = |record: RawRecord<'_>| {
            let key = String::from_utf8_lossy(record.key.unwrap_or_default()).into_owned();
            match record.payload {
                Some(_) => progress.insert(key, (record.partition, record.offset)),
                None => progress.remove(&key),
            };
            Verdict::Taken
        };
        while source.poll(usize::MAX, &mut note).map_err(log_error)? != Polled::Ended {}
        Ok(())
    }

    /// Lets go of what no recovery asks for any more.
    fn prune_progress(&mut self) -> Result<(), LogError> {
        let writers = self.writers.iter_mut().filter(|(topic, _)| *topic == Topic::Progress);
        for (_, writer) in writers {
            for partition in 0..writer.partitions() {
                let here = self.progress.values().filter(|(number, _)| *number == partition);
                let first = here.map(|(_, offset)| *offset).min().unwrap_or(writer.next(partition));
                writer.drop_before(partition, first)?;
            }
        }
        Ok(())
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
        let mut rebased = false;
        for (topic, writer) in &mut self.writers {
            // What an attempt before left behind.
            for partition in 0..writer.partitions() {
                writer.cut(partition, committed.next(*topic, partition))?;
            }
            for EpochRecords { epoch, records } in epochs {
                for record in records.iter().filter(|record| record.topic == *topic) {
                    let key = record.key.as_bytes();
                    let partition = writer.partition_of(Some(key));
                    let offset = writer.append(partition, *epoch, Some(key), record.payload.as_deref())?;
                    if *topic == Topic::Progress {
                        rebased |= record.key == Progress::BASE;
                        match record.payload {
                            Some(_) => self.progress.insert(record.key.clone(), (partition, offset)),
                            None => self.progress.remove(&record.key),
                        };
                    }
                }
            }
        }
        crate::disk_full("log::commit::disk_full").map_err(LogError::io(Path::new("the embedded log")))?;
        crate::failpoint("log::commit::before_sync");
        for (_, writer) in &mut self.writers {
            writer.sync()?;
        }
        crate::failpoint("log::commit::before_commit");
        self.commits.commit(self.ends())?;
        crate::failpoint("log::commit::after_commit");
        // The epochs are committed, whatever comes of this: no error, or they would be given again.
        if rebased && let Err(error) = self.prune_progress() {
            warn!(%error, "old progress could not be deleted");
        }
        Ok(())
    }
}
