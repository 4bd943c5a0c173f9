//! Exercises and live jobs keep out of each other's topics: before anything is written, it is looked who wrote there last.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use riskflow_config::{KafkaSettings, TopicSettings};
use riskflow_model::progress::Progress;
use riskflow_model::topic::Topic;
use tracing::warn;

use super::client::{self, Context, OPENING};
use super::error::{BrokerError, refuses};
use super::topics::extents_of;
use crate::Retry;

/// The header that names the writer.
pub(super) const SOURCE: &str = "ce_source";

/// The header of what is an exercise.
pub(super) const EXERCISE: &str = "ce_exercise";

/// How long a job that starts waits for brokers that start with it, as it does for their transactions.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// So many offsets before the end of each partition are looked at first: where something was written last, a record is among them, for
/// a transaction has a record and a marker in each partition that it touches.
const NEAR: u64 = 64;

/// How long one wait for something of the brokers takes.
const STEP: Duration = Duration::from_millis(10);

/// Between two attempts.
const BREATH: Duration = Duration::from_millis(100);

/// Sees to it that an exercise is not written to topics that a live job wrote to, and the other way round. A record that says nothing of
/// its writer counts for neither. Nothing is written, no group is joined. An exercise that is forced is written all the same.
///
/// An exercise looks at all topics of the output, for a job that reads files leaves no progress. A live job looks at `out.progress` and
/// `out.epoch`, which it would go on from: what a forced exercise put into the others is none of that. Where these say nothing, it looks at
/// all, for an exercise that reads files leaves no progress either: it is refused where there is nothing else.
///
/// # Errors
///
/// When there are such records; when they cannot be read within `patience`, and one attempt.
pub fn keep_apart(kafka: &KafkaSettings, settings: &TopicSettings, patience: Duration) -> Result<(), BrokerError> {
    if settings.forced {
        return Ok(());
    }
    patiently(patience, || look(kafka, settings))
}

/// Sees to it that an exercise which cannot go on where it stood is written once: not where any job or exercise wrote before. One that only
/// noted what it is made of ([`Progress::EXERCISE`]) wrote nothing. Forced it is written all the same.
///
/// # Errors
///
/// As [`keep_apart`], and when there are records of an exercise.
pub fn keep_once(kafka: &KafkaSettings, settings: &TopicSettings, patience: Duration) -> Result<(), BrokerError> {
    if settings.forced {
        return Ok(());
    }
    patiently(patience, || {
        let writers = known(kafka, &names(settings, all()), Writers::are_known)?;
        writers.judge(settings)?;
        match writers.exercise {
            Some(topic) => Err(BrokerError::Written {
                prefix: settings.prefix.clone(),
                topic,
            }),
            None => Ok(()),
        }
    })
}

/// Again and again until it can be known.
fn patiently(patience: Duration, look: impl Fn() -> Result<(), BrokerError>) -> Result<(), BrokerError> {
    let until = Instant::now() + patience;
    loop {
        match look() {
            Err(error) if error.retry() == Retry::Later && Instant::now() < until => {
                warn!(%error, "it is not known yet who wrote to the output topics, trying again");
                // Nothing tells that brokers are there again.
                thread::sleep(BREATH);
            }
            looked => return looked,
        }
    }
}

/// What a job goes on from.
const KEPT: [Topic; 2] = [Topic::PROGRESS, Topic::EPOCH];

/// All that a job writes to.
fn all() -> BTreeSet<Topic> {
    Topic::outputs().chain(KEPT).collect()
}

fn names(settings: &TopicSettings, topics: BTreeSet<Topic>) -> Vec<String> {
    topics.into_iter().map(|topic| settings.name(topic)).collect()
}

fn look(kafka: &KafkaSettings, settings: &TopicSettings) -> Result<(), BrokerError> {
    if settings.exercise {
        return known(kafka, &names(settings, all()), Writers::are_known)?.judge(settings);
    }
    let kept = known(kafka, &names(settings, KEPT.into()), Writers::are_known)?;
    kept.judge(settings)?;
    if kept.job.is_some() {
        return Ok(());
    }
    let written = known(kafka, &names(settings, all()), |writers| writers.job.is_some())?;
    if written.job.is_some() {
        return Ok(());
    }
    written.judge(settings)
}

/// Who wrote to these topics: first of their last offsets, and where that is not `enough`, as where compaction left markers only, of all that
/// is left.
fn known(kafka: &KafkaSettings, names: &[String], enough: impl Fn(&Writers) -> bool) -> Result<Writers, BrokerError> {
    let (near, whole) = writers(kafka, names, NEAR)?;
    if whole || enough(&near) {
        return Ok(near);
    }
    writers(kafka, names, u64::MAX).map(|(writers, _)| writers)
}

/// Who wrote, as far as records were seen: a topic of each.
#[derive(Debug, Default)]
struct Writers {
    exercise: Option<String>,
    job: Option<String>,
    /// An exercise that noted what it is made of: it may have written nothing else.
    noted: Option<String>,
}

impl Writers {
    const fn are_known(&self) -> bool {
        self.exercise.is_some() || self.job.is_some()
    }

    fn note(&mut self, message: &impl Message) {
        let Some(headers) = message.headers() else { return };
        let has = |name: &str| headers.iter().any(|header| header.key == name);
        let writer = if has(EXERCISE) {
            match message.key() {
                Some(key) if key == Progress::EXERCISE.as_bytes() => &mut self.noted,
                _ => &mut self.exercise,
            }
        } else if has(SOURCE) {
            &mut self.job
        } else {
            return;
        };
        writer.get_or_insert_with(|| message.topic().to_owned());
    }

