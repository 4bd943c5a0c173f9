//! What was read of an input and is not there any more is noticed: at the start, and while it is followed.

use super::*;
use crate::log::reader::LOOK_EVERY;

const LIMIT: u64 = 200;
const NAME: &str = "city.in.observation";
const TOPICS: &[Topic] = &[Topic::IN_OBSERVATION];

fn put(folder: &Path, partition: u16, from: u64, to: u64) {
    let mut writer = LogWriter::open_with(folder, NAME, 2, sizes(LIMIT)).unwrap();
    for n in from..to {
        let text = format!("{{\"partition\":{partition},\"number\":{n}}}");
        let arrival = Millis(n as i64);
        writer.append(partition, arrival, None, Some(text.as_bytes())).unwrap();
    }
    writer.sync().unwrap();
}

fn open_source(folder: &Path, from: &Offsets, known: &Offsets, handles: usize) -> Result<LogSource, SourceError> {
    let span = Span {
        until: Until::Forever,
        from,
        known: Some(known),
    };
    LogSource::open_with(
        folder,
        &settings(),
        TOPICS,
        (Share::WHOLE, span),
        (LIMIT, Handles::of(handles)),
    )
}

/// Takes so many records of each partition, and says how far it came.
fn take(source: &mut LogSource, count: u64) -> Offsets {
    let mut taken = Offsets::default();
    while source
        .poll(7, &mut |record| {
            if record.offset >= count {
                return Verdict::NotYet;
            }
            taken.advance(record.topic, record.partition, record.offset + 1);
            Verdict::Taken
        })
        .unwrap()
        == Polled::More
    {}
    let mut marked = Offsets::default();
    for (topic, partition, next) in taken.iter() {
        marked.advance_marked(topic, partition, next, source.mark(topic, partition));
    }
    marked
}

/// Twenty records in each of two partitions, of which some were read.
fn read_up_to(count: u64) -> (TempDir, Offsets) {
    let folder = a_folder();
    put(folder.path(), 0, 0, 20);
    put(folder.path(), 1, 0, 20);
    let nothing = Offsets::default();
    let mut source = super::inputs::open_source(folder.path(), &nothing, &nothing, 2).unwrap();
    let known = take(&mut source, count);
    assert_eq!(known.next(Topic::IN_OBSERVATION, 1), count);
    assert!(known.mark(Topic::IN_OBSERVATION, 1).is_some());
    (folder, known)
}

fn partition(folder: &Path, number: u16) -> PathBuf {
    folder.join(NAME).join(number.to_string())
}

/// The segment that holds a record.
fn holding(folder: &Path, number: u16, offset: u64) -> PathBuf {
    let partition = partition(folder, number);
    let segments = folder::segments(&partition).unwrap();
    folder::segment(&partition, *segments.iter().rfind(|first| **first <= offset).unwrap())
}

fn refused(folder: &Path, known: &Offsets) -> Option<String> {
    let from = Offsets::default();
    let by_checkpoint = super::inputs::open_source(folder, known, known, 2).err();
    let cold = super::inputs::open_source(folder, &from, known, 2).err();
    assert_eq!(by_checkpoint.is_some(), cold.is_some(), "{by_checkpoint:?} {cold:?}");
    Some(format!(
        "{}: {}",
        by_checkpoint.as_ref()?,
        std::error::Error::source(by_checkpoint.as_ref()?)?
    ))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// The last record that was read is what the mark is of; those before it are looked at by whoever reads them.
    #[test]
    fn the_last_record_that_was_read_is_there_as_it_was(count in 1u64..20, byte in any::<usize>(), bits in 1u8..) {
        let (folder, known) = read_up_to(count);
        prop_assert_eq!(refused(folder.path(), &known), None);
        let path = holding(folder.path(), 1, count - 1);
        let first: u64 = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        // All frames of it have equal lengths but for the digits.
        let ends = frame_ends(&bytes);
        let index = (count - 1 - first) as usize;
        let begin = if index == 0 { 0 } else { ends[index - 1] };
        let end = ends[index];
        bytes[begin + byte % (end - begin)] ^= bits;
        fs::write(&path, bytes).unwrap();
        let said = refused(folder.path(), &known).unwrap();
        prop_assert!(said.contains(path.to_str().unwrap()), "{}", said);
    }

    #[test]
    fn an_input_that_is_shorter_than_what_was_read_is_refused(count in 1u64..20, cut in any::<usize>()) {
        let (folder, known) = read_up_to(count);
        let path = holding(folder.path(), 0, count - 1);
        let first: u64 = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        let bytes = fs::read(&path).unwrap();
        let needed = frame_ends(&bytes)[(count - 1 - first) as usize];
        fs::write(&path, &bytes[..cut % needed]).unwrap();
        let said = refused(folder.path(), &known).unwrap();
        prop_assert!(said.contains(path.to_str().unwrap()) && said.contains("--start-anew"), "{}", said);
    }
}

