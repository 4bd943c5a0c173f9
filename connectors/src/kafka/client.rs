//! The one place that makes clients.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::admin::AdminClient;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, DeliveryResult};
use rdkafka::producer::{BaseProducer, ProducerContext};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientContext, TopicPartitionList};
use riskflow_config::KafkaSettings;
use riskflow_model::Problems;
use tracing::{debug, info, warn};

use super::deliveries::Deliveries;
use super::error::BrokerError;
use super::fault::Fault;
use super::sizes;

/// How long opening waits for one answer of a broker.
pub(super) const OPENING: Duration = Duration::from_secs(10);

/// A property, its value, and why it cannot be another.
type Fixed = (&'static str, &'static str, &'static str);

/// Other names that librdkafka knows properties by.
const ALIASES: [(&str, &str); 3] = [
    ("metadata.broker.list", "bootstrap.servers"),
    ("request.required.acks", "acks"),
    ("auto.commit.enable", "enable.auto.commit"),
];

/// The consumer group that sources name. None is joined, and librdkafka asks for its coordinator all the same.
const GROUP: &str = "riskflow";

const SOURCE: [Fixed; 7] = [
    ("group.id", GROUP, "partitions are assigned by hand; no group is joined"),
    (
        "enable.auto.commit",
        "false",
        "how far the input was taken stands in `out.progress`",
    ),
    (
        "enable.auto.offset.store",
        "false",
        "how far the input was taken stands in `out.progress`",
    ),
    (
        "isolation.level",
        "read_committed",
        "records of transactions that failed are no records",
    ),
    ("enable.partition.eof", "true", "the end of a partition must be seen"),
    (
        "allow.auto.create.topics",
        "false",
        "topics are made by `riskflow topics --create`",
    ),
    ("auto.offset.reset", "error", "records deleted unread are an error"),
];

/// These are only what is set where the settings say nothing.
const SOURCE_DEFAULTS: [(&str, &str); 4] = [
    // So long a broker holds an answer that has no records. Partitions that were assigned meanwhile wait for it, and at a start several
    // readers one after the other meet that: with librdkafka's 500 ms it took more than a second longer.
    ("fetch.wait.max.ms", "100"),
    // Partitions that are added are noticed so soon.
    ("topic.metadata.refresh.interval.ms", "10000"),
    // For each partition: what its queue may hold beyond what the dataflow took.
    ("queued.max.messages.kbytes", "16384"),
    // What `lag` is told from.
    ("statistics.interval.ms", "5000"),
];

const SINK: [Fixed; 4] = [
    (
        "transactional.id",
        "",
        "from the topics' prefix: it names the one writer of these topics",
    ),
    (
        "enable.idempotence",
        "true",
        "a retry must not repeat or reorder records",
    ),
    ("acks", "all", "a commit is durable"),
    (
        "allow.auto.create.topics",
        "false",
        "topics are made by `riskflow topics --create`",
    ),
];

const SINK_DEFAULTS: [(&str, &str); 5] = [
    // What a process that died left open holds up readers no longer than this, even if none takes its place.
    ("transaction.timeout.ms", "30000"),
    // After a commit the next transaction meets CONCURRENT_TRANSACTIONS for a moment: ask again soon.
    ("retry.backoff.ms", "5"),
    ("compression.type", "zstd"),
    // That of Kafka's own clients, so that other writers agree about the partition of a key.
    ("partitioner", "murmur2_random"),
    // An epoch's records are all handed over before the wait begins.
    ("linger.ms", "1"),
];

/// Keeps what librdkafka tells outside of polls.
#[derive(Default)]
pub(super) struct Context {
    /// Where each partition ended of late, by topic name and partition.
    ends: Mutex<BTreeMap<(String, i32), i64>>,
    /// How many partitions each topic had of late.
    partitions: Mutex<BTreeMap<String, u16>>,
    /// The first error of a delivery since it was last taken, with the topic.
    failed: Mutex<Option<(String, KafkaError)>>,
    /// Whether the brokers were last known to be down.
    down: Mutex<Down>,
    /// Why connections failed: each reason once, the newest last; until the brokers answer.
    failures: Mutex<Vec<String>>,
    /// What keeps connections from being made, and the words in which it was told; until the brokers answer.
    fault: Mutex<Option<(Fault, String)>>,
    /// Whether it was told that the group is not allowed.
    group: AtomicBool,
    /// Whether the last offsets were not committed.
    untold: Mutex<bool>,
    /// Whether no broker was connected of late.
    alone: Mutex<bool>,
    /// How many lines, reports and errors librdkafka told.
    heard: AtomicU64,
}

/// Whether the brokers were last known to be down, and what was said of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Down {
    #[default]
    No,
    /// Nobody knows why; it passes, maybe.
    Yes,
    /// It does not pass by itself.
    For(Fault),
}

