use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use riskflow_model::{Key, Millis};
use tracing::warn;

use super::commits::Sealed;
use super::error::LogError;
use super::folder;
use super::frame;
use super::handles::{FileId, Found, Handles, Held};
use super::segment::SEGMENT_BYTES;
use super::segment::{Summary, Walk};
use crate::lock::Lock;

/// Appended records go to the file when this many bytes are at hand, or at [`LogWriter::flush`].
const BUFFER_BYTES: usize = 256 << 10;

/// Appends to all partitions of one input topic. There is one at a time: a second is refused.
///
/// Dropping it writes what is buffered, unsynced.
pub struct LogWriter {
    partitions: Vec<PartitionWriter>,
    _lock: Lock,
}

impl LogWriter {
    /// Opens a topic, and makes it with `partitions` partitions if it is not there; one that is there keeps its number.
    /// Cuts off torn tails.
    ///
    /// # Errors
    ///
    /// When another writer has it, the last segment of a partition is damaged, or the system refuses.
    pub fn open(folder: &Path, topic_name: &str, partitions: u16) -> Result<Self, LogError> {
        Self::open_with(folder, topic_name, partitions, (SEGMENT_BYTES, Handles::shared()))
    }

    pub(super) fn open_with(
        folder: &Path,
        topic_name: &str,
        partitions: u16,
        (limit, handles): (u64, Arc<Handles>),
    ) -> Result<Self, LogError> {
        let topic = folder.join(topic_name);
        folder::written_by_its_user(&[folder, &topic])?;
        let count = folder::partitions(&topic)?.unwrap_or(partitions.max(1));
        folder::make(&topic, count)?;
        let lock = folder::lock(&topic, Lock::alone)?;
        let open =
            |partition: u16| PartitionWriter::recover(topic.join(partition.to_string()), limit, Arc::clone(&handles));
        Ok(Self {
            partitions: (0..count).map(open).collect::<Result<_, _>>()?,
            _lock: lock,
        })
    }

    /// How many partitions the topic has.
    #[must_use]
    pub fn partitions(&self) -> u16 {
        self.partitions.len() as u16
    }

    /// The partition that records of this key belong to; 0 without a key.
    #[must_use]
    pub fn partition_of(&self, key: Option<&[u8]>) -> u16 {
        partition_of(key, self.partitions.len())
    }

    /// Appends a record and returns its offset. It reaches the file at the next [`LogWriter::flush`] at the latest.
    ///
    /// `arrival` is raised to that of the record before it where it is less.
    ///
    /// # Errors
    ///
    /// When the record is too large (then nothing is appended), or the file cannot be written (then it is kept, and
    /// written with the next).
    ///
    /// # Panics
    ///
    /// When there is no such partition.
    pub fn append(
        &mut self,
        partition: u16,
        arrival: Millis,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
    ) -> Result<u64, LogError> {
        self.partitions[usize::from(partition)].append(arrival, key, payload)
    }

    /// Writes what is buffered, so that readers see it.
    ///
    /// # Errors
    ///
    /// When a file cannot be written; what is left stays buffered.
    pub fn flush(&mut self) -> Result<(), LogError> {
        self.partitions.iter_mut().try_for_each(PartitionWriter::flush)
    }

    /// Writes what is buffered and waits until it is on disk.
    ///
    /// # Errors
    ///
    /// When a file cannot be written or synced.
    pub fn sync(&mut self) -> Result<(), LogError> {
        self.partitions.iter_mut().try_for_each(PartitionWriter::sync)
    }
}

/// The partition, among so many, that records of this key belong to; 0 without a key.
pub(super) fn partition_of(key: Option<&[u8]>, partitions: usize) -> u16 {
    let route = key.map_or(0, |key| Key::of_bytes(key).route());
    (route % partitions as u64) as u16
}

/// Appends to one partition. Whoever has it holds the lock of the partition or of its topic.
pub(super) struct PartitionWriter {
    folder: PathBuf,
    limit: u64,
    handles: Arc<Handles>,
    /// The segments before the one that is written to, where they are kept account of.
    closed: Vec<Sealed>,
    /// The segment that is written to: with what is buffered, but for its length, which is that of the file.
    open: Sealed,
    /// Which file that is, once it is there.
    id: Option<FileId>,
    file: Option<Held>,
    buffer: Vec<u8>,
    unsynced: bool,
}

