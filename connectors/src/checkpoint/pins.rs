//! Names under which checkpoints are kept: a checkpoint that has one is deleted by nobody but whoever takes the name away.
//!
//! ```text
//!   <path>/pins/<name>/<epoch, 20 digits>      a name, and the checkpoint that it is of
//! ```
//!
//! All that counts stands in the path, so one listing tells all names; what lies there is for people. A job counts a checkpoint that has
//! a name among those that it may have to go back to: `out.progress` and an embedded log's input reach back to it, also where this
//! version cannot read it.

use std::collections::BTreeSet;

use object_store::path::Path as ObjectPath;
use riskflow_model::Millis;
use serde_json::json;

use super::error::CheckpointError;
use super::manifest::{Listed, Manifest};
use super::sealed::sealed;
use super::{CheckpointStore, object};

/// Where names lie.
const PINS: &str = "pins";

/// A name has at most so many bytes.
const LONGEST: usize = 64;

/// A checkpoint that is kept under a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pin {
    /// The epoch of the checkpoint.
    pub epoch: Millis,
    /// The name.
    pub name: String,
}

/// Whether a text can be the name of a checkpoint: a letter, then letters, digits, `.`, `_` and `-`, 64 at most. So no time and no number
/// is one.
#[must_use]
pub fn is_pin_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
        && text.len() <= LONGEST
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

impl CheckpointStore {
    /// All names, by epoch: also those of checkpoints that are gone.
    ///
    /// # Errors
    ///
    /// When the store refuses.
    pub fn pins(&self) -> Result<Vec<Pin>, CheckpointError> {
        let listed = self.objects(&ObjectPath::from(PINS))?;
        let mut pins: Vec<Pin> = listed.iter().filter_map(|object| pin_at(&object.location)).collect();
        pins.sort_unstable();
        Ok(pins)
    }

    /// The epochs of checkpoints that have a name.
    ///
    /// # Errors
    ///
    /// When the store refuses.
    pub fn pinned(&self) -> Result<BTreeSet<Millis>, CheckpointError> {
        Ok(self.pins()?.into_iter().map(|pin| pin.epoch).collect())
    }

    /// Keeps a checkpoint that is whole under a name. The same once more changes nothing.
    ///
    /// # Errors
    ///
    /// When the name is none, or another checkpoint's; when the checkpoint is not whole, or the store refuses.
    pub fn pin(&self, name: &str, epoch: Millis) -> Result<(), CheckpointError> {
        if !is_pin_name(name) {
            return Err(CheckpointError::PinName { name: name.to_owned() });
        }
        let others = self.pins()?.into_iter().filter(|pin| pin.name == name);
        if let Some(other) = others.map(|pin| pin.epoch).find(|other| *other != epoch) {
            return Err(CheckpointError::Pinned {
                name: name.to_owned(),
                epoch: other,
            });
        }
        // One of another format may be pinned, too: an older version reads it.
        self.get(&object(epoch, "manifest"))
            .map_err(|error| self.or_absent(error.or_unfinished(epoch), epoch))?;
        let note = json!({ "name": name, "epoch": epoch, "version": env!("CARGO_PKG_VERSION") });
        self.put(&pin_path(name, epoch), sealed(&note))
    }

    /// Takes a name away; the checkpoint goes when its turn comes. Returns whether there was such a name.
    ///
    /// # Errors
    ///
    /// When the store refuses.
    pub fn unpin(&self, name: &str) -> Result<bool, CheckpointError> {
        let pins: Vec<Pin> = self.pins()?.into_iter().filter(|pin| pin.name == name).collect();
        for pin in &pins {
            self.delete(&pin_path(name, pin.epoch))?;
        }
        Ok(!pins.is_empty())
    }

    /// The epoch of the checkpoint that is meant: by its name, its time as it is listed, or the number of its folder. It need not be there.
    ///
    /// # Errors
    ///
    /// When nothing has that name, or the store refuses.
    pub fn named(&self, name: &str) -> Result<Millis, CheckpointError> {
        // A folder of twenty digits is a number of milliseconds, whatever else twenty digits may be.
        if let Ok(number) = name.parse() {
            return Ok(Millis(number));
        }
        if let Ok(time) = name.parse() {
            return Ok(time);
        }
        let pins = self.pins()?;
        let found = pins.iter().rev().find(|pin| pin.name == name);
        found.map(|pin| pin.epoch).ok_or_else(|| {
            let names: BTreeSet<&str> = pins.iter().map(|pin| &*pin.name).collect();
            CheckpointError::NoPin {
                name: name.to_owned(),
                names: names.into_iter().collect::<Vec<_>>().join("`, `"),
            }
        })
    }

    /// The manifest of this checkpoint, once all of it was read.
    ///
    /// # Errors
    ///
    /// When it is not there, not whole, not sound, or another job's.
    pub fn sound(&self, epoch: Millis) -> Result<Manifest, CheckpointError> {
        let manifest = self.manifest(epoch).map_err(|error| self.or_absent(error, epoch))?;
        if let Some(theirs) = manifest.job.clone() {
            self.is_own(theirs)?;
        }
        self.verify(&manifest)?;
        Ok(manifest)
    }

