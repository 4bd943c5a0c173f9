//! How large records may be, as the topics say.

use std::collections::BTreeMap;

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::error::KafkaError;
use riskflow_config::{KafkaSettings, TopicSettings};
use riskflow_model::limit::{LEAST_RECORD_BYTES, RECORD_BYTES};
use riskflow_model::topic::Topic;

use super::client::OPENING;
use super::client::{self, Context};
use super::error::BrokerError;
use super::topics::{Properties, wait_for};

/// The topic's property.
pub(super) const MAX_MESSAGE_BYTES: &str = "max.message.bytes";

/// What a batch may have beside its records.
const BATCH: usize = 512;

/// The most that a record may have on each output topic, where that is less than everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits(BTreeMap<Topic, usize>);

impl Limits {
    /// Asks the brokers. A topic that is not there has no limit of its own.
    pub fn ask(kafka: &KafkaSettings, settings: &TopicSettings) -> Result<Self, BrokerError> {
        let admin = client::admin(kafka)?;
        let mut limits = BTreeMap::new();
        for topic in Topic::outputs() {
            let properties = properties_of(&admin, kafka, &settings.name(topic))?;
            let told = properties.get(MAX_MESSAGE_BYTES).and_then(|value| value.parse().ok());
            limits.insert(topic, told.unwrap_or(RECORD_BYTES).min(of_producer(kafka)));
        }
        limits.retain(|_, most| *most < RECORD_BYTES);
        Ok(Self(limits))
    }

    /// As told; for tests.
    #[cfg(test)]
    pub fn of(told: impl Iterator<Item = (Topic, usize)>) -> Self {
        Self(told.collect())
    }

    /// The most that a record of a topic may have.
    pub fn most(&self, topic: Topic) -> usize {
        let most = self.0.get(&topic).copied().unwrap_or(RECORD_BYTES);
        most.clamp(LEAST_RECORD_BYTES, RECORD_BYTES)
    }

    /// These, where those before were too much for a topic. A broker that still tells the same refused it all the same: half
    /// as much is tried.
    pub fn after(mut self, before: &Self, refused: Topic) -> Self {
        let told = self.most(refused);
        if told >= before.most(refused) {
            self.0.insert(refused, before.most(refused) / 2);
        }
        for (topic, most) in &before.0 {
            let now = self.most(*topic).min(*most);
            self.0.insert(*topic, now);
        }
        self
    }
}

/// The most that the settings allow the producer.
pub(super) fn of_producer(kafka: &KafkaSettings) -> usize {
    let own = kafka
        .properties
        .get("message.max.bytes")
        .and_then(|value| value.reveal().parse().ok());
    own.unwrap_or(RECORD_BYTES).clamp(LEAST_RECORD_BYTES, RECORD_BYTES)
}

/// The most that the records of a batch may have: a topic's limit is one for batches.
pub(super) fn of_batch(kafka: &KafkaSettings) -> usize {
    // librdkafka's own, unless the settings say another.
    const USUAL: usize = 1_000_000;
    let own = kafka
        .properties
        .get("batch.size")
        .and_then(|value| value.reveal().parse().ok());
    own.unwrap_or(USUAL).min(of_producer(kafka) - BATCH)
}

/// What a broker tells of a topic's properties; none of a topic that is not there.
pub(super) fn properties_of(
    admin: &AdminClient<Context>,
    kafka: &KafkaSettings,
    name: &str,
) -> Result<Properties, BrokerError> {
    let specifier = ResourceSpecifier::Topic(name);
    let options = AdminOptions::new().request_timeout(Some(OPENING));
    let described = wait_for(admin.describe_configs([&specifier], &options));
    let described = described.map_err(|error| BrokerError::unavailable(kafka, admin.inner().context(), error))?;
    let mut properties = Properties::new();
    for resource in described {
        match resource {
            Ok(resource) => {
                let told = resource.entries.into_iter();
                properties.extend(told.filter_map(|entry| Some((entry.name, entry.value?))));
            }
            Err(code) if super::error::is_missing(code) => {}
            Err(code) => {
                return Err(BrokerError::Refused {
                    topic: name.to_owned(),
                    error: KafkaError::AdminOp(code),
                });
            }
        }
    }
    Ok(properties)
}