/// So many reasons are kept.
const FAILURES: usize = 3;

/// What librdkafka logs of a broker's connection that failed is `[thrd:…]: host:port/id: reason (after 3ms in state …)`: the
/// reason with the broker.
fn reason(message: &str) -> &str {
    let message = message.split_once("]: ").map_or(message, |(_, rest)| rest);
    message.split_once(" (after ").map_or(message, |(reason, _)| reason)
}

/// What is said where the brokers refuse the group: nothing needs it, and the log is quiet with it.
fn group_refused() -> String {
    format!(
        "GroupAuthorizationFailed: no right on the consumer group `{GROUP}`, or the one with `topics.prefix` before that. None is joined, and the \
         job goes on without it; to be rid of this line add an ACL: `kafka-acls.sh --bootstrap-server BROKER --add --allow-principal User:NAME \
         --operation Read --group {GROUP}`, and the same with the prefix"
    )
}

impl Context {
    pub fn end_of(&self, topic: &str, partition: i32) -> Option<i64> {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.get(&(topic.to_owned(), partition)).copied()
    }

    /// Counts what is told, so that a poll that took something is known from one that found nothing.
    fn hears(&self) {
        self.heard.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether no broker was connected of late.
    pub fn is_alone(&self) -> bool {
        *self.alone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn partitions_of(&self, topic: &str) -> Option<u16> {
        let partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        partitions.get(topic).copied()
    }

    /// Why connections failed, as far as it was told.
    pub fn failures(&self) -> Vec<String> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What keeps connections from being made, and the words in which it was told.
    pub fn fault(&self) -> Option<(Fault, String)> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps why a connection failed.
    fn failed_for(&self, message: &str) {
        let reason = reason(message);
        if let Some(fault) = Fault::of(message) {
            let mut known = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
            *known = Some((fault, reason.to_owned()));
        }
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if !failures.iter().any(|known| known == reason) {
            let older = (failures.len() + 1).saturating_sub(FAILURES);
            failures.drain(..older);
            failures.push(reason.to_owned());
        }
    }

    /// Why a record was refused, since it was asked last.
    pub fn take_failure(&self) -> Option<(String, KafkaError)> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Notes that the brokers answer, or why they do not. Tells of it once, and once more where it turns out that it does not pass.
    pub fn note(&self, trouble: Option<&KafkaError>) {
        // The end of a partition is news, not trouble; librdkafka tells of it in the same place.
        let code = trouble.and_then(KafkaError::rdkafka_error_code);
        if code == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        if code == Some(RDKafkaErrorCode::GroupAuthorizationFailed) {
            if !self.group.swap(true, Ordering::Relaxed) {
                warn!("{}", group_refused());
            }
            return;
        }
        if trouble.is_none() {
            *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = None;
            self.failures.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        let fault = self.fault();
        let mut down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        let now = match (trouble, &fault) {
            (None, _) => Down::No,
            // A fault that was told holds until the brokers answer.
            (Some(_), None) if *down != Down::No => *down,
            (Some(_), None) => Down::Yes,
            (Some(_), Some((fault, _))) => Down::For(*fault),
        };
        if now == *down {
            return;
        }
        match (trouble, fault) {
            (None, _) => info!("Kafka answers again"),
            (Some(error), None) => warn!(%error, "trouble with Kafka, going on trying"),
            (Some(error), Some((fault, words))) => warn!(
                %error,
                words,
                "trouble with Kafka, going on trying; {}",
                fault.give()
            ),
        }
        *down = now;
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.hears();
        debug!(target: "librdkafka", ?level, facility, message);
        if facility == "FAIL" {
            self.failed_for(message);
        }
    }

    fn stats(&self, statistics: Statistics) {
        self.hears();
        let connected = statistics.brokers.values().any(|broker| broker.state == "UP");
        *self.alone.lock().unwrap_or_else(PoisonError::into_inner) = !connected;
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let mut partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, topic) in statistics.topics {
            // Partition -1 stands for records without one.
            let count = topic.partitions.keys().filter(|number| **number >= 0).count();
            partitions.insert(name.clone(), count as u16);
            let known = topic
                .partitions
                .into_iter()
                .filter(|(_, partition)| partition.ls_offset >= 0);
            ends.extend(known.map(|(number, partition)| ((name.clone(), number), partition.ls_offset)));
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.hears();
        debug!(target: "librdkafka", %error, reason);
        // A token that cannot be had is told here only.
        let failed = [RDKafkaErrorCode::Authentication, RDKafkaErrorCode::SSL];
        if error.rdkafka_error_code().is_some_and(|code| failed.contains(&code)) {
            self.failed_for(reason);
        }
        self.note(Some(&error));
    }
}

impl ConsumerContext for Context {
    /// Only whoever tells how far a job is commits offsets. That it cannot is told once.
    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        self.hears();
        let mut untold = self.untold.lock().unwrap_or_else(PoisonError::into_inner);
        match &result {
            Err(error) if !*untold => warn!(
                %error,
                "the offsets of the job's group are not committed: Kafka's own tools show it further behind than it is"
            ),
            Ok(()) if *untold => info!("the offsets of the job's group are committed again"),
            Ok(()) | Err(_) => {}
        }
        *untold = result.is_err();
    }
}

/// Whether a record was dropped before any broker answered, since another one failed or the transaction had to be aborted.
pub(super) fn is_dropped(error: &KafkaError) -> bool {
    let dropped = [
        RDKafkaErrorCode::PurgeQueue,
        RDKafkaErrorCode::PurgeInflight,
        RDKafkaErrorCode::State,
    ];
    error.rdkafka_error_code().is_some_and(|code| dropped.contains(&code))
}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        use rdkafka::Message;
        if let Err((error, message)) = result {
            let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            // Of records that were dropped for what befell another one, only that one is of use.
            let tells_more = |known: &(String, KafkaError)| is_dropped(&known.1) && !is_dropped(error);
            if failed.as_ref().is_none_or(tells_more) {
                *failed = Some((message.topic().to_owned(), error.clone()));
            }
        }
    }
}

