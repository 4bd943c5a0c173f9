//! What may be wrong with a log.

use std::io;
use std::path::{Path, PathBuf};

use crate::retry::{Retry, retry_io};

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
    /// The log belongs to another user, who could not write what this process would make in it.
    #[error(
        "{} belongs to the user {owner}, and this runs as {user}, whose files {owner} cannot write: run it as {owner} (as root: \
         `runuser -u {owner} -- riskflow …`), or let all of the log be of one user (`chown -R`)",
        path.display()
    )]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// The name of its user.
        owner: String,
        /// The name of the user of this process.
        user: String,
    },
    /// What is no exercise was to be written to the log of one.
    #[error(
        "{} is the log of an exercise (`riskflow replay`): a live job does not write there; give another folder",
        path.display()
    )]
    Exercise {
        /// Its folder.
        path: PathBuf,
    },
    /// An exercise was to be written to a log that is none.
    #[error("{} is a log that no exercise made: nothing is replayed into it; give another folder", path.display())]
    NoExercise {
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
    pub(super) fn loss(&self) -> String {
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
            | Self::Foreign { .. }
            | Self::Exercise { .. }
            | Self::NoExercise { .. }
            | Self::TooLarge { .. } => Retry::Never,
        }
    }

    /// For `map_err`: an error of the system about `path`.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |error| Self::Io { path, error }
    }

    /// For `map_err`: `path` could not be synced.
    pub(super) fn sync(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |error| Self::Sync { path, error }
    }
}
