//! `POST /api/v1/warnings/{id}/actions`: appends an action to `in.action`, and answers when it is durable.
//!
//! The body is a record of `in.action` (`riskflow schema in.action`) in which may be absent: `warning` (the path names it),
//! `id` (then the header `Idempotency-Key`), `time` (then now), and `actor`, `role` and `unit`: these are the token's. A token
//! acts for its own name only.
//!
//! | status | when |
//! |---|---|
//! | 202 | it is durable: `{"id", "partition", "offset"}` |
//! | 200 | the same, for an action that came before: it is not appended again |
//! | 400 | the body is no JSON, names a field twice, or no `id` is given |
//! | 401 | no token (`Authorization: Bearer …`), or one that is not known |
//! | 403 | the case lies outside the token's region; another actor, role or unit than the token's; `override` without leave |
//! | 404 | there is no open warning and no case of that identifier |
//! | 413, 415 | the body is larger than 64 KiB; it is not declared `application/json` |
//! | 422 | the action cannot be used, and the answer says why; or its `id` was given to another action of the case |
//! | 503 | too many wait, the job has not worked off its history, or it could not be appended: try again, with the same `id` |
//!
//! `POST /api/v1/rulesets/{set}/promote` makes a rule set live ([`promotion`]); `POST /api/v1/checkpoints` asks for a checkpoint
//! ([`checkpoints`]).
//!
//! Whether a step is in order is not asked here: the dataflow decides, and `out.case.delta` tells.

mod checkpoints;
mod promotion;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use riskflow_config::TokenSettings;
use riskflow_connectors::{InRecord, Retry, decode_action};
use riskflow_model::action::Action;
use riskflow_model::output::{Reason, WarningState};
use riskflow_model::{Key, Millis, RegionCode, Text};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value, json};

use super::RETRY_AFTER;
use super::Times;
use super::access;
use super::endpoints::Endpoint;
use super::in_use::Swapped;
use super::writer::{Answer, Busy, Order, Writer};
use crate::runtime::clock::wall_clock;
use crate::runtime::job::Handles;
use crate::runtime::outcome::Outcome;

/// The largest body, in bytes.
const LARGEST_BODY: usize = 64 << 10;

/// How long a body may take to come.
const BODY: Duration = Duration::from_secs(10);

/// The way in.
#[derive(Clone)]
pub(super) struct Actions(Arc<Inner>);

struct Inner {
    /// Who may write, as it stands now.
    in_use: Swapped,
    handles: Handles,
    writer: Writer,
    /// Where promotions go.
    rule_sets: Option<Writer>,
    times: Times,
}

/// A request that changed nothing, and why.
struct Refused {
    outcome: Outcome,
    /// For whoever asked, and for the log.
    detail: String,
}

fn refused(outcome: Outcome, detail: impl Into<String>) -> Refused {
    let detail = detail.into();
    Refused { outcome, detail }
}

impl Actions {
    pub fn new(in_use: Swapped, handles: Handles, (writer, rule_sets): (Writer, Option<Writer>), times: Times) -> Self {
        Self(Arc::new(Inner {
            in_use,
            handles,
            writer,
            rule_sets,
            times,
        }))
    }
}

/// The way in beside the other routes. What is posted elsewhere is told and counted too.
pub(super) fn routes(actions: Actions, others: Router) -> Router {
    Router::new()
        .route(Endpoint::Act.path(), post(act))
        .route(Endpoint::Promote.path(), post(promotion::promote))
        .route(Endpoint::TakeCheckpoint.path(), post(checkpoints::take))
        .route(Endpoint::Checkpoint.path(), get(checkpoints::look))
        .with_state(actions.clone())
        .merge(others)
        .fallback({
            let actions = actions.clone();
            async move |request: Request| elsewhere(&actions, &request, Outcome::NoSuchPath)
        })
        .method_not_allowed_fallback(async move |request: Request| elsewhere(&actions, &request, Outcome::Method))
}

fn elsewhere(actions: &Actions, request: &Request, outcome: Outcome) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return super::nowhere(request, outcome.status());
    }
    actions.0.refuse(refused(outcome, super::no_such(request)), None)
}

async fn act(State(actions): State<Actions>, path: Result<Path<String>, PathRejection>, request: Request) -> Response {
    let actions = &actions.0;
    let (parts, body) = request.into_parts();
    let token = match actions.token(&parts.headers) {
        Ok(token) => token,
        Err(refused) => return actions.refuse(refused, None),
    };
    match actions.take(&token, path, &parts.headers, body).await {
        Ok((outcome, answer)) => {
            actions.handles.metrics.http.action(outcome);
            tracing::debug!(token = token.name, outcome = outcome.name(), %answer, "action");
            (outcome.status(), Json(answer)).into_response()
        }
        Err(refused) => actions.refuse(refused, Some(&token)),
    }
}

