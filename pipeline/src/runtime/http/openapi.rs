//! The OpenAPI 3.1 document of everything that is served, made of the same tables as the router: [`Endpoint`] and the lists.
//!
//! `docs/openapi.json` is what [`document`] gives; `riskflow schema openapi` prints it, and `/openapi.json` serves it.
//!
//! Not by utoipa: it describes a function for each path, and types that derive its own trait. Here most paths are rows of one table that one
//! function answers, and the schemas are those of the topics, which schemars makes already; a second derive on each record could say
//! something else. `tests/suite/contracts.rs` compares the document with what is committed and with the release before, and has openapi-typescript
//! read it where that is installed.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use riskflow_config::Unmatched;
use riskflow_model::output::CaseStep;
use riskflow_model::schema::components::{PLACE, schemas};
use riskflow_model::topic::Topic;
use riskflow_model::{DomainScope, Filter, Level};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::endpoints::Endpoint;
use super::lists::{LARGEST_PAGE, LISTS, List, PAGE, TIERS, values};

/// The schema of a delta beside its warning.
const LAST_DELTA: &str = "LastDelta";

static TEXT: LazyLock<Bytes> = LazyLock::new(|| format!("{:#}\n", document()).into());

/// An answer that a job gave.
#[derive(Debug, Deserialize)]
struct Answered {
    /// What was asked: method, path and parameters.
    request: String,
    /// The body.
    answer: Value,
}

/// Answers that a job gave, by path.
static ANSWERED: LazyLock<BTreeMap<String, Answered>> = LazyLock::new(|| {
    let answers = serde_json::from_str(include_str!("examples.json"));
    answers.expect("a test reads the file")
});

/// Answers with the document.
pub(super) async fn serve() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], TEXT.clone()).into_response()
}

/// The document. It depends on nothing but this version of riskflow: what is off at a job answers 404 there.
#[must_use]
pub fn document() -> Value {
    let mut paths = Map::new();
    for list in LISTS.iter() {
        paths.insert(list.path(), json!({ "get": of_list(list) }));
    }
    for endpoint in Endpoint::ALL {
        let method = if endpoint.is_post() { "post" } else { "get" };
        let operations = paths.entry(endpoint.path()).or_insert_with(|| json!({}));
        operations[method] = of_endpoint(endpoint);
    }
    show_answers(&mut paths);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "riskflow",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What is true now, read from the output tables as of one epoch, and the way in for actions. A request by a host name that \
                            is not known is answered with 421. A part of riskflow that is off answers 404. In a cluster any process may be \
                            asked; one that cannot pass a request on to the process with the tables answers 503. Clients ignore fields that \
                            they do not know.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "http://localhost:9464" }],
        "paths": paths,
        "components": {
            "schemas": components(),
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "A token of `http.actions.tokens`; for reading, where `http.reading` is on, one of `http.reading.tokens`, too." },
            },
        },
    })
}

/// Puts the answers that a job gave beside what they are examples of.
fn show_answers(paths: &mut Map<String, Value>) {
    for (path, answered) in ANSWERED.iter() {
        let content = paths
            .get_mut(path)
            .and_then(|operations| operations.pointer_mut("/get/responses/200/content/application~1json"));
        if let Some(content) = content {
            let example = json!({ "summary": answered.request, "value": answered.answer });
            content["examples"] = json!({ "example": example });
        }
    }
}

fn components() -> BTreeMap<String, Value> {
    let shown = LISTS.iter().map(|list| list.topic);
    let rows = Endpoint::ALL.into_iter().filter_map(Endpoint::topic);
    let mut topics: Vec<Topic> = shown.chain(rows).chain([Topic::IN_ACTION]).collect();
    topics.sort_unstable();
    topics.dedup();
    let mut schemas = schemas(topics.iter().copied());
    for topic in topics.into_iter().filter(|topic| !is_event(*topic)) {
        if let Some(Value::Object(row)) = schemas.get_mut(topic.name()) {
            as_served(topic, row);
        }
    }
    // Of an open warning the last delta is shown as a row is.
    if let Some(Value::Object(mut delta)) = schemas.get(Topic::WARNING_DELTA.name()).cloned() {
        as_served(Topic::WARNING_DELTA, &mut delta);
        schemas.insert(LAST_DELTA.to_owned(), Value::Object(delta));
    }
    let error = json!({
        "type": "object", "properties": { "error": { "type": "string", "description": "What is wrong, and what to give." } },
        "required": ["error"],
    });
    schemas.insert("Error".to_owned(), error);
    schemas
}

