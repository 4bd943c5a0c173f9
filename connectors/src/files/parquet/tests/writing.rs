//! What the sink writes: read by ourselves, and beside CSV.

use std::collections::BTreeMap;

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use proptest::prelude::*;
use riskflow_config::{FilesOutput, OutputFormat};
use riskflow_model::Millis;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::super::sink::ParquetSink;
use super::*;
use crate::files::flat::{Flat, Sort};
use crate::files::open_sink;
use crate::{EpochRecords, OutRecord, Retry, Sink as _, SinkError};

fn output(folder: &Path, format: OutputFormat) -> FilesOutput {
    FilesOutput {
        folder: folder.to_owned(),
        format,
    }
}

fn record(topic: Topic, key: &str, payload: Option<&Value>) -> OutRecord {
    OutRecord {
        topic,
        key: key.to_owned(),
        payload: payload.map(|payload| payload.to_string().into_bytes()),
    }
}

fn total(count: i64) -> Value {
    json!({
        "region": "330902", "module": "m", "kind": "k", "quantity": "houses", "total": count as f64 / 10.0, "reports": count,
        "epoch": Millis(count).to_string(),
    })
}

/// `count` epochs of one record each, from the first on.
fn totals(first: i64, count: i64) -> Vec<EpochRecords> {
    let of = |number: i64| EpochRecords {
        epoch: Millis(number),
        records: vec![record(Topic::REPORT_TOTAL, &number.to_string(), Some(&total(number)))],
    };
    (first..first + count).map(of).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_has_its_name_once_it_is_whole_and_bytes_depend_on_records_alone() {
    let all = |commits: &[i64]| {
        let folder = tempfile::tempdir().unwrap();
        let output = output(folder.path(), OutputFormat::Parquet);
        let mut sink = ParquetSink::with_rows(&output, false, 4).unwrap();
        let mut next = 0;
        for count in commits {
            sink.commit(&totals(next, *count)).unwrap();
            next += count;
        }
        assert_eq!(names(folder.path()), ["out.report.total.parquet.part"]);
        sink.finish().unwrap();
        // Again, as after a failure of which nothing is left.
        sink.finish().unwrap();
        assert_eq!(names(folder.path()), ["out.report.total.parquet"]);
        let path = output.file(Topic::REPORT_TOTAL);
        let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
        let rows: Vec<i64> = reader
            .metadata()
            .row_groups()
            .iter()
            .map(|group| group.num_rows())
            .collect();
        assert_eq!(rows, [4, 4, 2]);
        assert_eq!(reader.metadata().file_metadata().created_by(), Some("riskflow"));
        let (lines, error) = read(&path, Topic::REPORT_TOTAL, &Columns::default());
        assert_eq!((lines.len(), error), (10, None));
        assert_eq!(
            lines[9],
            r#"{"epoch":"1970-01-01T00:00:00.009Z","key":"9","op":"put","region":"330902","module":"m","kind":"k","quantity":"houses","total":0.9,"reports":9}"#
        );
        bytes_of(&path)
    };
    let bytes = all(&[10]);
    assert!(bytes == all(&[1, 2, 3, 4]) && bytes == all(&[5, 5]) && bytes == all(&[4, 4, 2]));
}

#[test]
fn a_full_disk_loses_and_repeats_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let output = output(folder.path(), OutputFormat::Parquet);
    let mut sink = ParquetSink::with_rows(&output, false, 2).unwrap();
    sink.commit(&totals(0, 5)).unwrap();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let file = sink.files.get_mut(&Topic::REPORT_TOTAL).unwrap();
    let real = std::mem::replace(&mut file.file, full);
    for _ in 0..2 {
        let error = sink.commit(&totals(5, 2)).unwrap_err();
        assert!(matches!(&error, SinkError::File { file, .. } if file.ends_with("out.report.total.parquet.part")));
        assert_eq!(error.retry(), Retry::Later);
    }
    assert!(sink.finish().is_err());
    sink.files.get_mut(&Topic::REPORT_TOTAL).unwrap().file = real;
    sink.finish().unwrap();
    let (lines, error) = read(
        &output.file(Topic::REPORT_TOTAL),
        Topic::REPORT_TOTAL,
        &Columns::default(),
    );
    assert_eq!((lines.len(), error), (5, None));
}

