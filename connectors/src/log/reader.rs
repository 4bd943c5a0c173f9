use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use riskflow_config::TopicSettings;
use riskflow_model::progress::Offsets;
use riskflow_model::topic::{Direction, Topic};

use super::commits::Fence;
use super::frame::{self, Check, Parsed};
use super::writer::Tail;
use super::{LogError, SEGMENT_BYTES, folder};
use crate::source::{Lane, Standing, poll_lanes};
use crate::{Polled, RawRecord, Share, Source, SourceError, Until, Verdict};

/// Read at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Reads a worker's partitions of an embedded log, and follows them while a writer appends.
pub struct LogSource {
    partitions: Vec<PartitionReader>,
    first: usize,
    /// Where output topics are read: how far they are committed.
    fence: Option<Fence>,
}

impl LogSource {
    /// Opens this worker's partitions of these topics, to read up to an end and from offsets on.
    ///
    /// # Errors
    ///
    /// When a topic is not there or cannot be read.
    pub fn open(
        folder: &Path,
        settings: &TopicSettings,
        topics: &[Topic],
        share: Share,
        span: (Until, &Offsets),
    ) -> Result<Self, SourceError> {
        Self::open_with(folder, settings, topics, (share, span), SEGMENT_BYTES)
    }

    pub(super) fn open_with(
        folder: &Path,
        settings: &TopicSettings,
        topics: &[Topic],
        (share, (until, from)): (Share, (Until, &Offsets)),
        limit: u64,
    ) -> Result<Self, SourceError> {
        let mut partitions = Vec::new();
        for topic in topics {
            let name = settings.name(*topic);
            let topic_folder = folder.join(&name);
            let Some(count) = folder::partitions(&topic_folder)? else {
                return Err(SourceError::NoTopic { topic: name });
            };
            for partition in (0..count).filter(|partition| share.holds(*topic, *partition)) {
                let folder = topic_folder.join(partition.to_string());
                let from = from.next(*topic, partition);
                partitions.push(PartitionReader::open((*topic, partition, from), folder, until, limit)?);
            }
        }
        let fence = topics.iter().any(|topic| topic.direction() == Direction::Out);
        let fence = fence.then(|| Fence::new(folder, settings));
        Ok(Self {
            partitions,
            first: 0,
            fence,
        })
    }
}

