//! `riskflow topics --create` at a schema registry: what is registered, what is left alone, what is refused, and as whom.

mod stand_in;

use std::net::TcpListener;
use std::process::Command;

use riskflow_model::schema::draft_07::draft_07;
use riskflow_model::schema::{example, of_topic};
use riskflow_model::topic::Topic;
use riskflow_tests::kafka::Kafka;
use serde_json::{Value, json};

use self::stand_in::StandIn;
use crate::kafka::command;

/// How a command ended: its exit code, what it printed as JSON, and everything that it said.
struct Ended {
    code: Option<i32>,
    json: Value,
    said: String,
}

fn end(mut command: Command) -> Ended {
    let output = command.env("NO_PROXY", "127.0.0.1").output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Ended {
        code: output.status.code(),
        json: serde_json::from_slice(&output.stdout).unwrap_or_default(),
        said: text(&output.stdout) + &text(&output.stderr),
    }
}

/// `riskflow topics` with these arguments, at a registry.
fn topics(kafka: &Kafka, url: &str, arguments: &[&str], sets: &[&str]) -> Ended {
    let mut topics = command(kafka, "topics", sets);
    topics.args(arguments).args(["--json", "--schema-registry", url]);
    end(topics)
}

/// The schemas that a command tells of: subject, state, and what the registry said.
fn told(ended: &Ended) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let topics = ended.json.as_array().unwrap_or_else(|| panic!("{}", ended.said));
    let schemas = topics.iter().flat_map(|topic| topic["schemas"].as_array().unwrap());
    schemas
        .map(|schema| (text(&schema["subject"]), text(&schema["state"]), text(&schema["said"])))
        .collect()
}

fn states(ended: &Ended) -> Vec<(String, String)> {
    told(ended)
        .into_iter()
        .map(|(subject, state, _)| (subject, state))
        .collect()
}

/// Every topic's subject in this state.
fn all(kafka: &Kafka, state: &str) -> Vec<(String, String)> {
    let topics = Topic::inputs().chain(Topic::outputs());
    topics
        .map(|topic| (format!("{}-value", kafka.topic(topic)), state.to_owned()))
        .collect()
}

#[test]
fn a_schema_of_draft_7_takes_what_the_schema_takes() {
    for topic in Topic::all() {
        let schema = draft_07(of_topic(topic)).to_value();
        assert!(jsonschema::draft7::meta::is_valid(&schema), "{topic}");
        let (later, earlier) = (
            jsonschema::validator_for(&of_topic(topic).to_value()).unwrap(),
            jsonschema::draft7::new(&schema).unwrap(),
        );
        let example = example(topic).unwrap().value;
        assert!(earlier.is_valid(&example), "{topic}");
        // Each field in turn is gone, or something that it cannot be.
        let fields: Vec<&String> = example.as_object().unwrap().keys().collect();
        for field in fields {
            let mut less = example.clone();
            less.as_object_mut().unwrap().remove(field);
            let mut other = example.clone();
            other[field] = json!({ "no": ["such", "thing"] });
            for value in [less, other] {
                assert_eq!(earlier.is_valid(&value), later.is_valid(&value), "{topic}: {value}");
            }
        }
    }
}

