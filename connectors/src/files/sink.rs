use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use riskflow_model::Millis;
use riskflow_model::topic::Topic;
use serde::de::IgnoredAny;

use super::envelope::Envelope;
use crate::{EpochRecords, OutRecord, Sink, SinkError};

/// Opens the sink for this folder; `-` for standard output.
///
/// # Errors
///
/// When the folder cannot be made.
pub fn open_sink(folder: &Path) -> Result<Box<dyn Sink>, SinkError> {
    if folder.as_os_str() == "-" {
        return Ok(Box::new(StdoutSink));
    }
    Ok(Box::new(FileSink::open(folder)?))
}

/// Appends envelopes to `<topic>.ndjson`, topics without prefix; a record's arrival is its epoch.
pub struct FileSink {
    folder: PathBuf,
    files: BTreeMap<Topic, TopicFile>,
}

impl FileSink {
    /// Opens a folder, and makes it if it is not there. Files are made with their first records.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn open(folder: &Path) -> Result<Self, SinkError> {
        fs::create_dir_all(folder).map_err(about(folder))?;
        Ok(Self {
            folder: folder.to_owned(),
            files: BTreeMap::new(),
        })
    }
}

impl Sink for FileSink {
    fn commit(&mut self, epochs: &[EpochRecords]) -> Result<(), SinkError> {
        let mut lines: BTreeMap<Topic, Vec<u8>> = BTreeMap::new();
        for EpochRecords { epoch, records } in epochs {
            for record in records {
                write_line(lines.entry(record.topic).or_default(), *epoch, record)?;
            }
        }
        for (topic, lines) in lines {
            let path = self.folder.join(format!("{topic}.ndjson"));
            let file = match self.files.entry(topic) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(TopicFile::open(&path).map_err(about(&path))?)
                }
            };
            file.append(&lines).map_err(about(&path))?;
        }
        Ok(())
    }
}

/// Writes envelopes of all topics to standard output; nothing is durable there but what its reader keeps.
pub struct StdoutSink;

impl Sink for StdoutSink {
    fn commit(&mut self, epochs: &[EpochRecords]) -> Result<(), SinkError> {
        let mut lines = Vec::new();
        for EpochRecords { epoch, records } in epochs {
            for record in records {
                write_line(&mut lines, *epoch, record)?;
            }
        }
        let mut stdout = io::stdout().lock();
        stdout
            .write_all(&lines)
            .and_then(|()| stdout.flush())
            .map_err(about(Path::new("-")))
    }
}

fn write_line(lines: &mut Vec<u8>, epoch: Millis, record: &OutRecord) -> Result<(), SinkError> {
    Envelope::write(lines, record.topic, &record.key, record.payload.as_deref(), epoch).map_err(|error| {
        SinkError::Payload {
            topic: record.topic.name(),
            key: record.key.clone(),
            error,
        }
    })
}

fn about(path: &Path) -> impl FnOnce(io::Error) -> SinkError {
    let file = path.to_owned();
    |error| SinkError::File { file, error }
}

struct TopicFile {
    file: File,
    /// Of the complete lines in it.
    length: u64,
}

impl TopicFile {
    fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)?;
        let mut opened = Self {
            length: file.metadata()?.len(),
            file,
        };
        opened.mend()?;
        Ok(opened)
    }

    /// Completes or takes away a last line without an end: what a crash left is no JSON, what a person left may be.
    fn mend(&mut self) -> io::Result<()> {
        let mut tail = Vec::new();
        while self.length > 0 {
            let piece = self.length.min(64 << 10);
            let mut bytes = vec![0; piece as usize];
            self.file.read_exact_at(&mut bytes, self.length - piece)?;
            let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            tail.splice(0..0, bytes.drain(end..));
            self.length -= piece - end as u64;
            if end > 0 {
                break;
            }
        }
        if !tail.is_empty() && serde_json::from_slice::<IgnoredAny>(&tail).is_ok() {
            self.length += tail.len() as u64;
            return self.append(b"\n");
        }
        self.file.set_len(self.length)
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        // At a position: a second attempt writes over what the first left.
        self.file.write_all_at(lines, self.length)?;
        self.file.sync_data()?;
        self.length += lines.len() as u64;
        Ok(())
    }
}
