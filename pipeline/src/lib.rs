//! The program: command line, the whole graph on one page, epochs, sources and sinks put together, HTTP, metrics.

pub mod clock;
pub mod pace;
pub mod ingest;
pub mod graph;
pub mod unmatched;
pub mod output;
pub mod publisher;
pub mod checkpoint;
pub mod recovery;
pub mod views;
pub mod metrics;
pub mod http;
pub mod job;
pub mod cluster;
pub mod replay;
pub mod draw;
pub mod city;
pub mod weather;
