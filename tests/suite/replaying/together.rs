//! A replay by two processes: each says the same of the whole, and ends with the same exit code.

use std::process::{Command, Output};

use serde_json::Value;

use super::{command, replay};
use crate::chaos::free;
use crate::restart::after_a_storm;

/// What two processes say of the same replay, and how they end.
fn by_two(command: &dyn Fn() -> Command) -> [Output; 2] {
    let hosts = format!("cluster.hosts={:?}", [free().to_string(), free().to_string()]);
    let [first, second] = ["cluster.process=0", "cluster.process=1"].map(|process| {
        let mut command = command();
        command.args(["--set", &hosts, "--set", process]);
        command
    });
    std::thread::scope(|scope| {
        let ended = [first, second].map(|mut command| scope.spawn(move || command.output().unwrap()));
        ended.map(|process| process.join().unwrap())
    })
}

/// A summary without how long it took.
fn summary(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    let mut summary: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    summary.as_object_mut().unwrap().remove("seconds");
    summary
}

#[test]
fn two_processes_sum_up_what_one_does() {
    let (place, _checkpoints, _) = after_a_storm(75);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for (way, out) in [(&["--as-ran", "--verify"][..], "as-ran"), (&[][..], "grid")] {
        let (alone, together) = (at(&format!("{out}-one")), at(&format!("{out}-two")));
        let one = summary(&replay(&place, &[way, &["--json", "--out", &alone]].concat()));
        assert!(one["records"]["in.observation"].as_u64() > Some(8), "{one}");
        let program = crate::kafka::riskflow();
        let two = by_two(&|| command(&program, &place, &[way, &["--json", "--out", &together]].concat()));
        for process in &two {
            assert_eq!(process.status.code(), Some(0), "{way:?}");
            assert_eq!(summary(process), one, "{way:?}");
        }
    }
}

/// Of all records, not of those of one process; and a process that took others ends as the first.
#[test]
fn two_processes_say_the_same_of_a_history_that_is_mostly_refused() {
    let folder = super::asked::imported();
    let replayed = by_two(&|| super::asked::of(&folder, &["replay", "--out", "first"]));
    let by_its_own = ["replay", "--out", "second", "--clock", "event-time"];
    let used = by_two(&|| super::asked::of(&folder, &by_its_own));
    // The same of a job whose input ends.
    let rows = std::fs::read_to_string(folder.path().join("in.observation.csv")).unwrap();
    std::fs::write(folder.path().join("broken.ndjson"), rows).unwrap();
    let input = "input={ kind = \"files\", clock = \"event_time\", files = [{ path = \"broken.ndjson\", topic = \"in.observation\" }] }";
    let run = [
        "run",
        "--set",
        "http.enabled=false",
        "--set",
        input,
        "--set",
        "output={ kind = \"files\", path = \"third\" }",
    ];
    let ran = by_two(&|| super::asked::of(&folder, &run));
    for (processes, code, says) in [
        (
            replayed,
            1,
            "most of the records could not be used: 8 of 11 were refused (unknown_datastream 8)",
        ),
        (used, 0, "11 records"),
        (
            ran,
            1,
            "most of the records could not be used: 9 of 9 were refused (malformed 9)",
        ),
    ] {
        for (process, output) in processes.iter().enumerate() {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.code() == Some(code) && said.contains(says),
                "{process}: {says}: {said}"
            );
        }
    }
}
