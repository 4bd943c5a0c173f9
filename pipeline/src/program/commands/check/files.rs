//! Rules and rows out of files: JSON (one record, or a list), NDJSON, envelopes, CSV, Parquet.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use riskflow_config::{FileFormat, FileInput, WrittenSettings};
use riskflow_connectors::files::FileSource;
use riskflow_connectors::{Polled, RawRecord, Share, Source as _, SourceError, Verdict};
use riskflow_model::Problems;
use riskflow_model::topic::Topic;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::stock::Stock;
use crate::program::bounded;

/// The largest file that is read whole, in bytes.
const LARGEST: u64 = 4 << 30;

/// What files are read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Rules, and limits of work under permit.
    Rules,
    /// Rows of all input tables.
    Tables,
}

/// Reads a file, or all files of a folder; `TOPIC=FILE` says what a file holds whose name does not.
pub fn read(path: &Path, wanted: Wanted, stock: &mut Stock) -> Result<()> {
    let (named, path) = named(path);
    if !path.is_dir() {
        let topic = named.or_else(|| topic_of(&path, wanted));
        return read_file(&path, topic, wanted, stock);
    }
    let entries = fs::read_dir(&path).map_err(|error| unreadable(&path, &error))?;
    let mut files: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.retain(|file| file.is_file() && is_data(file));
    files.sort();
    for file in files {
        match topic_of(&file, wanted) {
            Some(topic) if is_wanted(topic, wanted) => read_file(&file, Some(topic), wanted, stock)?,
            // What is asked for stands in a file of its own, or in one that says nothing.
            Some(_) => {}
            None if wanted == Wanted::Rules => read_file(&file, None, wanted, stock)?,
            None => stock.passed_over.push(file.display().to_string()),
        }
    }
    Ok(())
}

/// The topic and the file of `TOPIC=FILE`; a topic may be called as files are, `assets`, where no file has the whole as its name.
pub fn named(given: &Path) -> (Option<Topic>, PathBuf) {
    let text = given.to_string_lossy();
    let split = text.split_once('=').and_then(|(name, path)| {
        let short = || topic_called(&name.to_ascii_lowercase()).filter(|_| !given.exists());
        let topic = Topic::from_name(name).or_else(short)?;
        Some((topic, PathBuf::from(path)))
    });
    split.map_or_else(|| (None, given.to_owned()), |(topic, path)| (Some(topic), path))
}

/// The input topic that is called so: `base.asset`, `asset` or `assets`.
fn topic_called(name: &str) -> Option<Topic> {
    let mut inputs = Topic::inputs();
    inputs.find(|topic| {
        let short = topic.name().rsplit('.').next().unwrap_or(topic.name());
        name == topic.name() || name == short || name.strip_suffix('s') == Some(short)
    })
}

/// A file that was given and cannot be read is wrong usage.
pub fn unreadable(path: &Path, error: &std::io::Error) -> anyhow::Error {
    unusable(
        path,
        &format!("not readable: {error}"),
        "a file or folder that is there",
    )
}

fn unusable(path: &Path, found: &str, give: &str) -> anyhow::Error {
    let mut problems = Problems::default();
    problems.add(path.display().to_string(), found, give);
    problems.into()
}

fn is_wanted(topic: Topic, wanted: Wanted) -> bool {
    match wanted {
        Wanted::Rules => matches!(topic, Topic::IN_RULE | Topic::BASE_LIMIT),
        Wanted::Tables => topic.is_input_table(),
    }
}

/// Whether a file of a folder is one with records, by its name.
pub fn is_data(file: &Path) -> bool {
    let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or("");
    ["json", "ndjson", "jsonl", "csv", "parquet"].contains(&ending.to_ascii_lowercase().as_str())
}

/// The topic that a file's name tells: `base.asset.ndjson`, `asset.csv` or `assets.csv`.
pub fn topic_of(file: &Path, wanted: Wanted) -> Option<Topic> {
    let stem = file.file_stem()?.to_str()?.to_ascii_lowercase();
    let found = topic_called(&stem);
    // A pack of rules about permits is no table of permits.
    found.filter(|topic| {
        wanted == Wanted::Tables || matches!(*topic, Topic::IN_RULE | Topic::BASE_LIMIT) || stem.contains('.')
    })
}

fn read_file(path: &Path, topic: Option<Topic>, wanted: Wanted, stock: &mut Stock) -> Result<()> {
    let ends_in = |known: &str| {
        path.extension()
            .is_some_and(|ending| ending.eq_ignore_ascii_case(known))
    };
    for (ending, format) in [("csv", FileFormat::Csv), ("parquet", FileFormat::Parquet)] {
        if ends_in(ending) {
            return read_table(path, format, topic.unwrap_or(Topic::IN_RULE), wanted, stock);
        }
    }
    let bytes = bounded::bytes(path, LARGEST).map_err(|error| unreadable(path, &error))?;
    if let Some((found, give)) = otherwise(&bytes) {
        return Err(unusable(path, found, give));
    }
    read_bytes(path, &bytes, topic, wanted, stock)
}

/// What a file is that is no text, and how it can be read.
fn otherwise(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let known: [(&[u8], _, _); 3] = [
        (
            b"PAR1",
            "Apache Parquet by another name",
            "it a name that ends in `.parquet`, or JSON, NDJSON or CSV",
        ),
        (
            &[0x1f, 0x8b],
            "packed with gzip",
            "the file itself, JSON, NDJSON, CSV or Parquet",
        ),
        (
            &[0x28, 0xb5, 0x2f, 0xfd],
            "packed with Zstandard",
            "the file itself, JSON, NDJSON, CSV or Parquet",
        ),
    ];
    let found = known.into_iter().find(|(begins, ..)| bytes.starts_with(begins));
    found.map(|(_, found, give)| (found, give))
}

