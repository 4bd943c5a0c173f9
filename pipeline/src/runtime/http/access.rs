//! Who reads, and what they see, where `[http.reading]` says that reading needs a token.
//!
//! | path | who |
//! |---|---|
//! | `/healthz`, `/readyz`, `/openapi.json` | whoever reaches it |
//! | `/metrics` | the same; with `http.reading.metrics`, a token without a region |
//! | `/debug/dataflow`, and lists that are not by region | a token without a region |
//! | all else that is asked by GET | a token; of rows it sees those that lie in its region, and within, as it may act on cases there |
//!
//! A token of `[http.actions]` reads within its region, too. No token, or one that is not known, is 401; a row, or something of the whole
//! city, that the token does not see is 403. Lists, their totals and events leave out what is not seen. Rows that lie in no region are seen
//! without one only.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use riskflow_config::{ReaderSettings, ReadingSettings};
use riskflow_model::RegionCode;
use serde_json::json;

use super::authority::{Authority, Hash, hash_of};
use super::in_use::{InUse, Swapped};
use crate::runtime::views::Tables;

/// What a request without a token that is known is told to give.
pub(super) const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"riskflow\"");

/// Who may read.
pub(super) struct Readers {
    tokens: Authority<ReaderSettings>,
    /// Whether metrics need a token, too.
    metrics: bool,
}

impl Readers {
    pub fn of(settings: &ReadingSettings) -> Self {
        Self {
            tokens: Authority::new(&settings.tokens, |token| token.sha256),
            metrics: settings.metrics,
        }
    }
}

/// What whoever asks may see.
#[derive(Clone)]
pub(super) struct Pass {
    /// The hash of its token; `None` where reading needs none.
    token: Option<Hash>,
    /// It sees what lies in this region and within; without one, everything.
    pub region: Option<RegionCode>,
}

impl Pass {
    /// Whether it sees what lies there.
    pub fn sees(&self, tables: &Tables, region: Option<RegionCode>) -> bool {
        self.region
            .is_none_or(|within| region.is_some_and(|region| tables.within(region, within)))
    }

    /// Refuses what is of the whole city to whoever sees a part of it only.
    pub fn refuse_whole(&self, what: &str) -> Option<Response> {
        let within = self.region?;
        Some(forbidden(&format!(
            "{what} of the whole city, and this token reads within {within}"
        )))
    }

    /// Refuses what lies elsewhere.
    pub fn refuse(&self, what: &str) -> Response {
        let within = self.region.map(|region| region.to_string()).unwrap_or_default();
        forbidden(&format!(
            "{what} does not lie in {within}, within which this token reads"
        ))
    }
}

impl InUse {
    /// What a request may see; `None` where it has no token that is known, and needs one.
    fn pass(&self, headers: &HeaderMap) -> Option<Pass> {
        if self.readers.is_none() {
            return Some(Pass {
                token: None,
                region: None,
            });
        }
        let hash = hash_of(headers)?;
        Some(Pass {
            token: Some(hash),
            region: self.region_of(&hash)?,
        })
    }

    /// What the token with this hash may see; `None` where there is none.
    fn region_of(&self, hash: &Hash) -> Option<Option<RegionCode>> {
        let reader = self.readers.as_ref()?.tokens.by(hash);
        let acts = self.authority.by(hash);
        match (reader, acts) {
            (Some(reader), _) => Some(reader.region),
            (None, Some(token)) => Some(Some(token.region)),
            (None, None) => None,
        }
    }

    /// Whether a pass that was given is good still: tokens may have changed since.
    pub fn admits(&self, pass: &Pass) -> bool {
        match (&self.readers, &pass.token) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(_), Some(hash)) => self.region_of(hash) == Some(pass.region),
        }
    }

    /// Why metrics are not for whoever asks; `None` where they are.
    pub fn refuses_metrics(&self, headers: &HeaderMap) -> Option<Response> {
        if !self.readers.as_ref().is_some_and(|readers| readers.metrics) {
            return None;
        }
        match self.pass(headers) {
            Some(pass) => pass.refuse_whole("metrics are"),
            None => Some(unauthorized(headers)),
        }
    }
}

/// Lets through whoever may read, with its pass.
pub(super) async fn check(State(in_use): State<Swapped>, mut request: Request, next: Next) -> Response {
    let pass = in_use.load().pass(request.headers());
    match pass {
        Some(pass) => {
            request.extensions_mut().insert(pass);
            next.run(request).await
        }
        None => unauthorized(request.headers()),
    }
}

