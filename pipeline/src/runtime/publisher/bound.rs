//! No record is larger than its topic takes. What our own bounds leave too large (texts that JSON writes six times as long, a
//! topic that takes less than usual) goes out as a stand-in: one record never ends the job.

use riskflow_connectors::OutRecord;
use riskflow_model::output::StandIn;
use riskflow_model::shortened;
use riskflow_model::topic::Topic;
use serde_json::{Map, Value};

/// How long texts and lists may be: the first that makes the record fit. The least leaves times and hashes as they are.
const STEPS: [(usize, usize); 7] = [(4096, 100), (1024, 20), (512, 10), (512, 3), (128, 3), (64, 1), (32, 0)];

/// A record that was too large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Oversized {
    /// Its topic.
    pub topic: Topic,
    /// Its key, in short.
    pub key: String,
    /// How many bytes it had.
    pub bytes: usize,
    /// The most that the topic takes.
    pub most: usize,
    /// Whether a stand-in was made. Not where the key alone is too large.
    pub stands: bool,
}

/// Makes a record fit; says so if it did not.
pub(super) fn fit(record: &mut OutRecord, most: usize) -> Option<Oversized> {
    let bytes = record.size();
    if bytes <= most {
        return None;
    }
    assert!(
        !record.topic.is_internal(),
        "progress is spread over records that fit everywhere"
    );
    let stand_in = record.payload.as_deref().and_then(|payload| {
        let beside = bytes - payload.len();
        stand_in(payload, bytes, most).filter(|payload| beside + payload.len() <= most)
    });
    let stands = stand_in.is_some();
    if stands {
        record.payload = stand_in;
    }
    Some(Oversized {
        topic: record.topic,
        key: shortened(&record.key, 100).into_owned(),
        bytes,
        most,
        stands,
    })
}

/// Makes all of them fit, and leaves out those that cannot.
pub(super) fn fit_all(records: &mut Vec<OutRecord>, most: impl Fn(Topic) -> usize) -> Vec<Oversized> {
    let mut oversized = Vec::new();
    records.retain_mut(|record| {
        let found = fit(record, most(record.topic));
        let stays = found.as_ref().is_none_or(|found| found.stands);
        oversized.extend(found);
        stays
    });
    oversized
}

/// The largest stand-in of which payload and frame have at most `most` bytes, if there is one.
fn stand_in(payload: &[u8], bytes: usize, most: usize) -> Option<Vec<u8>> {
    let mut fields: Map<String, Value> = serde_json::from_slice(payload).expect("a record is a JSON object");
    let epoch = fields.remove("epoch").expect("a record has its epoch");
    // One that is cut once more still says how large it was at first.
    let before = fields
        .remove("stand_in")
        .and_then(|before| serde_json::from_value::<StandIn>(before).ok());
    let mark = StandIn {
        bytes: before.map_or(bytes as u64, |before| before.bytes),
        most: most as u64,
    };
    let beside = bytes - payload.len();
    let end = format!(
        ",\"stand_in\":{},\"epoch\":{epoch}}}",
        serde_json::to_string(&mark).expect("numbers can be written")
    );
    STEPS.iter().find_map(|(text, list)| {
        let mut cut = Value::Object(fields.clone());
        shorten(&mut cut, *text, *list);
        let mut written = serde_json::to_vec(&cut).expect("what was read can be written");
        // Its closing brace.
        written.pop();
        written.extend_from_slice(end.as_bytes());
        (beside + written.len() <= most).then_some(written)
    })
}

