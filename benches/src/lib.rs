//! What the benches share: the loads, and how a child process is measured.

pub mod load;
pub mod measure;
pub mod storm;
