//! Checks that the segments of an output partition are those that were committed.
//!
//! When the output is opened, every committed segment must be there with the bytes that were committed. Otherwise the start is
//! refused and the segment named; or, if the operator says so, it is given up, and its offsets become a gap. Data after the
//! last commit is void and removed: the rest of a segment, and segments that are not listed, whatever they hold.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use riskflow_model::Millis;
use tracing::warn;

use super::commits::Sealed;
use super::error::LogError;
use super::folder;
use super::frame;
use super::handles::Found;
use super::segment::{Summary, Walk};

/// A file may be changed again within the same tick of the clock that dates its changes.
const TICK: Duration = Duration::from_secs(1);

/// What to do about what is lost.
pub(super) enum Loss<'a> {
    Refuse,
    /// Go on without it, and tell what it was.
    Accept(&'a mut Vec<String>),
}

impl Loss<'_> {
    /// How much was told.
    pub fn told(&self) -> usize {
        match self {
            Loss::Refuse => 0,
            Loss::Accept(told) => told.len(),
        }
    }

    pub fn tell(&mut self, what: &str) {
        if let Loss::Accept(told) = self {
            told.push(what.to_owned());
        }
    }
}

/// Makes the folder hold what is committed and nothing else. Returns the segments, as seen now.
///
/// # Errors
///
/// When something of it is not there, or another.
pub(super) fn restore(folder: &Path, committed: &[Sealed], loss: &mut Loss<'_>) -> Result<Vec<Sealed>, LogError> {
    if !folder.exists() {
        if matches!(loss, Loss::Refuse) {
            return Err(lost(folder, "it is gone".to_owned()));
        }
        fs::create_dir_all(folder).map_err(LogError::io(folder))?;
        folder.ancestors().skip(1).take(2).try_for_each(folder::sync)?;
    }
    let mut segments = Vec::with_capacity(committed.len());
    for (index, sealed) in committed.iter().enumerate() {
        let is_open = index + 1 == committed.len();
        let seen = match (look(folder, sealed, is_open), &mut *loss) {
            (Ok(seen), _) => seen,
            (Err(error @ LogError::Lost { .. }), Loss::Accept(told)) => {
                told.push(error.loss());
                give_up(folder, sealed)?
            }
            (Err(error), _) => return Err(error),
        };
        segments.push(seen);
    }
    clear(folder, committed)?;
    Ok(segments)
}

/// Removes files that are not committed.
fn clear(folder: &Path, committed: &[Sealed]) -> Result<(), LogError> {
    let is_void = |first: &u64| {
        committed
            .iter()
            .all(|sealed| sealed.first != *first || sealed.bytes == 0)
    };
    let void = folder::segments(folder)?.into_iter().filter(is_void);
    let void = void.map(|first| folder::segment(folder, first));
    let side = folder::all_compacted(folder)?.into_iter();
    let side = side.map(|first| folder::compacted(folder, first));
    let mut cleared = false;
    for path in void.chain(side) {
        let bytes = Found::at(&path)
            .map_err(LogError::io(&path))?
            .map_or(0, |found| found.bytes);
        if bytes > 0 {
            warn!(file = %path.display(), bytes, "removed: nothing of it is committed");
        }
        folder::remove(&path)?;
        cleared = true;
    }
    if cleared {
        folder::sync(folder)?;
    }
    Ok(())
}

/// Compares a segment with what is committed of it, and cuts off the rest.
fn look(folder: &Path, sealed: &Sealed, is_open: bool) -> Result<Sealed, LogError> {
    let path = folder::segment(folder, sealed.first);
    if sealed.bytes == 0 {
        return Ok(sealed.clone());
    }
    match compare(&path, sealed, is_open) {
        Err(error @ LogError::Lost { .. }) => {
            // It was compacted and committed so, and a crash came before the other file took its place.
            let side = folder::compacted(folder, sealed.first);
            if compare(&side, sealed, false).is_err() {
                return Err(error);
            }
            fs::rename(&side, &path).map_err(LogError::io(&path))?;
            folder::sync(folder)?;
            compare(&path, sealed, is_open)
        }
        compared => compared,
    }
}

