//! Records out of epochs: tables as upserts and tombstones, logs as they are.

use std::sync::Arc;

use riskflow_connectors::{OutRecord, Published, content};
use riskflow_model::Millis;
use riskflow_model::topic::Topic;
use serde::Serialize;

use super::bound::{Oversized, fit};
use crate::output::EpochOutput;
use crate::views::Tables;

/// The records of the first epoch after a restart: for tables what differs between what should be there and what is. Rows are
/// compared as they are written: those that are too large by their stand-ins, which come back too.
pub(super) fn compared(
    tables: &Tables,
    output: &EpochOutput,
    mut published: Published,
    (own, most): (Vec<OutRecord>, impl Fn(Topic) -> usize),
) -> (Vec<OutRecord>, Vec<Oversized>) {
    let (mut records, mut oversized) = (Vec::new(), Vec::new());
    for mut record in all_rows(tables, output.epoch) {
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
    records.extend(own.into_iter().filter(|record| !TABLES.contains(&record.topic)));
    (records, oversized)
}

/// The tables among the outputs.
pub const TABLES: [Topic; 7] = [
    Topic::RISK_ASSET,
    Topic::RISK_REGION,
    Topic::WARNING_STATE,
    Topic::CASE_STATE,
    Topic::RESPONSE,
    Topic::REPORT_TOTAL,
    Topic::UNMATCHED,
];

fn all_rows(tables: &Tables, epoch: Millis) -> Vec<OutRecord> {
    let present = EpochOutput {
        epoch,
        assets: tables.assets.values().map(|row| (Arc::clone(row), 1)).collect(),
        regions: tables.regions.values().map(|row| (Arc::clone(row), 1)).collect(),
        warnings: tables.warnings.values().map(|row| (Arc::clone(row), 1)).collect(),
        cases: tables.cases.values().map(|row| (Arc::clone(row), 1)).collect(),
        responses: tables.responses.values().map(|row| (Arc::clone(row), 1)).collect(),
        totals: tables.totals.values().map(|row| (Arc::clone(row), 1)).collect(),
        unmatched: tables.unmatched.values().map(|row| (Arc::clone(row), 1)).collect(),
        ..EpochOutput::default()
    };
    records(&present)
}

/// The records of an epoch: tables as upserts and tombstones, one for each key; logs as they are.
#[must_use]
pub(super) fn records(output: &EpochOutput) -> Vec<OutRecord> {
    let epoch = output.epoch;
    let mut records = Vec::new();
    table(&mut records, Topic::RISK_ASSET, epoch, &output.assets, |row| {
        row.asset.to_string()
    });
    table(&mut records, Topic::RISK_REGION, epoch, &output.regions, |row| {
        row.key()
    });
    table(&mut records, Topic::WARNING_STATE, epoch, &output.warnings, |row| {
        row.id.to_string()
    });
    log(&mut records, Topic::WARNING_DELTA, epoch, &output.deltas, |delta| {
        delta.id.to_string()
    });
    table(&mut records, Topic::CASE_STATE, epoch, &output.cases, |row| {
        row.id.to_string()
    });
    log(&mut records, Topic::CASE_DELTA, epoch, &output.case_deltas, |delta| {
        delta.case.to_string()
    });
    log(&mut records, Topic::NOTICE, epoch, &output.notices, |notice| {
        notice.case.to_string()
    });
    table(&mut records, Topic::RESPONSE, epoch, &output.responses, |row| row.key());
    table(&mut records, Topic::REPORT_TOTAL, epoch, &output.totals, |row| {
        row.key()
    });
    table(&mut records, Topic::UNMATCHED, epoch, &output.unmatched, |row| {
        row.key()
    });
    log(&mut records, Topic::DEAD_LETTER, epoch, &output.dead, |letter| {
        letter.key()
    });
    records
}

/// The records of an epoch that are told once.
#[must_use]
pub(super) fn logs(output: &EpochOutput) -> Vec<OutRecord> {
    let mut records = records(output);
    records.retain(|record| !TABLES.contains(&record.topic));
    records
}

fn log<T: Serialize>(
    records: &mut Vec<OutRecord>,
    topic: Topic,
    epoch: Millis,
    told: &[T],
    key: impl Fn(&T) -> String,
) {
    let mut json = Json::new(epoch);
    records.extend(told.iter().map(|one| OutRecord {
        topic,
        key: key(one),
        payload: Some(json.write(one)),
    }));
}

fn table<T: Serialize>(
    records: &mut Vec<OutRecord>,
    topic: Topic,
    epoch: Millis,
    rows: &[(Arc<T>, i64)],
    key: impl Fn(&T) -> String,
) {
    let mut latest: Vec<(String, Option<&T>)> = Vec::with_capacity(rows.len());
    for (row, diff) in rows {
        latest.push((key(row), (*diff > 0).then_some(&**row)));
    }
    // Of one key, what came stands behind what went.
    latest.sort_by(|(a, came), (b, other)| (a, came.is_some()).cmp(&(b, other.is_some())));
    let mut latest = latest.into_iter().peekable();
    let mut json = Json::new(epoch);
    while let Some((key, row)) = latest.next() {
        if latest.peek().is_none_or(|(next, _)| *next != key) {
            let payload = row.map(|row| json.write(row));
            records.push(OutRecord { topic, key, payload });
        }
    }
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

    /// Through a buffer: a record in memory of its own size, which is not known before.
    fn write<T: Serialize>(&mut self, record: &T) -> Vec<u8> {
        self.buffer.clear();
        serde_json::to_writer(&mut self.buffer, record).expect("our records have text keys and finite numbers");
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
        let written = Json::new(epoch).write(&record);
        let stamped = Stamped {
            record,
            stand_in: None,
            epoch,
        };
        assert_eq!(written, serde_json::to_vec(&stamped).unwrap());
    }
}
