//! `riskflow doctor` on a real Kafka and without any, settings from the environment, and what the program says of itself.

use std::process::{Command, Output};

use riskflow_model::topic::Topic;
use riskflow_tests::kafka::Kafka;
use serde_json::Value;

use crate::kafka::{base, command, create_topics, riskflow};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The checks of one name, with how they came out and what was found.
fn checks<'a>(report: &'a Value, check: &str) -> Vec<(&'a str, &'a str)> {
    let checks = report["checks"].as_array().unwrap().iter();
    let of_name = checks.filter(|one| one["check"] == check);
    of_name
        .map(|one| (one["state"].as_str().unwrap(), one["found"].as_str().unwrap()))
        .collect()
}

fn doctor(command: &mut Command) -> (Option<i32>, Value) {
    let output = command.arg("--json").output().unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    let report = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
    (output.status.code(), report)
}

#[test]
fn all_is_well_on_kafka_until_a_topic_is_missing() {
    let Some(kafka) = Kafka::for_test("doctor") else { return };
    create_topics(&kafka);
    base(&kafka);
    let (code, report) = doctor(&mut command(&kafka, "doctor", &[]));
    assert_eq!((code, &report["ok"]), (Some(0), &Value::from(true)), "{report:#}");
    assert_eq!(checks(&report, "brokers")[0].0, "ok", "{report:#}");
    assert_eq!(checks(&report, "topics of the input").len(), 1, "{report:#}");
    assert_eq!(checks(&report, "topics of the output").len(), 1, "{report:#}");
    assert_eq!(checks(&report, "right to read")[0].0, "ok", "{report:#}");
    let (state, why) = checks(&report, "right to write")[0];
    assert!(
        state == "skipped" && why.contains(&format!("{}riskflow", kafka.prefix())),
        "{report:#}"
    );
    assert_eq!(checks(&report, "clock")[0].0, "ok", "{report:#}");
    assert!(checks(&report, "memory")[0].1.contains("1 datastreams"), "{report:#}");
    // It asks, and changes nothing: what is not there is not made.
    let other = kafka.with_prefix(&format!("{}x.", kafka.prefix()));
    for _ in 0..2 {
        let (code, report) = doctor(&mut command(&other, "doctor", &[]));
        assert_eq!((code, &report["ok"]), (Some(3), &Value::from(false)), "{report:#}");
        // All that are missing stand in one line.
        for (check, topic) in [
            ("topics of the input", Topic::IN_RULE),
            ("topics of the output", Topic::WARNING_STATE),
        ] {
            let told = checks(&report, check);
            let [("fail", found)] = told[..] else {
                panic!("{report:#}")
            };
            assert!(
                found.contains("are missing: ") && found.contains(&other.topic(topic)),
                "{report:#}"
            );
        }
    }
}

/// Everything is asked once, and what needs brokers that do not answer is not asked at all.
#[test]
fn without_brokers_doctor_is_done_in_time() {
    let nobody = crate::chaos::free();
    let brokers = format!("kafka.brokers=\"{nobody}\"");
    let sets = ["input.kind=kafka", "output.kind=kafka", "http.enabled=false", &brokers];
    let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
    let begun = std::time::Instant::now();
    let output = run(&[&["doctor", "--json"], &sets[..]].concat(), &[]);
    let took = begun.elapsed();
    let report: Value = serde_json::from_str(&text(&output.stdout)).unwrap();
    assert_eq!(output.status.code(), Some(3), "{report:#}");
    let [("fail", found)] = checks(&report, "brokers")[..] else {
        panic!("{report:#}")
    };
    assert!(found.contains("Connection refused"), "{found}");
    assert_eq!(
        checks(&report, "topics, rights and clock")[0].0,
        "skipped",
        "{report:#}"
    );
    // Ten seconds for the brokers, and what the machine takes for the rest.
    assert!(took < std::time::Duration::from_secs(15), "{took:?}");
}

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(riskflow());
    command.args(arguments).current_dir(folder.path());
    command.envs(variables.iter().copied()).output().unwrap()
}

#[test]
fn doctor_says_what_to_mend_and_exits_with_3() {
    let bad = run(
        &["doctor"],
        &[("RISKFLOW__CLUSTER__WORKERS", "0"), ("RISKFLOW__EPOCH__TOCK", "1s")],
    );
    let said = text(&bad.stdout);
    assert_eq!(bad.status.code(), Some(3), "{said}");
    for part in [
        "fail    configuration: `cluster.workers` is 0, from the variable `RISKFLOW__CLUSTER__WORKERS`",
        "to do: give a number from 1 to 256",
        "`RISKFLOW__EPOCH__TOCK` is set, and there is no field `epoch.tock`",
        "2 to mend",
    ] {
        assert!(said.contains(part), "{part} is not in:\n{said}");
    }
    let gone = run(&["doctor", "-c", "nowhere.toml"], &[]);
    assert_eq!(gone.status.code(), Some(2), "{}", text(&gone.stderr));
}

#[test]
fn settings_come_from_the_environment_and_check_says_from_where() {
    let variables = [
        ("RISKFLOW__CLUSTER__PROCESS", "hostname"),
        ("RISKFLOW__CLUSTER__PROCESSES", "3"),
        ("RISKFLOW__CLUSTER__HOSTS", "riskflow-{}.riskflow-peers:2101"),
        ("RISKFLOW__EPOCH__TICK", "10ms"),
        ("RISKFLOW__KAFKA__PROPERTIES__SASL_PASSWORD", "s3cr3t"),
    ];
    let check = |host: &str| run(&["check"], &[&variables[..], &[("HOSTNAME", host)]].concat());
    let good = check("riskflow-2");
    let said = text(&good.stdout) + &text(&good.stderr);
    assert_eq!(good.status.code(), Some(0), "{said}");
    for part in [
        "tick = \"10ms\"  # from RISKFLOW__EPOCH__TICK",
        "process = \"hostname\"  # from RISKFLOW__CLUSTER__PROCESS",
        "# ok: defaults, RISKFLOW__CLUSTER__HOSTS, ",
    ] {
        assert!(said.contains(part), "{part} is not in:\n{said}");
    }
    assert!(!said.contains("s3cr3t"), "{said}");
    let bad = check("laptop");
    let said = text(&bad.stderr);
    assert_eq!(bad.status.code(), Some(2), "{said}");
    assert!(said.contains("this host is called `laptop`"), "{said}");
}

#[test]
fn the_program_says_what_it_is_built_of_and_prints_its_own_documents() {
    let short = run(&["-V"], &[]);
    assert_eq!(text(&short.stdout), format!("riskflow {}\n", env!("CARGO_PKG_VERSION")));
    let long = text(&run(&["--version"], &[]).stdout);
    let lines: Vec<&str> = long.lines().collect();
    assert_eq!(lines.len(), 4, "{long}");
    for (line, name) in lines[1..].iter().zip(["commit ", "timely ", "differential-dataflow "]) {
        let told = line.strip_prefix(name).unwrap_or_else(|| panic!("{long}"));
        assert!(!told.is_empty() && !told.contains(' '), "{long}");
    }
    assert!(lines[2].ends_with("0.32.0") && lines[3].ends_with("0.26.0"), "{long}");
    for shell in ["bash", "zsh", "fish"] {
        let out = text(&run(&["completions", shell], &[]).stdout);
        assert!(out.contains("riskflow") && out.contains("doctor"), "{shell}: {out}");
    }
    let page = text(&run(&["man"], &[]).stdout);
    assert!(
        page.contains(".TH riskflow 1") && page.contains("riskflow\\-doctor(1)"),
        "{page}"
    );
}
