//! Which implementation a place has: the one page that knows all of them.

use riskflow_config::{Guarantee, Input, Output, TopicSettings};
use riskflow_model::progress::Offsets;
use riskflow_model::topic::Topic;

use crate::append::{Append, AppendError};
use crate::error::{SinkError, SourceError};
use crate::sink::Sink;
use crate::source::{Extents, Share, Source, Span, Until};
use crate::{files, kafka, log};

/// Opens this worker's share of the input.
///
/// Partitions, files among them, begin at their offsets in `from`, or at their first records. `topics` are those to read; a record of
/// another topic in a file of envelopes is passed over, and so is a line that is no envelope where observations are not among them. Kafka is
/// asked for the topics' ends here, which takes a moment.
///
/// # Errors
///
/// When a topic or a file is not there, what is there cannot be read, or what `from` asks for is gone.
pub fn open_source(
    input: &Input,
    settings: &TopicSettings,
    topics: &[Topic],
    share: Share,
    until: Until,
    from: &Offsets,
) -> Result<Box<dyn Source>, SourceError> {
    reopen_source(input, settings, topics, share, Span::new(until, from))
}

/// Opens this worker's share of an input that an earlier run may have read.
///
/// # Errors
///
/// As [`open_source`]; and when what was read is not there any more, or is another.
pub fn reopen_source(
    input: &Input,
    settings: &TopicSettings,
    topics: &[Topic],
    share: Share,
    span: Span<'_>,
) -> Result<Box<dyn Source>, SourceError> {
    Ok(match input {
        Input::Log(folder) => Box::new(log::LogSource::open(folder, settings, topics, share, span)?),
        Input::Kafka(kafka) => {
            let span = (span.until, span.from);
            Box::new(kafka::KafkaSource::open(kafka, settings, topics, share, span)?)
        }
        Input::Files(files) => {
            let source = files::FileSource::open(files, settings, topics, share)?;
            Box::new(source.beginning_with(span.from))
        }
    })
}

/// Opens outputs to be followed from offsets on, for whoever tells of them outside: nothing that an exercise wrote is ever offered. On Kafka
/// single records are passed over ([`Source::passed_over`]); the log of an exercise is refused.
///
/// # Errors
///
/// As [`open_source`]; and when the log is that of an exercise.
pub fn open_live(
    place: &Input,
    settings: &TopicSettings,
    topics: &[Topic],
    until: Until,
    from: &Offsets,
) -> Result<Box<dyn Source>, SourceError> {
    match place {
        Input::Kafka(kafka) => {
            let source = kafka::KafkaSource::open(kafka, settings, topics, Share::WHOLE, (until, from))?;
            Ok(Box::new(source.without_exercises()))
        }
        Input::Log(folder) if log::is_exercise(folder)? => Err(SourceError::Exercise { folder: folder.clone() }),
        Input::Log(_) | Input::Files(_) => open_source(place, settings, topics, Share::WHOLE, until, from),
    }
}

/// Lets Kafka's own tools see how far a reader of outputs is, where they are on Kafka and the settings do not forbid it: offsets in a
/// consumer group of this name. Nobody here reads them.
#[must_use]
pub fn open_group(place: &Input, settings: &TopicSettings, group: &str) -> Option<kafka::GroupOffsets> {
    match place {
        Input::Kafka(kafka) if kafka.group_offsets => kafka::GroupOffsets::open(kafka, settings, group),
        Input::Kafka(_) | Input::Log(_) | Input::Files(_) => None,
    }
}

/// Where to begin to read about the last `reach` records of each partition of some topics, and whether that is where they begin: an
/// offset on Kafka need not be a record. An embedded log is read from its beginning.
///
/// # Errors
///
/// When a topic is not there, or no broker answers.
pub fn back_from_end(
    input: &Input,
    settings: &TopicSettings,
    topics: &[Topic],
    reach: u64,
) -> Result<(Offsets, bool), SourceError> {
    match input {
        Input::Kafka(kafka) => kafka::back_from_end(kafka, settings, topics, reach),
        Input::Log(_) | Input::Files(_) => Ok((Offsets::default(), true)),
    }
}

