//! `[bridge]` of `riskflow.toml`: what `riskflow bridge` sends, and where.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::problems::{Check, DAY, SECOND};
use crate::secret::{Secret, WrittenSecret};
use crate::settings::{
    AlertmanagerSettings, Begin, BridgeSettings, Endpoint, SendSettings, SigningKey, WebhookSettings,
};

/// What stands before a key of a webhook, by the specification Standard Webhooks.
const SECRET_PREFIX: &str = "whsec_";

/// How many bytes a key has, by the same.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The bridge: sends notices to a webhook, and open cases to Alertmanager. Only `riskflow bridge` uses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenBridge {
    /// The folder in which it keeps how far it is, and what was refused. One bridge a folder.
    pub path: PathBuf,
    /// Where it serves `/metrics`, `/healthz` and `/readyz`; empty: nowhere.
    pub listen: String,
    /// How long a request may take, `100ms` to `1m`.
    pub timeout: String,
    /// When a request that failed is tried again.
    pub retry: WrittenRetry,
    /// Takes each notice.
    pub webhook: WrittenWebhook,
    /// Takes an alert of each case that stands.
    pub alertmanager: WrittenAlertmanager,
}

/// When a request that failed is tried again: for ever, and in order. A receiver that asks for it (`Retry-After`) is left in peace for
/// longer, up to an hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenRetry {
    /// After the first failure, `10ms` to `1m`; twice as long after each further one.
    pub first: String,
    /// The longest, from `first` to `1h`.
    pub longest: String,
}

/// Takes each notice as an event of its own, signed as Standard Webhooks says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenWebhook {
    /// Where notices are posted; without it there is no webhook. It may hold a secret, and stand elsewhere: `{ file = "…" }`,
    /// `{ env = "…" }`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<WrittenSecret>,
    /// What requests are signed with, 1 to 4: `whsec_` and 24 to 64 bytes in base64. While one takes the place of another, both.
    pub secrets: Vec<WrittenSecret>,
    /// The header `Authorization` of requests, such as `Bearer …`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization: Option<WrittenSecret>,
    /// Where a bridge that never ran begins: `end` or `beginning` of `out.notice`.
    pub begin: Begin,
}

/// Takes an alert of each case that stands, and is told when it is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenAlertmanager {
    /// Such as `http://alertmanager:9093`; of several that belong together all. None: there is no Alertmanager.
    pub urls: Vec<String>,
    /// The header `Authorization` of requests, such as `Bearer …` or `Basic …`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization: Option<WrittenSecret>,
    /// So often what stands is posted again, `1s` to `1h`.
    pub repeat: String,
    /// So long an alert stands though nothing is heard of the bridge: three times `repeat` to `7d`. A bridge that is down must not look
    /// like the end of a danger.
    pub hold: String,
    /// Where people reach riskflow's HTTP, such as `https://riskflow.example`: `generatorURL` leads there. Empty: alerts have none.
    pub link: String,
}

impl Default for WrittenBridge {
    fn default() -> Self {
        Self {
            path: "data/bridge".into(),
            listen: "127.0.0.1:9465".into(),
            timeout: "10s".into(),
            retry: WrittenRetry::default(),
            webhook: WrittenWebhook::default(),
            alertmanager: WrittenAlertmanager::default(),
        }
    }
}

impl Default for WrittenRetry {
    fn default() -> Self {
        Self {
            first: "1s".into(),
            longest: "1m".into(),
        }
    }
}

impl Default for WrittenWebhook {
    fn default() -> Self {
        Self {
            url: None,
            secrets: Vec::new(),
            authorization: None,
            begin: Begin::End,
        }
    }
}

impl Default for WrittenAlertmanager {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            authorization: None,
            repeat: "1m".into(),
            hold: "1h".into(),
            link: String::new(),
        }
    }
}

impl Check {
    pub(crate) fn bridge(&mut self, written: &WrittenBridge) -> BridgeSettings {
        if written.path.as_os_str().is_empty() {
            self.problems
                .add("bridge.path", "empty", "a folder that no other bridge has");
        }
        let address: Option<SocketAddr> = written.listen.parse().ok();
        if address.is_none() && !written.listen.is_empty() {
            let give = "an address and port like `127.0.0.1:9465`, or nothing";
            self.problems
                .add("bridge.listen", format!("`{}`", written.listen), give);
        }
        BridgeSettings {
            folder: written.path.clone(),
            address,
            sending: self.sending(written),
            webhook: self.webhook(&written.webhook),
            alertmanager: self.alertmanager(&written.alertmanager),
        }
    }