impl PartitionWriter {
    /// Goes on behind the last whole record that is in the files, and cuts off what a crash left behind it. Makes the first file
    /// if there is none.
    pub fn recover(folder: PathBuf, limit: u64, handles: Arc<Handles>) -> Result<Self, LogError> {
        let firsts = folder::segments(&folder)?;
        let first = firsts.last().copied().unwrap_or(0);
        let mut writer = Self::new(folder, limit, handles, Vec::new());
        writer.open = Sealed::begin(first, Millis(i64::MIN));
        writer.hold()?;
        writer.catch_up()?;
        if let (0, [.., before, _]) = (writer.open.bytes, firsts.as_slice()) {
            // A crash right after the roll: the segment before has at least one record.
            let path = folder::segment(&writer.folder, *before);
            let file = File::open(&path).map_err(LogError::io(&path))?;
            let before = Summary::of(&file, &path, u64::MAX)?.arrival;
            writer.open.arrival = before.unwrap_or(writer.open.arrival);
        }
        writer.let_go();
        Ok(writer)
    }

    /// Goes on behind these segments, which are in the folder, and nothing else.
    pub fn behind(folder: PathBuf, limit: u64, handles: Arc<Handles>, segments: Vec<Sealed>) -> Self {
        Self::new(folder, limit, handles, segments)
    }

    fn new(folder: PathBuf, limit: u64, handles: Arc<Handles>, mut segments: Vec<Sealed>) -> Self {
        Self {
            folder,
            limit,
            handles,
            open: segments.pop().unwrap_or(Sealed::begin(0, Millis(i64::MIN))),
            closed: segments,
            id: None,
            file: None,
            buffer: Vec::new(),
            unsynced: false,
        }
    }

    fn path(&self) -> PathBuf {
        self.segment(self.open.first)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file of the segment that begins with this offset.
    pub fn segment(&self, first: u64) -> PathBuf {
        folder::segment(&self.folder, first)
    }

    /// All segments, as they are once it is synced; none where there is no record.
    pub fn segments(&self) -> Vec<Sealed> {
        let mut segments = self.closed.clone();
        if self.open.bytes > 0 {
            segments.push(self.open.clone());
        }
        segments
    }

    /// The segments that are not written to any more.
    pub fn closed(&self) -> &[Sealed] {
        &self.closed
    }

    /// Lets other segments stand for the first so many closed ones.
    pub fn replace_closed(&mut self, count: usize, by: Option<Sealed>) {
        self.closed.splice(..count, by);
    }

    pub fn append(&mut self, arrival: Millis, key: Option<&[u8]>, payload: Option<&[u8]>) -> Result<u64, LogError> {
        if self.open.bytes + self.buffer.len() as u64 >= self.limit {
            self.roll()?;
        }
        let arrival = arrival.max(self.open.arrival);
        let sum = frame::append(&mut self.buffer, arrival, key, payload, self.open.sum)?;
        let offset = self.open.end;
        self.open.follow(sum, 1, arrival);
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(offset)
    }

    pub fn flush(&mut self) -> Result<(), LogError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.check()?;
        let at = self.open.bytes;
        let path = self.path();
        self.hold()?;
        let held = self.held();
        // At a position, not at the end: after a failure in the middle the next attempt writes over the same bytes.
        held.file.write_all_at(&self.buffer, at).map_err(LogError::io(&path))?;
        let may_stay = held.may_stay();
        self.open.bytes += self.buffer.len() as u64;
        self.buffer.clear();
        self.unsynced = true;
        if may_stay { Ok(()) } else { self.sync_file() }
    }

    pub fn sync(&mut self) -> Result<(), LogError> {
        self.flush()?;
        if self.unsynced { self.sync_file() } else { Ok(()) }
    }

    fn sync_file(&mut self) -> Result<(), LogError> {
        let path = self.path();
        self.hold()?;
        self.held().file.sync_data().map_err(LogError::sync(&path))?;
        self.unsynced = false;
        self.let_go();
        Ok(())
    }

    /// Closes the file if it may not stay open.
    fn let_go(&mut self) {
        self.file.take_if(|held| !held.may_stay());
    }

    /// Opens the file if it is not open; makes it if there is no record in it.
    fn hold(&mut self) -> Result<(), LogError> {
        let path = self.path();
        if self.file.is_none() {
            let makes = self.open.bytes == 0;
            let known = path.exists();
            let file = OpenOptions::new().read(true).write(true).create(makes).open(&path);
            let file = file.map_err(LogError::io(&path))?;
            if !known {
                folder::sync(&self.folder)?;
            }
            self.id = Some(Found::of(&file.metadata().map_err(LogError::io(&path))?).id);
            self.file = Some(Held::new(file, &self.handles));
        }
        Ok(())
    }