pub(super) fn consumer(settings: &KafkaSettings) -> Result<BaseConsumer<Context>, BrokerError> {
    let config = config(settings, &SOURCE, &SOURCE_DEFAULTS)?;
    config.create_with_context(Context::default()).map_err(unusable)
}

/// A consumer that reads nothing, and commits offsets in this group.
pub(super) fn teller(settings: &KafkaSettings, group: &str) -> Result<BaseConsumer<Context>, BrokerError> {
    let mut config = config(settings, &SOURCE, &SOURCE_DEFAULTS)?;
    config.set("group.id", group);
    config.set("statistics.interval.ms", "0");
    config.create_with_context(Context::default()).map_err(unusable)
}

/// A producer; with an identifier one that writes in transactions.
pub(super) fn producer(
    settings: &KafkaSettings,
    transactional_id: Option<&str>,
) -> Result<BaseProducer<Context>, BrokerError> {
    let mut config = config(settings, &SINK, &SINK_DEFAULTS)?;
    // What is larger is not even sent.
    config.set("message.max.bytes", sizes::of_producer(settings).to_string());
    config.set("batch.size", sizes::of_batch(settings).to_string());
    if let Some(id) = transactional_id {
        config.set("transactional.id", id);
    }
    config.create_with_context(Context::default()).map_err(unusable)
}

/// A producer outside of transactions that tells of each record; what is not acknowledged soon fails.
pub(super) fn append_producer(settings: &KafkaSettings) -> Result<BaseProducer<Deliveries>, BrokerError> {
    let defaults = [&SINK_DEFAULTS[..], &[("message.timeout.ms", "10000")]].concat();
    config(settings, &SINK, &defaults)?
        .create_with_context(Deliveries::default())
        .map_err(unusable)
}

