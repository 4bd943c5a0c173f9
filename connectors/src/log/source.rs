use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use riskflow_config::TopicSettings;
use riskflow_model::progress::Offsets;
use riskflow_model::topic::{Direction, Topic};

use super::commits::Fence;
use super::error::LogError;
use super::folder;
use super::handles::Handles;
use super::reader::{PartitionReader, Place};
use super::segment::SEGMENT_BYTES;
use super::stirs::Stirs;
use crate::source::{peek, poll_lanes};
use crate::{Extents, Polled, RawRecord, Share, Source, SourceError, Span, Until, Verdict};

/// Reads a worker's partitions of an embedded log, and follows them while a writer appends.
pub struct LogSource {
    /// By topic and partition, rising.
    partitions: Vec<PartitionReader>,
    first: usize,
    /// Where output topics are read: how far they are committed.
    fence: Option<Fence>,
    /// Whether anything was written to the partitions' folders.
    stirs: Option<Stirs>,
    /// Topics that are followed, and how many partitions they had.
    topics: Vec<(PathBuf, u16)>,
    /// When that was last looked at.
    counted: Instant,
}

/// How often partitions are counted.
const COUNT: Duration = Duration::from_secs(2);

impl LogSource {
    /// Opens this worker's partitions of these topics.
    ///
    /// # Errors
    ///
    /// When a topic is not there or cannot be read, or does not hold what an earlier run has read of it.
    pub fn open(
        folder: &Path,
        settings: &TopicSettings,
        topics: &[Topic],
        share: Share,
        span: Span<'_>,
    ) -> Result<Self, SourceError> {
        Self::open_with(
            folder,
            settings,
            topics,
            (share, span),
            (SEGMENT_BYTES, Handles::shared()),
        )
    }

