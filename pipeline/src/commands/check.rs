//! `riskflow check`.

use std::process::ExitCode;

use anyhow::Result;

use super::configuration;
use crate::cli::ConfigArguments;
use crate::terminal::say;

/// Prints the configuration in force, or everything that is wrong with it.
pub fn check(arguments: &ConfigArguments) -> Result<ExitCode> {
    let (written, _) = configuration::load(arguments)?;
    riskflow_config::packs::all()?;
    riskflow_config::packs::limits()?;
    say(toml::to_string_pretty(&written)?.trim_end());
    Ok(ExitCode::SUCCESS)
}
