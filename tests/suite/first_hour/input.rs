//! Rules and records of one's own, into the log and out of it again.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{ASSETS, Desk, Job, RULE, imports};

#[test]
fn a_promotion_says_what_comes_and_goes_and_what_would_silence_all_wants_force() {
    let desk = Desk::new();
    desk.run(&["topics", "--create"]).ends(0, &[]);
    let mine = desk.put("mine.ndjson", format!("{RULE}\n"));
    desk.run(&["rules", "load", &mine]).ends(0, &[]);
    let other = desk.put("other.ndjson", RULE.replace("ours", "other") + "\n");
    desk.run(&["rules", "load", "--into", "strict", "--base", "default", &other])
        .ends(0, &[]);
    desk.run(&["rules", "diff", "strict"])
        .ends(1, &["no job has told of `strict`"]);
    desk.run(&["rules", "promote", "strict", "--dry-run"])
        .ends(0, &["would be live", "rules: 1 until now, 2 then", "live then: other"]);
    desk.run(&["rules", "promote", "default"])
        .ends(0, &["`default` is live already"]);

    desk.put("sets.ndjson", "{\"id\":\"empty\"}\n");
    desk.run(&["import", "in.ruleset=sets.ndjson"]).ends(0, &[]);
    desk.run(&["rules", "promote", "empty"])
        .ends(2, &["it would have no rules", "--force"]);
    let said = desk.run(&["rules", "promote", "empty", "--force", "--json"]);
    said.ends(0, &[]);
    assert_eq!(
        said.json()["rules"],
        json!({"before": 1, "now": 0, "comes": [], "goes": ["ours"]})
    );
    desk.run(&["rules", "promote", "default"])
        .ends(0, &["rules: 0 until now, 1 then"]);

    desk.put(
        "typo.ndjson",
        "{\"id\":\"typo\",\"base\":\"default\",\"remove\":[\"ours\"]}\n",
    );
    let said = desk.run(&["import", "in.ruleset=typo.ndjson"]);
    assert!(
        said.err.contains("remove") || said.out.contains("remove"),
        "{}{}",
        said.out,
        said.err
    );
    assert_ne!(said.code, Some(0));
}

#[test]
fn packs_and_files_are_loaded_once_and_what_someone_changed_is_kept() {
    let desk = Desk::new();
    let load = |arguments: &[&str]| {
        let said = desk.run(&[&["rules", "load", "--json"], arguments].concat());
        said.ends(0, &[]);
        let rows = said.json()["rows"].as_array().unwrap().clone();
        let states: Vec<String> = rows
            .iter()
            .map(|row| row["state"].as_str().unwrap().to_owned())
            .collect();
        states
    };
    let all = |states: &[String], state: &str| !states.is_empty() && states.iter().all(|it| it == state);
    let listed = desk.run(&["rules", "list", "--json"]);
    let count = listed.json().as_array().unwrap().len();
    assert!(all(&load(&["--dry-run"]), "new"));
    assert!(
        !Path::new(&desk.path("data/log/in.rule")).exists(),
        "nothing was loaded"
    );
    let first = load(&[]);
    assert!(all(&first, "new") && first.len() == count, "{first:?}");
    let records = desk.tail("in.rule").len() + desk.tail("base.limit").len();
    assert_eq!(records, count);
    assert!(all(&load(&[]), "unchanged"));
    assert_eq!(desk.tail("in.rule").len() + desk.tail("base.limit").len(), records);

    let mine = |version: u32, threshold: u32| {
        let rule = RULE.replace("\"version\":1", &format!("\"version\":{version}"));
        desk.put("mine.ndjson", rule.replace(":50", &format!(":{threshold}")) + "\n")
    };
    let path = mine(2, 60);
    assert_eq!(load(&[&path]), ["new"]);
    mine(2, 70);
    assert_eq!(load(&[&path]), ["kept"]);
    mine(1, 70);
    assert_eq!(load(&[&path]), ["kept"]);
    mine(3, 70);
    assert_eq!(load(&[&path]), ["replaced"]);
    mine(1, 80);
    assert_eq!(load(&[&path, "--replace"]), ["replaced"]);
    assert_eq!(
        desk.tail("in.rule")
            .iter()
            .filter(|record| record["key"] == "ours")
            .count(),
        3
    );

    // What is wrong is told, all of it, and nothing is loaded.
    let bad = format!(
        "{RULE}\n{}\n{}\n",
        RULE.replace("ours", "good"),
        RULE.replace("last", "lst").replace("ours", "bad")
    );
    let bad = desk.put(
        "bad.ndjson",
        bad.replace("\"ours\"", "\"also\"").replace(":50", ":\"x\""),
    );
    let said = desk.run(&["rules", "load", &bad, "gas"]);
    said.ends(2, &["bad.ndjson:1", "bad.ndjson:3", "nothing was loaded"]);
    assert_eq!(
        desk.tail("in.rule")
            .iter()
            .filter(|record| record["key"] == "good")
            .count(),
        0
    );
    desk.run(&["rules", "load", "rian"])
        .ends(2, &["`rian` is neither a pack nor a file", "rain"]);
    desk.run(&["rules", "list", "rian"])
        .ends(2, &["there is no pack `rian`"]);
    desk.run(&["rules", "list", "rain"]).ends(0, &["rain"]);
}