    pub(super) fn open_with(
        folder: &Path,
        settings: &TopicSettings,
        topics: &[Topic],
        (share, span): (Share, Span<'_>),
        (limit, handles): (u64, Arc<Handles>),
    ) -> Result<Self, SourceError> {
        let (mut partitions, mut followed) = (Vec::new(), Vec::new());
        for topic in topics {
            let name = settings.name(*topic);
            let topic_folder = folder.join(&name);
            let Some(count) = folder::partitions(&topic_folder)? else {
                return Err(SourceError::NoTopic { topic: name });
            };
            check_count(&topic_folder, *topic, count, span.known)?;
            if span.until == Until::Forever {
                followed.push((topic_folder.clone(), count));
            }
            for partition in (0..count).filter(|partition| share.holds(*topic, *partition)) {
                let folder = topic_folder.join(partition.to_string());
                let place = Place {
                    topic: *topic,
                    partition,
                    folder,
                };
                partitions.push(PartitionReader::open(place, span, limit, Arc::clone(&handles))?);
            }
        }
        partitions.sort_by_key(PartitionReader::name);
        let fence = topics.iter().any(|topic| topic.direction() == Direction::Out);
        let fence = fence.then(|| Fence::new(folder, settings));
        let stirs = Stirs::over(partitions.iter().map(PartitionReader::folder));
        Ok(Self {
            partitions,
            first: 0,
            fence,
            stirs,
            topics: followed,
            counted: Instant::now(),
        })
    }

    /// Looks now and then whether a topic has got more partitions. One that has fewer is missed where it is read.
    fn count_partitions(&mut self) -> Result<(), LogError> {
        if self.counted.elapsed() < COUNT {
            return Ok(());
        }
        self.counted = Instant::now();
        for (path, before) in &self.topics {
            let now = folder::partition_numbers(path)?.len();
            if now > usize::from(*before) {
                return Err(LogError::PartitionsChanged {
                    path: path.clone(),
                    before: *before,
                    now: now.try_into().unwrap_or(u16::MAX),
                });
            }
        }
        Ok(())
    }
}

/// Whether all partitions are there of which something was read.
fn check_count(topic_folder: &Path, topic: Topic, count: u16, known: Option<&Offsets>) -> Result<(), LogError> {
    let known = known.into_iter().flat_map(Offsets::iter);
    let gone = known.filter(|(read, partition, next)| *read == topic && *partition >= count && *next > 0);
    match gone.map(|(_, partition, next)| (partition, next)).next() {
        None => Ok(()),
        Some((partition, next)) => Err(LogError::Unlike {
            path: topic_folder.join(partition.to_string()),
            found: format!("it is gone, and its records before offset {next} were read"),
        }),
    }
}

impl Source for LogSource {
    fn poll(&mut self, limit: usize, offer: &mut dyn FnMut(RawRecord<'_>) -> Verdict) -> Result<Polled, SourceError> {
        self.count_partitions()?;
        if let Some(fence) = &mut self.fence {
            let partitions = &self.partitions;
            fence.look(|| {
                let mut any = false;
                for partition in partitions.iter().filter(|partition| partition.is_output()) {
                    any |= partition.has_bytes()?;
                }
                Ok(any)
            })?;
            for partition in &mut self.partitions {
                let (topic, number) = partition.name();
                partition.fence(fence.end(topic, number));
            }
        }
        poll_lanes(&mut self.partitions, &mut self.first, limit, offer)
    }

    fn at_hand(&mut self) -> Result<bool, SourceError> {
        if self.stirs.as_mut().is_some_and(|stirs| !stirs.stirred()) {
            return Ok(false);
        }
        let found = peek(self)?;
        if let Some(stirs) = self.stirs.as_mut().filter(|_| !found) {
            stirs.calm();
        }
        Ok(found)
    }

    fn caught_up(&self) -> bool {
        self.partitions.iter().all(PartitionReader::caught_up)
    }

    /// What is in a file is at hand.
    fn owes(&self) -> bool {
        false
    }

    fn lost(&self) -> Vec<(Topic, u16, u64, u64)> {
        self.partitions.iter().filter_map(PartitionReader::lost).collect()
    }

    fn lag(&self) -> Vec<(Topic, u16, u64)> {
        let lag = |partition: &PartitionReader| {
            let (topic, number) = partition.name();
            (topic, number, partition.lag())
        };
        self.partitions.iter().map(lag).collect()
    }

    fn mark(&self, topic: Topic, partition: u16) -> Option<u32> {
        let place = self
            .partitions
            .binary_search_by_key(&(topic, partition), PartitionReader::name);
        self.partitions[place.ok()?].mark()
    }
}

/// Of each partition the first offset that is there, and the one behind the last. Reads the last segment of each.
///
/// # Errors
///
/// When a topic is not there or cannot be read.
pub(crate) fn extents(folder: &Path, settings: &TopicSettings, topics: &[Topic]) -> Result<Extents, SourceError> {
    let (mut extents, mut newest) = (Extents::new(), Offsets::default());
    for topic in topics {
        let name = settings.name(*topic);
        let topic_folder = folder.join(&name);
        let Some(count) = folder::partitions(&topic_folder)? else {
            return Err(SourceError::NoTopic { topic: name });
        };
        for partition in 0..count {
            let segments = folder::segments(&topic_folder.join(partition.to_string()))?;
            let first = segments.first().copied().unwrap_or(0);
            let last = segments.last().copied().unwrap_or(0);
            extents.insert((*topic, partition), (first, last));
            newest.advance(*topic, partition, last);
        }
    }
    let span = Span::new(Until::End, &newest);
    let mut source = LogSource::open(folder, settings, topics, Share::WHOLE, span)?;
    loop {
        let polled = source.poll(65_536, &mut |record| {
            if let Some((_, end)) = extents.get_mut(&(record.topic, record.partition)) {
                *end = record.offset + 1;
            }
            Verdict::Taken
        })?;
        if polled == Polled::Ended {
            return Ok(extents);
        }
    }
}
