//! One file a command.

use std::process::ExitCode;

use anyhow::Result;

use crate::program::cli::Command;

mod act;
mod backtest;
mod bridge;
mod check;
mod checkpoint;
mod demo;
mod doctor;
mod documents;
mod explain;
mod generate;
mod health;
mod import;
mod history;
mod loop_table;
mod configuration;
mod refused;
mod reload;
mod replay;
mod rules;
mod run;
mod schema;
mod signals;
mod sweep;
mod tail;
mod topics;

/// Runs a command.
pub fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Bridge(arguments) => bridge::bridge(&arguments),
        Command::Replay(arguments) => replay::replay(&arguments),
        Command::Rules(arguments) => rules::rules(&arguments),
        Command::Import(arguments) => import::import(&arguments),
        Command::Check(arguments) => check::check(&arguments),
        Command::Schema(arguments) => schema::schema(&arguments),
        Command::Demo(arguments) => demo::demo(&arguments),
        Command::Generate(arguments) => generate::generate(&arguments),
        Command::Health(arguments) => health::health(&arguments),
        Command::Topics(arguments) => topics::topics(&arguments),
        Command::Checkpoint(arguments) => checkpoint::checkpoint(&arguments),
        Command::Tail(arguments) => tail::tail(&arguments),
        Command::Act(arguments) => act::act(&arguments),
        Command::Explain(arguments) => explain::explain(&arguments),
        Command::Backtest(arguments) => backtest::backtest(&arguments),
        Command::Doctor(arguments) => doctor::doctor(&arguments),
        Command::Completions(arguments) => documents::completions(&arguments),
        Command::Man(arguments) => documents::man(&arguments),
    }
}
