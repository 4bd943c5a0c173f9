//! The program: command line, terminal, exit codes.

mod bounded;
mod cli;
mod client;
mod commands;
mod escape;
mod exit;
mod limits;
mod log_filter;
mod terminal;

use std::process::ExitCode;

use clap::Parser as _;

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
        Err(error) if exit::is_unread(&error) => ExitCode::SUCCESS,
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
