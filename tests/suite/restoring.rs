//! A job that goes on elsewhere: on another machine, with the folder of checkpoints copied, as docs/operate.md ("Restore") has it.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use riskflow_model::Millis;

use crate::chaos::place::KafkaPlace;
use crate::chaos::{Feed, Running, verdict};
use crate::restart;
use crate::savepoints::whole;
use crate::trouble::metric;

/// What of a folder is there, into another one.
fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-r").arg(from.join(".")).arg(to).status();
    assert!(status.unwrap().success());
}

/// The first machine is lost at an instant that nobody chose: what is copied may have a checkpoint in it that is not whole.
#[test]
#[ignore = "20 s or more: `make acceptance` runs it"]
fn kafka_another_machine_goes_on_from_a_copy_of_the_checkpoints() {
    let Some(place) = KafkaPlace::start("restoring", &[]) else {
        return;
    };
    let [first, second] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let mut feed = Feed::new(91);
    feed.begin(&place);
    let mut job = Running::start(&place, first.path(), 2, "");
    job.await_ready(&place, &mut feed);
    let before = whole(first.path()).last().copied();
    let until = Instant::now() + Duration::from_secs(60);
    while whole(first.path()).last().copied() <= before {
        assert!(Instant::now() < until, "no checkpoint comes");
        feed.step(&place);
    }
    feed.step(&place);
    drop(job);
    copy(first.path(), second.path());
    // That machine is off for good, and its disk is gone. What comes meanwhile waits.
    first.close().unwrap();
    feed.step(&place);

    let verified = restart::command(&place, second.path(), &["checkpoint", "verify"]).output();
    let verified = verified.unwrap();
    let told = String::from_utf8_lossy(&[verified.stdout, verified.stderr].concat()).into_owned();
    assert!(verified.status.success(), "{told}");
    let from = whole(second.path())
        .into_iter()
        .find(|epoch| told.contains(&format!("a start goes on from {}", Millis(*epoch))));
    let from = from.unwrap_or_else(|| panic!("it does not say from where a start goes on: {told}"));
    let epochs = verdict::epochs(&place);
    let since = epochs.iter().filter(|one| one.epoch.0 > from).count();
    assert!(since < epochs.len(), "the checkpoint is of no epoch");

    // Another number of workers, too: another machine has other cores.
    let mut job = Running::start(&place, second.path(), 1, "");
    job.await_ready(&place, &mut feed);
    let replayed = metric(&job, "riskflow_replayed_epochs_total") as usize;
    assert!(
        replayed <= since,
        "{replayed} epochs were computed once more, and {since} came since the checkpoint: it was not taken"
    );
    feed.step(&place);
    job.await_taken(&place);
    job.stop();
    verdict::judge(&place);
}
