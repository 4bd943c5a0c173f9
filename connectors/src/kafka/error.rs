//! What may be wrong with Kafka.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::retry::Retry;

/// What is wrong with Kafka, or with how it is reached.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// A property in the settings is riskflow's to set.
    #[error("`kafka.properties.\"{property}\"` is set; leave it out, riskflow sets it ({why})")]
    Reserved {
        /// Its name.
        property: String,
        /// Why it cannot be another.
        why: &'static str,
    },
    /// librdkafka refuses the settings.
    #[error("no client can be made of the settings for Kafka")]
    Settings(#[source] KafkaError),
    /// The brokers did not answer, or not in time.
    #[error("the brokers at {brokers} do not answer{}", last_words(told))]
    Unavailable {
        /// `host:port`, separated by commas.
        brokers: String,
        /// Why connections to them failed, as far as it is known: the error often does not tell.
        told: Box<[String]>,
        /// What librdkafka says.
        #[source]
        error: KafkaError,
    },
    /// Brokers are reached, and no connection comes of it: a password, a certificate, a protocol.
    #[error("no connection with the brokers at {brokers}, which are reached: {found}; {give}")]
    NoConnection {
        /// `host:port`, separated by commas.
        brokers: String,
        /// What librdkafka says, or what was found of the broker's certificate.
        found: String,
        /// What to give instead.
        give: String,
    },
    /// The brokers say that this user may not do it.
    #[error(
        "{what}: the brokers do not allow it; this user needs {operations} on it (`kafka-acls`): docs/kafka-security.md has all that a job \
         needs"
    )]
    NotAllowed {
        /// A topic or a transactional id, with prefix.
        what: String,
        /// What must be allowed.
        operations: &'static str,
        /// What librdkafka says.
        #[source]
        error: Box<KafkaError>,
    },
    /// Not all records of a commit were acknowledged in time.
    #[error("{missing} records were not acknowledged within {seconds} s")]
    TimedOut {
        /// How many.
        missing: usize,
        /// The time allowed.
        seconds: u64,
    },
    /// A topic can no longer be read or written.
    #[error("{topic}: the broker refuses{}", cure(error))]
    Refused {
        /// Its name, with prefix; with partition where one is meant.
        topic: String,
        /// What librdkafka says.
        #[source]
        error: KafkaError,
    },
    /// A transaction did not go through.
    #[error("{doing} a transaction failed{}", for_good(*fatal, error))]
    Transaction {
        /// What was tried.
        doing: &'static str,
        /// Whether the transaction must be aborted; its records can be sent again.
        abort: bool,
        /// Whether this producer is of no more use.
        fatal: bool,
        /// Whether the same call may succeed.
        retry: bool,
        /// What librdkafka says.
        #[source]
        error: KafkaError,
    },
    /// A topic has other partitions than when it was opened.
    #[error(
        "{topic} has {now} partitions, it had {before} when the job began: start the job again, it will read all of them"
    )]
    PartitionsChanged {
        /// Its name, with prefix.
        topic: String,
        /// When it was opened.
        before: u16,
        /// Now.
        now: u16,
    },
    /// Records that were not read yet have been deleted on the broker.
    #[error(
        "{topic}/{partition}: records from {offset} on are not there any more, or not again (the topic was made anew?); \
         keep them longer than a recovery takes, or start anew with `--start-anew`"
    )]
    Lost {
        /// Its name, with prefix.
        topic: String,
        /// The partition.
        partition: u16,
        /// The offset that would have been next.
        offset: u64,
    },
    /// What is no exercise was to be written to the topics of one.
    #[error(
        "{topic} has records of an exercise (`riskflow replay`): a live job does not write there, nor go on from what it finds there; give \
         another `topics.prefix`, or delete the topics `{prefix}out.*`"
    )]
    Exercise {
        /// What stands before the names of the topics.
        prefix: String,
        /// One that has such a record, with prefix.
        topic: String,
    },
    /// An exercise that cannot go on where it stood was to be written where one stands.
    #[error(
        "{topic} has records of an exercise already, and this replay does not go on with it, as one of files never does: all of it would be \
         there twice; give another `--prefix`, or delete the topics `{prefix}out.*`"
    )]
    Written {
        /// What stands before the names of the topics.
        prefix: String,
        /// One that has such a record, with prefix.
        topic: String,
    },
    /// An exercise was to be written to topics that are not those of one.
    #[error(
        "{topic} has records of a job that is no exercise: nothing is replayed into the topics `{prefix}out.*`; give another `--prefix`"
    )]
    NoExercise {
        /// What stands before the names of the topics.
        prefix: String,
        /// One that has such a record, with prefix.
        topic: String,
    },
}