fn shorten(value: &mut Value, text: usize, list: usize) {
    match value {
        Value::String(long) if long.len() > text => *long = shortened(long, text).into_owned(),
        // Numbers by position are of a fixed length.
        Value::Array(entries) if !entries.iter().all(Value::is_number) => {
            entries.truncate(list);
            entries.iter_mut().for_each(|entry| shorten(entry, text, list));
        }
        Value::Object(fields) => fields.values_mut().for_each(|field| shorten(field, text, list)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use riskflow_model::limit::{LEAST_RECORD_BYTES, RECORD_BYTES};
    use riskflow_model::output::{CaseState, Stamped};

    use super::*;

    /// A case whose lists have so many entries of so many characters.
    fn case(entries: usize, character: &str, length: usize) -> OutRecord {
        let text = character.repeat(length);
        let task =
            serde_json::json!({"plan": text, "task": text, "name": text, "role": text, "due": null, "reported": null});
        let note = serde_json::json!({"at": "2021-07-25T04:30:00.000Z", "actor": text, "text": text});
        let row = serde_json::json!({
            "id": "0123456789abcdef0123456789abcdef", "incident": false, "rule": text, "asset": text, "domain": "lifeline",
            "region": "330902001001", "since": "2021-07-25T04:30:00.000Z", "level": "red", "peak": "red", "basis": "active",
            "step": "issued", "entered": "2021-07-25T04:30:00.000Z", "due": null, "round": 1, "rejected": text,
            "suppressed_until": null, "escalations": [], "obligations": [], "tasks": vec![task; entries],
            "times": {"issued": "2021-07-25T04:30:00.000Z", "acknowledged": null, "in_time": false, "archived": null},
            "people": {"assignee": text, "notes": vec![note.clone(); entries], "evidence": vec![note; entries]},
            "counts": {"escalations": 0, "obligations": 0, "tasks": entries, "notes": entries, "evidence": entries},
            "epoch": "2021-07-25T04:30:00.000Z",
        });
        OutRecord {
            topic: Topic::CASE_STATE,
            key: "0123456789abcdef0123456789abcdef".to_owned(),
            payload: Some(serde_json::to_vec(&row).unwrap()),
        }
    }

    fn read(record: &OutRecord) -> Stamped<CaseState> {
        serde_json::from_slice(record.payload.as_deref().unwrap()).unwrap()
    }

    #[test]
    fn a_stand_in_has_the_key_and_the_fields_and_says_what_it_stands_for() {
        for most in [LEAST_RECORD_BYTES, 200_000, RECORD_BYTES] {
            for (entries, character, length) in [
                (3, "x", 500_000),
                (100, "\u{1}", 4_096),
                (5_000, "汉", 170),
                (0, "\"", 200_000),
            ] {
                let mut record = case(entries, character, length);
                let bytes = record.size();
                let whole = read(&record);
                let found = fit(&mut record, most).unwrap();
                assert_eq!((found.bytes, found.most, found.stands), (bytes, most, true));
                assert!(record.size() <= most);
                let row = read(&record);
                assert_eq!(
                    row.stand_in,
                    Some(StandIn {
                        bytes: bytes as u64,
                        most: most as u64
                    })
                );
                let facts = |row: &Stamped<CaseState>| {
                    (
                        row.record.id.clone(),
                        row.record.level,
                        row.record.since,
                        row.epoch,
                        row.record.counts,
                    )
                };
                assert_eq!(facts(&row), facts(&whole));
                assert!(row.record.rule.contains("bytes, cut)") || *row.record.rule == *whole.record.rule);
                // Another limit later: smaller still, and the size is that of the first.
                if most > LEAST_RECORD_BYTES && record.size() > LEAST_RECORD_BYTES {
                    fit(&mut record, LEAST_RECORD_BYTES).unwrap();
                    assert_eq!(read(&record).stand_in.unwrap().bytes, bytes as u64);
                }
                assert_eq!(fit(&mut record, most), None);
            }
        }
    }

    #[test]
    fn what_fits_stays_as_it_is_and_a_key_that_is_too_large_is_left_out() {
        let mut small = case(1, "x", 10);
        let before = small.clone();
        assert_eq!(fit(&mut small, LEAST_RECORD_BYTES), None);
        assert_eq!(small, before);
        let large_key = OutRecord {
            key: "k".repeat(40_000),
            ..case(0, "x", 10)
        };
        let tombstone = OutRecord {
            payload: None,
            ..large_key.clone()
        };
        let mut records = vec![small.clone(), large_key, tombstone];
        let oversized = fit_all(&mut records, |_| LEAST_RECORD_BYTES);
        assert_eq!(records, [small]);
        assert_eq!(
            oversized.iter().map(|found| found.stands).collect::<Vec<_>>(),
            [false, false]
        );
    }
}
