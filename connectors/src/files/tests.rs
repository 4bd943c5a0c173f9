use std::fs;
use std::path::Path;

use proptest::prelude::*;
use riskflow_config::{FileFormat, FileInput, FilesOutput, InputRecord, OutputFormat, TopicSettings};
use riskflow_model::progress::Offsets;
use riskflow_model::topic::Topic;
use riskflow_model::{Key, Millis};

use super::fed::{Fed, Ready, feed_bytes};
use super::lines::Lines;
use super::split::SplitFile;
use super::*;
use crate::{EpochRecords, OutRecord, Polled, RawRecord, Share, Sink as _, Source, SourceError, Verdict, decode};

mod tables;
mod written;

#[derive(Clone, Debug, PartialEq)]
struct Owned {
    topic: Topic,
    partition: u16,
    offset: u64,
    arrival: Option<Millis>,
    key: Option<String>,
    payload: Option<String>,
}

fn owned(record: RawRecord<'_>) -> Owned {
    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    Owned {
        topic: record.topic,
        partition: record.partition,
        offset: record.offset,
        arrival: record.arrival,
        key: text(record.key),
        payload: text(record.payload),
    }
}

fn settings() -> TopicSettings {
    TopicSettings {
        prefix: "city.".to_owned(),
        partitions: 1,
        replication: 1,
        retention: 86_400_000,
        exercise: false,
        forced: false,
        tidy: riskflow_config::Tidy::default(),
    }
}

fn input(path: &Path, topic: Option<&str>, format: Option<FileFormat>) -> FileInput {
    FileInput {
        path: path.to_owned(),
        topic: topic.map(str::to_owned),
        format,
    }
}

fn read(files: &[FileInput], share: Share) -> Vec<Owned> {
    read_from(files, share, &Offsets::default())
}

fn read_from(files: &[FileInput], share: Share, from: &Offsets) -> Vec<Owned> {
    let topics: Vec<Topic> = Topic::inputs().collect();
    let source = FileSource::open(files, &settings(), &topics, share).unwrap();
    let mut source = source.beginning_with(from);
    let mut records = Vec::new();
    while source
        .poll(3, &mut |record| {
            records.push(owned(record));
            Verdict::Taken
        })
        .unwrap()
        != Polled::Ended
    {}
    assert!(source.caught_up());
    records
}

fn read_text(text: impl AsRef<[u8]>, name: &str, topic: Option<&str>, format: Option<FileFormat>) -> Vec<Owned> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    read(&[input(&path, topic, format)], Share::WHOLE)
}

#[test]
fn envelopes_that_are_called_rows_are_refused_with_what_to_give() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.ndjson");
    let envelope =
        "\u{feff}{\"topic\":\"in.rule\",\"key\":\"a\",\"value\":{\"id\":\"a\"},\"arrival\":\"2025-06-15T00:00:00Z\"}\n";
    fs::write(&path, envelope).unwrap();
    let open = |format| {
        let file = input(&path, Some("in.rule"), format);
        FileSource::open(&[file], &settings(), &[Topic::IN_RULE], Share::WHOLE)
    };
    let refused = open(None).err().unwrap().to_string();
    for part in ["rules.ndjson", "`riskflow tail --json`", "`format = \"envelope\"`"] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    assert!(open(Some(FileFormat::Envelope)).is_ok());
    // What has a field of that name is none.
    fs::write(&path, "{\"topic\":\"x\",\"id\":\"a\"}\n").unwrap();
    assert!(open(None).is_ok());
}

#[test]
fn lines_are_records_and_their_bytes_are_offsets() {
    let records = read_text(
        "\u{feff}{\"a\":1}\r\n\n  \n{\"b\":2}\nlast",
        "x.ndjson",
        Some("in.rule"),
        None,
    );
    let seen: Vec<(u64, &str)> = records
        .iter()
        .map(|r| (r.offset, r.payload.as_deref().unwrap()))
        .collect();
    assert_eq!(seen, [(0, "{\"a\":1}"), (16, "{\"b\":2}"), (24, "last")]);
    assert!(
        records
            .iter()
            .all(|r| r.topic == Topic::IN_RULE && r.arrival.is_none() && r.key.is_none())
    );
}

