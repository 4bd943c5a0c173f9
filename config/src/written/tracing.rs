//! `[tracing]` of `riskflow.toml`: where spans go.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::problems::{Check, DAY};
use crate::secret::WrittenSecret;
use crate::settings::TracingSettings;

/// Where spans go: what slow epochs and checkpoints spent their time on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenTracing {
    /// To an OpenTelemetry collector.
    pub otlp: WrittenOtlp,
}

/// An OpenTelemetry collector that takes OTLP over HTTP, in protobuf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenOtlp {
    /// Where it is, such as `http://127.0.0.1:4318`; `/v1/traces` is added where it is not there. Empty: no spans.
    pub endpoint: String,
    /// An epoch, from its closing to its being shown to readers, or a checkpoint that took so long or longer is slow, `0s` to `1d`.
    pub slow: String,
    /// Headers of the requests, such as `authorization`; they may be secret.
    pub headers: BTreeMap<String, WrittenSecret>,
}

impl Default for WrittenOtlp {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            slow: "1s".into(),
            headers: BTreeMap::new(),
        }
    }
}

/// Where a collector takes spans.
const PATH: &str = "/v1/traces";

impl Check {
    /// Headers are not looked at where there is no endpoint.
    pub(crate) fn tracing(&mut self, written: &WrittenTracing) -> Option<TracingSettings> {
        let WrittenOtlp {
            endpoint,
            slow,
            headers,
        } = &written.otlp;
        let slow = self.duration("tracing.otlp.slow", slow, 0, DAY);
        if endpoint.is_empty() {
            return None;
        }
        let endpoint = self.http_url("tracing.otlp.endpoint", endpoint);
        let mut checked = BTreeMap::new();
        for (name, value) in headers {
            let field = format!("tracing.otlp.headers.{name}");
            // RFC 9110, 5.6.2.
            let is_legal = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
            if name.is_empty() || !name.chars().all(is_legal) {
                let give = "a name that a header of HTTP can have, such as `x-api-key`";
                self.problems.add(field, "not usable", give);
                continue;
            }
            let value = self.token_of_header(&field, value);
            checked.extend(value.map(|value| (name.clone(), value)));
        }
        let endpoint = endpoint?;
        Some(TracingSettings {
            endpoint: if endpoint.ends_with(PATH) {
                endpoint
            } else {
                endpoint + PATH
            },
            slow: Duration::from_millis(slow.unsigned_abs()),
            headers: checked,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WrittenSettings;

    fn tracing(text: &str) -> Result<Option<TracingSettings>, String> {
        let written = WrittenSettings::from_toml(&format!("[tracing.otlp]\n{text}"));
        let written = written.map_err(|problems| problems.to_string())?;
        let settings = written.check().map_err(|problems| problems.to_string())?;
        assert!(!toml::to_string(&written).unwrap().contains("s3cr3t"));
        assert!(!format!("{written:?} {settings:?}").contains("s3cr3t"));
        Ok(settings.tracing)
    }

    #[test]
    fn there_are_spans_where_there_is_an_endpoint() {
        assert_eq!(tracing(""), Ok(None));
        assert_eq!(tracing("headers = { a = { file = \"/nowhere\" } }"), Ok(None));
        let text = "endpoint = \"http://127.0.0.1:4318\"\nslow = \"250ms\"\nheaders = { x-api-key = \"s3cr3t\" }";
        let settings = tracing(text).unwrap().unwrap();
        assert_eq!(settings.endpoint, "http://127.0.0.1:4318/v1/traces");
        assert_eq!(settings.slow, Duration::from_millis(250));
        assert_eq!(settings.headers["x-api-key"], "s3cr3t".into());
        let whole = tracing("endpoint = \"https://a/otlp/v1/traces/\"").unwrap().unwrap();
        assert_eq!(
            (&*whole.endpoint, whole.slow),
            ("https://a/otlp/v1/traces", Duration::from_secs(1))
        );
    }

    #[test]
    fn what_cannot_be_is_told_without_secrets() {
        for (text, expected) in [
            ("slow = \"soon\"", "`tracing.otlp.slow` is `soon`"),
            ("endpoint = \"127.0.0.1:4318\"", "which is no URL"),
            ("endpoint = \"http://a:s3cr3t@b\"", "an `@` in it"),
            (
                "endpoint = \"http://a\"\nheaders = { \"a b\" = \"s3cr3t\" }",
                "`tracing.otlp.headers.a b` is not usable",
            ),
            (
                "endpoint = \"http://a\"\nheaders = { a = \"s3cr3t\\n\" }",
                "printable ASCII",
            ),
            ("headers = \"a=s3cr3t\"", "expected a map"),
        ] {
            let said = tracing(text).unwrap_err();
            assert!(said.contains(expected) && !said.contains("s3cr3t"), "{text}: {said}");
        }
    }
}
