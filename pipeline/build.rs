//! Tells the program what it is built of: the commit of its sources, and the versions of the dataflow.
//!
//! The same sources at the same commit tell the same. `RISKFLOW_COMMIT` names the commit where no repository is at hand (an archive of
//! the sources, a container build); without either it is `unknown`.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "cargo::rerun-if-changed=build.rs")?;
    writeln!(out, "cargo::rerun-if-env-changed=RISKFLOW_COMMIT")?;
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .unwrap_or_default();
    let named = std::env::var("RISKFLOW_COMMIT")
        .ok()
        .filter(|commit| !commit.is_empty());
    // Of one that is named it does not matter what the repository says: nothing is built anew for a commit.
    if named.is_none() {
        for file in names_of_the_commit(&here) {
            writeln!(out, "cargo::rerun-if-changed={}", file.display())?;
        }
    }
    if let Some(commit) = named.or_else(|| commit(&here)) {
        writeln!(out, "cargo::rustc-env=RISKFLOW_COMMIT={commit}")?;
    }
    let Some(lock) = here
        .ancestors()
        .map(|folder| folder.join("Cargo.lock"))
        .find(|lock| lock.is_file())
    else {
        return Ok(());
    };
    writeln!(out, "cargo::rerun-if-changed={}", lock.display())?;
    let locked = std::fs::read_to_string(&lock)?;
    for (package, variable) in [
        ("timely", "RISKFLOW_TIMELY"),
        ("differential-dataflow", "RISKFLOW_DIFFERENTIAL"),
    ] {
        if let Some(version) = version_of(&locked, package) {
            writeln!(out, "cargo::rustc-env={variable}={version}")?;
        }
    }
    Ok(())
}

/// What git says, one line; nothing without git or a repository.
fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").current_dir(folder).args(arguments).output().ok()?;
    let said = String::from_utf8(output.stdout)
        .ok()
        .filter(|_| output.status.success())?;
    let line = said.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

/// The commit, if these sources are a repository's: another repository may lie around an unpacked archive.
fn commit(folder: &Path) -> Option<String> {
    git(folder, &["ls-files", "--error-unmatch", "build.rs"])?;
    git(folder, &["rev-parse", "--short=12", "HEAD"])
}

/// The files that change when the commit does. Of one that is not there cargo would think that it changed each time.
fn names_of_the_commit(folder: &Path) -> Vec<PathBuf> {
    let branch = git(folder, &["symbolic-ref", "--quiet", "HEAD"]);
    let names = [Some("HEAD".to_owned()), branch, Some("packed-refs".to_owned())];
    let paths = names
        .into_iter()
        .flatten()
        .filter_map(|name| git(folder, &["rev-parse", "--git-path", name.as_str()]));
    paths
        .map(|path| folder.join(path))
        .filter(|path| path.is_file())
        .collect()
}

/// The version of a package in the text of a `Cargo.lock`.
fn version_of<'a>(locked: &'a str, package: &str) -> Option<&'a str> {
    let (_, rest) = locked.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    rest.split('"').next()
}
