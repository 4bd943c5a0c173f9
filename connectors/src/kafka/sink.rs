use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, PurgeConfig};
use riskflow_config::{Guarantee, KafkaSettings, TopicSettings};
use riskflow_model::Millis;
use riskflow_model::limit::RECORD_BYTES;
use riskflow_model::progress::Progress;
use riskflow_model::schema::asyncapi;
use riskflow_model::topic::Topic;
use tracing::warn;

use super::apart::{EXERCISE, SOURCE};
use super::client::{self, Context, is_dropped};
use super::error::BrokerError;
use super::limits::Limits;
use super::topics::metadata_of;
use crate::{Begun, EpochRecords, OutRecord, Retry, Sink, SinkError, failpoint};

/// A commit that takes longer fails.
const COMMIT: Duration = Duration::from_secs(60);

/// How long fencing an older writer may take: its open transaction must be aborted first.
const FENCING: Duration = Duration::from_secs(120);

/// Between two attempts to take over.
const BREATH: Duration = Duration::from_millis(100);

/// How long requests under way are waited for when a commit has failed.
const IN_FLIGHT: Duration = Duration::from_secs(5);

/// How long one wait for acknowledgements takes.
const LOOK: Duration = Duration::from_millis(1);

/// The same when librdkafka's queue is full.
const QUEUE_FULL: Duration = Duration::from_millis(20);

/// Writes output topics to Kafka, with CloudEvents 1.0 headers; each commit is one transaction.
///
/// `ce_id` is `<epoch ms>-<topic>-<key>`; of the second and later records of one key in an epoch it begins with `<epoch ms>.1`,
/// `<epoch ms>.2` and so on. A record that is sent again has the same, and no other record of the same `ce_source` has it; that names
/// the prefix of the topics.
///
/// What librdkafka says of a transaction decides what follows: *retriable*, the same call is made again until the time is
/// over; *abortable*, the transaction is aborted and the commit fails, to be given again; *fatal* (another writer has
/// taken over, or this one is not allowed), nothing helps and the sink is of no more use.
pub struct KafkaSink {
    producer: BaseProducer<Context>,
    kafka: KafkaSettings,
    settings: TopicSettings,
    guarantee: Guarantee,
    limits: Limits,
    /// The topic that last refused a record for its size.
    too_large: Option<Topic>,
    /// A commit whose outcome the broker has not told yet.
    in_doubt: bool,
    /// A transaction could not be aborted: this producer begins no other.
    not_aborted: bool,
}

/// What transactions go by: it names the one writer of these topics. An exercise has one of its own, so that it never fences a live job,
/// wherever it writes. `None`: there are none.
#[must_use]
pub fn transactional_id(settings: &TopicSettings, guarantee: Guarantee) -> Option<String> {
    let mark = if settings.exercise { ".exercise" } else { "" };
    (guarantee == Guarantee::ExactlyOnce).then(|| format!("{}riskflow{mark}", settings.prefix))
}

/// A producer; for exactly once one that has taken over from an older one.
fn producer(
    kafka: &KafkaSettings,
    settings: &TopicSettings,
    guarantee: Guarantee,
) -> Result<BaseProducer<Context>, BrokerError> {
    let id = transactional_id(settings, guarantee);
    let producer = client::producer(kafka, id.as_deref())?;
    if let Some(id) = id {
        producer
            .init_transactions(FENCING)
            .map_err(|error| not_taken_over(&id, error))?;
    }
    Ok(producer)
}

impl KafkaSink {
    /// Makes the producer. For exactly once it takes over from an older writer: what that has not committed is aborted, and
    /// it is refused from now on.
    ///
    /// # Errors
    ///
    /// When the settings are refused, or no broker answers.
    pub fn open(kafka: &KafkaSettings, settings: &TopicSettings, guarantee: Guarantee) -> Result<Self, SinkError> {
        Ok(Self {
            producer: producer(kafka, settings, guarantee)?,
            kafka: kafka.clone(),
            settings: settings.clone(),
            guarantee,
            limits: Limits::default(),
            too_large: None,
            in_doubt: false,
            not_aborted: false,
        })
    }