impl Inner {
    async fn take(
        &self,
        token: &TokenSettings,
        path: Result<Path<String>, PathRejection>,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<(Outcome, Value), Refused> {
        let Path(case) = path.map_err(|error| refused(Outcome::NoSuchPath, error.body_text()))?;
        if case.is_empty() {
            return Err(refused(Outcome::NoSuchPath, "the path names no warning"));
        }
        self.may_act_on(token, &case)?;
        let body = read(headers, body).await?;
        let now = Millis(wall_clock());
        let (action, content) = compose(token, &case, headers, &body, now)?;
        let payload = serde_json::to_vec(&action).map_err(|error| refused(Outcome::Invalid, error.to_string()))?;
        let order = Order {
            identity: Key::of_parts(&[&action.warning, &action.id]),
            content,
            refused: self.out_of_time(&action),
            record: InRecord {
                arrival: now,
                key: case,
                payload: Some(payload),
            },
        };
        let answer = self.writer.append(order).await;
        let answer = answer.map_err(|Busy| refused(Outcome::Busy, "too many actions wait; try again"))?;
        let (outcome, appended) = match answer {
            Answer::Appended(appended) => (Outcome::Accepted, appended),
            Answer::Replayed(appended) => (Outcome::Replayed, appended),
            Answer::Conflict => {
                let detail = format!(
                    "`id` is `{}`, which another action of the case has; give another",
                    action.id
                );
                return Err(refused(Outcome::Conflict, detail));
            }
            Answer::Refused(detail) => return Err(refused(Outcome::Invalid, detail)),
            Answer::Failed(error) => {
                let retry = if error.retry() == Retry::Later {
                    "; try again"
                } else {
                    ""
                };
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "an action could not be appended"
                );
                return Err(refused(Outcome::Failed, format!("it could not be appended{retry}")));
            }
        };
        let answer = json!({ "id": action.id, "partition": appended.partition, "offset": appended.offset });
        Ok((outcome, answer))
    }

    fn token(&self, headers: &HeaderMap) -> Result<Arc<TokenSettings>, Refused> {
        self.in_use
            .load()
            .authority
            .of(headers)
            .ok_or_else(|| refused(Outcome::Unauthorized, access::no_token(headers)))
    }

    /// Before history is worked off, it is not known what there is.
    fn has_tables(&self) -> Result<(), Refused> {
        if !self.handles.ready.load(Ordering::Acquire) {
            return Err(refused(Outcome::NotReady, "history is being worked off; try again"));
        }
        Ok(())
    }

    /// What the job would refuse for its time: whoever sent it would not hear of the dead letter.
    fn out_of_time(&self, action: &Action) -> Option<String> {
        let committed = self.handles.now.load(Ordering::Acquire);
        if committed == 0 {
            return None;
        }
        // In quiet the last epoch may be long ago.
        let clock = wall_clock() - self.handles.clock_off.load(Ordering::Acquire);
        let now = clock.max(committed);
        let first = Millis(now) - self.times.horizon;
        let last = Millis(now) + self.times.max_future;
        let (says, give) = if action.time < first {
            ("too late to count", format!("at least {first} (`case.horizon`)"))
        } else if action.time > last {
            ("in the future", format!("at most {last} (`time.max_future`)"))
        } else {
            return None;
        };
        Some(format!("`time` is {}, which is {says}; give {give}", action.time))
    }

    fn may_act_on(&self, token: &TokenSettings, case: &str) -> Result<(), Refused> {
        self.has_tables()?;
        let region = self.region_of(case).ok_or_else(|| {
            let detail = format!("there is no case or open warning `{}`", shortened(case));
            refused(Outcome::UnknownCase, detail)
        })?;
        if !self.handles.views.load().within(region, token.region) {
            let detail = format!("`{case}` lies in {region}; this token acts within {}", token.region);
            return Err(refused(Outcome::OtherRegion, detail));
        }
        Ok(())
    }

    fn region_of(&self, case: &str) -> Option<RegionCode> {
        let tables = self.handles.views.load();
        let case_row = tables.case(case).map(|row| row.region);
        case_row.or_else(|| tables.get::<WarningState>(case).map(|row| row.region))
    }

    /// Logs, counts and answers.
    fn refuse(&self, refused: Refused, token: Option<&TokenSettings>) -> Response {
        let Refused { outcome, detail } = refused;
        self.handles.metrics.http.action(outcome);
        let token = token.map_or("none", |token| token.name.as_str());
        // As debug: what came from outside breaks no line of the log.
        tracing::warn!(outcome = outcome.name(), ?token, ?detail, "refused to write an action");
        let mut response = (outcome.status(), Json(json!({ "error": detail }))).into_response();
        let headers = response.headers_mut();
        match outcome {
            Outcome::Unauthorized => {
                headers.insert(header::WWW_AUTHENTICATE, access::CHALLENGE);
            }
            Outcome::Busy | Outcome::NotReady | Outcome::Failed => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER);
            }
            _ => {}
        }
        response
    }
}

