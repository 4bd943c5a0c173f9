//! Records of input logs that have no way of their own.

use riskflow_config::InputRecord;
use riskflow_model::LogRow;
use riskflow_model::topic::Topic;

use super::Rejection;
use super::reject::unreadable;
use super::rows::same_key;

pub(super) fn decode(topic: Topic, key: Option<&[u8]>, text: &str) -> Result<InputRecord, Rejection> {
    let row = LogRow::from_json(topic, text).map_err(|wrong| match wrong {
        Some(wrong) => unreadable(text, wrong),
        None => Rejection::field("topic", topic, "a topic that riskflow reads"),
    })?;
    same_key(key, topic.key(), &row.id())?;
    Ok(InputRecord::Log(row))
}
