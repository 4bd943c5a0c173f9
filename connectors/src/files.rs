//! History files: lines of JSON, rows of CSV and Parquet, lines that hold whole records; and the sinks that write the last, CSV and
//! Parquet.
//!
//! A regular file of lines (NDJSON) is split among all workers; anything else is read by one of them. A file is read up to
//! where it ended when it was opened, and ends there for ever. What is no regular file (`-` for standard input, a pipe, `/dev/stdin`,
//! `/dev/fd/3`) is read once, in order, and ends when its writer closes it; until then it may have nothing at hand. What
//! begins like gzip or Zstandard is unpacked, whatever its name.
//!
//! Envelopes that come once are read by the source that has observations, whatever their topic: in a replay a
//! record is then taken when those before it were.

mod format;
mod names;
mod lines;
mod split;
mod fed;
mod columns;
mod cells;
mod stream;
mod records;
mod table;
mod flat;
mod csv_rows;
mod parquet;
mod envelope;
mod rows;
mod source;
mod sink;

#[cfg(test)]
mod tests;

pub use self::parquet::{ParquetSink, is_guarded};
pub use names::Columns;
pub use rows::{FileRow, fields, read_rows};
pub use sink::{FileSink, NoSink, StdoutSink, open_sink};
pub use source::FileSource;