/// What the file says about the rows that are refused.
fn rejected(desk: &Desk) {
    let rejects = fs::read_to_string(desk.path("import-rejects.ndjson")).unwrap();
    let rejects: Vec<Value> = rejects
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rejects.len(), 2);
    assert_eq!((&rejects[0]["row"], &rejects[1]["row"]), (&json!(4), &json!(5)));
    assert_eq!(
        (&rejects[1]["reason"], &rejects[1]["problems"][0]["field"]),
        (&json!("invalid_field"), &json!("result"))
    );
    assert_eq!(rejects[1]["problems"][0]["found"], "2000000000");
    assert!(rejects[1]["problems"][0]["give"].as_str().unwrap().contains("number"));
}

#[test]
fn files_of_others_are_imported_and_warn() {
    let desk = Desk::new();
    imports(&desk);
    // Another order, other names, local times, a unit in front, and rows that cannot be used.
    let text = "\"Station\",Zeit,Wert,Note\n\
        gas,2021-07-25 08:10,40,\n\
        gas,2021/07/25 08:00:00,60.5,first\n\
        gas,yesterday,1,\n\
        gas,2021-07-25 08:20,2e9,\n\
        gas,2021-07-25 08:30,10,\n";
    let history = desk.put("history.csv", text);
    let map = [
        "--map",
        "Station=datastream",
        "--map",
        "Zeit=phenomenon_time",
        "--map",
        "Wert=result",
        "--utc-offset",
        "+08:00",
    ];
    // A map goes for every file: these three are imported apart.
    desk.run(&[
        "import",
        "assets.csv",
        "datastreams.csv",
        "in.rule=rules.ndjson",
        "--dry-run",
    ])
    .ends(
        0,
        &["3 rows: 3 would be imported (base.asset 1, base.datastream 1, in.rule 1), 0 refused"],
    );
    assert!(!Path::new(&desk.path("data/log")).exists());
    desk.run(&[
        "import",
        "assets.csv",
        "datastreams.csv",
        "in.rule=rules.ndjson",
        "--arrival",
        "2021-07-24T00:00:00Z",
    ])
    .ends(0, &["3 rows: 3 imported"]);
    let all = ["import", "assets.csv", "in.observation=history.csv"];
    desk.run(&[&all[..], &map].concat())
        .ends(2, &["has no column `Station`"]);
    let arguments = [&["import", &history, "--topic", "in.observation"][..], &map].concat();
    let said = desk.run(&arguments);
    said.ends(
        4,
        &[
            "5 rows: 3 imported (in.observation 3), 2 refused",
            "history.csv, row 4: invalid_field: `phenomenon_time` is \"yesterday\"",
            "import-rejects.ndjson",
            "`time.horizon`",
        ],
    );
    rejected(&desk);
    // In the order of their times, which are those of their arrival.
    let records = desk.tail("in.observation");
    let times: Vec<&Value> = records.iter().map(|record| &record["arrival"]).collect();
    assert_eq!(times, [1_627_171_200_000_i64, 1_627_171_800_000, 1_627_173_000_000]);
    assert!(records.iter().all(|record| record["key"] == "gas"));

    desk.run(&["run", "--set", "input.clock=arrival"]).ends(0, &[]);
    let deltas = desk.tail("out.warning.delta");
    let kinds: Vec<&Value> = deltas.iter().map(|delta| &delta["value"]["kind"]).collect();
    assert_eq!(kinds, ["raised", "cleared"]);
    assert_eq!(deltas[0]["value"]["since"], "2021-07-25T00:00:00.000Z");
}

