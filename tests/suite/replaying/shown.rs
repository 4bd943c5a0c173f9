//! How far a history is, as a terminal shows it while it is worked off: where no file is read, only what is written there says so.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use riskflow_model::Millis;

/// What a terminal gets of a command that comes to its end: `script` gives it one of its own.
fn on_a_terminal(folder: &Path, arguments: &[&str]) -> String {
    let program = crate::kafka::riskflow();
    let words = std::iter::once(program.to_str().unwrap()).chain(arguments.iter().copied());
    let line: Vec<String> = words.map(|word| format!("'{word}'")).collect();
    let mut script = Command::new("script");
    script.args(["-q", "-e", "-c", &line.join(" "), "/dev/null"]);
    script.current_dir(folder).stdin(Stdio::null());
    // A dumb terminal is shown no bar.
    let output = script
        .env("TERM", "xterm")
        .env("RISKFLOW_LOG", "warn")
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {shown}");
    shown
}

/// The times that stand behind these words, each with the rate in records a second.
fn positions(shown: &str, words: &str) -> BTreeSet<Millis> {
    let positions = shown.split(words).skip(1).filter_map(|rest| {
        let (time, rest) = rest.split_once(", ")?;
        let (rate, _) = rest.split_once(" records a second")?;
        if time == "base data" {
            return None;
        }
        let at: Millis = time.parse().unwrap_or_else(|_| panic!("{time} is no time: {shown}"));
        let rate: u64 = rate.parse().unwrap_or_else(|_| panic!("{rate} is no rate: {shown}"));
        assert!(rate > 0, "{shown}");
        Some(at)
    });
    positions.collect()
}

#[test]
fn a_terminal_is_shown_how_far_a_replay_and_a_back_test_are_and_how_fast() {
    let folder = tempfile::tempdir().unwrap();
    let generated = Command::new(crate::kafka::riskflow())
        .args(["generate", "weather", "--out", "history"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(generated.status.success());
    let year = ["2013-01-01T00:00:00Z", "2014-01-01T00:00:00Z"].map(|time| time.parse::<Millis>().unwrap());

    // 24 days at a million times their length: two seconds and a bit, and a look each quarter of a second.
    let until = "2013-01-25T00:00:00Z";
    let speed = ["--speed", "1000000", "--until", until, "--out", "out"];
    let shown = on_a_terminal(folder.path(), &[&["replay", "history"][..], &speed].concat());
    let at = positions(&shown, "replay at ");
    assert!(at.len() > 2, "{shown}");
    let bounds = year[0]..=until.parse().unwrap();
    assert!(at.iter().all(|at| bounds.contains(at)), "{at:?}");

    let shown = on_a_terminal(folder.path(), &["backtest", "history", "--rules", "rain"]);
    let at = positions(&shown, "back-test at ");
    assert!(!at.is_empty(), "{shown}");
    assert!(at.iter().all(|at| (year[0]..=year[1]).contains(at)), "{at:?}");
}
