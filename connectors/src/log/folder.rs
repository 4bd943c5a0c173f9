//! What lies where.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::error::LogError;
use crate::lock::Lock;
use crate::owner;

/// How many partitions the topic in this folder has; `None` if there is no such topic.
pub(crate) fn partitions(topic_folder: &Path) -> Result<Option<u16>, LogError> {
    let numbers = partition_numbers(topic_folder)?;
    for (wanted, found) in (0u64..).zip(&numbers) {
        if wanted != *found {
            return Err(LogError::NoPartition {
                path: topic_folder.join(wanted.to_string()),
            });
        }
    }
    match u16::try_from(numbers.len()) {
        Ok(0) => Ok(None),
        Ok(count) => Ok(Some(count)),
        Err(_) => Err(LogError::Gap {
            path: topic_folder.to_owned(),
            found: numbers.len() as u64,
            wanted: u64::from(u16::MAX),
        }),
    }
}

/// The numbers of the partitions that are there, rising; none where there is no folder.
pub(super) fn partition_numbers(topic_folder: &Path) -> Result<Vec<u64>, LogError> {
    match numbered(topic_folder, "") {
        Err(LogError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        numbers => numbers,
    }
}

/// Sees to it that a log is written by the user whose it is: a job could not append to files of another.
///
/// # Errors
///
/// [`LogError::Foreign`] where what this process makes in one of these folders would be another's. Those that are not there are nobody's.
pub(crate) fn written_by_its_user(folders: &[&Path]) -> Result<(), LogError> {
    for folder in folders {
        if let Some(other) = owner::other_than_ours(folder) {
            return Err(LogError::Foreign {
                path: (*folder).to_owned(),
                owner: owner::name(other),
                user: owner::name(owner::user()),
            });
        }
    }
    Ok(())
}

/// Makes a topic, with so many partitions at least, or what is missing of it.
pub(crate) fn make(topic_folder: &Path, partitions: u16) -> Result<(), LogError> {
    let mut made = false;
    for partition in 0..partitions {
        let folder = topic_folder.join(partition.to_string());
        if !folder.exists() {
            fs::create_dir_all(&folder).map_err(LogError::io(&folder))?;
            made = true;
        }
    }
    if made {
        // The partitions in their topic, the topic in the log.
        topic_folder.ancestors().take(2).try_for_each(sync)?;
    }
    Ok(())
}

/// The first offsets of the segments of a partition, rising.
pub(super) fn segments(partition_folder: &Path) -> Result<Vec<u64>, LogError> {
    numbered(partition_folder, ".log")
}

/// The file of the segment that begins with this offset.
pub(super) fn segment(partition_folder: &Path, first: u64) -> PathBuf {
    partition_folder.join(format!("{first:020}.log"))
}

/// What is to take its place.
pub(super) fn compacted(partition_folder: &Path, first: u64) -> PathBuf {
    partition_folder.join(format!("{first:020}.compacted"))
}

/// The first offsets of files that were to take a segment's place.
pub(super) fn all_compacted(partition_folder: &Path) -> Result<Vec<u64>, LogError> {
    numbered(partition_folder, ".compacted")
}

fn numbered(folder: &Path, ending: &str) -> Result<Vec<u64>, LogError> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder).map_err(LogError::io(folder))? {
        let entry = entry.map_err(LogError::io(folder))?;
        let number: Option<u64> = entry
            .file_name()
            .to_str()
            .and_then(|name| name.strip_suffix(ending))
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Locks a folder (or file) by [`Lock::alone`] or [`Lock::shared`]; an error where somebody else holds it.
pub(super) fn lock(path: &Path, how: fn(&Path) -> io::Result<Option<Lock>>) -> Result<Lock, LogError> {
    how(path)
        .map_err(LogError::io(path))?
        .ok_or_else(|| LogError::Locked { path: path.to_owned() })
}

/// The file that marks a log as that of an exercise.
const EXERCISE: &str = "exercise";

/// Whether a log is that of an exercise.
pub(crate) fn is_exercise(log_folder: &Path) -> Result<bool, LogError> {
    let mark = log_folder.join(EXERCISE);
    mark.try_exists().map_err(LogError::io(&mark))
}

/// Sees to it that exercises and what is none do not get into one log: that of an exercise is marked before anything is written to it.
pub(super) fn keep_apart(log_folder: &Path, exercise: bool) -> Result<(), LogError> {
    let mark = log_folder.join(EXERCISE);
    let marked = is_exercise(log_folder)?;
    let path = log_folder.to_owned();
    written_by_its_user(&[log_folder])?;
    match (exercise, marked) {
        (true, true) | (false, false) => Ok(()),
        (false, true) => Err(LogError::Exercise { path }),
        (true, false) => {
            fs::create_dir_all(log_folder).map_err(LogError::io(log_folder))?;
            let holds_any = fs::read_dir(log_folder).map_err(LogError::io(log_folder))?.next();
            if holds_any.is_some() {
                return Err(LogError::NoExercise { path });
            }
            fs::write(
                &mark,
                "all that is in this log is an exercise, written by `riskflow replay`\n",
            )
            .map_err(LogError::io(&mark))?;
            sync(log_folder)
        }
    }
}

/// Makes new and removed entries of a folder last.
pub(super) fn sync(folder: &Path) -> Result<(), LogError> {
    // The parent of a relative path of one part is written as nothing.
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(LogError::sync(folder))
}

/// Removes a file; one that is not there is none the less gone.
pub(super) fn remove(path: &Path) -> Result<(), LogError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(LogError::io(path)(error)),
        _ => Ok(()),
    }
}
