//! What may be wrong with checkpoints and their place.

use riskflow_model::Millis;

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
    /// There are parts, or nothing at all, and no manifest.
    #[error(
        "the checkpoint of {epoch} is unfinished: it is being written, or whoever wrote it ended before it was whole. No start uses it, and \
         it is deleted with older ones"
    )]
    Unfinished {
        /// Its epoch.
        epoch: Millis,
    },
    /// None is of this epoch.
    #[error("there is no checkpoint of {epoch}; {there}")]
    Absent {
        /// The epoch.
        epoch: Millis,
        /// Those that there are, and what to give.
        there: String,
    },
    /// A text that cannot be the name of a checkpoint.
    #[error("a checkpoint cannot be named `{name}`: give a letter, then letters, digits, `.`, `_` or `-`, 64 at most")]
    PinName {
        /// The text.
        name: String,
    },
    /// A name that another checkpoint has.
    #[error(
        "`{name}` is the name of the checkpoint of {epoch}: give another name, or take this one away first (`riskflow checkpoint unpin \
         {name}`)"
    )]
    Pinned {
        /// The name.
        name: String,
        /// Whose it is.
        epoch: Millis,
    },
    /// A name that no checkpoint has.
    #[error(
        "no checkpoint has the name `{name}`; give its epoch as `riskflow checkpoint list` prints it, or one of these names: `{names}`"
    )]
    NoPin {
        /// The name.
        name: String,
        /// Those that there are.
        names: String,
    },
    /// What would have to go has a name.
    #[error(
        "the checkpoint `{name}` of {epoch} is newer than the one to go back to, and would be used by the start after this one: take its name \
         away first (`riskflow checkpoint unpin {name}`)"
    )]
    NewerPinned {
        /// Its name.
        name: String,
        /// Its epoch.
        epoch: Millis,
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

impl CheckpointError {
    /// The same, but that a manifest is not there means that the checkpoint of this epoch is unfinished.
    pub(super) fn or_unfinished(self, epoch: Millis) -> Self {
        match self {
            Self::Store {
                error: object_store::Error::NotFound { .. },
                ..
            } => Self::Unfinished { epoch },
            other => other,
        }
    }
}
