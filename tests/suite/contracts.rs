//! The contracts with those who read and write topics and HTTP: the committed documents are what the code gives, what they say holds, and
//! nothing in them breaks who relies on the release before.

mod examples;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use riskflow::runtime::http::openapi;
use riskflow_model::schema::{asyncapi, example, of_topic};
use riskflow_model::topic::Topic;
use riskflow_tests::compatibility::{bare, breaks_of_all, breaks_of_http};
use serde_json::{Map, Value, json};

use crate::actions::{Desk, curl};
use crate::boundaries::sources;

/// Writes the committed documents anew.
const BLESS: &str = "RISKFLOW_BLESS=1 cargo test --locked -p riskflow-tests --test suite contracts";

/// Writes what the next release is compared with: once, with a release.
const RELEASE: &str = "RISKFLOW_RELEASE=1 cargo test --locked -p riskflow-tests --test suite contracts";

/// What breaks somebody, and is told: while the major version is 0 a minor one may (docs/compatibility.md). And the words by which
/// CHANGELOG.md tells it, in a line that begins with "**Breaks**".
const TOLD: [(&str, &str); 5] = [
    ("out.warning.delta: `explanation.source` may be `gauge` now", SOURCE),
    ("out.warning.history: `source` may be `gauge` now", SOURCE),
    (
        "get /api/v1/warnings/history: `200.items.*.source` may be `gauge` now",
        SOURCE,
    ),
    (
        "get /api/v1/warnings/{id}: `200.last_delta.explanation.source` may be `gauge` now",
        SOURCE,
    ),
    (
        "get /api/v1/warnings/history/{id}: `200.item.source` may be `gauge` now",
        SOURCE,
    ),
];
const SOURCE: &str = "`source` of an explanation may be `gauge`";

/// Whether a break is one of those that are told.
fn is_told(broken: &str) -> bool {
    let changes = std::fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    let (_, unreleased) = changes.split_once("## Unreleased").expect("what is not released");
    let unreleased = unreleased.split("\n## ").next().unwrap_or_default();
    let mut told = unreleased
        .lines()
        .filter(|line| line.trim_start().starts_with("**Breaks**"));
    let words = TOLD.iter().find(|(known, _)| *known == broken).map(|(_, words)| words);
    words.is_some_and(|words| told.any(|line| line.contains(words)))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| value == "1")
}

#[test]
fn committed_documents_are_what_the_code_gives() {
    let documents = [
        ("docs/asyncapi.json", asyncapi::document()),
        ("docs/openapi.json", openapi::document()),
    ];
    let mut stale = Vec::new();
    for (name, document) in documents {
        let (path, text) = (root().join(name), format!("{document:#}\n"));
        if std::fs::read_to_string(&path).is_ok_and(|there| there == text) {
            continue;
        }
        if is_set("RISKFLOW_BLESS") {
            std::fs::write(&path, text).unwrap();
        } else {
            stale.push(name);
        }
    }
    assert!(stale.is_empty(), "stale: {stale:?}; this writes them anew: {BLESS}");
}

#[test]
fn every_example_is_as_its_schema_says() {
    for topic in Topic::all() {
        let validator = jsonschema::validator_for(&of_topic(topic).to_value()).unwrap();
        let example = example(topic).unwrap_or_else(|| panic!("{topic} has no example"));
        let wrong: Vec<String> = validator
            .iter_errors(&example.value)
            .map(|error| error.to_string())
            .collect();
        assert!(wrong.is_empty(), "{topic}: {wrong:?}");
    }
}

/// The schemas by name; those of the configuration, too.
fn schemas() -> Map<String, Value> {
    let topics = Topic::all().map(|topic| (topic.name().to_owned(), of_topic(topic).to_value()));
    let output = Command::new(crate::kafka::riskflow())
        .args(["schema", "config"])
        .output()
        .unwrap();
    let config: Value = serde_json::from_slice(&output.stdout).unwrap();
    topics
        .chain([("config".to_owned(), config)])
        .map(|(name, schema)| (name, bare(&schema)))
        .collect()
}

/// What the last release had, or a word how to write it.
fn released(name: &str, now: &Value) -> Value {
    let path = root().join("tests/fixtures/contract").join(name);
    if is_set("RISKFLOW_RELEASE") {
        std::fs::write(&path, format!("{now:#}\n")).unwrap();
    }
    let text = std::fs::read_to_string(&path);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}; this writes it: {RELEASE}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// A break is a new major version, or a mistake: docs/compatibility.md.
#[test]
fn nothing_breaks_who_relies_on_the_last_release() {
    let now = schemas();
    let before = released("schemas.json", &Value::Object(now.clone()));
    let mut breaks = breaks_of_all(before.as_object().unwrap(), &now);
    breaks.retain(|broken| !is_told(broken));
    assert!(
        breaks.is_empty(),
        "docs/compatibility.md says what may change:\n{}",
        breaks.join("\n")
    );
    let now = bare(&openapi::document());
    let mut breaks = breaks_of_http(&released("openapi.json", &now), &now);
    breaks.retain(|broken| !is_told(broken));
    assert!(
        breaks.is_empty(),
        "docs/compatibility.md says what may change:\n{}",
        breaks.join("\n")
    );
}

