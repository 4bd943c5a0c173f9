//! On Kafka nothing but a look keeps an exercise and a live job out of each other's topics: a transactional id fences whoever had it before.

use std::path::Path;
use std::process::Command;

use riskflow_model::topic::Topic;

use super::{command, replay};
use crate::chaos::place::{Corner, KafkaPlace, Place};
use crate::chaos::{Feed, Running, settle, storm};

/// The exit code of a command, and what it says.
fn ended(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

/// How many records of the output are marked, and how many are not.
fn marked(corner: &Corner<'_>) -> (usize, usize) {
    let outputs = Topic::outputs().filter(|topic| !topic.is_internal());
    let records: Vec<_> = outputs.flat_map(|topic| corner.records(topic)).collect();
    let is_marked =
        |record: &&riskflow_tests::kafka::Record| record.headers.iter().any(|header| header == "ce_exercise");
    let marked = records.iter().filter(is_marked).count();
    (marked, records.len() - marked)
}

/// The live job takes what comes, and says so in an epoch.
fn goes_on(job: &mut Running, feed: &mut Feed, corner: &Corner<'_>) {
    let before = corner.all(Topic::EPOCH).len();
    feed.step(corner);
    job.await_taken(corner);
    assert!(corner.all(Topic::EPOCH).len() > before, "it commits nothing any more");
}

#[test]
fn kafka_an_exercise_and_a_live_job_keep_out_of_each_others_topics() {
    let Some(mut place) = KafkaPlace::start("apart", &[]) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    storm(&mut place, Path::new(&at("first")), 1, 70, None);
    settle(&place, Path::new(&at("first")));
    let (riskflow, aside) = (crate::kafka::riskflow(), at("aside"));

    // Another live job beside the one whose history it is.
    let prefix = format!("{}other.", place.prefix());
    let other = Corner::of(&place, &prefix);
    let (code, said) = ended(&mut crate::restart::command(
        &other,
        Path::new(&at("other")),
        &["topics", "--create"],
    ));
    assert_eq!(code, Some(0), "{said}");
    let mut feed = Feed::new(71);
    feed.begin(&other);
    let mut job = Running::start(&other, Path::new(&at("other")), 1, "");
    job.await_ready(&other, &mut feed);
    goes_on(&mut job, &mut feed, &other);
    let arguments = ["--as-ran", "--prefix", &prefix, "--checkpoints", &aside];
    let (code, said) = ended(&mut command(&riskflow, &place, &arguments));
    assert_eq!(code, Some(2), "{said}");
    for says in [
        "has records of a job that is no exercise",
        "another `--prefix`",
        "`--force`",
    ] {
        assert!(said.contains(says), "{says}: {said}");
    }
    assert!(!Path::new(&aside).exists(), "what is refused leaves nothing");
    goes_on(&mut job, &mut feed, &other);
    let (exercise, live) = marked(&other);
    assert!(exercise == 0 && live > 0, "{exercise} are marked, {live} are not");

    // Its own topics are told without a look.
    let own = ["--prefix", place.prefix(), "--checkpoints", &aside];
    let (code, said) = ended(&mut command(&riskflow, &place, &own));
    assert!(code == Some(2) && said.contains("is that of the live topics"), "{said}");

    // Forced it is marked all the same, and the job goes on, also after a start.
    let forced = replay(&place, &["--as-ran", "--prefix", &prefix, "--force"]);
    let said = String::from_utf8_lossy(&forced.stderr);
    assert!(said.contains("--force: what is replayed goes to "), "{said}");
    assert!(marked(&other).0 > 0);
    goes_on(&mut job, &mut feed, &other);
    job.stop();
    let mut job = Running::start(&other, Path::new(&at("other")), 2, "");
    job.await_ready(&other, &mut feed);
    goes_on(&mut job, &mut feed, &other);
    job.stop();

    // Where an exercise stands, it may go on, and no live job begins.
    let prefix = format!("{}exercise.", place.prefix());
    let arguments = ["--as-ran", "--prefix", &prefix, "--checkpoints", &aside];
    replay(&place, &arguments);
    let there = Corner::of(&place, &prefix);
    let before = marked(&there);
    assert!(before.0 > 0 && before.1 == 0, "{before:?}");
    let (code, said) = ended(&mut crate::restart::command(&there, Path::new(&at("there")), &["run"]));
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("has records of an exercise") && said.contains("another `topics.prefix`"),
        "{said}"
    );
    replay(&place, &arguments);
    assert_eq!(marked(&there), before);
    files_go_where_nothing_stands_and_once(&place);
    what_it_was_made_of_stays_with_the_topics(&place);
}

