//! The rows that a job would have, and the records that it would refuse.

use std::collections::BTreeMap;

use riskflow_config::InputRecord;
use riskflow_connectors::{RawRecord, decode, table_key};
use riskflow_model::topic::Topic;
use riskflow_model::{Key, Row};

/// A record that is refused, and that no later one replaces.
pub struct Refused {
    /// Where it stands: file and line, or topic, partition and offset.
    pub place: String,
    /// Its topic.
    pub topic: Topic,
    /// In one word.
    pub reason: &'static str,
    /// What is wrong, one problem an entry.
    pub problems: Vec<String>,
    /// The row that it is about, if it says so.
    pub key: Option<Key>,
    /// How many were refused before.
    pub number: usize,
}

/// Rows by topic and key, with the place where each stands.
#[derive(Default)]
pub struct Stock {
    pub rows: BTreeMap<(Topic, Key), (Row, String)>,
    /// By the row that they are about.
    refused: BTreeMap<(Topic, Key), Refused>,
    /// Those that do not say which.
    nameless: Vec<Refused>,
    /// How many there were so far, replaced ones too.
    count: usize,
    /// Files that were passed over: what they hold is not told by their names.
    pub passed_over: Vec<String>,
    /// Whether all rules of the job are among the rows.
    pub all_rules: bool,
    /// Where each identifier stands among what was given as rules.
    given: BTreeMap<(Topic, Key), String>,
}

impl Stock {
    /// Takes a record of an input table as the job would.
    pub fn take(&mut self, record: &RawRecord<'_>, place: String) {
        let topic = record.topic;
        match decode(record) {
            Ok(InputRecord::Base(key, row)) => {
                self.refused.remove(&(topic, key));
                let Some(row) = row else {
                    self.rows.remove(&(topic, key));
                    return;
                };
                let before = self.rows.get(&(topic, key)).map_or(0, |(row, _)| row.rank());
                if row.rank() >= before {
                    self.rows.insert((topic, key), (row, place));
                }
            }
            // Only tables are read.
            Ok(InputRecord::Observation(_) | InputRecord::Action(_) | InputRecord::Log(_)) => {}
            Err(rejection) => {
                let key = table_key(record);
                self.refuse(place, topic, rejection.reason.name(), rejection.detail.lines(), key);
            }
        }
    }

    /// The same of one of the rules that are asked about: each identifier stands there once.
    pub fn take_given(&mut self, record: &RawRecord<'_>, place: String) {
        let topic = record.topic;
        let twice = table_key(record).and_then(|key| {
            let before = self.given.insert((topic, key), place.clone())?;
            Some((key, before))
        });
        match twice {
            Some((key, before)) => {
                let problem = format!("`{}` is that of {before}, too; give each once", topic.key());
                self.refuse(place, topic, "given_twice", [problem.as_str()], Some(key));
            }
            None => self.take(record, place),
        }
    }

    /// Puts a row in the place of that of its identifier; it was checked before.
    pub fn put(&mut self, row: Row, place: String) {
        let at = (row.topic(), Key::of(&row.id()));
        self.refused.remove(&at);
        self.rows.insert(at, (row, place));
    }

    /// What cannot be read at all.
    pub fn refuse<'a>(
        &mut self,
        place: String,
        topic: Topic,
        reason: &'static str,
        problems: impl IntoIterator<Item = &'a str>,
        key: Option<Key>,
    ) {
        let refused = Refused {
            place,
            topic,
            reason,
            problems: problems.into_iter().map(str::to_owned).collect(),
            key,
            number: self.count,
        };
        self.count += 1;
        match key {
            Some(key) => drop(self.refused.insert((topic, key), refused)),
            None => self.nameless.push(refused),
        }
    }

    /// All that are refused, and that no later record replaces; in the order in which they came.
    pub fn refused(&self) -> Vec<&Refused> {
        let mut refused: Vec<&Refused> = self.refused.values().chain(&self.nameless).collect();
        refused.sort_by_key(|refused| refused.number);
        refused
    }

    /// If there are rules by now, they are all.
    pub fn know_all_rules(&mut self) {
        self.all_rules = self.rows.keys().any(|(topic, _)| *topic == Topic::IN_RULE);
    }

    /// What stays in force where a record was refused.
    pub fn in_force(&self, refused: &Refused) -> Option<&Row> {
        let (row, _) = self.rows.get(&(refused.topic, refused.key?))?;
        Some(row)
    }
}
