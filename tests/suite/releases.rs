//! What a release writes, the next one reads: a job of the release before goes on where it stood.
//!
//! `fixtures/release-VERSION.tar.gz` holds the log and the checkpoints of a job that was killed some times. They stay as they are while
//! [`FORMAT`](riskflow_connectors::checkpoint::FORMAT) does. Where a change must refuse older checkpoints, the first one of the new
//! format is made by `RISKFLOW_BLESS=1 cargo test -p riskflow-tests --test suite releases`, under the name of that release.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::chaos::place::{LogPlace, Place as _};
use crate::chaos::{Feed, SETTINGS, now, pause, verdict};
use crate::restart::after_a_storm;

/// The last release that changed the format of checkpoints.
const RELEASE: &str = "0.4";

/// Behind its last epoch: 2026-11-27T22:57:00Z.
const MADE: i64 = 1_795_820_220_000;

/// An archive grows old, and its warnings are still open: reminded of each minute, the time until now would take longer from day to day.
/// Nobody was reminded while it was made.
const SELDOM: [&str; 2] = ["case.remind.yellow=\"12h\"", "case.remind.red=\"12h\""];

fn archive(release: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/release-{release}.tar.gz"))
}

fn tar(arguments: &[&str]) {
    assert!(Command::new("tar").args(arguments).status().unwrap().success());
}

fn bless() {
    let (place, checkpoints, _) = after_a_storm(41);
    let folder = tempfile::tempdir().unwrap();
    let copy = |from: &Path, name: &str| {
        let to = folder.path().join(name);
        let copied = Command::new("cp").arg("-r").args([from, &to]).status().unwrap();
        assert!(copied.success());
    };
    copy(place.folder(), "log");
    copy(checkpoints.path(), "checkpoints");
    std::fs::create_dir_all(archive(RELEASE).parent().unwrap()).unwrap();
    let (archive, folder) = (archive(RELEASE), folder.path().to_str().unwrap().to_owned());
    tar(&["-czf", archive.to_str().unwrap(), "-C", &folder, "log", "checkpoints"]);
}

#[test]
fn a_job_of_the_release_before_goes_on_from_its_checkpoint() {
    if std::env::var_os("RISKFLOW_BLESS").is_some() {
        bless();
    }
    // To a clock before it the job of the archive is one whose clock was ahead, which is another matter.
    if now() < MADE {
        let not_run = "\n*** NOT RUN: a checkpoint of the release before: the clock of this machine is behind it ***";
        let _ = writeln!(std::io::stderr(), "{not_run}");
        return;
    }
    let (place, said) = goes_on(RELEASE);
    assert!(
        said.contains("going on after an earlier run")
            && !said.contains("checkpoint=\"none\"")
            && !said.contains("no checkpoint can be used"),
        "{said}"
    );
    verdict::judge_set(&place, &SELDOM);
}

/// Its checkpoints have another format.
#[test]
fn a_checkpoint_of_0_3_is_refused_by_name_and_the_input_read_from_its_beginning() {
    let (_, said) = goes_on("0.3");
    assert!(
        said.contains("its format is 10, this build reads") && said.contains("no checkpoint can be used"),
        "{said}"
    );
}

/// Runs a job on what one of another release left, until it has taken in more; what it said.
fn goes_on(release: &str) -> (LogPlace, String) {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().to_str().unwrap();
    tar(&["-xzf", archive(release).to_str().unwrap(), "-C", to]);
    let checkpoints = folder.path().join("checkpoints");
    let log = tempfile::tempdir().unwrap();
    std::fs::remove_dir(log.path()).unwrap();
    std::fs::rename(folder.path().join("log"), log.path()).unwrap();
    let place = LogPlace::at(log);
    let said = folder.path().join("said");
    let riskflow = |arguments: &[&str]| {
        let mut command = Command::new(super::kafka::riskflow());
        command.args(arguments);
        for set in place
            .settings()
            .iter()
            .map(String::as_str)
            .chain(SETTINGS)
            .chain(SELDOM)
        {
            command.args(["--set", set]);
        }
        command
    };
    // It may lack topics that came later.
    let created = riskflow(&["topics", "--create"]).stdout(Stdio::null()).status();
    assert!(created.unwrap().success());
    let mut command = riskflow(&["run", "--log", "info", "--set", "http.enabled=false"]);
    command.args(["--set", &format!("checkpoint.path={checkpoints:?}")]);
    let stderr = File::create(&said).unwrap();
    let mut job = command.stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
    let said = || std::fs::read_to_string(&said).unwrap();

    let mut feed = Feed::new(42);
    feed.step(&place);
    let end = place.ends();
    let until = Instant::now() + Duration::from_secs(60);
    while !verdict::taken(&place).covers(&end) {
        assert!(job.try_wait().unwrap().is_none(), "the job ended: {}", said());
        assert!(Instant::now() < until, "it does not get on: {}", said());
        pause();
    }
    let asked = Command::new("kill").args(["-TERM", &job.id().to_string()]).status();
    assert!(asked.unwrap().success());
    assert!(job.wait().unwrap().success(), "{}", said());
    (place, said())
}
