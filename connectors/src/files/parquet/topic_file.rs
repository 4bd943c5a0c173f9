//! The file of a topic.
//!
//! A row group is encoded in memory, and only what is encoded goes to the file: a disk that is full breaks nothing that could not be
//! written again. The footer, without which nobody can read it, is written at the end, and only then the file has its name.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use riskflow_config::FilesOutput;
use riskflow_model::Millis;
use riskflow_model::topic::Topic;

use super::super::flat::Flat;
use super::batch::{Batch, schema};
use crate::OutRecord;

/// Where a file is until it is whole.
pub(super) fn part(output: &FilesOutput, topic: Topic) -> PathBuf {
    let mut path = output.file(topic).into_os_string();
    path.push(".part");
    path.into()
}

/// The file of a topic, as it is being written.
pub(super) struct TopicFile {
    pub part: PathBuf,
    path: PathBuf,
    pub file: File,
    /// Of what is in the file.
    length: u64,
    flat: Flat,
    batch: Batch,
    /// The rows of a row group.
    rows: usize,
    /// Holds encoded bytes on their way to the file.
    writer: SerializedFileWriter<Vec<u8>>,
    /// Whether the footer is encoded.
    finished: bool,
}

impl TopicFile {
    /// Makes an empty file, and nothing of it yet.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn open(output: &FilesOutput, topic: Topic, (rows, exercise): (usize, bool)) -> io::Result<Self> {
        let flat = Flat::of(topic, exercise);
        // Nothing of the machine, of the time or of the version: the same records give the same bytes.
        let properties = WriterProperties::builder()
            .set_created_by("riskflow".to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .build();
        let writer =
            schema(&flat).and_then(|schema| SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)));
        let part = part(output, topic);
        Ok(Self {
            path: output.file(topic),
            file: File::create(&part)?,
            part,
            length: 0,
            batch: Batch::of(&flat),
            flat,
            rows,
            writer: writer.map_err(strange)?,
            finished: false,
        })
    }

    /// Takes a record. Nothing is written: [`TopicFile::drain`] does that.
    ///
    /// # Errors
    ///
    /// When it is not as its schema says. The file is of no use then.
    pub fn put(&mut self, epoch: Millis, record: &OutRecord) -> io::Result<()> {
        self.batch.push(&self.flat, epoch, record)?;
        if self.batch.rows() == self.rows {
            self.cut()?;
        }
        Ok(())
    }

    /// Ends the row group.
    fn cut(&mut self) -> io::Result<()> {
        self.batch.write(&mut self.writer).map_err(strange)
    }

    /// Writes what is encoded; nothing where that is in the file already.
    ///
    /// # Errors
    ///
    /// When it cannot be written: the next call tries again.
    pub fn drain(&mut self) -> io::Result<()> {
        self.writer.flush()?;
        let encoded = self.writer.inner_mut();
        self.file.write_all_at(encoded, self.length)?;
        self.length += encoded.len() as u64;
        encoded.clear();
        Ok(())
    }

    /// Writes what is left, and the footer. What is there already is not written again.
    ///
    /// # Errors
    ///
    /// When it cannot be written: the next call goes on.
    pub fn complete(&mut self) -> io::Result<()> {
        if self.batch.rows() > 0 {
            self.cut()?;
        }
        if !self.finished {
            self.writer.finish().map_err(strange)?;
            self.finished = true;
        }
        self.drain()?;
        self.file.sync_all()
    }

    /// Gives it its name, where it has not.
    ///
    /// # Errors
    ///
    /// When it cannot: the next call tries again.
    pub fn rename(&mut self) -> io::Result<()> {
        if self.part == self.path {
            return Ok(());
        }
        fs::rename(&self.part, &self.path)?;
        self.part.clone_from(&self.path);
        Ok(())
    }
}

/// What the library says where nothing is written to a disk: that it was used wrongly, or a limit of the format.
fn strange(error: ParquetError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
