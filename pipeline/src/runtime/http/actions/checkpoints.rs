//! `POST /api/v1/checkpoints?pin=NAME`: asks for a checkpoint now; with `pin` it is kept under that name. It needs a token with
//! `checkpoint = true`; the body is not read. `GET /api/v1/checkpoints/{request}` says what became of it, to the same token, and waits
//! for that a while.
//!
//! | request | status | when |
//! |---|---|---|
//! | `POST` | 202 | it is asked for: `{"request", "joined"}`; `joined`: one was under way, and this is it |
//! | | 400 | another parameter than `pin` |
//! | | 422 | `pin` can be no name |
//! | | 503 | the job takes no checkpoints (it has not begun, or its output is files) |
//! | `GET` | 200 | `{"request", "state", …}`: `whole`, with `checkpoint`, `epoch`, `bytes`, `took_ms`, `pins`, and `refused`, the names that it could not be given with the reasons; or `failed`, with `error` |
//! | | 202 | `{"request", "state": "under_way"}`: ask again |
//! | | 404 | this process had no such request: it was started anew since |
//! | both | 401, 403 | no token that is known; one that may not |

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use riskflow_config::TokenSettings;
use riskflow_connectors::checkpoint::is_pin_name;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{Actions, Inner, Refused, refused, shortened};
use crate::runtime::checkpoint::Became;
use crate::runtime::outcome::Outcome;

/// So long an answer waits for the end of a checkpoint.
const WAITS: Duration = Duration::from_secs(10);

/// So often it is looked.
const LOOK: Duration = Duration::from_millis(20);

/// What may be asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    pin: Option<String>,
}

pub(super) async fn take(
    State(actions): State<Actions>,
    wanted: Result<Query<Wanted>, QueryRejection>,
    request: Request,
) -> Response {
    let actions = &actions.0;
    let token = match actions.may_ask(request.headers()) {
        Ok(token) => token,
        Err(refused) => return actions.refuse(refused, None),
    };
    match actions.ask(wanted) {
        Ok(answer) => {
            let outcome = Outcome::Accepted;
            actions.handles.metrics.http.action(outcome);
            tracing::info!(token = token.name, %answer, "a checkpoint is asked for");
            (outcome.status(), Json(answer)).into_response()
        }
        Err(refused) => actions.refuse(refused, Some(&token)),
    }
}

pub(super) async fn look(
    State(actions): State<Actions>,
    number: Result<Path<u64>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let actions = &actions.0;
    if let Err(refused) = actions.may_ask(&headers) {
        return actions.refuse(refused, None);
    }
    let Path(number) = match number {
        Ok(number) => number,
        Err(error) => return actions.refuse(refused(Outcome::NoSuchPath, error.body_text()), None),
    };
    let until = Instant::now() + WAITS;
    let mut became = actions.handles.checkpoints.became(number);
    while became == Became::UnderWay && Instant::now() < until {
        sleep(LOOK).await;
        became = actions.handles.checkpoints.became(number);
    }
    let (status, answer) = told(number, became);
    (status, Json(answer)).into_response()
}

/// What became of a request, as it is told.
fn told(number: u64, became: Became) -> (StatusCode, Value) {
    match became {
        Became::UnderWay => (StatusCode::ACCEPTED, json!({ "request": number, "state": "under_way" })),
        Became::Whole(taken) => {
            let answer = json!({
                "request": number,
                "state": "whole",
                "checkpoint": format!("{:020}", taken.epoch.0),
                "epoch": taken.epoch,
                "bytes": taken.bytes,
                "took_ms": taken.took.as_millis() as u64,
                "pins": taken.names,
                "refused": taken.refused,
            });
            (StatusCode::OK, answer)
        }
        Became::Failed(error) => (
            StatusCode::OK,
            json!({ "request": number, "state": "failed", "error": error }),
        ),
        Became::Unknown => {
            let error = format!(
                "this process had no request {number} for a checkpoint, or it was long ago: it may have been started anew"
            );
            (StatusCode::NOT_FOUND, json!({ "error": error }))
        }
    }
}

impl Inner {
    /// The token of a request, if it may ask for checkpoints.
    fn may_ask(&self, headers: &HeaderMap) -> Result<Arc<TokenSettings>, Refused> {
        let token = self.token(headers)?;
        if !token.checkpoint {
            let detail = "this token may not ask for checkpoints; one with `checkpoint = true` may";
            return Err(refused(Outcome::NotAllowed, detail));
        }
        Ok(token)
    }

    fn ask(&self, wanted: Result<Query<Wanted>, QueryRejection>) -> Result<Value, Refused> {
        let Query(Wanted { pin }) = wanted.map_err(|error| refused(Outcome::Malformed, error.body_text()))?;
        if let Some(name) = pin.as_deref().filter(|name| !is_pin_name(name)) {
            let detail = format!(
                "`pin` is `{}`; give a letter, then letters, digits, `.`, `_` or `-`, 64 at most",
                shortened(name)
            );
            return Err(refused(Outcome::Invalid, detail));
        }
        let ticket = self.handles.checkpoints.ask(pin.as_deref());
        let ticket = ticket.ok_or_else(|| {
            let detail = "the job takes no checkpoints: it has not begun yet, or has ended, or its output is files";
            refused(Outcome::NotReady, detail)
        })?;
        Ok(json!({ "request": ticket.number, "joined": ticket.joined }))
    }
}

#[cfg(test)]
mod tests {
    use riskflow_model::Millis;

    use super::*;
    use crate::runtime::checkpoint::Taken;

    #[test]
    fn what_became_of_a_request_is_told_with_a_status_of_its_own() {
        let taken = Taken {
            epoch: Millis(1_627_171_200_000),
            bytes: 770,
            took: Duration::from_millis(12),
            names: ["before".to_owned()].into(),
            refused: [("taken".to_owned(), "it is".to_owned())].into(),
        };
        let (status, answer) = told(3, Became::Whole(taken));
        assert_eq!(status, StatusCode::OK);
        let expected = json!({
            "request": 3, "state": "whole", "checkpoint": "00000001627171200000",
            "epoch": Millis(1_627_171_200_000), "bytes": 770, "took_ms": 12, "pins": ["before"], "refused": { "taken": "it is" },
        });
        assert_eq!(answer, expected);
        let (status, answer) = told(3, Became::Failed("the disk is full".to_owned()));
        assert_eq!((status, &answer["error"]), (StatusCode::OK, &json!("the disk is full")));
        assert_eq!(told(3, Became::UnderWay).0, StatusCode::ACCEPTED);
        assert_eq!(told(3, Became::Unknown).0, StatusCode::NOT_FOUND);
    }
}