    fn sending(&mut self, written: &WrittenBridge) -> SendSettings {
        let timeout = self.duration("bridge.timeout", &written.timeout, SECOND / 10, 60 * SECOND);
        let first = self.duration("bridge.retry.first", &written.retry.first, 10, 60 * SECOND);
        let longest = self.duration("bridge.retry.longest", &written.retry.longest, first, 3_600 * SECOND);
        SendSettings {
            timeout: millis(timeout),
            first: millis(first),
            longest: millis(longest),
        }
    }

    fn webhook(&mut self, written: &WrittenWebhook) -> Option<WebhookSettings> {
        let authorization = self.authorization("bridge.webhook.authorization", written.authorization.as_ref());
        let keys = self.keys(&written.secrets);
        let url = written.url.as_ref()?;
        if written.secrets.is_empty() {
            let give =
                "at least one: `whsec_` and 24 to 64 random bytes in base64 (`echo whsec_$(openssl rand -base64 32)`)";
            self.problems.add("bridge.webhook.secrets", "empty", give);
        }
        let url = self.secret("bridge.webhook.url", url)?;
        let url = self.endpoint("bridge.webhook.url", url.reveal(), true);
        Some(WebhookSettings {
            url: url?,
            keys,
            authorization,
            begin: written.begin,
        })
    }

    fn keys(&mut self, written: &[WrittenSecret]) -> Vec<SigningKey> {
        if written.len() > 4 {
            let give = "4 at most: the old ones go when all receivers know the new one";
            self.problems.add("bridge.webhook.secrets", written.len(), give);
        }
        let mut keys = Vec::new();
        for (index, secret) in written.iter().enumerate() {
            let field = format!("bridge.webhook.secrets[{index}]");
            let Some(secret) = self.secret(&field, secret) else {
                continue;
            };
            match key(secret.reveal()) {
                Ok(key) => keys.push(key),
                Err(found) => {
                    let give =
                        "`whsec_` and 24 to 64 bytes in base64, as `echo whsec_$(openssl rand -base64 32)` prints";
                    self.problems.add(field, found, give);
                }
            }
        }
        keys
    }

    fn alertmanager(&mut self, written: &WrittenAlertmanager) -> Option<AlertmanagerSettings> {
        let repeat = self.duration("bridge.alertmanager.repeat", &written.repeat, SECOND, 3_600 * SECOND);
        let hold = self.duration("bridge.alertmanager.hold", &written.hold, 3 * repeat, 7 * DAY);
        let authorization = self.authorization("bridge.alertmanager.authorization", written.authorization.as_ref());
        let link = Some(&written.link).filter(|link| !link.is_empty());
        let link = link.and_then(|link| self.endpoint("bridge.alertmanager.link", link, false));
        let mut urls = Vec::new();
        for (index, url) in written.urls.iter().enumerate() {
            urls.extend(self.endpoint(&format!("bridge.alertmanager.urls[{index}]"), url, false));
        }
        (!written.urls.is_empty()).then(|| AlertmanagerSettings {
            urls,
            authorization,
            repeat: millis(repeat),
            hold: millis(hold),
            link,
        })
    }

    /// What stands in a header: visible ASCII and blanks.
    fn authorization(&mut self, field: &str, written: Option<&WrittenSecret>) -> Option<Secret> {
        let secret = self.secret(field, written?)?;
        let legal = |c: char| c.is_ascii_graphic() || c == ' ';
        if secret.reveal().trim().is_empty() || !secret.reveal().chars().all(legal) {
            let give = "the value of a header, such as `Bearer …`: visible ASCII";
            self.problems.add(field, "not usable as a header", give);
            return None;
        }
        Some(secret)
    }

    /// A URL that is asked by HTTP. One that may be `hidden` is not quoted.
    fn endpoint(&mut self, field: &str, text: &str, hidden: bool) -> Option<Endpoint> {
        let wrong = match Url::parse(text) {
            Ok(url) if !matches!(url.scheme(), "http" | "https") => "neither `http` nor `https`",
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                "not usable: user and password belong into `authorization`"
            }
            Ok(url) if url.fragment().is_some() => "not usable: it has a `#`",
            Ok(url) => return Some(Endpoint(url)),
            Err(_) => "no URL",
        };
        // What has a password in it is not quoted, either.
        let found = if hidden || text.contains('@') {
            wrong.to_owned()
        } else {
            format!("`{text}`, which is {wrong}")
        };
        self.problems
            .add(field, found, "a URL such as `https://duty.example:8443/notices`");
        None
    }
}

