//! A real Kafka with TLS, passwords and ACLs: the job through each way to log in, each refusal with what it says, and no secret in
//! anything that the program says.

mod broker;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use riskflow_model::topic::Topic;
use riskflow_tests::kafka::Record;

use self::broker::{ALMOST, Broker, Login, property};
use crate::chaos::free;
use crate::kafka::{Job, base, now, observation};

/// Each way in, with all that a job needs.
const LOGINS: [Login; 5] = [
    Login::Scram512("riskflow"),
    Login::Scram256,
    Login::Plain,
    Login::Token,
    Login::Certificate,
];

/// Everything that the program said, with where.
#[derive(Default)]
struct Said(Mutex<Vec<(String, String)>>);

impl Said {
    fn note(&self, place: impl Into<String>, text: impl Into<String>) {
        self.0.lock().unwrap().push((place.into(), text.into()));
    }

    /// Runs a command to its end; its exit code, and what it said.
    fn run(&self, mut command: Command) -> (Option<i32>, String) {
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        self.note(format!("{command:?}"), said.clone());
        (output.status.code(), said)
    }

    /// Where one of these texts stands.
    fn places_of(&self, secrets: &[String]) -> Vec<String> {
        let all = self.0.lock().unwrap();
        let found = all
            .iter()
            .filter(|(_, text)| secrets.iter().any(|secret| text.contains(secret.as_str())));
        found.map(|(place, _)| place.clone()).collect()
    }
}

/// A running job that logs into a file.
struct Secured<'a> {
    job: Job,
    listens: SocketAddr,
    log: PathBuf,
    said: &'a Said,
}

impl<'a> Secured<'a> {
    fn start(broker: &Broker, login: Login, said: &'a Said) -> Self {
        let listens = free();
        let sets = [
            "http.enabled=true".to_owned(),
            format!("http.listen=\"{listens}\""),
            "http.dataflow=true".to_owned(),
            "input.clock=\"live\"".to_owned(),
            "unknown.hold=\"1s\"".to_owned(),
            "epoch.tick=\"20ms\"".to_owned(),
            property("debug", "security,broker,conf"),
            // A password is changed and changed back within this time, however slow the machine is; then it is soon seen.
            property("transaction.timeout.ms", "120000"),
            property("reconnect.backoff.max.ms", "1000"),
        ];
        let log = broker.tls(&format!("job-{}.log", listens.port()));
        let mut command = broker.command("run", login, &sets);
        command.env("RISKFLOW_LOG", "debug,librdkafka=trace");
        let file = File::create(&log).unwrap();
        let job = Job(command.stdout(Stdio::null()).stderr(file).spawn().unwrap());
        Self {
            job,
            listens,
            log,
            said,
        }
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }

    fn get(&self, path: &str) -> String {
        let mut answer = String::new();
        if let Ok(mut stream) = TcpStream::connect(self.listens) {
            let asked = write!(stream, "GET {path} HTTP/1.0\r\n\r\n");
            let _ = asked.and_then(|()| stream.read_to_string(&mut answer));
        }
        answer
    }

