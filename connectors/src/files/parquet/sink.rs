use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use riskflow_config::FilesOutput;
use riskflow_model::topic::Topic;

use super::super::sink::{about, refuse_used};
use super::topic_file::{TopicFile, part};
use crate::{EpochRecords, Sink, SinkError};

/// The rows of a row group, whatever commits they come in. 32,767 row groups are the most that a file has.
const ROWS: usize = 16_384;

/// Writes `<topic>.parquet`, topics without prefix, as [`Sink::finish`] is called; until then `<topic>.parquet.part`.
///
/// What is committed is not durable before that: nobody can read a part of the format, and a job on files begins anew each time. A
/// commit that fails has taken nothing; memory holds a row group of each topic.
pub struct ParquetSink {
    output: FilesOutput,
    rows: usize,
    /// Whether it is marked as an exercise.
    exercise: bool,
    pub(super) files: BTreeMap<Topic, TopicFile>,
}

impl ParquetSink {
    /// Opens a folder, and makes it if it is not there. Files are made with their first records.
    ///
    /// # Errors
    ///
    /// When it cannot be made, or an earlier run wrote there.
    pub fn open(output: &FilesOutput, exercise: bool) -> Result<Self, SinkError> {
        Self::with_rows(output, exercise, ROWS)
    }

    pub(super) fn with_rows(output: &FilesOutput, exercise: bool, rows: usize) -> Result<Self, SinkError> {
        refuse_used(output, |topic| [output.file(topic), part(output, topic)])?;
        Ok(Self {
            output: output.clone(),
            rows,
            exercise,
            files: BTreeMap::new(),
        })
    }
}

impl Sink for ParquetSink {
    fn commit(&mut self, epochs: &[EpochRecords]) -> Result<(), SinkError> {
        for record in epochs.iter().flat_map(|epoch| &epoch.records) {
            if !self.files.contains_key(&record.topic) {
                let part = part(&self.output, record.topic);
                let file =
                    TopicFile::open(&self.output, record.topic, (self.rows, self.exercise)).map_err(about(&part))?;
                self.files.insert(record.topic, file);
            }
        }
        // First what may fail: once records are taken, the commit has succeeded.
        for file in self.files.values_mut() {
            file.drain().map_err(about(&file.part))?;
        }
        for EpochRecords { epoch, records } in epochs {
            for record in records {
                let file = self.files.get_mut(&record.topic).expect("it was made above");
                file.put(*epoch, record).map_err(about(&file.part))?;
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        for file in self.files.values_mut() {
            file.complete().map_err(about(&file.part))?;
        }
        for file in self.files.values_mut() {
            file.rename().map_err(about(&file.part))?;
        }
        let folder: &Path = &self.output.folder;
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(about(folder))
    }
}
