//! A replay that keeps to a tempo: it is no faster, and what it gives is the same.

use std::time::{Duration, Instant};

use riskflow_model::Millis;
use riskflow_model::progress::{ClosedEpoch, Progress};
use riskflow_model::topic::Topic;
use serde_json::Value;

use super::{command, epochs, replay};
use crate::chaos::place::Place;
use crate::restart::after_a_storm;

/// The times of the epochs that a job closed, in milliseconds, rising.
pub(super) fn times(place: &dyn Place) -> Vec<i64> {
    let rows = place.all(Topic::EPOCH).into_iter();
    let closed = rows.filter(|row| !ClosedEpoch::is_position(&row.key));
    let mut times: Vec<i64> = closed
        .map(|row| {
            let progress: Progress = serde_json::from_str(row.value.as_deref().unwrap()).unwrap();
            progress.time().0
        })
        .collect();
    times.sort_unstable();
    assert!(times.len() > 5, "{times:?}");
    times
}

fn length(times: &[i64]) -> Duration {
    Duration::from_millis((times[times.len() - 1] - times[0]).unsigned_abs())
}

/// The speed at which a stretch takes so long.
fn speed(length: Duration, takes: Duration) -> f64 {
    (length.as_secs_f64() / takes.as_secs_f64()).max(0.001)
}

/// The `--speed` at which what ran takes so long.
pub(super) fn that_takes(place: &dyn Place, takes: Duration) -> String {
    speed(length(&times(place)), takes).to_string()
}

/// Kills a replay by SIGKILL when about a half of its epochs are closed; `closed` says how many.
pub(super) fn killed_on_its_way(place: &dyn Place, arguments: &[&str], closed: &dyn Fn() -> usize) {
    let half = that_takes(place, Duration::from_secs(20));
    let slowly = [arguments, &["--speed", &half, "--set", "cluster.workers=1"]].concat();
    let mut child = command(&crate::kafka::riskflow(), place, &slowly).spawn().unwrap();
    let (all, until) = (epochs(place), Instant::now() + Duration::from_secs(120));
    // Each look asks the broker.
    while closed() * 2 < all {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        assert!(Instant::now() < until, "it does not get on");
    }
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(status.code().is_none(), "it was not killed: {status}");
    let closed = closed();
    assert!(closed < all, "all {all} epochs were closed: it was killed at its end");
}

#[test]
fn a_replay_at_a_speed_takes_its_time_and_without_one_it_waits_for_nothing() {
    let (place, _checkpoints, _) = after_a_storm(73);
    let times = times(&place);
    let folder = tempfile::tempdir().unwrap();
    let seconds = |arguments: &[&str], out: &str| {
        let out = folder.path().join(out);
        let more = ["--as-ran", "--verify", "--json", "--out", out.to_str().unwrap()];
        let output = replay(&place, &[&more[..], arguments].concat());
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        (summary["seconds"].as_f64().unwrap(), super::files(&out))
    };
    let whole = length(&times);
    let (_, free) = seconds(&[], "free");

    let (takes, paced) = (Duration::from_secs(3), speed(whole, Duration::from_secs(3)));
    let (took, files) = seconds(&["--speed", &paced.to_string()], "paced");
    assert!(
        took >= takes.as_secs_f64() * 0.999,
        "{took} s at ×{paced} for {whole:?}"
    );
    assert!(files == free, "another speed gives other bytes");

    // What comes before `--from` is not waited for: two epochs near each other, of the second half.
    let (first, next) = (times.len() / 2..times.len() - 1)
        .map(|at| (times[at], times[at + 1]))
        .min_by_key(|(first, next)| next - first)
        .unwrap();
    let takes = Duration::from_secs(2);
    let slow = speed(length(&[first, next]), takes);
    let before = length(&[times[0], first]).as_secs_f64() / slow;
    assert!(before > 4.0, "there is hardly anything before: {before} s");
    let [from, until] = [first, next].map(|time| Millis(time).to_string());
    let at = slow.to_string();
    let stretch = ["--speed", &at, "--from", &from, "--until", &until];
    let (took, _) = seconds(&stretch, "stretch");
    assert!(
        took >= takes.as_secs_f64() * 0.999 && took < before.min(60.0),
        "{took} s at ×{slow}, and what comes before would take {before} s"
    );
}
