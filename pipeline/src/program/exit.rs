//! Which exit code an error gives: see the table in the README.

use std::fmt;
use std::process::ExitCode;

use riskflow::runtime::job::TopicsDiffer;
use riskflow_connectors::checkpoint::CheckpointError;
use riskflow_connectors::kafka::BrokerError;
use riskflow_connectors::log::LogError;
use riskflow_connectors::registry::RegistryError;
use riskflow_connectors::{AppendError, SinkError, SourceError};
use riskflow_model::Problems;

use crate::program::cli::{EXIT_CONFIGURATION, EXIT_DIFFERS};

/// Something was asked for that cannot be: another command line, or another file, is needed.
#[derive(Debug)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// There is no such thing as was asked about, or nothing was told of it.
#[derive(Debug)]
pub struct Missing(pub String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}

/// Nobody waits for the answer any more.
#[derive(Debug)]
pub struct GivenUp;

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody waits for the answer any more")
    }
}

impl std::error::Error for GivenUp {}

/// Nobody reads standard output any more, which is all that the command writes to.
#[derive(Debug)]
pub struct Unread;

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads standard output")
    }
}

impl std::error::Error for Unread {}

/// Whether a command ended because whoever read its output has seen enough, as with `| head`: no failure, and nothing to say.
pub fn is_unread(error: &anyhow::Error) -> bool {
    let is_sink =
        |cause: &(dyn std::error::Error + 'static)| cause.downcast_ref::<SinkError>().is_some_and(SinkError::is_unread);
    error.downcast_ref::<Unread>().is_some() || error.chain().any(is_sink)
}

/// The exit code of an error: that of the first of its causes that has one of its own, else 1.
pub fn code(error: &anyhow::Error) -> ExitCode {
    if error.downcast_ref::<Problems>().is_some() || error.downcast_ref::<Usage>().is_some() {
        return ExitCode::from(EXIT_CONFIGURATION);
    }
    if error.downcast_ref::<TopicsDiffer>().is_some() {
        return ExitCode::from(EXIT_DIFFERS);
    }
    error
        .chain()
        .find_map(of_cause)
        .map_or(ExitCode::FAILURE, ExitCode::from)
}

fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if let Some(AppendError::Topic(error)) = cause.downcast_ref() {
        return of_source(error);
    }
    if let Some(AppendError::Files { .. }) = cause.downcast_ref() {
        return Some(EXIT_CONFIGURATION);
    }
    if let Some(AppendError::Log(error)) = cause.downcast_ref() {
        return of_log(error);
    }
    if let Some(error) = cause.downcast_ref::<LogError>() {
        return of_log(error);
    }
    if let Some(error) = cause.downcast_ref::<SourceError>() {
        return of_source(error);
    }
    if let Some(error) = cause.downcast_ref::<CheckpointError>() {
        return of_checkpoint(error);
    }
    if let Some(RegistryError::Certificates { .. } | RegistryError::Other { .. }) = cause.downcast_ref() {
        return Some(EXIT_CONFIGURATION);
    }
    match cause.downcast_ref() {
        Some(
            BrokerError::Reserved { .. }
            | BrokerError::Settings(_)
            | BrokerError::Exercise { .. }
            | BrokerError::NoExercise { .. }
            | BrokerError::Written { .. },
        ) => Some(EXIT_CONFIGURATION),
        _ => None,
    }
}

const fn of_checkpoint(error: &CheckpointError) -> Option<u8> {
    match error {
        CheckpointError::OtherJob { .. } | CheckpointError::Unfinished { .. } | CheckpointError::NewerPinned { .. } => {
            Some(EXIT_DIFFERS)
        }
        CheckpointError::Path { .. }
        | CheckpointError::PinName { .. }
        | CheckpointError::Pinned { .. }
        | CheckpointError::NoPin { .. }
        | CheckpointError::Absent { .. } => Some(EXIT_CONFIGURATION),
        CheckpointError::Store { .. } | CheckpointError::Damaged { .. } | CheckpointError::Runtime(_) => None,
    }
}

/// Another user must run it: nothing that a restart mends.
const fn of_log(error: &LogError) -> Option<u8> {
    match error {
        LogError::Foreign { .. } => Some(EXIT_CONFIGURATION),
        _ => None,
    }
}

const fn of_source(error: &SourceError) -> Option<u8> {
    match error {
        SourceError::NoTopic { .. } => Some(EXIT_DIFFERS),
        SourceError::FileInput { .. } => Some(EXIT_CONFIGURATION),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use anyhow::anyhow;

    use super::*;

    #[test]
    fn an_output_that_nobody_reads_is_no_failure() {
        let closed = |file: &str| SinkError::File {
            file: file.into(),
            error: std::io::ErrorKind::BrokenPipe.into(),
        };
        assert!(is_unread(
            &anyhow::Error::from(closed("-")).context("could not write the output")
        ));
        assert!(is_unread(&Unread.into()));
        assert!(!is_unread(&closed("out").into()));
        assert!(!is_unread(&anyhow!("something")));
    }

    #[test]
    fn an_error_has_the_code_of_its_cause_whatever_was_said_about_it() {
        let no_topic = || SourceError::NoTopic {
            topic: "in.rule".to_owned(),
        };
        let foreign = || LogError::Foreign {
            path: "log".into(),
            owner: "riskflow".to_owned(),
            user: "root".to_owned(),
        };
        let errors = [
            (anyhow!("something"), ExitCode::FAILURE),
            (Usage("a".to_owned()).into(), ExitCode::from(2)),
            (
                anyhow::Error::from(Problems::default()).context("a file"),
                ExitCode::from(2),
            ),
            (no_topic().into(), ExitCode::from(3)),
            (anyhow::Error::from(no_topic()).context("could not"), ExitCode::from(3)),
            (
                anyhow::Error::from(AppendError::Topic(Arc::new(no_topic()))).context("a"),
                ExitCode::from(3),
            ),
            (
                anyhow::Error::from(TopicsDiffer(String::new())).context("a"),
                ExitCode::from(3),
            ),
            (
                anyhow::Error::from(SourceError::Kafka(BrokerError::Reserved {
                    property: "group.id".to_owned(),
                    why: "",
                })),
                ExitCode::from(2),
            ),
            (
                anyhow::Error::from(AppendError::Log(Arc::new(foreign()))).context("could not open `in.action`"),
                ExitCode::from(2),
            ),
            (anyhow::Error::from(foreign()).context("a"), ExitCode::from(2)),
            (
                anyhow::Error::from(SinkError::Kafka(BrokerError::Exercise {
                    prefix: "x.".to_owned(),
                    topic: "x.out.epoch".to_owned(),
                }))
                .context("could not open the output"),
                ExitCode::from(2),
            ),
        ];
        for (error, expected) in errors {
            assert_eq!(format!("{:?}", code(&error)), format!("{expected:?}"), "{error:#}");
        }
    }
}