/// What an earlier run has taken is not offered once more, in whatever format, and by however many workers it is read.
#[test]
fn files_begin_with_the_offsets_that_they_are_given() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str, topic, format| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        input(&path, topic, format)
    };
    let envelopes = concat!(
        r#"{"topic":"base.asset","key":"a","value":{}}"#,
        "\n",
        r#"{"topic":"in.observation","key":"d","value":{}}"#,
        "\n",
        r#"{"topic":"base.asset","key":"b","value":{}}"#,
        "\n",
    );
    let table = "datastream,phenomenon_time\na,1\nb,2\nc,3\n";
    let files = [
        file("rules.ndjson", "{\"a\":1}\n{\"b\":2}\nlast", Some("in.rule"), None),
        file("table.csv", table, Some("in.observation"), None),
        file("all", envelopes, None, Some(FileFormat::Envelope)),
    ];
    let places = |records: &[Owned]| {
        let places = records.iter();
        let places = places.map(|record| (record.partition, record.topic.id(), record.offset));
        let mut places: Vec<(u16, u16, u64)> = places.collect();
        places.sort_unstable();
        places
    };
    let all = read(&files, Share::WHOLE);
    assert_eq!(all.len(), 9);
    for taken in 0..=all.len() {
        let mut from = Offsets::default();
        for record in &all[..taken] {
            from.advance(record.topic, record.partition, record.offset + 1);
        }
        let left = places(&all[taken..]);
        assert_eq!(places(&read_from(&files, Share::WHOLE, &from)), left, "{from:?}");
        let of_two = [0, 1].map(|index| read_from(&files, Share { index, peers: 2 }, &from));
        assert_eq!(places(&of_two.concat()), left, "{from:?}");
    }
}

#[test]
fn a_record_not_taken_is_offered_again() {
    for name in ["x.ndjson", "x.csv"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, "datastream,phenomenon_time\na,b\n").unwrap();
        let files = [input(&path, Some("in.observation"), None)];
        let mut source = FileSource::open(&files, &settings(), &[Topic::IN_OBSERVATION], Share::WHOLE).unwrap();
        for _ in 0..2 {
            let mut offered = 0;
            let polled = source.poll(9, &mut |_| {
                offered += 1;
                Verdict::NotYet
            });
            assert_eq!((polled.unwrap(), offered), (Polled::Blocked, 1), "{name}");
        }
        assert!(!source.caught_up());
    }
}

/// A pipe under the name of a file, into which a thread writes.
fn piped(folder: &Path, name: &str, bytes: Vec<u8>) -> std::path::PathBuf {
    let path = folder.join(name);
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    let pipe = path.clone();
    std::thread::spawn(move || fs::write(pipe, bytes).unwrap());
    path
}

#[test]
fn what_is_no_regular_file_is_read_as_it_comes_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let lines = "{\"a\":1}\n{\"b\":2}\n";
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let zstd = zstd::encode_all(lines.as_bytes(), 1).unwrap();
    let payloads =
        |records: Vec<Owned>| -> Vec<String> { records.into_iter().map(|record| record.payload.unwrap()).collect() };
    for (name, bytes) in [("plain", lines.into()), ("packed", gzip(lines)), ("zst", zstd)] {
        for (pipe, share) in [
            (true, Share::WHOLE),
            (false, Share::WHOLE),
            (true, Share { index: 1, peers: 2 }),
        ] {
            let name = format!("{name}-{pipe}-{}", share.peers);
            let path = if pipe {
                piped(folder.path(), &name, bytes.clone())
            } else {
                fs::write(folder.path().join(&name), &bytes).unwrap();
                folder.path().join(&name)
            };
            // Of two workers the second has the second file.
            let other = input(Path::new("/dev/null"), Some("in.rule"), None);
            let files = [other, input(&path, Some("in.rule"), None)];
            assert_eq!(payloads(read(&files, share)), ["{\"a\":1}", "{\"b\":2}"], "{name}");
            if !pipe {
                continue;
            }
            let nobody = Share { index: 0, peers: 2 };
            assert_eq!(
                payloads(read(&files, nobody)),
                [""; 0],
                "the other worker does not even open it"
            );
        }
    }
    let path = piped(folder.path(), "table", gzip("id,version,select,levels\na,1,{},{}\n"));
    let records = read(&[input(&path, Some("in.rule"), Some(FileFormat::Csv))], Share::WHOLE);
    assert_eq!(
        records[0].payload.as_deref(),
        Some(r#"{"id":"a","version":1,"select":{},"levels":{}}"#)
    );
}

