//! Trouble that is neither a crash nor a broker that is down: what ARCHITECTURE.md's table says of it.

use std::process::Stdio;
use std::time::{Duration, Instant};

use riskflow_model::topic::Topic;

use crate::chaos::place::{KafkaPlace, LogPlace};
use crate::chaos::verdict::judge;
use crate::chaos::{Feed, Running, settle};

/// The value of a metric without labels; 0 where there is none.
fn metric(job: &Running, name: &str) -> f64 {
    let text = job.get(0, "/metrics");
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(0.0, |value| value.parse().unwrap())
}

#[test]
fn a_full_disk_is_waited_for_and_loses_nothing() {
    let place = LogPlace::new();
    let checkpoints = tempfile::tempdir().unwrap();
    let mut feed = Feed::new(5);
    feed.begin(&place);
    let full = "log::commit::disk_full=5*return;checkpoint::disk_full=2*return";
    let mut job = Running::start(&place, checkpoints.path(), 2, full);
    job.await_ready(&place, &mut feed);
    let until = Instant::now() + Duration::from_secs(60);
    while metric(&job, "riskflow_checkpoint_failures_total") < 2.0 || metric(&job, "riskflow_checkpoint_bytes") == 0.0 {
        assert!(Instant::now() < until, "no checkpoint after those that failed");
        feed.step(&place);
    }
    assert_eq!(metric(&job, "riskflow_commit_retries_total"), 5.0);
    job.stop();
    // Something is left to take in.
    feed.step(&place);
    settle(&place, checkpoints.path());
    judge(&place);
}

/// With an access control list on a topic, what it does not allow is refused.
#[test]
fn kafka_topics_that_may_not_be_written_or_read_end_the_job() {
    let rights = [
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found=true",
    ];
    let Some(place) = KafkaPlace::start("rights", &rights) else {
        return;
    };
    let checkpoints = tempfile::tempdir().unwrap();
    let mut feed = Feed::new(6);
    feed.begin(&place);
    for (topic, operation) in [(Topic::DeadLetter, "Write"), (Topic::InObservation, "Read")] {
        let mut job = Running::start_to_fail(&place, checkpoints.path());
        job.await_ready(&place, &mut feed);
        let name = place.name(topic);
        let acl = [
            "--deny-principal",
            "User:ANONYMOUS",
            "--operation",
            operation,
            "--topic",
            &name,
        ];
        place.tool(&[&["AclCommand", "--add"], &acl[..]].concat());
        let said = job.last_words(0, &place, &mut feed);
        assert!(
            said.contains(&name) || said.contains("could not write the output"),
            "{said}"
        );

        let output = place.command("run").stdout(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "a start without the right: {said}");
        assert!(said.contains(&name) && said.contains("authorization failed"), "{said}");
        place.tool(&[&["AclCommand", "--remove", "--force"], &acl[..]].concat());
    }
    settle(&place, checkpoints.path());
    judge(&place);
}

#[test]
fn kafka_a_topic_that_is_deleted_ends_the_job() {
    let Some(mut place) = KafkaPlace::start("deleted", &[]) else {
        return;
    };
    let checkpoints = tempfile::tempdir().unwrap();
    let mut feed = Feed::new(7);
    feed.begin(&place);
    let ends = |place: &KafkaPlace, feed: &mut Feed, topic| {
        let mut job = Running::start_to_fail(place, checkpoints.path());
        job.await_ready(place, feed);
        let name = place.name(topic);
        place.tool(&["TopicCommand", "--delete", "--topic", &name]);
        let said = job.last_words(0, place, feed);
        assert!(
            said.contains(&name) || said.contains("could not write the output"),
            "{said}"
        );
    };
    ends(&place, &mut feed, Topic::RiskRegion);
    // Made anew, the table is filled again where nothing is taken for granted.
    place.create_topics();
    place.more.push("recovery.verify=false".to_owned());
    settle(&place, checkpoints.path());
    judge(&place);
    ends(&place, &mut feed, Topic::InObservation);
}
