//! The program: command line, the whole graph on one page, epochs, sources and sinks put together, HTTP, metrics.

pub mod clock;
pub mod pace;
pub mod admission;
pub mod ingest;
pub mod graph;
pub mod unmatched;
pub mod in_force;
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

mod cli;
mod commands;
mod escape;
mod exit;
mod limits;
mod terminal;

use std::process::ExitCode;

use clap::Parser as _;

// Commands name the library as its users do.
extern crate self as riskflow;

/// The program: what `riskflow` does with its command line.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match cli::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return terminal::explain(&refused(error)),
    };
    terminal::start_logging(&arguments.log);
    riskflow_connectors::arm_failpoints();
    match limits::raise().and_then(|()| commands::run(arguments.command)) {
        Ok(code) => code,
        Err(error) => {
            terminal::complain(&error);
            exit::code(&error)
        }
    }
}

/// The same error without control characters of the arguments that it quotes: line breaks of clap's own would hide those of a value.
fn refused(error: clap::Error) -> clap::Error {
    let shown = std::env::args_os().map(|argument| escape::line(&argument.to_string_lossy()).into_owned());
    cli::Arguments::try_parse_from(shown).err().unwrap_or(error)
}