impl Source for LogSource {
    fn poll(&mut self, limit: usize, offer: &mut dyn FnMut(RawRecord<'_>) -> Verdict) -> Result<Polled, SourceError> {
        if let Some(fence) = &mut self.fence {
            fence.look()?;
            for partition in &mut self.partitions {
                partition.fenced = fence.end(partition.topic, partition.partition);
            }
        }
        poll_lanes(&mut self.partitions, &mut self.first, limit, offer)
    }

    fn caught_up(&self) -> bool {
        self.partitions.iter().all(PartitionReader::caught_up)
    }

    /// What is in a file is at hand.
    fn owes(&self) -> bool {
        false
    }

    fn lost(&self) -> Vec<(Topic, u16, u64, u64)> {
        let gone = |partition: &PartitionReader| {
            let first = partition.lost?;
            Some((partition.topic, partition.partition, partition.from, first))
        };
        self.partitions.iter().filter_map(gone).collect()
    }

    fn lag(&self) -> Vec<(Topic, u16, u64)> {
        self.partitions
            .iter()
            .map(|partition| (partition.topic, partition.partition, partition.lag()))
            .collect()
    }
}

struct PartitionReader {
    topic: Topic,
    partition: u16,
    folder: PathBuf,
    until: Until,
    limit: u64,
    /// The segment that is being read; `None` until a first one is there.
    file: Option<File>,
    /// The first offset of that segment.
    segment: u64,
    /// The first offsets of segments behind it that were there at opening.
    later: VecDeque<u64>,
    /// Where the next record begins in the segment.
    position: u64,
    /// The next record's offset.
    offset: u64,
    /// Bytes of the segment from `position` on lie in `buffer[start..end]`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Whether the next record's checksum has been looked at: it may be offered many times.
    check: Check,
    /// The end at opening: a segment, and a position in it.
    goal: (u64, u64),
    reached: bool,
    /// The length of the file when its bad tail was last searched for records behind it.
    searched: Option<u64>,
    /// Records from this offset on are not committed.
    fenced: u64,
    /// Records before this offset are passed over.
    from: u64,
    /// The first offset that was there at opening, if `from` was not.
    lost: Option<u64>,
}

impl PartitionReader {
    fn open(
        (topic, partition, from): (Topic, u16, u64),
        folder: PathBuf,
        until: Until,
        limit: u64,
    ) -> Result<Self, LogError> {
        let mut later = VecDeque::from(folder::segments(&folder)?);
        let goal = match later.back() {
            Some(last) => {
                let path = folder::segment(&folder, *last);
                (*last, path.metadata().map_err(LogError::io(&path))?.len())
            }
            None => (0, 0),
        };
        let mut segment = later.pop_front().unwrap_or(0);
        while let Some(next) = later.pop_front_if(|next| *next <= from) {
            segment = next;
        }
        let mut reader = Self {
            topic,
            partition,
            folder,
            until,
            limit,
            file: None,
            segment,
            later,
            position: 0,
            offset: segment,
            buffer: vec![0; BUFFER_BYTES],
            start: 0,
            end: 0,
            check: Check::Full,
            goal,
            reached: false,
            searched: None,
            fenced: u64::MAX,
            from,
            lost: (segment > from).then_some(segment),
        };
        if from > segment {
            // All of the log must be as long as it was: one that was made anew has other records at these offsets.
            let last = reader.later.back().copied().unwrap_or(segment);
            let path = folder::segment(&reader.folder, last);
            let records = if path.exists() { Tail::of(&path)?.records } else { 0 };
            reader.lost = (last + records < from).then_some(0);
        }
        reader.file = reader.open_segment(segment)?;
        Ok(reader)
    }

    fn caught_up(&self) -> bool {
        self.reached || (self.segment, self.position) >= self.goal
    }

    /// Records of closed segments are counted, those of the last estimated by the mean of what was read of it.
    fn lag(&self) -> u64 {
        let (last, bytes) = match &self.file {
            Some(file) if self.segment >= self.goal.0 => (
                self.segment,
                file.metadata().map_or(self.position, |metadata| metadata.len()),
            ),
            _ => self.goal,
        };
        let closed = last.saturating_sub(self.offset);
        let begin = if last == self.segment { self.position } else { 0 };
        let read = self.offset - self.segment;
        let mean = self.position.checked_div(read).unwrap_or(128).max(1);
        closed + bytes.saturating_sub(begin).div_ceil(mean)
    }

    fn path(&self) -> PathBuf {
        folder::segment(&self.folder, self.segment)
    }

    fn open_segment(&self, first: u64) -> Result<Option<File>, LogError> {
        let path = folder::segment(&self.folder, first);
        match File::open(&path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(LogError::Io { path, error }),
        }
    }

    /// Reads more of the segment behind what is at hand. `false` when there is no more.
    fn fill(&mut self) -> Result<bool, LogError> {
        let Some(file) = &self.file else { return Ok(false) };
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let at = self.position + self.end as u64;
        let read = file
            .read_at(&mut self.buffer[self.end..], at)
            .map_err(LogError::io(&self.path()))?;
        self.end += read;
        Ok(read > 0)
    }

    /// The file has no more bytes. Goes on to the next segment, or says how things stand.
    fn at_end(&mut self) -> Result<Option<Standing>, LogError> {
        let torn = self.end > self.start;
        // A writer that recovers cuts a torn record off and writes another in its place: read it again next time.
        self.end = self.start;
        if self.file.is_none() {
            self.file = self.open_segment(self.segment)?;
            if self.file.is_some() {
                return Ok(None);
            }
        } else if let Some(file) = self.next_segment(torn)? {
            self.later.pop_front();
            self.file = Some(file);
            self.segment = self.offset;
            self.position = 0;
            return Ok(None);
        }
        if self.offset < self.from {
            return Err(LogError::Gap {
                path: self.folder.clone(),
                found: self.offset,
                wanted: self.from,
            });
        }
        self.reached = true;
        Ok(Some(self.waiting()))
    }

