use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use riskflow_model::{Key, Millis};
use tracing::warn;

use super::frame::{self, Check, Parsed};
use super::{LogError, SEGMENT_BYTES, folder};

/// Appended records go to the file when this many bytes are at hand, or at [`LogWriter::flush`].
const BUFFER_BYTES: usize = 256 << 10;

/// Appends to all partitions of one topic. There is one at a time: a second is refused.
///
/// Dropping it writes what is buffered, unsynced.
pub struct LogWriter {
    partitions: Vec<PartitionWriter>,
}

impl LogWriter {
    /// Opens a topic, and makes it with `partitions` partitions if it is not there; one that is there keeps its number.
    /// Cuts off torn tails.
    ///
    /// # Errors
    ///
    /// When another writer has it, the last segment of a partition is damaged, or the system refuses.
    pub fn open(folder: &Path, topic_name: &str, partitions: u16) -> Result<Self, LogError> {
        Self::open_with(folder, topic_name, partitions, SEGMENT_BYTES)
    }

    pub(super) fn open_with(folder: &Path, topic_name: &str, partitions: u16, limit: u64) -> Result<Self, LogError> {
        let topic = folder.join(topic_name);
        let count = folder::partitions(&topic)?.unwrap_or(partitions.max(1));
        let partitions = (0..count).map(|partition| PartitionWriter::open(topic.join(partition.to_string()), limit));
        Ok(Self {
            partitions: partitions.collect::<Result<_, _>>()?,
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

    /// The offset that the next record of a partition will have.
    ///
    /// # Panics
    ///
    /// When there is no such partition.
    #[must_use]
    pub fn next(&self, partition: u16) -> u64 {
        self.partitions[usize::from(partition)].next
    }

    /// Takes back all records from this offset on. Nothing is done where there are none.
    ///
    /// # Errors
    ///
    /// When a segment cannot be read, shortened or removed.
    ///
    /// # Panics
    ///
    /// When there is no such partition.
    pub fn cut(&mut self, partition: u16, end: u64) -> Result<(), LogError> {
        self.partitions[usize::from(partition)].cut(end)
    }

    /// Deletes closed segments that hold only records before this offset.
    ///
    /// # Errors
    ///
    /// When a segment cannot be removed.
    ///
    /// # Panics
    ///
    /// When there is no such partition.
    pub fn drop_before(&mut self, partition: u16, offset: u64) -> Result<(), LogError> {
        let folder = &self.partitions[usize::from(partition)].folder;
        let firsts = folder::segments(folder)?;
        // A segment ends where the next begins; the last one is open.
        for (first, next) in firsts.iter().zip(firsts.iter().skip(1)) {
            if *next > offset {
                break;
            }
            let path = folder::segment(folder, *first);
            fs::remove_file(&path).map_err(LogError::io(&path))?;
        }
        Ok(())
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

pub(super) struct PartitionWriter {
    folder: PathBuf,
    /// Closing it gives the lock back; `None` after [`PartitionWriter::release`].
    lock: Option<File>,
    file: File,
    path: PathBuf,
    /// Bytes of the segment that are in the file.
    written: u64,
    buffer: Vec<u8>,
    /// The offset of the next record.
    next: u64,
    /// Of the last record.
    arrival: Millis,
    unsynced: bool,
    limit: u64,
}

impl PartitionWriter {
    pub(super) fn open(folder: PathBuf, limit: u64) -> Result<Self, LogError> {
        if !folder.exists() {
            fs::create_dir_all(&folder).map_err(LogError::io(&folder))?;
            // The partition in its topic, the topic in the log.
            folder.ancestors().skip(1).take(2).try_for_each(sync_folder)?;
        }
        let lock = lock(&folder.join("lock"))?;
        let firsts = folder::segments(&folder)?;
        let first = firsts.last().copied().unwrap_or(0);
        let path = folder::segment(&folder, first);
        let file = open_segment(&folder, &path)?;
        let tail = Tail::of(&path)?;
        if file.metadata().map_err(LogError::io(&path))?.len() > tail.bytes {
            warn!(file = %path.display(), byte = tail.bytes, "cut off a torn record");
            file.set_len(tail.bytes).map_err(LogError::io(&path))?;
            file.sync_all().map_err(|error| LogError::Sync {
                path: path.clone(),
                error,
            })?;
        }
        let mut arrival = tail.arrival;
        if let (None, [.., before, _]) = (arrival, firsts.as_slice()) {
            // A crash right after the roll: the segment before has at least one record.
            arrival = Tail::of(&folder::segment(&folder, *before))?.arrival;
        }
        Ok(Self {
            folder,
            lock: Some(lock),
            file,
            path,
            written: tail.bytes,
            buffer: Vec::with_capacity(BUFFER_BYTES),
            next: first + tail.records,
            arrival: arrival.unwrap_or(Millis(i64::MIN)),
            unsynced: false,
            limit,
        })
    }

    /// Gives the lock back, and keeps what is known of the partition for [`PartitionWriter::resume`].
    pub(super) fn release(&mut self) {
        self.lock = None;
    }

    /// Takes the lock again. Others may have written meanwhile: what they appended is read, not the whole segment. `false` when
    /// another segment is the last one now: open the partition anew.
    pub(super) fn resume(&mut self) -> Result<bool, LogError> {
        let lock = lock(&self.folder.join("lock"))?;
        let last = folder::segments(&self.folder)?.last().copied();
        let path = last.map(|first| folder::segment(&self.folder, first));
        let grown = match fs::metadata(&self.path).ok().zip(self.file.metadata().ok()) {
            // A topic that was made anew has other files under the same names.
            Some((named, open)) if path.as_ref() == Some(&self.path) && named.ino() == open.ino() => {
                open.len().checked_sub(self.written)
            }
            _ => None,
        };
        let Some(grown) = grown else { return Ok(false) };
        self.catch_up(grown as usize)?;
        self.lock = Some(lock);
        Ok(true)
    }

    /// Reads what lies behind the bytes that are known, and cuts a torn record off.
    fn catch_up(&mut self, grown: usize) -> Result<(), LogError> {
        let mut content = vec![0; grown];
        let read = self.file.read_exact_at(&mut content, self.written);
        read.map_err(LogError::io(&self.path))?;
        let tail = Tail::parse(&content, u64::MAX).map_err(|byte| LogError::Damaged {
            path: self.path.clone(),
            byte: self.written + byte,
        })?;
        self.written += tail.bytes;
        self.next += tail.records;
        self.arrival = tail.arrival.unwrap_or(self.arrival);
        if tail.bytes < grown as u64 {
            warn!(file = %self.path.display(), byte = self.written, "cut off a torn record");
            self.file.set_len(self.written).map_err(LogError::io(&self.path))?;
            self.unsynced = true;
        }
        Ok(())
    }

    /// Leaves aside what is not in the file yet.
    pub(super) fn forget_buffered(&mut self) {
        self.buffer.clear();
    }

    pub(super) fn append(
        &mut self,
        arrival: Millis,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
    ) -> Result<u64, LogError> {
        if self.written + self.buffer.len() as u64 >= self.limit {
            self.roll()?;
        }
        let arrival = arrival.max(self.arrival);
        frame::append(&mut self.buffer, arrival, key, payload)?;
        self.arrival = arrival;
        let offset = self.next;
        self.next += 1;
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(offset)
    }

    fn flush(&mut self) -> Result<(), LogError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        // At a position, not at the end: after a failure in the middle the next attempt writes over the same bytes.
        self.file
            .write_all_at(&self.buffer, self.written)
            .map_err(LogError::io(&self.path))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        self.unsynced = true;
        Ok(())
    }

    pub(super) fn sync(&mut self) -> Result<(), LogError> {
        self.flush()?;
        if self.unsynced {
            self.file.sync_data().map_err(|error| LogError::Sync {
                path: self.path.clone(),
                error,
            })?;
            self.unsynced = false;
        }
        Ok(())
    }

    fn cut(&mut self, end: u64) -> Result<(), LogError> {
        if self.next <= end {
            return Ok(());
        }
        self.flush()?;
        let firsts = folder::segments(&self.folder)?;
        // The last first: what is left after a crash is whole up to some later offset, and is cut again.
        for first in firsts.iter().rev().filter(|first| **first > end) {
            let path = folder::segment(&self.folder, *first);
            fs::remove_file(&path).map_err(LogError::io(&path))?;
        }
        let first = firsts.into_iter().rfind(|first| *first <= end).unwrap_or(0);
        let path = folder::segment(&self.folder, first);
        self.file = open_segment(&self.folder, &path)?;
        let tail = Tail::of_first(&path, end - first)?;
        self.file.set_len(tail.bytes).map_err(LogError::io(&path))?;
        warn!(file = %path.display(), from = end, to = self.next, "took back records that were not committed");
        self.path = path;
        self.written = tail.bytes;
        self.next = first + tail.records;
        self.arrival = tail.arrival.unwrap_or(Millis(i64::MIN));
        self.unsynced = true;
        self.sync()?;
        sync_folder(&self.folder)
    }

    fn roll(&mut self) -> Result<(), LogError> {
        self.sync()?;
        let path = folder::segment(&self.folder, self.next);
        self.file = open_segment(&self.folder, &path)?;
        self.path = path;
        self.written = 0;
        Ok(())
    }
}

impl Drop for PartitionWriter {
    fn drop(&mut self) {
        if let Err(error) = self.flush() {
            warn!(file = %self.path.display(), %error, "could not write the last records of a log");
        }
    }
}

fn lock(path: &Path) -> Result<File, LogError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(LogError::io(path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LogError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(LogError::Io {
            path: path.to_owned(),
            error,
        }),
    }
}

/// Opens a segment; one that is new is in its folder for good.
fn open_segment(folder: &Path, path: &Path) -> Result<File, LogError> {
    let known = path.exists();
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
        .map_err(LogError::io(path))?;
    if !known {
        sync_folder(folder)?;
    }
    Ok(file)
}

/// Makes new entries of a folder last.
fn sync_folder(folder: &Path) -> Result<(), LogError> {
    // The parent of a relative path of one part is written as nothing.
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| LogError::Sync {
        path: folder.to_owned(),
        error,
    })
}

/// What a segment holds.
pub(super) struct Tail {
    /// Of its whole records together.
    bytes: u64,
    pub records: u64,
    arrival: Option<Millis>,
}

impl Tail {
    pub fn of(path: &Path) -> Result<Self, LogError> {
        Self::of_first(path, u64::MAX)
    }

    /// The first so many records.
    fn of_first(path: &Path, limit: u64) -> Result<Self, LogError> {
        let content = fs::read(path).map_err(LogError::io(path))?;
        Self::parse(&content, limit).map_err(|byte| LogError::Damaged {
            path: path.to_owned(),
            byte,
        })
    }

    /// What stands at the beginning of some bytes; where they are damaged, as an error.
    fn parse(content: &[u8], limit: u64) -> Result<Self, u64> {
        let mut tail = Self {
            bytes: 0,
            records: 0,
            arrival: None,
        };
        let mut rest = content;
        loop {
            match frame::parse(rest, Check::Full) {
                Parsed::Whole(_) if tail.records == limit => return Ok(tail),
                Parsed::Whole(frame) => {
                    tail.bytes += frame.length as u64;
                    tail.records += 1;
                    tail.arrival = Some(frame.arrival);
                    rest = &rest[frame.length..];
                }
                Parsed::Torn => return Ok(tail),
                Parsed::Bad { skip } if frame::any_whole(&rest[skip..]) => return Err(tail.bytes),
                Parsed::Bad { .. } => return Ok(tail),
            }
        }
    }
}
