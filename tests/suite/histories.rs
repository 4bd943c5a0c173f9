//! Files as a history: measured weather, in any number of files of any kind, in order or not quite, and as tables.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::record::Field;
use parquet::schema::parser::parse_message_type;
use riskflow::simulator::weather;
use riskflow_model::Millis;
use riskflow_model::topic::Topic;
use riskflow_tests::history::Draw;
use serde_json::Value;
use tempfile::TempDir;

use crate::chaos::free;

const HOUR: u64 = 3_600_000;

/// A measured value.
#[derive(Clone)]
struct Measured {
    datastream: String,
    time: Millis,
    result: f64,
    /// As a line of JSON.
    line: String,
}

impl Measured {
    fn csv(&self) -> String {
        format!("{},{},{}\n", self.datastream, self.time, self.result)
    }
}

/// What two stations measured in some first days of 2013, in the order of time.
fn measured(days: i64) -> Vec<Measured> {
    let end = "2013-01-01T00:00:00Z".parse::<Millis>().unwrap().0 + days * 24 * HOUR as i64;
    let all = weather::observations().take_while(|(time, ..)| time.0 < end);
    let rows: Vec<Measured> = all
        .map(|(time, datastream, payload)| {
            let line = String::from_utf8(payload).unwrap();
            let value: Value = serde_json::from_str(&line).unwrap();
            let result = value["result"].as_f64().unwrap();
            Measured {
                datastream,
                time,
                result,
                line,
            }
        })
        .collect();
    assert!(rows.len() > 4_000, "{}", rows.len());
    rows
}

fn csv(rows: &[Measured]) -> String {
    let rows: String = rows.iter().map(Measured::csv).collect();
    format!("datastream,phenomenon_time,result\n{rows}")
}

fn ndjson(rows: &[Measured]) -> String {
    rows.iter().map(|row| format!("{}\n", row.line)).collect()
}

fn parquet(path: &Path, rows: &[Measured]) {
    const SCHEMA: &str = "message m { required binary datastream (UTF8); required int64 phenomenon_time (TIMESTAMP(MICROS,true)); \
                          required double result; }";
    let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
    let properties = Arc::new(WriterProperties::builder().build());
    let mut file = SerializedFileWriter::new(File::create(path).unwrap(), schema, properties).unwrap();
    for rows in rows.chunks(1_000) {
        let datastreams: Vec<ByteArray> = rows.iter().map(|row| row.datastream.as_str().into()).collect();
        let times: Vec<i64> = rows.iter().map(|row| row.time.0 * 1_000).collect();
        let results: Vec<f64> = rows.iter().map(|row| row.result).collect();
        let mut group = file.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let written = column.typed::<ByteArrayType>().write_batch(&datastreams, None, None);
        assert_eq!(written.unwrap(), rows.len());
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&times, None, None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<DoubleType>().write_batch(&results, None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    file.close().unwrap();
}

/// A folder with the stations and the rules of all packs.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut tables: BTreeMap<Topic, Vec<u8>> = BTreeMap::new();
        for (topic, _, payload) in weather::base() {
            let rows = tables.entry(topic).or_default();
            rows.extend(payload);
            rows.push(b'\n');
        }
        for (topic, rows) in tables {
            fs::write(folder.path().join(format!("{topic}.ndjson")), rows).unwrap();
        }
        Self(folder)
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        format!("in.observation={}", path.display())
    }

    /// A replay of these observations into a folder of this name.
    fn command(&self, out: &str, observations: &[String], arguments: &[&str]) -> Command {
        let base = ["base.region", "base.asset", "base.datastream", "in.rule"];
        let mut command = Command::new(crate::kafka::riskflow());
        command.current_dir(self.0.path()).args(["replay", "--log", "warn"]);
        command.args(base.map(|topic| format!("{topic}.ndjson")));
        command.args(observations).args(["--out", out]).args(arguments);
        // Both stations measure at full hours: each has an epoch of its own, and none holds nothing.
        for set in ["time.horizon=\"12h\"", "epoch.replay_tick=\"1h\""] {
            command.args(["--set", set]);
        }
        command
    }

    /// The same, come to its end; how it ended.
    fn replay(&self, out: &str, observations: &[String], arguments: &[&str]) -> Output {
        let output = self.command(out, observations, arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        output
    }

    /// The same by two processes of two workers each.
    fn replay_by_two(&self, out: &str, observations: &[String]) {
        let hosts = format!("cluster.hosts={:?}", [free().to_string(), free().to_string()]);
        let processes = ["cluster.process=0", "cluster.process=1"].map(|process| {
            let sets = ["--set", &hosts, "--set", process, "--set", "cluster.workers=2"];
            self.command(out, observations, &sets).spawn().unwrap()
        });
        for mut process in processes {
            assert!(process.wait().unwrap().success());
        }
    }

    /// What a replay wrote, by the names of the files.
    fn written(&self, out: &str) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(self.0.path().join(out)).unwrap().map(Result::unwrap);
        let read = entries.map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        });
        read.filter(|(name, _)| name.starts_with("out.")).collect()
    }
}

