//! Checking and making topics, on Kafka and in log folders alike.

use std::path::Path;

use riskflow_config::{Input, KafkaSettings, Output, Settings, TopicSettings};
use riskflow_model::topic::Topic;

use crate::Retry;
use crate::kafka::{self, BrokerError};
use crate::log::{self, LogError, LogSink};

mod report;

pub use report::{TopicReport, TopicState};

/// A place that has topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// An embedded log in this folder.
    Log(&'a Path),
    /// Kafka.
    Kafka(&'a KafkaSettings),
}

impl<'a> Place<'a> {
    /// Where an input's topics are; `None` for files.
    #[must_use]
    pub fn of_input(input: &'a Input) -> Option<Self> {
        match input {
            Input::Log(folder) => Some(Self::Log(folder)),
            Input::Kafka(kafka) => Some(Self::Kafka(kafka)),
            Input::Files(_) => None,
        }
    }

    /// Where an output's topics are; `None` for files.
    #[must_use]
    pub fn of_output(output: &'a Output) -> Option<Self> {
        match output {
            Output::Log(folder) => Some(Self::Log(folder)),
            Output::Kafka(kafka) => Some(Self::Kafka(kafka)),
            Output::Files(_) => None,
        }
    }
}

/// How many files a job keeps open for input and output, at most.
#[must_use]
pub fn open_files(settings: &Settings) -> usize {
    let partitions = |folder: &Path, topic: Topic| {
        let folder = folder.join(settings.topics.name(topic));
        let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let numbers = names.filter(|entry| {
            entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.parse::<u16>().is_ok())
        });
        // What is not there yet is made as the settings say.
        Some(numbers.count())
            .filter(|count| *count > 0)
            .unwrap_or(settings.topics.partitions.into())
    };
    // librdkafka has a socket and a pipe for each broker, for each that it begins with, and for coordinators.
    let client = |kafka: &KafkaSettings| 3 * (kafka.brokers.split(',').count().max(3) + 3);
    // Segments may be closed between two uses, locks and connections may not.
    let (mut segments, mut files) = (0, 0);
    match &settings.input {
        Input::Log(folder) => segments += Topic::inputs().map(|topic| partitions(folder, topic)).sum::<usize>(),
        Input::Kafka(kafka) => files += 2 * settings.cluster.workers.get() * client(kafka),
        Input::Files(paths) => files += paths.len(),
    }
    if settings.cluster.process == 0 {
        if let Input::Kafka(kafka) = &settings.input
            && kafka.group_offsets
        {
            files += client(kafka);
        }
        match &settings.output {
            // Written, and read once when the job begins.
            Output::Log(folder) => {
                segments += 2 * Topic::outputs().map(|topic| partitions(folder, topic)).sum::<usize>();
                files += Topic::outputs().count();
            }
            // The producer, and one that asks about topics.
            Output::Kafka(kafka) => files += 2 * client(kafka),
            Output::Files(_) => files += Topic::outputs().count(),
        }
    }
    let acts = settings.http.as_ref().is_some_and(|http| http.actions.is_some());
    match &settings.input {
        Input::Log(folder) if acts => segments += partitions(folder, Topic::IN_ACTION),
        Input::Kafka(kafka) if acts => files += client(kafka),
        _ => {}
    }
    files + segments.min(log::MOST_OPEN)
}

/// Why topics could not be checked or made.
#[derive(Debug, thiserror::Error)]
pub enum TopicsError {
    /// The embedded log.
    #[error("the topics of the embedded log cannot be checked or made")]
    Log(#[from] LogError),
    /// Kafka.
    #[error("the topics on Kafka cannot be checked or made")]
    Kafka(#[from] BrokerError),
}

impl TopicsError {
    /// Whether the same may succeed later.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Log(error) => error.retry(),
            Self::Kafka(error) => error.retry(),
        }
    }
}

/// Compares topics with the settings; one report for each, in their order. Changes nothing.
///
/// # Errors
///
/// When the place cannot be asked.
pub fn check(place: Place<'_>, settings: &TopicSettings, topics: &[Topic]) -> Result<Vec<TopicReport>, TopicsError> {
    match place {
        Place::Kafka(kafka) => Ok(kafka::check(kafka, settings, topics)?),
        Place::Log(folder) => topics.iter().map(|topic| check_log(folder, settings, *topic)).collect(),
    }
}

/// Makes those that are not there; leaves the others as they are. Returns how each stood before.
///
/// # Errors
///
/// When the place refuses; some may have been made.
pub fn create(place: Place<'_>, settings: &TopicSettings, topics: &[Topic]) -> Result<Vec<TopicReport>, TopicsError> {
    let reports = check(place, settings, topics)?;
    let missing = reports.iter().filter(|report| report.state == TopicState::Missing);
    let missing: Vec<Topic> = missing.map(|report| report.topic).collect();
    match place {
        Place::Kafka(kafka) => kafka::create(kafka, settings, &missing)?,
        Place::Log(folder) => {
            if !missing.is_empty() {
                log::written_by_its_user(&[folder])?;
            }
            for topic in missing {
                log::make(&folder.join(settings.name(topic)), settings.partitions)?;
            }
        }
    }
    Ok(reports)
}

/// Goes on without what was committed in an output log and is not there any more; says what that is. Where records are
/// gone there is a gap: offsets stay. Kafka has its own ways.
///
/// # Errors
///
/// When a job writes the output, or it cannot be written.
pub fn accept_loss(place: Place<'_>, settings: &TopicSettings) -> Result<Vec<String>, TopicsError> {
    match place {
        Place::Log(folder) => Ok(LogSink::accept_loss(folder, settings)?),
        Place::Kafka(_) => Ok(Vec::new()),
    }
}

fn check_log(folder: &Path, settings: &TopicSettings, topic: Topic) -> Result<TopicReport, TopicsError> {
    let name = settings.name(topic);
    let state = match log::partitions(&folder.join(&name))? {
        None => TopicState::Missing,
        Some(count) if count == settings.partitions => TopicState::Ok,
        Some(count) => TopicState::Differs(vec![format!(
            "{count} partitions, the settings say {}",
            settings.partitions
        )]),
    };
    Ok(TopicReport {
        topic,
        name,
        state,
        remarks: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_of_a_log_are_made_once_and_compared() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::Log(folder.path());
        let mut settings = TopicSettings {
            prefix: "a.".to_owned(),
            partitions: 2,
            replication: 1,
            retention: 86_400_000,
            exercise: false,
            forced: false,
            tidy: riskflow_config::Tidy::default(),
        };
        let topics = [Topic::IN_RULE, Topic::RISK_ASSET];
        let states = |reports: Vec<TopicReport>| reports.into_iter().map(|report| report.state).collect::<Vec<_>>();
        let missing = vec![TopicState::Missing; 2];
        assert_eq!(states(check(place, &settings, &topics).unwrap()), missing);
        assert_eq!(states(create(place, &settings, &topics).unwrap()), missing);
        assert_eq!(
            states(create(place, &settings, &topics).unwrap()),
            vec![TopicState::Ok; 2]
        );
        settings.partitions = 3;
        let differs = TopicState::Differs(vec!["2 partitions, the settings say 3".to_owned()]);
        assert_eq!(states(check(place, &settings, &topics).unwrap()), vec![differs; 2]);
    }
}
