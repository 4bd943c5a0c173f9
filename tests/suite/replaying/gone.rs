//! Epochs that are gone from `out.epoch`: what is left is closed as it ran, and compared only where the state before it is the same.

use std::fs;
use std::path::Path;

use riskflow_model::Millis;
use riskflow_model::progress::{ClosedEpoch, Progress};
use riskflow_model::topic::Topic;
use serde_json::Value;

use super::{command, replay};
use crate::chaos::place::{LogPlace, Place};
use crate::restart::after_a_storm;

/// Where the record of this number begins in a segment: a frame is a length, a checksum, and as many bytes as the length says.
fn begins(segment: &[u8], record: usize) -> usize {
    let mut at = 0;
    for _ in 0..record {
        let length = segment[at..at + 4].try_into().map(u32::from_le_bytes).unwrap();
        at += 8 + length as usize;
    }
    at
}

/// Takes away what `out.epoch` has of the time before its last position, as `topics.retention` does, segment by segment; that position.
fn cut(place: &LogPlace) -> Millis {
    let rows = place.all(Topic::EPOCH);
    let epoch = |value: &Option<String>| {
        let progress: Progress = serde_json::from_str(value.as_deref().unwrap()).unwrap();
        progress.epoch
    };
    let positions = rows.iter().filter(|row| ClosedEpoch::is_position(&row.key));
    let last = positions.map(|row| epoch(&row.value)).max().unwrap();
    assert!(last > Millis(0), "only one run wrote epochs");
    for partition in 0..3 {
        let of_it = rows.iter().filter(|row| row.partition == partition);
        let gone = of_it.take_while(|row| epoch(&row.value) < last).count();
        let folder = place.folder().join(Topic::EPOCH.name()).join(partition.to_string());
        let first = folder.join(format!("{:020}.log", 0));
        let segment = fs::read(&first).unwrap();
        fs::remove_file(&first).unwrap();
        let rest = &segment[begins(&segment, gone)..];
        fs::write(folder.join(format!("{gone:020}.log")), rest).unwrap();
    }
    last
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
    cut(&place);
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
