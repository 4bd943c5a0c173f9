//! Which files are imported, and what each holds.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use riskflow_model::Problems;
use riskflow_model::topic::{Direction, Topic};

use super::super::check::files::{self as checked, Wanted};
use super::mapping::Mapping;
use super::spool::{Room, is_no_history};
use crate::program::cli::ImportFormat;

/// A file that is imported.
pub struct Given {
    /// As it was named.
    pub name: String,
    /// Where it is read.
    pub path: PathBuf,
    /// What it holds; `None`: envelopes, which say so themselves.
    pub topic: Option<Topic>,
    /// How large it is.
    pub bytes: u64,
    /// Whether it is a copy that goes with it.
    copied: bool,
}

impl Drop for Given {
    fn drop(&mut self) {
        if self.copied {
            // In the folder for such things: whoever cleans that up takes it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Finds the files, tables before everything else. What can be read only once is copied.
///
/// # Errors
///
/// Everything that is not there or does not say what it holds, at once.
pub fn gather(named: &[PathBuf], mapping: &Mapping, room: &Room) -> Result<Vec<Given>> {
    let (mut given, mut problems) = (Vec::new(), Problems::default());
    for path in named {
        let (topic, path) = checked::named(path);
        let topic = topic.or(mapping.topic);
        if let Some(topic) = topic.filter(|topic| topic.direction() == Direction::Out) {
            problems.add(
                path.display().to_string(),
                format!("of `{topic}`, which riskflow writes"),
                "a topic that it reads",
            );
            continue;
        }
        if path.is_dir() {
            in_folder(&path, topic, (mapping, room), &mut given, &mut problems)?;
        } else {
            one(&path, topic, (mapping, room), &mut given, &mut problems)?;
        }
    }
    // Rows that others wait for come first.
    given.sort_by_key(|file| file.topic.map_or(0, |topic| topic.id() + 1));
    Ok(problems.none_or(Some(given))?)
}

fn in_folder(
    folder: &Path,
    topic: Option<Topic>,
    how: (&Mapping, &Room),
    given: &mut Vec<Given>,
    problems: &mut Problems,
) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("could not read `{}`", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    files.retain(|file| file.is_file() && checked::is_data(&unpacked(file)));
    files.sort();
    if files.is_empty() {
        problems.add(
            folder.display().to_string(),
            "a folder without CSV, Parquet and NDJSON",
            "a folder with some",
        );
    }
    files.iter().try_for_each(|file| one(file, topic, how, given, problems))
}

fn one(
    path: &Path,
    topic: Option<Topic>,
    (mapping, room): (&Mapping, &Room),
    given: &mut Vec<Given>,
    problems: &mut Problems,
) -> Result<()> {
    let name = path.display().to_string();
    let is_stdin = path.as_os_str() == "-";
    let metadata = if is_stdin { None } else { Some(fs::metadata(path)) };
    let is_file = match metadata {
        Some(Err(error)) => {
            problems.add(name, format!("not readable: {error}"), "a file that is there");
            return Ok(());
        }
        Some(Ok(metadata)) => metadata.is_file(),
        None => false,
    };
    let envelopes = mapping.written == Some(ImportFormat::Envelope);
    let topic = topic
        .or_else(|| checked::topic_of(&unpacked(path), Wanted::Tables))
        .filter(|_| !envelopes);
    let may_be_envelopes = envelopes || (mapping.written.is_none() && (is_stdin || is_lines(&unpacked(path))));
    if topic.is_none() && !may_be_envelopes {
        let give = format!(
            "`--topic in.observation` or the like, or `TOPIC={name}`; a name that ends in `.ndjson` where each line names its topic"
        );
        problems.add(name, "a name that does not tell what it holds", give);
        return Ok(());
    }
    if !is_file && is_no_history(path, is_stdin) {
        problems.add(
            name,
            "a device, which has no end or is a disk",
            "a file, or a pipe that ends",
        );
        return Ok(());
    }
    let (path, copied) = if is_file {
        (path.to_owned(), false)
    } else {
        (room.copy(path, is_stdin, unpacked(path).extension())?, true)
    };
    let bytes = fs::metadata(&path).map_or(0, |metadata| metadata.len());
    given.push(Given {
        name,
        path,
        topic,
        bytes,
        copied,
    });
    Ok(())
}

/// Whether a file of this name has one JSON object a line: each may say of which topic it is.
fn is_lines(path: &Path) -> bool {
    let lines = |ending: &std::ffi::OsStr| {
        ["ndjson", "jsonl"]
            .iter()
            .any(|known| ending.eq_ignore_ascii_case(known))
    };
    path.extension().is_some_and(lines)
}

/// A name without what packed the file.
fn unpacked(path: &Path) -> PathBuf {
    let packed = |ending: &std::ffi::OsStr| ["gz", "zst"].iter().any(|known| ending.eq_ignore_ascii_case(known));
    match path.extension() {
        Some(ending) if packed(ending) => path.with_extension(""),
        _ => path.to_owned(),
    }
}
