//! Checkpoints in an object store: a folder, or a bucket by its URL.
//!
//! ```text
//!   <path>/job                                                        whose checkpoints these are
//!   <path>/<epoch, 20 digits>/<fold>-<process>-<worker>-<n>.part      encoded keys
//!   <path>/<epoch, 20 digits>/process-<p>                             what one process wrote
//!   <path>/<epoch, 20 digits>/manifest                                written last: the checkpoint is whole
//!   <path>/pins/<name>/<epoch, 20 digits>                             it is kept under this name
//!   <path>/aside/…                                                    what had a name, and no start may take any more
//! ```
//!
//! A part begins with the header of [`riskflow_model::binary`]'s format; its length and XXH3-128 stand in the manifest,
//! whose own hash stands before it. So any byte that is another is noticed, whichever file it is in. An object appears under
//! its name only when it is whole: folders write to the side and rename, buckets do the same by themselves.
//!
//! A place belongs to one job ([`Identity`]): the first that claims it. Another is refused, for each would take the other's
//! state for its own, and delete it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutPayload};
use riskflow_model::{Key, Millis, binary};
use tokio::runtime::Runtime;
use tracing::warn;

use crate::Identity;

mod aside;
mod error;
mod manifest;
mod pins;
mod sealed;

#[cfg(test)]
mod tests;

pub use error::CheckpointError;
pub use manifest::{FORETOLD, FORMAT, Listed, Manifest, Meaning, Note, Part};
pub use pins::{Pin, is_pin_name};
use sealed::{opened, sealed};

/// The place where checkpoints lie. Calls wait; none is made on a worker's thread while the stream runs.
#[derive(Debug)]
pub struct CheckpointStore {
    path: String,
    /// Where it is, if that is a folder.
    folder: Option<PathBuf>,
    store: Arc<dyn ObjectStore>,
    runtime: Runtime,
    /// Who claimed it in this process.
    job: Option<Identity>,
}

