//! `[http]` of `riskflow.toml`: where it listens, TLS, who may read, and who may write actions.

mod token;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::problems::Check;
use crate::settings::{ActionSettings, CONNECTIONS, Clock, HttpSettings, Input, ReadingSettings, TlsSettings};

use token::Before;
pub use token::{WrittenReader, WrittenToken};

/// Metrics, health, JSON views, and the way in for actions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenHttp {
    /// Whether to listen at all.
    pub enabled: bool,
    /// The address; loopback unless someone decides otherwise, for reading needs no token unless `reading` says so.
    pub listen: String,
    /// Host names that requests may ask for it by (their `Host` header, without port). Loopback names and the address in `listen`
    /// need not stand here, nor any address where it listens on all of them; other names are refused (421), so that no web page
    /// reaches it by a name of its own (DNS rebinding).
    pub hosts: Vec<String>,
    /// How many connections may be open at once, 8 to 65,536. Each takes one of the files that the process may open.
    pub max_connections: usize,
    /// Whether each operator of the dataflow is watched: `/debug/dataflow` and metrics tell how long it ran, what came to it, and what it
    /// holds. The clock is read twice whenever an operator is run.
    pub dataflow: bool,
    /// With both files it is HTTPS only.
    pub tls: WrittenTls,
    /// Who may write actions, if anyone.
    pub actions: WrittenActions,
    /// Who may read, if not whoever reaches it.
    pub reading: WrittenReading,
}

/// TLS; none where both are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenTls {
    /// The certificate chain, PEM.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
}

/// `POST /api/v1/warnings/{id}/actions`, `/api/v1/rulesets/{set}/promote` and `/api/v1/checkpoints`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenActions {
    /// Whether it is there at all. Beyond loopback it needs TLS.
    pub enabled: bool,
    /// Who may use it.
    pub tokens: Vec<WrittenToken>,
}

/// Reading behind tokens: all that is asked by GET, but for `/healthz`, `/readyz` and `/openapi.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenReading {
    /// Whether whoever reads must give a token. Beyond loopback it needs TLS.
    pub enabled: bool,
    /// Whether `/metrics` needs one, too: one without a region, for metrics are of the whole city.
    pub metrics: bool,
    /// Who may read. Tokens of `http.actions` may, too, within their regions.
    pub tokens: Vec<WrittenReader>,
}

impl Default for WrittenHttp {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: "127.0.0.1:9464".into(),
            hosts: Vec::new(),
            max_connections: CONNECTIONS,
            dataflow: false,
            tls: WrittenTls::default(),
            actions: WrittenActions::default(),
            reading: WrittenReading::default(),
        }
    }
}

impl Check {
    /// `input` and `clock` say whether anyone would read what is written.
    pub(crate) fn http(&mut self, written: &WrittenHttp, input: &Input, clock: Clock) -> Option<HttpSettings> {
        let address: Option<std::net::SocketAddr> = written.listen.parse().ok();
        if address.is_none() {
            self.problems.add(
                "http.listen",
                format!("`{}`", written.listen),
                "an address and port like `127.0.0.1:9464`",
            );
        }
        for (index, host) in written.hosts.iter().enumerate() {
            let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            if host.is_empty() || !host.chars().all(legal) {
                let give = "a host name such as `riskflow.example`, without scheme and port";
                self.problems
                    .add(format!("http.hosts[{index}]"), format!("`{host}`"), give);
            }
        }
        let max_connections = self.count("http.max_connections", written.max_connections, 8, 65_536);
        let tls = self.tls(&written.tls);
        let public = address.is_some_and(|address| !address.ip().is_loopback());
        let (acts, reads) = (written.actions.enabled, written.reading.enabled);
        if acts {
            self.actions_are_read(input, clock);
        }
        if public && tls.is_none() && (acts || reads) {
            let found = match acts {
                true => "not set although actions are on",
                false => "not set although reading needs tokens",
            };
            let give = "certificate and key, or a loopback address in `http.listen`: tokens are not for others to read";
            self.problems.add("http.tls", found, give);
        }
        let mut before = Before::new();
        let actions = acts.then(|| self.action_tokens(&written.actions.tokens, &mut before));
        let reading = reads.then(|| self.reading(&written.reading, acts, &mut before));
        let address = address.filter(|_| written.enabled)?;
        Some(HttpSettings {
            address,
            hosts: written.hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            max_connections,
            tls,
            actions,
            reading,
            dataflow: written.dataflow,
        })
    }

    fn actions_are_read(&mut self, input: &Input, clock: Clock) {
        let field = "http.actions.enabled";
        if matches!(input, Input::Files(_)) {
            let give = "`false`, or a log or Kafka as input: files take no actions";
            self.problems.add(field, "`true`", give);
        } else if clock != Clock::Live {
            let give = "`false`, or `input.clock = \"live\"`: a replay reads nothing that comes later";
            self.problems.add(field, "`true`", give);
        }
    }

