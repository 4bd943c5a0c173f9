//! Reading one partition, and following it.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use riskflow_model::topic::{Direction, Topic};
use tracing::info;

use super::begin::{Begin, begin};
use super::error::LogError;
use super::frame::{self, Body, Check, Parsed, chain};
use super::handles::{FileId, Found, Handles, Held};
use super::segment::{Walk, Window, whole_behind};
use super::{folder, guard};
use crate::source::{Lane, Standing};
use crate::{RawRecord, SourceError, Span, Until, Verdict};

/// So many polls apart, the files of an idle partition are looked for under their names. Polls are few while nothing is written:
/// that of each heartbeat, and one now and then (`Stirs`).
pub(super) const LOOK_EVERY: u32 = 4;

/// Which partition, and where it lies.
pub(super) struct Place {
    pub topic: Topic,
    pub partition: u16,
    pub folder: PathBuf,
}

pub(super) struct PartitionReader {
    place: Place,
    until: Until,
    limit: u64,
    handles: Arc<Handles>,
    /// The segment that is being read, while it is open.
    file: Option<Held>,
    /// Which file that is; `None` until there is one.
    id: Option<FileId>,
    /// The first offset of that segment.
    segment: u64,
    /// Whether its file was ever there.
    seen: bool,
    /// The first offsets of segments behind it that were there when it was looked.
    later: VecDeque<u64>,
    /// Where the next frame begins in the segment.
    position: u64,
    /// The chain of the frames before it.
    sum: u64,
    /// The next record's offset.
    offset: u64,
    /// The checksum of the record before it.
    mark: Option<u32>,
    /// Length and head of the frame before `position`, if it was read from this file.
    last: Option<(u64, [u8; frame::HEAD])>,
    /// Bytes of the segment from `position` on.
    window: Window,
    /// Whether the next frame's checksum has been looked at: it may be offered many times.
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
    /// Polls since files were last looked for, in which nothing came.
    idle: u32,
}

impl PartitionReader {
    pub fn open(place: Place, span: Span<'_>, limit: u64, handles: Arc<Handles>) -> Result<Self, LogError> {
        let segments = folder::segments(&place.folder)?;
        let goal = match segments.last() {
            Some(last) => {
                let path = folder::segment(&place.folder, *last);
                (
                    *last,
                    Found::at(&path)
                        .map_err(LogError::io(&path))?
                        .map_or(0, |found| found.bytes),
                )
            }
            None => (0, 0),
        };
        let (topic, partition) = (place.topic, place.partition);
        let from = span.from.next(topic, partition);
        let known = span.known;
        let known = known.map(|offsets| (offsets.next(topic, partition), offsets.mark(topic, partition)));
        let Begin {
            segment,
            id,
            position,
            offset,
            sum,
            mark,
            lost,
            ended: _,
        } = begin(&place.folder, &segments, from, known)?;
        Ok(Self {
            place,
            until: span.until,
            limit,
            handles,
            file: None,
            id,
            segment,
            seen: segments.contains(&segment),
            later: segments.into_iter().filter(|first| *first > segment).collect(),
            position,
            sum,
            offset,
            mark,
            last: None,
            window: Window::default(),
            check: Check::Full,
            goal,
            reached: false,
            searched: None,
            fenced: u64::MAX,
            from,
            lost,
            idle: 0,
        })
    }

    pub const fn name(&self) -> (Topic, u16) {
        (self.place.topic, self.place.partition)
    }

    /// Where its files lie.
    pub fn folder(&self) -> &Path {
        &self.place.folder
    }

    pub fn is_output(&self) -> bool {
        self.place.topic.direction() == Direction::Out
    }

    /// Whether a file of the partition holds anything.
    pub fn has_bytes(&self) -> Result<bool, LogError> {
        guard::has_bytes(&self.place.folder)
    }

    /// Records from this offset on are not there yet.
    pub const fn fence(&mut self, end: u64) {
        self.fenced = end;
    }

    /// The checksum of the record before the next.
    pub const fn mark(&self) -> Option<u32> {
        self.mark
    }

    pub fn lost(&self) -> Option<(Topic, u16, u64, u64)> {
        let first = self.lost?;
        Some((self.place.topic, self.place.partition, self.from, first))
    }

