//! Whatever is committed in an output and is not there as it was is noticed by name; whatever is not committed refuses nothing.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::*;
use crate::log::commits::{self, Known};
use crate::log::guard::Loss;

const LIMIT: u64 = 250;

type Row = (Topic, u16, u64, Option<Vec<u8>>, Option<Vec<u8>>);

fn open_sink(folder: &Path) -> Result<LogSink, LogError> {
    LogSink::open_with(folder, &settings(), sizes(LIMIT), &mut Loss::Refuse)
}

fn record(topic: Topic, key: u64, text: &str) -> OutRecord {
    OutRecord {
        topic,
        key: format!("key {key}"),
        payload: Some(text.as_bytes().to_vec()),
    }
}

/// Some commits to two logs and a table; every partition gets several segments.
fn fill(sink: &mut LogSink, from: u64, to: u64) {
    for n in from..to {
        let topics = [Topic::NOTICE, Topic::WARNING_DELTA, Topic::RISK_ASSET];
        let records = topics.map(|topic| record(topic, n, &format!("{topic} of {n}, so long that it is not short")));
        sink.commit(&[epoch(n as i64, records.to_vec())]).unwrap();
    }
}

/// All that is committed, of outputs that can be read.
fn rows(folder: &Path) -> Result<Vec<Row>, SourceError> {
    let topics: Vec<Topic> = Topic::outputs().collect();
    let beginning = Offsets::default();
    let span = (Share::WHOLE, Span::new(Until::End, &beginning));
    let mut source = LogSource::open_with(folder, &settings(), &topics, span, sizes(LIMIT))?;
    let mut rows = Vec::new();
    let bytes = |part: Option<&[u8]>| part.map(<[u8]>::to_vec);
    let mut take = |record: RawRecord<'_>| {
        let (key, payload) = (bytes(record.key), bytes(record.payload));
        rows.push((record.topic, record.partition, record.offset, key, payload));
        Verdict::Taken
    };
    while source.poll(usize::MAX, &mut take)? != Polled::Ended {}
    rows.sort();
    Ok(rows)
}

/// A log with commits; and all its segments, with how many bytes of each are committed.
fn committed() -> (TempDir, Vec<(PathBuf, u64)>) {
    static WRITTEN: OnceLock<TempDir> = OnceLock::new();
    let written = WRITTEN.get_or_init(|| {
        let folder = a_folder();
        fill(&mut open_sink(folder.path()).unwrap(), 0, 30);
        folder
    });
    let folder = copy(written.path());
    let Known::Segments(segments) = commits::read(folder.path(), &settings()).unwrap().0 else {
        panic!("nothing is committed")
    };
    let mut files = Vec::new();
    for ((topic, partition), sealed) in segments {
        let partition = folder.path().join(settings().name(topic)).join(partition.to_string());
        assert!(sealed.len() > 2, "several segments");
        files.extend(
            sealed
                .iter()
                .map(|sealed| (folder::segment(&partition, sealed.first), sealed.bytes)),
        );
    }
    (folder, files)
}

fn copy(from: &Path) -> TempDir {
    let to = a_folder();
    copy_into(from, to.path());
    to
}

