//! Checkpoints that somebody asks for, and starts that go back to them; and those that a stop leaves.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use riskflow_model::Millis;
use serde_json::{Value, json};

use crate::chaos::place::{KafkaPlace, LogPlace, Place};
use crate::chaos::{Feed, Running, pause, verdict};
use crate::kafka::Job;
use crate::restart::command;

const TOKEN: &str = "of the operator";

/// Whoever has [`TOKEN`] may ask for checkpoints.
fn settings() -> [String; 2] {
    use sha2::{Digest as _, Sha256};
    let hash: String = Sha256::digest(TOKEN).iter().map(|byte| format!("{byte:02x}")).collect();
    let token = format!(
        "{{ name = \"operator\", sha256 = \"{hash}\", role = \"operator\", region = \"3309\", checkpoint = true }}"
    );
    [
        "http.actions.enabled=true".to_owned(),
        format!("http.actions.tokens=[{token}]"),
    ]
}

/// The epochs of checkpoints that have a manifest, rising.
pub fn whole(checkpoints: &Path) -> BTreeSet<i64> {
    let entries = std::fs::read_dir(checkpoints)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let whole = entries.filter(|folder| folder.join("manifest").exists());
    let epoch = |folder: std::path::PathBuf| folder.file_name()?.to_str()?.parse().ok();
    whole.filter_map(epoch).collect()
}

fn said(output: &Output) -> String {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    format!("{out}{err}")
}

fn take(job: &Running, place: &dyn Place, checkpoints: &Path, (token, arguments): (&str, &[&str])) -> Output {
    let mut take = command(place, checkpoints, &["checkpoint", "take"]);
    take.args(arguments).args(["--url", &job.url()]);
    take.env("RISKFLOW_TOKEN", token).output().unwrap()
}

/// Takes a checkpoint under a name, lets the job go on, kills it, and goes back to that checkpoint: what was told since is not told
/// again, and nothing is left out.
fn goes_back(place: &dyn Place, seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = folder.path();
    let mut feed = Feed::new(seed);
    feed.begin(place);
    let settings = settings();
    let mut job = Running::start_with(place, checkpoints, 2, &settings.each_ref().map(String::as_str));
    job.await_ready(place, &mut feed);
    let refused = take(&job, place, checkpoints, ("of nobody", &[]));
    assert!(
        refused.status.code() == Some(2) && said(&refused).contains("not known"),
        "{}",
        said(&refused)
    );
    let taken = take(&job, place, checkpoints, (TOKEN, &["--pin", "before", "--json"]));
    assert!(taken.status.success(), "{}", said(&taken));
    let taken: Value = serde_json::from_slice(&taken.stdout).unwrap();
    assert_eq!(taken["pins"], json!(["before"]), "{taken}");
    let pinned: i64 = taken["checkpoint"].as_str().unwrap().parse().unwrap();

    // Two are kept: when a fourth newer one has come, older ones have gone.
    let (mut newer, until) = (BTreeSet::new(), Instant::now() + Duration::from_secs(60));
    while newer.len() < 4 {
        assert!(Instant::now() < until, "no newer checkpoints come: {newer:?}");
        feed.step(place);
        newer.extend(whole(checkpoints).range(pinned + 1..).copied());
    }
    job.await_taken(place);
    drop(job);
    let left = whole(checkpoints);
    assert!(left.contains(&pinned), "{left:?}");
    let newer: Vec<i64> = left.range(pinned + 1..).copied().collect();
    assert!(!newer.is_empty(), "there is nothing to go back from");

    let mut job = Running::start_from(place, checkpoints, "before");
    job.await_ready(place, &mut feed);
    feed.step(place);
    job.await_taken(place);
    job.stop();
    let now = whole(checkpoints);
    assert!(
        newer.iter().all(|epoch| !now.contains(epoch)),
        "{newer:?} are used by nobody any more: {now:?}"
    );
    assert!(now.contains(&pinned), "{now:?}");
    verdict::judge(place);

    let unpin = || {
        command(place, checkpoints, &["checkpoint", "unpin", "before"])
            .output()
            .unwrap()
    };
    assert!(unpin().status.success());
    assert_eq!(unpin().status.code(), Some(2), "there is no such name any more");
    let unknown = command(place, checkpoints, &["run", "--from-checkpoint", "before"])
        .output()
        .unwrap();
    assert!(
        unknown.status.code() == Some(2) && said(&unknown).contains("`before`"),
        "{}",
        said(&unknown)
    );
    let never = ["run", "--from-checkpoint", "2021-07-25T00:00:00Z"];
    let never = command(place, checkpoints, &never).output().unwrap();
    let newest = Millis(*whole(checkpoints).last().unwrap()).to_string();
    let told = said(&never);
    assert!(
        never.status.code() == Some(2)
            && told.contains("there is no checkpoint of 2021-07-25")
            && told.contains(&newest),
        "{told}"
    );
}

#[test]
fn on_the_log_a_job_goes_back_to_a_checkpoint_that_was_asked_for() {
    goes_back(&LogPlace::new(), 81);
}

#[test]
fn kafka_a_job_goes_back_to_a_checkpoint_that_was_asked_for() {
    let Some(place) = KafkaPlace::start("savepoint", &[]) else {
        return;
    };
    goes_back(&place, 82);
}

#[test]
fn a_stop_leaves_a_checkpoint_of_its_last_epoch_and_one_that_is_unfinished_is_said_to_be() {
    let (place, folder) = (LogPlace::new(), tempfile::tempdir().unwrap());
    let checkpoints = folder.path();
    let mut feed = Feed::new(83);
    feed.begin(&place);
    for _ in 0..5 {
        feed.step(&place);
    }
    let mut run = command(&place, checkpoints, &["run"]);
    // Only a stop takes any.
    run.args(["--set", "checkpoint.interval=1h"]);
    let mut job = Job(run.stdout(Stdio::null()).spawn().unwrap());
    let (ends, until) = (place.ends(), Instant::now() + Duration::from_secs(60));
    while !verdict::taken(&place).covers(&ends) {
        assert!(job.0.try_wait().unwrap().is_none(), "the job ended");
        assert!(Instant::now() < until, "it does not get through its input");
        pause();
    }
    assert!(whole(checkpoints).is_empty());
    assert_eq!(job.stop(), Some(0));
    let left = whole(checkpoints);
    let last = verdict::resume(&place).last().0;
    let newest = *left.last().unwrap();
    assert!(
        left.len() == 1 && newest >= last,
        "{left:?}, and the last epoch is {last}"
    );

    let unfinished = newest + 1;
    let begun = checkpoints.join(format!("{unfinished:020}"));
    std::fs::create_dir(&begun).unwrap();
    std::fs::write(begun.join("latest-0-0-0.part"), "x").unwrap();
    let ask = |arguments: &[&str]| command(&place, checkpoints, arguments).output().unwrap();
    let verified = ask(&["checkpoint", "verify"]);
    let told = said(&verified);
    assert_eq!(verified.status.code(), Some(0), "{told}");
    let goes_on = format!("a start goes on from {}", Millis(newest));
    assert!(
        told.contains("unfinished: it is being written") && told.contains(&goes_on),
        "{told}"
    );
    assert!(told.contains("1 sound, 1 unfinished, 0 unsound"), "{told}");
    let listed = said(&ask(&["checkpoint", "list"]));
    assert!(listed.contains("unfinished") && listed.contains("whole"), "{listed}");
    let verified = ask(&["checkpoint", "verify", &unfinished.to_string()]);
    let told = said(&verified);
    assert!(verified.status.code() == Some(3) && told.contains(&goes_on), "{told}");
}
