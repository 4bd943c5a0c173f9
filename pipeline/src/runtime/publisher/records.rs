//! Records out of epochs: tables as upserts and tombstones, logs as they are.

use riskflow_connectors::{OutRecord, Published, content};
use riskflow_model::topic::{Cleanup, Topic};
use riskflow_model::{Millis, OutputRow};

use super::bound::{Oversized, fit};
use crate::runtime::output::EpochOutput;
use crate::runtime::views::Tables;

/// The records of the first epoch after a restart: for tables what differs between what should be there and what is. Rows are
/// compared as they are written: those that are too large by their stand-ins, which come back too.
pub(super) fn compared(
    tables: &Tables,
    output: &EpochOutput,
    mut published: Published,
    (own, most): (Vec<OutRecord>, impl Fn(Topic) -> usize),
) -> (Vec<OutRecord>, Vec<Oversized>) {
    let (mut records, mut oversized) = (Vec::new(), Vec::new());
    let mut json = Json::new(output.epoch);
    for mut record in tables.rows().map(|row| json.record(row)) {
        let most = most(record.topic);
        let found = fit(&mut record, most);
        if found.as_ref().is_some_and(|found| !found.stands) {
            oversized.extend(found);
            continue;
        }
        let before = published.remove(&(record.topic, record.key.clone()));
        let now = record.payload.as_deref().map(content);
        if before != now {
            records.push(record);
            oversized.extend(found);
        }
    }
    // What should not be there.
    let gone = published.into_keys().map(|(topic, key)| OutRecord {
        topic,
        key,
        payload: None,
    });
    records.extend(gone);
    records.extend(own.into_iter().filter(is_of_log));
    (records, oversized)
}

/// The records of an epoch: tables as upserts and tombstones, one for each key; logs as they are.
#[must_use]
pub(super) fn records(output: &EpochOutput) -> Vec<OutRecord> {
    let mut records: Vec<OutRecord> = Vec::with_capacity(output.rows().len());
    let mut json = Json::new(output.epoch);
    for (row, diff) in output.rows() {
        let is_table = row.topic().cleanup() == Cleanup::Compact;
        // Of one key, what came stands behind what went.
        let again = |last: &mut OutRecord| is_table && last.topic == row.topic() && *last.key == **row.key();
        let last = records.pop_if(again);
        records.push(match (diff, last) {
            (1.., _) => json.record(row),
            (_, Some(last)) => last,
            (_, None) => OutRecord {
                topic: row.topic(),
                key: String::from(&**row.key()),
                payload: None,
            },
        });
    }
    records
}

/// The records of an epoch that are told once.
#[must_use]
pub(super) fn logs(output: &EpochOutput) -> Vec<OutRecord> {
    let mut records = records(output);
    records.retain(is_of_log);
    records
}

fn is_of_log(record: &OutRecord) -> bool {
    record.topic.cleanup() == Cleanup::Delete
}

/// Writes records as [`riskflow_model::output::Stamped`] reads them. Of a whole city the epoch is the same, so it is written once.
struct Json {
    buffer: Vec<u8>,
    /// The last field, and the end.
    stamp: String,
}

impl Json {
    fn new(epoch: Millis) -> Self {
        Self {
            buffer: Vec::new(),
            stamp: format!("\"epoch\":\"{epoch}\"}}"),
        }
    }

    fn record(&mut self, row: &OutputRow) -> OutRecord {
        OutRecord {
            topic: row.topic(),
            key: String::from(&**row.key()),
            payload: Some(self.write(row)),
        }
    }

    /// Through a buffer: a record in memory of its own size, which is not known before.
    fn write(&mut self, row: &OutputRow) -> Vec<u8> {
        self.buffer.clear();
        let written = row.write_json(&mut self.buffer);
        written.expect("our records have text keys and finite numbers");
        let end = self.buffer.pop();
        assert_eq!(end, Some(b'}'), "a record is an object");
        self.buffer.push(b',');
        self.buffer.extend_from_slice(self.stamp.as_bytes());
        self.buffer.as_slice().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use riskflow_model::output::{DeadLetter, Stamped};

    use super::*;

    #[test]
    fn a_record_is_written_with_its_epoch() {
        let letter = r#"{"reason":"malformed","detail":"}","topic":"t","partition":1,"offset":2,"payload":"","encoding":"utf8","payload_bytes":0,"payload_cut":false}"#;
        let record: DeadLetter = serde_json::from_str(letter).unwrap();
        let epoch = Millis(1_627_171_200_123);
        let written = Json::new(epoch).write(&OutputRow::new(record.clone()));
        let stamped = Stamped {
            record,
            stand_in: None,
            epoch,
        };
        assert_eq!(written, serde_json::to_vec(&stamped).unwrap());
    }
}