fn copy_into(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() {
            copy_into(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// Opening it is refused with the name of this file or folder and the cure; then what is lost can be given up, nothing else is
/// lost, and the next commit stands behind what was there.
fn is_refused(folder: &Path, named: &Path, before: &[Row]) {
    let Err(error) = open_sink(folder) else {
        panic!("{} is accepted", named.display())
    };
    let said = error.to_string();
    assert!(
        said.contains(named.to_str().unwrap()) && said.contains("--accept-loss"),
        "{said}"
    );
    let told = accept(folder);
    assert!(
        told.iter().any(|line| line.contains(named.to_str().unwrap())),
        "{told:?}"
    );
    let mut sink = open_sink(folder).unwrap();
    let left = rows(folder).unwrap();
    assert!(left.iter().all(|row| before.contains(row)), "nothing is invented");
    let gone: Vec<&Row> = before.iter().filter(|row| !left.contains(row)).collect();
    assert!(
        gone.iter().all(|row| {
            let partition = folder.join(settings().name(row.0)).join(row.1.to_string());
            named.starts_with(&partition) || partition.starts_with(named)
        }),
        "what is lost lay elsewhere: {gone:?}"
    );
    fill(&mut sink, 30, 40);
    let mut ends: BTreeMap<(Topic, u16), u64> = BTreeMap::new();
    ends.extend(before.iter().map(|row| ((row.0, row.1), row.2 + 1)));
    let after = rows(folder).unwrap();
    assert_eq!(after.len(), left.len() + 30);
    for row in after.iter().filter(|row| !left.contains(row)) {
        assert!(row.2 >= ends[&(row.0, row.1)], "an offset is used again");
    }
    drop(sink);
    open_sink(folder).unwrap();
}

fn accept(folder: &Path) -> Vec<String> {
    let mut told = Vec::new();
    LogSink::open_with(folder, &settings(), sizes(LIMIT), &mut Loss::Accept(&mut told)).unwrap();
    told
}

fn is_accepted(folder: &Path, before: &[Row]) {
    let mut sink = open_sink(folder).unwrap();
    assert_eq!(rows(folder).unwrap(), before);
    fill(&mut sink, 30, 31);
    assert_eq!(rows(folder).unwrap().len(), before.len() + 3);
}

/// What happens to a file.
#[derive(Clone, Copy, Debug)]
enum Harm {
    Flip(usize, u8),
    Cut(usize),
    Empty,
    Delete,
    /// The content of another file.
    Other(usize),
    /// Both of them.
    Exchange(usize),
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        4 => (any::<usize>(), 1u8..).prop_map(|(byte, bits)| Harm::Flip(byte, bits)),
        3 => any::<usize>().prop_map(Harm::Cut),
        1 => Just(Harm::Empty),
        1 => Just(Harm::Delete),
        2 => any::<usize>().prop_map(Harm::Other),
        2 => any::<usize>().prop_map(Harm::Exchange),
    ]
}

fn do_harm(harm: Harm, path: &Path, others: &[(PathBuf, u64)]) {
    let bytes = fs::read(path).unwrap();
    match harm {
        Harm::Flip(byte, bits) => {
            let mut bytes = bytes;
            let byte = byte % bytes.len();
            bytes[byte] ^= bits;
            fs::write(path, bytes).unwrap();
        }
        Harm::Cut(at) => fs::write(path, &bytes[..at % bytes.len()]).unwrap(),
        Harm::Empty => fs::write(path, b"").unwrap(),
        Harm::Delete => fs::remove_file(path).unwrap(),
        Harm::Other(other) => drop(fs::copy(&others[other % others.len()].0, path).unwrap()),
        Harm::Exchange(other) => {
            let other = &others[other % others.len()].0;
            fs::copy(other, path).unwrap();
            fs::write(other, bytes).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn a_committed_segment_that_is_another_is_refused_by_name(file in any::<usize>(), harm in harm()) {
        let (folder, files) = committed();
        let before = rows(folder.path()).unwrap();
        let file = file % files.len();
        let path = &files[file].0;
        let others: Vec<_> = files.iter().filter(|(other, _)| other != path).cloned().collect();
        do_harm(harm, path, &others);
        if let Harm::Exchange(other) = harm {
            // Both are wrong; the first in the order of topics, partitions and offsets is named.
            let other = &others[other % others.len()].0;
            let first = files.iter().map(|(path, _)| path).find(|name| *name == path || *name == other);
            let error = open_sink(folder.path()).err().unwrap();
            prop_assert!(error.to_string().contains(first.unwrap().to_str().unwrap()), "{}", error);
            accept(folder.path());
            open_sink(folder.path()).unwrap();
        } else {
            is_refused(folder.path(), path, &before);
        }
    }

    #[test]
    fn what_lies_beyond_the_commit_is_void(
        file in any::<usize>(),
        garbage in proptest::collection::vec(any::<u8>(), 0..200),
        whole in any::<bool>(),
        how in 0..4,
    ) {
        let (folder, files) = committed();
        let before = rows(folder.path()).unwrap();
        let (path, bytes) = &files[file % files.len()];
        let partition = path.parent().unwrap();
        let mut behind = vec![0; if whole { 64 } else { 0 }];
        behind.extend(&garbage);
        if whole {
            frame::append(&mut behind, Millis(1 << 50), Some(b"k"), Some(b"{}"), 0).unwrap();
        }
        match how {
            0 => {
                let mut content = fs::read(path).unwrap();
                assert_eq!(content.len() as u64, *bytes);
                content.extend(&behind);
                fs::write(path, content).unwrap();
            }
            // A segment that was begun and not committed, or one that was let go.
            1 => fs::write(folder::segment(partition, 1 << 40), &behind).unwrap(),
            2 => fs::write(folder::compacted(partition, 0), &behind).unwrap(),
            _ => {
                let unused = folder.path().join("city.out.response/1");
                fs::write(folder::segment(&unused, 0), &behind).unwrap();
            }
        }
        is_accepted(folder.path(), &before);
        let left = folder::segments(partition).unwrap();
        prop_assert!(!left.contains(&(1 << 40)) && folder::all_compacted(partition).unwrap().is_empty());
    }

    #[test]
    fn of_the_two_files_that_say_what_is_committed_one_is_enough(copy in any::<bool>(), harm in harm()) {
        let (folder, files) = committed();
        let before = rows(folder.path()).unwrap();
        let mut names = ["city.out.commits", "city.out.commits.copy"];
        if copy {
            names.reverse();
        }
        let [one, other] = names.map(|name| folder.path().join(name));
        let bytes = fs::read(&one).unwrap();
        do_harm(harm, &one, &files);
        if matches!(harm, Harm::Exchange(_)) {
            // The segment is another, too.
            prop_assert!(open_sink(folder.path()).is_err());
            return Ok(());
        }
        prop_assert_eq!(&rows(folder.path()).unwrap(), &before);
        is_accepted(folder.path(), &before);
        // It was written again: now the other one may go.
        fs::remove_file(&other).unwrap();
        prop_assert_eq!(rows(folder.path()).unwrap().len(), before.len() + 3);
        // An older copy of one of them, put back.
        fs::write(&one, bytes).unwrap();
        drop(open_sink(folder.path()));
    }
}

#[test]
fn an_older_copy_of_what_is_committed_counts_for_nothing() {
    for name in ["city.out.commits", "city.out.commits.copy"] {
        let (folder, _) = committed();
        let path = folder.path().join(name);
        let older = fs::read(&path).unwrap();
        fill(&mut open_sink(folder.path()).unwrap(), 30, 35);
        let before = rows(folder.path()).unwrap();
        fs::write(&path, older).unwrap();
        assert_eq!(rows(folder.path()).unwrap(), before);
        open_sink(folder.path()).unwrap();
        assert_eq!(rows(folder.path()).unwrap(), before);
    }
}

#[test]
fn an_older_copy_of_a_partition_is_refused() {
    let (folder, _) = committed();
    let older = copy(folder.path());
    fill(&mut open_sink(folder.path()).unwrap(), 30, 60);
    let before = rows(folder.path()).unwrap();
    let partition = folder.path().join("city.out.notice/0");
    fs::remove_dir_all(&partition).unwrap();
    copy_into(&older.path().join("city.out.notice/0"), &partition);
    let error = open_sink(folder.path()).err().unwrap().to_string();
    assert!(error.contains(partition.to_str().unwrap()), "{error}");
    accept(folder.path());
    let left = rows(folder.path()).unwrap();
    assert!(left.iter().all(|row| before.contains(row)));
    assert!(left.len() < before.len());
}

#[test]
fn a_partition_or_topic_that_is_gone_is_refused_by_name() {
    for gone in ["city.out.notice", "city.out.notice/0", "city.out.risk.asset/1"] {
        let (folder, _) = committed();
        let before = rows(folder.path()).unwrap();
        let path = folder.path().join(gone);
        fs::remove_dir_all(&path).unwrap();
        let error = open_sink(folder.path()).err().unwrap().to_string();
        assert!(
            error.contains(path.to_str().unwrap()) && error.contains("it is gone"),
            "{error}"
        );
        is_refused(folder.path(), &path, &before);
    }
}

#[test]
fn without_both_files_nobody_knows_what_is_committed() {
    type Harm = fn(&Path);
    let harms: [Harm; 3] = [
        |path| fs::remove_file(path).unwrap(),
        |path| fs::write(path, b"").unwrap(),
        |path| {
            let mut bytes = fs::read(path).unwrap();
            bytes[20] ^= 1;
            bytes[(64 << 10) + 20] ^= 1;
            fs::write(path, bytes).unwrap();
        },
    ];
    for harm in harms {
        let (folder, _) = committed();
        let before = rows(folder.path()).unwrap();
        let files = ["city.out.commits", "city.out.commits.copy"].map(|name| folder.path().join(name));
        files.iter().for_each(|path| harm(path));
        assert!(
            matches!(rows(folder.path()), Err(SourceError::Log(LogError::CommitsLost { .. }))),
            "readers are told, too"
        );
        is_refused(folder.path(), &files[0], &before);
        assert!(
            rows(folder.path()).unwrap().starts_with(&before[..1]),
            "whole records count"
        );
    }
}

/// Nothing was ever committed, so nothing is lost.
#[test]
fn a_start_that_crashed_is_no_loss() {
    let folder = a_folder();
    drop(open_sink(folder.path()).unwrap());
    for name in ["city.out.commits", "city.out.commits.copy"] {
        fs::write(folder.path().join(name), b"torn").unwrap();
    }
    assert_eq!(rows(folder.path()).unwrap(), []);
    let mut sink = open_sink(folder.path()).unwrap();
    fill(&mut sink, 0, 1);
    assert_eq!(rows(folder.path()).unwrap().len(), 3);
}

#[test]
fn what_is_removed_while_the_job_runs_is_noticed_and_what_says_so_is_written_again() {
    let (folder, files) = committed();
    let commits = folder.path().join("city.out.commits");
    let mut sink = open_sink(folder.path()).unwrap();
    for name in ["city.out.commits", "city.out.commits.copy"] {
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    fill(&mut sink, 30, 31);
    drop(sink);
    fs::remove_file(folder.path().join("city.out.commits.copy")).unwrap();
    let mut sink = open_sink(folder.path()).unwrap();
    assert!(commits.exists());

    // The open segment of a partition that is written to.
    let open = files
        .iter()
        .rfind(|(path, _)| path.to_str().unwrap().contains("out.notice/0"))
        .unwrap();
    let bytes = fs::read(&open.0).unwrap();
    fs::remove_file(&open.0).unwrap();
    let records: Vec<OutRecord> = (0..9).map(|n| record(Topic::NOTICE, n, "x")).collect();
    let error = sink.commit(&[epoch(50, records.clone())]).unwrap_err();
    assert_eq!(error.retry(), Retry::Never);
    let said = format!("{error}: {}", std::error::Error::source(&error).unwrap());
    assert!(
        said.contains(open.0.to_str().unwrap()) && said.contains("was removed"),
        "{said}"
    );
    drop(sink);
    fs::write(&open.0, bytes).unwrap();

    // One that nothing is written to: within as many commits as there are partitions.
    let mut sink = open_sink(folder.path()).unwrap();
    fs::remove_dir_all(folder.path().join("city.out.notice")).unwrap();
    let mut write = || sink.commit(&[epoch(60, vec![record(Topic::RISK_ASSET, 1, "x")])]);
    let partitions = Topic::outputs().count() * 2;
    assert!((0..=partitions).any(|_| write().is_err()));
}

#[test]
fn a_second_sink_is_refused_whatever_files_are_cleaned_up() {
    let (folder, _) = committed();
    let sink = open_sink(folder.path()).unwrap();
    for name in ["city.out.commits", "city.out.commits.copy"] {
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    assert!(matches!(open_sink(folder.path()), Err(LogError::Locked { .. })));
    drop(sink);
}

/// As the release before wrote it: ends only, no copy, lock files, and segments of partitions without records.
fn by_the_release_before(folder: &Path) -> Vec<Row> {
    fill(&mut open_sink(folder).unwrap(), 0, 30);
    let before = rows(folder).unwrap();
    let mut ends = Offsets::default();
    before.iter().for_each(|row| ends.advance(row.0, row.1, row.2 + 1));
    for topic in Topic::outputs() {
        for partition in 0..2u16 {
            ends.advance(topic, partition, 0);
            let partition = folder.join(settings().name(topic)).join(partition.to_string());
            fs::write(partition.join("lock"), b"").unwrap();
            if folder::segments(&partition).unwrap().is_empty() {
                fs::write(folder::segment(&partition, 0), b"").unwrap();
            }
        }
    }
    fs::remove_file(folder.join("city.out.commits.copy")).unwrap();
    let mut content = Vec::new();
    riskflow_model::binary::append(&mut content, &ends).unwrap();
    let number = 7u64;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(&content);
    let mut bytes = vec![0; 64 << 10];
    bytes.extend(number.to_le_bytes());
    bytes.extend((content.len() as u32).to_le_bytes());
    bytes.extend(hasher.finalize().to_le_bytes());
    bytes.extend(content);
    fs::write(folder.join("city.out.commits"), bytes).unwrap();
    before
}

#[test]
fn the_release_before_reads_what_is_committed() {
    let (folder, _) = committed();
    let before = rows(folder.path()).unwrap();
    let bytes = fs::read(folder.path().join("city.out.commits")).unwrap();
    let newest = if bytes[0] > bytes[64 << 10] { 0 } else { 64 << 10 };
    let length = u32::from_le_bytes(bytes[newest + 8..newest + 12].try_into().unwrap()) as usize;
    let ends: Offsets = riskflow_model::binary::read(&bytes[newest + 16..][..length]).unwrap();
    assert_eq!(ends.iter().map(|(_, _, next)| next).sum::<u64>(), before.len() as u64);
}

#[test]
fn a_log_of_the_release_before_opens_and_is_guarded_from_then_on() {
    let folder = a_folder();
    let before = by_the_release_before(folder.path());
    assert_eq!(rows(folder.path()).unwrap(), before);
    let path = folder.path().join("city.out.notice/0");
    let last = folder::segment(&path, *folder::segments(&path).unwrap().last().unwrap());
    // What it did not commit.
    let bytes = fs::read(&last).unwrap();
    fs::write(&last, [&bytes[..], &[0; 100], &bytes[..]].concat()).unwrap();
    drop(open_sink(folder.path()).unwrap());
    assert_eq!(rows(folder.path()).unwrap(), before);
    fs::write(&last, &bytes[..bytes.len() - 1]).unwrap();
    is_refused(folder.path(), &last, &before);
}

#[test]
fn a_log_of_the_release_before_that_lost_records_is_refused() {
    let folder = a_folder();
    let before = by_the_release_before(folder.path());
    let path = folder.path().join("city.out.notice/0");
    let last = folder::segment(&path, *folder::segments(&path).unwrap().last().unwrap());
    let bytes = fs::read(&last).unwrap();
    fs::write(&last, &bytes[..bytes.len() - 1]).unwrap();
    let error = open_sink(folder.path()).err().unwrap().to_string();
    assert!(error.contains(last.to_str().unwrap()), "{error}");
    assert!(!accept(folder.path()).is_empty());
    let left = rows(folder.path()).unwrap();
    assert_eq!(left.len(), before.len() - 1);
    fill(&mut open_sink(folder.path()).unwrap(), 30, 31);
}

#[test]
fn more_partitions_than_a_place_of_the_file_holds() {
    let folder = a_folder();
    let settings = TopicSettings {
        partitions: 700,
        ..settings()
    };
    let open = || LogSink::open_with(folder.path(), &settings, sizes(LIMIT), &mut Loss::Refuse).unwrap();
    let records: Vec<OutRecord> = (0..2_000).map(|n| record(Topic::NOTICE, n, "x")).collect();
    open().commit(&[epoch(1, records)]).unwrap();
    let file = folder.path().join("city.out.commits");
    let mut size = file.metadata().unwrap().len();
    for n in 2..6 {
        let topics = [
            Topic::WARNING_DELTA,
            Topic::CASE_DELTA,
            Topic::RISK_ASSET,
            Topic::RISK_REGION,
        ];
        let topic = topics[n as usize % 4];
        let records: Vec<OutRecord> = (0..2_000).map(|n| record(topic, n, "x")).collect();
        open().commit(&[epoch(n, records)]).unwrap();
        size = size.max(file.metadata().unwrap().len());
    }
    assert!(size > 128 << 10, "the places grew");
    drop(open());
}
