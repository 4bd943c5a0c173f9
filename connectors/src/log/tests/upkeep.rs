//! What goes of a log, and what must not.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use riskflow_model::progress::Progress;

use super::*;
use crate::log::guard::Loss;
use crate::log::reader::LOOK_EVERY;
use crate::log::tidy::{Covered, Tidy};

const LIMIT: u64 = 300;
const RETENTION: i64 = 50;

fn settings() -> TopicSettings {
    TopicSettings {
        partitions: 2,
        exercise: false,
        forced: false,
        tidy: riskflow_config::Tidy {
            outputs: Some(RETENTION),
            inputs: Some(RETENTION),
        },
        ..super::settings()
    }
}

fn open_sink(folder: &Path) -> LogSink {
    LogSink::open_with(folder, &settings(), sizes(LIMIT), &mut Loss::Refuse).unwrap()
}

fn source(folder: &Path, topic: Topic, until: Until) -> LogSource {
    let beginning = Offsets::default();
    let span = (Share::WHOLE, Span::new(until, &beginning));
    LogSource::open_with(folder, &settings(), &[topic], span, sizes(LIMIT)).unwrap()
}

type Table = BTreeMap<String, Vec<u8>>;

fn apply(table: &mut Table, key: String, payload: Option<Vec<u8>>) {
    match payload {
        Some(payload) => table.insert(key, payload),
        None => table.remove(&key),
    };
}

/// A reader that keeps a table up to date.
struct Follower {
    source: LogSource,
    table: Table,
    offsets: BTreeMap<u16, u64>,
}

impl Follower {
    fn of(source: LogSource) -> Self {
        Self {
            source,
            table: Table::new(),
            offsets: BTreeMap::new(),
        }
    }

    fn follow(&mut self, most: usize) {
        let (table, offsets) = (&mut self.table, &mut self.offsets);
        self.source
            .poll(most, &mut |record| {
                let before = offsets.insert(record.partition, record.offset);
                assert!(before < Some(record.offset), "offsets rise");
                let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
                apply(table, key, record.payload.map(<[u8]>::to_vec));
                Verdict::Taken
            })
            .unwrap();
    }
}

fn bytes_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| match entry.path() {
            path if path.is_dir() => bytes_of(&path),
            path => path.metadata().unwrap().len(),
        })
        .sum()
}

/// One step of the history of a table.
#[derive(Clone, Debug)]
enum Step {
    /// Rows of a commit: key, and what is written of it.
    Commit(Vec<(u8, Option<u8>)>),
    /// A follower reads so many records.
    Follow(usize, usize),
    Compacted,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let row = (0u8..12, proptest::option::weighted(0.8, any::<u8>()));
    prop_oneof![
        8 => proptest::collection::vec(row, 1..8).prop_map(Step::Commit),
        3 => (0usize..2, 1usize..20).prop_map(|(who, most)| Step::Follow(who, most)),
        4 => Just(Step::Compacted),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// However often a table is compacted, whoever reads it, from the beginning or on and on, has the rows that stand.
    #[test]
    fn a_compacted_table_has_the_rows_that_stand(steps in proptest::collection::vec(step(), 20..120)) {
        let folder = a_folder();
        let mut sink = open_sink(folder.path());
        let mut followers: Vec<Follower> =
            (0..2).map(|_| Follower::of(source(folder.path(), Topic::RISK_ASSET, Until::Forever))).collect();
        let mut table = Table::new();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Commit(rows) => {
                    now += 1;
                    let records = rows.iter().map(|(key, value)| OutRecord {
                        topic: Topic::RISK_ASSET,
                        key: format!("asset {key}"),
                        payload: value.map(|value| vec![value; 40]),
                    });
                    let records: Vec<OutRecord> = records.collect();
                    for record in &records {
                        apply(&mut table, record.key.clone(), record.payload.clone());
                    }
                    sink.commit(&[epoch(now, records)]).unwrap();
                }
                Step::Follow(who, most) => followers[who].follow(most),
                Step::Compacted => sink.finish_compaction(),
                Step::Reopen => {
                    drop(sink);
                    sink = open_sink(folder.path());
                }
            }
        }
        for follower in &mut followers {
            // So often must one that waits ask until files are looked for.
            for _ in 0..=LOOK_EVERY {
                follower.follow(usize::MAX);
            }
            prop_assert_eq!(&follower.table, &table, "a reader that follows");
        }
        let mut late = Follower::of(source(folder.path(), Topic::RISK_ASSET, Until::End));
        late.follow(usize::MAX);
        prop_assert_eq!(&late.table, &table, "a reader that comes later");
        drop(sink);
        drop(open_sink(folder.path()));
        let mut late = Follower::of(source(folder.path(), Topic::RISK_ASSET, Until::End));
        late.follow(usize::MAX);
        prop_assert_eq!(&late.table, &table, "after a start");
    }
}