#[test]
fn envelopes_from_a_pipe_are_read_by_one_source_whatever_their_topic() {
    let folder = tempfile::tempdir().unwrap();
    let lines = concat!(
        r#"{"topic":"base.asset","key":"a","value":{}}"#,
        "\n",
        r#"{"topic":"in.observation","key":"d","value":{}}"#,
        "\n",
    );
    let path = piped(folder.path(), "pipe", lines.into());
    let files = [input(&path, None, Some(FileFormat::Envelope))];
    let (base, others): (Vec<Topic>, Vec<Topic>) = Topic::inputs().partition(|topic| topic.is_input_table());
    let mut topics = Vec::new();
    for wanted in [base, others] {
        let mut source = FileSource::open(&files, &settings(), &wanted, Share::WHOLE).unwrap();
        while source
            .poll(9, &mut |record| {
                topics.push(record.topic);
                Verdict::Taken
            })
            .unwrap()
            != Polled::Ended
        {}
    }
    assert_eq!(topics, [Topic::BASE_ASSET, Topic::IN_OBSERVATION]);
}

/// A job reads tables and logs by two sources, which both open the file.
#[test]
fn a_line_that_is_no_envelope_is_offered_by_one_source_once() {
    let folder = tempfile::tempdir().unwrap();
    let lines = concat!(
        r#"{"topic":"base.asset","key":"a","value":{}}"#,
        "\n",
        r#"{"topic":"in.observation","key":"d","val"#,
        "\n",
        r#"{"any":"object"}"#,
        "\n",
        r#"{"topic":"in.unknown","value":{}}"#,
        "\n",
        r#"{"topic":"in.observation","key":"d","value":{}}"#,
        "\n",
    );
    let path = folder.path().join("all.ndjson");
    fs::write(&path, lines).unwrap();
    let (base, others): (Vec<Topic>, Vec<Topic>) = Topic::inputs().partition(|topic| topic.is_input_table());
    for topic in [None, Some("base.asset")] {
        let files = [input(&path, topic, Some(FileFormat::Envelope))];
        for peers in [1, 2] {
            let mut offsets = Vec::new();
            for wanted in [&base, &others] {
                for index in 0..peers {
                    let share = Share { index, peers };
                    let mut source = FileSource::open(&files, &settings(), wanted, share).unwrap();
                    let mut take = |record: RawRecord<'_>| {
                        offsets.push(record.offset);
                        Verdict::Taken
                    };
                    while source.poll(9, &mut take).unwrap() != Polled::Ended {}
                }
            }
            offsets.sort_unstable();
            let begins = lines.match_indices('\n').map(|(end, _)| end as u64 + 1);
            let mut wanted: Vec<u64> = [0].into_iter().chain(begins).collect();
            wanted.pop();
            assert_eq!(offsets, wanted, "{topic:?}, {peers} workers");
        }
    }
}

#[test]
fn a_folder_and_compressed_bytes_that_end_early_are_errors_with_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let open = |path: &Path| {
        let files = [input(path, Some("in.rule"), None)];
        FileSource::open(&files, &settings(), &[Topic::IN_RULE], Share::WHOLE)
    };
    assert!(open(folder.path()).is_err_and(|error| error.to_string().contains(folder.path().to_str().unwrap())));
    let cut = folder.path().join("cut.gz");
    fs::write(&cut, [0x1f, 0x8b, 8, 0]).unwrap();
    let said = open(&cut).unwrap().poll(9, &mut |_| Verdict::Taken).unwrap_err();
    assert!(said.to_string().contains("cut.gz"), "{said}");
}