    pub fn caught_up(&self) -> bool {
        self.reached || (self.segment, self.position) >= self.goal
    }

    /// Records of closed segments are counted, those of the last estimated by the mean of what was read of it.
    pub fn lag(&self) -> u64 {
        let (last, bytes) = if self.segment >= self.goal.0 {
            let length = match &self.file {
                Some(held) => held.file.metadata().ok().map(|metadata| metadata.len()),
                None => Found::at(&self.path()).ok().flatten().map(|found| found.bytes),
            };
            (self.segment, length.unwrap_or(self.position))
        } else {
            self.goal
        };
        let closed = last.saturating_sub(self.offset);
        let begin = if last == self.segment { self.position } else { 0 };
        let read = self.offset - self.segment;
        let mean = self.position.checked_div(read).unwrap_or(128).max(1);
        closed + bytes.saturating_sub(begin).div_ceil(mean)
    }

    fn path(&self) -> PathBuf {
        folder::segment(&self.place.folder, self.segment)
    }

    /// Reads more of the segment behind what is at hand. `false` when there is no more.
    fn fill(&mut self) -> Result<bool, LogError> {
        if self.file.is_none() && !self.open_if_longer()? {
            return Ok(false);
        }
        let Some(held) = &self.file else { return Ok(false) };
        let read = self.window.fill(&held.file, self.position);
        Ok(read.map_err(LogError::io(&self.path()))? > 0)
    }

    /// Opens the file if there is more in it than is at hand.
    fn open_if_longer(&mut self) -> Result<bool, LogError> {
        let Some(found) = self.find()? else { return Ok(false) };
        if found.bytes <= self.position + self.window.len() as u64 {
            return Ok(false);
        }
        let path = self.path();
        let file = match File::open(&path) {
            Ok(file) => file,
            // It went between two calls: the next look says so.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(LogError::io(&path)(error)),
        };
        let opened = Found::of(&file.metadata().map_err(LogError::io(&path))?).id;
        if self.id.is_some_and(|id| id != opened) {
            return Ok(false);
        }
        // Where the system gave a new file the name and number of one that is gone.
        if !self.follows(&file).map_err(LogError::io(&path))? {
            let happened = "was exchanged for a file with other records";
            return Err(LogError::Gone { path, happened });
        }
        self.id = Some(opened);
        self.file = Some(Held::new(file, &self.handles));
        Ok(true)
    }

    /// Whether the frame that was read last stands before the next one.
    fn follows(&self, file: &File) -> io::Result<bool> {
        let Some((length, last)) = self.last else {
            return Ok(true);
        };
        let mut head = [0; frame::HEAD];
        let read = file.read_at(&mut head, self.position - length)?;
        Ok(read == frame::HEAD && head == last)
    }

    /// Looks for the segment under its name. `None` where there is none yet.
    ///
    /// # Errors
    ///
    /// When there was one of which something was read, and there is none now, or another, or less of it.
    fn find(&mut self) -> Result<Option<Found>, LogError> {
        let path = self.path();
        let gone = |happened| LogError::Gone {
            path: path.clone(),
            happened,
        };
        let found = Found::at(&path).map_err(LogError::io(&path))?;
        match found {
            // A segment that a writer of outputs has begun and not committed may be taken back.
            None if self.position == 0 && (!self.seen || self.is_output()) => {
                self.id = None;
                self.file = None;
            }
            None if self.relocate()? => return Found::at(&self.path()).map_err(LogError::io(&path)),
            None => return Err(gone("was removed")),
            Some(found) if self.id.is_some_and(|id| id != found.id) => {
                if !self.relocate()? {
                    return Err(gone("was exchanged for a file with other records"));
                }
            }
            Some(found) if found.bytes < self.position => return Err(gone("was cut")),
            Some(_) if !self.seen => {
                self.seen = true;
                self.list()?;
            }
            Some(_) => {}
        }
        Ok(found)
    }