/// The other way round, every route is in the document: it is made of the table that routes.
#[test]
fn every_documented_path_is_answered_and_no_route_stands_beside_the_table() {
    let desk = Desk::open();
    for (path, operations) in openapi::document()["paths"].as_object().unwrap() {
        let path = path
            .replace("{id}", "x")
            .replace("{code}", "x")
            .replace("{set}", "x")
            .replace("{request}", "1");
        for method in operations.as_object().unwrap().keys() {
            // What has no end is asked for its head.
            let method = match &*path {
                "/api/v1/events" => "-I",
                _ if method == "post" => "-XPOST",
                _ => "-XGET",
            };
            let got = curl(&desk.url(&path), &[method]).unwrap();
            assert!(!got.body.contains("there is no `"), "{method} {path}: {}", got.body);
            assert_ne!(got.status, 405, "{method} {path}");
        }
    }
    let served = curl(&desk.url("/openapi.json"), &[]).unwrap();
    assert_eq!((served.status, served.json()), (200, openapi::document()));
    let mut files = Vec::new();
    sources(&root().join("pipeline/src/runtime/http"), &mut files);
    for file in files.into_iter().filter(|file| !file.ends_with("tests.rs")) {
        let text = std::fs::read_to_string(&file).unwrap();
        let (product, _) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
        assert!(
            !product.contains(".route(\""),
            "{}: a path belongs into `Endpoint`",
            file.display()
        );
    }
}

/// Where `deploy/tools.sh install node` puts what it installs. Where it is not, that is said; with `RISKFLOW_REQUIRE_NODE=1` it fails.
fn node_modules() -> Option<PathBuf> {
    let tools = std::env::var_os("RISKFLOW_TOOLS").map_or_else(|| root().join("target/tools"), PathBuf::from);
    let folder = tools.join("node");
    let modules = ["@asyncapi/parser", "openapi-typescript"];
    let there = modules.map(|module| folder.join("node_modules").join(module).is_dir());
    let node = Command::new("node").arg("--version").stdout(Stdio::null()).status();
    if there == [true; 2] && node.is_ok_and(|status| status.success()) {
        return Some(folder);
    }
    let missing = "Node (Debian: apt-get install npm), and deploy/tools.sh install node";
    assert!(
        !is_set("RISKFLOW_REQUIRE_NODE"),
        "readers of AsyncAPI and OpenAPI are not installed: {missing}"
    );
    let not_run = format!("\n*** NOT RUN: readers of AsyncAPI and OpenAPI that others wrote: {missing} ***");
    let _ = writeln!(std::io::stderr(), "{not_run}");
    None
}

/// Otherwise the tests of what they read would say nothing.
#[test]
fn the_readers_refuse_what_is_no_such_document() {
    let Some(folder) = node_modules() else { return };
    let mut document = asyncapi::document();
    document["channels"] = json!("none");
    let (is_good, said) = parsed(&folder, &document);
    assert!(!is_good && said.contains("channels"), "{said}");
    let mut document = openapi::document();
    document["paths"]["/"]["get"]["responses"]["200"] = json!({ "$ref": "#/components/responses/nowhere" });
    assert!(types(&folder, &document).is_err());
}

/// Whether the parser of AsyncAPI takes a document, and what it complains of.
fn parsed(folder: &Path, document: &Value) -> (bool, String) {
    let script = "const { Parser } = require('@asyncapi/parser');
        const text = require('fs').readFileSync(0, 'utf8');
        new Parser().parse(text).then(({ document, diagnostics }) => {
            const errors = diagnostics.filter((one) => one.severity === 0);
            for (const one of errors) console.log(one.path.join('/'), one.message);
            process.exitCode = document && errors.length === 0 ? 0 : 1;
        });";
    let mut node = Command::new("node")
        .args(["-e", script])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let text = document.to_string();
    node.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), said)
}

#[test]
fn the_document_of_topics_is_parsed_by_the_parser_of_asyncapi() {
    let Some(folder) = node_modules() else { return };
    let (is_good, said) = parsed(&folder, &asyncapi::document());
    assert!(is_good, "{said}");
}

/// The types of TypeScript that are made of a document, or what was said.
fn types(folder: &Path, document: &Value) -> Result<String, String> {
    let work = tempfile::tempdir().unwrap();
    let (given, made) = (work.path().join("openapi.json"), work.path().join("openapi.ts"));
    std::fs::write(&given, document.to_string()).unwrap();
    let output = Command::new(folder.join("node_modules/.bin/openapi-typescript"))
        .arg(&given)
        .arg("-o")
        .arg(&made)
        .output()
        .unwrap();
    if output.status.success() {
        return Ok(std::fs::read_to_string(&made).unwrap());
    }
    let said = [&*output.stdout, &*output.stderr].concat();
    Err(String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn types_of_typescript_are_made_of_the_document_of_http() {
    let Some(folder) = node_modules() else { return };
    let types = types(&folder, &openapi::document()).unwrap_or_else(|said| panic!("{said}"));
    for name in ["\"/api/v1/events\"", "\"out.warning.state\"", "list_warnings"] {
        assert!(types.contains(name), "{name}");
    }
}

#[test]
fn the_documents_are_printed() {
    for (name, document) in [("asyncapi", asyncapi::document()), ("openapi", openapi::document())] {
        let output = Command::new(crate::kafka::riskflow())
            .args(["schema", name])
            .output()
            .unwrap();
        assert!(output.status.success());
        assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), document);
    }
    let folder = tempfile::tempdir().unwrap();
    let written = Command::new(crate::kafka::riskflow())
        .args(["schema", "--out", folder.path().to_str().unwrap()])
        .status()
        .unwrap();
    assert!(written.success());
    for name in ["asyncapi.json", "openapi.json", "out.notice.schema.json"] {
        let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_ne!(serde_json::from_str::<Value>(&text).unwrap(), json!({}), "{name}");
    }
}