/// Why a transaction failed, as far as it is no matter of another attempt.
fn for_good(fatal: bool, error: &KafkaError) -> &'static str {
    match code(error) {
        Some(RDKafkaErrorCode::TransactionalIdAuthorizationFailed) => {
            ": this user must be allowed to Write and Describe the transactional id `riskflow`, with `topics.prefix` before it"
        }
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
            ": this user must be allowed to Write topics that begin with `out.`, with `topics.prefix` before them"
        }
        _ if fatal => {
            " for good: another riskflow may have taken over, or this one stood still for longer than `transaction.timeout.ms`"
        }
        _ => "",
    }
}

/// The code that a broker or librdkafka gave; rdkafka keeps back that of an administrative request.
pub(super) fn code(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    match error {
        KafkaError::AdminOp(code) => Some(*code),
        other => other.rdkafka_error_code(),
    }
}

/// Why connections failed, behind a colon.
fn last_words(told: &[String]) -> String {
    if told.is_empty() {
        String::new()
    } else {
        format!(": {}", told.join("; "))
    }
}

impl BrokerError {
    /// Whether a record was larger than its topic takes.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        let (Self::Refused { error, .. } | Self::Transaction { error, .. }) = self else {
            return false;
        };
        error.rdkafka_error_code().is_some_and(is_too_large)
    }

    /// Whether the same may succeed later.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Reserved { .. }
            | Self::Settings(_)
            | Self::Lost { .. }
            | Self::PartitionsChanged { .. }
            | Self::Exercise { .. }
            | Self::NoExercise { .. }
            | Self::Written { .. }
            | Self::NotAllowed { .. }
            | Self::Transaction { fatal: true, .. } => Retry::Never,
            Self::Transaction { error, .. } if error.rdkafka_error_code().is_some_and(refuses) => Retry::Never,
            // Passwords and certificates are mended at the brokers, too, while a job waits.
            Self::Unavailable { .. } | Self::NoConnection { .. } => Retry::Later,
            Self::TimedOut { .. } | Self::Transaction { .. } => Retry::Later,
            Self::Refused { error, .. } => match error.rdkafka_error_code() {
                Some(code) if !refuses(code) => Retry::Later,
                Some(_) | None => Retry::Never,
            },
        }
    }
}

/// What mends it, where that is known.
fn cure(error: &KafkaError) -> &'static str {
    match code(error) {
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
            "; riskflow must be allowed to Read and Describe all of its topics, to Write and DescribeConfigs those that begin with `out.` \
             (`doctor` and `topics --check` want DescribeConfigs on all): docs/kafka-security.md"
        }
        Some(
            RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownPartition,
        ) => "; if it was deleted, `riskflow topics --create` makes it anew, and docs/recovery.md says how to go on",
        Some(code) if is_too_large(code) => "; raise its `max.message.bytes`",
        _ => "",
    }
}

/// Whether a broker that answers so has no such topic.
pub(super) const fn is_missing(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition
    )
}

/// Whether a broker that answers so takes smaller records.
pub(super) const fn is_too_large(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge
    )
}

/// Whether a broker that answers so will answer so again.
pub(super) const fn refuses(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::Fatal
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::TransactionalIdAuthorizationFailed
            | RDKafkaErrorCode::InvalidTopic
            | RDKafkaErrorCode::InvalidRecord
            | RDKafkaErrorCode::PolicyViolation
    )
}
