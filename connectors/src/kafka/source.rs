use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers, OwnedMessage};
use rdkafka::{Message, Offset, TopicPartitionList};
use riskflow_config::{KafkaSettings, TopicSettings};
use riskflow_model::Millis;
use riskflow_model::progress::Offsets;
use riskflow_model::topic::Topic;

use super::apart::EXERCISE;
use super::client::{self, Context, OPENING};
use super::error::{BrokerError, refuses};
use super::topics::{Extents, extents_of};
use crate::source::{Lane, Standing, poll_lanes};
use crate::{Polled, RawRecord, Share, Source, SourceError, Until, Verdict};

/// Reads a worker's partitions from Kafka, and follows them.
pub struct KafkaSource {
    consumer: Arc<BaseConsumer<Context>>,
    partitions: Vec<Partition>,
    lost: Vec<(Topic, u16, u64, u64)>,
    /// How many partitions each topic had at opening.
    counts: Vec<(String, u16)>,
    first: usize,
}

impl KafkaSource {
    /// Assigns this worker's partitions of these topics, from offsets on; without one from the first record.
    ///
    /// # Errors
    ///
    /// When a topic is not there, or no broker answers within 10 s.
    pub fn open(
        kafka: &KafkaSettings,
        settings: &TopicSettings,
        topics: &[Topic],
        share: Share,
        (until, from): (Until, &Offsets),
    ) -> Result<Self, SourceError> {
        let consumer = Arc::new(client::consumer(kafka)?);
        let (mut held, mut lost, mut counts) = (Vec::new(), Vec::new(), Vec::new());
        let mut assignment = TopicPartitionList::new();
        let names: Vec<String> = topics.iter().map(|topic| settings.name(*topic)).collect();
        let extents = extents_of(&consumer, kafka, &names, |place, number| {
            share.holds(topics[place], number)
        })?;
        for ((topic, name), extents) in topics.iter().zip(names).zip(extents) {
            let Some(Extents { partitions, ends }) = extents else {
                return Err(SourceError::NoTopic { topic: name });
            };
            for (number, low, high) in ends {
                // Retention moves the low end; behind the high end there never was anything.
                let asked = from.next(*topic, number);
                let begin = if (low..=high).contains(&asked) { asked } else { low };
                if begin != asked {
                    lost.push((*topic, number, asked, begin));
                }
                let offset = if begin == low {
                    Offset::Beginning
                } else {
                    Offset::Offset(begin as i64)
                };
                let added = assignment.add_partition_offset(&name, i32::from(number), offset);
                added.map_err(BrokerError::Settings)?;
                held.push((*topic, name.clone(), number, begin, high));
            }
            counts.push((name, partitions));
        }
        let queues = queues(kafka, &consumer, &assignment, &held)?;
        let partitions = held
            .into_iter()
            .zip(queues)
            .map(|((topic, name, number, low, high), queue)| Partition {
                topic,
                name,
                number,
                until,
                queue,
                kept: VecDeque::new(),
                next: low,
                goal: high,
                reached: low >= high,
                exercises: true,
                passed_over: 0,
            });
        let partitions = partitions.collect();
        Ok(Self {
            consumer,
            partitions,
            lost,
            counts,
            first: 0,
        })
    }

    /// The same without records that an exercise wrote: they are passed over as if they were not there.
    #[must_use]
    pub fn without_exercises(mut self) -> Self {
        for partition in &mut self.partitions {
            partition.exercises = false;
        }
        self
    }

    /// Serves what does not belong to one partition, and the few records that came before their partition had a queue
    /// of its own.
    fn serve(&mut self) -> Result<(), SourceError> {
        let context = self.consumer.client().context();
        for (topic, before) in &self.counts {
            // None at all: the topic is gone, or not known at the moment; reading it tells which.
            if let Some(now) = context.partitions_of(topic).filter(|now| now > before) {
                return Err(BrokerError::PartitionsChanged {
                    topic: topic.clone(),
                    before: *before,
                    now,
                }
                .into());
            }
        }
        while let Some(polled) = client::waiting(&self.consumer) {
            match polled {
                Ok(message) => {
                    let of = |partition: &&mut Partition| {
                        partition.name == message.topic() && i32::from(partition.number) == message.partition()
                    };
                    if let Some(partition) = self.partitions.iter_mut().find(of) {
                        partition.kept.push_back(message.detach());
                    }
                }
                Err(KafkaError::PartitionEOF(_)) => {}
                Err(error) => fault(&self.consumer, "Kafka", error)?,
            }
        }
        Ok(())
    }
}

