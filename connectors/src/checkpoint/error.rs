//! What may be wrong with checkpoints and their place.

use crate::Identity;

/// Why a checkpoint cannot be written, read or found.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The path is no folder that can be used, or no URL of a store that is known.
    #[error("`checkpoint.path` is `{path}`, which cannot be used")]
    Path {
        /// As in the settings.
        path: String,
        /// What the library says.
        #[source]
        error: object_store::Error,
    },
    /// The store refuses, or is not reached.
    #[error("{object} cannot be read or written")]
    Store {
        /// The object.
        object: String,
        /// What the library says.
        #[source]
        error: object_store::Error,
    },
    /// What lies there is not what was written.
    #[error("{object} is damaged: {detail}")]
    Damaged {
        /// The object.
        object: String,
        /// What is wrong.
        detail: String,
    },
    /// The place belongs to another job.
    #[error(
        "the checkpoints in `{path}` are those of another job ({theirs}); this one is another ({ours}). Give each job a \
         `checkpoint.path` of its own, or empty this one if that job is gone. If it is the same job (its log was put together \
         anew), `riskflow checkpoint adopt` makes them its own"
    )]
    OtherJob {
        /// `checkpoint.path`.
        path: String,
        /// Whose they are.
        theirs: Box<Identity>,
        /// Who asked.
        ours: Box<Identity>,
    },
    /// A runtime cannot be started.
    #[error("no runtime for the checkpoint store")]
    Runtime(#[source] std::io::Error),
}
