//! Schemas of topics at a schema registry.

use anyhow::{Context as _, Result};
use riskflow_config::Settings;
use riskflow_connectors::registry::{self, Registry, SchemaState, Subject};
use riskflow_model::topic::Topic;
use serde_json::{Value, json};

use crate::program::cli::TopicsArguments;
use crate::program::escape;
use crate::program::exit::Usage;

/// How the schema of one subject stands.
pub struct SchemaReport {
    subject: Subject,
    state: SchemaState,
}

/// The registry, where one is named and something is asked for that has to do with it. It is not asked yet.
///
/// # Errors
///
/// [`Usage`] where the command line names one and there are no topics on Kafka; when there can be no client.
pub fn registry(settings: &Settings, arguments: &TopicsArguments) -> Result<Option<Registry>> {
    let is_named = arguments.schema_registry.is_some();
    let is_asked = arguments.create || arguments.check || is_named;
    let Some(named) = settings.schema_registry.as_ref().filter(|_| is_asked) else {
        return Ok(None);
    };
    if registry::subjects(settings).is_empty() {
        let says = "neither input nor output is Kafka (`input.kind`, `output.kind`): there are no topics whose schemas a registry could have";
        return if is_named {
            Err(Usage(says.to_owned()).into())
        } else {
            Ok(None)
        };
    }
    Ok(Some(Registry::new(named)?))
}

/// How all of them stand, those that are missing registered if so asked.
///
/// # Errors
///
/// When the registry cannot be asked; some may be registered.
pub fn reports(registry: &Registry, settings: &Settings, create: bool) -> Result<Vec<SchemaReport>> {
    let report = |subject: Subject| -> Result<SchemaReport> {
        let state = if create {
            let state = registry.register(&subject);
            state.context("the topics are there, but not all schemas are registered; the same command goes on")?
        } else {
            registry
                .look(&subject)
                .context("could not look at the schemas of topics")?
        };
        Ok(SchemaReport { subject, state })
    };
    registry::subjects(settings).into_iter().map(report).collect()
}

impl SchemaReport {
    /// Whether the registry refuses it, for whatever reason.
    pub const fn is_refused(&self) -> bool {
        matches!(self.state, SchemaState::Incompatible(_) | SchemaState::Refused(_))
    }

    /// Whether it is not there.
    pub const fn is_missing(&self) -> bool {
        matches!(self.state, SchemaState::Missing)
    }

    /// Whether it is one of this topic.
    pub fn is_of(&self, topic: Topic) -> bool {
        self.subject.topic == topic
    }

    /// As a row for people.
    pub fn row(&self) -> Vec<String> {
        let state = match &self.state {
            SchemaState::Unchanged(place) => format!("unchanged: version {}", place.version),
            SchemaState::Registered(place) => format!("registered: version {}", place.version),
            SchemaState::Missing => "missing; `riskflow topics --create` registers it".to_owned(),
            SchemaState::Incompatible(said) => format!("refused as incompatible: {}", escape::line(said)),
            SchemaState::Refused(said) => format!("refused: {}", escape::line(said)),
        };
        vec![self.subject.name.clone(), state]
    }

    /// As an object for machines.
    pub fn as_json(&self) -> Value {
        let (state, place, said) = match &self.state {
            SchemaState::Unchanged(place) => ("unchanged", Some(place), None),
            SchemaState::Registered(place) => ("registered", Some(place), None),
            SchemaState::Missing => ("missing", None, None),
            SchemaState::Incompatible(said) => ("incompatible", None, Some(said)),
            SchemaState::Refused(said) => ("refused", None, Some(said)),
        };
        json!({
            "subject": self.subject.name, "state": state, "version": place.map(|place| place.version), "id": place.map(|place| place.id),
            "said": said,
        })
    }
}
