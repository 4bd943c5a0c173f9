//! `riskflow`: see `riskflow --help`.

use std::process::ExitCode;

use clap::Parser;

mod cli;
mod commands;
mod terminal;

/// State is many small allocations that live long, made and freed on different threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    terminal::start_logging(&arguments.log);
    riskflow_connectors::arm_failpoints();
    match commands::run(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            terminal::complain(&error);
            match error.downcast_ref::<riskflow_config::Problems>() {
                Some(_) => ExitCode::from(cli::EXIT_CONFIGURATION),
                None => ExitCode::FAILURE,
            }
        }
    }
}