/// A partition that is to be read: where it begins, and where it ended at opening.
type Held = (Topic, String, u16, u64, u64);

/// Assigns partitions and gives each a queue of its own. What comes before that stands in the queue that all share, and there the end of a
/// partition does not say of which topic it is: it would be waited for for ever. So they are assigned anew, for a while.
fn queues(
    kafka: &KafkaSettings,
    consumer: &Arc<BaseConsumer<Context>>,
    assignment: &TopicPartitionList,
    held: &[Held],
) -> Result<Vec<PartitionQueue<Context>>, SourceError> {
    let until = Instant::now() + OPENING;
    loop {
        consumer.assign(assignment).map_err(BrokerError::Settings)?;
        let queues = held.iter().map(|(_, name, number, ..)| {
            let queue = consumer.split_partition_queue(name, i32::from(*number));
            queue.ok_or_else(|| SourceError::NoTopic { topic: name.clone() })
        });
        let queues = queues.collect::<Result<_, _>>()?;
        if !comes_early(consumer)? {
            return Ok(queues);
        }
        if Instant::now() > until {
            let late = KafkaError::Global(RDKafkaErrorCode::OperationTimedOut);
            return Err(BrokerError::unavailable(kafka, consumer.context(), late).into());
        }
    }
}

/// Whether something of a partition stands in the queue that all share.
fn comes_early(consumer: &BaseConsumer<Context>) -> Result<bool, SourceError> {
    while let Some(polled) = client::waiting(consumer) {
        match polled {
            Ok(_) | Err(KafkaError::PartitionEOF(_)) => return Ok(true),
            Err(error) => fault(consumer, "Kafka", error)?,
        }
    }
    Ok(false)
}

/// Offsets of so many before the end of each partition, and whether those are the first that are there.
pub(crate) fn back_from_end(
    kafka: &KafkaSettings,
    settings: &TopicSettings,
    topics: &[Topic],
    reach: u64,
) -> Result<(Offsets, bool), SourceError> {
    let consumer = client::consumer(kafka)?;
    let (mut offsets, mut whole) = (Offsets::default(), true);
    let names: Vec<String> = topics.iter().map(|topic| settings.name(*topic)).collect();
    let extents = extents_of(&consumer, kafka, &names, |_, _| true)?;
    for ((topic, name), extents) in topics.iter().zip(names).zip(extents) {
        let Some(Extents { ends, .. }) = extents else {
            return Err(SourceError::NoTopic { topic: name });
        };
        for (number, low, high) in ends {
            let begin = high.saturating_sub(reach).max(low);
            whole &= begin == low;
            offsets.advance(*topic, number, begin);
        }
    }
    Ok((offsets, whole))
}

impl Source for KafkaSource {
    fn poll(&mut self, limit: usize, offer: &mut dyn FnMut(RawRecord<'_>) -> Verdict) -> Result<Polled, SourceError> {
        self.serve()?;
        let consumer = &self.consumer;
        let mut lanes: Vec<Polling<'_>> = self
            .partitions
            .iter_mut()
            .map(|partition| Polling { consumer, partition })
            .collect();
        poll_lanes(&mut lanes, &mut self.first, limit, offer)
    }

    fn caught_up(&self) -> bool {
        self.partitions.iter().all(|partition| partition.reached)
    }

    fn owes(&self) -> bool {
        self.partitions
            .iter()
            .any(|partition| partition.kept.is_empty() && !partition.reached)
    }

    fn lost(&self) -> Vec<(Topic, u16, u64, u64)> {
        self.lost.clone()
    }

    /// A client that reads nothing need not be connected.
    fn reaches(&self) -> bool {
        self.partitions.is_empty() || !self.consumer.client().context().is_alone()
    }

    fn passed_over(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.passed_over).sum()
    }

    fn lag(&self) -> Vec<(Topic, u16, u64)> {
        let context = self.consumer.client().context();
        let lag = |partition: &Partition| {
            let end = context
                .end_of(&partition.name, i32::from(partition.number))
                .map_or(0, |end| end.max(0) as u64);
            (
                partition.topic,
                partition.number,
                end.max(partition.goal_left()).saturating_sub(partition.next),
            )
        };
        self.partitions.iter().map(lag).collect()
    }
}