impl CheckpointStore {
    /// Opens the place; a folder that is not there is made.
    ///
    /// # Errors
    ///
    /// When the path is neither a folder nor the URL of a known store.
    pub fn open(path: &str) -> Result<Self, CheckpointError> {
        let about = |error| CheckpointError::Path {
            path: path.to_owned(),
            error,
        };
        let mut folder = None;
        let store: Arc<dyn ObjectStore> = if path.contains("://") {
            let url = url::Url::parse(path).map_err(|error| about(generic(error)))?;
            // Credentials, region and endpoint stand in the environment, under the names that AWS tools use.
            let options = std::env::vars().map(|(name, value)| (name.to_ascii_lowercase(), value));
            let (store, prefix) = object_store::parse_url_opts(&url, options).map_err(about)?;
            Arc::new(PrefixStore::new(store, prefix))
        } else {
            if Path::new(path).is_file() {
                return Err(about(generic(std::io::Error::other("it is a file; give a folder"))));
            }
            std::fs::create_dir_all(path).map_err(|error| about(generic(error)))?;
            let store = LocalFileSystem::new_with_prefix(path).map_err(about)?;
            folder = Some(PathBuf::from(path));
            Arc::new(store.with_automatic_cleanup(true))
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(CheckpointError::Runtime)?;
        Ok(Self {
            path: path.to_owned(),
            folder,
            store,
            runtime,
            job: None,
        })
    }

    /// Takes the place for a job, for good; one that is taken must be this job's. A store that cannot be written yet is taken
    /// with the first checkpoint.
    ///
    /// # Errors
    ///
    /// When it is another job's, or the store cannot be read.
    pub fn claim(&mut self, job: &Identity) -> Result<(), CheckpointError> {
        self.job = Some(job.clone());
        if let Some(theirs) = self.owner()? {
            return self.is_own(theirs);
        }
        match self.mark() {
            Err(error @ CheckpointError::Store { .. }) => {
                let error: &dyn std::error::Error = &error;
                warn!(error, "the place of the checkpoints cannot be written yet");
                Ok(())
            }
            marked => marked,
        }
    }

    /// Whose the place is.
    fn owner(&self) -> Result<Option<Identity>, CheckpointError> {
        let path = ObjectPath::from(JOB);
        match self.get(&path) {
            Ok(bytes) => opened(&path, &bytes).map(Some).map_err(|error| match error {
                CheckpointError::Damaged { object, detail } => {
                    let detail = format!(
                        "{detail}; `riskflow checkpoint adopt` writes it anew, if these are this job's checkpoints"
                    );
                    CheckpointError::Damaged { object, detail }
                }
                other => other,
            }),
            Err(CheckpointError::Store {
                error: object_store::Error::NotFound { .. },
                ..
            }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Says whose the place is. Of two that do so at once the second finds what the first wrote.
    fn mark(&self) -> Result<(), CheckpointError> {
        let Some(job) = &self.job else { return Ok(()) };
        let path = ObjectPath::from(JOB);
        let payload = || PutPayload::from(sealed(job));
        let created = self.store.put_opts(&path, payload(), PutMode::Create.into());
        match self.runtime.block_on(created) {
            Ok(_) => Ok(()),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                self.owner()?.map_or(Ok(()), |theirs| self.is_own(theirs))
            }
            // A store that cannot tell.
            Err(object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. }) => {
                let put = self.runtime.block_on(self.store.put(&path, payload()));
                put.map(drop).map_err(store(&path))
            }
            Err(error) => Err(store(&path)(error)),
        }
    }

    /// Makes everything that is there and can be read a job's own, whoever's it was; what cannot be read is no use to any.
    ///
    /// # Errors
    ///
    /// When the store refuses.
    pub fn adopt(&mut self, job: &Identity) -> Result<usize, CheckpointError> {
        self.put(&ObjectPath::from(JOB), sealed(job))?;
        self.job = Some(job.clone());
        let mut count = 0;
        for manifest in self.list()?.into_iter().filter_map(|listed| listed.manifest.ok()) {
            let job = Some(job.clone());
            self.write_manifest(&Manifest { job, ..manifest })?;
            count += 1;
        }
        Ok(count)
    }

    /// The job that claimed it in this process.
    #[must_use]
    pub const fn job(&self) -> Option<&Identity> {
        self.job.as_ref()
    }

    fn is_own(&self, theirs: Identity) -> Result<(), CheckpointError> {
        match &self.job {
            Some(ours) if *ours != theirs => Err(CheckpointError::OtherJob {
                path: self.path.clone(),
                theirs: Box::new(theirs),
                ours: Box::new(ours.clone()),
            }),
            _ => Ok(()),
        }
    }

    /// What a job noted last, if it is there and sound: one that is damaged is as good as none.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn noted<N: Note>(&self) -> Result<Option<N>, CheckpointError> {
        let path = ObjectPath::from(N::NAME);
        match self.get(&path) {
            Ok(bytes) => Ok(opened(&path, &bytes)
                .inspect_err(|error| warn!(%error, "a note beside the checkpoints is as good as none"))
                .ok()),
            Err(CheckpointError::Store {
                error: object_store::Error::NotFound { .. },
                ..
            }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Notes it, in the place of what was noted before.
    ///
    /// # Errors
    ///
    /// When the store refuses.
    pub fn note<N: Note>(&self, note: &N) -> Result<(), CheckpointError> {
        let path = ObjectPath::from(N::NAME);
        let put = self.store.put(&path, PutPayload::from(sealed(note)));
        self.runtime.block_on(put).map(drop).map_err(store(&path))
    }

    /// Writes a part.
    ///
    /// # Errors
    ///
    /// When the store refuses.
    pub fn write_part(
        &self,
        epoch: Millis,
        fold: &str,
        worker: (usize, usize),
        name: String,
        keys: &[u8],
    ) -> Result<Part, CheckpointError> {
        let mut bytes = binary::header().to_vec();
        bytes.extend_from_slice(keys);
        let part = Part {
            name,
            fold: fold.into(),
            worker,
            bytes: bytes.len() as u64,
            hash: Key::of_bytes(&bytes).to_string().into(),
        };
        self.put(&object(epoch, &part.name), bytes)?;
        Ok(part)
    }

    /// Reads a part: encoded keys.
    ///
    /// # Errors
    ///
    /// When it is not there or not what the manifest says.
    pub fn read_part(&self, epoch: Millis, part: &Part) -> Result<Vec<u8>, CheckpointError> {
        let path = object(epoch, &part.name);
        let mut bytes = self.get(&path)?;
        let damaged = |detail: String| CheckpointError::Damaged {
            object: path.to_string(),
            detail,
        };
        if bytes.len() as u64 != part.bytes {
            return Err(damaged(format!("{} bytes, should be {}", bytes.len(), part.bytes)));
        }
        let hash = Key::of_bytes(&bytes).to_string();
        if hash != *part.hash {
            return Err(damaged(format!("its hash is {hash}, should be {}", part.hash)));
        }
        let header = binary::header();
        if !bytes.starts_with(header) {
            return Err(damaged(format!("the header is not {header:02x?}")));
        }
        bytes.drain(..header.len());
        Ok(bytes)
    }

    /// Says what one process of a cluster wrote.
    ///
    /// # Errors
    ///
    /// When the store refuses.
    pub fn write_process(&self, epoch: Millis, process: usize, parts: &[Part]) -> Result<(), CheckpointError> {
        self.put(&object(epoch, &format!("process-{process}")), sealed(&parts))
    }

    /// What the other processes wrote, once all of them have said so.
    ///
    /// # Errors
    ///
    /// When the store refuses, or what they said is damaged.
    pub fn parts_of_others(&self, epoch: Millis, processes: usize) -> Result<Option<Vec<Part>>, CheckpointError> {
        let mut all = Vec::new();
        for process in 1..processes {
            let path = object(epoch, &format!("process-{process}"));
            match self.get(&path) {
                Ok(bytes) => all.extend(opened::<Vec<Part>>(&path, &bytes)?),
                Err(CheckpointError::Store {
                    error: object_store::Error::NotFound { .. },
                    ..
                }) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(all))
    }

    /// Writes the manifest: from now on the checkpoint is whole.
    ///
    /// # Errors
    ///
    /// When the store refuses, or the place is another job's by now.
    pub fn write_manifest(&self, manifest: &Manifest) -> Result<(), CheckpointError> {
        match self.owner()? {
            Some(theirs) => self.is_own(theirs)?,
            None => self.mark()?,
        }
        self.put(&object(manifest.epoch, "manifest"), sealed(manifest))
    }

    /// Everything that is there, the newest first; parts without a manifest too.
    ///
    /// # Errors
    ///
    /// When the store refuses.
    pub fn list(&self) -> Result<Vec<Listed>, CheckpointError> {
        let listed = self.epochs()?.into_iter().map(|epoch| Listed {
            epoch,
            manifest: self.manifest(epoch),
        });
        Ok(listed.collect())
    }

    /// The epochs of all that is there, the newest first.
    fn epochs(&self) -> Result<Vec<Millis>, CheckpointError> {
        let listing = self.runtime.block_on(self.store.list_with_delimiter(None));
        let listing = listing.map_err(|error| CheckpointError::Store {
            object: "the list of checkpoints".to_owned(),
            error,
        })?;
        let epochs = listing.common_prefixes.iter().filter_map(|prefix| {
            let name = prefix.parts().next_back()?;
            name.as_ref().parse().ok().map(Millis)
        });
        let mut epochs: Vec<Millis> = epochs.collect();
        epochs.sort_unstable_by_key(|epoch| std::cmp::Reverse(*epoch));
        Ok(epochs)
    }

    /// What is wrong with a checkpoint that was asked for: one that was never there is not unfinished.
    fn or_absent(&self, error: CheckpointError, epoch: Millis) -> CheckpointError {
        const NAMED: usize = 10;
        if !matches!(error, CheckpointError::Unfinished { .. }) {
            return error;
        }
        let listed = match self.list() {
            Ok(listed) => listed,
            Err(error) => return error,
        };
        if listed.iter().any(|listed| listed.epoch == epoch) {
            return error;
        }
        let whole = listed.iter().filter(|listed| listed.manifest.is_ok());
        let whole: Vec<String> = whole.map(|listed| format!("`{}`", listed.epoch)).collect();
        let there = if whole.is_empty() {
            "none is there that is whole".to_owned()
        } else {
            let named = whole.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>();
            format!(
                "give one of {} (`riskflow checkpoint list` prints all {}), or a name",
                named.join(", "),
                whole.len()
            )
        };
        CheckpointError::Absent { epoch, there }
    }

    /// The manifest of a checkpoint.
    ///
    /// # Errors
    ///
    /// When there is none ([`CheckpointError::Unfinished`]), it is damaged, or of another format.
    pub fn manifest(&self, epoch: Millis) -> Result<Manifest, CheckpointError> {
        let path = object(epoch, "manifest");
        let bytes = self.get(&path).map_err(|error| error.or_unfinished(epoch))?;
        let manifest: Manifest = opened(&path, &bytes)?;
        let detail = if manifest.format != FORMAT {
            format!("its format is {}, this build reads {FORMAT}", manifest.format)
        } else if manifest.epoch != epoch {
            format!("it is that of epoch {}", manifest.epoch.0)
        } else {
            return Ok(manifest);
        };
        Err(CheckpointError::Damaged {
            object: path.to_string(),
            detail,
        })
    }

    /// Reads all of a checkpoint.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it.
    pub fn verify(&self, manifest: &Manifest) -> Result<(), CheckpointError> {
        for (fold, wanted) in &manifest.folds {
            let found = manifest.parts.iter().filter(|part| part.fold == *fold).count();
            if found != *wanted {
                return Err(CheckpointError::Damaged {
                    object: object(manifest.epoch, "manifest").to_string(),
                    detail: format!("of the {wanted} parts of `{fold}` it names {found}"),
                });
            }
        }
        let mut parts = manifest.parts.iter();
        parts.try_for_each(|part| self.read_part(manifest.epoch, part).map(drop))
    }

    /// Reads what stands beside the checkpoints: whose they are, and what the job notes. Gives each that is there, by its name.
    #[must_use]
    pub fn verify_beside(&self) -> Vec<(&'static str, Result<(), CheckpointError>)> {
        let names = [JOB, Meaning::NAME, FORETOLD];
        let look = |name: &'static str| {
            let path = ObjectPath::from(name);
            let sound = match self.get(&path) {
                Ok(bytes) => opened::<serde_json::Value>(&path, &bytes).map(drop),
                Err(CheckpointError::Store {
                    error: object_store::Error::NotFound { .. },
                    ..
                }) => return None,
                Err(error) => Err(error),
            };
            Some((name, sound))
        };
        names.into_iter().filter_map(look).collect()
    }

    /// The newest checkpoint that is whole and sound and that `useful` accepts. Those before it that are not are named in
    /// the log.
    ///
    /// # Errors
    ///
    /// When the store cannot be listed, or one is another job's: somebody put it there.
    pub fn newest(&self, useful: impl Fn(&Manifest) -> bool) -> Result<Option<Manifest>, CheckpointError> {
        for Listed { epoch, manifest } in self.list()? {
            let sound = manifest.and_then(|manifest| self.verify(&manifest).map(|()| manifest));
            if let Ok(Some(theirs)) = sound.as_ref().map(|manifest| manifest.job.clone()) {
                self.is_own(theirs)?;
            }
            match sound {
                Ok(manifest) if useful(&manifest) => return Ok(Some(manifest)),
                Ok(_) => warn!(
                    epoch = epoch.0,
                    "this checkpoint does not fit the progress, trying the one before"
                ),
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    warn!(
                        epoch = epoch.0,
                        error, "this checkpoint is not used, trying the one before"
                    );
                }
            }
        }
        Ok(None)
    }

    /// Deletes everything but the newest `keep` that have a manifest, what is newer than those (it may be under way), and what has a
    /// name. Returns the epochs that went.
    ///
    /// # Errors
    ///
    /// When the store refuses.
    pub fn prune(&self, keep: usize) -> Result<Vec<Millis>, CheckpointError> {
        let (listed, pinned) = (self.list()?, self.pinned()?);
        let whole = listed.iter().filter(|listed| listed.manifest.is_ok());
        let Some(oldest) = whole.map(|listed| listed.epoch).nth(keep.max(1) - 1) else {
            return Ok(Vec::new());
        };
        let old: Vec<Millis> = listed
            .iter()
            .map(|listed| listed.epoch)
            .filter(|epoch| *epoch < oldest && !pinned.contains(epoch))
            .collect();
        // One that cannot be deleted keeps no other.
        let failed = old.iter().filter_map(|epoch| self.remove(*epoch).err()).next_back();
        failed.map_or(Ok(old), Err)
    }

    /// Deletes the checkpoint of an epoch.
    ///
    /// # Errors
    ///
    /// When the store refuses.
    pub fn remove(&self, epoch: Millis) -> Result<(), CheckpointError> {
        // The manifest first: what is left after a crash is not taken for a checkpoint.
        self.delete(&object(epoch, "manifest"))?;
        let folder = ObjectPath::from(format!("{:020}", epoch.0));
        for object in self.objects(&folder)? {
            self.delete(&object.location)?;
        }
        if let Some(root) = &self.folder {
            // The folder of one that failed before anything was in it; with anything in it, it stays.
            let _ = std::fs::remove_dir(root.join(folder.as_ref()));
        }
        Ok(())
    }

    fn put(&self, path: &ObjectPath, bytes: Vec<u8>) -> Result<(), CheckpointError> {
        crate::disk_full("checkpoint::disk_full").map_err(|error| store(path)(generic(error)))?;
        let put = self.runtime.block_on(self.store.put(path, PutPayload::from(bytes)));
        put.map(drop).map_err(store(path))
    }

    fn get(&self, path: &ObjectPath) -> Result<Vec<u8>, CheckpointError> {
        let got = self
            .runtime
            .block_on(async { self.store.get(path).await?.bytes().await });
        got.map(Vec::from).map_err(store(path))
    }

    fn delete(&self, path: &ObjectPath) -> Result<(), CheckpointError> {
        crate::disk_full("checkpoint::not_deleted").map_err(|error| store(path)(generic(error)))?;
        match self.runtime.block_on(self.store.delete(path)) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(store(path)(error)),
        }
    }
}

/// The object that says whose checkpoints these are.
const JOB: &str = "job";

fn object(epoch: Millis, name: &str) -> ObjectPath {
    ObjectPath::from(format!("{:020}/{name}", epoch.0))
}

fn store(path: &ObjectPath) -> impl FnOnce(object_store::Error) -> CheckpointError {
    let object = path.to_string();
    |error| CheckpointError::Store { object, error }
}

fn generic(error: impl std::error::Error + Send + Sync + 'static) -> object_store::Error {
    object_store::Error::Generic {
        store: "riskflow",
        source: Box::new(error),
    }
}
