//! Whose files are: whoever makes one owns it, and another user's process cannot append to it.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::{Uid, User};

/// The superuser, who writes whatever there is.
const ROOT: u32 = 0;

/// As whom this process makes files: its effective user.
#[must_use]
pub fn user() -> u32 {
    Uid::effective().as_raw()
}

/// What a user is called here; its number where it has no name.
#[must_use]
pub fn name(user: u32) -> String {
    let found = User::from_uid(Uid::from_raw(user)).ok().flatten();
    found.map_or_else(|| user.to_string(), |found| found.name)
}

/// Whose a folder or file is; `None` where it is not there or cannot be looked at.
#[must_use]
pub fn of(path: &Path) -> Option<u32> {
    fs::metadata(path).ok().map(|about| about.uid())
}

/// The owner of a folder, where what this process makes in it would be another's, and so nothing that the owner can write.
pub(crate) fn other_than_ours(folder: &Path) -> Option<u32> {
    let owner = of(folder)?;
    if !keeps_out(owner, user()) {
        return None;
    }
    // Some file systems give all files to one user, whoever makes them.
    (made_in(folder)? != owner).then_some(owner)
}

/// Whether files of `user` are none that `owner` can write.
const fn keeps_out(owner: u32, user: u32) -> bool {
    owner != user && owner != ROOT
}

/// Whose a file is that this process makes here; `None` where it may make none.
fn made_in(folder: &Path) -> Option<u32> {
    let path = folder.join(format!(".owner-{}", std::process::id()));
    let file = OpenOptions::new().write(true).create_new(true).open(&path).ok()?;
    let made = file.metadata().ok().map(|about| about.uid());
    // What stays after a failure here is an empty file that nothing reads.
    drop(fs::remove_file(&path));
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_another_keep_all_out_but_root() {
        assert!(keeps_out(998, 0) && keeps_out(998, 1000));
        assert!(!keeps_out(998, 998) && !keeps_out(0, 998) && !keeps_out(0, 0));
    }

    #[test]
    fn what_is_made_in_an_own_folder_is_ours_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(of(folder.path()), Some(user()));
        assert_eq!(made_in(folder.path()), Some(user()));
        assert_eq!(other_than_ours(folder.path()), None);
        assert_eq!(other_than_ours(&folder.path().join("none")), None);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(!name(user()).is_empty());
    }
}