fn summary(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The same files, byte by byte; the deltas of warnings among them, many.
#[track_caller]
fn assert_same(found: &BTreeMap<String, Vec<u8>>, wanted: &BTreeMap<String, Vec<u8>>) {
    let deltas = &wanted["out.warning.delta.ndjson"];
    let count = deltas.iter().filter(|byte| **byte == b'\n').count();
    assert!(count > 5, "a history in which nothing happens proves nothing: {count}");
    for (name, bytes) in wanted {
        assert!(found.get(name) == Some(bytes), "{name} differs");
    }
    assert_eq!(found.len(), wanted.len());
}

#[test]
fn several_files_of_any_kind_are_merged_by_time() {
    let (desk, rows) = (Desk::new(), measured(60));
    let one = desk.put("all.csv", csv(&rows));
    let json = desk.replay("one", &[one], &["--json"]);
    let wanted = desk.written("one");
    // All three span the whole time.
    let (of_ewr, of_jfk): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.datastream.starts_with("EWR"));
    let is_rain = |row: &Measured| row.datastream.ends_with("rainfall");
    let (rain, other): (Vec<_>, Vec<_>) = of_ewr.into_iter().partition(is_rain);
    assert!(rain.len() > 100 && other.len() > 1_000 && of_jfk.len() > 1_000);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(csv(&rain).as_bytes()).unwrap();
    let zstd = zstd::encode_all(ndjson(&other).as_bytes(), 1).unwrap();
    let path = desk.0.path().join("jfk.parquet");
    parquet(&path, &of_jfk);
    let three = [
        desk.put("rain.csv.gz", gzip.finish().unwrap()),
        desk.put("ewr.ndjson.zst", zstd),
        format!("in.observation={}", path.display()),
    ];
    for (out, workers) in [("three-1", "cluster.workers=1"), ("three-2", "cluster.workers=2")] {
        let merged = desk.replay(out, &three, &["--json", "--set", workers]);
        assert_same(&desk.written(out), &wanted);
        assert_eq!(summary(&merged)["records"], summary(&json)["records"]);
    }
    desk.replay_by_two("three-pair", &three);
    assert_same(&desk.written("three-pair"), &wanted);
    // In whatever order they are named.
    let turned: Vec<String> = three.into_iter().rev().collect();
    desk.replay("turned", &turned, &[]);
    assert_same(&desk.written("turned"), &wanted);
}

/// The same rows, each up to so many hours behind a later one.
fn shuffled(rows: &[Measured], hours: u64) -> Vec<Measured> {
    let mut draw = Draw::new(13);
    let mut keyed: Vec<(i64, Measured)> = rows
        .iter()
        .map(|row| (row.time.0 + draw.below(hours * HOUR) as i64, row.clone()))
        .collect();
    keyed.sort_by_key(|(key, _)| *key);
    let shuffled: Vec<Measured> = keyed.into_iter().map(|(_, row)| row).collect();
    assert!(!shuffled.is_sorted_by_key(|row| row.time));
    shuffled
}