fn row(key: u64, value: u64) -> OutRecord {
    OutRecord {
        topic: Topic::RISK_ASSET,
        key: format!("asset {key}"),
        payload: Some(format!("{{\"value\":{value:030}}}").into_bytes()),
    }
}

#[test]
fn a_table_takes_no_more_room_than_twice_its_rows_and_the_open_segments() {
    let folder = a_folder();
    let mut sink = open_sink(folder.path());
    for n in 0..600 {
        sink.commit(&[epoch(n, vec![row(n as u64 % 9, n as u64)])]).unwrap();
        sink.finish_compaction();
    }
    let bytes = bytes_of(&folder.path().join("city.out.risk.asset"));
    assert!(bytes < 9 * 80 * 2 + 2 * 3 * LIMIT, "{bytes} bytes");
}

/// The commit names what compaction made, and a crash comes before the file takes its place.
#[test]
fn a_crash_between_the_commit_and_the_exchange_is_made_up_for() {
    let folder = a_folder();
    let mut sink = open_sink(folder.path());
    let mut exchanged = 0;
    for n in 0..300 {
        sink.finish_compaction();
        let aside: Vec<(PathBuf, Vec<u8>)> = log_files(&folder.path().join("city.out.risk.asset"));
        let compacted: Vec<_> = aside.iter().filter(|(path, _)| is_compacted(path)).cloned().collect();
        sink.commit(&[epoch(n, vec![row(n as u64 % 9, n as u64)])]).unwrap();
        if compacted.is_empty() {
            continue;
        }
        exchanged += 1;
        let mut followed = Follower::of(source(folder.path(), Topic::RISK_ASSET, Until::End));
        followed.follow(usize::MAX);
        // Back to how it was before the exchange; what was committed since is appended elsewhere.
        drop(sink);
        for (path, bytes) in aside {
            let partition = path.parent().unwrap();
            let last = folder::segments(partition).unwrap().last().copied();
            let is_open = last.is_some_and(|last| path == folder::segment(partition, last));
            if !is_open {
                fs::write(&path, bytes).unwrap();
            }
        }
        sink = open_sink(folder.path());
        assert!(compacted.iter().all(|(path, _)| !path.exists()));
        let mut late = Follower::of(source(folder.path(), Topic::RISK_ASSET, Until::End));
        late.follow(usize::MAX);
        assert_eq!(late.table, followed.table);
    }
    assert!(exchanged > 3);
}

fn is_compacted(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "compacted")
}

