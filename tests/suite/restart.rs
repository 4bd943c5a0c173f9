//! What a job does with what an earlier run left: damaged, lost, cut, or held by another.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use riskflow_model::topic::Topic;
use tempfile::TempDir;

use crate::chaos::place::{LogPlace, Place};
use crate::chaos::verdict;
use crate::chaos::{Feed, Running, SETTINGS, pause, settle, storm, storm_of_sets};

/// A job that was killed some times, with its checkpoints.
pub fn after_a_storm(seed: u64) -> (LogPlace, TempDir, Feed) {
    after(|place, checkpoints| storm(place, checkpoints, 3, seed, None))
}

/// The same with a candidate that became live, and was one again.
pub fn after_a_storm_of_sets(seed: u64) -> (LogPlace, TempDir, Feed) {
    after(|place, checkpoints| storm_of_sets(place, checkpoints, 3, seed))
}

fn after(storm: impl FnOnce(&mut LogPlace, &Path) -> Feed) -> (LogPlace, TempDir, Feed) {
    let mut place = LogPlace::new();
    let checkpoints = tempfile::tempdir().unwrap();
    let feed = storm(&mut place, checkpoints.path());
    settle(&place, checkpoints.path());
    drop_unfinished(checkpoints.path());
    (place, checkpoints, feed)
}

/// What was under way when the job was killed or stopped is no checkpoint.
fn drop_unfinished(checkpoints: &Path) {
    for epoch in epochs(checkpoints) {
        let folder = checkpoints.join(epoch);
        if !folder.join("manifest").exists() {
            std::fs::remove_dir_all(folder).unwrap();
        }
    }
}

fn riskflow(place: &dyn Place, checkpoints: &Path, arguments: &[&str]) -> Output {
    command(place, checkpoints, arguments).output().unwrap()
}

/// The program with the settings of the jobs here; it serves nothing.
pub fn command(place: &dyn Place, checkpoints: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(crate::kafka::riskflow());
    command
        .args(arguments)
        .args(["--log", "warn", "--set", "http.enabled=false"]);
    for set in place.settings() {
        command.args(["--set", &set]);
    }
    for set in SETTINGS {
        command.args(["--set", set]);
    }
    let path = format!("checkpoint.path={checkpoints:?}");
    command.args(["--set", &path]);
    command
}

/// The epochs of checkpoints, the newest first.
fn epochs(checkpoints: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(checkpoints).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "job" && name != "settings")
        .collect();
    names.sort_unstable_by(|a, b| b.cmp(a));
    names
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_it_is_used() {
    let (place, checkpoints, mut feed) = after_a_storm(21);
    // On a slow machine a storm may leave one only; without any the state is made by arrival, which is not judged here.
    let until = Instant::now() + Duration::from_secs(120);
    while epochs(checkpoints.path()).len() < 2 {
        assert!(Instant::now() < until, "there are never two checkpoints");
        feed.step(&place);
        settle(&place, checkpoints.path());
        drop_unfinished(checkpoints.path());
    }
    let list = riskflow(&place, checkpoints.path(), &["checkpoint", "list", "--json"]);
    assert!(list.status.success() && String::from_utf8_lossy(&list.stdout).contains("\"whole\""));
    assert!(
        riskflow(&place, checkpoints.path(), &["checkpoint", "verify"])
            .status
            .success()
    );
    let newest = &epochs(checkpoints.path())[0];
    let folder = checkpoints.path().join(newest);
    let part = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().contains("monitor"));
    let part = part.unwrap();
    let mut bytes = std::fs::read(&part).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&part, bytes).unwrap();
    let verify = riskflow(&place, checkpoints.path(), &["checkpoint", "verify"]);
    assert_eq!(verify.status.code(), Some(3));
    assert!(
        String::from_utf8_lossy(&verify.stdout).contains("monitor"),
        "the damaged part is named"
    );
    feed.step(&place);
    settle(&place, checkpoints.path());
    verdict::judge(&place);
    let prune = riskflow(
        &place,
        checkpoints.path(),
        &["checkpoint", "prune", "--keep", "1", "--json"],
    );
    assert!(prune.status.success());
}