#[test]
fn a_file_that_is_not_in_order_gives_what_a_sorted_one_gives_and_beyond_the_bound_it_is_told() {
    let (desk, rows) = (Desk::new(), measured(60));
    let sorted = desk.put("sorted.ndjson", ndjson(&rows));
    let output = desk.replay("sorted", &[sorted], &["--disorder", "0s", "--json"]);
    assert_eq!(summary(&output)["disordered"]["records"], 0);
    let wanted = desk.written("sorted");
    // Large enough to be split among workers.
    let shuffled = desk.put("shuffled.ndjson", ndjson(&shuffled(&rows, 6)));
    for (out, workers) in [("sorted-1", "cluster.workers=1"), ("sorted-2", "cluster.workers=2")] {
        let arguments = ["--disorder", "6h", "--json", "--set", workers];
        let output = desk.replay(out, std::slice::from_ref(&shuffled), &arguments);
        let disordered = &summary(&output)["disordered"];
        assert_eq!(disordered["records"], 0);
        assert_eq!(disordered["within_ms"], 6 * HOUR);
        assert_same(&desk.written(out), &wanted);
    }
    // By default within `time.horizon`, which is enough here.
    desk.replay("default", std::slice::from_ref(&shuffled), &[]);
    assert_same(&desk.written("default"), &wanted);

    let arguments = ["--disorder", "1h", "--set", "cluster.workers=1"];
    let output = desk.replay(
        "beyond",
        std::slice::from_ref(&shuffled),
        &[&arguments[..], &["--json"]].concat(),
    );
    let disordered = &summary(&output)["disordered"];
    assert!(disordered["records"].as_u64() > Some(10), "{disordered}");
    let furthest = disordered["furthest_ms"].as_u64().unwrap();
    assert!(furthest > HOUR && furthest <= 6 * HOUR, "{disordered}");
    let output = desk.replay("beyond", std::slice::from_ref(&shuffled), &arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    for says in [
        "records were read when their epoch was over",
        "they count as late data; files are sorted within 1h, and `--disorder ",
    ] {
        assert!(said.contains(says), "{says}: {said}");
    }
    assert!(desk.written("beyond") != wanted, "late data is told as it comes");
    // What is told is enough.
    let enough = format!("{furthest}ms");
    desk.replay("enough", std::slice::from_ref(&shuffled), &["--disorder", &enough]);
    assert_same(&desk.written("enough"), &wanted);
}

#[test]
fn what_is_not_read_by_its_times_is_not_sorted() {
    let (desk, rows) = (Desk::new(), measured(60));
    let file = desk.put("rows.csv", csv(&rows));
    let mut command = Command::new(crate::kafka::riskflow());
    command.current_dir(desk.0.path()).args(["replay", "--log", "warn"]);
    command.args([file.as_str(), "--out", "out", "--clock", "arrival", "--disorder", "1h"]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(2)
            && said.contains("`--disorder` sorts files that are taken by the times in them"),
        "{said}"
    );
}

#[test]
fn tables_of_an_exercise_are_the_same_bytes_whatever_the_number_of_workers_and_say_that_it_is_one() {
    let (desk, rows) = (Desk::new(), measured(60));
    let file = desk.put("rows.csv", csv(&rows));
    for format in ["csv", "parquet"] {
        let [one, two] = ["1", "2"].map(|workers| {
            let out = format!("{format}-{workers}");
            let workers = format!("cluster.workers={workers}");
            desk.replay(
                &out,
                std::slice::from_ref(&file),
                &["--format", format, "--set", &workers],
            );
            desk.written(&out)
        });
        let ending = format!(".{format}");
        assert!(one.keys().all(|name| name.ends_with(&ending)), "{:?}", one.keys());
        for (name, bytes) in &one {
            assert!(two.get(name) == Some(bytes), "{name} differs");
        }
        assert_eq!(one.len(), two.len());
    }
    let table = |ending: &str| desk.0.path().join(format!("{ending}-1/out.warning.delta.{ending}"));
    let csv = fs::read_to_string(table("csv")).unwrap();
    let marks: Vec<&str> = csv.lines().map(|line| line.split(',').nth(3).unwrap()).collect();
    assert_eq!(marks[0], "exercise");
    assert!(
        marks.len() > 5 && marks[1..].iter().all(|mark| *mark == "true"),
        "{marks:?}"
    );
    let file = SerializedFileReader::new(File::open(table("parquet")).unwrap()).unwrap();
    let mut count = 0;
    for row in file.get_row_iter(None).unwrap() {
        let row = row.unwrap();
        let mark = row.get_column_iter().find(|(name, _)| *name == "exercise");
        assert_eq!(mark.map(|(_, value)| value), Some(&Field::Bool(true)));
        count += 1;
    }
    assert_eq!(count, marks.len() - 1);
}
