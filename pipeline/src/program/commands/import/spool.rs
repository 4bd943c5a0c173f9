//! Copies of what can be read only once, of no more than there is room for: what never ends would fill the disk.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nix::sys::statvfs::statvfs;

use crate::program::bounded::is_device;
use crate::program::exit::Usage;
use crate::program::terminal::Live;

/// The path that standard input has, where it has one.
const STDIN: &str = "/dev/stdin";

/// Bytes that are copied at once.
const PIECE: usize = 1 << 20;

/// So many pieces are copied between two looks at the disk.
const LOOK: u64 = 64;

/// A copy may leave no less of a disk free than one part in so many: others need it, too, and a job whose disk is full waits.
const KEPT: u64 = 20;

/// How much may be copied, and where to.
#[derive(Clone, Debug)]
pub struct Room {
    /// The folder of the copies.
    pub folder: PathBuf,
    /// At most so many bytes each.
    pub most: u64,
}

impl Room {
    /// In the folder for such things.
    pub fn of(mebibytes: u64) -> Self {
        Self {
            folder: std::env::temp_dir(),
            most: mebibytes.saturating_mul(1 << 20),
        }
    }

    /// Copies what is read there, or standard input, to a file with this ending.
    ///
    /// # Errors
    ///
    /// [`Usage`] where it is longer than what may be copied, or the disk has no more room; and where it cannot be read or written.
    /// Then no copy is left.
    pub fn copy(&self, path: &Path, is_stdin: bool, ending: Option<&std::ffi::OsStr>) -> Result<PathBuf> {
        let mut copy = self.folder.join(format!("riskflow-import-{}", uuid::Uuid::new_v4()));
        if let Some(ending) = ending {
            copy.set_extension(ending);
        }
        let to = fs::OpenOptions::new().write(true).create_new(true).open(&copy);
        let to = to.with_context(|| format!("could not make a copy in `{}`", self.folder.display()))?;
        let copied = if is_stdin {
            self.pieces("-", &mut io::stdin().lock(), to)
        } else {
            let from = File::open(path);
            let from = from.with_context(|| format!("could not read `{}`", path.display()));
            from.and_then(|mut from| self.pieces(&path.display().to_string(), &mut from, to))
        };
        copied.map(|()| copy.clone()).inspect_err(|_| {
            // The error of the copy is what counts.
            let _ = fs::remove_file(&copy);
        })
    }

    fn pieces(&self, name: &str, from: &mut dyn Read, mut to: File) -> Result<()> {
        let mut live = Live::new(false);
        let mut piece = vec![0; PIECE];
        let (mut copied, mut pieces) = (0_u64, 0_u64);
        loop {
            if pieces.is_multiple_of(LOOK) {
                self.look(name, copied)?;
            }
            let read = match from.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).with_context(|| format!("could not read `{name}`")),
            };
            copied += read as u64;
            pieces += 1;
            if copied > self.most {
                return Err(self.no_more(name, self.most, "may be copied, and it goes on"));
            }
            to.write_all(&piece[..read])
                .with_context(|| format!("could not write the copy of `{name}` in `{}`", self.folder.display()))?;
            live.show(|| vec![format!("copying `{name}`: {} MiB", copied >> 20)]);
        }
    }

    /// Whether the disk has room for more.
    fn look(&self, name: &str, copied: u64) -> Result<()> {
        // A disk that says nothing may have room: writing tells.
        let Ok(disk) = statvfs(&self.folder) else {
            return Ok(());
        };
        if disk.blocks_available() < disk.blocks() / KEPT {
            let says = format!(
                "fit beside the twentieth of the disk of `{}` that stays free",
                self.folder.display()
            );
            return Err(self.no_more(name, copied, &says));
        }
        Ok(())
    }

    fn no_more(&self, name: &str, copied: u64, why: &str) -> anyhow::Error {
        let says = format!(
            "`{name}` can be read only once, so it is copied first: no more than {} MiB {why}; give a file in its place (`… | head` or \
             `timeout` for what never ends), a larger `--copy-limit` ({} MiB now), or another folder in the variable TMPDIR",
            copied >> 20,
            self.most >> 20
        );
        Usage(says).into()
    }
}

/// Whether a name stands for a device that has no records, or no end; standard input may be one, too.
pub fn is_no_history(path: &Path, is_stdin: bool) -> bool {
    let path = if is_stdin { Path::new(STDIN) } else { path };
    // What has no name is no device.
    fs::metadata(path).is_ok_and(|about| is_device(path, &about))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Brings bytes without end.
    struct Endless;

    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            buffer.fill(b'x');
            Ok(buffer.len())
        }
    }

    fn room(folder: &Path, most: u64) -> Room {
        Room {
            folder: folder.to_owned(),
            most,
        }
    }

    #[test]
    fn what_never_ends_is_copied_up_to_the_limit_and_no_copy_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let room = room(folder.path(), 3 << 20);
        let to = File::create(folder.path().join("to")).unwrap();
        let said = room.pieces("-", &mut Endless, to).unwrap_err();
        assert!(said.downcast_ref::<Usage>().is_some(), "{said:#}");
        assert!(
            said.to_string().contains("no more than 3 MiB may be copied") && said.to_string().contains("--copy-limit")
        );
        assert_eq!(fs::metadata(folder.path().join("to")).unwrap().len(), 3 << 20);
        fs::remove_file(folder.path().join("to")).unwrap();

        room.copy(Path::new("/dev/zero"), false, None).unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_fits_is_copied_as_it_is_under_its_ending() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("a.csv");
        fs::write(&from, "id\nx\n").unwrap();
        let copy = room(folder.path(), 5).copy(&from, false, Some("csv".as_ref())).unwrap();
        assert_eq!(copy.extension(), Some("csv".as_ref()));
        assert_eq!(fs::read_to_string(&copy).unwrap(), "id\nx\n");
    }
}
