//! Trouble that is neither a crash nor a broker that is down: what the tables of `docs/recovery.md` ("Trouble") say of it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use riskflow_model::topic::Topic;

use crate::chaos::place::{KafkaPlace, LogPlace, Place as _};
use crate::chaos::verdict::{self, judge};
use crate::chaos::{Feed, Running, free, pause, settle};
use crate::savepoints::whole;

/// The value of a metric without labels; 0 where there is none.
pub fn metric(job: &Running, name: &str) -> f64 {
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
    assert!(metric(&job, "riskflow_checkpoint_fold_bytes{fold=\"monitor\"}") > 0.0);
    assert!(metric(&job, "riskflow_checkpoint_phase_seconds{phase=\"write\"}") > 0.0);
    job.stop();
    // Something is left to take in.
    feed.step(&place);
    settle(&place, checkpoints.path());
    judge(&place);
}

/// What cannot be deleted is too much, but no reason to lose what is newer.
#[test]
fn checkpoints_that_cannot_be_deleted_take_no_other_with_them() {
    let place = LogPlace::new();
    let checkpoints = tempfile::tempdir().unwrap();
    let whole = || -> Vec<std::path::PathBuf> {
        let epochs = std::fs::read_dir(checkpoints.path()).unwrap();
        let mut whole: Vec<_> = epochs.map(|epoch| epoch.unwrap().path().join("manifest")).collect();
        whole.retain(|manifest| manifest.exists());
        whole.sort();
        whole
    };
    let mut feed = Feed::new(9);
    feed.begin(&place);
    let mut job = Running::start(&place, checkpoints.path(), 2, "checkpoint::not_deleted=return");
    job.await_ready(&place, &mut feed);
    let until = Instant::now() + Duration::from_secs(60);
    while whole().len() < 5 {
        assert!(Instant::now() < until, "{:?}", whole());
        feed.step(&place);
    }
    assert_eq!(metric(&job, "riskflow_checkpoint_failures_total"), 0.0);
    job.stop();
    // The oldest of them fit no more: a start goes on from the newest.
    let newest = whole().pop().unwrap();
    let mut job = Running::start(&place, checkpoints.path(), 2, "");
    job.await_ready(&place, &mut feed);
    while whole().contains(&newest) || whole().len() > 3 {
        assert!(Instant::now() < until, "{:?}", whole());
        feed.step(&place);
    }
    job.stop();
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
    for (topic, operation) in [(Topic::DEAD_LETTER, "Write"), (Topic::IN_OBSERVATION, "Read")] {
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

        let path = format!("checkpoint.path={:?}", checkpoints.path());
        let mut start = place.command("run");
        let output = start.args(["--set", &path]).stdout(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "a start without the right: {said}");
        assert!(said.contains(&name) && said.contains("authorization failed"), "{said}");
        place.tool(&[&["AclCommand", "--remove", "--force"], &acl[..]].concat());
    }
    settle(&place, checkpoints.path());
    kafkas_own_tools_see_how_far_it_is(&place);
    judge(&place);
}

/// By the offsets of a consumer group that nobody else reads.
fn kafkas_own_tools_see_how_far_it_is(place: &KafkaPlace) {
    let group = format!("{}riskflow", place.prefix());
    let told = place.tool(&["consumer.group.ConsumerGroupCommand", "--describe", "--group", &group]);
    let observations = place.name(Topic::IN_OBSERVATION);
    let rows = told.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let offsets = rows
        .filter(|row| row.get(1) == Some(&&*observations))
        .map(|row| row[3].parse::<u64>().unwrap());
    assert!(offsets.sum::<u64>() > 0, "{told}");
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
    ends(&place, &mut feed, Topic::RISK_REGION);
    // Made anew, the table is filled again where nothing is taken for granted.
    place.create_topics();
    place.more.push("recovery.verify=false".to_owned());
    settle(&place, checkpoints.path());
    judge(&place);
    ends(&place, &mut feed, Topic::IN_OBSERVATION);
}

