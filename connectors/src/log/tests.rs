mod damage;
mod inputs;
mod upkeep;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use riskflow_config::TopicSettings;
use riskflow_model::Millis;
use riskflow_model::progress::Offsets;
use riskflow_model::topic::Topic;
use tempfile::TempDir;

use super::handles::Handles;
use super::*;
use crate::{
    Append as _, Appended, EpochRecords, InRecord, OutRecord, Polled, RawRecord, Retry, Share, Sink, Source,
    SourceError, Span, Until, Verdict,
};

type Owned = (u16, u64, i64, Option<Vec<u8>>, Option<Vec<u8>>);

fn settings() -> TopicSettings {
    TopicSettings {
        prefix: "city.".to_owned(),
        partitions: 2,
        replication: 1,
        retention: 86_400_000,
        exercise: false,
        forced: false,
        tidy: riskflow_config::Tidy::default(),
    }
}

/// In memory, where there is such a place: what is tested here does not depend on a disk, and waits for one thousands of times.
fn a_folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

/// Segments of so many bytes, and few files that stay open.
fn sizes(limit: u64) -> (u64, Arc<Handles>) {
    (limit, Handles::of(2))
}

fn owned(record: RawRecord<'_>) -> Owned {
    let bytes = |part: Option<&[u8]>| part.map(<[u8]>::to_vec);
    (
        record.partition,
        record.offset,
        record.arrival.unwrap().0,
        bytes(record.key),
        bytes(record.payload),
    )
}

fn open(folder: &Path, until: Until) -> LogSource {
    LogSource::open(
        folder,
        &settings(),
        &[Topic::IN_OBSERVATION],
        Share::WHOLE,
        Span::new(until, &Offsets::default()),
    )
    .unwrap()
}

fn epoch(epoch: i64, records: Vec<OutRecord>) -> EpochRecords {
    EpochRecords {
        epoch: Millis(epoch),
        records,
    }
}

fn read(source: &mut LogSource) -> Result<(Polled, Vec<Owned>), SourceError> {
    let mut records = Vec::new();
    let polled = source.poll(usize::MAX, &mut |record| {
        records.push(owned(record));
        Verdict::Taken
    })?;
    Ok((polled, records))
}

fn writer(folder: &Path, partitions: u16) -> LogWriter {
    LogWriter::open(folder, "city.in.observation", partitions).unwrap()
}

fn segment(folder: &Path) -> PathBuf {
    folder.join("city.in.observation/0/00000000000000000000.log")
}

/// A log of one partition with these payloads; and where each record ends.
fn one_partition(payloads: &[&[u8]]) -> (TempDir, Vec<u64>) {
    let folder = a_folder();
    let mut writer = writer(folder.path(), 1);
    let mut ends = Vec::new();
    for payload in payloads {
        writer.append(0, Millis(5), Some(b"key"), Some(payload)).unwrap();
        writer.sync().unwrap();
        ends.push(segment(folder.path()).metadata().unwrap().len());
    }
    (folder, ends)
}

#[test]
fn records_come_back_as_written_and_a_tombstone_is_not_an_empty_payload() {
    let folder = a_folder();
    let mut writer = writer(folder.path(), 2);
    assert_eq!(writer.append(0, Millis(10), Some(b"a"), Some(b"{}")).unwrap(), 0);
    assert_eq!(writer.append(0, Millis(9), None, Some(b"")).unwrap(), 1);
    assert_eq!(writer.append(1, Millis(3), Some(b""), None).unwrap(), 0);
    writer.sync().unwrap();
    let mut source = open(folder.path(), Until::End);
    assert!(!source.caught_up());
    let (polled, records) = read(&mut source).unwrap();
    assert_eq!(polled, Polled::Ended);
    assert!(source.caught_up());
    let some = |bytes: &[u8]| Some(bytes.to_vec());
    assert_eq!(
        records,
        [
            (0, 0, 10, some(b"a"), some(b"{}")),
            (0, 1, 10, None, some(b"")),
            (1, 0, 3, some(b""), None),
        ]
    );
}

