//! `riskflow schema`.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use riskflow_config::WrittenSettings;
use riskflow_model::schema;
use riskflow_model::topic::Topic;
use schemars::Schema;

use crate::program::cli::SchemaArguments;
use crate::program::exit::Usage;
use crate::program::terminal::say;

/// Prints a schema, or writes all of them.
pub fn schema(arguments: &SchemaArguments) -> Result<ExitCode> {
    if let Some(folder) = &arguments.out {
        std::fs::create_dir_all(folder).with_context(|| format!("could not create `{}`", folder.display()))?;
        for (name, schema) in all() {
            let path = folder.join(format!("{name}.schema.json"));
            let text = format!("{}\n", serde_json::to_string_pretty(&schema)?);
            std::fs::write(&path, text).with_context(|| format!("could not write `{}`", path.display()))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let Some(name) = &arguments.name else {
        all().iter().for_each(|(name, _)| say(name));
        return Ok(ExitCode::SUCCESS);
    };
    match all().into_iter().find(|(known, _)| known == name) {
        Some((_, schema)) => say(serde_json::to_string_pretty(&schema)?),
        None => {
            let names: Vec<&str> = all().into_iter().map(|(name, _)| name).collect();
            let says = format!("there is no schema `{name}`; give one of `{}`", names.join("`, `"));
            return Err(Usage(says).into());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Every schema by its name.
fn all() -> Vec<(&'static str, Schema)> {
    let topics = Topic::all().map(|topic| (topic.name(), riskflow_model::schema::of_topic(topic)));
    let files = [
        ("config", schema::of::<WrittenSettings>()),
        ("rules-test", super::rules::test::schema()),
    ];
    topics.chain(files).collect()
}
