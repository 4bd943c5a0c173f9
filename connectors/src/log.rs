//! The embedded log: partitioned, append-only files in a folder. The default connector.
//!
//! `<folder>/<topic>/<partition>/<offset of the first record, 20 digits>.log`; a segment that has reached
//! [`SEGMENT_BYTES`] is closed and the next begins. A record is framed as
//!
//! | bytes | |
//! |---|---|
//! | 4 | length of the body |
//! | 4 | CRC-32 of the body |
//! | 8 | arrival, Unix milliseconds |
//! | 4 | length of the key; 2^32 - 1: none; 2^32 - 2: a gap |
//! | … | key |
//! | 4 | length of the payload; 2^32 - 1: tombstone |
//! | … | payload |
//!
//! all little endian. Offsets are dense. In a gap the body ends with 8 bytes behind the 2^32 - 2: how many records are gone
//! there, by compaction or given up after a loss. They keep their offsets.
//!
//! # What guards what
//!
//! | what is damaged, cut, emptied, deleted, exchanged or set back | noticed by | when |
//! |---|---|---|
//! | any byte of a record | the CRC of its frame | when it is read |
//! | a committed segment of an output | its length and the checksum of its frames in `out.commits` | at the start; its absence also while the job writes |
//! | `out.commits` | its copy, of which it is written again; without both the start is refused | at the start and with each commit |
//! | an input partition, or the records of it that were read | the offsets in `out.progress`, and the checksum of the last record before each | at the start |
//! | the segment of an input that is being read | its inode and length | within 4 idle polls |
//!
//! **Outputs** have one writer, which holds the locks of the topics' folders: there is no lock file to lose. What `out.commits`
//! lists is committed, and everything else in these folders is void: the next start removes it, whatever it holds. What is
//! listed and not there as it was is refused by name; `riskflow topics --accept-loss` goes on without it.
//!
//! **Inputs** may be written by anybody who appends whole frames to the last segment of a partition (and begins the next
//! segment, named by the next offset, once that has [`SEGMENT_BYTES`]). A crash in mid-write leaves a *torn tail*: the reader
//! takes it for "not yet", the next writer of ours cuts it off. A bad record with whole ones behind it is *damage*, which both
//! refuse.
//!
//! # What goes
//!
//! Only closed segments, and only while the clock is live: a replay deletes nothing.
//!
//! * **Output logs**: segments whose records are all older than `topics.retention`, by epoch.
//! * **Output tables** are compacted: of each key the last record stays, and a tombstone for `topics.retention`. `out.progress`
//!   keeps what a recovery asks for.
//! * **Inputs**: only records that the oldest checkpoint that is kept covers. Of `in.observation` and `in.action` those that
//!   arrived more than `topics.input_retention` before; tables are compacted, of a table with versions to the highest.
//!
//! Files of a partition that the process has no need of are closed: a log may have more partitions than a process may have
//! open files.

mod handles;
mod folder;
mod frame;
mod segment;
mod commits;
mod guard;
mod compact;
mod begin;
mod reader;
mod source;
mod stirs;
mod writer;
mod append;
mod upkeep;
mod sink;
mod tidy;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use crate::Retry;
use crate::error::retry_io;

pub use append::LogAppend;
pub(crate) use folder::{make, partitions};
pub(crate) use handles::MOST_OPEN;
pub use sink::LogSink;
pub use source::LogSource;
pub(crate) use tidy::Tidying;
pub use writer::LogWriter;

/// A segment of at least this many bytes is closed.
pub const SEGMENT_BYTES: u64 = 128 << 20;

