use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use riskflow_config::{FilesOutput, OutputFormat};
use riskflow_model::topic::Topic;

use super::csv_rows::CsvRows;
use super::envelope::Envelope;
use super::parquet::ParquetSink;
use crate::{EpochRecords, OutRecord, Sink, SinkError};

/// Opens the sink for such files; `-` for standard output, `/dev/null` for one that keeps nothing. What is an exercise is marked in every line
/// and row.
///
/// # Errors
///
/// When the folder cannot be made, or an earlier run wrote there.
pub fn open_sink(output: &FilesOutput, exercise: bool) -> Result<Box<dyn Sink>, SinkError> {
    if output.folder.as_os_str() == "-" {
        return Ok(Box::new(StdoutSink { exercise }));
    }
    if output.folder == Path::new(NOWHERE) {
        return Ok(Box::new(NoSink));
    }
    Ok(match output.format {
        OutputFormat::Ndjson | OutputFormat::Csv => Box::new(FileSink::open(output, exercise)?),
        OutputFormat::Parquet => Box::new(ParquetSink::open(output, exercise)?),
    })
}

/// Makes the folder if it is not there; refuses one in which any of these files of a topic has something in it.
pub(super) fn refuse_used<const N: usize>(
    output: &FilesOutput,
    files: impl Fn(Topic) -> [PathBuf; N],
) -> Result<(), SinkError> {
    fs::create_dir_all(&output.folder).map_err(about(&output.folder))?;
    for file in Topic::outputs().flat_map(files) {
        if file.metadata().is_ok_and(|metadata| metadata.len() > 0) {
            return Err(SinkError::Used { file });
        }
    }
    Ok(())
}

/// Appends lines to one file a topic, topics without prefix: envelopes to `<topic>.ndjson`, where a record's arrival is its epoch, or
/// rows to `<topic>.csv`.
pub struct FileSink {
    output: FilesOutput,
    files: BTreeMap<Topic, TopicFile>,
    /// Lines on their way to each file; empty between commits.
    lines: BTreeMap<Topic, Vec<u8>>,
    exercise: bool,
    /// How records become lines.
    forms: BTreeMap<Topic, Form>,
    /// When all that was committed by then was known to be on disk.
    synced: Instant,
}

impl FileSink {
    /// Opens a folder, and makes it if it is not there. Files are made with their first records.
    ///
    /// # Errors
    ///
    /// When it cannot be made, or an earlier run wrote there.
    pub fn open(output: &FilesOutput, exercise: bool) -> Result<Self, SinkError> {
        refuse_used(output, |topic| [output.file(topic)])?;
        Ok(Self {
            output: output.clone(),
            files: BTreeMap::new(),
            lines: BTreeMap::new(),
            forms: BTreeMap::new(),
            exercise,
            synced: Instant::now(),
        })
    }

    fn write(&mut self, epochs: &[EpochRecords], lines: &mut BTreeMap<Topic, Vec<u8>>) -> Result<(), SinkError> {
        let mut topics = BTreeSet::new();
        for EpochRecords { epoch, records } in epochs {
            let arrival = epoch.to_string();
            for record in records {
                topics.insert(record.topic);
                let lines = lines.entry(record.topic).or_default();
                let form = self.forms.entry(record.topic);
                let form = form.or_insert_with(|| Form::of(self.output.format, record.topic, self.exercise));
                let written = form.write(lines, &arrival, record);
                written.map_err(about(&self.output.file(record.topic)))?;
                if lines.len() >= PIECE {
                    self.file(record.topic, |file| file.write(lines))?;
                    lines.clear();
                }
            }
        }
        for topic in topics {
            let lines = lines.entry(topic).or_default();
            self.file(topic, |file| file.write(lines))?;
        }
        self.files.values_mut().for_each(TopicFile::complete);
        Ok(())
    }

    /// Waits until all that was committed is on disk.
    fn sync(&mut self) -> Result<(), SinkError> {
        for (topic, file) in &mut self.files {
            file.sync().map_err(|error| SinkError::Sync {
                file: self.output.file(*topic),
                error,
            })?;
        }
        self.synced = Instant::now();
        Ok(())
    }

    fn file(&mut self, topic: Topic, act: impl FnOnce(&mut TopicFile) -> io::Result<()>) -> Result<(), SinkError> {
        let path = self.output.file(topic);
        let file = match self.files.entry(topic) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let head = self.forms.get(&topic).map(Form::head).unwrap_or_default();
                entry.insert(TopicFile::open(&path, &head).map_err(about(&path))?)
            }
        };
        act(file).map_err(about(&path))
    }
}

/// How records become lines.
enum Form {
    Envelope { exercise: bool },
    Csv(CsvRows),
}

impl Form {
    fn of(format: OutputFormat, topic: Topic, exercise: bool) -> Self {
        match format {
            OutputFormat::Ndjson => Self::Envelope { exercise },
            OutputFormat::Csv | OutputFormat::Parquet => Self::Csv(CsvRows::of(topic, exercise)),
        }
    }

    /// What a file begins with.
    fn head(&self) -> Vec<u8> {
        match self {
            Self::Envelope { .. } => Vec::new(),
            Self::Csv(rows) => rows.header(),
        }
    }

    fn write(&self, lines: &mut Vec<u8>, epoch: &str, record: &OutRecord) -> io::Result<()> {
        match self {
            Self::Envelope { exercise } => {
                write_line(lines, (epoch, *exercise), record);
                Ok(())
            }
            Self::Csv(rows) => rows.write(lines, epoch, record),
        }
    }
}

/// How old a commit may become before it is known to be on disk; what the process wrote outlives the process, whatever this is.
const SYNCED_EVERY: Duration = Duration::from_secs(1);

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
        written?;
        // No run goes on from such files, so nobody counts on each commit. To wait for the disk at each would make a history with
        // few records an epoch many times slower than its records are.
        if self.synced.elapsed() >= SYNCED_EVERY {
            self.sync()?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.sync()
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

pub(super) fn about(path: &Path) -> impl FnOnce(io::Error) -> SinkError {
    let file = path.to_owned();
    |error| SinkError::File { file, error }
}

struct TopicFile {
    file: File,
    /// Of what it begins with, and the complete lines in it.
    length: u64,
    /// Of what the commit under way has written behind them.
    staged: u64,
    /// Whether it has lines that are not known to be on disk.
    dirty: bool,
}

impl TopicFile {
    /// A file that begins with `head`.
    fn open(path: &Path, head: &[u8]) -> io::Result<Self> {
        let file = File::create(path)?;
        file.write_all_at(head, 0)?;
        Ok(Self {
            file,
            length: head.len() as u64,
            staged: 0,
            dirty: true,
        })
    }

    /// Writes behind what the commit under way has written.
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.file.write_all_at(lines, self.length + self.staged)?;
        self.staged += lines.len() as u64;
        Ok(())
    }

    /// Takes what was written last for good.
    const fn complete(&mut self) {
        self.dirty |= self.staged > 0;
        self.length += self.staged;
        self.staged = 0;
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.dirty {
            self.file.sync_data()?;
            self.dirty = false;
        }
        Ok(())
    }
}
