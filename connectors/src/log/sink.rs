use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use riskflow_config::TopicSettings;
use riskflow_model::Millis;
use riskflow_model::progress::Offsets;
use riskflow_model::topic::Topic;
use tracing::warn;

use super::commits::{self, Commits, Known, Sealed, Segments};
use super::error::LogError;
use super::folder;
use super::guard::{self, Loss};
use super::handles::Handles;
use super::out_topic::OutTopic;
use super::segment::SEGMENT_BYTES;
use super::source::LogSource;
use super::upkeep::Upkeep;
use super::writer::{PartitionWriter, partition_of};
use crate::lock::Lock;
use crate::{EpochRecords, Polled, RawRecord, Share, Sink, SinkError, Source as _, SourceError, Span, Until, Verdict};

/// Writes output topics into an embedded log, partitioned by key; a record's arrival is its epoch.
///
/// A commit waits for the disk twice: for the records of each partition that it wrote to, then for the file that makes
/// them visible. Without that a power cut may take back what a reader has already acted on, which a warning must not be.
pub struct LogSink {
    topics: Vec<OutTopic>,
    commits: Commits,
    /// Partitions that may hold more than is committed: position in `topics`, and partition.
    touched: BTreeSet<(usize, u16)>,
    /// The partition that is looked at next, although nothing is written to it.
    turn: usize,
    upkeep: Upkeep,
}

impl LogSink {
    /// Opens all output topics in this folder, and makes those that are not there. Cuts off what was not committed.
    ///
    /// # Errors
    ///
    /// When another process writes one of them, what is committed is not there any more, or one cannot be written.
    pub fn open(folder: &Path, settings: &TopicSettings) -> Result<Self, SinkError> {
        let sizes = (SEGMENT_BYTES, Handles::shared());
        Ok(Self::open_with(folder, settings, sizes, &mut Loss::Refuse)?)
    }

    /// Gives up what was committed and is not there any more, and says what that is. Offsets stay: where records are gone
    /// there is a gap.
    ///
    /// # Errors
    ///
    /// When another process writes the output, or it cannot be written.
    pub fn accept_loss(folder: &Path, settings: &TopicSettings) -> Result<Vec<String>, LogError> {
        let mut told = Vec::new();
        let sizes = (SEGMENT_BYTES, Handles::shared());
        Self::open_with(folder, settings, sizes, &mut Loss::Accept(&mut told)).map(drop)?;
        Ok(told)
    }

    pub(super) fn open_with(
        folder: &Path,
        settings: &TopicSettings,
        (limit, handles): (u64, Arc<Handles>),
        loss: &mut Loss<'_>,
    ) -> Result<Self, LogError> {
        folder::keep_apart(folder, settings.exercise)?;
        let locks = lock_topics(folder, settings, loss)?;
        // Behind the locks: no other process commits now.
        let (known, standing) = commits::read(folder, settings)?;
        let written = matches!(known, Known::Segments(_));
        let committed = committed(folder, settings, known, loss)?;
        let mut restored = Segments::new();
        let mut topics = Vec::new();
        for (topic, lock) in locks {
            let topic_folder = folder.join(settings.name(topic));
            let count = make_partitions(&topic_folder, settings, topic, &committed)?;
            let mut writers = Vec::with_capacity(usize::from(count));
            for (partition, segments) in (0u16..).zip(restore(&topic_folder, topic, count, &committed, loss)?) {
                if !segments.is_empty() {
                    restored.insert((topic, partition), segments.clone());
                }
                let folder = topic_folder.join(partition.to_string());
                writers.push(PartitionWriter::behind(folder, limit, Arc::clone(&handles), segments));
            }
            topics.push(OutTopic {
                topic,
                writers,
                _lock: lock,
            });
        }
        let as_is = written && commits::same(&restored, &committed);
        let commits = Commits::begin(folder, settings, standing, restored, as_is)?;
        let progress = read_progress(folder, settings)?;
        Ok(Self {
            topics,
            commits,
            touched: BTreeSet::new(),
            turn: 0,
            upkeep: Upkeep::new(settings.tidy.outputs, progress),
        })
    }

    /// Takes back what an attempt before left behind.
    fn rewind(&mut self) -> Result<(), LogError> {
        while let Some((index, partition)) = self.touched.first().copied() {
            let OutTopic { topic, writers, .. } = &mut self.topics[index];
            let committed = self.commits.committed.get(&(*topic, partition));
            let committed = committed.map_or(&[][..], Vec::as_slice);
            writers[usize::from(partition)].rewind(committed)?;
            warn!(%topic, partition, "took back records that were not committed");
            self.touched.pop_first();
        }
        Ok(())
    }

