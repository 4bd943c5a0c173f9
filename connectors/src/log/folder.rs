//! What lies where.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::LogError;

/// How many partitions the topic in this folder has; `None` if there is no such topic.
pub(crate) fn partitions(topic_folder: &Path) -> Result<Option<u16>, LogError> {
    let numbers: Vec<u64> = match numbered(topic_folder, "") {
        Ok(numbers) => numbers,
        Err(LogError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    for (wanted, found) in (0u64..).zip(&numbers) {
        if wanted != *found {
            return Err(LogError::Gap {
                path: topic_folder.to_owned(),
                found: *found,
                wanted,
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

/// The first offsets of the segments of a partition, rising.
pub(super) fn segments(partition_folder: &Path) -> Result<Vec<u64>, LogError> {
    numbered(partition_folder, ".log")
}

/// The file of the segment that begins with this offset.
pub(super) fn segment(partition_folder: &Path, first: u64) -> PathBuf {
    partition_folder.join(format!("{first:020}.log"))
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
