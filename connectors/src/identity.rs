//! Which job is which: where its records come from and go to.
//!
//! A name says little of that: two cities have the same relative path, on two machines the same absolute one. So an embedded
//! log has an identity of its own, in the file `log-id` of its folder, which goes with it when it is moved; a Kafka cluster has
//! one anyway.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use riskflow_config::{Input, KafkaSettings, Output, TopicSettings};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::kafka::{BrokerError, cluster_id};

/// The file in a log's folder that holds its identity.
const LOG_ID: &str = "log-id";

/// A job: with the same one, checkpoints may be used.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// The prefix of its topics.
    pub prefix: String,
    /// Where its records come from.
    pub input: Place,
    /// Where its records go.
    pub output: Place,
}

/// A log, or a Kafka cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Place {
    /// `log`, `kafka` or `files`.
    pub kind: String,
    /// What tells it from others of its kind.
    pub id: String,
    /// Where it was last; says nothing about what it is.
    pub at: String,
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.prefix == other.prefix && self.input == other.input && self.output == other.output
    }
}

impl Eq for Identity {}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        (&self.kind, &self.id) == (&other.kind, &other.id)
    }
}

impl Eq for Place {}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { prefix, input, output } = self;
        write!(f, "topics `{prefix}*`, from {input} to {output}")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, id, at } = self;
        write!(f, "{kind} {id} at `{at}`")
    }
}

/// Why it cannot be told which job this is.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The identity of a log could not be read or written.
    #[error("{} cannot be used", path.display())]
    Log {
        /// Its file.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// A Kafka cluster does not say which it is.
    #[error("it is not known which Kafka cluster this is")]
    Kafka(#[from] BrokerError),
}

impl Identity {
    /// Finds out which job reads and writes these. Gives a log an identity if it has none yet.
    ///
    /// # Errors
    ///
    /// When a log's folder cannot be read, or a Kafka cluster does not say which it is.
    pub fn find(input: &Input, output: &Output, topics: &TopicSettings) -> Result<Self, IdentityError> {
        let input = Self::of_input(input)?;
        let output = match output {
            Output::Log(folder) => log(folder)?,
            Output::Kafka(kafka) => of_kafka(kafka)?,
            Output::Files(_) => files(),
        };
        Ok(Self {
            prefix: topics.prefix.clone(),
            input,
            output,
        })
    }

    /// Where the records come from. Gives a log an identity if it has none yet.
    ///
    /// # Errors
    ///
    /// As [`Identity::find`].
    pub fn of_input(input: &Input) -> Result<Place, IdentityError> {
        match input {
            Input::Log(folder) => log(folder),
            Input::Kafka(kafka) => Ok(of_kafka(kafka)?),
            Input::Files(_) => Ok(files()),
        }
    }
}

fn of_kafka(kafka: &KafkaSettings) -> Result<Place, IdentityError> {
    Ok(Place {
        kind: "kafka".to_owned(),
        id: cluster_id(kafka)?,
        at: kafka.brokers.clone(),
    })
}

fn files() -> Place {
    Place {
        kind: "files".to_owned(),
        id: String::new(),
        at: String::new(),
    }
}

fn log(folder: &Path) -> Result<Place, IdentityError> {
    // What is not there yet is told by whoever opens it.
    let at = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let at = at.display().to_string();
    let id = match log_id(folder) {
        Ok(id) => id,
        // A log that may only be read, and was never written by a job, is known by its place.
        Err((_, error)) if cannot_be_written(&error) => String::new(),
        Err((path, error)) => return Err(IdentityError::Log { path, error }),
    };
    let id = if id.is_empty() { format!("at {at}") } else { id };
    Ok(Place {
        kind: "log".to_owned(),
        id,
        at,
    })
}

fn cannot_be_written(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::NotFound
            | io::ErrorKind::Unsupported
    )
}

/// Reads the identity of a log, or makes one: whole or not at all, and only one however many do so at once.
fn log_id(folder: &Path) -> Result<String, (PathBuf, io::Error)> {
    let path = folder.join(LOG_ID);
    let about = |error| (path.clone(), error);
    match fs::read_to_string(&path) {
        Ok(id) => return Ok(id.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(about(error)),
    }
    let id = Uuid::new_v4().simple().to_string();
    let aside = folder.join(format!("{LOG_ID}.{id}"));
    let written = File::create(&aside)
        .and_then(|mut file| writeln!(file, "{id}").and_then(|()| file.sync_all()))
        .and_then(|()| fs::hard_link(&aside, &path));
    let removed = fs::remove_file(&aside);
    match written {
        Ok(()) => removed.and_then(|()| File::open(folder)?.sync_all()).map_err(about)?,
        // Another was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(about(error)),
    }
    let id = fs::read_to_string(&path).map_err(about)?;
    Ok(id.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(folder: &Path, prefix: &str) -> Identity {
        let topics = TopicSettings {
            prefix: prefix.to_owned(),
            partitions: 1,
            replication: 1,
            retention: 0,
            exercise: false,
            forced: false,
            tidy: riskflow_config::Tidy::default(),
        };
        Identity::find(&Input::Log(folder.to_owned()), &Output::Log(folder.to_owned()), &topics).unwrap()
    }

    #[test]
    fn a_log_is_the_same_wherever_it_lies_and_no_other_is() {
        let root = tempfile::tempdir().unwrap();
        let (a, b, moved) = (root.path().join("a"), root.path().join("b"), root.path().join("moved"));
        fs::create_dir_all(&a).unwrap();
        fs::create_dir_all(&b).unwrap();
        let first = identity(&a, "x.");
        assert_eq!(first, identity(&a, "x."));
        assert_ne!(first, identity(&b, "x."));
        assert_ne!(first, identity(&a, "y."));
        assert_eq!(fs::read_dir(&a).unwrap().count(), 1, "nothing is left aside");
        fs::rename(&a, &moved).unwrap();
        let after = identity(&moved, "x.");
        assert_eq!(first, after);
        assert!(after.to_string().contains("moved"), "{after}");
    }

    #[test]
    fn of_many_who_make_an_identity_at_once_all_have_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let find = || identity(folder.path(), "").output.id;
        let ids: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(find)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0] && id.len() == 32), "{ids:?}");
    }
}