    /// Asks until it is so, for a minute at most.
    fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let until = Instant::now() + Duration::from_secs(60);
        while !is_so(self) {
            assert!(Instant::now() < until, "{what}: {}", self.log());
            // It is asked for every few milliseconds, and nothing depends on how many.
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    fn is_reached(&self, reached: bool) -> bool {
        let line = format!("riskflow_source_unreachable{{worker=\"0\"}} {}\n", u8::from(!reached));
        self.get("/metrics").contains(&line)
    }

    /// What it shows and says is kept to be searched.
    fn keep(&self) {
        for path in [
            "/",
            "/metrics",
            "/debug/dataflow",
            "/readyz",
            "/healthz",
            "/openapi.json",
        ] {
            let answer = self.get(path);
            assert!(answer.contains(" 200 "), "{path}: {answer}");
            self.said.note(path, answer);
        }
    }

    /// Asks it to stop.
    fn stop(self) {
        self.until("it is live", |job| job.get("/readyz").contains(" 200 "));
        self.keep();
        let (log, said) = (self.log.clone(), self.said);
        let code = self.job.stop();
        let text = std::fs::read_to_string(&log).unwrap();
        assert_eq!(code, Some(0), "{text}");
        said.note(log.display().to_string(), text);
    }

    /// Waits until it has ended by itself; its exit code, and its log.
    fn ended(mut self) -> (Option<i32>, String) {
        let until = Instant::now() + Duration::from_secs(60);
        let status = loop {
            if let Some(status) = self.job.0.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < until, "it goes on: {}", self.log());
            std::thread::park_timeout(Duration::from_millis(20));
        };
        let text = self.log();
        self.said.note(self.log.display().to_string(), text.clone());
        (status.code(), text)
    }
}

/// Readings that raise a warning and clear it in turn.
struct Feed<'a> {
    broker: &'a Broker,
    sent: usize,
}

impl Feed<'_> {
    /// One more, which makes one more delta.
    fn step(&mut self) {
        let result = if self.sent.is_multiple_of(2) { 60.0 } else { 44.0 };
        let payload = observation(now(), result);
        let record = [("gas", Some(payload.as_str()))];
        self.broker.kafka.produce(Topic::IN_OBSERVATION, record).unwrap();
        self.sent += 1;
        let enough = |records: &[Record]| records.len() >= self.sent;
        self.broker.kafka.consume_until(Topic::WARNING_DELTA, enough).unwrap();
    }
}

#[test]
#[ignore = "a minute or more: `make acceptance` runs it"]
fn kafka_with_tls_passwords_and_acls() {
    let Some(broker) = Broker::start() else { return };
    let said = Said::default();
    who_may_not_make_topics_is_told_so(&broker, &said);
    base(&broker.kafka);
    std::thread::scope(|scope| {
        scope.spawn(|| every_way_in_is_taken(&broker, &said));
        scope.spawn(|| each_refusal_says_what_to_give(&broker, &said));
        scope.spawn(|| doctor_tells_what_it_can_of_rights(&broker, &said));
    });
    each_missing_right_ends_the_job(&broker, &said);
    jobs_go_through(&broker, &said);
    // What is looked for is found where it is.
    let secrets = broker.secrets();
    assert_eq!(secrets.len(), 5);
    assert_eq!(said.places_of(&secrets), Vec::<String>::new(), "a secret was said");
    for secret in &secrets {
        let planted = Said::default();
        planted.note("here", format!("a: {secret}!"));
        assert_eq!(planted.places_of(&secrets), ["here"]);
    }
    let all = said.0.lock().unwrap();
    let told = all.iter().any(|(_, text)| text.contains("sasl.password = [redacted]"));
    assert!(told, "librdkafka told nothing that could hold a secret");
}

fn who_may_not_make_topics_is_told_so(broker: &Broker, said: &Said) {
    let create = |user: &'static str| {
        let mut command = broker.command("topics", Login::Scram512(user), &[]);
        command.arg("--create");
        said.run(command)
    };
    let (code, told) = create("riskflow");
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("this user needs Create on it"), "{told}");
    let (code, told) = create("deployer");
    assert_eq!(code, Some(0), "{told}");
}

fn every_way_in_is_taken(broker: &Broker, said: &Said) {
    for login in LOGINS {
        let mut command = broker.command("topics", login, &[]);
        command.arg("--check");
        let (code, told) = said.run(command);
        assert_eq!(code, Some(0), "{login:?}: {told}");
        let (code, told) = said.run(broker.command("doctor", login, &[]));
        assert_eq!(code, Some(0), "{login:?}: {told}");
        let (code, told) = said.run(broker.command("check", login, &[]));
        assert_eq!(code, Some(0), "{login:?}: {told}");
    }
}