#[test]
fn a_log_cut_at_any_byte_gives_its_whole_records_and_can_be_written_on() {
    let (whole, ends) = one_partition(&[b"{\"a\":1}", b"", b"{\"a\":22}"]);
    let bytes = fs::read(segment(whole.path())).unwrap();
    for cut in 0..=bytes.len() {
        let count = ends.iter().filter(|end| **end <= cut as u64).count();
        let folder = a_folder();
        fs::create_dir_all(segment(folder.path()).parent().unwrap()).unwrap();
        fs::write(segment(folder.path()), &bytes[..cut]).unwrap();

        let mut following = open(folder.path(), Until::Forever);
        let (polled, records) = read(&mut following).unwrap();
        assert_eq!((polled, records.len()), (Polled::Idle, count), "cut at {cut}");
        assert_eq!(read(&mut open(folder.path(), Until::End)).unwrap().1.len(), count);

        let mut writer = writer(folder.path(), 1);
        assert_eq!(writer.append(0, Millis(0), None, Some(b"new")).unwrap(), count as u64);
        writer.flush().unwrap();
        let (_, records) = read(&mut following).unwrap();
        let arrival = if count > 0 { 5 } else { 0 };
        assert_eq!(
            records,
            [(0, count as u64, arrival, None, Some(b"new".to_vec()))],
            "cut at {cut}"
        );
    }
}

#[test]
fn a_tail_of_zeros_as_a_power_cut_leaves_it_is_torn() {
    let (folder, ends) = one_partition(&[b"one"]);
    let mut bytes = fs::read(segment(folder.path())).unwrap();
    bytes.extend([0; 100]);
    fs::write(segment(folder.path()), &bytes).unwrap();
    let mut source = open(folder.path(), Until::Forever);
    assert_eq!(read(&mut source).unwrap().1.len(), 1);
    assert_eq!(read(&mut source).unwrap(), (Polled::Idle, vec![]));
    writer(folder.path(), 1);
    assert_eq!(segment(folder.path()).metadata().unwrap().len(), ends[0]);
}

#[test]
fn a_byte_changed_in_the_middle_is_refused_by_reader_and_writer() {
    let (folder, ends) = one_partition(&[b"{\"a\":1}", b"{\"a\":2}", b"{\"a\":3}"]);
    let bytes = fs::read(segment(folder.path())).unwrap();
    for byte in ends[0]..ends[1] {
        let mut changed = bytes.clone();
        changed[byte as usize] ^= 0x41;
        fs::write(segment(folder.path()), &changed).unwrap();
        let mut source = open(folder.path(), Until::Forever);
        let Err(SourceError::Log(error)) = read(&mut source) else {
            panic!("byte {byte} was read")
        };
        assert!(
            matches!(&error, LogError::Damaged { path, byte } if *path == segment(folder.path()) && *byte == ends[0])
        );
        let Err(error) = LogWriter::open(folder.path(), "city.in.observation", 1) else {
            panic!("{byte}")
        };
        assert!(
            error.to_string().contains(&format!("is damaged at byte {}", ends[0])),
            "{error}"
        );
    }
}

#[test]
fn a_reader_follows_a_writer_and_offers_again_what_was_not_taken() {
    let folder = a_folder();
    let mut writer = writer(folder.path(), 1);
    let mut source = open(folder.path(), Until::Forever);
    assert!(source.caught_up());
    assert_eq!(read(&mut source).unwrap(), (Polled::Idle, vec![]));
    for payload in [b"1", b"2"] {
        writer.append(0, Millis(1), None, Some(payload)).unwrap();
    }
    assert_eq!(read(&mut source).unwrap(), (Polled::Idle, vec![]));
    writer.flush().unwrap();
    for _ in 0..3 {
        let mut offered = 0;
        let polled = source.poll(9, &mut |record| {
            assert_eq!(record.offset, 0);
            offered += 1;
            Verdict::NotYet
        });
        assert_eq!((polled.unwrap(), offered), (Polled::Blocked, 1));
    }
    assert_eq!(source.poll(1, &mut |_| Verdict::Taken).unwrap(), Polled::More);
    assert_eq!(source.lag(), [(Topic::IN_OBSERVATION, 0, 1)]);
    assert_eq!(read(&mut source).unwrap().1.len(), 1);
    assert_eq!(source.lag(), [(Topic::IN_OBSERVATION, 0, 0)]);
}

#[test]
fn what_comes_after_opening_is_not_read_until_end() {
    let (folder, _) = one_partition(&[b"1"]);
    let mut source = open(folder.path(), Until::End);
    writer(folder.path(), 1).append(0, Millis(9), None, Some(b"2")).unwrap();
    let (polled, records) = read(&mut source).unwrap();
    assert_eq!((polled, records.len()), (Polled::Ended, 1));
    assert_eq!(read(&mut source).unwrap(), (Polled::Ended, vec![]));
}

