//! Compaction: of a table's closed segments only what still counts, in one file.
//!
//! Of each key the last record stays; what goes leaves a gap, so that offsets stay. A tombstone stays for a time, for readers that
//! are behind. All closed segments from the first on are put together: what is older than a record that goes is gone
//! with it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use riskflow_model::{Key, Millis};

use super::commits::Sealed;
use super::error::LogError;
use super::folder;
use super::frame::{self, Body, Frame};
use super::segment::{End, Walk};

/// Bytes a second: what is written here shares a disk, and its flushes, with the epochs that are committed meanwhile.
const RATE: f64 = 64e6;

/// What a record means to a table.
pub(super) enum Row {
    /// It stands for a row, until another of at least the same rank, or a deletion, does.
    Upsert(Key, u32),
    /// It deletes the row.
    Delete(Key),
    /// It is none.
    None,
}

/// How records are read: key and payload.
pub(super) type Reading<'a> = &'a dyn Fn(u64, &Frame<'_>) -> Row;

/// Whether so many bytes of closed segments, the first of them by itself, are worth it: as much came as was left the last
/// time. So each byte is written a bounded number of times, and at most half of a table is waste.
pub(super) fn is_due(bytes: impl IntoIterator<Item = u64>) -> bool {
    let mut bytes = bytes.into_iter();
    bytes.next().is_some_and(|first| {
        let others: u64 = bytes.sum();
        others > 0 && others >= first
    })
}

/// Writes what still counts of these segments, from the first of the partition on, to a file beside them, synced. Records without
/// meaning and tombstones that arrived before `keep_from` go. `None`: it was stopped.
///
/// # Errors
///
/// When a segment is damaged, or one cannot be read or written.
pub(super) fn compact(
    folder: &Path,
    firsts: &[u64],
    keep_from: Millis,
    reading: Reading<'_>,
    stop: &AtomicBool,
) -> Result<Option<Sealed>, LogError> {
    let mut last: BTreeMap<Key, (u32, u64)> = BTreeMap::new();
    let noted = each(folder, firsts, stop, &mut |offset, frame| {
        match reading(offset, frame) {
            Row::Upsert(key, rank) => {
                let stands = last.entry(key).or_insert((rank, offset));
                if rank >= stands.0 {
                    *stands = (rank, offset);
                }
            }
            Row::Delete(key) => {
                last.insert(key, (0, offset));
            }
            Row::None => {}
        }
        Ok(())
    })?;
    let (Some(first), Some(_)) = (firsts.first(), noted) else {
        return Ok(None);
    };
    let path = folder::compacted(folder, *first);
    let file = OpenOptions::new().create(true).truncate(true).write(true).open(&path);
    let file = file.map_err(LogError::io(&path))?;
    let mut out = Out {
        path: &path,
        file: BufWriter::new(file),
        gap: 0,
        gone: Millis(i64::MIN),
        sealed: Sealed::begin(*first, Millis(i64::MIN)),
        began: Instant::now(),
    };
    let written = each(folder, firsts, stop, &mut |offset, frame| {
        let stands = |key: &Key| last.get(key).is_some_and(|(_, last)| *last == offset);
        let stays = match reading(offset, frame) {
            Row::Upsert(key, _) => stands(&key),
            Row::Delete(key) => stands(&key) && frame.arrival >= keep_from,
            Row::None => frame.arrival >= keep_from,
        };
        out.write(frame, stays && matches!(frame.body, Body::Record { .. }))
    })?;
    if written.is_none() {
        drop(out);
        folder::remove(&path)?;
        return Ok(None);
    }
    out.finish().map(Some)
}

/// Shows every frame of these segments with its offset. `None`: it was stopped.
fn each(
    folder: &Path,
    firsts: &[u64],
    stop: &AtomicBool,
    show: &mut dyn FnMut(u64, &Frame<'_>) -> Result<(), LogError>,
) -> Result<Option<()>, LogError> {
    let mut offset = firsts.first().copied().unwrap_or(0);
    for first in firsts {
        // What the one before it holds, too.
        if *first < offset {
            continue;
        }
        if *first > offset {
            return Err(LogError::Gap {
                path: folder.to_owned(),
                found: *first,
                wanted: offset,
            });
        }
        let path = folder::segment(folder, *first);
        let file = File::open(&path).map_err(LogError::io(&path))?;
        let mut walk = Walk::new(&file, &path, u64::MAX);
        loop {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            match walk.next()? {
                Ok(frame) => {
                    let records = frame.records();
                    show(offset, &frame)?;
                    offset += records;
                }
                Err(End::Clean) => break,
                Err(End::Torn | End::Bad { .. }) => {
                    let byte = walk.position;
                    return Err(LogError::Damaged { path, byte });
                }
            }
        }
    }
    Ok(Some(()))
}

struct Out<'a> {
    path: &'a Path,
    file: BufWriter<File>,
    /// So many records went since the last that stayed.
    gap: u64,
    /// The arrival of the last of them.
    gone: Millis,
    sealed: Sealed,
    began: Instant,
}

impl Out<'_> {
    fn write(&mut self, frame: &Frame<'_>, stays: bool) -> Result<(), LogError> {
        if !stays {
            self.gap += frame.records();
            self.gone = frame.arrival;
            return Ok(());
        }
        self.close_gap()?;
        let sum = frame::chain(self.sealed.sum, frame);
        self.sealed.follow(sum, frame.records(), frame.arrival);
        self.put(frame.bytes)
    }

    fn close_gap(&mut self) -> Result<(), LogError> {
        let records = std::mem::take(&mut self.gap);
        if records == 0 {
            return Ok(());
        }
        let mut bytes = Vec::new();
        let sum = frame::append_gap(&mut bytes, self.gone, records, self.sealed.sum);
        self.sealed.follow(sum, records, self.gone);
        self.put(&bytes)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), LogError> {
        self.file.write_all(bytes).map_err(LogError::io(self.path))?;
        self.sealed.bytes += bytes.len() as u64;
        let due = Duration::from_secs_f64(self.sealed.bytes as f64 / RATE);
        if let Some(early) = due
            .checked_sub(self.began.elapsed())
            .filter(|early| early.as_millis() > 5)
        {
            std::thread::sleep(early);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Sealed, LogError> {
        self.close_gap()?;
        let file = self
            .file
            .into_inner()
            .map_err(|error| LogError::io(self.path)(error.into_error()))?;
        file.sync_all().map_err(LogError::sync(self.path))?;
        Ok(self.sealed)
    }
}