/// Wherever the checkpoints are: without them all would begin anew, and go on as something else.
fn what_it_was_made_of_stays_with_the_topics(place: &KafkaPlace) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (riskflow, rule) = (crate::kafka::riskflow(), super::new_rule(folder.path()));
    let prefix = format!("{}made.", place.prefix());
    let there = Corner::of(place, &prefix);
    let [one, two] = [at("one"), at("two")];
    let with = |rules: &str, checkpoints: &str| {
        let arguments = ["--rules", rules, "--prefix", &prefix, "--checkpoints", checkpoints];
        ended(&mut command(&riskflow, place, &arguments))
    };
    let (code, said) = with(&rule, &one);
    assert_eq!(code, Some(0), "{said}");
    let warnings = || there.records(Topic::WARNING_DELTA).len();
    let before = (marked(&there), warnings());
    assert!(before.1 > 0, "nothing warns: {said}");
    for checkpoints in [&one, &two] {
        let (code, said) = with("rain", checkpoints);
        assert_eq!(code, Some(2), "{said}");
        let says = format!("`--rules` is `rain`; give what it was when this replay began (`{rule}`)");
        assert!(said.contains(&says), "{says}: {said}");
        assert!(!Path::new(&two).exists(), "what is refused leaves nothing");
        assert_eq!((marked(&there), warnings()), before);
    }
    // The same goes on, and tells nothing twice.
    let (code, said) = with(&rule, &two);
    assert_eq!((code, warnings()), (Some(0), before.1), "{said}");

    // One that was forced says nothing of what it was made of.
    let prefix = format!("{}forced.", place.prefix());
    replay(place, &["--prefix", &prefix, "--force"]);
    let there = Corner::of(place, &prefix);
    let before = marked(&there);
    let three = at("three");
    let plain = ["--prefix", &prefix, "--checkpoints", &three];
    let (code, said) = ended(&mut command(&riskflow, place, &plain));
    assert_eq!(code, Some(2), "{said}");
    for says in ["has records of an exercise already", "`--force` writes it once more"] {
        assert!(said.contains(says), "{says}: {said}");
    }
    assert_eq!(marked(&there), before);
    assert!(!Path::new(&three).exists(), "what is refused leaves nothing");
}

/// Files have no offsets to go on from: into topics that anybody wrote to they would come beside what is there.
fn files_go_where_nothing_stands_and_once(place: &KafkaPlace) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let regions = at("base.region.ndjson");
    std::fs::write(&regions, "{\"code\":\"3309\",\"name\":\"Zhoushan\"}\n").unwrap();
    replay(place, &[&regions, "--out", &at("out")]);
    let wanted = super::published(Path::new(&at("out")));
    assert!(!wanted.is_empty());

    let (riskflow, prefix) = (crate::kafka::riskflow(), format!("{}files.", place.prefix()));
    let there = Corner::of(place, &prefix);
    let aside = at("aside");
    let arguments = [&*regions, "--prefix", &prefix, "--checkpoints", &aside];
    replay(place, &arguments);
    super::assert_same(&super::of_exercise(&place.corner(&prefix)), &wanted);
    assert!(!Path::new(&aside).exists(), "there is nothing to go on from");
    let once = marked(&there);
    assert_eq!(once.1, 0);

    let (code, said) = ended(&mut command(&riskflow, place, &arguments));
    assert_eq!(code, Some(2), "{said}");
    for says in [
        "has records of an exercise already",
        "another `--prefix`",
        "`--force` writes it once more",
    ] {
        assert!(said.contains(says), "{says}: {said}");
    }
    assert_eq!(marked(&there), once);
    // Nor does a history from elsewhere go on in its place.
    let other = at("other");
    let of_kafka = ["--clock", "event-time", "--prefix", &prefix, "--checkpoints", &other];
    let (code, said) = ended(&mut command(&riskflow, place, &of_kafka));
    assert_eq!(code, Some(2), "{said}");
    let was = format!("give what it was when this replay began (`files: {regions}`)");
    for says in ["`input` is `Kafka at ", &was] {
        assert!(said.contains(says), "{says}: {said}");
    }
    assert!(!Path::new(&other).exists(), "what is refused leaves nothing");
    assert_eq!(marked(&there), once);
    // It left no progress, and is found all the same.
    let (code, said) = ended(&mut crate::restart::command(&there, Path::new(&at("there")), &["run"]));
    assert!(
        code == Some(2) && said.contains("has records of an exercise (`riskflow replay`)"),
        "{code:?}: {said}"
    );
    assert_eq!(marked(&there), once);
    // Nor where a live job wrote.
    let live = format!("{}other.", place.prefix());
    let (code, said) = ended(&mut command(&riskflow, place, &[&*regions, "--prefix", &live]));
    assert!(
        code == Some(2) && said.contains("has records of a job that is no exercise"),
        "{code:?}: {said}"
    );

    replay(place, &[&*regions, "--prefix", &prefix, "--force"]);
    assert_eq!(marked(&there), (2 * once.0, 0));
}
