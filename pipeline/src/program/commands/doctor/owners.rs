//! Whose the files of the job are: it cannot append to those of another user.

use std::collections::BTreeMap;
use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};
use riskflow_connectors::owner;

use super::finding::Findings;

const CHECK: &str = "files";

/// The superuser, who writes whatever there is.
const ROOT: u32 = 0;

/// Whether all in a folder of the job can be written by its user: the one that runs this, or where that is root the one whose folder it is.
pub fn owners(folder: &Path, findings: &mut Findings) {
    let Some(its) = owner::of(folder).filter(|_| folder.is_dir()) else {
        return;
    };
    let me = owner::user();
    let job = if me == ROOT { its } else { me };
    if job == ROOT {
        return;
    }
    let mut others = Others::default();
    let looked = look(folder, &mut |entry, whose| {
        // Of the own user rights may be missing on purpose, as of what is only read.
        let is_shut = |path: &Path| me == ROOT || access(path, AccessFlags::W_OK).is_err();
        if whose != job && is_shut(&entry.path()) {
            others.note(entry.path(), whose);
        }
    });
    let shown = folder.display();
    if let Err(error) = looked {
        let mend = "run this as the user of the job, and give it the folder";
        findings.warn(CHECK, format!("not all in `{shown}` can be looked at: {error}"), mend);
        return;
    }
    let name = owner::name(job);
    if let Some(found) = others.said() {
        let mend = format!(
            "as root: `chown -R {name}: {shown}`; and run `import`, `act` and whatever else writes as that user: `runuser -u {name} -- riskflow …`"
        );
        findings.fail(CHECK, format!("in `{shown}`, which {name} writes, {found}"), mend);
    } else if me != job {
        let found = format!("`{shown}` is of {name}, and this runs as {}", owner::name(me));
        let mend =
            format!("run this, and whatever writes, as the user of the job: `runuser -u {name} -- riskflow doctor`");
        findings.warn(CHECK, found, mend);
    } else {
        findings.ok(CHECK, format!("all in `{shown}` can be written by {name}"));
    }
}

/// What belongs to others.
#[derive(Default)]
struct Others {
    count: BTreeMap<u32, u64>,
    first: Option<PathBuf>,
}

impl Others {
    fn note(&mut self, path: PathBuf, whose: u32) {
        *self.count.entry(whose).or_default() += 1;
        self.first.get_or_insert(path);
    }

    /// `None` where nothing does.
    fn said(&self) -> Option<String> {
        let first = self.first.as_deref()?.display();
        let counts = self.count.iter();
        let counts: Vec<String> = counts
            .map(|(whose, count)| format!("{count} of {}", owner::name(*whose)))
            .collect();
        Some(format!(
            "files and folders belong to another user: {}, such as `{first}`: a job cannot write them",
            counts.join(", ")
        ))
    }
}

/// Each file and folder below, with whose it is. What goes meanwhile, as a job tidies, is left out.
fn look(folder: &Path, each: &mut dyn FnMut(&DirEntry, u32)) -> io::Result<()> {
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in there(fs::read_dir(&folder))?.into_iter().flatten() {
            let entry = entry?;
            let Some(about) = there(entry.metadata())? else {
                continue;
            };
            each(&entry, about.uid());
            if about.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    Ok(())
}

/// What is there; `None` for what is not any more.
fn there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    #[test]
    fn all_below_a_folder_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("topic/0")).unwrap();
        fs::write(folder.path().join("topic/0/a.log"), "").unwrap();
        let mut found = Vec::new();
        look(folder.path(), &mut |entry, whose| {
            found.push((entry.file_name(), whose))
        })
        .unwrap();
        found.sort();
        let me = owner::user();
        assert_eq!(found, ["0", "a.log", "topic"].map(|name| (OsString::from(name), me)));
        look(&folder.path().join("none"), &mut |_, _| panic!("nothing is there")).unwrap();
    }

    #[test]
    fn what_belongs_to_others_is_counted_with_an_example() {
        let mut others = Others::default();
        assert_eq!(others.said(), None);
        // Numbers that have no name here.
        others.note("log/a".into(), 4_000_000_001);
        others.note("log/b".into(), 4_000_000_001);
        others.note("log/c".into(), 4_000_000_002);
        assert_eq!(
            others.said().unwrap(),
            "files and folders belong to another user: 2 of 4000000001, 1 of 4000000002, such as `log/a`: a job cannot write them"
        );
    }
}