    fn append(&mut self, epoch: Millis, record: &crate::OutRecord) -> Result<(), LogError> {
        let index = self.topics.iter().position(|opened| opened.topic == record.topic);
        let index = index.expect("records go to output topics, and all of them are open");
        let writers = &mut self.topics[index].writers;
        let key = record.key.as_bytes();
        let partition = partition_of(Some(key), writers.len());
        self.touched.insert((index, partition));
        let offset = writers[usize::from(partition)].append(epoch, Some(key), record.payload.as_deref())?;
        if record.topic == Topic::PROGRESS {
            self.upkeep
                .note_progress(&record.key, record.payload.is_some(), (partition, offset));
        }
        Ok(())
    }

    /// What is committed once the commit under way is.
    fn segments(&self) -> Segments {
        let mut segments = self.commits.committed.clone();
        for (index, partition) in &self.touched {
            let OutTopic { topic, writers, .. } = &self.topics[*index];
            segments.insert((*topic, *partition), writers[usize::from(*partition)].segments());
        }
        segments
    }

    /// Looks whether one partition that nothing is written to is still there; another each time.
    fn look_around(&mut self) -> Result<(), LogError> {
        let count: usize = self.topics.iter().map(|topic| topic.writers.len()).sum();
        self.turn = (self.turn + 1) % count.max(1);
        let mut writers = self.topics.iter().flat_map(|topic| &topic.writers);
        writers.nth(self.turn).map_or(Ok(()), PartitionWriter::check)
    }

    /// Waits for a compaction that is under way.
    #[cfg(test)]
    pub(super) fn finish_compaction(&mut self) {
        self.upkeep.wait();
    }
}

impl Sink for LogSink {
    fn commit(&mut self, epochs: &[EpochRecords]) -> Result<(), SinkError> {
        self.rewind()?;
        self.look_around()?;
        for EpochRecords { epoch, records } in epochs {
            for record in records {
                self.append(*epoch, record)?;
            }
        }
        crate::disk_full("log::commit::disk_full").map_err(LogError::io(Path::new("the embedded log")))?;
        crate::failpoint("log::commit::before_sync");
        for (index, partition) in &self.touched {
            self.topics[*index].writers[usize::from(*partition)].sync()?;
        }
        let now = epochs.last().map_or(Millis(i64::MIN), |last| last.epoch);
        let pending = self.upkeep.before_commit(&mut self.topics, now, &mut self.touched);
        crate::failpoint("log::commit::before_commit");
        self.commits.commit(self.segments())?;
        self.touched.clear();
        crate::failpoint("log::commit::after_commit");
        // The epochs are committed, whatever comes of this: no error, or they would be given again.
        self.upkeep.after_commit(pending, &self.topics, now);
        Ok(())
    }
}

/// Takes the locks of all output topics, and makes those that are not there.
fn lock_topics(folder: &Path, settings: &TopicSettings, loss: &Loss<'_>) -> Result<Vec<(Topic, Lock)>, LogError> {
    let (known, _) = commits::read(folder, settings)?;
    let has_records = |topic: Topic| match &known {
        Known::Segments(segments) => segments.keys().any(|(name, _)| *name == topic),
        Known::Ends(ends) => ends.iter().any(|(name, _, next)| name == topic && next > 0),
        Known::Nothing | Known::Lost => false,
    };
    let mut locks = Vec::new();
    let mut made = false;
    for topic in Topic::outputs() {
        let topic_folder = folder.join(settings.name(topic));
        if !topic_folder.exists() {
            if has_records(topic) && matches!(loss, Loss::Refuse) {
                return Err(LogError::Lost {
                    path: topic_folder,
                    found: "it is gone".to_owned(),
                });
            }
            fs::create_dir_all(&topic_folder).map_err(LogError::io(&topic_folder))?;
            made = true;
        }
        locks.push((topic, folder::lock(&topic_folder, Lock::alone)?));
    }
    if made {
        folder.ancestors().take(2).try_for_each(folder::sync)?;
    }
    Ok(locks)
}

