//! stub
use crate::*;
use riskflow_config::*;
use riskflow_model::topic::Topic;
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct BrokerError;
impl BrokerError { pub fn retry(&self) -> Retry { Retry::Later } }
pub struct KafkaSource; pub struct KafkaSink;
impl KafkaSource { pub fn open(_: &KafkaSettings, _: &TopicSettings, _: &[Topic], _: Share, _: Until) -> Result<crate::log::LogSource, SourceError> { Err(BrokerError.into()) } }
impl KafkaSink { pub fn open(_: &KafkaSettings, _: &TopicSettings) -> Result<crate::log::LogSink, SinkError> { Err(BrokerError.into()) } }