/// Reads the rules or limits of a pack.
pub fn read_pack(name: &str, json: &str, stock: &mut Stock) -> Result<()> {
    read_bytes(
        &Path::new("pack").join(name),
        json.as_bytes(),
        None,
        Wanted::Rules,
        stock,
    )
}

fn read_bytes(path: &Path, bytes: &[u8], topic: Option<Topic>, wanted: Wanted, stock: &mut Stock) -> Result<()> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut take = |payload: &[u8], place: String| -> Result<()> {
        let envelope: Option<Envelope<'_>> = serde_json::from_slice(payload).ok();
        if let Some(envelope) = envelope.filter(|_| wanted == Wanted::Tables || topic.is_none()) {
            if let Some(topic) = Topic::from_name(&envelope.topic).filter(|topic| is_wanted(*topic, wanted)) {
                let value = envelope.value.get();
                let payload = (value != "null").then_some(value.as_bytes());
                let key = envelope.key.as_deref().map(str::as_bytes);
                put((topic, envelope.exercise), key, payload, place, wanted, stock);
            }
            return Ok(());
        }
        let topic = match (topic, wanted) {
            (Some(topic), _) => topic,
            (None, Wanted::Rules) => kind_of_rule(payload),
            (None, Wanted::Tables) => {
                let give = format!("`TOPIC=FILE`, such as `base.asset={}`", path.display());
                return Err(unusable(path, "a name that does not tell what it holds", &give));
            }
        };
        put((topic, false), None, Some(payload), place, wanted, stock);
        Ok(())
    };
    let name = path.display();
    if let Ok(records) = serde_json::from_slice::<Vec<&RawValue>>(bytes) {
        for (index, record) in records.iter().enumerate() {
            take(record.get().as_bytes(), format!("{name}[{index}]"))?;
        }
        return Ok(());
    }
    if serde_json::from_slice::<&RawValue>(bytes).is_ok() {
        return take(bytes.trim_ascii(), name.to_string());
    }
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if !line.is_empty() {
            take(line, format!("{name}:{}", index + 1))?;
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    #[serde(default, borrow)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    value: &'a RawValue,
    #[serde(default)]
    exercise: bool,
}

/// Limits stand beside rules in packs; only they measure something.
fn kind_of_rule(payload: &[u8]) -> Topic {
    let text = String::from_utf8_lossy(payload);
    match riskflow_model::json::field(&text, "measure") {
        Some(_) => Topic::BASE_LIMIT,
        None => Topic::IN_RULE,
    }
}

/// `exercise`: whether it says that it is of one.
fn put(
    (topic, exercise): (Topic, bool),
    key: Option<&[u8]>,
    payload: Option<&[u8]>,
    place: String,
    wanted: Wanted,
    stock: &mut Stock,
) {
    let record = RawRecord {
        topic,
        partition: 0,
        offset: 0,
        arrival: None,
        exercise,
        key,
        payload,
    };
    match wanted {
        Wanted::Rules => stock.take_given(&record, place),
        Wanted::Tables => stock.take(&record, place),
    }
}

fn read_table(path: &Path, format: FileFormat, topic: Topic, wanted: Wanted, stock: &mut Stock) -> Result<()> {
    let input = FileInput {
        path: path.to_owned(),
        topic: Some(topic.name().to_owned()),
        format: Some(format),
    };
    let settings = WrittenSettings::default().check()?.topics;
    let mut source = match FileSource::open(&[input], &settings, &[topic], Share::WHOLE) {
        Ok(source) => source,
        Err(SourceError::File { error, .. }) => return Err(unreadable(path, &error)),
        Err(error) => return Err(error.into()),
    };
    let name = path.display();
    loop {
        let polled = source.poll(10_000, &mut |record| {
            let place = format!("{name}, row {}", record.offset + 1);
            put((topic, false), None, record.payload, place, wanted, stock);
            Verdict::Taken
        });
        match polled {
            Ok(Polled::Ended) => return Ok(()),
            Ok(_) => {}
            Err(SourceError::File { error, .. }) => {
                let problem = error.to_string();
                stock.refuse(name.to_string(), topic, "unreadable_file", [problem.as_str()], None);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_told_with_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        for (begins, says) in [
            (
                &b"PAR1\x15\x04"[..],
                "is Apache Parquet by another name; give it a name that ends in `.parquet`",
            ),
            (&[0x1f, 0x8b, 8, 0][..], "is packed with gzip; give the file itself"),
            (
                &[0x28, 0xb5, 0x2f, 0xfd, 0][..],
                "is packed with Zstandard; give the file itself",
            ),
        ] {
            let path = folder.path().join("rules.json");
            fs::write(&path, begins).unwrap();
            let error = read(&path, Wanted::Rules, &mut Stock::default())
                .unwrap_err()
                .to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_topic_is_named_in_full_or_as_files_are() {
        for (text, topic, path) in [
            ("base.asset=a.csv", Some(Topic::BASE_ASSET), "a.csv"),
            ("assets=x/a=b.csv", Some(Topic::BASE_ASSET), "x/a=b.csv"),
            ("datastream=a.csv", Some(Topic::BASE_DATASTREAM), "a.csv"),
            ("other=a.csv", None, "other=a.csv"),
            ("a.csv", None, "a.csv"),
        ] {
            assert_eq!(named(Path::new(text)), (topic, PathBuf::from(path)), "{text}");
        }
    }
}
