//! Epochs that are gone from `out.epoch`: what is left is closed as it ran, and compared only where the state before it is the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use riskflow_model::Millis;
use riskflow_model::progress::{ClosedEpoch, Offsets, Progress};
use riskflow_model::topic::{Cleanup, Topic};
use serde_json::Value;

use super::{Published, assert_same, command, live, published, replay};
use crate::chaos::place::{LogPlace, Place, Row};
use crate::chaos::{Feed, settle};
use crate::restart::{self, after_a_storm};

/// Where the record of this number begins in a segment: a frame is a length, a checksum, and as many bytes as the length says.
fn begins(segment: &[u8], record: usize) -> usize {
    let mut at = 0;
    for _ in 0..record {
        let length = segment[at..at + 4].try_into().map(u32::from_le_bytes).unwrap();
        at += 8 + length as usize;
    }
    at
}

fn read(row: &Row) -> Progress {
    serde_json::from_str(row.value.as_deref().unwrap()).unwrap()
}

/// Takes away the first records of a partition, so many, as retention does, segment by segment.
fn take_away(place: &LogPlace, topic: Topic, partition: u16, records: usize) {
    let folder = place.folder().join(topic.name()).join(partition.to_string());
    let first = folder.join(format!("{:020}.log", 0));
    let segment = fs::read(&first).unwrap();
    fs::remove_file(&first).unwrap();
    let rest = &segment[begins(&segment, records)..];
    fs::write(folder.join(format!("{records:020}.log")), rest).unwrap();
}

/// Takes away what `out.epoch` has of the time before its last position that is not behind `latest`.
fn cut(place: &LogPlace, latest: Millis) {
    let rows = place.all(Topic::EPOCH);
    let positions = rows.iter().filter(|row| ClosedEpoch::is_position(&row.key));
    let positions = positions.map(|row| read(row).epoch).filter(|epoch| *epoch <= latest);
    let last = positions.max().unwrap();
    assert!(last > Millis(0), "only one run wrote epochs");
    for partition in 0..3 {
        let of_it = rows.iter().filter(|row| row.partition == partition);
        let gone = of_it.take_while(|row| read(row).epoch < last).count();
        take_away(place, Topic::EPOCH, partition, gone);
    }
}

