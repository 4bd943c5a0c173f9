use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use riskflow_model::topic::Topic;

use super::envelope::Envelope;
use crate::{EpochRecords, OutRecord, Sink, SinkError};

/// Opens the sink for this folder; `-` for standard output, `/dev/null` for one that keeps nothing. What is an exercise is marked in every
/// line.
///
/// # Errors
///
/// When the folder cannot be made.
pub fn open_sink(folder: &Path, exercise: bool) -> Result<Box<dyn Sink>, SinkError> {
    if folder.as_os_str() == "-" {
        return Ok(Box::new(StdoutSink { exercise }));
    }
    if folder == Path::new(NOWHERE) {
        return Ok(Box::new(NoSink));
    }
    Ok(Box::new(FileSink::open(folder, exercise)?))
}

/// Appends envelopes to `<topic>.ndjson`, topics without prefix; a record's arrival is its epoch.
pub struct FileSink {
    folder: PathBuf,
    files: BTreeMap<Topic, TopicFile>,
    /// Lines on their way to each file; empty between commits.
    lines: BTreeMap<Topic, Vec<u8>>,
    exercise: bool,
}

impl FileSink {
    /// Opens a folder, and makes it if it is not there. Files are made with their first records.
    ///
    /// # Errors
    ///
    /// When it cannot be made, or an earlier run wrote there.
    pub fn open(folder: &Path, exercise: bool) -> Result<Self, SinkError> {
        fs::create_dir_all(folder).map_err(about(folder))?;
        for topic in Topic::outputs() {
            let file = path(folder, topic);
            if file.metadata().is_ok_and(|metadata| metadata.len() > 0) {
                return Err(SinkError::Used { file });
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            files: BTreeMap::new(),
            lines: BTreeMap::new(),
            exercise,
        })
    }

    fn write(&mut self, epochs: &[EpochRecords], lines: &mut BTreeMap<Topic, Vec<u8>>) -> Result<(), SinkError> {
        let mut topics = BTreeSet::new();
        for EpochRecords { epoch, records } in epochs {
            let arrival = epoch.to_string();
            for record in records {
                topics.insert(record.topic);
                let lines = lines.entry(record.topic).or_default();
                write_line(lines, (&arrival, self.exercise), record);
                if lines.len() >= PIECE {
                    self.file(record.topic, |file| file.write(lines))?;
                    lines.clear();
                }
            }
        }
        for topic in topics {
            let lines = lines.entry(topic).or_default();
            self.file(topic, |file| file.write(lines).and_then(|()| file.complete()))?;
        }
        Ok(())
    }

    fn file(&mut self, topic: Topic, act: impl FnOnce(&mut TopicFile) -> io::Result<()>) -> Result<(), SinkError> {
        let path = path(&self.folder, topic);
        let file = match self.files.entry(topic) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(TopicFile::open(&path).map_err(about(&path))?),
        };
        act(file).map_err(about(&path))
    }
}

fn path(folder: &Path, topic: Topic) -> PathBuf {
    folder.join(format!("{topic}.ndjson"))
}

/// Written at once: an epoch may be large.
const PIECE: usize = 1 << 20;

impl Sink for FileSink {
    fn commit(&mut self, epochs: &[EpochRecords]) -> Result<(), SinkError> {
        // A second attempt writes over what the first left.
        self.files.values_mut().for_each(|file| file.staged = 0);
        let mut lines = std::mem::take(&mut self.lines);
        let written = self.write(epochs, &mut lines);
        // Whatever is left in them belongs to this attempt. The memory serves the next.
        lines.values_mut().for_each(Vec::clear);
        self.lines = lines;
        written
    }
}

/// Where what is written is gone.
const NOWHERE: &str = "/dev/null";

/// Keeps nothing: for a job that is only observed.
pub struct NoSink;

impl Sink for NoSink {
    fn commit(&mut self, _: &[EpochRecords]) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Writes envelopes of all topics to standard output; nothing is durable there but what its reader keeps.
pub struct StdoutSink {
    exercise: bool,
}

impl Sink for StdoutSink {
    fn commit(&mut self, epochs: &[EpochRecords]) -> Result<(), SinkError> {
        let mut lines = Vec::new();
        for EpochRecords { epoch, records } in epochs {
            let arrival = epoch.to_string();
            for record in records {
                write_line(&mut lines, (&arrival, self.exercise), record);
            }
        }
        let mut stdout = io::stdout().lock();
        stdout
            .write_all(&lines)
            .and_then(|()| stdout.flush())
            .map_err(about(Path::new("-")))
    }
}

fn write_line(lines: &mut Vec<u8>, mark: (&str, bool), record: &OutRecord) {
    Envelope::write(lines, (record.topic, &record.key), record.payload.as_deref(), mark);
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
    /// An empty file.
    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: File::create(path)?,
            length: 0,
            staged: 0,
        })
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
