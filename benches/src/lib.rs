//! What the benches share: the loads, how they get to a broker, and how a child process is measured.

pub mod broker;
pub mod load;
pub mod measure;
pub mod storm;