    fn held(&self) -> &Held {
        self.file.as_ref().expect("the file is opened before it is used")
    }

    /// Whether the file is still there, and as long as it was left.
    ///
    /// # Errors
    ///
    /// When it is not.
    pub fn check(&self) -> Result<(), LogError> {
        if self.open.bytes == 0 {
            return Ok(());
        }
        let path = self.path();
        let happened = match Found::at(&path).map_err(LogError::io(&path))? {
            None => "was removed",
            Some(found) if self.id.is_some_and(|known| known != found.id) => "was exchanged for another file",
            Some(found) if found.bytes < self.open.bytes => "was cut",
            Some(_) => return Ok(()),
        };
        Err(LogError::Gone { path, happened })
    }

    /// Takes back everything that is not committed.
    ///
    /// # Errors
    ///
    /// When a segment cannot be shortened or removed, or is not there.
    pub fn rewind(&mut self, committed: &[Sealed]) -> Result<(), LogError> {
        self.buffer.clear();
        self.file = None;
        self.unsynced = false;
        let (last, closed) = match committed {
            [closed @ .., last] => (Some(last), closed),
            [] => (None, &[][..]),
        };
        // The last first: what is left after a crash is void all the same.
        let begun = folder::segments(&self.folder)?;
        for first in begun.into_iter().rev() {
            if last.is_none_or(|last| first > last.first) {
                folder::remove(&folder::segment(&self.folder, first))?;
            }
        }
        if self.open.first != last.map_or(0, |last| last.first) {
            self.id = None;
        }
        self.open = last.cloned().unwrap_or(Sealed::begin(0, Millis(i64::MIN)));
        self.closed = closed.to_vec();
        if self.open.bytes > 0 {
            let (path, bytes) = (self.path(), self.open.bytes);
            self.hold()?;
            let held = self.held();
            held.file.set_len(bytes).map_err(LogError::io(&path))?;
            held.file.sync_all().map_err(LogError::sync(&path))?;
            self.let_go();
        }
        folder::sync(&self.folder)
    }

    fn roll(&mut self) -> Result<(), LogError> {
        self.sync()?;
        let next = Sealed::begin(self.open.end, self.open.arrival);
        self.closed.push(std::mem::replace(&mut self.open, next));
        self.file = None;
        self.id = None;
        Ok(())
    }

    /// Whether the file is the last of the partition, and the one that was written to: others may have gone on meanwhile,
    /// and a topic that was made anew has other files under the same names.
    pub fn is_current(&self) -> Result<bool, LogError> {
        let last = folder::segments(&self.folder)?.last().copied();
        let path = self.path();
        let found = Found::at(&path).map_err(LogError::io(&path))?;
        let same = found.is_some_and(|found| Some(found.id) == self.id && found.bytes >= self.open.bytes);
        Ok(last == Some(self.open.first) && same)
    }

    /// Reads what others appended, and cuts a torn record off.
    pub fn catch_up(&mut self) -> Result<(), LogError> {
        let path = self.path();
        let (bytes, sum) = (self.open.bytes, self.open.sum);
        self.hold()?;
        let file = &self.held().file;
        let length = file.metadata().map_err(LogError::io(&path))?.len();
        let summary = Summary::recovered(Walk::new(file, &path, u64::MAX).from(bytes, sum))?;
        if summary.bytes < length {
            warn!(file = %path.display(), byte = summary.bytes, "cut off a torn record");
            file.set_len(summary.bytes).map_err(LogError::io(&path))?;
            file.sync_all().map_err(LogError::sync(&path))?;
        }
        self.open.bytes = summary.bytes;
        self.open.end += summary.records;
        self.open.sum = summary.sum;
        self.open.arrival = summary.arrival.unwrap_or(self.open.arrival);
        Ok(())
    }

    /// Leaves aside what is not in the file yet.
    pub fn forget_buffered(&mut self) {
        self.buffer.clear();
    }
}

impl Drop for PartitionWriter {
    fn drop(&mut self) {
        if let Err(error) = self.flush() {
            warn!(file = %self.path().display(), %error, "could not write the last records of a log");
        }
    }
}
