//! Open files, and folders with their disks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;
use riskflow::runtime::recovery::is_definite;
use riskflow_config::{Input, Output, Settings};
use riskflow_connectors::owner;

use super::finding::{Findings, told};
use super::owners::owners;
use crate::program::limits::{OpenFiles, RAISE};

/// Less than one part in so many of a disk is little.
const LITTLE: u64 = 20;

/// Whether the process may open as many files as the job needs.
pub fn open_files(settings: &Settings, findings: &mut Findings) {
    const CHECK: &str = "open files";
    match OpenFiles::of(settings) {
        Err(error) => findings.skip(CHECK, told(error)),
        Ok(files) => match files.too_few() {
            Some(why) => findings.fail(CHECK, why, RAISE),
            None => {
                let (needed, allowed) = (files.needed(), files.allowed());
                findings.ok(CHECK, format!("{needed} at most, {allowed} allowed"));
            }
        },
    }
}

/// Whether the folders of the job may be written, and how much is free there.
pub fn folders(settings: &Settings, findings: &mut Findings) {
    for folder in written(settings) {
        look(&folder, findings);
        owners(&folder, findings);
    }
}

/// The folders that a job writes.
fn written(settings: &Settings) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    // An input log is tidied, and takes actions.
    if let Input::Log(folder) = &settings.input {
        folders.insert(folder.clone());
    }
    match &settings.output {
        Output::Log(folder) => drop(folders.insert(folder.clone())),
        Output::Files(files) => {
            let path = &files.folder;
            if path.as_os_str() != "-" && path != Path::new("/dev/null") {
                folders.insert(path.clone());
            }
        }
        Output::Kafka(_) => {}
    }
    let checkpoints = &settings.checkpoint.path;
    if is_definite(settings) && !checkpoints.contains("://") {
        folders.insert(checkpoints.into());
    }
    folders
}

fn look(folder: &Path, findings: &mut Findings) {
    const CHECK: &str = "folder";
    let shown = folder.display();
    let Some(there) = nearest(folder) else {
        findings.fail(CHECK, format!("`{shown}` lies nowhere"), "give a path that can be made");
        return;
    };
    if !there.is_dir() {
        let found = format!("`{}` is no folder", there.display());
        findings.fail(CHECK, found, "give another path, or move what is there");
        return;
    }
    // A file without a name: nobody sees it, and it goes with this process.
    if let Err(error) = tempfile::tempfile_in(&there) {
        let found = format!("`{}` cannot be written: {error}", there.display());
        let mut mend = "make it writable for the user of the job, which should be the one that runs this".to_owned();
        // Never of a folder above it, which may be anybody's.
        if there == folder {
            mend += &format!(": as root `chown -R {}: {shown}`", owner::name(owner::user()));
        }
        findings.fail(CHECK, found, mend);
        return;
    }
    let new = if there == folder { "" } else { ", not there yet" };
    let (free, all) = match statvfs(&there) {
        Ok(disk) => {
            let block = disk.fragment_size();
            (disk.blocks_available() * block, disk.blocks() * block)
        }
        Err(error) => {
            findings.warn(
                CHECK,
                format!("`{shown}` can be written{new}; its disk says nothing: {error}"),
                "look at it",
            );
            return;
        }
    };
    let found = format!("`{shown}` can be written{new}; {} of {} free", bytes(free), bytes(all));
    if free < all / LITTLE {
        findings.warn(CHECK, found, "make room: a job whose disk is full waits");
    } else {
        findings.ok(CHECK, found);
    }
}

/// The folder itself, or the first above it that is there.
fn nearest(folder: &Path) -> Option<PathBuf> {
    let here = |path: &Path| {
        if path.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            path.to_owned()
        }
    };
    folder.ancestors().map(here).find(|path| path.exists())
}

/// A number of bytes, for people.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut count, mut unit) = (count as f64, 0);
    while count >= 1024.0 && unit + 1 < UNITS.len() {
        count /= 1024.0;
        unit += 1;
    }
    format!("{count:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use riskflow_config::WrittenSettings;

    use super::super::finding::State;
    use super::*;

    #[test]
    fn folders_are_looked_at_whether_they_are_there_or_not() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        std::fs::write(&file, "").unwrap();
        let states = |folder: &Path| {
            let mut findings = Findings::default();
            look(folder, &mut findings);
            let told = findings.iter().map(|one| (one.state, one.found.clone()));
            told.collect::<Vec<(State, String)>>()
        };
        // What is free on this machine is none of the test's business.
        assert_ne!(states(root.path())[0].0, State::Fail);
        let deeper = root.path().join("a/b");
        let told = states(&deeper);
        assert!(
            told[0].0 != State::Fail && told[0].1.contains("not there yet"),
            "{told:?}"
        );
        assert!(!deeper.exists() && !root.path().join("a").exists());
        assert_eq!(states(&file)[0].0, State::Fail);
        assert_eq!(states(&file.join("b"))[0].0, State::Fail);
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1, "nothing is left");
    }

    #[test]
    fn what_a_job_writes_is_looked_at() {
        let of = |toml: &str| written(&WrittenSettings::from_toml(toml).unwrap().check().unwrap());
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<BTreeSet<_>>();
        assert_eq!(of(""), paths(&["data/log", "data/checkpoints"]));
        assert_eq!(of("checkpoint.path = \"s3://a/b\""), paths(&["data/log"]));
        let files = "output = { kind = \"files\", path = \"out\" }\ninput = { path = \"in\", clock = \"arrival\" }";
        assert_eq!(of(files), paths(&["in", "out"]));
        let kafka = "input.kind = \"kafka\"\noutput.kind = \"kafka\"\nkafka.brokers = \"a:1\"";
        assert_eq!(of(kafka), paths(&["data/checkpoints"]));
    }

    #[test]
    fn bytes_have_a_unit() {
        for (count, shown) in [
            (0, "0.0 B"),
            (1023, "1023.0 B"),
            (1536, "1.5 KiB"),
            (u64::MAX, "16777216.0 TiB"),
        ] {
            assert_eq!(bytes(count), shown);
        }
    }

    #[test]
    fn the_limit_of_open_files_is_told() {
        let mut settings = WrittenSettings::default().check().unwrap();
        let mut findings = Findings::default();
        open_files(&settings, &mut findings);
        settings.http.as_mut().unwrap().max_connections = 1 << 62;
        open_files(&settings, &mut findings);
        let states: Vec<State> = findings.iter().map(|finding| finding.state).collect();
        assert_eq!(states[1], State::Fail, "{states:?}");
    }
}