#[test]
fn what_another_run_left_is_refused_whole_or_not() {
    for left in ["out.notice.parquet", "out.notice.parquet.part"] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(left), "x").unwrap();
        let error = open_sink(&output(folder.path(), OutputFormat::Parquet), false)
            .err()
            .unwrap();
        assert!(error.to_string().contains(left), "{error}");
        drop(open_sink(&output(folder.path(), OutputFormat::Csv), false).unwrap());
    }
}

#[test]
fn a_record_that_is_not_as_its_schema_says_is_never_written_as_another() {
    for wrong in [
        json!({ "region": 5 }),
        json!({ "reports": 0.5 }),
        json!({ "stand_in": { "bytes": -1 } }),
        json!({ "other": 1 }),
    ] {
        for format in [OutputFormat::Parquet, OutputFormat::Csv] {
            let folder = tempfile::tempdir().unwrap();
            let mut sink = open_sink(&output(folder.path(), format), false).unwrap();
            let records = vec![record(Topic::REPORT_TOTAL, "k", Some(&wrong))];
            let done = sink.commit(&[EpochRecords {
                epoch: Millis(0),
                records,
            }]);
            // CSV has one form for numbers.
            let is_number = format == OutputFormat::Csv && (wrong["reports"].is_f64() || !wrong["stand_in"].is_null());
            assert_eq!(done.is_ok(), is_number, "{wrong} {format:?}");
            assert!(done.err().is_none_or(|error| error.retry() == Retry::Never));
        }
    }
}

#[test]
fn every_row_of_an_exercise_says_so() {
    let folder = tempfile::tempdir().unwrap();
    for format in [OutputFormat::Csv, OutputFormat::Parquet] {
        let mut sink = open_sink(&output(folder.path(), format), true).unwrap();
        let mut epochs = totals(0, 2);
        epochs[1].records[0].payload = None;
        sink.commit(&epochs).unwrap();
        sink.finish().unwrap();
    }
    let csv = fs::read_to_string(folder.path().join("out.report.total.csv")).unwrap();
    let marks: Vec<&str> = csv.lines().map(|line| line.split(',').nth(3).unwrap()).collect();
    assert_eq!(marks, ["exercise", "true", "true"]);
    let parquet = File::open(folder.path().join("out.report.total.parquet")).unwrap();
    let rows = SerializedFileReader::new(parquet).unwrap();
    for row in rows.get_row_iter(None).unwrap() {
        let row = row.unwrap();
        let (name, value) = row.get_column_iter().nth(3).unwrap();
        assert_eq!((name.as_str(), value), ("exercise", &Field::Bool(true)));
    }
}

/// A value that may stand in a column, or none.
fn value(sort: Sort) -> BoxedStrategy<Option<Value>> {
    let some = match sort {
        Sort::Text => any::<String>().prop_map(Value::from).boxed(),
        Sort::Flag => any::<bool>().prop_map(Value::from).boxed(),
        Sort::Whole => any::<i64>().prop_map(Value::from).boxed(),
        Sort::Unsigned => any::<u64>().prop_map(Value::from).boxed(),
        Sort::Real => prop::num::f64::NORMAL.prop_map(Value::from).boxed(),
        Sort::Time => (0..4_000_000_000_000_i64)
            .prop_map(|time| Value::from(Millis(time).to_string()))
            .boxed(),
        Sort::Json => prop::collection::vec(any::<String>(), 0..3)
            .prop_map(Value::from)
            .boxed(),
    };
    prop::option::weighted(0.8, some).boxed()
}

/// The cells of a payload, or a tombstone.
fn row(topic: Topic) -> impl Strategy<Value = Option<Vec<Option<Value>>>> {
    let columns = Flat::of(topic, false).columns;
    let cells: Vec<_> = columns.iter().map(|column| value(column.sort)).collect();
    prop::option::weighted(0.9, cells)
}