#[test]
fn envelopes_give_topic_key_and_arrival_and_what_is_none_is_not_lost() {
    let lines = concat!(
        r#"{"topic":"city.in.rule","key":"r","value":{"id":"r"},"arrival":1627187400000}"#,
        "\n",
        r#"{"topic":"base.asset","key":"a","value":null}"#,
        "\n",
        r#"{"topic":"out.risk.asset","key":"a","value":{}}"#,
        "\n",
        r#"{"topic":"in.unknown","value":{}}"#,
        "\n",
        "{\"topic\":",
        "\n",
    );
    let records = read_text(lines, "x", None, Some(FileFormat::Envelope));
    assert_eq!(records.len(), 4);
    let first = &records[0];
    assert_eq!(
        (first.topic, first.arrival, first.key.as_deref()),
        (Topic::IN_RULE, Some(Millis(1_627_187_400_000)), Some("r"))
    );
    assert_eq!(first.payload.as_deref(), Some(r#"{"id":"r"}"#));
    assert_eq!((records[1].topic, &records[1].payload), (Topic::BASE_ASSET, &None));
    for (record, line) in records[2..].iter().zip(lines.lines().skip(3)) {
        assert_eq!(
            (record.topic, record.payload.as_deref()),
            (Topic::IN_OBSERVATION, Some(line))
        );
        let payload = record.payload.as_ref().map(String::as_bytes);
        let raw = RawRecord {
            topic: record.topic,
            partition: 0,
            offset: 0,
            arrival: None,
            exercise: false,
            key: None,
            payload,
        };
        assert!(decode(&raw).is_err());
    }
}

#[test]
fn settings_that_make_no_sense_are_named() {
    let open = |file| {
        FileSource::open(&[file], &settings(), &[Topic::IN_OBSERVATION], Share::WHOLE)
            .err()
            .unwrap()
    };
    let missing = open(input(Path::new("x.ndjson"), None, None));
    assert!(
        missing
            .to_string()
            .starts_with("input file x.ndjson: `topic` is missing; give"),
        "{missing}"
    );
    let unknown = open(input(Path::new("x.ndjson"), Some("in.obs"), None));
    assert!(unknown.to_string().contains("`topic` is `in.obs`"), "{unknown}");
    let absent = open(input(Path::new("/nowhere/x.csv"), Some("in.observation"), None));
    assert!(matches!(absent, SourceError::File { .. }));
}

#[test]
fn a_line_without_end_is_cut_and_the_next_is_found() {
    let mut lines = Lines::with_longest(0, false, 10);
    let mut seen = Vec::new();
    for piece in ["abc\n0123456789", "0123456789\nde", "f\n0123456789\nend"] {
        lines.push(piece.as_bytes());
        while let Some(line) = lines.head() {
            seen.push((line.begin, String::from_utf8(line.text.to_vec()).unwrap()));
            lines.advance();
        }
    }
    lines.finish();
    seen.extend(
        lines
            .head()
            .map(|line| (line.begin, String::from_utf8(line.text.to_vec()).unwrap())),
    );
    let seen: Vec<(u64, &str)> = seen.iter().map(|(begin, text)| (*begin, text.as_str())).collect();
    assert_eq!(
        seen,
        [
            (0, "abc"),
            (4, "0123456789"),
            (25, "def"),
            (29, "0123456789"),
            (40, "end")
        ]
    );
}

#[test]
fn a_pipe_has_nothing_at_hand_until_its_writer_writes() {
    let (go, wait) = std::sync::mpsc::channel();
    let mut fed = Fed::start("test", move |feed| {
        for piece in wait {
            feed_bytes(piece, &feed);
        }
    })
    .unwrap();
    assert_eq!(fed.prepare(false).unwrap(), Ready::Nothing);
    go.send(b"one\ntw".as_slice()).unwrap();
    assert_eq!(fed.prepare(true).unwrap(), Ready::Line);
    fed.advance();
    assert_eq!(fed.prepare(false).unwrap(), Ready::Nothing);
    go.send(b"o").unwrap();
    drop(go);
    assert_eq!(fed.prepare(true).unwrap(), Ready::Line);
    assert_eq!(fed.head().unwrap().text, b"two");
    fed.advance();
    assert_eq!(fed.prepare(false).unwrap(), Ready::End);
}

fn out(key: &str, payload: Option<&str>) -> OutRecord {
    OutRecord {
        topic: Topic::NOTICE,
        key: key.to_owned(),
        payload: payload.map(|text| text.as_bytes().to_vec()),
    }
}

fn epoch(epoch: i64, records: Vec<OutRecord>) -> EpochRecords {
    EpochRecords {
        epoch: Millis(epoch),
        records,
    }
}

#[test]
fn the_sink_writes_what_the_source_reads_and_leaves_another_run_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.notice.ndjson");
    let output = FilesOutput {
        folder: folder.path().to_owned(),
        format: OutputFormat::Ndjson,
    };
    let mut sink = open_sink(&output, false).unwrap();
    let records = vec![out("a\"", Some("{\n\"x\": [1]}")), out("b", None)];
    sink.commit(&[epoch(7, records)]).unwrap();
    let line = "{\"topic\":\"out.notice\",\"key\":\"b\",\"value\":null,\"arrival\":\"1970-01-01T00:00:00.007Z\"}\n";
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.ends_with(line));
    sink.commit(&[epoch(8, vec![out("c", Some("{}"))])]).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3);
    drop(sink);
    let said = open_sink(&output, false).err().unwrap().to_string();
    assert!(
        said.contains(path.to_str().unwrap()) && said.contains("`output.path`"),
        "{said}"
    );
    // A file of ours that nothing was written to, and one of somebody else.
    fs::write(&path, "").unwrap();
    fs::write(folder.path().join("notes.ndjson"), "mine").unwrap();
    drop(open_sink(&output, false).unwrap());
    let input_lines = text.replace("out.notice", "in.rule");
    let records = read_text(input_lines, "x", None, Some(FileFormat::Envelope));
    assert_eq!(
        (records[0].key.as_deref(), records[0].payload.as_deref()),
        (Some("a\""), Some("{ \"x\": [1]}"))
    );
    assert_eq!((records[1].arrival, &records[1].payload), (Some(Millis(7)), &None));
}

