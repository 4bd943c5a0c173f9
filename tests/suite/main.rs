//! One test binary: each module one promise.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests are tests; the lint knows only functions marked as such"
)]

/// That of the program: most of what batches and histories cost is small pieces of memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod actions;
mod backtests;
mod bad_input;
mod batch_equals_stream;
mod behind_tokens;
mod boundaries;
mod bridge;
mod browser;
mod capabilities;
mod cases;
mod chaos;
mod check;
mod clock;
mod cloud_events;
mod cluster;
mod consumers;
mod contracts;
mod docs;
mod doctor;
mod trouble;
mod exactness;
mod explain;
mod files;
mod first_hour;
mod full;
mod golden;
mod histories;
mod hostile;
mod kafka;
mod limits;
mod listening;
mod product;
mod promotion;
mod promtool;
mod quiet;
mod reading;
mod recovery;
mod registry;
mod releases;
mod reloading;
mod replaying;
mod restart;
mod restoring;
mod rule_tests;
mod savepoints;
mod scripts;
mod secured;
mod serving;
mod simulation;
mod spans;
mod storms;
mod supervised;