#[test]
fn schemas_of_all_topics_are_registered_once_and_left_alone_from_then_on() {
    let Some(kafka) = Kafka::for_test("registry") else {
        return;
    };
    let registry = StandIn::start();
    let url = registry.url();
    let look = topics(&kafka, &url, &[], &[]);
    assert_eq!(
        (look.code, states(&look)),
        (Some(0), all(&kafka, "missing")),
        "{}",
        look.said
    );

    let first = topics(&kafka, &url, &["--create"], &[]);
    assert_eq!(states(&first), all(&kafka, "registered"), "{}", first.said);
    assert_eq!(first.code, Some(0), "{}", first.said);
    for topic in Topic::all() {
        let subject = format!("{}-value", kafka.topic(topic));
        let state = registry.state();
        let (_, schema) = &state.subjects[&subject][0];
        assert_eq!(*schema, draft_07(of_topic(topic)).to_value(), "{topic}");
    }

    registry.state().asked.clear();
    let again = topics(&kafka, &url, &["--create", "--check"], &[]);
    assert_eq!(
        (again.code, states(&again)),
        (Some(0), all(&kafka, "unchanged")),
        "{}",
        again.said
    );
    assert_eq!(again.json[0]["schemas"][0]["version"], 1, "{}", again.said);
    let asked = registry.state().asked.clone();
    assert_eq!(asked.len(), all(&kafka, "").len(), "one question a subject: {asked:?}");
    assert!(asked.iter().all(|path| !path.ends_with("/versions")), "{asked:?}");

    // For people, by the configuration, and by the doctor.
    let configured = format!("kafka.schema_registry.url={url:?}");
    let mut people = command(&kafka, "topics", &[&configured]);
    people.arg("--check");
    let people = end(people);
    assert_eq!(people.code, Some(0), "{}", people.said);
    assert!(people.said.contains("unchanged: version 1"), "{}", people.said);
    let mut doctor = command(&kafka, "doctor", &[&configured]);
    doctor.arg("--json");
    let doctor = end(doctor);
    let count = all(&kafka, "").len();
    let checks = doctor.json["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["check"] == "schemas").unwrap();
    assert_eq!(
        found["found"],
        format!("{count} of {count} are registered at {url}"),
        "{}",
        doctor.said
    );

    // One that is not there any more is missing; without a registry nobody is asked.
    let gone = format!("{}-value", kafka.topic(Topic::IN_RULE));
    registry.state().subjects.remove(&gone);
    let check = topics(&kafka, &url, &["--check"], &[]);
    assert_eq!(check.code, Some(3), "{}", check.said);
    assert!(states(&check).contains(&(gone, "missing".to_owned())), "{}", check.said);
    let mut without = command(&kafka, "topics", &[]);
    without.args(["--create", "--check", "--json"]);
    let without = end(without);
    assert_eq!(without.code, Some(0), "{}", without.said);
    assert!(without.json[0].get("schemas").is_none(), "{}", without.said);
}

#[test]
fn what_a_registry_refuses_is_told_with_its_reason_and_the_rest_is_registered() {
    let Some(kafka) = Kafka::for_test("registry-refuses") else {
        return;
    };
    let registry = StandIn::start();
    let subject = format!("{}-value", kafka.topic(Topic::WARNING_DELTA));
    let theirs = vec![(1, json!({ "type": "string" }))];
    registry.state().subjects.insert(subject.clone(), theirs.clone());

    let refused = topics(&kafka, &registry.url(), &["--create"], &[]);
    assert_eq!(refused.code, Some(4), "{}", refused.said);
    let why = "TYPE_CHANGED: it was \"string\" and would be \"object\"";
    for (name, state, said) in told(&refused) {
        let expected = if name == subject {
            ("incompatible", why)
        } else {
            ("registered", "")
        };
        assert_eq!((state.as_str(), said.as_str()), expected, "{name}");
    }
    assert_eq!(registry.state().subjects[&subject], theirs);
    assert!(refused.said.contains("refused 1 of "), "{}", refused.said);

    // A registry that cannot say whether it fits is not asked to take it.
    registry.state().cannot_compare = true;
    let unsure = topics(&kafka, &registry.url(), &["--create"], &[]);
    assert_eq!(unsure.code, Some(4), "{}", unsure.said);
    let (_, state, said) = told(&unsure).into_iter().find(|(name, ..)| *name == subject).unwrap();
    assert!(
        state == "refused" && said.contains("HTTP 500: #: could not determine version"),
        "{}",
        unsure.said
    );
    assert_eq!(registry.state().subjects[&subject], theirs);
}

#[test]
fn a_registry_by_https_asks_for_a_password_and_keys_are_registered_too() {
    let Some(kafka) = Kafka::for_test("registry-https") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let registry = StandIn::start_with_tls(folder.path());
    // `riskflow:s3cr3t`.
    registry.state().authorization = Some("Basic cmlza2Zsb3c6czNjcjN0".to_owned());
    std::fs::write(file("password"), "s3cr3t\n").unwrap();
    std::fs::write(file("wrong"), "s3cr4t\n").unwrap();
    let password = |name: &str| format!("kafka.schema_registry.password={{ file = {:?} }}", file(name));
    let authority = format!("kafka.schema_registry.ca_certificate={:?}", file("ca.pem"));
    let common = ["kafka.schema_registry.user=riskflow", "kafka.schema_registry.keys=true"];

    let (right, wrong) = (password("password"), password("wrong"));
    let sets = [common[0], common[1], &right, &authority];
    let good = topics(&kafka, &registry.url(), &["--create"], &sets);
    assert_eq!(good.code, Some(0), "{}", good.said);
    assert_eq!(states(&good).len(), 2 * all(&kafka, "").len(), "{}", good.said);
    let key = format!("{}-key", kafka.topic(Topic::IN_RULE));
    assert_eq!(registry.state().subjects[&key][0].1["type"], "string");

    let sets = [common[0], common[1], &wrong, &authority];
    let stranger = topics(&kafka, &registry.url(), &["--create"], &sets);
    assert_eq!(stranger.code, Some(1), "{}", stranger.said);
    assert!(stranger.said.contains("HTTP 401: Unauthorized"), "{}", stranger.said);

    let sets = [common[0], common[1], &right];
    let unknown = topics(&kafka, &registry.url(), &["--create"], &sets);
    assert_eq!(unknown.code, Some(1), "{}", unknown.said);
    assert!(unknown.said.contains("does not answer"), "{}", unknown.said);

    std::fs::write(file("empty.pem"), "").unwrap();
    let none = format!("kafka.schema_registry.ca_certificate={:?}", file("empty.pem"));
    let sets = [common[0], common[1], &right, &none];
    let empty = topics(&kafka, &registry.url(), &["--create"], &sets);
    assert_eq!(empty.code, Some(2), "{}", empty.said);
    assert!(empty.said.contains("no certificates can be read"), "{}", empty.said);
    for ended in [good, stranger, unknown, empty] {
        assert!(!ended.said.contains("s3cr"), "{}", ended.said);
    }
}

#[test]
fn what_is_no_registry_is_told_so() {
    let Some(kafka) = Kafka::for_test("registry-none") else {
        return;
    };
    let registry = StandIn::start();
    let other = topics(&kafka, &format!("{}/somewhere", registry.url()), &["--create"], &[]);
    assert_eq!(other.code, Some(2), "{}", other.said);
    assert!(
        other
            .said
            .contains("is no schema registry with Confluent's API: HTTP 404"),
        "{}",
        other.said
    );
    // Bound and let go: nobody listens there.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = topics(&kafka, &format!("http://{free}"), &["--create"], &[]);
    assert_eq!(nobody.code, Some(1), "{}", nobody.said);
    assert!(
        nobody
            .said
            .contains(&format!("the schema registry at http://{free} does not answer")),
        "{}",
        nobody.said
    );
    let wrong = topics(&kafka, "http://riskflow:s3cr3t@127.0.0.1:1", &[], &[]);
    assert_eq!(wrong.code, Some(2), "{}", wrong.said);
    assert!(
        wrong.said.contains("has an `@` in it") && !wrong.said.contains("s3cr3t"),
        "{}",
        wrong.said
    );
    // A log has no topics that anybody else could read.
    let log = ["input.kind=log", "output.kind=log"];
    let log = topics(&kafka, &registry.url(), &[], &log);
    assert_eq!(log.code, Some(2), "{}", log.said);
    assert!(log.said.contains("neither input nor output is Kafka"), "{}", log.said);
}
