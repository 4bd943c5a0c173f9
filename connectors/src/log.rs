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
//! | 4 | length of the key; 2^32 - 1: none |
//! | … | key |
//! | 4 | length of the payload; 2^32 - 1: tombstone |
//! | … | payload |
//!
//! all little endian. Offsets are dense.
//!
//! A crash in mid-write leaves a *torn tail*: the reader takes it for "not yet", the next writer cuts it off. A bad record
//! with whole ones behind it is *damage*, which both refuse. A torn tail never lies before the last segment, for a segment
//! is synced before the next begins.
//!
//! Nothing is deleted but closed segments of `out.progress` that no recovery asks for: retention and compaction are the
//! operator's (closed segments may be removed while no reader needs them, oldest first).

mod commits;
mod folder;
mod frame;
mod reader;
mod writer;
mod append;
mod sink;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use crate::Retry;
use crate::error::retry_io;

pub use append::LogAppend;
pub(crate) use folder::partitions;
pub use reader::LogSource;
pub use sink::LogSink;
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
    /// Offsets or partitions are missing.
    #[error("{} holds {found} where {wanted} should follow; restore what is missing from a copy", path.display())]
    Gap {
        /// The folder.
        path: PathBuf,
        /// What is there.
        found: u64,
        /// What should be.
        wanted: u64,
    },
    /// Another writer has the partition.
    #[error("{} is locked: another process writes this partition", path.display())]
    Locked {
        /// The lock file.
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
    /// Whether the same may succeed later.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Io { error, .. } => retry_io(error),
            // After a failed sync the kernel may have dropped the pages: a second sync that succeeds proves nothing.
            Self::Sync { .. } | Self::Damaged { .. } | Self::Gap { .. } | Self::TooLarge { .. } => Retry::Never,
            Self::Locked { .. } => Retry::Later,
        }
    }

    /// For `map_err`: an error of the system about `path`.
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |error| Self::Io { path, error }
    }
}
