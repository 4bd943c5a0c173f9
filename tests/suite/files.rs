//! Files and pipes end to end: what a person has at hand without a broker.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const ASSETS: [&str; 2] = [
    r#"{"id":"tank, the first","name":"Tank \"1\"","category":"tank","domain":"work_safety","region":"330902001001","inherent_level":4,"population":120}"#,
    r#"{"id":"tank-2","category":"tank","domain":"work_safety","region":"330903001001","inherent_level":2,"population":0}"#,
];
const ASSETS_CSV: &str = "id,name,category,domain,region,inherent_level,population\n\
    \"tank, the first\",\"Tank \"\"1\"\"\",tank,work_safety,330902001001,4,120\n\
    tank-2,,tank,work_safety,330903001001,2,0\n";

const DATASTREAMS: [&str; 2] = [
    r#"{"id":"d1","asset":"tank, the first","observed_property":"gas","thresholds":{"gas":{"red":60}}}"#,
    r#"{"id":"d2","asset":"tank-2","observed_property":"gas"}"#,
];
const DATASTREAMS_CSV: &str = "id,asset,observed_property,thresholds\n\
    d1,\"tank, the first\",gas,\"{\"\"gas\"\":{\"\"red\"\":60}}\"\n\
    d2,tank-2,gas,\n";

const RULE: &str = r#"{"id":"gas","version":1,"source":"test","select":{"observed_property":"gas"},"levels":{
    "yellow":{"when":{"feature":"last","window":"1h","op":">=","threshold":20}},
    "red":{"when":{"feature":"last","window":"1h","op":">=","threshold":90}}}}"#;

const OBSERVATIONS: [&str; 5] = [
    r#"{"datastream":"d1","phenomenon_time":"2021-07-25T00:00:00Z","result":61.5}"#,
    r#"{"datastream":"d2","phenomenon_time":"2021-07-25T00:00:05Z","result":25}"#,
    r#"{"datastream":"nobody","phenomenon_time":"2021-07-25T00:00:06Z","result":25}"#,
    r#"{"datastream":"d2","phenomenon_time":"2021-07-25T00:00:05Z","op":"delete"}"#,
    r#"{"datastream":"d1","phenomenon_time":"2021-07-25T00:10:00Z","result":1}"#,
];
const OBSERVATIONS_CSV: &str = "datastream,phenomenon_time,result,op\n\
    d1,2021-07-25T00:00:00Z,61.5,\n\
    d2,2021-07-25T00:00:05Z,25,\n\
    nobody,2021-07-25T00:00:06Z,25,\n\
    d2,2021-07-25T00:00:05Z,,delete\n\
    d1,2021-07-25T00:10:00Z,1,\n";

