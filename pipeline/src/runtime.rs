//! A job: the whole dataflow on one page, epochs, sources and sinks put together, recovery, HTTP, metrics.

pub mod clock;
pub mod pace;
pub mod admission;
pub mod ingest;
pub mod graph;
pub mod unmatched;
pub mod in_force;
pub mod dataflow;
pub mod output;
pub mod publisher;
pub mod checkpoint;
pub mod recovery;
pub mod feed;
pub mod views;
pub(crate) mod outcome;
pub mod metrics;
pub mod spans;
pub mod state;
pub mod http;
pub mod job;
pub mod cluster;
pub mod replay;
pub(crate) mod version;