/// The segments that are committed, by what the files say.
fn committed(folder: &Path, settings: &TopicSettings, known: Known, loss: &mut Loss<'_>) -> Result<Segments, LogError> {
    let mut ends = BTreeMap::new();
    match known {
        Known::Segments(segments) => return Ok(segments),
        Known::Ends(written) => {
            for (topic, partition, next) in written.iter().filter(|(_, _, next)| *next > 0) {
                ends.insert((topic, partition), next);
            }
        }
        Known::Nothing | Known::Lost => {
            let mut any = false;
            for topic in Topic::outputs() {
                let topic_folder = folder.join(settings.name(topic));
                for partition in folder::partition_numbers(&topic_folder)? {
                    any |= guard::has_bytes(&topic_folder.join(partition.to_string()))?;
                    ends.insert((topic, partition as u16), u64::MAX);
                }
            }
            if !any {
                return Ok(Segments::new());
            }
            let error = LogError::CommitsLost {
                path: commits::path(folder, settings),
            };
            let Loss::Accept(told) = loss else {
                return Err(error);
            };
            told.push(error.loss());
        }
    }
    let mut segments = Segments::new();
    for ((topic, partition), end) in ends {
        let folder = folder.join(settings.name(topic)).join(partition.to_string());
        let found = guard::segments_up_to(&folder, end, matches!(loss, Loss::Accept(_)))?;
        if !found.is_empty() {
            segments.insert((topic, partition), found);
        }
    }
    Ok(segments)
}

/// How many partitions a topic has; makes the folders of those that nothing is committed in.
fn make_partitions(
    topic_folder: &Path,
    settings: &TopicSettings,
    topic: Topic,
    committed: &Segments,
) -> Result<u16, LogError> {
    let there = folder::partition_numbers(topic_folder)?;
    let there = there.last().map_or(0, |last| *last as u16 + 1);
    let used = committed.keys().filter(|(name, _)| *name == topic);
    let used = used.map(|(_, partition)| partition + 1).max().unwrap_or(0);
    let count = match there.max(used) {
        0 => settings.partitions.max(1),
        count => count,
    };
    let unused = (0..count).filter(|partition| !committed.contains_key(&(topic, *partition)));
    let mut made = false;
    for partition in unused {
        let folder = topic_folder.join(partition.to_string());
        if !folder.exists() {
            fs::create_dir_all(&folder).map_err(LogError::io(&folder))?;
            made = true;
        }
    }
    if made {
        folder::sync(topic_folder)?;
    }
    Ok(count)
}

/// Makes the partitions of a topic hold what is committed and nothing else; returns the segments of each.
fn restore(
    topic_folder: &Path,
    topic: Topic,
    count: u16,
    committed: &Segments,
    loss: &mut Loss<'_>,
) -> Result<Vec<Vec<Sealed>>, LogError> {
    let told = loss.told();
    let folder = |partition: u16| topic_folder.join(partition.to_string());
    let mut restored = Vec::with_capacity(usize::from(count));
    for partition in 0..count {
        let segments = committed.get(&(topic, partition)).map_or(&[][..], Vec::as_slice);
        restored.push(guard::restore(&folder(partition), segments, loss)?);
    }
    // One epoch that is missing makes all others worthless.
    if topic == Topic::PROGRESS && loss.told() > told {
        for (partition, segments) in (0u16..).zip(&mut restored) {
            *segments = guard::forget(&folder(partition), segments)?;
        }
        loss.tell("all of `out.progress` is given up: the job begins anew, and tells again what it told before");
    }
    Ok(restored)
}

/// The record of each key of `out.progress` that stands: partition and offset.
fn read_progress(folder: &Path, settings: &TopicSettings) -> Result<BTreeMap<String, (u16, u64)>, LogError> {
    let beginning = Offsets::default();
    let span = Span::new(Until::End, &beginning);
    let log_error = |error| match error {
        SourceError::Log(error) => error,
        error => LogError::io(folder)(std::io::Error::other(error)),
    };
    let mut source = LogSource::open(folder, settings, &[Topic::PROGRESS], Share::WHOLE, span).map_err(log_error)?;
    let mut progress = BTreeMap::new();
    let mut note = |record: RawRecord<'_>| {
        let key = String::from_utf8_lossy(record.key.unwrap_or_default()).into_owned();
        match record.payload {
            Some(_) => progress.insert(key, (record.partition, record.offset)),
            None => progress.remove(&key),
        };
        Verdict::Taken
    };
    while source.poll(usize::MAX, &mut note).map_err(log_error)? != Polled::Ended {}
    Ok(progress)
}
