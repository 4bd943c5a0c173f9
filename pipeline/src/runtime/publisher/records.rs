//! Records out of epochs: tables as upserts and tombstones, logs as they are.

use riskflow_connectors::{OutRecord, Published, content};
use riskflow_model::topic::{Cleanup, Topic};
use riskflow_model::{Bytes, OutputRow};

use super::bound::{Oversized, fit};
use crate::runtime::output::{EpochOutput, Json};
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
    for mut record in tables.rows().map(|row| record(row, Some(json.write(row)))) {
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

/// The records of an epoch: tables as upserts and tombstones, one for each key; logs as they are. What workers encoded is taken out of
/// it, the rest is encoded here.
#[must_use]
pub(super) fn records(output: &mut EpochOutput) -> Vec<OutRecord> {
    let mut payloads = output.take_payloads().into_iter();
    let mut records: Vec<OutRecord> = Vec::with_capacity(output.rows().len());
    let mut json = Json::new(output.epoch);
    for (row, diff) in output.rows() {
        let payload = payloads.next().flatten();
        let is_table = row.topic().cleanup() == Cleanup::Compact;
        // Of one key, what came stands behind what went.
        let again = |last: &mut OutRecord| is_table && last.topic == row.topic() && *last.key == **row.key();
        let last = records.pop_if(again);
        records.push(match (diff, last) {
            (1.., _) => {
                let payload = payload.map_or_else(|| json.write(row), |Bytes(payload)| payload);
                record(row, Some(payload))
            }
            (_, Some(last)) => last,
            (_, None) => record(row, None),
        });
    }
    records
}

/// The records of an epoch that are told once.
#[must_use]
pub(super) fn logs(output: &mut EpochOutput) -> Vec<OutRecord> {
    let mut records = records(output);
    records.retain(is_of_log);
    records
}

fn is_of_log(record: &OutRecord) -> bool {
    record.topic.cleanup() == Cleanup::Delete
}

fn record(row: &OutputRow, payload: Option<Vec<u8>>) -> OutRecord {
    OutRecord {
        topic: row.topic(),
        key: String::from(&**row.key()),
        payload,
    }
}

#[cfg(test)]
mod tests {
    use riskflow_model::Millis;
    use riskflow_model::output::{DeadLetter, PayloadEncoding, Reason};

    use super::*;
    use crate::runtime::output::Leaving;
    use crate::runtime::output::testing::total;
    use crate::runtime::publisher::recorder::digest;

    const EPOCH: Millis = Millis(1_627_171_200_123);

    fn letter(offset: u64) -> OutputRow {
        let origin = (Topic::IN_REPORT, 0, offset);
        OutputRow::new(DeadLetter::new(
            (Reason::Malformed, "x"),
            origin,
            "y",
            PayloadEncoding::Utf8,
        ))
    }

    #[test]
    fn records_are_the_same_whoever_encodes_them() {
        let rows = vec![
            (letter(10), 1),
            (total("m", "replaced", 1.0), -1),
            (total("m", "gone", 1.0), -1),
            (total("m", "replaced", 2.0), 1),
            (total("m", "new", 1.0), 1),
            (letter(9), 1),
        ];
        let mut here = EpochOutput::new(EPOCH, rows);
        let mut json = Json::new(EPOCH);
        // What went and what came of one key are made by different workers.
        let mut shares: [Vec<Leaving>; 2] = Default::default();
        for (at, (row, diff)) in here.rows().iter().enumerate() {
            let payload = (*diff > 0).then(|| Bytes(json.write(row)));
            shares[at % 2].push((row.clone(), *diff, payload));
        }
        let (one, mut other) = (records(&mut here), EpochOutput::merged(EPOCH, shares));
        let other = records(&mut other);
        assert_eq!(one, other);
        let gone = one.iter().filter(|record| record.payload.is_none());
        assert_eq!((one.len(), gone.count()), (5, 1), "one for each key: {one:?}");
        let reversed: Vec<OutRecord> = one.iter().rev().cloned().collect();
        assert_eq!(digest(&one), digest(&reversed), "in whatever order");
    }

    #[test]
    fn what_a_worker_encoded_is_not_encoded_again() {
        let encoded = vec![(total("m", "a", 1.0), 1, Some(Bytes(b"{}".to_vec())))];
        let mut output = EpochOutput::merged(EPOCH, [encoded]);
        assert_eq!(records(&mut output)[0].payload.as_deref(), Some(&b"{}"[..]));
        let again = records(&mut output);
        assert_ne!(again[0].payload.as_deref(), Some(&b"{}"[..]), "it was taken out");
    }
}