#[test]
fn a_second_writer_is_refused_and_partitions_stay_as_they_were_made() {
    let folder = a_folder();
    let first = writer(folder.path(), 3);
    assert!(matches!(
        LogWriter::open(folder.path(), "city.in.observation", 3),
        Err(LogError::Locked { .. })
    ));
    drop(first);
    assert_eq!(writer(folder.path(), 8).partitions(), 3);
}

#[test]
fn a_missing_topic_is_named_with_its_cure() {
    let folder = a_folder();
    let opened = LogSource::open(
        folder.path(),
        &settings(),
        &[Topic::IN_RULE],
        Share::WHOLE,
        Span::new(Until::End, &Offsets::default()),
    );
    let Err(error) = opened else { panic!("opened") };
    assert_eq!(
        error.to_string(),
        "topic `city.in.rule` is not there; create it with `riskflow topics --create`"
    );
}

#[test]
fn partitions_are_shared_among_workers_without_gap_or_overlap() {
    let folder = a_folder();
    let mut writer = writer(folder.path(), 5);
    for partition in 0..5 {
        writer.append(partition, Millis(0), None, Some(b"x")).unwrap();
    }
    writer.flush().unwrap();
    let mut seen = Vec::new();
    for index in 0..3 {
        let share = Share { index, peers: 3 };
        let mut source = LogSource::open(
            folder.path(),
            &settings(),
            &[Topic::IN_OBSERVATION],
            share,
            Span::new(Until::End, &Offsets::default()),
        )
        .unwrap();
        seen.extend(read(&mut source).unwrap().1.iter().map(|record| record.0));
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3, 4]);
}

#[test]
fn the_sink_partitions_by_key_and_its_arrival_is_the_epoch() {
    let folder = a_folder();
    let mut sink = LogSink::open(folder.path(), &settings()).unwrap();
    let record = |key: &str, payload: Option<&[u8]>| OutRecord {
        topic: Topic::RISK_ASSET,
        key: key.to_owned(),
        payload: payload.map(<[u8]>::to_vec),
    };
    let records: Vec<OutRecord> = (0..20).map(|n| record(&format!("asset {n}"), Some(b"{}"))).collect();
    sink.commit(&[epoch(100, records)]).unwrap();
    sink.commit(&[epoch(200, vec![record("asset 3", None)])]).unwrap();
    let mut source = LogSource::open(
        folder.path(),
        &settings(),
        &[Topic::RISK_ASSET],
        Share::WHOLE,
        Span::new(Until::End, &Offsets::default()),
    )
    .unwrap();
    let (_, read) = read(&mut source).unwrap();
    assert_eq!(read.len(), 21);
    assert!((0..2).all(|partition| read.iter().any(|record| record.0 == partition)));
    let of_three: Vec<&Owned> = read
        .iter()
        .filter(|record| record.3.as_deref() == Some(b"asset 3"))
        .collect();
    assert_eq!(of_three[0].0, of_three[1].0);
    assert_eq!((of_three[0].2, &of_three[1].4, of_three[1].2), (100, &None, 200));
}

fn part() -> impl Strategy<Value = Option<Vec<u8>>> {
    let large = proptest::collection::vec(any::<u8>(), 300_000..300_001);
    proptest::option::of(prop_oneof![30 => proptest::collection::vec(any::<u8>(), 0..60), 1 => large])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Whatever is appended comes back, over any number of segments, reopened writers and limits of a poll, to a
    /// reader that follows and to one that comes later.
    #[test]
    fn what_is_appended_comes_back(
        batches in proptest::collection::vec(proptest::collection::vec((0u16..3, 0i64..50, part(), part()), 0..12), 1..8),
        limit in 1usize..20,
        segment_bytes in 1u64..2000,
    ) {
        let folder = a_folder();
        let name = "city.in.observation";
        drop(LogWriter::open_with(folder.path(), name, 3, sizes(segment_bytes)).unwrap());
        let source = || {
            let beginning = Offsets::default();
            let whole = (Share::WHOLE, Span::new(Until::Forever, &beginning));
            LogSource::open_with(folder.path(), &settings(), &[Topic::IN_OBSERVATION], whole, sizes(segment_bytes)).unwrap()
        };
        let mut following = source();
        let mut followed: Vec<Owned> = Vec::new();
        let mut expected: Vec<Owned> = Vec::new();
        for batch in batches {
            let mut writer = LogWriter::open_with(folder.path(), name, 3, sizes(segment_bytes)).unwrap();
            for (partition, arrival, key, payload) in batch {
                let offset = writer.append(partition, Millis(arrival), key.as_deref(), payload.as_deref()).unwrap();
                let before = expected.iter().rev().find(|record| record.0 == partition).map_or(0, |record| record.2);
                expected.push((partition, offset, arrival.max(before), key, payload));
            }
            drop(writer);
            loop {
                let polled = following.poll(limit, &mut |record| {
                    followed.push(owned(record));
                    Verdict::Taken
                });
                if polled.unwrap() == Polled::Idle {
                    break;
                }
            }
        }
        expected.sort();
        followed.sort();
        prop_assert_eq!(&followed, &expected);
        let mut late = read(&mut source()).unwrap().1;
        late.sort();
        prop_assert_eq!(&late, &expected);
    }

    /// A reader of arbitrary bytes ends, and never panics.
    #[test]
    fn garbage_is_no_reason_to_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let folder = a_folder();
        fs::create_dir_all(segment(folder.path()).parent().unwrap()).unwrap();
        fs::write(segment(folder.path()), &bytes).unwrap();
        drop(read(&mut open(folder.path(), Until::End)));
    }
}

