//! Whether the output is as it should be, before anything is written to it.

use std::fmt;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use riskflow_config::{Clock, Output, Settings};
use riskflow_connectors::Sink;
use riskflow_connectors::topics::{Place, TopicState, check};
use riskflow_model::topic::Topic;

use crate::runtime::metrics::Metrics;

/// Topics of the output are missing, or otherwise than the settings say.
#[derive(Debug)]
pub struct TopicsDiffer(pub String);

impl fmt::Display for TopicsDiffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "output topics are not as they should be: {}; `riskflow topics --create` makes what is missing, `riskflow topics \
             --check` tells all that differs",
            self.0
        )
    }
}

impl std::error::Error for TopicsDiffer {}

/// A live job tells Kafka's own tools how far it is. One that works off a history is a guest there.
pub(super) fn tell_offsets(sink: Box<dyn Sink>, settings: &Settings, metrics: &Arc<Metrics>) -> Box<dyn Sink> {
    if settings.clock != Clock::Live || settings.output_topics.exercise {
        return sink;
    }
    let group = format!("{}riskflow", settings.output_topics.prefix);
    let metrics = Arc::clone(metrics);
    let unread: Box<dyn Fn() + Send> = Box::new(move || metrics.epochs.untold());
    riskflow_connectors::tell_offsets(sink, &settings.input, &settings.topics, (group.as_str(), unread))
}

/// Topics on Kafka that are not as they should be lose what is written to them, sooner or later.
pub(super) fn check_topics(settings: &Settings) -> Result<()> {
    let (Some(place), Output::Kafka(_)) = (Place::of_output(&settings.output), &settings.output) else {
        return Ok(());
    };
    let outputs: Vec<Topic> = settings.capabilities.outputs().collect();
    let reports = check(place, &settings.output_topics, &outputs).context("could not check the output topics")?;
    let wrong = reports.iter().filter_map(|report| match &report.state {
        TopicState::Ok => None,
        TopicState::Missing => Some(format!("`{}` is missing", report.name)),
        TopicState::Differs(what) => Some(format!("`{}` has {}", report.name, what.join(", "))),
    });
    let wrong: Vec<String> = wrong.collect();
    if wrong.is_empty() {
        return Ok(());
    }
    Err(TopicsDiffer(wrong.join("; ")).into())
}