fn summary(output: &std::process::Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn that_no_epoch_was_compared_is_no_proof() {
    let (place, _checkpoints, _) = after_a_storm(72);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let out = out.to_str().unwrap();
    let whole = replay(&place, &["--as-ran", "--verify", "--json", "--out", out]);
    assert!(
        summary(&whole)["epochs_compared"].as_u64() > Some(2),
        "{}",
        summary(&whole)
    );
    cut(&place, Millis(i64::MAX));
    let arguments = ["--as-ran", "--verify", "--out", out];
    let output = command(&crate::kafka::riskflow(), &place, &arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for says in [
        "no epoch was compared",
        "are gone from `out.epoch`",
        "--from-checkpoint",
    ] {
        assert!(said.contains(says), "{says}: {said}");
    }
    // Whoever does not ask for a proof is told that there is none.
    let left = replay(&place, &["--as-ran", "--json", "--out", out]);
    assert_eq!(summary(&left)["epochs_compared"], 0);
    let said = replay(&place, &["--as-ran", "--out", out]);
    let said = String::from_utf8_lossy(&said.stderr);
    assert!(
        said.contains("no epoch was compared with what it gave when it ran"),
        "{said}"
    );
    assert!(Path::new(out).join("out.risk.asset.ndjson").exists());
}

/// The events of these topics that are behind an epoch: of tables the first epoch that is written has all rows.
fn events_behind(mut published: Published, epoch: Millis) -> Published {
    published.retain(|(topic, _), rows| {
        rows.retain(|row| {
            let value: Value = serde_json::from_str(row.as_deref().unwrap_or("null")).unwrap();
            let at = value["epoch"].as_str().and_then(|text| text.parse::<Millis>().ok());
            at.is_some_and(|at| at > epoch)
        });
        topic.cleanup() == Cleanup::Delete && !rows.is_empty()
    });
    published
}

/// Takes away all observations and actions that were taken up to an epoch, and the epochs that took them; how many are left.
fn take_earlier_input(place: &LogPlace, epoch: Millis) -> usize {
    let rows = place.all(Topic::EPOCH);
    let closed = rows.iter().filter(|row| !ClosedEpoch::is_position(&row.key)).map(read);
    let (before, behind): (Vec<_>, Vec<_>) = closed.partition(|progress| progress.epoch <= epoch);
    let mut taken = Offsets::default();
    before.iter().for_each(|progress| taken.merge(&progress.offsets));
    for topic in [Topic::IN_OBSERVATION, Topic::IN_ACTION] {
        for partition in 0..3 {
            take_away(place, topic, partition, taken.next(topic, partition) as usize);
        }
    }
    cut(place, epoch);
    behind.len()
}

/// Gives a job's last checkpoint the name `before`, and lets the job go on; the epoch of the checkpoint.
pub(super) fn go_on_behind_a_checkpoint(place: &dyn Place, checkpoints: &Path, feed: &mut Feed) -> Millis {
    let pin = ["checkpoint", "pin", "before", "--json"];
    let pinned = restart::command(place, checkpoints, &pin).output().unwrap();
    let pinned = summary(&pinned)["epoch"].as_str().unwrap().parse::<Millis>().unwrap();
    for _ in 0..12 {
        feed.step(place);
    }
    settle(place, checkpoints);
    pinned
}

/// From this checkpoint on it is what a job published that ran, and each epoch is compared.
pub(super) fn from_the_checkpoint(place: &dyn Place, checkpoints: &Path, pinned: Millis, live: &Published) {
    let wanted = events_behind(live.clone(), pinned);
    assert!(!wanted.is_empty(), "nothing happens behind the checkpoint");
    let rows = place.all(Topic::EPOCH);
    let closed = rows.iter().filter(|row| !ClosedEpoch::is_position(&row.key)).map(read);
    let behind: BTreeSet<Millis> = closed.map(|row| row.epoch).filter(|epoch| *epoch > pinned).collect();
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (format!("checkpoint.path={checkpoints:?}"), super::text(&folder));
    let begins = ["--as-ran", "--verify", "--from-checkpoint", "before", "--set", &path];
    let said = summary(&replay(place, &[&begins[..], &["--json", "--out", out]].concat()));
    assert_eq!(said["epochs_compared"], behind.len(), "{said}");
    assert_eq!(said["from_checkpoint"], pinned.to_string(), "{said}");
    assert_same(&events_behind(published(folder.path()), pinned), &wanted);
}

/// The hour of a job of which the earlier input is gone, its epochs too: from a checkpoint with a name.
#[test]
fn a_replay_begins_with_a_checkpoint_where_the_earlier_input_is_gone() {
    let (place, checkpoints, mut feed) = after_a_storm(74);
    let pinned = go_on_behind_a_checkpoint(&place, checkpoints.path(), &mut feed);
    let wanted = events_behind(live(&place), pinned);
    let deltas = wanted
        .keys()
        .filter(|(topic, _)| *topic == Topic::WARNING_DELTA)
        .count();
    assert!(deltas > 0, "nothing happens behind the checkpoint: {:?}", wanted.keys());

    let behind = take_earlier_input(&place, pinned);
    let path = format!("checkpoint.path={:?}", checkpoints.path());
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let begins = ["--as-ran", "--verify", "--from-checkpoint", "before", "--set", &path];
    for (out, workers) in [("one", "cluster.workers=1"), ("three", "cluster.workers=3")] {
        let to = at(out);
        let more = ["--json", "--set", workers, "--out", &to];
        let output = replay(&place, &[&begins[..], &more].concat());
        let said = summary(&output);
        assert_eq!(said["epochs_compared"], behind, "{said}");
        assert_eq!(said["from_checkpoint"], pinned.to_string(), "{said}");
        assert_same(&events_behind(published(Path::new(&to)), pinned), &wanted);
    }
    let out = |name: &str| super::files(Path::new(&at(name)));
    assert!(
        out("one") == out("three"),
        "another number of workers gives other bytes"
    );
    assert!(
        Path::new(&at("one")).join("out.risk.asset.ndjson").exists(),
        "the tables come first"
    );

    // Into a log, through a crash, and once more with nothing left to do. Behind the first commit: on a busy machine there may be no other.
    let log = at("log");
    let to_log = [&begins[..], &["--to-log", &log]].concat();
    let killed = command(&crate::kafka::with_failpoints(), &place, &to_log)
        .env("FAILPOINTS", "log::commit::after_commit=return")
        .output()
        .unwrap();
    assert!(
        killed.status.code().is_none(),
        "{}",
        String::from_utf8_lossy(&killed.stderr)
    );
    replay(&place, &to_log);
    replay(&place, &to_log);
    let exercise = LogPlace::at_output(folder, "log");
    assert_same(&events_behind(live(&exercise), pinned), &wanted);

    // Without it nothing is known of the time before.
    let refused = [
        "--as-ran",
        "--verify",
        "--from-checkpoint",
        "nobody",
        "--set",
        &path,
        "--out",
        "x",
    ];
    let output = command(&crate::kafka::riskflow(), &place, &refused).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("`nobody`"), "{said}");
    with_other_settings(&place, checkpoints.path());
}

/// The state rests on the settings with which it was made: each that is another is named with both values, before anything is written.
fn with_other_settings(place: &LogPlace, checkpoints: &Path) {
    let path = format!("checkpoint.path={checkpoints:?}");
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let others = ["--set", "unmatched.after=7m", "--set", "time.forecast_age=49h"];
    let begins = [
        "--from-checkpoint",
        "before",
        "--set",
        &path,
        "--to-log",
        log.to_str().unwrap(),
    ];
    let output = command(&crate::kafka::riskflow(), place, &[&begins[..], &others].concat())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    let configured = riskflow_config::WrittenSettings::default().check().unwrap();
    for (name, was, is) in [
        ("unmatched.after", configured.unmatched.after, "7m"),
        ("time.forecast_age", configured.time.forecast_age, "49h"),
    ] {
        let says = format!("`{name}` is `{is}`; give what it was then (`{was}`)");
        assert!(said.contains(&says), "{says}: {said}");
    }
    assert!(
        said.contains("was taken with other settings, and its state rests on them"),
        "{said}"
    );
    assert!(!log.exists(), "what is refused leaves nothing");
}