#[test]
fn to_look_at_checkpoints_makes_no_folder() {
    let (place, folder) = (LogPlace::new(), tempfile::tempdir().unwrap());
    let misspelled = folder.path().join("chekpoints");
    let list = riskflow(&place, &misspelled, &["checkpoint", "list"]);
    let said = String::from_utf8_lossy(&list.stderr).into_owned();
    assert!(
        list.status.code() == Some(1) && said.contains("chekpoints") && said.contains("there is no such folder"),
        "{said}"
    );
    assert!(!misspelled.exists());
}

#[test]
fn without_any_checkpoint_the_tables_converge_and_nothing_is_repeated() {
    let (place, checkpoints, mut feed) = after_a_storm(22);
    drop(checkpoints);
    let empty = tempfile::tempdir().unwrap();
    feed.step(&place);
    settle(&place, empty.path());
    verdict::judge_but_for_cases(&place);
}

#[test]
fn another_jobs_checkpoints_are_refused_by_name_and_stay_as_they_are() {
    let (place, checkpoints, mut feed) = after_a_storm(24);
    let other = LogPlace::new();
    for arguments in [&["run"][..], &["checkpoint", "prune", "--keep", "1"]] {
        let refused = riskflow(&other, checkpoints.path(), arguments);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(3), "{said}");
        assert!(
            said.contains("those of another job") && said.contains("`checkpoint.path` of its own"),
            "{said}"
        );
    }
    // The first goes on from them.
    feed.step(&place);
    settle(&place, checkpoints.path());
    verdict::judge(&place);
    // Whoever knows better says so.
    assert!(
        riskflow(&other, checkpoints.path(), &["checkpoint", "adopt"])
            .status
            .success()
    );
    let refused = riskflow(&place, checkpoints.path(), &["run"]);
    assert_eq!(refused.status.code(), Some(3));
}

