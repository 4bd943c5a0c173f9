//! `riskflow schema`.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use riskflow::runtime::http::openapi;
use riskflow_config::WrittenSettings;
use riskflow_model::schema::{self, asyncapi};
use riskflow_model::topic::Topic;
use serde_json::Value;

use crate::program::cli::SchemaArguments;
use crate::program::exit::Usage;
use crate::program::terminal::say;

/// Prints a schema or a document, or writes all of them.
pub fn schema(arguments: &SchemaArguments) -> Result<ExitCode> {
    if let Some(folder) = &arguments.out {
        std::fs::create_dir_all(folder).with_context(|| format!("could not create `{}`", folder.display()))?;
        let schemas = schemas()
            .into_iter()
            .map(|(name, schema)| (format!("{name}.schema"), schema));
        let documents = documents().into_iter().map(|(name, make)| (name.to_owned(), make()));
        for (name, content) in schemas.chain(documents) {
            let path = folder.join(format!("{name}.json"));
            std::fs::write(&path, format!("{content:#}\n"))
                .with_context(|| format!("could not write `{}`", path.display()))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let Some(name) = &arguments.name else {
        names().iter().for_each(say);
        return Ok(ExitCode::SUCCESS);
    };
    if let Some((_, make)) = documents().into_iter().find(|(known, _)| known == name) {
        say(format!("{:#}", make()));
        return Ok(ExitCode::SUCCESS);
    }
    match schemas().into_iter().find(|(known, _)| known == name) {
        Some((_, schema)) => say(format!("{schema:#}")),
        None => {
            let says = format!("there is no schema `{name}`; give one of `{}`", names().join("`, `"));
            return Err(Usage(says).into());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Every JSON Schema by its name.
fn schemas() -> Vec<(&'static str, Value)> {
    let topics = Topic::all().map(|topic| (topic.name(), schema::of_topic(topic).to_value()));
    let files = [
        ("config", schema::of::<WrittenSettings>().to_value()),
        ("rules-test", super::rules::test::schema().to_value()),
    ];
    topics.chain(files).collect()
}

/// A document, and what makes it.
type Document = (&'static str, fn() -> Value);

/// What describes all topics, and all of HTTP.
const fn documents() -> [Document; 2] {
    [("asyncapi", asyncapi::document), ("openapi", openapi::document)]
}

fn names() -> Vec<&'static str> {
    let schemas = schemas().into_iter().map(|(name, _)| name);
    schemas.chain(documents().map(|(name, _)| name)).collect()
}
