//! How far output topics are committed: one small file beside them.
//!
//! `<folder>/<prefix>out.commits` has two places of [`PLACE`] bytes, written in turn: a torn write leaves the other. The
//! place with the greater number that is whole counts. It names, for every partition, the offset behind the last committed
//! record; the sink cuts off what lies beyond when it opens, and readers do not see it. So all records of a commit become
//! visible together or not at all.
//!
//! | bytes | |
//! |---|---|
//! | 8 | number of the commit |
//! | 4 | length of what follows |
//! | 4 | CRC-32 of number and what follows |
//! | … | the ends, bincode |
//!
//! all little endian.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use riskflow_config::TopicSettings;
use riskflow_model::binary;
use riskflow_model::progress::Offsets;
use riskflow_model::topic::Topic;

use super::LogError;

/// Of each of the two places; ends of a thousand partitions fit.
const PLACE: u64 = 64 << 10;

const HEAD: usize = 16;

fn path(folder: &Path, settings: &TopicSettings) -> PathBuf {
    folder.join(format!("{}out.commits", settings.prefix))
}

/// The newest whole place: its number and its ends.
fn newest(file: &File, path: &Path) -> Result<Option<(u64, Offsets)>, LogError> {
    let mut found = None;
    for place in 0..2 {
        let mut bytes = vec![0; PLACE as usize];
        let mut length = 0;
        loop {
            let read = file.read_at(&mut bytes[length..], place * PLACE + length as u64);
            match read.map_err(LogError::io(path))? {
                0 => break,
                read => length += read,
            }
        }
        let parsed = parse(&bytes[..length]);
        found = found.max_by_number(parsed);
    }
    Ok(found)
}

/// The later of two.
trait Later {
    fn max_by_number(self, other: Self) -> Self;
}

impl Later for Option<(u64, Offsets)> {
    fn max_by_number(self, other: Self) -> Self {
        match (&self, &other) {
            (Some((mine, _)), Some((theirs, _))) if theirs > mine => other,
            (None, _) => other,
            _ => self,
        }
    }
}

fn parse(bytes: &[u8]) -> Option<(u64, Offsets)> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let number = u64::from_le_bytes(head[..8].try_into().ok()?);
    let length = u32::from_le_bytes(head[8..12].try_into().ok()?) as usize;
    let sum = u32::from_le_bytes(head[12..].try_into().ok()?);
    let content = rest.get(..length)?;
    (sum == checksum(number, content)).then_some(())?;
    Some((number, binary::read(content).ok()?))
}

fn checksum(number: u64, content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(content);
    hasher.finalize()
}

/// Writes commits.
pub(super) struct Commits {
    file: File,
    path: PathBuf,
    number: u64,
    /// As of the last commit.
    pub ends: Offsets,
}

impl Commits {
    /// Opens the file; without one nothing is committed.
    pub fn open(folder: &Path, settings: &TopicSettings) -> Result<Self, LogError> {
        let path = path(folder, settings);
        let options = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let file = options.map_err(LogError::io(&path))?;
        let (number, ends) = newest(&file, &path)?.unwrap_or_default();
        Ok(Self {
            file,
            path,
            number,
            ends,
        })
    }

    /// Commits everything before these ends. What they stand for must be on disk.
    pub fn commit(&mut self, ends: Offsets) -> Result<(), LogError> {
        let number = self.number + 1;
        let mut content = Vec::new();
        let encoded = binary::append(&mut content, &ends);
        if encoded.is_err() || content.len() + HEAD > PLACE as usize {
            return Err(LogError::TooLarge {
                found: content.len(),
                most: PLACE as usize - HEAD,
            });
        }
        let mut bytes = number.to_le_bytes().to_vec();
        bytes.extend_from_slice(&(content.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&checksum(number, &content).to_le_bytes());
        bytes.extend_from_slice(&content);
        self.file
            .write_all_at(&bytes, number % 2 * PLACE)
            .map_err(LogError::io(&self.path))?;
        self.file.sync_data().map_err(|error| LogError::Sync {
            path: self.path.clone(),
            error,
        })?;
        self.number = number;
        self.ends = ends;
        Ok(())
    }
}

/// Keeps readers of output topics before what is not committed.
pub(super) struct Fence {
    path: PathBuf,
    file: Option<File>,
    ends: Offsets,
}

impl Fence {
    pub fn new(folder: &Path, settings: &TopicSettings) -> Self {
        Self {
            path: path(folder, settings),
            file: None,
            ends: Offsets::default(),
        }
    }

    /// Looks how far things are now.
    pub fn look(&mut self) -> Result<(), LogError> {
        if self.file.is_none() {
            self.file = match File::open(&self.path) {
                Ok(file) => Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(LogError::io(&self.path)(error)),
            };
        }
        if let Some(file) = &self.file
            && let Some((_, ends)) = newest(file, &self.path)?
        {
            self.ends = ends;
        }
        Ok(())
    }

    /// The offset behind the last committed record; input topics have no such end.
    pub fn end(&self, topic: Topic, partition: u16) -> u64 {
        match topic.direction() {
            riskflow_model::topic::Direction::In => u64::MAX,
            riskflow_model::topic::Direction::Out => self.ends.next(topic, partition),
        }
    }
}
