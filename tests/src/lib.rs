//! placeholder

pub mod kafka;
