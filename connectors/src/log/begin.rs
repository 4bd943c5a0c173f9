//! Where a reader begins in a partition, and whether what was read of it before is still there.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::error::LogError;
use super::folder;
use super::frame::Body;
use super::handles::{FileId, Found};
use super::segment::{End, Walk, whole_behind};

/// Where a reader begins.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Begin {
    /// The first offset of the segment.
    pub segment: u64,
    /// Which file that is, if it was read in already.
    pub id: Option<FileId>,
    /// Where the first frame begins that was not read, its offset, and the chain of those before it in the segment.
    pub position: u64,
    pub offset: u64,
    pub sum: u64,
    /// The checksum of the record before it, if that was read.
    pub mark: Option<u32>,
    /// Whether there are no whole records up to where it was to begin.
    pub ended: bool,
    /// The first offset that is there, if it is behind the one that was asked for.
    pub lost: Option<u64>,
}

/// Finds where to begin with the record `from`. `known`: records before that offset were read before, and the mark there;
/// the last of them must be there as it was, as far as nobody has deleted or compacted it.
///
/// # Errors
///
/// When what was read is not there any more, or is another.
pub(super) fn begin(
    folder: &Path,
    segments: &[u64],
    from: u64,
    known: Option<(u64, Option<u32>)>,
) -> Result<Begin, LogError> {
    let known = known.filter(|(next, _)| *next > 0);
    // The segment that holds a record, or the first.
    let holding = |offset: u64| {
        let behind = segments.partition_point(|first| *first <= offset);
        segments.get(behind.saturating_sub(1)).copied()
    };
    let Some(first) = holding(from) else {
        let lost = (from > 0).then_some(0);
        return match known {
            None => Ok(Begin {
                lost,
                ..Begin::default()
            }),
            Some((next, _)) => {
                let found = format!("it has no records, and those before offset {next} were read");
                Err(unlike(folder.to_owned(), found))
            }
        };
    };
    let mut begin = walk(folder, first, from, None)?;
    begin.lost = match begin.offset {
        _ if first > from => Some(first),
        offset if offset < from && begin.ended => Some(0),
        _ => None,
    };
    if let Some((next, mark)) = known
        && let Some(first) = holding(next - 1).filter(|first| *first < next)
    {
        let reached = walk(folder, first, next, mark)?;
        if reached.ended {
            let found = format!(
                "its records end at offset {}, and those before {next} were read",
                reached.offset
            );
            return Err(unlike(folder::segment(folder, first), found));
        }
    }
    Ok(begin)
}

/// Walks through a segment up to an offset, or to the gap that holds it. If a record ends there, its checksum must be the
/// mark.
fn walk(folder: &Path, first: u64, to: u64, mark: Option<u32>) -> Result<Begin, LogError> {
    let mut begin = Begin {
        segment: first,
        offset: first,
        ..Begin::default()
    };
    if first >= to {
        return Ok(begin);
    }
    let path = folder::segment(folder, first);
    let file = File::open(&path).map_err(LogError::io(&path))?;
    begin.id = Some(Found::of(&file.metadata().map_err(LogError::io(&path))?).id);
    let mut walk = Walk::new(&file, &path, u64::MAX);
    while begin.offset < to {
        let (position, sum) = (walk.position, walk.sum);
        let frame = match walk.next()? {
            Ok(frame) => frame,
            Err(End::Bad { skip }) if whole_behind(&file, &path, position + skip as u64)? => {
                return Err(LogError::Damaged { path, byte: position });
            }
            Err(_) => {
                begin.ended = true;
                return Ok(begin);
            }
        };
        let behind = begin.offset + frame.records();
        if behind > to {
            (begin.position, begin.sum) = (position, sum);
            return Ok(begin);
        }
        begin.mark = match frame.body {
            Body::Record { .. } => Some(frame.sum),
            Body::Gap(_) => None,
        };
        if behind == to && mark.is_some_and(|mark| begin.mark.is_some_and(|found| found != mark)) {
            let found = format!("its record {} is another than the one that was read", begin.offset);
            return Err(unlike(path, found));
        }
        begin.offset = behind;
        (begin.position, begin.sum) = (walk.position, walk.sum);
    }
    Ok(begin)
}

fn unlike(path: PathBuf, found: String) -> LogError {
    LogError::Unlike { path, found }
}