/// What is refused: other settings than those of a user who may, and what is said of it.
fn refusals(broker: &Broker) -> Vec<(Login, Vec<String>, Vec<&'static str>)> {
    let scram = Login::Scram512("riskflow");
    let at = |listener: &str| format!("kafka.brokers={:?}", broker.at(listener));
    let file = |property_of: &str, name: &str| property(property_of, &broker.tls(name).display().to_string());
    let password = vec!["SASL authentication error", "`sasl.password`"];
    let client = vec!["alert", "`ssl.certificate.location`"];
    vec![
        (scram, vec![broker.wrong_password()], password.clone()),
        (Login::Scram512("nobody"), vec![], password.clone()),
        (Login::Plain, vec![broker.wrong_password()], password),
        (
            scram,
            vec![file("ssl.ca.location", "stranger.pem")],
            vec![
                "is signed by an authority that is not among",
                "stranger.pem",
                "`ssl.ca.location`",
            ],
        ),
        (
            scram,
            vec![at("expired")],
            vec!["the certificate of 127.0.0.1:", "has expired, at 20", "clock"],
        ),
        (
            scram,
            vec![at("misnamed")],
            vec![
                "is for `elsewhere.example`, not for `127.0.0.1`",
                "advertised.listeners",
            ],
        ),
        (
            Login::Certificate,
            vec![
                file("ssl.certificate.location", "expired.pem"),
                file("ssl.key.location", "expired.key"),
            ],
            client.clone(),
        ),
        (
            Login::Certificate,
            vec![
                file("ssl.certificate.location", "stranger.pem"),
                file("ssl.key.location", "stranger.key"),
            ],
            client,
        ),
        (
            Login::Certificate,
            vec![at("brokers")],
            vec!["PLAINTEXT", "`security.protocol` without TLS"],
        ),
        (
            scram,
            vec![property("security.protocol", "sasl_plaintext")],
            vec!["do not answer", "Disconnected"],
        ),
    ]
}

fn each_refusal_says_what_to_give(broker: &Broker, said: &Said) {
    let refusals = refusals(broker);
    std::thread::scope(|scope| {
        for (login, sets, parts) in &refusals {
            scope.spawn(move || {
                let mut command = broker.command("topics", *login, sets);
                command.arg("--check");
                let begun = Instant::now();
                let (code, told) = said.run(command);
                assert_eq!(code, Some(1), "{login:?} {sets:?}: {told}");
                for part in parts {
                    assert!(told.contains(part), "{part} is not in {told}");
                }
                // Ten seconds at most, and as much again for a machine with much to do.
                assert!(
                    begun.elapsed() < Duration::from_secs(20),
                    "{:?}: {told}",
                    begun.elapsed()
                );
            });
        }
    });
    // Doctor says it, too, and asks nothing that would only fail once more.
    let scram = Login::Scram512("riskflow");
    let (code, told) = said.run(broker.command("doctor", scram, &[broker.wrong_password()]));
    assert_eq!(code, Some(3), "{told}");
    for part in [
        "SASL authentication error",
        "docs/kafka-security.md",
        "topics, rights and clock",
    ] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    // What cannot be used is known before anybody is asked.
    let unusable = [
        property("sasl.oauthbearer.method", "oidc"),
        property("enable.sasl.oauthbearer.unsecure.jwt", "false"),
    ];
    for set in unusable {
        let (code, told) = said.run(broker.command("check", Login::Token, &[set]));
        assert_eq!(code, Some(2), "{told}");
        assert!(told.contains("oauthbearer"), "{told}");
    }
}

