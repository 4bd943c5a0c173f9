//! The pipeline, in three rooms: the runtime of a job, a simulator that makes input for it, and the program around both.

pub mod runtime;
pub mod simulator;
mod program;

pub use program::main;

// Commands name the library as its users do.
extern crate self as riskflow;