    fn send(&self, mut message: BaseRecord<'_, str, [u8]>, deadline: Instant) -> Result<(), BrokerError> {
        loop {
            let (error, unsent) = match self.producer.send(message) {
                Ok(()) => return Ok(()),
                Err(refused) => refused,
            };
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(refused(unsent.topic, error));
            }
            if Instant::now() > deadline {
                return Err(self.timed_out());
            }
            message = unsent;
            self.producer.poll(QUEUE_FULL);
        }
    }

    fn topic_of(&self, error: &BrokerError) -> Option<Topic> {
        let BrokerError::Refused { topic, .. } = error else {
            return None;
        };
        Topic::outputs().find(|output| self.settings.name(*output) == *topic)
    }

    fn timed_out(&self) -> BrokerError {
        BrokerError::TimedOut {
            missing: self.producer.in_flight_count().max(0) as usize,
            seconds: COMMIT.as_secs(),
        }
    }

    fn send_all(&self, epochs: &[EpochRecords], deadline: Instant) -> Result<(), BrokerError> {
        // A topic's limit is one for batches, and the producer's is for all topics: where a topic takes less, no batch can
        // have more than what is under way.
        let mut under_way: BTreeMap<Topic, usize> = BTreeMap::new();
        for EpochRecords { epoch, records } in epochs {
            let mut before: BTreeMap<(Topic, &str), u32> = BTreeMap::new();
            for record in records {
                let count = before.entry((record.topic, &record.key)).or_default();
                let most = self.limits.most(record.topic);
                if most < RECORD_BYTES {
                    let bytes = under_way.entry(record.topic).or_default();
                    *bytes += record.size();
                    if *bytes > most {
                        self.flush(deadline)?;
                        under_way = BTreeMap::from([(record.topic, record.size())]);
                    }
                }
                let name = self.settings.name(record.topic);
                let mut message = BaseRecord::to(&name).key(record.key.as_str()).headers(headers(
                    *epoch,
                    record,
                    *count,
                    &self.settings,
                ));
                *count += 1;
                if let Some(payload) = &record.payload {
                    message = message.payload(payload.as_slice());
                }
                self.send(message, deadline)?;
            }
        }
        Ok(())
    }

    /// A tombstone in every partition of `out.progress`: each shows its own transactions when it will.
    fn mark(&self, begun: &Begun, deadline: Instant) -> Result<(), BrokerError> {
        let name = self.settings.name(Topic::PROGRESS);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let record = OutRecord {
            topic: Topic::PROGRESS,
            key: begun.key.clone(),
            payload: None,
        };
        for partition in 0..begun.partitions {
            let headers = headers(
                Millis(now.as_millis() as i64),
                &record,
                partition.into(),
                &self.settings,
            );
            let message = BaseRecord::to(&name).key(begun.key.as_str()).headers(headers);
            self.send(message.partition(partition.into()), deadline)?;
        }
        Ok(())
    }

    /// Waits until everything sent is acknowledged. The producer's own `flush` looks every 100 ms only, and a poll lasts as
    /// long as it may, whatever comes: each commit would take as much.
    fn flush(&self, deadline: Instant) -> Result<(), BrokerError> {
        while self.producer.in_flight_count() > 0 && Instant::now() < deadline {
            self.producer.poll(LOOK);
        }
        if let Some((topic, error)) = self.producer.client().context().take_failure() {
            return Err(refused(&topic, error));
        }
        if self.producer.in_flight_count() > 0 {
            return Err(self.timed_out());
        }
        Ok(())
    }

    fn at_least_once(&self, epochs: &[EpochRecords], deadline: Instant) -> Result<(), BrokerError> {
        let committed = self.send_all(epochs, deadline).and_then(|()| self.flush(deadline));
        if committed.is_err() {
            self.forget_unsent();
        }
        committed
    }

    /// What is still waiting must not arrive after the next attempt's records. What a broker may be working on is waited
    /// for, a while: taken after the abort, an old broker would begin a transaction with it that nobody ends. Gives what failed first.
    fn forget_unsent(&self) -> Option<(String, KafkaError)> {
        let until = Instant::now() + IN_FLIGHT;
        self.producer.purge(PurgeConfig::default().queue());
        while self.producer.flush(QUEUE_FULL).is_err() && Instant::now() < until {
            // A request that failed has gone back into the queue.
            self.producer.purge(PurgeConfig::default().queue());
        }
        self.producer.purge(PurgeConfig::default().queue().inflight());
        // The purge's own reports are no failures of the next attempt.
        drop(self.producer.flush(QUEUE_FULL));
        self.producer.client().context().take_failure()
    }

    fn in_transaction(
        &mut self,
        send: impl FnOnce(&Self) -> Result<(), BrokerError>,
        deadline: Instant,
    ) -> Result<(), BrokerError> {
        // A commit in doubt holds the very same records: nothing is sent again before its outcome is known.
        if !self.in_doubt {
            if self.not_aborted {
                // Another one of the same name aborts it, as after a crash.
                self.producer = producer(&self.kafka, &self.settings, self.guarantee)?;
                self.not_aborted = false;
            }
            self.producer
                .begin_transaction()
                .map_err(|error| transaction("beginning", error))?;
            let sent = send(self).and_then(|()| self.flush(deadline));
            if let Err(error) = sent {
                // The first failure tells more than what it led to, unless it says only that the record was dropped.
                let first = self.producer.client().context().take_failure();
                let first = first.filter(|(_, error)| !is_dropped(error));
                let error = first.map_or_else(|| self.reason(error), |(topic, error)| refused(&topic, error));
                return Err(self.abort(error));
            }
            failpoint("kafka::commit::before_commit");
        }
        self.in_doubt = true;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Err(error) = self.producer.commit_transaction(left) else {
                self.in_doubt = false;
                failpoint("kafka::commit::after_commit");
                return Ok(());
            };
            let told = error.rdkafka_error_code();
            let error = transaction("committing", error);
            let BrokerError::Transaction {
                abort, fatal, retry, ..
            } = error
            else {
                return Err(error);
            };
            if abort {
                self.in_doubt = false;
                return Err(self.abort(error));
            }
            if fatal || !retry || left.is_zero() {
                return Err(error);
            }
            warn!(?told, "the outcome of a transaction is not known, asking again");
        }
    }

    /// Why records could not be sent. Once a transaction has failed, librdkafka drops what still waits, and says no more of
    /// a record than that. A commit then tells what failed first, without asking a broker; it must not be tried where the
    /// transaction might still stand, for it would commit a part.
    fn reason(&self, seen: BrokerError) -> BrokerError {
        let BrokerError::Refused { error, .. } = &seen else {
            return seen;
        };
        if !is_dropped(error) {
            return seen;
        }
        match self
            .producer
            .commit_transaction(Duration::ZERO)
            .map_err(|error| transaction("writing", error))
        {
            Err(error @ BrokerError::Transaction { abort: true, .. }) => error,
            _ => seen,
        }
    }

    /// Aborts, and gives back why; a failure to abort counts only where it is fatal and `why` is not: what ends the job anyway tells more,
    /// such as the right that is missing. The transaction may be known to have failed before the record is told that made it fail
    /// ([`more_telling`]), such as one that is too large for its topic: unless that is known, each further attempt fails in the same way.
    fn abort(&mut self, why: BrokerError) -> BrokerError {
        let why = more_telling(why, self.forget_unsent());
        match self.producer.abort_transaction(COMMIT) {
            Ok(()) => why,
            Err(error) => {
                let error = transaction("aborting", error);
                if error.retry() == Retry::Never && why.retry() != Retry::Never {
                    error
                } else {
                    warn!(
                        ?error,
                        "a transaction could not be aborted: another producer takes over"
                    );
                    self.not_aborted = true;
                    why
                }
            }
        }
    }
}