fn payload(topic: Topic, cells: &[Option<Value>]) -> Value {
    let mut payload = Map::new();
    for (column, cell) in Flat::of(topic, false).columns.iter().zip(cells) {
        let mut object = &mut payload;
        let mut path: Vec<&str> = column.name.split('.').collect();
        let last = path.pop().unwrap();
        for name in path {
            object = object.entry(name).or_insert_with(|| json!({})).as_object_mut().unwrap();
        }
        object.insert(last.to_owned(), cell.clone().into());
    }
    payload.into()
}

/// A cell of CSV.
fn in_csv(cell: Option<&Value>) -> String {
    match cell {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn is_in_parquet(field: &Field, cell: Option<&Value>, sort: Sort) -> bool {
    match (field, cell) {
        (Field::Null, None) => true,
        (Field::Bool(found), Some(Value::Bool(flag))) => found == flag,
        (Field::Long(found), Some(cell)) => cell.as_i64() == Some(*found),
        (Field::ULong(found), Some(cell)) => cell.as_u64() == Some(*found),
        (Field::Double(found), Some(cell)) => cell.as_f64() == Some(*found),
        (Field::TimestampMillis(found), Some(Value::String(time))) => Millis(*found).to_string() == *time,
        (Field::Str(found), Some(cell)) if sort == Sort::Json => {
            serde_json::from_str::<Value>(found).is_ok_and(|json| json == *cell)
        }
        (Field::Str(found), Some(Value::String(text))) => found == text,
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Any records of any of these topics stand in both formats as they are.
    #[test]
    fn records_stand_in_both_formats_as_they_are(
        (topic, rows) in prop::sample::select(vec![Topic::WARNING_DELTA, Topic::CASE_STATE, Topic::NOTICE, Topic::REPORT_TOTAL])
            .prop_flat_map(|topic| (Just(topic), prop::collection::vec((any::<String>(), row(topic)), 1..8))),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let records = rows.iter().map(|(key, cells)| {
            record(topic, key, cells.as_ref().map(|cells| payload(topic, cells)).as_ref())
        });
        let epochs = [EpochRecords { epoch: Millis(1_627_171_200_000), records: records.collect() }];
        let (csv, columns) = (output(folder.path(), OutputFormat::Csv), output(folder.path(), OutputFormat::Parquet));
        open_sink(&csv, false).unwrap().commit(&epochs).unwrap();
        let mut sink = ParquetSink::with_rows(&columns, false, 3).unwrap();
        sink.commit(&epochs).unwrap();
        sink.finish().unwrap();

        let names: Vec<String> = Flat::of(topic, false).columns.iter().map(|column| column.name.clone()).collect();
        let mut csv = csv::Reader::from_path(csv.file(topic)).unwrap();
        prop_assert_eq!(csv.headers().unwrap().iter().skip(3).collect::<Vec<_>>(), names);
        let csv: Vec<csv::StringRecord> = csv.records().map(Result::unwrap).collect();
        let reader = SerializedFileReader::new(File::open(columns.file(topic)).unwrap()).unwrap();
        let parquet: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
        prop_assert_eq!((csv.len(), parquet.len()), (rows.len(), rows.len()));
        for ((key, cells), (csv, parquet)) in rows.iter().zip(csv.iter().zip(&parquet)) {
            let op = if cells.is_some() { "put" } else { "delete" };
            let first = ["2021-07-25T00:00:00.000Z", key.as_str(), op];
            prop_assert_eq!(csv.iter().take(3).collect::<Vec<_>>(), first);
            let fields: Vec<&Field> = parquet.get_column_iter().map(|(_, field)| field).collect();
            prop_assert_eq!(
                fields[..3].iter().map(|field| (*field).clone()).collect::<Vec<_>>(),
                [Field::TimestampMillis(1_627_171_200_000), Field::Str(key.clone()), Field::Str(op.to_owned())]
            );
            for (index, column) in Flat::of(topic, false).columns.iter().enumerate() {
                let cell = cells.as_ref().and_then(|cells| cells[index].as_ref());
                prop_assert_eq!(&csv[index + 3], in_csv(cell), "{}", column.name);
                prop_assert!(is_in_parquet(fields[index + 3], cell, column.sort), "{}: {:?} {:?}", column.name, fields[index + 3], cell);
            }
        }
    }

    /// Whatever the records are, those of an exercise are marked once each, those of no exercise never, and nothing else differs.
    #[test]
    fn an_exercise_is_marked_in_every_format_and_else_as_it_is(
        (topic, rows) in prop::sample::select(vec![Topic::WARNING_DELTA, Topic::CASE_STATE, Topic::NOTICE, Topic::RULESET])
            .prop_flat_map(|topic| (Just(topic), prop::collection::vec((any::<String>(), row(topic)), 1..8))),
    ) {
        let records = rows.iter().map(|(key, cells)| {
            record(topic, key, cells.as_ref().map(|cells| payload(topic, cells)).as_ref())
        });
        let records: Vec<OutRecord> = records.collect();
        let payloads: Vec<Option<String>> = records
            .iter()
            .map(|record| record.payload.clone().map(|payload| String::from_utf8(payload).unwrap()))
            .collect();
        let epochs = [EpochRecords { epoch: Millis(1_627_171_200_000), records }];
        let [live, marked] = [false, true].map(|exercise| {
            let folder = tempfile::tempdir().unwrap();
            for format in [OutputFormat::Ndjson, OutputFormat::Csv, OutputFormat::Parquet] {
                let mut sink = open_sink(&output(folder.path(), format), exercise).unwrap();
                sink.commit(&epochs).unwrap();
                sink.finish().unwrap();
            }
            folder
        });

        let lines = |folder: &Path| fs::read_to_string(output(folder, OutputFormat::Ndjson).file(topic)).unwrap();
        let (plain, with_mark) = (lines(live.path()), lines(marked.path()));
        prop_assert_eq!((plain.lines().count(), with_mark.lines().count()), (rows.len(), rows.len()));
        for ((plain, with_mark), payload) in plain.lines().zip(with_mark.lines()).zip(&payloads) {
            let fields: BTreeMap<String, &RawValue> = serde_json::from_str(plain).unwrap();
            prop_assert!(!fields.contains_key("exercise"), "{}", plain);
            prop_assert_eq!(fields["value"].get(), payload.as_deref().unwrap_or("null"));
            let without = with_mark.strip_suffix(",\"exercise\":true}");
            prop_assert_eq!(without, plain.strip_suffix('}'));
        }

        let table = |folder: &Path| {
            let mut reader = csv::ReaderBuilder::new()
                .has_headers(false)
                .from_path(output(folder, OutputFormat::Csv).file(topic))
                .unwrap();
            let rows = reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect::<Vec<_>>());
            rows.collect::<Vec<_>>()
        };
        let (plain, mut with_mark) = (table(live.path()), table(marked.path()));
        let marks: Vec<String> = with_mark.iter_mut().map(|row| row.remove(3)).collect();
        prop_assert_eq!(&marks[0], "exercise");
        prop_assert!(marks[1..].iter().all(|mark| mark == "true") && marks.len() == rows.len() + 1, "{:?}", marks);
        prop_assert!(!plain[0].iter().any(|name| name == "exercise"), "{:?}", plain[0]);
        prop_assert_eq!(plain, with_mark);

        let table = |folder: &Path| {
            let file = File::open(output(folder, OutputFormat::Parquet).file(topic)).unwrap();
            let reader = SerializedFileReader::new(file).unwrap();
            let rows = reader.get_row_iter(None).unwrap().map(Result::unwrap);
            let fields = rows.map(|row| {
                let fields = row.get_column_iter().map(|(name, field)| (name.clone(), field.clone()));
                fields.collect::<Vec<(String, Field)>>()
            });
            fields.collect::<Vec<_>>()
        };
        let (plain, mut with_mark) = (table(live.path()), table(marked.path()));
        for row in &mut with_mark {
            prop_assert_eq!(row.remove(3), ("exercise".to_owned(), Field::Bool(true)));
        }
        prop_assert!(!plain[0].iter().any(|(name, _)| name == "exercise"), "{:?}", plain[0]);
        prop_assert_eq!(plain, with_mark);
    }
}
