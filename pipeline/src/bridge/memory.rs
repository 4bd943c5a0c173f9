//! What a lane keeps on disk: how far it is, and what it must not forget. One file a receiver, in one folder that is locked.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use riskflow_connectors::{Lock, failpoint};
use riskflow_model::progress::Offsets;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Receiver;

/// The version of these files.
const VERSION: u32 = 1;

/// Why a lane cannot know how far it is, or cannot write it down.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// What the system says.
    #[error("`{}` cannot be read or written", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// Another bridge has the folder.
    #[error("another bridge has `{}`; give each its own `bridge.path`", folder.display())]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// Something else was written there, or half of it.
    #[error(
        "`{}` does not say how far the bridge is: {why}. Put it back from a copy; without it (move it away) the bridge begins as if it had never \
         run: `bridge.webhook.begin`",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The bridge of other topics wrote it.
    #[error("`{}` is of a bridge that reads `{found}`, and this one reads `{topic}`; give another `bridge.path`", path.display())]
    OtherTopic {
        /// The file.
        path: PathBuf,
        /// The topic there.
        found: String,
        /// The topic that is read.
        topic: String,
    },
}

impl MemoryError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { path, error }
    }
}

/// How far a lane is: all before these offsets was delivered, or stands in what it keeps besides.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Memory<S> {
    version: u32,
    /// The topic of notices, with prefix.
    topic: String,
    /// Where to go on.
    pub offsets: Offsets,
    /// What else a lane must not forget.
    pub state: S,
}

impl<S: Default> Memory<S> {
    /// That of a lane that never ran.
    pub fn new(topic: &str) -> Self {
        Self {
            version: VERSION,
            topic: topic.to_owned(),
            offsets: Offsets::default(),
            state: S::default(),
        }
    }
}

/// The folder of a bridge, which has it alone.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: Lock,
}

impl Folder {
    /// Makes it if need be, and takes it.
    ///
    /// # Errors
    ///
    /// When another bridge has it, or it cannot be made.
    pub fn take(path: &Path) -> Result<Self, MemoryError> {
        fs::create_dir_all(path).map_err(MemoryError::io(path))?;
        let lock = Lock::alone(path).map_err(MemoryError::io(path))?;
        let folder = path.to_owned();
        match lock {
            Some(lock) => Ok(Self {
                path: folder,
                _lock: lock,
            }),
            None => Err(MemoryError::Locked { folder }),
        }
    }

    /// A file of a receiver.
    pub(super) fn file(&self, receiver: Receiver, ending: &str) -> PathBuf {
        self.path.join(format!("{receiver}{ending}"))
    }

    /// What a lane wrote down; `None` where none ever did.
    pub(super) fn load<S: DeserializeOwned>(
        &self,
        receiver: Receiver,
        topic: &str,
    ) -> Result<Option<Memory<S>>, MemoryError> {
        let path = self.file(receiver, ".json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(MemoryError::io(&path)(error)),
        };
        let memory: Memory<S> = serde_json::from_slice(&text).map_err(|error| MemoryError::Damaged {
            path: path.clone(),
            why: error.to_string(),
        })?;
        if memory.version != VERSION {
            let why = format!("its version is {}, and this program knows {VERSION}", memory.version);
            return Err(MemoryError::Damaged { path, why });
        }
        if memory.topic != topic {
            return Err(MemoryError::OtherTopic {
                path,
                found: memory.topic,
                topic: topic.to_owned(),
            });
        }
        Ok(Some(memory))
    }

    /// Writes it down: when this returns, it outlives the machine. What was there before is there until then.
    pub(super) fn save<S: Serialize>(&self, receiver: Receiver, memory: &Memory<S>) -> Result<(), MemoryError> {
        let (path, part) = (self.file(receiver, ".json"), self.file(receiver, ".json.part"));
        let text = serde_json::to_vec(memory).map_err(|error| MemoryError::io(&part)(error.into()))?;
        let mut file = File::create(&part).map_err(MemoryError::io(&part))?;
        file.write_all(&text).map_err(MemoryError::io(&part))?;
        file.sync_all().map_err(MemoryError::io(&part))?;
        failpoint("bridge::save");
        fs::rename(&part, &path).map_err(MemoryError::io(&path))?;
        let folder = File::open(&self.path).and_then(|folder| folder.sync_all());
        folder.map_err(MemoryError::io(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use riskflow_model::topic::Topic;

    use super::*;

    #[test]
    fn what_was_written_down_is_found_again_and_what_is_none_of_it_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let held = Folder::take(folder.path()).unwrap();
        let load = |topic: &str| held.load::<Vec<String>>(Receiver::Webhook, topic);
        assert!(load("out.notice").unwrap().is_none());
        let mut memory: Memory<Vec<String>> = Memory::new("out.notice");
        memory.offsets.advance(Topic::NOTICE, 3, 7);
        memory.state.push("a".to_owned());
        held.save(Receiver::Webhook, &memory).unwrap();
        let found = load("out.notice").unwrap().unwrap();
        assert_eq!(
            (found.offsets.next(Topic::NOTICE, 3), &*found.state),
            (7, &["a".to_owned()][..])
        );
        assert!(matches!(load("b.out.notice"), Err(MemoryError::OtherTopic { .. })));
        assert!(matches!(Folder::take(folder.path()), Err(MemoryError::Locked { .. })));
        fs::write(folder.path().join("webhook.json"), "{").unwrap();
        let said = load("out.notice").unwrap_err().to_string();
        assert!(said.contains("webhook.json") && said.contains("begins as if"), "{said}");
    }
}