/// Before a job is started: what can be asked for without writing is told, and of the rest that it was not asked for.
fn doctor_tells_what_it_can_of_rights(broker: &Broker, said: &Said) {
    let prefix = broker.kafka.prefix();
    let unasked = format!("on `{prefix}out.*`, and on the transactional id `{prefix}riskflow` (Write, Describe)");
    for user in ALMOST {
        let (code, told) = said.run(broker.command("doctor", Login::Scram512(user), &[]));
        assert!(told.contains(&unasked), "{user}: {told}");
        if user == ALMOST[0] {
            assert_eq!(code, Some(3), "{user}: {told}");
            for part in [
                format!("{}: the broker refuses", broker.kafka.topic(Topic::IN_OBSERVATION)),
                "to Read and Describe".to_owned(),
                "(`kafka-acls`)".to_owned(),
            ] {
                assert!(told.contains(&part), "{user}: {part} is not in {told}");
            }
        } else {
            assert_eq!(code, Some(0), "{user}: {told}");
        }
    }
}

/// One after the other, for they have one transactional id.
fn each_missing_right_ends_the_job(broker: &Broker, said: &Said) {
    let prefix = broker.kafka.prefix();
    let ends = [
        (ALMOST[0], prefix.to_owned(), "to Read and Describe"),
        (ALMOST[1], "out.".to_owned(), "Write"),
        (
            ALMOST[2],
            format!("transactional id `{prefix}riskflow`"),
            "this user needs Write and Describe on it",
        ),
    ];
    for (user, on, needs) in ends {
        let (code, told) = Secured::start(broker, Login::Scram512(user), said).ended();
        assert_eq!(code, Some(1), "{user}: {told}");
        let last: Vec<&str> = told.lines().filter(|line| !line.contains(" DEBUG ")).collect();
        assert!(
            told.contains(&on) && told.contains(needs),
            "{user}: {}",
            last[last.len().saturating_sub(20)..].join("\n")
        );
    }
}

fn jobs_go_through(broker: &Broker, said: &Said) {
    let mut feed = Feed { broker, sent: 0 };
    let job = Secured::start(broker, Login::Scram512("riskflow"), said);
    // The rules are in force once the bad one among them was refused.
    let letters = |letters: &[Record]| !letters.is_empty();
    broker.kafka.consume_until(Topic::DEAD_LETTER, letters).unwrap();
    feed.step();

    // A password that is changed: the job waits, and goes on when it is as before.
    job.until("it reaches the brokers", |job| job.is_reached(true));
    broker.change_password(false);
    job.until("trouble is told", |job| {
        let log = job.log();
        log.contains("trouble with Kafka, going on trying") && log.contains("`sasl.password`")
    });
    job.until("it reaches no broker", |job| job.is_reached(false));
    assert!(job.get("/readyz").contains(" 200 "), "{}", job.log());
    broker.change_password(true);
    job.until("it reaches the brokers again", |job| job.is_reached(true));
    feed.step();
    job.stop();

    for login in [Login::Plain, Login::Token, Login::Certificate] {
        let job = Secured::start(broker, login, said);
        feed.step();
        job.stop();
    }
    // Without the right on the group it goes on, and says so.
    let job = Secured::start(broker, Login::Scram512(ALMOST[3]), said);
    feed.step();
    job.until("the group is told", |job| {
        let log = job.log();
        log.contains("GroupAuthorizationFailed") && log.contains("--operation Read --group")
    });
    // A right that is withdrawn ends it.
    broker.withdraw_write(ALMOST[3], false);
    let payload = observation(now(), 60.0);
    let record = [("gas", Some(payload.as_str()))];
    broker.kafka.produce(Topic::IN_OBSERVATION, record).unwrap();
    let (code, told) = job.ended();
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("uthoriz") && told.contains("Write"), "{told}");
    // Given back, the next start goes on from where it stood, and the record that it could not tell of is told.
    broker.withdraw_write(ALMOST[3], true);
    let job = Secured::start(broker, Login::Scram512(ALMOST[3]), said);
    let enough = |records: &[Record]| records.len() > feed.sent;
    broker.kafka.consume_until(Topic::WARNING_DELTA, enough).unwrap();
    job.stop();
}
