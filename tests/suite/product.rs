//! What people get and see: a program without failpoints, output that no terminal obeys, and no secret anywhere.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use riskflow_config::{Guarantee, WrittenSettings};
use riskflow_connectors::log::LogWriter;
use riskflow_connectors::{EpochRecords, OutRecord, open_sink};
use riskflow_model::Millis;
use riskflow_model::topic::{Direction, Topic};
use serde_json::Value;
use tempfile::TempDir;

use crate::kafka::{now, riskflow, with_failpoints};

fn text(output: &Output) -> String {
    let both = [&*output.stdout, &*output.stderr].concat();
    String::from_utf8(both).unwrap()
}

/// An embedded log with some records.
struct Log(TempDir);

impl Log {
    fn with(records: &[(Topic, &[u8], &[u8])]) -> Self {
        let log = Self(tempfile::tempdir().unwrap());
        assert!(log.run(&riskflow(), &["topics", "--create"]).status.success());
        for (topic, key, payload) in records {
            if topic.direction() == Direction::Out {
                log.commit(*topic, key, payload);
                continue;
            }
            let mut writer = LogWriter::open(log.0.path(), topic.name(), 2).unwrap();
            let partition = writer.partition_of(Some(key));
            writer
                .append(partition, Millis(now()), Some(key), Some(payload))
                .unwrap();
            writer.sync().unwrap();
        }
        log
    }

    /// Readers of outputs see what was committed.
    fn commit(&self, topic: Topic, key: &[u8], payload: &[u8]) {
        let output = riskflow_config::Output::Log(self.0.path().to_owned());
        let settings = WrittenSettings::from_toml("topics.partitions = 2").unwrap();
        let topics = settings.check().unwrap().topics;
        let mut sink = open_sink(&output, &topics, Guarantee::ExactlyOnce).unwrap();
        let record = OutRecord {
            topic,
            key: String::from_utf8(key.to_vec()).unwrap(),
            payload: Some(payload.to_vec()),
        };
        let epoch = EpochRecords {
            epoch: Millis(now()),
            records: vec![record],
        };
        sink.commit(&[epoch]).unwrap();
    }

    fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments);
        let folder = self.0.path();
        for set in [
            format!("input.path={folder:?}"),
            format!("output.path={folder:?}"),
            format!("checkpoint.path={:?}", folder.join("checkpoints")),
            "topics.partitions=2".to_owned(),
            "http.enabled=false".to_owned(),
        ] {
            command.args(["--set", &set]);
        }
        command
    }

    fn run(&self, program: &Path, arguments: &[&str]) -> Output {
        self.command(program, arguments).output().unwrap()
    }
}

const REGION: (Topic, &[u8], &[u8]) = (
    Topic::BASE_REGION,
    b"330902",
    "{\"code\":\"330902\",\"name\":\"定海区\"}".as_bytes(),
);