    fn action_tokens<'a>(&mut self, written: &'a [WrittenToken], before: &mut Before<'a>) -> ActionSettings {
        if written.is_empty() {
            let give = "at least one token, or `http.actions.enabled = false`";
            self.problems.add("http.actions.tokens", "empty", give);
        }
        let tokens = written.iter().enumerate();
        let tokens = tokens.filter_map(|(index, token)| {
            let path = format!("http.actions.tokens[{index}]");
            self.token(&path, token, before)
        });
        ActionSettings {
            tokens: tokens.collect(),
        }
    }

    /// `acts`: tokens of actions read, too.
    fn reading<'a>(&mut self, written: &'a WrittenReading, acts: bool, before: &mut Before<'a>) -> ReadingSettings {
        if written.tokens.is_empty() && !acts {
            let give = "at least one token, or `http.reading.enabled = false`";
            self.problems.add("http.reading.tokens", "empty", give);
        }
        let tokens = written.tokens.iter().enumerate();
        let tokens = tokens.filter_map(|(index, token)| {
            let path = format!("http.reading.tokens[{index}]");
            self.reader(&path, token, before)
        });
        ReadingSettings {
            tokens: tokens.collect(),
            metrics: written.metrics,
        }
    }

    fn tls(&mut self, written: &WrittenTls) -> Option<TlsSettings> {
        let files = [("certificate", &written.certificate), ("key", &written.key)];
        if files.iter().all(|(_, path)| path.as_os_str().is_empty()) {
            return None;
        }
        for (name, path) in files {
            if !path.is_file() {
                let found = format!("`{}`, which is no file", path.display());
                let give = "a PEM file; neither certificate nor key for plain HTTP";
                self.problems.add(format!("http.tls.{name}"), found, give);
            }
        }
        Some(TlsSettings {
            certificate: written.certificate.clone(),
            key: written.key.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::WrittenSettings;

    fn problems(text: &str) -> Vec<(String, String)> {
        let problems = WrittenSettings::from_toml(text).unwrap().check().unwrap_err();
        let pairs = problems
            .iter()
            .map(|problem| (problem.field.clone(), problem.found.clone()));
        pairs.collect()
    }

    #[test]
    fn all_problems_of_http_come_at_once() {
        let text = r#"
            [http]
            listen = "0.0.0.0:9464"
            hosts = ["a.example", "https://b.example:1"]
            max_connections = 1
            [http.actions]
            enabled = true
            [[http.actions.tokens]]
            name = "a"
            sha256 = "abc"
            role = "duty"
            region = "330902"
            [[http.actions.tokens]]
            name = "a"
            sha256 = "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
            role = " "
            region = "a  b"
            [input]
            clock = "arrival"
        "#;
        let fields: Vec<String> = problems(text).into_iter().map(|(field, _)| field).collect();
        let expected = [
            "http.hosts[1]",
            "http.max_connections",
            "http.actions.enabled",
            "http.tls",
            "http.actions.tokens[0].sha256",
            "http.actions.tokens[1].role",
            "http.actions.tokens[1].name",
            "http.actions.tokens[1].sha256",
            "http.actions.tokens[1].region",
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn all_problems_of_reading_come_at_once_and_no_token_is_that_of_another() {
        let hash = "ab".repeat(32);
        let text = format!(
            r#"
            [http]
            listen = "0.0.0.0:9464"
            [http.actions]
            enabled = true
            [[http.actions.tokens]]
            name = "a"
            sha256 = "{hash}"
            role = "duty"
            region = "330902"
            [http.reading]
            enabled = true
            [[http.reading.tokens]]
            name = "a"
            sha256 = "{}"
            region = "a  b"
            [[http.reading.tokens]]
            name = " "
            sha256 = "abc"
            "#,
            hash.to_uppercase()
        );
        let fields: Vec<String> = problems(&text).into_iter().map(|(field, _)| field).collect();
        let expected = [
            "http.tls",
            "http.reading.tokens[0].name",
            "http.reading.tokens[0].sha256",
            "http.reading.tokens[0].region",
            "http.reading.tokens[1].name",
            "http.reading.tokens[1].sha256",
        ];
        assert_eq!(fields, expected);
        let alone = "http.listen = \"0.0.0.0:9464\"\nhttp.reading.enabled = true";
        let expected = [
            ("http.tls", "not set although reading needs tokens"),
            ("http.reading.tokens", "empty"),
        ];
        assert_eq!(
            problems(alone),
            expected.map(|(field, found)| (field.to_owned(), found.to_owned()))
        );
    }

    #[test]
    fn a_reader_has_a_region_or_sees_everything() {
        let read = |region: &str| {
            let token = format!("{{ name = \"a\", sha256 = \"{}\"{region} }}", "ab".repeat(32));
            let text = format!("http.reading = {{ enabled = true, metrics = true, tokens = [{token}] }}");
            let settings = WrittenSettings::from_toml(&text).unwrap().check().unwrap();
            let reading = settings.http.unwrap().reading.unwrap();
            assert!(
                reading.metrics && !format!("{reading:?}").contains("171"),
                "{reading:?}"
            );
            reading.tokens[0].region.map(|region| region.to_string())
        };
        assert_eq!(read(""), None);
        assert_eq!(read(", region = \"3309\"").as_deref(), Some("3309"));
    }

    #[test]
    fn files_of_tls_must_be_there() {
        let found = problems("[http.tls]\ncertificate = \"/nowhere/c.pem\"");
        let expected = [
            ("http.tls.certificate", "`/nowhere/c.pem`, which is no file"),
            ("http.tls.key", "``, which is no file"),
        ];
        assert_eq!(
            found,
            expected.map(|(field, found)| (field.to_owned(), found.to_owned()))
        );
    }

    #[test]
    fn a_token_is_checked_into_bytes_and_off_means_off() {
        let token = format!(
            "http.actions.tokens = [{{ name = \"a\", sha256 = \"{}Ff\", role = \"duty\", region = \"330902\" }}]",
            "00".repeat(31)
        );
        let check = |text: &str| WrittenSettings::from_toml(text).unwrap().check().unwrap().http.unwrap();
        assert_eq!(check(&token).actions, None);
        let actions = check(&format!("{token}\nhttp.actions.enabled = true")).actions.unwrap();
        let token = &actions.tokens[0];
        assert_eq!((token.sha256[0], token.sha256[31], token.overrides), (0, 255, false));
        assert_eq!(token.region.to_string(), "330902");
    }
}
