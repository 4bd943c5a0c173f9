//! What the benches share: the load, and how a child process is measured.

pub mod load;
pub mod measure;