/// Events are served as they stand on their topic.
fn is_event(topic: Topic) -> bool {
    topic == Topic::WARNING_DELTA
}

/// A row over HTTP has no epoch of its own; of an action the path and the token say a part.
fn as_served(topic: Topic, row: &mut Map<String, Value>) {
    let is_action = topic == Topic::IN_ACTION;
    let is_left = |name: &str| match name {
        "epoch" | "stand_in" => is_action,
        _ => true,
    };
    if let Some(Value::Object(properties)) = row.get_mut("properties") {
        properties.retain(|name, _| is_left(name));
    }
    if let Some(Value::Array(required)) = row.get_mut("required") {
        required.retain(|name| {
            let name = name.as_str().unwrap_or_default();
            if is_action { name == "action" } else { is_left(name) }
        });
    }
    if is_action {
        row.insert("examples".to_owned(), json!([{ "id": "a-1", "action": "acknowledge" }]));
    } else if let Some(Value::Array(examples)) = row.get_mut("examples") {
        for example in examples.iter_mut().filter_map(Value::as_object_mut) {
            example.retain(|name, _| is_left(name));
        }
    }
}

fn of_list(list: &List) -> Value {
    let filters = list.about.filters.iter().map(|filter| of_filter(*filter));
    let parameters: Vec<Value> = filters.chain(paging()).collect();
    let answers = answers(&page(list.topic), &[400, 404, 503]);
    let mut operation = json!({
        "operationId": format!("list_{}", list.about.name.replace(['/', '-'], "_")),
        "summary": list.about.about,
        "parameters": parameters,
        "responses": answers,
    });
    guard(&mut operation);
    operation
}

/// What asks for a token where `http.reading` says so: the document is the same for all jobs.
fn guard(operation: &mut Value) {
    operation["security"] = json!([{}, { "token": [] }]);
    for status in [401, 403] {
        operation["responses"][status.to_string()] = error_of(status);
    }
}

/// How a list is read page by page.
fn paging() -> [Value; 3] {
    [
        parameter(
            "limit",
            "query",
            "at most so many items",
            &json!({ "type": "integer", "minimum": 0, "maximum": LARGEST_PAGE, "default": PAGE }),
        ),
        parameter(
            "after",
            "query",
            "only what comes behind this key: `next` of the page before",
            &json!({ "type": "string" }),
        ),
        parameter(
            "offset",
            "query",
            "so many items are passed over",
            &json!({ "type": "integer", "minimum": 0, "default": 0 }),
        ),
    ]
}