pub(super) fn admin(settings: &KafkaSettings) -> Result<AdminClient<Context>, BrokerError> {
    config(settings, &[], &[])?
        .create_with_context(Context::default())
        .map_err(unusable)
}

/// The settings are refused; of what is wrong with a property its value is not told, which may be a password.
fn unusable(error: KafkaError) -> BrokerError {
    BrokerError::Settings(without_value(error))
}

fn without_value(error: KafkaError) -> KafkaError {
    const HIDDEN: &str = "(hidden)";
    match error {
        KafkaError::ClientConfig(result, why, property, value) => {
            let why = if value.is_empty() {
                why
            } else {
                why.replace(&value, HIDDEN)
            };
            KafkaError::ClientConfig(result, why, property, HIDDEN.to_owned())
        }
        other => other,
    }
}

/// Everything in the settings that no client can be made of, without asking a broker: properties that librdkafka does not know,
/// values that it does not take, files that are not there.
#[must_use]
pub fn problems(settings: &KafkaSettings) -> Problems {
    let mut problems = Problems::default();
    for (property, value) in &settings.properties {
        let one = KafkaSettings {
            brokers: settings.brokers.clone(),
            properties: [(property.clone(), value.clone())].into(),
            group_offsets: settings.group_offsets,
        };
        let field = format!("kafka.properties.\"{property}\"");
        let ours = [&SOURCE[..], &SINK].map(|fixed| config(&one, fixed, &[]));
        for made in ours {
            let wrong = match made {
                Err(BrokerError::Reserved { why, .. }) => {
                    ("set".to_owned(), format!("nothing: riskflow sets it ({why})"))
                }
                Err(error) => (error.to_string(), PROPERTY.to_owned()),
                Ok(made) => match made.create_native_config().map_err(without_value) {
                    Err(KafkaError::ClientConfig(_, why, ..)) => (why, PROPERTY.to_owned()),
                    Err(error) => (error.to_string(), PROPERTY.to_owned()),
                    Ok(_) => continue,
                },
            };
            problems.add(field, format!("not usable: {}", wrong.0), wrong.1);
            break;
        }
    }
    tokens(settings, &mut problems);
    if problems.is_empty()
        && let Err(error) = consumer(settings)
    {
        let why = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        problems.add(
            "kafka.properties",
            format!("not usable: {why}"),
            "what librdkafka can make a client of",
        );
    }
    problems
}

/// OAUTHBEARER without anything that makes tokens: librdkafka would wait for one for ever, and say nothing.
fn tokens(settings: &KafkaSettings, problems: &mut Problems) {
    const UNSECURED: &str = "enable.sasl.oauthbearer.unsecure.jwt";
    let is = |property: &str, value: &str| {
        let given = settings.properties.get(property);
        given.is_some_and(|given| given.reveal().eq_ignore_ascii_case(value))
    };
    let bearer = is("sasl.mechanism", "OAUTHBEARER") || is("sasl.mechanisms", "OAUTHBEARER");
    if bearer && !is(UNSECURED, "true") {
        problems.add(
            format!("kafka.properties.\"{UNSECURED}\""),
            "not `true`, and nothing else makes tokens for OAUTHBEARER",
            "true, for trials; in production another mechanism, SCRAM-SHA-512, or a certificate of the client",
        );
    }
}

/// What to give for a property.
const PROPERTY: &str = "a property and a value of librdkafka's CONFIGURATION.md";

