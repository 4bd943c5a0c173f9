use std::io;
use std::path::{Path, PathBuf};

use riskflow_model::topic::Topic;

use crate::kafka::BrokerError;
use crate::log::LogError;
use crate::retry::{Retry, retry_io};

/// Why a source cannot be opened, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// What `out.progress` holds makes no sense.
    #[error("`out.progress` does not say where to go on: {detail}")]
    Progress {
        /// What is wrong.
        detail: String,
    },
    /// A record that riskflow did not write stands among its own.
    #[error(
        "a record of `{topic}` (partition {partition}, offset {offset}) has no key that is text: riskflow writes none without, so somebody \
         else wrote it there. Delete it, and let nobody else write to this topic"
    )]
    NoKey {
        /// The topic.
        topic: Topic,
        /// Its partition.
        partition: u16,
        /// Where it stands.
        offset: u64,
    },
    /// A topic that is to be read does not exist.
    #[error("topic `{topic}` is not there; create it with `riskflow topics --create`")]
    NoTopic {
        /// Its name, with prefix.
        topic: String,
    },
    /// Whoever tells of it outside would tell of an exercise.
    #[error("{} is the log of an exercise (`riskflow replay`): nothing of it is told outside; give that of a live job", folder.display())]
    Exercise {
        /// Its folder.
        folder: PathBuf,
    },
    /// The embedded log.
    #[error("the embedded log cannot be read")]
    Log(#[from] LogError),
    /// Kafka.
    #[error("Kafka cannot be read")]
    Kafka(#[from] BrokerError),
    /// A history file.
    #[error("{} cannot be read", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// A history file is described in a way that makes no sense.
    #[error("input file {}: `{field}` is {found}; give {give}", file.display())]
    FileInput {
        /// The file.
        file: PathBuf,
        /// The field of its description.
        field: &'static str,
        /// What stands there.
        found: String,
        /// What to give instead.
        give: &'static str,
    },
}

impl SourceError {
    /// Whether opening the source again can help.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::NoTopic { .. }
            | Self::FileInput { .. }
            | Self::Progress { .. }
            | Self::NoKey { .. }
            | Self::Exercise { .. } => Retry::Never,
            Self::Log(error) => error.retry(),
            Self::Kafka(error) => error.retry(),
            // Missing, not permitted, a failing disk: none passes by itself.
            Self::File { .. } => Retry::Never,
        }
    }
}

/// Why an epoch could not be committed, or a sink not opened.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The embedded log.
    #[error("the embedded log cannot be written")]
    Log(#[from] LogError),
    /// Kafka.
    #[error("Kafka cannot be written")]
    Kafka(#[from] BrokerError),
    /// A folder for files has the output of another run.
    #[error(
        "{} is the output of an earlier run, and a run that writes files begins anew: what it gives would stand behind that; \
         give another `output.path`, or move the files away",
        file.display()
    )]
    Used {
        /// One of its files.
        file: PathBuf,
    },
    /// A file.
    #[error("{} cannot be written", shown(file))]
    File {
        /// The file; `-` for standard output.
        file: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// What was committed to a file before is not on disk. The kernel may have let go of it, so another attempt proves nothing.
    #[error(
        "{} could not be flushed to disk: what was written there last may be lost; write to a sound disk, into a new folder",
        file.display()
    )]
    Sync {
        /// The file.
        file: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
}

impl SinkError {
    /// Whether a record is larger than the topic takes: the same commit fails again, one with smaller records need not.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        match self {
            Self::Log(error) => matches!(error, LogError::TooLarge { .. }),
            Self::Kafka(error) => error.is_too_large(),
            Self::File { .. } | Self::Sync { .. } | Self::Used { .. } => false,
        }
    }

    fn is_stdout(&self) -> bool {
        matches!(self, Self::File { file, .. } if file.as_os_str() == "-")
    }

    /// Whether nobody reads standard output any more: whoever did has seen enough.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        let is_closed = matches!(self, Self::File { error, .. } if error.kind() == io::ErrorKind::BrokenPipe);
        is_closed && self.is_stdout()
    }

    /// Whether the same commit may succeed later.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Log(error) => error.retry(),
            Self::Kafka(error) => error.retry(),
            // What went out of a part of it cannot be taken back.
            Self::File { .. } if self.is_stdout() => Retry::Never,
            Self::File { error, .. } => retry_io(error),
            Self::Sync { .. } | Self::Used { .. } => Retry::Never,
        }
    }
}

/// What cannot be written, for people.
fn shown(file: &Path) -> String {
    if file.as_os_str() == "-" {
        "standard output".to_owned()
    } else {
        file.display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_to_standard_output_is_not_tried_again() {
        let error = |file: &str, kind: io::ErrorKind| SinkError::File {
            file: PathBuf::from(file),
            error: kind.into(),
        };
        let full = error("-", io::ErrorKind::StorageFull);
        assert_eq!((full.retry(), full.is_unread()), (Retry::Never, false));
        assert_eq!(full.to_string(), "standard output cannot be written");
        let unread = error("-", io::ErrorKind::BrokenPipe);
        assert_eq!((unread.retry(), unread.is_unread()), (Retry::Never, true));
        let file = error("a/b", io::ErrorKind::StorageFull);
        assert_eq!((file.retry(), file.is_unread()), (Retry::Later, false));
        assert_eq!(file.to_string(), "a/b cannot be written");
        assert!(!error("a/b", io::ErrorKind::BrokenPipe).is_unread());
    }
}