#[test]
fn input_that_is_gone_is_told_and_a_job_may_start_anew() {
    let (place, checkpoints, mut feed) = after_a_storm(23);
    place.empty(Topic::IN_OBSERVATION);
    let refused = riskflow(&place, checkpoints.path(), &["run"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(
        said.contains("in.observation") && said.contains("--start-anew"),
        "{said}"
    );
    let before = place.all(Topic::WARNING_DELTA).len();
    let base = verdict::resume(&place).base.0;
    feed.step(&place);
    let job = Running::start_anew(&place, checkpoints.path());
    let end = place.ends();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while verdict::resume(&place).base.0 == base || !verdict::taken_since_base(&place).covers(&end) {
        assert!(
            std::time::Instant::now() < until,
            "the job does not get through its input"
        );
        pause();
    }
    job.stop();
    // The tables are those of a job that never saw what is gone.
    let other = LogPlace::new();
    for topic in Topic::inputs() {
        let rows: Vec<_> = place.all(topic).into_iter().map(|row| (row.key, row.value)).collect();
        if !rows.is_empty() {
            other.put(topic, &rows);
        }
    }
    let fresh = tempfile::tempdir().unwrap();
    settle(&other, fresh.path());
    assert_eq!(verdict::assets(&place), verdict::assets(&other));
    assert!(
        place.all(Topic::WARNING_DELTA).len() >= before,
        "what was told stays told"
    );
    // And from here on it goes on as ever.
    feed.step(&place);
    let job = Running::start(&place, checkpoints.path(), 1, "");
    let end = place.ends();
    while !verdict::taken_since_base(&place).covers(&end) {
        assert!(
            std::time::Instant::now() < until,
            "the job does not get through its input"
        );
        pause();
    }
    job.stop();
}

/// The segment of a topic that was written to last, of the partition that has most.
fn largest_segment(topic: &Path) -> PathBuf {
    let partitions = std::fs::read_dir(topic).unwrap().map(|entry| entry.unwrap().path());
    let files = partitions.flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    let files = files.filter(|path| path.extension().is_some_and(|ending| ending == "log"));
    files.max_by_key(|path| path.metadata().unwrap().len()).unwrap()
}

#[test]
fn output_that_is_lost_is_refused_by_name_and_given_up_only_if_asked() {
    let (place, checkpoints, mut feed) = after_a_storm(25);
    let damaged = largest_segment(&place.folder().join("out.risk.asset"));
    let mut bytes = std::fs::read(&damaged).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&damaged, bytes).unwrap();
    let gone = place.folder().join("out.report.total");
    std::fs::remove_dir_all(&gone).unwrap();
    std::fs::remove_file(place.folder().join("out.commits")).unwrap();
    for named in [&gone, &damaged] {
        let refused = riskflow(&place, checkpoints.path(), &["run"]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{said}");
        if said.contains(named.to_str().unwrap()) && named == &gone {
            // A topic that nothing was written to may go.
            std::fs::create_dir_all(&gone).unwrap();
            continue;
        }
        assert!(
            said.contains(damaged.to_str().unwrap()) && said.contains("--accept-loss"),
            "{said}"
        );
    }
    let accepted = riskflow(&place, checkpoints.path(), &["topics", "--accept-loss"]);
    let said = String::from_utf8_lossy(&accepted.stdout).into_owned();
    assert!(
        accepted.status.success() && said.contains(damaged.to_str().unwrap()),
        "{said}"
    );
    assert!(damaged.with_extension("damaged").exists());
    // The table is filled again where nothing is taken for granted; nothing else was lost.
    feed.step(&place);
    let job = Running::start_with(&place, checkpoints.path(), 1, &["recovery.verify=false"]);
    let end = place.ends();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !verdict::taken(&place).covers(&end) {
        assert!(
            std::time::Instant::now() < until,
            "the job does not get through its input"
        );
        pause();
    }
    job.stop();
    feed.step(&place);
    settle(&place, checkpoints.path());
    verdict::judge(&place);
}

#[test]
fn input_that_vanishes_ends_the_job_and_is_refused_by_the_next_start() {
    let (place, checkpoints, _) = after_a_storm(26);
    let mut job = Running::start_to_fail(&place, checkpoints.path());
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !job.get(0, "/readyz").contains(" 200 ") {
        assert!(std::time::Instant::now() < until, "the job does not get to the present");
        pause();
    }
    let topic = place.folder().join("in.observation");
    let aside = place.folder().join("aside");
    std::fs::rename(&topic, &aside).unwrap();
    let said = job.last_words_of_an_idle_job(0);
    assert!(
        said.contains(topic.to_str().unwrap()) && said.contains("was removed"),
        "{said}"
    );
    // Two partitions, each under the other's name.
    std::fs::rename(&aside, &topic).unwrap();
    let [one, other, aside] = ["0", "1", "aside"].map(|name| topic.join(name));
    std::fs::rename(&one, &aside).unwrap();
    std::fs::rename(&other, &one).unwrap();
    std::fs::rename(&aside, &other).unwrap();
    let refused = riskflow(&place, checkpoints.path(), &["run"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(
        said.contains(one.to_str().unwrap()) || said.contains(other.to_str().unwrap()),
        "{said}"
    );
    assert!(said.contains("is not what was read"), "{said}");
}

#[test]
fn a_second_job_on_the_same_output_is_refused() {
    let place = LogPlace::new();
    let checkpoints = tempfile::tempdir().unwrap();
    let mut feed = Feed::new(24);
    feed.begin(&place);
    let job = Running::start(&place, checkpoints.path(), 1, "");
    let end = place.ends();
    while !verdict::taken(&place).covers(&end) {
        pause();
    }
    let second = riskflow(&place, checkpoints.path(), &["run"]);
    assert_eq!(second.status.code(), Some(1));
    job.stop();
}

#[test]
fn checkpoints_in_a_bucket_are_as_good_as_in_a_folder() {
    let bucket = std::env::var("RISKFLOW_TEST_S3").unwrap_or_default();
    if bucket.is_empty() {
        let required = std::env::var("RISKFLOW_REQUIRE_S3").is_ok_and(|value| value == "1");
        assert!(
            !required,
            "RISKFLOW_REQUIRE_S3 is 1 but RISKFLOW_TEST_S3 names no bucket"
        );
        let not_run =
            "\n*** NOT RUN: checkpoints in a bucket: RISKFLOW_TEST_S3 names none (`deploy/s3.sh install`) ***";
        let _ = writeln!(std::io::stderr(), "{not_run}");
        return;
    }
    let mut place = LogPlace::new();
    let path = format!("{bucket}/{}", riskflow_tests::kafka::unique_prefix("checkpoints"));
    let checkpoints = Path::new(&path);
    storm(&mut place, checkpoints, 6, 17, None);
    settle(&place, checkpoints);
    verdict::judge(&place);
    let verified = riskflow(&place, checkpoints, &["checkpoint", "verify"]);
    let said = String::from_utf8_lossy(&verified.stdout);
    // One that a crash left half written is named, and told apart from those that are whole.
    assert!(
        matches!(verified.status.code(), Some(0 | 3)) && said.contains("sound"),
        "{said}"
    );
}