fn frame_ends(bytes: &[u8]) -> Vec<usize> {
    let (mut at, mut ends) = (0, Vec::new());
    while at < bytes.len() {
        at += 8 + u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        ends.push(at);
    }
    ends
}

#[test]
fn an_input_that_is_gone_or_another_is_refused_by_name() {
    type Harm = fn(&Path) -> PathBuf;
    let harms: [Harm; 6] = [
        |folder| {
            fs::remove_dir_all(partition(folder, 1)).unwrap();
            partition(folder, 1)
        },
        |folder| {
            fs::remove_dir_all(partition(folder, 0)).unwrap();
            partition(folder, 0)
        },
        |folder| {
            for first in folder::segments(&partition(folder, 1)).unwrap() {
                fs::remove_file(folder::segment(&partition(folder, 1), first)).unwrap();
            }
            partition(folder, 1)
        },
        // Both partitions are there, each under the other's name.
        |folder| {
            let aside = folder.join("aside");
            fs::rename(partition(folder, 0), &aside).unwrap();
            fs::rename(partition(folder, 1), partition(folder, 0)).unwrap();
            fs::rename(aside, partition(folder, 1)).unwrap();
            partition(folder, 0)
        },
        // Made anew, and more came than was read.
        |folder| {
            fs::remove_dir_all(folder.join(NAME)).unwrap();
            for number in 0..2 {
                put(folder, number, 100, 130);
            }
            partition(folder, 0)
        },
        // The segment that holds the last record read is gone, and those behind it are not.
        |folder| {
            let path = holding(folder, 1, 9);
            fs::remove_file(&path).unwrap();
            partition(folder, 1)
        },
    ];
    for harm in harms {
        let (folder, known) = read_up_to(10);
        let named = harm(folder.path());
        let said = refused(folder.path(), &known).unwrap();
        assert!(said.contains(named.to_str().unwrap()), "{said}");
    }
}

#[test]
fn what_was_not_read_refuses_nothing() {
    let (folder, known) = read_up_to(10);
    let path = holding(folder.path(), 1, 19);
    let bytes = fs::read(&path).unwrap();
    // The end of the last record is another.
    let mut changed = bytes.clone();
    *changed.last_mut().unwrap() ^= 1;
    fs::write(&path, &changed).unwrap();
    assert_eq!(refused(folder.path(), &known), None);
    let mut source = super::inputs::open_source(folder.path(), &known, &known, 2).unwrap();
    assert_eq!(read(&mut source).unwrap().1.len(), 19, "the last one is not whole");
    // And another behind it: that is damage.
    fs::write(&path, [&changed[..], &bytes[..]].concat()).unwrap();
    assert!(matches!(
        read(&mut source),
        Err(SourceError::Log(LogError::Damaged { .. }))
    ));
}

/// A source that has read everything, and has nothing at hand.
fn following(handles: usize) -> (TempDir, LogSource) {
    let (folder, _) = read_up_to(10);
    let nothing = Offsets::default();
    let mut source = super::inputs::open_source(folder.path(), &nothing, &nothing, handles).unwrap();
    assert_eq!(read(&mut source).unwrap().1.len(), 40);
    (folder, source)
}

/// What it says within so many polls as an idle source looks around.
fn notices(source: &mut LogSource) -> Option<String> {
    (0..=LOOK_EVERY)
        .find_map(|_| read(source).err())
        .map(|error| match error {
            SourceError::Log(error) => error.to_string(),
            error => panic!("{error}"),
        })
}

