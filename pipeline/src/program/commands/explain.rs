//! `riskflow explain`: why a warning, and why not.

mod asset;
mod evidence;
mod gathered;
mod moment;
mod near;
mod selected;
mod told;
mod warning;
mod why_not;

use std::process::ExitCode;

use anyhow::Result;
use riskflow::runtime::clock::wall_clock;
use riskflow_model::Millis;

use super::configuration;
use crate::program::cli::ExplainArguments;

/// Explains a warning; or with `--at` what the rules said of an asset.
pub fn explain(arguments: &ExplainArguments) -> Result<ExitCode> {
    let (_, settings) = configuration::load(&arguments.config)?;
    let now = Millis(wall_clock());
    let time = |option, text: &Option<String>| {
        let text = text.as_deref();
        text.map(|text| moment::moment(option, text, now, &settings.zone))
            .transpose()
    };
    let as_of = time("--as-of", &arguments.as_of)?;
    match time("--at", &arguments.at)? {
        Some(at) => asset::explain(arguments, &settings, now, (at, as_of))?,
        None => warning::explain(arguments, &settings, as_of)?,
    }
    Ok(ExitCode::SUCCESS)
}
