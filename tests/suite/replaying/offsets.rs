//! A part of the history by offsets.

use std::collections::BTreeMap;

use riskflow_model::topic::Topic;
use serde_json::Value;

use super::{command, new_rule, replay};
use crate::chaos::place::Place;
use crate::restart::after_a_storm;

/// Of a partition so many records are read as lie between two offsets, of the others all; what is not there is refused with what is.
pub(super) fn between(place: &dyn Place) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let out = out.to_str().unwrap();
    let mut counts: BTreeMap<u16, u64> = BTreeMap::new();
    for row in place.all(Topic::IN_OBSERVATION) {
        *counts.entry(row.partition).or_default() += 1;
    }
    let (all, (partition, count)) = (counts.values().sum::<u64>(), counts.first_key_value().unwrap());
    assert!(*count > 8, "there are hardly any records: {counts:?}");
    let at = |offset: u64| format!("in.observation/{partition}={offset}");
    let taken = |arguments: &[&str]| {
        let output = replay(place, &[&["--json", "--out", out], arguments].concat());
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        summary["records"]["in.observation"].as_u64().unwrap()
    };
    assert_eq!(taken(&[]), all);
    assert_eq!(taken(&["--from-offset", &at(3)]), all - 3);
    assert_eq!(taken(&["--until-offset", &at(7)]), all - count + 7);
    for workers in ["cluster.workers=1", "cluster.workers=3"] {
        let part = ["--from-offset", &at(3), "--until-offset", &at(7), "--set", workers];
        assert_eq!(taken(&part), all - count + 4);
    }
    // The end itself is an offset.
    assert_eq!(taken(&["--from-offset", &at(*count)]), all - count);

    let until = format!("`--until-offset in.observation/{partition}` is 2; give an offset from 5 on");
    let beyond = format!(
        "is {}; give an offset from 0, the first that is there, to {count}, behind the last",
        count + 1
    );
    for (arguments, says) in [
        (
            ["--from-offset", &at(count + 1), "--until-offset", &at(*count)],
            &*beyond,
        ),
        (
            ["--from-offset", "in.observation/77=0", "--until-offset", &at(7)],
            "is a partition that is not there; give one of 0 to 2",
        ),
        (["--from-offset", &at(1), "--from-offset", &at(2)], "is given twice"),
        (["--from-offset", &at(5), "--until-offset", &at(2)], &*until),
        (
            ["--from-offset", "in.observation=1", "--until-offset", &at(7)],
            "give TOPIC/PARTITION=N",
        ),
        (
            ["--from-offset", "out.epoch/0=1", "--until-offset", &at(7)],
            "a topic that riskflow reads",
        ),
    ] {
        let arguments = [&arguments[..], &["--out", out]].concat();
        let output = command(&crate::kafka::riskflow(), place, &arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(2) && said.contains(says),
            "{arguments:?}: {said}"
        );
    }
}

/// Those that are given have offsets of their own, under the same names.
fn of_rules_that_are_not_read(place: &dyn Place) {
    let folder = tempfile::tempdir().unwrap();
    let (rule, out) = (new_rule(folder.path()), folder.path().join("out"));
    let arguments = [
        "--from-offset",
        "in.rule/0=0",
        "--until-offset",
        "in.rule/0=0",
        "--rules",
        &rule,
        "--out",
        out.to_str().unwrap(),
    ];
    let output = command(&crate::kafka::riskflow(), place, &arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for flag in ["--from-offset", "--until-offset"] {
        let says = format!("`{flag} in.rule/0` is of a topic that is not read, for `--rules` stands in its place");
        assert!(said.contains(&says), "{said}");
    }
}

#[test]
fn a_part_by_offsets_is_read_and_what_is_not_there_is_refused() {
    let (place, _checkpoints, _) = after_a_storm(75);
    between(&place);
    of_rules_that_are_not_read(&place);
}
