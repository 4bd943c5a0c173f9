//! How many files stay open.
//!
//! A log has many more partitions than a process may open files. Whoever uses a file asks for a permit; with one it keeps the
//! file open while nothing is to be done, without one it closes it after each use. So a small log costs no opening, and a
//! large one works.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

/// Files that stay open in a process, over all logs. Half of the common limit of 1,024: the rest is for connections.
pub const MOST_OPEN: usize = 512;

/// How many files may yet stay open.
pub(super) struct Handles(AtomicUsize);

impl Handles {
    pub fn of(most: usize) -> Arc<Self> {
        Arc::new(Self(AtomicUsize::new(most)))
    }

    /// Those of this process.
    pub fn shared() -> Arc<Self> {
        static SHARED: OnceLock<Arc<Handles>> = OnceLock::new();
        Arc::clone(SHARED.get_or_init(|| Self::of(MOST_OPEN)))
    }

    fn permit(self: &Arc<Self>) -> Option<Permit> {
        let taken = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        taken.is_ok().then(|| Permit(Arc::clone(self)))
    }
}

/// The right to keep one file open.
struct Permit(Arc<Handles>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// An open file.
pub(super) struct Held {
    pub file: File,
    permit: Option<Permit>,
}

impl Held {
    pub fn new(file: File, handles: &Arc<Handles>) -> Self {
        let permit = handles.permit();
        Self { file, permit }
    }

    /// Whether it may stay open while nothing is to be done.
    pub const fn may_stay(&self) -> bool {
        self.permit.is_some()
    }
}

/// Which file it is: device, inode, and where the file system knows it the time when it was made, for the number of an inode
/// that is gone is used again.
pub(super) type FileId = (u64, u64, Option<SystemTime>);

/// What the system says of the file that lies under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Which file it is.
    pub id: FileId,
    pub bytes: u64,
    /// When it was last changed in any way, which nobody can set: seconds and nanoseconds.
    pub changed: (i64, i64),
}

impl Found {
    /// `None` if no file has this name.
    pub fn at(path: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(Self::of(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub fn of(metadata: &Metadata) -> Self {
        Self {
            id: (metadata.dev(), metadata.ino(), metadata.created().ok()),
            bytes: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_is_given_back() {
        let handles = Handles::of(1);
        let open = || Held::new(File::open("/dev/null").unwrap(), &handles);
        let first = open();
        assert!(first.may_stay() && !open().may_stay());
        drop(first);
        assert!(open().may_stay());
    }
}
