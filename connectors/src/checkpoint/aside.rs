//! Checkpoints with a name that no start may take any more: put aside, for a name is the operator's word that one is to be kept.
//!
//! ```text
//!   <path>/aside/<epoch, 20 digits>/…               what the checkpoint was
//!   <path>/aside/pins/<name>/<epoch, 20 digits>     its names
//! ```
//!
//! Nothing here reads or deletes what lies there: whoever moves both back has the checkpoint again.

use futures_util::TryStreamExt as _;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectMeta, ObjectStore as _, ObjectStoreExt as _};
use riskflow_model::Millis;

use super::error::CheckpointError;
use super::pins::pin_path;
use super::{CheckpointStore, store};

/// Where they lie.
const ASIDE: &str = "aside";

impl CheckpointStore {
    /// Deletes all checkpoints; those that have a name are put aside, with their names.
    ///
    /// # Errors
    ///
    /// When the store refuses.
    pub fn clear(&self) -> Result<(), CheckpointError> {
        let epochs = self.epochs()?;
        // A name of one that is gone names nothing more.
        for pin in self.pins()?.iter().filter(|pin| !epochs.contains(&pin.epoch)) {
            self.unpin(&pin.name)?;
        }
        epochs.into_iter().try_for_each(|epoch| self.take_away(epoch))
    }

    /// Deletes a checkpoint that no start may take, or puts it aside with its names, if it has any.
    ///
    /// # Errors
    ///
    /// When the store refuses.
    pub fn take_away(&self, epoch: Millis) -> Result<(), CheckpointError> {
        let pins: Vec<_> = self.pins()?.into_iter().filter(|pin| pin.epoch == epoch).collect();
        if pins.is_empty() {
            return self.remove(epoch);
        }
        // All of it is there before anything goes: whenever this breaks off, one of both is whole.
        for object in self.objects(&ObjectPath::from(format!("{:020}", epoch.0)))? {
            self.copy_aside(&object.location)?;
        }
        for pin in &pins {
            self.copy_aside(&pin_path(&pin.name, epoch))?;
        }
        self.remove(epoch)?;
        for pin in &pins {
            self.delete(&pin_path(&pin.name, epoch))?;
            tracing::warn!(
                name = pin.name,
                %epoch,
                "no start may go on from this checkpoint any more: it is put aside with its name, in `{ASIDE}` beside the others, and \
                 deleted by nobody"
            );
        }
        Ok(())
    }

    fn copy_aside(&self, from: &ObjectPath) -> Result<(), CheckpointError> {
        let to = ObjectPath::from(format!("{ASIDE}/{from}"));
        self.runtime.block_on(self.store.copy(from, &to)).map_err(store(&to))
    }

    /// All that lies within.
    pub(super) fn objects(&self, folder: &ObjectPath) -> Result<Vec<ObjectMeta>, CheckpointError> {
        let objects: Result<Vec<_>, _> = self.runtime.block_on(self.store.list(Some(folder)).try_collect());
        objects.map_err(store(folder))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::written;
    use super::*;

    #[test]
    fn what_has_a_name_is_put_aside_and_can_be_put_back() {
        let folder = tempfile::tempdir().unwrap();
        for epoch in [10, 20, 30] {
            written(folder.path(), epoch);
        }
        let store = CheckpointStore::open(folder.path().to_str().unwrap()).unwrap();
        store.pin("before", Millis(20)).unwrap();
        store.pin("again", Millis(20)).unwrap();
        store.clear().unwrap();
        assert!(store.list().unwrap().is_empty());
        assert!(store.pins().unwrap().is_empty());
        assert!(
            store.newest(|_| true).unwrap().is_none(),
            "no start takes what is aside"
        );
        store.clear().unwrap();

        let aside = folder.path().join(ASIDE);
        let name = format!("{:020}", 20);
        std::fs::rename(aside.join(&name), folder.path().join(&name)).unwrap();
        for pin in ["before", "again"] {
            let place = folder.path().join("pins").join(pin);
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            std::fs::rename(aside.join("pins").join(pin), place).unwrap();
        }
        let epoch = store.named("before").unwrap();
        assert_eq!(store.sound(epoch).unwrap().epoch, Millis(20));
        assert_eq!(store.pins().unwrap().len(), 2);
    }

    #[test]
    fn what_has_no_name_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = written(folder.path(), 10);
        store.take_away(Millis(10)).unwrap();
        assert!(store.list().unwrap().is_empty());
        assert!(!folder.path().join(ASIDE).exists());
    }
}