/// Of each partition of these topics the first offset that is there, and the one behind the last; files have none.
///
/// # Errors
///
/// When a topic is not there or cannot be read, or no broker answers.
pub fn extents(input: &Input, settings: &TopicSettings, topics: &[Topic]) -> Result<Extents, SourceError> {
    match input {
        Input::Kafka(kafka) => {
            let (first, _) = kafka::back_from_end(kafka, settings, topics, u64::MAX)?;
            let (end, _) = kafka::back_from_end(kafka, settings, topics, 0)?;
            let both = end.iter().map(|(topic, partition, end)| {
                let place = (topic, partition);
                (place, (first.next(topic, partition), end))
            });
            Ok(both.collect())
        }
        Input::Log(folder) => log::extents(folder, settings, topics),
        Input::Files(_) => Ok(Extents::new()),
    }
}

/// Opens the output.
///
/// Folders and log topics that are not there are made. Kafka topics are not: a record for a missing one fails its
/// commit.
///
/// # Errors
///
/// When it cannot be written, another process writes it, or an exercise is to be written where a live job writes, or the other way round.
pub fn open_sink(output: &Output, settings: &TopicSettings, guarantee: Guarantee) -> Result<Box<dyn Sink>, SinkError> {
    Ok(match output {
        Output::Log(folder) => Box::new(log::LogSink::open(folder, settings)?),
        Output::Kafka(kafka) => {
            // A producer would take over from the writer before, whoever that was.
            kafka::keep_apart(kafka, settings, kafka::PATIENCE)?;
            Box::new(kafka::KafkaSink::open(kafka, settings, guarantee)?)
        }
        Output::Files(output) => files::open_sink(output, settings.exercise)?,
    })
}

/// Lets an embedded log that is the input be tidied as this sink commits: with each base record of `out.progress`, which says
/// what no recovery asks for any more. Other inputs look after themselves.
#[must_use]
pub fn tidy_input(sink: Box<dyn Sink>, input: &Input, settings: &TopicSettings) -> Box<dyn Sink> {
    match (input, settings.tidy.inputs) {
        (Input::Log(folder), Some(retention)) => Box::new(log::Tidying::over(sink, folder, settings, retention)),
        _ => sink,
    }
}

/// Lets Kafka's own tools see how far a job is, where its input is on Kafka and the settings do not forbid it: after each commit of
/// this sink, offsets of the input are committed in a consumer group of this name. Nobody here reads them. `unread` is called for each
/// epoch whose record cannot be read, so that they are not told of it.
#[must_use]
pub fn tell_offsets(
    sink: Box<dyn Sink>,
    input: &Input,
    settings: &TopicSettings,
    (group, unread): (&str, Box<dyn Fn() + Send>),
) -> Box<dyn Sink> {
    match input {
        Input::Kafka(kafka) if kafka.group_offsets => kafka::Telling::over(sink, kafka, settings, (group, unread)),
        Input::Kafka(_) | Input::Log(_) | Input::Files(_) => sink,
    }
}

/// Opens a way into a topic of the input. It takes nobody's place: several may be open, in several processes.
///
/// # Errors
///
/// When the input is files, the topic is not there, or it cannot be reached.
pub fn open_append(input: &Input, settings: &TopicSettings, topic: Topic) -> Result<Box<dyn Append>, AppendError> {
    Ok(match input {
        Input::Log(folder) => Box::new(log::LogAppend::open(folder, settings, topic)?),
        Input::Kafka(kafka) => Box::new(kafka::KafkaAppend::open(kafka, settings, topic)?),
        Input::Files(_) => return Err(AppendError::Files { topic }),
    })
}
