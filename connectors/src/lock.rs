//! Locks of folders and files. A lock is on the folder (or file) itself: there is no lock file that a clean-up could take away.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

/// A folder (or file) that is locked. Dropping it gives the lock back.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Locks what is held by nobody else; `None` where somebody holds it.
    ///
    /// # Errors
    ///
    /// When it is not there, or the system refuses.
    pub fn alone(path: &Path) -> io::Result<Option<Self>> {
        Self::with(path, File::try_lock)
    }

    /// Locks what nobody holds alone; `None` where somebody does.
    ///
    /// # Errors
    ///
    /// When it is not there, or the system refuses.
    pub fn shared(path: &Path) -> io::Result<Option<Self>> {
        Self::with(path, File::try_lock_shared)
    }

    fn with(path: &Path, lock: impl Fn(&File) -> Result<(), TryLockError>) -> io::Result<Option<Self>> {
        let file = File::open(path)?;
        match lock(&file) {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for Lock {
    /// Unlocks, instead of only closing the file: a lock lasts as long as any copy of its handle, and a program that this process starts
    /// at the same time has one until it is loaded.
    fn drop(&mut self) {
        // What cannot be unlocked is given back when the file is closed, next.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_given_back_although_a_copy_of_its_handle_is_open() {
        let folder = tempfile::tempdir().unwrap();
        let take = || Lock::alone(folder.path()).unwrap();
        let lock = take().unwrap();
        // What a program that is started has, until it is loaded.
        let copy = lock.0.try_clone().unwrap();
        assert!(take().is_none());
        drop(lock);
        assert!(take().is_some());
        drop(copy);
    }

    #[test]
    fn who_shares_keeps_out_who_wants_it_alone() {
        let folder = tempfile::tempdir().unwrap();
        let first = Lock::shared(folder.path()).unwrap().unwrap();
        let second = Lock::shared(folder.path()).unwrap().unwrap();
        drop(first);
        assert!(Lock::alone(folder.path()).unwrap().is_none());
        drop(second);
        let alone = Lock::alone(folder.path()).unwrap();
        assert!(alone.is_some());
        assert!(Lock::shared(folder.path()).unwrap().is_none());
    }
}