#[test]
fn a_commit_is_visible_whole_or_not_at_all() {
    let folder = a_folder();
    let record = |key: &str| OutRecord {
        topic: Topic::RISK_ASSET,
        key: key.to_owned(),
        payload: Some(b"{}".to_vec()),
    };
    let seen = || {
        let beginning = Offsets::default();
        let span = Span::new(Until::End, &beginning);
        let mut source = LogSource::open(folder.path(), &settings(), &[Topic::RISK_ASSET], Share::WHOLE, span).unwrap();
        read(&mut source).unwrap().1.len()
    };
    let mut sink = LogSink::open(folder.path(), &settings()).unwrap();
    sink.commit(&[epoch(1, vec![record("a"), record("b"), record("c")])])
        .unwrap();
    drop(sink);
    assert_eq!(seen(), 3);
    // A crash between the records and what makes them visible.
    let mut writer = LogWriter::open(folder.path(), "city.out.risk.asset", 2).unwrap();
    for partition in [0, 1] {
        writer.append(partition, Millis(2), Some(b"x"), Some(b"{}")).unwrap();
    }
    drop(writer);
    assert_eq!(seen(), 3, "what is not committed is not seen");
    let mut sink = LogSink::open(folder.path(), &settings()).unwrap();
    sink.commit(&[epoch(3, vec![record("d")])]).unwrap();
    assert_eq!(seen(), 4, "what was not committed is gone");
    // A torn write of the file that makes records visible, before its copy is written, leaves the commit before.
    drop(sink);
    for name in ["city.out.commits.copy", "city.out.commits"] {
        assert_eq!(seen(), 4, "one file is enough");
        let commits = folder.path().join(name);
        let mut bytes = fs::read(&commits).unwrap();
        let newest = if bytes[0] > bytes[64 << 10] { 0 } else { 64 << 10 };
        bytes[newest + 20] ^= 1;
        fs::write(&commits, bytes).unwrap();
    }
    assert_eq!(seen(), 3);
}

#[test]
fn reading_begins_at_an_offset_and_what_is_gone_is_told() {
    let folder = a_folder();
    let mut writer = LogWriter::open_with(folder.path(), "city.in.observation", 1, sizes(64)).unwrap();
    for n in 0..20u8 {
        writer.append(0, Millis(n.into()), None, Some(&[n; 30])).unwrap();
    }
    drop(writer);
    let open = |from: u64| {
        let mut offsets = Offsets::default();
        offsets.advance(Topic::IN_OBSERVATION, 0, from);
        let span = (Share::WHOLE, Span::new(Until::End, &offsets));
        LogSource::open_with(folder.path(), &settings(), &[Topic::IN_OBSERVATION], span, sizes(64)).unwrap()
    };
    for from in 0..=20 {
        let mut source = open(from);
        assert!(source.lost().is_empty());
        let offsets: Vec<u64> = read(&mut source).unwrap().1.iter().map(|record| record.1).collect();
        assert_eq!(offsets, (from..20).collect::<Vec<_>>());
    }
    assert_eq!(open(21).lost().len(), 1, "the log is shorter than it was");
    fs::remove_file(segment(folder.path())).unwrap();
    let mut source = open(0);
    let [(_, _, 0, first)] = source.lost()[..] else {
        panic!("nothing is lost")
    };
    assert_eq!(read(&mut source).unwrap().1[0].1, first);
}

fn appender(folder: &Path) -> LogAppend {
    LogAppend::open(folder, &settings(), Topic::IN_OBSERVATION).unwrap()
}