#[test]
fn the_product_has_no_failpoints_whatever_is_built_beside_it() {
    let name = b"log::commit::before_commit";
    let has = |program: &Path, word: &[u8]| {
        let bytes = std::fs::read(program).unwrap();
        bytes.windows(word.len()).any(|window| window == word)
    };
    assert!(has(&with_failpoints(), name) && has(&with_failpoints(), b"FAILPOINTS"));
    assert!(!has(&riskflow(), name) && !has(&riskflow(), b"FAILPOINTS"));

    // Each replays the same log, and commits.
    let end = |program: &Path| {
        let log = Log::with(&[REGION]);
        let mut command = log.command(program, &["run", "--log", "warn", "--set", "input.clock=arrival"]);
        let output = command
            .env("FAILPOINTS", "log::commit::before_commit=return")
            .output()
            .unwrap();
        (output.status.signal(), output.status.code())
    };
    const SIGABRT: i32 = 6;
    assert_eq!(end(&with_failpoints()), (Some(SIGABRT), None));
    assert_eq!(end(&riskflow()), (None, Some(0)));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Feature by feature, as cargo unites them where all of the workspace is built.
#[test]
fn nothing_that_the_product_is_built_of_knows_failpoints() {
    let tree = |package: &str| {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let output = Command::new(cargo)
            .current_dir(root())
            .args(["tree", "--locked", "--offline", "--package", package])
            .args(["--edges", "normal,build", "--prefix", "none", "--format", "{p} {f}"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let product = tree("riskflow");
    assert!(
        product.contains("riskflow-connectors v") && !product.contains("failpoints"),
        "{product}"
    );
    assert!(!product.lines().any(|line| line.starts_with("fail v")), "{product}");
    assert!(tree("riskflow-tests").lines().any(|line| line.starts_with("fail v")));
}

#[test]
fn the_tests_build_of_the_sources_is_made_of_what_the_product_is_made_of() {
    let dependencies = |manifest: &str| -> BTreeSet<String> {
        let text = std::fs::read_to_string(root().join(manifest)).unwrap();
        let table: toml::Table = text.parse().unwrap();
        let mut names: BTreeSet<String> = table["dependencies"].as_table().unwrap().keys().cloned().collect();
        names.remove("fail");
        names
    };
    for crate_ in ["connectors", "pipeline"] {
        let product = dependencies(&format!("{crate_}/Cargo.toml"));
        let tested = dependencies(&format!("tests/failpoints/{crate_}/Cargo.toml"));
        // The allocator is the binary's.
        let differ: Vec<_> = product.symmetric_difference(&tested).collect();
        assert_eq!(differ, Vec::<&String>::new(), "{crate_}");
    }
}

/// What a terminal obeys, or shows in another order.
fn is_unseen(c: char) -> bool {
    (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c) || ('\u{2066}'..='\u{2069}').contains(&c)
}

#[test]
fn what_others_wrote_reaches_no_terminal_as_they_wrote_it() {
    const EVIL: &str = "\u{1b}]0;OWNED\u{7}\u{1b}[2J\r\nforged\u{9b}31m\u{202e}RTL\u{2066}";
    let key = format!("k{EVIL}");
    let broken = format!("{{\"datastream\":\"{EVIL}\"");
    let valid = "{\n\"datastream\":\r\n\"\u{9b}31m\u{202e}\"}".to_owned();
    let name = serde_json::json!({"code": "330902", "name": EVIL}).to_string();
    let log = Log::with(&[
        (Topic::IN_OBSERVATION, key.as_bytes(), broken.as_bytes()),
        (Topic::IN_OBSERVATION, b"k2", valid.as_bytes()),
        (Topic::IN_OBSERVATION, b"\xff\x1b", b"\xfe\x9b\x1b"),
        (Topic::BASE_REGION, b"330902", name.as_bytes()),
        (Topic::WARNING_DELTA, key.as_bytes(), broken.as_bytes()),
    ]);
    let run = |arguments: &[&str]| {
        let output = log.run(&riskflow(), arguments);
        let text = text(&output);
        assert!(!text.contains(is_unseen), "{arguments:?}: {text:?}");
        assert!(
            !text.lines().any(|line| line.starts_with("forged")),
            "{arguments:?}: {text}"
        );
        text
    };
    assert_eq!(run(&["tail", "in.observation"]).lines().count(), 3);
    let envelopes = run(&["tail", "in.observation", "--json"]);
    let parsed: Vec<Value> = envelopes
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(parsed.len(), 3);
    assert!(
        parsed
            .iter()
            .any(|envelope| envelope["key"] == *key && envelope["value"] == *broken)
    );
    assert!(
        parsed
            .iter()
            .any(|envelope| envelope["value"]["datastream"] == "\u{9b}31m\u{202e}")
    );
    assert!(run(&["tail", "warnings"]).contains("\\u001b]0;OWNED\\u0007"));
    for format in ["text", "json"] {
        run(&[
            "run",
            "--log",
            "trace",
            "--log-format",
            format,
            "--set",
            "input.clock=arrival",
        ]);
    }
    run(&["tail", "out.deadletter"]);
    run(&["tail", "out.deadletter", "--json"]);
    // Errors, of ours and of the command line.
    assert!(run(&["tail", EVIL]).contains("\\u001b[2J\\r\\nforged"));
    run(&["check", "--set", &format!("topics.prefix={EVIL}")]);
    run(&["check", "-c", EVIL]);
    run(&["act", "w", EVIL]);
    run(&["act", "w", "comment", "--actor", EVIL, "--text", "x", "--id", EVIL]);
    run(&[EVIL]);
}

/// Runs a program for a while.
fn for_a_while(mut command: Command, while_: Duration) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = child.id().to_string();
    let waiting = std::thread::spawn(move || child.wait_with_output().unwrap());
    let until = std::time::Instant::now() + while_;
    while !waiting.is_finished() && std::time::Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = Command::new("kill").args(["-9", &pid]).stderr(Stdio::null()).status();
    waiting.join().unwrap()
}

/// A configuration with secrets of every kind: each has `s3cr3t` in it, or is [`HASH`].
struct Secrets(TempDir);

const HASH: &str = "5ec1e75ec1e75ec1e75ec1e75ec1e75ec1e75ec1e75ec1e75ec1e75ec1e75ec1";

impl Secrets {
    fn new() -> Self {
        let secrets = Self(tempfile::tempdir().unwrap());
        secrets.put("secret", "s3cr3t-of-a-file\n");
        secrets
    }

    fn put(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// A configuration for Kafka, with more properties.
    fn kafka(&self, more: &str) -> String {
        let folder = self.0.path();
        let text = format!(
            "input.kind = \"kafka\"\noutput.kind = \"kafka\"\nkafka.brokers = \"127.0.0.1:1\"\ncheckpoint.path = {:?}\n\
             [http.actions]\nenabled = true\n\
             tokens = [{{ name = \"a\", sha256 = \"{HASH}\", role = \"r\", region = \"33\" }}]\n\
             [kafka.properties]\n\"security.protocol\" = \"sasl_plaintext\"\n\"sasl.password\" = \"s3cr3t\"\n\
             \"ssl.key.password\" = {{ file = {:?} }}\n{more}",
            folder.join("checkpoints"),
            folder.join("secret"),
        );
        self.put("kafka.toml", &text)
    }

    /// Runs the program, for some seconds at most; nothing that it says may hold a secret.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(riskflow());
        let secrets = [
            ("A_SECRET", "s3cr3t-of-the-environment"),
            ("AWS_SECRET_ACCESS_KEY", "s3cr3t"),
        ];
        command.args(arguments).current_dir(self.0.path()).envs(secrets);
        let output = for_a_while(command, Duration::from_secs(20));
        let said = text(&output);
        assert!(
            !said.contains("s3cr3t") && !said.contains(HASH),
            "{arguments:?}: {said}"
        );
        (output.status.code(), said)
    }
}

#[test]
fn check_shows_where_secrets_stand_and_none_of_them() {
    let secrets = Secrets::new();
    let good = "\"sasl.mechanism\" = \"PLAIN\"\n\"sasl.username\" = \"u\"\n\"ssl.keystore.password\" = { env = \"A_SECRET\" }\n";
    let misspelt = format!("{good}\"sasl.pasword\" = \"s3cr3t\"\n\"linger.ms\" = \"s3cr3t\"");
    let (code, said) = secrets.run(&["check", "-c", &secrets.kafka(&misspelt)]);
    assert!(
        code == Some(2) && said.contains("sasl.pasword") && said.contains("linger.ms"),
        "{said}"
    );
    let (code, shown) = secrets.run(&["check", "-c", &secrets.kafka(good)]);
    assert_eq!(code, Some(0), "{shown}");
    let file = secrets.0.path().join("secret");
    for part in [
        "\"sasl.password\" = \"(hidden)\"",
        "\"sasl.username\" = \"u\"",
        "\"security.protocol\" = \"sasl_plaintext\"",
        "A_SECRET",
        file.to_str().unwrap(),
    ] {
        assert!(shown.contains(part), "{part} is not in: {shown}");
    }
}

#[test]
fn errors_of_the_configuration_quote_no_secret() {
    let secrets = Secrets::new();
    for text in [
        "[kafka.properties]\n\"sasl.password\" = \"s3cr3t",
        "[kafka.properties]\n\"sasl.password\" = s3cr3t",
        "[kafka.properties]\nsasl.password = \"s3cr3t\"",
        "[kafka.properties]\n\"sasl.password\" = [\"s3cr3t\"]",
        "kafka = \"s3cr3t\"",
        "kafka.brokers = \"u:s3cr3t@h:1\"\ninput.kind = \"kafka\"",
        "checkpoint.path = \"s3://key:s3cr3t@bucket/x\"",
        "checkpoint.path = \"s3://bucket/x?secret=s3cr3t\"",
        "http.actions.tokens = [\"s3cr3t\"]",
        "http.actions = { enabled = true, tokens = [{ name = \"a\", sha256 = \"s3cr3t\", role = \"r\", region = \"33\" }] }",
        "http.actions.tokens = [{ name = \"a\", sha256 = [\"s3cr3t\"], role = \"r\", region = \"33\" }]",
    ] {
        let (code, said) = secrets.run(&["check", "-c", &secrets.put("bad.toml", text)]);
        assert_eq!(code, Some(2), "{text}: {said}");
    }
    let good = secrets.kafka("");
    for set in [
        "kafka.properties.sasl.password:s3cr3t",
        "kafka.brokers.sasl.password=s3cr3t",
    ] {
        let (code, said) = secrets.run(&["check", "-c", &good, "--set", set]);
        assert!(code != Some(0) && said.contains("sasl.password"), "{said}");
    }
}

#[test]
fn neither_logs_nor_what_kafka_says_shows_a_secret() {
    let secrets = Secrets::new();
    let refused = secrets
        .run(&["topics", "-c", &secrets.kafka("\"sasl.pasword\" = \"s3cr3t\"")])
        .1;
    assert!(refused.contains("sasl.pasword"), "{refused}");
    let taken = secrets.kafka("\"sasl.mechanism\" = \"PLAIN\"\n\"sasl.username\" = \"u\"\n\"debug\" = \"all\"");
    for format in ["text", "json"] {
        let logs = [
            "--log",
            "trace",
            "--log-format",
            format,
            "--set",
            "http.listen=127.0.0.1:0",
        ];
        let said = secrets.run(&[&["run", "-c", &taken][..], &logs].concat()).1;
        assert!(said.contains("127.0.0.1:1") && said.contains("librdkafka"), "{said}");
    }
}

/// What `riskflow run` says of this log under a limit of so many open files, and its exit code.
fn run_under(log: &Log, limit: u32, sets: &[&str]) -> (Option<i32>, String) {
    let command = log.command(&riskflow(), &["run", "--set", "input.clock=arrival", "--log", "info"]);
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("ulimit -n {limit} && exec \"$@\""), "sh"]);
    limited.arg(command.get_program()).args(command.get_args());
    limited.args(["--set", "http.enabled=true", "--set", "http.listen=127.0.0.1:0"]);
    for set in sets {
        limited.args(["--set", set]);
    }
    let output = limited.output().unwrap();
    (output.status.code(), text(&output))
}

#[test]
fn a_limit_of_open_files_that_is_too_low_is_told_at_the_start() {
    let log = Log::with(&[REGION]);
    let run = |limit, sets: &[&str]| run_under(&log, limit, sets);
    let (code, said) = run(400, &[]);
    assert_eq!(code, Some(1), "{said}");
    for part in [
        "the limit of open files is 400",
        "256 for HTTP connections",
        "LimitNOFILE",
        "http.max_connections",
    ] {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
    let (code, said) = run(400, &["http.max_connections=16"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("limit of open files") && said.contains("found=400"),
        "{said}"
    );
}

#[test]
fn a_log_has_more_partitions_than_the_process_may_open_files() {
    const PARTITIONS: u16 = 256;
    let log = Log(tempfile::tempdir().unwrap());
    let partitions = format!("topics.partitions={PARTITIONS}");
    let mut make = log.command(&riskflow(), &["topics", "--create"]);
    let made = make.args(["--set", &partitions]).output().unwrap();
    assert!(made.status.success(), "{}", text(&made));
    let mut writer = LogWriter::open(log.0.path(), Topic::IN_OBSERVATION.name(), PARTITIONS).unwrap();
    for number in 0..2_000 {
        let key = format!("unknown-{number}");
        let payload = format!(
            "{{\"datastream\":\"{key}\",\"time\":{},\"value\":\"no number\"}}",
            now()
        );
        let partition = writer.partition_of(Some(key.as_bytes()));
        let (key, payload) = (key.as_bytes(), payload.as_bytes());
        writer
            .append(partition, Millis(now()), Some(key), Some(payload))
            .unwrap();
    }
    writer.sync().unwrap();
    drop(writer);

    // The hard limit as well: nothing can be raised.
    let (code, said) = run_under(&log, 1024, &[&partitions]);
    assert_eq!(code, Some(0), "{said}");
    let folder = log.0.path().join(Topic::DEAD_LETTER.name());
    let written = |partition: u16| {
        let files = std::fs::read_dir(folder.join(partition.to_string())).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum::<u64>() > 0
    };
    let touched = (0..PARTITIONS).filter(|partition| written(*partition)).count();
    assert!(
        touched > 200,
        "only {touched} of {PARTITIONS} partitions have dead letters"
    );
}