/// What is wrong with a log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A file or folder could not be read, made or written.
    #[error("{} cannot be used", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// A file could not be synced: what was written since the last sync may be lost although later reads show it.
    #[error("{} cannot be synced", path.display())]
    Sync {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// Bytes in the middle of a segment are not what was written.
    #[error(
        "{} is damaged at byte {byte}: no whole record there, but more behind it; restore it from a copy, or cut it there",
        path.display()
    )]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where the first bad record begins.
        byte: u64,
    },
    /// What is committed in the output is not there any more.
    #[error(
        "{} is not what was committed: {found}; restore it from a copy, or give up what is lost and go on: \
         `riskflow topics --accept-loss`",
        path.display()
    )]
    Lost {
        /// The file, or the folder of the partition or topic.
        path: PathBuf,
        /// What is wrong with it.
        found: String,
    },
    /// Nothing says how far the output is committed.
    #[error(
        "{} and its copy are gone or damaged, and only they say which records of the output are committed; restore one of \
         them, or take all whole records for committed: `riskflow topics --accept-loss`",
        path.display()
    )]
    CommitsLost {
        /// The first of the two files.
        path: PathBuf,
    },
    /// What was read of the input is not there any more.
    #[error(
        "{} is not what was read: {found}; restore it from a copy, or begin with what there is: `riskflow run --start-anew` \
         (warnings that rest on what is gone are then withdrawn)",
        path.display()
    )]
    Unlike {
        /// The file or the partition's folder.
        path: PathBuf,
        /// What is wrong with it.
        found: String,
    },
    /// A file that is in use is not there any more, or another.
    #[error("{} {happened} while it was in use; put it back as it was, and start again", path.display())]
    Gone {
        /// The file.
        path: PathBuf,
        /// What happened to it.
        happened: &'static str,
    },
    /// A topic that is followed has got more partitions.
    #[error(
        "{} has {now} partitions, it had {before} when the job began: start the job again, it will read all of them",
        path.display()
    )]
    PartitionsChanged {
        /// The topic's folder.
        path: PathBuf,
        /// When it was opened.
        before: u16,
        /// Now.
        now: u16,
    },
    /// A partition is not there.
    #[error("{} is not there, although partitions with greater numbers are; restore it from a copy", path.display())]
    NoPartition {
        /// Its folder.
        path: PathBuf,
    },
    /// Offsets are missing.
    #[error("{} holds {found} where {wanted} should follow; restore what is missing from a copy", path.display())]
    Gap {
        /// The folder.
        path: PathBuf,
        /// What is there.
        found: u64,
        /// What should be.
        wanted: u64,
    },
    /// Another writer has the topic or partition.
    #[error("{} is locked: another process writes it", path.display())]
    Locked {
        /// Its folder.
        path: PathBuf,
    },
    /// A record is too large for a frame.
    #[error("a record of {found} bytes is too large; give at most {most}")]
    TooLarge {
        /// Its length.
        found: usize,
        /// The most.
        most: usize,
    },
}

impl LogError {
    /// What is lost, without what could be done instead of giving it up.
    fn loss(&self) -> String {
        match self {
            Self::Lost { path, found } => format!("{} is not what was committed: {found}", path.display()),
            Self::CommitsLost { path } => format!(
                "{} and its copy are gone or damaged; all whole records are taken for committed",
                path.display()
            ),
            other => other.to_string(),
        }
    }

    /// Whether the same may succeed later.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Io { error, .. } => retry_io(error),
            Self::Locked { .. } => Retry::Later,
            // After a failed sync the kernel may have dropped the pages: a second sync that succeeds proves nothing.
            Self::Sync { .. }
            | Self::Damaged { .. }
            | Self::Lost { .. }
            | Self::CommitsLost { .. }
            | Self::Unlike { .. }
            | Self::Gone { .. }
            | Self::PartitionsChanged { .. }
            | Self::NoPartition { .. }
            | Self::Gap { .. }
            | Self::TooLarge { .. } => Retry::Never,
        }
    }

    /// For `map_err`: an error of the system about `path`.
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |error| Self::Io { path, error }
    }

    /// For `map_err`: `path` could not be synced.
    fn sync(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |error| Self::Sync { path, error }
    }
}