    /// Goes on at the same offset in the file that has it now: a copy of the one that was read, or what compaction made of it
    /// and others. `false` if there is none.
    fn relocate(&mut self) -> Result<bool, LogError> {
        let segments = match folder::segments(&self.place.folder) {
            Err(LogError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            segments => segments?,
        };
        // By the segment that has the record before, where there is one: that tells whether it is the one that was read.
        let before = segments.iter().rfind(|first| **first < self.offset);
        let Some(first) = before
            .or(segments.first().filter(|first| **first == self.offset))
            .copied()
        else {
            return Ok(false);
        };
        let path = folder::segment(&self.place.folder, first);
        let file = File::open(&path).map_err(LogError::io(&path))?;
        let mut walk = Walk::new(&file, &path, u64::MAX);
        let (mut offset, mut compacted, mut mark) = (first, false, None);
        while offset < self.offset {
            let Ok(frame) = walk.next()? else { return Ok(false) };
            offset += frame.records();
            mark = matches!(frame.body, Body::Record { .. }).then_some(frame.sum);
            compacted |= mark.is_none();
        }
        if mark.zip(self.mark).is_some_and(|(found, read)| found != read) {
            return Ok(false);
        }
        let (position, sum) = (walk.position, walk.sum);
        let is_it = if first == self.segment {
            sum == self.sum || compacted
        } else {
            // It must hold the next record, or that must be the first of the segment behind it.
            walk.next()?.is_ok() || segments.contains(&offset)
        };
        if !is_it {
            return Ok(false);
        }
        info!(file = %path.display(), offset, "reading goes on in another file with the same records");
        (self.segment, self.offset, self.position, self.sum) = (first, offset, position, sum);
        self.seen = true;
        self.last = None;
        self.later = segments.into_iter().filter(|later| *later > first).collect();
        self.window.clear();
        self.check = Check::Full;
        self.file = None;
        self.id = Some(Found::of(&file.metadata().map_err(LogError::io(&path))?).id);
        Ok(true)
    }

    /// The file has no more bytes. Goes on to the next segment, or says how things stand.
    fn at_end(&mut self) -> Result<Option<Standing>, LogError> {
        let torn = self.window.len() > 0;
        // A writer that recovers cuts a torn record off and writes another in its place: read it again next time.
        self.window.clear();
        if self.next_segment(torn)? {
            return Ok(None);
        }
        if self.offset < self.from {
            return Err(LogError::Gap {
                path: self.place.folder.clone(),
                found: self.offset,
                wanted: self.from,
            });
        }
        self.reached = true;
        self.idle += 1;
        if self.idle >= LOOK_EVERY {
            self.idle = 0;
            let before = (self.position, self.offset);
            self.look()?;
            if before != (self.position, self.offset) || !self.later.is_empty() {
                return Ok(None);
            }
        }
        Ok(Some(self.waiting()))
    }

    /// Looks whether the files are still there, and for segments that came.
    fn look(&mut self) -> Result<(), LogError> {
        self.find()?;
        self.list()
    }

    /// Looks for segments behind the one that is read.
    fn list(&mut self) -> Result<(), LogError> {
        match folder::segments(&self.place.folder) {
            Ok(segments) => {
                self.later = segments.into_iter().filter(|first| *first > self.segment).collect();
                Ok(())
            }
            Err(LogError::Io { path, error }) if error.kind() == io::ErrorKind::NotFound => Err(LogError::Gone {
                path,
                happened: "was removed",
            }),
            Err(error) => Err(error),
        }
    }

    /// Goes on to the segment behind this one, if it is there. Asked for only where there can be one. Its name is
    /// the next offset, so it cannot be taken for the next before all of this one is read.
    fn next_segment(&mut self, torn: bool) -> Result<bool, LogError> {
        // What a segment before it holds, too: compaction put them together, and did not come to removing it.
        while self.later.pop_front_if(|first| *first < self.offset).is_some() {}
        match self.later.front() {
            Some(_) if torn => return Err(self.damaged()),
            Some(first) if *first != self.offset => return self.other_segment(*first),
            Some(_) => {}
            None if self.position >= self.limit => {
                let path = folder::segment(&self.place.folder, self.offset);
                if Found::at(&path).map_err(LogError::io(&path))?.is_none() {
                    return self.is_compacted(torn);
                }
            }
            None => return Ok(false),
        }
        // The file that is open may be gone from its place, and what comes next be that of another.
        if self.file.is_some() {
            let before = (self.segment, self.position, self.offset);
            self.find()?;
            if before != (self.segment, self.position, self.offset) {
                return Ok(true);
            }
        }
        self.later.pop_front();
        self.file = None;
        self.id = None;
        self.segment = self.offset;
        self.seen = true;
        self.last = None;
        (self.position, self.sum) = (0, 0);
        Ok(true)
    }

    /// There is no segment behind one that is full: it is not begun yet, or what was read is the file that compaction has
    /// put another in the place of. Looked at once, then as often as all files.
    fn is_compacted(&mut self, torn: bool) -> Result<bool, LogError> {
        if self.idle > 0 {
            return Ok(false);
        }
        self.list()?;
        if self.later.is_empty() {
            return Ok(false);
        }
        self.next_segment(torn)
    }

    /// The segment that was to come next begins elsewhere: compaction put some together, or a writer took them back, or
    /// records are missing.
    fn other_segment(&mut self, found: u64) -> Result<bool, LogError> {
        // What compaction made has the name of the first that it put together.
        let before = (self.segment, self.id);
        if self.relocate()?
            && ((self.segment, self.id) != before || self.later.front().is_none_or(|first| *first == self.offset))
        {
            return Ok(true);
        }
        Err(LogError::Gap {
            path: self.place.folder.clone(),
            found,
            wanted: self.offset,
        })
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

    /// No frame stands where one should: a torn tail if none follows, else damage.
    fn bad(&mut self, skip: usize) -> Result<Standing, LogError> {
        self.window.clear();
        let path = self.path();
        let Some(held) = &self.file else {
            return Ok(self.waiting());
        };
        let length = held.file.metadata().map_err(LogError::io(&path))?.len();
        if self.searched != Some(length) {
            if !self.later.is_empty() || whole_behind(&held.file, &path, self.position + skip as u64)? {
                return Err(self.damaged());
            }
            tracing::warn!(
                file = %path.display(), byte = self.position, bytes = length - self.position.min(length),
                "the end of the file is no whole record: it is waited for, and the next writer cuts it off"
            );
            self.searched = Some(length);
        }
        self.reached = true;
        Ok(self.waiting())
    }

    fn read(
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
            let frame = match frame::parse(self.window.bytes(), self.check) {
                Parsed::Whole(frame) => frame,
                Parsed::Torn => {
                    if !self.fill()?
                        && let Some(standing) = self.at_end()?
                    {
                        return Ok(standing);
                    }
                    continue;
                }
                Parsed::Bad { skip } => return Ok(self.bad(skip)?),
            };
            let (length, records) = (frame.length(), frame.records());
            if bounded && (self.segment, self.position + length as u64) > self.goal {
                self.reached = true;
                return Ok(Standing::Ended);
            }
            if self.offset >= self.fenced {
                // Not committed: it may be taken back and another written in its place.
                self.window.clear();
                self.reached = true;
                return Ok(self.waiting());
            }
            let mut mark = None;
            if let Body::Record { key, payload } = frame.body {
                mark = Some(frame.sum);
                let record = RawRecord {
                    topic: self.place.topic,
                    partition: self.place.partition,
                    offset: self.offset,
                    arrival: Some(frame.arrival),
                    exercise: false,
                    key,
                    payload,
                };
                if self.offset >= self.from {
                    if offer(record) == Verdict::NotYet {
                        self.check = Check::Done;
                        return Ok(Standing::Blocked);
                    }
                    *left -= 1;
                }
            }
            self.sum = chain(self.sum, &frame);
            self.mark = mark;
            self.last = Some((length as u64, frame.head()));
            self.check = Check::Full;
            self.idle = 0;
            self.window.pass(length);
            self.position += length as u64;
            self.offset += records;
        }
    }
}

impl Lane for PartitionReader {
    fn drain(
        &mut self,
        left: &mut usize,
        offer: &mut dyn FnMut(RawRecord<'_>) -> Verdict,
    ) -> Result<Standing, SourceError> {
        let standing = self.read(left, offer);
        if self.file.as_ref().is_some_and(|held| !held.may_stay()) {
            self.file = None;
            if self.window.len() == 0 {
                self.window.release();
            }
        }
        standing
    }
}
