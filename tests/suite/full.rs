//! An output that is full, or that nobody reads any more, ends a command that comes to an end: with an error, or without a word.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A year of weather, and what it gives: more than a pipe holds.
fn weather() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("history");
    let made = program(&["generate", "weather", "--out", out.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(made.status.success());
    folder
}

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(super::kafka::riskflow());
    command.args(arguments).args(["--log", "warn"]);
    command
}

fn history(folder: &TempDir) -> String {
    folder.path().join("history").to_str().unwrap().to_owned()
}

/// What a command says that writes to a full disk: not for ever.
fn on_full(mut command: Command) -> String {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let Output { status, stderr, .. } = command.stdout(full).output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    said
}

/// Reads a line of what a command writes, and no more: its exit code, and what it says.
fn after_a_line(mut command: Command) -> (Option<i32>, String) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    reader.read_line(&mut line).unwrap();
    assert!(line.starts_with('{'), "{line}");
    drop(reader);
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn what_cannot_be_written_to_standard_output_ends_the_command() {
    let folder = weather();
    let history = history(&folder);
    let replay = ["replay", &history, "--rules", "rain", "--out", "-"];
    let said = on_full(program(&replay));
    assert!(
        said.contains("standard output cannot be written") && said.contains("No space left on device"),
        "{said}"
    );
    assert_eq!(after_a_line(program(&replay)), (Some(0), String::new()));
    let generate = ["generate", "weather", "--out", "-"];
    let said = on_full(program(&generate));
    assert!(said.contains("standard output cannot be written"), "{said}");
    assert_eq!(after_a_line(program(&generate)), (Some(0), String::new()));
    let tests = config();
    for arguments in [
        &["rules", "list"][..],
        &["schema", "in.rule"],
        &["rules", "test", tests.to_str().unwrap()],
        &["backtest", "--rules", "rain", "--json", "-", &history],
    ] {
        let said = on_full(program(arguments));
        assert!(
            said.contains("standard output cannot be written"),
            "{arguments:?}: {said}"
        );
    }
}

fn config() -> std::path::PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    root.join("config/rules/tests/rain.yaml")
}

/// A job that goes on for ever waits until there is room; one that comes to an end does not.
#[test]
fn a_file_that_cannot_be_written_ends_what_comes_to_an_end() {
    let folder = weather();
    let out = folder.path().join("out");
    std::fs::create_dir(&out).unwrap();
    std::os::unix::fs::symlink("/dev/full", out.join("out.risk.region.ndjson")).unwrap();
    let files = [
        "base.region",
        "base.asset",
        "base.datastream",
        "in.rule",
        "in.observation",
    ];
    let files = files.map(|topic| {
        format!(
            "{{ path = \"{}/{topic}.ndjson\", format = \"envelope\" }}",
            history(&folder)
        )
    });
    let input = format!(
        "input={{ kind = \"files\", clock = \"event_time\", files = [{}] }}",
        files.join(", ")
    );
    let output = format!("output={{ kind = \"files\", path = {out:?} }}");
    let said = on_full(program(&[
        "run",
        "--set",
        &input,
        "--set",
        &output,
        "--set",
        "http.enabled=false",
    ]));
    assert!(
        said.contains("out.risk.region.ndjson cannot be written") && said.contains("No space left on device"),
        "{said}"
    );
}

#[test]
fn what_is_generated_says_which_file_is_full() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/dev/full", folder.path().join("in.observation.ndjson")).unwrap();
    let made = program(&["generate", "weather", "--out", folder.path().to_str().unwrap()])
        .output()
        .unwrap();
    let said = String::from_utf8(made.stderr).unwrap();
    assert!(
        made.status.code() == Some(1) && said.contains("in.observation.ndjson`") && said.contains("No space left"),
        "{said}"
    );
}