/// What the program writes to its standard output, as envelopes; base topics and rules come from these files.
fn run(folder: &Path, base: [&str; 3], observations: &str, stdin: &str) -> Vec<Value> {
    let topics = ["base.asset", "base.datastream", "in.rule"];
    let file = |(path, topic): (&str, &str)| format!("{{ path = {:?}, topic = \"{topic}\" }}", folder.join(path));
    let mut files: Vec<String> = base.into_iter().zip(topics).map(file).collect();
    let observations = if observations == "-" {
        "{ path = \"-\", topic = \"in.observation\" }".to_owned()
    } else {
        file((observations, "in.observation"))
    };
    files.push(observations);
    let input = format!(
        "input={{ kind = \"files\", clock = \"event_time\", files = [{}] }}",
        files.join(", ")
    );
    let mut command = Command::new(super::kafka::riskflow());
    command.args(["run", "--log", "warn", "--set", &input]);
    for set in [
        "output={ kind = \"files\", path = \"-\" }",
        "http.enabled=false",
        "cluster.workers=2",
        "unknown.hold=\"1s\"",
    ] {
        command.args(["--set", set]);
    }
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn tables_and_pipes_give_what_lines_of_json_give() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let lines = |rows: &[&str]| format!("{}\n", rows.join("\n"));
    write("assets.ndjson", &lines(&ASSETS));
    write("assets.csv", ASSETS_CSV);
    write("datastreams.ndjson", &lines(&DATASTREAMS));
    write("datastreams.csv", DATASTREAMS_CSV);
    write("rules.ndjson", &lines(&[&RULE.replace('\n', " ")]));
    write("observations.ndjson", &lines(&OBSERVATIONS));
    write("observations.csv", OBSERVATIONS_CSV);

    let of_lines = ["assets.ndjson", "datastreams.ndjson", "rules.ndjson"];
    let of_tables = ["assets.csv", "datastreams.csv", "rules.ndjson"];
    let given = run(folder.path(), of_lines, "observations.ndjson", "");
    // Of dead letters the offset is that of a byte or of a row.
    let without_offsets = |records: Vec<Value>| {
        let mut records: Vec<Value> = records;
        for record in &mut records {
            if record["topic"] == "out.deadletter" {
                record["value"]["offset"] = Value::Null;
                record["key"] = Value::Null;
            }
        }
        records
    };
    let deltas = given.iter().filter(|record| record["topic"] == "out.warning.delta");
    let told: Vec<(&str, &str)> = deltas
        .map(|delta| {
            (
                delta["value"]["kind"].as_str().unwrap(),
                delta["value"]["to"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("raised", "red"),
            ("raised", "yellow"),
            ("withdrawn", "none"),
            ("cleared", "none")
        ]
    );
    let letters = given.iter().filter(|record| record["topic"] == "out.deadletter");
    let reasons: Vec<&Value> = letters.map(|letter| &letter["value"]["reason"]).collect();
    assert_eq!(reasons, ["unknown_datastream"]);
    let expected = without_offsets(given);
    let tables = run(folder.path(), of_tables, "observations.csv", "");
    assert_eq!(without_offsets(tables), expected, "from tables");
    let piped = run(folder.path(), of_tables, "-", &lines(&OBSERVATIONS));
    let told = |records: &[Value]| -> Vec<Value> {
        let deltas = records.iter().filter(|record| record["topic"] == "out.warning.delta");
        deltas.map(|delta| delta["value"]["explanation"].clone()).collect()
    };
    assert_eq!(told(&piped), told(&expected), "through a pipe");
}

/// What a run over these files, one input file a topic, says, and how it ends; its output goes to a folder.
fn replay(folder: &Path, files: &[(&str, &str)]) -> (Option<i32>, String) {
    let files: Vec<String> = files
        .iter()
        .map(|(path, topic)| format!("{{ path = {:?}, topic = \"{topic}\" }}", folder.join(path)))
        .collect();
    let input = format!(
        "input={{ kind = \"files\", clock = \"event_time\", files = [{}] }}",
        files.join(", ")
    );
    let output = format!("output={{ kind = \"files\", path = {:?} }}", folder.join("out"));
    let mut command = Command::new(super::kafka::riskflow());
    command.args(["run", "--log", "warn", "--set", &input, "--set", &output]);
    command.args(["--set", "http.enabled=false", "--set", "unknown.hold=\"1s\""]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_replay_sums_up_what_became_of_it_and_does_not_write_behind_another() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "regions.csv",
        "code,name\n3309,Zhoushan\n330902,Dinghai\n330903,Putuo\n",
    );
    let (code, said) = replay(folder.path(), &[("regions.csv", "base.region")]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("3 records: base.region 3") && said.contains("0 dead letters"),
        "{said}"
    );
    write("bad.csv", "code,name\n3309,\"Zhoushan\nx  y,Dinghai\n330903,Putuo\n");
    // What was written before is left alone.
    let (code, said) = replay(folder.path(), &[("bad.csv", "base.region")]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains(".ndjson is the output of an earlier run") && said.contains("`output.path`"),
        "{said}"
    );
    std::fs::remove_dir_all(folder.path().join("out")).unwrap();
    let (code, said) = replay(folder.path(), &[("bad.csv", "base.region")]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("2 dead letters: ") && said.contains("2 of 3 were refused"),
        "{said}"
    );
    let letters = std::fs::read_to_string(folder.path().join("out/out.deadletter.ndjson")).unwrap();
    assert!(
        letters.contains("line 2: the quote that begins cell 2 is not closed"),
        "{letters}"
    );
}

/// The files of a run that writes tables, by name.
fn tables(folder: &Path, format: &str, workers: u8) -> BTreeMap<String, Vec<u8>> {
    let topics = ["base.asset", "base.datastream", "in.rule", "in.observation"];
    let names = ["assets.csv", "datastreams.csv", "rules.ndjson", "observations.csv"];
    let file = |(name, topic)| format!("{{ path = {:?}, topic = \"{topic}\" }}", folder.join::<&str>(name));
    let files: Vec<String> = names.into_iter().zip(topics).map(file).collect();
    let out = folder.join(format!("{format}-{workers}"));
    let input = format!(
        "input={{ kind = \"files\", clock = \"event_time\", files = [{}] }}",
        files.join(", ")
    );
    let output = format!("output={{ kind = \"files\", path = {out:?}, format = \"{format}\" }}");
    let workers = format!("cluster.workers={workers}");
    let mut command = Command::new(super::kafka::riskflow());
    command.args(["run", "--log", "warn"]);
    for set in [
        &*input,
        &*output,
        &*workers,
        "http.enabled=false",
        "unknown.hold=\"1s\"",
    ] {
        command.args(["--set", set]);
    }
    assert!(command.stdin(Stdio::null()).status().unwrap().success());
    let entries = std::fs::read_dir(out).unwrap().map(Result::unwrap);
    let content = |path: std::path::PathBuf| std::fs::read(path).unwrap();
    entries
        .map(|entry| (entry.file_name().into_string().unwrap(), content(entry.path())))
        .collect()
}

#[test]
fn tables_are_the_same_bytes_whatever_the_number_of_workers() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("assets.csv", ASSETS_CSV);
    write("datastreams.csv", DATASTREAMS_CSV);
    write("rules.ndjson", &format!("{}\n", RULE.replace('\n', " ")));
    write("observations.csv", OBSERVATIONS_CSV);
    for format in ["csv", "parquet"] {
        let one = tables(folder.path(), format, 1);
        let names: Vec<&str> = one.keys().map(String::as_str).collect();
        let ending = format!(".{format}");
        assert!(names.contains(&&*format!("out.warning.delta{ending}")), "{names:?}");
        assert!(names.iter().all(|name| name.ends_with(&ending)), "{names:?}");
        let two = tables(folder.path(), format, 2);
        for (name, bytes) in &one {
            assert!(two.get(name) == Some(bytes), "{name} differs");
        }
        assert_eq!(one.len(), two.len());
        if format == "csv" {
            let deltas = String::from_utf8(one["out.warning.delta.csv"].clone()).unwrap();
            let told: Vec<&str> = deltas.lines().filter_map(|line| line.split(',').nth(4)).collect();
            assert_eq!(told, ["kind", "raised", "raised", "withdrawn", "cleared"]);
        }
    }
}

/// A live job that writes Parquet: killed it leaves a part, told to stop it leaves a whole file.
#[test]
fn parquet_of_a_job_that_is_killed_is_a_part() {
    let folder = tempfile::tempdir().unwrap();
    let command = |arguments: &[&str]| {
        let mut command = Command::new(super::kafka::riskflow());
        command
            .args(arguments)
            .args(["--set", "http.enabled=false"])
            .current_dir(folder.path());
        command
    };
    std::fs::write(folder.path().join("assets.csv"), ASSETS_CSV).unwrap();
    assert!(command(&["import", "assets.csv"]).status().unwrap().success());
    assert!(command(&["topics", "--create"]).status().unwrap().success());
    let part = |out: &str| folder.path().join(out).join("out.risk.asset.parquet.part");
    let whole = |out: &str| folder.path().join(out).join("out.risk.asset.parquet");
    let start = |out: &str| {
        let output = format!("output={{ kind = \"files\", path = {out:?}, format = \"parquet\" }}");
        let child = command(&["run", "--log", "warn", "--set", &output]).spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        while !part(out).exists() {
            assert!(Instant::now() < until, "no row of an asset is written");
            // Another process writes, and a folder tells nobody: the sleep is only between two looks.
            std::thread::sleep(Duration::from_millis(20));
        }
        child
    };
    let mut killed = start("killed");
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(part("killed").exists() && !whole("killed").exists());
    let mut stopped = start("stopped");
    let pid = stopped.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(stopped.wait().unwrap().success());
    assert!(!part("stopped").exists());
    let bytes = std::fs::read(whole("stopped")).unwrap();
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
}

/// They arrive less than `unknown.hold` before the end: no epoch comes in which they would be given up.
#[test]
fn a_replay_names_the_observations_that_still_waited_for_a_row_at_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = "datastream,phenomenon_time,result\n".to_owned();
    for tenth in 0..5 {
        rows += &format!("nowhere,2026-01-02T03:04:05.{tenth}Z,1\n");
    }
    std::fs::write(folder.path().join("observations.csv"), rows).unwrap();
    let (code, said) = replay(folder.path(), &[("observations.csv", "in.observation")]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("0 dead letters")
            && said.contains("5 observations were waiting for the row of their datastream")
            && said.contains("5 are of datastreams without a row"),
        "{said}"
    );
}

/// Nothing in it says when anything was: what it says is told all the same.
#[test]
fn a_history_without_any_time_leaves_dead_letters() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("observations.ndjson"),
        "no json\n{\"datastream\":1}\nnor this\n",
    )
    .unwrap();
    let (code, said) = replay(folder.path(), &[("observations.ndjson", "in.observation")]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("3 dead letters") && said.contains("most of the records could not be used: 3 of 3 were refused"),
        "{said}"
    );
    let letters = std::fs::read_to_string(folder.path().join("out/out.deadletter.ndjson")).unwrap();
    assert_eq!(letters.lines().count(), 3, "{letters}");
}
