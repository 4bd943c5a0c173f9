//! Examples of topics and of HTTP are what a job gave: it works off a small history that gives every output topic a record and every
//! path an answer.
//!
//! Nothing in them depends on when or where it runs: arrivals, identifiers and answers follow from the history alone.

mod history;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use riskflow::runtime::http::{Explain, NoAnswer, Question, Server, openapi};
use riskflow::runtime::job::{self, Handles};
use riskflow_config::{HttpSettings, WrittenSettings};
use riskflow_model::topic::Topic;
use serde_json::{Map, Value, json};

use super::{BLESS, is_set, root};
use crate::actions::curl;
use crate::quiet::{PARTITIONS, Published};
use history::at;

/// Which ask for something else than tables.
const LEFT_OUT: [(&str, &str); 3] = [
    ("/openapi.json", "it is the document itself"),
    ("/debug/dataflow", "it tells times"),
    (
        "/api/v1/checkpoints/{request}",
        "it tells of a job that goes on, and asks for a token",
    ),
];

/// A job that has worked off the history, and a server that shows its tables as it would show those of a job that goes on.
struct Worked {
    published: Published,
    server: Server,
    _folder: tempfile::TempDir,
}

impl Worked {
    fn off() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (input, output) = (folder.path().join("in"), folder.path().join("out"));
        std::fs::create_dir(&input).unwrap();
        std::fs::create_dir(&output).unwrap();
        history::write(&input);
        let text = [
            "input.clock = \"arrival\"".to_owned(),
            format!("input.path = {input:?}"),
            format!("output.path = {output:?}"),
            format!("checkpoint.path = {:?}", folder.path().join("checkpoints")),
            format!("topics.partitions = {PARTITIONS}"),
        ];
        let text = text.join("\n");
        std::fs::write(folder.path().join("riskflow.toml"), &text).unwrap();
        let settings = WrittenSettings::from_toml(&text).unwrap().check().unwrap();
        let handles = Handles::new().unwrap();
        job::run(&settings, &handles, None).unwrap();
        // The job has ended, and would say so.
        let mut shown = Handles::new().unwrap();
        shown.views = Arc::clone(&handles.views);
        shown.now = Arc::clone(&handles.now);
        shown.ready.store(true, Ordering::Release);
        let place = folder.path().to_owned();
        let explain: Explain = Arc::new(move |question: &Question, _: &dyn Fn() -> bool| {
            explained(&place, question).map_err(NoAnswer::Failed)
        });
        let http = HttpSettings::at("127.0.0.1:0".parse().unwrap());
        let server = Server::start(&http, &settings.capabilities, shown, None, Some(explain)).unwrap();
        Self {
            published: Published::read(&output),
            server,
            _folder: folder,
        }
    }

    fn get(&self, request: &str) -> Value {
        let got = curl(&format!("http://{}{request}", self.server.address), &[]).unwrap();
        assert_eq!(got.status, 200, "{request}: {}", got.body);
        got.json()
    }

    /// The identifier of the first row of a list.
    fn first(&self, list: &str) -> String {
        let answer = self.get(list);
        let id = answer["items"][0]["id"].as_str();
        id.unwrap_or_else(|| panic!("{list}: {answer}")).to_owned()
    }

    /// What is asked of a path.
    fn request(&self, path: &str) -> String {
        let now = at(history::END);
        match path {
            "/" => path.to_owned(),
            "/api/v1/regions/{code}" => path.replace("{code}", "330902001"),
            "/api/v1/assets/{id}" => path.replace("{id}", "weir-4"),
            "/api/v1/assets/{id}/explanation" => {
                format!("{}?at={now}&as_of={now}", path.replace("{id}", "weir-4"))
            }
            "/api/v1/warnings/{id}" => path.replace("{id}", &self.first("/api/v1/warnings")),
            "/api/v1/warnings/{id}/explanation" => {
                let id = self.first("/api/v1/warnings");
                format!("{}?as_of={now}", path.replace("{id}", &id))
            }
            "/api/v1/warnings/known" => format!("{path}?at={now}&as_of={now}"),
            "/api/v1/warnings/history/{id}" => path.replace("{id}", &self.first("/api/v1/warnings/history")),
            "/api/v1/cases/{id}" => path.replace("{id}", history::INCIDENT),
            "/api/v1/rulesets/{set}/difference" => path.replace("{set}", history::SET),
            list => {
                assert!(!list.contains('{'), "{list}: say here what is asked");
                format!("{list}?limit=1")
            }
        }
    }
}

