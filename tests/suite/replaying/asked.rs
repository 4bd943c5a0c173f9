//! What is asked of a replay: whether it goes on as it began, whether the history has such times, and what most of it was refused for.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::{command, replay};
use crate::restart::after_a_storm;

/// The exit code of a command, and what it says.
fn ended(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

#[test]
fn a_replay_into_a_log_goes_on_as_it_began_or_not_at_all() {
    let (place, _checkpoints, _) = after_a_storm(68);
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let log = log.to_str().unwrap();
    let output = replay(&place, &["--to-log", log]);
    let said = String::from_utf8_lossy(&output.stderr);
    let read = format!(" --set output.kind=log --set output.path={log}` shows its warnings");
    // What leads to the input is said again, for its names of regions.
    assert!(
        said.contains("`riskflow tail warnings --set ") && said.contains(&read),
        "{said}"
    );
    // At another speed, and with nothing left to do.
    replay(&place, &["--to-log", log, "--speed", "1000"]);
    let other = ["--to-log", log, "--until", "2100-01-01T00:00:00Z", "--rules", "rain"];
    let (code, said) = ended(&mut command(&crate::kafka::riskflow(), &place, &other));
    assert_eq!(code, Some(2), "{said}");
    for says in [
        "`--until` is `2100-01-01T00:00:00.000Z`; give what it was when this replay began (not given), or replay to another place",
        "`--rules` is `rain`; give what it was when this replay began (not given)",
        "a replay with other arguments stands in `",
    ] {
        assert!(said.contains(says), "{says}: {said}");
    }
    replay(&place, &["--to-log", log]);
}

#[test]
fn times_that_the_history_does_not_have_are_told() {
    let (place, _checkpoints, _) = after_a_storm(69);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    for (times, says) in [
        (
            ["--from", "2100-01-01T00:00:00Z"],
            "`--from` is 2100-01-01T00:00:00.000Z, and the history ends with ",
        ),
        (
            ["--until", "1971-01-01T00:00:00Z"],
            "`--until` is 1971-01-01T00:00:00.000Z, and the history has no records by then",
        ),
    ] {
        let arguments = [&times[..], &["--out", out.to_str().unwrap()]].concat();
        let (code, said) = ended(&mut command(&crate::kafka::riskflow(), &place, &arguments));
        assert!(code == Some(2) && said.contains(says), "{times:?}: {said}");
    }
    // Nothing was written that could be read.
    let log = folder.path().join("log");
    let arguments = ["--from", "2100-01-01T00:00:00Z", "--to-log", log.to_str().unwrap()];
    let (code, said) = ended(&mut command(&crate::kafka::riskflow(), &place, &arguments));
    assert!(code == Some(2) && !said.contains("shows its warnings"), "{said}");
}

#[test]
fn files_that_end_before_from_are_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "in.observation.csv",
        "datastream,phenomenon_time,result\ngas-1,2013-05-02T00:00:00Z,1\ngas-1,2013-05-01T00:00:00Z,1\n",
    );
    let says = "`--from` is 2024-07-24T00:00:00.000Z, and the history ends with 2013-05-02T00:00:00.000Z: nothing of it would be written";
    let late = [
        "replay",
        "in.observation.csv",
        "--from",
        "2024-07-24T00:00:00Z",
        "--to-log",
        "exercise",
    ];
    let (code, said) = ended(&mut of(&folder, &late));
    assert!(
        code == Some(2) && said.contains(says) && !said.contains("replayed"),
        "{said}"
    );
    assert!(!folder.path().join("exercise").exists(), "nothing is begun");
    let rules = [
        "backtest",
        "--rules",
        "rain",
        "in.observation.csv",
        "--from",
        "2024-07-24T00:00:00Z",
    ];
    let (code, said) = ended(&mut of(&folder, &rules));
    assert!(code == Some(2) && said.contains(says), "{said}");
}

#[test]
fn a_checkpoint_behind_which_nothing_ran_proves_nothing_and_says_what_to_do() {
    let (place, checkpoints, _) = after_a_storm(70);
    let checkpoints = checkpoints.path();
    let pin = ["checkpoint", "pin", "newest"];
    let (code, said) = ended(&mut crate::restart::command(&place, checkpoints, &pin));
    assert_eq!(code, Some(0), "{said}");
    let folder = tempfile::tempdir().unwrap();
    let (out, path) = (folder.path().join("out"), format!("checkpoint.path={checkpoints:?}"));
    let begins = [
        "--as-ran",
        "--verify",
        "--from-checkpoint",
        "newest",
        "--set",
        &path,
        "--out",
    ];
    let arguments = [&begins[..], &[out.to_str().unwrap()]].concat();
    let (code, said) = ended(&mut command(&crate::kafka::riskflow(), &place, &arguments));
    for says in ["no epoch was compared", "First pin, then let the job run, then replay"] {
        assert!(code == Some(1) && said.contains(says), "{says}: {said}");
    }
    assert!(!said.contains("times that were asked for"), "{said}");
}

/// The files of a folder by name; none where there is none.
fn there(folder: &Path) -> Vec<(OsString, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let files = entries
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_file());
    let mut files: Vec<_> = files
        .map(|entry| (entry.file_name(), std::fs::read(entry.path()).unwrap()))
        .collect();
    files.sort_unstable();
    files
}

