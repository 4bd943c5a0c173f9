//! The program: command line, the whole graph on one page, epochs, sources and sinks put together, HTTP, metrics.

pub mod graph;
pub mod output;
pub mod replay;
