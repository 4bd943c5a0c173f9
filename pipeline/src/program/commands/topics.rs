//! `riskflow topics`.

mod schemas;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use riskflow_config::{Output, Settings};
use riskflow_connectors::topics::{Place, TopicReport, TopicState, accept_loss, check, create};
use riskflow_model::topic::Topic;
use serde_json::json;

use self::schemas::SchemaReport;
use super::configuration;
use crate::program::cli::{ConfigArguments, EXIT_DIFFERS, EXIT_REFUSED, TopicsArguments};
use crate::program::exit::Usage;
use crate::program::terminal::{say, table, tell};

/// How long a topic that was made may take to show.
const SHOWN: Duration = Duration::from_secs(10);

/// Lists, checks or creates the topics of input and output, and their schemas at a registry.
pub fn topics(arguments: &TopicsArguments) -> Result<ExitCode> {
    let (_, settings) = configuration::load(&with_registry(arguments))?;
    if arguments.accept_loss {
        return give_up(&settings, arguments.json);
    }
    // What cannot be is told before anything is made.
    let registry = schemas::registry(&settings, arguments)?;
    let reports = reports(&settings, arguments.create)?;
    if !arguments.json {
        let rows = reports
            .iter()
            .map(|report| vec![report.name.clone(), report.topic.key().to_owned(), state(report)]);
        say(table(&["topic", "key", "state"], rows));
        if matches!(settings.output, Output::Kafka(_)) {
            say("whoever consumes `out.*` reads committed records only: isolation.level=read_committed");
        }
    }
    let schemas = match &registry {
        Some(registry) => Some(schemas::reports(registry, &settings, arguments.create)?),
        None => None,
    };
    if arguments.json {
        let objects = reports.iter().map(|report| as_json(report, schemas.as_deref()));
        say(serde_json::Value::from(objects.collect::<Vec<_>>()));
    } else if let Some(schemas) = &schemas {
        say("");
        say(table(&["subject", "schema"], schemas.iter().map(SchemaReport::row)));
    }
    let schemas = schemas.unwrap_or_default();
    let refused = schemas.iter().filter(|schema| schema.is_refused()).count();
    if refused > 0 {
        tell(format_args!(
            "the schema registry refused {refused} of {} schemas; their subjects are as they were",
            schemas.len()
        ));
        return Ok(ExitCode::from(EXIT_REFUSED));
    }
    let all_ok = reports.iter().all(|report| matches!(report.state, TopicState::Ok));
    let all_there = !schemas.iter().any(SchemaReport::is_missing);
    Ok(if arguments.check && !(all_ok && all_there) {
        ExitCode::from(EXIT_DIFFERS)
    } else {
        ExitCode::SUCCESS
    })
}

/// The registry of the command line stands over that of the configuration.
fn with_registry(arguments: &TopicsArguments) -> ConfigArguments {
    let mut config = arguments.config.clone();
    let named = arguments.schema_registry.iter();
    config
        .overrides
        .extend(named.map(|url| format!("kafka.schema_registry.url={url}")));
    config
}

/// How all topics stand, those that are missing made if so asked.
fn reports(settings: &Settings, create_missing: bool) -> Result<Vec<TopicReport>> {
    let inputs: Vec<Topic> = settings.capabilities.inputs().collect();
    let outputs: Vec<Topic> = settings.capabilities.outputs().collect();
    let places = [
        (Place::of_input(&settings.input), inputs),
        (Place::of_output(&settings.output), outputs),
    ];
    let mut reports = Vec::new();
    for (place, topics) in places {
        let Some(place) = place else { continue };
        if create_missing {
            create(place, &settings.topics, &topics).context("could not create topics")?;
        }
        let look = || check(place, &settings.topics, &topics).context("could not check topics");
        let mut found = look()?;
        // A broker makes a topic before it shows it, and tells nobody when it does: it is asked again.
        let until = Instant::now() + SHOWN;
        while create_missing && found.iter().any(is_missing) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(100));
            found = look()?;
        }
        reports.extend(found);
    }
    Ok(reports)
}

/// Gives up what is lost of the output.
fn give_up(settings: &Settings, as_json: bool) -> Result<ExitCode> {
    let Some(place @ Place::Log(_)) = Place::of_output(&settings.output) else {
        let says = "the output is no embedded log: there is nothing that riskflow could give up";
        return Err(Usage(says.to_owned()).into());
    };
    let lost = accept_loss(place, &settings.topics).context("could not give up what is lost")?;
    if as_json {
        say(json!({ "lost": lost }));
    } else if lost.is_empty() {
        say("nothing is lost");
    } else {
        lost.iter().for_each(|lost| say(format_args!("given up: {lost}")));
        say("the next start goes on without it");
    }
    Ok(ExitCode::SUCCESS)
}

fn is_missing(report: &TopicReport) -> bool {
    matches!(report.state, TopicState::Missing)
}

fn state(report: &TopicReport) -> String {
    let state = match &report.state {
        TopicState::Ok => "ok".to_owned(),
        TopicState::Missing => "missing; `riskflow topics --create` makes it".to_owned(),
        TopicState::Differs(what) => format!("differs: {}", what.join("; ")),
    };
    let remarks = report.remarks.iter().map(|remark| format!("; {remark}"));
    state + &remarks.collect::<String>()
}

/// With those of its schemas, where a registry was asked.
fn as_json(report: &TopicReport, schemas: Option<&[SchemaReport]>) -> serde_json::Value {
    let (state, differs) = match &report.state {
        TopicState::Ok => ("ok", Vec::new()),
        TopicState::Missing => ("missing", Vec::new()),
        TopicState::Differs(what) => ("differs", what.clone()),
    };
    let mut object = json!({ "topic": report.topic.name(), "name": report.name, "key": report.topic.key(), "state": state, "differs": differs, "remarks": report.remarks });
    if let Some(schemas) = schemas {
        let own = schemas.iter().filter(|schema| schema.is_of(report.topic));
        object["schemas"] = own.map(SchemaReport::as_json).collect();
    }
    object
}
