//! What is written beside the parts of checkpoints.

use std::collections::{BTreeMap, BTreeSet};

use riskflow_model::progress::Offsets;
use riskflow_model::{Millis, Text};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::CheckpointError;
use crate::Identity;

/// Version of what lies in the parts; one that differs is refused.
pub const FORMAT: u32 = 13;

/// One object of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its name within the checkpoint.
    pub name: String,
    /// The fold whose keys it holds.
    pub fold: Text,
    /// Of which worker, of how many in all processes.
    pub worker: (usize, usize),
    /// Its length in bytes.
    pub bytes: u64,
    /// XXH3-128 of it.
    pub hash: Text,
}

impl Part {
    /// Whether it may hold keys of this worker of so many: with as many as wrote it, each has its own.
    #[must_use]
    pub const fn concerns(&self, worker: usize, workers: usize) -> bool {
        self.worker.1 != workers || self.worker.0 == worker
    }
}

/// What makes the parts a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the format.
    pub format: u32,
    /// The job that took it; `None` only where the store was not claimed.
    pub job: Option<Identity>,
    /// The state is as of the end of this epoch.
    pub epoch: Millis,
    /// What time it was then.
    pub clock: Millis,
    /// What of the input had been taken by then.
    pub offsets: Offsets,
    /// The fingerprint of the settings that give the answer its meaning.
    pub semantics: Text,
    /// The version of riskflow that wrote it.
    pub version: Text,
    /// The folds whose state it holds, and in how many parts; one without keys has none.
    pub folds: BTreeMap<Text, usize>,
    /// The capabilities that were off.
    pub off: BTreeSet<Text>,
    /// All parts of all processes.
    pub parts: Vec<Part>,
}

/// What gives a job's answers their meaning, as of its last start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meaning {
    /// The version of riskflow.
    pub version: Text,
    /// The settings that count, by name, for people.
    pub settings: BTreeMap<Text, Text>,
    /// The last epoch of other settings or another version: what was given up to it cannot be compared with what would be given
    /// now. 0: there is none.
    pub since: Millis,
}

/// What a job notes beside its checkpoints. It only adds to what can be told: without it the job goes on all the same.
pub trait Note: Serialize + DeserializeOwned {
    /// The name of the object.
    const NAME: &'static str;
}

impl Note for Meaning {
    const NAME: &'static str = "settings";
}

/// A checkpoint as far as it can be told without reading all of it.
#[derive(Debug)]
pub struct Listed {
    /// The epoch.
    pub epoch: Millis,
    /// Its manifest, or why there is none.
    pub manifest: Result<Manifest, CheckpointError>,
}

/// The note of what was told too early.
pub const FORETOLD: &str = "foretold";
