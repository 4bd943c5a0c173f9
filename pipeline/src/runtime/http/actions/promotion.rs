//! `POST /api/v1/rulesets/{set}/promote`: makes a rule set live, with one record in `in.ruleset`. It needs a token that may `promote`; the
//! body is not read.
//!
//! | status | when |
//! |---|---|
//! | 202 | the record is durable: `{"live", "before", "partition", "offset"}` |
//! | 200 | the set is live already: nothing is appended |
//! | 401, 403 | no token that is known; one that may not promote |
//! | 404 | there is no such set, or it is not evaluated |
//! | 422 | it has no rules |
//! | 503 | as with actions |

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use riskflow_config::TokenSettings;
use riskflow_connectors::InRecord;
use riskflow_model::output::SetState;
use riskflow_model::ruleset::{DEFAULT, LIVE, RuleSet};
use riskflow_model::topic::Topic;
use riskflow_model::{Id, Key, Millis, Row};
use serde_json::{Value, json};

use super::super::writer::{Answer, Order};
use super::{Actions, Inner, Refused, refused, shortened};
use crate::runtime::clock::wall_clock;
use crate::runtime::outcome::Outcome;

pub(super) async fn promote(
    State(actions): State<Actions>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let actions = &actions.0;
    let token = match actions.token(request.headers()) {
        Ok(token) => token,
        Err(refused) => return actions.refuse(refused, None),
    };
    match actions.promote(&token, path).await {
        Ok((outcome, answer)) => {
            actions.handles.metrics.http.action(outcome);
            tracing::info!(token = token.name, outcome = outcome.name(), %answer, "promotion");
            (outcome.status(), Json(answer)).into_response()
        }
        Err(refused) => actions.refuse(refused, Some(&token)),
    }
}

impl Inner {
    async fn promote(
        &self,
        token: &TokenSettings,
        path: Result<Path<String>, PathRejection>,
    ) -> Result<(Outcome, Value), Refused> {
        let Path(set) = path.map_err(|error| refused(Outcome::NoSuchPath, error.body_text()))?;
        if !token.promote {
            let detail = "this token may not say which rule set is live; one with `promote = true` may";
            return Err(refused(Outcome::NotAllowed, detail));
        }
        self.has_tables()?;
        let before = self.candidate(&set)?;
        if *before == *set {
            return Ok((Outcome::Replayed, json!({ "live": set })));
        }
        let writer = self.rule_sets.as_ref();
        let writer = writer.ok_or_else(|| refused(Outcome::NotReady, "this process appends no rule sets"))?;
        let row = Row::new(RuleSet {
            id: Id::from(LIVE),
            set: Some(Id::new(set.as_str())),
            base: None,
            removed: Vec::new(),
            adjust: Vec::new(),
            sweep: None,
            before: Some(before.clone()),
        });
        let payload = row
            .to_json()
            .map_err(|error| refused(Outcome::Invalid, error.to_string()))?;
        let now = Millis(wall_clock());
        let identity = Key::of_parts(&[LIVE, &set, &now.0.to_string()]);
        let order = Order {
            identity,
            content: identity,
            refused: None,
            record: InRecord {
                arrival: now,
                key: LIVE.to_owned(),
                payload: Some(payload),
            },
        };
        let answer = writer.append(order).await;
        match answer.map_err(|_| refused(Outcome::Busy, "too many promotions wait; try again"))? {
            Answer::Appended(at) | Answer::Replayed(at) => {
                let answer = json!({ "live": set, "before": before, "partition": at.partition, "offset": at.offset });
                Ok((Outcome::Accepted, answer))
            }
            Answer::Conflict => Err(refused(Outcome::Busy, "another promotion is under way; try again")),
            Answer::Refused(detail) => Err(refused(Outcome::Invalid, detail)),
            Answer::Failed(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a promotion could not be appended"
                );
                Err(refused(Outcome::Failed, "it could not be appended; try again"))
            }
        }
    }

    /// The set that is live, where the other one is evaluated.
    fn candidate(&self, set: &str) -> Result<Id<RuleSet>, Refused> {
        let tables = self.handles.views.load();
        let state = tables.get::<SetState>(set);
        if !state.is_some_and(|state| state.in_force) {
            let detail = match state {
                Some(state) => format!("set `{}` is not evaluated: {}", state.set, state.problems.join("; ")),
                None => format!("there is no rule set `{}`", shortened(set)),
            };
            return Err(refused(Outcome::UnknownCase, detail));
        }
        if state.is_some_and(|state| state.rules == 0 && !state.live) {
            let detail = format!(
                "set `{}` has no rules now, and nothing would warn; `riskflow rules promote --force` makes it live all the same",
                shortened(set)
            );
            return Err(refused(Outcome::Invalid, detail));
        }
        let mut rows = tables
            .on(Topic::RULESET)
            .filter_map(|(_, row)| row.downcast_ref::<SetState>());
        let live = rows.find(|state| state.live).map(|state| state.set.clone());
        Ok(live.unwrap_or_else(|| Id::from(DEFAULT)))
    }
}