/// Defaults, then the settings' properties, then what cannot be another.
#[allow(clippy::disallowed_methods, reason = "this is the one place")]
pub(super) fn config(
    settings: &KafkaSettings,
    fixed: &[Fixed],
    defaults: &[(&str, &str)],
) -> Result<ClientConfig, BrokerError> {
    let mut config = ClientConfig::new();
    for (property, value) in defaults {
        config.set(*property, *value);
    }
    for (property, value) in &settings.properties {
        let name = ALIASES
            .iter()
            .find(|(alias, _)| alias == property)
            .map_or(property.as_str(), |(_, name)| name);
        let why = match fixed.iter().find(|(fixed, ..)| *fixed == name) {
            // What we would set ourselves does no harm.
            Some((_, ours, _)) if *ours == value.reveal() => continue,
            Some((.., why)) => Some(*why),
            None if name == "bootstrap.servers" => Some("from `brokers`"),
            None => None,
        };
        if let Some(why) = why {
            return Err(BrokerError::Reserved {
                property: property.clone(),
                why,
            });
        }
        config.set(property, value.reveal());
    }
    for (property, value, _) in fixed.iter().filter(|(_, value, _)| !value.is_empty()) {
        config.set(*property, *value);
    }
    config.set("bootstrap.servers", &settings.brokers);
    // What is logged is decided by the filter of the log all the same; why connections fail is told from `Info` on.
    let asked = settings.properties.contains_key("debug");
    config.set_log_level(if asked {
        RDKafkaLogLevel::Debug
    } else {
        RDKafkaLogLevel::Info
    });
    Ok(config)
}

/// So many lines of a log are taken at once at most, so that a client that writes ever more of them does not hold up its reader.
const AT_ONCE: usize = 10_000;

/// The next record or error that waits, without waiting for one. A poll of `rdkafka` that may not wait ends behind each line of librdkafka's
/// log and each report of statistics: with the property `debug`, an error would stand behind thousands of polls.
pub(super) fn waiting(consumer: &BaseConsumer<Context>) -> Option<KafkaResult<BorrowedMessage<'_>>> {
    let heard = || consumer.context().heard.load(Ordering::Relaxed);
    for _ in 0..AT_ONCE {
        let before = heard();
        let polled = consumer.poll(Duration::ZERO);
        if polled.is_some() || heard() == before {
            return polled;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn what_waits_is_reached_behind_many_lines_of_a_log() {
        // Who listens and never answers: a refused connection would be an error that waits, sometimes before the look and sometimes after.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let settings = KafkaSettings {
            brokers: silent.local_addr().unwrap().to_string(),
            properties: [("debug".to_owned(), "conf".into())].into(),
            group_offsets: false,
        };
        let consumer = consumer(&settings).unwrap();
        assert!(waiting(&consumer).is_none());
        let heard = consumer.context().heard.load(Ordering::Relaxed);
        assert!(heard > 1, "lines about properties: {heard}");
    }

    #[test]
    fn a_group_that_is_not_allowed_is_told_once_with_the_acl_and_is_no_trouble() {
        let said = group_refused();
        for part in [
            "GroupAuthorizationFailed",
            "`riskflow`",
            "--operation Read --group riskflow",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let context = Context::default();
        context.note(Some(&KafkaError::Global(RDKafkaErrorCode::GroupAuthorizationFailed)));
        assert!(context.group.load(Ordering::Relaxed));
        let down = || *context.down.lock().unwrap();
        assert_eq!(down(), Down::No, "the brokers answer");
        context.note(Some(&KafkaError::Global(RDKafkaErrorCode::AllBrokersDown)));
        assert_eq!(down(), Down::Yes);
    }

    #[test]
    fn a_fault_is_known_until_the_brokers_answer() {
        let context = Context::default();
        let down = || *context.down.lock().unwrap();
        context.error(
            KafkaError::Global(RDKafkaErrorCode::BrokerTransportFailure),
            "ssl://a:1/1: Disconnected",
        );
        assert_eq!((down(), context.fault()), (Down::Yes, None));
        let words = "ssl://a:1/1: SASL authentication error: no (after 3ms in state AUTH_REQ)";
        context.error(KafkaError::Global(RDKafkaErrorCode::Authentication), words);
        let known = (Fault::Password, "ssl://a:1/1: SASL authentication error: no".to_owned());
        assert_eq!((down(), context.fault()), (Down::For(Fault::Password), Some(known)));
        context.note(Some(&KafkaError::Global(RDKafkaErrorCode::AllBrokersDown)));
        assert_eq!(down(), Down::For(Fault::Password));
        context.note(None);
        assert_eq!((down(), context.fault()), (Down::No, None));
    }
}