fn of_endpoint(endpoint: Endpoint) -> Value {
    let mut parameters: Vec<Value> = Vec::new();
    if let Some(name) = endpoint.parameter() {
        let mut in_path = parameter(name, "path", "the key of the row", &json!({ "type": "string" }));
        in_path["required"] = true.into();
        parameters.push(in_path);
    }
    parameters.extend(queried(endpoint));
    let mut operation = json!({
        "operationId": operation_id(endpoint),
        "summary": endpoint.about(),
        "parameters": parameters,
        "responses": responses(endpoint),
    });
    if endpoint.needs_token() {
        operation["security"] = json!([{ "token": [] }]);
    } else if endpoint.may_need_token() {
        guard(&mut operation);
    }
    if endpoint == Endpoint::Act {
        let schema = json!({ "$ref": format!("{PLACE}{}", Topic::IN_ACTION) });
        operation["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    operation
}

/// A name for generated clients.
const fn operation_id(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Region => "region",
        Endpoint::Asset => "asset",
        Endpoint::AssetExplanation => "explain_asset",
        Endpoint::Warning => "warning",
        Endpoint::WarningExplanation => "explain_warning",
        Endpoint::KnownWarnings => "known_warnings",
        Endpoint::PastWarning => "past_warning",
        Endpoint::Case => "case",
        Endpoint::Difference => "ruleset_difference",
        Endpoint::Events => "events",
        Endpoint::Act => "act",
        Endpoint::Promote => "promote",
        Endpoint::TakeCheckpoint => "take_checkpoint",
        Endpoint::Checkpoint => "checkpoint",
        Endpoint::Index => "index",
        Endpoint::OpenApi => "openapi",
        Endpoint::Metrics => "metrics",
        Endpoint::Dataflow => "dataflow",
        Endpoint::Health => "health",
        Endpoint::Ready => "ready",
    }
}

/// The time that an explanation is asked about.
fn asked_about() -> Value {
    let about = "the time that is asked about";
    let mut at = parameter("at", "query", about, &json!({ "type": "string" }));
    at["required"] = true.into();
    at
}

/// The parameters that do not stand in the path.
fn queried(endpoint: Endpoint) -> Vec<Value> {
    let text = |name: &str, about: &str| parameter(name, "query", about, &json!({ "type": "string" }));
    match endpoint {
        Endpoint::AssetExplanation => vec![
            asked_about(),
            text("as_of", "by what was known then"),
            text("rule", "only this rule"),
            parameter(
                "all_rules",
                "query",
                "rules that watch nothing of it, too",
                &json!({ "type": "boolean" }),
            ),
        ],
        Endpoint::WarningExplanation => vec![text("as_of", "by what was told then")],
        Endpoint::KnownWarnings => vec![
            asked_about(),
            text("as_of", "by what was told then"),
            text("within", "this region and all within: its code, or its name"),
            text("rule", "only of this rule"),
        ],
        Endpoint::Difference => {
            let filters = filters_of(Topic::RULESET_DIFFERENCE);
            let others = filters.iter().filter(|filter| **filter != Filter::Set);
            let others = others.map(|filter| of_filter(*filter));
            others.chain(paging()).collect()
        }
        Endpoint::Events => {
            let last = parameter(
                "Last-Event-ID",
                "header",
                "goes before `after`",
                &json!({ "type": "string" }),
            );
            let after = text(
                "after",
                "what came after this epoch; without it, what comes from now on",
            );
            let filters = filters_of(Topic::WARNING_STATE).iter();
            let filters = filters.map(|filter| of_filter(*filter));
            filters.chain([after, last]).collect()
        }
        Endpoint::Act => vec![parameter(
            "Idempotency-Key",
            "header",
            "the action's `id`, where the body has none",
            &json!({ "type": "string" }),
        )],
        Endpoint::TakeCheckpoint => vec![text(
            "pin",
            "the name under which it is kept until `riskflow checkpoint unpin`",
        )],
        Endpoint::Region
        | Endpoint::Asset
        | Endpoint::Warning
        | Endpoint::PastWarning
        | Endpoint::Case
        | Endpoint::Promote
        | Endpoint::Checkpoint
        | Endpoint::Index
        | Endpoint::OpenApi
        | Endpoint::Metrics
        | Endpoint::Dataflow
        | Endpoint::Health
        | Endpoint::Ready => Vec::new(),
    }
}

fn responses(endpoint: Endpoint) -> Value {
    let row = |topic: Topic| json!({ "$ref": format!("{PLACE}{topic}") });
    let object = json!({ "type": "object" });
    let text = |media: &str, about: &str| json!({ "description": about, "content": { media: { "schema": { "type": "string" } } } });
    match endpoint {
        Endpoint::Region => {
            let rows = json!({ "type": "array", "items": row(Topic::RISK_REGION) });
            answers(&timed(&[("items", rows)]), &[400, 404, 503])
        }
        Endpoint::Asset => answers(&timed(&[("item", row(Topic::RISK_ASSET))]), &[400, 404, 503]),
        Endpoint::Warning => {
            let delta = json!({ "anyOf": [{ "$ref": format!("{PLACE}{LAST_DELTA}") }, { "type": "null" }] });
            let parts = [("item", row(Topic::WARNING_STATE)), ("last_delta", delta)];
            answers(&timed(&parts), &[400, 404, 503])
        }
        Endpoint::PastWarning => answers(&timed(&[("item", row(Topic::WARNING_HISTORY))]), &[400, 404, 503]),
        Endpoint::Case => answers(&timed(&[("item", row(Topic::CASE_STATE))]), &[400, 404, 503]),
        Endpoint::AssetExplanation | Endpoint::WarningExplanation | Endpoint::KnownWarnings => {
            answers(&object, &[400, 404, 422, 503])
        }
        Endpoint::Difference => answers(&page(Topic::RULESET_DIFFERENCE), &[400, 404, 503]),
        Endpoint::Events => {
            let about = format!(
                "Server-sent events: `event` is the kind of a delta or `resync`, `id` the epoch, `data` the JSON of {PLACE}{}; of `resync` \
                 `{{\"epoch\"}}`: read the list of open warnings again.",
                Topic::WARNING_DELTA
            );
            let mut answers = answers(&object, &[400, 503]);
            answers["200"] = text("text/event-stream", &about);
            answers
        }
        Endpoint::Act => acted(),
        Endpoint::Promote => promoted(),
        Endpoint::TakeCheckpoint => checkpoint_asked_for(),
        Endpoint::Checkpoint => checkpoint_told(),
        Endpoint::Index | Endpoint::OpenApi => answers(&object, &[]),
        Endpoint::Dataflow => answers(&object, &[404]),
        Endpoint::Metrics => json!({ "200": text("text/plain", "Prometheus text.") }),
        Endpoint::Health => json!({ "200": text("text/plain", "It is alive.") }),
        Endpoint::Ready => {
            json!({ "200": text("text/plain", "It is live."), "503": text("text/plain", "It is not, and why.") })
        }
    }
}

fn acted() -> Value {
    let place = json!({
        "type": "object", "required": ["id", "partition", "offset"],
        "properties": { "id": { "type": "string" }, "partition": { "type": "integer" }, "offset": { "type": "integer" } },
    });
    let mut answers = answers(&place, &[400, 401, 403, 404, 413, 415, 422, 503]);
    answers["202"] = answers["200"].clone();
    answers["202"]["description"] = "It is durable.".into();
    answers["200"]["description"] = "It came before, and is not appended again.".into();
    answers
}

fn promoted() -> Value {
    let live = json!({ "type": "object", "required": ["live"], "properties": { "live": { "type": "string" } } });
    let mut answers = answers(&live, &[401, 403, 404, 422, 503]);
    answers["202"] = answers["200"].clone();
    answers["202"]["description"] = "The record is durable.".into();
    answers["200"]["description"] = "The set is live already.".into();
    answers
}

fn checkpoint_asked_for() -> Value {
    let asked = json!({
        "type": "object", "required": ["request", "joined"],
        "properties": { "request": { "type": "integer" }, "joined": { "type": "boolean" } },
    });
    let mut answers = answers(&asked, &[400, 401, 403, 422, 503]);
    answers["202"] = answers["200"].take();
    answers["202"]["description"] = "It is asked for; `joined`: one was under way, and this is it.".into();
    if let Some(answers) = answers.as_object_mut() {
        answers.remove("200");
    }
    answers
}

fn checkpoint_told() -> Value {
    let became = json!({
        "type": "object", "required": ["request", "state"],
        "properties": {
            "request": { "type": "integer" },
            "state": { "enum": ["under_way", "whole", "failed"] },
            "checkpoint": { "type": "string" }, "epoch": { "type": "string", "format": "date-time" },
            "bytes": { "type": "integer" }, "took_ms": { "type": "integer" },
            "pins": { "type": "array", "items": { "type": "string" } },
            "refused": { "type": "object", "additionalProperties": { "type": "string" } },
            "error": { "type": "string" },
        },
    });
    let mut answers = answers(&became, &[401, 403, 404]);
    answers["202"] = answers["200"].clone();
    answers["202"]["description"] = "It is under way: ask again.".into();
    answers
}

/// A page of a list, or rows with the times that they are of.
fn page(topic: Topic) -> Value {
    let row = json!({ "$ref": format!("{PLACE}{topic}") });
    let next =
        json!({ "type": ["string", "null"], "description": "the key to give as `after`; null on the last page" });
    let mut page = timed(&[
        ("total", json!({ "type": "integer" })),
        ("items", json!({ "type": "array", "items": row })),
        ("next", next),
    ]);
    let notes =
        json!({ "type": "array", "items": { "type": "string" }, "description": "which filter fits nothing at all" });
    page["properties"]["notes"] = notes;
    page
}

fn timed(parts: &[(&str, Value)]) -> Value {
    let time = |about: &str| json!({ "type": ["string", "null"], "format": "date-time", "description": about });
    let mut properties = Map::new();
    properties.insert("now".to_owned(), time("the pipeline's time: all up to it is here"));
    properties.insert("epoch".to_owned(), time("when a row last changed"));
    for (name, schema) in parts {
        properties.insert((*name).to_owned(), schema.clone());
    }
    let required: Vec<String> = properties.keys().cloned().collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

/// The answer 200, and errors.
fn answers(good: &Value, errors: &[u16]) -> Value {
    let mut answers = Map::new();
    let content = json!({ "application/json": { "schema": good } });
    answers.insert("200".to_owned(), json!({ "description": "OK", "content": content }));
    for status in errors {
        answers.insert(status.to_string(), error_of(*status));
    }
    Value::Object(answers)
}

fn error_of(status: u16) -> Value {
    let about = match status {
        400 => "A parameter or the body is wrong.",
        401 => "No token that is known.",
        403 => "Not with this token.",
        404 => "There is no such thing, or its part of riskflow is off.",
        413 => "The body is too large.",
        415 => "The body is not declared as JSON.",
        422 => "It cannot be used or answered, and why.",
        _ => "Not now: try again.",
    };
    let schema = json!({ "$ref": format!("{PLACE}Error") });
    json!({ "description": about, "content": { "application/json": { "schema": schema } } })
}

/// What the list of a topic may be narrowed by.
fn filters_of(topic: Topic) -> &'static [Filter] {
    match topic.list() {
        Some(list) => list.filters,
        None => &[],
    }
}

fn of_filter(filter: Filter) -> Value {
    let mut schema = json!({ "type": "string" });
    if let Some(choices) = choices(filter) {
        schema["enum"] = choices.into();
    }
    parameter(filter.name(), "query", &values(filter), &schema)
}

/// The values that a filter may have, where these are known beforehand.
fn choices(filter: Filter) -> Option<Vec<&'static str>> {
    match filter {
        Filter::Tier => Some(TIERS.to_vec()),
        Filter::Domain => Some(DomainScope::EACH.map(DomainScope::name).to_vec()),
        Filter::Step => Some(CaseStep::ALL.map(CaseStep::name).to_vec()),
        Filter::Kind => Some(Unmatched::KINDS.to_vec()),
        Filter::Least => Some(Level::ALL.map(Level::name).to_vec()),
        Filter::Within | Filter::Category | Filter::Rule | Filter::Module | Filter::Set | Filter::Gauge => None,
    }
}

