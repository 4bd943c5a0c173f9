//! A replay into a log that is killed at every border of commits and checkpoints: it goes on, and gives what it gives in one go, at any speed.

use std::collections::BTreeMap;
use std::time::Duration;

use riskflow_model::progress::ClosedEpoch;
use riskflow_model::topic::Topic;

use super::{assert_same, command, live, new_rule, replay, speed};
use crate::chaos::place::{LogPlace, Place};
use crate::restart::after_a_storm;

/// Where one run after the other ends. A checkpoint is due after 400 ms.
const DEATHS: [&str; 6] = [
    "log::commit::before_commit=2*off->return",
    "log::commit::after_commit=1*off->return",
    "checkpoint::before_manifest=return",
    "log::commit::before_commit=2*off->return",
    "log::commit::after_commit=1*off->return",
    "checkpoint::before_manifest=return",
];

/// Runs it until it comes to its end.
fn again_and_again(place: &dyn Place, arguments: &[&str]) {
    for armed in DEATHS {
        let mut command = command(&crate::kafka::with_failpoints(), place, arguments);
        let ended = command.env("FAILPOINTS", armed).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(
            ended.status.code().is_none(),
            "{arguments:?} was not killed by {armed}: {said}"
        );
    }
    replay(place, arguments);
}

/// The epochs that were closed, and what was kept of each. How far rules were read that are given to the command is told once more behind
/// each start, and left out.
fn closed(place: &dyn Place) -> BTreeMap<String, Option<String>> {
    let rows = place.all(Topic::EPOCH).into_iter();
    let rows = rows.filter(|row| !ClosedEpoch::is_position(&row.key));
    let without_rules = |value: String| value.replace(r#""in.rule/0":1,"#, "");
    rows.map(|row| (row.key, row.value.map(without_rules))).collect()
}

#[test]
fn a_replay_that_is_killed_again_and_again_goes_on_and_gives_the_same() {
    let (place, _checkpoints, _) = after_a_storm(62);
    let folder = tempfile::tempdir().unwrap();
    let rule = new_rule(folder.path());
    // Long enough for all deaths. At once epochs that wait are committed together.
    let slowly = speed::that_takes(&place, Duration::from_secs(2));
    let ways: [&[&str]; 3] = [&["--as-ran", "--verify"], &[], &["--rules", &rule]];
    for way in ways {
        let into_a_log = |work: &dyn Fn(&[&str])| {
            let folder = tempfile::tempdir().unwrap();
            let log = folder.path().join("log");
            work(&[way, &["--to-log", log.to_str().unwrap()]].concat());
            LogPlace::at_output(folder, "log")
        };
        let whole = into_a_log(&|arguments| drop(replay(&place, arguments)));
        let pieces = into_a_log(&|arguments| {
            again_and_again(&place, &[arguments, &["--speed", &slowly]].concat());
        });
        let wanted = live(&whole);
        let deltas = wanted.keys().filter(|(topic, _)| *topic == Topic::WARNING_DELTA);
        assert!(deltas.count() > 2, "{way:?}: a history in which nothing happens");
        assert_same(&live(&pieces), &wanted);
        assert_eq!(closed(&pieces), closed(&whole), "{way:?}");
        if way.contains(&"--as-ran") {
            assert_same(&wanted, &live(&place));
            assert_eq!(closed(&whole), closed(&place));
        }
    }
}
