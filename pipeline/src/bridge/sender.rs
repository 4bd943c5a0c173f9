//! One request, what its answer means, and when it is tried again.

use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use riskflow_config::{Secret, SendSettings};

use crate::runtime::clock::wall_clock;

/// So much of an answer is read, for whoever looks for what is wrong.
const TOLD_BYTES: usize = 1_024;

/// A receiver that asks for peace gets it for so long at most.
const LONGEST_PEACE: Duration = Duration::from_secs(3_600);

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It was taken.
    Accepted,
    /// The same request would be refused again.
    Refused(String),
    /// The same request may be taken later, and no sooner than after so long.
    Later(String, Option<Duration>),
}

/// Sends requests. Connections are kept.
pub(super) struct Sender {
    client: Client,
}

impl Sender {
    /// Certificates are judged by those of the system (or `SSL_CERT_FILE`). A redirect is not followed: what is signed and secret goes where
    /// the settings say.
    pub fn new() -> Result<Self, reqwest::Error> {
        let client = Client::builder().redirect(Policy::none()).no_proxy().build()?;
        Ok(Self { client })
    }

    /// Posts, and says what the answer means. `timeout` bounds all of it.
    pub async fn post(&self, url: &Url, headers: HeaderMap, body: Bytes, timeout: Duration) -> Answer {
        let request = self
            .client
            .post(url.clone())
            .headers(headers)
            .body(body)
            .timeout(timeout);
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_builder() => return Answer::Refused(told(error)),
            Err(error) => return Answer::Later(told(error), None),
        };
        let status = response.status();
        let asked = response.headers().get(RETRY_AFTER);
        let asked = asked.and_then(|value| peace(value.to_str().ok()?, wall_clock()));
        let mut said = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            said.extend_from_slice(&chunk);
            if said.len() >= TOLD_BYTES {
                break;
            }
        }
        said.truncate(TOLD_BYTES);
        meaning(status, asked, &String::from_utf8_lossy(&said))
    }
}

/// What is wrong, without the URL, which may hold a secret.
fn told(error: reqwest::Error) -> String {
    let (late, error) = (error.is_timeout(), error.without_url());
    if late {
        return "there was no answer in time (`bridge.timeout`)".to_owned();
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// 2xx: taken. What a later attempt may change (408, 425, 429 and 5xx): later. All else is refused for good: other 4xx say so, and a
/// redirect is none of ours to follow.
fn meaning(status: StatusCode, asked: Option<Duration>, said: &str) -> Answer {
    let said = said.trim();
    let colon = if said.is_empty() { "" } else { ": " };
    let text = format!("the answer is {status}{colon}{said}");
    if status.is_success() {
        Answer::Accepted
    } else if status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429) {
        Answer::Later(text, asked)
    } else {
        Answer::Refused(text)
    }
}

/// What `Retry-After` asks for: seconds, or the time until a date (RFC 9110, 10.2.3).
fn peace(value: &str, now: i64) -> Option<Duration> {
    let value = value.trim();
    let asked = if let Ok(seconds) = value.parse() {
        Duration::from_secs(seconds)
    } else {
        let at = jiff::fmt::rfc2822::parse(value).ok()?;
        let millis = at.timestamp().as_millisecond().saturating_sub(now).max(0);
        Duration::from_millis(millis.unsigned_abs())
    };
    Some(asked.min(LONGEST_PEACE))
}

/// The headers of all requests.
pub(super) fn headers(authorization: Option<&Secret>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let agent = concat!("riskflow-bridge/", env!("CARGO_PKG_VERSION"));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    if let Some(authorization) = authorization {
        let value = HeaderValue::from_str(authorization.reveal());
        let mut value = value.expect("the settings have none that is no value of a header");
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    headers
}

/// How long is waited after failures: each time twice as long, within the bounds of the settings. No lot is drawn: one bridge sends one
/// request at a time.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    failures: u32,
}

impl Pauses {
    /// After one more failure; at least as long as the receiver `asked` for.
    pub fn next(&mut self, sending: &SendSettings, asked: Option<Duration>) -> Duration {
        let factor = 2_u32.saturating_pow(self.failures);
        self.failures = self.failures.saturating_add(1);
        let pause = sending.first.saturating_mul(factor).min(sending.longest);
        pause.max(asked.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_later_attempt_may_change_is_tried_again_and_nothing_else() {
        let asked = Some(Duration::from_secs(3));
        let of = |status: u16| meaning(StatusCode::from_u16(status).unwrap(), asked, " because\n");
        for status in [200, 202, 204] {
            assert_eq!(of(status), Answer::Accepted);
        }
        for status in [408, 425, 429, 500, 502, 503, 504] {
            assert!(
                matches!(of(status), Answer::Later(said, Some(_)) if said.ends_with(": because")),
                "{status}"
            );
        }
        for status in [301, 307, 400, 401, 403, 404, 409, 410, 413, 422] {
            assert!(matches!(of(status), Answer::Refused(_)), "{status}");
        }
    }

    #[test]
    fn a_receiver_asks_for_peace_in_seconds_or_until_a_date_and_not_for_ever() {
        let now = 784_111_777_000;
        let of = |value| peace(value, now).map(|peace| peace.as_secs());
        assert_eq!(of("120"), Some(120));
        assert_eq!(of("Sun, 06 Nov 1994 08:49:47 GMT"), Some(10));
        assert_eq!(of("Sun, 06 Nov 1994 08:49:27 GMT"), Some(0));
        assert_eq!(of("999999999"), Some(3_600));
        assert_eq!((of("soon"), of("-1")), (None, None));
    }

    #[test]
    fn pauses_double_within_their_bounds() {
        let sending = SendSettings {
            timeout: Duration::from_secs(1),
            first: Duration::from_secs(1),
            longest: Duration::from_secs(5),
        };
        let mut pauses = Pauses::default();
        let mut next = |asked| pauses.next(&sending, asked).as_secs();
        assert_eq!([next(None), next(None), next(None), next(None)], [1, 2, 4, 5]);
        assert_eq!((next(Some(Duration::from_secs(60))), next(None)), (60, 5));
        for _ in 0..100 {
            assert_eq!(next(None), 5);
        }
    }
}