#[test]
fn what_is_packed_or_comes_through_a_pipe_is_imported_too() {
    let desk = Desk::new();
    let lines = "{\"s\":\"gas\",\"t\":1627171200,\"v\":0.10}\n{\"s\":\"gas\",\"t\":1627171260,\"v\":2}\n";
    desk.put("observations.ndjson", lines);
    let packed = Command::new("gzip")
        .args(["-k", "observations.ndjson"])
        .current_dir(desk.0.path())
        .status();
    assert!(packed.unwrap().success());
    let mapping = desk.put(
        "mapping.toml",
        "time_unit = \"s\"\n[map]\ns = \"datastream\"\nt = \"phenomenon_time\"\nv = \"result\"\n[values]\nquality = \"suspect\"\n",
    );
    let said = desk.run(&["import", "observations.ndjson.gz", "--mapping", &mapping, "--json"]);
    said.ends(0, &["1 datastreams have no row in `base.datastream`"]);
    assert_eq!(said.json()["topics"], json!({"in.observation": 2}));
    let first = desk.tail("in.observation");
    assert_eq!(first[0]["value"]["quality"], "suspect");
    desk.run_with(
        &["import", "-", "--topic", "in.observation", "--mapping", &mapping],
        lines.as_bytes(),
    )
    .ends(0, &["2 rows: 2 imported"]);
    assert_eq!(desk.tail("in.observation").len(), 4);

    // What another log prints comes back as it was, deletions too.
    let envelopes = "{\"topic\":\"base.region\",\"key\":\"3309\",\"value\":{\"code\":\"3309\",\"name\":\"a\"},\"arrival\":1627171200000}\n\
        {\"topic\":\"base.region\",\"key\":\"3309\",\"value\":null,\"arrival\":1627171200001}\n\
        {\"topic\":\"out.notice\",\"key\":\"a\",\"value\":{}}\n";
    desk.run_with(&["import", "-"], envelopes.as_bytes()).ends(
        4,
        &["3 rows: 2 imported (base.region 2), 1 refused", "which riskflow writes"],
    );
    let regions = desk.tail("base.region");
    assert_eq!(
        (&regions[1]["value"], &regions[1]["arrival"]),
        (&Value::Null, &json!(1_627_171_200_001_i64))
    );
}

#[test]
fn an_import_of_which_most_would_be_refused_imports_nothing() {
    let desk = Desk::new();
    let bad = desk.put("assets.csv", format!("{ASSETS}a,,,,x,\nb,,,,y,\n"));
    let said = desk.run(&["import", &bad]);
    said.ends(
        1,
        &[
            "most of the rows would be refused (2 of 3): nothing was imported",
            "assets.csv, row 3",
        ],
    );
    assert!(!Path::new(&desk.path("data/log")).exists());
    // Wrong usage, all of it at once.
    let said = desk.run(&[
        "import",
        "nowhere.csv",
        "unknown.csv",
        "--topic",
        "out.notice",
        "--map",
        "x",
        "--utc-offset",
        "noon",
    ]);
    said.ends(2, &["`out.notice`", "`--map` is `x`", "`noon`"]);
    desk.put("unknown.csv", "a\n1\n");
    desk.run(&["import", "nowhere.csv", "unknown.csv"])
        .ends(2, &["nowhere.csv", "unknown.csv", "--topic"]);
    desk.put("rejects", "");
    desk.run(&["import", "unknown.csv", "--topic", "base.asset"])
        .ends(2, &["has no `"]);
}

