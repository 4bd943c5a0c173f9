use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

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

    fn file(&mut self, topic: Topic, act: impl FnOnce(&mut TopicFile) -> io::Result<()>) -> Result<(), SinkError> {
        let path = self.folder.join(format!("{topic}.ndjson"));
        let file = match self.files.entry(topic) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(TopicFile::open(&path).map_err(about(&path))?),
        };
        act(file).map_err(about(&path))
    }
}

/// Written at once: an epoch may be large.
const PIECE: usize = 1 << 20;

impl Sink for FileSink {
    fn commit(&mut self, epochs: &[EpochRecords]) -> Result<(), SinkError> {
        // A second attempt writes over what the first left.
        self.files.values_mut().for_each(|file| file.staged = 0);
        let mut lines: BTreeMap<Topic, Vec<u8>> = BTreeMap::new();
        for EpochRecords { epoch, records } in epochs {
            let arrival = epoch.to_string();
            for record in records {
                let lines = lines.entry(record.topic).or_default();
                write_line(lines, &arrival, record);
                if lines.len() >= PIECE {
                    self.file(record.topic, |file| file.write(lines))?;
                    lines.clear();
                }
            }
        }
        for (topic, lines) in lines {
            self.file(topic, |file| file.write(&lines).and_then(|()| file.complete()))?;
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
            let arrival = epoch.to_string();
            for record in records {
                write_line(&mut lines, &arrival, record);
            }
        }
        let mut stdout = io::stdout().lock();
        stdout
            .write_all(&lines)
            .and_then(|()| stdout.flush())
            .map_err(about(Path::new("-")))
    }
}

fn write_line(lines: &mut Vec<u8>, arrival: &str, record: &OutRecord) {
    Envelope::write(lines, record.topic, &record.key, record.payload.as_deref(), arrival);
}

fn about(path: &Path) -> impl FnOnce(io::Error) -> SinkError {
    let file = path.to_owned();
    |error| SinkError::File { file, error }
}

struct TopicFile {
    file: File,
    /// Of the complete lines in it.
    length: u64,
    /// Of what the commit under way has written behind them.
    staged: u64,
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
            staged: 0,
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
            self.write(b"\n")?;
            return self.complete();
        }
        self.file.set_len(self.length)
    }

    /// Writes behind what the commit under way has written.
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.file.write_all_at(lines, self.length + self.staged)?;
        self.staged += lines.len() as u64;
        Ok(())
    }

    /// Makes what was written last.
    fn complete(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.length += std::mem::take(&mut self.staged);
        Ok(())
    }
}
