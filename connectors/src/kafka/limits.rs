//! How large records may be, as the topics say.

use std::collections::BTreeMap;

use riskflow_config::{KafkaSettings, TopicSettings};
use riskflow_model::limit::{LEAST_RECORD_BYTES, RECORD_BYTES};
use riskflow_model::topic::Topic;

use super::asking::of_each;
use super::client;
use super::error::BrokerError;
use super::properties::{MAX_MESSAGE_BYTES, properties_of};
use super::sizes::of_producer;

/// The most that a record may have on each output topic, where that is less than everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits(BTreeMap<Topic, usize>);

impl Limits {
    /// Asks the brokers. A topic that is not there has no limit of its own.
    pub fn ask(kafka: &KafkaSettings, settings: &TopicSettings) -> Result<Self, BrokerError> {
        let admin = client::admin(kafka)?;
        let topics: Vec<Topic> = Topic::outputs().collect();
        let limits = of_each(&topics, |topic| {
            let properties = properties_of(&admin, kafka, &settings.name(*topic))?;
            let told = properties.get(MAX_MESSAGE_BYTES).and_then(|value| value.parse().ok());
            Ok::<_, BrokerError>((*topic, told.unwrap_or(RECORD_BYTES).min(of_producer(kafka))))
        })?;
        let less = limits.into_iter().filter(|(_, most)| *most < RECORD_BYTES);
        Ok(Self(less.collect()))
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
