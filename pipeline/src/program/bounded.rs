//! Files that are read whole: no further than what they are may be long. A device or a pipe has no end that its length tells.

use std::fs::{File, Metadata};
use std::io::{self, IsTerminal as _, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

/// The content of a file.
///
/// # Errors
///
/// When it cannot be read, or has more than so many bytes.
pub fn bytes(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let read = File::open(path)?.take(most + 1).read_to_end(&mut content)?;
    if read as u64 > most {
        return Err(io::Error::other(format!("it has more than {} MiB", most >> 20)));
    }
    Ok(content)
}

/// The same as text.
///
/// # Errors
///
/// As [`bytes`], and when it is no UTF-8.
pub fn text(path: &Path, most: u64) -> io::Result<String> {
    String::from_utf8(bytes(path, most)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Whether this is a device that brings records by mistake only: its bytes have no end, or are a disk. A terminal ends with ctrl-d, and
/// `/dev/null` at once.
pub fn is_device(path: &Path, about: &Metadata) -> bool {
    if about.file_type().is_block_device() {
        return true;
    }
    if !about.file_type().is_char_device() {
        return false;
    }
    let is_null = std::fs::metadata("/dev/null").is_ok_and(|null| null.rdev() == about.rdev());
    !is_null && !File::open(path).is_ok_and(|device| device.is_terminal())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_longer_than_it_may_be_is_not_read() {
        let said = bytes(Path::new("/dev/zero"), 1 << 20).unwrap_err().to_string();
        assert_eq!(said, "it has more than 1 MiB");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "four").unwrap();
        assert_eq!(text(&path, 4).unwrap(), "four");
        assert!(text(&path, 3).is_err());
    }

    #[test]
    fn devices_are_told_from_files() {
        for (path, device) in [
            ("/dev/zero", true),
            ("/dev/urandom", true),
            ("/dev/null", false),
            ("/proc/self/status", false),
        ] {
            let about = std::fs::metadata(path).unwrap();
            assert_eq!(is_device(Path::new(path), &about), device, "{path}");
        }
    }
}