fn compare(path: &Path, sealed: &Sealed, is_open: bool) -> Result<Sealed, LogError> {
    let found = Found::at(path).map_err(LogError::io(path))?;
    let Some(found) = found else {
        return Err(lost(path, "it is gone".to_owned()));
    };
    if found.bytes < sealed.bytes {
        return Err(lost(path, format!("it has {} bytes of {}", found.bytes, sealed.bytes)));
    }
    if !is_open && found.bytes == sealed.bytes && sealed.seen == Some(found.changed) {
        return Ok(sealed.clone());
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(LogError::io(path))?;
    let summary = Summary::of(&file, path, sealed.bytes)?;
    if summary.bytes != sealed.bytes {
        return Err(lost(path, format!("it is damaged at byte {}", summary.bytes)));
    }
    if (summary.sum, summary.records) != (sealed.sum, sealed.end - sealed.first) {
        let what = "its records are others, those of another file or of an older copy";
        return Err(lost(path, what.to_owned()));
    }
    let mut changed = found.changed;
    if found.bytes > sealed.bytes {
        warn!(file = %path.display(), byte = sealed.bytes, "cut off what was not committed");
        file.set_len(sealed.bytes).map_err(LogError::io(path))?;
        file.sync_all().map_err(LogError::sync(path))?;
        changed = Found::of(&file.metadata().map_err(LogError::io(path))?).changed;
    }
    Ok(Sealed {
        seen: settled(changed).then_some(changed),
        ..sealed.clone()
    })
}

/// Whether a change from now on has another time.
fn settled((seconds, nanos): (i64, i64)) -> bool {
    let changed = Duration::new(seconds.unsigned_abs(), nanos.unsigned_abs() as u32);
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.is_ok_and(|now| now.saturating_sub(changed) > TICK)
}

fn lost(path: &Path, found: String) -> LogError {
    LogError::Lost {
        path: path.to_owned(),
        found,
    }
}

/// Puts a segment in the place of one that is not what is committed: the whole records at its beginning, if it begins as it
/// should, then a gap up to where it ended. What was there is kept beside it.
fn give_up(folder: &Path, sealed: &Sealed) -> Result<Sealed, LogError> {
    let path = folder::segment(folder, sealed.first);
    let mut bytes = Vec::new();
    let mut left = Sealed::begin(sealed.first, sealed.arrival);
    if path.exists() {
        let file = File::open(&path).map_err(LogError::io(&path))?;
        let mut walk = Walk::new(&file, &path, sealed.bytes);
        loop {
            let sum = walk.sum;
            let Ok(frame) = walk.next()? else { break };
            let (sum, records) = (frame::chain(sum, &frame), frame.records());
            let is_other = left.end == left.first && sum != sealed.head;
            if is_other || left.end + records > sealed.end {
                break;
            }
            left.follow(sum, records, frame.arrival);
            bytes.extend_from_slice(frame.bytes);
        }
        // All of it is whole, and still it is not what is committed: nothing of it can be trusted.
        if left.end == sealed.end {
            left = Sealed::begin(sealed.first, sealed.arrival);
            bytes.clear();
        }
        let kept = path.with_extension("damaged");
        fs::rename(&path, &kept).map_err(LogError::io(&kept))?;
    }
    fill(folder, left, bytes, sealed.end)
}

/// Writes a segment that holds what is left of one, and a gap up to an offset.
fn fill(folder: &Path, mut left: Sealed, mut bytes: Vec<u8>, end: u64) -> Result<Sealed, LogError> {
    let (path, side) = (
        folder::segment(folder, left.first),
        folder::compacted(folder, left.first),
    );
    if left.end < end {
        let records = end - left.end;
        let sum = frame::append_gap(&mut bytes, left.arrival, records, left.sum);
        left.follow(sum, records, left.arrival);
    }
    left.bytes = bytes.len() as u64;
    write_whole(&side, &bytes)?;
    fs::rename(&side, &path).map_err(LogError::io(&path))?;
    folder::sync(folder)?;
    Ok(left)
}

/// Gives up all records of a partition.
pub(super) fn forget(folder: &Path, segments: &[Sealed]) -> Result<Vec<Sealed>, LogError> {
    let (Some(first), Some(last)) = (segments.first(), segments.last()) else {
        return Ok(Vec::new());
    };
    let left = Sealed::begin(first.first, last.arrival);
    let segments = vec![fill(folder, left, Vec::new(), last.end)?];
    clear(folder, &segments)?;
    Ok(segments)
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), LogError> {
    let mut file = File::create(path).map_err(LogError::io(path))?;
    file.write_all(bytes).map_err(LogError::io(path))?;
    file.sync_all().map_err(LogError::sync(path))
}

/// What a segment holds up to an offset, which must be the end of a record in it.
fn learn(path: &Path, first: u64, end: u64) -> Result<Sealed, LogError> {
    let file = File::open(path).map_err(LogError::io(path))?;
    let mut walk = Walk::new(&file, path, u64::MAX);
    let mut sealed = Sealed::begin(first, Millis(i64::MIN));
    while sealed.end < end {
        let Ok(frame) = walk.next()? else { break };
        let sum = frame::chain(sealed.sum, &frame);
        sealed.follow(sum, frame.records(), frame.arrival);
        sealed.bytes += frame.length() as u64;
    }
    Ok(sealed)
}

/// Whether a segment of the partition holds anything.
pub(super) fn has_bytes(folder: &Path) -> Result<bool, LogError> {
    for first in folder::segments(folder)? {
        let path = folder::segment(folder, first);
        let found = Found::at(&path).map_err(LogError::io(&path))?;
        if found.is_some_and(|found| found.bytes > 0) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The segments of a partition of which only the end is known: it has all records up to there. `u64::MAX`: whatever is
/// whole. What is missing of it is an error, or with `lossy` one more segment, which is not there.
///
/// # Errors
///
/// When records before the end are missing or damaged.
pub(super) fn segments_up_to(folder: &Path, end: u64, lossy: bool) -> Result<Vec<Sealed>, LogError> {
    let firsts = if folder.exists() {
        folder::segments(folder)?
    } else {
        Vec::new()
    };
    let mut segments: Vec<Sealed> = Vec::new();
    for first in firsts.iter().copied() {
        let reached = segments.last().map_or(first, |last| last.end);
        if reached >= end || first != reached {
            break;
        }
        segments.push(learn(&folder::segment(folder, first), first, end)?);
    }
    segments.retain(|sealed| sealed.bytes > 0);
    let reached = segments.last().map_or(0, |last| last.end);
    if reached >= end || end == u64::MAX {
        return Ok(segments);
    }
    if lossy {
        segments.push(Sealed {
            end,
            bytes: u64::MAX,
            ..Sealed::begin(reached, Millis(0))
        });
        return Ok(segments);
    }
    let first = firsts.into_iter().rfind(|first| *first <= reached);
    let path = first.map_or_else(|| folder.to_owned(), |first| folder::segment(folder, first));
    let found = format!("its records end at offset {reached}, and those before {end} are committed");
    Err(lost(&path, found))
}