fn parameter(name: &str, place: &str, about: &str, schema: &Value) -> Value {
    json!({ "name": name, "in": place, "description": about, "schema": schema })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_document_has_every_path_that_is_routed_and_no_other() {
        let document = document();
        let found: BTreeSet<String> = document["paths"].as_object().unwrap().keys().cloned().collect();
        let lists = LISTS.iter().map(List::path);
        let routed: BTreeSet<String> = lists
            .chain(Endpoint::ALL.map(|endpoint| endpoint.path().to_owned()))
            .collect();
        assert_eq!(found, routed);
        let mut ids = BTreeSet::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for operation in operations.as_object().unwrap().values() {
                assert!(
                    ids.insert(operation["operationId"].to_string()),
                    "{path}: two have this name"
                );
                let names = operation["parameters"].as_array().unwrap().iter();
                let in_path = names.filter(|parameter| parameter["in"] == "path").count();
                assert_eq!(in_path, path.matches('{').count(), "{path}");
            }
        }
    }

    #[test]
    fn every_answer_that_a_job_gave_is_shown() {
        let document = document();
        for (path, answered) in ANSWERED.iter() {
            let shown = &document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["examples"];
            assert_eq!(shown["example"]["value"], answered.answer, "{path}");
            assert!(answered.request.starts_with("GET /"), "{path}: {}", answered.request);
        }
    }

    #[test]
    fn what_may_need_a_token_says_so_and_health_never_does() {
        let document = document();
        let optional = json!([{}, { "token": [] }]);
        for (path, operations) in document["paths"].as_object().unwrap() {
            for operation in operations.as_object().unwrap().values() {
                let open = matches!(path.as_str(), "/healthz" | "/readyz" | "/openapi.json");
                let security = operation.get("security");
                assert_eq!(security.is_none(), open, "{path}");
                let refuses =
                    operation["responses"].get("401").is_some() && operation["responses"].get("403").is_some();
                assert_eq!(refuses, !open, "{path}");
            }
        }
        assert_eq!(document["paths"]["/api/v1/warnings"]["get"]["security"], optional);
        assert_eq!(document["paths"]["/metrics"]["get"]["security"], optional);
    }

    #[test]
    fn all_references_lead_somewhere_and_rows_have_no_epoch_of_their_own() {
        let document = document();
        let text = document.to_string();
        let mut count = 0;
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let (reference, _) = reference.split_once('"').unwrap();
            assert!(document.pointer(reference).is_some(), "#{reference} is not there");
            count += 1;
        }
        assert!(count > 50, "only {count} references");
        let schemas = &document["components"]["schemas"];
        let state = &schemas["out.warning.state"];
        assert!(state["properties"].get("epoch").is_none() && state["examples"][0].get("epoch").is_none());
        assert!(!state["required"].as_array().unwrap().contains(&json!("epoch")));
        assert!(schemas["out.warning.delta"]["properties"].get("epoch").is_some());
        assert!(schemas["LastDelta"]["properties"].get("epoch").is_none());
        assert_eq!(schemas["in.action"]["required"], json!(["action"]));
    }
}