    /// Deletes what is newer than this checkpoint: a job that goes on from it must not find the others at a later start. Returns the epochs
    /// that went.
    ///
    /// # Errors
    ///
    /// When one of them has a name, and then none goes; or the store refuses.
    pub fn remove_newer(&self, epoch: Millis) -> Result<Vec<Millis>, CheckpointError> {
        let newer = self.list()?.into_iter().map(|Listed { epoch, .. }| epoch);
        let newer: Vec<Millis> = newer.filter(|other| *other > epoch).collect();
        if let Some(pin) = self.pins()?.into_iter().find(|pin| newer.contains(&pin.epoch)) {
            return Err(CheckpointError::NewerPinned {
                name: pin.name,
                epoch: pin.epoch,
            });
        }
        newer.iter().try_for_each(|other| self.remove(*other))?;
        Ok(newer)
    }
}

pub(super) fn pin_path(name: &str, epoch: Millis) -> ObjectPath {
    ObjectPath::from(format!("{PINS}/{name}/{:020}", epoch.0))
}

/// The name that lies there; `None` if it is nothing of ours.
fn pin_at(path: &ObjectPath) -> Option<Pin> {
    let mut parts = path.parts();
    let (pins, name, epoch) = (parts.next()?, parts.next()?, parts.next()?);
    let epoch = epoch.as_ref().parse().ok()?;
    (pins.as_ref() == PINS && is_pin_name(name.as_ref()) && parts.next().is_none()).then(|| Pin {
        epoch: Millis(epoch),
        name: name.as_ref().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::written;
    use super::*;

    fn store(folder: &std::path::Path) -> CheckpointStore {
        CheckpointStore::open(folder.to_str().unwrap()).unwrap()
    }

    #[test]
    fn what_has_a_name_stays_until_the_name_goes() {
        let folder = tempfile::tempdir().unwrap();
        for epoch in [10, 20, 30] {
            written(folder.path(), epoch);
        }
        let store = store(folder.path());
        assert!(store.pins().unwrap().is_empty());
        store.pin("before", Millis(10)).unwrap();
        store.pin("before", Millis(10)).unwrap();
        let taken = store.pin("before", Millis(20)).unwrap_err().to_string();
        assert!(taken.contains("`before`") && taken.contains("unpin"), "{taken}");
        assert_eq!(store.prune(1).unwrap(), [Millis(20)]);
        let left = || -> Vec<i64> { store.list().unwrap().iter().map(|listed| listed.epoch.0).collect() };
        assert_eq!(left(), [30, 10], "names are no checkpoints");
        assert_eq!(store.pinned().unwrap(), BTreeSet::from([Millis(10)]));
        assert!(store.unpin("before").unwrap());
        assert!(!store.unpin("before").unwrap());
        assert_eq!(store.prune(1).unwrap(), [Millis(10)]);
        assert_eq!(left(), [30]);
        assert!(store.pins().unwrap().is_empty());
    }

    #[test]
    fn only_what_is_whole_gets_a_name_and_only_what_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = written(folder.path(), 10);
        store
            .write_part(Millis(20), "latest", (0, 1), "half.part".into(), b"x")
            .unwrap();
        assert!(matches!(
            store.pin("half", Millis(20)),
            Err(CheckpointError::Unfinished { .. })
        ));
        for name in ["", "1", "2026-11-27", "../x", "a/b", "a b", "-a", &"a".repeat(65)] {
            assert!(
                matches!(store.pin(name, Millis(10)), Err(CheckpointError::PinName { .. })),
                "{name}"
            );
        }
        for name in ["a", "before-0.4.1", &"a".repeat(64)] {
            store.pin(name, Millis(10)).unwrap();
        }
        assert_eq!(store.pins().unwrap().len(), 3);
    }

    #[test]
    fn a_checkpoint_is_known_by_name_by_time_and_by_folder() {
        let folder = tempfile::tempdir().unwrap();
        let epoch = Millis(1_627_171_200_000);
        let (store, _) = written(folder.path(), epoch.0);
        store.pin("before", epoch).unwrap();
        for name in ["before", "1627171200000", "00000001627171200000", &epoch.to_string()] {
            assert_eq!(store.named(name).unwrap(), epoch, "{name}");
        }
        let unknown = store.named("after").unwrap_err().to_string();
        assert!(unknown.contains("`after`") && unknown.contains("`before`"), "{unknown}");
        assert_eq!(store.sound(epoch).unwrap().epoch, epoch);
        // One that was never there is not unfinished.
        let absent = store.sound(Millis(epoch.0 + 1)).unwrap_err();
        assert!(matches!(&absent, CheckpointError::Absent { .. }), "{absent}");
        let said = absent.to_string();
        assert!(
            said.contains("no checkpoint of") && said.contains(&epoch.to_string()),
            "{said}"
        );
        assert!(matches!(store.pin("x", Millis(1)), Err(CheckpointError::Absent { .. })));
    }

    #[test]
    fn what_is_newer_goes_but_not_what_has_a_name() {
        let folder = tempfile::tempdir().unwrap();
        for epoch in [10, 20, 30] {
            written(folder.path(), epoch);
        }
        let store = store(folder.path());
        store.pin("later", Millis(30)).unwrap();
        let refused = store.remove_newer(Millis(10)).unwrap_err().to_string();
        assert!(refused.contains("`later`"), "{refused}");
        assert_eq!(store.list().unwrap().len(), 3);
        store.unpin("later").unwrap();
        assert_eq!(store.remove_newer(Millis(10)).unwrap(), [Millis(30), Millis(20)]);
        assert_eq!(store.list().unwrap().len(), 1);
    }
}