/// What the program explains of the history in this folder.
fn explained(folder: &Path, question: &Question) -> Result<String, String> {
    let mut command = Command::new(crate::kafka::riskflow());
    command
        .current_dir(folder)
        .args(["explain", "--json"])
        .env("RISKFLOW_LOG", "warn");
    let as_of = match question {
        Question::Warning { id, as_of } => {
            command.arg(id);
            as_of
        }
        Question::Asset { id, at, as_of, .. } => {
            command.arg(id).args(["--at", at.as_str()]);
            as_of
        }
        Question::Known { at, as_of, .. } => {
            command.args(["--at", at.as_str()]);
            as_of
        }
    };
    if let Some(as_of) = as_of {
        command.args(["--as-of", as_of.as_str()]);
    }
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return String::from_utf8(output.stdout).map_err(|error| error.to_string());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Of each output topic the record that says the most.
fn records(published: &Published) -> Value {
    let mut examples = Map::new();
    for topic in Topic::outputs() {
        let found = if topic.is_internal() {
            published.progress.iter().max_by_key(|(_, value)| value.len())
        } else {
            let of_topic = published.records.iter().filter(|((of, _), _)| *of == topic);
            let records = of_topic.flat_map(|(_, records)| records);
            let written = records.filter_map(|(key, value)| Some((key, value.as_ref()?)));
            written.max_by_key(|(_, value)| value.len())
        };
        let (key, value) = found.unwrap_or_else(|| panic!("nothing came on {topic}"));
        let value: Value = serde_json::from_str(value).unwrap();
        examples.insert(topic.name().to_owned(), json!({ "key": key, "value": value }));
    }
    Value::Object(examples)
}

/// Of each path that gives JSON an answer; each is as the document says.
fn answers(worked: &Worked) -> Value {
    let document = openapi::document();
    let mut examples = Map::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let schema = operations.pointer("/get/responses/200/content/application~1json/schema");
        let Some(schema) = schema.filter(|_| !LEFT_OUT.iter().any(|(left, _)| left == path)) else {
            continue;
        };
        let request = worked.request(path);
        let answer = worked.get(&request);
        let items = answer.get("items").and_then(Value::as_array);
        assert!(items.is_none_or(|items| !items.is_empty()), "{request}: {answer}");
        let mut schema = schema.clone();
        schema["components"] = document["components"].clone();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let wrong: Vec<String> = (validator.iter_errors(&answer))
            .map(|error| error.to_string())
            .collect();
        assert!(wrong.is_empty(), "{request}: {wrong:?}");
        examples.insert(
            path.clone(),
            json!({ "request": format!("GET {request}"), "answer": answer }),
        );
    }
    Value::Object(examples)
}

#[test]
fn examples_are_out_of_a_run() {
    let worked = Worked::off();
    let mut stale = Vec::new();
    for (name, made) in [
        ("model/src/output/examples.json", records(&worked.published)),
        ("pipeline/src/runtime/http/examples.json", answers(&worked)),
    ] {
        let path = root().join(name);
        // None is stale, too.
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        if serde_json::from_str::<Value>(&there).is_ok_and(|there| there == made) {
            continue;
        }
        if is_set("RISKFLOW_BLESS") {
            std::fs::write(&path, format!("{made:#}\n")).unwrap();
        } else {
            stale.push(name);
        }
    }
    assert!(
        stale.is_empty(),
        "stale: {stale:?}; this writes them anew, and when it runs once more the documents that show them: {BLESS}"
    );
}
