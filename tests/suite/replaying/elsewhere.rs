//! Histories that nobody wrote, replayed in ways that nobody chose: wherever a replay goes to, what ran is as it was, notices above all, and
//! all of the replay is marked.
//!
//! `RISKFLOW_HISTORIES` says how many, one for 250 of the others; `RISKFLOW_SEED` runs a single one. A failure prints its seed.

use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use riskflow_model::Millis;
use riskflow_model::topic::Topic;
use riskflow_tests::history::Draw;
use riskflow_tests::kafka::Kafka;

use super::{Published, assert_same, live, new_rule, of_exercise, publish, published, replay, speed};
use crate::batch_equals_stream::histories;
use crate::chaos::place::{LogPlace, Place};
use crate::restart::after_a_storm_of_sets;

/// Each is a job that runs, is killed, and is replayed in every way: it takes as long as so many that are only calculated.
const AS_LONG_AS: u64 = 250;

/// Where a replay goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    Stdout,
    Ndjson,
    Csv,
    Parquet,
    Log,
    Kafka,
}

const ALL: [To; 6] = [To::Stdout, To::Ndjson, To::Csv, To::Parquet, To::Log, To::Kafka];

/// All that stands on all topics, those that the job keeps for itself too.
fn everything(place: &dyn Place) -> Vec<(Topic, u16, u64, String, Option<String>)> {
    let rows = Topic::inputs()
        .chain(Topic::outputs())
        .flat_map(|topic| place.all(topic));
    rows.map(|row| (row.topic, row.partition, row.offset, row.key, row.value))
        .collect()
}

/// Some flags that fit together. `times`: those of the epochs that ran.
fn flags(draw: &mut Draw, to: To, times: &[i64], rule: &str) -> Vec<String> {
    let mut flags = Vec::new();
    let mut add = |name: &str, value: &str| flags.extend([name.to_owned(), value.to_owned()]);
    let how = draw.below(5);
    match how {
        2 => add("--rules", rule),
        3 => add("--clock", "event-time"),
        _ => {}
    }
    // Far enough from each other that something lies between.
    let third = times.len() / 3;
    let (early, late) = (&times[..third], &times[2 * third..]);
    if draw.once_in(3) {
        add("--from", &Millis(*draw.pick(early)).to_string());
    }
    if draw.once_in(3) {
        add("--until", &Millis(*draw.pick(late)).to_string());
    }
    if draw.once_in(3) {
        add("--speed", "1000");
    }
    add("--set", &format!("cluster.workers={}", 1 + draw.below(3)));
    // The configured output is on Kafka where that is written to, and nothing ran there.
    if how < 2 && to != To::Kafka {
        flags.push("--as-ran".to_owned());
    }
    flags
}

/// The files of a folder with this ending.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .collect()
}

fn rows_of_csv(path: &Path) -> usize {
    let mut table = csv::Reader::from_path(path).unwrap();
    assert_eq!(table.headers().unwrap().get(3), Some("exercise"), "{}", path.display());
    let rows = table.records().map(|row| row.unwrap());
    rows.inspect(|row| assert_eq!(row.get(3), Some("true"), "{row:?}"))
        .count()
}

fn rows_of_parquet(path: &Path) -> usize {
    let table = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let rows = table.get_row_iter(None).unwrap().map(|row| row.unwrap());
    let is_marked = |row: &parquet::record::Row| {
        let mut columns = row.get_column_iter();
        columns.any(|(name, value)| name == "exercise" && *value == Field::Bool(true))
    };
    rows.inspect(|row| assert!(is_marked(row), "{row}")).count()
}

fn count(published: &Published) -> usize {
    published.values().map(Vec::len).sum()
}

/// How many records a replay wrote, each of which is marked. `kafka`: topics that nothing stands in.
fn replayed(place: &LogPlace, to: To, flags: &[String], kafka: Option<&Kafka>) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let with = |more: &[&str]| replay(place, &[&flags[..], more].concat());
    let out = at("out");
    match to {
        To::Stdout => {
            let mut lines = Published::new();
            publish(&mut lines, &String::from_utf8(with(&["--out", "-"]).stdout).unwrap());
            count(&lines)
        }
        To::Ndjson => {
            with(&["--out", &out]);
            count(&published(Path::new(&out)))
        }
        To::Csv => {
            with(&["--format", "csv", "--out", &out]);
            files(Path::new(&out), "csv").iter().map(|path| rows_of_csv(path)).sum()
        }
        To::Parquet => {
            with(&["--format", "parquet", "--out", &out]);
            let files = files(Path::new(&out), "parquet");
            files.iter().map(|path| rows_of_parquet(path)).sum()
        }
        To::Log => {
            with(&["--to-log", &out]);
            assert!(Path::new(&out).join("exercise").exists());
            count(&live(&LogPlace::at_output(folder, "out")))
        }
        To::Kafka => {
            let kafka = kafka.expect("a broker");
            let brokers = format!("kafka.brokers={:?}", kafka.brokers());
            let sets = ["--set", "output.kind=kafka", "--set", &brokers];
            let there = ["--prefix", kafka.prefix(), "--checkpoints", &out];
            with(&[sets, there].concat());
            count(&of_exercise(kafka))
        }
    }
}

/// One history, to everywhere; how many notices it had.
fn to_everywhere(seed: u64, kafka: Option<&Kafka>) -> usize {
    let (place, _checkpoints, _) = after_a_storm_of_sets(70 + seed);
    let (before, wanted) = (everything(&place), live(&place));
    assert!(
        before
            .iter()
            .flat_map(|row| &row.4)
            .all(|value| !value.contains("exercise"))
    );
    // All that ran, notices too, is in an exercise.
    let said = replay(&place, &["--as-ran", "--verify", "--out", "-"]);
    let mut again = Published::new();
    publish(&mut again, &String::from_utf8(said.stdout).unwrap());
    assert_same(&again, &wanted);

    let (mut draw, times) = (Draw::new(seed), speed::times(&place));
    let folder = tempfile::tempdir().unwrap();
    let rule = new_rule(folder.path());
    for to in ALL.into_iter().filter(|to| *to != To::Kafka || kafka.is_some()) {
        let flags = flags(&mut draw, to, &times, &rule);
        let topics = kafka.map(|kafka| kafka.with_prefix(&format!("{}{seed}.", kafka.prefix())));
        let records = replayed(&place, to, &flags, topics.as_ref());
        let about = || format!("RISKFLOW_SEED={seed}: {to:?} {flags:?}");
        assert!(records > 0, "{}: nothing was written", about());
        assert!(everything(&place) == before, "{}: a live topic is another one", about());
        assert!(!place.folder().join("exercise").exists(), "{}", about());
    }
    before.iter().filter(|row| row.0 == Topic::NOTICE).count()
}

#[test]
fn no_live_topic_ever_has_anything_of_an_exercise() {
    let kafka = Kafka::for_test("elsewhere");
    let histories = histories();
    let storms = (histories.end - histories.start).div_ceil(AS_LONG_AS);
    let seeds = histories.start..histories.start + storms;
    let notices: usize = seeds.map(|seed| to_everywhere(seed, kafka.as_ref())).sum();
    assert!(notices > 0, "nobody was told anything");
}