/// The body, if it is declared to be JSON and is not too large.
async fn read(headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Refused> {
    let declared = headers
        .get(header::CONTENT_TYPE)
        .map_or(&b""[..], HeaderValue::as_bytes);
    let kind = declared.split(|byte| *byte == b';').next().unwrap_or_default();
    if !kind.trim_ascii().eq_ignore_ascii_case(b"application/json") {
        return Err(refused(Outcome::ContentType, "send `Content-Type: application/json`"));
    }
    let too_large = || {
        refused(
            Outcome::TooLarge,
            format!("the body is larger than {LARGEST_BODY} bytes"),
        )
    };
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: u64| length > LARGEST_BODY as u64) {
        return Err(too_large());
    }
    match tokio::time::timeout(BODY, axum::body::to_bytes(body, LARGEST_BODY)).await {
        Ok(Ok(body)) => Ok(body.into()),
        Ok(Err(error)) if is_length_limit(&error) => Err(too_large()),
        Ok(Err(error)) => Err(refused(Outcome::Malformed, format!("the body did not come: {error}"))),
        Err(_) => Err(refused(Outcome::Malformed, "the body did not come in time")),
    }
}

fn is_length_limit(error: &axum::Error) -> bool {
    let source = std::error::Error::source(error);
    source.is_some_and(|source| source.is::<http_body_util::LengthLimitError>())
}

/// The action that is meant, and a key of all that the sender said about it.
fn compose(
    token: &TokenSettings,
    case: &str,
    headers: &HeaderMap,
    body: &[u8],
    now: Millis,
) -> Result<(Action, Key), Refused> {
    let Once(mut fields) = serde_json::from_slice(body)
        .map_err(|error| refused(Outcome::Malformed, format!("the body is no JSON object: {error}")))?;
    fields.retain(|_, value| !value.is_null());
    // Another name of the same field.
    if let Some(case) = fields.remove("case")
        && fields.insert("warning".to_owned(), case).is_some()
    {
        let detail = "`case` and `warning` are one field, and it is there twice; leave both out, the path names it";
        return Err(refused(Outcome::Malformed, detail));
    }
    only(
        &mut fields,
        "warning",
        Some(case),
        Outcome::Invalid,
        "leave it out, the path names it",
    )?;
    let from_token = "leave it out, the token gives it: it acts for itself only";
    only(&mut fields, "role", Some(&token.role), Outcome::NotAllowed, from_token)?;
    only(
        &mut fields,
        "unit",
        token.unit.as_deref(),
        Outcome::NotAllowed,
        from_token,
    )?;
    only(&mut fields, "actor", Some(&token.name), Outcome::NotAllowed, from_token)?;
    match idempotency_key(headers)? {
        Some(key) => only(
            &mut fields,
            "id",
            Some(&key),
            Outcome::Invalid,
            "the same as `Idempotency-Key`",
        )?,
        None if fields.contains_key("id") => {}
        None => {
            return Err(refused(
                Outcome::NoId,
                "there is no `id`; give one, or the header `Idempotency-Key`",
            ));
        }
    }
    let dated = fields.contains_key("time");
    fields.entry("time").or_insert_with(|| now.0.into());
    let action = decode_action(&Value::Object(fields).to_string()).map_err(|rejection| {
        let outcome = if rejection.reason == Reason::Malformed {
            Outcome::Malformed
        } else {
            Outcome::Invalid
        };
        refused(outcome, rejection.detail)
    })?;
    if action.overrides && !token.overrides {
        return Err(refused(Outcome::NotAllowed, "`override` is true; this token may not"));
    }
    // Without a time of its own it is the same action whenever it comes again.
    let said = Action {
        time: if dated { action.time } else { Millis::default() },
        ..action.clone()
    };
    let said = serde_json::to_vec(&said).map_err(|error| refused(Outcome::Invalid, error.to_string()))?;
    Ok((action, Key::of_bytes(&said)))
}

/// An object in which each field stands once: which of two counts the sender cannot know.
struct Once(Map<String, Value>);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Once;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut access: M) -> Result<Once, M::Error> {
                let mut fields = Map::new();
                while let Some((name, value)) = access.next_entry::<String, Value>()? {
                    if fields.contains_key(&name) {
                        let says = format!("`{}` is there twice", shortened(&name));
                        return Err(serde::de::Error::custom(says));
                    }
                    fields.insert(name, value);
                }
                Ok(Once(fields))
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

/// Sees to it that a field has this value, or none; it must not be there with another.
fn only(
    fields: &mut Map<String, Value>,
    name: &str,
    value: Option<&str>,
    outcome: Outcome,
    give: &str,
) -> Result<(), Refused> {
    match fields.get(name) {
        Some(found) if found.as_str() == value && value.is_some() => {}
        // A role that is empty is none.
        Some(found) if found.as_str() != Some("") => {
            let detail = format!("`{name}` is {}; {give}", shortened(&found.to_string()));
            return Err(refused(outcome, detail));
        }
        _ => {
            fields.remove(name);
            fields.extend(value.map(|value| (name.to_owned(), value.into())));
        }
    }
    Ok(())
}

/// The header, with or without the quotes that its draft standard asks for.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<Text>, Refused> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(value.as_bytes())
        .map_err(|_| refused(Outcome::NoId, "`Idempotency-Key` is no UTF-8"))?
        .trim();
    let unquoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    Ok(Some(unquoted.unwrap_or(text).into()))
}

/// For messages: what others wrote may be long.
fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(100)]
}