#[test]
fn a_file_of_many_blocks_is_read_once_by_its_workers_together() {
    let line = |n: usize| format!("{{\"datastream\":\"s{n}\",\"phenomenon_time\":1627171{n:06},\"result\":1.25}}\n");
    let text: String = (0..20_000).map(line).collect();
    assert!(text.len() as u64 > 4 * super::split::BLOCK_BYTES);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.ndjson");
    fs::write(&path, &text).unwrap();
    let files = [input(&path, Some("in.observation"), None)];
    let mut records: Vec<Owned> = Vec::new();
    for index in 0..3 {
        let part = read(&files, Share { index, peers: 3 });
        assert!(!part.is_empty());
        records.extend(part);
    }
    records.sort_by_key(|record| record.offset);
    assert_eq!(records, read(&files, Share::WHOLE));
    assert_eq!(records.len(), 20_000);
    let last = records[19_999].payload.as_ref().unwrap().as_bytes();
    let raw = RawRecord {
        topic: Topic::IN_OBSERVATION,
        partition: 0,
        offset: 0,
        arrival: None,
        exercise: false,
        key: None,
        payload: Some(last),
    };
    let InputRecord::Observation(observation) = decode(&raw).unwrap() else {
        panic!("no observation")
    };
    assert_eq!(observation.datastream, Key::of("s19999"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Any number of workers over blocks of any size read each line once, at the byte where it begins.
    #[test]
    fn blocks_share_lines_without_gap_or_overlap(
        text in "([a-c]{0,12}\r?\n?){0,40}",
        peers in 1usize..5,
        block_bytes in 1u64..30,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, &text).unwrap();
        let mut seen: Vec<(u64, String)> = Vec::new();
        for first in 0..peers {
            let mut split = SplitFile::new(fs::File::open(&path).unwrap(), first, peers, block_bytes).unwrap();
            let mut last = None;
            while split.prepare().unwrap() {
                let line = split.head().unwrap();
                prop_assert!(last < Some(line.begin));
                last = Some(line.begin);
                seen.push((line.begin, String::from_utf8(line.text.to_vec()).unwrap()));
                split.advance();
            }
        }
        seen.sort();
        let mut expected = Vec::new();
        let mut begin = 0;
        for line in text.split_inclusive('\n') {
            // Only the end of a line that is there takes a carriage return with it.
            let content = line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line));
            if !content.trim_ascii().is_empty() {
                expected.push((begin, content.to_owned()));
            }
            begin += line.len() as u64;
        }
        prop_assert_eq!(seen, expected);
    }
}