/// Whatever stands where a replay is to write, it is named for what it is, and left as it is.
#[test]
fn a_place_that_holds_something_else_is_refused_for_what_it_is() {
    let folder = imported();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("notes")).unwrap();
    std::fs::write(at("notes/in.observation.ndjson"), "{}\n").unwrap();
    std::fs::write(at("file"), "").unwrap();
    let by_its_own = ["replay", "--clock", "event-time"];
    for to in [["--out", "files"], ["--to-log", "log"]] {
        let (code, said) = ended(&mut of(&folder, &[&by_its_own[..], &to].concat()));
        assert_eq!(code, Some(0), "{to:?}: {said}");
    }
    let configured = riskflow_config::WrittenSettings::default().check().unwrap();
    let riskflow_config::Input::Log(live) = configured.input else {
        panic!("by default the input is a log");
    };
    let live = live.to_str().unwrap().to_owned();
    for (to, place, says) in [
        (
            "--to-log",
            "notes",
            "`notes` is not empty, and no replay wrote it; give another folder",
        ),
        (
            "--out",
            "notes",
            "`notes` is not empty, and no replay wrote it; give another folder",
        ),
        (
            "--to-log",
            "files",
            "`files` has the files of a replay in it, and no log; give another folder",
        ),
        (
            "--out",
            "log",
            "`log` is the log of a replay, and no folder of files; give another folder",
        ),
        (
            "--to-log",
            &*live,
            "is a log that no exercise made: nothing is replayed into it; give another folder",
        ),
        ("--out", &*live, "is a log, and no replay wrote it; give another folder"),
        ("--to-log", "file", "`file` is no folder; give one"),
        ("--out", "file", "`file` is no folder; give one"),
    ] {
        let before = there(&at(place));
        let (code, said) = ended(&mut of(&folder, &[&by_its_own[..], &[to, place]].concat()));
        assert!(code == Some(2) && said.contains(says), "{to} {place}: {code:?}: {said}");
        assert!(there(&at(place)) == before, "{to} {place}");
    }
}

/// A log of readings of last year, and of rows that were imported after them.
pub(super) fn imported() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let readings: String = (0..8)
        .map(|minute| format!("gas-1,2025-01-01T00:0{minute}:00Z,60\n"))
        .collect();
    write(
        "in.observation.csv",
        &format!("datastream,phenomenon_time,result\n{readings}"),
    );
    write(
        "base.asset.csv",
        "id,category,domain,region,inherent_level,population\ntank,tank,work_safety,330902001001,4,1\n",
    );
    write("base.datastream.csv", "id,asset,observed_property\ngas-1,tank,gas\n");
    let rule = r#"[{"id":"gas","version":1,"source":"test","select":{"observed_property":"gas"},"levels":{
        "blue":{"when":{"feature":"last","window":"1h","op":">=","threshold":50}}}}]"#;
    write("gas.json", rule);
    for arguments in [
        &["import", "in.observation.csv"][..],
        &["import", "base.asset.csv", "base.datastream.csv"],
        &["rules", "load", "gas.json"],
    ] {
        let (code, said) = ended(&mut of(&folder, arguments));
        assert_eq!(code, Some(0), "{arguments:?}: {said}");
    }
    folder
}

/// A command in a folder, with the embedded log there.
pub(super) fn of(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(crate::kafka::riskflow());
    command
        .current_dir(folder.path())
        .args(arguments)
        .args(["--log", "warn"]);
    command
}

/// Rules of a candidate are none of the live set, though `--rules` was given.
#[test]
fn rules_of_a_set_that_is_not_live_are_told_as_such() {
    let folder = imported();
    let rule = std::fs::read_to_string(folder.path().join("gas.json")).unwrap();
    let of_set = rule.replace(r#""id":"gas""#, r#""id":"cand/gas""#);
    assert_ne!(of_set, rule);
    std::fs::write(folder.path().join("set.json"), of_set).unwrap();
    let arguments = ["replay", "--clock", "event-time", "--out", "out", "--rules", "set.json"];
    let (code, said) = ended(&mut of(&folder, &arguments));
    assert_eq!(code, Some(0), "{said}");
    for says in [
        "NO RULE IS IN FORCE",
        "are of the set `cand`, and `default` is live",
        "identifiers without a set",
    ] {
        assert!(said.contains(says), "{says}: {said}");
    }
    assert!(!said.contains("The history has none"), "{said}");
}

#[test]
fn what_most_of_an_imported_history_is_refused_for_is_told_with_the_cure() {
    let folder = imported();
    let (code, said) = ended(&mut of(&folder, &["replay", "--out", "first"]));
    assert_eq!(code, Some(1), "{said}");
    for says in [
        "records could not be used: unknown_datastream 8; `first/out.deadletter.ndjson` shows which, and why",
        "most of the records could not be used: 8 of 11 were refused (unknown_datastream 8)",
        "`--clock event-time` goes by the times in the records",
    ] {
        assert!(said.contains(says), "{says}: {said}");
    }
    assert!(!said.contains("riskflow tail"), "{said}");
    let (code, said) = ended(&mut of(
        &folder,
        &["replay", "--out", "second", "--clock", "event-time"],
    ));
    assert!(code == Some(0) && said.contains("raised 1"), "{said}");
    let (code, said) = ended(&mut of(&folder, &["backtest", "--rules", "gas.json"]));
    assert!(
        code == Some(1) && said.contains("`--clock event-time` goes by"),
        "{said}"
    );

    let explain = ["explain", "tank", "--at", "2025-01-01T00:05:00Z"];
    let (code, said) = ended(&mut of(&folder, &explain));
    assert!(
        code == Some(1) && said.contains("`--set input.clock=event_time` goes by"),
        "{said}"
    );
    let by_its_own = [&explain[..], &["--set", "input.clock=event_time"]].concat();
    let output = of(&folder, &by_its_own).output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(out.contains("on gas-1: blue since 2025-01-01T00:00:00"), "{out}");
}