struct Partition {
    topic: Topic,
    name: String,
    number: u16,
    until: Until,
    queue: PartitionQueue<Context>,
    /// Records taken off the queue and not taken by the dataflow: the one that was answered with `NotYet`, and what
    /// came before the queue. librdkafka bounds what waits in the queue.
    kept: VecDeque<OwnedMessage>,
    /// At most the offset of the next record.
    next: u64,
    /// The end at opening.
    goal: u64,
    /// Whether everything before `goal` has been taken.
    reached: bool,
    /// Whether records of an exercise are offered.
    exercises: bool,
    /// How many of them were not.
    passed_over: u64,
}

struct Polling<'a> {
    consumer: &'a BaseConsumer<Context>,
    partition: &'a mut Partition,
}

impl Partition {
    /// Gaps at the end (markers of transactions) are not waited for.
    const fn goal_left(&self) -> u64 {
        if self.reached { 0 } else { self.goal }
    }

    const fn ended(&self) -> bool {
        matches!(self.until, Until::End) && self.reached
    }

    fn taken(&mut self, offset: u64) {
        self.next = offset + 1;
        self.reached |= self.next >= self.goal;
    }
}

/// Whether an exercise wrote it: nothing else has that header.
fn is_of_exercise(message: &impl Message) -> bool {
    message.headers().is_some_and(|headers| has_header(headers, EXERCISE))
}

fn has_header(headers: &impl Headers, name: &str) -> bool {
    headers.iter().any(|header| header.key == name)
}

fn raw<'a>(topic: Topic, partition: u16, message: &'a impl Message) -> RawRecord<'a> {
    RawRecord {
        topic,
        partition,
        offset: message.offset().max(0) as u64,
        arrival: message.timestamp().to_millis().map(Millis),
        exercise: is_of_exercise(message),
        key: message.key(),
        payload: message.payload(),
    }
}

impl Lane for Polling<'_> {
    fn drain(
        &mut self,
        left: &mut usize,
        offer: &mut dyn FnMut(RawRecord<'_>) -> Verdict,
    ) -> Result<Standing, SourceError> {
        let partition = &mut *self.partition;
        let (topic, number) = (partition.topic, partition.number);
        loop {
            if *left == 0 {
                return Ok(Standing::Full);
            }
            if partition.ended() {
                return Ok(Standing::Ended);
            }
            if let Some(message) = partition.kept.front() {
                let offset = message.offset().max(0) as u64;
                if !partition.exercises && is_of_exercise(message) {
                    partition.passed_over += 1;
                } else if offer(raw(topic, number, message)) == Verdict::NotYet {
                    return Ok(Standing::Blocked);
                }
                partition.kept.pop_front();
                partition.taken(offset);
                *left -= 1;
                continue;
            }
            let polled = partition.queue.poll(Duration::ZERO);
            let message = match polled {
                None => return Ok(Standing::Idle),
                Some(Ok(message)) => message,
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    partition.reached = true;
                    self.consumer.client().context().note(None);
                    continue;
                }
                Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset))) => {
                    let (topic, offset) = (partition.name.clone(), partition.next);
                    return Err(BrokerError::Lost {
                        topic,
                        partition: number,
                        offset,
                    }
                    .into());
                }
                Some(Err(error)) => {
                    fault(self.consumer, &partition.name, error)?;
                    return Ok(Standing::Idle);
                }
            };
            let record = raw(topic, number, &message);
            let offset = record.offset;
            // Two borrows of one partition: the message lives in its queue.
            if offset >= partition.goal {
                partition.reached = true;
                if partition.until == Until::End {
                    return Ok(Standing::Ended);
                }
            }
            if !partition.exercises && is_of_exercise(&message) {
                partition.passed_over += 1;
            } else if offer(record) == Verdict::NotYet {
                partition.kept.push_back(message.detach());
                return Ok(Standing::Blocked);
            }
            partition.next = offset + 1;
            partition.reached |= partition.next >= partition.goal;
            *left -= 1;
        }
    }
}

/// What passes is noted; what does not is an error.
fn fault(consumer: &BaseConsumer<Context>, topic: &str, error: KafkaError) -> Result<(), SourceError> {
    let fatal = consumer.client().fatal_error().is_some() || error.rdkafka_error_code().is_some_and(refuses);
    if fatal {
        return Err(BrokerError::Refused {
            topic: topic.to_owned(),
            error,
        }
        .into());
    }
    consumer.client().context().note(Some(&error));
    Ok(())
}
