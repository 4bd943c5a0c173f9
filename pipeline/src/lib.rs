//! The pipeline, in four rooms: the runtime of a job, a bridge that tells others of what comes of it, a simulator that makes input for it,
//! and the program around all of them.

pub mod runtime;
pub mod bridge;
pub mod simulator;
mod program;

pub use program::main;

// Commands name the library as its users do.
extern crate self as riskflow;
