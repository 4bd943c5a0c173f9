//! How topics stand.

use riskflow_model::topic::Topic;

/// How one topic stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicReport {
    /// The topic.
    pub topic: Topic,
    /// Its name, with prefix.
    pub name: String,
    /// How it stands.
    pub state: TopicState,
    /// What is otherwise than riskflow would make it, and works all the same; for people.
    pub remarks: Vec<String>,
}

/// How a topic compares with the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicState {
    /// As the settings say.
    Ok,
    /// Not there.
    Missing,
    /// There, but otherwise than the settings say; each difference for people. riskflow works with any number of
    /// partitions; a table that is not compacted loses rows in time.
    Differs(Vec<String>),
}
