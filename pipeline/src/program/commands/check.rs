//! `riskflow check`.

pub(super) mod files;
pub(super) mod report;
pub(super) mod stock;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use riskflow_config::{Loaded, Settings, WrittenSettings};
use riskflow_connectors::{Polled, Share, Until, Verdict, open_source};
use riskflow_model::Problems;
use riskflow_model::progress::Offsets;
use riskflow_model::topic::Topic;
use serde_json::json;

use self::files::Wanted;
use self::report::Report;
use self::stock::Stock;
use super::configuration;
use crate::program::cli::{CheckArguments, ConfigArguments, EXIT_CONFIGURATION};
use crate::program::exit::Usage;
use crate::program::terminal::say;

/// Prints the configuration in force, or everything that is wrong with it; or what is wrong with rules and the rows that they meet.
pub fn check(arguments: &CheckArguments) -> Result<ExitCode> {
    if arguments.rules.is_empty() && arguments.base.is_empty() && !arguments.live {
        let loaded = sound_configuration(&arguments.config);
        if arguments.json {
            return configuration_as_json(loaded);
        }
        let loaded = loaded?;
        say(loaded
            .origins
            .annotate(toml::to_string_pretty(&loaded.written)?.trim_end()));
        say(format_args!("\n# ok: {}", configuration::described(&arguments.config)));
        return Ok(ExitCode::SUCCESS);
    }
    let mut stock = Stock::default();
    let horizon = horizon(arguments)?;
    if arguments.live {
        let (_, settings) = configuration::load(&arguments.config)?;
        read_live(&settings, &mut stock).context("could not read the input")?;
    }
    for path in &arguments.base {
        files::read(path, Wanted::Tables, &mut stock)?;
    }
    // What stands in the place of the job is all that there is; files with rules may be a part.
    stock.know_all_rules();
    for path in &arguments.rules {
        files::read(path, Wanted::Rules, &mut stock)?;
    }
    let mut report = Report::of(stock, Some(horizon));
    if arguments.strict {
        report = report.strict();
    }
    if !arguments.rules.is_empty() && !report.has_rules() {
        let given: Vec<String> = arguments.rules.iter().map(|path| path.display().to_string()).collect();
        return Err(no_rules(&given));
    }
    if arguments.json {
        say(report.as_json());
    } else {
        report.for_people().iter().for_each(say);
    }
    Ok(if report.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_CONFIGURATION)
    })
}

/// The configuration, with all that it names and the packs that come with this build.
fn sound_configuration(arguments: &ConfigArguments) -> Result<Loaded> {
    let loaded = configuration::looked_at(arguments)?;
    riskflow_config::packs::all()?;
    riskflow_config::packs::limits()?;
    Ok(loaded)
}

/// Prints the configuration for machines, or everything that is wrong with it. Secrets are hidden.
fn configuration_as_json(loaded: Result<Loaded>) -> Result<ExitCode> {
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            let problems = match error.downcast_ref::<Problems>() {
                Some(problems) => json!(problems),
                // A file that cannot be read.
                None => {
                    json!([{ "field": "the configuration", "found": format!("{error:#}"), "give": "what can be read" }])
                }
            };
            say(json!({ "ok": false, "problems": problems }));
            return Ok(ExitCode::from(EXIT_CONFIGURATION));
        }
    };
    let origins: BTreeMap<&str, String> = loaded
        .origins
        .iter()
        .map(|(field, origin)| (field, origin.to_string()))
        .collect();
    say(json!({
        "ok": true, "problems": [], "configuration": serde_json::to_value(&loaded.written)?, "origins": origins,
        "unread_variables": loaded.unread,
    }));
    Ok(ExitCode::SUCCESS)
}

/// That of observations: in the configuration, where one is named or read, else the default.
fn horizon(arguments: &CheckArguments) -> Result<riskflow_model::Duration> {
    let named =
        arguments.config.config.is_some() || !arguments.config.overrides.is_empty() || configuration::has_variables();
    let settings = if named || arguments.live {
        configuration::load(&arguments.config)?.1
    } else {
        WrittenSettings::default().check()?
    };
    Ok(settings.time.horizon)
}

/// Where rules are asked about, or to be loaded, and there are none, something was mistaken for them.
pub(super) fn no_rules(given: &[String]) -> anyhow::Error {
    let says = format!(
        "`{}` holds no rule and no limit; give files of JSON, NDJSON or CSV, or a folder with such files",
        given.join("`, `")
    );
    Usage(says).into()
}

/// Reads all input tables up to where they end now; not observations and actions.
pub(super) fn read_live(settings: &Settings, stock: &mut Stock) -> Result<()> {
    let topics: Vec<Topic> = settings
        .capabilities
        .inputs()
        .filter(|topic| topic.is_input_table())
        .collect();
    let beginning = Offsets::default();
    let mut source = open_source(
        &settings.input,
        &settings.topics,
        &topics,
        Share::WHOLE,
        Until::End,
        &beginning,
    )?;
    loop {
        let polled = source.poll(10_000, &mut |record| {
            if record.topic.is_input_table() {
                let place = format!("{}/{}@{}", record.topic, record.partition, record.offset);
                stock.take(&record, place);
            }
            Verdict::Taken
        })?;
        match polled {
            Polled::Ended => return Ok(()),
            Polled::Idle | Polled::Blocked => std::thread::sleep(Duration::from_millis(20)),
            Polled::More => {}
        }
    }
}