fn in_record(payload: &str) -> InRecord {
    InRecord {
        arrival: Millis(7),
        key: "key".to_owned(),
        payload: Some(payload.as_bytes().to_vec()),
    }
}

/// Appends one record, and says at which offset.
fn append(appender: &mut LogAppend, payload: &str) -> u64 {
    appender.append(&[in_record(payload)]).pop().unwrap().unwrap().offset
}

fn payloads(folder: &Path) -> Vec<String> {
    let records = read(&mut open(folder, Until::End)).unwrap().1;
    let text = |record: Owned| String::from_utf8(record.4.unwrap()).unwrap();
    records.into_iter().map(text).collect()
}

#[test]
fn appenders_share_a_partition_and_every_answer_is_true() {
    let folder = a_folder();
    drop(writer(folder.path(), 1));
    let answers: Vec<(u64, String)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                scope.spawn({
                    let folder = folder.path();
                    move || {
                        let mut appender = appender(folder);
                        let numbers = (0..25).map(|number| format!("{thread}/{number}"));
                        numbers
                            .map(|text| (append(&mut appender, &text), text))
                            .collect::<Vec<_>>()
                    }
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let written = payloads(folder.path());
    assert_eq!(written.len(), 100);
    for (offset, text) in answers {
        assert_eq!(written[offset as usize], text);
    }
}

#[test]
fn a_batch_goes_to_the_partitions_of_its_keys_and_is_answered_in_its_order() {
    let folder = a_folder();
    let of_key = writer(folder.path(), 2).partition_of(Some(b"key"));
    // A key of the other partition.
    let other = (0..)
        .map(|n| format!("k{n}"))
        .find(|key| super::writer::partition_of(Some(key.as_bytes()), 2) != of_key);
    let mut batch = vec![in_record("a"), in_record("b"), in_record("c")];
    batch[1].key = other.unwrap();
    let answers = appender(folder.path()).append(&batch);
    let at = |partition, offset| Appended { partition, offset };
    let answers: Vec<Appended> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers, [at(of_key, 0), at(1 - of_key, 0), at(of_key, 1)]);
}

#[test]
fn an_appender_takes_in_what_others_left_meanwhile() {
    let folder = a_folder();
    drop(writer(folder.path(), 1));
    let mut appender = appender(folder.path());
    assert_eq!(append(&mut appender, "a"), 0);
    // A whole record, and a torn one of a writer that died.
    writer(folder.path(), 1).append(0, Millis(9), None, Some(b"b")).unwrap();
    let path = segment(folder.path());
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, [&bytes[..], &bytes[..20]].concat()).unwrap();
    assert_eq!(append(&mut appender, "c"), 2);
    // A segment that another writer began.
    let mut rolling = LogWriter::open_with(folder.path(), "city.in.observation", 1, sizes(1)).unwrap();
    rolling.append(0, Millis(9), None, Some(b"d")).unwrap();
    drop(rolling);
    assert_eq!(append(&mut appender, "e"), 4);
    let read = read(
        &mut LogSource::open_with(
            folder.path(),
            &settings(),
            &[Topic::IN_OBSERVATION],
            (Share::WHOLE, Span::new(Until::End, &Offsets::default())),
            sizes(1),
        )
        .unwrap(),
    )
    .unwrap();
    assert_eq!(read.1.len(), 5);
    // Arrival does not fall.
    assert!(read.1.is_sorted_by_key(|record| record.2), "{read:?}");
    // The topic was made anew.
    fs::remove_dir_all(folder.path().join("city.in.observation")).unwrap();
    drop(writer(folder.path(), 1));
    assert_eq!(append(&mut appender, "f"), 0);
    assert_eq!(payloads(folder.path()), ["f"]);
}

#[test]
fn an_appender_waits_for_a_writer_but_not_for_ever() {
    let folder = a_folder();
    let holder = writer(folder.path(), 1);
    let mut appender = appender(folder.path()).with_patience(std::time::Duration::from_millis(5));
    let refused = appender.append(&[in_record("a")]).pop().unwrap().unwrap_err();
    assert_eq!(refused.retry(), Retry::Later);
    drop(holder);
    assert_eq!(append(&mut appender, "b"), 0);
    assert_eq!(payloads(folder.path()), ["b"]);
    let nowhere = LogAppend::open(folder.path(), &settings(), Topic::IN_ACTION);
    assert!(nowhere.is_err_and(|error| error.to_string().contains("riskflow topics --create")));
}
