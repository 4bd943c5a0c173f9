use std::io;
use std::path::PathBuf;

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
    /// A topic that is to be read does not exist.
    #[error("topic `{topic}` is not there; create it with `riskflow topics --create`")]
    NoTopic {
        /// Its name, with prefix.
        topic: String,
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
            Self::NoTopic { .. } | Self::FileInput { .. } | Self::Progress { .. } => Retry::Never,
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
    #[error("{} cannot be written", file.display())]
    File {
        /// The file; `-` for standard output.
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
            Self::File { .. } | Self::Used { .. } => false,
        }
    }

    /// Whether the same commit may succeed later.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Log(error) => error.retry(),
            Self::Kafka(error) => error.retry(),
            Self::File { error, .. } => retry_io(error),
            Self::Used { .. } => Retry::Never,
        }
    }
}