#[test]
fn the_newest_records_are_printed_and_those_since_a_time() {
    let desk = Desk::new();
    let times = (0..30).map(|minute| {
        format!("{{\"datastream\":\"s{minute}\",\"phenomenon_time\":\"2021-07-25T00:{minute:02}:00Z\",\"result\":1}}\n")
    });
    desk.put("observations.ndjson", times.collect::<String>());
    desk.run(&["import", "observations.ndjson"]).ends(0, &[]);
    let keys = |arguments: &[&str]| -> Vec<String> {
        let said = desk.run(&[&["tail", "in.observation", "--json"], arguments].concat());
        said.ends(0, &[]);
        let records = said
            .out
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        records
            .map(|record| record["key"].as_str().unwrap().to_owned())
            .collect()
    };
    let named = |numbers: std::ops::Range<u32>| numbers.map(|number| format!("s{number}")).collect::<Vec<_>>();
    assert_eq!(keys(&["-n", "7"]), named(23..30));
    assert_eq!(keys(&["-n", "0"]), named(0..0));
    assert_eq!(keys(&["-n", "99"]), named(0..30));
    assert_eq!(keys(&[]).len(), 30);
    let mut since = keys(&["--since", "2021-07-25T08:25:00+08:00"]);
    since.sort();
    assert_eq!(since, named(25..30));
    assert_eq!(keys(&["--since", "2021-07-25T00:10:00Z", "-n", "2"]), named(28..30));
    assert_eq!(keys(&["--since", "1h"]), named(0..0));
    desk.run(&["tail", "in.observation", "--since", "noon"])
        .ends(2, &["`noon`", "2h"]);

    // A follower begins with the newest, and goes on.
    let mut command = desk.command(&["tail", "in.observation", "-f", "-n", "2", "--json"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap()["key"].clone();
    assert_eq!([next(), next()], ["s28", "s29"]);
    desk.put(
        "more.ndjson",
        "{\"datastream\":\"more\",\"phenomenon_time\":\"2021-07-25T01:00:00Z\",\"result\":1}\n",
    );
    desk.run(&["import", "in.observation=more.ndjson"]).ends(0, &[]);
    assert_eq!(next(), "more");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_promotion_that_is_waited_for_says_when_the_set_is_live() {
    let desk = Desk::new();
    desk.run(&["topics", "--create"]).ends(0, &[]);
    let mine = desk.put("mine.ndjson", format!("{RULE}\n"));
    desk.run(&["rules", "load", &mine]).ends(0, &[]);
    desk.run(&["rules", "load", "--into", "strict", &mine]).ends(0, &[]);
    let promote = |set: &str, wait: &str| desk.run(&["rules", "promote", set, wait, "--json"]);
    let said = promote("strict", "--wait=200ms");
    said.ends(5, &[]);
    assert_eq!(said.json()["outcome"], "unknown");
    // It is kept: a job that comes takes it.
    let mut job = Job::start(desk.command(&["run"]));
    job.says(&["rules are in force"]);
    let said = promote("default", "--wait");
    said.ends(0, &[]);
    assert_eq!(
        (&said.json()["outcome"], &said.json()["before"]),
        (&json!("live"), &json!("strict"))
    );
    let states = desk.tail("out.ruleset");
    let newest = |set: &str| states.iter().rev().find(|row| row["key"] == set).unwrap()["value"]["live"].clone();
    assert_eq!((newest("default"), newest("strict")), (json!(true), json!(false)));
    desk.run(&["rules", "promote", "strict", "--wait"])
        .ends(0, &["a job made it live: epoch "]);
    assert_eq!(job.stop().0, Some(0));
}

/// What never ends would fill the disk with its copy.
#[test]
fn what_never_ends_is_not_copied_for_ever() {
    let desk = Desk::new();
    let rows = ["--topic", "in.observation", "--format", "ndjson"];
    desk.run(&[&["import", "/dev/zero"], &rows[..]].concat())
        .ends(2, &["`/dev/zero` is a device", "give a file, or a pipe that ends"]);
    desk.run(&["backtest", "--rules", "rain", "in.observation=/dev/urandom"])
        .ends(2, &["`/dev/urandom` is a device"]);
    let mut endless = Command::new("yes").stdout(Stdio::piped()).spawn().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut import = desk.command(&[&["import", "-", "--copy-limit", "2"], &rows[..]].concat());
    import
        .env("TMPDIR", folder.path())
        .stdin(endless.stdout.take().unwrap());
    super::Said::of(import.output().unwrap()).ends(2, &["no more than 2 MiB", "`--copy-limit` (2 MiB now)", "TMPDIR"]);
    endless.kill().unwrap();
    endless.wait().unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "no copy is left");
}

/// `n/a` is the name of a state, which the row of its datastream would have to know: the job refuses it, so the import does.
#[test]
fn states_that_no_row_knows_are_refused_rows() {
    let desk = Desk::new();
    imports(&desk);
    let row = |datastream: &str, minute: u32, result: &str| {
        format!(
            "{{\"datastream\":\"{datastream}\",\"phenomenon_time\":\"2026-01-01T00:{minute:02}:00Z\",\"result\":{result}}}\n"
        )
    };
    let rows: String = [
        row("gas", 0, "1"),
        row("gas", 1, "\"n/a\""),
        row("gas", 2, "true"),
        // It waits for its row, which may know it.
        row("nobody", 3, "\"open\""),
    ]
    .concat();
    desk.put("rows.ndjson", rows);
    let import = |files: &[&str]| desk.run(&[&["import"], files].concat());
    import(&["assets.csv", "datastreams.csv", "in.observation=rows.ndjson"]).ends(
        4,
        &[
            "6 rows: 5 imported",
            "1 refused",
            "`result` is `n/a`, which the row of `gas` does not know",
            "unknown_state",
        ],
    );
    // By the rows that are there already, too.
    import(&["in.observation=rows.ndjson"]).ends(4, &["4 rows: 3 imported", "1 refused"]);
    assert_eq!(desk.tail("in.observation").len(), 6);
    desk.put(
        "open.ndjson",
        "{\"id\":\"gas\",\"asset\":\"tank\",\"observed_property\":\"gas\",\"states\":{\"n/a\":0}}\n",
    );
    import(&["base.datastream=open.ndjson", "in.observation=rows.ndjson"]).ends(0, &["5 rows: 5 imported"]);
}

/// As a stop does: the next start has nothing to do again.
#[test]
fn a_history_that_ended_leaves_a_checkpoint() {
    let desk = Desk::new();
    imports(&desk);
    let row = "{\"datastream\":\"gas\",\"phenomenon_time\":\"2026-01-01T00:00:00Z\",\"result\":60}\n";
    desk.put("rows.ndjson", row);
    desk.run(&[
        "import",
        "assets.csv",
        "datastreams.csv",
        "in.rule=rules.ndjson",
        "in.observation=rows.ndjson",
    ])
    .ends(0, &[]);
    let run = || desk.run(&["run", "--set", "input.clock=event_time"]);
    run().ends(0, &[]);
    desk.run(&["checkpoint", "list"]).ends(0, &["whole"]);
    let told = desk.tail("out.warning.delta");
    assert_eq!(told.len(), 1, "{told:?}");
    let epochs = desk.tail("out.epoch");
    run().ends(0, &["going on after an earlier run", "epochs=0"]);
    assert_eq!(desk.tail("out.warning.delta"), told);
    assert_eq!(
        desk.tail("out.epoch"),
        epochs,
        "an epoch in which nothing happens is in no output"
    );
}
