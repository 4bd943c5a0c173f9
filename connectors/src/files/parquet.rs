//! Apache Parquet: rows that are read, and the sink that writes it.

mod rows;
mod value;
mod batch;
mod topic_file;
mod sink;

#[cfg(test)]
mod tests;

pub use rows::is_guarded;
pub(super) use rows::{each_row, feed_rows, once};
pub use sink::ParquetSink;