    fn judge(&self, settings: &TopicSettings) -> Result<(), BrokerError> {
        let prefix = settings.prefix.clone();
        let exercise = self.exercise.as_ref().or(self.noted.as_ref());
        match (settings.exercise, exercise, &self.job) {
            (true, _, Some(topic)) => Err(BrokerError::NoExercise {
                prefix,
                topic: topic.clone(),
            }),
            (false, Some(topic), _) => Err(BrokerError::Exercise {
                prefix,
                topic: topic.clone(),
            }),
            (true, _, None) | (false, None, _) => Ok(()),
        }
    }
}

/// One partition of which something is left to read.
struct Lane {
    topic: String,
    queue: PartitionQueue<Context>,
}

/// Who wrote the committed records of the last `reach` offsets of each partition, and whether these are all that there are. Topics that
/// are not there are passed over.
fn writers(kafka: &KafkaSettings, names: &[String], reach: u64) -> Result<(Writers, bool), BrokerError> {
    let consumer = Arc::new(client::consumer(kafka)?);
    let unavailable = |error| BrokerError::unavailable(kafka, consumer.context(), error);
    let (mut assignment, mut partitions, mut whole) = (TopicPartitionList::new(), Vec::new(), true);
    let extents = extents_of(&consumer, kafka, names, |_, _| true)?;
    for (name, extents) in names.iter().zip(extents) {
        let ends = extents.map_or_else(Vec::new, |extents| extents.ends);
        for (number, low, high) in ends.into_iter().filter(|(_, low, high)| low < high) {
            let begin = high.saturating_sub(reach).max(low);
            whole &= begin == low;
            let offset = if begin == low {
                Offset::Beginning
            } else {
                Offset::Offset(begin as i64)
            };
            let number = i32::from(number);
            let added = assignment.add_partition_offset(name, number, offset);
            added.map_err(BrokerError::Settings)?;
            partitions.push((name.clone(), number));
        }
    }
    consumer.assign(&assignment).map_err(BrokerError::Settings)?;
    let lanes = partitions.into_iter().filter_map(|(topic, number)| {
        let queue = consumer.split_partition_queue(&topic, number)?;
        Some(Lane { topic, queue })
    });
    let mut lanes: Vec<Lane> = lanes.collect();
    let (mut writers, until) = (Writers::default(), Instant::now() + OPENING);
    while !lanes.is_empty() {
        if Instant::now() > until {
            let error = KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut);
            return Err(unavailable(error));
        }
        // Here comes what does not belong to one partition, and what came before its partition had a queue of its own.
        if let Some(Ok(message)) = consumer.poll(STEP) {
            writers.note(&message);
        }
        let mut left = Vec::new();
        for lane in lanes {
            if !lane.is_read(&mut writers)? {
                left.push(lane);
            }
        }
        lanes = left;
    }
    Ok((writers, whole))
}

impl Lane {
    /// Reads what is at hand; whether it came to the end.
    fn is_read(&self, writers: &mut Writers) -> Result<bool, BrokerError> {
        loop {
            let error = match self.queue.poll(Duration::ZERO) {
                None => return Ok(false),
                Some(Ok(message)) => {
                    writers.note(&message);
                    continue;
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(true),
                Some(Err(error)) => error,
            };
            match error.rdkafka_error_code() {
                // What was to be read was deleted meanwhile: whoever deletes it is no writer.
                Some(RDKafkaErrorCode::AutoOffsetReset) => return Ok(true),
                Some(code) if refuses(code) => {
                    let topic = self.topic.clone();
                    return Err(BrokerError::Refused { topic, error });
                }
                // It passes, or time does.
                Some(_) | None => return Ok(false),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(exercise: bool) -> TopicSettings {
        TopicSettings {
            prefix: "t.".to_owned(),
            partitions: 1,
            replication: 1,
            retention: 86_400_000,
            exercise,
            forced: false,
            tidy: riskflow_config::Tidy::default(),
        }
    }

    #[test]
    fn what_is_of_another_kind_is_refused_and_what_says_nothing_is_not() {
        let writers = |exercise: bool, job: bool| Writers {
            exercise: exercise.then(|| "t.out.epoch".to_owned()),
            job: job.then(|| "t.out.progress".to_owned()),
            noted: None,
        };
        for (found, exercise_may, job_may) in [
            (writers(false, false), true, true),
            (writers(true, false), true, false),
            (writers(false, true), false, true),
            (writers(true, true), false, false),
        ] {
            assert_eq!(found.judge(&settings(true)).is_ok(), exercise_may, "{found:?}");
            assert_eq!(found.judge(&settings(false)).is_ok(), job_may, "{found:?}");
        }
        // What an exercise began and did not go on with is none of a live job either.
        let begun = Writers {
            noted: Some("t.out.progress".to_owned()),
            ..Writers::default()
        };
        assert!(begun.judge(&settings(true)).is_ok() && begun.judge(&settings(false)).is_err());
        let refused = writers(false, true).judge(&settings(true)).unwrap_err();
        assert_eq!(refused.retry(), Retry::Never);
        assert!(
            refused.to_string().contains("t.out.progress has records of a job"),
            "{refused}"
        );
    }
}