/// Why a request has no token that is known.
pub(super) fn no_token(headers: &HeaderMap) -> &'static str {
    if headers.contains_key(header::AUTHORIZATION) {
        "the token is not known"
    } else {
        "there is no token"
    }
}

fn unauthorized(headers: &HeaderMap) -> Response {
    let error = no_token(headers);
    tracing::debug!(error, "refused to tell");
    let challenge = [(header::WWW_AUTHENTICATE, CHALLENGE)];
    let give = "give one with `Authorization: Bearer TOKEN`";
    let error = json!({ "error": format!("{error}; {give}") });
    (StatusCode::UNAUTHORIZED, challenge, Json(error)).into_response()
}

fn forbidden(error: &str) -> Response {
    tracing::debug!(error, "refused to tell");
    (StatusCode::FORBIDDEN, Json(json!({ "error": error }))).into_response()
}

#[cfg(test)]
mod tests {
    use riskflow_config::{ActionSettings, HttpSettings, TokenSettings};
    use sha2::{Digest as _, Sha256};

    use super::*;

    fn reader(name: &str, region: Option<&str>) -> ReaderSettings {
        ReaderSettings {
            name: name.to_owned(),
            sha256: Sha256::digest(name).into(),
            region: region.map(|region| region.parse().unwrap()),
        }
    }

    fn in_use(readers: Option<Vec<ReaderSettings>>, metrics: bool) -> InUse {
        let actor = TokenSettings {
            name: "actor".to_owned(),
            sha256: Sha256::digest("actor").into(),
            role: "duty".to_owned(),
            unit: None,
            region: "330902".parse().unwrap(),
            overrides: false,
            promote: false,
            checkpoint: false,
        };
        let settings = HttpSettings {
            actions: Some(ActionSettings { tokens: vec![actor] }),
            reading: readers.map(|tokens| ReadingSettings { tokens, metrics }),
            ..HttpSettings::at("127.0.0.1:0".parse().unwrap())
        };
        InUse::of(&settings, settings.address).unwrap()
    }

    fn headers(token: &str) -> HeaderMap {
        let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
        HeaderMap::from_iter([(header::AUTHORIZATION, value)])
    }

    #[test]
    fn whoever_acts_reads_in_its_region_too_and_nobody_reads_without_a_token() {
        let of = |in_use: &InUse, token: &str| {
            let pass = in_use.pass(&headers(token))?;
            Some(pass.region.map(|region| region.to_string()))
        };
        let guarded = in_use(
            Some(vec![reader("all", None), reader("town", Some("330902001"))]),
            false,
        );
        assert_eq!(of(&guarded, "all"), Some(None));
        assert_eq!(of(&guarded, "town"), Some(Some("330902001".to_owned())));
        assert_eq!(of(&guarded, "actor"), Some(Some("330902".to_owned())));
        assert_eq!(of(&guarded, "nobody"), None);
        assert!(guarded.pass(&HeaderMap::new()).is_none());
        assert!(guarded.refuses_metrics(&HeaderMap::new()).is_none());
        let open = in_use(None, false);
        assert_eq!(of(&open, "nobody"), Some(None));
        assert!(open.pass(&HeaderMap::new()).is_some());
    }

    #[test]
    fn a_pass_ends_with_its_token_and_with_its_region() {
        let before = in_use(Some(vec![reader("a", None)]), false);
        let pass = before.pass(&headers("a")).unwrap();
        assert!(before.admits(&pass));
        assert!(!in_use(Some(vec![reader("b", None)]), false).admits(&pass));
        assert!(!in_use(Some(vec![reader("a", Some("33"))]), false).admits(&pass));
        let open = in_use(None, false);
        assert!(open.admits(&pass));
        let without = open.pass(&HeaderMap::new()).unwrap();
        assert!(open.admits(&without) && !before.admits(&without));
    }

    #[test]
    fn metrics_are_for_whoever_sees_everything_where_they_are_guarded() {
        let guarded = in_use(Some(vec![reader("all", None), reader("town", Some("330902001"))]), true);
        let status = |token: &str| guarded.refuses_metrics(&headers(token)).map(|refused| refused.status());
        assert_eq!(status("all"), None);
        assert_eq!(status("town"), Some(StatusCode::FORBIDDEN));
        assert_eq!(status("actor"), Some(StatusCode::FORBIDDEN));
        assert_eq!(status("nobody"), Some(StatusCode::UNAUTHORIZED));
    }
}
