//! stub
use crate::*;
use riskflow_config::*;
use riskflow_model::topic::Topic;
pub struct FileSource; 
impl FileSource { pub fn open(_: &[FileInput], _: &TopicSettings, _: &[Topic], _: Share) -> Result<crate::log::LogSource, SourceError> { Err(crate::kafka::BrokerError.into()) } }
pub fn open_sink(_: &std::path::Path) -> Result<Box<dyn Sink>, SinkError> { Err(crate::kafka::BrokerError.into()) }