#[test]
fn files_that_vanish_while_they_are_followed_are_noticed() {
    type Harm = fn(&Path);
    let harms: [(Harm, &str); 6] = [
        (|folder| fs::remove_dir_all(folder.join(NAME)).unwrap(), "was removed"),
        (|folder| fs::remove_file(holding(folder, 1, 19)).unwrap(), "was removed"),
        (
            |folder| fs::rename(folder.join(NAME), folder.join("elsewhere")).unwrap(),
            "was removed",
        ),
        (
            |folder| {
                fs::remove_dir_all(folder.join(NAME)).unwrap();
                put(folder, 0, 500, 530);
                put(folder, 1, 500, 530);
            },
            "was exchanged",
        ),
        (
            |folder| {
                let path = holding(folder, 0, 19);
                let bytes = fs::read(&path).unwrap();
                fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
            },
            "was cut",
        ),
        (
            |folder| {
                let [one, other] = [0, 1].map(|number| holding(folder, number, 19));
                let bytes = fs::read(&one).unwrap();
                fs::remove_file(&one).unwrap();
                fs::rename(&other, &one).unwrap();
                fs::write(&other, bytes).unwrap();
            },
            "was exchanged",
        ),
    ];
    for handles in [0, 1, 9] {
        for (number, (harm, expected)) in harms.into_iter().enumerate() {
            let (folder, mut source) = following(handles);
            harm(folder.path());
            let said = notices(&mut source).unwrap_or_else(|| panic!("{number}, {handles}: not that it {expected}"));
            assert!(said.contains(expected) && said.contains(NAME), "{handles}: {said}");
        }
    }
}

#[test]
fn an_empty_topic_that_vanishes_is_noticed() {
    let folder = a_folder();
    folder::make(&folder.path().join(NAME), 2).unwrap();
    let nothing = Offsets::default();
    let mut source = super::inputs::open_source(folder.path(), &nothing, &nothing, 2).unwrap();
    assert_eq!(notices(&mut source), None);
    fs::remove_dir_all(folder.path().join(NAME)).unwrap();
    assert!(notices(&mut source).unwrap().contains("was removed"));
}

#[test]
fn a_segment_that_vanishes_before_it_is_read_is_noticed() {
    for offset in [10, 19] {
        let (folder, _) = read_up_to(10);
        let nothing = Offsets::default();
        let mut source = super::inputs::open_source(folder.path(), &nothing, &nothing, 2).unwrap();
        take(&mut source, 3);
        let path = holding(folder.path(), 1, offset);
        assert_ne!(path, holding(folder.path(), 1, 3));
        fs::remove_file(&path).unwrap();
        let said = notices(&mut source).unwrap();
        assert!(said.contains(partition(folder.path(), 1).to_str().unwrap()), "{said}");
    }
}

#[test]
fn a_copy_with_the_same_records_is_followed_and_what_others_append_in_their_own_way_too() {
    for handles in [0, 9] {
        let (folder, mut source) = following(handles);
        let path = holding(folder.path(), 0, 19);
        let copy = path.with_extension("copy");
        fs::copy(&path, &copy).unwrap();
        fs::rename(&copy, &path).unwrap();
        assert_eq!(notices(&mut source), None);
        put(folder.path(), 0, 20, 22);
        assert_eq!(read(&mut source).unwrap().1.len(), 2);
        // A writer that begins a segment before the last one is full.
        let mut bytes = Vec::new();
        frame::append(&mut bytes, Millis(99), None, Some(b"{}"), 0).unwrap();
        fs::write(folder::segment(&partition(folder.path(), 0), 22), &bytes).unwrap();
        let seen: usize = (0..=LOOK_EVERY).map(|_| read(&mut source).unwrap().1.len()).sum();
        assert_eq!(seen, 1);
    }
}

#[test]
fn a_partition_that_is_added_while_a_topic_is_followed_is_noticed() {
    let (folder, mut source) = following(16);
    let number = fs::read_dir(folder.path().join(NAME)).unwrap().count();
    fs::create_dir(folder.path().join(NAME).join(number.to_string())).unwrap();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let said = loop {
        if let Some(said) = notices(&mut source) {
            break said;
        }
        assert!(std::time::Instant::now() < until, "it is not noticed");
    };
    assert!(said.contains("start the job again"), "{said}");
}
