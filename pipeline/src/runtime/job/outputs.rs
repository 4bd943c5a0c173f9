//! Whether the output is as it should be, before anything is written to it.

use std::fmt;

use anyhow::{Context as _, Result};
use riskflow_config::{Output, Settings};
use riskflow_connectors::topics::{Place, TopicState, check};
use riskflow_model::topic::Topic;

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