/// What was checked is no less than nothing.
fn millis(millis: i64) -> Duration {
    Duration::from_millis(millis.unsigned_abs())
}

/// The key that a secret of a webhook stands for, or what is wrong with it, without it.
fn key(secret: &str) -> Result<SigningKey, String> {
    let text = secret
        .strip_prefix(SECRET_PREFIX)
        .ok_or_else(|| format!("not usable: it does not begin with `{SECRET_PREFIX}`"))?;
    let bytes = BASE64_STANDARD.decode(text);
    let bytes = bytes.map_err(|_| format!("not usable: what is behind `{SECRET_PREFIX}` is no base64"))?;
    if !KEY_BYTES.contains(&bytes.len()) {
        return Err(format!("not usable: it has {} bytes", bytes.len()));
    }
    Ok(SigningKey(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WrittenSettings;

    fn problems(text: &str) -> Vec<(String, String)> {
        let written = WrittenSettings::from_toml(text).unwrap();
        let problems = written.check().unwrap_err();
        let pairs = problems
            .iter()
            .map(|problem| (problem.field.clone(), problem.found.clone()));
        pairs.collect()
    }

    fn bridge(text: &str) -> BridgeSettings {
        WrittenSettings::from_toml(text).unwrap().check().unwrap().bridge
    }

    #[test]
    fn nothing_is_sent_unless_someone_says_where() {
        let off = bridge("");
        assert!(off.webhook.is_none() && off.alertmanager.is_none());
        assert_eq!(off.sending.longest, Duration::from_secs(60));
        assert_eq!(bridge("bridge.listen = \"\"").address, None);
    }

    #[test]
    fn all_problems_of_the_bridge_come_at_once_and_quote_no_secret() {
        let text = r#"
            [bridge]
            path = ""
            listen = "9465"
            timeout = "2m"
            retry = { first = "5s", longest = "1s" }
            [bridge.webhook]
            url = "https://u:s3cr3t@a/b"
            secrets = ["s3cr3t", "whsec_s3cr3t!", "whsec_czNjcjN0"]
            authorization = "Bearer s3cr3t\n"
            [bridge.alertmanager]
            urls = ["ftp://a", "b:9093", "http://a#b"]
            repeat = "30m"
            hold = "1h"
            link = "riskflow.example"
        "#;
        let found = problems(text);
        let fields: Vec<&str> = found.iter().map(|(field, _)| field.as_str()).collect();
        let expected = [
            "bridge.path",
            "bridge.listen",
            "bridge.timeout",
            "bridge.retry.longest",
            "bridge.webhook.authorization",
            "bridge.webhook.secrets[0]",
            "bridge.webhook.secrets[1]",
            "bridge.webhook.secrets[2]",
            "bridge.webhook.url",
            "bridge.alertmanager.hold",
            "bridge.alertmanager.link",
            "bridge.alertmanager.urls[0]",
            "bridge.alertmanager.urls[1]",
            "bridge.alertmanager.urls[2]",
        ];
        assert_eq!(fields, expected, "{found:?}");
        assert!(found.iter().all(|(_, found)| !found.contains("s3cr3t")), "{found:?}");
        assert_eq!(
            problems("bridge.webhook.url = \"https://a/b\""),
            [("bridge.webhook.secrets".to_owned(), "empty".to_owned())]
        );
    }

    #[test]
    fn a_webhook_has_its_keys_and_shows_neither_them_nor_its_path() {
        let key = BASE64_STANDARD.encode([7; 32]);
        let text = format!(
            "[bridge.webhook]\nurl = \"https://hooks.example/s3cr3t\"\nsecrets = [\"whsec_{key}\"]\nauthorization = \"Bearer s3cr3t\""
        );
        let settings = bridge(&text);
        let webhook = settings.webhook.as_ref().unwrap();
        assert_eq!(webhook.keys, [SigningKey(vec![7; 32])]);
        assert_eq!(webhook.url.reveal().path(), "/s3cr3t");
        let written = WrittenSettings::from_toml(&text).unwrap();
        let shown = format!("{settings:?} {written:?} {}", toml::to_string(&written).unwrap());
        assert!(!shown.contains("s3cr3t") && !shown.contains(&key), "{shown}");
        assert!(shown.contains("https://hooks.example"));
    }
}
