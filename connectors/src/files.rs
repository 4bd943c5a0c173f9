//! History files: lines of JSON, rows of CSV, lines that hold whole records; and the sink that writes the last.
//!
//! A regular file of lines (NDJSON) is split among all workers; anything else is read by one of them. A file is read up to
//! where it ended when it was opened, and ends there for ever. Standard input ends when its writer closes it; until
//! then it may have nothing at hand.

mod lines;
mod split;
mod fed;
mod columns;
mod quotes;
mod table;
mod envelope;
mod source;
mod sink;

#[cfg(test)]
mod tests;

pub use sink::{FileSink, StdoutSink, open_sink};
pub use source::FileSource;