impl Sink for KafkaSink {
    fn commit(&mut self, epochs: &[EpochRecords]) -> Result<(), SinkError> {
        let deadline = Instant::now() + COMMIT;
        let committed = match self.guarantee {
            Guarantee::ExactlyOnce => self.in_transaction(|sink| sink.send_all(epochs, deadline), deadline),
            Guarantee::AtLeastOnce => self.at_least_once(epochs, deadline),
        };
        match committed {
            Ok(()) => self.producer.client().context().note(None),
            Err(error) => {
                self.too_large = self.topic_of(&error).filter(|_| error.is_too_large());
                return Err(error.into());
            }
        }
        Ok(())
    }

    fn most(&self, topic: Topic) -> usize {
        self.limits.most(topic)
    }

    fn ask_most(&mut self) -> Result<(), SinkError> {
        let told = Limits::ask(&self.kafka, &self.settings)?;
        self.limits = match self.too_large.take() {
            Some(refused) => told.after(&self.limits, refused),
            None => told,
        };
        Ok(())
    }

    /// A transaction of the writer before may be complete for its coordinator, and a consumer still not see it: after a crash of
    /// the broker just then, its last epoch would be missed, and done again.
    fn begin(&mut self) -> Result<Option<Begun>, SinkError> {
        if self.guarantee == Guarantee::AtLeastOnce {
            return Ok(None);
        }
        let until = Instant::now() + FENCING;
        let name = self.settings.name(Topic::PROGRESS);
        let found = metadata_of(&self.producer, &self.kafka, &name)?;
        let missing = || refused(&name, KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopic));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let begun = Begun {
            key: format!("{}{}-{}", Progress::BEGUN, now.as_millis(), std::process::id()),
            partitions: found.ok_or_else(missing)?.partitions,
        };
        loop {
            let deadline = Instant::now() + COMMIT;
            match self.in_transaction(|sink| sink.mark(&begun, deadline), deadline) {
                Ok(()) => return Ok(Some(begun)),
                Err(error) if error.retry() == Retry::Later && Instant::now() < until => {
                    warn!(%error, "taking over is not complete yet, trying again");
                    // Serves what the brokers tell, until the next attempt.
                    self.producer.poll(BREATH);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Why a transaction failed: what is told of a record that a broker refused, where all that is known says only that the transaction
/// failed, or that another record was not taken since it had failed by then.
fn more_telling(why: BrokerError, told: Option<(String, KafkaError)>) -> BrokerError {
    let says_little = match &why {
        BrokerError::Transaction { fatal, .. } => !fatal,
        BrokerError::Refused { error, .. } => is_dropped(error),
        _ => false,
    };
    match told {
        Some((topic, error)) if says_little && !is_dropped(&error) => refused(&topic, error),
        _ => why,
    }
}

/// Why there are no transactions of this name.
fn not_taken_over(id: &str, error: KafkaError) -> BrokerError {
    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::TransactionalIdAuthorizationFailed) {
        return BrokerError::NotAllowed {
            what: format!("transactional id `{id}`"),
            operations: "Write and Describe",
            error: Box::new(error),
        };
    }
    transaction("taking over", error)
}

fn transaction(doing: &'static str, error: KafkaError) -> BrokerError {
    let (abort, fatal, retry) = match &error {
        KafkaError::Transaction(told) => (told.txn_requires_abort(), told.is_fatal(), told.is_retriable()),
        _ => (false, true, false),
    };
    BrokerError::Transaction {
        doing,
        abort,
        fatal,
        retry,
        error,
    }
}

fn refused(topic: &str, error: KafkaError) -> BrokerError {
    BrokerError::Refused {
        topic: topic.to_owned(),
        error,
    }
}

/// CloudEvents 1.0, Kafka protocol binding, binary mode; [`HEADERS`](riskflow_model::schema::asyncapi::HEADERS) says what each means.
/// `before`: how many records of this key the epoch has before it.
pub(super) fn headers(epoch: Millis, record: &OutRecord, before: u32, settings: &TopicSettings) -> OwnedHeaders {
    let topic = record.topic;
    // What tells repeats apart stands where no key can look like it.
    let repeat = if before > 0 {
        format!(".{before}")
    } else {
        String::new()
    };
    let mut all = vec![
        ("ce_specversion", "1.0".to_owned()),
        ("ce_id", format!("{}{repeat}-{topic}-{}", epoch.0, record.key)),
        (SOURCE, asyncapi::source(&settings.prefix)),
        ("ce_type", asyncapi::event_type(topic)),
        ("ce_time", epoch.to_string()),
        ("ce_logicaltime", epoch.0.to_string()),
        ("ce_subject", record.key.clone()),
        ("content-type", "application/json".to_owned()),
    ];
    if record.payload.is_some() {
        all.push(("ce_dataschema", asyncapi::data_schema(topic)));
    }
    if settings.exercise {
        all.push((EXERCISE, "true".to_owned()));
    }
    let none = OwnedHeaders::new_with_capacity(all.len());
    all.iter().fold(none, |headers, (key, value)| {
        headers.insert(Header {
            key,
            value: Some(value),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_broker_refused_tells_more_than_what_followed_from_it() {
        let refused = |topic: &str, code| refused(topic, KafkaError::MessageProduction(code));
        let too_large = || {
            let error = KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge);
            Some(("deltas".to_owned(), error))
        };
        let dropped = || refused("notices", RDKafkaErrorCode::State);
        let failed = |fatal: bool| BrokerError::Transaction {
            doing: "writing",
            abort: !fatal,
            fatal,
            retry: false,
            error: KafkaError::Canceled,
        };
        assert!(more_telling(dropped(), too_large()).is_too_large());
        assert!(more_telling(failed(false), too_large()).is_too_large());
        assert!(
            !more_telling(failed(true), too_large()).is_too_large(),
            "it ends the job"
        );
        let forbidden = refused("notices", RDKafkaErrorCode::TopicAuthorizationFailed);
        assert!(
            !more_telling(forbidden, too_large()).is_too_large(),
            "it was known before"
        );
        let purged = KafkaError::MessageProduction(RDKafkaErrorCode::PurgeQueue);
        let why = more_telling(failed(false), Some(("deltas".to_owned(), purged)));
        assert!(matches!(why, BrokerError::Transaction { .. }));
        assert!(matches!(more_telling(dropped(), None), BrokerError::Refused { .. }));
    }
}
