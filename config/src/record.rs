//! Input records as decoded: what sources hand to the dataflow.

use riskflow_model::action::Action;
use riskflow_model::observation::Observation;
use riskflow_model::{Key, LogRow, Row};

/// A record of an input topic, decoded and checked. A table's record without a row deletes.
#[derive(Clone, Debug, PartialEq)]
pub enum InputRecord {
    /// Of `in.observation`.
    Observation(Observation),
    /// Of `in.action`.
    Action(Box<Action>),
    /// Of any other log.
    Log(LogRow),
    /// Of a table: the key of its identifier, and its row.
    Base(Key, Option<Row>),
}