#[test]
fn any_process_of_a_cluster_that_is_asked_to_stop_stops_all_of_them() {
    let place = LogPlace::new();
    let checkpoints = tempfile::tempdir().unwrap();
    let mut feed = Feed::new(8);
    feed.begin(&place);
    for asked in [1, 0] {
        let mut job = Running::start_pair(&place, checkpoints.path());
        job.await_ready(&place, &mut feed);
        job.stop_by(asked);
        // All of them took part in a checkpoint of the last epoch: the next start has nothing to replay.
        let last = verdict::resume(&place).last().0;
        let newest = whole(checkpoints.path()).last().copied();
        assert!(
            newest >= Some(last),
            "{newest:?} is the newest checkpoint, and {last} the last epoch"
        );
    }
    // Something is left to take in.
    feed.step(&place);
    settle(&place, checkpoints.path());
    judge(&place);
}

/// One process of a cluster, with more settings.
fn one_of(hosts: &[String], process: usize, place: &LogPlace, checkpoints: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(crate::kafka::riskflow());
    command.args(["run", "--log", "warn", "--set", "http.enabled=false"]);
    let sets = [
        format!("cluster.hosts={hosts:?}"),
        format!("cluster.process={process}"),
        format!("checkpoint.path={checkpoints:?}"),
    ];
    let sets = place.settings().into_iter().chain(sets);
    for set in sets.chain(more.iter().map(|set| (*set).to_owned())) {
        command.args(["--set", &set]);
    }
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

#[test]
fn a_stranger_on_the_port_of_a_cluster_ends_nothing_and_a_process_of_another_job_ends_itself() {
    let place = LogPlace::new();
    let checkpoints = tempfile::tempdir().unwrap();
    let hosts = [free().to_string(), free().to_string()];
    let mut first = one_of(&hosts, 0, &place, checkpoints.path(), &[]).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    let mut stranger = loop {
        match TcpStream::connect(&hosts[0]) {
            Ok(stream) => break stream,
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
    };
    // What a process of timely's own protocol would say.
    stranger.write_all(&1u64.to_be_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stranger.read_to_end(&mut answer);
    assert!(answer.is_empty(), "{answer:?}");
    let other = one_of(&hosts, 1, &place, checkpoints.path(), &["topics.prefix=\"x.\""])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&other.stderr);
    assert_eq!(other.status.code(), Some(1), "{said}");
    assert!(
        said.contains("process 0 of the cluster") && said.contains("another `topics.prefix`"),
        "{said}"
    );
    assert!(first.try_wait().unwrap().is_none(), "the first waits on");
    // For as long as it is let.
    let pid = first.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(first.wait().unwrap().success());
}

#[test]
fn a_process_without_the_secret_of_the_cluster_does_not_join_and_the_others_do() {
    let place = LogPlace::new();
    let checkpoints = tempfile::tempdir().unwrap();
    let hosts = [free().to_string(), free().to_string()];
    let file = |name: &str, text: &str| {
        let path = checkpoints.path().join(name);
        std::fs::write(&path, text).unwrap();
        format!("cluster.secret={{ file = {path:?} }}")
    };
    let right = file("right", "0123456789abcdef0123456789abcdef\n");
    let wrong = file("wrong", "fedcba9876543210fedcba9876543210\n");
    let store = checkpoints.path().join("kept");
    let mut first = one_of(&hosts, 0, &place, &store, &[&right]).spawn().unwrap();
    for (with, part) in [
        (&[wrong.as_str()][..], "has another `cluster.secret`"),
        (&[], "another `cluster.secret`"),
    ] {
        let other = one_of(&hosts, 1, &place, &store, with).output().unwrap();
        let said = String::from_utf8_lossy(&other.stderr);
        assert_eq!(other.status.code(), Some(1), "{said}");
        assert!(
            said.contains("process 0 of the cluster") && said.contains(part),
            "{said}"
        );
        assert!(
            !said.contains("0123456789") && !said.contains("fedcba"),
            "no secret is shown: {said}"
        );
    }
    assert!(first.try_wait().unwrap().is_none(), "the first waits on");
    let mut second = one_of(&hosts, 1, &place, &store, &[&right]).spawn().unwrap();
    // Once both have met nobody listens any more: there is nothing for strangers to say anything to.
    let until = Instant::now() + Duration::from_secs(60);
    while hosts.iter().any(|host| TcpStream::connect(host).is_ok()) {
        assert!(Instant::now() < until, "a port of the cluster stays open");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    for process in [&mut first, &mut second] {
        assert!(process.try_wait().unwrap().is_none(), "it goes on");
    }
    for process in [&mut first, &mut second] {
        process.kill().unwrap();
        process.wait().unwrap();
    }
}

/// A broker that wants a password, beside the listener without one.
#[test]
fn kafka_a_wrong_password_is_an_error_and_the_right_one_is_none() {
    let [plain, wants_password, controller] = std::array::from_fn(|_| free().port());
    let [listeners, advertised] = [format!(",CONTROLLER://127.0.0.1:{controller}"), String::new()].map(|more| {
        format!("listeners=PLAINTEXT://127.0.0.1:{plain},SASL_PLAINTEXT://127.0.0.1:{wants_password}{more}")
    });
    let settings = [
        listeners,
        format!("advertised.{advertised}"),
        format!("controller.quorum.bootstrap.servers=127.0.0.1:{controller}"),
        "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT"
            .to_owned(),
        "sasl.enabled.mechanisms=PLAIN".to_owned(),
        "listener.name.sasl_plaintext.plain.sasl.jaas.config=\
         org.apache.kafka.common.security.plain.PlainLoginModule required user_bureau=\"right\";"
            .to_owned(),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let Some(place) = KafkaPlace::start_at("password", Some(plain), &settings) else {
        return;
    };
    let check = |password: &str| {
        let mut command = place.command("topics");
        for set in [
            format!("kafka.brokers=\"127.0.0.1:{wants_password}\""),
            "kafka.properties.\"security.protocol\"=\"sasl_plaintext\"".to_owned(),
            "kafka.properties.\"sasl.mechanism\"=\"PLAIN\"".to_owned(),
            "kafka.properties.\"sasl.username\"=\"bureau\"".to_owned(),
            format!("kafka.properties.\"sasl.password\"=\"{password}\""),
        ] {
            command.args(["--set", &set]);
        }
        let output = command.arg("--check").output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let (status, said) = check("right");
    assert_eq!(status, Some(0), "{said}");
    let (status, said) = check("wrong");
    assert_eq!(status, Some(1), "{said}");
    assert!(said.to_lowercase().contains("authentication"), "{said}");
    assert!(!said.contains("wrong"), "a password is not shown: {said}");
}

/// A broker, where there is one, and a job that is ready; its checkpoints last as long as their folder is held.
fn started(name: &str, seed: u64) -> Option<(KafkaPlace, tempfile::TempDir, Feed, Running)> {
    let place = KafkaPlace::start(name, &[])?;
    let checkpoints = tempfile::tempdir().unwrap();
    let mut feed = Feed::new(seed);
    feed.begin(&place);
    let mut job = Running::start(&place, checkpoints.path(), 2, "");
    job.await_ready(&place, &mut feed);
    Some((place, checkpoints, feed, job))
}

/// Every partition gets another leader under a running job, and its first one back.
#[test]
fn kafka_another_leader_is_followed() {
    let Some((place, _checkpoints, mut feed, mut job)) = started("leader", 9) else {
        return;
    };
    // Only now: else the one copy of the transactions' state may lie on it, and it leaves again.
    let second = place.join();
    for broker in [2, 1] {
        place.move_to(broker);
        // What is fed now is led by the other broker.
        feed.step(&place);
        job.await_taken(&place);
    }
    drop(second);
    feed.step(&place);
    job.await_taken(&place);
    job.stop();
    judge(&place);
}

/// Stops the broker's clock when an epoch with records is under way: nothing is committed then.
fn freeze_under_way(place: &KafkaPlace, feed: &mut Feed, job: &Running) {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        assert!(Instant::now() < until, "the job never had to wait");
        feed.step(place);
        place.freeze(true);
        let frozen = Instant::now();
        let before = metric(job, "riskflow_epoch_timestamp_seconds");
        while metric(job, "riskflow_epoch_timestamp_seconds") <= before + 0.5 {
            if frozen.elapsed() > Duration::from_secs(2) {
                return;
            }
            pause();
        }
        place.freeze(false);
    }
}

/// The job goes on meanwhile, for there is nothing to write: nothing but this says that it reads nothing.
#[test]
fn kafka_brokers_that_do_not_answer_are_told() {
    let Some(mut place) = KafkaPlace::start("unreachable", &[]) else {
        return;
    };
    let checkpoints = tempfile::tempdir().unwrap();
    let job = Running::start(&place, checkpoints.path(), 1, "");
    let told = |value: &str| {
        let line = format!("riskflow_source_unreachable{{worker=\"0\"}} {value}\n");
        let until = Instant::now() + Duration::from_secs(120);
        while !job.get(0, "/metrics").contains(&line) {
            assert!(Instant::now() < until, "{line}");
            pause();
        }
    };
    told("0");
    place.kill_broker();
    told("1");
    place.start_broker();
    told("0");
    job.stop();
}

#[test]
fn kafka_a_broker_that_stands_still_is_waited_for() {
    let Some((place, _checkpoints, mut feed, mut job)) = started("slow", 10) else {
        return;
    };
    freeze_under_way(&place, &mut feed, &job);
    place.freeze(false);
    feed.step(&place);
    job.await_taken(&place);
    job.stop();
    judge(&place);
}

/// From SIGTERM on nobody is to send requests to it, however long the stop takes: answers of `/readyz`, each with when it was asked for.
fn says_that_it_stops(answers: &[(Duration, String)]) {
    let stops = |said: &str| said.contains(" 503 ") && said.contains("\r\n\r\nstopping");
    let first = answers.iter().position(|(_, said)| stops(said));
    let first = first.unwrap_or_else(|| panic!("it never says that it stops: {answers:?}"));
    let (asked, _) = answers[first];
    assert!(asked < Duration::from_secs(5), "it says so after {asked:?} only");
    // At its very end it answers nothing any more.
    let (mut count, mut last) = (0, asked);
    for (asked, said) in answers[first..].iter().filter(|(_, said)| !said.is_empty()) {
        assert!(stops(said), "after {asked:?}: {said}");
        (count, last) = (count + 1, *asked);
    }
    assert!(
        count > 10 && last > Duration::from_secs(10),
        "{count} answers, the last after {last:?}: the stop was not held up"
    );
}

#[test]
fn kafka_a_broker_that_stands_still_does_not_hold_up_a_stop() {
    let Some((place, checkpoints, mut feed, mut job)) = started("frozen", 11) else {
        return;
    };
    freeze_under_way(&place, &mut feed, &job);
    let asked = Instant::now();
    let mut answers = Vec::new();
    let code = job.ends_when_asked(|job| {
        answers.push((asked.elapsed(), job.get(0, "/readyz")));
        // It is asked every few milliseconds, and nothing depends on how many.
        std::thread::park_timeout(Duration::from_millis(20));
    });
    let took = asked.elapsed();
    place.freeze(false);
    place.await_answer();
    assert_eq!(code, Some(1));
    assert!(took < Duration::from_secs(30), "{took:?}");
    says_that_it_stops(&answers);
    feed.step(&place);
    settle(&place, checkpoints.path());
    judge(&place);
}