    /// The segment behind this one, if it is there. Asked for only where there can be one: an idle partition costs one
    /// read. Its name is the next offset, so it cannot be taken for the next before all of this one is read.
    fn next_segment(&self, torn: bool) -> Result<Option<File>, LogError> {
        match self.later.front() {
            Some(_) if torn => Err(self.damaged()),
            Some(first) if *first != self.offset => Err(LogError::Gap {
                path: self.folder.clone(),
                found: *first,
                wanted: self.offset,
            }),
            Some(_) => self.open_segment(self.offset),
            None if self.position >= self.limit => self.open_segment(self.offset),
            None => Ok(None),
        }
    }

    const fn pass(&mut self, length: usize) {
        self.start += length;
        self.position += length as u64;
        self.offset += 1;
    }

    const fn waiting(&self) -> Standing {
        match self.until {
            Until::Forever => Standing::Idle,
            Until::End => Standing::Ended,
        }
    }

    fn damaged(&self) -> LogError {
        LogError::Damaged {
            path: self.path(),
            byte: self.position,
        }
    }

    /// No record stands where one should: a torn tail if none follows, else damage.
    fn bad(&mut self, skip: usize) -> Result<Standing, LogError> {
        let Some(file) = &self.file else {
            return Ok(self.waiting());
        };
        self.end = self.start;
        let length = file.metadata().map_err(LogError::io(&self.path()))?.len();
        if self.searched != Some(length) {
            let mut rest = vec![0; length.saturating_sub(self.position + skip as u64) as usize];
            let read = file.read_exact_at(&mut rest, self.position + skip as u64);
            // Cut off meanwhile by a writer that recovers: look again next time.
            if read.is_err() {
                return Ok(self.waiting());
            }
            if !self.later.is_empty() || frame::any_whole(&rest) {
                return Err(self.damaged());
            }
            self.searched = Some(length);
        }
        self.reached = true;
        Ok(self.waiting())
    }
}

impl Lane for PartitionReader {
    fn drain(
        &mut self,
        left: &mut usize,
        offer: &mut dyn FnMut(RawRecord<'_>) -> Verdict,
    ) -> Result<Standing, SourceError> {
        let bounded = self.until == Until::End;
        if bounded && self.caught_up() {
            return Ok(Standing::Ended);
        }
        loop {
            if *left == 0 {
                return Ok(Standing::Full);
            }
            match frame::parse(&self.buffer[self.start..self.end], self.check) {
                Parsed::Whole(frame) => {
                    let length = frame.length;
                    if bounded && (self.segment, self.position + length as u64) > self.goal {
                        self.reached = true;
                        return Ok(Standing::Ended);
                    }
                    if self.offset < self.from {
                        self.pass(length);
                        continue;
                    }
                    if self.offset >= self.fenced {
                        // Not committed: it may be taken back and another written in its place.
                        self.end = self.start;
                        self.reached = true;
                        return Ok(self.waiting());
                    }
                    let record = RawRecord {
                        topic: self.topic,
                        partition: self.partition,
                        offset: self.offset,
                        arrival: Some(frame.arrival),
                        key: frame.key,
                        payload: frame.payload,
                    };
                    if offer(record) == Verdict::NotYet {
                        self.check = Check::Done;
                        return Ok(Standing::Blocked);
                    }
                    self.check = Check::Full;
                    *left -= 1;
                    self.pass(length);
                }
                Parsed::Torn => {
                    if !self.fill()?
                        && let Some(standing) = self.at_end()?
                    {
                        return Ok(standing);
                    }
                }
                Parsed::Bad { skip } => return Ok(self.bad(skip)?),
            }
        }
    }
}
