//! Whether the files of a configuration changed.
//!
//! They are read, not asked for their times: a file of a ConfigMap is a link to a link that is put in another's place, a time may be set back,
//! and what was written once more as it was is no change. They are small, and looked at once a second.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// So much of a file is looked at, in bytes: what is larger is no configuration, and no secret.
const LARGEST: u64 = 16 << 20;

/// What files hold, by their names; `None` where one cannot be read.
type Prints = BTreeMap<PathBuf, Option<[u8; 32]>>;

/// Looks after files.
#[derive(Debug)]
pub struct Watch {
    /// As they were when they were read.
    read: Prints,
    /// As they were at the last look, if that was otherwise.
    turned: Option<Prints>,
}

impl Watch {
    /// Looks after these, which are read after this.
    pub fn new(files: &BTreeSet<PathBuf>) -> Self {
        Self {
            read: prints(files),
            turned: None,
        }
    }

    /// Whether they hold something else than when they were read, and did already at the look before: what is being written is left to be
    /// written. A file more or less is a change, too: what it held when it was read is not known.
    pub fn turned(&mut self, files: &BTreeSet<PathBuf>) -> bool {
        let now = prints(files);
        if now == self.read {
            self.turned = None;
            return false;
        }
        let stands = self.turned.as_ref() == Some(&now);
        self.turned = Some(now);
        stands
    }

    /// They are read after this.
    pub fn note(&mut self, files: &BTreeSet<PathBuf>) {
        *self = Self::new(files);
    }

    /// Now that they were read it is known that it is these, and no others.
    pub fn settle(&mut self, files: &BTreeSet<PathBuf>) {
        self.read.retain(|file, _| files.contains(file));
        for file in files {
            self.read.entry(file.clone()).or_insert_with(|| print(file));
        }
    }
}

fn prints(files: &BTreeSet<PathBuf>) -> Prints {
    files.iter().map(|file| (file.clone(), print(file))).collect()
}

fn print(file: &Path) -> Option<[u8; 32]> {
    // A pipe is not opened: that would wait for its writer.
    if !std::fs::metadata(file).ok()?.is_file() {
        return None;
    }
    let mut content = Vec::new();
    File::open(file).ok()?.take(LARGEST).read_to_end(&mut content).ok()?;
    Some(Sha256::digest(&content).into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_change_is_one_when_it_stands_and_once_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("riskflow.toml");
        let files = BTreeSet::from([file.clone()]);
        let put = |text: &str| std::fs::write(&file, text).unwrap();
        put("a");
        let mut watch = Watch::new(&files);
        assert!(!watch.turned(&files) && !watch.turned(&files));
        put("a");
        assert!(!watch.turned(&files), "written once more as it was");
        put("b, being wri");
        assert!(!watch.turned(&files));
        put("b, being written");
        assert!(!watch.turned(&files), "it did not stand yet");
        assert!(watch.turned(&files));
        watch.note(&files);
        assert!(!watch.turned(&files));
        // Back before anybody read it: nothing to read.
        put("c");
        assert!(!watch.turned(&files));
        put("b, being written");
        assert!(!watch.turned(&files) && !watch.turned(&files));
    }

    #[test]
    fn what_is_put_in_anothers_place_goes_or_comes_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        // As Kubernetes mounts a ConfigMap: the folder behind a link is changed for another, whose files are as old as they like.
        for (version, text) in [("one", "a"), ("two", "b")] {
            std::fs::create_dir(at(version)).unwrap();
            std::fs::write(at(version).join("riskflow.toml"), text).unwrap();
        }
        let point_to = |version: &str| {
            symlink(version, at("new")).unwrap();
            std::fs::rename(at("new"), at("data")).unwrap();
        };
        point_to("one");
        symlink("data/riskflow.toml", at("riskflow.toml")).unwrap();
        let files = BTreeSet::from([at("riskflow.toml"), at("secret")]);
        let mut watch = Watch::new(&files);
        let mut changes = |files: &BTreeSet<PathBuf>| {
            let turned = watch.turned(files) || watch.turned(files);
            if turned {
                watch.note(files);
            }
            turned
        };
        assert!(!changes(&files));
        point_to("two");
        assert!(changes(&files) && !changes(&files));
        std::fs::write(at("secret"), "s").unwrap();
        assert!(changes(&files) && !changes(&files), "it came");
        std::fs::remove_file(at("data")).unwrap();
        assert!(changes(&files) && !changes(&files), "it is gone");
        let fewer = BTreeSet::from([at("riskflow.toml")]);
        assert!(changes(&fewer) && !changes(&fewer), "another set of files");
        watch.settle(&files);
        assert!(
            !watch.turned(&files) && !watch.turned(&files),
            "the same, once it is known"
        );
    }
}