fn log_files(topic: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let partitions = fs::read_dir(topic).unwrap().map(|entry| entry.unwrap().path());
    let files = partitions.flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn a_log_keeps_its_records_for_the_retention_and_not_much_longer() {
    let folder = a_folder();
    let mut sink = open_sink(folder.path());
    let mut followed = Follower::of(source(folder.path(), Topic::NOTICE, Until::Forever));
    for n in 0..500 {
        let notice = OutRecord {
            topic: Topic::NOTICE,
            ..row(n, n)
        };
        sink.commit(&[epoch(n as i64, vec![notice])]).unwrap();
        followed.follow(usize::MAX);
        let mut there = Vec::new();
        let mut late = source(folder.path(), Topic::NOTICE, Until::End);
        late.poll(usize::MAX, &mut |record| {
            there.push(record.arrival.unwrap().0);
            Verdict::Taken
        })
        .unwrap();
        there.sort_unstable();
        let oldest = (n as i64 - RETENTION).max(0);
        assert!(
            (oldest..=n as i64).all(|epoch| there.contains(&epoch)),
            "{n}: {there:?}"
        );
        assert!(there.len() < RETENTION as usize + 40, "{n}: {} records", there.len());
    }
    assert_eq!(followed.table.len(), 500);
    // Nothing goes where nothing is said.
    let keeps = TopicSettings {
        exercise: false,
        forced: false,
        tidy: riskflow_config::Tidy::default(),
        ..settings()
    };
    drop(sink);
    let mut sink = LogSink::open_with(folder.path(), &keeps, sizes(LIMIT), &mut Loss::Refuse).unwrap();
    let before = bytes_of(&folder.path().join("city.out.notice"));
    sink.commit(&[epoch(100_000, vec![row(1, 1)])]).unwrap();
    assert_eq!(bytes_of(&folder.path().join("city.out.notice")), before);
}

#[test]
fn progress_goes_once_a_base_record_covers_it() {
    let folder = a_folder();
    let mut sink = open_sink(folder.path());
    let progress = |key: String, payload: Option<&str>| OutRecord {
        topic: Topic::PROGRESS,
        key,
        payload: payload.map(|text| text.as_bytes().to_vec()),
    };
    for n in 1..300i64 {
        let mut records = vec![progress(Progress::key(Millis(n)), Some("{\"some\":\"epoch\"}"))];
        if n % 20 == 0 {
            let covered = (n - 20..n).map(|epoch| progress(Progress::key(Millis(epoch)), None));
            records.extend(covered);
            records.push(progress(Progress::BASE.to_owned(), Some("{}")));
        }
        sink.commit(&[epoch(n, records)]).unwrap();
    }
    let bytes = bytes_of(&folder.path().join("city.out.progress"));
    assert!(bytes < 6_000, "{bytes} bytes");
    let mut late = Follower::of(source(folder.path(), Topic::PROGRESS, Until::End));
    late.follow(usize::MAX);
    assert_eq!(late.table.len(), 21);
}

const ASSET: &str = "city.base.asset";

fn asset(id: &str, population: u32) -> String {
    format!(
        r#"{{"id":"{id}","category":"tank","domain":"work_safety","region":"330902001001","inherent_level":3,"population":{population}}}"#
    )
}

fn tidy(folder: &Path, epoch: i64, offsets: Offsets) {
    let tidy = Tidy {
        folder: folder.to_owned(),
        settings: settings(),
        retention: RETENTION,
        stop: Arc::new(AtomicBool::new(false)),
    };
    let epoch = Millis(epoch);
    tidy.tidy(&Covered { epoch, offsets });
}

#[test]
fn an_input_keeps_what_a_recovery_asks_for_and_what_is_younger_than_its_retention() {
    let folder = a_folder();
    let name = "city.in.observation";
    let mut writer = LogWriter::open_with(folder.path(), name, 1, sizes(LIMIT)).unwrap();
    for n in 0..200 {
        writer.append(0, Millis(n), None, Some(&[b'x'; 30])).unwrap();
    }
    writer.sync().unwrap();
    let first = || folder::segments(&folder.path().join(name).join("0")).unwrap()[0];
    let covered = |next| {
        let mut offsets = Offsets::default();
        offsets.advance(Topic::IN_OBSERVATION, 0, next);
        offsets
    };
    tidy(folder.path(), 10_000, Offsets::default());
    assert_eq!(first(), 0, "nothing is covered");
    tidy(folder.path(), 10_000, covered(100));
    assert!((90..=100).contains(&first()), "the checkpoint covers 100: {}", first());
    tidy(folder.path(), 200, covered(200));
    assert!(
        (140..=150).contains(&first()),
        "those from 150 on are young: {}",
        first()
    );
    tidy(folder.path(), 10_000, covered(200));
    assert!(first() < 200, "the last segment stays");
    // Whoever reads on where the checkpoint is finds its records.
    let from = covered(150);
    let span = (Share::WHOLE, Span::new(Until::End, &from));
    let source = LogSource::open_with(folder.path(), &settings(), &[Topic::IN_OBSERVATION], span, sizes(LIMIT));
    assert_eq!(source.unwrap().lost().len(), usize::from(first() > 150));
}

#[test]
fn an_input_table_is_compacted_up_to_the_checkpoint_and_bad_records_change_nothing() {
    let folder = a_folder();
    let mut writer = LogWriter::open_with(folder.path(), ASSET, 1, sizes(600)).unwrap();
    for n in 0..60u32 {
        let id = format!("a{}", n % 4);
        let payload = match n {
            // It was refused: the row before it stands.
            21 => "{}".to_owned(),
            _ => asset(&id, n),
        };
        let payload = (n != 22).then(|| payload.into_bytes());
        writer
            .append(0, Millis(0), Some(id.as_bytes()), payload.as_deref())
            .unwrap();
    }
    writer.sync().unwrap();
    let partition = folder.path().join(ASSET).join("0");
    let mut follower = Follower::of(source(folder.path(), Topic::BASE_ASSET, Until::Forever));
    follower.follow(3);
    let before = bytes_of(&partition);
    let mut offsets = Offsets::default();
    offsets.advance(Topic::BASE_ASSET, 0, 24);
    tidy(folder.path(), 10_000, offsets);
    assert!(bytes_of(&partition) < before);
    let mut seen = Vec::new();
    let mut late = source(folder.path(), Topic::BASE_ASSET, Until::End);
    late.poll(usize::MAX, &mut |record| {
        seen.push(record.offset);
        Verdict::Taken
    })
    .unwrap();
    assert!(
        seen.contains(&17),
        "the row of a1 before the one that was refused: {seen:?}"
    );
    assert!(!seen.contains(&0), "{seen:?}");
    assert!(
        (24..60).all(|offset| seen.contains(&offset)),
        "a recovery asks for them: {seen:?}"
    );
    follower.follow(usize::MAX);
    let mut late = Follower::of(source(folder.path(), Topic::BASE_ASSET, Until::End));
    late.follow(usize::MAX);
    assert_eq!(follower.table, late.table);
    // A crash before the files went that the first now holds too.
    let again = folder::segments(&partition).unwrap();
    fs::write(folder::segment(&partition, 5), b"left over").unwrap();
    assert_eq!(folder::segments(&partition).unwrap().len(), again.len() + 1);
    let mut late = Follower::of(source(folder.path(), Topic::BASE_ASSET, Until::End));
    late.follow(usize::MAX);
    assert_eq!(follower.table, late.table);
}

#[test]
fn of_an_input_with_versions_the_highest_stays() {
    let folder = a_folder();
    let mut writer = LogWriter::open_with(folder.path(), "city.in.report", 1, sizes(400)).unwrap();
    for n in 0..40u32 {
        let version = if n == 3 { 100 } else { n + 1 };
        let report = format!(
            r#"{{"id":"r","version":{version},"module":"m","region":"330902001","kind":"damage","quantities":{{"houses":{n}}},"time":0}}"#
        );
        writer
            .append(0, Millis(0), Some(b"r"), Some(report.as_bytes()))
            .unwrap();
    }
    writer.sync().unwrap();
    let mut offsets = Offsets::default();
    offsets.advance(Topic::IN_REPORT, 0, 40);
    tidy(folder.path(), 10_000, offsets);
    let mut first = None;
    let mut late = source(folder.path(), Topic::IN_REPORT, Until::End);
    late.poll(usize::MAX, &mut |record| {
        first = first.or(Some(record.offset));
        Verdict::Taken
    })
    .unwrap();
    assert_eq!(first, Some(3));
}
